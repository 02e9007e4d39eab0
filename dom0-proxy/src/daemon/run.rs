//! The daemon's main thread.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::clients::serve_client;
use super::leftovers::{self, HostDomains};
use super::ranks::attach_rank;
use super::shared::Daemon;
use super::sockets::{check_peer, listen};
use super::waiting::{Place, Waiting};
use crate::error::{Context, Result};
use crate::job::event::KillReason;
use crate::job::processes::adopt_orphans;
use crate::run_dir::RunDir;
use crate::xen;

/// How long jobs may take to end when the daemon does.
const LAST_PATIENCE: Duration = Duration::from_secs(60);

/// How long clients may take to hang up when the daemon ends.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// How a daemon is run.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Where its sockets are.
    pub run_dir: RunDir,
    /// End after this time without jobs and clients.
    pub idle_exit: Option<Duration>,
}

/// Runs the daemon until it is told to end by SIGTERM or SIGINT, or has been idle for long enough.
pub fn run(options: DaemonOptions) -> Result<()> {
    let DaemonOptions { run_dir, idle_exit } = options;
    run_dir.create()?;
    let _lock = run_dir.lock()?;
    let host_domains = HostDomains::new();
    leftovers::reap(&run_dir, &host_domains);
    if xen::check_privileged().is_err() {
        // Tools of Xen would be children that are no ranks; root has control groups.
        adopt_orphans();
    }
    let stop = stop_signals()?;
    let clients = listen(&run_dir.socket())?;
    let ranks = listen(&run_dir.ranks_socket())?;
    let daemon = Arc::new(Daemon::new(run_dir, host_domains));
    let (root, version) = (daemon.run_dir.root().display(), env!("CARGO_PKG_VERSION"));
    tracing::info!(run_dir = %root, version, "listening");
    let result = serve(&daemon, &clients, &ranks, &stop, idle_exit);
    // Jobs are told before ranks find nobody to attach to, which would be taken for their failure.
    daemon.registry.close(KillReason::DaemonEnds);
    for socket in [daemon.run_dir.socket(), daemon.run_dir.ranks_socket()] {
        let _ = fs::remove_file(socket);
    }
    drop((clients, ranks));
    if !daemon.registry.wait_until_empty(LAST_PATIENCE) {
        tracing::error!("jobs did not end in time; the next daemon cleans up after them");
    }
    // Clients of jobs that have just ended are still being told.
    let deadline = Instant::now() + GOODBYE_PATIENCE;
    while daemon.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    tracing::info!("ended");
    result
}

/// Becomes readable when the daemon is told to end.
fn stop_signals() -> Result<UnixStream> {
    let context = || "take signals";
    let (reader, writer) = UnixStream::pair().context(context)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let writer = OwnedFd::from(writer.try_clone().context(context)?);
        signal_hook::low_level::pipe::register(signal, writer).context(context)?;
    }
    Ok(reader)
}

/// Takes connections until the daemon is told to end.
fn serve(
    daemon: &Arc<Daemon>,
    clients: &UnixListener,
    ranks: &UnixListener,
    stop: &UnixStream,
    idle_exit: Option<Duration>,
) -> Result<()> {
    let mut busy_at = Instant::now();
    let (waiting_clients, waiting_ranks) = (&daemon.waiting_clients, &daemon.waiting_ranks);
    loop {
        // Who finds no room waits in the socket's own queue.
        let room = [true, waiting_clients.has_room(), waiting_ranks.has_room()];
        let sources: [BorrowedFd<'_>; 3] = [stop.as_fd(), clients.as_fd(), ranks.as_fd()];
        let flags = room.map(|room| if room { PollFlags::IN } else { PollFlags::empty() });
        let mut fds: [_; 3] =
            std::array::from_fn(|at| PollFd::from_borrowed_fd(sources[at], flags[at]));
        let (second, moment) = (Duration::from_secs(1), Duration::from_millis(20));
        let look = match room {
            // Found before they are looked at: who has left meanwhile wakes nobody.
            [_, false, _] | [_, _, false] => Some(moment),
            _ if idle_exit.is_some() => Some(second),
            _ => (!waiting_clients.is_empty() || !waiting_ranks.is_empty()).then_some(second),
        };
        let look = look.map(|look| Timespec {
            tv_sec: look.as_secs() as i64,
            tv_nsec: look.subsec_nanos().into(),
        });
        match poll(&mut fds, look.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for clients"),
        }
        let [stopped, from_client, from_rank] = fds.map(|fd| !fd.revents().is_empty());
        if stopped {
            return Ok(());
        }
        if from_client && room[1] {
            accept(daemon, clients, "client", waiting_clients, serve_client);
        }
        if from_rank && room[2] {
            accept(daemon, ranks, "attach", waiting_ranks, attach_rank);
        }
        if daemon.connections.load(Ordering::Relaxed) > 0 || !daemon.registry.is_empty() {
            busy_at = Instant::now();
        } else if idle_exit.is_some_and(|limit| busy_at.elapsed() >= limit) {
            tracing::info!("nothing to do");
            return Ok(());
        }
    }
}

/// Takes one connection and serves it in a thread of its own.
fn accept(
    daemon: &Arc<Daemon>,
    listener: &UnixListener,
    name: &str,
    waiting: &Arc<Waiting>,
    serve: fn(&Arc<Daemon>, &UnixStream, Place) -> Result<()>,
) {
    let stream = match listener.accept() {
        Ok((stream, _)) => Arc::new(stream),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Out of descriptors, most likely: without a pause this would spin.
            return thread::sleep(Duration::from_millis(100));
        }
    };
    daemon.connections.fetch_add(1, Ordering::Relaxed);
    let served_by = daemon.clone();
    let place = waiting.enter(stream.clone());
    let spawned = thread::Builder::new().name(name.into()).spawn(move || {
        let served = check_peer(&stream).and_then(|()| serve(&served_by, &stream, place));
        if let Err(error) = served {
            tracing::warn!(%error, "a connection was dropped");
        }
        served_by.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if let Err(error) = spawned {
        daemon.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(%error, "a connection could not be served");
    }
}
