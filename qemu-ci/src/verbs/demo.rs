//! `qemu-ci demo`: the main job, on four unikernels.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Ground, command, pass_on};
use crate::cli::HostArgs;
use crate::cluster::{Ending, Patience};
use crate::overlay::{IMAGES, Packing};
use crate::programs::Programs;
use crate::progress::{Step, note};

const IMAGE: &str = "cg.img";
const RANKS: u32 = 4;
const TIME: Duration = Duration::from_secs(600);

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

    let ranks = RANKS.to_string();
    let mut job = command(["pgas", "run", "-n", &ranks, "--table", IMAGE, "--", "--class", "S"]);
    job.cwd = Some(IMAGES.into());
    note(format_args!("running in dom0: {}", job.argv.join(" ")));
    let running = Step::start(format!("NAS Parallel Benchmark CG, class S, on {RANKS} unikernels"));
    // A spinner would get into the way of the job's own output.
    running.hide();
    let outcome = cluster.run(1, job, Patience::Whole(TIME), pass_on)?;
    match outcome {
        Ending::Exited(exit) => {
            running.done();
            drop(cluster);
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
