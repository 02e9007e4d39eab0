//! Reaching the daemon, and starting it where none runs.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dom0_proxy::control::{ClientRequest, Hello, Reply, VERSION, Welcome};
use dom0_proxy::error::{Context, status};
use dom0_proxy::membership::{self, Purpose, Secret};
use dom0_proxy::run_dir::RunDir;
use dom0_proxy::{Error, Result};

/// How long a daemon may take to come up: it may have to wait for an earlier one's end, or to clean
/// up after it.
const PATIENCE: Duration = Duration::from_secs(60);
/// With what a daemon ends that finds another one.
const ALREADY_RUNNING: i32 = status::ALREADY_RUNNING as i32;
/// After how many idle seconds a daemon that was started by `pgas` ends.
const IDLE_EXIT: &str = "60";

/// No daemon's process: it is the hub that answers.
const HUB: u32 = 0;

/// A connection to the daemon.
#[derive(Debug)]
pub struct DaemonConnection {
    /// Its process.
    pub pid: u32,
    /// Carries frames.
    pub stream: UnixStream,
}

impl DaemonConnection {
    /// Connects to a daemon that runs.
    pub fn open(run_dir: &RunDir) -> Result<Self> {
        let socket = run_dir.socket();
        let stream = UnixStream::connect(&socket).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                Error::NoDaemon { run_dir: run_dir.root().into() }
            }
            ErrorKind::PermissionDenied => Error::SocketPermission { socket: socket.clone() },
            _ => Error::Io { action: format!("connect to {}", socket.display()), source: error },
        })?;
        // A daemon that ends just now closes the connection.
        let welcome =
            greet(&stream).ok_or_else(|| Error::NoDaemon { run_dir: run_dir.root().into() })?;
        if welcome.version != VERSION {
            return Err(Error::Refused {
                status: status::USAGE,
                text: format!(
                    "the daemon (process {}) is of another version: \
                     end it (`kill {}`) and try again",
                    welcome.pid, welcome.pid
                ),
            });
        }
        Ok(Self { pid: welcome.pid, stream })
    }

    /// Connects to a daemon that listens for members at this address, as `HOST:PORT`, and knows the
    /// secret.
    pub fn open_at(address: &str, secret: &Secret) -> Result<Self> {
        let member = membership::connect(address, secret, &Purpose::Client)?;
        let stream = member.bridge().context(|| format!("talk with {address}"))?;
        let refused = |text| Error::Refused { status: status::USAGE, text };
        let welcome = greet(&stream).ok_or_else(|| {
            refused(format!("dom0-proxy at {address} has closed the connection: it ends just now"))
        })?;
        if welcome.version != VERSION {
            return Err(refused(format!(
                "dom0-proxy at {address} is of another version: \
                 install the same Xenolith on all hosts"
            )));
        }
        Ok(Self { pid: welcome.pid, stream })
    }

    /// Connects to the daemon, starting it where none runs.
    pub fn open_or_start(run_dir: &RunDir) -> Result<Self> {
        match Self::open(run_dir) {
            Err(Error::NoDaemon { .. }) => start(run_dir),
            result => result,
        }
    }

    /// The connection to the hub of a job over several hosts.
    pub fn of_hub(stream: UnixStream) -> Self {
        Self { pid: HUB, stream }
    }

    /// Whether it is one to a hub, in this process, rather than to a daemon.
    pub fn is_of_hub(&self) -> bool {
        self.pid == HUB
    }

    /// Asks for something that has one answer.
    pub fn ask(&mut self, request: &ClientRequest) -> Result<Reply> {
        message_frame::send(&self.stream, request).context(|| "talk with the daemon")?;
        match message_frame::receive(&self.stream).context(|| "talk with the daemon")? {
            Some(Reply::Refused { status, text }) => Err(Error::Refused { status, text }),
            Some(reply) => Ok(reply),
            None => Err(Error::Refused {
                status: status::DAEMON_LOST,
                text: format!("the daemon (process {}) died", self.pid),
            }),
        }
    }
}

/// What the daemon says first; `None` if it has hung up.
fn greet(stream: &UnixStream) -> Option<Welcome> {
    message_frame::send(stream, &Hello { version: VERSION }).ok()?;
    message_frame::receive(stream).ok().flatten()
}

/// What threads of this process ask of the daemon while a job runs. Clones are the same.
#[derive(Clone, Debug)]
pub struct Requests(Arc<Mutex<UnixStream>>);

impl Requests {
    /// Over this connection.
    pub fn new(daemon: &DaemonConnection) -> Result<Self> {
        let stream = daemon.stream.try_clone().context(|| "talk with the daemon")?;
        Ok(Self(Arc::new(Mutex::new(stream))))
    }

    /// Asks for something that has no answer of its own.
    pub fn send(&self, request: &ClientRequest) -> std::io::Result<()> {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        message_frame::send(&*stream, request)
    }

    /// Closes the connection, which ends the job.
    pub fn close(&self) {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// The error for an answer to another question.
pub fn unexpected(reply: &Reply) -> Error {
    Error::Protocol { peer: "the daemon".into(), why: format!("it answered {reply:?}") }
}

fn start(run_dir: &RunDir) -> Result<DaemonConnection> {
    run_dir.create()?;
    let path = run_dir.daemon_log();
    let mut log = File::options()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(&path)
        .context(|| format!("open {}", path.display()))?;
    let log_start = log.seek(SeekFrom::End(0)).unwrap_or(0);
    let failed = |why: String| Error::DaemonNotStarted { why, log: path.clone() };
    let program = program().ok_or_else(|| failed("no dom0-proxy beside pgas or on PATH".into()))?;
    let output = |log: &File| log.try_clone().map(Stdio::from).context(|| "start the daemon");
    let spawn = || {
        Command::new(&program)
            .args(["--detach", "--idle-exit", IDLE_EXIT])
            .stdin(Stdio::null())
            .stdout(output(&log)?)
            .stderr(output(&log)?)
            .spawn()
            .context(|| format!("start {}", program.display()))
    };
    let mut daemon = spawn()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match DaemonConnection::open(run_dir) {
            Err(Error::NoDaemon { .. }) => {}
            result => return result,
        }
        if let Ok(Some(status)) = daemon.try_wait() {
            // Another pgas may have started one at the same moment.
            if let Ok(connection) = DaemonConnection::open(run_dir) {
                return Ok(connection);
            }
            // An earlier one is ending, with all of its jobs.
            if status.code() == Some(ALREADY_RUNNING) && Instant::now() < deadline {
                daemon = spawn()?;
                continue;
            }
            let why = last_line_since(&mut log, log_start);
            return Err(failed(why.unwrap_or_else(|| status.to_string())));
        }
        if Instant::now() > deadline {
            return Err(failed(format!("it did not listen within {} s", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn last_line_since(log: &mut File, start: u64) -> Option<String> {
    let mut text = String::new();
    log.seek(SeekFrom::Start(start)).ok()?;
    log.take(64 * 1024).read_to_string(&mut text).ok()?;
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim_start_matches("dom0-proxy: ").to_owned())
}

/// The daemon's program: beside this one, or on the path.
fn program() -> Option<PathBuf> {
    let beside =
        std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("dom0-proxy")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("dom0-proxy"));
    beside.into_iter().chain(on_path).find(|program| program.is_file())
}
