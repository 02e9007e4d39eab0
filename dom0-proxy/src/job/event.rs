//! All that can happen to a job. Its supervisor takes these one by one.

use std::net::TcpStream;
use std::time::Instant;

use crate::attach::{BadAttach, RankAttachment};
use crate::control::RankSignal;
use crate::engine::Notice;
use crate::error::Error;

/// Something has happened.
#[derive(Debug)]
pub enum JobEvent {
    /// A rank's creation has begun.
    Begun {
        /// The rank.
        rank: u32,
        /// When.
        at: Instant,
    },
    /// A rank's process runs, or its kernel says that it does.
    Up {
        /// The rank.
        rank: u32,
        /// When.
        at: Instant,
    },
    /// A rank could not be created.
    NotCreated {
        /// The rank.
        rank: u32,
        /// Why.
        error: Error,
    },
    /// A rank is attached.
    Attached {
        /// The rank.
        rank: u32,
        /// What the engine needs of it.
        attachment: RankAttachment,
    },
    /// A rank's attach was refused.
    AttachRefused {
        /// The rank.
        rank: u32,
        /// Why.
        cause: BadAttach,
    },
    /// A rank's kernel has said why it is about to crash. Comes before the crash itself.
    Fatal {
        /// The rank.
        rank: u32,
        /// The kernel's words.
        cause: String,
    },
    /// A rank's process or domain has ended; its last output may still be on its way.
    Ended {
        /// The rank.
        rank: u32,
        /// How.
        end: End,
    },
    /// The engine has something to say.
    Engine(Notice),
    /// The ranks are to get a signal.
    Signal(RankSignal),
    /// The job is held at a recovery line.
    Held,
    /// It goes on.
    Released,
    /// The domains of a restored job have become its ranks and go on; or why they have not.
    Landed(Result<(), String>),
    /// The proxy of another host talks with this one through this connection.
    Link {
        /// The host.
        host: u32,
        /// The connection; who is at its other end has been proved.
        stream: TcpStream,
    },
    /// All ranks of the job have ended without a failure, on all hosts.
    Finish,
    /// The job was saved, and is to end with that, for which these are the words.
    Saved(String),
    /// Somebody wants the job to end.
    Kill(KillReason),
}

/// How a rank has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// Its process was killed by this signal.
    Signalled(i32),
    /// Its domain crashed.
    Crashed,
    /// Its domain powered off without an exit status.
    Silent,
    /// Its domain has stopped in a way that a rank does not.
    Stopped,
    /// Its domain is gone.
    Vanished,
}

/// Why a job is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// The user has pressed Ctrl-C.
    Interrupted,
    /// `pgas run` has closed its connection.
    ClientGone,
    /// `pgas kill`.
    Killed,
    /// The daemon ends.
    DaemonEnds,
}
