//! The seal of an image, and what can be read from a sealed image.
//!
//! An image is an ELF file for x86-64 with two notes: Xen's PVH entry point, and Xenolith's own.
//! The second one holds the BLAKE3 hash of the whole file, taken while the 32 bytes of the hash
//! themselves are zero. guest-kernel emits the note with a zero hash, [`seal`] fills it in, and
//! [`verify`] refuses any file that is not byte for byte what was sealed.
//!
//! ```no_run
//! let bytes = std::fs::read("cg.img")?;
//! match image_builder::image::verify(&bytes) {
//!     Ok(info) => println!("needs {} bytes of memory", info.minimum_memory),
//!     Err(error) => eprintln!("cg.img: {error}"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

use std::ops::Range;

use object::LittleEndian;
use object::elf::{EM_X86_64, ET_EXEC, FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::note::{Note, notes};

/// The owner name in Xenolith's note.
pub const NOTE_NAME: &[u8] = b"Xenolith";
/// The type of Xenolith's note.
pub const NOTE_TYPE: u32 = 1;
/// The version of the note that this crate writes and understands.
pub const NOTE_VERSION: u32 = 1;

const NOTE_DESC_LEN: usize = 40;
const HASH_OFFSET: usize = 8;
const HASH_LEN: usize = 32;

const XEN_NOTE_NAME: &[u8] = b"Xen";
/// `XEN_ELFNOTE_PHYS32_ENTRY`: where a PVH guest starts, in 32-bit mode.
const XEN_NOTE_PHYS32_ENTRY: u32 = 18;

/// What the kernel needs beside its own segments: page tables, grant table, rings, boot data and a
/// first piece of heap.
const KERNEL_HEADROOM: u64 = 1 << 20;
const MIB: u64 = 1 << 20;

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Version of Xenolith's note; always [`NOTE_VERSION`] in an image that was accepted.
    pub version: u32,
    /// Guest-physical address at which Xen starts the image.
    pub entry: u32,
    /// Guest-physical addresses that the image's segments occupy, zero-initialised data included.
    pub span: Range<u64>,
    /// Bytes of memory (whole MiB) with which a guest must be created at the least for the kernel
    /// to come up. The application's own heap comes on top.
    pub minimum_memory: u64,
    /// The BLAKE3 hash in the note.
    pub hash: [u8; HASH_LEN],
}

/// Why a file is not a good image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file does not start as an ELF file does.
    #[error("not an ELF file; build one with image-builder")]
    NotElf,
    /// An ELF file, but not a static 64-bit x86 executable.
    #[error("not a static x86-64 ELF executable ({0}); build one with image-builder")]
    WrongElf(&'static str),
    /// The file's headers speak of bytes that are not there.
    #[error("truncated: {needed} bytes needed, {found} found; copy or build it again")]
    Truncated {
        /// How long the file should be at the least.
        needed: u64,
        /// How long it is.
        found: u64,
    },
    /// The program headers contradict themselves.
    #[error("damaged: {0}; copy or build it again")]
    Damaged(&'static str),
    /// No note tells Xen where to start the guest.
    #[error(
        "no PVH entry note, so Xen cannot start it; the application must depend on guest-kernel"
    )]
    NoPvhNote,
    /// An image for Xen, but not one of ours.
    #[error("no Xenolith note, so it is not a Xenolith image; build it with image-builder")]
    NoXenolithNote,
    /// The image was built for another version of Xenolith.
    #[error("image version {found}, but only version {NOTE_VERSION} is supported; build it again")]
    OtherVersion {
        /// The version in the note.
        found: u32,
    },
    /// The note's hash is still empty.
    #[error(
        "not sealed (this may be the file with symbols); use the .img file that image-builder \
         writes"
    )]
    NotSealed,
    /// Some byte differs from what was sealed.
    #[error(
        "corrupt: checksum {computed} does not match the sealed {sealed}; copy or build it again"
    )]
    ChecksumDiffers {
        /// First bytes of the hash in the note, in hexadecimal.
        sealed: String,
        /// First bytes of the hash of the file, in hexadecimal.
        computed: String,
    },
}

/// Writes the seal into `image`, replacing any earlier one.
///
/// # Errors
/// When `image` is not an executable with both notes.
pub fn seal(image: &mut [u8]) -> Result<ImageInfo, ImageError> {
    let (mut info, hash_range) = inspect(image)?;
    image[hash_range.clone()].fill(0);
    info.hash = *blake3::hash(image).as_bytes();
    image[hash_range].copy_from_slice(&info.hash);
    Ok(info)
}

/// Accepts `image` only when it is exactly what [`seal`] left behind. Any input is safe to pass.
///
/// # Errors
/// The first thing found wrong.
pub fn verify(image: &[u8]) -> Result<ImageInfo, ImageError> {
    let (info, hash_range) = inspect(image)?;
    if info.hash == [0; HASH_LEN] {
        return Err(ImageError::NotSealed);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&image[..hash_range.start]);
    hasher.update(&[0; HASH_LEN]);
    hasher.update(&image[hash_range.end..]);
    let computed = hasher.finalize();
    if computed != info.hash {
        return Err(ImageError::ChecksumDiffers {
            sealed: abbreviated(&info.hash),
            computed: abbreviated(computed.as_bytes()),
        });
    }
    Ok(info)
}

/// Reads everything but the checksum; also returns where in the file the hash lies.
fn inspect(image: &[u8]) -> Result<(ImageInfo, Range<usize>), ImageError> {
    let segments = program_headers(image)?;

    let mut span: Option<Range<u64>> = None;
    for segment in segments.iter().filter(|segment| segment.p_type(LittleEndian) == PT_LOAD) {
        let start = segment.p_paddr(LittleEndian);
        let end = start
            .checked_add(segment.p_memsz(LittleEndian))
            .filter(|end| *end <= u64::from(u32::MAX))
            .ok_or(ImageError::Damaged("a segment lies above 4 GiB"))?;
        span = Some(span.map_or(start..end, |span| span.start.min(start)..span.end.max(end)));
    }
    let span = span.ok_or(ImageError::Damaged("no loadable segment"))?;

    let mut entry = None;
    let mut seal_note = None;
    let mut looked_through = 0;
    for segment in segments.iter().filter(|segment| segment.p_type(LittleEndian) == PT_NOTE) {
        let range = file_range(segment, image)?;
        // Or an image of many segments that all hold the same notes would take hours.
        looked_through += range.len();
        if looked_through > image.len() {
            return Err(ImageError::Damaged("its notes overlap"));
        }
        for Note { name, kind, desc } in notes(image, range) {
            if name == XEN_NOTE_NAME && kind == XEN_NOTE_PHYS32_ENTRY {
                entry = image
                    .get(desc)
                    .and_then(|bytes| bytes.first_chunk())
                    .map(|bytes| u32::from_le_bytes(*bytes));
            } else if name == NOTE_NAME && kind == NOTE_TYPE && desc.len() == NOTE_DESC_LEN {
                seal_note = Some(desc);
            }
        }
    }
    let entry = entry.ok_or(ImageError::NoPvhNote)?;
    if !span.contains(&u64::from(entry)) {
        return Err(ImageError::Damaged("the PVH entry point lies outside the image"));
    }
    let note = seal_note.ok_or(ImageError::NoXenolithNote)?;
    let desc: &[u8; NOTE_DESC_LEN] =
        image[note.clone()].first_chunk().ok_or(ImageError::NoXenolithNote)?;
    let version = u32::from_le_bytes([desc[0], desc[1], desc[2], desc[3]]);
    if version != NOTE_VERSION {
        return Err(ImageError::OtherVersion { found: version });
    }
    let hash_range = note.start + HASH_OFFSET..note.end;
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(&desc[HASH_OFFSET..]);

    let minimum_memory = (span.end + KERNEL_HEADROOM).next_multiple_of(MIB);
    Ok((ImageInfo { version, entry, span, minimum_memory, hash }, hash_range))
}

/// The program headers of a static x86-64 executable all of whose contents are present.
pub(crate) fn program_headers(
    image: &[u8],
) -> Result<&[ProgramHeader64<LittleEndian>], ImageError> {
    if !image.starts_with(b"\x7fELF") {
        return Err(ImageError::NotElf);
    }
    require(image, size_of::<FileHeader64<LittleEndian>>() as u64)?;
    let header = FileHeader64::<LittleEndian>::parse(image)
        .map_err(|_| ImageError::WrongElf("not 64-bit"))?;
    let endian = header.endian().map_err(|_| ImageError::WrongElf("not little-endian"))?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(ImageError::WrongElf("another processor"));
    }
    if header.e_type(endian) != ET_EXEC {
        return Err(ImageError::WrongElf("not linked to a fixed address"));
    }
    let headers_end = |offset: u64, count: u16, size: u16| {
        offset.saturating_add(u64::from(count).saturating_mul(u64::from(size)))
    };
    require(
        image,
        headers_end(header.e_phoff(endian), header.e_phnum(endian), header.e_phentsize(endian)),
    )?;
    require(
        image,
        headers_end(header.e_shoff(endian), header.e_shnum(endian), header.e_shentsize(endian)),
    )?;
    let segments = header
        .program_headers(endian, image)
        .map_err(|_| ImageError::Damaged("bad program headers"))?;
    for segment in segments {
        file_range(segment, image)?;
        if segment.p_type(endian) == PT_LOAD && segment.p_filesz(endian) > segment.p_memsz(endian) {
            return Err(ImageError::Damaged("a segment is larger in the file than in memory"));
        }
    }
    Ok(segments)
}

/// Where in the file a segment's contents lie.
pub(crate) fn file_range(
    segment: &ProgramHeader64<LittleEndian>,
    image: &[u8],
) -> Result<Range<usize>, ImageError> {
    let (offset, size) = segment.file_range(LittleEndian);
    let end = offset.saturating_add(size);
    require(image, end)?;
    let index = |value: u64| {
        usize::try_from(value).map_err(|_| ImageError::Damaged("an offset is too large"))
    };
    Ok(index(offset)?..index(end)?)
}

fn require(image: &[u8], needed: u64) -> Result<(), ImageError> {
    let found = image.len() as u64;
    if found < needed { Err(ImageError::Truncated { needed, found }) } else { Ok(()) }
}

fn abbreviated(hash: &[u8; HASH_LEN]) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
