//! Whatever ranks write arrives: byte for byte, however slowly it is read; and where something is
//! lost after all, that is said.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A run directory with its daemon, which ends with the test.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Result<Self> {
        Ok(Self { dir: TempDir::with_prefix("xenolith-")? })
    }

    fn directory(&self) -> &Path {
        self.dir.path()
    }

    fn pgas<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgas"));
        command.args(arguments).env("XENOLITH_RUN_DIR", self.directory()).stdin(Stdio::null());
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let holder = std::fs::read_to_string(self.directory().join("lock")).unwrap_or_default();
        let daemon = holder.strip_prefix("process ").and_then(|pid| pid.trim().parse().ok());
        if let Some(daemon) = daemon.and_then(Pid::from_raw) {
            let _ = kill_process(daemon, Signal::TERM);
        }
    }
}

/// `pgas run` with these options, of ranks that run a shell's script.
fn shell(host: &Host, options: &[&str], script: &str) -> Result<Command> {
    let mut command = host.pgas(["run", "--hosted", "--timeout", "120"]);
    command.args(options).args(["/bin/sh", "--", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// What such a job has written to standard output, if it has ended well and without a word.
fn output(host: &Host, options: &[&str], script: &str) -> Result<Vec<u8>> {
    let output = shell(host, options, script)?.output().context("run pgas")?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(output.stdout)
}

/// The only job of which there are logs.
fn job_of_logs(host: &Host) -> Result<String> {
    let logs = std::fs::read_dir(host.directory().join("log"))?;
    let mut names = logs.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.next().context("no logs")?
}

fn logs(host: &Host, options: &[&str]) -> Result<Vec<u8>> {
    let job = job_of_logs(host)?;
    let output = host.pgas(["logs", &job]).args(options).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(output.stdout)
}

/// Reads until `is_there` says that what was read is enough.
fn read_until(child: &mut Child, is_there: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
    let stdout = child.stdout.as_mut().context("no output")?;
    let mut bytes = Vec::new();
    while !is_there(&bytes) {
        let mut buffer = [0; 4096];
        let count = stdout.read(&mut buffer)?;
        ensure!(count > 0, "only {:?} came", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    Ok(bytes)
}

/// The last line on standard error, and those before.
fn said(mut child: Child) -> Result<(Option<i32>, String)> {
    let mut errors = String::new();
    child.stderr.take().context("no error output")?.read_to_string(&mut errors)?;
    Ok((child.wait()?.code(), errors))
}

const LINES: &str = "seq -f 'number %06.0f ............................................' 1600";

#[test]
fn a_slow_reader_gets_all_and_so_do_the_logs() -> Result<()> {
    let host = Host::new()?;
    let mut pgas = shell(&host, &["-n", "1"], LINES)?.spawn()?;
    let mut bytes = Vec::new();
    let stdout = pgas.stdout.as_mut().context("no output")?;
    loop {
        let mut buffer = [0; 1024];
        let count = stdout.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
        // Some 100 KiB: the rank has ended long before all is read.
        thread::sleep(Duration::from_millis(100));
    }
    let (status, errors) = said(pgas)?;
    ensure!((status, errors.as_str()) == (Some(0), ""), "{status:?}: {errors}");
    let expected: String = (1..=1600)
        .map(|number| {
            format!("[0] number {number:06} ............................................\n")
        })
        .collect();
    ensure!(bytes == expected.as_bytes(), "{} bytes of {}", bytes.len(), expected.len());
    ensure!(logs(&host, &[])? == expected.as_bytes(), "the logs differ");
    Ok(())
}

#[test]
fn much_output_of_many_ranks_is_neither_lost_nor_mixed() -> Result<()> {
    let host = Host::new()?;
    let bytes = output(
        &host,
        &["-n", "5"],
        "seq $((XENOLITH_RANK * 50000)) $((XENOLITH_RANK * 50000 + 49999))",
    )?;
    let text = String::from_utf8(bytes)?;
    for rank in 0..5 {
        let tag = format!("[{rank}] ");
        let numbers: Vec<usize> =
            text.lines().filter_map(|line| line.strip_prefix(&tag)?.parse().ok()).collect();
        ensure!(numbers == (rank * 50000..(rank + 1) * 50000).collect::<Vec<_>>(), "rank {rank}");
    }
    ensure!(text.lines().count() == 250_000, "{} lines", text.lines().count());
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_the_job_and_the_loss_is_counted() -> Result<()> {
    let host = Host::new()?;
    let mut pgas = shell(&host, &["-n", "1"], "while echo line; do :; done")?.spawn()?;
    read_until(&mut pgas, |bytes| bytes.len() > 4096)?;
    drop(pgas.stdout.take());
    let (status, errors) = said(pgas)?;
    ensure!(status != Some(0), "{status:?}: {errors}");
    let log = || std::fs::read_to_string(host.directory().join("daemon.log")).unwrap_or_default();
    let start = Instant::now();
    while !log().contains("were not shown") {
        ensure!(start.elapsed() < Duration::from_secs(20), "no word about the loss: {}", log());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_reader_that_is_stuck_keeps_nobody_from_ending_the_job() -> Result<()> {
    for interrupt in [true, false] {
        let host = Host::new()?;
        let mut pgas =
            shell(&host, &["-n", "2"], "while echo a line like any other; do :; done")?.spawn()?;
        read_until(&mut pgas, |bytes| bytes.len() > 4096)?;
        // By now pipes and windows are full.
        thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        if interrupt {
            kill_process(Pid::from_child(&pgas), Signal::INT)?;
        } else {
            ensure!(host.pgas(["kill", &job_of_logs(&host)?]).status()?.success());
        }
        let stdout = pgas.stdout.take();
        let (status, errors) = said(pgas)?;
        drop(stdout);
        ensure!(start.elapsed() < Duration::from_secs(10), "after {:?}", start.elapsed());
        ensure!(status == Some(if interrupt { 130 } else { 137 }), "{status:?}: {errors}");
        ensure!(errors.contains("bytes of the ranks' output were not shown"), "{errors}");
    }
    Ok(())
}

#[test]
fn bytes_arrive_as_they_were_written() -> Result<()> {
    let host = Host::new()?;
    let long = "for i in $(seq 10000); do printf '\\342\\202\\254'; done; echo; \
                printf 'caf\\351\\r\\n\\tend'";
    let mut expected = "€".repeat(10_000).into_bytes();
    expected.extend_from_slice(b"\ncaf\xe9\r\n\tend");
    ensure!(output(&host, &["-n", "1", "--no-tag"], long)? == expected);
    ensure!(logs(&host, &["--rank", "0"])? == expected, "the log differs");
    let tagged = output(&host, &["-n", "1"], long)?;
    let mut with_tags = ["[0] ", &"€".repeat(10_000), "\n[0] caf"].concat().into_bytes();
    with_tags.extend_from_slice(b"\xe9\r\n[0] \tend\n");
    ensure!(tagged == with_tags, "{}", String::from_utf8_lossy(&tagged));
    Ok(())
}

#[test]
fn beginnings_of_lines_appear_after_a_moment() -> Result<()> {
    let host = Host::new()?;
    let script = "printf '10%%\\r20%%\\rname? '; sleep 5; echo Emmy";
    let mut pgas = shell(&host, &["-n", "1"], script)?.spawn()?;
    let start = Instant::now();
    let bytes = read_until(&mut pgas, |bytes| bytes.ends_with(b"? "))?;
    ensure!(bytes == b"[0] 10%\r20%\rname? ", "{bytes:?}");
    ensure!(start.elapsed() < Duration::from_secs(4), "it came with the end of the line");
    let rest = read_until(&mut pgas, |bytes| bytes.ends_with(b"\n"))?;
    ensure!(rest == b"Emmy\n", "{rest:?}");
    ensure!(said(pgas)? == (Some(0), String::new()));
    Ok(())
}

#[test]
fn a_line_that_another_one_breaks_goes_on_with_a_mark() -> Result<()> {
    let host = Host::new()?;
    let script = "if [ $XENOLITH_RANK = 0 ]; then printf begin; sleep 2; echo ning; \
                  else sleep 1; echo between; fi";
    let shown = output(&host, &["-n", "2"], script)?;
    ensure!(shown == b"[0] begin\n[1] between\n[0]+ ning\n", "{}", String::from_utf8_lossy(&shown));
    Ok(())
}

#[test]
fn text_decides_nothing() -> Result<()> {
    let host = Host::new()?;
    let lines =
        "xenolith: exit 0\nxenolith: fatal: this is only a test\nxenolith: up\nall is well\n";
    let shown = output(&host, &["-n", "1", "--no-tag"], &format!("printf '{lines}'"))?;
    ensure!(shown == lines.as_bytes(), "{}", String::from_utf8_lossy(&shown));
    Ok(())
}

#[test]
fn times_files_and_json_have_the_same_bytes() -> Result<()> {
    let host = Host::new()?;
    let script = "printf 'one\\ntw\\351'; printf 'three\\n' >&2";
    let timed =
        String::from_utf8(output(&host, &["-n", "1", "--timestamp", "--no-tag"], "echo one")?)?;
    let (time, rest) = timed.split_once(' ').context("no time")?;
    ensure!(rest == "one\n" && time.len() == 24 && time.ends_with('Z'), "{timed}");

    let directory = host.directory().join("files");
    let options = ["-n", "3", "--output", directory.to_str().context("a name")?];
    let shown = output(&host, &options, "printf \"$XENOLITH_RANK\\351\"")?;
    ensure!(shown.is_empty(), "{shown:?}");
    for rank in 0..3 {
        let bytes = std::fs::read(directory.join(format!("rank-{rank}.log")))?;
        ensure!(bytes == [format!("{rank}").as_bytes(), b"\xe9"].concat(), "{bytes:?}");
    }

    let json = shell(&host, &["-n", "1", "--json"], script)?.output()?;
    let objects = String::from_utf8(json.stdout)?;
    for expected in [
        r#"{"line":{"rank":0,"stream":"output","text":"one"}}"#,
        r#"{"line":{"bytes":[116,119,233],"partial":true,"rank":0,"stream":"output","#,
        r#""stream":"output","text":"tw�"}}"#,
        r#"{"line":{"rank":0,"stream":"error","text":"three"}}"#,
        r#""output":{"bytes":13,"lost":0,"unsent":0,"unlogged":0}"#,
    ] {
        ensure!(objects.contains(expected), "no {expected} in {objects}");
    }
    Ok(())
}

#[test]
fn files_that_cannot_be_written_end_the_job_in_one_line() -> Result<()> {
    let host = Host::new()?;
    let result = shell(&host, &["-n", "1", "--output", "/proc/nowhere"], "echo")?.output()?;
    let errors = String::from_utf8(result.stderr)?;
    ensure!(!result.status.success() && errors.contains("--output /proc/nowhere"), "{errors}");
    ensure!(errors.lines().count() == 1, "{errors}");
    Ok(())
}

/// What a shell's command shows on a terminal.
fn on_terminal(host: &Host, command: &str) -> Result<String> {
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", command, "/dev/null"]).stdin(Stdio::null());
    script.env("XENOLITH_RUN_DIR", host.directory()).env("PGAS", env!("CARGO_BIN_EXE_pgas"));
    Ok(String::from_utf8(script.output().context("script, of util-linux")?.stdout)?)
}

#[test]
fn on_a_terminal_ranks_bytes_are_theirs_and_what_pgas_says_is_harmless() -> Result<()> {
    let host = Host::new()?;
    let colours = "printf '\\033[31mred\\033[0m\\n'; printf '\\033[32mgreen\\n' >&2";
    let shown =
        on_terminal(&host, &format!("\"$PGAS\" run --hosted -n 1 /bin/sh -- -c \"{colours}\""))?;
    ensure!(shown.contains("[0] \x1b[31mred\x1b[0m"), "{shown:?}");
    ensure!(shown.contains("[0] \x1b[32mgreen"), "{shown:?}");
    // A name that would speak for pgas.
    let shown =
        on_terminal(&host, "\"$PGAS\" run --hosted -n 1 $(printf 'x\\033]0;OWNED\\007\\r')")?;
    ensure!(shown.contains("image x\\u{1b}]0;OWNED\\u{7}\\r not found"), "{shown:?}");
    Ok(())
}
