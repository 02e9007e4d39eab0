//! Says in words what a processor exception means.

use core::fmt;

use xen_hypercall::PAGE_SIZE;

/// A page fault's error code (AMD64 manual, volume 2, 8.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The address that was used.
    pub address: u64,
    /// The error code.
    pub error_code: u64,
    /// The stack below which the address lies in the guard page, if so.
    pub stack: Option<&'static str>,
}

impl PageFault {
    fn present(self) -> bool {
        self.error_code & 1 != 0
    }

    fn write(self) -> bool {
        self.error_code & 2 != 0
    }

    fn reserved_bit(self) -> bool {
        self.error_code & 8 != 0
    }

    fn fetch(self) -> bool {
        self.error_code & 16 != 0
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match (self.fetch(), self.write()) {
            (true, _) => "jump to",
            (false, true) => "write to",
            (false, false) => "read of",
        };
        let address = self.address;
        if let Some(stack) = self.stack {
            write!(
                f,
                "stack overflow: {access} the guard page of the {stack} stack at {address:#x}"
            )
        } else if self.reserved_bit() {
            write!(f, "damaged page tables: {access} {address:#x}")
        } else if address < PAGE_SIZE as u64 {
            write!(f, "null pointer: {access} address {address:#x}")
        } else if !self.present() {
            write!(f, "{access} unmapped address {address:#x}")
        } else if self.fetch() {
            write!(f, "execution of data at {address:#x}")
        } else {
            write!(f, "write to read-only memory at {address:#x}")
        }
    }
}

/// The name of an exception.
pub fn exception_name(vector: u64) -> &'static str {
    match vector {
        0 => "division by zero or overflow",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        // image-builder puts breakpoints where a C library gives up by an instruction that only
        // privileged code may use.
        3 if cfg!(feature = "c") => {
            "a check in the C library failed: damaged heap, double free or the like"
        }
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound exceeded",
        6 => "invalid instruction",
        7 => "floating point not available",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 floating-point error",
        17 => "misaligned access",
        18 => "machine check",
        19 => "SIMD floating-point error",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "unknown exception",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn words(address: u64, error_code: u64, stack: Option<&'static str>) -> String {
        PageFault { address, error_code, stack }.to_string()
    }

    #[test]
    fn page_faults_are_told_apart() {
        assert_eq!(words(0, 0, None), "null pointer: read of address 0x0");
        assert_eq!(words(8, 2, None), "null pointer: write to address 0x8");
        assert_eq!(words(0, 16, None), "null pointer: jump to address 0x0");
        assert_eq!(words(0x10_0000, 3, None), "write to read-only memory at 0x100000");
        assert_eq!(words(0x20_0000, 17, None), "execution of data at 0x200000");
        assert_eq!(words(0xdead_0000, 0, None), "read of unmapped address 0xdead0000");
        assert_eq!(
            words(0x2_8ff8, 2, Some("main")),
            "stack overflow: write to the guard page of the main stack at 0x28ff8"
        );
        assert_eq!(words(0x2_8ff8, 9, None), "damaged page tables: read of 0x28ff8");
    }
}
