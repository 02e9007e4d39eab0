//! The threads that connect a part of a job with the proxies of other hosts.

use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::event::JobEvent;
use crate::control::Part;
use crate::engine::Notice;

/// How long to wait before the next try.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotConnected {
    /// Whether it is worth another try: the other side is not reachable, or does not know the job
    /// yet.
    pub may_pass: bool,
    /// In words, with the address.
    pub why: String,
}

/// Those threads. When this is dropped they try no more, and say nothing of it.
#[derive(Debug)]
pub struct Dialling {
    _stop: Vec<Sender<()>>,
}

/// The hosts that this one connects with: of two, the one with the greater number does it.
pub fn dialled_hosts(part: &Part) -> Vec<u32> {
    part.linked_hosts().range(..part.host).copied().collect()
}

impl Dialling {
    /// Starts a thread for each of these `hosts`, which calls `connect` until it succeeds, for
    /// `patience` at most. Then it says [`JobEvent::Link`], or that the host is lost.
    pub fn start(
        hosts: &[u32],
        patience: Duration,
        connect: impl Fn(u32) -> Result<TcpStream, NotConnected> + Clone + Send + 'static,
        events: &Sender<JobEvent>,
    ) -> io::Result<Self> {
        let mut stop = Vec::new();
        for &host in hosts {
            let (own, stopped) = channel();
            stop.push(own);
            let (connect, events) = (connect.clone(), events.clone());
            let thread = thread::Builder::new().name(format!("dial-{host}"));
            thread.spawn(move || {
                let event = match dial(patience, || connect(host), &stopped) {
                    Some(Ok(stream)) => JobEvent::Link { host, stream },
                    Some(Err(why)) => JobEvent::Engine(Notice::HostLost { host, why }),
                    None => return,
                };
                // A job that has ended does not care; whoever is connected sees the end.
                let _ = events.send(event);
            })?;
        }
        Ok(Self { _stop: stop })
    }
}

/// Calls `connect` until it succeeds, cannot any more, or `patience` is over; `None` if it is
/// stopped.
fn dial(
    patience: Duration,
    connect: impl Fn() -> Result<TcpStream, NotConnected>,
    stopped: &Receiver<()>,
) -> Option<Result<TcpStream, String>> {
    let begun = Instant::now();
    loop {
        match connect() {
            Ok(stream) => return Some(Ok(stream)),
            Err(NotConnected { may_pass: true, .. }) if begun.elapsed() < patience => {}
            Err(NotConnected { may_pass: true, why }) => {
                return Some(Err(format!("no connection in {} s: {why}", patience.as_secs_f64())));
            }
            Err(NotConnected { may_pass: false, why }) => return Some(Err(why)),
        }
        match stopped.recv_timeout(TRY_AGAIN) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn refused(may_pass: bool) -> Result<TcpStream, NotConnected> {
        Err(NotConnected { may_pass, why: "node0:7200: refused".into() })
    }

    #[test]
    fn of_two_hosts_the_greater_one_dials() {
        let part = Part { host: 2, placement: vec![0, 3, 2, 0, 1], ..Part::smallest() };
        assert_eq!(dialled_hosts(&part), [0, 1]);
        // Where no rank runs there is nobody to talk with.
        let part = Part { host: 2, placement: vec![0, 2], ..Part::smallest() };
        assert_eq!(dialled_hosts(&part), [0]);
        assert_eq!(dialled_hosts(&Part::smallest()), [0; 0]);
    }

    #[test]
    fn a_host_that_comes_later_is_linked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (events, told) = channel();
        let tries = Arc::new(AtomicU32::new(0));
        let connect = {
            let tries = tries.clone();
            move |_| match tries.fetch_add(1, Ordering::Relaxed) {
                0..3 => refused(true),
                _ => Ok(TcpStream::connect(address).unwrap()),
            }
        };
        let _dialling = Dialling::start(&[5], LONG, connect, &events).unwrap();
        let event = told.recv().unwrap();
        assert!(matches!(event, JobEvent::Link { host: 5, .. }), "{event:?}");
        assert_eq!(tries.load(Ordering::Relaxed), 4);
        drop(events);
        assert!(told.recv().is_err(), "it goes on");
    }

    #[test]
    fn a_host_that_does_not_come_is_lost() {
        for (may_pass, patience, why) in [
            (false, LONG, "node0:7200: refused"),
            (true, Duration::ZERO, "no connection in 0 s: node0:7200: refused"),
        ] {
            let (events, told) = channel();
            let connect = move |_| refused(may_pass);
            let _dialling = Dialling::start(&[0, 1], patience, connect, &events).unwrap();
            drop(events);
            let mut lost: Vec<u32> = told
                .iter()
                .map(|event| match event {
                    JobEvent::Engine(Notice::HostLost { host, why: said }) => {
                        assert_eq!(said, why);
                        host
                    }
                    event => panic!("{event:?}"),
                })
                .collect();
            lost.sort_unstable();
            assert_eq!(lost, [0, 1]);
        }
    }

    #[test]
    fn a_job_that_ends_tries_no_more() {
        let (events, told) = channel();
        let dialling = Dialling::start(&[0], LONG, |_| refused(true), &events).unwrap();
        drop(events);
        drop(dialling);
        assert!(told.recv().is_err(), "nothing is said");
    }
}
