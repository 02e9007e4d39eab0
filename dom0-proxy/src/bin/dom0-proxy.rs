//! The daemon that serves the ranks of PGAS jobs.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use dom0_proxy::Error;
use dom0_proxy::daemon::{self, DaemonOptions, ListenOptions};
use dom0_proxy::error::{Context, status};
use dom0_proxy::inheritance;
use dom0_proxy::job::processes::{MEMORY_ARGUMENT, RANK_ARGUMENT, become_memory, become_rank};
use dom0_proxy::membership::Secret;
use dom0_proxy::run_dir::{DaemonLog, RunDir};
use tracing_subscriber::EnvFilter;

/// Serves the ranks of PGAS jobs. `pgas run` starts it where none runs.
///
/// Its sockets are in $XENOLITH_RUN_DIR, by default /run/xenolith for root and
/// $XDG_RUNTIME_DIR/xenolith for others, or /tmp/xenolith-UID without that. $RUST_LOG says what it
/// tells on standard error (default: info).
#[derive(Debug, Parser)]
#[command(version)]
struct DaemonArguments {
    /// Leave the session, directory, limits and processors that it was started with
    #[arg(long)]
    detach: bool,

    /// End after this many seconds without jobs and clients
    #[arg(long, value_name = "SECONDS")]
    idle_exit: Option<u64>,

    /// Listen for other hosts' proxies, and for pgas there, at this address; port 0 is any that is
    /// free
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,

    /// The file with the secret that they must know, 64 digits of base 16, which no other user may
    /// read; $XENOLITH_SECRET unless given
    #[arg(long, value_name = "FILE", requires = "listen")]
    secret: Option<PathBuf>,
}

/// How members reach the daemon, if they are to.
fn listen(arguments: &DaemonArguments) -> dom0_proxy::Result<Option<ListenOptions>> {
    let Some(address) = arguments.listen.clone() else { return Ok(None) };
    let variable = || std::env::var_os("XENOLITH_SECRET").filter(|value| !value.is_empty());
    let path = arguments.secret.clone().or_else(|| variable().map(PathBuf::from));
    let path = path.ok_or(Error::NoSecret)?;
    Ok(Some(ListenOptions { address, secret: Secret::read(&path)? }))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == MEMORY_ARGUMENT {
        return match become_memory(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if first == RANK_ARGUMENT {
        tell(&format!("the rank could not start: {}", become_rank(arguments)));
        return ExitCode::from(127);
    }
    match run(DaemonArguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("dom0-proxy: {error}"));
            match error {
                Error::AlreadyRunning { .. } => ExitCode::from(status::ALREADY_RUNNING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Says a line on standard error, where nobody may listen.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn run(arguments: DaemonArguments) -> dom0_proxy::Result<()> {
    // A relative path is of the directory that it was started in.
    let listen = listen(&arguments)?;
    let run_dir = RunDir::from_env()?;
    let log = DaemonLog::new(run_dir.daemon_log());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .with_ansi(false)
        // Whoever read standard error may be gone; jobs go on without a log.
        .log_internal_errors(false)
        .init();
    inheritance::raise_limits().context(|| "take signals")?;
    if arguments.detach {
        // A process that leads a group already cannot leave its session, and need not.
        let _ = rustix::process::setsid();
        let _ = std::env::set_current_dir("/");
        inheritance::let_go();
    }
    let idle_exit = arguments.idle_exit.map(Duration::from_secs);
    daemon::run(DaemonOptions { run_dir, idle_exit, listen })
}
