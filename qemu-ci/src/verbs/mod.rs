//! What the user can ask for, one module each.

pub mod build;
pub mod demo;
pub mod exec;
pub mod shell;
pub mod test;

use std::fs;
use std::io;

use anyhow::{Context, Result};
use image_builder::output;

use crate::accelerator;
use crate::channel::{Dom0Command, Stream};
use crate::cli::{ContentArgs, HostArgs};
use crate::cluster::{Cluster, Setup};
use crate::dom0_image::Dom0Image;
use crate::host::Machine;
use crate::install;
use crate::log_dir::LogDir;
use crate::overlay::{IMAGES, Overlay, Packing};
use crate::processors;
use crate::programs::Programs;
use crate::workspace::Workspace;

/// What every verb that boots hosts needs first.
struct Ground {
    workspace: Workspace,
    image: Dom0Image,
}

impl Ground {
    fn prepare() -> Result<Self> {
        let workspace = Workspace::find()?;
        install::ensure_for_hosts()?;
        let image = Dom0Image::ensure(&workspace)?;
        Ok(Self { workspace, image })
    }

    fn setup(&self, hosts: usize, args: &HostArgs) -> Result<Setup> {
        let machine = Machine {
            memory: args.mem,
            guests: args.guests,
            cpus: args.cpus.unwrap_or_else(|| processors::of_each(hosts)),
            accelerator: accelerator::choose(&self.workspace, &self.image, args.accel)?,
        };
        machine.check()?;
        Ok(Setup { hosts, machine, boot_timeout: args.boot_timeout })
    }

    /// Begins to pack what hosts get, with what the user has asked for.
    fn pack(&self, content: &ContentArgs) -> Result<Packing<'_>> {
        for put in &content.put {
            // Found missing now rather than after minutes of building.
            fs::metadata(&put.local)
                .with_context(|| format!("cannot read {}", put.local.display()))?;
        }
        let mut packing = Packing::start(&self.workspace, &self.image)?;
        if !content.bare {
            Programs::build(&self.workspace)?.pack(&mut packing)?;
        }
        content.put.iter().try_for_each(|put| packing.put(&put.local, &put.remote))?;
        Ok(packing)
    }

    fn boot(&self, setup: &Setup, overlay: &Overlay) -> Result<(Cluster, LogDir)> {
        let logs = LogDir::create(&self.workspace)?;
        let cluster = Cluster::boot(setup, &self.image, overlay, &logs)?;
        Ok((cluster, logs))
    }
}

/// A command with the surroundings that scripts count on.
fn command<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Dom0Command {
    let mut command = Dom0Command::new(argv);
    command.env.push(("XENOLITH_IMAGES".into(), IMAGES.into()));
    command
}

/// Passes what a command in dom0 writes on to our own outputs.
fn pass_on(stream: Stream, data: &[u8]) -> Result<()> {
    match stream {
        Stream::Out => output::bytes(io::stdout(), data),
        Stream::Err => output::bytes(io::stderr(), data),
    }
    Ok(())
}
