//! The end of a kernel that cannot go on: one line that says why, what helps to find it, the cause
//! in xenstore, and a crashed domain.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use super::end;
use crate::arch::trap::{Registers, UPCALL_VECTOR};
use crate::arch::{cpu, heap, stack};
use crate::logic::fault::{PageFault, exception_name};
use crate::rank::place;
use crate::xen::console;

/// The vector of a page fault.
const PAGE_FAULT: u64 = 14;

/// Ends the domain because of this.
pub(super) fn die(cause: fmt::Arguments<'_>) -> ! {
    let frame = stack::frame_pointer();
    end(&say(cause), None, frame)
}

/// Ends the domain because of a processor exception. `address` is CR2.
pub(super) fn exception(registers: &Registers, address: u64) -> ! {
    let Registers { vector, error_code, rip, rbp, .. } = *registers;
    let line = if vector == PAGE_FAULT {
        let stack =
            stack::all().find(|stack| stack.guard.contains(address)).map(|stack| stack.name);
        let fault = PageFault { address, error_code, stack };
        say(format_args!("{fault}, rip {rip:#x}"))
    } else if vector == u64::from(UPCALL_VECTOR) {
        say(format_args!(
            "an interrupt was delivered twice, as by an emulated processor now and then: what it \
             had interrupted is lost"
        ))
    } else {
        let name = exception_name(vector);
        say(format_args!("{name} (exception {vector}, error code {error_code:#x}), rip {rip:#x}"))
    };
    print_registers(registers);
    end(&line, Some(rip), rbp)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let frame = stack::frame_pointer();
    let mut message = OneLine::new();
    // A line never fails.
    let _ = write!(message, "{}", info.message());
    let message = message.text();
    // The standard library's allocation functions panic so when there is no memory.
    let line = if message.starts_with("memory allocation of ") {
        let heap::Usage { used, size } = heap::usage();
        say(format_args!("out of memory: {message} ({used} of {size} bytes of heap in use)"))
    } else if let Some(location) = info.location() {
        say(format_args!("panicked at {location}: {message}"))
    } else {
        say(format_args!("panicked: {message}"))
    };
    end(&line, None, frame)
}

/// Says why the domain ends, whatever state it is in. Gives the cause as one line.
#[cold]
#[inline(never)]
fn say(cause: fmt::Arguments<'_>) -> OneLine {
    cpu::disable_interrupts();
    static DYING: AtomicBool = AtomicBool::new(false);
    // Dying went wrong as well: then at least quickly.
    if DYING.swap(true, Ordering::Relaxed) {
        end::crash()
    }
    console::connect_in_an_emergency();
    let mut line = OneLine::new();
    let _ = write!(line, "{cause}");
    console::say(format_args!("fatal: rank {}: {}", place::rank(), line.text()));
    line
}

/// Says where it happened, at an instruction if that is known and in the functions of this frame,
/// and ends the domain because of `cause`.
#[cold]
#[inline(never)]
fn end(cause: &OneLine, instruction: Option<u64>, frame: u64) -> ! {
    for address in instruction.into_iter().chain(stack::backtrace(frame)) {
        console::say(format_args!("  {address:#x}"));
    }
    console::drain();
    end::report_crash(cause.text());
    end::crash()
}

fn print_registers(registers: &Registers) {
    let Registers { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, .. } = registers;
    let Registers { r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags, cs, .. } = registers;
    console::say(format_args!("rax={rax:#018x} rbx={rbx:#018x} rcx={rcx:#018x} rdx={rdx:#018x}"));
    console::say(format_args!("rsi={rsi:#018x} rdi={rdi:#018x} rbp={rbp:#018x} rsp={rsp:#018x}"));
    console::say(format_args!("r8 ={r8:#018x} r9 ={r9:#018x} r10={r10:#018x} r11={r11:#018x}"));
    console::say(format_args!("r12={r12:#018x} r13={r13:#018x} r14={r14:#018x} r15={r15:#018x}"));
    console::say(format_args!("rip={rip:#018x} rflags={rflags:#x} cs={cs:#x}"));
}

/// Text that is made one line: it may come from the application, and there is no heap to count on.
struct OneLine {
    bytes: [u8; 1024],
    len: usize,
}

impl OneLine {
    fn new() -> Self {
        OneLine { bytes: [0; 1024], len: 0 }
    }

    fn text(&self) -> &str {
        let bytes = &self.bytes[..self.len];
        match core::str::from_utf8(bytes) {
            Ok(text) => text.trim_end(),
            // Cut off within a character.
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + count].copy_from_slice(&bytes[..count]);
        self.len += count;
    }
}

impl Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, line) in text.split('\n').enumerate() {
            let line = if index > 0 { line.trim_start() } else { line };
            if index > 0 && !line.is_empty() {
                self.push(b"; ");
            }
            self.push(line.as_bytes());
        }
        Ok(())
    }
}
