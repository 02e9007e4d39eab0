//! The frames of [`wire::attach`](crate::wire::attach) on a Unix socket, with the file descriptors
//! that come with their first byte: for ranks and for their proxy.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::prelude::v1::*;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::attach::{MessageError, body_length, decode, encode};

/// No message has more file descriptors.
pub const MOST_DESCRIPTORS: usize = 3;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Nothing of it came.
    #[error("did not arrive: {0}")]
    NotArrived(io::Error),
    /// It ended before it was whole.
    #[error("is torn: {0}")]
    Torn(io::Error),
    /// More file descriptors than any message has.
    #[error("has more than {MOST_DESCRIPTORS} file descriptors")]
    TooManyDescriptors,
    /// Its bytes are not the message that was expected.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// What has come, of which nothing is believed yet.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// What came with its first byte.
    pub descriptors: Vec<OwnedFd>,
    /// There were more of them, and this process may not have as many files open.
    pub lost: bool,
}

/// Sends one message, with `descriptors` on its first byte: [`MOST_DESCRIPTORS`] at most.
pub fn send<M: Serialize>(
    stream: &UnixStream,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = encode(message).map_err(io::Error::other)?;
    let sent = begin(stream, &frame, descriptors, SendFlags::empty())?;
    (&mut &*stream).write_all(&frame[sent..])
}

/// The same for a small message, without waiting for the other side to read: it is sent whole, or
/// not at all.
pub fn try_send<M: Serialize>(
    stream: &UnixStream,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = encode(message).map_err(io::Error::other)?;
    match begin(stream, &frame, descriptors, SendFlags::DONTWAIT)? {
        sent if sent == frame.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Sends as much of a frame as the socket takes at a time, and the descriptors.
fn begin(
    stream: &UnixStream,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fit = descriptors.len() <= MOST_DESCRIPTORS
        && (descriptors.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    if !fit {
        return Err(io::Error::other("more file descriptors than any message has"));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(sendmsg(stream, &[IoSlice::new(frame)], &mut ancillary, flags)?)
}

/// Waits for the next message.
pub fn receive<M: DeserializeOwned>(stream: &UnixStream) -> Result<Received<M>, FrameError> {
    let Received { message, descriptors, lost } = receive_body(stream)?;
    Ok(Received { message: decode(&message)?, descriptors, lost })
}

/// Waits for the next message, whatever it is.
pub fn receive_body(mut stream: &UnixStream) -> Result<Received<Vec<u8>>, FrameError> {
    let mut prefix = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(&mut prefix)];
    let received = recvmsg(stream, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|error| FrameError::NotArrived(error.into()))?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    let lost = cut && descriptors.len() < MOST_DESCRIPTORS;
    // One more may fit than was asked for.
    if cut && !lost || descriptors.len() > MOST_DESCRIPTORS {
        return Err(FrameError::TooManyDescriptors);
    }
    stream.read_exact(&mut prefix[received.bytes..]).map_err(FrameError::Torn)?;
    let mut message = vec![0; body_length(prefix)?];
    stream.read_exact(&mut message).map_err(FrameError::Torn)?;
    Ok(Received { message, descriptors, lost })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use crate::wire::attach::AttachReply;

    #[test]
    fn a_message_comes_with_its_descriptors() {
        let ((ours, theirs), (one, other)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        send(&theirs, &AttachReply::Accepted { neighbours: 1 }, &[one.as_fd(), other.as_fd()])
            .unwrap();
        send(&theirs, &AttachReply::Refused("no".into()), &[]).unwrap();
        let next = || receive::<AttachReply>(&ours).unwrap();
        let Received { message, descriptors, lost } = next();
        assert_eq!(
            (message, descriptors.len(), lost),
            (AttachReply::Accepted { neighbours: 1 }, 2, false)
        );
        let Received { message, descriptors, lost } = next();
        assert_eq!(
            (message, descriptors.len(), lost),
            (AttachReply::Refused("no".into()), 0, false)
        );
        drop(theirs);
        assert!(matches!(receive::<AttachReply>(&ours), Err(FrameError::Torn(_))));
    }

    #[test]
    fn nobody_waits_for_one_who_does_not_read() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut sent = 0;
        let error = loop {
            match try_send(&theirs, &AttachReply::Refused("x".repeat(1000)), &[ours.as_fd()]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        for _ in 0..sent {
            let whole = receive::<AttachReply>(&ours).unwrap();
            assert_eq!(whole.message, AttachReply::Refused("x".repeat(1000)));
        }
    }

    #[test]
    fn too_many_descriptors_are_neither_sent_nor_kept() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = [ours.as_fd(); MOST_DESCRIPTORS + 1];
        assert!(send(&theirs, &AttachReply::Accepted { neighbours: 1 }, &many).is_err());
        // By somebody who does not use `send`.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
        let frame = encode(&AttachReply::Accepted { neighbours: 1 }).unwrap();
        sendmsg(&theirs, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::empty()).unwrap();
        assert!(matches!(receive::<AttachReply>(&ours), Err(FrameError::TooManyDescriptors)));
    }
}
