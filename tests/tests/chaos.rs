//! A short run of what `cargo run --release -p xenolith-tests --bin chaos` does for longer, and
//! what it has found.

use anyhow::{Result, ensure};
use xenolith_tests::Host;
use xenolith_tests::chaos::{Chaos, Platform};
use xenolith_tests::small_disk::SmallDisk;

/// Whom Linux calls nobody.
const NOBODY: u32 = 65534;

#[test]
fn no_innocent_job_is_harmed_and_nothing_is_left_behind() -> Result<()> {
    run(1, 20, None)
}

#[test]
fn an_ordinary_users_jobs_are_as_safe() -> Result<()> {
    // Whoever is not root tries it by the test above.
    if rustix::process::geteuid().is_root() { run(2, 12, Some(NOBODY)) } else { Ok(()) }
}

fn run(seed: u64, jobs: usize, user: Option<u32>) -> Result<()> {
    let hostile_process = env!("CARGO_BIN_EXE_hostile_process").into();
    let platform = Platform::Hosted { hostile_process, user };
    let chaos = Chaos { seed, jobs, at_a_time: 4, daemon_kills: 1, platform };
    let outcome = chaos.run(|_| ())?;
    ensure!(outcome.faults.is_empty(), "seed {}:\n{outcome}", chaos.seed);
    Ok(())
}

#[test]
fn a_full_disk_for_logs_refuses_no_job() -> Result<()> {
    let host = Host::new()?;
    let log = host.run_dir().join("log");
    // Only root may mount; the rule itself is the same for all.
    let Some(disk) = SmallDisk::mount(log.clone(), 64, None)? else { return Ok(()) };
    let jobs_with_logs = || Ok::<_, std::io::Error>(std::fs::read_dir(&log)?.count());
    ensure!(host.run(1, "hello", &[])?.status == 0 && jobs_with_logs()? == 1);
    disk.fill()?;
    // The older logs make room for newer ones; then there is none.
    for _ in 0..2 {
        let result = host.run(2, "hello", &[])?;
        ensure!(result.status == 0 && result.stdout.contains("hello from 1 of 2"), "{result:#?}");
        disk.fill()?;
    }
    let result = host.run(2, "hello", &[])?;
    ensure!(result.status == 0 && result.stdout.contains("hello from 1 of 2"), "{result:#?}");
    ensure!(result.stderr.contains("are not in its log"), "{result:#?}");
    disk.empty()?;
    ensure!(host.run(1, "hello", &[])?.stderr.is_empty());
    Ok(())
}
