//! A job from its start to its end, which may have several lives: after an accident it goes back to
//! its newest image, as a job of another name.

use std::path::Path;
use std::time::Duration;

use dom0_proxy::control::{ClientRequest, RankKind, Reply, RestoreSpec, RestoredFrom};
use dom0_proxy::images::{ImageStore, Line, Pick};
use dom0_proxy::run_dir::RunDir;

use crate::arguments::ShowArguments;
use crate::connect::{Requests, unexpected};
use crate::follow::{Followed, begin, follow};
use crate::healing::Healing;
use crate::output::print_error;
use crate::show::Show;
use crate::signals::Signals;

/// What is asked for.
#[derive(Debug)]
pub struct Lives<'a> {
    /// How the job begins: a run, or a restoration.
    pub first: ClientRequest,
    /// How it goes on after an accident, at its newest image.
    pub again: Option<RestoreSpec>,
    /// How many ranks a run has.
    pub size: u32,
    /// How its ranks run.
    pub kind: RankKind,
    /// Whether it gets the standard input of this process.
    pub has_input: bool,
    /// How many restarts there may be without a new line in between.
    pub restarts: u32,
    /// How long SIGTERM leaves it for being saved.
    pub grace: Option<Duration>,
    /// How it is shown.
    pub show: &'a ShowArguments,
}

/// Runs or restores a job to its end; the status to end with.
pub fn live(asked: Lives<'_>) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    let signals = Signals::default();
    let mut request = asked.first.clone();
    let mut healing: Option<Healing> = None;
    loop {
        let (daemon, reply) = begin(&run_dir, &request, asked.has_input)?;
        let requests = Requests::new(&daemon)?;
        let (job, size, line) = match reply {
            Reply::Started(job) => (Some(job), asked.size, None),
            Reply::Restoring(origin) => {
                let line = origin.line.parse().ok();
                (None, say_restored(origin), line)
            }
            reply => return Err(unexpected(&reply).into()),
        };
        let healing = healing.get_or_insert_with(|| Healing::new(asked.restarts, line));
        let show = Show::new(asked.show, size, &requests)?;
        signals.reach(requests, asked.kind, asked.grace)?;
        let accident = match follow(&run_dir, &daemon, job, show)? {
            Followed::Ended { status, is_accident: false } => return Ok(status),
            Followed::Ended { status, is_accident: true } => Ok(status),
            Followed::Lost(error) => Err(error),
        };
        let Some(again) = asked.again.as_ref().filter(|_| asked.restarts > 0) else {
            return Ok(accident?);
        };
        if signals.have_ended_it() {
            return Ok(accident?);
        }
        let newest = newest(&again.directory);
        let Some(number) = healing.after_accident(newest) else {
            print_error(&format!(
                "pgas: it has failed {} times in a row without a new line: it is given up",
                healing.restarts() + 1
            ));
            return Ok(accident?);
        };
        if let Err(error) = &accident {
            print_error(&format!("pgas: {error}"));
        }
        let to = newest.map_or("its start".to_owned(), |line| format!("line {line}"));
        print_error(&format!(
            "pgas: the job goes back to {to} (restart {number} of {}): what was written since is \
             written again",
            healing.restarts()
        ));
        request = match newest {
            Some(_) => ClientRequest::Restore(again.clone()),
            None => asked.first.clone(),
        };
    }
}

/// Says where a job comes from; how many ranks it has.
fn say_restored(origin: RestoredFrom) -> u32 {
    let RestoredFrom { directory, line, skipped, size } = origin;
    if let Some(skipped) = skipped {
        print_error(&format!("pgas: {skipped}"));
    }
    print_error(&format!("pgas: restored from {}, line {line}", directory.display()));
    size
}

/// The newest image that looks good; what is wrong with its pages the daemon finds out.
fn newest(directory: &Path) -> Option<Line> {
    Some(ImageStore::open(directory).ok()?.load(Pick::Newest).ok()?.line())
}
