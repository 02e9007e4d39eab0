//! Fetches Debian packages and unpacks them, without installing anything.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::recipe::{PACKAGES, SUITE};
use crate::tied::tie;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks the recipe's packages, and what they depend on, into `root`.
pub fn extract(root: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        // No maintainer script runs, so nothing needs root, a chroot or another architecture.
        .args(["--variant=extract", "--mode=chrootless", "--architectures=amd64", "--quiet"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(r#"--aptopt=APT::Install-Recommends "false""#)
        .args(host_options().iter().map(|line| format!("--aptopt={line}")))
        .arg(format!("--keyring={KEYRING}"))
        .arg(SUITE)
        .arg(root)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    tie(&mut command, Signal::TERM);
    let sources = sources()?;
    let mut child = command.spawn().context("cannot run mmdebstrap")?;
    if let Some(mut input) = child.stdin.take() {
        use std::io::Write;
        input
            .write_all(sources.as_bytes())
            .context("cannot tell mmdebstrap the package sources")?;
    }
    let output = child.wait_with_output().context("cannot wait for mmdebstrap")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = errors.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "mmdebstrap could not fetch dom0's packages ({}):\n{}",
            output.status,
            tail.join("\n")
        );
    }
    if !root.join("boot").is_dir() {
        let _ = fs::remove_dir_all(root);
        bail!("mmdebstrap fetched no kernel");
    }
    Ok(())
}

/// A sources.list: this machine's own sources of that release, whatever mirror they name.
fn sources() -> Result<String> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";
    let own = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages", "Architecture: amd64"])
        .stderr(Stdio::null())
        .output();
    let own =
        own.map(|output| own_sources(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default();
    if own.is_empty() {
        bail!(
            "this machine's apt has no sources of Debian {SUITE}, of which dom0 is made: \
             add them to /etc/apt/sources.list.d"
        );
    }
    Ok(own)
}

fn own_sources(targets: &str) -> String {
    let mut list = String::new();
    for target in targets.lines() {
        let fields: Vec<&str> = target.split_whitespace().collect();
        if let [uri, release, component, "Debian"] = fields[..] {
            let ours = release == SUITE
                || release.strip_prefix(SUITE).is_some_and(|rest| rest.starts_with('-'));
            if ours && !release.ends_with("-backports") {
                let _ = writeln!(list, "deb {uri} {release} {component}");
            }
        }
    }
    // Updates alone are of no use.
    if list.lines().any(|line| line.split(' ').nth(2) == Some(SUITE)) {
        list
    } else {
        String::new()
    }
}

/// How this machine reaches mirrors: proxies and the like. mmdebstrap itself takes none of that
/// over.
fn host_options() -> Vec<String> {
    let dump = Command::new("apt-config").arg("dump").stderr(Stdio::null()).output();
    dump.map(|output| reaching_options(&String::from_utf8_lossy(&output.stdout)))
        .unwrap_or_default()
}

fn reaching_options(dump: &str) -> Vec<String> {
    let wanted = [
        "Acquire::http",
        "Acquire::https",
        "Acquire::Retries",
        "Acquire::Check-",
        "Acquire::ForceIPv",
    ];
    dump.lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        .filter(|line| !line.ends_with("\"\";"))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_sources_of_the_right_release_are_used() {
        let targets = "http://a/debian/ bookworm main Debian\n\
                       http://a/debian/ bookworm-updates main Debian\n\
                       http://a/debian/ bookworm-backports main Debian\n\
                       http://b/node nodistro main Node\n";
        assert_eq!(
            own_sources(targets),
            "deb http://a/debian/ bookworm main\ndeb http://a/debian/ bookworm-updates main\n"
        );
    }

    #[test]
    fn sources_of_another_release_are_not() {
        let targets = "http://a/debian/ trixie main Debian\nhttp://a/ubuntu/ noble main Ubuntu\n";
        assert_eq!(own_sources(targets), "");
    }

    #[test]
    fn proxies_come_along_and_nothing_else() {
        let dump = "APT::Architecture \"amd64\";\n\
                    Acquire::http::Proxy \"http://p:1\";\nAcquire::https \"\";\n";
        assert_eq!(reaching_options(dump), ["Acquire::http::Proxy \"http://p:1\""]);
    }
}
