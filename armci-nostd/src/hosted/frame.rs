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

/// Sends one message, with `descriptors` on its first byte: [`MOST_DESCRIPTORS`] at most.
pub fn send<M: Serialize>(
    stream: &UnixStream,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = encode(message).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fit = descriptors.len() <= MOST_DESCRIPTORS
        && (descriptors.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    if !fit {
        return Err(io::Error::other("more file descriptors than any message has"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&mut &*stream).write_all(&frame[sent..])
}

/// Waits for the next message. Returns it with the file descriptors that came with its first byte;
/// nothing of either is believed yet.
pub fn receive<M: DeserializeOwned>(
    mut stream: &UnixStream,
) -> Result<(M, Vec<OwnedFd>), FrameError> {
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
    // One more may fit than was asked for.
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > MOST_DESCRIPTORS {
        return Err(FrameError::TooManyDescriptors);
    }
    stream.read_exact(&mut prefix[received.bytes..]).map_err(FrameError::Torn)?;
    let mut body = vec![0; body_length(prefix)?];
    stream.read_exact(&mut body).map_err(FrameError::Torn)?;
    Ok((decode(&body)?, descriptors))
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
        send(&theirs, &AttachReply::Accepted, &[one.as_fd(), other.as_fd()]).unwrap();
        send(&theirs, &AttachReply::Refused("no".into()), &[]).unwrap();
        let (first, descriptors) = receive::<AttachReply>(&ours).unwrap();
        assert_eq!((first, descriptors.len()), (AttachReply::Accepted, 2));
        let (second, descriptors) = receive::<AttachReply>(&ours).unwrap();
        assert_eq!((second, descriptors.len()), (AttachReply::Refused("no".into()), 0));
        drop(theirs);
        assert!(matches!(receive::<AttachReply>(&ours), Err(FrameError::Torn(_))));
    }

    #[test]
    fn too_many_descriptors_are_neither_sent_nor_kept() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = [ours.as_fd(); MOST_DESCRIPTORS + 1];
        assert!(send(&theirs, &AttachReply::Accepted, &many).is_err());
        // By somebody who does not use `send`.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
        let frame = encode(&AttachReply::Accepted).unwrap();
        sendmsg(&theirs, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::empty()).unwrap();
        assert!(matches!(receive::<AttachReply>(&ours), Err(FrameError::TooManyDescriptors)));
    }
}
