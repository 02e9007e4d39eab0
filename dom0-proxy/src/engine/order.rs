//! What the engine's thread is asked for.

use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Duration;

use armci_nostd::wire::attach::WindowLayout;

use super::copied::Copied;
use super::service::{Change, OrderError};
use super::traffic::Traffic;
use crate::attach::{RankAttachment, RankStanding};

/// One order.
pub(super) enum EngineOrder {
    /// Take up this rank.
    Attach(u32, RankAttachment),
    /// Talk with the proxy of this host through this connection.
    Link(u32, TcpStream),
    /// Change what is done for the ranks.
    Change(Change, Sender<Result<(), OrderError>>),
    /// This rank has ended, and cannot be told anything any more.
    Ended(u32),
    /// The engine ends.
    End,
    /// Tell how the ranks get on.
    Standings(Sender<Result<Vec<RankStanding>, OrderError>>),
    /// Tell in words how the ranks and their rings are.
    Describe(Sender<Result<Vec<String>, OrderError>>),
    /// Tell what was served for each rank, without what it has done directly.
    Traffic(Sender<Result<Vec<Traffic>, OrderError>>),
    /// Tell whether nothing is under way now.
    IsQuiet(Sender<bool>),
    /// Tell how many operations have come to their end since the gates were last closed.
    Drained(Sender<Result<u64, OrderError>>),
    /// Tell for how long each rank stood still.
    StoodStill(Sender<Result<Vec<Duration>, OrderError>>),
    /// Tell where the ranks' memory is.
    Layouts(Sender<Result<Vec<WindowLayout>, OrderError>>),
    /// Fill memory of a domain that is to land.
    FillWindow {
        /// The rank that it is to become.
        rank: u32,
        /// The first byte, counted from the start of its window.
        offset: u64,
        /// What is to be there.
        bytes: Vec<u8>,
        /// Where the bytes come back.
        reply: Sender<Result<Vec<u8>, OrderError>>,
    },
    /// Copy memory of a rank.
    CopyWindow {
        /// The rank.
        rank: u32,
        /// What to fill.
        buffer: Vec<u8>,
        /// Where it goes.
        reply: Sender<Result<Copied, OrderError>>,
    },
}
