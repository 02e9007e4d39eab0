//! The conversation with xenstore: requests, answers and watches over a ring.
//!
//! This part knows no hypercalls: its owner connects rings, [pumps](StoreClient::pump) when the
//! ring's event comes, and notifies the other side when told to. Several requests may be under way;
//! answers find theirs by number. After [`connect`](StoreClient::connect) to a new ring everything
//! that has no answer yet is sent again, and every watch registered again, so a request in flight
//! does not notice that its domain was saved and restored. (All requests that are made here may be
//! done twice: a second write of the same value changes nothing.) Requests that were about the old
//! domain are forgotten instead.

use alloc::format;
use alloc::vec::Vec;

use xen_hypercall::io::xenstore::{MessageHeader, MessageType, PAYLOAD_MAX};

use crate::logic::byte_ring::ByteRing;
use crate::logic::xenstore_wire::{Assembler, StoreError, compose, refusal, token};

/// Requests that can be under way at one time, one for each watch included.
const CALLS: usize = 16;
/// Watches at one time.
const WATCHES: usize = 8;
/// Bytes for which there are buffers in reserve, so that short messages need no heap.
const SHORT: usize = 256;

/// The two directions of a connection.
pub struct StoreRings {
    /// To xenstored.
    pub requests: ByteRing<'static>,
    /// From xenstored.
    pub answers: ByteRing<'static>,
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(u32);

/// A watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchId(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallPhase {
    /// This number of the request's bytes has gone.
    Sending(usize),
    /// All have gone.
    Sent,
    /// The answer is there.
    Answered,
}

struct Call {
    id: CallId,
    phase: CallPhase,
    request: Vec<u8>,
    answer: Result<Vec<u8>, StoreError>,
    in_new_domain: InNewDomain,
}

/// What becomes of a request on a new connection, which is that of a new domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InNewDomain {
    /// It is sent again if it has no answer.
    Repeated,
    /// It is sent again in any case: a watch.
    Renewed,
    /// It is forgotten: it was about the old domain.
    Forgotten,
}

/// The client's side of a connection.
pub struct StoreClient {
    rings: Option<StoreRings>,
    failure: Option<StoreError>,
    incoming: Assembler,
    /// In the order of their numbers, which is the order of sending.
    calls: Vec<Call>,
    /// How often each watch has fired.
    watches: Vec<u32>,
    last_id: u32,
    reserve: Vec<Vec<u8>>,
}

impl StoreClient {
    /// A client without a connection: requests fail until there is one.
    pub fn new() -> Self {
        StoreClient {
            rings: None,
            failure: None,
            incoming: Assembler::new(),
            calls: Vec::with_capacity(CALLS),
            watches: Vec::with_capacity(WATCHES),
            last_id: 0,
            reserve: (0..2 * CALLS).map(|_| Vec::with_capacity(SHORT)).collect(),
        }
    }

    /// Begins afresh on these rings.
    pub fn connect(&mut self, rings: StoreRings) {
        self.rings = Some(rings);
        self.failure = None;
        self.incoming.clear();
        let forgotten = |call: &Call| call.in_new_domain == InNewDomain::Forgotten;
        while let Some(at) = self.calls.iter().position(forgotten) {
            let call = self.calls.remove(at);
            self.recycle(call);
        }
        for call in &mut self.calls {
            if call.in_new_domain == InNewDomain::Renewed || call.phase != CallPhase::Answered {
                call.phase = CallPhase::Sending(0);
            }
        }
    }

    /// Queues a request, with room for an answer of `room` bytes. [Pump](Self::pump) afterwards.
    pub fn submit(
        &mut self,
        kind: MessageType,
        parts: &[&[u8]],
        room: usize,
    ) -> Result<CallId, StoreError> {
        self.queue(kind, parts, room, InNewDomain::Repeated)
    }

    /// The same for a request that is about this domain, such as one with a port's number: on a new
    /// connection it is forgotten, with its answer.
    pub fn submit_for_this_domain(
        &mut self,
        kind: MessageType,
        parts: &[&[u8]],
        room: usize,
    ) -> Result<CallId, StoreError> {
        self.queue(kind, parts, room, InNewDomain::Forgotten)
    }

    /// Whether a request has its answer, or is forgotten.
    pub fn is_answered(&self, id: CallId) -> bool {
        self.call(id).is_none_or(|at| self.calls[at].phase == CallPhase::Answered)
    }

    /// Looks at the answer, and forgets the request. None if there is no answer yet; then the
    /// answer will be dropped.
    pub fn finish<R>(
        &mut self,
        id: CallId,
        look: impl FnOnce(Result<&[u8], &StoreError>) -> R,
    ) -> Option<R> {
        let call = self.calls.remove(self.call(id)?);
        let answered = call.phase == CallPhase::Answered;
        let result = answered.then(|| look(call.answer.as_deref()));
        // The first bytes of a message have gone: it has to go to its end.
        if matches!(call.phase, CallPhase::Sending(sent) if sent > 0) {
            self.fail(StoreError::Broken("a request was given up half sent"));
        }
        self.recycle(call);
        result
    }

    /// Watches a path, for good. The watch fires once at once. [Pump](Self::pump) afterwards.
    pub fn watch(&mut self, path: &[u8]) -> Result<WatchId, StoreError> {
        let index = self.watches.len();
        if index == WATCHES {
            return Err(StoreError::Busy);
        }
        let token = format!("w{index}\0");
        self.queue(
            MessageType::WATCH,
            &[path, b"\0", token.as_bytes()],
            SHORT,
            InNewDomain::Renewed,
        )?;
        self.watches.push(0);
        Ok(WatchId(index))
    }

    /// How often the watch has fired; wraps around.
    pub fn fired(&self, watch: WatchId) -> u32 {
        self.watches[watch.0]
    }

    /// Moves bytes in both directions. Whether the other side has to be notified.
    pub fn pump(&mut self) -> bool {
        let moved = self.send().and_then(|sent| Ok(sent | self.receive()?));
        match moved {
            Ok(moved) => moved,
            Err(failure) => {
                self.fail(failure);
                false
            }
        }
    }

    fn queue(
        &mut self,
        kind: MessageType,
        parts: &[&[u8]],
        room: usize,
        in_new_domain: InNewDomain,
    ) -> Result<CallId, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.rings.is_none() {
            return Err(StoreError::NotConnected);
        }
        if self.calls.len() == CALLS {
            return Err(StoreError::Busy);
        }
        self.last_id = self.last_id.wrapping_add(1);
        let id = CallId(self.last_id);
        let mut request =
            self.buffer(MessageHeader::SIZE + parts.iter().map(|part| part.len()).sum::<usize>());
        compose(&mut request, kind, id.0, parts)?;
        let answer = Ok(self.buffer(room.min(PAYLOAD_MAX)));
        self.calls.push(Call { id, phase: CallPhase::Sending(0), request, answer, in_new_domain });
        Ok(id)
    }

    fn send(&mut self) -> Result<bool, StoreError> {
        let Some(rings) = &self.rings else { return Ok(false) };
        let mut moved = false;
        for call in &mut self.calls {
            let CallPhase::Sending(sent) = call.phase else { continue };
            let count = rings.requests.write(&call.request[sent..]).map_err(|_| JUMP)?;
            moved |= count > 0;
            if sent + count < call.request.len() {
                call.phase = CallPhase::Sending(sent + count);
                break;
            }
            call.phase = CallPhase::Sent;
        }
        Ok(moved)
    }

    fn receive(&mut self) -> Result<bool, StoreError> {
        let mut moved = false;
        loop {
            let Some(rings) = &self.rings else { return Ok(moved) };
            let mut bytes = [0; 128];
            let wanted = self.incoming.missing()?.min(bytes.len());
            let count = rings.answers.read(&mut bytes[..wanted]).map_err(|_| JUMP)?;
            self.incoming.add(&bytes[..count]);
            moved |= count > 0;
            if self.incoming.message().is_some() {
                self.dispatch()?;
                self.incoming.clear();
            } else if count == 0 {
                return Ok(moved);
            }
        }
    }

    fn dispatch(&mut self) -> Result<(), StoreError> {
        let Some((header, payload)) = self.incoming.message() else { return Ok(()) };
        if header.kind == MessageType::WATCH_EVENT {
            let number = core::str::from_utf8(token(payload)?)
                .ok()
                .and_then(|token| token.strip_prefix('w'));
            let watch = number.and_then(|number| number.parse::<usize>().ok());
            let fired = watch.and_then(|watch| self.watches.get_mut(watch));
            let fired =
                fired.ok_or(StoreError::Broken("a watch event has a token that nobody gave"))?;
            *fired = fired.wrapping_add(1);
            return Ok(());
        }
        // An answer that nobody waits for is one to a request that was given up.
        let Some(call) = self.calls.iter_mut().find(|call| call.id.0 == header.request) else {
            return Ok(());
        };
        if call.phase != CallPhase::Sent {
            return Err(StoreError::Broken("an answer came twice, or too early"));
        }
        let expected = MessageHeader::from_bytes(
            *call.request.first_chunk().unwrap_or(&[0; MessageHeader::SIZE]),
        )
        .kind;
        if header.kind == MessageType::ERROR {
            call.answer = Err(refusal(payload));
        } else if header.kind != expected {
            return Err(StoreError::Broken("an answer is of another kind than the request"));
        } else if let Ok(answer) = &mut call.answer {
            if payload.len() > answer.capacity() {
                call.answer = Err(StoreError::AnswerTooLong(payload.len()));
            } else {
                answer.clear();
                answer.extend_from_slice(payload);
            }
        }
        call.phase = CallPhase::Answered;
        Ok(())
    }

    /// Gives the connection up: everything under way gets this answer.
    fn fail(&mut self, failure: StoreError) {
        self.rings = None;
        for call in self.calls.iter_mut().filter(|call| call.phase != CallPhase::Answered) {
            call.phase = CallPhase::Answered;
            call.answer = Err(failure.clone());
        }
        self.failure = Some(failure);
    }

    fn call(&self, id: CallId) -> Option<usize> {
        self.calls.iter().position(|call| call.id == id)
    }

    /// An empty buffer for `room` bytes, from the reserve if they are few.
    fn buffer(&mut self, room: usize) -> Vec<u8> {
        let reserved = if room <= SHORT { self.reserve.pop() } else { None };
        reserved.unwrap_or_else(|| Vec::with_capacity(room))
    }

    fn recycle(&mut self, call: Call) {
        self.release(call.request);
        call.answer.into_iter().for_each(|answer| self.release(answer));
    }

    fn release(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() == SHORT && self.reserve.len() < self.reserve.capacity() {
            buffer.clear();
            self.reserve.push(buffer);
        }
    }
}

const JUMP: StoreError = StoreError::Broken("the ring's indices jumped");

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    /// The memory of a connection, small so that messages do not fit at once, and xenstored's side
    /// of it.
    #[derive(Default)]
    struct Xenstored {
        bytes: [[AtomicU8; 16]; 2],
        indices: [AtomicU32; 4],
    }

    impl Xenstored {
        fn new() -> &'static Self {
            Box::leak(Box::default())
        }

        fn ring(&'static self, direction: usize) -> ByteRing<'static> {
            ByteRing {
                bytes: &self.bytes[direction],
                produced: &self.indices[direction * 2],
                consumed: &self.indices[direction * 2 + 1],
            }
        }

        fn rings(&'static self) -> StoreRings {
            StoreRings { requests: self.ring(0), answers: self.ring(1) }
        }

        /// Reads one request while the client pumps.
        fn hear(&'static self, client: &mut StoreClient) -> (MessageHeader, Vec<u8>) {
            let mut assembler = Assembler::new();
            loop {
                client.pump();
                let mut buffer = [0; 5];
                let wanted = assembler.missing().unwrap().min(5);
                let count = self.ring(0).read(&mut buffer[..wanted]).unwrap();
                assembler.add(&buffer[..count]);
                if let Some((header, payload)) = assembler.message() {
                    return (header, payload.to_vec());
                }
                assert!(count > 0, "the client has nothing more to say");
            }
        }

        /// Writes one message while the client pumps.
        fn say(
            &'static self,
            client: &mut StoreClient,
            kind: MessageType,
            request: u32,
            payload: &[u8],
        ) {
            let mut message = Vec::new();
            compose(&mut message, kind, request, &[payload]).unwrap();
            let mut rest = &message[..];
            while !rest.is_empty() {
                let count = self.ring(1).write(rest).unwrap();
                rest = &rest[count..];
                client.pump();
            }
        }
    }

    fn connected() -> (StoreClient, &'static Xenstored) {
        let xenstored = Xenstored::new();
        let mut client = StoreClient::new();
        client.connect(xenstored.rings());
        (client, xenstored)
    }

    fn answer(client: &mut StoreClient, id: CallId) -> Option<Result<Vec<u8>, StoreError>> {
        client.finish(id, |answer| answer.map(<[u8]>::to_vec).map_err(Clone::clone))
    }

    #[test]
    fn answers_find_their_requests_in_any_order() {
        let (mut client, xenstored) = connected();
        let first = client.submit(MessageType::READ, &[b"a-rather-long-path\0"], SHORT).unwrap();
        let second = client.submit(MessageType::READ, &[b"b\0"], SHORT).unwrap();
        let one = xenstored.hear(&mut client);
        let two = xenstored.hear(&mut client);
        assert_eq!(
            (one.1.as_slice(), two.1.as_slice()),
            (&b"a-rather-long-path\0"[..], &b"b\0"[..])
        );
        xenstored.say(&mut client, MessageType::READ, two.0.request, b"2");
        assert!(client.is_answered(second) && !client.is_answered(first));
        xenstored.say(&mut client, MessageType::ERROR, one.0.request, b"ENOENT\0");
        assert_eq!(answer(&mut client, first), Some(Err(StoreError::Refused("ENOENT".into()))));
        assert_eq!(answer(&mut client, second), Some(Ok(b"2".to_vec())));
    }

    #[test]
    fn a_new_connection_repeats_what_has_no_answer_and_all_watches() {
        let (mut client, old) = connected();
        let watch = client.watch(b"control/shutdown").unwrap();
        let (header, _) = old.hear(&mut client);
        old.say(&mut client, MessageType::WATCH, header.request, b"OK\0");
        old.say(&mut client, MessageType::WATCH_EVENT, 0, b"control/shutdown\0w0\0");
        assert_eq!(client.fired(watch), 1);
        let done = client.submit(MessageType::READ, &[b"done\0"], SHORT).unwrap();
        let (header, _) = old.hear(&mut client);
        old.say(&mut client, MessageType::READ, header.request, b"yes");
        let open =
            client.submit(MessageType::WRITE, &[b"a-rather-long-path\0", b"value"], SHORT).unwrap();
        client.pump();
        // Half an answer to nothing in particular is in the old ring.
        old.ring(1).write(&[1, 2, 3]).unwrap();
        client.pump();

        let new = Xenstored::new();
        client.connect(new.rings());
        let (header, payload) = new.hear(&mut client);
        assert_eq!(
            (header.kind, &payload[..]),
            (MessageType::WATCH, &b"control/shutdown\0w0\0"[..])
        );
        let (header, payload) = new.hear(&mut client);
        assert_eq!(
            (header.kind, &payload[..]),
            (MessageType::WRITE, &b"a-rather-long-path\0value"[..])
        );
        new.say(&mut client, MessageType::WRITE, header.request, b"OK\0");
        assert_eq!(answer(&mut client, open), Some(Ok(b"OK\0".to_vec())));
        assert_eq!(answer(&mut client, done), Some(Ok(b"yes".to_vec())));
    }

    #[test]
    fn what_is_about_a_domain_is_forgotten_in_the_next() {
        let (mut client, mut xenstored) = connected();
        // More domains than there can be requests.
        for domain in 0..2 * CALLS {
            let port = format!("port {domain}");
            let parts: [&[u8]; 2] = [b"attach\0", port.as_bytes()];
            let id = client.submit_for_this_domain(MessageType::WRITE, &parts, SHORT).unwrap();
            let (header, payload) = xenstored.hear(&mut client);
            // What was said in earlier domains is not said again.
            assert_eq!(payload, [parts[0], parts[1]].concat());
            // Every other one gets its answer in time.
            if domain % 2 == 0 {
                xenstored.say(&mut client, MessageType::WRITE, header.request, b"OK\0");
                assert!(client.is_answered(id));
            }
            xenstored = Xenstored::new();
            client.connect(xenstored.rings());
            assert_eq!(answer(&mut client, id), None);
        }
        // Nor half of it, if it was being sent.
        client.submit_for_this_domain(MessageType::WRITE, &[&[b'x'; 100]], SHORT).unwrap();
        client.pump();
        let new = Xenstored::new();
        client.connect(new.rings());
        client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        assert_eq!(new.hear(&mut client).1, b"x\0");
        assert_eq!(client.reserve.len(), 2 * CALLS - 2);
    }

    /// What a client makes of hostile bytes: an error for the request under way, and for all later
    /// ones.
    fn breaks(bytes: &[u8]) {
        let (mut client, xenstored) = connected();
        let id = client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        xenstored.hear(&mut client);
        let mut rest = bytes;
        while !rest.is_empty() && !client.is_answered(id) {
            let count = xenstored.ring(1).write(rest).unwrap();
            rest = &rest[count..];
            client.pump();
        }
        assert!(matches!(answer(&mut client, id), Some(Err(StoreError::Broken(_)))), "{bytes:?}");
        assert!(matches!(
            client.submit(MessageType::READ, &[b"x\0"], SHORT),
            Err(StoreError::Broken(_))
        ));
    }

    fn message(kind: MessageType, request: u32, len: u32, payload: &[u8]) -> Vec<u8> {
        [&MessageHeader { kind, request, transaction: 0, len }.to_bytes()[..], payload].concat()
    }

    #[test]
    fn a_daemon_that_breaks_the_protocol_is_an_error() {
        breaks(&message(MessageType::READ, 1, 5000, b""));
        breaks(&message(MessageType::WRITE, 1, 0, b""));
        breaks(&message(MessageType::WATCH_EVENT, 0, 4, b"abcd"));
        breaks(&message(MessageType::WATCH_EVENT, 0, 6, b"abc\0w\0"));
        breaks(&message(MessageType::WATCH_EVENT, 0, 7, b"abc\0w9\0"));
    }

    #[test]
    fn a_second_answer_is_an_error() {
        let (mut client, xenstored) = connected();
        let id = client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        xenstored.hear(&mut client);
        xenstored.say(&mut client, MessageType::READ, 1, b"1");
        xenstored.say(&mut client, MessageType::READ, 1, b"2");
        assert_eq!(answer(&mut client, id), Some(Ok(b"1".to_vec())));
        assert!(matches!(
            client.submit(MessageType::READ, &[b"x\0"], SHORT),
            Err(StoreError::Broken(_))
        ));
    }

    #[test]
    fn indices_that_jump_are_an_error() {
        for index in [1, 2] {
            let (mut client, xenstored) = connected();
            let id = client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
            xenstored.indices[index].store(1000, Ordering::Relaxed);
            client.pump();
            assert_eq!(answer(&mut client, id), Some(Err(JUMP)));
        }
    }

    #[test]
    fn an_answer_longer_than_its_room_is_an_error_of_that_request() {
        let (mut client, xenstored) = connected();
        let id = client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        xenstored.hear(&mut client);
        xenstored.say(&mut client, MessageType::READ, 1, &[b'x'; SHORT + 1]);
        assert_eq!(answer(&mut client, id), Some(Err(StoreError::AnswerTooLong(SHORT + 1))));
        assert!(client.submit(MessageType::READ, &[b"x\0"], SHORT).is_ok());
    }

    #[test]
    fn a_request_that_was_given_up_may_still_be_answered() {
        let (mut client, xenstored) = connected();
        let id = client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        xenstored.hear(&mut client);
        assert_eq!(answer(&mut client, id), None);
        xenstored.say(&mut client, MessageType::READ, 1, b"late");
        assert!(client.submit(MessageType::READ, &[b"x\0"], SHORT).is_ok());
    }

    #[test]
    fn without_a_connection_and_with_too_many_requests_there_is_an_error() {
        let mut client = StoreClient::new();
        assert_eq!(
            client.submit(MessageType::READ, &[b"x\0"], SHORT),
            Err(StoreError::NotConnected)
        );
        let (mut client, _) = connected();
        for _ in 0..CALLS {
            client.submit(MessageType::READ, &[b"x\0"], SHORT).unwrap();
        }
        assert_eq!(client.submit(MessageType::READ, &[b"x\0"], SHORT), Err(StoreError::Busy));
    }
}
