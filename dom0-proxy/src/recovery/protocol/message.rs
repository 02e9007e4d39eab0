//! What proxies tell each other about a line.

use serde::{Deserialize, Serialize};

/// A host of the job, by its number in the [tree](super::Tree).
pub type HostId = u32;

/// The time of a job up to a recovery line, which has the epoch's number.
///
/// Numbers only rise, also past lines that were abandoned. A job that is restored begins a new
/// incarnation, so that whatever an earlier one still sends or writes is told apart.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch {
    /// How often the job has been restored.
    pub incarnation: u32,
    /// Lines that were tried in this incarnation, this one included.
    pub number: u64,
}

impl Epoch {
    /// The next one in the same incarnation.
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

/// What a participant is told to do. Orders of one line only ever rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Order {
    /// Take nothing new from ranks, and complete what is under way.
    Close,
    /// Park the ranks and copy their memory: the line has been reached.
    Copy,
    /// Write the copy and make it durable.
    Write {
        /// Whether ranks go on meanwhile.
        open: bool,
    },
    /// The line is over.
    Leave(LineEnd),
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LineEnd {
    /// There is an image, and ranks go on.
    Committed,
    /// There is an image, and ranks are to end without going on.
    Stopped,
    /// Ranks that were held go on. No image was asked for.
    Released,
    /// There is no image, and ranks go on as if nothing had been asked for.
    Abandoned,
}

/// How far a participant is with a line, and all below it in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Progress {
    /// Nothing of its own is under way.
    Quiet,
    /// The memory of its ranks is copied.
    Copied,
    /// The copy would survive a power cut.
    Durable,
    /// It has left the line.
    Left,
}

/// Why a line, or a job, came to nothing. In words for the user.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
pub enum Cause {
    /// Operations could not be completed.
    #[error("operations that were under way on host {0} could not be completed")]
    NotQuiet(HostId),
    /// A rank could not be parked, or its memory not copied.
    #[error("a rank on host {0} did not stand still, or its memory could not be copied")]
    NotCopied(HostId),
    /// The copy could not be written.
    #[error("the memory of the ranks on host {0} could not be written")]
    NotWritten(HostId),
    /// The image could not be committed.
    #[error("the image could not be committed")]
    NotCommitted,
    /// It took longer than was allowed.
    #[error("it took longer than was allowed")]
    TimeLimit,
    /// Whoever asked for the line wants it no more.
    #[error("whoever asked for it wants it no more")]
    Cancelled,
    /// A host does not answer any more.
    #[error("host {0} does not answer any more")]
    HostLost(HostId),
}

/// What a participant tells its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Report {
    /// It and all below it are this far.
    Reached(Progress),
    /// It, or one below it, cannot go on with the line.
    Failed(Cause),
}

/// What one participant sends to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// From parent to child.
    Order(Epoch, Order),
    /// From child to parent.
    Report(Epoch, Report),
}
