//! Real Xen hosts in QEMU.

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
pub mod overlay;
pub mod programs;
pub mod progress;
pub mod run_dir;
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
            eprintln!("qemu-ci: {error:#}");
            ExitCode::FAILURE
        }
    }
}
