//! A hosted rank that is no rank: it attaches as it likes and writes what no rank should, to see
//! that nobody but its own job is harmed. What needs no bytes of its own is in the application
//! `hostile`.
//!
//! `hostile_process KIND`, run by `pgas run --hosted`; without an argument it lists the kinds. It
//! goes on until it is killed, unless its kind says something else.

#![forbid(unsafe_code)]

use std::mem::offset_of;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, io, thread};

use anyhow::{Context, Result, bail};
use armci_nostd::hosted::frame;
use armci_nostd::wire::area::MAGIC;
use armci_nostd::wire::attach::{Attach, AttachReply, WindowLayout};
use armci_nostd::wire::{AccKind, Header, Mailbox, Opcode, PROTOCOL_VERSION, RuntimeArea};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};

/// The rank's own address of its window.
const BASE: u64 = 0x1000_0000;
/// Bytes of the window.
const LEN: u64 = 1 << 20;
const AREA: u64 = size_of::<RuntimeArea>() as u64;
const MAILBOX: u64 = offset_of!(RuntimeArea, mailbox) as u64;
const SUBMISSIONS: u64 = offset_of!(RuntimeArea, submissions) as u64;
/// Connections that are kept and say nothing.
const SILENT: usize = 40;

/// A name, and what it does.
type Kind = (&'static str, fn() -> Result<()>);

const KINDS: &[Kind] = &[
    ("deaf", deaf),
    ("full-doorbell", full_doorbell),
    ("ringing", ringing),
    ("garbage", garbage),
    ("large-window", large_window),
    ("lock-holder", lock_holder),
    ("intruder", intruder),
    ("escape", escape),
    ("flood", flood),
    ("holes", holes),
];

fn main() -> ExitCode {
    let asked = env::args().nth(1);
    let Some(&(_, act)) = KINDS.iter().find(|(name, _)| asked.as_deref() == Some(name)) else {
        KINDS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::from(2);
    };
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Attaches, and never reads what it is told of others: their descriptors stay under way.
fn deaf() -> Result<()> {
    let _attached = Attached::new(LEN)?;
    forever()
}

/// Its doorbell is full, and whoever rings it would wait.
fn full_doorbell() -> Result<()> {
    let rank = Attached::new(LEN)?;
    rank.doorbell.set_nonblocking(true)?;
    while rustix::io::write(&rank.doorbell, &[0; 4096]).is_ok() {}
    rank.doorbell.set_nonblocking(false)?;
    for number in 0.. {
        // Asleep, and with a fence to be answered: so the proxy wants to ring.
        rank.write(MAILBOX + offset_of!(Mailbox, asleep) as u64, &1u32.to_le_bytes())?;
        rank.submit(number, Opcode::Fence, 0, u32::MAX)?;
        rank.wait_for_room(number)?;
    }
    Ok(())
}

/// Gives memory back as soon as it is there, so that the proxy is the first to touch it again.
fn holes() -> Result<()> {
    let rank = Attached::new(LEN)?;
    let own = variable("XENOLITH_RANK")?.parse().context("a rank")?;
    for number in 0.. {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&rank.window, flags, AREA, LEN - AREA).context("punch a hole")?;
        rank.submit(number, Opcode::Put, LEN - AREA, own)?;
        rank.wait_for_room(number)?;
    }
    Ok(())
}

/// Rings the proxy without end, and for nothing.
fn ringing() -> Result<()> {
    let rank = Attached::new(LEN)?;
    loop {
        // A full counter is as good.
        let _ = rank.ring();
        rank.write(MAILBOX + offset_of!(Mailbox, asleep) as u64, &1u32.to_le_bytes())?;
    }
}

/// Anything anywhere in what rank and proxy share.
fn garbage() -> Result<()> {
    let rank = Attached::new(LEN)?;
    let mut random = fastrand::Rng::new();
    let mut bytes = [0; 64];
    loop {
        random.fill(&mut bytes);
        let header = size_of::<Header>() as u64;
        let end = if random.bool() { header } else { AREA };
        rank.write(random.u64(..end - 64), &bytes[..random.usize(1..=64)])?;
        let _ = rank.ring();
    }
}

/// Claims all addresses that the proxy has.
fn large_window() -> Result<()> {
    let _attached = Attached::new(1 << 45)?;
    forever()
}

/// Rank 1 holds its own lock, and rank 0, without blame, accumulates there.
fn lock_holder() -> Result<()> {
    let rank = Attached::new(LEN)?;
    if variable("XENOLITH_RANK")? == "1" {
        let lock = MAILBOX + offset_of!(Mailbox, lock) as u64;
        rank.write(lock, &2u32.to_le_bytes())?;
        forever()?;
    }
    thread::sleep(Duration::from_millis(500));
    rank.submit(0, Opcode::Accumulate, 4, 1)?;
    forever()
}

/// Asks for the places of ranks of all jobs that there are, and keeps connections that say nothing.
fn intruder() -> Result<()> {
    let ranks = variable("XENOLITH_SOCKET")?;
    let clients = Path::new(&ranks).with_file_name("proxy.sock");
    let jobs = Path::new(&ranks).with_file_name("jobs");
    let mut silent = Vec::new();
    let mut random = fastrand::Rng::new();
    let own = variable("XENOLITH_JOB")?;
    loop {
        let found = fs::read_dir(&jobs).into_iter().flatten().flatten();
        let found = found.filter_map(|entry| entry.file_name().into_string().ok());
        for job in found.filter(|job| *job != own) {
            let token = if random.bool() { variable("XENOLITH_TOKEN")? } else { String::new() };
            // That the daemon hangs up is what should happen.
            let _ = Attached::with(LEN, &job, random.u32(..3), token);
        }
        for socket in [Path::new(&ranks), &clients] {
            if let Ok(stream) = UnixStream::connect(socket) {
                let mut bytes = [0; 100];
                random.fill(&mut bytes);
                let _ = rustix::io::write(&stream, &bytes[..random.usize(..100)]);
                silent.push(stream);
            }
        }
        if silent.len() > SILENT {
            silent.drain(..SILENT / 2);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends with status 0, but leaves a process behind that nothing names: no variable, no parent, no
/// group. `$CHAOS_SLEEP` is for how long that sleeps.
fn escape() -> Result<()> {
    let sleep = format!("setsid sleep {} &", variable("CHAOS_SLEEP")?);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &sleep]).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().context("start a shell")?;
    Ok(())
}

/// Writes without end.
fn flood() -> Result<()> {
    let line = "flood ".repeat(100);
    loop {
        println!("{line}");
        eprintln!("\u{1b}]0;{line}\u{7}");
    }
}

fn forever() -> Result<()> {
    loop {
        thread::park();
    }
}

fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("no ${name}: start this with pgas run --hosted"))
}

/// A rank that is attached.
struct Attached {
    window: OwnedFd,
    to_proxy: OwnedFd,
    /// What the proxy rings with.
    doorbell: UnixStream,
    _rung: UnixStream,
    _socket: UnixStream,
}

impl Attached {
    /// As the rank that it is.
    fn new(len: u64) -> Result<Self> {
        let rank = variable("XENOLITH_RANK")?.parse().context("a rank")?;
        Self::with(len, &variable("XENOLITH_JOB")?, rank, variable("XENOLITH_TOKEN")?)
    }

    fn with(len: u64, job: &str, rank: u32, token: String) -> Result<Self> {
        let window = memfd_create("hostile", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        ftruncate(&window, len)?;
        fcntl_add_seals(&window, SealFlags::SHRINK)?;
        let to_proxy = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (rung, doorbell) = UnixStream::pair()?;
        let socket = UnixStream::connect(variable("XENOLITH_SOCKET")?).context("connect")?;
        let attached = Self { window, to_proxy, doorbell, _rung: rung, _socket: socket };
        attached.write(0, &MAGIC.to_le_bytes())?;
        attached.write(4, &PROTOCOL_VERSION.to_le_bytes())?;
        let layout = WindowLayout {
            window: BASE,
            len,
            runtime: BASE,
            public_start: BASE + AREA,
            public_end: BASE + len,
        };
        let attach = Attach { version: PROTOCOL_VERSION, job: job.into(), rank, token, layout };
        let descriptors =
            [attached.window.as_fd(), attached.to_proxy.as_fd(), attached.doorbell.as_fd()];
        frame::send(&attached._socket, &attach, &descriptors).context("attach")?;
        match frame::receive(&attached._socket)?.message {
            AttachReply::Accepted { .. } => Ok(attached),
            AttachReply::Refused(why) => bail!("refused: {why}"),
        }
    }

    /// Writes into the window.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        rustix::io::pwrite(&self.window, bytes, at).map(drop).map_err(io::Error::from)
    }

    /// A word of the window.
    fn read(&self, at: usize) -> Result<u32> {
        let mut word = [0; 4];
        rustix::io::pread(&self.window, &mut word, at as u64)?;
        Ok(u32::from_le_bytes(word))
    }

    /// Waits until the ring takes more than the request with this number.
    fn wait_for_room(&self, number: u32) -> Result<()> {
        while number.wrapping_sub(self.read(offset_of!(Header, submission_head))?) >= 64 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn ring(&self) -> io::Result<()> {
        rustix::io::write(&self.to_proxy, &1u64.to_ne_bytes()).map(drop).map_err(io::Error::from)
    }

    /// Makes the request with this number: `len` bytes at the beginning of the public range.
    fn submit(&self, number: u32, opcode: Opcode, len: u64, rank: u32) -> io::Result<()> {
        let mut request = [0; 64];
        request[0] = opcode as u8;
        if opcode == Opcode::Accumulate {
            request[2] = AccKind::Int as u8;
        }
        request[4..8].copy_from_slice(&rank.to_le_bytes());
        request[8..12].copy_from_slice(&number.to_le_bytes());
        request[16..24].copy_from_slice(&(BASE + AREA).to_le_bytes());
        request[24..32].copy_from_slice(&(BASE + AREA).to_le_bytes());
        request[32..40].copy_from_slice(&len.to_le_bytes());
        request[40] = 1;
        let slot = u64::from(number % armci_nostd::wire::SUBMISSIONS);
        // The operand of a fence is looked at by nobody.
        self.write(SUBMISSIONS + 64 * slot, &request)?;
        let tail = offset_of!(Header, submission_tail) as u64;
        self.write(tail, &number.wrapping_add(1).to_le_bytes())?;
        // Without this the completion ring would be full soon. The last ones may not be made yet.
        let taken = offset_of!(Header, completion_head) as u64;
        self.write(taken, &number.saturating_sub(64).to_le_bytes())?;
        self.ring()
    }
}
