//! What operations cost, beside what they cost elsewhere. See `docs/benchmarks.md`.
//!
//! - `cargo bench -p xenolith-tests --bench compare`: hosted ranks beside ARMCI-MPI, two processes
//!   on this machine;
//! - `cargo bench -p xenolith-tests --bench compare -- --tcp`: hosted ranks of two daemons, which
//!   talk over TCP, on this machine;
//! - `cargo bench -p xenolith-tests --bench compare -- --xen`: Xen guests beside memcpy and beside
//!   a Linux guest, in one boot;
//! - `cargo bench -p xenolith-tests --bench compare -- --recovery`: jobs saved and restored, beside
//!   Xen's tools and Linux guests, in one boot;
//! - `cargo bench -p xenolith-tests --bench compare -- --costs`: what it costs to be a domain, and
//!   not a Linux process in one, and to be saved again and again, in one boot;
//! - `cargo bench -p xenolith-tests --bench compare -- --path`: what goes through the proxy of one
//!   emulated host, quiet and beside other work, in a boot each.
//!
//! Tables go to standard output, and as CSV to `bench/` in the target directory.

#![forbid(unsafe_code)]

mod costs;
mod dom0;
mod guests;
mod hosted;
mod measurements;
mod path;
mod peer;
mod recovery;
mod results;
mod table;
mod tcp;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Measures Xenolith beside its peers.
#[derive(Debug, Parser)]
#[command(name = "compare")]
struct Cli {
    /// Measure in Xen guests, in one boot of a host in QEMU
    #[arg(long)]
    xen: bool,
    /// Measure saving and restoring of jobs, in one boot of a host in QEMU; for each job its number
    /// of ranks and the MiB of random data that each rank has, RANKSxMIB, or RANKSxcg for NPB CG
    #[arg(long, value_name = "JOB", num_args = 0.., value_delimiter = ',', conflicts_with = "xen")]
    #[arg(default_missing_values = ["4x8", "4x32", "4x128", "16x8", "4xcg"])]
    recovery: Option<Vec<String>>,
    /// Measure what it costs to be a domain and to be saved, in one boot of a host in QEMU
    #[arg(long, conflicts_with_all = ["xen", "recovery"])]
    costs: bool,
    /// Measure ranks of two daemons that talk over TCP, on this machine
    #[arg(long, conflicts_with_all = ["xen", "recovery", "costs", "path", "beside"])]
    tcp: bool,
    /// Measure what goes through the proxy of a host in QEMU, quiet and beside two busy loops
    #[arg(long, conflicts_with_all = ["xen", "recovery", "costs"])]
    path: bool,
    /// How often to measure everything; each row is that of its calmest round [default: 5; in Xen
    /// 2, of costs 3, of the path through the proxy 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Leave out ARMCI-MPI, and install nothing
    #[arg(long)]
    no_peers: bool,
    /// Measure another build of this project too: its `target/release`, as after `cargo build
    /// --release --workspace --bins --examples`; with --costs its `target`, as after `qemu-ci
    /// build`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["xen", "recovery"])]
    beside: Option<PathBuf>,
    /// What cargo says when it runs benchmarks rather than tests them
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if !cli.bench {
        println!("nothing measured: run it with `cargo bench`");
        return Ok(());
    }
    match (&cli.recovery, cli.xen) {
        _ if cli.tcp => tcp::compare(cli.rounds.unwrap_or(5)),
        _ if cli.path => path::compare(cli.rounds.unwrap_or(10)),
        _ if cli.costs => costs::compare(cli.rounds.unwrap_or(3), cli.beside.as_deref()),
        (Some(jobs), _) => recovery::compare(jobs),
        (None, true) => guests::compare(cli.rounds.unwrap_or(2)),
        (None, false) => {
            hosted::compare(cli.rounds.unwrap_or(5), !cli.no_peers, cli.beside.as_deref())
        }
    }
}
