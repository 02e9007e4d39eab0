//! What a part of the kernel that faces Xen does.
//!
//! Booting is arriving in a new domain, so the way back from a restore is tried at every boot.

use super::error::PartError;
use crate::arch::landing::Landed;

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

    /// The same in a domain that was made for a rank which has been saved standing still, and not
    /// [suspended](Self::suspend): what belonged to the old domain is forgotten. With interrupts
    /// off.
    fn land(&self, _: &Landed) -> Result<(), PartError> {
        self.arrive()
    }

    /// Whether a domain needs it that waits to become such a rank.
    fn is_for_landing(&self) -> bool {
        true
    }

    /// Goes on in the domain that was suspended, after a checkpoint or a suspension that was
    /// cancelled: nothing is lost. With interrupts off.
    fn stay(&self) -> Result<(), PartError> {
        Ok(())
    }
}
