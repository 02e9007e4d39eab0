//! `qemu-ci demo`: a job on four unikernels that loses one of them, and heals.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image_builder::publish::{PLAIN, publish};

use super::{Ground, command, pass_on};
use crate::channel::Dom0Command;
use crate::cli::HostArgs;
use crate::cluster::{Ending, Patience};
use crate::overlay::{IMAGES, Packing};
use crate::programs::Programs;
use crate::progress::{Step, note};
use crate::workspace::Workspace;

const IMAGE: &str = "cg.img";
/// What is run, by bash.
const SCRIPT: &str = include_str!("demo.sh");
/// The picture of what has happened: in dom0, and under `target`.
const TIMELINE: &str = "/tmp/timeline.svg";
const TIMELINE_HERE: &str = "target/demo/timeline.svg";
const TIME: Duration = Duration::from_secs(1800);

/// Gives the job's status.
pub fn run(args: &HostArgs) -> Result<i32> {
    let started = Instant::now();
    let ground = Ground::prepare()?;
    let programs = Programs::build(&ground.workspace)?;
    ensure!(programs.has_image(IMAGE), "there is no example cg, so nothing to show");
    let mut packing = Packing::start(&ground.workspace, &ground.image)?;
    programs.pack(&mut packing)?;
    let overlay = packing.finish()?;
    let setup = ground.setup(1, args)?;
    let (mut cluster, _run) = ground.boot(&setup, &overlay)?;

    let mut job = command(["bash", "-c", SCRIPT, "demo", TIMELINE]);
    job.cwd = Some(IMAGES.into());
    note(format_args!("in dom0: a job of four ranks is saved every second, and loses a domain"));
    let running = Step::start("NAS Parallel Benchmark CG, class W, on 4 unikernels");
    // A spinner would get into the way of the job's own output.
    running.hide();
    let outcome = cluster.run(1, job, Patience::Whole(TIME), pass_on)?;
    match outcome {
        Ending::Exited(exit) => {
            running.done();
            let picture = cluster.ask(1, Dom0Command::new(["cat", TIMELINE]), TIME);
            drop(cluster);
            match picture.and_then(|picture| keep_picture(&ground.workspace, &picture)) {
                Ok(()) => note(format_args!("{TIMELINE_HERE} shows what has happened")),
                Err(error) => note(format_args!("there is no picture of it: {error:#}")),
            }
            let total = started.elapsed().as_secs_f64();
            match exit.status() {
                0 => note(format_args!(
                    "done in {total:.1} s; `qemu-ci shell` gives you this dom0 to play with"
                )),
                status => {
                    note(format_args!("the job failed with status {status} after {total:.1} s"))
                }
            }
            Ok(exit.status())
        }
        Ending::TimedOut => {
            bail!("the job took longer than {} s\n{}", TIME.as_secs(), cluster.serial_tail(1))
        }
        Ending::NotStarted(why) => bail!("pgas cannot be run in dom0: {why}"),
        Ending::HostLost(why) => bail!("{why}\n{}", cluster.serial_tail(1)),
    }
}

fn keep_picture(workspace: &Workspace, picture: &[u8]) -> Result<()> {
    let here = workspace.root().join(TIMELINE_HERE);
    let folder = here.parent().unwrap_or(workspace.root());
    fs::create_dir_all(folder)
        .and_then(|()| publish(&here, picture, PLAIN))
        .with_context(|| format!("cannot write {}", here.display()))
}
