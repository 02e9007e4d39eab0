//! What the daemon does for a hosted rank that attaches.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use armci_nostd::wire::attach::AttachReply;

use super::shared::Daemon;
use super::waiting::Place;
use crate::attach::{BadAttach, hosted};
use crate::error::{Context, Error, Result};
use crate::job::event::JobEvent;

/// How long a rank may take for its first message, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Attaches one hosted rank, which has its place until it has said who it is.
pub fn attach_rank(daemon: &Arc<Daemon>, stream: &UnixStream, place: Place) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE)).context(|| "talk with a rank")?;
    stream.set_write_timeout(Some(PATIENCE)).context(|| "talk with a rank")?;
    let protocol = |why: String| Error::Protocol { peer: "a hosted rank".into(), why };
    let asking = match hosted::receive(stream) {
        Ok(asking) => asking,
        Err(error) => {
            hosted::answer(stream, &AttachReply::Refused(error.to_string()));
            return Err(protocol(error.to_string()));
        }
    };
    drop(place);
    // A stranger is no matter of the job whose name it uses.
    let turn_away = |why: &str| {
        hosted::answer(stream, &AttachReply::Refused(why.into()));
        Err(protocol(why.into()))
    };
    let Some(job) = daemon.registry.get(&asking.attach.job) else {
        return turn_away("there is no such job");
    };
    let Some(rank) = job.rank_of(&asking.attach.token) else {
        return turn_away("its token is of no rank of that job");
    };
    let refuse = |cause: BadAttach| {
        let reply = AttachReply::Refused(cause.to_string());
        // In this order, so that the job hears of the cause before the rank can end because of it.
        job.send(JobEvent::AttachRefused { rank, cause });
        hosted::answer(stream, &reply);
        Ok(())
    };
    if let Err(cause) = job.claim(rank, &asking.attach) {
        return refuse(BadAttach::Rank(cause));
    }
    let asking = match job.memory_provider() {
        Some(provider) => asking.provided_by(provider),
        None => asking,
    };
    match asking.accept(stream) {
        Ok(attachment) => {
            hosted::answer(stream, &AttachReply::Accepted { neighbours: job.count_here() - 1 });
            job.send(JobEvent::Attached { rank, attachment });
            Ok(())
        }
        Err(cause) => refuse(cause),
    }
}
