//! What a part of the kernel that faces Xen does.
//!
//! Each part does the same three things. Booting is being resumed in a new domain, so the way back
//! from a restore is tried at every boot.

use super::error::PartError;

/// How the domain came to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// As it was: a checkpoint, or a suspension that was cancelled. Nothing is lost.
    SameDomain,
    /// In a new domain, at boot or after a restore: Xen and the backends know nothing of us.
    NewDomain,
}

/// A part of the kernel that faces Xen.
pub(crate) trait Part: Sync {
    /// What error messages call it.
    fn name(&self) -> &'static str;

    /// Makes what lasts as long as the kernel, whatever domain it is in. Once, at boot.
    fn connect(&self) -> Result<(), PartError> {
        Ok(())
    }

    /// Leaves everything in a state that can be saved.
    fn suspend(&self) {}

    /// Sets up again what is gone. With interrupts off.
    fn resume(&self, how: Resume) -> Result<(), PartError>;
}
