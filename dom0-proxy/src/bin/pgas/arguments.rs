//! What `pgas` is called with.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dom0_proxy::control::SavedLine;
use dom0_proxy::images::Line;

use crate::hosts::PlacementOrder;

const STATUSES: &str = "\
Exit status of `pgas run` and `pgas restore`: that of the first rank that ended with another status
than 0, or
  120  the job was saved by `pgas checkpoint --then stop`
  121  the daemon, or that of one of several hosts, died while the job ran
  122  a rank broke the protocol, or left with status 0 while others wait for it
  123  the host could not create the ranks (no Xen, no memory, xl failed)
  124  --timeout
  125  pgas was called wrongly, or could not start its daemon
  126  the image cannot be run: corrupt, or not for Xen
  127  no such image
  130  interrupted
  134  a rank crashed
  137  killed by `pgas kill`
  141  nobody reads what pgas writes (SIGPIPE)
  128+N  a hosted rank was killed by signal N";

/// Runs PGAS jobs, whose ranks are Xen unikernels or, with --hosted, Linux processes.
#[derive(Debug, Parser)]
#[command(version, after_help = STATUSES)]
pub struct PgasArguments {
    #[command(subcommand)]
    pub command: PgasCommand,
}

/// What pgas is to do.
#[derive(Debug, Subcommand)]
pub enum PgasCommand {
    /// Run a job, show what its ranks write, and end with its status
    #[command(after_help = STATUSES)]
    Run(RunArguments),
    /// List the jobs that run
    Ps {
        /// One line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the ranks of a job have written
    Logs {
        /// The job
        job: String,
        /// Only this rank
        #[arg(long)]
        rank: Option<u32>,
        /// A JSON object a line
        #[arg(long)]
        json: bool,
        /// Of a job that was restored also what the runs before have written, the oldest first;
        /// `[RANK undone]` is what was written behind the line, and again by a later run
        #[arg(long)]
        all_runs: bool,
    },
    /// Save a job: stop it at a recovery line, copy its memory, let it go on, write an image
    Checkpoint {
        /// The job
        job: String,
        /// The directory of images [default: the one that the job was last saved to or restored
        /// from, else ./JOB.images]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// What the job does then
        #[arg(long, default_value = "continue")]
        then: Then,
        /// One line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Go on with a job that was saved, show what its ranks write, and end with its status
    #[command(after_help = STATUSES)]
    Restore(RestoreArguments),
    /// Stop a job at a recovery line and keep it there, so that its domains can be paused and saved
    Hold {
        /// The job
        job: String,
    },
    /// Let a job go on that is held
    Release {
        /// The job
        job: String,
    },
    /// End a job
    Kill {
        /// The job
        job: String,
    },
    /// List the images of jobs that are saved in a directory
    Images {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// One line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of the images in a directory, and name what is damaged and who is hit by it; the
    /// status then is 126
    Verify {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// What a job is made of.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Number of ranks
    #[arg(short = 'n', value_name = "N")]
    pub size: u32,

    /// Memory of a rank, such as 16M or 1G [default: 16M, hosted 256M]
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<String>,

    /// Run ranks as Linux processes; IMAGE is an ordinary program
    #[arg(long)]
    pub hosted: bool,

    /// A file that every rank can read, under its name without directories
    #[arg(long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,

    /// A variable for the environment of ranks, with this value or the one it has here. Hosted
    /// ranks have all of pgas's environment besides; in Xen C programs find it
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<String>,

    /// Which ranks get standard input: rank 0, none, or all a copy [default: 0; over several hosts
    /// none]
    #[arg(long, value_name = "RANKS")]
    pub stdin: Option<Stdin>,

    /// The directory of images in which it is saved
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    #[command(flatten)]
    pub hosts: HostArguments,

    #[command(flatten)]
    pub saving: SavingArguments,

    #[command(flatten)]
    pub show: ShowArguments,

    /// The image: a path, or a name in a directory of $XENOLITH_IMAGES
    pub image: String,

    /// Arguments for the application
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// On which hosts a job runs.
#[derive(Debug, Args)]
pub struct HostArguments {
    /// Run ranks on these hosts, as HOST[:PORT],HOST[:PORT]. One that is named again gets more
    /// ranks. `slurm`: the nodes of the Slurm allocation, as many ranks as they have tasks
    #[arg(long, value_name = "LIST")]
    pub hosts: Option<String>,

    /// Run ranks on the hosts in this file, one a line: HOST[:PORT] [slots=N]
    #[arg(long, value_name = "FILE", conflicts_with = "hosts")]
    pub hostfile: Option<PathBuf>,

    /// In which order hosts get ranks [default: block]
    #[arg(long)]
    pub placement: Option<PlacementOrder>,

    /// The secret that the hosts' proxies have too [default: $XENOLITH_SECRET, else
    /// /etc/xenolith/secret]
    #[arg(long, value_name = "FILE")]
    pub secret: Option<PathBuf>,
}

/// What a saved job is restored with.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The directory of images
    pub dir: PathBuf,

    /// The line, as `pgas images` lists them [default: the newest that is good]
    #[arg(long, value_name = "LINE", value_parser = line)]
    pub epoch: Option<SavedLine>,

    /// Number of ranks: as many as were saved
    #[arg(short = 'n', value_name = "N")]
    pub size: Option<u32>,

    /// Memory of a rank: as much as was saved
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<String>,

    #[command(flatten)]
    pub saving: SavingArguments,

    #[command(flatten)]
    pub show: ShowArguments,
}

/// When a job is saved, and what for.
#[derive(Debug, Args)]
pub struct SavingArguments {
    /// Save the job again and again, this long after one another, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub every: Option<Duration>,

    /// How many of these images are kept
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,

    /// After an accident (a rank crashes, a domain or the daemon is gone) go back to the newest
    /// image, at most this many times without a new one in between
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub restart: u32,

    /// On SIGTERM save the job and end with status 120; if that takes longer than this, just end it
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub grace: Option<Duration>,
}

/// A line in words, such as `0-7`.
fn line(text: &str) -> Result<SavedLine, &'static str> {
    let Line { incarnation, number } = text.parse()?;
    Ok(SavedLine { incarnation, number })
}

/// How a job is shown.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Show for each rank memory, boot time, operations and bytes at the end
    #[arg(long)]
    pub table: bool,

    /// Show each line that the job is saved at, and at the end a table of what they have cost
    #[arg(long)]
    pub lines: bool,

    /// Draw at the end what has become of the job: starts, lines, accidents, where it went back to
    #[arg(long, value_name = "FILE.svg")]
    pub timeline: Option<PathBuf>,

    /// Write a JSON object a line: what ranks write, each line that the job is saved at, and at the
    /// end how it ended
    #[arg(long)]
    pub json: bool,

    /// Show what ranks write without `[RANK]` before each line
    #[arg(long, overrides_with = "tag")]
    pub no_tag: bool,

    /// Show `[RANK]` before each line, which is what happens without this too
    #[arg(long, overrides_with = "no_tag")]
    pub tag: bool,

    /// Show before each line the time, in UTC, at which it came
    #[arg(long)]
    pub timestamp: bool,

    /// Write what ranks write to DIR/rank-N.log, byte for byte, instead of showing it
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
}

/// What a job does when it has been saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Then {
    /// It goes on
    Continue,
    /// It ends
    Stop,
}

/// Which ranks get standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stdin {
    /// Rank 0
    #[value(name = "0")]
    Rank0,
    /// No rank
    None,
    /// Every rank a copy
    All,
}
