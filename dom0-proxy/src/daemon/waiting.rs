//! Connections of which nothing is known yet. They are many, or slow, only by mistake or malice;
//! neither is to keep others out.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

/// How long anybody may take for the first words, however many are there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long, when others wait to be let in. Who has said something that nobody has read yet may
/// stay.
const PATIENCE_WHEN_FULL: Duration = Duration::from_secs(1);

/// A connection, of whichever kind.
pub trait Socket: AsFd + Debug + Send + Sync {}

impl<S: AsFd + Debug + Send + Sync> Socket for S {}

/// Those connections, up to a number.
#[derive(Debug)]
pub struct Waiting {
    most: usize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// By the order in which they came.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    since: Instant,
    stream: Arc<dyn Socket>,
}

/// A connection's place, until it has said what it wants.
#[derive(Debug)]
pub struct Place {
    number: u64,
    of: Arc<Waiting>,
}

impl Waiting {
    /// Nobody, and room for that many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, list: Mutex::default() })
    }

    /// Takes up one more.
    pub fn enter(self: &Arc<Self>, stream: Arc<dyn Socket>) -> Place {
        let mut list = self.list();
        let number = list.next;
        list.next += 1;
        list.connections.insert(number, Connection { since: Instant::now(), stream });
        Place { number, of: self.clone() }
    }

    /// Hangs up on those that have taken too long. Whether there is room for another.
    pub fn has_room(&self) -> bool {
        let list = self.list();
        let is_full = list.connections.len() >= self.most;
        for Connection { since, stream } in list.connections.values() {
            let age = since.elapsed();
            if age > PATIENCE || (is_full && age > PATIENCE_WHEN_FULL && !has_spoken(&**stream)) {
                // Its thread sees the end, and gives its place up.
                let _ = shutdown(stream, Shutdown::Both);
            }
        }
        !is_full
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.list().connections.is_empty()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // No operation under the lock can leave the list half changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.list().connections.remove(&self.number);
    }
}

/// Whether something has come that is still to be read.
fn has_spoken(stream: &dyn Socket) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn slow_ones_go_when_others_want_to_come() {
        let waiting = Waiting::new(2);
        assert!(waiting.has_room() && waiting.is_empty());
        let enter = || {
            let (near, far) = UnixStream::pair().unwrap();
            (waiting.enter(Arc::new(near)), far)
        };
        let (_slow, mut slow_end) = enter();
        assert!(waiting.has_room());
        let (spoken, mut spoken_end) = enter();
        spoken_end.write_all(b"hello").unwrap();
        assert!(!waiting.has_room());
        for end in [&slow_end, &spoken_end] {
            end.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        assert!(slow_end.read(&mut [0]).is_err(), "it is early");
        thread::sleep(PATIENCE_WHEN_FULL);
        assert!(!waiting.has_room());
        assert_eq!(slow_end.read(&mut [0]).unwrap(), 0, "its connection is open");
        assert!(spoken_end.read(&mut [0]).is_err(), "its connection is closed");
        drop(spoken);
        assert!(waiting.has_room() && !waiting.is_empty());
    }
}
