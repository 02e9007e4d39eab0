//! Other implementations of ARMCI, measured by `tests/benches/peer/armci_bench.c`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use qemu_ci::install;

/// ARMCI-MPI as Debian packages it, on one MPI library.
#[derive(Debug)]
pub struct Peer {
    /// For tables.
    pub name: &'static str,
    compiler: &'static str,
    library: &'static str,
    packages: &'static [&'static str],
    launcher: &'static [&'static str],
}

/// All that are measured.
pub const PEERS: [Peer; 2] = [
    Peer {
        name: "openmpi",
        compiler: "mpicc.openmpi",
        library: "-larmci-openmpi",
        packages: &["libarmci-mpi-dev", "libopenmpi-dev", "openmpi-bin"],
        // Open MPI refuses to run for root unless told, and counts cores as slots.
        launcher: &["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
    },
    Peer {
        name: "mpich",
        compiler: "mpicc.mpich",
        library: "-larmci-mpich",
        packages: &["libarmci-mpi-dev", "libmpich-dev", "mpich"],
        launcher: &["mpirun.mpich", "-n"],
    },
];

/// A peer's program.
#[derive(Debug)]
pub struct Program {
    peer: &'static Peer,
    path: PathBuf,
}

impl Peer {
    /// Builds its program in `directory`.
    pub fn build(&'static self, directory: &Path) -> Result<Program> {
        install::ensure_packages(self.packages, "ARMCI-MPI, to compare with")
            .context("measure without it by --no-peers")?;
        let path = directory.join(format!("armci-{}", self.name));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer/armci_bench.c");
        let status = Command::new(self.compiler)
            .args([
                "-O2",
                "-std=c11",
                &format!("-DPEER_NAME=\"{}\"", self.name),
                source,
                self.library,
                "-o",
            ])
            .arg(&path)
            .status()
            .with_context(|| format!("run {}", self.compiler))?;
        ensure!(status.success(), "{} could not build {source}", self.compiler);
        Ok(Program { peer: self, path })
    }
}

impl Program {
    /// Measures once, with `processes` processes on this machine, and returns what was printed.
    pub fn run(&self, processes: usize, arguments: &[&str]) -> Result<String> {
        let launcher = self.peer.launcher;
        let output = Command::new(launcher[0])
            .args(&launcher[1..])
            .arg(processes.to_string())
            .arg(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("run {}", launcher[0]))?;
        ensure!(
            output.status.success(),
            "the peer on {} failed: {}",
            self.peer.name,
            output.status
        );
        String::from_utf8(output.stdout)
            .with_context(|| format!("the peer on {} printed no text", self.peer.name))
    }

    /// For tables.
    pub fn name(&self) -> &'static str {
        self.peer.name
    }
}
