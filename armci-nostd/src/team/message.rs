//! Messages from rank to rank, with tags: `armci_msg_snd` and `armci_msg_rcv`.
//!
//! Each rank has a queue of [`Letter`]s in its mailbox. A short message travels in its letter; a
//! longer one waits in memory of the sender, from where the receiver gets it, and says that it has.
//! So a send never waits for the receive, as long as there is memory and the receiver takes its
//! letters out now and then: it does so in every receive and every send.

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::iter::once;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::prelude::v1::*;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Error;
use crate::path::paths::Paths;
use crate::path::rows::{Operation, Row, TargetSpace};
use crate::wire::area::{LETTER_BYTES, LETTERS, Letter, Mailbox};
use crate::wire::request::RmwKind;

/// Context of the application's messages.
pub(crate) const APPLICATION: u32 = 0;
/// Context of what is said when a group is made.
pub(crate) const CREATE_GROUP: u32 = 1;

/// What a letter says.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Envelope {
    /// The sender.
    from: u32,
    /// Its tag.
    tag: i32,
    /// Whose messages these are: the application's or the runtime's.
    context: u32,
    reserved: u32,
    /// Bytes of the message.
    len: u64,
    /// Not zero: where the message waits, in the sender's memory, behind a word that says whether
    /// it still does.
    address: u64,
    /// The message itself if it is short.
    data: [u8; LETTER_BYTES],
}

const _: () =
    assert!(size_of::<Envelope>() == 120 && size_of::<Letter>() == 8 + size_of::<Envelope>());

/// Bytes of the word before a message that waits at its sender.
const WAITS: usize = 64;

/// From whom a message may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// From this rank.
    Rank(usize),
    /// From anyone.
    Any,
}

/// A message that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// From whom.
    pub from: usize,
    /// With which tag.
    pub tag: i32,
    /// Bytes.
    pub bytes: usize,
}

/// A rank's post: letters that have come, and messages that wait to be got.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// Letters taken out of the queue.
    taken: Cell<u64>,
    /// Those of them that nobody has received yet.
    unread: RefCell<VecDeque<Envelope>>,
    /// Messages that wait here for their receivers.
    waiting: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl Post {
    /// Sends `data` to `rank`, which may be this one.
    pub fn send(
        &self,
        paths: &Paths,
        context: u32,
        rank: usize,
        tag: i32,
        data: &[u8],
    ) -> Result<(), Error> {
        let to = paths.check_rank(rank)?;
        let mut letter = Envelope {
            from: paths.rank,
            tag,
            context,
            reserved: 0,
            len: data.len() as u64,
            address: 0,
            data: [0; LETTER_BYTES],
        };
        match letter.data.get_mut(..data.len()) {
            Some(inside) => inside.copy_from_slice(data),
            None => letter.address = self.keep(paths, data)?,
        }
        self.post_letter(paths, to, &letter)
    }

    /// Waits for a message, and copies it to the start of `data`.
    pub fn receive(
        &self,
        paths: &Paths,
        context: u32,
        from: Sender,
        tag: Option<i32>,
        data: &mut [u8],
    ) -> Result<Received, Error> {
        check_sender(paths, from)?;
        let letter = loop {
            self.take_letters(paths);
            let mut unread = self.unread.borrow_mut();
            if let Some(at) = unread.iter().position(|letter| letter.matches(context, from, tag)) {
                let (from, len) = (unread[at].from as usize, unread[at].len as usize);
                if len > data.len() {
                    return Err(Error::MessageTooLong { from, len, room: data.len() });
                }
                match unread.remove(at) {
                    Some(letter) => break letter,
                    None => continue,
                }
            }
            drop(unread);
            let only_from_here = paths.size() == 1 || from == Sender::Rank(paths.rank());
            if only_from_here && !self.more_letters(paths) {
                // What this rank has sent may still be on its way to it.
                if !paths.unfenced.get() {
                    return Err(Error::NobodyElse);
                }
                paths.all_fence()?;
                continue;
            }
            // Another thread may take it out of the queue.
            let taken = self.taken.get();
            paths
                .wait_for_rank(|| self.taken.get() != taken || self.next_letter(paths).is_some())?;
        };
        let data = &mut data[..letter.len as usize];
        if letter.address == 0 {
            match letter.data.get(..data.len()) {
                Some(inside) => data.copy_from_slice(inside),
                None => {
                    return Err(Error::Shape(
                        "a message without a place is longer than its letter",
                    ));
                }
            }
        } else {
            let row = Row {
                local: data.as_mut_ptr(),
                remote: letter.address.wrapping_add(WAITS as u64),
                len: data.len(),
            };
            // SAFETY: the slice is borrowed until the get is complete.
            let got = unsafe { paths.transfer(Operation::Get, letter.from as usize, once(row))? };
            paths.wait(got)?;
            let from = paths.check_rank(letter.from as usize)?;
            paths.tell(TargetSpace::Public, from, letter.address, 1)?;
        }
        Ok(letter.received())
    }

    /// Whether such a message has come, which is then not received yet.
    pub fn probe(
        &self,
        paths: &Paths,
        context: u32,
        from: Sender,
        tag: Option<i32>,
    ) -> Result<Option<Received>, Error> {
        check_sender(paths, from)?;
        self.take_letters(paths);
        let unread = self.unread.borrow();
        let found = unread.iter().find(|letter| letter.matches(context, from, tag));
        Ok(found.map(Envelope::received))
    }

    /// Keeps a message until its receiver has got it.
    fn keep(&self, paths: &Paths, data: &[u8]) -> Result<u64, Error> {
        let no_memory = || Error::OutOfMemory { bytes: data.len() };
        let layout = Layout::from_size_align(data.len().saturating_add(WAITS), 64)
            .map_err(|_| no_memory())?;
        let mut looks = 0;
        let memory = loop {
            self.clear_out(paths);
            if let Some(memory) = paths.alloc(layout) {
                break memory;
            }
            // There will be room when those who got messages have them.
            if self.waiting.borrow().is_empty() {
                return Err(no_memory());
            }
            self.take_letters(paths);
            looks = paths.look_again(looks)?;
        };
        // SAFETY: just allocated, long enough; the first word is zero and becomes another one when
        // the receiver has the rest.
        unsafe { memory.add(WAITS).as_ptr().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        self.waiting.borrow_mut().push((memory, layout));
        Ok(memory.addr().get() as u64)
    }

    /// Frees messages that their receivers have got.
    fn clear_out(&self, paths: &Paths) {
        self.waiting.borrow_mut().retain(|&(memory, layout)| {
            // SAFETY: allocated and zeroed; receivers write the word whole.
            let waits =
                unsafe { AtomicU64::from_ptr(memory.as_ptr().cast()) }.load(Ordering::Acquire) == 0;
            if !waits {
                // SAFETY: allocated with this layout; the receiver has said that it is done with
                // it.
                unsafe { paths.dealloc(memory, layout) };
            }
            waits
        });
    }

    /// Puts a letter into the queue of `to`, when that has room.
    fn post_letter(&self, paths: &Paths, to: u32, letter: &Envelope) -> Result<(), Error> {
        let drawn = offset_of!(Mailbox, drawn) as u64;
        let kind = RmwKind::FetchAdd64;
        let number = paths.read_modify_write_in(TargetSpace::Mailbox, kind, to, drawn, [1, 0])?;
        let place =
            (offset_of!(Mailbox, letters) + number as usize % LETTERS * size_of::<Letter>()) as u64;
        let turn = number / LETTERS as u64 * 2;
        let turn_at = place + offset_of!(Letter, turn) as u64;
        let mut looks = 0;
        while peek(paths, to, turn_at)? != turn {
            // Everybody's queue may be full of letters from everybody.
            self.take_letters(paths);
            looks = paths.look_again(looks)?;
        }
        let bytes = letter.as_bytes();
        let remote = place + offset_of!(Letter, envelope) as u64;
        let row = Row { local: bytes.as_ptr().cast_mut(), remote, len: bytes.len() };
        // SAFETY: the letter is borrowed until the put is complete.
        paths.wait(unsafe {
            paths.transfer_in(TargetSpace::Mailbox, Operation::Put, to, once(row))?
        })?;
        paths.tell(TargetSpace::Mailbox, to, turn_at, turn + 1)
    }

    /// Takes all letters out of this rank's own queue, so that there is room for more.
    fn take_letters(&self, paths: &Paths) {
        while let Some(letter) = self.next_letter(paths) {
            let number = self.taken.get();
            // SAFETY: the sender is done with it, says its turn, and nobody writes it before the
            // turn changes.
            let words = unsafe { letter.envelope.get().read() };
            if let Ok(envelope) = Envelope::read_from_bytes(words.as_bytes()) {
                self.unread.borrow_mut().push_back(envelope);
            }
            letter.turn.store((number / LETTERS as u64 + 1) * 2, Ordering::Release);
            self.taken.set(number + 1);
        }
    }

    /// The next letter in the queue, if it has come.
    fn next_letter<'a>(&self, paths: &'a Paths) -> Option<&'a Letter> {
        let number = self.taken.get();
        // SAFETY: the mailbox lives as long as the rank; a letter is an atomic and a cell.
        let letters = unsafe { &(*paths.own_mailbox().as_ptr()).letters };
        let letter = &letters[number as usize % LETTERS];
        (letter.turn.load(Ordering::Acquire) == number / LETTERS as u64 * 2 + 1).then_some(letter)
    }

    /// Whether numbers have been drawn for letters that have not been taken yet. One that its
    /// sender is still filling holds up all behind it.
    fn more_letters(&self, paths: &Paths) -> bool {
        // SAFETY: the mailbox lives as long as the rank; the word is an atomic.
        let drawn = unsafe { &(*paths.own_mailbox().as_ptr()).drawn.0 };
        drawn.load(Ordering::Acquire) != self.taken.get()
    }
}

fn check_sender(paths: &Paths, from: Sender) -> Result<(), Error> {
    match from {
        Sender::Rank(rank) => paths.check_rank(rank).map(drop),
        Sender::Any => Ok(()),
    }
}

/// Reads a word of a mailbox.
fn peek(paths: &Paths, rank: u32, remote: u64) -> Result<u64, Error> {
    if let Some(visit) = paths.visit(rank)
        && let Some(word) = visit.word(TargetSpace::Mailbox, remote)
    {
        return Ok(word.load(Ordering::Acquire));
    }
    let mut word = 0u64;
    let row = Row { local: (&raw mut word).cast(), remote, len: 8 };
    // SAFETY: the word is borrowed until the get is complete.
    paths.wait(unsafe {
        paths.transfer_in(TargetSpace::Mailbox, Operation::Get, rank, once(row))?
    })?;
    Ok(word)
}

impl Envelope {
    fn matches(&self, context: u32, from: Sender, tag: Option<i32>) -> bool {
        self.context == context
            && (from == Sender::Any || from == Sender::Rank(self.from as usize))
            && tag.is_none_or(|tag| tag == self.tag)
    }

    fn received(&self) -> Received {
        Received { from: self.from as usize, tag: self.tag, bytes: self.len as usize }
    }
}
