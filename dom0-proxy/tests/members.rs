//! A daemon that listens for members on other hosts.

mod support {
    pub mod host;
}

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dom0_proxy::control::{
    ClientRequest, Hello, InputFor, JobSpec, RankKind, Reply, VERSION, Welcome,
};
use dom0_proxy::inheritance::Inheritance;
use dom0_proxy::membership::{self, MembershipError, Purpose, Secret};
use rustix::process::{Pid, Signal, kill_process};

use support::host::{Host, wait_until};

const SECRET: [u8; 32] = [0xab; 32];

/// A daemon that listens, and where.
struct Listening {
    host: Host,
    address: String,
}

impl Listening {
    fn new() -> Self {
        let host = Host::with("", &["--listen", "127.0.0.1:0", "--secret", "secret"], |dir| {
            write_secret(&dir.join("secret"));
        });
        let address = fs::read_to_string(host.path().join("address")).unwrap().trim().to_owned();
        Self { host, address }
    }

    /// A client's connection that has been welcomed.
    fn client(&self) -> UnixStream {
        let secret = Secret::from(SECRET);
        let member = membership::connect(&self.address, &secret, &Purpose::Client).unwrap();
        let stream = member.bridge().unwrap();
        message_frame::send(&stream, &Hello { version: VERSION }).unwrap();
        let welcome: Welcome = message_frame::receive(&stream).unwrap().unwrap();
        assert_eq!(welcome, Welcome { version: VERSION, pid: self.host.daemon.id() });
        stream
    }

    fn kept(&self) -> PathBuf {
        self.host.path().join("kept")
    }
}

fn write_secret(path: &Path) {
    fs::write(path, "ab".repeat(32)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn ask(stream: &UnixStream, request: &ClientRequest) -> Reply {
    message_frame::send(stream, request).unwrap();
    message_frame::receive(stream).unwrap().unwrap()
}

fn refused(reply: &Reply, why: &str) {
    let is_so = matches!(reply, Reply::Refused { text, .. } if text.contains(why));
    assert!(is_so, "{reply:?} is not about {why}");
}

/// Has a file kept: where it is.
fn keep(stream: &UnixStream, content: &[u8]) -> PathBuf {
    let (hash, length) = (*blake3::hash(content).as_bytes(), content.len() as u64);
    let mut reply = ask(stream, &ClientRequest::Keep { hash, length, name: "a name".into() });
    if reply == Reply::Wanted {
        for piece in content.chunks(1 << 20) {
            message_frame::send(stream, &ClientRequest::Piece(piece.to_vec())).unwrap();
        }
        reply = message_frame::receive(stream).unwrap().unwrap();
    }
    match reply {
        Reply::Kept(path) => path,
        other => panic!("{other:?}"),
    }
}

fn job(image: PathBuf, input: InputFor) -> JobSpec {
    JobSpec {
        kind: RankKind::Hosted,
        size: 2,
        memory: 4 << 20,
        image,
        args: Vec::new(),
        files: Vec::new(),
        environment: std::env::vars_os().collect(),
        inheritance: Inheritance::of_this_process(),
        input,
        directory: "/".into(),
        timeout: None,
        saving: None,
        after: None,
        part: None,
    }
}

#[test]
fn a_client_over_the_network_is_served_as_one_of_this_host() {
    let listening = Listening::new();
    let reply = ask(&listening.client(), &ClientRequest::List);
    assert_eq!(reply, Reply::Jobs(Vec::new()));
    refused(&ask(&listening.client(), &ClientRequest::Kill("abcdef".into())), "no job abcdef");
    assert!(listening.host.log().contains(&format!("at={}", listening.address)));
}

#[test]
fn a_program_that_was_sent_runs_and_goes_with_its_job() {
    let listening = Listening::new();
    let stream = listening.client();
    // More than a piece.
    let program = format!("#!/bin/sh\necho \"$XENOLITH_RANK here\"\nexit\n{}", "#".repeat(2 << 20));
    let path = keep(&stream, program.as_bytes());
    assert_eq!(
        keep(&stream, b"a file of the job"),
        keep(&listening.client(), b"a file of the job")
    );
    // Each with its folder of names.
    assert_eq!(fs::read_dir(listening.kept()).unwrap().count(), 4);
    message_frame::send(&stream, &ClientRequest::Run(job(path, InputFor::Nobody))).unwrap();
    let mut output = [Vec::new(), Vec::new()];
    let summary = loop {
        match message_frame::receive::<Reply>(&stream).unwrap().expect("the job's end") {
            Reply::Output(piece) => {
                output[piece.rank as usize].extend_from_slice(&piece.bytes);
                let taken = ClientRequest::Taken(piece.weight());
                message_frame::send(&stream, &taken).unwrap();
            }
            Reply::Ended(summary) => break summary,
            Reply::Refused { text, .. } => panic!("{text}"),
            _ => {}
        }
    };
    assert_eq!(output, [b"0 here\n".to_vec(), b"1 here\n".to_vec()], "{summary:?}");
    drop(stream);
    let kept = listening.kept();
    wait_until("the end of what was kept", || fs::read_dir(&kept).unwrap().count() == 0);
}

#[test]
fn what_cannot_be_kept_is_refused_in_words() {
    let listening = Listening::new();
    let keep = |length| ClientRequest::Keep { hash: [1; 32], length, name: "a name".into() };
    refused(&ask(&listening.client(), &keep((4 << 30) + 1)), "no more than 4 GiB");
    let stream = listening.client();
    assert_eq!(ask(&stream, &keep(3)), Reply::Wanted);
    refused(&ask(&stream, &ClientRequest::Piece(b"abc".to_vec())), "its hash is another");
    let stream = listening.client();
    assert_eq!(ask(&stream, &keep(3)), Reply::Wanted);
    refused(&ask(&stream, &ClientRequest::List), "before all of it had come");
    refused(&ask(&listening.client(), &ClientRequest::Piece(vec![0])), "not wanted");
    // Who is refused in the middle has sent more, and hears of it even so.
    let stream = listening.client();
    assert_eq!(ask(&stream, &keep(4 << 30)), Reply::Wanted);
    message_frame::send(&stream, &ClientRequest::Piece(Vec::new())).unwrap();
    for _ in 0..8 {
        message_frame::send(&stream, &ClientRequest::Piece(vec![0; 1 << 20])).unwrap();
    }
    refused(&message_frame::receive(&stream).unwrap().unwrap(), "a piece of 0 bytes");
}

#[test]
fn input_does_not_travel() {
    let listening = Listening::new();
    let run = ClientRequest::Run(job("/bin/true".into(), InputFor::Rank0));
    refused(&ask(&listening.client(), &run), "--stdin none");
}

#[test]
fn strangers_are_turned_away_and_keep_nobody_out() {
    let mut listening = Listening::new();
    let connect = |secret: [u8; 32], purpose: &Purpose| {
        membership::connect(&listening.address, &Secret::from(secret), purpose).unwrap_err()
    };
    let error = connect([1; 32], &Purpose::Client);
    assert!(matches!(error, MembershipError::WrongSecret { .. }), "{error}");
    let fabric = Purpose::Fabric { job: "abcdef".into(), from: 1 };
    let error = connect(SECRET, &fabric);
    assert!(matches!(error, MembershipError::UnknownJob { .. }), "{error}");
    wait_until("a line of the log", || {
        let log = listening.host.log();
        log.contains("does not know this secret") && log.contains("there is no job abcdef")
    });
    let silent: Vec<_> =
        (0..100).map(|_| TcpStream::connect(&listening.address).unwrap()).collect();
    let reply = ask(&listening.client(), &ClientRequest::List);
    assert_eq!(reply, Reply::Jobs(Vec::new()));
    // Nor is there a way for them to keep out whoever is on this host.
    assert_eq!(listening.host.jobs(), [""; 0]);
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "it stays connected");
    }
    listening.host.assert_daemon_runs();
}

#[test]
fn the_end_leaves_no_address_and_no_files() {
    let mut listening = Listening::new();
    let stream = listening.client();
    keep(&stream, b"abc");
    let address = listening.host.path().join("address");
    assert!(address.exists() && listening.kept().exists());
    kill_process(Pid::from_child(&listening.host.daemon), Signal::TERM).unwrap();
    assert!(listening.host.daemon.wait().unwrap().success());
    assert!(!address.exists() && !listening.kept().exists());
    assert_eq!(message_frame::receive::<Reply>(&stream).unwrap(), None);
}

#[test]
fn the_address_and_the_secret_need_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    write_secret(&secret);
    let failed = |arguments: &[&str], variable: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_dom0-proxy"))
            .args(arguments)
            .env("XENOLITH_RUN_DIR", dir.path().join("run"))
            .env("XENOLITH_SECRET", variable)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let (none, named) = (Path::new(""), secret.to_str().unwrap());
    let listen = ["--listen", "127.0.0.1:0"];
    assert!(failed(&["--secret", named], none).contains("--listen"));
    assert!(failed(&listen, none).contains("--secret FILE"));
    assert!(failed(&listen, &dir.path().join("nothing")).contains("No such file"));
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let line = failed(&listen, &secret);
    assert!(line.contains(&format!("chmod 600 {named}")), "{line}");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let line = failed(&["--listen", "127.0.0.1:0:0"], &secret);
    assert!(line.contains("listen at 127.0.0.1:0:0"), "{line}");
}
