//! Memory of hosted ranks, of which pages come into being when they are first touched. Whoever
//! touches them pays: to its control group they are charged, and Linux looks for a process with
//! much of them when memory runs out. That is not to be the daemon, which serves other jobs too. So
//! a process of the job's own touches them before the daemon does.
//!
//! A rank that gives a page back which was there (by a hole that it punches) makes the daemon the
//! one to touch it next; that is bounded by the window. Linux would refuse holes, and MADV_REMOVE,
//! under F_SEAL_FUTURE_WRITE, but refuses new mappings to write then too. So that seal could be put
//! on a window once all ranks have mapped it, which they do not tell.
//!
//! ```text
//! daemon: Provided (a rank's window) -> MemoryProvider ==socket==> provide_memory: that process
//! ```

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armci_nostd::hosted::frame;
use serde::{Deserialize, Serialize};

use super::bad_attach::BadAttach;
use super::memory::RankMemory;
use super::shared_memory::SharedMemory;

/// Memory is provided in blocks of this size.
const BLOCK: u64 = 64 << 10;
/// Blocks at a time: memory may run out in the middle.
const MOST_BLOCKS: u64 = 16;
/// How long that may take, on a host that swaps.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Map the memfd that comes with this.
    Map { len: u64 },
    /// Touch bytes of a window that was mapped.
    Touch { window: u32, from: u64, len: u64 },
}

/// What it answers: the window's number; or the system's number of the error.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done(u32),
    Failed(i32),
}

/// The process of a job that touches its memory, as the daemon has it.
#[derive(Debug)]
pub struct MemoryProvider(Mutex<UnixStream>);

impl MemoryProvider {
    /// The one at the other end of `stream`.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Mutex::new(stream)))
    }

    fn ask(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> io::Result<u32> {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Most likely by Linux, which takes it first.
        let killed = || io::Error::other("the process that takes it for the job was killed");
        frame::send(&stream, order, descriptors).map_err(|_| killed())?;
        match frame::receive(&stream).map_err(|_| killed())?.message {
            Answer::Done(window) => Ok(window),
            Answer::Failed(code) => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// What that process does until the daemon has closed the connection: what `stream` asks for.
pub fn provide_memory(stream: &UnixStream) {
    let mut windows = Vec::new();
    while let Ok(received) = frame::receive::<Order>(stream) {
        let done = match received.message {
            Order::Map { len } => {
                received.descriptors.first().ok_or(rustix::io::Errno::MFILE).and_then(|memfd| {
                    // The daemon has found it to be sound.
                    let memory = SharedMemory::map(memfd, len);
                    windows.push(memory.map_err(|_| rustix::io::Errno::NOMEM)?);
                    Ok(windows.len() as u32 - 1)
                })
            }
            Order::Touch { window, from, len } => {
                let memory = windows.get(window as usize).ok_or(rustix::io::Errno::INVAL);
                memory.and_then(|memory| memory.touch(from, len)).map(|()| window)
            }
        };
        let answer = done.map_or_else(|error| Answer::Failed(error.raw_os_error()), Answer::Done);
        if frame::send(stream, &answer, &[]).is_err() {
            return;
        }
    }
}

/// A hosted rank's window.
pub struct Provided {
    memory: SharedMemory,
    /// Who provides it, and its number there.
    provider: Option<(Arc<MemoryProvider>, u32)>,
    /// A bit for each block that has been provided.
    there: RefCell<Vec<u64>>,
}

impl Provided {
    /// What `memory` has mapped of `memfd`. Without a provider the daemon pays.
    pub fn new(
        memory: SharedMemory,
        memfd: &OwnedFd,
        provider: Option<Arc<MemoryProvider>>,
    ) -> Result<Self, BadAttach> {
        let len = memory.len() as u64;
        let register = |provider: Arc<MemoryProvider>| {
            let window = provider.ask(&Order::Map { len }, &[memfd.as_fd()])?;
            Ok::<_, io::Error>((provider, window))
        };
        let provider = provider.map(register).transpose().map_err(BadAttach::host)?;
        let there = RefCell::new(vec![0; (len / BLOCK / 64) as usize + 1]);
        Ok(Self { memory, provider, there })
    }
}

impl RankMemory for Provided {
    fn provide(&self, range: Range<u64>) -> io::Result<()> {
        let Some((provider, window)) = &self.provider else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        let mut there = self.there.borrow_mut();
        let (mut block, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK));
        while block < end {
            let is_there = |block: u64| there[(block / 64) as usize] & (1 << (block % 64)) != 0;
            if is_there(block) {
                block += 1;
                continue;
            }
            let most = end.min(block + MOST_BLOCKS);
            let next = (block..most).find(|block| is_there(*block)).unwrap_or(most);
            let from = block * BLOCK;
            let len = (next * BLOCK).min(self.memory.len() as u64) - from;
            provider.ask(&Order::Touch { window: *window, from, len }, &[])?;
            (block..next).for_each(|block| there[(block / 64) as usize] |= 1 << (block % 64));
            block = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::fs::{MemfdFlags, SealFlags, fstat, ftruncate, memfd_create};

    use super::*;

    /// A sparse window of `len` bytes, and how many of them are there.
    fn window(len: u64) -> (OwnedFd, impl Fn() -> u64) {
        let fd = memfd_create("window", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, len).unwrap();
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).unwrap();
        let same = fd.try_clone().unwrap();
        (fd, move || fstat(&same).unwrap().st_blocks as u64 * 512)
    }

    #[test]
    fn what_is_provided_is_there_and_nothing_else() {
        let (near, far) = UnixStream::pair().unwrap();
        let process = thread::spawn(move || provide_memory(&far));
        let provider = Arc::new(MemoryProvider::new(near).unwrap());
        let len = (100 << 20) + 4096;
        for _ in 0..2 {
            let (memfd, there) = window(len);
            let memory = SharedMemory::map(&memfd, len).unwrap();
            let provided = Provided::new(memory, &memfd, Some(provider.clone())).unwrap();
            assert_eq!(there(), 0);
            provided.provide(5..5).unwrap();
            assert_eq!(there(), 0);
            provided.provide(5..6).unwrap();
            assert_eq!(there(), BLOCK);
            provided.provide(BLOCK - 1..BLOCK + 1).unwrap();
            assert_eq!(there(), 2 * BLOCK);
            provided.provide(0..40 * BLOCK).unwrap();
            assert_eq!(there(), 40 * BLOCK);
            // The last page, of which the block is not whole.
            provided.provide(len - 1..len).unwrap();
            assert_eq!(there(), 40 * BLOCK + 4096);
        }
        drop(provider);
        process.join().unwrap();
    }

    #[test]
    fn a_provider_that_is_gone_is_an_error() {
        let (near, far) = UnixStream::pair().unwrap();
        let process = thread::spawn(move || {
            // The map, and then it is killed.
            drop(frame::receive::<Order>(&far).unwrap());
            frame::send(&far, &Answer::Done(0), &[]).unwrap();
        });
        let (memfd, _) = window(1 << 20);
        let memory = SharedMemory::map(&memfd, 1 << 20).unwrap();
        let provider = Arc::new(MemoryProvider::new(near).unwrap());
        let provided = Provided::new(memory, &memfd, Some(provider)).unwrap();
        process.join().unwrap();
        assert!(provided.provide(0..1).is_err());
    }
}
