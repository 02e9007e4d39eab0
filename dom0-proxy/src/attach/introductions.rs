//! Telling the ranks of a job that are processes of each other.
//!
//! A rank may be slow to read, or read nothing. So nothing here waits for one: what does not fit is
//! tried again. File descriptors on their way count against the limit of all processes of a user.
//! Only a few ranks are told at a time, and of each connection's messages only a few fit between
//! the two ends; so one job cannot use that limit up for others by not reading.

use std::io;

use rustix::io::Errno;

use super::fleet::Fleet;

/// Ranks that are told at a time.
const ABREAST: usize = 16;

/// How far a job's introductions have come.
pub(crate) struct Introductions<'a> {
    fleet: &'a Fleet,
    /// Places of ranks that are being told, and of the next one of which each is to be told.
    telling: Vec<(u32, u32)>,
    /// The place of the next rank to be told of others.
    next: u32,
}

/// What came of trying once more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All ranks have been told of all others.
    All,
    /// Some ranks have been told of some others.
    Some,
    /// This rank does not read, or too many file descriptors are on their way.
    Stuck {
        /// The rank.
        rank: u32,
        /// Whether it is not the rank's fault.
        in_flight: bool,
    },
}

impl<'a> Introductions<'a> {
    /// Of a job whose ranks have not been told of any other.
    pub(crate) fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, telling: Vec::new(), next: 0 }
    }

    /// Tells as much as can be told now.
    pub(crate) fn tell(&mut self) -> Told {
        let size = self.fleet.ranks().len() as u32;
        let mut stuck = None;
        let mut progress = false;
        loop {
            while self.telling.len() < ABREAST && self.next < size {
                self.telling.push((self.next, 0));
                self.next += 1;
            }
            let before = self.telling.len();
            let fleet = self.fleet;
            self.telling.retain_mut(|(rank, other)| {
                while *other < size {
                    match tell_one(fleet, *rank, *other) {
                        Ok(()) => (*other, progress) = (*other + 1, true),
                        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                            Some(Errno::AGAIN | Errno::NOBUFS) => {
                                stuck.get_or_insert((*rank, false));
                                return true;
                            }
                            Some(Errno::TOOMANYREFS) => {
                                stuck.get_or_insert((*rank, true));
                                return true;
                            }
                            // It is gone: that will be found out when its process ends.
                            _ => {
                                tracing::debug!(rank, other, %error, "not told of another");
                                return false;
                            }
                        },
                    }
                }
                false
            });
            if self.telling.len() == before {
                break;
            }
        }
        match stuck {
            _ if self.telling.is_empty() && self.next == size => Told::All,
            Some((place, in_flight)) if !progress => {
                Told::Stuck { rank: self.fleet.numbers()[place as usize], in_flight }
            }
            _ => Told::Some,
        }
    }
}

/// Tells a rank of another one, if both are processes.
fn tell_one(fleet: &Fleet, rank: u32, other: u32) -> io::Result<()> {
    let card = |place: u32| fleet.ranks()[place as usize].card();
    match (card(rank), card(other)) {
        (Some(to), Some(of)) if rank != other => to.introduce(fleet.numbers()[other as usize], of),
        _ => Ok(()),
    }
}
