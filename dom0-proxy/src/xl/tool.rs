//! Running `xl`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// No call of `xl` takes longer on a host that works.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `xl` with these arguments; what it prints.
pub fn run(arguments: &[&str]) -> Result<String> {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    run_with(&arguments, Stdio::null())
}

/// The same with an input.
pub fn run_with(arguments: &[&OsStr], input: Stdio) -> Result<String> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let command = format!("xl {}", words.join(" "));
    let started = Instant::now();
    let mut child = Command::new(program()?)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| command.clone())?;
    let output = child.stdout.take().map(collect);
    let errors = child.stderr.take().map(collect);
    let ended = wait(&mut child, PATIENCE).context(|| command.clone())?;
    tracing::debug!(command, seconds = started.elapsed().as_secs_f64(), "ended");
    let text = |collector: Option<Collector>| {
        let bytes = collector.and_then(|collector| collector.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    match ended {
        Some(status) if status.success() => Ok(text(output)),
        Some(status) => {
            let why = last_words(&text(errors)).unwrap_or_else(|| status.to_string());
            Err(Error::Tool { command, why })
        }
        None => Err(Error::Tool { command, why: format!("no answer in {} s", PATIENCE.as_secs()) }),
    }
}

type Collector = JoinHandle<Vec<u8>>;

/// Reads all that a tool writes, so that it never waits for a reader.
fn collect(stream: impl Read + Send + 'static) -> Collector {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.take(4 << 20).read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the child's end; kills it when it takes too long.
fn wait(child: &mut Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The most telling line of a tool's complaint: the first that is an error, without the library's
/// own prefix.
fn last_words(errors: &str) -> Option<String> {
    let lines = || errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.contains("error")).or_else(|| lines().next_back())?;
    let message = line.rsplit_once(": ").map_or(line, |(prefix, message)| {
        if prefix.starts_with("libxl") || prefix.starts_with("xc") { message } else { line }
    });
    Some(message.to_owned())
}

/// Where `xl` is.
pub fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|dir| dir.join("xl"))
            .find(|program| program.is_file())
    };
    let missing = || Error::NoXen { missing: "no xl on PATH".into() };
    PROGRAM.get_or_init(find).as_deref().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_picked_from_a_long_complaint() {
        let errors = "libxl: error: libxl_mem.c:1:f: Domain 5:Not enough memory\nlibxl: error: x\n";
        let words = last_words(errors).unwrap();
        assert!(words.contains("Not enough memory"), "{words}");
        assert_eq!(
            last_words("\n \nfailed to free memory for the domain\n").unwrap(),
            "failed to free memory for the domain"
        );
        assert_eq!(last_words(""), None);
    }
}
