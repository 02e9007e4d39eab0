//! Becoming a rank.

use std::env;
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::hosted::error::HostedError;
use crate::hosted::platform::HostedPlatform;
use crate::hosted::rank::HostedRank;

/// Bytes of a rank's window where `$XENOLITH_MEM` does not say. They cost nothing until they are
/// used.
const DEFAULT_WINDOW: usize = 256 << 20;

/// Becomes the rank that the environment says, or the only rank of a job of one where it says
/// nothing. With `XENOLITH_DIRECT=0` all goes through the proxy, as if no other rank were on this
/// host, with `mixed` that of the odd ranks: to try and to measure.
pub fn attach() -> Result<Armci, HostedError> {
    let Some(socket) = env::var_os("XENOLITH_SOCKET") else { return Ok(Armci::alone()) };
    let rank = number("XENOLITH_RANK")?;
    let size = number("XENOLITH_SIZE")?;
    if rank >= size {
        return Err(HostedError::Environment("XENOLITH_RANK"));
    }
    let job = env::var("XENOLITH_JOB").map_err(|_| HostedError::Environment("XENOLITH_JOB"))?;
    let token =
        env::var("XENOLITH_TOKEN").map_err(|_| HostedError::Environment("XENOLITH_TOKEN"))?;
    let window = match env::var_os("XENOLITH_MEM") {
        Some(_) => number("XENOLITH_MEM")?,
        None => DEFAULT_WINDOW,
    };
    let armci = attach_as(&HostedRank { socket: socket.into(), job, rank, token, size, window })?;
    match env::var("XENOLITH_DIRECT").as_deref() {
        Ok("0") => armci.reach_directly(false),
        Ok("mixed") => armci.reach_directly(rank % 2 == 0),
        _ => {}
    }
    Ok(armci)
}

/// Becomes this rank. Waits until all others of the job are attached.
pub fn attach_as(who: &HostedRank) -> Result<Armci, HostedError> {
    let platform = HostedPlatform::connect(who)?;
    Ok(Armci::attach(who.rank, who.size, Box::new(platform))?)
}

fn number(name: &'static str) -> Result<usize, HostedError> {
    env::var(name).ok().and_then(|value| value.parse().ok()).ok_or(HostedError::Environment(name))
}
