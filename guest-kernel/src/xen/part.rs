//! What a part of the kernel that faces Xen does.
//!
//! Booting is arriving in a new domain, so the way back from a restore is tried at every boot.

use super::error::PartError;

/// A part of the kernel that faces Xen.
pub(crate) trait Part: Sync {
    /// What error messages call it.
    fn name(&self) -> &'static str;

    /// Makes what lasts as long as the kernel, whatever domain it is in. Once, at boot.
    fn connect(&self) -> Result<(), PartError> {
        Ok(())
    }

    /// Leaves everything in a state that can be saved. With interrupts off.
    fn suspend(&self) {}

    /// Sets up what a new domain does not have, at boot or after a restore: Xen and the backends
    /// know nothing of us. With interrupts off.
    fn arrive(&self) -> Result<(), PartError>;

    /// Goes on in the domain that was suspended, after a checkpoint or a suspension that was
    /// cancelled: nothing is lost. With interrupts off.
    fn stay(&self) -> Result<(), PartError> {
        Ok(())
    }
}
