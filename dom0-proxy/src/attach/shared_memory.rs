//! A memfd of another process, mapped here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::SealFlags;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise};

use super::bad_attach::BadAttach;

/// `f_type` of tmpfs, where memfds live that are not of huge pages. (Those can run out under a
/// mapping.)
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Memory shared with another process, unmapped when dropped.
#[derive(Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the value owns the mapping; the pointer is only handed out.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Maps the first `len` bytes of `memfd`, of which nothing is believed: a file that is shorter,
    /// or that could still be shortened under the mapping (which would kill this process), is
    /// refused.
    pub fn map(memfd: &OwnedFd, len: u64) -> Result<Self, BadAttach> {
        let failed = |error: rustix::io::Errno| {
            BadAttach::host(format_args!(
                "its window could not be mapped: {}",
                io::Error::from(error)
            ))
        };
        let kind = rustix::fs::fstatfs(memfd).map_err(failed)?.f_type;
        if kind as u64 != TMPFS_MAGIC {
            return Err(BadAttach::rank("its window is not a memfd of ordinary pages"));
        }
        match rustix::fs::fcntl_get_seals(memfd) {
            Ok(seals) if seals.contains(SealFlags::SHRINK) => {}
            _ => {
                return Err(BadAttach::rank("its window is not a memfd sealed against shrinking"));
            }
        }
        // After the seal was seen, so the size can only grow.
        let size = rustix::fs::fstat(memfd).map_err(failed)?.st_size;
        if len == 0 || u64::try_from(size).is_ok_and(|size| size < len) || size < 0 {
            return Err(BadAttach::rank(format_args!(
                "its window claims {len} bytes and its memfd has {size}"
            )));
        }
        let len = usize::try_from(len).map_err(BadAttach::rank)?;
        Self::map_fd(memfd, len).map_err(failed)
    }

    fn map_fd(fd: impl AsFd, len: usize) -> rustix::io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice; it is reached by raw pointers
        // only.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { base, len })
    }

    /// Has the kernel put pages behind these bytes, for which this process pays.
    pub(super) fn touch(&self, from: u64, len: u64) -> rustix::io::Result<()> {
        let end = from.checked_add(len).filter(|end| *end <= self.len as u64);
        end.ok_or(rustix::io::Errno::INVAL)?;
        // SAFETY: in bounds of the mapping; the advice changes no bytes.
        let touched = unsafe {
            let first = self.base.as_ptr().add(from as usize).cast();
            madvise(first, len as usize, Advice::LinuxPopulateWrite)
        };
        match touched {
            // Linux before 5.14 does not know of it: whoever comes first pays.
            Err(rustix::io::Errno::INVAL) => Ok(()),
            result => result,
        }
    }

    /// The first byte, on a page boundary.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a mapping has bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; whoever got `base` has kept this value alive while using
        // it.
        if let Err(error) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) } {
            tracing::error!(%error, "a rank's window could not be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    fn memfd(size: u64, seals: SealFlags) -> OwnedFd {
        let fd = memfd_create("window", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, size).unwrap();
        rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
        fd
    }

    #[test]
    fn a_sealed_memfd_of_enough_bytes_is_mapped() {
        let memory = SharedMemory::map(&memfd(8192, SealFlags::SHRINK), 8192).unwrap();
        assert_eq!(memory.len(), 8192);
        // SAFETY: the last mapped byte.
        unsafe { memory.base().add(8191).write_volatile(1) };
    }

    #[test]
    fn what_could_kill_the_proxy_is_refused() {
        let refused = |fd: OwnedFd, len| SharedMemory::map(&fd, len).unwrap_err().to_string();
        assert!(refused(memfd(8192, SealFlags::empty()), 8192).contains("sealed"));
        assert!(refused(memfd(8192, SealFlags::GROW), 8192).contains("sealed"));
        assert!(refused(memfd(4096, SealFlags::SHRINK), 8192).contains("4096"));
        assert!(refused(memfd(4096, SealFlags::SHRINK), u64::MAX).contains("claims"));
        assert!(refused(memfd(4096, SealFlags::SHRINK), 0).contains("claims"));
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        assert!(SharedMemory::map(&file, 4096).is_err());
    }
}
