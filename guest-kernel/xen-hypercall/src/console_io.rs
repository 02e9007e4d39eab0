//! Xen's own console (`xen.h`). A release build of Xen refuses it to all but the control domain.

use crate::{Error, Hypercall, Number, Result};

#[doc(alias = "CONSOLEIO_write")]
const WRITE: u32 = 0;

/// Writes bytes to Xen's console; returns how many it took.
#[doc(alias = "CONSOLEIO_write")]
pub fn write(xen: &(impl Hypercall + ?Sized), bytes: &[u8]) -> Result<usize> {
    let arguments = [u64::from(WRITE), bytes.len() as u64, bytes.as_ptr() as u64, 0, 0];
    // SAFETY: Xen reads `bytes.len()` bytes from a live slice.
    let rax = unsafe { xen.call(Number::ConsoleIo, arguments) };
    // Zero means that all was written (older versions), a count is what was written.
    Ok(match Error::check(rax)? as usize {
        0 => bytes.len(),
        written => written.min(bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn zero_means_all() {
        let xen = Recorder::new(0, 0);
        assert_eq!(write(&xen, b"abc"), Ok(3));
        let call = xen.next();
        assert_eq!(call.number, Number::ConsoleIo);
        assert_eq!(call.arguments[..2], [0, 3]);
    }

    #[test]
    fn a_domain_without_the_right_is_told() {
        assert_eq!(write(&Recorder::new(-1, 0), b"abc"), Err(Error::PERMISSION));
    }
}
