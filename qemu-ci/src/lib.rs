//! Real Xen hosts in QEMU: for the demo, for tests, and for anyone without Xen.
//!
//! `qemu-ci` needs a Linux machine with Rust; the rest it gets itself. One call goes through these
//! steps, of which all but the last two cost next to nothing the second time:
//!
//! 1. [`install`]: programs that this machine lacks, QEMU above all, are installed as Debian
//!    packages.
//! 2. [`dom0_image`]: Xen, a kernel and a root file system for dom0 are made from Debian packages
//!    and kept.
//! 3. [`programs`]: cargo builds what is to run in dom0, and the image builder the unikernels.
//! 4. [`accelerator`]: KVM if it can run Xen here, which is tried once, else emulation.
//! 5. [`cluster`]: hosts ([`host`]) are booted with all that in their root file system
//!    ([`overlay`], [`cpio`]), and with as many processors as this machine can spare
//!    ([`processors`]).
//! 6. [`verbs`]: what the user wanted is done in dom0.
//!
//! ```text
//!   qemu-ci ---------------------- verbs --- cluster --- switchboard
//!      |  (dies: so do they)                                |  one socket per host
//!   +--v------------------------------------------------+   |
//!   | QEMU  = host 1                                    |   |
//!   |   Xen                                             |   |
//!   |   +-- dom0 --------------------+  +- domU ------+ |   |
//!   |   | init.sh                    |  | a rank      | |   |
//!   |   |   agent <-- virtio-serial -|--|-------------|-----+
//!   |   |     script, pgas, xl ...   |  |             | |
//!   |   +----------------------------+  +-------------+ |
//!   |   serial console --> target/qemu-ci/logs/.../host-1.log
//!   +---------------------------------------------------+
//! ```
//!
//! The [`agent`] in dom0 is this same program under another name. It starts processes for qemu-ci
//! and tells what they write and how they end ([`channel`]), so nothing is ever read off a console
//! full of kernel messages. `on K COMMAND`, in a script in one host, goes the same way to the agent
//! of host K ([`switchboard`]) and needs no network. The hosts have one all the same: each has the
//! address 10.77.0.K on its bridge `xenbr0`.
//!
//! QEMUs never outlive qemu-ci, whatever ends it ([`tied`], [`signals`]). Everything that it keeps
//! is below `target/qemu-ci`.

pub mod accelerator;
pub mod agent;
pub mod channel;
pub mod cli;
pub mod cluster;
pub mod cpio;
pub mod dom0_image;
pub mod elf;
pub mod host;
pub mod install;
pub mod log_dir;
pub mod overlay;
pub mod processors;
pub mod programs;
pub mod progress;
pub mod signals;
pub mod switchboard;
pub mod terminal;
pub mod tied;
pub mod verbs;
pub mod workspace;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};

/// The whole program, under any of its names.
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some(agent::NAME) => return agent::main(),
        Some(agent::ON) => return agent::on(),
        _ => {}
    }
    let cli = Cli::parse();
    let result = signals::end_on_signals().and_then(|()| match &cli.verb {
        Verb::Exec(args) => verbs::exec::run(args),
        Verb::Build => verbs::build::run(),
        Verb::Demo(args) => verbs::demo::run(args),
        Verb::Test(args) => verbs::test::run(args),
        Verb::Shell(args) => verbs::shell::run(args),
    });
    match result {
        Ok(status) => ExitCode::from(status.clamp(0, 255) as u8),
        Err(error) => {
            progress::note(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
