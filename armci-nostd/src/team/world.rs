//! All ranks of the job: collectives of all, and messages between any two.

use core::fmt;
use core::ops::Deref;

use zerocopy::IntoBytes;

use crate::element::{Element, Reduce, ReduceOp};
use crate::error::Error;
use crate::path::paths::Paths;
use crate::team::group::Group;
use crate::team::message::{APPLICATION, Post, Received, Sender};

/// This rank among all ranks of the job: its [`Paths`] to their memory, to which it derefs, with
/// the group of all and its post.
pub struct World {
    paths: Paths,
    all: Group,
    pub(crate) post: Post,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.paths.fmt(f)
    }
}

impl Deref for World {
    type Target = Paths;

    #[inline]
    fn deref(&self) -> &Paths {
        &self.paths
    }
}

impl World {
    pub(crate) fn new(paths: Paths) -> Self {
        Self { all: Group::of_all(&paths), post: Post::default(), paths }
    }

    /// All ranks, as a group.
    #[inline]
    pub fn world(&self) -> &Group {
        &self.all
    }

    /// `ARMCI_Barrier`: waits until all ranks are here and their operations complete at their
    /// targets.
    #[inline]
    pub fn barrier(&self) -> Result<(), Error> {
        self.all.barrier(self)
    }

    /// `armci_msg_brdcst`, collective: copies `data` of rank `root` to all others. All must give
    /// the same length.
    pub fn broadcast<T: Element>(&self, root: usize, data: &mut [T]) -> Result<(), Error> {
        self.all.broadcast(self, root, data)
    }

    /// `armci_msg_gop`, collective: combines the data of all ranks, element by element; all get the
    /// result, with the same bits everywhere. All must give the same length.
    pub fn reduce<T: Reduce>(&self, op: ReduceOp, data: &mut [T]) -> Result<(), Error> {
        self.all.reduce(self, op, data)
    }

    /// `armci_msg_snd`: sends `data` to `rank`, which may be this one. On return `data` may be
    /// changed.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::OutOfMemory`] if it is long and there is no memory left for it.
    pub fn send<T: Element>(&self, rank: usize, tag: i32, data: &[T]) -> Result<(), Error> {
        self.post.send(self, APPLICATION, rank, tag, data.as_bytes())
    }

    /// `armci_msg_rcv`, `armci_msg_rcvany`: waits for a message with this tag (any, if none), and
    /// copies it to the start of `data`. Messages from one rank with one tag are received in the
    /// order in which they were sent.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::MessageTooLong`], [`Error::NobodyElse`] if it could only come
    /// from this rank itself, which has not sent it.
    pub fn receive<T: Element>(
        &self,
        from: Sender,
        tag: Option<i32>,
        data: &mut [T],
    ) -> Result<Received, Error> {
        self.post.receive(self, APPLICATION, from, tag, data.as_mut_bytes())
    }

    /// Whether such a message has come, which is then not received yet.
    ///
    /// # Errors
    /// [`Error::NoRank`].
    pub fn probe(&self, from: Sender, tag: Option<i32>) -> Result<Option<Received>, Error> {
        self.post.probe(self, APPLICATION, from, tag)
    }
}
