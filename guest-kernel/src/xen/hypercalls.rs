//! The hypercall page, which Xen fills in.

use super::error::PartError;
use super::part::{Part, Resume};
use crate::arch;

/// The hypercall page.
pub(crate) struct Hypercalls;

impl Part for Hypercalls {
    fn name(&self) -> &'static str {
        "hypercalls"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        // It may be another processor, which needs other stubs.
        match how {
            Resume::NewDomain if !arch::hypercalls::find() => {
                Err(PartError::Unusable("there is no Xen"))
            }
            _ => Ok(()),
        }
    }
}
