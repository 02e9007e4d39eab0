//! The user's command: runs PGAS jobs and looks after them.

#![forbid(unsafe_code)]

mod arguments;
mod connect;
mod environment;
mod escape;
mod follow;
mod healing;
mod history;
mod hosts;
mod hub;
mod image;
mod lives;
mod logs;
mod output;
mod recorder;
mod restore;
mod run;
mod saved;
mod saving;
mod show;
mod signals;
mod table;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use dom0_proxy::Error;
use dom0_proxy::control::{CheckpointSpec, ClientRequest, RankKind, Reply};
use dom0_proxy::error::status;
use dom0_proxy::images::ImagesError;
use dom0_proxy::run_dir::RunDir;

use arguments::{PgasArguments, PgasCommand, Then};
use connect::DaemonConnection;
use output::print_json;

fn main() -> ExitCode {
    let arguments = PgasArguments::try_parse().unwrap_or_else(|error| {
        let _ = output::listened(error.print());
        std::process::exit(if error.use_stderr() { status::USAGE.into() } else { 0 });
    });
    let result = match arguments.command {
        PgasCommand::Run(arguments) => run::run(&arguments),
        PgasCommand::Ps { json } => ps(json),
        PgasCommand::Logs { job, rank, json, all_runs } => {
            logs::logs(&job, logs::Asked { rank, json, all_runs })
        }
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
