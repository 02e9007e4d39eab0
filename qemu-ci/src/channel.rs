//! What qemu-ci and the agent inside a host's dom0 say to each other.
//!
//! One virtio-serial port per host carries these messages in both directions, in the frames of
//! [`message_frame`]. Everything is about *processes*: qemu-ci starts one in dom0 under a number of
//! its choice, feeds it input, and gets its output and its exit status back. `on K CMD` inside dom0
//! is the same thing asked for by the agent of one host and carried out by the agent of another,
//! with qemu-ci passing the messages on ([`FromAgent::Relay`], [`ToAgent::Relayed`]).

use serde::{Deserialize, Serialize};

/// The name of the virtio-serial port.
pub const PORT_NAME: &str = "xenolith.agent";

/// Bytes of output or input carried by one message at most.
pub const CHUNK: usize = 32 << 10;

/// Numbers a process on one channel.
pub type ProcessId = u32;

/// A program to start in dom0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dom0Command {
    /// Program and arguments; the program is looked up on PATH.
    pub argv: Vec<String>,
    /// Set on top of the agent's own environment.
    pub env: Vec<(String, String)>,
    /// Working directory; the agent's when none.
    pub cwd: Option<String>,
    /// A terminal of this size instead of pipes.
    pub terminal: Option<TerminalSize>,
}

impl Dom0Command {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            terminal: None,
        }
    }
}

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines of the terminal.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What is asked of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProcess {
    /// Start it.
    Start(Dom0Command),
    /// Bytes for its standard input; none at all closes it.
    Input(Vec<u8>),
    /// Its terminal has a new size.
    Resize(TerminalSize),
    /// Send this signal to it and to all in its process group.
    Signal(i32),
}

/// Which of a process's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    Out,
    /// Standard error.
    Err,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessEnd {
    /// It returned this status.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl ProcessEnd {
    /// The status a shell would report.
    pub fn status(self) -> i32 {
        match self {
            ProcessEnd::Code(code) => code,
            ProcessEnd::Signal(signal) => 128 + signal,
        }
    }
}

/// What a process has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProcess {
    /// It wrote this.
    Output(Stream, Vec<u8>),
    /// It ended; nothing follows.
    Exited(ProcessEnd),
    /// It could not be started or reached, and why; nothing follows.
    Failed(String),
}

/// qemu-ci to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// For a process of this host.
    Process(ProcessId, ToProcess),
    /// For a relay that this agent asked for.
    Relayed(ProcessId, FromProcess),
}

/// Agent to qemu-ci.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// dom0 is up.
    Ready,
    /// From a process of this host.
    Process(ProcessId, FromProcess),
    /// `on`: for a process on another host; the number is the asking agent's.
    Relay {
        /// Number of the process among the relays of this agent.
        id: ProcessId,
        /// Which host, counted from 1.
        host: u32,
        /// What is asked.
        request: ToProcess,
    },
}

/// What `on` says to the agent of its own host, through a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCall {
    /// Which host, counted from 1.
    pub host: u32,
    /// What is asked of the process there.
    pub request: ToProcess,
}
