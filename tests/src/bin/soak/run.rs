//! Runs one job of the soak, and says what is wrong with how it went.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use test_applications::chatter::Chatter;
use xenolith_tests::Host;

use crate::plan::{End, Event, Plan, Reader, View};
use crate::shown::{self, Shown};

/// A job gives up after this many seconds. Only one that hangs takes so long.
const TIMEOUT: &str = "1800";
/// What a panic's message and backtrace take at most.
const MORE: usize = 8 << 10;
/// What a shell makes of an end by SIGPIPE.
const SIGPIPE: i32 = 141;

/// What runs the ranks.
pub struct Platform {
    /// Options of `pgas run` for it.
    pub options: &'static [&'static str],
    /// The program or image.
    pub chatter: PathBuf,
    /// The status of a job in which a rank panics.
    pub panicked: i32,
    /// What `pgas` says when it is stopped.
    pub on_stop: Option<&'static str>,
}

/// What is left of a job.
struct Seen {
    status: i32,
    output: Vec<u8>,
    errors: String,
    /// Its folder among the logs.
    log: PathBuf,
}

/// Runs the job of `plan`, in which nothing may be wrong. Returns how much its ranks have written.
pub fn run(host: &Host, platform: &Platform, plan: &Plan, scratch: &Path) -> Result<u64> {
    let files = scratch.join("files");
    if files.exists() {
        fs::remove_dir_all(&files).context("remove the last job's files")?;
    }
    let seen = watch(host, platform, plan, &files)?;
    let checked = check(platform, plan, &seen, &files);
    checked.with_context(|| format!("status {}, and said: {}", seen.status, seen.errors.trim()))
}

fn watch(host: &Host, platform: &Platform, plan: &Plan, files: &Path) -> Result<Seen> {
    let before = logs(host)?;
    let mut pgas = command(host, platform, plan, files)?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run pgas")?;
    let mut errors = pgas.stderr.take().context("no standard error")?;
    let output = pgas.stdout.take().context("no standard output")?;
    let errors = thread::spawn(move || -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        errors.read_to_end(&mut text)?;
        Ok(text)
    });
    let reader = plan.reader;
    let output = thread::spawn(move || read(output, reader));
    let happened = happen(host, plan.event, &mut pgas, &before);
    let status = pgas.wait().context("wait for pgas")?;
    let errors = errors.join().ok().context("the reader of errors panicked")??;
    let output = output.join().ok().context("the reader panicked")??;
    happened?;
    let errors = String::from_utf8_lossy(&errors).into_owned();
    let status = match status.signal() {
        Some(signal) if signal == Signal::PIPE.as_raw() => SIGPIPE,
        _ => status.code().with_context(|| format!("pgas: {status}, said {errors}"))?,
    };
    let log = logs(host)?.into_iter().find(|log| !before.contains(log));
    let log = log.with_context(|| format!("no log; status {status}, said {errors}"))?;
    Ok(Seen { status, output, errors, log })
}

fn command(host: &Host, platform: &Platform, plan: &Plan, files: &Path) -> Result<Command> {
    let mut arguments: Vec<OsString> =
        ["run", "--timeout", TIMEOUT, "-n", &plan.ranks.to_string()].map(OsString::from).into();
    arguments.extend(platform.options.iter().map(OsString::from));
    match plan.view {
        View::Tagged => {}
        View::Untagged => arguments.push("--no-tag".into()),
        View::Json => arguments.push("--json".into()),
        View::Files => arguments.extend(["--output".into(), files.into()]),
    }
    arguments.extend([platform.chatter.as_os_str().to_owned(), "--".into()]);
    let end = match plan.end {
        End::Well => "well".into(),
        End::Exit { rank, status } => format!("{rank}:exit:{status}"),
        End::Panic { rank } => format!("{rank}:panic"),
    };
    let numbers = [plan.seed.to_string(), plan.bytes.to_string(), plan.pauses.to_string()];
    arguments.extend(numbers.map(OsString::from));
    arguments.push(end.into());
    host.pgas(arguments)
}

/// The folders of all jobs that have logs.
fn logs(host: &Host) -> Result<Vec<PathBuf>> {
    let logs = host.run_dir().join("log");
    if !logs.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&logs).with_context(|| format!("list {}", logs.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn read(mut output: ChildStdout, reader: Reader) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match reader {
        Reader::Prompt => {}
        Reader::Slow { piece, pause } => {
            while (&mut output).take(piece as u64).read_to_end(&mut text)? > 0 {
                thread::sleep(pause);
            }
        }
        Reader::Stalls { after, pause } => {
            (&mut output).take(after as u64).read_to_end(&mut text)?;
            thread::sleep(pause);
        }
        Reader::Leaves { after } => {
            output.take(after as u64).read_to_end(&mut text)?;
            return Ok(text);
        }
    }
    output.read_to_end(&mut text)?;
    Ok(text)
}

/// Lets happen what is to happen once the job has begun.
fn happen(host: &Host, event: Event, pgas: &mut Child, before: &[PathBuf]) -> Result<()> {
    let (Event::Terminated(when)
    | Event::Interrupted(when)
    | Event::Killed(when)
    | Event::Stopped(when, _)) = event
    else {
        return Ok(());
    };
    let job = loop {
        if let Some(log) = logs(host)?.into_iter().find(|log| !before.contains(log)) {
            break log;
        }
        if pgas.try_wait().context("look at pgas")?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    };
    thread::sleep(when);
    // Not waited for yet, so that the number is still pgas's.
    let pid = Pid::from_child(pgas);
    let send = |signal| kill_process(pid, signal).context("signal pgas");
    match event {
        Event::Nothing => {}
        Event::Terminated(_) => send(Signal::TERM)?,
        Event::Interrupted(_) => send(Signal::INT)?,
        Event::Killed(_) => {
            let job = job.file_name().context("a log without a name")?;
            // The job may have ended by itself.
            host.pgas(["kill".as_ref(), job])?.output().context("run pgas kill")?;
        }
        Event::Stopped(_, pause) => {
            send(Signal::TSTP)?;
            thread::sleep(pause);
            send(Signal::CONT)?;
        }
    }
    Ok(())
}

fn check(platform: &Platform, plan: &Plan, seen: &Seen, files: &Path) -> Result<u64> {
    let own = match plan.end {
        End::Well => 0,
        End::Exit { status, .. } => i32::from(status),
        End::Panic { .. } => platform.panicked,
    };
    let mut allowed = vec![own];
    match plan.event {
        Event::Nothing | Event::Stopped(..) => {}
        Event::Terminated(_) | Event::Interrupted(_) => allowed.push(130),
        Event::Killed(_) => allowed.push(137),
    }
    if let Reader::Leaves { .. } = plan.reader {
        allowed.push(SIGPIPE);
    }
    ensure!(allowed.contains(&seen.status), "the status should be one of {allowed:?}");
    let whole = seen.status == own;
    let reader_left = matches!(plan.reader, Reader::Leaves { .. });

    let mut written = 0;
    let mut logged = Vec::new();
    for rank in 0..plan.ranks {
        let file = seen.log.join(format!("rank-{rank}.log"));
        logged.push(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
        written += logged[rank].len() as u64;
    }
    let (shown, ended) = shown(plan, seen, files)?;
    for (rank, (log, shown)) in logged.iter().zip(&shown).enumerate() {
        let chatter = Chatter::new(plan.seed, rank, plan.bytes, plan.pauses);
        let expected: String = chatter.map(|piece| piece.text).collect();
        let expected = expected.as_bytes();
        // A panic's message may follow, and what the others make of it.
        let more = plan.end != End::Well;
        compare(expected, log, whole, more).with_context(|| format!("the log of rank {rank}"))?;
        let what = || format!("what was shown of rank {rank}");
        let mut bytes = shown.bytes.clone();
        if shown.newline && expected.get(bytes.len()) == Some(&b'\n') {
            bytes.push(b'\n');
        }
        compare(expected, &bytes, whole && !reader_left, more).with_context(what)?;
        ensure!(
            more || log.len() >= shown.bytes.len(),
            "{}: {} bytes, {} in the log",
            what(),
            shown.bytes.len(),
            log.len()
        );
        if let Some(ended) = &ended {
            let output = &ended["ranks"][rank]["output"];
            let count = |what: &str| output[what].as_u64().context("no count");
            ensure!(count("bytes")? == log.len() as u64, "rank {rank}: {output} of {}", log.len());
            ensure!(count("lost")? == 0 && count("unlogged")? == 0, "rank {rank}: {output}");
            ensure!(!whole || count("unsent")? == 0, "rank {rank}: {output}");
        }
    }
    if plan.view == View::Json && !is_cut(plan, seen) {
        ensure!(ended.is_some(), "no word of the end");
    }
    if whole && own == 0 {
        let words = platform.on_stop.filter(|_| matches!(plan.event, Event::Stopped(..)));
        let unexpected =
            seen.errors.lines().find(|line| !words.is_some_and(|it| line.contains(it)));
        ensure!(unexpected.is_none(), "it should have said nothing");
    }
    if !is_cut(plan, seen) && plan.end == End::Well && plan.view != View::Files {
        let showed: u64 = shown.iter().map(|shown| shown.bytes.len() as u64).sum();
        // A newline at the end of each may be the rank's.
        let missing = (written - showed).saturating_sub(plan.ranks as u64)..=written - showed;
        let said = said_missing(&seen.errors);
        ensure!(missing.contains(&said), "{said} bytes were not shown, it said: it is {missing:?}");
    }
    Ok(written)
}

/// How many bytes `pgas` says that it has not shown.
fn said_missing(errors: &str) -> u64 {
    let count = errors.lines().find_map(|line| {
        let line = line.strip_prefix("pgas: ")?;
        line.split_once(" bytes of the ranks' output were not shown")?.0.parse().ok()
    });
    count.unwrap_or(0)
}

/// Whether what was shown may end anywhere: where the reader left, or did not take it from a `pgas`
/// that was to end.
fn is_cut(plan: &Plan, seen: &Seen) -> bool {
    match plan.reader {
        Reader::Leaves { .. } => true,
        Reader::Prompt => false,
        Reader::Slow { .. } | Reader::Stalls { .. } => matches!(seen.status, 130 | 137),
    }
}

/// What was shown of each rank.
fn shown(
    plan: &Plan,
    seen: &Seen,
    files: &Path,
) -> Result<(Vec<Shown>, Option<serde_json::Value>)> {
    let mut output = &seen.output[..];
    if is_cut(plan, seen) {
        let end = output.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        output = &output[..end];
    }
    Ok(match plan.view {
        View::Tagged => (shown::tagged(output, plan.ranks)?, None),
        View::Json => shown::json(output, plan.ranks)?,
        View::Untagged => (vec![Shown { bytes: seen.output.clone(), newline: false }], None),
        View::Files => {
            ensure!(output.is_empty(), "something was shown besides");
            let read = |rank| {
                let file = files.join(format!("rank-{rank}.log"));
                let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
                Ok(Shown { bytes, newline: false })
            };
            ((0..plan.ranks).map(read).collect::<Result<_>>()?, None)
        }
    })
}

/// Compares what is there with what was written: all of it if `whole`, and nothing else unless
/// there may be `more`, which may have come between, since a rank has two pipes.
fn compare(expected: &[u8], there: &[u8], whole: bool, more: bool) -> Result<()> {
    if more && is_woven_into(expected, there) {
        return Ok(());
    }
    let common = expected.iter().zip(there).take_while(|(a, b)| a == b).count();
    let around = |text: &[u8]| {
        let from = common.saturating_sub(20);
        String::from_utf8_lossy(&text[from..text.len().min(common + 40)]).into_owned()
    };
    if common < expected.len().min(there.len()) {
        bail!("differs at byte {common}: {:?} for {:?}", around(there), around(expected));
    }
    ensure!(!whole || common == expected.len(), "{common} of {} bytes", expected.len());
    ensure!(there.len() <= expected.len(), "goes on with {:?}", around(there));
    Ok(())
}

/// Whether all of `expected` is in `there`, in this order, and not much besides.
fn is_woven_into(expected: &[u8], there: &[u8]) -> bool {
    let mut there_too = there.iter();
    there.len() <= expected.len() + MORE && expected.iter().all(|byte| there_too.any(|t| t == byte))
}

/// Says how far the soak is, in one line that replaces itself.
pub fn tell(done: u64, of: u64, bytes: u64) {
    // Nobody may be there to see it.
    let _ = write!(std::io::stderr(), "\rsoak: {done} of {of} jobs, {bytes} bytes");
}
