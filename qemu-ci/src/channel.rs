//! What qemu-ci and the agent inside a host's dom0 say to each other.
//!
//! One virtio-serial port per host carries length-prefixed [`postcard`] messages in both
//! directions. Everything is about *processes*: qemu-ci starts one in dom0 under a number of its
//! choice, feeds it input, and gets its output and its exit status back. `on K CMD` inside dom0 is
//! the same thing asked for by the agent of one host and carried out by the agent of another, with
//! qemu-ci passing the messages on ([`FromAgent::Relay`], [`ToAgent::Relayed`]).

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The name of the virtio-serial port.
pub const PORT_NAME: &str = "xenolith.agent";

/// No message is longer; a longer length is a broken stream, not a message.
const MAX_FRAME: usize = 1 << 20;

/// Bytes of output or input carried by one message at most.
pub const CHUNK: usize = 32 << 10;

/// Numbers a process on one channel.
pub type ProcessId = u32;

/// A program to start in dom0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments; the program is looked up on PATH.
    pub argv: Vec<String>,
    /// Set on top of the agent's own environment.
    pub env: Vec<(String, String)>,
    /// Working directory; the agent's when none.
    pub cwd: Option<String>,
    /// A terminal of this size instead of pipes.
    pub terminal: Option<TerminalSize>,
}

impl Command {
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
pub enum Request {
    /// Start it.
    Start(Command),
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
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl Exit {
    /// The status a shell would report.
    pub fn status(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// What a process has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It wrote this.
    Output(Stream, Vec<u8>),
    /// It ended; nothing follows.
    Exited(Exit),
    /// It could not be started or reached, and why; nothing follows.
    Failed(String),
}

/// qemu-ci to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// For a process of this host.
    Process(ProcessId, Request),
    /// For a relay that this agent asked for.
    Relayed(ProcessId, Event),
}

/// Agent to qemu-ci.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// dom0 is up.
    Ready,
    /// From a process of this host.
    Process(ProcessId, Event),
    /// `on`: for a process on another host; the number is the asking agent's.
    Relay {
        /// Number of the process among the relays of this agent.
        id: ProcessId,
        /// Which host, counted from 1.
        host: u32,
        /// What is asked.
        request: Request,
    },
}

/// What `on` says to the agent of its own host, through a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCall {
    /// Which host, counted from 1.
    pub host: u32,
    /// What is asked of the process there.
    pub request: Request,
}

/// Writes one message.
pub fn send<T: Serialize>(mut stream: impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Reads one message; `None` at the end of the stream.
pub fn receive<T: DeserializeOwned>(mut stream: impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        let message =
            format!("a message of {length} bytes on the agent channel, {MAX_FRAME} is the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let message =
        postcard::from_bytes(&body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_wire() {
        let message = FromAgent::Relay {
            id: 7,
            host: 2,
            request: Request::Start(Command::new(["hostname", "-f"])),
        };
        let mut wire = Vec::new();
        send(&mut wire, &message).unwrap();
        send(&mut wire, &FromAgent::Ready).unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(receive::<FromAgent>(&mut reader).unwrap(), Some(message));
        assert_eq!(receive::<FromAgent>(&mut reader).unwrap(), Some(FromAgent::Ready));
        assert_eq!(receive::<FromAgent>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_torn_message_is_an_error() {
        let mut wire = Vec::new();
        send(&mut wire, &FromAgent::Process(1, Event::Output(Stream::Out, vec![1, 2, 3]))).unwrap();
        wire.pop();
        assert!(receive::<FromAgent>(wire.as_slice()).is_err());
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let error = receive::<FromAgent>([0xff; 8].as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
