//! A client of xenstore.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use xen_hypercall::io::xenstore::{MessageType, PAYLOAD_MAX};

use super::wire::{StoreMessage, strings};
use crate::error::{Context, Error, Result};

/// Sockets of a xenstored that runs in this domain.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];
/// The kernel's own connection.
const DEVICE: &str = "/dev/xen/xenbus";

/// Something has happened to a watched node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The node that changed, or a special one such as `@releaseDomain`.
    pub path: String,
    /// What was given when the watch was set.
    pub token: String,
}

/// A connection to xenstore.
#[derive(Debug)]
pub struct Store {
    stream: File,
    last_request: u32,
    events: VecDeque<WatchEvent>,
}

impl Store {
    /// Connects, through xenstored's socket or else through the kernel.
    pub fn open() -> Result<Self> {
        for socket in SOCKETS {
            if let Ok(stream) = UnixStream::connect(socket) {
                return Ok(Self::over(stream));
            }
        }
        let device = File::options()
            .read(true)
            .write(true)
            .open(DEVICE)
            .context(|| format!("connect to xenstore: {DEVICE}"))?;
        Ok(Self::over(device))
    }

    /// A connection that exists already.
    pub fn over(stream: impl Into<OwnedFd>) -> Self {
        Self { stream: File::from(stream.into()), last_request: 0, events: VecDeque::new() }
    }

    /// A node's value; `None` when there is no such node.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.ask(MessageType::READ, path, &[path.as_bytes(), b"\0"]) {
            Ok(value) => Ok(Some(value)),
            Err(Error::Store { code, .. }) if code == "ENOENT" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets a node's value.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<()> {
        self.ask(MessageType::WRITE, path, &[path.as_bytes(), b"\0", value]).map(drop)
    }

    /// Removes a node and all below it, if it is there.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        match self.ask(MessageType::RM, path, &[path.as_bytes(), b"\0"]) {
            Err(Error::Store { code, .. }) if code == "ENOENT" => Ok(()),
            result => result.map(drop),
        }
    }

    /// Names of the nodes right below one; none when it does not exist.
    pub fn list(&mut self, path: &str) -> Result<Vec<String>> {
        match self.ask(MessageType::DIRECTORY, path, &[path.as_bytes(), b"\0"]) {
            Ok(names) => Ok(strings(&names).collect()),
            Err(Error::Store { code, .. }) if code == "ENOENT" => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// From now on there are events for `path` and all below it, the first at once.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<()> {
        let parts = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.ask(MessageType::WATCH, path, &parts).map(drop)
    }

    /// No more events of that watch.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<()> {
        let parts = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.ask(MessageType::UNWATCH, path, &parts).map(drop)
    }

    /// The next event that is there already.
    pub fn ready_event(&mut self) -> Result<Option<WatchEvent>> {
        while self.events.is_empty() && self.readable()? {
            self.take_event()?;
        }
        Ok(self.events.pop_front())
    }

    /// Something to wait on, before calling [`ready_event`](Self::ready_event) again.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn readable(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).context(|| "wait for xenstore").map(|ready| ready != 0)
    }

    fn take_event(&mut self) -> Result<()> {
        let message = StoreMessage::read(&self.stream).context(|| "read from xenstore")?;
        match message.kind {
            MessageType::WATCH_EVENT => self.keep(&message),
            kind => Err(unexpected(format_args!("an answer of type {} to no question", kind.0))),
        }
    }

    fn keep(&mut self, message: &StoreMessage) -> Result<()> {
        let mut words = strings(&message.payload);
        match (words.next(), words.next()) {
            (Some(path), Some(token)) => {
                self.events.push_back(WatchEvent { path, token });
                Ok(())
            }
            _ => Err(unexpected("a watch event without path and token")),
        }
    }

    fn ask(&mut self, operation: MessageType, path: &str, parts: &[&[u8]]) -> Result<Vec<u8>> {
        let payload = parts.concat();
        if payload.len() > PAYLOAD_MAX {
            return Err(Error::Store {
                operation: name(operation),
                path: path.into(),
                code: "E2BIG".into(),
            });
        }
        self.last_request = self.last_request.wrapping_add(1);
        let question = StoreMessage { kind: operation, request: self.last_request, payload };
        self.stream.write_all(&question.encode()).context(|| "write to xenstore")?;
        loop {
            let answer = StoreMessage::read(&self.stream).context(|| "read from xenstore")?;
            match answer.kind {
                MessageType::WATCH_EVENT => self.keep(&answer)?,
                _ if answer.request != question.request => {
                    return Err(unexpected("an answer to another question"));
                }
                MessageType::ERROR => {
                    let code = strings(&answer.payload).next().unwrap_or_default();
                    return Err(Error::Store {
                        operation: name(operation),
                        path: path.into(),
                        code,
                    });
                }
                kind if kind == question.kind => return Ok(answer.payload),
                kind => return Err(unexpected(format_args!("an answer of type {}", kind.0))),
            }
        }
    }
}

fn name(operation: MessageType) -> &'static str {
    match operation {
        MessageType::DIRECTORY => "list",
        MessageType::READ => "read",
        MessageType::WATCH => "watch",
        MessageType::UNWATCH => "unwatch",
        MessageType::WRITE => "write",
        MessageType::RM => "remove",
        _ => "ask",
    }
}

fn unexpected(why: impl std::fmt::Display) -> Error {
    Error::Io {
        action: "talk with xenstore".into(),
        source: io::Error::new(io::ErrorKind::InvalidData, why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A store that gives these answers, an event before each, and checks the questions.
    fn store(script: Vec<(&'static [u8], Option<MessageType>, &'static [u8])>) -> Store {
        let (client, server) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            for (question, kind, payload) in script {
                let asked = StoreMessage::read(&server).unwrap();
                assert_eq!(asked.payload, question);
                let event = StoreMessage {
                    kind: MessageType::WATCH_EVENT,
                    request: 0,
                    payload: b"/p\0t\0".to_vec(),
                };
                (&server).write_all(&event.encode()).unwrap();
                let kind = kind.unwrap_or(asked.kind);
                let answer =
                    StoreMessage { kind, request: asked.request, payload: payload.to_vec() };
                (&server).write_all(&answer.encode()).unwrap();
            }
        });
        Store::over(client)
    }

    #[test]
    fn questions_are_answered_and_events_between_are_kept() {
        let mut store = store(vec![
            (b"/a\0", None, b"value"),
            (b"/b\0", Some(MessageType::ERROR), b"ENOENT\0"),
            (b"/c\0", Some(MessageType::ERROR), b"EACCES\0"),
            (b"/d\0", None, b"x\0y\0"),
            (b"/e\0tok\0", None, b"OK\0"),
            (b"/f\0v", None, b"OK\0"),
            (b"/g\0", Some(MessageType::ERROR), b"ENOENT\0"),
        ]);
        assert_eq!(store.read("/a").unwrap().as_deref(), Some(b"value".as_slice()));
        assert_eq!(store.read("/b").unwrap(), None);
        assert_eq!(store.read("/c").unwrap_err().to_string(), "xenstore: read /c: EACCES");
        assert_eq!(store.list("/d").unwrap(), ["x", "y"]);
        store.watch("/e", "tok").unwrap();
        store.write("/f", b"v").unwrap();
        store.remove("/g").unwrap();
        let event = WatchEvent { path: "/p".into(), token: "t".into() };
        for _ in 0..7 {
            assert_eq!(store.ready_event().unwrap().as_ref(), Some(&event));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut store = store(vec![(b"/a\0", Some(MessageType(99)), b"")]);
        assert!(store.read("/a").is_err());
        assert!(store.read(&"x".repeat(PAYLOAD_MAX)).unwrap_err().to_string().contains("E2BIG"));
    }
}
