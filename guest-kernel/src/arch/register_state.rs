//! Saving the floating point and vector registers, and putting them back.

use core::arch::naked_asm;

/// Whether they are saved by XSAVE (1) or FXSAVE (0).
pub(super) static mut USE_XSAVE: u8 = 0;

/// Saves the state at the address in RDI, which is a multiple of 64. Changes RAX, RCX and RDX only.
///
/// # Safety
/// There must be room for the state.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn save() {
    naked_asm!(
        "mov eax, -1",
        "mov edx, -1",
        "cmp byte ptr [rip + {USE_XSAVE}], 0",
        "je 2f",
        // XSAVE leaves what it does not know of in its header, and XRSTOR faults if that is not
        // zero.
        "xor ecx, ecx",
        ".irp offset, 512, 520, 528, 536, 544, 552, 560, 568",
        "mov [rdi + \\offset], rcx",
        ".endr",
        "xsave64 [rdi]",
        "ret",
        "2:",
        "fxsave64 [rdi]",
        "ret",
        USE_XSAVE = sym USE_XSAVE,
    )
}

/// Puts back what [`save`] saved at the address in RDI. Changes RAX and RDX besides.
///
/// # Safety
/// The state must have been saved there.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn restore() {
    naked_asm!(
        "mov eax, -1",
        "mov edx, -1",
        "cmp byte ptr [rip + {USE_XSAVE}], 0",
        "je 2f",
        "xrstor64 [rdi]",
        "ret",
        "2:",
        "fxrstor64 [rdi]",
        "ret",
        USE_XSAVE = sym USE_XSAVE,
    )
}

/// Puts on the stack what a function call leaves to its callee, the registers that belong to the
/// caller and the modes of its arithmetic, writes the stack pointer to `place`, and calls `wait`.
/// From `place` up it is MXCSR, the x87 control word, R15, R14, R13, R12, RBX, RBP, in 8 bytes each
/// but for the first two, which share 8; then the return address. All of them are as before in the
/// end.
///
/// # Safety
/// `place` must be valid for a write.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn keep(wait: extern "C" fn(), place: *mut u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8", // seven words and the return address: aligned for the call
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rsi], rsp",
        "jmp {come_back}",
        come_back = sym come_back,
    )
}

/// The end of [`keep`]: calls what is in RDI, with the stack pointer that was written, and takes
/// from the stack what was put there. To be jumped to.
///
/// # Safety
/// The stack must be as [`keep`] has left it.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn come_back() {
    naked_asm!(
        "call rdi",
        "fldcw [rsp + 4]",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

#[cfg(all(test, not(xenolith_guest)))]
mod tests {
    use core::arch::x86_64::__cpuid_count;
    use core::arch::{asm, naked_asm};

    #[repr(align(64))]
    struct Area([u8; 16 << 10]);

    /// Saves YMM7, changes it, restores it, and gives what is in it then.
    #[target_feature(enable = "avx")]
    fn there_and_back(area: &mut Area, value: [u64; 4]) -> [u64; 4] {
        let mut result = [0; 4];
        // SAFETY: the area is large enough, and aligned. The registers that change are declared;
        // what the functions restore is what was saved here.
        unsafe {
            asm!(
                "vmovdqu ymm7, [{value}]",
                "call {save}",
                "vpxor xmm7, xmm7, xmm7",
                "call {restore}",
                "vmovdqu [{result}], ymm7",
                value = in(reg) value.as_ptr(),
                result = in(reg) result.as_mut_ptr(),
                save = sym super::save,
                restore = sym super::restore,
                in("rdi") area.0.as_mut_ptr(),
                out("rax") _,
                out("rcx") _,
                out("rdx") _,
                out("ymm7") _,
            );
        }
        result
    }

    #[test]
    fn registers_come_back() {
        if !std::is_x86_feature_detected!("avx") {
            return;
        }
        let size = __cpuid_count(0xd, 0).ebx as usize;
        let value = [0x0123_4567_89ab_cdef, 2, 3, 0xfedc_ba98_7654_3210];
        // What was in the area before must not matter.
        let mut area = Area([0xff; 16 << 10]);
        assert!(size <= area.0.len());
        // SAFETY: only this test uses it.
        unsafe { super::USE_XSAVE = 1 };
        // SAFETY: there is AVX.
        assert_eq!(unsafe { there_and_back(&mut area, value) }, value);
        // Nothing is written beyond what the processor says.
        assert!(area.0[size..].iter().all(|byte| *byte == 0xff));
        // FXSAVE knows the lower half only, which it keeps.
        // SAFETY: as above.
        unsafe { super::USE_XSAVE = 0 };
        // SAFETY: as above.
        assert_eq!(unsafe { there_and_back(&mut area, value) }[..2], value[..2]);
    }

    /// Spoils what belongs to the caller, and the modes of its arithmetic.
    #[unsafe(naked)]
    extern "C" fn spoil() {
        naked_asm!(
            ".irp register, rbx, rbp, r12, r13, r14, r15",
            "xor \\register, \\register",
            ".endr",
            "fninit",
            "mov dword ptr [rsp - 8], 0x1f80",
            "ldmxcsr [rsp - 8]",
            "ret",
        )
    }

    #[test]
    fn what_is_kept_comes_back() {
        // Rounding up, and rounding down with 53 bits: neither is how a program begins.
        let modes = [0x5f80u32, 0x067f];
        let (mut place, mut after) = (0u64, [0u64; 3]);
        // SAFETY: `keep` keeps what belongs to its caller, and `spoil` may change it; what else a
        // call may change is declared. The modes are as before in the end.
        unsafe {
            asm!(
                "sub rsp, 16",
                "stmxcsr [rsp]",
                "fnstcw [rsp + 4]",
                "ldmxcsr [r13]",
                "fldcw [r13 + 4]",
                "mov r14, 14",
                "mov r15, 15",
                "call {keep}",
                "stmxcsr [r12]",
                "fnstcw [r12 + 4]",
                "mov [r12 + 8], r14",
                "mov [r12 + 16], r15",
                "ldmxcsr [rsp]",
                "fldcw [rsp + 4]",
                "add rsp, 16",
                keep = sym super::keep,
                in("rdi") spoil as extern "C" fn(),
                in("rsi") &raw mut place,
                in("r12") &raw mut after,
                in("r13") &raw const modes,
                out("r14") _,
                out("r15") _,
                clobber_abi("C"),
            );
        }
        assert_eq!(after, [0x067f_0000_5f80, 14, 15]);
        assert_ne!(place, 0);
    }
}
