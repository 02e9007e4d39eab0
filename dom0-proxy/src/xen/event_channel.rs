//! Event channels, through `/dev/xen/evtchn` (Linux' `include/uapi/xen/evtchn.h`).

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const DEVICE: &str = "/dev/xen/evtchn";

/// Binds a port of ours to one that another domain offers; answers our port.
#[doc(alias = "IOCTL_EVTCHN_BIND_INTERDOMAIN")]
#[derive(Debug)]
#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

/// Sends an event.
#[doc(alias = "IOCTL_EVTCHN_NOTIFY")]
#[derive(Debug)]
#[repr(C)]
struct Notify {
    port: u32,
}

const _: () = {
    assert!(size_of::<BindInterdomain>() == 8);
    assert!(size_of::<Notify>() == 4);
};

// SAFETY: the number and the structure are evtchn.h's; the kernel reads the structure and writes nothing.
unsafe impl Ioctl for BindInterdomain {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, b'E', 1, size_of::<Self>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        u32::try_from(output).map_err(|_| rustix::io::Errno::INVAL)
    }
}

// SAFETY: the number and the structure are evtchn.h's; the kernel reads the structure and writes nothing.
unsafe impl Ioctl for Notify {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, b'E', 4, size_of::<Self>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// A channel to another domain, closed when dropped.
#[derive(Debug)]
pub struct EventChannel {
    device: File,
    port: u32,
}

impl EventChannel {
    /// Binds to the port that `domain` offers.
    pub fn bind(domain: u32, remote_port: u32) -> io::Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let device = File::options().read(true).write(true).custom_flags(nonblocking).open(DEVICE)?;
        // SAFETY: the device is evtchn's, whose request this is.
        let port = unsafe { ioctl(&device, BindInterdomain { remote_domain: domain, remote_port }) }?;
        Ok(Self { device, port })
    }

    /// Sends an event.
    pub fn notify(&self) -> io::Result<()> {
        // SAFETY: the device is evtchn's, whose request this is.
        Ok(unsafe { ioctl(&self.device, Notify { port: self.port }) }?)
    }

    /// Readable when an event has come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Takes the events that have come, and lets new ones come.
    pub fn acknowledge(&self) -> io::Result<()> {
        let mut port = [0; 4];
        loop {
            match (&self.device).read(&mut port) {
                Ok(4) => (&self.device).write_all(&port)?,
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
