//! Hosted jobs from end to end: `pgas`, the daemon, and real processes, in every ending.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dom0_proxy::control::{ClientRequest, Hello, Reply, Summary, Welcome};
use dom0_proxy::inheritance::Inheritance;
use dom0_proxy::job::processes::{RANK_ARGUMENT, identity};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A run directory with its daemon, which ends with the test.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn pgas(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgas"));
        command
            .args(arguments)
            .env("XENOLITH_RUN_DIR", self.dir.path())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.pgas(arguments).output().unwrap())
    }

    /// Runs a job of test ranks.
    fn job(&self, size: u32, mode: &str) -> Ended {
        let size = size.to_string();
        self.run(&["run", "--hosted", "--timeout", "60", "-n", &size, &test_rank(), "--", mode])
    }

    /// Starts a job whose rank 1 hangs, and waits until all ranks are up.
    fn hanging_job(&self) -> Running {
        let running = self.start("hang");
        wait_until("the rank's child", || self.processes_of(&running.job).len() == 3);
        running
    }

    /// Starts a job of two test ranks, and waits until they are up.
    fn start(&self, mode: &str) -> Running {
        let arguments = ["run", "--hosted", "-n", "2", &test_rank(), "--", mode];
        let mut pgas =
            self.pgas(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(pgas.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            let line = lines.next().unwrap().unwrap();
            assert!(line.ends_with("is up"), "{line}");
        }
        let job = self.only_job();
        Running { pgas, job }
    }

    fn only_job(&self) -> String {
        let ps = self.run(&["ps", "--json"]);
        let jobs: serde_json::Value = serde_json::from_str(&ps.output).unwrap();
        assert_eq!(jobs.as_array().unwrap().len(), 1, "{jobs}");
        assert_eq!(jobs[0]["size"], 2);
        assert_eq!(jobs[0]["kind"], "hosted");
        jobs[0]["job"].as_str().unwrap().to_owned()
    }

    fn daemon(&self) -> Option<Pid> {
        let holder = std::fs::read_to_string(self.dir.path().join("lock")).ok()?;
        Pid::from_raw(holder.strip_prefix("process ")?.parse().ok()?)
    }

    /// Processes that were started for a job.
    fn processes_of(&self, job: &str) -> Vec<u32> {
        let mark = format!("XENOLITH_JOB={job}");
        let has_mark = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|&byte| byte == 0).any(|word| word == mark.as_bytes())
            })
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(has_mark)
            .collect()
    }

    /// Nothing of any job is left but its logs.
    fn assert_clean(&self, job: &str) {
        wait_until("the end of all processes", || self.processes_of(job).is_empty());
        wait_until("the end of all records", || {
            std::fs::read_dir(self.dir.path().join("jobs")).unwrap().next().is_none()
        });
    }

    fn job_of_log(&self) -> String {
        let mut jobs = std::fs::read_dir(self.dir.path().join("log")).unwrap().flatten();
        jobs.next().unwrap().file_name().into_string().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            let _ = kill_process(daemon, Signal::TERM);
        }
    }
}

struct Running {
    pgas: Child,
    job: String,
}

impl Running {
    fn wait(mut self) -> (i32, String) {
        let mut errors = String::new();
        self.pgas.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.pgas.wait().unwrap().code().unwrap_or(-1), errors)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.pgas), signal).unwrap();
    }
}

#[derive(Debug)]
struct Ended {
    status: i32,
    output: String,
    errors: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn test_rank() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_pgas")).with_file_name("examples").join("test_rank");
    assert!(path.is_file(), "build it first: cargo build -p dom0-proxy --example test_rank");
    path.to_str().unwrap().to_owned()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_job_shows_its_lines_and_its_table() {
    let host = Host::new();
    let ended = host.run(&["run", "--hosted", "-n", "4", "--table", &test_rank(), "--", "behave"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    for rank in 0..4 {
        assert!(ended.output.contains(&format!("[{rank}] rank {rank} is up\n")), "{ended:?}");
    }
    assert!(ended.output.contains("rank   memory"), "{ended:?}");
    assert_eq!(ended.errors, "");
    let job = host.job_of_log();
    host.assert_clean(&job);
    let logs = host.run(&["logs", &job, "--rank", "2"]);
    assert_eq!((logs.status, logs.output.as_str()), (0, "rank 2 is up\n"));
}

#[test]
fn a_job_is_drawn_however_it_ends() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.svg");
    let timeline = file.display().to_string();
    let run = |mode: &str, timeline: &str| {
        let size = ["run", "--hosted", "-n", "2", "--lines", "--timeline", timeline];
        host.run(&[&size[..], &[&test_rank(), "--", mode]].concat())
    };
    let ended = run("behave", &timeline);
    assert_eq!((ended.status, ended.errors.as_str()), (0, "pgas: no line was saved\n"));
    let drawn = std::fs::read_to_string(&file).unwrap();
    for words in ["<title>test_rank: 2 ranks, ", "rank 1 of ", " runs: ", "the end, status 0"] {
        assert!(drawn.contains(words), "{words:?} is not in {drawn}");
    }
    let ended = run("abort", &timeline);
    assert_ne!(ended.status, 0, "{ended:?}");
    let drawn = std::fs::read_to_string(&file).unwrap();
    assert!(drawn.contains(" accident of "), "{drawn}");
    assert!(drawn.contains("rank 1 "), "{drawn}");
    // Before anything begins.
    let ended = run("behave", &format!("{timeline}/job.svg"));
    assert_eq!(ended.status, 125, "{ended:?}");
    assert!(ended.errors.contains("--timeline: there is no directory"), "{ended:?}");
    assert_eq!(ended.output, "");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_machine_reads_the_same_in_json() {
    let host = Host::new();
    let ended = host.run(&[
        "run",
        "--hosted",
        "-n",
        "2",
        "--json",
        "--mem",
        "8M",
        &test_rank(),
        "--",
        "behave",
    ]);
    let objects: Vec<serde_json::Value> =
        ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = &objects.last().unwrap()["ended"];
    assert_eq!(last["status"], 0);
    assert_eq!(last["ranks"].as_array().unwrap().len(), 2);
    assert_eq!(last["ranks"][1]["memory"], 8 << 20);
    assert_eq!(last["ranks"][1]["status"], 0);
    assert!(last["ranks"][1]["traffic"]["put"]["operations"].as_u64().unwrap() > 0, "{last}");
    assert!(objects.iter().any(|object| object["line"]["text"] == "rank 1 is up"));
}

#[test]
fn a_rank_has_the_users_environment_directory_and_files() {
    let host = Host::new();
    let file = host.dir.path().join("data.txt");
    std::fs::write(&file, "x").unwrap();
    let mut pgas = host.pgas(&[
        "run",
        "--hosted",
        "-n",
        "2",
        "--file",
        file.to_str().unwrap(),
        &test_rank(),
        "--",
        "environment",
    ]);
    let ended = Ended::from(pgas.env("MARK", "here").current_dir("/").output().unwrap());
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.output.contains(r#"MARK=Ok("here") directory=Ok("/")"#), "{ended:?}");
    assert!(ended.output.contains(&format!("files={}", file.display())), "{ended:?}");
}

/// What a rank says of its limits, mask, niceness and processors when `pgas` has those that `setup`
/// gives a shell; and what that shell says of itself.
fn surroundings(host: &Host, setup: &str) -> (Ended, String) {
    let show = "echo $(ulimit -Sn) $(ulimit -Ss) $(ulimit -Hn) $(umask) $(nice) $(nproc)";
    let script = format!(
        "{setup}; {show}; exec \"$0\" run --hosted -n 1 --timeout 60 /bin/bash -- -c '{show}'"
    );
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_pgas")]).stdin(Stdio::null());
    let ended = command.env("XENOLITH_RUN_DIR", host.dir.path()).output().unwrap();
    let ended = Ended::from(ended);
    let own = ended.output.lines().next().unwrap().to_owned();
    (ended, own)
}

#[test]
fn a_rank_has_limits_mask_niceness_and_processors_of_its_pgas() {
    let host = Host::new();
    // The first one starts the daemon. Only root may undo a niceness, so that comes later.
    let odd = "ulimit -Sn 100; ulimit -Ss 4096; umask 077; taskset -p 1 $$ >/dev/null";
    for setup in [odd, "ulimit -Sn 200; umask 022", "umask 002; renice -n 5 $$ >/dev/null", odd] {
        let (ended, own) = surroundings(&host, setup);
        assert_eq!(ended.status, 0, "{setup}: {ended:?}");
        assert_eq!(ended.output, format!("{own}\n[0] {own}\n"), "{setup}: {ended:?}");
        assert_eq!(ended.errors, "", "{setup}");
    }
}

#[test]
fn arguments_and_variables_arrive_as_they_are() {
    let host = Host::new();
    let odd = ["tab\there", "new\nline", "", " ", "\"quoted\" \\ $HOME", "\u{1}\u{7f}é", "--"];
    let long = "y".repeat(100_000);
    let script = "for word; do printf '<%s>' \"$word\"; done; printf '{%s}{%s}' \"$A\" \"$B\"";
    let options = ["run", "--hosted", "-n", "1", "--env", "A=b = c\n\t", "--env", "B"];
    let program = ["/bin/bash", "--", "-c", script, "name"];
    let mut pgas = host.pgas(&[&options[..], &program, &odd, &[&long]].concat());
    let ended = Ended::from(pgas.env("B", "looked up").env("A", "not this").output().unwrap());
    assert_eq!(ended.status, 0, "{}", ended.errors);
    let mut expected: String = odd.iter().map(|word| format!("<{word}>")).collect();
    expected += &format!("<{long}>{{b = c\n\t}}{{looked up}}");
    let lines = ended.output.lines().map(|line| line.strip_prefix("[0] ").unwrap());
    // How a long line is shown is not the matter here.
    assert_eq!(lines.collect::<String>(), expected.replace('\n', ""));
    let wrong = host.run(&["run", "--hosted", "-n", "1", "--env", "NOT_SET_ANYWHERE", "/bin/true"]);
    assert_eq!(wrong.status, 125);
    assert!(wrong.errors.contains("--env NOT_SET_ANYWHERE: it is not set"), "{wrong:?}");
}

#[test]
fn standard_input_goes_to_rank_0_or_to_all_or_to_none() {
    let host = Host::new();
    let file = host.dir.path().join("input");
    std::fs::write(&file, "line\n".repeat(100_000)).unwrap();
    let count = |options: &[&str], stdin: Stdio| {
        let script = "printf '%s:%s' $XENOLITH_RANK $(wc -c)";
        let run = ["run", "--hosted", "-n", "3", "--timeout", "60"];
        let program = ["/bin/sh", "--", "-c", script];
        let ended = host.pgas(&[&run[..], options, &program].concat()).stdin(stdin).output();
        let ended = Ended::from(ended.unwrap());
        assert_eq!(ended.status, 0, "{ended:?}");
        let mut lines: Vec<_> = ended.output.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    let open = || Stdio::from(std::fs::File::open(&file).unwrap());
    assert_eq!(count(&[], open()), "[0] 0:500000 [1] 1:0 [2] 2:0");
    assert_eq!(count(&["--stdin", "0"], open()), "[0] 0:500000 [1] 1:0 [2] 2:0");
    assert_eq!(count(&["--stdin", "none"], open()), "[0] 0:0 [1] 1:0 [2] 2:0");
    assert_eq!(count(&["--stdin", "all"], open()), "[0] 0:500000 [1] 1:500000 [2] 2:500000");
    // A pipe that is never closed does not keep a job that does not read it.
    let (reader, writer) = std::io::pipe().unwrap();
    let arguments = ["run", "--hosted", "-n", "2", "--stdin", "all", "/bin/true"];
    assert!(host.pgas(&arguments).stdin(reader).status().unwrap().success());
    drop(writer);
}

#[test]
fn jobs_run_side_by_side_and_a_failing_one_harms_no_other() {
    let host = Host::new();
    let running = host.hanging_job();
    let failing = host.job(3, "opcode");
    assert_eq!(failing.status, 122);
    let good = host.job(3, "behave");
    assert_eq!(good.status, 0, "{good:?}");
    assert_eq!(host.processes_of(&running.job).len(), 3, "the first job still runs");
    for process in host.processes_of(&running.job) {
        let score = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
        assert_eq!(score.trim(), "1000", "out of memory, ranks go first");
    }
    let kill = host.run(&["kill", &running.job]);
    assert_eq!((kill.status, kill.errors.as_str()), (0, ""));
    let job = running.job.clone();
    assert_eq!(host.processes_of(&job), [0; 0], "it is gone when kill returns");
    let (status, errors) = running.wait();
    assert_eq!(status, 137);
    assert!(errors.contains("killed by pgas kill"), "{errors}");
    host.assert_clean(&job);
}

#[test]
fn failures_name_rank_and_cause() {
    let host = Host::new();
    let cases = [
        ("exit", 3, "rank 1 exited with status 3"),
        ("abort", 134, "rank 1 was killed by signal 6 (SIGABRT)"),
        ("absent", 122, "rank 1 ended before it attached"),
        ("opcode", 122, "rank 1 broke the protocol: bad ring entry: unknown opcode 77"),
        ("foreign", 122, "rank 1 broke the protocol: bad ring entry: no rank 1000 in a job of 3"),
        ("range", 122, "rank 1 broke the protocol: bad ring entry: 8 bytes at"),
        ("wrap", 122, "rank 1 broke the protocol: bad ring entry: 18446744073709551608 bytes at"),
        ("jump", 122, "rank 1 broke the protocol: bad submission ring: ring index jumped"),
        ("impostor", 122, "rank 1 broke the protocol: bad attach: it says that it is rank 0"),
        ("twice", 122, "rank 1 broke the protocol: bad attach: it is attached already"),
        ("large", 122, "rank 1 broke the protocol: bad attach: its window has 1099511627776"),
        ("unsealed", 122, "rank 1 broke the protocol: bad attach: its window is not a memfd"),
    ];
    for (mode, status, cause) in cases {
        let ended = host.job(3, mode);
        assert_eq!(ended.status, status, "{mode}: {ended:?}");
        assert!(ended.errors.contains(cause), "{mode}: {ended:?}");
        assert_eq!(ended.errors.matches("pgas: job").count(), 1, "{mode}: one line: {ended:?}");
    }
    let said = host.job(2, "exit");
    assert!(said.errors.contains("[1] last words\n"), "{said:?}");
    assert!(std::fs::read_dir(host.dir.path().join("jobs")).unwrap().next().is_none());
}

#[test]
fn a_rank_that_leaves_while_others_wait_fails_the_job_at_once() {
    let host = Host::new();
    let ended = host.job(3, "leave");
    assert_eq!(ended.status, 122, "{ended:?}");
    // The last rank may not have begun to wait yet, or the first.
    let causes = [
        "rank 1 left with status 0, but 2 ranks wait for it, the first is rank 0",
        "rank 1 left with status 0, but rank 0 waits for it",
        "rank 1 left with status 0, but rank 2 waits for it",
    ];
    assert!(causes.iter().any(|cause| ended.errors.contains(cause)), "{ended:?}");
    // Killed behind a shell that does not say so.
    let script = "\"$0\" abort; exit 0";
    let arguments =
        ["run", "--hosted", "--timeout", "60", "-n", "2", "/bin/sh", "--", "-c", script];
    let ended = host.run(&[&arguments[..], &[&test_rank()]].concat());
    assert_eq!(ended.status, 122, "{ended:?}");
    let cause = "rank 1 left with status 0, but rank 0 waits for it";
    assert!(ended.errors.contains(cause), "{ended:?}");
    host.assert_clean(&host.job_of_log());
}

#[test]
fn a_rank_that_leaves_when_nobody_needs_it_may() {
    let host = Host::new();
    let ended = host.job(3, "early");
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn a_stranger_does_not_get_a_ranks_place() {
    let host = Host::new();
    let running = host.hanging_job();
    // A rank of one job, that says it is rank 1 of another.
    let arguments = ["run", "--hosted", "-n", "1", &test_rank(), "--", "intruder", &running.job];
    let intruder = host.run(&arguments);
    assert!(intruder.output.contains("its token is of no rank of that job"), "{intruder:?}");
    assert_eq!(host.only_job(), running.job, "the other job does not care");
    assert_eq!(host.run(&["kill", &running.job]).status, 0);
    let (status, errors) = running.wait();
    assert_eq!(status, 137, "{errors}");
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let host = Host::new();
    let ended =
        host.run(&["run", "--hosted", "-n", "2", "--timeout", "0.5", &test_rank(), "--", "hang"]);
    assert_eq!(ended.status, 124);
    assert!(ended.errors.contains("timed out after 0.5 s"), "{ended:?}");
    host.assert_clean(&host.job_of_log());
}

#[test]
fn a_limit_beyond_all_time_is_none() {
    let host = Host::new();
    for limit in ["1e10", "1e19"] {
        let ended = host.run(&[
            "run",
            "--hosted",
            "-n",
            "2",
            "--timeout",
            limit,
            &test_rank(),
            "--",
            "exit",
        ]);
        assert_eq!(ended.status, 3, "{ended:?}");
        host.assert_clean(&host.job_of_log());
    }
    for wrong in ["0", "-1", "nan", "1e20"] {
        let limit = format!("--timeout={wrong}");
        let ended = host.run(&["run", "--hosted", "-n", "1", &limit, &test_rank(), "--", "behave"]);
        assert_eq!((ended.status, ended.errors.lines().count()), (125, 1), "{wrong}: {ended:?}");
    }
}

#[test]
fn a_daemon_that_dies_leaves_nothing() {
    let host = Host::new();
    let running = host.hanging_job();
    kill_process(host.daemon().unwrap(), Signal::KILL).unwrap();
    let job = running.job.clone();
    let (status, errors) = running.wait();
    assert_eq!(status, 121);
    let lines: Vec<_> = errors.lines().filter(|line| line.starts_with("pgas:")).collect();
    assert!(lines.len() == 1 && lines[0].contains("died") && lines[0].contains(&job), "{errors}");
    host.assert_clean(&job);
    let again = host.job(2, "behave");
    assert_eq!(again.status, 0, "a new daemon starts where the old one died: {again:?}");
}

#[test]
fn the_users_interrupt_ends_the_job() {
    let host = Host::new();
    let running = host.hanging_job();
    running.signal(Signal::INT);
    let job = running.job.clone();
    let (status, errors) = running.wait();
    assert_eq!(status, 130);
    assert!(errors.contains("interrupted"), "{errors}");
    host.assert_clean(&job);
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    let host = Host::new();
    let mut command = Command::new("/bin/sh");
    let script = "trap '' HUP INT; exec \"$0\" run --hosted -n 1 /bin/sh -- -c 'echo up; sleep 2'";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pgas")]).stdin(Stdio::null());
    command.env("XENOLITH_RUN_DIR", host.dir.path()).stdout(Stdio::piped());
    let mut pgas = command.spawn().unwrap();
    let mut output = BufReader::new(pgas.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    for signal in [Signal::HUP, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_child(&pgas), signal).unwrap();
    }
    assert_eq!(pgas.wait().unwrap().code(), Some(0));
}

#[test]
fn the_users_signals_reach_the_ranks() {
    let host = Host::new();
    let script = "trap 'echo one' USR1; trap 'echo two; exit 5' USR2; echo up; \
                  while :; do sleep 0.05; done";
    let arguments =
        ["run", "--hosted", "-n", "1", "--timeout", "60", "/bin/sh", "--", "-c", script];
    let mut pgas = host.pgas(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(pgas.stdout.take().unwrap()).lines();
    for (line, signal) in [("up", Signal::USR1), ("one", Signal::USR2)] {
        assert_eq!(lines.next().unwrap().unwrap(), format!("[0] {line}"));
        kill_process(Pid::from_child(&pgas), signal).unwrap();
    }
    assert_eq!(lines.next().unwrap().unwrap(), "[0] two");
    assert_eq!(pgas.wait().unwrap().code(), Some(5));
}

/// The state of a process by `ps`'s letter.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('X')
}

#[test]
fn ranks_stop_and_go_on_with_their_pgas() {
    let host = Host::new();
    // Stopped for longer than its time.
    let arguments = ["run", "--hosted", "-n", "2", "--timeout", "3", "/bin/sh", "--", "-c"];
    // One process: a shell that has just forked may wait for its stopped child, not stop itself.
    let script = "echo up; exec sleep 1";
    let mut pgas =
        host.pgas(&[&arguments[..], &[script]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(pgas.stdout.take().unwrap()).lines();
    (0..2).for_each(|_| drop(lines.next().unwrap().unwrap()));
    let job = host.only_job();
    kill_process(Pid::from_child(&pgas), Signal::TSTP).unwrap();
    wait_until("all are stopped", || {
        let ranks = host.processes_of(&job);
        state(pgas.id()) == 'T' && ranks.iter().all(|pid| state(*pid) == 'T')
    });
    thread::sleep(Duration::from_secs(4));
    assert!(host.processes_of(&job).len() >= 2);
    kill_process(Pid::from_child(&pgas), Signal::CONT).unwrap();
    assert_eq!(pgas.wait().unwrap().code(), Some(0));
    host.assert_clean(&job);
}

#[test]
fn a_job_is_held_until_it_is_released() {
    let host = Host::new();
    let running = host.start("pace");
    let job = running.job.clone();
    // Ranks that have not attached yet cannot be held.
    wait_until("a hold", || {
        let hold = host.run(&["hold", &job]);
        if hold.status != 0 {
            let line = format!("pgas: job {job} cannot be held: not all of its ranks have started");
            assert!(hold.errors.starts_with(&line), "{hold:?}");
            return false;
        }
        assert!(hold.errors.contains("computes on until it needs another"), "{hold:?}");
        true
    });
    assert_eq!(host.run(&["hold", &job]).status, 0, "what is held can be held");
    let is_held = || {
        let jobs: serde_json::Value =
            serde_json::from_str(&host.run(&["ps", "--json"]).output).unwrap();
        jobs[0]["held"] == true
    };
    // Longer than all of it would take.
    thread::sleep(Duration::from_secs(3));
    assert!(is_held());
    assert!(host.run(&["ps"]).output.contains("held"));
    assert_eq!(host.run(&["release", &job]).status, 0);
    assert!(!is_held());
    let again = host.run(&["release", &job]);
    assert_eq!(again.status, 125, "{again:?}");
    assert_eq!(again.errors, format!("pgas: job {job} cannot be released: it is not held\n"));
    assert_eq!(running.wait().0, 0);
    assert_eq!(host.run(&["hold", &job]).status, 125);
    host.assert_clean(&job);
}

#[test]
fn a_job_that_is_held_can_be_killed() {
    let host = Host::new();
    let running = host.start("pace");
    wait_until("a hold", || host.run(&["hold", &running.job]).status == 0);
    assert_eq!(host.run(&["kill", &running.job]).status, 0);
    host.assert_clean(&running.job);
    assert_eq!(running.wait().0, 137);
}

#[test]
fn a_pgas_that_dies_ends_its_job() {
    let host = Host::new();
    let running = host.hanging_job();
    running.signal(Signal::KILL);
    let job = running.job.clone();
    running.wait();
    host.assert_clean(&job);
}

#[test]
fn a_daemon_that_is_told_to_end_ends_its_jobs() {
    let host = Host::new();
    let running = host.hanging_job();
    kill_process(host.daemon().unwrap(), Signal::TERM).unwrap();
    let job = running.job.clone();
    let (status, errors) = running.wait();
    assert_eq!(status, 137);
    assert!(errors.contains("the daemon was told to end"), "{errors}");
    host.assert_clean(&job);
    assert!(!host.dir.path().join("proxy.sock").exists());
}

#[test]
fn a_job_that_a_daemon_refuses_since_it_ends_is_asked_of_the_next_one() {
    let host = Host::new();
    let listener = UnixListener::bind(host.dir.path().join("proxy.sock")).unwrap();
    let mut pgas = host.pgas(&["run", "--hosted", "-n", "1", "/bin/true"]).spawn().unwrap();
    let answer = |replies: &[Reply]| {
        let stream = listener.accept().unwrap().0;
        let hello: Hello = message_frame::receive(&stream).unwrap().unwrap();
        let welcome = Welcome { version: hello.version, pid: std::process::id() };
        message_frame::send(&stream, &welcome).unwrap();
        let asked: ClientRequest = message_frame::receive(&stream).unwrap().unwrap();
        assert!(matches!(asked, ClientRequest::Run(_)), "{asked:?}");
        replies.iter().for_each(|reply| message_frame::send(&stream, reply).unwrap());
    };
    let error = dom0_proxy::Error::DaemonEnds;
    let refused = Reply::Refused { status: error.exit_status(), text: error.to_string() };
    answer(std::slice::from_ref(&refused));
    answer(&[refused]);
    let (job, ranks) = ("abcdef".to_owned(), Vec::new());
    let summary = Summary {
        job: job.clone(),
        status: 7,
        cause: None,
        is_accident: false,
        lost_host: None,
        seconds: 0.0,
        ending_seconds: 0.0,
        ranks,
    };
    answer(&[Reply::Started(job), Reply::Ended(summary)]);
    assert_eq!(pgas.wait().unwrap().code(), Some(7));
}

#[test]
fn a_client_that_does_not_read_cannot_keep_its_job_alive() {
    let host = Host::new();
    let arguments = ["run", "--hosted", "-n", "1", &test_rank(), "--", "chatter", "0"];
    let mut pgas =
        host.pgas(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(pgas.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let jobs: serde_json::Value =
        serde_json::from_str(&host.run(&["ps", "--json"]).output).unwrap();
    let job = jobs[0]["job"].as_str().unwrap().to_owned();
    assert_eq!(host.run(&["kill", &job]).status, 0);
    host.assert_clean(&job);
    drop(output);
    pgas.wait().unwrap();
}

#[test]
fn a_job_that_is_refused_for_want_of_descriptors_leaves_no_thread() {
    let host = Host::new();
    for size in (5..60).step_by(5).map(|size| size.to_string()) {
        let pgas = host.pgas(&["run", "--hosted", "-n", &size, "/bin/true"]);
        // A daemon inherits the limit from the pgas that starts it.
        let limited = Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$@\"", "sh"])
            .arg(pgas.get_program())
            .args(pgas.get_args())
            .envs(pgas.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .output();
        let ended = Ended::from(limited.unwrap());
        assert_eq!((ended.status, ended.errors.lines().count()), (123, 1), "{ended:?}");
        assert!(ended.errors.contains("ulimit -n"), "{ended:?}");
    }
    let daemon = host.daemon().unwrap().as_raw_nonzero();
    wait_until("the end of all threads but one", || {
        std::fs::read_dir(format!("/proc/{daemon}/task")).unwrap().count() == 1
    });
}

#[test]
fn a_daemon_removes_nothing_of_others() {
    let host = Host::new();
    let (jobs, log) = (host.dir.path().join("jobs"), host.dir.path().join("log"));
    for folder in [jobs.join("thesis-2019"), jobs.join("abcdef"), log.join("abcdef")] {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("results.txt"), "years of work").unwrap();
    }
    for night in 0..120 {
        std::fs::create_dir(log.join(format!("night-{night}"))).unwrap();
    }
    assert_eq!(host.job(1, "behave").status, 0);
    for kept in [jobs.join("thesis-2019"), jobs.join("abcdef"), log.join("abcdef")] {
        assert!(kept.join("results.txt").exists(), "{}", kept.display());
    }
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 122);
}

#[test]
fn a_run_directory_that_others_can_change_is_refused() {
    let host = Host::new();
    let everybodys = PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(host.dir.path(), everybodys).unwrap();
    let ended = host.job(1, "behave");
    assert_eq!((ended.status, ended.errors.lines().count()), (125, 1), "{ended:?}");
    assert!(ended.errors.contains("other users can write into it"), "{ended:?}");
    assert!(host.daemon().is_none(), "no daemon has been started");
}

#[test]
fn only_one_daemon_has_a_run_directory() {
    let host = Host::new();
    assert_eq!(host.job(1, "behave").status, 0);
    let second = Command::new(env!("CARGO_BIN_EXE_dom0-proxy"))
        .env("XENOLITH_RUN_DIR", host.dir.path())
        .output()
        .unwrap();
    let errors = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert!(errors.contains("another dom0-proxy"), "{errors}");
}

#[test]
fn ranks_of_one_job_are_of_one_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    let script = |text: &str| {
        std::fs::write(&program, format!("#!/bin/sh\necho {text}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    };
    let rank = |program_was: &str| {
        let inheritance = serde_json::to_string(&Inheritance::of_this_process()).unwrap();
        let mut rank = Command::new(env!("CARGO_BIN_EXE_dom0-proxy"));
        let daemon = std::process::id().to_string();
        rank.args([RANK_ARGUMENT, &daemon, &inheritance, program_was, "no groups"]);
        Ended::from(rank.arg(&program).output().unwrap())
    };
    script("one");
    let one = identity(&program);
    assert_eq!(rank(&one).output, "one\n");
    script("two, which is longer");
    let ended = rank(&one);
    assert_eq!((ended.status, ended.output.as_str()), (127, ""));
    assert!(ended.errors.contains("was changed while the job's ranks were started"), "{ended:?}");
    // Of the same length, in another file.
    let (before, moved) = (identity(&program), dir.path().join("moved"));
    std::fs::rename(&program, moved).unwrap();
    script("two, which is longer");
    assert_ne!(identity(&program), before);
}

#[test]
fn wrong_calls_are_refused_in_one_line() {
    let host = Host::new();
    let rank = test_rank();
    let text = host.dir.path().join("text.img");
    std::fs::write(&text, "no image").unwrap();
    let text = text.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["run", "--hosted", "-n", "0", &rank], 125, "a job has 1 to"),
        (&["run", "--hosted", "-n", "2", "/nowhere"], 127, "image /nowhere not found"),
        (&["run", "-n", "2", "nothing"], 127, "image nothing not found"),
        (&["run", "-n", "2", text], 126, "not an ELF file"),
        (&["run", "-n", "2", &rank], 126, "test_rank"),
        (&["run", "--hosted", "-n", "2", text], 126, "not executable"),
        (&["run", "--hosted", "-n", "2", "--mem", "2M", &rank], 125, "--mem 2M"),
        (&["run", "--hosted", "-n", "2", "--file", "/nowhere", &rank], 125, "--file /nowhere"),
        (&["kill", "abcdef"], 125, "no dom0-proxy runs"),
        (&["logs", "../jobs"], 125, "no log"),
    ];
    for (arguments, status, expected) in cases {
        let ended = host.run(arguments);
        assert_eq!(ended.status, status, "{arguments:?}: {ended:?}");
        assert!(ended.errors.contains(expected), "{arguments:?}: {ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{arguments:?}: {ended:?}");
    }
    let images = PathBuf::from(&rank);
    let found = Ended::from(
        host.pgas(&["run", "--hosted", "-n", "2", "test_rank", "--", "behave"])
            .env("XENOLITH_IMAGES", images.parent().unwrap())
            .output()
            .unwrap(),
    );
    assert_eq!(found.status, 0, "{found:?}");
    assert_eq!(
        host.run(&["kill", "abcdef"]).errors,
        "pgas: no job abcdef: `pgas ps` lists the jobs that run\n"
    );
    assert_eq!(host.run(&["ps"]).output, "job  kind  ranks up  time  state  image\n");
}

#[test]
fn a_job_of_processes_is_not_saved() {
    let host = Host::new();
    let running = host.start("pace");
    let job = running.job.clone();
    let saved = host.run(&["checkpoint", &job]);
    assert_eq!(saved.status, 125, "{saved:?}");
    let line = format!(
        "pgas: job {job} cannot be saved: its ranks are processes, and only domains can be\n"
    );
    assert_eq!(saved.errors, line);
    assert_eq!(host.run(&["kill", &job]).status, 0);
    host.assert_clean(&job);
    assert_eq!(running.wait().0, 137);
    let gone = host.run(&["checkpoint", &job]);
    assert_eq!((gone.status, gone.output.as_str()), (125, ""), "{gone:?}");
}
