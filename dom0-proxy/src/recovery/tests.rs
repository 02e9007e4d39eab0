//! Lines of a job whose ranks are made up.

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
use crate::engine::{OrderError, Traffic};

/// What was done, in this order.
type Log = Arc<Mutex<Vec<String>>>;

/// Two ranks, and what cannot be done with them.
#[derive(Clone, Debug, Default)]
struct MadeUp {
    log: Log,
    fails: Arc<Mutex<Option<&'static str>>>,
}

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
    fn close(&self) -> Result<(), OrderError> {
        self.do_it("close", ())
    }

    fn open(&self) -> Result<(), OrderError> {
        self.do_it("open", ())
    }

    fn park(&self) -> Result<(), OrderError> {
        self.do_it("park", ())
    }

    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError> {
        Ok(vec![layout(0), layout(1)])
    }

    fn traffic(&self) -> Result<Vec<Traffic>, OrderError> {
        Ok(vec![Traffic::default(); 2])
    }

    fn copy(&self, rank: u32, mut buffer: Vec<u8>) -> Result<Vec<u8>, OrderError> {
        buffer.fill(rank as u8 + 1);
        self.do_it(&format!("copy {rank}"), buffer)
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

    fn write(&mut self, epoch: Epoch, ranks: &[RankCopy]) -> Result<(), String> {
        for (rank, copy) in (0..).zip(ranks) {
            assert_eq!(copy.layout, layout(rank));
            assert_eq!(copy.memory, vec![rank as u8 + 1; copy.layout.len as usize]);
        }
        if let Some((writes, leave)) = &self.waits {
            writes.send(()).unwrap();
            leave.recv().unwrap();
        }
        self.do_it(format!("write {}-{}", epoch.incarnation, epoch.number))
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
        let (epoch, times) = lines.save(false, &mut Written::to(&host.log)).unwrap();
        assert_eq!(epoch, Epoch { incarnation: 3, number });
        assert!(times.stall >= times.line + times.park + times.copy);
        let write = format!("write 3-{number}");
        assert_eq!(
            host.done(),
            ["close", "park", "reached", "copy 0", "copy 1", "open", &write, "commit"]
        );
    }
}

#[test]
fn ranks_that_are_to_stop_never_go_on() {
    let host = MadeUp::default();
    let lines = lines(&host, 0);
    lines.save(true, &mut Written::to(&host.log)).unwrap();
    assert_eq!(
        host.done(),
        ["close", "park", "reached", "copy 0", "copy 1", "write 0-1", "commit"]
    );
}

#[test]
fn whatever_fails_the_job_goes_on_and_its_next_line_is_saved() {
    for stop in [false, true] {
        for fails in ["close", "park", "copy 1", "write", "commit"] {
            let host = MadeUp::failing(fails);
            let lines = lines(&host, 0);
            let mut images = Written { fails: Some(fails), ..Written::to(&host.log) };
            let error = lines.save(stop, &mut images).unwrap_err();
            match fails {
                "write" | "commit" => assert_eq!(error.to_string(), "the disk is full"),
                _ => assert_eq!(error, LineError::Engine(OrderError::Moves(1))),
            }
            let done = host.done();
            assert_eq!(done.iter().filter(|what| *what == "open").count(), 1, "{done:?}");
            // It is as if nothing had been asked for, and its number is not given again.
            *host.fails.lock().unwrap() = None;
            let (epoch, _) = lines.save(stop, &mut Written::to(&host.log)).unwrap();
            assert_eq!(epoch.number, 2, "after {fails}");
        }
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
    assert_eq!(host.done(), ["write 0-1", "commit"]);
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
