//! Lines of a job whose ranks are made up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use armci_nostd::wire::attach::WindowLayout;

use super::LineError;
use super::host::{Host, RankCopy};
use super::lines::Lines;
use super::protocol::Epoch;
use super::saving::ImageWriter;
use crate::engine::{Copied, OrderError, Traffic};

/// What was done, in this order.
type Log = Arc<Mutex<Vec<String>>>;

/// Two ranks, and what cannot be done with them.
#[derive(Clone, Debug, Default)]
struct MadeUp {
    log: Log,
    fails: Arc<Mutex<Option<&'static str>>>,
    /// Bytes of memory that somebody else has taken.
    taken: Arc<AtomicU64>,
}

/// Bytes of memory that a host has, for two ranks of one and two pages.
const MEMORY: u64 = 5 * 4096;

impl MadeUp {
    fn failing(what: &'static str) -> Self {
        Self { fails: Arc::new(Mutex::new(Some(what))), ..Self::default() }
    }

    fn do_it<T>(&self, what: &str, value: T) -> Result<T, OrderError> {
        self.log.lock().unwrap().push(what.into());
        match self.fails.lock().unwrap().is_some_and(|fails| what.starts_with(fails)) {
            true => Err(OrderError::Moves(1)),
            false => Ok(value),
        }
    }

    fn done(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn layout(rank: u64) -> WindowLayout {
    let len = 4096 * (rank + 1);
    WindowLayout { window: 0, len, runtime: 0, public_start: 0, public_end: len }
}

impl Host for MadeUp {
    fn is_quiet(&self, _: Duration) -> bool {
        true
    }

    fn close(&self) -> Result<u64, OrderError> {
        self.do_it("close", 5)
    }

    fn open(&self) -> Result<(), OrderError> {
        self.do_it("open", ())
    }

    fn park(&self) -> Result<(), OrderError> {
        self.do_it("park", ())
    }

    fn stood_still(&self) -> Result<Vec<Duration>, OrderError> {
        Ok(vec![Duration::from_millis(1), Duration::ZERO])
    }

    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError> {
        Ok(vec![layout(0), layout(1)])
    }

    fn traffic(&self) -> Result<Vec<Traffic>, OrderError> {
        Ok(vec![Traffic::default(); 2])
    }

    fn copy(&self, rank: u32, mut bytes: Vec<u8>) -> Result<Copied, OrderError> {
        bytes.fill(rank as u8 + 1);
        assert_eq!(bytes.len() as u64, layout(rank.into()).len);
        self.do_it(&format!("copy {rank}"), Copied { bytes, changed: vec![0, 1], free: Vec::new() })
    }

    fn available_memory(&self) -> u64 {
        MEMORY - self.taken.load(Ordering::Relaxed)
    }
}

/// Writes nothing anywhere.
struct Written {
    log: Log,
    fails: Option<&'static str>,
    /// Says that it writes, and waits for leave to go on.
    waits: Option<(Sender<()>, Receiver<()>)>,
}

impl Written {
    fn to(log: &Log) -> Self {
        Self { log: log.clone(), fails: None, waits: None }
    }

    fn do_it(&self, what: String) -> Result<(), String> {
        let fails = self.fails.is_some_and(|fails| what.starts_with(fails));
        self.log.lock().unwrap().push(what);
        if fails { Err("the disk is full".into()) } else { Ok(()) }
    }
}

impl ImageWriter for Written {
    fn reached(&mut self) {
        self.log.lock().unwrap().push("reached".into());
    }

    fn begin(&mut self, epoch: Epoch) -> Result<(), String> {
        if let Some((writes, leave)) = self.waits.take() {
            writes.send(()).unwrap();
            leave.recv().unwrap();
        }
        self.do_it(format!("begin {}-{}", epoch.incarnation, epoch.number))
    }

    fn rank(&mut self, rank: u32, copy: &mut RankCopy) -> Result<(), String> {
        assert_eq!(copy.layout, layout(rank.into()));
        assert_eq!(copy.memory.bytes(), vec![rank as u8 + 1; copy.layout.len as usize]);
        self.do_it(format!("write {rank}"))
    }

    fn finish(&mut self) -> Result<(), String> {
        self.do_it("finish".into())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.do_it("commit".into())
    }
}

fn lines(host: &MadeUp, incarnation: u32) -> Lines {
    Lines::of(Box::new(host.clone()), incarnation)
}

#[test]
fn ranks_go_on_as_soon_as_they_are_copied() {
    let host = MadeUp::default();
    let lines = lines(&host, 3);
    for number in 1..=2 {
        let (epoch, took) = lines.save(false, &mut Written::to(&host.log)).unwrap();
        assert_eq!(epoch, Epoch { incarnation: 3, number });
        assert!(took.stall >= took.line + took.park + took.copy);
        assert_eq!((took.drained, took.stalls.len()), (5, 2));
        assert!(took.at > Duration::ZERO);
        let begin = format!("begin 3-{number}");
        let mut all = vec!["close", "park", "reached", "copy 0", "copy 1", "open"];
        all.extend([&begin, "write 0", "write 1", "finish", "commit"]);
        assert_eq!(host.done(), all);
        assert!(!took.through);
    }
}

#[test]
fn where_there_is_no_memory_for_all_ranks_each_is_written_at_once() {
    let host = MadeUp::default();
    let lines = lines(&host, 0);
    host.taken.store(3 * 4096, Ordering::Relaxed);
    let (_, took) = lines.save(false, &mut Written::to(&host.log)).unwrap();
    assert!(took.through);
    let copied = ["begin 0-1", "copy 0", "write 0", "copy 1", "write 1"];
    let done = host.done();
    assert_eq!(done[..3], ["close", "park", "reached"]);
    assert_eq!(done[3..8], copied);
    assert_eq!(done[8..], ["open", "finish", "commit"]);
    // When there is memory again it is used, and less than one rank is too little.
    host.taken.store(0, Ordering::Relaxed);
    let (_, took) = lines.save(false, &mut Written::to(&host.log)).unwrap();
    assert!(!took.through);
    let host = MadeUp::default();
    host.taken.store(4 * 4096, Ordering::Relaxed);
    let error = self::lines(&host, 0).save(false, &mut Written::to(&host.log)).unwrap_err();
    assert_eq!(error, LineError::NoMemory { needed: 0, available: 0 });
    assert_eq!(host.done(), [""; 0], "the ranks were stopped for nothing");
}

#[test]
fn ranks_that_are_to_stop_never_go_on() {
    let host = MadeUp::default();
    let lines = lines(&host, 0);
    lines.save(true, &mut Written::to(&host.log)).unwrap();
    assert_eq!(
        host.done(),
        [
            "close",
            "park",
            "reached",
            "copy 0",
            "copy 1",
            "begin 0-1",
            "write 0",
            "write 1",
            "finish",
            "commit"
        ]
    );
}

#[test]
fn room_that_was_made_is_there_when_all_other_memory_is_taken() {
    let host = MadeUp::default();
    let lines = lines(&host, 0);
    lines.make_room().unwrap();
    assert_eq!(host.done(), [""; 0]);
    host.taken.store(MEMORY, Ordering::Relaxed);
    for _ in 0..2 {
        let (_, figures) = lines.save(false, &mut Written::to(&host.log)).unwrap();
        assert!(!figures.through);
        lines.make_room().unwrap();
    }
}

#[test]
fn whatever_fails_the_job_goes_on_and_its_next_line_is_saved() {
    let stops = [(false, 0), (true, 0), (false, 3 * 4096), (true, 3 * 4096)];
    let steps = ["close", "park", "copy 1", "begin", "write 1", "finish", "commit"];
    for ((stop, taken), fails) in stops.into_iter().flat_map(|it| steps.map(|step| (it, step))) {
        let host = MadeUp::failing(fails);
        host.taken.store(taken, Ordering::Relaxed);
        let lines = lines(&host, 0);
        let mut images = Written { fails: Some(fails), ..Written::to(&host.log) };
        let error = lines.save(stop, &mut images).unwrap_err();
        match fails {
            "close" | "park" | "copy 1" => {
                assert_eq!(error, LineError::Engine(OrderError::Moves(1)));
            }
            _ => assert_eq!(error.to_string(), "the disk is full"),
        }
        let done = host.done();
        assert_eq!(done.iter().filter(|what| *what == "open").count(), 1, "{done:?}");
        // It is as if nothing had been asked for, and its number is not given again.
        *host.fails.lock().unwrap() = None;
        let (epoch, _) = lines.save(stop, &mut Written::to(&host.log)).unwrap();
        assert_eq!(epoch.number, 2, "after {fails}");
    }
}

#[test]
fn while_an_image_is_written_all_else_is_refused_at_once() {
    let host = MadeUp::default();
    let lines = Arc::new(lines(&host, 0));
    let (writes, writing) = channel();
    let (go, leave) = channel();
    let mut images = Written { waits: Some((writes, leave)), ..Written::to(&host.log) };
    let saver = thread::spawn({
        let lines = lines.clone();
        move || lines.save(false, &mut images)
    });
    writing.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(host.done().last().unwrap(), "open", "ranks wait for the disk");
    assert_eq!(lines.hold(true), Err(LineError::Busy));
    assert_eq!(lines.release(), Err(LineError::NotHeld));
    let again = lines.save(true, &mut Written::to(&host.log));
    assert_eq!(again.unwrap_err(), LineError::Busy);
    assert!(!lines.is_held());
    go.send(()).unwrap();
    saver.join().unwrap().unwrap();
    assert_eq!(host.done(), ["begin 0-1", "write 0", "write 1", "finish", "commit"]);
    lines.hold(true).unwrap();
    assert_eq!(host.done(), ["close", "park"]);
}

#[test]
fn a_job_that_is_held_is_not_saved_before_it_is_released() {
    let host = MadeUp::default();
    let lines = lines(&host, 0);
    lines.hold(true).unwrap();
    lines.hold(true).unwrap();
    assert!(lines.is_held());
    let error = lines.save(false, &mut Written::to(&host.log)).unwrap_err();
    assert_eq!(error, LineError::Held);
    lines.release().unwrap();
    assert!(!lines.is_held());
    assert_eq!(host.done(), ["close", "park", "park", "open"]);
    lines.save(false, &mut Written::to(&host.log)).unwrap();
}

#[test]
fn ranks_that_cannot_stand_still_are_not_held() {
    let host = MadeUp::failing("park");
    let lines = lines(&host, 0);
    assert_eq!(lines.hold(true), Err(LineError::Engine(OrderError::Moves(1))));
    assert!(!lines.is_held());
    assert_eq!(host.done(), ["close", "park", "open"]);
    lines.hold(false).unwrap();
    lines.release().unwrap();
    assert_eq!(lines.release(), Err(LineError::NotHeld));
}
