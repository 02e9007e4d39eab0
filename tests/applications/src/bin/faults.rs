//! An application that goes wrong in the way it is told to, for tests of what the user then sees.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;

use guest_kernel::{Exit, println};

guest_kernel::main!(run);

const USAGE: &str = "usage: faults [--rank RANK] KIND
With a rank only that one does it, and the others wait for it in a barrier.
  panic           panic with a message
  null            read through a null pointer
  stack           call without end
  text            write to its own code
  data            execute data
  divide          divide by zero, past the compiler's check
  privileged      use a non-canonical address
  memory          allocate more than there is
  spurious        (in Xen) the upcall's interrupt while interrupts are off: no fault, it is ignored
  exit N          exit with status N
  compute [N]     compute N million steps and print a checksum, or compute forever";

fn run() -> Exit {
    // Attaches to the job, so that the fault is one of a rank's.
    let armci = guest_kernel::armci();
    let words: Vec<&str> = guest_kernel::args().iter().map(|word| word.as_str()).collect();
    println!("rank {} of {}: {}", armci.rank(), armci.size(), words.join(" "));
    let words = match words[..] {
        ["--rank", rank, ..] => match rank.parse::<usize>() {
            Ok(rank) if rank == armci.rank() => &words[2..],
            Ok(_) => {
                return match armci.barrier() {
                    Ok(()) => Exit::SUCCESS,
                    Err(error) => {
                        println!("error: {error}");
                        Exit::FAILURE
                    }
                };
            }
            Err(_) => return usage(),
        },
        _ => &words[..],
    };
    match *words {
        ["panic"] => panic!("asked to panic\nwith two lines"),
        ["null"] => read_null(),
        ["stack"] => {
            println!("{}", call_without_end(1));
        }
        ["text"] => write_text(),
        ["data"] => execute_data(),
        ["divide"] => divide_by_zero(),
        ["privileged"] => read_non_canonical(),
        ["memory"] => println!("{} bytes", Vec::<u8>::with_capacity(black_box(1 << 46)).capacity()),
        ["spurious"] => spurious_interrupts(),
        ["exit", status] => match status.parse::<i32>() {
            Ok(status) => return Exit::from(status),
            Err(_) => return usage(),
        },
        ["compute"] => loop {
            black_box(compute(1_000_000));
        },
        ["compute", steps] => match steps.parse::<u64>() {
            Ok(millions) => {
                println!("checksum {:016x}", compute(millions.saturating_mul(1_000_000)).to_bits())
            }
            Err(_) => return usage(),
        },
        _ => return usage(),
    }
    Exit::SUCCESS
}

fn usage() -> Exit {
    println!("{USAGE}");
    Exit::from(2)
}

fn read_null() {
    let value: u64;
    // SAFETY: none: this is to fault. In assembly, so that the compiler cannot know.
    unsafe { core::arch::asm!("mov {}, [{}]", out(reg) value, in(reg) 0u64) };
    println!("read {value} through a null pointer");
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn call_without_end(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    call_without_end(black_box(depth + 1)) + frame[63]
}

fn write_text() {
    let code = write_text as fn() as *mut u8;
    // SAFETY: none: this is to fault.
    unsafe { code.write_volatile(0xc3) };
    println!("wrote to my own code");
}

fn execute_data() {
    static CODE: [u8; 1] = [0xc3];
    // SAFETY: none: this is to fault; if it does not, the data are a return instruction.
    unsafe { core::arch::asm!("call {}", in(reg) CODE.as_ptr(), clobber_abi("C")) };
    println!("executed data");
}

/// Emulated processors have been seen to deliver an interrupt twice.
fn spurious_interrupts() {
    #[cfg(xenolith_guest)]
    for _ in 0..1000 {
        // SAFETY: the upcall's vector; its stub leaves all registers as they are, and runs on a
        // stack of its own.
        unsafe { core::arch::asm!("pushfq", "cli", "int 0x30", "popfq") };
    }
    println!("still here");
}

fn divide_by_zero() {
    let quotient: u64;
    // SAFETY: none: this is to fault.
    unsafe {
        core::arch::asm!(
            "div {}",
            in(reg) 0u64,
            inout("rax") 1u64 => quotient,
            inout("rdx") 0u64 => _,
        )
    };
    println!("1 / 0 = {quotient}");
}

fn read_non_canonical() {
    let value: u64;
    // SAFETY: none: this is to fault.
    unsafe { core::arch::asm!("mov {}, [{}]", out(reg) value, in(reg) 1u64 << 63) };
    println!("read {value} from a non-canonical address");
}

/// Floating-point work whose result changes if any register is lost on the way.
fn compute(steps: u64) -> f64 {
    let mut values = [0.5, 0.25, 0.125, 0.75, 0.375, 0.625, 0.875, 0.0625];
    for _ in 0..steps {
        for value in &mut values {
            *value = 3.7 * *value * (1.0 - *value);
        }
    }
    values.iter().sum()
}
