//! What runs inside a host's dom0 and does there what qemu-ci asks for.
//!
//! The agent is this very program, started in dom0 under the name [`NAME`] by the init script;
//! under the name [`ON`] it is the command with which a script reaches another host. It sits on the
//! virtio-serial port and speaks [`crate::channel`].

mod on;
mod process;
mod relay;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use image_builder::output;

use crate::channel::{self, FromAgent, FromProcess, ProcessId, ToAgent, ToProcess};
use process::Process;
use relay::Relays;

/// The agent's name in dom0.
pub const NAME: &str = "xenolith-agent";
/// The name of the command that reaches other hosts.
pub const ON: &str = "on";

/// Where `on` finds the agent.
const SOCKET: &str = "/run/xenolith-agent.sock";

/// The agent's life: until qemu-ci ends the host.
pub fn main() -> ExitCode {
    report(agent())
}

/// The command `on HOST COMMAND...`.
pub fn on() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match on::run(&arguments) {
        Ok(status) => ExitCode::from(status.clamp(0, 255) as u8),
        Err(error) => report(Err(error)),
    }
}

fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error_line(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn agent() -> Result<()> {
    let path = port()?;
    let port = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let wire = Wire::new(port.try_clone().context("cannot share the agent port")?);
    let relays = Relays::listen(SOCKET, wire.clone())?;
    wire.send(&FromAgent::Ready);
    serve(port, &wire, &relays)
}

/// The device of our virtio-serial port. There is no udev that would name it.
fn port() -> Result<PathBuf> {
    let class = "/sys/class/virtio-ports";
    for entry in fs::read_dir(class).with_context(|| format!("cannot list {class}"))? {
        let entry = entry.with_context(|| format!("cannot list {class}"))?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end() == channel::PORT_NAME {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    bail!("no virtio-serial port is named {}: is this a host of qemu-ci?", channel::PORT_NAME)
}

/// The sending half of the port, shared by all that have something to say.
#[derive(Clone)]
struct Wire(Arc<Mutex<Box<dyn Write + Send>>>);

impl Wire {
    fn new(port: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(port))))
    }

    /// Sends a message. When that fails qemu-ci is gone, and this host with it: nobody is left to
    /// be told.
    fn send(&self, message: &FromAgent) {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = message_frame::send(&mut **port, message) {
            output::error_line(format_args!("cannot write to qemu-ci: {error}"));
        }
    }
}

/// Does what comes in until the port is closed.
fn serve(mut port: impl Read, wire: &Wire, relays: &Relays) -> Result<()> {
    let mut processes: HashMap<ProcessId, Process> = HashMap::new();
    while let Some(message) =
        message_frame::receive(&mut port).context("cannot read from qemu-ci")?
    {
        match message {
            ToAgent::Relayed(id, event) => relays.deliver(id, event),
            ToAgent::Process(id, ToProcess::Start(command)) => {
                let wire = wire.clone();
                let tell = move |event| wire.send(&FromAgent::Process(id, event));
                match Process::start(&command, tell.clone()) {
                    Ok(process) => {
                        processes.retain(|_, process| !process.is_over());
                        processes.insert(id, process);
                    }
                    Err(error) => tell(FromProcess::Failed(format!("{error:#}"))),
                }
            }
            ToAgent::Process(id, request) => {
                // A process that has just ended may still get input or a signal: nothing to do
                // then.
                if let Some(process) = processes.get(&id) {
                    process.request(request);
                }
            }
        }
    }
    Ok(())
}

/// An agent on a socket instead of a virtio port.
#[cfg(test)]
pub fn on_socket() -> std::os::unix::net::UnixStream {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = tempfile::tempdir().unwrap();
    let wire = Wire::new(theirs.try_clone().unwrap());
    let relays = Relays::listen(socket.path().join("on.sock"), wire.clone()).unwrap();
    std::thread::spawn(move || serve(theirs, &wire, &relays).unwrap());
    ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Dom0Command, ProcessEnd, Stream};
    use std::os::unix::net::UnixStream;

    fn start(id: ProcessId, argv: &[&str]) -> ToAgent {
        ToAgent::Process(id, ToProcess::Start(Dom0Command::new(argv.iter().copied())))
    }

    /// Output, errors and end of process `id`.
    fn outcome(mut port: &UnixStream, id: ProcessId) -> (String, String, FromProcess) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match message_frame::receive(&mut port).unwrap().unwrap() {
                FromAgent::Process(from, event) => {
                    assert_eq!(from, id);
                    match event {
                        FromProcess::Output(Stream::Out, data) => out.extend(data),
                        FromProcess::Output(Stream::Err, data) => err.extend(data),
                        end => {
                            return (
                                String::from_utf8(out).unwrap(),
                                String::from_utf8(err).unwrap(),
                                end,
                            );
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn outputs_are_kept_apart_and_the_status_is_told() {
        let port = on_socket();
        message_frame::send(&port, &start(1, &["sh", "-c", "echo out; echo err >&2; exit 3"]))
            .unwrap();
        let expected = ("out\n".into(), "err\n".into(), FromProcess::Exited(ProcessEnd::Code(3)));
        assert_eq!(outcome(&port, 1), expected);
    }

    #[test]
    fn input_arrives_and_its_end_too() {
        let port = on_socket();
        message_frame::send(&port, &start(5, &["cat"])).unwrap();
        message_frame::send(&port, &ToAgent::Process(5, ToProcess::Input(b"hello".to_vec())))
            .unwrap();
        message_frame::send(&port, &ToAgent::Process(5, ToProcess::Input(Vec::new()))).unwrap();
        assert_eq!(
            outcome(&port, 5),
            ("hello".into(), "".into(), FromProcess::Exited(ProcessEnd::Code(0)))
        );
    }

    #[test]
    fn a_signal_reaches_the_whole_group() {
        let port = on_socket();
        message_frame::send(&port, &start(2, &["sh", "-c", "echo up; sleep 60; echo no"])).unwrap();
        let up = FromAgent::Process(2, FromProcess::Output(Stream::Out, b"up\n".to_vec()));
        assert_eq!(message_frame::receive::<FromAgent>(&port).unwrap(), Some(up));
        message_frame::send(&port, &ToAgent::Process(2, ToProcess::Signal(9))).unwrap();
        assert_eq!(
            outcome(&port, 2),
            ("".into(), "".into(), FromProcess::Exited(ProcessEnd::Signal(9)))
        );
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_does_not_hold_up_the_end() {
        let port = on_socket();
        message_frame::send(&port, &start(3, &["sh", "-c", "sleep 30 & echo started"])).unwrap();
        assert_eq!(
            outcome(&port, 3),
            ("started\n".into(), "".into(), FromProcess::Exited(ProcessEnd::Code(0)))
        );
    }

    #[test]
    fn a_missing_program_is_reported() {
        let port = on_socket();
        message_frame::send(&port, &start(4, &["no-such-program"])).unwrap();
        let (_, _, end) = outcome(&port, 4);
        assert!(
            matches!(&end, FromProcess::Failed(why) if why.contains("no-such-program")),
            "{end:?}"
        );
    }

    #[test]
    fn a_terminal_is_a_terminal_of_the_size_asked_for() {
        let port = on_socket();
        let mut command = Dom0Command::new(["sh", "-c", "test -t 0 && stty size"]);
        command.terminal = Some(crate::channel::TerminalSize { rows: 12, columns: 34 });
        message_frame::send(&port, &ToAgent::Process(6, ToProcess::Start(command))).unwrap();
        let (out, _, end) = outcome(&port, 6);
        assert_eq!((out.trim_end(), end), ("12 34", FromProcess::Exited(ProcessEnd::Code(0))));
    }
}
