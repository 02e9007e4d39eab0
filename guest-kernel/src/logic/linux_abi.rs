//! Linux's interface to programs on x86-64, as far as a C library needs it: numbers, structures,
//! the beginning.

use alloc::vec::Vec;
use core::mem::offset_of;
use core::time::Duration;

use super::memory_map::Span;

/// Why a system call did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(u16);

impl Errno {
    pub(crate) const NO_ENTRY: Errno = Errno(2);
    pub(crate) const INPUT_OUTPUT: Errno = Errno(5);
    pub(crate) const BAD_FILE: Errno = Errno(9);
    pub(crate) const NO_MEMORY: Errno = Errno(12);
    pub(crate) const NO_ACCESS: Errno = Errno(13);
    pub(crate) const BAD_ADDRESS: Errno = Errno(14);
    pub(crate) const NO_DEVICE: Errno = Errno(19);
    pub(crate) const INVALID: Errno = Errno(22);
    pub(crate) const TOO_MANY_FILES: Errno = Errno(24);
    pub(crate) const NO_TERMINAL: Errno = Errno(25);
    pub(crate) const NO_SEEK: Errno = Errno(29);
    pub(crate) const READ_ONLY: Errno = Errno(30);
    pub(crate) const NAME_TOO_LONG: Errno = Errno(36);
    pub(crate) const NO_SYSTEM_CALL: Errno = Errno(38);
}

/// What a system call leaves in RAX.
pub(crate) fn returned(result: Result<u64, Errno>) -> u64 {
    result.unwrap_or_else(|Errno(number)| u64::from(number).wrapping_neg())
}

/// The numbers of the system calls that are served.
pub(crate) mod call {
    pub(crate) const READ: u64 = 0;
    pub(crate) const WRITE: u64 = 1;
    pub(crate) const OPEN: u64 = 2;
    pub(crate) const CLOSE: u64 = 3;
    pub(crate) const STAT: u64 = 4;
    pub(crate) const FSTAT: u64 = 5;
    pub(crate) const LSTAT: u64 = 6;
    pub(crate) const LSEEK: u64 = 8;
    pub(crate) const MMAP: u64 = 9;
    pub(crate) const MPROTECT: u64 = 10;
    pub(crate) const MUNMAP: u64 = 11;
    pub(crate) const BRK: u64 = 12;
    pub(crate) const RT_SIGACTION: u64 = 13;
    pub(crate) const RT_SIGPROCMASK: u64 = 14;
    pub(crate) const IOCTL: u64 = 16;
    pub(crate) const READV: u64 = 19;
    pub(crate) const WRITEV: u64 = 20;
    pub(crate) const ACCESS: u64 = 21;
    pub(crate) const SCHED_YIELD: u64 = 24;
    pub(crate) const MREMAP: u64 = 25;
    pub(crate) const MADVISE: u64 = 28;
    pub(crate) const NANOSLEEP: u64 = 35;
    pub(crate) const GETPID: u64 = 39;
    pub(crate) const EXIT: u64 = 60;
    pub(crate) const KILL: u64 = 62;
    pub(crate) const UNAME: u64 = 63;
    pub(crate) const FCNTL: u64 = 72;
    pub(crate) const GETTIMEOFDAY: u64 = 96;
    pub(crate) const GETUID: u64 = 102;
    pub(crate) const GETGID: u64 = 104;
    pub(crate) const GETEUID: u64 = 107;
    pub(crate) const GETEGID: u64 = 108;
    pub(crate) const GETPPID: u64 = 110;
    pub(crate) const ARCH_PRCTL: u64 = 158;
    pub(crate) const GETTID: u64 = 186;
    pub(crate) const TKILL: u64 = 200;
    pub(crate) const TIME: u64 = 201;
    pub(crate) const SET_TID_ADDRESS: u64 = 218;
    pub(crate) const CLOCK_GETTIME: u64 = 228;
    pub(crate) const CLOCK_GETRES: u64 = 229;
    pub(crate) const CLOCK_NANOSLEEP: u64 = 230;
    pub(crate) const EXIT_GROUP: u64 = 231;
    pub(crate) const TGKILL: u64 = 234;
    pub(crate) const OPENAT: u64 = 257;
    pub(crate) const NEWFSTATAT: u64 = 262;
}

/// `arch_prctl`: set the base of segment FS, where a program's thread has its own data.
pub(crate) const ARCH_SET_FS: u64 = 0x1002;
/// `ioctl`: how large is the terminal? C libraries ask it to find out whether there is one.
pub(crate) const TIOCGWINSZ: u64 = 0x5413;
/// `mmap`, `mprotect`: rights.
pub(crate) const PROT_WRITE: u64 = 2;
/// See [`PROT_WRITE`].
pub(crate) const PROT_EXEC: u64 = 4;
/// `mmap`: at this very address.
pub(crate) const MAP_FIXED: u64 = 0x10;
/// `mmap`: memory, not a file.
pub(crate) const MAP_ANONYMOUS: u64 = 0x20;
/// `mremap`: elsewhere if need be.
pub(crate) const MREMAP_MAYMOVE: u64 = 1;
/// `madvise`: forget the contents.
pub(crate) const MADV_DONTNEED: u64 = 4;
/// `open`: which bits of the flags are about writing: access mode, create, truncate.
pub(crate) const OPEN_TO_WRITE: u64 = 0o3 | 0o100 | 0o1000;
/// `access`: whether it may be written.
pub(crate) const W_OK: u64 = 2;
/// `clock_nanosleep`: until a time, not for a time.
pub(crate) const TIMER_ABSTIME: u64 = 1;

/// The clocks that a C program may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockId {
    /// Time of day.
    Real,
    /// Time since the start: also what the one thread of the one process is said to have used.
    Monotonic,
}

impl ClockId {
    /// The clock of this number.
    pub(crate) fn new(number: u64) -> Result<Self, Errno> {
        match number {
            // REALTIME, REALTIME_COARSE.
            0 | 5 => Ok(ClockId::Real),
            // MONOTONIC, PROCESS_CPUTIME_ID, THREAD_CPUTIME_ID, MONOTONIC_RAW, MONOTONIC_COARSE,
            // BOOTTIME.
            1..=4 | 6 | 7 => Ok(ClockId::Monotonic),
            _ => Err(Errno::INVALID),
        }
    }
}

/// A `timespec`.
pub(crate) fn timespec(time: Duration) -> [u8; 16] {
    pair(time.as_secs(), time.subsec_nanos().into())
}

/// A `timeval`.
pub(crate) fn timeval(time: Duration) -> [u8; 16] {
    pair(time.as_secs(), time.subsec_micros().into())
}

fn pair(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) | u128::from(second) << 64).to_le_bytes()
}

/// What a `timespec` says.
pub(crate) fn duration(timespec: &[u8; 16]) -> Result<Duration, Errno> {
    let (seconds, nanoseconds) = split(timespec);
    match u32::try_from(nanoseconds) {
        Ok(nanoseconds @ 0..1_000_000_000) if i64::try_from(seconds).is_ok() => {
            Ok(Duration::new(seconds, nanoseconds))
        }
        _ => Err(Errno::INVALID),
    }
}

/// Bytes of an `iovec`.
pub(crate) const IOVEC: u64 = 16;
/// No list of `iovec` is longer.
pub(crate) const PIECES: u64 = 1024;

/// What a list of `iovec` says: address and length of pieces of memory.
pub(crate) fn pieces(list: &[u8]) -> impl Iterator<Item = (u64, u64)> + Clone {
    list.as_chunks().0.iter().map(split)
}

fn split(pair: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*pair);
    (both as u64, (both >> 64) as u64)
}

/// The file descriptor of standard input.
pub(crate) const STANDARD_INPUT: u64 = 0;

/// What a file descriptor or a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The console.
    Console,
    /// A file of this number of bytes.
    File(u64),
}

/// Bytes of a `struct stat`.
pub(crate) const STAT: usize = 144;

/// A `struct stat`: read-only, of user 0, unchanged since 1970.
pub(crate) fn stat(kind: FileKind) -> [u8; STAT] {
    let (mode, size) = match kind {
        FileKind::Console => (0o020_666_u32, 0),
        FileKind::File(size) => (0o100_444, size),
    };
    let mut bytes = [0; STAT];
    let mut put =
        |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(16, &1_u64.to_le_bytes()); // links
    put(24, &mode.to_le_bytes());
    put(48, &size.to_le_bytes());
    put(56, &4096_u64.to_le_bytes()); // the best size to read
    put(64, &size.div_ceil(512).to_le_bytes());
    bytes
}

/// Bytes of each of the names in a `struct utsname`.
const UTS_NAME: usize = 65;

/// A `struct utsname`.
pub(crate) fn uname(node: &str) -> [u8; 6 * UTS_NAME] {
    let mut bytes = [0; 6 * UTS_NAME];
    let names = ["Xenolith", node, env!("CARGO_PKG_VERSION"), "unikernel", "x86_64", ""];
    for (field, name) in bytes.chunks_exact_mut(UTS_NAME).zip(names) {
        // The last byte stays zero.
        for (byte, letter) in field[..UTS_NAME - 1].iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
    }
    bytes
}

/// Why a process without handlers ends when it raises a signal; None if it does not.
pub(crate) fn death(signal: u64) -> Option<&'static str> {
    match signal {
        // Probing, SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
        0 | 17 | 18 | 23 | 28 => None,
        2 => Some("interrupted by itself (SIGINT)"),
        4 => Some("invalid instruction (SIGILL raised)"),
        6 => Some("aborted (by abort() or a failed assertion)"),
        8 => Some("arithmetic error (SIGFPE raised)"),
        9 => Some("killed by itself (SIGKILL)"),
        11 => Some("invalid memory reference (SIGSEGV raised)"),
        15 => Some("terminated by itself (SIGTERM)"),
        _ => Some("ended by a signal of its own"),
    }
}

/// A program header (`Elf64_Phdr`), by which a C library finds the initial thread-local variables.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

const _: () = assert!(size_of::<ProgramHeader>() == 56);
const _: () = assert!(offset_of!(ProgramHeader, address) == 16);

impl ProgramHeader {
    /// Thread-local variables: those with initial values, and the end of all of them, all zero
    /// behind the others.
    pub(crate) fn thread_local(initial: Span, end: u64, align: u64) -> Self {
        const PT_TLS: u32 = 7;
        const READ: u32 = 4;
        ProgramHeader {
            kind: PT_TLS,
            flags: READ,
            offset: 0,
            address: initial.start,
            physical_address: initial.start,
            file_size: initial.len(),
            memory_size: Span { start: initial.start, end }.len(),
            align,
        }
    }
}

/// What is at a process's beginning on its stack: the number of arguments, pointers to them, to the
/// environment, and pairs that say what the process has to know. Each list ends with zeros.
pub(crate) fn beginning(
    arguments: impl ExactSizeIterator<Item = u64>,
    environment: impl Iterator<Item = u64>,
    auxiliary: &[(u64, u64)],
) -> Vec<u64> {
    let mut words = Vec::from([arguments.len() as u64]);
    words.extend(arguments.chain([0]).chain(environment).chain([0]));
    words.extend(auxiliary.iter().chain(&[(0, 0)]).flat_map(|(kind, value)| [*kind, *value]));
    words
}

/// Kinds of the pairs at a process's beginning (`AT_*`).
pub(crate) mod auxiliary {
    pub(crate) const PROGRAM_HEADERS: u64 = 3;
    pub(crate) const PROGRAM_HEADER_SIZE: u64 = 4;
    pub(crate) const PROGRAM_HEADER_COUNT: u64 = 5;
    pub(crate) const PAGE_SIZE: u64 = 6;
    /// 16 bytes that differ from start to start.
    pub(crate) const RANDOM: u64 = 25;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_small_negative_numbers() {
        assert_eq!(returned(Ok(7)) as i64, 7);
        assert_eq!(returned(Err(Errno::NO_SYSTEM_CALL)) as i64, -38);
    }

    #[test]
    fn times_go_both_ways() {
        let time = Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(duration(&timespec(time)), Ok(time));
        assert_eq!(split(&timeval(time)), (1_700_000_000, 123_456));
        assert_eq!(duration(&pair(0, 1_000_000_000)), Err(Errno::INVALID));
        assert_eq!(duration(&pair(u64::MAX, 0)), Err(Errno::INVALID));
        assert_eq!(ClockId::new(1), Ok(ClockId::Monotonic));
        assert_eq!(ClockId::new(99), Err(Errno::INVALID));
    }

    #[test]
    fn a_list_of_pieces_is_read() {
        let list = [pair(0x1000, 3), pair(0, 0)].concat();
        assert_eq!(pieces(&list).collect::<Vec<_>>(), [(0x1000, 3), (0, 0)]);
    }

    #[test]
    fn structures_have_linux_s_layout() {
        let file = stat(FileKind::File(1025));
        assert_eq!(file[24..28], 0o100_444_u32.to_le_bytes());
        assert_eq!(file[48..56], 1025_u64.to_le_bytes());
        assert_eq!(file[64..72], 3_u64.to_le_bytes());
        let names = uname(&"n".repeat(100));
        assert_eq!(&names[..9], b"Xenolith\0");
        assert_eq!((names[2 * UTS_NAME - 2], names[2 * UTS_NAME - 1]), (b'n', 0));
        let header = ProgramHeader::thread_local(Span { start: 64, end: 72 }, 80, 16);
        assert_eq!(
            (header.kind, header.file_size, header.memory_size, header.align),
            (7, 8, 16, 16)
        );
    }

    #[test]
    fn the_beginning_has_three_lists() {
        let words = beginning([10, 11].into_iter(), [20].into_iter(), &[(6, 4096)]);
        assert_eq!(words, [2, 10, 11, 0, 20, 0, 6, 4096, 0, 0]);
    }

    #[test]
    fn some_signals_are_deadly() {
        assert_eq!(death(0), None);
        assert!(death(6).is_some_and(|cause| cause.contains("abort")));
    }
}
