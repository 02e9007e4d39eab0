//! The user's command: runs PGAS jobs and looks after them.

#![forbid(unsafe_code)]

mod arguments;
mod connect;
mod environment;
mod escape;
mod follow;
mod healing;
mod image;
mod lives;
mod output;
mod restore;
mod run;
mod saved;
mod saving;
mod show;
mod signals;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use dom0_proxy::Error;
use dom0_proxy::control::{CheckpointSpec, ClientRequest, OutputStream, RankKind, Reply};
use dom0_proxy::error::status;
use dom0_proxy::images::ImagesError;
use dom0_proxy::run_dir::{LOGS_KEPT, RunDir};

use arguments::{PgasArguments, PgasCommand, Then};
use connect::DaemonConnection;
use output::print_json;
use show::{Fragment, JsonLine, Mark, Style, Tagged};

fn main() -> ExitCode {
    let arguments = PgasArguments::try_parse().unwrap_or_else(|error| {
        let _ = output::listened(error.print());
        std::process::exit(if error.use_stderr() { status::USAGE.into() } else { 0 });
    });
    let result = match arguments.command {
        PgasCommand::Run(arguments) => run::run(&arguments),
        PgasCommand::Ps { json } => ps(json),
        PgasCommand::Logs { job, rank, json } => logs(&job, rank, json),
        PgasCommand::Checkpoint { job, dir, then, json } => checkpoint(job, dir, then, json),
        PgasCommand::Restore(arguments) => restore::restore(&arguments),
        PgasCommand::Hold { job } => hold(job),
        PgasCommand::Release { job } => done(ClientRequest::Release(job)),
        PgasCommand::Kill { job } => done(ClientRequest::Kill(job)),
        PgasCommand::Images { directory, json } => saved::images(&directory, json),
        PgasCommand::Verify { directory } => saved::verify(&directory),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            output::print_error(&format!("pgas: {error:#}"));
            ExitCode::from(exit_status(&error))
        }
    }
}

/// The status that belongs to an error.
fn exit_status(error: &anyhow::Error) -> u8 {
    let of_daemon = error.downcast_ref::<Error>().map(Error::exit_status);
    let of_images = || error.downcast_ref::<ImagesError>().map(ImagesError::exit_status);
    of_daemon.or_else(of_images).unwrap_or(status::USAGE)
}

fn ps(json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    let jobs = match DaemonConnection::open(&run_dir) {
        Ok(mut daemon) => match daemon.ask(&ClientRequest::List)? {
            Reply::Jobs(jobs) => jobs,
            reply => return Err(connect::unexpected(&reply).into()),
        },
        Err(Error::NoDaemon { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&jobs)?;
    } else {
        output::print(table::jobs(&jobs).trim_end())?;
    }
    Ok(0)
}

fn checkpoint(job: String, dir: Option<PathBuf>, then: Then, json: bool) -> anyhow::Result<u8> {
    let absolute =
        |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let asked = CheckpointSpec {
        directory: dir.map(absolute).transpose()?,
        otherwise: absolute(format!("{job}.images").into())?,
        stop: then == Then::Stop,
        job,
    };
    let run_dir = RunDir::from_env()?;
    match DaemonConnection::open(&run_dir)?.ask(&ClientRequest::Checkpoint(asked))? {
        Reply::Saved(report) if json => print_json(&report)?,
        Reply::Saved(report) => output::print(table::line(&report).trim_end())?,
        reply => return Err(connect::unexpected(&reply).into()),
    }
    Ok(0)
}

fn hold(job: String) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    match DaemonConnection::open(&run_dir)?.ask(&ClientRequest::Hold(job.clone()))? {
        Reply::Held { kind: RankKind::Xen } => Ok(0),
        Reply::Held { kind: RankKind::Hosted } => {
            output::print_error(&format!(
                "pgas: job {job} is held, but its ranks are processes: \
                 each computes on until it needs another"
            ));
            Ok(0)
        }
        reply => Err(connect::unexpected(&reply).into()),
    }
}

/// Asks for something of which there is nothing to be told.
fn done(request: ClientRequest) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    match DaemonConnection::open(&run_dir)?.ask(&request)? {
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
    let [terminal, _] = output::are_terminals();
    let mut tagged = Tagged::new(Style { tags: rank.is_none(), times: false, terminal });
    for number in ranks {
        let path = dir.join(format!("rank-{number}.log"));
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        for bytes in bytes.split_inclusive(|&byte| byte == b'\n') {
            let stream = OutputStream::Output;
            let line =
                Fragment { rank: number, stream, at: 0, bytes, goes_on: false, mark: Mark::None };
            if json {
                print_json(&JsonLine::new(&line, false))?;
            } else {
                output::write(stream, &tagged.show(&line))?;
            }
        }
    }
    output::write(OutputStream::Output, tagged.close())?;
    Ok(0)
}
