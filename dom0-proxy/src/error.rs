//! What can go wrong, each as one line that says what failed, on what, and what to do.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Exit statuses of `pgas` that are not a rank's own.
///
/// A job ends with the status of the first rank that did not end with 0. These stand for everything
/// that is not such a status; they follow the customs of shells, `env` and `timeout`.
pub mod status {
    /// The job was saved, and ended with that: it can be restored.
    pub const SAVED: u8 = 120;
    /// The daemon died, or closed the connection, while the job ran.
    pub const DAEMON_LOST: u8 = 121;
    /// A rank broke the protocol: a bad ring entry, a bad attach.
    pub const PROTOCOL: u8 = 122;
    /// The host could not do its part: no Xen, no memory for the ranks, a domain that could not be
    /// created.
    pub const HOST: u8 = 123;
    /// The job ran longer than `--timeout`.
    pub const TIMEOUT: u8 = 124;
    /// `pgas` was called wrongly, or could not reach or start its daemon.
    pub const USAGE: u8 = 125;
    /// The image exists but cannot be run: corrupt, or not for Xen.
    pub const NOT_RUNNABLE: u8 = 126;
    /// There is no such image.
    pub const NOT_FOUND: u8 = 127;
    /// Of the daemon itself: another one has its run directory.
    pub const ALREADY_RUNNING: u8 = 75;
    /// The user interrupted the job.
    pub const INTERRUPTED: u8 = 130;
    /// A rank crashed (as a process that aborts).
    pub const CRASHED: u8 = 134;
    /// The job was killed by `pgas kill`, by the daemon's end, or because `pgas run` was gone.
    pub const KILLED: u8 = 137;
}

/// An error of this crate. `Display` is the whole line for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// Why it did not work.
        source: io::Error,
    },
    /// A domain was asked for by a user who may not create one.
    #[error("Xen ranks need root: run pgas as root, or use --hosted for ranks as Linux processes")]
    NotRoot,
    /// There is no Xen below this Linux, or this is not domain 0.
    #[error(
        "this is not domain 0 of a Xen host ({missing}): \
         boot Xen, use `qemu-ci shell`, or use --hosted"
    )]
    NoXen {
        /// What was looked for in vain.
        missing: String,
    },
    /// The ranks do not fit.
    #[error(
        "{ranks} ranks of {each_mib} MiB need {needed_mib} MiB of free memory \
         and Xen has {free_mib} MiB: use fewer ranks, a smaller --mem, or less memory in domain 0"
    )]
    NotEnoughMemory {
        /// Ranks asked for.
        ranks: u32,
        /// Memory of one.
        each_mib: u64,
        /// What they take together, with Xen's own needs.
        needed_mib: u64,
        /// What there is.
        free_mib: u64,
    },
    /// Domain 0 could not have the ranks' memory mapped.
    #[error(
        "{ranks} ranks of {each_mib} MiB, besides {others_mib} MiB of other ranks, are more than \
         domain 0 can have mapped: use fewer ranks or a smaller --mem, or boot Xen with \
         gnttab_max_maptrack_frames={frames} or more (it has {most_frames}){}",
        grant_frames.map_or(String::new(), |frames| format!(" and gnttab_max_frames={frames}"))
    )]
    NotEnoughMaptrack {
        /// Ranks asked for.
        ranks: u32,
        /// Memory of one.
        each_mib: u64,
        /// Memory of ranks that there are.
        others_mib: u64,
        /// Frames of Xen's for keeping note of all of it.
        frames: u64,
        /// What there are.
        most_frames: u64,
        /// Grant frames that a rank takes, if those are more than Xen gives.
        grant_frames: Option<u64>,
    },
    /// The daemon may not have as many files open as the job takes.
    #[error(
        "the job takes {needed} open files of the daemon, and it has {free} of {most} left: \
         use fewer ranks, or start the daemon with a higher limit (ulimit -n)"
    )]
    NotEnoughOpenFiles {
        /// What the job takes.
        needed: u64,
        /// What is left.
        free: u64,
        /// What the daemon may have.
        most: u64,
    },
    /// A job of no ranks, or of too many.
    #[error("a job has 1 to {max} ranks, not {asked}")]
    BadSize {
        /// What was asked for.
        asked: u32,
        /// The most there can be.
        max: u32,
    },
    /// A memory size that cannot be used.
    #[error("--mem {0}: the memory of a rank is 4M or more, in whole MiB, such as 16M or 1G")]
    BadMemory(String),
    /// No file of that name.
    #[error(
        "image {0} not found: give a path, or a name in a directory of $XENOLITH_IMAGES; \
         `image-builder build` makes images"
    )]
    ImageNotFound(String),
    /// A file that is no sound image.
    #[error("image {}: {why}", path.display())]
    ImageUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file for the ranks that cannot be used.
    #[error("--file {}: {why}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Files for the ranks that no rank has room for.
    #[error(
        "--file {}: with it the files take more than the {memory_mib} MiB of memory that a rank \
         has: use smaller files or a larger --mem",
        path.display()
    )]
    FilesTooLarge {
        /// The file that is too much.
        path: PathBuf,
        /// Memory of a rank.
        memory_mib: u64,
    },
    /// A tool of Xen failed.
    #[error("`{command}` failed: {why}")]
    Tool {
        /// The command line.
        command: String,
        /// Its own last word.
        why: String,
    },
    /// A domain that needs more grants than usual could not be created.
    #[error(
        "{source}: {memory_mib} MiB take {frames} grant frames, \
         so boot Xen with gnttab_max_frames={frames} or more"
    )]
    GrantFrames {
        /// What the tool said.
        source: Box<Error>,
        /// The rank's memory.
        memory_mib: u64,
        /// Frames for that.
        frames: u64,
    },
    /// xenstore answered with an error.
    #[error("xenstore: {operation} {path}: {code}")]
    Store {
        /// What was asked.
        operation: &'static str,
        /// Of which node.
        path: String,
        /// Xen's name of the error.
        code: String,
    },
    /// Bytes that are not what the protocol says.
    #[error("{peer} does not speak the protocol: {why}")]
    Protocol {
        /// Who sent them.
        peer: String,
        /// What is wrong.
        why: String,
    },
    /// Another daemon has the run directory or the host's domains.
    #[error("another dom0-proxy ({holder}) has {what}: stop that one first")]
    AlreadyRunning {
        /// What it holds.
        what: String,
        /// What that one says of itself.
        holder: String,
    },
    /// A folder that is not safely the user's own.
    #[error(
        "{}: {why}: set XENOLITH_RUN_DIR to a folder of yours, for you alone (chmod 700)",
        path.display()
    )]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A secret that cannot be used.
    #[error("secret {}: {why}", path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// There is no secret by which members could be known.
    #[error(
        "--listen needs the secret that members know: name its file with --secret FILE or in \
         $XENOLITH_SECRET"
    )]
    NoSecret,
    /// Another host's proxy cannot be reached, or either side does not take the other for a member.
    #[error("{0}")]
    NoMember(String),
    /// A file descriptor cannot travel.
    #[error(
        "standard input does not reach a dom0-proxy over the network: \
         use --stdin none, and --file for what ranks are to read"
    )]
    InputOverNetwork,
    /// A file is not kept.
    #[error("keep a file of the job: {0}")]
    NotKept(String),
    /// No daemon listens.
    #[error("no dom0-proxy runs in {}: there are no jobs; `pgas run` starts it", run_dir.display())]
    NoDaemon {
        /// Where it was looked for.
        run_dir: PathBuf,
    },
    /// The daemon's socket may not be used.
    #[error(
        "{}: permission denied: the daemon belongs to another user; \
         run pgas as that user, or set XENOLITH_RUN_DIR",
        socket.display()
    )]
    SocketPermission {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon did not come up.
    #[error("the daemon did not start: {why} (see {})", log.display())]
    DaemonNotStarted {
        /// Why.
        why: String,
        /// Its log.
        log: PathBuf,
    },
    /// The daemon takes no jobs any more.
    #[error("the daemon has been told to end: try again")]
    DaemonEnds,
    /// The daemon has a fault.
    #[error("the job's supervisor panicked: its ranks were ended; see the daemon's log")]
    SupervisorPanicked,
    /// A part of a job whose name another job has or had.
    #[error("job {0} runs here already, or has run and left its logs: try again")]
    NameTaken(String),
    /// No job of that name.
    #[error("no job {0}: `pgas ps` lists the jobs that run")]
    NoJob(String),
    /// A job that cannot be held, or released.
    #[error("job {job} cannot be {what}: {why}")]
    NoLine {
        /// The job.
        job: String,
        /// What cannot be done.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// An image that cannot be restored, or not so.
    #[error("line {line} in {} cannot be restored: {why}", directory.display())]
    BadImage {
        /// The directory of images.
        directory: PathBuf,
        /// The line.
        line: String,
        /// Why not.
        why: String,
    },
    /// No log of that job, or not of that rank.
    #[error("no log {}: logs are kept for the last {kept} jobs", path.display())]
    NoLog {
        /// What was looked for.
        path: PathBuf,
        /// How many jobs have logs.
        kept: usize,
    },
    /// The daemon refused, with its own line.
    #[error("{text}")]
    Refused {
        /// The status to end with.
        status: u8,
        /// The daemon's words.
        text: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit status with which `pgas` ends for this error.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::DaemonEnds => status::DAEMON_LOST,
            Self::ImageNotFound(_) => status::NOT_FOUND,
            Self::ImageUnusable { .. } | Self::BadImage { .. } => status::NOT_RUNNABLE,
            Self::NoXen { .. }
            | Self::NotEnoughMemory { .. }
            | Self::NotEnoughMaptrack { .. }
            | Self::NotEnoughOpenFiles { .. }
            | Self::Tool { .. }
            | Self::Store { .. }
            | Self::NameTaken(_)
            | Self::SupervisorPanicked => status::HOST,
            Self::Io { source, .. } if is_want(source) => status::HOST,
            Self::Protocol { .. } => status::PROTOCOL,
            Self::Refused { status, .. } => *status,
            _ => status::USAGE,
        }
    }
}

/// Whether the system has refused because there is too little of something.
pub fn is_want(error: &io::Error) -> bool {
    let wants = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::FBIG,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
    ];
    error.raw_os_error().is_some_and(|code| wants.iter().any(|want| want.raw_os_error() == code))
}

/// Says what was being done when the system refused.
pub trait Context<T> {
    /// Turns the system's error into an [`Error::Io`] that begins with `action`.
    fn context<D: Display>(self, action: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context<D: Display>(self, action: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|source| Error::Io { action: action().to_string(), source: source.into() })
    }
}
