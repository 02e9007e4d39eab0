//! `pgas run`.

use std::io::{ErrorKind, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use armci_nostd::hosted::frame;
use armci_nostd::wire::MAX_RANKS;
use dom0_proxy::control::{
    ClientRequest, InputFor, JobSpec, OutputPiece, RankKind, Reply, Summary,
};
use dom0_proxy::daemon::clean_up_after_daemon;
use dom0_proxy::error::status;
use dom0_proxy::inheritance::Inheritance;
use dom0_proxy::run_dir::RunDir;
use dom0_proxy::{Error, xen, xl};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use crate::arguments::{RunArguments, Stdin};
use crate::connect::{DaemonConnection, Requests, unexpected};
use crate::output::{error_takes_more, print, print_error, print_json};
use crate::show::{Presentation, Style, Writer};
use crate::signals::take_signals;
use crate::{environment, image, table};

/// How long to wait for whoever reads the output of a job that was killed, while nothing is read.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a daemon that takes no more jobs may take to end.
const PATIENCE_WITH_DAEMON: Duration = Duration::from_secs(60);
const DEFAULT_MEMORY: u64 = 16 << 20;
const DEFAULT_HOSTED_MEMORY: u64 = 256 << 20;

/// Runs a job to its end; the status to end with.
pub fn run(arguments: &RunArguments) -> anyhow::Result<u8> {
    let spec = spec(arguments)?;
    let run_dir = RunDir::from_env()?;
    let (kind, size) = (spec.kind, spec.size);
    let (daemon, job) = begin(spec, &run_dir)?;
    let requests = Requests::new(&daemon)?;
    let show = Show::new(arguments, size, &requests)?;
    take_signals(requests, kind)?;
    loop {
        match message_frame::receive(&daemon.stream) {
            Ok(Some(Reply::Up(up))) => show.up(up),
            Ok(Some(Reply::Output(piece))) => show.output(piece),
            Ok(Some(Reply::Ended(summary))) => return show.end(&summary),
            Ok(Some(Reply::Refused { status, text })) => {
                return Err(Error::Refused { status, text }.into());
            }
            Ok(Some(reply)) => return Err(unexpected(&reply).into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(None) | Err(_) => {
                // It may be this process that has hung up, since it could not write.
                let unshown = show.stop()?;
                if unshown > 0 {
                    say_unshown(unshown, Some(&job));
                }
                return Err(daemon_lost(&run_dir, &daemon, Some(&job)).into());
            }
        }
    }
}

/// Has a daemon begin the job, and gives its name. A daemon that has been told to end takes no
/// jobs, and has begun nothing of this one: then its successor is asked.
fn begin(spec: JobSpec, run_dir: &RunDir) -> anyhow::Result<(DaemonConnection, String)> {
    let input = spec.input;
    let request = ClientRequest::Run(spec);
    let deadline = Instant::now() + PATIENCE_WITH_DAEMON;
    loop {
        let daemon = DaemonConnection::open_or_start(run_dir)?;
        let asked = message_frame::send(&daemon.stream, &request);
        let asked = asked.and_then(|()| match input {
            InputFor::Nobody => Ok(()),
            InputFor::Rank0 | InputFor::All => {
                frame::send(&daemon.stream, &(), &[std::io::stdin().as_fd()])
            }
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
            Ok(Some(Reply::Started(job))) => return Ok((daemon, job)),
            Ok(Some(Reply::Refused { status: status::DAEMON_LOST, .. }))
                if Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Some(Reply::Refused { status, text })) => {
                return Err(Error::Refused { status, text }.into());
            }
            Ok(Some(reply)) => return Err(unexpected(&reply).into()),
            Ok(None) | Err(_) => return Err(daemon_lost(run_dir, &daemon, None).into()),
        }
    }
}

/// The daemon is gone in the middle of a job: cleans up in its place.
fn daemon_lost(run_dir: &RunDir, daemon: &DaemonConnection, job: Option<&str>) -> Error {
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

fn spec(arguments: &RunArguments) -> anyhow::Result<JobSpec> {
    let kind = if arguments.hosted { RankKind::Hosted } else { RankKind::Xen };
    if arguments.size == 0 || arguments.size > MAX_RANKS {
        return Err(Error::BadSize { asked: arguments.size, max: MAX_RANKS }.into());
    }
    let memory = match (&arguments.mem, kind) {
        (Some(text), _) => image::parse_memory(text)?,
        (None, RankKind::Xen) => DEFAULT_MEMORY,
        (None, RankKind::Hosted) => DEFAULT_HOSTED_MEMORY,
    };
    let timeout = match arguments.timeout {
        None => None,
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|limit| !limit.is_zero())
                .with_context(|| {
                    format!("--timeout {seconds}: give a number of seconds above 0, at most 1.8e19")
                })?,
        ),
    };
    let directories = std::env::var_os("XENOLITH_IMAGES").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&directories).collect();
    let image = image::find(&arguments.image, kind, &directories)?;
    image::check(&image, kind, memory)?;
    if kind == RankKind::Xen {
        xen::check_privileged()?;
        xl::check_installed()?;
    }
    let files = arguments.files.iter().map(|path| file(path)).collect::<Result<_, _>>()?;
    let added = environment::variables(&arguments.environment, |name| std::env::var_os(name))?;
    Ok(JobSpec {
        kind,
        size: arguments.size,
        memory,
        image,
        args: arguments.args.clone(),
        files,
        environment: match kind {
            // The last of a name counts.
            RankKind::Hosted => std::env::vars_os().chain(added).collect(),
            RankKind::Xen => added,
        },
        inheritance: Inheritance::of_this_process(),
        input: input(arguments.stdin),
        directory: std::env::current_dir().context("the working directory")?,
        timeout,
    })
}

/// Who gets the standard input of this process.
fn input(asked: Stdin) -> InputFor {
    let input = match asked {
        Stdin::None => return InputFor::Nobody,
        Stdin::All => InputFor::All,
        Stdin::Rank0 => InputFor::Rank0,
    };
    // A terminal belongs to the shell while this process is in the background.
    let stdin = std::io::stdin();
    let is_in_foreground = || tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp());
    if stdin.is_terminal() && !is_in_foreground() { InputFor::Nobody } else { input }
}

fn file(path: &Path) -> dom0_proxy::Result<PathBuf> {
    let bad = |why: String| Error::BadFile { path: path.into(), why };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            std::path::absolute(path).map_err(|error| bad(error.to_string()))
        }
        Ok(_) => Err(bad("it is not a file".into())),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Shows a job to the user.
struct Show {
    json: bool,
    table: bool,
    size: u32,
    progress: ProgressBar,
    writer: Writer,
}

impl Show {
    fn new(arguments: &RunArguments, size: u32, requests: &Requests) -> anyhow::Result<Self> {
        // On a terminal only: indicatif draws nothing elsewhere.
        let progress =
            if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(size.into()) };
        if let Ok(style) = ProgressStyle::with_template("{spinner} starting ranks: {pos}/{len}") {
            progress.set_style(style);
        }
        let times = arguments.timestamp;
        let presentation = match &arguments.output {
            Some(directory) => Presentation::Files(directory.clone()),
            None if arguments.json => Presentation::Json { times },
            None => Presentation::Lines(Style { tags: !arguments.no_tag, times, terminal: false }),
        };
        let writer = Writer::start(presentation, progress.clone(), requests.clone(), size)?;
        progress.enable_steady_tick(Duration::from_millis(100));
        Ok(Self { json: arguments.json, table: arguments.table, size, progress, writer })
    }

    fn up(&self, up: u32) {
        self.progress.set_position(up.into());
        if up >= self.size {
            self.progress.finish_and_clear();
        }
    }

    fn output(&self, piece: OutputPiece) {
        self.writer.show(piece);
    }

    fn end(self, summary: &Summary) -> anyhow::Result<u8> {
        let Self { json, table, progress, writer, .. } = self;
        progress.finish_and_clear();
        let is_killed = matches!(summary.status, status::INTERRUPTED | status::KILLED);
        let unshown = writer.finish(is_killed.then_some(PATIENCE))?;
        let ranks = || summary.ranks.iter().map(|rank| rank.output);
        // Nobody reads standard output then, and standard error may be the same file.
        if unshown == 0 {
            if json {
                print_json(&Reply::Ended(summary.clone()))?;
            } else if table {
                print(table::ranks(summary).trim_end())?;
            }
        }
        let missing = unshown + ranks().map(|output| output.unsent).sum::<u64>();
        if missing > 0 {
            say_unshown(missing, Some(&summary.job));
        }
        for (rank, output) in ranks().enumerate() {
            if output.lost > 0 {
                say(&format!("pgas: rank {rank}: {} bytes of its output were lost", output.lost));
            }
            if output.unlogged > 0 {
                say(&format!(
                    "pgas: rank {rank}: the last {} bytes of its output are not in its log",
                    output.unlogged
                ));
            }
        }
        if let Some(cause) = &summary.cause {
            say(&format!("pgas: job {} failed: {}", summary.job, cause));
        }
        Ok(if summary.status == 0 && missing > 0 { status::KILLED } else { summary.status })
    }

    /// The daemon is gone: how many bytes of what it has sent could not be shown.
    fn stop(self) -> anyhow::Result<u64> {
        self.progress.finish_and_clear();
        self.writer.finish(Some(PATIENCE))
    }
}

/// Says how much output of a job was not shown.
fn say_unshown(bytes: u64, job: Option<&str>) {
    let log = job.map_or(String::new(), |job| format!(": `pgas logs {job}` has all of it"));
    say(&format!("pgas: {bytes} bytes of the ranks' output were not shown{log}"));
}

/// Says a line, unless standard error is as stuck as standard output may be.
fn say(line: &str) {
    if error_takes_more() {
        print_error(line);
    }
}
