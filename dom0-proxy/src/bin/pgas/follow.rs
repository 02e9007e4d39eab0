//! A job on its way: asked for, followed to its end.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use armci_nostd::hosted::frame;
use dom0_proxy::Error;
use dom0_proxy::control::{ClientRequest, Reply};
use dom0_proxy::daemon::clean_up_after_daemon;
use dom0_proxy::error::status;
use dom0_proxy::run_dir::RunDir;

use crate::connect::{DaemonConnection, unexpected};
use crate::hub::Hub;
use crate::recorder::Recorder;
use crate::show::{Show, say_unshown};

/// How long a daemon that takes no more jobs may take to end.
const PATIENCE_WITH_DAEMON: Duration = Duration::from_secs(60);

/// Has the daemon of this host, or the `hub` of a job over several, begin what is asked for, and
/// gives the first answer.
pub fn begin(
    run_dir: &RunDir,
    hub: Option<&Hub>,
    request: &ClientRequest,
    has_input: bool,
) -> anyhow::Result<(DaemonConnection, Reply)> {
    match hub {
        Some(hub) => hub.begin(request),
        None => begin_here(run_dir, request, has_input),
    }
}

/// Has the daemon of this host begin what is asked for, and gives its first answer. A daemon that
/// has been told to end takes no jobs, and has begun nothing of this one: then its successor is
/// asked. With `has_input` the job is given the standard input of this process.
fn begin_here(
    run_dir: &RunDir,
    request: &ClientRequest,
    has_input: bool,
) -> anyhow::Result<(DaemonConnection, Reply)> {
    let deadline = Instant::now() + PATIENCE_WITH_DAEMON;
    loop {
        let daemon = DaemonConnection::open_or_start(run_dir)?;
        let asked = message_frame::send(&daemon.stream, request);
        let asked = asked.and_then(|()| match has_input {
            true => frame::send(&daemon.stream, &(), &[std::io::stdin().as_fd()]),
            false => Ok(()),
        });
        let is_lost = |kind| matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        let answer = match asked {
            // What it has said before it hung up is there all the same.
            Err(error) if !is_lost(error.kind()) => {
                return Err(error).context("talk with the daemon");
            }
            _ => message_frame::receive(&daemon.stream),
        };
        match answer {
            Ok(Some(Reply::Refused { status: status::DAEMON_LOST, .. }))
                if Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Some(Reply::Refused { status, text })) => {
                return Err(Error::Refused { status, text }.into());
            }
            Ok(Some(reply)) => return Ok((daemon, reply)),
            Ok(None) | Err(_) => return Err(daemon_lost(run_dir, &daemon, None).into()),
        }
    }
}

/// How a job that was followed has ended.
#[derive(Debug)]
pub enum Followed {
    /// As its daemon says.
    Ended {
        /// The status to end with.
        status: u8,
        /// Whether it met with an accident.
        is_accident: bool,
    },
    /// With its daemon, for this reason.
    Lost(Error),
}

/// Shows a job that has begun, to its end. `job` is its name, when it has been told; `recorder`
/// hears all of it.
pub fn follow(
    run_dir: &RunDir,
    daemon: &DaemonConnection,
    job: &mut Option<String>,
    show: Show,
    recorder: &mut Recorder,
) -> anyhow::Result<Followed> {
    loop {
        let received = message_frame::receive(&daemon.stream);
        if let Ok(Some(reply)) = &received {
            recorder.hear(reply);
        }
        match received {
            Ok(Some(Reply::Started(name))) => *job = Some(name),
            Ok(Some(Reply::Up(up))) => show.up(up),
            Ok(Some(Reply::Output(piece))) => show.output(piece),
            Ok(Some(Reply::Running)) => {}
            Ok(Some(Reply::Saved(report))) => show.saved(report),
            Ok(Some(Reply::Notice(line))) => show.notice(&line),
            Ok(Some(Reply::Ended(summary))) => {
                let is_accident = summary.is_accident;
                return Ok(Followed::Ended { status: show.end(&summary)?, is_accident });
            }
            Ok(Some(Reply::Refused { status, text })) => {
                return Err(Error::Refused { status, text }.into());
            }
            Ok(Some(reply)) => return Err(unexpected(&reply).into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(None) | Err(_) => {
                // It may be this process that has hung up, since it could not write.
                let unshown = show.stop()?;
                if unshown > 0 {
                    say_unshown(unshown, job.as_deref());
                }
                let error = daemon_lost(run_dir, daemon, job.as_deref());
                return Ok(Followed::Lost(error));
            }
        }
    }
}

/// The daemon is gone in the middle of a job: cleans up in its place.
fn daemon_lost(run_dir: &RunDir, daemon: &DaemonConnection, job: Option<&str>) -> Error {
    if daemon.is_of_hub() {
        // Each host's proxy ends its part when nobody listens to it any more.
        let text = "the hub of the job has failed: its ranks are ended".into();
        return Error::Refused { status: status::DAEMON_LOST, text };
    }
    let pid = daemon.pid;
    if stays_alive(pid) {
        let text = format!(
            "the daemon (process {pid}) has hung up: its log is {}",
            run_dir.daemon_log().display()
        );
        return Error::Refused { status: status::DAEMON_LOST, text };
    }
    let text = match job {
        None => format!("the daemon (process {pid}) died before the job had started"),
        Some(job) => match clean_up_after_daemon(run_dir, job) {
            Ok(()) => format!(
                "the daemon (process {pid}) died: job {job} has failed, \
                 and its ranks have been ended"
            ),
            Err(error) => {
                format!(
                    "the daemon (process {pid}) died, \
                     and what job {job} left could not be removed: {error}"
                )
            }
        },
    };
    Error::Refused { status: status::DAEMON_LOST, text }
}

/// Whether a process is there and does not end within a moment.
fn stays_alive(pid: u32) -> bool {
    let is_alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses. A daemon that this pgas has started
        // stays as a zombie.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    let deadline = Instant::now() + Duration::from_secs(1);
    while is_alive() {
        if Instant::now() > deadline {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
