//! Whether a rank that began on one processor can go on on another.
//!
//! What code finds at its start it counts on afterwards: a library looks once for the instructions
//! that it may use, and the kernel once for the registers that it has to save. Nobody knows what an
//! application has looked for, so whatever was there must be there still. More may be.

/// The words of CPUID that tell of extensions: leaf, and register from EAX on.
const WORDS: [(u32, usize); 3] = [(1, ECX), (7, EBX), (0x8000_0001, ECX)];

const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;

/// Extensions of the instruction set that programs look for: those of the levels 2, 3 and 4 of
/// x86-64, and those for cryptography. Each with its word and bit (AMD64 manual, volume 3, appendix
/// D; Intel's manual, volume 2, CPUID).
const EXTENSIONS: [(&str, u8, u8); 27] = [
    ("SSE3", 0, 0),
    ("SSSE3", 0, 9),
    ("CMPXCHG16B", 0, 13),
    ("SSE4.1", 0, 19),
    ("SSE4.2", 0, 20),
    ("POPCNT", 0, 23),
    ("XSAVE", 0, 26),
    ("AVX", 0, 28),
    ("AVX2", 1, 5),
    ("BMI1", 1, 3),
    ("BMI2", 1, 8),
    ("F16C", 0, 29),
    ("FMA", 0, 12),
    ("LZCNT", 2, 5),
    ("MOVBE", 0, 22),
    ("AVX512F", 1, 16),
    ("AVX512BW", 1, 30),
    ("AVX512CD", 1, 28),
    ("AVX512DQ", 1, 17),
    ("AVX512VL", 1, 31),
    ("AES", 0, 25),
    ("PCLMULQDQ", 0, 1),
    ("SHA", 1, 29),
    ("ADX", 1, 19),
    ("RDRAND", 0, 30),
    ("RDSEED", 1, 18),
    ("SSE4A", 2, 6),
];

/// The sets of registers that the kernel turns on, beside those that every processor has, by their
/// bits in XCR0: AVX, and the three of AVX-512.
const REGISTERS: [(&str, u32); 4] = [
    ("AVX registers", 2),
    ("AVX-512 mask registers", 5),
    ("AVX-512 upper halves", 6),
    ("AVX-512 upper registers", 7),
];

/// What a processor can do, as far as code counts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// The [`WORDS`].
    words: [u32; WORDS.len()],
    /// Offset and size of each of the [`REGISTERS`] where XSAVE puts them; `None` for a set that
    /// there is not.
    saved_at: [Option<(u32, u32)>; REGISTERS.len()],
}

impl Abilities {
    /// Asks the processor: `cpuid` gives EAX to EDX for a leaf and a subleaf.
    pub fn read(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        const EXTENDED: u32 = 0x8000_0000;
        const XSAVE_AREA: u32 = 0xd;
        // A leaf beyond the last one reads as another.
        let leaf = |leaf: u32, subleaf| {
            let last = cpuid(leaf & EXTENDED, 0)[EAX];
            if leaf <= last { cpuid(leaf, subleaf) } else { [0; 4] }
        };
        let sets = leaf(XSAVE_AREA, 0)[EAX];
        Abilities {
            words: WORDS.map(|(number, register)| leaf(number, 0)[register]),
            saved_at: REGISTERS.map(|(_, bit)| {
                let set = leaf(XSAVE_AREA, bit);
                (sets & (1 << bit) != 0).then_some((set[EBX], set[EAX]))
            }),
        }
    }

    /// Whether what counts on this can go on where there are the abilities `here`.
    pub fn suffice_in(&self, here: &Abilities) -> Result<(), Unfit> {
        let missing = EXTENSIONS.iter().find(|(_, word, bit)| {
            let word = usize::from(*word);
            (self.words[word] & !here.words[word]) & 1 << bit != 0
        });
        if let Some((name, ..)) = missing {
            return Err(Unfit::Lacks(name));
        }
        for (index, (name, _)) in REGISTERS.iter().enumerate() {
            match (self.saved_at[index], here.saved_at[index]) {
                (Some(_), None) => return Err(Unfit::Lacks(name)),
                (Some(there), Some(here)) if there != here => return Err(Unfit::Elsewhere(name)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Why a rank cannot go on on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Instructions or registers are missing; the first of them.
    #[error("this image was saved on a processor with {0}, which this one lacks")]
    Lacks(&'static str),
    /// XSAVE lays the registers out in another way, so those that it has saved there cannot be read
    /// here.
    #[error("this image was saved on a processor that keeps its {0} elsewhere than this one does")]
    Elsewhere(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// A processor with AVX2 and AVX-512, as CPUID tells of it.
    fn large(leaf: u32, subleaf: u32) -> [u32; 4] {
        match (leaf, subleaf) {
            (0, _) => [0xd, 0, 0, 0],
            (0x8000_0000, _) => [0x8000_0001, 0, 0, 0],
            (1, _) => [0, 0, 1 << 12 | 1 << 26 | 1 << 28, 0],
            (7, 0) => [0, 1 << 5 | 1 << 16, 0, 0],
            (0xd, 0) => [0xe7, 0, 0, 0],
            (0xd, 2) => [256, 576, 0, 0],
            (0xd, 5) => [64, 1088, 0, 0],
            (0xd, 6) => [512, 1152, 0, 0],
            (0xd, 7) => [1024, 1664, 0, 0],
            _ => [0; 4],
        }
    }

    /// One with nothing.
    fn small(leaf: u32, _: u32) -> [u32; 4] {
        // Leaves beyond the last one read as all ones: they must not count.
        match leaf {
            0 | 0x8000_0000 => [leaf, 0, 0, 0],
            _ => [u32::MAX; 4],
        }
    }

    fn moved(
        from: impl Fn(u32, u32) -> [u32; 4],
        to: impl Fn(u32, u32) -> [u32; 4],
    ) -> Result<(), alloc::string::String> {
        let result = Abilities::read(from).suffice_in(&Abilities::read(to));
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn a_processor_with_all_that_there_was_will_do() {
        assert_eq!(moved(large, large), Ok(()));
        assert_eq!(moved(small, small), Ok(()));
        assert_eq!(moved(small, large), Ok(()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let without_avx2 = |leaf, subleaf| match leaf {
            7 => [0, 1 << 16, 0, 0],
            _ => large(leaf, subleaf),
        };
        assert_eq!(
            moved(large, without_avx2).unwrap_err(),
            "this image was saved on a processor with AVX2, which this one lacks"
        );
        assert!(moved(large, small).unwrap_err().contains("with XSAVE, which"));
    }

    #[test]
    fn registers_that_cannot_be_saved_or_read_are_named() {
        let without_avx512 = |leaf, subleaf| match (leaf, subleaf) {
            (0xd, 0) => [0x07, 0, 0, 0],
            _ => large(leaf, subleaf),
        };
        assert!(
            moved(large, without_avx512).unwrap_err().contains("AVX-512 mask registers, which")
        );
        assert_eq!(moved(without_avx512, large), Ok(()));
        // As on some processors of another maker.
        let packed = |leaf, subleaf| match (leaf, subleaf) {
            (0xd, 5) => [64, 832, 0, 0],
            _ => large(leaf, subleaf),
        };
        assert!(moved(large, packed).unwrap_err().contains("keeps its AVX-512 mask registers"));
    }
}
