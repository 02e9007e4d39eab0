//! What the daemon does for one `pgas`.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use armci_nostd::hosted::frame;
use armci_nostd::wire::MAX_RANKS;
use rustix::io::Errno;

use super::kept_files::{Named, NamedFiles};
use super::shared::Daemon;
use super::waiting::Place;
use crate::control::{
    ClientRequest, Hello, InputFor, JobSpec, RankKind, Reply, RestoreSpec, RestoredFrom, VERSION,
    Welcome,
};
use crate::error::{Context, Error, Result};
use crate::job::event::{JobEvent, KillReason};
use crate::job::{Job, JobClient, SavedJob, check_part, supervise};
use crate::run_dir::random_job_name;
use crate::xen;

/// How long a client may take for its first words.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `pgas kill` waits for the job's end.
const KILL_PATIENCE: Duration = Duration::from_secs(120);

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this host: it can pass files on.
    Local,
    /// Anywhere.
    Network,
}

/// Serves one `pgas`, which has its place until it has said what it wants.
pub fn serve_client(
    daemon: &Arc<Daemon>,
    stream: &UnixStream,
    reach: Reach,
    place: Place,
) -> Result<()> {
    let context = || "talk with a client";
    stream.set_read_timeout(Some(PATIENCE)).context(context)?;
    let Some(hello) = message_frame::receive::<Hello>(stream).context(context)? else {
        return Ok(());
    };
    message_frame::send(stream, &Welcome { version: VERSION, pid: std::process::id() })
        .context(context)?;
    if hello.version != VERSION {
        return Ok(());
    }
    let Some(request) = message_frame::receive::<ClientRequest>(stream).context(context)? else {
        return Ok(());
    };
    stream.set_read_timeout(None).context(context)?;
    drop(place);
    // Until the end of the job that they are for.
    let mut files = NamedFiles::new(&daemon.kept_files);
    let Some(request) = take_files(&mut files, stream, request)? else { return Ok(()) };
    let reply = match request {
        ClientRequest::Run(spec) => match start_job(daemon, spec, stream, reach) {
            Ok(job) => {
                follow(&job, stream);
                return Ok(());
            }
            Err(error) => refusal(&error),
        },
        ClientRequest::Restore(spec) => match restore_job(daemon, &spec, stream, reach) {
            Ok(job) => {
                follow(&job, stream);
                return Ok(());
            }
            Err(error) => refusal(&error),
        },
        ClientRequest::List => {
            Reply::Jobs(daemon.registry.all().iter().map(|job| job.info()).collect())
        }
        ClientRequest::Kill(name) => match daemon.registry.get(&name) {
            Some(job) => {
                job.kill(KillReason::Killed);
                match daemon.registry.wait_for_end(&name, KILL_PATIENCE) {
                    true => Reply::Done,
                    false => refusal(&Error::Protocol {
                        peer: format!("job {name}"),
                        why: format!(
                            "it has not ended in {} s: see the daemon's log",
                            KILL_PATIENCE.as_secs()
                        ),
                    }),
                }
            }
            None => refusal(&Error::NoJob(name)),
        },
        ClientRequest::Hold(name) => match daemon.registry.get(&name) {
            Some(job) => match job.hold() {
                Ok(()) => Reply::Held { kind: job.kind() },
                Err(error) => refusal(&error),
            },
            None => refusal(&Error::NoJob(name)),
        },
        ClientRequest::Release(name) => match daemon.registry.get(&name) {
            Some(job) => job.release().map_or_else(|error| refusal(&error), |()| Reply::Done),
            None => refusal(&Error::NoJob(name)),
        },
        ClientRequest::Checkpoint(asked) => match daemon.registry.get(&asked.job) {
            Some(job) => job.checkpoint(&asked).map_or_else(|error| refusal(&error), Reply::Saved),
            None => refusal(&Error::NoJob(asked.job)),
        },
        ClientRequest::Keep { .. }
        | ClientRequest::Piece(_)
        | ClientRequest::Interrupt
        | ClientRequest::Finish
        | ClientRequest::Leave
        | ClientRequest::Signal(_)
        | ClientRequest::Taken(_)
        | ClientRequest::TakenReport => refusal(&Error::Protocol {
            peer: "pgas".into(),
            why: "it speaks of a job and has started none".into(),
        }),
    };
    message_frame::send(stream, &reply).context(context)
}

/// Takes the files that a client sends first. Returns what it wants then, if it wants anything.
fn take_files(
    files: &mut NamedFiles,
    stream: &UnixStream,
    mut request: ClientRequest,
) -> Result<Option<ClientRequest>> {
    let context = || "talk with a client";
    loop {
        let kept = match request {
            ClientRequest::Keep { hash, length, name } => files.keep(hash, length, &name).map(Some),
            ClientRequest::Piece(bytes) => files.piece(&bytes).map(|path| path.map(Named::Kept)),
            _ if files.is_one_missing() => {
                Err(Error::NotKept("the client went on before all of it had come".into()))
            }
            request => return Ok(Some(request)),
        };
        match kept {
            Ok(None) => {}
            Ok(Some(Named::Wanted)) => {
                message_frame::send(stream, &Reply::Wanted).context(context)?;
            }
            Ok(Some(Named::Kept(path))) => {
                message_frame::send(stream, &Reply::Kept(path)).context(context)?;
            }
            Err(error) => {
                message_frame::send(stream, &refusal(&error)).context(context)?;
                // It hears of that when it has sent what is under way.
                while let Ok(Some(_)) = message_frame::receive::<ClientRequest>(stream) {}
                return Ok(None);
            }
        }
        let next = message_frame::receive::<ClientRequest>(stream).context(context)?;
        let Some(next) = next else { return Ok(None) };
        request = next;
    }
}

/// Starts a job whose supervisor answers on `stream`.
fn start_job(
    daemon: &Arc<Daemon>,
    spec: JobSpec,
    stream: &UnixStream,
    reach: Reach,
) -> Result<Arc<Job>> {
    if reach == Reach::Network && spec.input != InputFor::Nobody {
        return Err(Error::InputOverNetwork);
    }
    if spec.size == 0 || spec.size > MAX_RANKS {
        return Err(Error::BadSize { asked: spec.size, max: MAX_RANKS });
    }
    check_part(&spec)?;
    if spec.kind == RankKind::Xen {
        daemon.host_domains.claim()?;
    }
    let input = match spec.input {
        InputFor::Nobody => None,
        InputFor::Rank0 | InputFor::All => Some(receive_input(stream)?),
    };
    let image = spec.image.clone();
    let name = spec.part.as_ref().map(|part| part.job.clone());
    let make = |name, client| Job::new(name, spec.clone(), client);
    let job = launch(daemon, stream, name, input, make)?;
    let image = image.display();
    tracing::info!(job = job.name, kind = ?spec.kind, size = spec.size, %image, "starting");
    Ok(job)
}

/// Starts a job that was saved, whose supervisor answers on `stream`.
fn restore_job(
    daemon: &Arc<Daemon>,
    asked: &RestoreSpec,
    stream: &UnixStream,
    reach: Reach,
) -> Result<Arc<Job>> {
    if reach == Reach::Network && asked.has_input {
        return Err(Error::InputOverNetwork);
    }
    let input = asked.has_input.then(|| receive_input(stream)).transpose()?;
    xen::check_privileged()?;
    daemon.host_domains.claim()?;
    let saved = Arc::new(SavedJob::open(asked)?);
    let origin = saved.origin();
    let input = match (saved.spec().input, input) {
        (InputFor::Nobody, _) => None,
        // Whoever had some before finds that there is no more.
        (_, None) => Some(File::open("/dev/null").context(|| "open /dev/null")?.into()),
        (_, input) => input,
    };
    message_frame::send(stream, &Reply::Restoring(origin.clone()))
        .context(|| "talk with a client")?;
    let make = |name, client| Job::restore(name, saved.clone(), client);
    let job = launch(daemon, stream, None, input, make)?;
    let RestoredFrom { directory, line, size, .. } = origin;
    let directory = directory.display();
    tracing::info!(job = job.name, size, "restored from {directory}, line {line}");
    Ok(job)
}

/// The standard input of `pgas`, which follows its request.
fn receive_input(stream: &UnixStream) -> Result<OwnedFd> {
    let received = frame::receive::<()>(stream).map_err(std::io::Error::other);
    let received = received.context(|| "take the user's standard input")?;
    let input = received.descriptors.into_iter().next();
    let input = input.ok_or_else(|| match received.lost {
        true => Errno::MFILE.into(),
        false => std::io::Error::other("it did not arrive"),
    });
    input.context(|| "take the user's standard input")
}

/// Starts the supervisor of a job that `make` makes of a name, and that answers on `stream`. A name
/// that is given must be free.
fn launch(
    daemon: &Arc<Daemon>,
    stream: &UnixStream,
    given: Option<String>,
    input: Option<OwnedFd>,
    make: impl Fn(String, Arc<JobClient>) -> Result<(Arc<Job>, Receiver<JobEvent>)>,
) -> Result<Arc<Job>> {
    let stream = stream.try_clone().context(|| "talk with a client")?;
    let client = Arc::new(JobClient::new(stream)?);
    let (job, incoming) = loop {
        let name = given.clone().map_or_else(random_job_name, Ok)?;
        let (job, incoming) = make(name, client.clone())?;
        if !daemon.run_dir.job_logs(&job.name).exists() && daemon.registry.add(&job)? {
            break (job, incoming);
        }
        if given.is_some() {
            return Err(Error::NameTaken(job.name.clone()));
        }
    };
    if let Some(input) = input {
        job.set_input(input);
    }
    let (supervising, supervised) = (daemon.clone(), job.clone());
    let supervisor = thread::Builder::new().name(format!("job-{}", job.name)).spawn(move || {
        supervise(&supervised, incoming, &supervising.run_dir, &supervising.open_files, || {
            supervising.registry.remove(&supervised.name)
        });
    });
    if let Err(error) = supervisor {
        daemon.registry.remove(&job.name);
        return Err(error).context(|| "start a job's thread");
    }
    Ok(job)
}

/// Listens to the client of a job until it is gone, and ends the job then.
fn follow(job: &Arc<Job>, stream: &UnixStream) {
    loop {
        match message_frame::receive::<ClientRequest>(stream) {
            Ok(Some(ClientRequest::Interrupt)) => job.kill(KillReason::Interrupted),
            Ok(Some(ClientRequest::Finish)) => job.send(JobEvent::Finish),
            Ok(Some(ClientRequest::Leave)) => leave(job),
            Ok(Some(ClientRequest::Signal(signal))) => job.send(JobEvent::Signal(signal)),
            Ok(Some(ClientRequest::Taken(weight))) => job.client_has_taken(weight),
            Ok(Some(ClientRequest::TakenReport)) => job.client_has_taken_report(),
            Ok(Some(_)) => tracing::warn!(
                job = job.name,
                "a client asked for something else while its job ran"
            ),
            Ok(None) | Err(_) => return job.client_is_gone(),
        }
    }
}

/// Has a job saved and ended, while its client is still listened to. If it cannot be saved it goes
/// on, and the client hears why.
fn leave(job: &Arc<Job>) {
    let leaving = job.clone();
    let run = move || {
        if let Err(error) = leaving.leave() {
            leaving.notify(error.to_string());
        }
    };
    if let Err(error) = thread::Builder::new().name(format!("leave-{}", job.name)).spawn(run) {
        job.notify(format!("it cannot be saved: start a thread: {error}"));
    }
}

fn refusal(error: &Error) -> Reply {
    Reply::Refused { status: error.exit_status(), text: error.to_string() }
}
