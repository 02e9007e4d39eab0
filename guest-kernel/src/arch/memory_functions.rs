//! The functions that the compiler calls for moving, setting and comparing memory; a hosted program
//! has them from libc.
//!
//! In assembly, because a loop in Rust that copies memory may be compiled to a call of memcpy.

use core::arch::naked_asm;

/// Copies `len` bytes from `source` to `target`, which do not overlap.
///
/// # Safety
/// As C's memcpy.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        // Blocks of 64 bytes.
        "2:",
        "cmp rdx, 64",
        "jb 3f",
        "movdqu xmm0, [rsi]",
        "movdqu xmm1, [rsi + 16]",
        "movdqu xmm2, [rsi + 32]",
        "movdqu xmm3, [rsi + 48]",
        "movdqu [rdi], xmm0",
        "movdqu [rdi + 16], xmm1",
        "movdqu [rdi + 32], xmm2",
        "movdqu [rdi + 48], xmm3",
        "add rsi, 64",
        "add rdi, 64",
        "sub rdx, 64",
        "jmp 2b",
        // The rest, in words and then bytes.
        "3:",
        "cmp rdx, 8",
        "jb 4f",
        "mov rcx, [rsi]",
        "mov [rdi], rcx",
        "add rsi, 8",
        "add rdi, 8",
        "sub rdx, 8",
        "jmp 3b",
        "4:",
        "test rdx, rdx",
        "jz 5f",
        "mov cl, [rsi]",
        "mov [rdi], cl",
        "inc rsi",
        "inc rdi",
        "dec rdx",
        "jmp 4b",
        "5:",
        "ret",
    )
}

/// Copies `len` bytes from `source` to `target`, which may overlap.
///
/// # Safety
/// As C's memmove.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        // Upwards is right unless the target begins within the source. A block is read before it is
        // written, and blocks written lie below those still to be read.
        "mov rax, rdi",
        "sub rax, rsi",
        "cmp rax, rdx",
        "jae {memcpy}",
        // Downwards.
        "mov rax, rdi",
        "add rdi, rdx",
        "add rsi, rdx",
        "2:",
        "cmp rdx, 64",
        "jb 3f",
        "movdqu xmm0, [rsi - 16]",
        "movdqu xmm1, [rsi - 32]",
        "movdqu xmm2, [rsi - 48]",
        "movdqu xmm3, [rsi - 64]",
        "movdqu [rdi - 16], xmm0",
        "movdqu [rdi - 32], xmm1",
        "movdqu [rdi - 48], xmm2",
        "movdqu [rdi - 64], xmm3",
        "sub rsi, 64",
        "sub rdi, 64",
        "sub rdx, 64",
        "jmp 2b",
        "3:",
        "cmp rdx, 8",
        "jb 4f",
        "mov rcx, [rsi - 8]",
        "mov [rdi - 8], rcx",
        "sub rsi, 8",
        "sub rdi, 8",
        "sub rdx, 8",
        "jmp 3b",
        "4:",
        "test rdx, rdx",
        "jz 5f",
        "dec rsi",
        "dec rdi",
        "mov cl, [rsi]",
        "mov [rdi], cl",
        "dec rdx",
        "jmp 4b",
        "5:",
        "ret",
        memcpy = sym memcpy,
    )
}

/// Sets `len` bytes to `byte`.
///
/// # Safety
/// As C's memset.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn memset(target: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        // The byte in every byte of RAX and XMM0.
        "movzx eax, sil",
        "mov rcx, 0x0101010101010101",
        "imul rax, rcx",
        "movq xmm0, rax",
        "punpcklqdq xmm0, xmm0",
        "2:",
        "cmp rdx, 64",
        "jb 3f",
        "movdqu [rdi], xmm0",
        "movdqu [rdi + 16], xmm0",
        "movdqu [rdi + 32], xmm0",
        "movdqu [rdi + 48], xmm0",
        "add rdi, 64",
        "sub rdx, 64",
        "jmp 2b",
        "3:",
        "cmp rdx, 8",
        "jb 4f",
        "mov [rdi], rax",
        "add rdi, 8",
        "sub rdx, 8",
        "jmp 3b",
        "4:",
        "test rdx, rdx",
        "jz 5f",
        "mov [rdi], al",
        "inc rdi",
        "dec rdx",
        "jmp 4b",
        "5:",
        "mov rax, r8",
        "ret",
    )
}

/// Compares `len` bytes as numbers; the sign of the first difference.
///
/// # Safety
/// As C's memcmp.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    naked_asm!(
        "2:",
        "cmp rdx, 8",
        "jb 3f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 6f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "jmp 2b",
        "3:",
        "test rdx, rdx",
        "jz 4f",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jne 5f",
        "inc rdi",
        "inc rsi",
        "dec rdx",
        "jmp 3b",
        "4:",
        "xor eax, eax",
        "5:",
        "ret",
        // Two words differ: as big-endian numbers they compare like their bytes.
        "6:",
        "bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
    )
}

/// Whether `len` bytes differ: zero if not.
///
/// # Safety
/// As C's bcmp.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// The length of a text that ends with a zero.
///
/// # Safety
/// As C's strlen.
#[cfg_attr(xenolith_guest, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    naked_asm!(
        "xor eax, eax",
        "2:",
        "cmp byte ptr [rdi + rax], 0",
        "je 3f",
        "inc rax",
        "jmp 2b",
        "3:",
        "ret"
    )
}

#[cfg(all(test, not(xenolith_guest)))]
mod tests {
    use alloc::vec::Vec;

    /// Lengths around every block size in the code above.
    const LENGTHS: [usize; 16] = [0, 1, 2, 7, 8, 9, 15, 16, 63, 64, 65, 71, 127, 128, 200, 1000];

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 7 + index / 256) as u8).collect()
    }

    #[test]
    fn memory_is_moved_up_and_down_by_any_distance() {
        for len in LENGTHS {
            for (from, to) in
                [(0, 0), (0, 1), (1, 0), (0, 63), (63, 0), (0, 64), (5, 64), (0, 1000), (1000, 3)]
            {
                let mut memory = pattern(2048);
                let mut expected = memory.clone();
                expected.copy_within(from..from + len, to);
                let start = memory.as_mut_ptr();
                // SAFETY: both ranges lie in the buffer.
                let result = unsafe { super::memmove(start.add(to), start.add(from), len) };
                assert_eq!(result, start.wrapping_add(to));
                assert!(memory == expected, "{len} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn memory_is_copied_and_nothing_else_is_touched() {
        for len in LENGTHS {
            let source = pattern(len);
            let mut target = alloc::vec![0xaa; len + 16];
            // SAFETY: both are long enough, and apart.
            unsafe { super::memcpy(target.as_mut_ptr().add(8), source.as_ptr(), len) };
            assert!(
                target[..8] == [0xaa; 8]
                    && target[8..len + 8] == source
                    && target[len + 8..] == [0xaa; 8],
                "{len}"
            );
        }
    }

    #[test]
    fn memory_is_set_and_nothing_else_is_touched() {
        for len in LENGTHS {
            let mut target = alloc::vec![1; len + 16];
            // SAFETY: long enough. Only the low byte of the value counts.
            unsafe { super::memset(target.as_mut_ptr().add(8), 0x1fe, len) };
            assert!(target[..8] == [1; 8] && target[len + 8..] == [1; 8], "{len}");
            assert!(target[8..len + 8].iter().all(|byte| *byte == 0xfe), "{len}");
        }
    }

    #[test]
    fn memory_is_compared_byte_by_byte() {
        for len in LENGTHS {
            let left = pattern(len);
            for at in 0..len {
                let mut right = left.clone();
                right[at] = right[at].wrapping_add(0x80);
                // SAFETY: both have this length.
                let (sign, differ) = unsafe {
                    (
                        super::memcmp(left.as_ptr(), right.as_ptr(), len),
                        super::bcmp(left.as_ptr(), right.as_ptr(), len),
                    )
                };
                assert_eq!(
                    sign.signum(),
                    left.cmp(&right) as i32,
                    "{len} bytes, difference at {at}"
                );
                assert_ne!(differ, 0);
            }
            // SAFETY: as above.
            assert_eq!(unsafe { super::memcmp(left.as_ptr(), left.clone().as_ptr(), len) }, 0);
        }
    }

    #[test]
    fn text_is_measured_to_its_zero() {
        for (text, len) in [(&b"\0x"[..], 0), (b"a\0", 1), (b"hello\0\0", 5)] {
            // SAFETY: the text ends with a zero.
            assert_eq!(unsafe { super::strlen(text.as_ptr()) }, len);
        }
    }
}
