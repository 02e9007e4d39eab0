//! What Xen this is (`version.h`).

use crate::{Error, Hypercall, Number, Result};

/// Xen's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 4 of 4.17.
    pub major: u16,
    /// 17 of 4.17.
    pub minor: u16,
}

#[doc(alias = "XENVER_version")]
const VERSION: u32 = 0;

/// Asks for the version.
#[doc(alias = "XENVER_version")]
pub fn version(xen: &(impl Hypercall + ?Sized)) -> Result<Version> {
    // SAFETY: the operation takes no pointer.
    let rax = unsafe { xen.call(Number::XenVersion, [u64::from(VERSION), 0, 0, 0, 0]) };
    let packed = Error::check(rax)?;
    Ok(Version { major: (packed >> 16) as u16, minor: packed as u16 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn major_and_minor_are_halves_of_one_word() {
        let xen = Recorder::new(0x0004_0011, 0);
        assert_eq!(version(&xen), Ok(Version { major: 4, minor: 17 }));
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::XenVersion, 0));
    }
}
