//! What the processor can do.

use core::arch::x86_64::__cpuid_count;

use crate::logic::abilities::Abilities;

/// Asks the processor on which this runs.
pub(crate) fn abilities() -> Abilities {
    Abilities::read(|leaf, subleaf| {
        let words = __cpuid_count(leaf, subleaf);
        [words.eax, words.ebx, words.ecx, words.edx]
    })
}
