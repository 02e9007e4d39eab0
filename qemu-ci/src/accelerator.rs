//! Finds out whether KVM can run Xen with a PVH domU here, by trying.
//!
//! That `/dev/kvm` exists says little: Xen needs virtualisation inside the virtual machine. So a
//! host is booted with KVM and a small Linux domU in it, once; the answer is kept, by kernel
//! release and QEMU version.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use image_builder::publish::{PLAIN, publish};

use crate::channel::Dom0Command;
use crate::cluster::{Cluster, Setup};
use crate::dom0_image::Dom0Image;
use crate::host::{Accelerator, Machine, qemu_version};
use crate::log_dir::LogDir;
use crate::overlay::Packing;
use crate::progress::note;
use crate::workspace::Workspace;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wish {
    /// KVM where it works, else emulation
    Auto,
    /// KVM, or fail
    Kvm,
    /// Emulation
    Tcg,
}

/// The time that a boot with KVM may take; without a working one, it hangs.
const BOOT: Duration = Duration::from_secs(60);
const DOMU: Duration = Duration::from_secs(40);

/// Boots a Linux domU and waits for its sign of life.
const PROBE: &str = r#"
cat >/tmp/probe.cfg <<END
name = "probe"
type = "pvh"
kernel = "/usr/share/xenolith/linux/vmlinuz"
ramdisk = "/usr/share/xenolith/linux/initramfs"
extra = "console=hvc0 rdinit=/init"
memory = 256
vcpus = 1
END
xl create /tmp/probe.cfg
until grep -q "linux up" /var/log/xen/console/guest-probe.log; do sleep 0.2; done
"#;

/// What hosts are to run on.
pub fn choose(workspace: &Workspace, image: &Dom0Image, wish: Wish) -> Result<Accelerator> {
    match wish {
        Wish::Tcg => Ok(Accelerator::Tcg),
        Wish::Kvm => match why_not_kvm(workspace, image)? {
            None => Ok(Accelerator::Kvm),
            Some(why) => bail!("KVM does not run Xen here ({why}): use --accel tcg"),
        },
        Wish::Auto => match why_not_kvm(workspace, image)? {
            None => Ok(Accelerator::Kvm),
            Some(_) => Ok(Accelerator::Tcg),
        },
    }
}

/// Why KVM is of no use, or nothing if it is.
fn why_not_kvm(workspace: &Workspace, image: &Dom0Image) -> Result<Option<String>> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        return Ok(Some(format!("/dev/kvm cannot be opened: {error}")));
    }
    let kernel = rustix::system::uname();
    let name = format!("kvm-{}-{}", kernel.release().to_string_lossy(), qemu_version()?);
    let known = workspace.cache()?.join(name.replace('/', "_"));
    if let Ok(answer) = fs::read_to_string(&known) {
        return Ok(Some(answer.trim().to_owned()).filter(|why| !why.is_empty()));
    }
    note("trying once whether KVM runs Xen with a PVH domU here");
    let answer = probe(workspace, image)?;
    match &answer {
        None => note("it does"),
        Some(why) => {
            note(format_args!("it does not ({why}): hosts will be emulated, which is slower"))
        }
    }
    publish(&known, answer.as_deref().unwrap_or("").as_bytes(), PLAIN)
        .with_context(|| format!("cannot write {}", known.display()))?;
    Ok(answer)
}

fn probe(workspace: &Workspace, image: &Dom0Image) -> Result<Option<String>> {
    let setup = Setup {
        hosts: 1,
        machine: Machine { memory: 2048, guests: None, cpus: 2, accelerator: Accelerator::Kvm },
        boot_timeout: BOOT,
    };
    let logs = LogDir::create(workspace)?;
    let first_line =
        |error: anyhow::Error| error.to_string().lines().next().unwrap_or("no reason").to_owned();
    let overlay = Packing::start(workspace, image)?.finish()?;
    let mut cluster = match Cluster::boot(&setup, image, &overlay, &logs) {
        Ok(cluster) => cluster,
        Err(error) => return Ok(Some(first_line(error))),
    };
    let command = Dom0Command::new(["bash", "-e", "-c", PROBE]);
    Ok(cluster.ask(1, command, DOMU).err().map(first_line))
}
