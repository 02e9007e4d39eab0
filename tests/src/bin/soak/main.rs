//! Many jobs whose ranks write much, for readers of all kinds, with signals and bad ends: every
//! byte arrives, or its loss is said.
//!
//! `cargo run --release -p xenolith-tests --bin soak -- --jobs 200`; in Xen see
//! `tests/campaigns/soak.sh`. What happens follows from the seed, but for the order in which
//! processes run.

#![forbid(unsafe_code)]

mod plan;
mod run;
mod shown;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tempfile::TempDir;
use xenolith_tests::{Host, application, processes_of, wait_until};

use plan::{Plan, Scale};
use run::Platform;

/// Runs many jobs, and checks that what their ranks write arrives.
#[derive(Debug, Parser)]
#[command(name = "soak", args_override_self = true)]
struct Cli {
    /// How many jobs
    #[arg(long, default_value_t = 200)]
    jobs: u64,
    /// What they do follows from this [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Begin with this job
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many at a time, each on a daemon of its own
    #[arg(long, default_value_t = 3)]
    at_once: u64,
    /// In Xen, one at a time: with the programs in this folder
    #[arg(long, value_name = "DIR", requires = "image")]
    xen: Option<PathBuf>,
    /// The image of `chatter`
    #[arg(long, requires = "xen")]
    image: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let seed = match cli.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
    };
    println!("soak: {} jobs from {}, --seed {seed}", cli.jobs, cli.first);
    let (platform, scale, lanes) = match &cli.image {
        None => {
            let chatter = application("chatter")?;
            (
                Platform { options: &["--hosted"], chatter, panicked: 101, on_stop: None },
                Scale { ranks: 6, bytes: 4 << 20 },
                cli.at_once,
            )
        }
        Some(image) => {
            let platform = Platform {
                options: &["--mem", "16M"],
                chatter: image.clone(),
                panicked: 134,
                on_stop: Some("SIGTSTP"),
            };
            (platform, Scale { ranks: 4, bytes: 256 << 10 }, 1)
        }
    };
    let (next, done, bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let lane = || -> Result<()> {
        let host = match &cli.xen {
            None => Host::new()?,
            Some(programs) => Host::of(programs)?,
        };
        let scratch = TempDir::with_prefix("xenolith-soak-").context("make a folder")?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cli.jobs {
                break;
            }
            let number = cli.first + number;
            let plan = Plan::new(seed, number, scale);
            match run::run(&host, &platform, &plan, scratch.path()) {
                Ok(written) => bytes.fetch_add(written, Ordering::Relaxed),
                Err(error) => {
                    eprintln!("\njob {number}: {error:#}\n  {plan:?}");
                    failures.lock().map(|mut list| list.push(number)).ok();
                    0
                }
            };
            let done = 1 + done.fetch_add(1, Ordering::Relaxed);
            run::tell(done, cli.jobs, bytes.load(Ordering::Relaxed));
        }
        // A daemon whose client has left cleans up by itself.
        wait_until("the removal of all records", || {
            host.job_records().is_ok_and(|records| records.is_empty())
        })
    };
    thread::scope(|scope| -> Result<()> {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().ok().context("a lane panicked")?)
    })?;
    eprintln!();
    if cli.xen.is_none() {
        let ranks = || processes_of("chatter");
        wait_until("the end of all ranks", || ranks().is_ok_and(|left| left == 0))?;
    }
    let failures = failures.into_inner().context("a lane panicked")?;
    if !failures.is_empty() {
        bail!("{} jobs went wrong: {failures:?}", failures.len());
    }
    println!("soak: {} jobs, {} bytes, nothing lost", cli.jobs, bytes.into_inner());
    Ok(())
}
