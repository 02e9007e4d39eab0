//! Pages of another domain, mapped through `/dev/xen/gntdev` (Linux' `include/uapi/xen/gntdev.h`).

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::NonNull;

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags};
use xen_hypercall::PAGE_SIZE;

const DEVICE: &str = "/dev/xen/gntdev";
/// Pages that the kernel takes in one request.
const CHUNK: usize = 65_536;
/// Chunks that are mapped through one descriptor: behind 2 GiB the kernel answers with offsets that
/// are none, since it counts pages as `int` and shifts that (`gntdev_ioctl_map_grant_ref` of 6.1).
const CHUNKS_A_DEVICE: usize = 8;

/// Announces pages to map; answers at which offset of the device they can be mapped.
///
/// In the kernel's structure a count, the answer, and as many pairs of domain and reference; all of
/// it 8-byte words.
#[doc(alias = "IOCTL_GNTDEV_MAP_GRANT_REF")]
#[derive(Debug)]
struct GntdevMap {
    words: Vec<u64>,
}

/// Takes an announcement back.
#[doc(alias = "IOCTL_GNTDEV_UNMAP_GRANT_REF")]
#[derive(Debug)]
#[repr(C)]
struct GntdevUnmap {
    index: u64,
    count: u32,
    pad: u32,
}

const _: () = assert!(size_of::<GntdevUnmap>() == 16);

impl GntdevMap {
    fn new(domain: u32, references: std::ops::Range<u32>) -> Self {
        let mut words = vec![references.len() as u64, 0];
        words.extend(references.map(|reference| u64::from(domain) | u64::from(reference) << 32));
        Self { words }
    }
}

// SAFETY: the number is gntdev.h's, with the size of the structure for one page; `words` holds as
// many pages as its count says, and the kernel writes the second word only.
unsafe impl Ioctl for GntdevMap {
    type Output = u64;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, b'G', 0, 24)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, words: *mut c_void) -> rustix::io::Result<u64> {
        // SAFETY: the pointer is `as_ptr`'s, to at least two words.
        Ok(unsafe { words.cast::<u64>().add(1).read() })
    }
}

// SAFETY: the number and the structure are gntdev.h's; the kernel reads the structure and writes
// nothing.
unsafe impl Ioctl for GntdevUnmap {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, b'G', 1, size_of::<Self>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Pages that another domain has granted under consecutive references, mapped side by side;
/// unmapped when dropped.
#[derive(Debug)]
pub struct GrantMapping {
    /// What it is mapped through, some chunks each.
    devices: Vec<File>,
    base: NonNull<u8>,
    pages: usize,
    /// Announcements of the chunks: offset in the device, pages.
    announced: Vec<(u64, u32)>,
}

// SAFETY: the value owns the mapping; the pointer is only handed out.
unsafe impl Send for GrantMapping {}

impl GrantMapping {
    /// Maps `pages` pages of `domain`, readable and writable; page `p` has the reference `first_ref
    /// + p`.
    pub fn new(domain: u32, first_ref: u32, pages: u32) -> io::Result<Self> {
        let last = first_ref.checked_add(pages).filter(|_| pages > 0);
        let end = last.ok_or(io::ErrorKind::InvalidInput)?;
        let base = reserve(pages as usize)?;
        let (devices, announced) = (Vec::new(), Vec::new());
        let mut mapping = Self { devices, base, pages: pages as usize, announced };
        for start in (first_ref..end).step_by(CHUNK) {
            let references = start..end.min(start.saturating_add(CHUNK as u32));
            mapping.add(domain, references, (start - first_ref) as usize)?;
        }
        Ok(mapping)
    }

    /// Maps one chunk over the reserved addresses from page `at` on.
    fn add(&mut self, domain: u32, references: std::ops::Range<u32>, at: usize) -> io::Result<()> {
        let count = references.len();
        let number = self.announced.len() / CHUNKS_A_DEVICE;
        if number == self.devices.len() {
            self.devices.push(File::options().read(true).write(true).open(DEVICE)?);
        }
        let device = &self.devices[number];
        // SAFETY: the device is gntdev's, whose request this is.
        let offset = unsafe { ioctl(device, GntdevMap::new(domain, references)) }?;
        self.announced.push((offset, count as u32));
        // SAFETY: replaces addresses that `reserve` has set aside for this value, and nobody has a
        // pointer to yet.
        let mapped = unsafe {
            rustix::mm::mmap(
                self.base.as_ptr().add(at * PAGE_SIZE).cast(),
                count * PAGE_SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED,
                device,
                offset,
            )
        };
        mapped.map(drop).map_err(io::Error::from)
    }

    /// The first byte, on a page boundary.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Never: a mapping has pages.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }
}

impl Drop for GrantMapping {
    /// First the addresses, by which the kernel gives the grants back, then the announcements.
    fn drop(&mut self) {
        // SAFETY: exactly what was reserved; whoever got `base` has kept this value alive while
        // using it.
        if let Err(error) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len()) } {
            tracing::error!(%error, "granted pages could not be unmapped");
        }
        for (device, chunks) in self.devices.iter().zip(self.announced.chunks(CHUNKS_A_DEVICE)) {
            for &(index, count) in chunks {
                // SAFETY: the device is gntdev's, whose request this is.
                let taken_back = unsafe { ioctl(device, GntdevUnmap { index, count, pad: 0 }) };
                if let Err(error) = taken_back {
                    tracing::error!(%error, "grants could not be given back");
                }
            }
        }
    }
}

/// Addresses for `pages` pages, without memory behind them.
fn reserve(pages: usize) -> io::Result<NonNull<u8>> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            pages * PAGE_SIZE,
            ProtFlags::empty(),
            flags,
        )
    }?;
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_has_the_kernels_layout() {
        let request = GntdevMap::new(7, 100..102);
        assert_eq!(request.words, [2, 0, 7 | 100 << 32, 7 | 101 << 32]);
        // _IOC(_IOC_NONE, 'G', 0, 24)
        assert_eq!(request.opcode(), 0x0018_4700);
        assert_eq!(GntdevUnmap { index: 0, count: 0, pad: 0 }.opcode(), 0x0010_4701);
    }

    #[test]
    fn no_pages_and_wrapping_references_are_refused() {
        for (first_ref, pages) in [(1, 0), (u32::MAX, 2), (2, u32::MAX)] {
            let error = GrantMapping::new(1, first_ref, pages).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
