//! A rank as a Linux process: what it sends through the daemon's ranks socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use armci_nostd::serve::memory::Window;
use armci_nostd::wire::PROTOCOL_VERSION;
use armci_nostd::wire::attach::{self, Attach, AttachReply, Introduction, Layout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::{AttachError, Attachment, Doorbell, SharedMemory};

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
pub fn receive(stream: &UnixStream) -> Result<Asking, AttachError> {
    let mut prefix = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut prefix)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(|error| AttachError::new(format_args!("its attach did not arrive: {error}")))?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(AttachError::new("it sent more than 3 file descriptors"));
    }
    let descriptors: [OwnedFd; DESCRIPTORS] = descriptors.try_into().map_err(|got: Vec<_>| {
        AttachError::new(format_args!("it sent {} file descriptors instead of 3", got.len()))
    })?;
    let mut stream = stream;
    let torn = |error| AttachError::new(format_args!("its attach is torn: {error}"));
    stream.read_exact(&mut prefix[received.bytes..]).map_err(torn)?;
    let mut body = vec![0; attach::body_length(prefix).map_err(AttachError::new)?];
    stream.read_exact(&mut body).map_err(torn)?;
    let attach: Attach = attach::decode(&body).map_err(AttachError::new)?;
    if attach.version != PROTOCOL_VERSION {
        return Err(AttachError::new(attach::ControlError::Version(attach.version)));
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
    pub fn accept(self, stream: UnixStream) -> Result<Attachment, AttachError> {
        let [memfd, to_proxy, to_rank] = self.descriptors;
        for doorbell in [&to_proxy, &to_rank] {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(doorbell));
            match std::fs::read_link(&path) {
                Ok(target) if target.as_os_str() == "anon_inode:[eventfd]" => {}
                _ => return Err(AttachError::new("its doorbells are not eventfds")),
            }
        }
        let layout = self.attach.layout;
        let memory = SharedMemory::map(&memfd, layout.len)?;
        // SAFETY: `memory` maps `layout.len` bytes on a page boundary, and lives in the attachment
        // as long as the window.
        let window = unsafe { Window::new(memory.base(), &layout) }.map_err(AttachError::new)?;
        let doorbell = EventFds { to_proxy, card: Card { layout, window: memfd, to_rank, stream } };
        Attachment::new(window, Box::new(doorbell), Box::new(memory))
    }
}

/// What other ranks need to reach a rank's memory, and the connection on which it is told of
/// others.
#[derive(Debug)]
pub struct Card {
    layout: Layout,
    window: OwnedFd,
    to_rank: OwnedFd,
    stream: UnixStream,
}

impl Card {
    /// Tells this rank of another one.
    pub(super) fn introduce(&self, rank: u32, other: &Self) -> io::Result<()> {
        let introduction = Introduction { rank, layout: other.layout };
        let frame = attach::encode(&introduction).map_err(io::Error::other)?;
        let fds = [other.window.as_fd(), other.to_rank.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for the file descriptors"));
        }
        let bytes = [IoSlice::new(&frame)];
        let sent = rustix::net::sendmsg(&self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)?;
        (&self.stream).write_all(&frame[sent..])
    }
}

/// Two eventfds.
#[derive(Debug)]
struct EventFds {
    to_proxy: OwnedFd,
    card: Card,
}

impl Doorbell for EventFds {
    fn ring(&self) {
        // Its count overflows, at which this would fail, only when somebody wants it to.
        let _ = rustix::io::write(&self.card.to_rank, &1u64.to_ne_bytes());
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.to_proxy.as_fd()
    }

    fn introduction(&self) -> Option<&Card> {
        Some(&self.card)
    }

    /// Each write to an eventfd is an edge of its own; its count is of no interest and is never
    /// read, so that this cannot block.
    fn acknowledge(&self) {}
}
