//! The hypercall page, which Xen fills in.

use super::error::PartError;
use super::part::Part;
use crate::arch::hypercall_page;

/// The hypercall page.
pub(crate) struct Hypercalls;

impl Part for Hypercalls {
    fn name(&self) -> &'static str {
        "hypercalls"
    }

    fn arrive(&self) -> Result<(), PartError> {
        // It may be another processor, which needs other stubs.
        if hypercall_page::find() { Ok(()) } else { Err(PartError::Unusable("there is no Xen")) }
    }
}
