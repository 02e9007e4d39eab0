//! Two peers that talk over a connection.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::wire::{Opcode, Request};
use proptest::prelude::*;

use super::{Awaited, PIECE, Peer, PeerTrouble, Serve, TcpLink};

const PATIENCE: Duration = Duration::from_secs(120);

/// Does what is asked for to plain memory, and notes answers.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    hello: Option<Vec<u8>>,
    answers: Vec<(u32, u64, Vec<u8>)>,
    /// Asks that are still to be put off.
    busy: u32,
}

/// What is at fault here: nothing.
type Never = std::convert::Infallible;

impl Serve<Never> for Memory {
    fn hello(&mut self, body: &[u8]) -> Result<(), PeerTrouble<Never>> {
        self.hello = Some(body.to_vec());
        Ok(())
    }

    fn ask(
        &mut self,
        request: &Request,
        data: &mut [u8],
    ) -> Result<Option<u64>, PeerTrouble<Never>> {
        if self.busy > 0 {
            self.busy -= 1;
            return Ok(None);
        }
        let (at, length) = (request.remote as usize, request.len as usize);
        let Some(there) = self.bytes.get_mut(at..at + length) else {
            return Err(PeerTrouble::Lost("outside".into()));
        };
        match Opcode::from_wire(request.opcode) {
            Some(Opcode::Put) => there.copy_from_slice(data),
            Some(Opcode::Get) => data.copy_from_slice(there),
            Some(Opcode::ReadModifyWrite) => {
                let before = u64::from_le_bytes(there.try_into().unwrap());
                let after = before.wrapping_add(request.operand[0]);
                there.copy_from_slice(&after.to_le_bytes());
                return Ok(Some(before));
            }
            _ => return Err(PeerTrouble::Lost("it asks for what is not tried".into())),
        }
        Ok(Some(0))
    }

    fn answer(
        &mut self,
        awaited: &Awaited,
        value: u64,
        data: &[u8],
    ) -> Result<(), PeerTrouble<Never>> {
        self.answers.push((awaited.tag, value, data.to_vec()));
        Ok(())
    }
}

/// One side.
struct Side {
    peer: Peer,
    memory: Memory,
}

impl Side {
    fn poll(&mut self) -> Result<bool, String> {
        self.peer.poll(&mut self.memory).map_err(|trouble| match trouble {
            PeerTrouble::Lost(why) => why,
            PeerTrouble::Own(never) => match never {},
        })
    }
}

fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialled, listener.accept().unwrap().0)
}

fn side(stream: TcpStream, bytes: usize) -> Side {
    let mut peer = Peer::new(Box::new(TcpLink::new(stream).unwrap()));
    peer.say_hello(b"me");
    Side { peer, memory: Memory { bytes: vec![0; bytes], ..Memory::default() } }
}

/// Two sides with as many bytes of memory each, which know each other.
fn pair(bytes: usize) -> (Side, Side) {
    let (a, b) = streams();
    let (mut a, mut b) = (side(a, bytes), side(b, bytes));
    settle(&mut a, &mut b, |a, b| a.peer.is_known() && b.peer.is_known());
    assert_eq!(a.memory.hello.as_deref(), Some(&b"me"[..]));
    (a, b)
}

/// Polls both until that holds.
fn settle(a: &mut Side, b: &mut Side, holds: impl Fn(&Side, &Side) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(a, b) {
        assert!(Instant::now() < deadline, "it does not come to that");
        a.poll().unwrap();
        b.poll().unwrap();
    }
}

fn drained(a: &Side, b: &Side) -> bool {
    a.peer.is_drained() && b.peer.is_drained()
}

fn request(opcode: Opcode, remote: usize, len: usize) -> Request {
    Request { opcode: opcode as u8, remote: remote as u64, len: len as u64, ..Request::default() }
}

fn awaited(tag: u32, length: usize) -> Option<Awaited> {
    Some(Awaited { rank: 0, tag, address: 0, length: length as u64, is_last: true })
}

fn put(side: &mut Side, at: usize, data: &[u8]) -> Option<u64> {
    let request = request(Opcode::Put, at, data.len());
    side.peer.ask(&request, data.len(), |bytes| bytes.copy_from_slice(data), None)
}

#[test]
fn what_is_asked_for_is_done_in_order_and_told() {
    let (mut a, mut b) = pair(64);
    assert_eq!(put(&mut a, 8, &5u64.to_le_bytes()), Some(1));
    let add = Request { operand: [3, 0], ..request(Opcode::ReadModifyWrite, 8, 8) };
    assert_eq!(a.peer.ask(&add, 0, |_| (), awaited(7, 0)), Some(2));
    let get = request(Opcode::Get, 8, 8);
    assert_eq!(a.peer.ask(&get, 0, |_| (), awaited(8, 8)), Some(3));
    assert_eq!(put(&mut a, 8, &9u64.to_le_bytes()), Some(4));
    assert!(!a.peer.is_drained());
    settle(&mut a, &mut b, drained);
    assert_eq!(a.peer.done(), 4);
    let eight = 8u64.to_le_bytes().to_vec();
    assert_eq!(a.memory.answers, [(7, 5, vec![]), (8, 0, eight)]);
    assert_eq!(b.memory.bytes[8..16], 9u64.to_le_bytes());
}

#[test]
fn what_has_to_wait_keeps_its_place() {
    let (mut a, mut b) = pair(16);
    b.memory.busy = 3;
    for value in 1..=5u64 {
        put(&mut a, 0, &value.to_le_bytes()).unwrap();
    }
    let get = request(Opcode::Get, 0, 8);
    a.peer.ask(&get, 0, |_| (), awaited(1, 8)).unwrap();
    settle(&mut a, &mut b, drained);
    assert_eq!(a.memory.answers, [(1, 0, 5u64.to_le_bytes().to_vec())]);
}

/// Both ask for as much as they may, and nothing waits forever; room is bounded.
#[test]
fn two_that_ask_for_much_do_not_wait_for_each_other() {
    let (mut a, mut b) = pair(PIECE);
    let mut left = [400, 400];
    let deadline = Instant::now() + PATIENCE;
    let mut full = 0;
    while left != [0, 0] || !drained(&a, &b) {
        assert!(Instant::now() < deadline);
        for (side, left) in [&mut a, &mut b].into_iter().zip(&mut left) {
            while *left > 0 {
                let asked = match *left % 2 {
                    0 => put(side, 0, &[*left as u8; PIECE]),
                    _ => {
                        let get = request(Opcode::Get, 0, PIECE);
                        side.peer.ask(&get, 0, |_| (), awaited(*left, PIECE))
                    }
                };
                if asked.is_none() {
                    full += 1;
                    break;
                }
                *left -= 1;
            }
            side.poll().unwrap();
        }
    }
    assert!(full > 0, "there is room without end");
    assert_eq!((a.memory.answers.len(), b.memory.answers.len()), (200, 200));
}

#[test]
fn whoever_leaves_is_missed_only_by_who_wants_something() {
    let (mut a, mut b) = pair(8);
    b.peer.say_bye();
    drop(b);
    let deadline = Instant::now() + PATIENCE;
    while a.poll().unwrap() {
        assert!(Instant::now() < deadline);
    }
    for _ in 0..10 {
        a.poll().unwrap();
    }
    put(&mut a, 0, &[1; 8]).unwrap();
    assert!(a.poll().unwrap_err().contains("its part of the job has ended"));

    let (mut a, b) = pair(8);
    drop(b);
    let why = loop {
        assert!(Instant::now() < deadline);
        if let Err(why) = a.poll() {
            break why;
        }
    };
    assert!(why.contains("closed the connection") || why.contains("broke"), "{why}");
}

/// Sends these bytes to a peer that has asked for one get of 8 bytes; why that is no peer.
fn refused(garbage: &[u8]) -> String {
    use std::io::Write;
    let (stream, mut raw) = streams();
    let mut side = side(stream, 64);
    let mut hello = Vec::new();
    super::frame::hello(&mut hello, b"me");
    raw.write_all(&hello).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !side.peer.is_known() {
        assert!(Instant::now() < deadline);
        side.poll().unwrap();
    }
    let get = request(Opcode::Get, 0, 8);
    side.peer.ask(&get, 0, |_| (), awaited(1, 8)).unwrap();
    raw.write_all(garbage).unwrap();
    loop {
        assert!(Instant::now() < deadline);
        match side.poll() {
            Err(why) => return why,
            Ok(true) => {}
            Ok(false) => thread::yield_now(),
        }
    }
}

#[test]
fn what_a_proxy_does_not_say_is_the_end() {
    use super::frame;
    let frame = |make: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        make(&mut bytes);
        bytes
    };
    for (garbage, expected) in [
        (frame(&|to| frame::hello(to, b"me")), "at the wrong time"),
        (frame(&|to| frame::done(to, 2)), "says that 2 operations are done, of 1"),
        (frame(&|to| frame::done(to, 1)), "says that 1 operations are done"),
        (frame(&|to| _ = frame::answer(to, 0, 7)), "answers 8 bytes with 7"),
        (
            frame(&|to| {
                frame::answer(to, 0, 8);
                frame::answer(to, 0, 8);
            }),
            "answers what it was not asked",
        ),
        (
            frame(&|to| _ = frame::ask(to, &request(Opcode::Get, 0, PIECE + 1), 0)),
            "asks for 262145 bytes at a time",
        ),
        (frame(&|to| _ = frame::ask(to, &request(Opcode::Put, 64, 1), 1)), "outside"),
        (frame(&|to| frame::bye(to)), "its part of the job has ended"),
        (vec![0xff; 64], "unknown kind"),
    ] {
        let why = refused(&garbage);
        assert!(why.contains(expected), "{why:?} is not about {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// As plain memory on the other side, whatever is asked for in whatever pieces.
    #[test]
    fn as_if_the_memory_were_here(
        operations in prop::collection::vec((0u8..3, 0usize..900, 0usize..124, any::<u8>()), 1..80)
    ) {
        let (mut a, mut b) = pair(1024);
        let mut model = vec![0u8; 1024];
        let mut expected = Vec::new();
        for (number, (kind, at, length, byte)) in (0u32..).zip(operations) {
            match kind {
                0 => {
                    model[at..at + length].fill(byte);
                    prop_assert!(put(&mut a, at, &vec![byte; length]).is_some());
                }
                1 => {
                    expected.push((number, 0, model[at..at + length].to_vec()));
                    let get = request(Opcode::Get, at, length);
                    prop_assert!(a.peer.ask(&get, 0, |_| (), awaited(number, length)).is_some());
                }
                _ => {
                    let word = &mut model[at..at + 8];
                    let before = u64::from_le_bytes(word.try_into().unwrap());
                    word.copy_from_slice(&before.wrapping_add(byte.into()).to_le_bytes());
                    expected.push((number, before, Vec::new()));
                    let add = Request {
                        operand: [byte.into(), 0],
                        ..request(Opcode::ReadModifyWrite, at, 8)
                    };
                    prop_assert!(a.peer.ask(&add, 0, |_| (), awaited(number, 0)).is_some());
                }
            }
            if byte % 4 == 0 {
                a.poll().unwrap();
                b.poll().unwrap();
            }
        }
        settle(&mut a, &mut b, drained);
        prop_assert_eq!(&a.memory.answers, &expected);
        prop_assert_eq!(&b.memory.bytes, &model);
    }
}
