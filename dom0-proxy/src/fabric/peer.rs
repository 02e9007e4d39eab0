//! The proxy of one other host: what it was asked for and has not done yet, and what it asks for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use armci_nostd::wire::{Opcode, Request};

use super::frame::{self, Frame, PIECE};
use super::link::Link;

/// Nothing is asked for while more bytes than these wait to be sent.
const ASK_ROOM: usize = 1 << 20;

/// Bytes that may be on their way back at a time, so that what has to be sent for it fits beside
/// what is asked for. Answers never have to wait for room: two proxies that both ask for much
/// cannot wait for each other.
const ANSWER_ROOM: u64 = 4 << 20;

/// More than an honest proxy has waiting to be sent: whoever asks for that and takes nothing is no
/// proxy.
const MOST_UNSENT: usize = 16 << 20;

/// Frames of one peer before others have their turn.
const BATCH: usize = 64;

/// An answer that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// The rank that has asked.
    pub(crate) rank: u32,
    /// By which it knows the operation.
    pub(crate) tag: u32,
    /// Where the data go in its memory.
    pub(crate) address: u64,
    /// Their length.
    pub(crate) length: u64,
    /// Whether the operation has come to its end with that.
    pub(crate) is_last: bool,
}

/// What is done for a peer. `E` is what can be wrong with this host's own ranks.
pub(crate) trait Serve<E> {
    /// The peer's ranks, as it describes them.
    fn hello(&mut self, body: &[u8]) -> Result<(), PeerTrouble<E>>;

    /// Does `request` with these data, or fills them for a get. What a read-modify-write found,
    /// else zero; `None` if nothing was done, and it is to be tried again.
    fn ask(&mut self, request: &Request, data: &mut [u8]) -> Result<Option<u64>, PeerTrouble<E>>;

    /// An answer has come.
    fn answer(&mut self, awaited: &Awaited, value: u64, data: &[u8]) -> Result<(), PeerTrouble<E>>;
}

/// Why there is no going on with a peer.
#[derive(Debug)]
pub(crate) enum PeerTrouble<E> {
    /// It is gone, or does what a proxy does not do.
    Lost(String),
    /// A rank of this host is at fault, or this host.
    Own(E),
}

impl<E> From<io::Error> for PeerTrouble<E> {
    fn from(error: io::Error) -> Self {
        Self::Lost(format!("the connection broke: {error}"))
    }
}

/// The proxy of one other host.
#[derive(Debug)]
pub(crate) struct Peer {
    link: Box<dyn Link>,
    /// Operations that it was asked for.
    asked: u64,
    /// Those of them that it has done.
    done: u64,
    /// Of those that are not, the ones that are answered: their numbers, and what is to come.
    awaited: VecDeque<(u64, Awaited)>,
    /// Bytes of all of these.
    on_the_way: u64,
    /// Operations that it has asked for and that are done; how many of them it has been told of.
    served: u64,
    told: u64,
    /// Whether it has said who it is, and that it goes.
    is_known: bool,
    has_left: bool,
}

impl Peer {
    /// Over this connection, on which nothing was said.
    pub(crate) fn new(link: Box<dyn Link>) -> Self {
        Self {
            link,
            asked: 0,
            done: 0,
            awaited: VecDeque::new(),
            on_the_way: 0,
            served: 0,
            told: 0,
            is_known: false,
            has_left: false,
        }
    }

    /// Tells it what it must know of the ranks here.
    pub(crate) fn say_hello(&mut self, body: &[u8]) {
        frame::hello(self.link.buffers().1, body);
    }

    /// Tells it that there is nothing more to come, and sends what can be sent at once.
    pub(crate) fn say_bye(&mut self) {
        frame::bye(self.link.buffers().1);
        // If it is gone that is just as well.
        let _ = self.link.carry();
    }

    /// Whether it has said which ranks it has.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Where to wait for it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.link.fd()
    }

    /// How many of the operations that it was asked for are done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Whether it has done all that it was asked for, and knows so of what it has asked for.
    pub(crate) fn is_drained(&self) -> bool {
        self.done == self.asked && self.told == self.served && self.link.unsent() == 0
    }

    /// Asks for an operation that moves up to [`PIECE`] bytes. `data` are as many as it sends, and
    /// `fill` writes them. The operation's number, by which it is [done](Self::done) one day;
    /// `None` if there is no room now.
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        data: usize,
        fill: impl FnOnce(&mut [u8]),
        answer: Option<Awaited>,
    ) -> Option<u64> {
        let length = answer.map_or(0, |awaited| awaited.length);
        let is_full = self.on_the_way > 0 && self.on_the_way + length > ANSWER_ROOM;
        if self.link.unsent() >= ASK_ROOM || is_full {
            return None;
        }
        let (_, outgoing) = self.link.buffers();
        let begin = frame::ask(outgoing, request, data);
        fill(&mut outgoing[begin..]);
        self.asked += 1;
        if let Some(awaited) = answer {
            self.on_the_way += length;
            self.awaited.push_back((self.asked, awaited));
        }
        Some(self.asked)
    }

    /// Sends and receives what can be now, and has done what it asks for. Whether anything was.
    ///
    /// # Errors
    /// [`PeerTrouble`]: then there is no going on.
    pub(crate) fn poll<E>(&mut self, serve: &mut impl Serve<E>) -> Result<bool, PeerTrouble<E>> {
        let lost = |why: &str| Err(PeerTrouble::Lost(why.into()));
        if self.has_left {
            return match self.done < self.asked {
                true => lost("its part of the job has ended before all that it was asked for"),
                false => Ok(false),
            };
        }
        let mut worked = self.link.carry()?;
        for _ in 0..BATCH {
            let Some(count) = self.take_frame(serve)? else { break };
            self.link.take(count);
            worked = true;
        }
        if self.told < self.served {
            self.told = self.served;
            frame::done(self.link.buffers().1, self.served);
        }
        if self.link.unsent() > 0 {
            worked |= self.link.carry()?;
        }
        if self.link.unsent() > MOST_UNSENT {
            return lost("it asks for more than it takes");
        }
        if self.link.has_ended() && self.link.buffers().0.is_empty() && !self.has_left {
            return lost("it has closed the connection");
        }
        Ok(worked)
    }

    /// Takes the first frame in. Its length, or `None` if there is none, or it has to wait.
    fn take_frame<E>(
        &mut self,
        serve: &mut impl Serve<E>,
    ) -> Result<Option<usize>, PeerTrouble<E>> {
        let lost = |why: String| PeerTrouble::Lost(why);
        let (incoming, answers) = self.link.buffers();
        let parsed = frame::parse(incoming).map_err(|error| lost(error.to_string()))?;
        let Some((frame, count)) = parsed else { return Ok(None) };
        if matches!(frame, Frame::Hello(_)) == self.is_known {
            return Err(lost("it says who it is at the wrong time".into()));
        }
        match frame {
            Frame::Hello(body) => {
                serve.hello(body)?;
                self.is_known = true;
            }
            Frame::Ask { request, data } => {
                let is_get = request.opcode == Opcode::Get as u8;
                let is_rmw = request.opcode == Opcode::ReadModifyWrite as u8;
                if is_get && (request.len > PIECE as u64 || !data.is_empty()) {
                    return Err(lost(format!("it asks for {} bytes at a time", request.len)));
                }
                let before = answers.len();
                let done = if is_get {
                    let begin = frame::answer(answers, 0, request.len as usize);
                    serve.ask(&request, &mut answers[begin..])?
                } else {
                    serve.ask(&request, data)?
                };
                let Some(value) = done else {
                    answers.truncate(before);
                    return Ok(None);
                };
                self.served += 1;
                if is_rmw {
                    frame::answer(answers, value, 0);
                }
                if is_get || is_rmw {
                    // An answer tells of all before it.
                    self.told = self.served;
                }
            }
            Frame::Answer { value, data } => {
                let Some((number, awaited)) = self.awaited.pop_front() else {
                    return Err(lost("it answers what it was not asked".into()));
                };
                if data.len() as u64 != awaited.length {
                    let wrong = format!("it answers {} bytes with {}", awaited.length, data.len());
                    return Err(lost(wrong));
                }
                serve.answer(&awaited, value, data)?;
                self.on_the_way -= awaited.length;
                self.done = number;
            }
            Frame::Done(number) => {
                let next = self.awaited.front().map_or(u64::MAX, |(number, _)| *number);
                if number < self.done || number > self.asked || number >= next {
                    return Err(lost(format!(
                        "it says that {number} operations are done, of {} that it was asked for",
                        self.asked
                    )));
                }
                self.done = number;
            }
            Frame::Bye => self.has_left = true,
        }
        Ok(Some(count))
    }
}
