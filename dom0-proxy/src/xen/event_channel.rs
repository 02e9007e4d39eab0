//! Event channels, through `/dev/xen/evtchn` (Linux' `include/uapi/xen/evtchn.h`).

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const DEVICE: &str = "/dev/xen/evtchn";
/// Times that the device is read before something else has its turn.
const MOST_READS: usize = 16;

/// Binds a port of ours to one that another domain offers; answers our port.
#[doc(alias = "IOCTL_EVTCHN_BIND_INTERDOMAIN")]
#[derive(Debug)]
#[repr(C)]
struct EvtchnBind {
    remote_domain: u32,
    remote_port: u32,
}

/// Gives a port up.
#[doc(alias = "IOCTL_EVTCHN_UNBIND")]
#[derive(Debug)]
#[repr(C)]
struct EvtchnUnbind {
    port: u32,
}

/// Sends an event.
#[doc(alias = "IOCTL_EVTCHN_NOTIFY")]
#[derive(Debug)]
#[repr(C)]
struct EvtchnNotify {
    port: u32,
}

const _: () = {
    assert!(size_of::<EvtchnBind>() == 8);
    assert!(size_of::<EvtchnUnbind>() == 4);
    assert!(size_of::<EvtchnNotify>() == 4);
};

// SAFETY: the number and the structure are evtchn.h's; the kernel reads the structure and writes
// nothing.
unsafe impl Ioctl for EvtchnBind {
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
        // SAFETY: the number and the structure are evtchn.h's; the kernel reads the structure and
        // writes nothing.
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

port_request!(EvtchnUnbind, 3);
port_request!(EvtchnNotify, 4);

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

    /// Readable when an event has come. Each event after an [`acknowledge`](Self::acknowledge) is
    /// an edge of its own.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes events that have come, and lets new ones come. False if there may be more, which make
    /// no edge: then this is to be called again, though not at once, since a guest may send events
    /// without end.
    pub fn acknowledge(&self) -> io::Result<bool> {
        drain(&self.file)
    }
}

/// Reads the numbers of the ports that have had an event and writes them back, which lets the ports
/// call again, until there are none, or for [`MOST_READS`] times. Whether there are none. Fewer
/// than there was room for are no sign of that: a port that comes while the kernel copies the
/// others out adds to what it takes for unread, so it makes no edge.
fn drain(mut device: impl Read + Write) -> io::Result<bool> {
    let mut ports = [0; 4 * 64];
    for _ in 0..MOST_READS {
        match device.read(&mut ports) {
            Ok(count) => device.write_all(&ports[..count])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
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
        let port =
            unsafe { ioctl(&device.file, EvtchnBind { remote_domain: domain, remote_port }) }?;
        Ok(Self { device, port })
    }

    /// Sends an event.
    pub fn notify(&self) -> io::Result<()> {
        // SAFETY: the device is evtchn's, whose request this is.
        Ok(unsafe { ioctl(&self.device.file, EvtchnNotify { port: self.port }) }?)
    }

    /// Where its events come in.
    pub fn device(&self) -> &EventDevice {
        &self.device
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // SAFETY: the device is evtchn's, whose request this is.
        if let Err(error) = unsafe { ioctl(&self.device.file, EvtchnUnbind { port: self.port }) } {
            tracing::warn!(%error, "an event channel could not be closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports that come one after the other, each while the one before it is being read.
    struct Trickle {
        coming: Vec<u8>,
        returned: Vec<u8>,
    }

    impl Read for &mut Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(port) = self.coming.pop() else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            buffer[..4].copy_from_slice(&u32::from(port).to_ne_bytes());
            Ok(4)
        }
    }

    impl Write for &mut Trickle {
        fn write(&mut self, ports: &[u8]) -> io::Result<usize> {
            self.returned.extend(ports);
            Ok(ports.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ports_that_come_while_others_are_read_are_let_call_again_too() {
        let mut device = Trickle { coming: vec![3, 2, 1], returned: Vec::new() };
        assert!(drain(&mut device).unwrap(), "all has been read");
        assert_eq!(device.returned, [1u32, 2, 3].map(u32::to_ne_bytes).concat());
    }

    /// A port that has had another event whenever it is looked at.
    struct Flood {
        reads: usize,
    }

    impl Read for &mut Flood {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            buffer[..4].copy_from_slice(&1u32.to_ne_bytes());
            Ok(4)
        }
    }

    impl Write for &mut Flood {
        fn write(&mut self, ports: &[u8]) -> io::Result<usize> {
            Ok(ports.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_without_end_keep_nobody() {
        let mut device = Flood { reads: 0 };
        assert!(!drain(&mut device).unwrap(), "there is more");
        assert_eq!(device.reads, MOST_READS);
    }
}
