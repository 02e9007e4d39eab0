//! The processor, which may be another one after a restore.

use super::error::PartError;
use super::part::Part;
use crate::arch::lock::Once;
use crate::arch::{cpuid, fpu};
use crate::logic::abilities::Abilities;

/// What the processor of the boot could do.
static AT_BOOT: Once<Abilities> = Once::new();

/// What code has found out about the processor and counts on: instructions, registers, where they
/// are saved. Xen's way of being called is the hypercall page's.
pub(crate) struct Processor;

impl Part for Processor {
    fn name(&self) -> &'static str {
        "the processor"
    }

    fn arrive(&self) -> Result<(), PartError> {
        let here = cpuid::abilities();
        match AT_BOOT.get() {
            Some(at_boot) => at_boot.suffice_in(&here)?,
            None => {
                AT_BOOT.set(here);
            }
        }
        fpu::turn_on_as_at_boot();
        Ok(())
    }
}
