//! A job from its start to its end, which may have several lives: after an accident it goes back to
//! its newest image, as a job of another name.

use std::path::Path;
use std::time::{Duration, Instant};

use dom0_proxy::Error;
use dom0_proxy::control::{ClientRequest, JobSpec, RankKind, Reply, RestoreSpec, RestoredFrom};
use dom0_proxy::error::status;
use dom0_proxy::images::{ImageStore, Line, Pick};
use dom0_proxy::run_dir::RunDir;

use crate::arguments::ShowArguments;
use crate::connect::{Requests, unexpected};
use crate::follow::{Followed, begin, follow};
use crate::healing::Healing;
use crate::hub::Hub;
use crate::output::print_error;
use crate::recorder::Recorder;
use crate::show::{Show, Shown, say, say_lines, say_unshown};
use crate::signals::Signals;
use crate::timeline;

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
    /// Where it begins if it is over several hosts.
    pub hub: Option<Hub>,
    /// Whether it gets the standard input of this process.
    pub has_input: bool,
    /// How many restarts there may be without a new line in between.
    pub restarts: u32,
    /// How long SIGTERM leaves it for being saved.
    pub grace: Option<Duration>,
    /// How it is shown.
    pub show: &'a ShowArguments,
}

/// How long what has failed to begin again is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs or restores a job to its end; the status to end with.
pub fn live(asked: &Lives<'_>) -> anyhow::Result<u8> {
    let timeline = asked.show.timeline.as_deref();
    timeline.map_or(Ok(()), timeline::check)?;
    let mut recorder = Recorder::default();
    let result = live_on(asked, &mut recorder);
    if let Err(error) = &result {
        recorder.lose(error);
    }
    let history = recorder.history();
    if asked.show.lines && !asked.show.json {
        say_lines(history.lines());
    }
    if let Some(file) = timeline
        && let Err(error) = timeline::write(file, &program(&asked.first), history)
    {
        say(&format!("pgas: {error:#}"));
    }
    result
}

/// The same; `recorder` hears all of it.
fn live_on(asked: &Lives<'_>, recorder: &mut Recorder) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    let signals = Signals::default();
    let began = Instant::now();
    // What was saved before is not what this job has come to, even if that is newer than the line
    // that it is restored from.
    let before = asked.again.as_ref().and_then(|again| newest(&again.directory));
    let mut healing = Healing::new(asked.restarts, before);
    let mut request = asked.first.clone();
    let mut earlier = Earlier::default();
    loop {
        let accident = match asked.life(&run_dir, &signals, &request, &mut earlier, recorder) {
            Ok(Followed::Ended { status, is_accident: false }) => return Ok(status),
            Ok(Followed::Ended { status, is_accident: true }) => Ok(status),
            Ok(Followed::Lost(error)) => {
                recorder.lose(&error);
                Err(error.into())
            }
            // A job whose daemon dies over it is as it was before; and the memory of the domains
            // before may not be free yet.
            Err(NoLife::Refused(error)) if healing.has_healed() || is_daemon_lost(&error) => {
                recorder.lose(&error);
                std::thread::sleep(PAUSE);
                Err(error)
            }
            Err(NoLife::Refused(error) | NoLife::Unshown(error)) => return Err(error),
        };
        let Some(again) = asked.again.as_ref().filter(|_| asked.restarts > 0) else {
            return accident;
        };
        if signals.have_ended_it() {
            return accident;
        }
        let own = newest(&again.directory).filter(|newest| Some(*newest) > before);
        let Some(number) = healing.after_accident(own) else {
            print_error(&format!(
                "pgas: it has failed {} times in a row without a new line: it is given up",
                healing.restarts() + 1
            ));
            return accident;
        };
        if let Err(error) = &accident {
            print_error(&format!("pgas: {error}"));
        }
        let to = own.map_or("its start".to_owned(), |line| format!("line {line}"));
        print_error(&format!(
            "pgas: the job goes back to {to} (restart {number} of {}): what was written since is \
             written again{}",
            healing.restarts(),
            if asked.show.output.is_some() { ", behind it in the files of --output" } else { "" }
        ));
        request = match own {
            Some(_) => ClientRequest::Restore(again.clone()),
            None => asked.first.clone(),
        };
        shorten(&mut request, began.elapsed());
        if let ClientRequest::Run(JobSpec { after, .. })
        | ClientRequest::Restore(RestoreSpec { after, .. }) = &mut request
        {
            *after = earlier.job.clone();
        }
    }
}

/// What is known of the lives that a job has had.
#[derive(Debug, Default)]
struct Earlier {
    /// What was shown in them.
    shown: Shown,
    /// The name of the last one, if it was told.
    job: Option<String>,
}

/// Why a life of a job has not been seen to its end.
enum NoLife {
    /// It has not begun.
    Refused(anyhow::Error),
    /// It could not be shown.
    Unshown(anyhow::Error),
}

impl Lives<'_> {
    /// One life of the job.
    fn life(
        &self,
        run_dir: &RunDir,
        signals: &Signals,
        request: &ClientRequest,
        earlier: &mut Earlier,
        recorder: &mut Recorder,
    ) -> Result<Followed, NoLife> {
        recorder.begin(self.size);
        let begun = begin(run_dir, self.hub.as_ref(), request, self.has_input);
        let (daemon, reply) = begun.map_err(NoLife::Refused)?;
        recorder.hear(&reply);
        let shown = || {
            let requests = Requests::new(&daemon)?;
            let (mut job, size, begins) = match reply {
                Reply::Started(job) => (Some(job), self.size, Vec::new()),
                Reply::Restoring(origin) => {
                    let (size, begins) = say_restored(origin);
                    (None, size, begins)
                }
                reply => return Err(unexpected(&reply).into()),
            };
            let missing = earlier.shown.missing_before(&begins);
            if missing > 0 {
                say_unshown(missing, earlier.job.as_deref());
            }
            earlier.shown = earlier.shown.next_run(size, &begins);
            let show = Show::new(self.show, size, &requests, earlier.shown.clone())?;
            signals.reach(requests, self.kind, self.grace)?;
            let followed = follow(run_dir, &daemon, &mut job, show, recorder);
            // One that was not told a name has written nothing.
            earlier.job = job.or(earlier.job.take());
            followed
        };
        shown().map_err(NoLife::Unshown)
    }
}

/// Takes the time of the lives before from what `--timeout` leaves.
fn shorten(request: &mut ClientRequest, lived: Duration) {
    if let ClientRequest::Run(JobSpec { timeout: Some(left), .. })
    | ClientRequest::Restore(RestoreSpec { timeout: Some(left), .. }) = request
    {
        *left = left.saturating_sub(lived);
    }
}

/// Whether the daemon is gone.
fn is_daemon_lost(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| error.exit_status() == status::DAEMON_LOST)
}

/// What a job runs, as far as it is known before it begins.
fn program(first: &ClientRequest) -> String {
    let path = match first {
        ClientRequest::Run(JobSpec { image, .. }) => image,
        ClientRequest::Restore(RestoreSpec { directory, .. }) => directory,
        _ => return String::new(),
    };
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Says where a job comes from; how many ranks it has, and where their output begins.
fn say_restored(origin: RestoredFrom) -> (u32, Vec<u64>) {
    let RestoredFrom { directory, line, skipped, size, begins } = origin;
    if let Some(skipped) = skipped {
        print_error(&format!("pgas: {skipped}"));
    }
    print_error(&format!("pgas: restored from {}, line {line}", directory.display()));
    (size, begins)
}

/// The newest image that looks good; what is wrong with its pages the daemon finds out.
fn newest(directory: &Path) -> Option<Line> {
    Some(ImageStore::open(directory).ok()?.load(Pick::Newest).ok()?.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_dies_before_a_life_begins_is_an_accident() {
        let refused = |status| Error::Refused { status, text: "why".into() }.into();
        assert!(is_daemon_lost(&refused(status::DAEMON_LOST)));
        assert!(!is_daemon_lost(&refused(status::NOT_RUNNABLE)));
        assert!(!is_daemon_lost(&anyhow::anyhow!("no Xen")));
    }
}
