//! What the daemon is limited to harms no job that has nothing to do with it.

#[path = "support/host.rs"]
mod host;

use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use host::{Host, end, wait_until};

#[test]
fn a_limit_of_file_sizes_ends_neither_the_daemon_nor_a_job() {
    let mut host = Host::new("ulimit -c 0; ulimit -f 64");
    let innocent = host.shell(1, "sleep 1; echo done").spawn().unwrap();
    let flood = end(host.shell(1, "yes | head -c 300000").spawn().unwrap());
    assert_eq!((flood.status, flood.output.matches('y').count()), (0, 150_000));
    assert!(flood.errors.contains("bytes of its output are not in its log"), "{}", flood.errors);
    assert_eq!(end(innocent).output, "[0] done\n");
    host.assert_daemon_runs();
    // A rank has the limits of its pgas, and its signals.
    let limited = "ulimit -f 4; head -c 99999 /dev/zero >\"$TMPDIR/large\"; kill -l $?";
    let directory = host.path().to_owned();
    let rank = end(host.shell(1, limited).env("TMPDIR", directory).spawn().unwrap());
    assert_eq!(rank.output, "[0] XFSZ\n");
}

#[test]
fn jobs_are_promised_no_more_files_than_there_are() {
    let mut host = Host::new("ulimit -n 128");
    let (files, threads) = host.idle();
    // Each has room for itself; of all at once some are refused, and none breaks.
    let jobs: Vec<_> =
        (0..8).map(|_| host.shell(5, "sleep 0.3; echo up").spawn().unwrap()).collect();
    let mut done = 0;
    for ended in jobs.into_iter().map(end) {
        match ended.status {
            0 => done += 1,
            123 => assert!(ended.errors.contains("open files of the daemon"), "{ended:?}"),
            _ => panic!("{ended:?}"),
        }
    }
    assert!(done > 0);
    wait_until("that all files and threads are given back", || {
        (host.count("fd"), host.count("task")) == (files, threads)
    });
    assert_eq!(end(host.shell(5, "echo up").spawn().unwrap()).status, 0);
    host.assert_daemon_runs();
}

#[test]
fn a_start_that_runs_out_of_files_leaves_nothing() {
    let mut host = Host::new("");
    let (files, threads) = host.idle();
    let daemon = host.daemon.id().to_string();
    let limit = |most: usize| {
        let limit = format!("--nofile={most}:");
        let set = Command::new("prlimit").args(["--pid", &daemon, &limit]).status();
        assert!(set.unwrap().success());
    };
    // The daemon may open nothing more from some moment of a job's start on, for a while.
    for moment in 0..25 {
        let job = host.shell(8, "echo up; sleep 0.1").spawn().unwrap();
        thread::sleep(Duration::from_millis(moment));
        limit(host.count("fd"));
        thread::sleep(Duration::from_millis(30));
        limit(4096);
        let ended = end(job);
        assert!([0, 123].contains(&ended.status), "{moment}: {ended:?}");
        wait_until("that all files and threads are given back", || {
            (host.count("fd"), host.count("task")) == (files, threads)
        });
    }
    host.assert_daemon_runs();
}

#[test]
fn a_daemon_that_may_open_less_than_it_has_open_loses_no_output() {
    let mut host = Host::new("");
    let daemon = host.daemon.id().to_string();
    let up = tempfile::tempdir().unwrap();
    let lines =
        "touch \"$TMPDIR/$XENOLITH_RANK\"; for i in $(seq 20); do echo $i; sleep 0.05; done";
    let job = host.shell(8, lines).env("TMPDIR", up.path()).spawn().unwrap();
    wait_until("that all ranks run", || up.path().read_dir().unwrap().count() == 8);
    for most in ["8:", "4096:"] {
        let limit = format!("--nofile={most}");
        let set = Command::new("prlimit").args(["--pid", &daemon, &limit]).status();
        assert!(set.unwrap().success());
        thread::sleep(Duration::from_millis(300));
    }
    let ended = end(job);
    assert_eq!((ended.status, ended.output.lines().count()), (0, 8 * 20), "{ended:?}");
    host.assert_daemon_runs();
}

#[test]
fn the_daemons_log_does_not_grow_forever() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("daemon.log");
    let before = "an earlier daemon's line\n".repeat(170_000);
    std::fs::write(&log, &before[..(4 << 20) - 100]).unwrap();
    let pgas = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgas"));
        command.args(arguments).env("XENOLITH_RUN_DIR", dir.path()).stdin(Stdio::null());
        assert!(command.status().unwrap().success());
    };
    pgas(&["run", "--hosted", "-n", "1", "/bin/true"]);
    pgas(&["run", "--hosted", "-n", "1", "/bin/true"]);
    let lock = std::fs::read_to_string(dir.path().join("lock")).unwrap();
    let daemon = lock.strip_prefix("process ").unwrap().parse().unwrap();
    kill_process(Pid::from_raw(daemon).unwrap(), Signal::TERM).unwrap();
    wait_until("the daemon's end", || !dir.path().join("proxy.sock").exists());
    let [kept, new] = [log.with_extension("log.1"), log].map(|path| {
        let metadata = path.metadata().unwrap();
        assert!(metadata.len() <= 4 << 20, "{path:?}");
        std::fs::read_to_string(path).unwrap()
    });
    assert!(kept.starts_with("an earlier daemon's line") && !new.contains("earlier"));
    // No line is lost in between.
    let all = kept + &new;
    assert_eq!((all.matches("listening").count(), all.matches("has ended").count()), (1, 2));
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let mut host = Host::new("ulimit -n 1024");
    let connect = |socket: &str| UnixStream::connect(host.path().join(socket));
    // As many as find room, and as many as wait to be let in.
    let silent = std::sync::Mutex::new(Vec::new());
    let (stop, silent) = (&AtomicBool::new(false), &silent);
    thread::scope(|scope| {
        for socket in ["proxy.sock", "ranks.sock"] {
            scope.spawn(move || {
                for _ in 0..400 {
                    let connected = connect(socket);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    silent.lock().unwrap().push(connected);
                }
            });
        }
        wait_until("many", || silent.lock().unwrap().len() > 100);
        assert_eq!(host.jobs(), [""; 0]);
        assert_eq!(end(host.shell(2, "echo up").spawn().unwrap()).status, 0);
        stop.store(true, Ordering::Relaxed);
    });
    silent.lock().unwrap().clear();
    wait_until("their end", || host.count("task") == 1);
    host.assert_daemon_runs();
}

#[test]
fn what_the_daemon_writes_is_its_users_alone() {
    let host = Host::new("umask 0");
    let job = end(host.shell(1, "ls -lR \"$XENOLITH_RUN_DIR\"; umask").spawn().unwrap());
    assert_eq!(job.status, 0);
    let open: Vec<_> = job.output.lines().filter(|line| line.contains("] -")).collect();
    assert!(open.len() > 3, "{}", job.output);
    for line in open.iter().filter(|line| !line.contains("daemon.log")) {
        assert!(line.starts_with("[0] -rw-------"), "{line}");
    }
}
