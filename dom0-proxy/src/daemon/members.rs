//! What the daemon does for whoever comes over the network: other proxies, and clients.

use std::fs;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Reach, serve_client};
use super::shared::Daemon;
use super::waiting::Place;
use crate::error::{Context, Result};
use crate::membership::{self, Purpose, Secret};
use crate::run_dir::RunDir;

/// How long a client may take to hang up, so that it has heard what it was told last.
const GOODBYE: Duration = Duration::from_secs(2);
/// What of its words is still read then.
const LAST_WORDS: u64 = 1 << 20;

/// How members on other hosts reach a daemon.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Where it listens, as `HOST:PORT`.
    pub address: String,
    /// By what clients are known.
    pub secret: Secret,
}

impl ListenOptions {
    /// Listens, and says where in the run directory.
    pub fn listen(&self, run_dir: &RunDir) -> Result<TcpListener> {
        let context = || format!("listen at {}", self.address);
        let listener = TcpListener::bind(&self.address).context(context)?;
        listener.set_nonblocking(true).context(context)?;
        let at = listener.local_addr().context(context)?;
        // Whoever waits for the file finds all of it.
        let unfinished = run_dir.address().with_extension("unfinished");
        let written = fs::write(&unfinished, format!("{at}\n"));
        written.context(|| format!("write {}", unfinished.display()))?;
        fs::rename(&unfinished, run_dir.address()).context(context)?;
        tracing::info!(%at, "listening for members");
        Ok(listener)
    }
}

/// Takes one connection; the second is the same, for those who may hang up on it.
pub fn accept_member(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let (stream, _) = listener.accept()?;
    let held = stream.try_clone()?;
    Ok((stream, held))
}

/// Serves one connection, which has its place until it has said what it wants.
pub fn serve_member(daemon: &Arc<Daemon>, stream: TcpStream, place: Place) -> Result<()> {
    let (purpose, member) = membership::accept(stream, |purpose| match purpose {
        Purpose::Client => daemon.secret.clone(),
        Purpose::Fabric { job, .. } => daemon.registry.get(job)?.fabric_secret(),
    })?;
    match purpose {
        Purpose::Client => {
            let stream = member.bridge().context(|| "talk with a client")?;
            serve_client(daemon, &stream, Reach::Network, place)?;
            // The bridge still has to bring the last words over.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.set_read_timeout(Some(GOODBYE));
            let _ = io::copy(&mut (&stream).take(LAST_WORDS), &mut io::sink());
        }
        Purpose::Fabric { job, from } => {
            drop(place);
            // One that has ended meanwhile needs no links.
            if let Some(job) = daemon.registry.get(&job) {
                job.link(from, member.into_plain())?;
            }
        }
    }
    Ok(())
}
