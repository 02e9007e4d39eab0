//! Parameters of a hardware-assisted domain (`hvm/hvm_op.h`, `hvm/params.h`).

use crate::{DomainId, Error, Hypercall, Number, Result, with_argument};

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Param {
    /// How Xen tells the guest of pending events: see [`callback_by_vector`].
    #[doc(alias = "HVM_PARAM_CALLBACK_IRQ")]
    CallbackIrq = 0,
    /// The page of the xenstore ring.
    #[doc(alias = "HVM_PARAM_STORE_PFN")]
    StoreGfn = 1,
    /// The event channel of the xenstore ring.
    #[doc(alias = "HVM_PARAM_STORE_EVTCHN")]
    StorePort = 2,
    /// The page of the console ring.
    #[doc(alias = "HVM_PARAM_CONSOLE_PFN")]
    ConsoleGfn = 17,
    /// The event channel of the console ring.
    #[doc(alias = "HVM_PARAM_CONSOLE_EVTCHN")]
    ConsolePort = 18,
}

mod operation {
    pub(super) const SET_PARAM: u32 = 0;
    pub(super) const GET_PARAM: u32 = 1;
}

#[doc(alias = "xen_hvm_param")]
#[repr(C)]
struct HvmParam {
    domain: DomainId,
    pad: u16,
    index: Param,
    value: u64,
}

const _: () = assert!(size_of::<HvmParam>() == 16);

fn call(xen: &(impl Hypercall + ?Sized), operation: u32, argument: &mut HvmParam) -> Result<()> {
    // SAFETY: both operations take this structure, which holds no pointers.
    let rax = unsafe { with_argument(xen, Number::HvmOp, operation, argument) };
    Error::check(rax).map(drop)
}

/// Reads a parameter of the calling domain.
#[doc(alias = "HVMOP_get_param")]
pub fn get_param(xen: &(impl Hypercall + ?Sized), param: Param) -> Result<u64> {
    let mut argument = HvmParam { domain: DomainId::SELF, pad: 0, index: param, value: 0 };
    call(xen, operation::GET_PARAM, &mut argument)?;
    Ok(argument.value)
}

/// Sets a parameter of the calling domain.
#[doc(alias = "HVMOP_set_param")]
pub fn set_param(xen: &(impl Hypercall + ?Sized), param: Param, value: u64) -> Result<()> {
    call(
        xen,
        operation::SET_PARAM,
        &mut HvmParam { domain: DomainId::SELF, pad: 0, index: param, value },
    )
}

/// The value of [`Param::CallbackIrq`] that has Xen inject `vector` whenever events are pending and
/// interrupts on. It passes no local APIC, so there is none to acknowledge.
#[doc(alias = "HVM_PARAM_CALLBACK_TYPE_VECTOR")]
pub const fn callback_by_vector(vector: u8) -> u64 {
    2 << 56 | vector as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn parameters_are_read_and_set_by_index() {
        let xen = Recorder::new(0, 16).replying(8, &1_044_476u64.to_le_bytes());
        assert_eq!(get_param(&xen, Param::ConsoleGfn), Ok(1_044_476));
        set_param(&xen, Param::CallbackIrq, callback_by_vector(0xf3)).unwrap();
        let (get, set) = (xen.next(), xen.next());
        assert_eq!((get.number, get.arguments[0]), (Number::HvmOp, 1));
        assert_eq!(get.structure[..8], [0xf0, 0x7f, 0, 0, 17, 0, 0, 0]);
        assert_eq!(set.arguments[0], 0);
        assert_eq!(set.structure[8..], 0x0200_0000_0000_00f3u64.to_le_bytes());
    }
}
