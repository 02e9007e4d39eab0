//! Consoles of made-up domains, read to recovery lines.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::log::Log;
use super::reader::{ConsoleOrder, ConsoleReader, ConsoleReport};
use super::source::{RingPage, Source};
use crate::control::Reply;
use crate::images::Console;
use crate::job::client::JobClient;
use crate::xen::Unread;

/// The ring of a domain's console.
#[derive(Clone, Debug)]
struct MadeUpRing(Arc<Mutex<Unread>>);

impl RingPage for MadeUpRing {
    fn written(&self) -> u32 {
        let ring = self.0.lock().unwrap();
        ring.from.wrapping_add(ring.bytes.len() as u32)
    }

    fn unread(&self) -> Unread {
        self.0.lock().unwrap().clone()
    }

    fn hold(&self, _: bool) {}
}

/// The consoles of one rank, and what is on both ends of them.
struct MadeUp {
    ring: MadeUpRing,
    /// What xenconsoled writes to.
    terminal: Option<std::fs::File>,
    orders: Sender<ConsoleOrder>,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<ConsoleReport>,
    client: Arc<JobClient>,
    /// Reads what is shown.
    reader: JoinHandle<Vec<u8>>,
}

impl MadeUp {
    fn new(written: Console) -> Self {
        let (ours, shown) = UnixStream::pair().unwrap();
        let client = Arc::new(JobClient::new(ours).unwrap());
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let (orders, incoming) = channel();
        let ranks = [(Log::nowhere(), written)].into_iter();
        let console_reader = ConsoleReader::new(incoming, wake.clone(), ranks, client.clone());
        let (reads, writes) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let ring = MadeUpRing(Arc::default());
        let source = Source::console(0, reads, Some(Box::new(ring.clone())));
        let thread = thread::spawn(|| console_reader.run());
        let taking = client.clone();
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            while let Ok(Some(Reply::Output(piece))) = message_frame::receive(&shown) {
                taking.has_taken(piece.weight());
                bytes.extend(piece.bytes);
            }
            bytes
        });
        let terminal = Some(writes.into());
        let made_up = Self { ring, terminal, orders, wake, thread, client, reader };
        made_up.tell(ConsoleOrder::Add(source));
        made_up
    }

    fn tell(&self, order: ConsoleOrder) {
        self.orders.send(order).unwrap();
        rustix::io::write(&self.wake, &1u64.to_ne_bytes()).unwrap();
    }

    /// The rank writes.
    fn write(&self, bytes: &[u8]) {
        self.ring.0.lock().unwrap().bytes.extend(bytes);
    }

    /// Xenconsoled takes some bytes from the ring and passes them on, if it can.
    fn pass_on(&mut self, count: usize) {
        let mut ring = self.ring.0.lock().unwrap();
        let count = count.min(ring.bytes.len());
        let bytes: Vec<u8> = ring.bytes.drain(..count).collect();
        ring.from = ring.from.wrapping_add(count as u32);
        drop(ring);
        self.terminal.as_ref().unwrap().write_all(&bytes).unwrap();
    }

    /// The rank stands still, and goes on.
    fn line(&self) -> Receiver<Vec<Console>> {
        let ((noted, is_noted), (read, at_line)) = (channel(), channel());
        self.tell(ConsoleOrder::Line { noted, read });
        is_noted.recv().unwrap();
        at_line
    }

    /// The domain is gone, and the job has ended: what was shown.
    fn end(mut self) -> Vec<u8> {
        drop(self.terminal.take());
        self.tell(ConsoleOrder::Finish);
        self.thread.join().unwrap();
        self.client.cut_off();
        self.reader.join().unwrap()
    }
}

/// What happens to a rank's output.
#[derive(Clone, Debug)]
enum Happens {
    Written(Vec<u8>),
    PassedOn(usize),
    Line,
}

fn happens() -> impl Strategy<Value = Happens> {
    let byte = prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()];
    prop_oneof![
        3 => proptest::collection::vec(byte, 0..30).prop_map(Happens::Written),
        3 => (0..40usize).prop_map(Happens::PassedOn),
        1 => Just(Happens::Line),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Whatever is in the ring and on its way when a rank stands still, what an image has of its
    /// output is what it had written by then, and all of it is shown once.
    #[test]
    fn a_line_has_what_was_written_before_it(
        before in (0..3usize).prop_map(|some| ["", "half a l", "half a l"][some]),
        story in proptest::collection::vec(happens(), 0..30),
    ) {
        let saved = Console { written: 1_000, partial: before.into(), unread: Vec::new() };
        let mut rank = MadeUp::new(saved.clone());
        let mut text = before.as_bytes().to_vec();
        let mut pending: Option<(Receiver<Vec<Console>>, Console)> = None;
        for happens in story.into_iter().chain([Happens::Line, Happens::Line]) {
            match happens {
                Happens::Written(bytes) => {
                    rank.write(&bytes);
                    text.extend(bytes);
                }
                Happens::PassedOn(count) => rank.pass_on(count),
                Happens::Line => {
                    if let Some((at_line, expected)) = pending.take() {
                        rank.pass_on(usize::MAX);
                        prop_assert_eq!(at_line.recv().unwrap(), [expected]);
                    }
                    let line = text.rsplit(|&byte| byte == b'\n').next().unwrap();
                    let expected = Console {
                        written: saved.begins() + text.len() as u64,
                        partial: line.to_vec(),
                        unread: Vec::new(),
                    };
                    pending = Some((rank.line(), expected));
                }
            }
        }
        let (at_line, expected) = pending.unwrap();
        rank.pass_on(usize::MAX);
        prop_assert_eq!(at_line.recv().unwrap(), [expected]);
        prop_assert_eq!(rank.end(), text);
    }
}

#[test]
fn what_nobody_can_read_goes_into_the_image() {
    let mut rank = MadeUp::new(Console::default());
    rank.write(b"one\ntwo is not");
    rank.pass_on(6);
    rank.pass_on(2);
    let at_line = rank.line();
    rank.write(b" written later");
    rank.pass_on(3);
    // The domain is gone with its ring.
    assert_eq!(rank.end(), b"one\ntwo is ");
    let [console] = at_line.recv().unwrap().try_into().unwrap();
    let expected = Console { written: 11, partial: b"two is ".into(), unread: b"not".into() };
    assert_eq!(console, expected);
    // A restored job shows it, as one line.
    let mut rank = MadeUp::new(console);
    rank.write(b" written again\n");
    rank.pass_on(usize::MAX);
    assert_eq!(rank.end(), b"two is not written again\n");
}

#[test]
fn what_was_not_shown_before_the_end_is_shown_at_the_end() {
    let saved = Console { written: 7, partial: b"half".into(), unread: b" a line\n".into() };
    assert_eq!(MadeUp::new(saved.clone()).end(), b"half a line\n");
    let rank = MadeUp::new(saved.clone());
    assert_eq!(rank.line().recv().unwrap(), [saved]);
}
