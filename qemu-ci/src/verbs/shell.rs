//! `qemu-ci shell`: an interactive dom0 on the user's terminal.

use std::io::{self, IsTerminal, Read};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::Signals;

use super::{Ground, command, pass_on};
use crate::channel::{CHUNK, FromProcess, ToProcess};
use crate::cli::ShellArgs;
use crate::progress::note;
use crate::switchboard::Requester;
use crate::terminal;

/// Gives the shell's last status.
pub fn run(args: &ShellArgs) -> Result<i32> {
    ensure!(
        io::stdin().is_terminal(),
        "a shell needs a terminal: use `qemu-ci exec SCRIPT` without one"
    );
    let ground = Ground::prepare()?;
    let overlay = ground.pack(&args.content)?.finish()?;
    let setup = ground.setup(args.content.hosts, &args.host)?;
    let (cluster, _run) = ground.boot(&setup, &overlay)?;
    note("leave the shell with `exit` or Ctrl-D: that ends the host");

    let mut shell = command(["bash", "--login"]);
    shell.terminal = terminal::size();
    shell.env.push(("TERM".into(), std::env::var("TERM").unwrap_or_else(|_| "linux".into())));
    let running = cluster.start(1, shell);
    follow_size(running.requester())?;
    terminal::make_raw().context("cannot pass keys on one by one")?;
    let _restored = Restored;
    type_in(running.requester());
    for event in running.events() {
        match event {
            FromProcess::Output(stream, data) => pass_on(stream, &data)?,
            FromProcess::Exited(exit) => return Ok(exit.status()),
            FromProcess::Failed(why) => bail!("no shell in dom0: {why}"),
        }
    }
    terminal::restore();
    bail!("the host is gone\n{}", cluster.serial_tail(1))
}

/// Restores the terminal when it goes.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        terminal::restore();
    }
}

fn type_in(shell: Requester) {
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
            shell.request(ToProcess::Input(buffer[..length].to_vec()));
        }
    });
}

fn follow_size(shell: Requester) -> Result<()> {
    let mut signals = Signals::new([SIGWINCH]).context("cannot follow the terminal's size")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if let Some(size) = terminal::size() {
                shell.request(ToProcess::Resize(size));
            }
        }
    });
    Ok(())
}
