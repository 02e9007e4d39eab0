//! The user's command: runs PGAS jobs and looks after them.

#![forbid(unsafe_code)]

mod connect;
mod image;
mod output;
mod run;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use dom0_proxy::Error;
use dom0_proxy::control::{Reply, Request};
use dom0_proxy::error::status;
use dom0_proxy::run_dir::{LOGS_KEPT, RunDir};

use connect::Connection;
use output::print_json;

const STATUSES: &str = "\
Exit status of `pgas run`: that of the first rank that ended with another status than 0, or
  121  the daemon died while the job ran
  122  a rank broke the protocol
  123  the host could not create the ranks (no Xen, no memory, xl failed)
  124  --timeout
  125  pgas was called wrongly, or could not start its daemon
  126  the image cannot be run: corrupt, or not for Xen
  127  no such image
  130  interrupted
  134  a rank crashed
  137  killed by `pgas kill`
  128+N  a hosted rank was killed by signal N";

/// Runs PGAS jobs, whose ranks are Xen unikernels or, with --hosted, Linux processes.
#[derive(Debug, Parser)]
#[command(version, after_help = STATUSES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a job, show what its ranks write, and end with its status
    #[command(after_help = STATUSES)]
    Run(RunArguments),
    /// List the jobs that run
    Ps {
        /// One line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the ranks of a job have written
    Logs {
        /// The job
        job: String,
        /// Only this rank
        #[arg(long)]
        rank: Option<u32>,
        /// A JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End a job
    Kill {
        /// The job
        job: String,
    },
}

/// What a job is made of.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Number of ranks
    #[arg(short = 'n', value_name = "N")]
    size: u32,

    /// Memory of a rank, such as 16M or 1G [default: 16M, hosted 256M]
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,

    /// Run ranks as Linux processes; IMAGE is an ordinary program
    #[arg(long)]
    hosted: bool,

    /// A file that every rank can read, under its name without directories
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,

    /// Show for each rank memory, boot time, operations and bytes at the end
    #[arg(long)]
    table: bool,

    /// Write a JSON object a line: what ranks write, and at the end how it ended
    #[arg(long)]
    json: bool,

    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,

    /// The image: a path, or a name in a directory of $XENOLITH_IMAGES
    image: String,

    /// Arguments for the application
    #[arg(last = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { status::USAGE.into() } else { 0 });
    });
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Ps { json } => ps(json),
        Command::Logs { job, rank, json } => logs(&job, rank, json),
        Command::Kill { job } => kill(job),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("pgas: {error:#}");
            ExitCode::from(error.downcast_ref::<Error>().map_or(status::USAGE, Error::exit_status))
        }
    }
}

fn ps(json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    let jobs = match Connection::open(&run_dir) {
        Ok(mut daemon) => match daemon.ask(&Request::List)? {
            Reply::Jobs(jobs) => jobs,
            reply => return Err(connect::unexpected(&reply).into()),
        },
        Err(Error::NoDaemon { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&jobs)?;
    } else {
        print!("{}", table::jobs(&jobs));
    }
    Ok(0)
}

fn kill(job: String) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    match Connection::open(&run_dir)?.ask(&Request::Kill(job))? {
        Reply::Done => Ok(0),
        reply => Err(connect::unexpected(&reply).into()),
    }
}

fn logs(job: &str, rank: Option<u32>, json: bool) -> anyhow::Result<u8> {
    let dir = RunDir::from_env()?.job_logs(job);
    let no_log = |path: PathBuf| Error::NoLog { path, kept: LOGS_KEPT };
    let is_name = !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let entries =
        std::fs::read_dir(&dir).ok().filter(|_| is_name).ok_or_else(|| no_log(dir.clone()))?;
    let mut ranks: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_prefix("rank-")?.strip_suffix(".log")?.parse().ok()
        })
        .filter(|number| rank.is_none_or(|only| only == *number))
        .collect();
    ranks.sort_unstable();
    if let (Some(rank), true) = (rank, ranks.is_empty()) {
        return Err(no_log(dir.join(format!("rank-{rank}.log"))).into());
    }
    for number in ranks {
        let path = dir.join(format!("rank-{number}.log"));
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        for line in String::from_utf8_lossy(&text).lines() {
            match (json, rank) {
                (true, _) => print_json(&serde_json::json!({ "rank": number, "text": line }))?,
                (false, Some(_)) => output::print(&output::clean(line))?,
                (false, None) => output::print(&format!("[{number}] {}", output::clean(line)))?,
            }
        }
    }
    Ok(0)
}
