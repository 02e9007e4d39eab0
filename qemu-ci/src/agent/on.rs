//! `on HOST COMMAND [ARGUMENTS]`: runs a command in the dom0 of another host, like ssh does.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use image_builder::output;

use super::SOCKET;
use crate::channel::{CHUNK, Dom0Command, FromProcess, OnCall, Stream, ToProcess};

const USAGE: &str =
    "usage: on HOST COMMAND [ARGUMENTS] (HOST counts from 1; a single COMMAND may be a shell line)";

/// Runs the command there; gives back its status.
pub fn run(arguments: &[String]) -> Result<i32> {
    let [host, command @ ..] = arguments else { bail!(USAGE) };
    let host: u32 = host.parse().with_context(|| format!("{host} is no host number; {USAGE}"))?;
    let argv = match command {
        [] => bail!(USAGE),
        [line] => vec!["bash".into(), "-c".into(), line.clone()],
        words => words.to_vec(),
    };
    let agent = UnixStream::connect(SOCKET).with_context(|| {
        format!("cannot reach the agent at {SOCKET}: is this a host of qemu-ci?")
    })?;
    let calls = Calls {
        host,
        agent: Arc::new(Mutex::new(agent.try_clone().context("cannot share the agent's socket")?)),
    };
    calls.send(ToProcess::Start(Dom0Command::new(argv)))?;
    thread::spawn(move || calls.feed(io::stdin()));
    events(agent)
}

struct Calls {
    host: u32,
    agent: Arc<Mutex<UnixStream>>,
}

impl Calls {
    fn send(&self, request: ToProcess) -> Result<()> {
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        let call = OnCall { host: self.host, request };
        message_frame::send(&*agent, &call).context("cannot write to the agent")
    }

    fn feed(&self, mut input: impl Read) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = input.read(&mut buffer).unwrap_or(0);
            // An empty piece is the end of input, there too.
            if self.send(ToProcess::Input(buffer[..length].to_vec())).is_err() || length == 0 {
                return;
            }
        }
    }
}

fn events(agent: UnixStream) -> Result<i32> {
    loop {
        match message_frame::receive(&agent).context("cannot read from the agent")? {
            Some(FromProcess::Output(Stream::Out, data)) => output::bytes(io::stdout(), &data),
            Some(FromProcess::Output(Stream::Err, data)) => output::bytes(io::stderr(), &data),
            Some(FromProcess::Exited(exit)) => return Ok(exit.status()),
            Some(FromProcess::Failed(why)) => bail!(why),
            None => bail!("the agent of this host is gone"),
        }
    }
}
