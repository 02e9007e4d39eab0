//! How a hypercall fails.

/// A hypercall's result.
pub type Result<T> = core::result::Result<T, Error>;

/// An error number of Xen (`errno.h`), always positive.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} (Xen error {})", self.text(), self.0)]
pub struct Error(pub i32);

impl Error {
    /// Not allowed for this domain.
    #[doc(alias = "XEN_EPERM")]
    pub const PERMISSION: Error = Error(1);
    /// There is no such thing.
    #[doc(alias = "XEN_ENOENT")]
    pub const NO_ENTRY: Error = Error(2);
    /// There is no such domain.
    #[doc(alias = "XEN_ESRCH")]
    pub const NO_DOMAIN: Error = Error(3);
    /// Xen or the domain has no memory left for it.
    #[doc(alias = "XEN_ENOMEM")]
    pub const NO_MEMORY: Error = Error(12);
    /// Not allowed for this object.
    #[doc(alias = "XEN_EACCES")]
    pub const ACCESS: Error = Error(13);
    /// A pointer is not valid.
    #[doc(alias = "XEN_EFAULT")]
    pub const FAULT: Error = Error(14);
    /// In use.
    #[doc(alias = "XEN_EBUSY")]
    pub const BUSY: Error = Error(16);
    /// There is one already.
    #[doc(alias = "XEN_EEXIST")]
    pub const EXISTS: Error = Error(17);
    /// An argument is not valid.
    #[doc(alias = "XEN_EINVAL")]
    pub const INVALID: Error = Error(22);
    /// No more of a limited kind.
    #[doc(alias = "XEN_ENOSPC")]
    pub const NO_SPACE: Error = Error(28);
    /// This Xen does not have the operation.
    #[doc(alias = "XEN_ENOSYS")]
    pub const NOT_IMPLEMENTED: Error = Error(38);
    /// The time is over, or lies in the past.
    #[doc(alias = "XEN_ETIME")]
    pub const TIME: Error = Error(62);
    /// Not supported here.
    #[doc(alias = "XEN_EOPNOTSUPP")]
    pub const NOT_SUPPORTED: Error = Error(95);

    fn text(self) -> &'static str {
        match self {
            Error::PERMISSION => "operation not permitted",
            Error::NO_ENTRY => "no such entry",
            Error::NO_DOMAIN => "no such domain",
            Error::NO_MEMORY => "out of memory",
            Error::ACCESS => "permission denied",
            Error::FAULT => "bad address",
            Error::BUSY => "busy",
            Error::EXISTS => "exists already",
            Error::INVALID => "invalid argument",
            Error::NO_SPACE => "no space left",
            Error::NOT_IMPLEMENTED => "not implemented",
            Error::TIME => "time expired",
            Error::NOT_SUPPORTED => "not supported",
            _ => "failed",
        }
    }

    /// Reads RAX after a hypercall: a negative errno or a value.
    pub fn check(rax: i64) -> Result<u64> {
        match u64::try_from(rax) {
            Ok(value) => Ok(value),
            // An errno is small; what is not is no errno that Xen knows, and still an error.
            Err(_) => Err(Error(i32::try_from(rax.unsigned_abs()).unwrap_or(i32::MAX))),
        }
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn rax_is_a_value_or_a_negative_errno() {
        assert_eq!(Error::check(5), Ok(5));
        assert_eq!(Error::check(-22), Err(Error::INVALID));
        assert_eq!(Error::check(i64::MIN), Err(Error(i32::MAX)));
    }

    #[test]
    fn errors_are_said_in_words() {
        assert_eq!(Error::INVALID.to_string(), "invalid argument (Xen error 22)");
        assert_eq!(Error(99).to_string(), "failed (Xen error 99)");
    }
}
