//! What `pgas` and the daemon say to each other.
//!
//! The client opens with [`Hello`], the daemon answers with [`Welcome`]; then the client sends one
//! [`ClientRequest`] and the daemon answers with [`Reply`]s. While a job of `Run` is under way the
//! client may send [`ClientRequest::Interrupt`] and [`ClientRequest::Signal`]; when it closes the
//! connection the daemon ends the job.
//!
//! What ranks write is sent as the bytes that it is. The client says [`ClientRequest::Taken`] when
//! it has passed output on; the daemon never has more than [`OUTPUT_WINDOW`] under way. So a client
//! that is slow makes the ranks wait, and still hears at once how the job has ended. Of lines that
//! the job is saved at it is told one at a time, see [`ClientRequest::TakenReport`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::images::Sizes;
use crate::inheritance::Inheritance;
use crate::membership::Secret;

/// Version of these messages. Both sides must agree exactly.
pub const VERSION: u32 = 8;

/// The most output that is sent and not yet taken, by [weight](OutputPiece::weight).
pub const OUTPUT_WINDOW: u64 = 128 << 10;

/// The client's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the client.
    pub version: u32,
}

/// The daemon's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the daemon.
    pub version: u32,
    /// The daemon's process.
    pub pid: u32,
}

/// How ranks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankKind {
    /// As a PVH domain each.
    Xen,
    /// As a Linux process each.
    Hosted,
}

/// A job as the user wants it. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// How ranks run.
    pub kind: RankKind,
    /// Number of ranks.
    pub size: u32,
    /// Bytes of memory of a rank; whole MiB.
    pub memory: u64,
    /// The image or program.
    pub image: PathBuf,
    /// The application's arguments, without its name.
    pub args: Vec<String>,
    /// Files for every rank.
    pub files: Vec<PathBuf>,
    /// Environment of hosted ranks; in Xen what C programs find besides their rank.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory of hosted ranks.
    pub directory: PathBuf,
    /// What else hosted ranks have from their `pgas`.
    pub inheritance: Inheritance,
    /// Who gets the standard input of `pgas`.
    pub input: InputFor,
    /// When to give up.
    pub timeout: Option<Duration>,
    /// Where it is saved, and how often.
    pub saving: Option<Saving>,
    /// The job that met with an accident, after which this one begins.
    pub after: Option<String>,
    /// What of it runs here, if it is over several hosts.
    pub part: Option<Part>,
}

/// What one host has of a job over several. Hosts have numbers, from 0 on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The job's name, which is the same on all hosts.
    pub job: String,
    /// This host.
    pub host: u32,
    /// By rank: the host on which it runs.
    pub placement: Vec<u32>,
    /// By host: where its proxy listens, as `HOST:PORT`.
    pub addresses: Vec<String>,
    /// By which proxies of this job know each other.
    pub secret: Secret,
}

/// Where a job is saved, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saving {
    /// The directory of images.
    pub directory: PathBuf,
    /// From one line to the next; `None`: only when somebody asks.
    pub every: Option<Duration>,
    /// How many images are kept of those that were saved by time.
    pub keep: u32,
}

impl JobSpec {
    /// The ranks that run on this host, ascending.
    pub fn ranks_here(&self) -> impl Iterator<Item = u32> {
        (0..self.size).filter(|rank| self.is_here(*rank))
    }

    /// Whether a rank runs on this host.
    pub fn is_here(&self, rank: u32) -> bool {
        let elsewhere =
            |part: &Part| part.placement.get(rank as usize).is_some_and(|host| *host != part.host);
        !self.part.as_ref().is_some_and(elsewhere)
    }

    /// MiB of memory of a rank.
    pub fn memory_mib(&self) -> u64 {
        self.memory >> 20
    }

    /// The smallest job, of one process, for tests to change.
    #[cfg(test)]
    pub(crate) fn smallest() -> Self {
        Self {
            kind: RankKind::Hosted,
            size: 1,
            memory: 4 << 20,
            image: "/bin/true".into(),
            args: Vec::new(),
            files: Vec::new(),
            environment: Vec::new(),
            inheritance: Inheritance::default(),
            input: InputFor::Nobody,
            directory: "/".into(),
            timeout: None,
            saving: None,
            after: None,
            part: None,
        }
    }
}

/// Who gets the standard input of `pgas`; all others find theirs empty. Unless it is nobody, its
/// file descriptor follows the request, with an empty message of `armci_nostd::hosted::frame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputFor {
    /// Nobody.
    Nobody,
    /// Rank 0, and all of it.
    Rank0,
    /// Every rank a copy.
    All,
}

impl InputFor {
    /// Whether this rank gets it.
    pub fn is_for(self, rank: u32) -> bool {
        match self {
            Self::Nobody => false,
            Self::Rank0 => rank == 0,
            Self::All => true,
        }
    }
}

/// A signal for ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RankSignal {
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGSTOP, for the user's SIGTSTP. The time of `timeout` stands still.
    Stop,
    /// SIGCONT.
    GoOn,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, to be sent or served")]
pub enum ClientRequest {
    /// Keep a file of this length whose BLAKE3 this is, for a job that comes on this connection.
    /// The daemon has it, and answers with [`Reply::Kept`], or wants it: [`Reply::Wanted`]. Then
    /// the file follows in [pieces](Self::Piece).
    Keep {
        /// BLAKE3 of the file.
        hash: [u8; 32],
        /// Its length in bytes.
        length: u64,
    },
    /// The next bytes of a file that is wanted, not more than a MiB. The last piece is answered
    /// with [`Reply::Kept`].
    Piece(Vec<u8>),
    /// Run a job and tell about it until it has ended.
    Run(JobSpec),
    /// All ranks of the job that was started on this connection have ended, on all hosts, after
    /// [`Reply::RanksEnded`] of each: nobody needs the memory of ranks any more.
    Finish,
    /// End the job that was started on this connection.
    Interrupt,
    /// Save the job that was started on this connection, and end it when that is done.
    Leave,
    /// Pass a signal on to the hosted ranks of the job that was started on this connection.
    Signal(RankSignal),
    /// Output of this [weight](OutputPiece::weight) has been passed on.
    Taken(u64),
    /// The newest [`Reply::Saved`] of the job that was started on this connection has been passed
    /// on. Another one comes only then.
    TakenReport,
    /// Which jobs are there.
    List,
    /// End this job and answer when it is gone.
    Kill(String),
    /// Stop this job at a recovery line, and keep it there.
    Hold(String),
    /// Let this job go on.
    Release(String),
    /// Save this job at a recovery line.
    Checkpoint(CheckpointSpec),
    /// Restore a job that was saved, and tell about it until it has ended.
    Restore(RestoreSpec),
}

/// A job that is to be saved. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSpec {
    /// The job.
    pub job: String,
    /// The directory of images, if the user has named one.
    pub directory: Option<PathBuf>,
    /// The one to take for a job that has none yet.
    pub otherwise: PathBuf,
    /// Whether the job ends with it, rather than go on.
    pub stop: bool,
}

/// A job that is to be restored. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSpec {
    /// The directory of images.
    pub directory: PathBuf,
    /// The line; the newest that is good if none is named.
    pub line: Option<SavedLine>,
    /// Bytes of memory of a rank, which must be those that were saved.
    pub memory: Option<u64>,
    /// Number of ranks, which must be those that were saved.
    pub size: Option<u32>,
    /// Whether the standard input of `pgas` follows, as for [`InputFor`].
    pub has_input: bool,
    /// When to give up.
    pub timeout: Option<Duration>,
    /// Where it is saved then, and how often.
    pub saving: Option<Saving>,
    /// The job that met with an accident, after which this one begins.
    pub after: Option<String>,
}

/// A recovery line that was saved: how often the job had been restored, and the line's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLine {
    /// How often the job had been restored.
    pub incarnation: u64,
    /// The line's number since then.
    pub number: u64,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The job has a name now.
    Started(String),
    /// This many ranks have started.
    Up(u32),
    /// All ranks run, and are served from now on.
    Running,
    /// The file is here, for as long as this connection: where.
    Kept(PathBuf),
    /// The file is wanted.
    Wanted,
    /// All ranks of this host's [part](Part) of a job have ended without a failure, and wait for
    /// those of other hosts: see [`ClientRequest::Finish`].
    RanksEnded,
    /// A rank has written something.
    Output(OutputPiece),
    /// Something that the user should know of the job, in one line.
    Notice(String),
    /// The job has ended; nothing follows.
    Ended(Summary),
    /// The jobs there are.
    Jobs(Vec<JobInfo>),
    /// It was done.
    Done,
    /// The job is held.
    Held {
        /// How its ranks run: domains stand still, processes compute until they need each other.
        kind: RankKind,
    },
    /// The job is saved. The answer to [`ClientRequest::Checkpoint`]; and whoever has started the
    /// job is told of each of its lines, whoever has asked for it.
    Saved(LineReport),
    /// The job that is to be restored was found.
    Restoring(RestoredFrom),
    /// It was not done; nothing follows.
    Refused {
        /// The status for `pgas` to end with.
        status: u8,
        /// One line for the user.
        text: String,
    },
}

/// A line that was saved, and what that took. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineReport {
    /// The job.
    pub job: String,
    /// The directory of images.
    pub directory: PathBuf,
    /// The line, as `pgas restore --epoch` takes it.
    pub line: String,
    /// Whether the job has ended with it.
    pub stopped: bool,
    /// Whether the ranks stood still until they were written, since domain 0 had no memory for
    /// copies of all of them.
    pub written_through: bool,
    /// When the gates were closed, in milliseconds since 1970.
    pub at: u64,
    /// From then until no operation was under way any more.
    pub to_the_line: f64,
    /// Operations that had to be brought to their end for that.
    pub drained: u64,
    /// Until all ranks stood still.
    pub park: f64,
    /// Copying their memory.
    pub copy: f64,
    /// From the closing of the gates until the ranks were served again.
    pub stall: f64,
    /// For how long of that each rank stood still, by rank: from when the proxy saw that it did
    /// until it was told to go on. Empty if the job ended meanwhile.
    pub stalls: Vec<f64>,
    /// Writing the image and making it durable, while ranks went on.
    pub write: f64,
    /// Making it the newest image.
    pub commit: f64,
    /// Bytes of memory, and what became of them.
    pub sizes: Sizes,
}

/// What to tell the user of a line that was [written through](LineReport::written_through).
pub const WRITTEN_THROUGH: &str = "domain 0 has too little memory for copies of all ranks: they \
     stand still until they are written, which takes longer";

/// Where a restored job comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredFrom {
    /// The directory of images.
    pub directory: PathBuf,
    /// The line.
    pub line: String,
    /// Why it is not the newest one, if it is not.
    pub skipped: Option<String>,
    /// How many ranks it has.
    pub size: u32,
    /// By rank, how much it had written, in all runs of the job, before what is sent of its output
    /// now.
    pub begins: Vec<u64>,
}

/// Which of its outputs a rank has written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output, or a domain's console.
    Output,
    /// Standard error.
    Error,
}

/// Some of what a rank has written, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPiece {
    /// The rank.
    pub rank: u32,
    /// Where it was written.
    pub stream: OutputStream,
    /// When it was read, in milliseconds since 1970.
    pub at: u64,
    /// The bytes; lines begin and end anywhere in them.
    pub bytes: Vec<u8>,
}

impl OutputPiece {
    /// What a piece takes of [`OUTPUT_WINDOW`]: its bytes, and what the kernel keeps about each
    /// message in a socket.
    pub fn weight(&self) -> u64 {
        self.bytes.len() as u64 + 1024
    }
}

/// A job that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Its name.
    pub job: String,
    /// How its ranks run.
    pub kind: RankKind,
    /// How many it has.
    pub size: u32,
    /// How many of them have started.
    pub up: u32,
    /// The image or program.
    pub image: PathBuf,
    /// Since its start.
    pub seconds: f64,
    /// Whether it is held.
    pub held: bool,
}

/// How a job has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub job: String,
    /// The status for `pgas` to end with.
    pub status: u8,
    /// Why it failed, in one line that names the rank; `None` when it did not.
    pub cause: Option<String>,
    /// Whether it met with an accident, such as a crash: nobody has ended it, and no rank has ended
    /// with a status of its own. So from an earlier line it may succeed.
    pub is_accident: bool,
    /// The host whose proxy this one has lost, if that is all the cause it knows.
    pub lost_host: Option<u32>,
    /// From its start to its end.
    pub seconds: f64,
    /// From its start to whatever has ended it; the rest is cleaning up.
    pub ending_seconds: f64,
    /// Its ranks, in order.
    pub ranks: Vec<RankSummary>,
}

/// What one rank did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankSummary {
    /// Bytes of its memory.
    pub memory: u64,
    /// From the job's start to the start of its creation.
    pub begun_seconds: Option<f64>,
    /// From the start of its creation to its kernel's first word (of a hosted rank: to its attach).
    pub boot_seconds: Option<f64>,
    /// Its exit status, when it ended by itself.
    pub status: Option<i32>,
    /// What it wrote, and what became of that.
    pub output: OutputSummary,
    /// What it did to the memory of ranks.
    pub traffic: TrafficSummary,
}

/// Bytes of one rank's output. All but the first are 0 unless something was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSummary {
    /// What the daemon has read.
    pub bytes: u64,
    /// Written by the rank, and lost before the daemon could read it.
    pub lost: u64,
    /// Read, and not taken by the client, which had stopped taking output when the job was to end,
    /// or was gone.
    pub unsent: u64,
    /// Read, and not kept in the log, which was full or could not be written.
    pub unlogged: u64,
}

/// Operations and bytes by kind: what one rank did directly, and what was served for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficSummary {
    /// Puts.
    pub put: OperationSummary,
    /// Gets.
    pub get: OperationSummary,
    /// Accumulates.
    pub accumulate: OperationSummary,
    /// Read-modify-writes.
    pub rmw: OperationSummary,
    /// All else, such as fences.
    pub other: OperationSummary,
}

/// How often and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSummary {
    /// Operations.
    pub operations: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

impl TrafficSummary {
    /// All kinds together.
    pub fn total(&self) -> OperationSummary {
        let kinds = [self.put, self.get, self.accumulate, self.rmw, self.other];
        OperationSummary {
            operations: kinds.iter().map(|kind| kind.operations).fold(0, u64::saturating_add),
            bytes: kinds.iter().map(|kind| kind.bytes).fold(0, u64::saturating_add),
        }
    }
}
