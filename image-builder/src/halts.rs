//! Instructions `hlt` in code that was compiled for Linux processes, which they kill.
//!
//! musl gives up by one where it finds its heap damaged, for example. A guest's kernel may execute
//! it, and then it waits for an event: the rank would hang, and go on as if nothing had happened.
//! So each becomes a breakpoint, which is as long, one byte, and ends the rank.

use object::LittleEndian;
use object::elf::PT_LOAD;

use crate::image::{ImageError, file_range, program_headers};

const HLT: u8 = 0xf4;
const BREAKPOINT: u8 = 0xcc;

/// Their addresses in a listing of `objdump --disassemble`, but for those in the kernel's own
/// functions, whose names are Rust's.
pub(crate) fn in_c_code(listing: &str) -> Vec<u64> {
    let mut in_rust = false;
    let mut addresses = Vec::new();
    for line in listing.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            in_rust = ["_R", "_ZN", "xenolith_"].iter().any(|prefix| name.starts_with(prefix));
        } else if let Some((address, instruction)) = line.split_once(":\t")
            && !in_rust
            && instruction.split_whitespace().next() == Some("hlt")
            && let Ok(address) = u64::from_str_radix(address.trim(), 16)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// Turns the instructions at these addresses into breakpoints.
///
/// # Errors
/// When `elf` is not an executable with these instructions.
pub(crate) fn make_trap(elf: &mut [u8], addresses: &[u64]) -> Result<(), ImageError> {
    let mut spans = Vec::new();
    for segment in
        program_headers(elf)?.iter().filter(|segment| segment.p_type.get(LittleEndian) == PT_LOAD)
    {
        spans.push((segment.p_vaddr.get(LittleEndian), file_range(segment, elf)?));
    }
    for address in addresses {
        let offset = spans.iter().find_map(|(start, range)| {
            let offset =
                usize::try_from(address.checked_sub(*start)?).ok()?.checked_add(range.start)?;
            range.contains(&offset).then_some(offset)
        });
        match offset.map(|offset| &mut elf[offset]) {
            Some(byte) if *byte == HLT => *byte = BREAKPOINT,
            _ => {
                return Err(ImageError::Damaged(
                    "the disassembler found an instruction that is not there",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_c_code_s_are_found() {
        // objdump ends an instruction without operands in spaces.
        let listing = "\
0000000000101000 <_RNvCsb_4guest4stop>:
  101000:\tcli
  101001:\thlt
  101002:\tjmp    101000 <_RNvCsb_4guest4stop>

0000000000101010 <free>:
  101010:\tmov    %rdi,%rax
  101013:\thlt \x20
  101014:\tmov    $0xf4,%eax

0000000000101020 <hlt>:
  101020:\tcall   101010 <free>
  101025:\thlt
";
        assert_eq!(in_c_code(listing), [0x101013, 0x101025]);
    }
}
