//! The way to Xen: its hypercall page.

use core::arch::global_asm;
use core::arch::x86_64::__cpuid;
use core::ptr;

use x86_64::registers::model_specific::Msr;
use xen_hypercall::page::HypercallPage;

// Xen's stubs go to a page of the image's code. Until Xen has filled it in, a call traps: int3.
global_asm!(
    ".pushsection .xenolith_hypercall_page, \"ax\", @progbits",
    ".globl xenolith_hypercall_page",
    ".balign 4096",
    "xenolith_hypercall_page: .fill 4096, 1, 0xcc",
    ".popsection",
);

unsafe extern "C" {
    safe static xenolith_hypercall_page: u8;
}

/// Finds Xen and has it fill in the hypercall page, right for the processor that we run on now: at
/// boot, and after the domain has been restored. Whether there is a Xen.
pub(crate) fn find() -> bool {
    // Xen's leaves may be moved by multiples of 0x100, to make room for another hypervisor's.
    let base = (0x4000_0000..0x4001_0000).step_by(0x100).find(|leaf| {
        let words = __cpuid(*leaf);
        [words.ebx, words.ecx, words.edx].map(u32::to_le_bytes) == [*b"XenV", *b"MMXe", *b"nVMM"]
    });
    let Some(base) = base else { return false };
    let msr = __cpuid(base + 2).ebx;
    let page = ptr::from_ref(&xenolith_hypercall_page) as u64;
    // SAFETY: leaf base + 2 says that writing a page's address to this MSR has Xen fill that page
    // in, which is ours to be filled.
    unsafe { Msr::new(msr).write(page) };
    true
}

/// Calls Xen. If there is no Xen, the first hypercall traps.
pub(crate) fn xen() -> HypercallPage {
    // SAFETY: `find` has run before all else, and the page stays mapped as code.
    unsafe { HypercallPage::new(ptr::from_ref(&xenolith_hypercall_page) as usize) }
}

/// Xen's stub for scheduling, which is the same at any address.
pub(crate) fn stub_of_sched_op() -> [u8; xen_hypercall::page::STUB] {
    let page = ptr::from_ref(&xenolith_hypercall_page);
    let at = xen_hypercall::Number::SchedOp as usize * xen_hypercall::page::STUB;
    // SAFETY: in the page, which is mapped, and which only Xen writes, when `find` asks for it.
    unsafe { page.add(at).cast::<[u8; xen_hypercall::page::STUB]>().read() }
}

/// Suspends the domain.
pub(crate) fn suspend() -> xen_hypercall::Result<xen_hypercall::sched_op::Resumed> {
    // SAFETY: called from `life::parts::suspend` alone, which has every part set up again what is
    // gone, in the order in which they need each other, before anything else runs.
    unsafe { xen_hypercall::sched_op::suspend(&xen()) }
}

/// Has Xen place one of its pages at an address outside of RAM. Whether the address was outside.
pub(crate) fn place(
    space: xen_hypercall::memory_op::MapSpace,
    gfn: xen_hypercall::Gfn,
) -> xen_hypercall::Result<()> {
    let in_window = super::paging::plan().is_some_and(|plan| plan.window.contains(gfn.address()));
    if !in_window {
        return Err(xen_hypercall::Error::INVALID);
    }
    // SAFETY: the window holds pages of Xen's and nothing else.
    unsafe { xen_hypercall::memory_op::add_to_physmap(&xen(), space, gfn) }
}
