//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use image_builder::mebibytes::{BadAmount, Mebibytes};

use crate::accelerator::Wish;

/// Real Xen hosts in QEMU: for the demo, for tests, and for anyone without Xen.
///
/// Everything that is missing on this machine is installed, built and cached as needed, so the
/// first call takes longer.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What qemu-ci can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a PGAS job on four unikernels, destroy one of them, and see it heal
    Demo(HostArgs),
    /// Run all tests, hosted and in Xen, or only those named
    Test(TestArgs),
    /// Boot hosts and run a script in host 1's dom0
    Exec(ExecArgs),
    /// Boot a host and give an interactive shell in its dom0
    Shell(ShellArgs),
    /// Build the programs, the images and the dom0 image, and do nothing with them
    Build,
}

/// The machines that hosts are.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// Memory of each host, in MiB or with M or G behind it
    #[arg(long, value_name = "SIZE", default_value = "3G", value_parser = parse_memory)]
    pub mem: u32,
    /// Memory that guests are to have together: dom0 gets the rest, not 1 GiB at most, and Xen lets
    /// that much be granted
    #[arg(long, value_name = "SIZE", value_parser = parse_guests)]
    pub guests: Option<u32>,
    /// Processors of each host; without it two, or one on a machine that has not as many to spare
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub cpus: Option<u32>,
    /// What executes the hosts; auto tries once whether KVM works
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: Wish,
    /// Seconds until a host must be up
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = parse_seconds)]
    pub boot_timeout: Duration,
}

/// What hosts hold besides dom0's own software.
#[derive(Debug, Clone, Args)]
pub struct ContentArgs {
    /// How many hosts; `on K COMMAND` in one reaches host K
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_hosts)]
    pub hosts: usize,
    /// A local file or directory to put into all hosts; may be repeated
    #[arg(long, value_name = "LOCAL:REMOTE", value_parser = parse_put)]
    pub put: Vec<Put>,
    /// Build and put in nothing of the project's own
    #[arg(long)]
    pub bare: bool,
}

/// `qemu-ci exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The hosts' machines
    #[command(flatten)]
    pub host: HostArgs,
    /// What is in them
    #[command(flatten)]
    pub content: ContentArgs,
    /// A file to get out of host 1 at the end, even if the script fails; may be repeated. The
    /// status is the script's even if there is no such file
    #[arg(long, value_name = "REMOTE:LOCAL", value_parser = parse_get)]
    pub get: Vec<Get>,
    /// Seconds until the script must have ended
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = parse_seconds)]
    pub timeout: Duration,
    /// The script
    pub script: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// `qemu-ci shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// The hosts' machines
    #[command(flatten)]
    pub host: HostArgs,
    /// What is in them
    #[command(flatten)]
    pub content: ContentArgs,
}

/// `qemu-ci test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The hosts' machines, where a test does not ask for others
    #[command(flatten)]
    pub host: HostArgs,
    /// Names of tests in tests/xen (with or without .sh), or `local` for all that needs no Xen
    pub names: Vec<String>,
}

/// A local file to be put into dom0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Here.
    pub local: PathBuf,
    /// There.
    pub remote: String,
}

/// A file of dom0 to be brought here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// There.
    pub remote: String,
    /// Here.
    pub local: PathBuf,
}

fn parse_put(text: &str) -> Result<Put, String> {
    let (local, remote) = split(text, "LOCAL:REMOTE")?;
    absolute(remote)?;
    Ok(Put { local: local.into(), remote: remote.into() })
}

fn parse_get(text: &str) -> Result<Get, String> {
    let (remote, local) = split(text, "REMOTE:LOCAL")?;
    absolute(remote)?;
    Ok(Get { remote: remote.into(), local: local.into() })
}

fn split<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once(':') {
        Some((first, second)) if !first.is_empty() && !second.is_empty() => Ok((first, second)),
        _ => Err(format!("write it as {form}")),
    }
}

fn absolute(remote: &str) -> Result<(), String> {
    if remote.starts_with('/') && !remote.ends_with('/') {
        Ok(())
    } else {
        Err(format!("the place in dom0 must be the full path of a file, and {remote} is not"))
    }
}

/// MiB of a host.
pub fn parse_memory(text: &str) -> Result<u32, String> {
    const LEAST: u32 = 1024;
    let amount: Mebibytes = text.parse().map_err(|error: BadAmount| error.to_string())?;
    match u32::try_from(amount.count()) {
        Ok(mib) if mib >= LEAST => Ok(mib),
        Ok(mib) => Err(format!("{mib} MiB is too little for Xen and dom0: {LEAST} is the least")),
        Err(_) => Err(format!("{text} is too much")),
    }
}

fn parse_guests(text: &str) -> Result<u32, String> {
    let amount: Mebibytes = text.parse().map_err(|error: BadAmount| error.to_string())?;
    match u32::try_from(amount.count()) {
        Ok(mib @ 1..=1_048_576) => Ok(mib),
        _ => Err(format!("{text} is nothing, or too much")),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number of seconds, at least 1".into()),
    }
}

/// A number of hosts.
pub fn parse_hosts(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=4) => Ok(count),
        _ => Err("write a number from 1 to 4".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn put_and_get_are_split_at_the_first_colon() {
        let put = parse_put("a/b:/c:d").unwrap();
        assert_eq!((put.local, put.remote), ("a/b".into(), "/c:d".into()));
        let get = parse_get("/c:d/e").unwrap();
        assert_eq!((get.remote, get.local), ("/c".into(), "d/e".into()));
        for wrong in ["", "a", ":/b", "a:", "a:b", "a:/b/"] {
            assert!(parse_put(wrong).is_err(), "{wrong}");
        }
        assert!(parse_get("relative:here").is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_memory("3G"), Ok(3072));
        assert_eq!(parse_memory("2048"), parse_memory("2048M"));
        for wrong in ["512", "G", "-1", "99999999G"] {
            assert!(parse_memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_script_has_its_own_options() {
        let cli =
            Cli::try_parse_from(["qemu-ci", "exec", "--mem", "2G", "x.sh", "-n", "4", "--mem"])
                .unwrap();
        let Verb::Exec(exec) = cli.verb else { panic!() };
        assert_eq!(exec.host.mem, 2048);
        assert_eq!(exec.arguments, ["-n", "4", "--mem"]);
    }
}
