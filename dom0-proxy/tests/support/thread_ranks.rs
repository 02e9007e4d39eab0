//! Ranks that are threads of the test, and attach to an engine as processes do to the daemon.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use armci_nostd::Armci;
use armci_nostd::hosted::{HostedRank, attach_as};
use armci_nostd::wire::attach::AttachReply;
use dom0_proxy::attach::hosted;
use dom0_proxy::engine::{Engine, Notice, Pause};
use tempfile::TempDir;

/// A job whose ranks are threads of this process, each with a window of `window` bytes.
pub struct Job {
    ranks: usize,
    window: usize,
    listener: UnixListener,
    socket: PathBuf,
    _directory: TempDir,
}

impl Job {
    pub fn new(ranks: usize, window: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("ranks.sock");
        Self {
            ranks,
            window,
            listener: UnixListener::bind(&socket).unwrap(),
            socket,
            _directory: directory,
        }
    }

    /// Becomes a rank, in a thread of its own.
    pub fn rank(&self, rank: usize) -> Armci {
        let (socket, size, window) = (self.socket.clone(), self.ranks, self.window);
        let (job, token) = ("threads".into(), String::new());
        attach_as(&HostedRank { socket, job, rank, token, size, window }).unwrap()
    }

    /// Takes the ranks in, as the daemon does.
    pub fn serve(&self) -> Engine {
        let (tell, notices) = channel();
        let tell = move |notice| drop(tell.send(notice));
        let engine = Engine::start("threads", self.ranks as u32, Pause::Yield, tell).unwrap();
        for _ in 0..self.ranks {
            let (stream, _) = self.listener.accept().unwrap();
            let asking = hosted::receive(&stream).unwrap();
            let rank = asking.attach.rank;
            let attachment = asking.accept(&stream).unwrap();
            hosted::answer(&stream, &AttachReply::Accepted { neighbours: self.ranks as u32 - 1 });
            engine.attach(rank, attachment);
        }
        assert_eq!(notices.recv_timeout(Duration::from_secs(20)), Ok(Notice::Open));
        engine
    }
}
