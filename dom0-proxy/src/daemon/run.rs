//! The daemon's main thread.

use std::array;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::clients::{Reach, serve_client};
use super::leftovers::{self, HostDomains};
use super::members::{ListenOptions, accept_member, serve_member};
use super::ranks::attach_rank;
use super::shared::Daemon;
use super::sockets::{check_peer, listen};
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
    /// How members on other hosts reach it, if they do.
    pub listen: Option<ListenOptions>,
}

/// Where connections come.
struct Doors {
    clients: UnixListener,
    ranks: UnixListener,
    members: Option<TcpListener>,
}

/// Runs the daemon until it is told to end by SIGTERM or SIGINT, or has been idle for long enough.
pub fn run(options: DaemonOptions) -> Result<()> {
    let DaemonOptions { run_dir, idle_exit, listen: over_network } = options;
    run_dir.create()?;
    let _lock = run_dir.lock()?;
    let host_domains = HostDomains::new();
    leftovers::reap(&run_dir, &host_domains);
    if xen::check_privileged().is_err() {
        // Tools of Xen would be children that are no ranks; root has control groups.
        adopt_orphans();
    }
    let stop = stop_signals()?;
    // Of a daemon that has died.
    let _ = fs::remove_file(run_dir.address());
    let doors = Doors {
        members: over_network.as_ref().map(|options| options.listen(&run_dir)).transpose()?,
        clients: listen(&run_dir.socket())?,
        ranks: listen(&run_dir.ranks_socket())?,
    };
    let secret = over_network.map(|options| options.secret);
    let daemon = Arc::new(Daemon::new(run_dir, host_domains, secret));
    daemon.kept_files.clear();
    let (root, version) = (daemon.run_dir.root().display(), env!("CARGO_PKG_VERSION"));
    tracing::info!(run_dir = %root, version, "listening");
    let result = serve(&daemon, &doors, &stop, idle_exit);
    // Jobs are told before ranks find nobody to attach to, which would be taken for their failure.
    daemon.registry.close(KillReason::DaemonEnds);
    let run_dir = &daemon.run_dir;
    for path in [run_dir.socket(), run_dir.ranks_socket(), run_dir.address()] {
        let _ = fs::remove_file(path);
    }
    drop(doors);
    if !daemon.registry.wait_until_empty(LAST_PATIENCE) {
        tracing::error!("jobs did not end in time; the next daemon cleans up after them");
    }
    // Clients of jobs that have just ended are still being told.
    let deadline = Instant::now() + GOODBYE_PATIENCE;
    while daemon.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    daemon.kept_files.clear();
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
    doors: &Doors,
    stop: &UnixStream,
    idle_exit: Option<Duration>,
) -> Result<()> {
    let mut busy_at = Instant::now();
    let waiting = [&daemon.waiting_clients, &daemon.waiting_ranks, &daemon.waiting_members];
    let [waiting_clients, waiting_ranks, waiting_members] = waiting;
    let members = doors.members.as_ref().map(AsFd::as_fd);
    let sources = [Some(doors.clients.as_fd()), Some(doors.ranks.as_fd()), members];
    loop {
        // Who finds no room waits in the socket's own queue.
        let room: [_; 3] = array::from_fn(|at| sources[at].is_none() || waiting[at].has_room());
        let flags = room.map(|room| if room { PollFlags::IN } else { PollFlags::empty() });
        let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
        let listening = sources.iter().zip(flags).filter_map(|(source, flags)| {
            source.map(|source| PollFd::from_borrowed_fd(source, flags))
        });
        fds.extend(listening);
        let (second, moment) = (Duration::from_secs(1), Duration::from_millis(20));
        let look = match idle_exit {
            // Found before they are looked at: who has left meanwhile wakes nobody.
            _ if room.contains(&false) => Some(moment),
            Some(_) => Some(second),
            None => (!waiting.iter().all(|waiting| waiting.is_empty())).then_some(second),
        };
        let look = look.map(|look| Timespec {
            tv_sec: look.as_secs() as i64,
            tv_nsec: look.subsec_nanos().into(),
        });
        match poll(&mut fds, look.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for clients"),
        }
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            return Ok(());
        }
        let comes = |at: usize| room[at] && ready.get(at + 1) == Some(&true);
        if comes(0)
            && let Some((stream, _)) = accepted(doors.clients.accept())
        {
            let stream = Arc::new(stream);
            let place = waiting_clients.enter(stream.clone());
            serve_in_thread(daemon, "client", move |daemon| {
                check_peer(&stream)?;
                serve_client(daemon, &stream, Reach::Local, place)
            });
        }
        if comes(1)
            && let Some((stream, _)) = accepted(doors.ranks.accept())
        {
            let stream = Arc::new(stream);
            let place = waiting_ranks.enter(stream.clone());
            serve_in_thread(daemon, "attach", move |daemon| {
                check_peer(&stream)?;
                attach_rank(daemon, &stream, place)
            });
        }
        if comes(2)
            && let Some(listener) = &doors.members
            && let Some((stream, held)) = accepted(accept_member(listener))
        {
            let place = waiting_members.enter(Arc::new(held));
            serve_in_thread(daemon, "member", move |daemon| serve_member(daemon, stream, place));
        }
        if daemon.connections.load(Ordering::Relaxed) > 0 || !daemon.registry.is_empty() {
            busy_at = Instant::now();
        } else if idle_exit.is_some_and(|limit| busy_at.elapsed() >= limit) {
            tracing::info!("nothing to do");
            return Ok(());
        }
    }
}

/// The connection that has come, if it is still there.
fn accepted<C>(connection: io::Result<C>) -> Option<C> {
    match connection {
        Ok(connection) => Some(connection),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Out of descriptors, most likely: without a pause this would spin.
            thread::sleep(Duration::from_millis(100));
            None
        }
    }
}

/// Serves one connection in a thread of its own.
fn serve_in_thread(
    daemon: &Arc<Daemon>,
    name: &str,
    serve: impl FnOnce(&Arc<Daemon>) -> Result<()> + Send + 'static,
) {
    daemon.connections.fetch_add(1, Ordering::Relaxed);
    let served_by = daemon.clone();
    let spawned = thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(error) = serve(&served_by) {
            tracing::warn!(%error, "a connection was dropped");
        }
        served_by.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if let Err(error) = spawned {
        daemon.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(%error, "a connection could not be served");
    }
}
