//! One process in dom0, its input and outputs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use rustix::termios::Winsize;

use crate::channel::{
    CHUNK, Dom0Command, FromProcess, ProcessEnd, Stream, TerminalSize, ToProcess,
};

/// After a process has ended, its outputs are read to their end, but no longer than this: a daemon
/// that it left behind may keep them open forever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A running process; where its events go was settled at its start.
pub struct Process {
    group: Pid,
    input: Sender<Vec<u8>>,
    terminal: Option<File>,
    teller: Teller,
}

impl Process {
    /// Starts it as leader of a new process group, and tells its events from now on.
    pub fn start(
        command: &Dom0Command,
        tell: impl Fn(FromProcess) + Send + 'static,
    ) -> Result<Self> {
        let [program, arguments @ ..] = command.argv.as_slice() else {
            anyhow::bail!("no program to start");
        };
        let mut ready = process::Command::new(program);
        ready.args(arguments).envs(command.env.iter().cloned());
        if let Some(dir) = &command.cwd {
            ready.current_dir(dir);
        }
        let terminal = match command.terminal {
            Some(size) => Some(attach_terminal(&mut ready, program, arguments, size)?),
            None => {
                ready.process_group(0);
                ready.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
        };
        let mut child = ready.spawn().with_context(|| format!("cannot start {program}"))?;
        // The builder holds the terminal's other end, which must be open in the child only.
        drop(ready);

        let teller = Teller::new(tell);
        let group = Pid::from_child(&child);
        let (reading_done, all_read) = mpsc::channel::<()>();
        let share = |terminal: &File| terminal.try_clone().context("cannot share the terminal");
        let input = match &terminal {
            Some(terminal) => {
                teller.pass_on(Stream::Out, share(terminal)?, reading_done);
                feed(share(terminal)?)
            }
            None => {
                if let Some(out) = child.stdout.take() {
                    teller.pass_on(Stream::Out, out, reading_done.clone());
                }
                if let Some(err) = child.stderr.take() {
                    teller.pass_on(Stream::Err, err, reading_done);
                }
                child.stdin.take().map_or_else(|| feed(io::sink()), feed)
            }
        };
        let last = teller.clone();
        thread::spawn(move || await_end(child, &last, &all_read));
        Ok(Self { group, input, terminal, teller })
    }

    /// Does what is asked of the running process.
    pub fn request(&self, request: ToProcess) {
        match request {
            ToProcess::Start(_) => {}
            // A closed input or a process already gone are no errors: the sender cannot know yet.
            ToProcess::Input(data) => {
                let _ = self.input.send(data);
            }
            ToProcess::Resize(size) => {
                if let Some(terminal) = &self.terminal {
                    let _ = rustix::termios::tcsetwinsize(terminal, winsize(size));
                }
            }
            ToProcess::Signal(number) => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    let _ = rustix::process::kill_process_group(self.group, signal);
                }
            }
        }
    }

    /// It has ended and all of it is told.
    pub fn is_over(&self) -> bool {
        self.teller.is_over()
    }
}

/// Writes what is sent to it in a thread of its own, since a process may take its time to read.
fn feed(mut target: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (sender, data) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        for bytes in data {
            if bytes.is_empty() || target.write_all(&bytes).and_then(|()| target.flush()).is_err() {
                return;
            }
        }
    });
    sender
}

fn await_end(mut child: Child, teller: &Teller, all_read: &mpsc::Receiver<()>) {
    let end = match child.wait() {
        Ok(status) => FromProcess::Exited(exit(status)),
        Err(error) => FromProcess::Failed(format!("cannot wait for the process: {error}")),
    };
    // Nothing is ever sent: the receive ends when the last reader is gone.
    let _ = all_read.recv_timeout(LAST_WORDS);
    teller.end(end);
}

fn exit(status: ExitStatus) -> ProcessEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessEnd::Code(code),
        (None, Some(signal)) => ProcessEnd::Signal(signal),
        (None, None) => ProcessEnd::Code(1),
    }
}

/// Tells events in order, and none after the last.
#[derive(Clone)]
struct Teller(Arc<Mutex<Option<Tell>>>);

type Tell = Box<dyn Fn(FromProcess) + Send>;

impl Teller {
    fn new(tell: impl Fn(FromProcess) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(tell)))))
    }

    fn tell(&self, event: FromProcess) {
        if let Some(tell) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            tell(event);
        }
    }

    fn end(&self, event: FromProcess) {
        if let Some(tell) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            tell(event);
        }
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Reads `source` to its end in a thread of its own. It is read on even when nobody wants it
    /// any more, so that a daemon left behind does not die of its own output.
    fn pass_on(&self, stream: Stream, mut source: impl Read + Send + 'static, done: Sender<()>) {
        let teller = self.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            // A terminal reports EIO when its last user is gone.
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                teller.tell(FromProcess::Output(stream, buffer[..length].to_vec()));
            }
            drop(done);
        });
    }
}

/// Makes `command` run on a new terminal, as its controlling one; gives back our end of it.
fn attach_terminal(
    command: &mut process::Command,
    program: &str,
    arguments: &[String],
    size: TerminalSize,
) -> Result<File> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .context("cannot open a terminal (is devpts mounted?)")?;
    grantpt(&ours).context("cannot prepare the terminal")?;
    unlockpt(&ours).context("cannot prepare the terminal")?;
    rustix::termios::tcsetwinsize(&ours, winsize(size)).context("cannot size the terminal")?;
    let name = ptsname(&ours, Vec::new()).context("cannot name the terminal")?;
    let theirs: OwnedFd = rustix::fs::open(
        &*name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .context("cannot open the terminal's other end")?;
    let copy = || theirs.try_clone().context("cannot share the terminal");
    let (input, output) = (copy()?, copy()?);

    // util-linux and busybox both have setsid, which makes the terminal the controlling one without
    // code of ours between fork and exec.
    let mut wrapped = process::Command::new("setsid");
    wrapped.arg("-c").arg(program).args(arguments);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped.stdin(input).stdout(output).stderr(theirs);
    *command = wrapped;
    Ok(File::from(ours))
}

fn winsize(size: TerminalSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}
