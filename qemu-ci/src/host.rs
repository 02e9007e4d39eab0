//! One QEMU that runs Xen, with its serial console and the line to the agent in its dom0.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::FdFlags;
use rustix::process::Signal;

use crate::channel::PORT_NAME;
use crate::dom0_image::Dom0Image;
use crate::tied::tie;

/// What executes the hosts' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "emulation",
        })
    }
}

/// MiB that dom0 needs.
const LEAST_DOM0: u32 = 512;

/// MiB that Xen needs for itself on a host of `memory` MiB, at most.
fn xens_memory(memory: u32) -> u32 {
    256 + memory / 32
}

/// The machine that a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Memory in MiB.
    pub memory: u32,
    /// MiB that guests are to have of it together; without, what dom0 does not get.
    pub guests: Option<u32>,
    /// Processors.
    pub cpus: u32,
    /// What executes it.
    pub accelerator: Accelerator,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, cpus, accelerator, .. } = self;
        let processors = if *cpus == 1 { "processor" } else { "processors" };
        write!(f, "{accelerator}, {memory} MiB, {cpus} {processors}")
    }
}

impl Machine {
    /// Refuses guests for which there is no room.
    pub fn check(self) -> Result<()> {
        let Self { memory, guests, .. } = self;
        let others = memory.saturating_sub(guests.unwrap_or(0));
        ensure!(
            guests.is_none() || others >= LEAST_DOM0 + xens_memory(memory),
            "a host of {memory} MiB has no room for {} MiB of guests: dom0 and Xen need {} MiB \
             (--mem, --guests)",
            guests.unwrap_or(0),
            LEAST_DOM0 + xens_memory(memory)
        );
        Ok(())
    }

    /// dom0's part of the memory, in MiB: what guests are not to have, and Xen does not need for
    /// itself; else enough for its file system, the rest is for domUs.
    fn dom0_memory(self) -> u32 {
        match self.guests {
            Some(guests) => self.memory.saturating_sub(guests + xens_memory(self.memory)),
            None => (self.memory / 3).clamp(LEAST_DOM0, 1024),
        }
    }

    /// The frames of grants that Xen allows a domain, and the frames of what dom0 may have mapped
    /// of them.
    fn grant_frames(self) -> (u32, u32) {
        // Ranks may have up to 500 MiB: the 64 frames that Xen allows by itself do for 124.
        let (frames, mapped) = (256, 1024);
        match self.guests {
            // All of it may be granted to four domains, by 512 grants a frame; and mapped by dom0,
            // which takes two of a frame's 256 entries a page.
            Some(guests) => ((2 * guests).max(frames), (2 * guests).max(mapped)),
            None => (frames, mapped),
        }
    }

    /// The one processor that guests are to run on, if it may be one only. A guest that moves
    /// between two of QEMU's emulated processors is now and then resumed in a state that is not its
    /// own, and ends by a triple fault.
    fn guest_cpu(self) -> Option<u32> {
        (self.accelerator == Accelerator::Tcg && self.cpus > 1).then(|| self.cpus - 1)
    }
}

/// Where a host is among all of a run.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// A running host. Dropped, it is ended.
pub struct Host {
    position: Position,
    qemu: Child,
    serial: PathBuf,
    errors: PathBuf,
    /// Removed with the host; its logs stay.
    _inputs: Inputs,
}

impl Host {
    /// Starts QEMU. Its files go to `dir`; `network` are its cables to other hosts.
    ///
    /// It lives no longer than the calling thread (see [`crate::tied`]).
    pub fn start(
        position: Position,
        machine: Machine,
        image: &Dom0Image,
        initramfs: &Path,
        dir: &Path,
        agent: UnixStream,
        network: Vec<UnixStream>,
    ) -> Result<Self> {
        let number = position.number;
        let serial = dir.join(format!("host-{number}.log"));
        let errors = dir.join(format!("host-{number}.qemu.log"));
        let error_file =
            File::create(&errors).with_context(|| format!("cannot create {}", errors.display()))?;
        let agent = inheritable(agent.into())?;
        let network = network
            .into_iter()
            .map(|cable| inheritable(cable.into()))
            .collect::<Result<Vec<_>>>()?;

        // QEMU splits the list of multiboot modules at commas and spaces, which paths may hold:
        // short names beside it do not.
        let inputs = Inputs::link(dir, number, image, initramfs)?;
        let mut command = Command::new("qemu-system-x86_64");
        command
            .current_dir(dir)
            .args(machine_arguments(machine))
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-chardev", &format!("file,id=serial,path=host-{number}.log")])
            .args(["-serial", "chardev:serial"])
            .args(["-kernel", &inputs.xen.name, "-append", &xen_options(machine)])
            .args([
                "-initrd",
                &format!(
                    "{} {},{}",
                    inputs.kernel.name,
                    kernel_options(position, machine),
                    inputs.initramfs.name
                ),
            ])
            .args(["-device", "virtio-serial-pci"])
            .args(["-chardev", &format!("socket,id=agent,fd={}", agent.as_raw_fd())])
            .args(["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")])
            .args(network_arguments(position, &network))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(error_file)
            // Ctrl-C is for qemu-ci, which then ends its hosts.
            .process_group(0);
        tie(&mut command, Signal::KILL);
        let qemu = command.spawn().context("cannot run qemu-system-x86_64")?;
        Ok(Self { position, qemu, serial, errors, _inputs: inputs })
    }

    /// Why the host is beyond hope, if it is.
    pub fn trouble(&mut self) -> Option<String> {
        let number = self.position.number;
        match self.qemu.try_wait() {
            Ok(Some(status)) => {
                let said = fs::read_to_string(&self.errors).unwrap_or_default();
                let said = said.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
                return Some(format!("QEMU of host {number} ended ({status}){said}"));
            }
            Ok(None) => {}
            Err(error) => {
                return Some(format!("cannot ask for the state of host {number}: {error}"));
            }
        }
        let log = fs::read(&self.serial).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let panic =
            log.lines().find(|line| SIGNS_OF_DEATH.iter().any(|sign| line.contains(sign)))?;
        Some(format!("host {number} crashed: {}", panic.trim()))
    }

    /// The last lines of the serial console.
    pub fn serial_tail(&self) -> String {
        const LINES: usize = 30;
        let log = fs::read(&self.serial).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let log = console::strip_ansi_codes(&log);
        let lines: Vec<&str> = log.lines().map(|line| line.trim_end_matches('\r')).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// The log of the serial console.
    pub fn serial_log(&self) -> &Path {
        &self.serial
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

const SIGNS_OF_DEATH: &[&str] =
    &["Panic on CPU", "Kernel panic - not syncing", "Domain 0 crashed", "xenolith-agent ended"];

/// What QEMU loads, under short names in the run's directory.
struct Inputs {
    xen: TemporaryLink,
    kernel: TemporaryLink,
    initramfs: TemporaryLink,
}

impl Inputs {
    fn link(dir: &Path, number: usize, image: &Dom0Image, initramfs: &Path) -> Result<Self> {
        let link = |kind: &str, target: &Path| {
            TemporaryLink::create(dir, format!("host-{number}.{kind}"), target)
        };
        Ok(Self {
            xen: link("xen", &image.xen())?,
            kernel: link("kernel", &image.kernel())?,
            initramfs: link("initramfs", initramfs)?,
        })
    }
}

/// A symbolic link that goes when this goes.
struct TemporaryLink {
    path: PathBuf,
    name: String,
}

impl TemporaryLink {
    fn create(dir: &Path, name: String, target: &Path) -> Result<Self> {
        let path = dir.join(&name);
        std::os::unix::fs::symlink(target, &path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, name })
    }
}

impl Drop for TemporaryLink {
    fn drop(&mut self) {
        // A link left behind harms nobody.
        let _ = fs::remove_file(&self.path);
    }
}

fn machine_arguments(machine: Machine) -> Vec<String> {
    let (accelerator, processor) = match machine.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // With SMAP or SMEP a PV dom0 dies at its start. With rdtscp Linux uses it in a PVH domU,
        // where Xen on emulated SVM cannot tell the instruction's length. With xsave Xen does not
        // see a guest's XSETBV, and leaves it the wrong state.
        Accelerator::Tcg => ("tcg,thread=multi", "max,-smap,-smep,-rdtscp,-xsave"),
    };
    let (memory, cpus) = (machine.memory.to_string(), machine.cpus.to_string());
    ["-machine", "q35", "-accel", accelerator, "-cpu", processor, "-m", &memory, "-smp", &cpus]
        .map(str::to_owned)
        .to_vec()
}

fn xen_options(machine: Machine) -> String {
    let dom0 = machine.dom0_memory();
    // Switching the FPU lazily, as Xen does on AMD, goes wrong on QEMU's emulated SVM: guests and
    // dom0 get each other's vector registers.
    let fpu = "spec-ctrl=eager-fpu";
    let (frames, mapped) = machine.grant_frames();
    let grants = format!("gnttab_max_frames={frames} gnttab_max_maptrack_frames={mapped}");
    format!(
        "console=com1 com1=115200 dom0_mem={dom0}M,max:{dom0}M bootscrub=0 {fpu} {grants} \
         loglvl=warning guest_loglvl=all"
    )
}

fn kernel_options(position: Position, machine: Machine) -> String {
    let Position { number, of } = position;
    let mut options = format!(
        "console=hvc0 rdinit=/init quiet panic=1 xenolith.host={number} xenolith.hosts={of}"
    );
    if let Some(cpu) = machine.guest_cpu() {
        let _ = write!(options, " xenolith.guest_cpu={cpu}");
    }
    options
}

/// The network card, and the cables: host 1 is the middle of a star.
fn network_arguments(position: Position, cables: &[OwnedFd]) -> Vec<String> {
    if cables.is_empty() {
        return Vec::new();
    }
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    for (index, cable) in cables.iter().enumerate() {
        add("-netdev", format!("socket,id=cable{index},fd={}", cable.as_raw_fd()));
    }
    let mut card = "cable0";
    if cables.len() > 1 {
        card = "hub";
        add("-netdev", "hubport,id=hub,hubid=0".into());
        for index in 0..cables.len() {
            add("-netdev", format!("hubport,id=port{index},hubid=0,netdev=cable{index}"));
        }
    }
    let mac = format!("52:54:00:77:00:{:02x}", position.number);
    add("-device", format!("virtio-net-pci,netdev={card},mac={mac},romfile="));
    arguments
}

/// Lets the next child have this descriptor under its number. Only the main thread starts children,
/// so no other gets it.
fn inheritable(fd: OwnedFd) -> Result<OwnedFd> {
    rustix::io::fcntl_setfd(fd.as_fd(), FdFlags::empty())
        .context("cannot prepare a socket for QEMU")?;
    Ok(fd)
}

/// The version of the installed QEMU.
pub fn qemu_version() -> Result<String> {
    let output = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .context("cannot run qemu-system-x86_64")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_whitespace().nth(3) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("qemu-system-x86_64 tells no version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(memory: u32, guests: Option<u32>) -> Machine {
        Machine { memory, guests, cpus: 1, accelerator: Accelerator::Tcg }
    }

    #[test]
    fn dom0_gets_enough_and_not_too_much() {
        let dom0 = |memory| machine(memory, None).dom0_memory();
        assert_eq!([dom0(1024), dom0(2400), dom0(16384)], [512, 800, 1024]);
    }

    #[test]
    fn dom0_gets_what_guests_leave() {
        let dom0 = |guests| machine(8192, Some(guests)).dom0_memory();
        assert_eq!([dom0(2048), dom0(4096), dom0(7168)], [5632, 3584, 512]);
        let refused = |guests| machine(8192, guests).check().is_err();
        assert_eq!(
            [None, Some(7168), Some(7169), Some(9000)].map(refused),
            [false, false, true, true]
        );
    }

    #[test]
    fn no_host_allows_fewer_grants_than_is_usual() {
        let frames = |guests| machine(8192, guests).grant_frames();
        assert_eq!(frames(None), (256, 1024));
        assert_eq!(frames(Some(64)), (256, 1024));
        assert_eq!(frames(Some(2400)), (4800, 4800));
    }

    #[test]
    fn guests_stay_on_one_emulated_processor() {
        let on =
            |accelerator, cpus| Machine { cpus, accelerator, ..machine(3072, None) }.guest_cpu();
        assert_eq!(on(Accelerator::Tcg, 2), Some(1));
        assert_eq!(on(Accelerator::Tcg, 1), None);
        assert_eq!(on(Accelerator::Kvm, 2), None);
    }

    #[test]
    fn the_middle_of_the_star_has_a_hub() {
        let cables = |count: usize| -> Vec<OwnedFd> {
            (0..count).map(|_| UnixStream::pair().unwrap().0.into()).collect()
        };
        let position = |number| Position { number, of: 3 };
        assert!(network_arguments(position(1), &[]).is_empty());
        assert!(!network_arguments(position(2), &cables(1)).concat().contains("hub"));
        let middle = network_arguments(position(1), &cables(2)).concat();
        assert!(middle.contains("netdev=hub,mac=52:54:00:77:00:01"), "{middle}");
        assert!(middle.contains("netdev=cable1"), "{middle}");
    }
}
