//! Installs what this machine lacks, by Debian package name, telling what and why.
//!
//! Only what qemu-ci itself calls: Xen, the dom0 kernel and all else that runs inside a host are
//! taken from packages without installing them here (see [`crate::dom0_image`]).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::progress::Step;
use crate::tied::tie;

/// Something that must be there, and the package that brings it.
struct Need {
    /// A program on PATH, or an absolute path.
    what: &'static str,
    package: &'static str,
    why: &'static str,
}

/// For hosts.
const HOSTS: &[Need] = &[
    Need { what: "qemu-system-x86_64", package: "qemu-system-x86", why: "runs the Xen hosts" },
    Need { what: "mmdebstrap", package: "mmdebstrap", why: "fetches dom0's packages" },
    Need {
        what: "/usr/share/keyrings/debian-archive-keyring.gpg",
        package: "debian-archive-keyring",
        why: "checks the signatures on dom0's packages",
    },
    Need { what: "depmod", package: "kmod", why: "indexes dom0's kernel modules" },
    Need { what: "xz", package: "xz-utils", why: "unpacks dom0's kernel" },
];

/// For compiling what runs in them.
const PROGRAMS: &[Need] = &[
    Need { what: "gcc", package: "gcc", why: "compiles C programs" },
    Need {
        what: "/usr/lib/x86_64-linux-musl/libc.a",
        package: "musl-dev",
        why: "is the C library of C programs",
    },
];

/// Package lists older than this are fetched anew before anything is installed.
const LISTS_STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Makes sure that hosts can be made and booted.
pub fn ensure_for_hosts() -> Result<()> {
    ensure(HOSTS)
}

/// Makes sure that programs and images can be built.
pub fn ensure_for_programs() -> Result<()> {
    ensure(PROGRAMS)
}

fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| find(need.what).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let reasons: Vec<String> =
        missing.iter().map(|need| format!("{} ({})", need.package, need.why)).collect();
    install(&packages, &reasons.join(", "))?;
    for need in missing {
        if find(need.what).is_none() {
            bail!("{} is still missing after installing {}", need.what, need.package);
        }
    }
    Ok(())
}

/// Makes sure that these packages are installed, for what the user is told.
pub fn ensure_packages(packages: &[&str], purpose: &str) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| !is_installed(package)).collect();
    match missing[..] {
        [] => Ok(()),
        _ => install(&missing, &format!("{} ({purpose})", missing.join(", "))),
    }
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// Installs packages; `what` says which and why.
fn install(packages: &[&str], what: &str) -> Result<()> {
    if find("apt-get").is_none() {
        bail!("this needs what Debian calls {what}, and there is no apt-get here: install it");
    }
    let step = Step::start(format!("Installing {what}"));
    let become_root = root_prefix(packages)?;
    if lists_are_stale() {
        apt_get(&become_root, &["update"])?;
    }
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt_get(&become_root, &install).is_err() {
        // The lists may name versions that the mirror no longer has.
        apt_get(&become_root, &["update"])?;
        apt_get(&become_root, &install)?;
    }
    step.done();
    Ok(())
}

/// Where a program is. The system directories count even where a user's PATH lacks them.
pub fn find(what: &str) -> Option<PathBuf> {
    if what.starts_with('/') {
        return Some(PathBuf::from(what)).filter(|path| path.exists());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(what))
        .find(|candidate| candidate.is_file())
}

/// What to put before a command so that root runs it: nothing or sudo.
fn root_prefix(packages: &[&str]) -> Result<Vec<&'static str>> {
    if rustix::process::geteuid().is_root() {
        Ok(Vec::new())
    } else if find("sudo").is_some() {
        Ok(vec!["sudo"])
    } else {
        bail!(
            "not root and no sudo here: run `apt-get install {}` as root, then try again",
            packages.join(" ")
        )
    }
}

fn apt_get(become_root: &[&str], arguments: &[&str]) -> Result<()> {
    let options = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
    ];
    let words = [become_root, &options, arguments].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    tie(&mut command, Signal::TERM);
    let output = command.output().with_context(|| format!("cannot run {}", words[0]))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last =
            errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        bail!("`apt-get {}` failed: {last}", arguments.join(" "));
    }
    Ok(())
}

fn lists_are_stale() -> bool {
    let lists = Path::new("/var/lib/apt/lists");
    let has_lists = fs::read_dir(lists).is_ok_and(|entries| {
        entries.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages"))
    });
    let fetched = fs::metadata(lists.join("partial")).and_then(|partial| partial.modified());
    let age = fetched.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    !has_lists || age.is_none_or(|age| age > LISTS_STALE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_paths_are_found() {
        assert!(find("sh").is_some());
        assert!(find("/bin/sh").is_some());
        assert!(find("no-such-program").is_none());
        assert!(find("/no/such/file").is_none());
    }

    #[test]
    fn a_package_that_is_not_there_is_not_taken_for_an_installed_one() {
        assert!(!is_installed("no-such-package"));
        // Every Debian has this one; elsewhere there is no dpkg.
        assert_eq!(is_installed("dpkg"), find("dpkg-query").is_some());
    }
}
