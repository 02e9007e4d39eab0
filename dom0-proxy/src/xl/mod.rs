//! Xen's own command, `xl`: what is asked of it, and how its answers are read.

mod config;
mod listing;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use config::{DomainConfig, more_grant_frames};
pub use listing::{Domain, Shutdown};

use crate::error::{Context, Error, Result};

/// What the names of all our domains begin with.
const NAME_PREFIX: &str = "pgas-";
/// No call of `xl` takes longer on a host that works.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name of a rank's domain.
pub fn domain_name(job: &str, rank: u32) -> String {
    format!("{NAME_PREFIX}{job}-{rank}")
}

/// Job and rank of a domain that has one of our names.
pub fn parse_domain_name(name: &str) -> Option<(&str, u32)> {
    let (job, rank) = name.strip_prefix(NAME_PREFIX)?.rsplit_once('-')?;
    let plain = rank.bytes().all(|byte| byte.is_ascii_digit()) && !job.is_empty();
    Some((job, rank.parse().ok().filter(|_| plain)?))
}

/// All domains of the host.
pub fn list() -> Result<Vec<Domain>> {
    Ok(listing::parse(&run(&["list", "-v"])?))
}

/// The domains of one job, by rank.
pub fn domains_of(job: &str) -> Result<Vec<(u32, Domain)>> {
    let of_job = |domain: Domain| match parse_domain_name(&domain.name) {
        Some((name, rank)) if name == job => Some((rank, domain)),
        _ => None,
    };
    Ok(list()?.into_iter().filter_map(of_job).collect())
}

/// Free memory of the host, in MiB.
pub fn free_memory_mib() -> Result<u64> {
    let info = run(&["info"])?;
    listing::free_memory(&info).ok_or_else(|| Error::Tool {
        command: "xl info".into(),
        why: "it does not say free_memory".into(),
    })
}

/// Grant frames that Xen lets a domain have: its option `gnttab_max_frames`, or what it takes
/// without.
pub fn most_grant_frames() -> Result<u64> {
    Ok(listing::most_grant_frames(&run(&["info"])?).unwrap_or(config::DEFAULT_GRANT_FRAMES))
}

/// Memory that a domain of `memory` MiB takes from the host: Xen's paging pool and structures come
/// on top.
pub fn host_memory_mib(memory: u64) -> u64 {
    memory + 2 + memory / 128
}

/// Creates a domain and lets it run.
///
/// `token` becomes the tool's standard input: who holds a lock on that file holds it for the tool
/// too, until it has ended, so that others can wait for a creation that this process did not live
/// to see.
pub fn create(config: &Path, token: File) -> Result<()> {
    let arguments = [OsStr::new("create"), OsStr::new("-q"), OsStr::new("-e"), config.as_os_str()];
    run_with(&arguments, Stdio::from(token)).map(drop)
}

/// Destroys a domain, whatever its state. It is no error when it is gone already.
pub fn destroy(domain: u32) -> Result<()> {
    match run(&["destroy", &domain.to_string()]) {
        Err(error) if !list()?.iter().any(|other| other.id == domain && !other.dying) => {
            tracing::debug!(%error, domain, "the domain was gone already");
            Ok(())
        }
        result => result.map(drop),
    }
}

fn run(arguments: &[&str]) -> Result<String> {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    run_with(&arguments, Stdio::null())
}

fn run_with(arguments: &[&OsStr], input: Stdio) -> Result<String> {
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

type Collector = std::thread::JoinHandle<Vec<u8>>;

/// Reads all that a tool writes, so that it never waits for a reader.
fn collect(stream: impl Read + Send + 'static) -> Collector {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.take(4 << 20).read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the child's end; kills it when it takes too long.
fn wait(
    child: &mut Child,
    patience: Duration,
) -> std::io::Result<Option<std::process::ExitStatus>> {
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
fn program() -> Result<&'static Path> {
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

/// Whether `xl` is there.
pub fn check_installed() -> Result<()> {
    program().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_not_ours() {
        assert_eq!(domain_name("ab12cd", 3), "pgas-ab12cd-3");
        assert_eq!(parse_domain_name("pgas-ab12cd-3"), Some(("ab12cd", 3)));
        for name in
            ["Domain-0", "pgas-", "pgas--1", "pgas-ab", "pgas-ab-", "pgas-ab-x", "pgas-ab-+1"]
        {
            assert_eq!(parse_domain_name(name), None, "{name}");
        }
    }

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
