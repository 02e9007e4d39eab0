//! Running a C program: the beginning that Linux would make for it.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;

use armci_nostd::capi::System;
use xen_hypercall::PAGE_SIZE;

use super::{application, end, fatal};
use crate::Exit;
use crate::arch::system_call::SystemCall;
use crate::arch::{c_library, cpu, system_call};
use crate::linux::{self, Answer};
use crate::logic::linux_abi::{ProgramHeader, auxiliary, beginning};
use crate::rank::place;
use crate::xen::{clock, console};

/// What ARMCI's C functions find here. The first of them that is called attaches the rank; the
/// domain's end leaves the job.
#[allow(unsafe_code, reason = "found by its name: only programs with ARMCI are linked with it")]
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a symbol's name")]
static xenolith_armci_system: System = System {
    rank: application::armci,
    say: |line| {
        console::begin_line();
        console::print(format_args!("{line}\n"));
    },
    end: c_library::end,
    seconds: || clock::now().as_secs_f64(),
};

/// Runs the C program that image-builder has linked into this image: its `main` gets the
/// application's [arguments](crate::args) behind the program's name, and in the environment
/// `XENOLITH_RANK`, `XENOLITH_SIZE`, and what `pgas run --env` adds.
///
/// ARMCI's C functions are there too; a program that calls none of them runs alone.
///
/// The program ends by returning from `main` or by C's `exit`, both of which end the domain.
pub fn run_c_program() -> Exit {
    system_call::set_up(serve);
    let arguments =
        core::iter::once(c_library::name().into()).chain(application::args().iter().map(text));
    let arguments: Box<[&CStr]> = arguments.map(kept).collect();
    let environment =
        [format!("XENOLITH_RANK={}", place::rank()), format!("XENOLITH_SIZE={}", place::size())];
    let environment = environment.iter().chain(application::environment()).map(text);
    let environment = environment.map(kept);
    let header: &ProgramHeader = Box::leak(Box::new(c_library::thread_local()));
    let random: &[u64; 2] = Box::leak(Box::new(seed()));
    let auxiliary = [
        (auxiliary::PAGE_SIZE, PAGE_SIZE as u64),
        (auxiliary::PROGRAM_HEADERS, core::ptr::from_ref(header) as u64),
        (auxiliary::PROGRAM_HEADER_SIZE, size_of::<ProgramHeader>() as u64),
        (auxiliary::PROGRAM_HEADER_COUNT, 1),
        (auxiliary::RANDOM, core::ptr::from_ref(random) as u64),
    ];
    let words =
        beginning(arguments.iter().map(|text| address(text)), environment.map(address), &auxiliary);
    c_library::run(words.leak())
}

/// Serves a system call, which may be the program's last.
fn serve(call: &SystemCall) -> u64 {
    match linux::serve(call) {
        Answer::Returns(value) => value,
        Answer::Exits(exit) => end::exit(exit),
        Answer::Dies(reason, signal) => fatal::die(format_args!("{reason}, signal {signal}")),
    }
}

fn text(text: &String) -> CString {
    CString::new(text.as_str()).unwrap_or_else(|_| {
        fatal::die(format_args!("a zero in an argument or the environment: {text:?}"))
    })
}

/// A text that stays forever: a program may keep pointers to its arguments, and write to them.
fn kept(text: CString) -> &'static CStr {
    Box::leak(text.into_boxed_c_str())
}

fn address(text: &CStr) -> u64 {
    text.as_ptr() as u64
}

/// Numbers that differ from start to start, for the C library's checks of its heap and of stacks.
/// No secrets.
fn seed() -> [u64; 2] {
    let mix = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ number;
    let [time, ticks] = [clock::time_of_day().as_nanos() as u64, cpu::time_stamp_counter()];
    [mix(time ^ mix(ticks)), mix(ticks.wrapping_add(mix(time)))]
}
