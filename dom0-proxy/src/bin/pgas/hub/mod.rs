//! The hub of a job over several hosts: it has the proxy of each host run a part of the job, and is
//! for the rest of `pgas` what the daemon is of a job on one host.

mod asked;
mod driver;
mod dues;
mod ending;
mod files;
mod merge;
#[cfg(test)]
mod tests;

use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, anyhow, bail};
use dom0_proxy::Error;
use dom0_proxy::control::{ClientRequest, JobSpec, Part, Reply};
use dom0_proxy::membership::Secret;
use dom0_proxy::run_dir::random_job_name;

use crate::connect::DaemonConnection;
use crate::hosts::{Host, Placed};

pub use asked::hub;
use files::JobFiles;
use merge::Merge;

/// Where a job over several hosts begins.
#[derive(Debug)]
pub struct Hub {
    placed: Placed,
    /// By which the hosts' proxies know `pgas`.
    secret: Secret,
}

impl Hub {
    /// Has all hosts begin a job. A connection that is like that of a daemon which runs all of it,
    /// and what comes over it first.
    pub fn begin(&self, request: &ClientRequest) -> anyhow::Result<(DaemonConnection, Reply)> {
        let ClientRequest::Run(spec) = request else {
            bail!("recovery lines over several hosts are still to come");
        };
        let files = JobFiles::of(spec)?;
        let reached = self.on_all(|host| {
            let mut daemon = DaemonConnection::open_at(&host.address(), &self.secret)?;
            let spec = files.give(spec, &mut daemon)?;
            Ok((daemon, spec))
        })?;
        let part = Part {
            job: random_job_name()?,
            host: 0,
            placement: self.placed.ranks.clone(),
            addresses: self.placed.hosts.iter().map(Host::address).collect(),
            secret: Secret::random()?,
        };
        let merge = Merge::new(part.job.clone(), self.placed.names(), part.placement.clone());
        let asked = (0..).zip(reached).map(|(host, (daemon, spec))| {
            let part = Some(Part { host, ..part.clone() });
            (daemon.stream, ClientRequest::Run(JobSpec { part, ..spec }))
        });
        let (near, far) = UnixStream::pair().context("connect to the hub")?;
        driver::start(far, asked.collect(), merge).context("start the hub")?;
        let hub = DaemonConnection::of_hub(near);
        match message_frame::receive(&hub.stream).context("talk with the hub")? {
            Some(Reply::Refused { status, text }) => Err(Error::Refused { status, text }.into()),
            Some(reply) => Ok((hub, reply)),
            None => bail!("the hub of the job has failed"),
        }
    }

    /// Does something for all hosts at once; the first error, with its host's name.
    fn on_all<T: Send>(
        &self,
        act: impl Fn(&Host) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        let done: Vec<_> = thread::scope(|scope| {
            let act = &act;
            let begin = |host| scope.spawn(move || act(host));
            let threads: Vec<_> = self.placed.hosts.iter().map(begin).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let named = |(done, name)| {
            let done: thread::Result<anyhow::Result<T>> = done;
            let done = done.unwrap_or_else(|_| Err(anyhow!("a thread of pgas has failed")));
            done.with_context(|| format!("host {name}"))
        };
        done.into_iter().zip(self.placed.names()).map(named).collect()
    }
}
