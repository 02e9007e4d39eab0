//! Who takes part in a collective.

use core::ffi::c_int;

use crate::capi::refusal::Refusal;

/// `SCOPE_ALL`.
pub(super) const SCOPE_ALL: c_int = 333;
/// `SCOPE_NODE`.
pub(super) const SCOPE_NODE: c_int = 337;
/// `SCOPE_MASTERS`.
const SCOPE_MASTERS: c_int = 339;

/// Who takes part in a collective.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// `SCOPE_ALL`, and `SCOPE_MASTERS`: since every rank is a domain, every rank is its domain's
    /// first.
    All,
    /// `SCOPE_NODE`: the rank itself.
    Node,
}

impl Scope {
    pub(super) fn new(scope: c_int) -> Result<Self, Refusal> {
        match scope {
            SCOPE_ALL | SCOPE_MASTERS => Ok(Self::All),
            SCOPE_NODE => Ok(Self::Node),
            _ => Err(Refusal::Operation),
        }
    }
}
