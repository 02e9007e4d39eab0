//! The threads of the hub: they listen to hosts and to the user's side, and say to each what the
//! merged job has to say.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use dom0_proxy::control::{ClientRequest, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::merge::{Heard, Merge, Said};

/// How long a host may take to end its part once it is interrupted.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the threads tell: what is heard, or nothing more when the user's side has hung up.
type Event = Option<Heard>;

/// A host, as the hub speaks to it.
struct Host {
    stream: UnixStream,
    outbox: Sender<ClientRequest>,
}

/// Asks each host for its part of a job, and is the job's daemon for whoever is at the other end of
/// `user`, until the job has ended or nobody is there any more.
pub fn start(
    user: UnixStream,
    hosts: Vec<(UnixStream, ClientRequest)>,
    merge: Merge,
) -> io::Result<()> {
    let (events, heard) = channel();
    let mut speakers = Vec::new();
    for (number, (stream, first)) in hosts.into_iter().enumerate() {
        let events = events.clone();
        listen(stream.try_clone()?, move |received: io::Result<Option<Reply>>| {
            let heard = match received {
                Ok(Some(reply)) => Heard::Reply(number, reply),
                Ok(None) => Heard::Lost(number, "its connection has ended".into()),
                Err(error) => Heard::Lost(number, error.to_string()),
            };
            let _ = events.send(Some(heard));
        })?;
        let outbox = outbox(stream.try_clone()?)?;
        // The hub is alive, so its thread takes this.
        let _ = outbox.send(first);
        speakers.push(Host { stream, outbox });
    }
    listen(user.try_clone()?, move |received: io::Result<Option<ClientRequest>>| {
        let _ = events.send(received.ok().flatten().map(Heard::Request));
    })?;
    let outbox = outbox(user)?;
    spawn("hub", move || drive(merge, &heard, &outbox, &speakers, PATIENCE))
}

/// Passes on what is heard until the job has ended.
fn drive(
    mut merge: Merge,
    events: &Receiver<Event>,
    user: &Sender<Reply>,
    hosts: &[Host],
    patience: Duration,
) {
    // Of hosts that were interrupted, in the order of time.
    let mut deadlines = VecDeque::new();
    let mut is_interrupted = vec![false; hosts.len()];
    while !merge.is_over() {
        let event = match deadlines.front() {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some((deadline, _)) => {
                let left: Instant = *deadline;
                events.recv_timeout(left.saturating_duration_since(Instant::now()))
            }
        };
        let heard = match event {
            Ok(Some(heard)) => heard,
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => match deadlines.pop_front() {
                Some((_, host)) => Heard::TooLong(host),
                None => continue,
            },
        };
        for said in merge.hear(heard) {
            match said {
                Said::ToUser(reply) => drop(user.send(reply)),
                Said::ToHost(host, request) => {
                    let is_first = request == ClientRequest::Interrupt
                        && !std::mem::replace(&mut is_interrupted[host], true);
                    if is_first {
                        deadlines.push_back((Instant::now() + patience, host));
                    }
                    let _ = hosts[host].outbox.send(request);
                }
                Said::HangUp(host) => hang_up(&hosts[host]),
            }
        }
    }
    hosts.iter().for_each(hang_up);
}

/// Closes the connection, which ends what the host still has of the job.
fn hang_up(host: &Host) {
    let _ = host.stream.shutdown(Shutdown::Both);
}

/// Receives messages in a thread of its own, up to the first that is none.
fn listen<M: DeserializeOwned>(
    stream: UnixStream,
    hear: impl Fn(io::Result<Option<M>>) + Send + 'static,
) -> io::Result<()> {
    spawn("hub-listener", move || {
        loop {
            let received = message_frame::receive(&stream);
            let is_last = !matches!(received, Ok(Some(_)));
            hear(received);
            if is_last {
                return;
            }
        }
    })
}

/// Sends messages in a thread of its own, so that the hub waits for nobody. When there are no more
/// the connection is closed, even if the hub's thread has panicked.
fn outbox<M: Serialize + Send + 'static>(stream: UnixStream) -> io::Result<Sender<M>> {
    let (sender, messages) = channel::<M>();
    spawn("hub-speaker", move || {
        // Whoever listens to the other side finds out when that is gone.
        let _ = messages.iter().try_for_each(|message| message_frame::send(&stream, &message));
        let _ = stream.shutdown(Shutdown::Both);
    })?;
    Ok(sender)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

#[cfg(test)]
mod tests {
    use dom0_proxy::control::{OutputPiece, OutputStream};

    use super::super::ending::tests::summary;
    use super::*;

    /// A host's end of its connection, and the user's, of a job that has begun.
    fn begin() -> (UnixStream, [UnixStream; 2]) {
        let (near, far) = UnixStream::pair().unwrap();
        let pairs = [(); 2].map(|()| UnixStream::pair().unwrap());
        let [(a, at_a), (b, at_b)] = pairs;
        let merge = Merge::new("job".into(), vec!["a".into(), "b".into()], vec![0, 1]);
        let first = ClientRequest::List;
        start(far, vec![(a, first.clone()), (b, first.clone())], merge).unwrap();
        for host in [&at_a, &at_b] {
            assert_eq!(hear(host), Some(first.clone()));
            say(host, &Reply::Started("job".into()));
        }
        assert_eq!(hear(&near), Some(Reply::Started("job".into())));
        (near, [at_a, at_b])
    }

    fn say(stream: &UnixStream, message: &impl Serialize) {
        message_frame::send(stream, message).unwrap();
    }

    fn hear<M: DeserializeOwned>(stream: &UnixStream) -> Option<M> {
        message_frame::receive(stream).unwrap()
    }

    #[test]
    fn a_job_goes_to_its_end() {
        let (user, [a, b]) = begin();
        let piece =
            OutputPiece { rank: 1, stream: OutputStream::Output, at: 0, bytes: b"x".to_vec() };
        say(&b, &Reply::Output(piece.clone()));
        assert_eq!(hear(&user), Some(Reply::Output(piece.clone())));
        say(&user, &ClientRequest::Taken(piece.weight()));
        assert_eq!(hear(&b), Some(ClientRequest::Taken(piece.weight())));
        for host in [&a, &b] {
            say(host, &Reply::RanksEnded);
        }
        for host in [&a, &b] {
            assert_eq!(hear(host), Some(ClientRequest::Finish));
            say(host, &Reply::Ended(summary(0, None, None)));
        }
        let Some(Reply::Ended(summary)) = hear(&user) else { panic!("it has not ended") };
        assert_eq!((summary.job.as_str(), summary.status), ("job", 0));
        assert_eq!(hear::<Reply>(&user), None);
        assert_eq!(hear::<ClientRequest>(&a), None);
    }

    #[test]
    fn a_user_that_is_gone_ends_the_job_everywhere() {
        let (user, [a, b]) = begin();
        drop(user);
        assert_eq!(hear::<ClientRequest>(&a), None);
        assert_eq!(hear::<ClientRequest>(&b), None);
    }

    #[test]
    fn a_host_that_hangs_up_ends_the_job() {
        let (user, [a, b]) = begin();
        drop(b);
        assert_eq!(hear(&a), Some(ClientRequest::Interrupt));
        say(&a, &Reply::Ended(summary(130, Some("interrupted"), None)));
        let Some(Reply::Ended(summary)) = hear(&user) else { panic!("it has not ended") };
        let cause = "the proxy of host b is gone: its connection has ended";
        assert_eq!(summary.cause.as_deref(), Some(cause));
    }

    #[test]
    fn a_host_that_does_not_end_is_not_waited_for() {
        let (a, _at_a) = UnixStream::pair().unwrap();
        let (events, heard) = channel();
        let (user, replies) = channel();
        let hosts = [Host { outbox: outbox(a.try_clone().unwrap()).unwrap(), stream: a }];
        events.send(Some(Heard::Request(ClientRequest::Interrupt))).unwrap();
        let merge = Merge::new("job".into(), vec!["a".into()], vec![0]);
        drive(merge, &heard, &user, &hosts, Duration::from_millis(5));
        assert_eq!(replies.recv(), Ok(Reply::Started("job".into())));
        let Ok(Reply::Ended(summary)) = replies.recv() else { panic!("it has not ended") };
        assert!(summary.cause.unwrap().starts_with("the proxy of host a is gone"));
    }
}
