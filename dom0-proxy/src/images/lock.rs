//! Who saves.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::sync::Arc;

use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::names::MARK;

/// Bytes that a holder says of itself, at most.
const MAX_HOLDER: u64 = 200;

/// The right to write into a directory of images, until it is dropped or the process ends in any
/// way.
#[derive(Debug)]
pub struct SaveLock {
    _file: File,
}

impl SaveLock {
    /// Takes it; does not wait for whoever has it.
    pub fn take(folder: &Arc<Folder>) -> Result<Self> {
        let mut file = folder.open_lock(MARK)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&file).take(MAX_HOLDER).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".into(),
                    holder => holder.to_owned(),
                };
                return Err(ImagesError::Busy { path: folder.path().into(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(folder.unreadable(MARK, error)),
        }
        // For people. Where the disk is full nobody is named.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "process {}", std::process::id());
        Ok(Self { _file: file })
    }
}
