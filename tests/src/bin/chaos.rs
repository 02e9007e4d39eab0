//! Jobs amid chaos: see `xenolith_tests::chaos`. In Xen see `tests/campaigns/chaos.sh`.
//!
//! ```text
//! cargo run --release -p xenolith-tests --bin chaos -- --jobs 300 --seed 7
//! ```

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use xenolith_tests::chaos::{Chaos, Platform};

/// Runs jobs beside hostile ones, kills what it can, and says which statuses were not true,
/// which innocent jobs failed, and what was left behind.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Jobs, beside the hostile ones
    #[arg(long, default_value_t = 300)]
    jobs: usize,
    /// How many of them at a time
    #[arg(long, default_value_t = 4)]
    at_a_time: usize,
    /// Draws the same jobs again [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How often the daemon is killed
    #[arg(long, default_value_t = 6)]
    daemon_kills: usize,
    /// Whose jobs they are, by the user's number; only root may say so [default: one's own]
    #[arg(long, conflicts_with = "xen")]
    user: Option<u32>,
    /// In Xen: with the programs in this folder
    #[arg(long, value_name = "DIR", requires = "images")]
    xen: Option<PathBuf>,
    /// The folder of the images
    #[arg(long, value_name = "DIR", requires = "xen")]
    images: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let own = std::env::current_exe().context("find this program")?;
    let platform = match (&arguments.xen, &arguments.images) {
        (Some(programs), Some(images)) => {
            Platform::Xen { programs: programs.clone(), images: images.clone() }
        }
        _ => Platform::Hosted {
            hostile_process: own.with_file_name("hostile_process"),
            user: arguments.user,
        },
    };
    let chaos = Chaos {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        jobs: arguments.jobs,
        at_a_time: arguments.at_a_time,
        daemon_kills: arguments.daemon_kills,
        platform,
    };
    println!("chaos: seed {}", chaos.seed);
    let outcome = chaos.run(|line| println!("chaos: {line}"))?;
    println!("{outcome}");
    Ok(outcome.faults.is_empty())
}
