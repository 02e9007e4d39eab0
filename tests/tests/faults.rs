//! What goes wrong on hosted ranks is said in one line that names rank and cause, and harms nobody
//! else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xenolith_tests::{Ended, Host, ended, processes_of, wait_until};

/// A job that runs. Ends with the test, whatever its verdict.
struct RunningJob(Child);

impl RunningJob {
    /// Starts an application, and returns once it has printed its first line.
    fn start(host: &Host, ranks: usize, name: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = host.job(ranks, name, arguments)?;
        let mut running = Self(
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("run pgas")?,
        );
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        ensure!(!line.is_empty(), "{name} ended without a line: {:#?}", running.end()?);
        Ok(running)
    }

    /// Sends a signal to `pgas`.
    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.0), signal).context("signal pgas")
    }

    /// Waits for the job's end.
    fn end(mut self) -> Result<Ended> {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        // What there is of errors is little, so that reading one after the other cannot block.
        self.0.stdout.take().context("no output")?.read_to_string(&mut stdout)?;
        self.0.stderr.take().context("no error output")?.read_to_string(&mut stderr)?;
        let status = self.0.wait()?.code().context("pgas was killed")?;
        Ok(Ended { status, stdout, stderr })
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fails(result: &Ended, status: i32, parts: &[&str]) -> Result<()> {
    ensure!(result.status == status, "status is not {status}: {result:#?}");
    for part in parts {
        ensure!(result.verdict().contains(part), "no {part:?} in the last line: {result:#?}");
    }
    Ok(())
}

#[test]
fn wrong_ring_entries_end_the_job_and_no_other() -> Result<()> {
    let host = Host::new()?;
    let other = RunningJob::start(&host, 2, "hello", &["--ticks", "8"])?;
    let kinds = host.run(1, "hostile", &[])?;
    ensure!(kinds.status == 0, "{kinds:#?}");
    let kinds: Vec<_> =
        kinds.stdout.lines().map(|line| line.trim_start_matches("[0] ").to_owned()).collect();
    ensure!(kinds.len() >= 10, "too few kinds: {kinds:?}");
    for kind in &kinds {
        let result = host.run(3, "hostile", &[kind])?;
        fails(&result, 122, &["rank 2 broke the protocol"]).context(kind.clone())?;
    }
    let other = other.end()?;
    ensure!(
        other.status == 0 && other.stdout.contains("[1] tick 8"),
        "the other job was harmed: {other:#?}"
    );
    ensure!(host.job_records()?.is_empty(), "records are left: {:?}", host.job_records()?);
    Ok(())
}

#[test]
fn a_status_is_passed_on() -> Result<()> {
    let host = Host::new()?;
    fails(&host.run(3, "faults", &["exit", "7"])?, 7, &["exited with status 7"])?;
    let result = host.run(1, "faults", &["exit", "0"])?;
    ensure!(result.status == 0, "{result:#?}");
    Ok(())
}

#[test]
fn a_panic_is_shown_with_its_place() -> Result<()> {
    let result = Host::new()?.run(2, "faults", &["panic"])?;
    ensure!(result.status != 0, "{result:#?}");
    ensure!(result.stderr.contains("faults.rs:"), "no place: {result:#?}");
    ensure!(result.verdict().contains("rank "), "no rank: {result:#?}");
    Ok(())
}

#[test]
fn a_crash_is_shown_with_its_signal() -> Result<()> {
    let result = Host::new()?.run(2, "faults", &["null"])?;
    fails(&result, 139, &["rank ", "SIGSEGV"])
}

#[test]
fn a_killed_daemon_ends_the_job_and_leaves_no_rank() -> Result<()> {
    let host = Host::new()?;
    let job = RunningJob::start(&host, 3, "faults", &["compute"])?;
    kill_process(host.daemon().context("no daemon")?, Signal::KILL)?;
    let result = job.end()?;
    fails(&result, 121, &["daemon"])?;
    wait_until("the end of all ranks", || processes_of("faults").is_ok_and(|count| count == 0))?;
    // The next job starts a new daemon and finds nothing in its way.
    let result = host.run(2, "hello", &[])?;
    ensure!(result.status == 0, "{result:#?}");
    ensure!(host.job_records()?.is_empty(), "records are left: {:?}", host.job_records()?);
    Ok(())
}

#[test]
fn a_daemon_that_is_still_ending_is_waited_for() -> Result<()> {
    let host = Host::new()?;
    // As one that has jobs to end: nobody listens, and the run directory is taken.
    let lock = File::create(host.run_dir().join("lock"))?;
    lock.lock()?;
    let job = host.job(2, "hello", &[])?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Longer than a daemon waits.
    thread::sleep(Duration::from_secs(5));
    drop(lock);
    let result = ended(job.wait_with_output()?)?;
    ensure!(result.status == 0, "{result:#?}");
    Ok(())
}

#[test]
fn a_killed_client_ends_its_job() -> Result<()> {
    let host = Host::new()?;
    let job = RunningJob::start(&host, 2, "hello", &["--ticks", "1000"])?;
    job.signal(Signal::KILL)?;
    wait_until("the end of the job", || host.job_records().is_ok_and(|records| records.is_empty()))
}

#[test]
fn an_interrupt_ends_the_job() -> Result<()> {
    let host = Host::new()?;
    let job = RunningJob::start(&host, 2, "hello", &["--ticks", "1000"])?;
    job.signal(Signal::INT)?;
    let result = job.end()?;
    ensure!(result.status == 130, "{result:#?}");
    ensure!(host.job_records()?.is_empty(), "records are left: {:?}", host.job_records()?);
    Ok(())
}

#[test]
fn ps_logs_and_kill() -> Result<()> {
    let host = Host::new()?;
    let job = RunningJob::start(&host, 2, "hello", &["--ticks", "1000"])?;
    let ps = ended(host.pgas(["ps", "--json"])?.output()?)?;
    ensure!(ps.status == 0 && ps.stdout.contains("hello"), "{ps:#?}");
    let name = host
        .job_records()?
        .first()
        .and_then(|path| path.file_name()?.to_str().map(str::to_owned))
        .context("no record")?;
    // Only the first line of one rank is known to be there.
    wait_until("the logs of both ranks", || {
        let logs = host.pgas(["logs", &name]).and_then(|mut pgas| ended(pgas.output()?));
        logs.is_ok_and(|logs| {
            (0..2).all(|rank| logs.stdout.contains(&format!("hello from {rank} of 2")))
        })
    })?;
    let kill = ended(host.pgas(["kill", &name])?.output()?)?;
    ensure!(kill.status == 0, "{kill:#?}");
    let result = job.end()?;
    fails(&result, 137, &["kill"])?;
    let again = ended(host.pgas(["kill", &name])?.output()?)?;
    ensure!(again.status != 0 && again.stderr.contains(&name), "{again:#?}");
    Ok(())
}

#[test]
fn wrong_calls_are_refused_in_one_line() -> Result<()> {
    let host = Host::new()?;
    for (arguments, part) in [
        (vec!["run", "--hosted", "-n", "0", "hello"], "0"),
        (vec!["run", "--hosted", "-n", "2", "no-such-program"], "no-such-program"),
        (vec!["run", "--hosted", "-n", "2", "/etc/passwd"], "/etc/passwd"),
        (vec!["run", "-n", "1", "no-such.img"], "no-such.img"),
        (vec!["logs", "ffffff"], "ffffff"),
    ] {
        let result = ended(host.pgas(&arguments)?.output()?)?;
        ensure!(result.status != 0 && result.stderr.contains(part), "{arguments:?}: {result:#?}");
        ensure!(!result.stderr.contains("panicked"), "{arguments:?}: {result:#?}");
    }
    Ok(())
}
