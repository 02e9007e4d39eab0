//! What a C library asks of Linux, answered by this kernel.
//!
//! One process of one thread: no signals, no other processes, no files but those that the domain
//! was started with.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::Exit;
use crate::arch::c_memory;
use crate::arch::lock::IrqLock;
use crate::arch::system_call::SystemCall;
use crate::file::content_of;
use crate::logic::linux_abi::{self, ClockId, Errno, FileKind, call};
use crate::logic::open_files::OpenFiles;
use crate::rank::place;
use crate::xen::{clock, console, files, idle, stdin};

/// The program's process and thread.
const PROCESS: u64 = 1;
/// Numbers of system calls for which it is remembered that they were told to be missing.
const TOLD: usize = 512;

static FILES: IrqLock<OpenFiles> = IrqLock::new(OpenFiles::new());

/// What comes of a system call.
pub(crate) enum Answer {
    /// It returns this.
    Returns(u64),
    /// The program ends.
    Exits(Exit),
    /// The program kills itself: for this reason, by the signal of this number.
    Dies(&'static str, u64),
}

/// Does what the program asks for.
pub(crate) fn serve(request: &SystemCall) -> Answer {
    let [first, second, third, ..] = request.arguments();
    let signal = match request.number() {
        call::EXIT | call::EXIT_GROUP => {
            return Answer::Exits(Exit::from((first & 0xff) as i32));
        }
        call::KILL | call::TKILL => second,
        call::TGKILL => third,
        _ => return Answer::Returns(linux_abi::returned(serve_and_go_on(request))),
    };
    match linux_abi::death(signal) {
        None => Answer::Returns(0),
        Some(reason) => Answer::Dies(reason, signal),
    }
}

/// The same where the program goes on. Gives what the system call returns.
fn serve_and_go_on(request: &SystemCall) -> Result<u64, Errno> {
    let [a, b, c, d, ..] = request.arguments();
    match request.number() {
        call::READ => read(request, a, [(b, c)].into_iter()),
        call::READV => read(request, a, linux_abi::pieces(list(request, b, c)?)),
        call::WRITE => write(request, a, [(b, c)].into_iter()),
        call::WRITEV => write(request, a, linux_abi::pieces(list(request, b, c)?)),
        call::OPEN => open(request, a, b),
        call::OPENAT => open(request, b, c),
        call::CLOSE => FILES.with(|files| files.close(a)).map(|()| 0),
        call::LSEEK => FILES.with(|files| files.seek(a, b as i64, c)),
        call::FSTAT => tell(request, b, FILES.with(|files| files.kind(a))?),
        call::STAT | call::LSTAT => {
            tell(request, b, FileKind::File(find(request, a)?.len() as u64))
        }
        call::NEWFSTATAT => match (find(request, b), request.text(b)?) {
            (_, []) => tell(request, c, FILES.with(|files| files.kind(a))?),
            (found, _) => tell(request, c, FileKind::File(found?.len() as u64)),
        },
        call::ACCESS if b & linux_abi::W_OK != 0 => find(request, a).and(Err(Errno::READ_ONLY)),
        call::ACCESS => find(request, a).map(|_| 0),
        call::FCNTL => control(a, b),
        // The console is a terminal of unknown size; so C libraries write to it line by line.
        call::IOCTL
            if b == linux_abi::TIOCGWINSZ
                && FILES.with(|files| files.kind(a))? == FileKind::Console =>
        {
            request.put(c, &[0; 8]).map(|()| 0)
        }
        call::IOCTL => Err(Errno::NO_TERMINAL),

        call::MMAP if c & linux_abi::PROT_EXEC != 0 => Err(Errno::NO_ACCESS),
        call::MMAP if d & linux_abi::MAP_FIXED != 0 => Err(Errno::INVALID),
        call::MMAP if d & linux_abi::MAP_ANONYMOUS == 0 => Err(Errno::NO_DEVICE),
        call::MMAP => c_memory::map(b),
        call::MUNMAP => c_memory::unmap(a, b).map(|()| 0),
        call::MREMAP => c_memory::remap(a, b, c, d & linux_abi::MREMAP_MAYMOVE != 0),
        // All memory can be written to and not executed already; there are no other rights.
        call::MPROTECT
            if c & (linux_abi::PROT_WRITE | linux_abi::PROT_EXEC) == linux_abi::PROT_WRITE =>
        {
            Ok(0)
        }
        call::MPROTECT => Err(Errno::NO_ACCESS),
        call::MADVISE if c == linux_abi::MADV_DONTNEED => Err(Errno::INVALID),
        call::MADVISE => Ok(0),
        // The break never moves: C libraries then map.
        call::BRK => Ok(0),

        call::CLOCK_GETTIME => {
            request.put(b, &linux_abi::timespec(time(ClockId::new(a)?))).map(|()| 0)
        }
        call::CLOCK_GETRES => {
            ClockId::new(a)?;
            put_if_wanted(request, b, &linux_abi::timespec(Duration::from_nanos(1)))
        }
        call::GETTIMEOFDAY => put_if_wanted(request, a, &linux_abi::timeval(clock::time_of_day())),
        call::TIME => {
            let seconds = clock::time_of_day().as_secs();
            put_if_wanted(request, a, &seconds.to_le_bytes()).map(|_| seconds)
        }
        call::NANOSLEEP => sleep(linux_abi::duration(request.array(a)?)?),
        call::CLOCK_NANOSLEEP => {
            let wanted = linux_abi::duration(request.array(c)?)?;
            let until = b & linux_abi::TIMER_ABSTIME != 0;
            let now = time(ClockId::new(a)?);
            sleep(if until { wanted.saturating_sub(now) } else { wanted })
        }
        call::SCHED_YIELD => Ok(0),

        call::RT_SIGACTION | call::RT_SIGPROCMASK => Ok(0),
        call::ARCH_PRCTL if a == linux_abi::ARCH_SET_FS => {
            request.set_thread_pointer(b).map(|()| 0)
        }
        call::SET_TID_ADDRESS | call::GETTID | call::GETPID => Ok(PROCESS),
        call::GETUID | call::GETEUID | call::GETGID | call::GETEGID | call::GETPPID => Ok(0),
        call::UNAME => {
            request.put(a, &linux_abi::uname(&alloc::format!("rank-{}", place::rank()))).map(|()| 0)
        }
        number => {
            tell_once(number);
            Err(Errno::NO_SYSTEM_CALL)
        }
    }
}

fn list(request: &SystemCall, address: u64, count: u64) -> Result<&[u8], Errno> {
    if count > linux_abi::PIECES {
        Err(Errno::INVALID)
    } else {
        request.bytes(address, count * linux_abi::IOVEC)
    }
}

fn read(
    request: &SystemCall,
    file: u64,
    pieces: impl Iterator<Item = (u64, u64)> + Clone,
) -> Result<u64, Errno> {
    if file == linux_abi::STANDARD_INPUT {
        return read_stdin(request, pieces);
    }
    let mut total = 0;
    for (address, len) in pieces {
        let bytes = FILES.with(|files| files.read(file, len))?;
        request.put(address, bytes)?;
        total += bytes.len() as u64;
        if (bytes.len() as u64) < len {
            break;
        }
    }
    Ok(total)
}

/// Reads what there is, and no more than fits into a buffer here.
fn read_stdin(
    request: &SystemCall,
    pieces: impl Iterator<Item = (u64, u64)> + Clone,
) -> Result<u64, Errno> {
    let mut buffer = [0; 256];
    let asked = pieces.clone().fold(0, |sum: u64, (_, len)| sum.saturating_add(len));
    let asked = usize::try_from(asked).unwrap_or(usize::MAX).min(buffer.len());
    let count = stdin::read(&mut buffer[..asked]).map_err(|_| Errno::INPUT_OUTPUT)?;
    let mut rest = &buffer[..count];
    for (address, len) in pieces {
        let (piece, later) =
            rest.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(rest.len()));
        request.put(address, piece)?;
        rest = later;
    }
    Ok(count as u64)
}

fn write(
    request: &SystemCall,
    file: u64,
    pieces: impl Iterator<Item = (u64, u64)> + Clone,
) -> Result<u64, Errno> {
    match FILES.with(|files| files.kind(file))? {
        FileKind::Console => (),
        FileKind::File(_) => return Err(Errno::BAD_FILE),
    }
    let mut total = 0;
    for (address, len) in pieces.clone() {
        total += request.bytes(address, len)?.len() as u64;
    }
    console::write_pieces(pieces.filter_map(|(address, len)| request.bytes(address, len).ok()));
    Ok(total)
}

fn open(request: &SystemCall, name: u64, flags: u64) -> Result<u64, Errno> {
    if flags & linux_abi::OPEN_TO_WRITE != 0 {
        return Err(Errno::READ_ONLY);
    }
    let content = find(request, name)?;
    FILES.with(|files| files.open(content))
}

/// The file of this name, which may begin with `/` or `./`.
fn find(request: &SystemCall, name: u64) -> Result<&'static [u8], Errno> {
    let name = core::str::from_utf8(request.text(name)?).map_err(|_| Errno::NO_ENTRY)?;
    let name = name.strip_prefix("./").unwrap_or(name).trim_start_matches('/');
    content_of(name, files::files()).ok_or(Errno::NO_ENTRY)
}

fn tell(request: &SystemCall, address: u64, kind: FileKind) -> Result<u64, Errno> {
    request.put(address, &linux_abi::stat(kind)).map(|()| 0)
}

/// `fcntl`, of which nothing matters here.
fn control(file: u64, command: u64) -> Result<u64, Errno> {
    const GET_DESCRIPTOR_FLAGS: u64 = 1;
    const SET_DESCRIPTOR_FLAGS: u64 = 2;
    const GET_FLAGS: u64 = 3;
    const READ_AND_WRITE: u64 = 2;
    match (command, FILES.with(|files| files.kind(file))?) {
        (GET_FLAGS, FileKind::Console) => Ok(READ_AND_WRITE),
        (GET_DESCRIPTOR_FLAGS | SET_DESCRIPTOR_FLAGS | GET_FLAGS, _) => Ok(0),
        _ => Err(Errno::INVALID),
    }
}

fn put_if_wanted(request: &SystemCall, address: u64, bytes: &[u8]) -> Result<u64, Errno> {
    if address != 0 {
        request.put(address, bytes)?;
    }
    Ok(0)
}

fn time(clock: ClockId) -> Duration {
    match clock {
        ClockId::Real => clock::time_of_day(),
        ClockId::Monotonic => clock::now(),
    }
}

fn sleep(time: Duration) -> Result<u64, Errno> {
    idle::sleep(time);
    Ok(0)
}

/// Says that a system call is missing, but not again and again.
fn tell_once(number: u64) {
    static MISSING: [AtomicU64; TOLD / 64] = [const { AtomicU64::new(0) }; TOLD / 64];
    let bit = 1 << (number % 64);
    let word = usize::try_from(number / 64).ok().and_then(|index| MISSING.get(index));
    if word.is_none_or(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0) {
        console::say(format_args!("there is no system call {number} here"));
    }
}
