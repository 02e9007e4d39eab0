//! One build at a time in a target folder, whose files all builds share.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// Whose turn it is: until this is dropped, nobody else's.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until no other program works under this lock, which is made where there is none. If
    /// that takes a while, `wait` is called first.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn take(lock: &Path, wait: impl FnOnce()) -> io::Result<Self> {
        if let Some(folder) = lock.parent() {
            fs::create_dir_all(folder)?;
        }
        // Only its lock is of interest, so what it holds may stay.
        let file = File::options().create(true).write(true).truncate(false).open(lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn whoever_comes_second_is_told_and_waits() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("new/lock");
        let first = Turn::take(&lock, || panic!("nobody is there")).unwrap();
        let (told, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let turn = Turn::take(&lock, || told.store(true, Ordering::Release)).unwrap();
                assert!(done.load(Ordering::Acquire), "the first has not finished");
                drop(turn);
            });
            while !told.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            done.store(true, Ordering::Release);
            drop(first);
            second.join().unwrap();
        });
        Turn::take(&lock, || panic!("nobody is there any more")).unwrap();
    }
}
