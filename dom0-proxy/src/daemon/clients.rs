//! What the daemon does for one connection.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use armci_nostd::wire::MAX_RANKS;
use armci_nostd::wire::attach::AttachReply;

use super::Daemon;
use crate::control::{Hello, JobSpec, RankKind, Reply, Request, VERSION, Welcome};
use crate::error::{Context, Error, Result};
use crate::frame;
use crate::job::event::{Event, KillReason};
use crate::job::{Job, supervise};
use crate::ports::hosted;

/// How long a client may take for its first words.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `pgas kill` waits for the job's end.
const KILL_PATIENCE: Duration = Duration::from_secs(120);

impl Daemon {
    /// Serves one `pgas`.
    pub(super) fn serve_client(self: &Arc<Self>, stream: UnixStream) -> Result<()> {
        let context = || "talk with a client";
        stream.set_read_timeout(Some(PATIENCE)).context(context)?;
        let Some(hello) = frame::receive::<Hello>(&stream).context(context)? else { return Ok(()) };
        frame::send(&stream, &Welcome { version: VERSION, pid: std::process::id() })
            .context(context)?;
        if hello.version != VERSION {
            return Ok(());
        }
        let Some(request) = frame::receive::<Request>(&stream).context(context)? else {
            return Ok(());
        };
        stream.set_read_timeout(None).context(context)?;
        let reply = match request {
            Request::Run(spec) => match self.start_job(spec, &stream) {
                Ok(job) => {
                    follow(&job, &stream);
                    return Ok(());
                }
                Err(error) => refusal(&error),
            },
            Request::List => {
                Reply::Jobs(self.registry.all().iter().map(|job| job.info()).collect())
            }
            Request::Kill(name) => match self.registry.get(&name) {
                Some(job) => {
                    job.kill(KillReason::Killed);
                    match self.registry.wait_for_end(&name, KILL_PATIENCE) {
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
            Request::Interrupt => refusal(&Error::Protocol {
                peer: "pgas".into(),
                why: "there is no job to interrupt".into(),
            }),
        };
        frame::send(&stream, &reply).context(context)
    }

    /// Starts a job whose supervisor answers on `stream`.
    fn start_job(self: &Arc<Self>, spec: JobSpec, stream: &UnixStream) -> Result<Arc<Job>> {
        if spec.size == 0 || spec.size > MAX_RANKS {
            return Err(Error::BadSize { asked: spec.size, max: MAX_RANKS });
        }
        if spec.kind == RankKind::Xen {
            self.host_domains.claim()?;
        }
        let stream = stream.try_clone().context(|| "talk with a client")?;
        let (job, incoming) = loop {
            let (job, incoming) = Job::new(random_name()?, spec.clone());
            if !self.run_dir.job_logs(&job.name).exists() && self.registry.add(&job) {
                break (job, incoming);
            }
        };
        tracing::info!(job = job.name, kind = ?spec.kind, size = spec.size, image = %spec.image.display(), "starting");
        let (daemon, supervised) = (self.clone(), job.clone());
        let supervisor =
            thread::Builder::new().name(format!("job-{}", job.name)).spawn(move || {
                supervise(&supervised, incoming, &daemon.run_dir, stream, || {
                    daemon.registry.remove(&supervised.name)
                });
            });
        if let Err(error) = supervisor {
            self.registry.remove(&job.name);
            return Err(error).context(|| "start a job's thread");
        }
        Ok(job)
    }

    /// Attaches one hosted rank.
    pub(super) fn attach_rank(self: &Arc<Self>, stream: UnixStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE)).context(|| "talk with a rank")?;
        stream.set_write_timeout(Some(PATIENCE)).context(|| "talk with a rank")?;
        let protocol = |why: String| Error::Protocol { peer: "a hosted rank".into(), why };
        let asking = match hosted::receive(&stream) {
            Ok(asking) => asking,
            Err(error) => {
                hosted::answer(&stream, &AttachReply::Refused(error.to_string()));
                return Err(protocol(error.to_string()));
            }
        };
        let rank = asking.attach.rank;
        let Some(job) = self.registry.get(&asking.attach.job) else {
            let why = "there is no such job".to_owned();
            hosted::answer(&stream, &AttachReply::Refused(why.clone()));
            return Err(protocol(why));
        };
        let refuse = |cause: String| {
            // In this order, so that the job hears of the cause before the rank can end because of
            // it.
            job.send(Event::AttachRefused { rank, cause: cause.clone() });
            hosted::answer(&stream, &AttachReply::Refused(cause));
            Ok(())
        };
        if let Err(cause) = job.claim(rank) {
            return refuse(cause);
        }
        let kept = stream.try_clone().context(|| "keep a rank's connection")?;
        match asking.accept(kept) {
            Ok(attachment) => {
                hosted::answer(&stream, &AttachReply::Accepted);
                job.send(Event::Attached { rank, attachment });
                Ok(())
            }
            Err(error) => refuse(error.to_string()),
        }
    }
}

/// Listens to the client of a job until it is gone, and ends the job then.
fn follow(job: &Job, stream: &UnixStream) {
    loop {
        match frame::receive::<Request>(stream) {
            Ok(Some(Request::Interrupt)) => job.kill(KillReason::Interrupted),
            Ok(Some(_)) => tracing::warn!(
                job = job.name,
                "a client asked for something else while its job ran"
            ),
            Ok(None) | Err(_) => return job.kill(KillReason::ClientGone),
        }
    }
}

fn refusal(error: &Error) -> Reply {
    Reply::Refused { status: error.exit_status(), text: error.to_string() }
}

/// Six random digits of base 16.
fn random_name() -> Result<String> {
    let mut bytes = [0; 3];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context(|| "name a job")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
