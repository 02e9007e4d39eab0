//! Event channels, through `/dev/xen/evtchn` (Linux' `include/uapi/xen/evtchn.h`).

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

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

/// Gives a port up.
#[doc(alias = "IOCTL_EVTCHN_UNBIND")]
#[derive(Debug)]
#[repr(C)]
struct Unbind {
    port: u32,
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
    assert!(size_of::<Unbind>() == 4);
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

/// Requests about one port, which answer nothing.
macro_rules! port_request {
    ($name:ident, $number:literal) => {
        // SAFETY: the number and the structure are evtchn.h's; the kernel reads the structure and writes nothing.
        unsafe impl Ioctl for $name {
            type Output = ();
            const IS_MUTATING: bool = false;

            fn opcode(&self) -> Opcode {
                opcode::from_components(Direction::None, b'E', $number, size_of::<Self>())
            }

            fn as_ptr(&mut self) -> *mut c_void {
                (&raw mut *self).cast()
            }

            unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
                Ok(())
            }
        }
    };
}

port_request!(Unbind, 3);
port_request!(Notify, 4);

/// The device, opened once for as many channels as wanted: their events come through it together.
#[derive(Debug)]
pub struct EventDevice {
    file: File,
}

impl EventDevice {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).write(true).custom_flags(nonblocking).open(DEVICE)?;
        Ok(Self { file })
    }

    /// Readable when an event has come. Each event after an [`acknowledge`](Self::acknowledge) is an edge of its own.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes the events that have come, and lets new ones come.
    pub fn acknowledge(&self) -> io::Result<()> {
        let mut ports = [0; 4 * 64];
        loop {
            match (&self.file).read(&mut ports) {
                Ok(count) => {
                    (&self.file).write_all(&ports[..count])?;
                    // When there were more, or new ones have come, the device says so by an edge only if it was
                    // empty before.
                    if count < ports.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A channel to another domain, closed when dropped.
#[derive(Debug)]
pub struct EventChannel {
    device: Arc<EventDevice>,
    port: u32,
}

impl EventChannel {
    /// Binds to the port that `domain` offers.
    pub fn bind(device: Arc<EventDevice>, domain: u32, remote_port: u32) -> io::Result<Self> {
        // SAFETY: the device is evtchn's, whose request this is.
        let port = unsafe { ioctl(&device.file, BindInterdomain { remote_domain: domain, remote_port }) }?;
        Ok(Self { device, port })
    }

    /// Sends an event.
    pub fn notify(&self) -> io::Result<()> {
        // SAFETY: the device is evtchn's, whose request this is.
        Ok(unsafe { ioctl(&self.device.file, Notify { port: self.port }) }?)
    }

    /// Where its events come in.
    pub fn device(&self) -> &EventDevice {
        &self.device
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // SAFETY: the device is evtchn's, whose request this is.
        if let Err(error) = unsafe { ioctl(&self.device.file, Unbind { port: self.port }) } {
            tracing::warn!(%error, "an event channel could not be closed");
        }
    }
}
