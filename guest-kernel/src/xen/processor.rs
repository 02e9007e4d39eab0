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

    fn connect(&self) -> Result<(), PartError> {
        AT_BOOT.set(cpuid::abilities());
        Ok(())
    }

    fn arrive(&self) -> Result<(), PartError> {
        if let Some(abilities) = AT_BOOT.get() {
            abilities.suffice_in(&cpuid::abilities())?;
        }
        fpu::turn_on_as_at_boot();
        Ok(())
    }
}
