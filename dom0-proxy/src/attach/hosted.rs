//! A rank as a Linux process: what it sends through the daemon's ranks socket.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use armci_nostd::serve::Window;
use armci_nostd::wire::PROTOCOL_VERSION;
use armci_nostd::wire::attach::{self, Attach, AttachReply};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};

use super::attachment::Attachment;
use super::bad_attach::BadAttach;
use super::card::Card;
use super::doorbell::Doorbell;
use super::shared_memory::SharedMemory;

/// File descriptors that come with an attach: the window, the proxy's doorbell, the rank's
/// doorbell.
const DESCRIPTORS: usize = 3;

/// An attach as it came in; nothing of it is believed yet.
#[derive(Debug)]
pub struct Asking {
    /// What the rank says.
    pub attach: Attach,
    descriptors: [OwnedFd; DESCRIPTORS],
}

/// Reads a rank's first message and the descriptors that come with its first byte.
pub fn receive(stream: &UnixStream) -> Result<Asking, BadAttach> {
    let mut prefix = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut prefix)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(|error| BadAttach::new(format_args!("its attach did not arrive: {error}")))?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(BadAttach::new("it sent more than 3 file descriptors"));
    }
    let descriptors: [OwnedFd; DESCRIPTORS] = descriptors.try_into().map_err(|got: Vec<_>| {
        BadAttach::new(format_args!("it sent {} file descriptors instead of 3", got.len()))
    })?;
    let mut stream = stream;
    let torn = |error| BadAttach::new(format_args!("its attach is torn: {error}"));
    stream.read_exact(&mut prefix[received.bytes..]).map_err(torn)?;
    let mut body = vec![0; attach::body_length(prefix).map_err(BadAttach::new)?];
    stream.read_exact(&mut body).map_err(torn)?;
    let attach: Attach = attach::decode(&body).map_err(BadAttach::new)?;
    if attach.version != PROTOCOL_VERSION {
        return Err(BadAttach::new(attach::MessageError::Version(attach.version)));
    }
    Ok(Asking { attach, descriptors })
}

/// Answers a rank. It may be gone already, which shows elsewhere.
pub fn answer(mut stream: &UnixStream, reply: &AttachReply) {
    match attach::encode(reply) {
        Ok(frame) => {
            if let Err(error) = stream.write_all(&frame) {
                tracing::debug!(%error, "a rank did not take the answer to its attach");
            }
        }
        Err(error) => tracing::error!(%error, "the answer to an attach could not be encoded"),
    }
}

impl Asking {
    /// Maps the rank's memory and takes its doorbells. `stream` stays open as long as the
    /// attachment lives: by that the rank sees that its proxy does.
    pub fn accept(self, stream: UnixStream) -> Result<Attachment, BadAttach> {
        let [memfd, to_proxy, to_rank] = self.descriptors;
        for doorbell in [&to_proxy, &to_rank] {
            let path = format!("/proc/self/fd/{}", doorbell.as_raw_fd());
            match std::fs::read_link(&path) {
                Ok(target) if target.as_os_str() == "anon_inode:[eventfd]" => {}
                _ => return Err(BadAttach::new("its doorbells are not eventfds")),
            }
        }
        let layout = self.attach.layout;
        let memory = SharedMemory::map(&memfd, layout.len)?;
        // SAFETY: `memory` maps `layout.len` bytes on a page boundary, and lives in the attachment
        // as long as the window.
        let window = unsafe { Window::new(memory.base(), &layout) }.map_err(BadAttach::new)?;
        let to_rank = Arc::new(to_rank);
        let doorbell = EventFds { to_proxy, to_rank: to_rank.clone() };
        let card = Card { layout, window: memfd, to_rank, stream };
        // SAFETY: the window points into `memory`, which unmaps only when it is dropped.
        unsafe { Attachment::new(window, Box::new(doorbell), Some(card), Box::new(memory)) }
    }
}

/// Two eventfds.
#[derive(Debug)]
struct EventFds {
    to_proxy: OwnedFd,
    to_rank: Arc<OwnedFd>,
}

impl Doorbell for EventFds {
    fn ring(&self) {
        // Its count overflows, at which this would fail, only when somebody wants it to.
        let _ = rustix::io::write(&self.to_rank, &1u64.to_ne_bytes());
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
