//! The hosts of one run: boots them together, runs commands in their dom0s, ends them.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::channel::{Dom0Command, FromProcess, ProcessEnd, Stream, ToProcess};
use crate::dom0_image::Dom0Image;
use crate::host::{Host, Machine, Position};
use crate::log_dir::LogDir;
use crate::overlay::Overlay;
use crate::progress::Step;
use crate::switchboard::{RunningProcess, Switchboard};

/// How often it is checked whether a silent host still lives.
const GLANCE: Duration = Duration::from_millis(250);
/// A killed process must end within this time, or its host hangs.
const DYING: Duration = Duration::from_secs(15);

/// How hosts are booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// How many.
    pub hosts: usize,
    /// Each one's machine.
    pub machine: Machine,
    /// They must be up by then.
    pub boot_timeout: Duration,
}

/// Running hosts. Dropped, they are ended.
pub struct Cluster {
    hosts: Vec<Host>,
    switchboard: Switchboard,
}

/// How long a command in dom0 may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// This long.
    Whole(Duration),
    /// For as long as it writes something within this time. A slow machine is no failure.
    Silence(Duration),
}

/// How a command in dom0 came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It ran to its end.
    Exited(ProcessEnd),
    /// It was killed when its time was over.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
    /// The host crashed, hangs or is gone.
    HostLost(String),
}

impl Cluster {
    /// Boots hosts and waits until all their dom0s are up.
    pub fn boot(
        setup: &Setup,
        image: &Dom0Image,
        overlay: &Overlay,
        logs: &LogDir,
    ) -> Result<Self> {
        let Setup { hosts: count, machine, .. } = *setup;
        let step = Step::start(match count {
            1 => format!("Booting Xen ({machine})"),
            _ => format!("Booting Xen on {count} hosts ({machine} each)"),
        });
        let initramfs = Removed(logs.path().join("initramfs"));
        overlay.write_initramfs(image, &initramfs.0)?;
        let mut hosts = Vec::new();
        let mut lines = Vec::new();
        for (index, cables) in star(count)?.into_iter().enumerate() {
            let place = Position { number: index + 1, of: count };
            let (ours, theirs) = UnixStream::pair().context("cannot create a socket")?;
            lines.push(ours);
            hosts.push(Host::start(
                place,
                machine,
                image,
                &initramfs.0,
                logs.path(),
                theirs,
                cables,
            )?);
        }
        let (switchboard, ready) = Switchboard::connect(lines)?;
        let mut cluster = Self { hosts, switchboard };
        let deadline = Instant::now() + setup.boot_timeout;
        for (index, ready) in ready.iter().enumerate() {
            cluster.await_ready(index, ready, deadline)?;
        }
        step.done();
        Ok(cluster)
    }

    fn await_ready(&mut self, index: usize, ready: &Receiver<()>, deadline: Instant) -> Result<()> {
        loop {
            let received = ready.recv_timeout(GLANCE);
            if received.is_ok() {
                return Ok(());
            }
            let host = &mut self.hosts[index];
            let trouble = host.trouble().or_else(|| {
                let late = Instant::now() > deadline;
                late.then(|| format!("host {} is not up in time", index + 1))
            });
            if let Some(trouble) = trouble {
                bail!("{trouble}\n{}", self.serial_tail(index + 1));
            }
            if received == Err(RecvTimeoutError::Disconnected) {
                // QEMU is about to end; the next glance tells why.
                std::thread::sleep(GLANCE);
            }
        }
    }

    /// The end of a host's serial console, with a headline.
    pub fn serial_tail(&self, host: usize) -> String {
        let host_of_it = &self.hosts[host - 1];
        format!(
            "--- end of host {host}'s serial console ({}) ---\n{}\n---",
            host_of_it.serial_log().display(),
            host_of_it.serial_tail()
        )
    }

    /// Starts a command without waiting for it.
    pub fn start(&self, host: usize, command: Dom0Command) -> RunningProcess {
        self.switchboard.start(host, command)
    }

    /// Runs a command to its end, or to the end of our patience, and hands out what it writes.
    pub fn run(
        &mut self,
        host: usize,
        command: Dom0Command,
        patience: Patience,
        mut output: impl FnMut(Stream, &[u8]) -> Result<()>,
    ) -> Result<Ending> {
        let running = self.start(host, command);
        let (Patience::Whole(time) | Patience::Silence(time)) = patience;
        let mut deadline = Instant::now() + time;
        let mut killed = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match running.events().recv_timeout(GLANCE.min(left)) {
                Ok(FromProcess::Output(stream, data)) => {
                    output(stream, &data)?;
                    if let Patience::Silence(time) = patience
                        && !killed
                    {
                        deadline = Instant::now() + time;
                    }
                }
                Ok(FromProcess::Exited(_)) if killed => return Ok(Ending::TimedOut),
                Ok(FromProcess::Exited(exit)) => return Ok(Ending::Exited(exit)),
                Ok(FromProcess::Failed(why)) => return Ok(Ending::NotStarted(why)),
                Err(error) => {
                    if let Some(trouble) = self.hosts[host - 1].trouble() {
                        return Ok(Ending::HostLost(trouble));
                    }
                    if error == RecvTimeoutError::Disconnected {
                        std::thread::sleep(GLANCE);
                        let trouble = self.hosts[host - 1].trouble();
                        let why = trouble
                            .unwrap_or_else(|| format!("the agent of host {host} closed its line"));
                        return Ok(Ending::HostLost(why));
                    }
                }
            }
            if Instant::now() < deadline {
                continue;
            }
            if killed {
                return Ok(Ending::HostLost(format!(
                    "host {host} hangs: it does not even end a killed process"
                )));
            }
            running.requester().request(ToProcess::Signal(Signal::KILL.as_raw()));
            killed = true;
            deadline = Instant::now() + DYING;
        }
    }

    /// Runs a short command and gives its output, which must come with status 0.
    pub fn ask(&mut self, host: usize, command: Dom0Command, time: Duration) -> Result<Vec<u8>> {
        let name = command.argv.join(" ");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let outcome = self.run(host, command, Patience::Whole(time), |stream, data| {
            match stream {
                Stream::Out => out.extend_from_slice(data),
                Stream::Err => err.extend_from_slice(data),
            }
            Ok(())
        })?;
        let err = String::from_utf8_lossy(&err);
        match outcome {
            Ending::Exited(ProcessEnd::Code(0)) => Ok(out),
            Ending::Exited(exit) => {
                bail!("`{name}` in dom0 ended with status {}: {}", exit.status(), err.trim())
            }
            Ending::TimedOut => bail!("`{name}` in dom0 took longer than {} s", time.as_secs()),
            Ending::NotStarted(why) | Ending::HostLost(why) => {
                bail!("`{name}` in dom0 failed: {why}")
            }
        }
    }
}

#[cfg(test)]
impl Cluster {
    /// One host, which is this machine, with an agent in this process.
    pub fn of_this_machine() -> Self {
        let (switchboard, ready) = Switchboard::connect(vec![crate::agent::on_socket()]).unwrap();
        drop(ready);
        Self { hosts: Vec::new(), switchboard }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.switchboard.close();
    }
}

/// A file that goes when this goes.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Each host's network cables: host 1 has one to every other.
fn star(hosts: usize) -> Result<Vec<Vec<UnixStream>>> {
    let mut cables: Vec<Vec<UnixStream>> = (0..hosts).map(|_| Vec::new()).collect();
    for other in 1..hosts {
        let (middle, end) = UnixStream::pair().context("cannot create a socket")?;
        cables[0].push(middle);
        cables[other].push(end);
    }
    Ok(cables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_host_has_no_cable_and_the_first_of_three_has_two() {
        let cables = |hosts| star(hosts).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(cables(1), [0]);
        assert_eq!(cables(3), [2, 1, 1]);
    }
}
