//! A rank as a Linux process: what it sends through the daemon's ranks socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use armci_nostd::hosted::frame::{self, FrameError, Received};
use armci_nostd::serve::Window;
use armci_nostd::wire::PROTOCOL_VERSION;
use armci_nostd::wire::attach::{self, Attach, AttachReply, MessageError};
use rustix::net::{AddressFamily, SendFlags, SocketType, send, sockopt};

use super::attachment::RankAttachment;
use super::bad_attach::BadAttach;
use super::card::Card;
use super::doorbell::Doorbell;
use super::provided::{MemoryProvider, Provided};
use super::shared_memory::SharedMemory;

/// An attach as it came in; nothing of it is believed yet.
#[derive(Debug)]
pub struct Asking {
    /// What the rank says.
    pub attach: Attach,
    descriptors: Vec<OwnedFd>,
    /// The daemon had no room for some of them.
    lost: bool,
    /// Who is to touch its memory first.
    provider: Option<Arc<MemoryProvider>>,
}

/// Waits for a rank's first message and the descriptors that come with it.
pub fn receive(stream: &UnixStream) -> Result<Asking, BadAttach> {
    let received = frame::receive_body(stream).map_err(|error| match error {
        FrameError::Message(error) => BadAttach::rank(error),
        error => BadAttach::rank(format_args!("its attach {error}")),
    })?;
    let Received { message: body, descriptors, lost } = received;
    let version = attach::version(&body).map_err(BadAttach::rank)?;
    if version != PROTOCOL_VERSION {
        return Err(BadAttach::rank(MessageError::Version(version)));
    }
    let attach: Attach = attach::decode(&body).map_err(BadAttach::rank)?;
    Ok(Asking { attach, descriptors, lost, provider: None })
}

/// Answers a rank. It may be gone already, which shows elsewhere.
pub fn answer(stream: &UnixStream, reply: &AttachReply) {
    if let Err(error) = frame::send(stream, reply, &[]) {
        tracing::debug!(%error, "a rank did not take the answer to its attach");
    }
}

impl Asking {
    /// Has `provider` touch the rank's memory before the daemon does.
    pub fn provided_by(self, provider: Arc<MemoryProvider>) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// Maps the rank's memory and takes its doorbells. The connection stays open as long as the
    /// attachment lives: by that the rank sees that its proxy does.
    pub fn accept(self, stream: &UnixStream) -> Result<RankAttachment, BadAttach> {
        if self.lost {
            return Err(BadAttach::host(
                "the daemon has too many files open (ulimit -n): run fewer ranks at a time",
            ));
        }
        let [memfd, to_proxy, to_rank] = self.descriptors.try_into().map_err(|got: Vec<_>| {
            BadAttach::rank(format_args!("it sent {} file descriptors instead of 3", got.len()))
        })?;
        check_doorbells(&to_proxy, &to_rank)?;
        let stream = stream.try_clone().map_err(BadAttach::host)?;
        let layout = self.attach.layout;
        let memory = SharedMemory::map(&memfd, layout.len)?;
        // SAFETY: `memory` maps `layout.len` bytes on a page boundary, and lives in the attachment
        // as long as the window.
        let window = unsafe { Window::new(memory.base(), &layout) }.map_err(BadAttach::rank)?;
        let memory = Provided::new(memory, &memfd, self.provider)?;
        let to_rank = Arc::new(to_rank);
        let doorbell = HostedDoorbell { to_proxy, to_rank: to_rank.clone() };
        let card = Card::new(layout, memfd, to_rank, stream).map_err(BadAttach::host)?;
        // SAFETY: the window points into `memory`, which unmaps only when it is dropped.
        unsafe { RankAttachment::new(window, Box::new(doorbell), Some(card), Box::new(memory)) }
    }
}

/// What a rank gives is used in ways that must not block, whatever it is.
fn check_doorbells(to_proxy: &OwnedFd, to_rank: &OwnedFd) -> Result<(), BadAttach> {
    let path = format!("/proc/self/fd/{}", to_proxy.as_raw_fd());
    match std::fs::read_link(&path) {
        Ok(target) if target.as_os_str() == "anon_inode:[eventfd]" => {}
        _ => return Err(BadAttach::rank("the proxy's doorbell is not an eventfd")),
    }
    match (sockopt::socket_domain(to_rank), sockopt::socket_type(to_rank)) {
        (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) => Ok(()),
        _ => Err(BadAttach::rank("its own doorbell is not a Unix stream socket")),
    }
}

/// An eventfd, which is only waited for, and one end of a pair of sockets. A write to an eventfd
/// can block, as whoever shares it likes; a message to a socket is sent at once or not at all.
#[derive(Debug)]
struct HostedDoorbell {
    to_proxy: OwnedFd,
    to_rank: Arc<OwnedFd>,
}

impl Doorbell for HostedDoorbell {
    fn ring(&self) {
        // Where there is no room there are rings enough that the rank has not taken note of.
        let _ = send(&self.to_rank, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.to_proxy.as_fd()
    }

    /// Each write to an eventfd is an edge of its own; its count is of no interest and is never
    /// read, so that this cannot block.
    fn acknowledge(&self) -> bool {
        true
    }
}
