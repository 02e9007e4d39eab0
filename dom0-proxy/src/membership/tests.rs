//! Both sides over TCP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::connection::{accept_within, connect_within};
use super::*;

/// Nobody needs as long, however slow the machine is.
const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_millis(100);

type Accepted = Result<(Purpose, Member), MembershipError>;

fn secret() -> Secret {
    Secret::from([7; 32])
}

fn fabric() -> Purpose {
    Purpose::Fabric { job: "abcdef".into(), from: 3 }
}

/// One connection is accepted by whoever knows `secret`, and `dial` gets the address.
fn meet<D>(limit: Duration, secret: Option<Secret>, dial: impl FnOnce(&str) -> D) -> (D, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        accept_within(limit, stream, |_| secret)
    });
    let dialled = dial(&address);
    (dialled, accepting.join().unwrap())
}

/// Two members.
fn members(purpose: &Purpose) -> (Member, Member) {
    let dial = |address: &str| connect_within(LONG, address, &secret(), purpose).unwrap();
    let (near, far) = meet(LONG, Some(secret()), dial);
    let (heard, far) = far.unwrap();
    assert_eq!(heard, *purpose);
    (near, far)
}

/// What is said to whoever connects and says `bytes` and no more.
fn say(bytes: &[u8]) -> (Vec<u8>, MembershipError) {
    let dial = |address: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        // It may hang up at any byte.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    let (answer, accepted) = meet(LONG, Some(secret()), dial);
    (answer, accepted.unwrap_err())
}

/// What a dialler finds that is answered by `bytes` and no more.
fn answered(bytes: &[u8]) -> MembershipError {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let bytes = bytes.to_vec();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; OPENING]).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = connect_within(LONG, &address, &secret(), &fabric()).unwrap_err();
    answering.join().unwrap();
    assert_line(&error, &address);
    error
}

/// Bytes up to the end of the first message.
const OPENING: usize = HEADER_LENGTH + 2 + FIRST_LENGTH;

fn opening() -> Vec<u8> {
    let header = fabric().encode().unwrap();
    let (_, first) = Dialler::new(&header, &secret()).unwrap();
    [&header[..], &(FIRST_LENGTH as u16).to_le_bytes(), &first].concat()
}

fn assert_line(error: &MembershipError, address: &str) {
    let line = error.to_string();
    assert!(line.contains(address) && line.lines().count() == 1, "{line}");
}

#[test]
fn members_know_each_other() {
    for purpose in [Purpose::Client, fabric()] {
        let (near, far) = members(&purpose);
        let (mut near, mut far) = (near.into_plain(), far.into_plain());
        near.write_all(b"ping").unwrap();
        let mut heard = [0; 4];
        far.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"ping");
        far.write_all(b"pong").unwrap();
        near.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"pong");
        assert_eq!(near.read_timeout().unwrap(), None);
        assert!(near.nodelay().unwrap() && far.nodelay().unwrap());
    }
}

#[test]
fn another_secret_is_told_to_both() {
    let dial = |address: &str| {
        let error = connect_within(LONG, address, &Secret::from([8; 32]), &fabric()).unwrap_err();
        assert_line(&error, address);
        error
    };
    let (near, far) = meet(LONG, Some(secret()), dial);
    assert!(matches!(near, MembershipError::WrongSecret { .. }), "{near}");
    let far = far.unwrap_err();
    assert!(matches!(far, MembershipError::WrongSecret { .. }), "{far}");
    assert_line(&far, "127.0.0.1:");
}

#[test]
fn a_job_that_is_not_there_is_told_to_both() {
    let dial = |address: &str| connect_within(LONG, address, &secret(), &fabric()).unwrap_err();
    let (near, far) = meet(LONG, None, dial);
    for error in [near, far.unwrap_err()] {
        assert!(matches!(&error, MembershipError::UnknownJob { job, .. } if job == "abcdef"));
        assert_line(&error, "127.0.0.1:");
    }
    let dial = |address: &str| connect_within(LONG, address, &secret(), &Purpose::Client);
    let (near, _) = meet(LONG, None, dial);
    assert!(matches!(near, Err(MembershipError::WrongSecret { .. })));
}

#[test]
fn another_version_is_told_to_both() {
    let mut other = opening();
    other[4] += 1;
    // Nobody knows how much follows a header of another version.
    for more in [0, 1000] {
        let (answer, error) = say(&[&other[..], &vec![0; more]].concat());
        assert_eq!(answer, [0, 0, 1]);
        assert!(matches!(error, MembershipError::OtherVersion { .. }), "{error}");
    }
    assert!(matches!(answered(&[0, 0, 1]), MembershipError::OtherVersion { .. }));
}

#[test]
fn what_is_changed_on_the_way_is_refused() {
    for at in 0..OPENING {
        let mut changed = opening();
        changed[at] ^= 1;
        let (answer, error) = say(&changed);
        assert!(answer.is_empty() || (answer.len() == 3 && answer[..2] == [0, 0]), "{at}");
        assert_line(&error, "127.0.0.1:");
        let is_of_secret = matches!(error, MembershipError::WrongSecret { .. });
        // The job's name, the host's number and the message itself may have any value.
        let may_be_any = (10..16).contains(&at) || (42..46).contains(&at) || at >= 48;
        assert!(is_of_secret || !may_be_any || at < 16, "{at}: {error}");
    }
}

#[test]
fn a_recording_is_refused() {
    let recording = record(|address| {
        connect_within(LONG, address, &secret(), &fabric()).unwrap();
    });
    assert_eq!(recording.len(), OPENING + 2 + CONFIRMATION_LENGTH);
    let (answer, error) = say(&recording);
    assert_eq!(answer.len(), 2 + ANSWER_LENGTH, "the first message is good");
    assert!(matches!(error, MembershipError::WrongSecret { .. }), "{error}");
}

/// What `dial` says to a member.
fn record(dial: impl FnOnce(&str)) -> Vec<u8> {
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay_address = relay.local_addr().unwrap().to_string();
    let (recorded, accepted) = meet(LONG, Some(secret()), |address| {
        let address = address.to_owned();
        let relaying = thread::spawn(move || {
            let (near, _) = relay.accept().unwrap();
            let far = TcpStream::connect(address).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || relay_all(&far_too, &near_too, |_| {}));
            relay_all(&near, &far, |_| {})
        });
        dial(&relay_address);
        relaying.join().unwrap()
    });
    accepted.unwrap();
    recorded
}

/// Passes all bytes on until the end, as `change` makes them, and returns them.
fn relay_all(mut from: &TcpStream, mut to: &TcpStream, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let before = all.len();
        all.extend_from_slice(&buffer[..count]);
        change(&mut all);
        if to.write_all(&all[before..]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
    all
}

#[test]
fn what_is_cut_off_is_refused() {
    let opening = opening();
    for end in 0..OPENING {
        let (answer, error) = say(&opening[..end]);
        assert_eq!(answer, [0; 0], "{end}");
        assert!(matches!(error, MembershipError::Closed { .. }), "{end}: {error}");
    }
    // The answer is not confirmed.
    let (answer, error) = say(&opening);
    assert_eq!(answer.len(), 2 + ANSWER_LENGTH);
    assert!(matches!(error, MembershipError::Closed { .. }), "{error}");
    for end in 0..answer.len() {
        let error = answered(&answer[..end]);
        assert!(matches!(error, MembershipError::Closed { .. }), "{end}: {error}");
    }
    // It is the answer to another.
    assert!(matches!(answered(&answer), MembershipError::WrongSecret { .. }));
}

#[test]
fn what_members_do_not_say_is_refused() {
    let stranger = |error: MembershipError| {
        assert!(matches!(error, MembershipError::Stranger { .. }), "{error}");
    };
    stranger(say(&b"GET / HTTP/1.1\r\n".repeat(10)).1);
    for length in [0, 1, 47, 49, u16::MAX] {
        let header = fabric().encode().unwrap();
        let (answer, error) = say(&[&header[..], &length.to_le_bytes(), &[1; 70_000]].concat());
        assert_eq!(answer, [0; 0]);
        stranger(error);
        if length != 0 {
            stranger(answered(&[&length.to_le_bytes()[..], &[1; 70_000]].concat()));
        }
    }
    for code in [0, 4, 255] {
        stranger(answered(&[0, 0, code]));
    }
}

#[test]
fn who_says_nothing_or_too_slowly_is_dropped() {
    let (_stream, error) =
        meet(SHORT, Some(secret()), |address| TcpStream::connect(address).unwrap());
    assert!(matches!(error, Err(MembershipError::Silent { .. })));
    let drip = |address: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        for byte in opening() {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(SHORT / 10);
        }
    };
    let (_, error) = meet(SHORT, Some(secret()), drip);
    assert!(matches!(error, Err(MembershipError::Silent { .. })));
    // Nobody accepts.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = connect_within(SHORT, &address, &secret(), &fabric()).unwrap_err();
    assert!(matches!(error, MembershipError::Silent { .. }), "{error}");
    assert_line(&error, &address);
}

#[test]
fn who_cannot_be_reached_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = connect(&address, &secret(), &Purpose::Client).unwrap_err();
    assert!(matches!(error, MembershipError::Unreachable { .. }), "{error}");
    assert_line(&error, &address);
    for address in ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "a b:1"] {
        let error = connect(address, &secret(), &Purpose::Client).unwrap_err();
        assert!(matches!(error, MembershipError::Unresolved { .. }), "{error}");
        assert_line(&error, address);
    }
    let purpose = Purpose::Fabric { job: "../x".into(), from: 0 };
    let error = connect(&address, &secret(), &purpose).unwrap_err();
    assert!(matches!(error, MembershipError::BadName { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_is_said_does_harm(
        kept in 0..OPENING + 20,
        rest in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = opening();
        bytes.truncate(kept);
        bytes.extend(rest);
        assert_line(&say(&bytes).1, "127.0.0.1:");
    }

    #[test]
    fn nothing_that_is_answered_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        answered(&bytes);
    }
}

/// Not all the same, so that what is lost or out of order is found.
fn content(length: usize, first: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251) as u8 ^ at as u8 ^ first).collect()
}

#[test]
fn a_bridge_carries_all_both_ways_and_closes() {
    let (near, far) = members(&Purpose::Client);
    let streams = [near.bridge().unwrap(), far.bridge().unwrap()];
    let contents = [content(1 << 20, 0), content(1 << 20, 1)];
    thread::scope(|scope| {
        for at in 0..2 {
            let (mut stream, sent) = (&streams[at], &contents[at]);
            scope.spawn(move || {
                stream.write_all(sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            let (mut stream, expected) = (&streams[at], &contents[1 - at]);
            scope.spawn(move || {
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(received == *expected);
            });
        }
    });
}

#[test]
fn one_way_of_a_bridge_ends_without_the_other() {
    let (near, far) = members(&Purpose::Client);
    let (mut near, mut far) = (near.bridge().unwrap(), far.bridge().unwrap());
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    far.write_all(b"answer").unwrap();
    drop(far);
    heard.clear();
    near.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "answer");
}

#[test]
fn messages_pass_a_bridge_as_they_pass_a_local_socket() {
    let (near, far) = members(&Purpose::Client);
    let (near, far) = (near.bridge().unwrap(), far.bridge().unwrap());
    for message in [String::new(), "hello".to_owned(), "x".repeat(300_000)] {
        thread::scope(|scope| {
            scope.spawn(|| message_frame::send(&near, &message).unwrap());
            assert_eq!(message_frame::receive(&far).unwrap(), Some(message.clone()));
        });
    }
    drop(near);
    assert_eq!(message_frame::receive::<String>(&far).unwrap(), None);
}

#[test]
fn what_was_said_before_hanging_up_is_heard() {
    let (near, far) = members(&Purpose::Client);
    let (mut near, mut far) = (near.bridge().unwrap(), far.bridge().unwrap());
    far.write_all(b"refused").unwrap();
    drop(far);
    // Until it is known that nobody takes it.
    while near.write_all(&[0; 1 << 16]).is_ok() {}
    let mut heard = String::new();
    near.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "refused");
}

#[test]
fn a_connection_that_is_cut_off_ends_the_local_socket() {
    let (near, far) = members(&Purpose::Client);
    let mut near = near.bridge().unwrap();
    drop(far);
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    assert!(near.write_all(&[0; 1 << 20]).is_err());
}

#[test]
fn a_byte_that_is_changed_ends_a_bridge() {
    const LENGTH: usize = 100_000;
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay_address = relay.local_addr().unwrap().to_string();
    let changed_at = OPENING + 2 + CONFIRMATION_LENGTH + 2 + 50_000;
    let dial = |address: &str| {
        let address = address.to_owned();
        thread::spawn(move || {
            let (near, _) = relay.accept().unwrap();
            let far = TcpStream::connect(address).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || relay_all(&far_too, &near_too, |_| {}));
            let done = std::cell::Cell::new(false);
            relay_all(&near, &far, |all| {
                if !done.get()
                    && let Some(byte) = all.get_mut(changed_at)
                {
                    *byte ^= 1;
                    done.set(true);
                }
            });
        });
        connect_within(LONG, &relay_address, &secret(), &Purpose::Client).unwrap()
    };
    let (near, far) = meet(LONG, Some(secret()), dial);
    let (mut near, mut far) = (near.bridge().unwrap(), far.unwrap().1.bridge().unwrap());
    let sent = content(LENGTH, 0);
    // It may be cut off before it has all of it.
    let _ = near.write_all(&sent);
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    assert!(received.len() < LENGTH && received == sent[..received.len()]);
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
}
