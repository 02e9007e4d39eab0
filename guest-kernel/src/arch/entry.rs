//! The way from Xen's PVH entry point to Rust.
//!
//! Xen enters with paging off, in 32-bit protected mode with flat segments, interrupts off, no
//! stack, and the address of the start information in EBX (Xen's `docs/misc/pvh.pandoc`). The entry
//! code maps the first and the fourth GiB to themselves with large pages, goes to 64 bits, and
//! turns SSE and AVX on, because compiled code may use them anywhere.

use core::arch::global_asm;
use core::ptr;

use super::trap::{self, Handlers};
use super::{descriptors, fpu, hypercall_page, paging, runtime_area, stack};
use crate::logic::memory_map::MemoryPlan;

// The notes: the entry point for Xen, and the image's seal, whose 32 bytes of hash are filled in by
// image-builder.
global_asm!(
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, {PHYS32_ENTRY}",
    ".asciz \"Xen\"",
    ".long xenolith_entry",
    ".popsection",
    ".pushsection .note.xenolith, \"a\", @note",
    ".balign 4",
    ".long 9, 40, 1",
    ".asciz \"Xenolith\"",
    ".balign 4",
    ".long 1, 0",
    ".fill 32, 1, 0",
    ".popsection",
    PHYS32_ENTRY = const xen_hypercall::elfnote::PHYS32_ENTRY,
);

global_asm!(
    ".pushsection .xenolith_apart, \"aw\", @nobits",
    ".balign 4096",
    ".globl xenolith_boot_tables",
    "xenolith_boot_tables:",
    "boot_pml4: .skip 4096",
    "boot_pdpt: .skip 4096",
    "boot_first_gib: .skip 4096",
    "boot_fourth_gib: .skip 4096",
    ".popsection",
    ".pushsection .rodata.xenolith_boot, \"a\"",
    ".balign 8",
    "boot_gdt: .quad 0",
    ".quad 0x00af9b000000ffff", // 64-bit code, selector 8
    "boot_gdt_pointer: .word 15",
    ".long boot_gdt",
    ".popsection",
    ".pushsection .text.xenolith_entry, \"ax\"",
    ".code32",
    ".globl xenolith_entry",
    "xenolith_entry:",
    "cli",
    "cld",
    "mov esp, offset xenolith_boot_stack_top",
    // Tables: the first GiB and the fourth, in pages of 2 MiB, present and writable.
    "mov eax, offset boot_pdpt",
    "or eax, 3",
    "mov dword ptr [boot_pml4], eax",
    "mov eax, offset boot_first_gib",
    "or eax, 3",
    "mov dword ptr [boot_pdpt], eax",
    "mov eax, offset boot_fourth_gib",
    "or eax, 3",
    "mov dword ptr [boot_pdpt + 24], eax",
    "xor ecx, ecx",
    "2:",
    "mov eax, ecx",
    "shl eax, 21",
    "or eax, 0x83",
    "mov dword ptr [boot_first_gib + ecx * 8], eax",
    "add eax, 0xc0000000",
    "mov dword ptr [boot_fourth_gib + ecx * 8], eax",
    "inc ecx",
    "cmp ecx, 512",
    "jne 2b",
    "mov eax, offset boot_pml4",
    "mov cr3, eax",
    // CR4: PAE, OSFXSR, OSXMMEXCPT.
    "mov eax, 0x620",
    "mov cr4, eax",
    // EFER: long mode, no-execute.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    // CR0: paging, write protection also for the kernel, native FPU errors, FPU present, protected
    // mode.
    "mov eax, 0x80010033",
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer]",
    ".byte 0xea", // jmp 8:boot_long_mode
    ".long boot_long_mode",
    ".word 8",
    ".code64",
    "boot_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov r12d, ebx",
    // All vector state that the processor has and we can save, since even the first Rust may be
    // compiled for it: CR4.OSXSAVE, and in XCR0 the x87, SSE and AVX states, and those of AVX-512
    // if all of them are there.
    "mov eax, 1",
    "cpuid",
    "bt ecx, 26",
    "jnc 3f",
    "mov rax, cr4",
    "or eax, 0x40000",
    "mov cr4, rax",
    "mov eax, 0xd",
    "xor ecx, ecx",
    "cpuid",
    "mov ecx, eax",
    "and eax, 0x07",
    "and ecx, 0xe0",
    "cmp ecx, 0xe0",
    "jne 4f",
    "or eax, ecx",
    "4:",
    "xor edx, edx",
    "xor ecx, ecx",
    "xsetbv",
    "3:",
    "mov edi, r12d",
    "xor ebp, ebp",
    "call {rust}",
    "ud2",
    ".popsection",
    rust = sym rust_entry,
);

unsafe extern "C" {
    safe static xenolith_boot_tables: u8;
}

/// The root of the entry code's page tables, which map the first and the fourth GiB as code and
/// data.
pub(super) fn page_tables() -> u64 {
    ptr::from_ref(&xenolith_boot_tables) as u64
}

unsafe extern "Rust" {
    /// The boot, which is above. The entry code comes before anybody could hand it a function, so
    /// it knows this one by its name.
    safe fn xenolith_boot(start_info: u64) -> !;
}

extern "C" fn rust_entry(start_info: u64) -> ! {
    hypercall_page::find();
    xenolith_boot(start_info)
}

/// Takes over the machine as planned (page tables, descriptor tables, floating point), has what the
/// processor enters by itself dealt with by `handlers`, and goes on with `next` on the main stack.
/// For the boot, once.
pub(crate) fn become_the_kernel(plan: &MemoryPlan, handlers: Handlers, next: fn() -> !) -> ! {
    let (guard, stack_top) = paging::take_over(plan);
    stack::set_main(guard, stack_top);
    runtime_area::set_up();
    fpu::set_up();
    trap::set_handlers(handlers);
    descriptors::set_up();
    // SAFETY: the stack was just mapped, is unused, and 16-byte aligned as the ABI wants it before
    // a call; `next` is a function that does not return.
    unsafe {
        core::arch::asm!(
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "call {next}",
            "ud2",
            stack = in(reg) stack_top,
            next = in(reg) next as usize,
            options(noreturn),
        )
    }
}
