//! Packages that peers need.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Installs what of `packages` is missing, saying so.
pub fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "{purpose} needs what Debian calls {list}, and there is no apt-get here: \
         install it by hand, or measure without (--no-peers)"
    );
    eprintln!("installing {list}: {purpose}");
    let run = |arguments: &[&str]| -> Result<bool> {
        let mut command = if rustix::process::geteuid().is_root() {
            Command::new("apt-get")
        } else {
            let mut command = Command::new("sudo");
            command.arg("apt-get");
            command
        };
        command
            .args(["-qq", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("run apt-get")?
            .success())
    };
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    // Old package lists name versions that are gone: try again with new ones.
    let done = run(&arguments)? || (run(&["update"])? && run(&arguments)?);
    ensure!(done, "apt-get could not install {list}: see above, or measure without (--no-peers)");
    Ok(())
}

fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}
