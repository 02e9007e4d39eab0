//! The kernel proper, in safe Rust: what happens in which order from boot to exit.

use alloc::string::String;
use core::sync::atomic::{AtomicBool, Ordering};

use super::{fatal, parts, suspension};
use crate::arch::lock::Once;
use crate::arch::{self, heap};
use crate::logic::command_line::CommandLine;
use crate::rank::{attachment, place};
use crate::xen::boot_info::BootInfo;
use crate::xen::{console, events, files};
use crate::{Exit, File};

static BOOT_INFO: Once<BootInfo> = Once::new();
static ARGUMENTS: Once<alloc::vec::Vec<String>> = Once::new();
static FILES: Once<alloc::vec::Vec<File>> = Once::new();

/// Set while events are dealt with.
static SERVING: AtomicBool = AtomicBool::new(false);

#[allow(unsafe_code, reason = "the application is another crate, which only the linker knows")]
unsafe extern "Rust" {
    /// The application; made by [`main!`](crate::main).
    safe fn xenolith_application() -> Exit;
}

/// The beginning, on the entry code's page tables and a small stack.
pub(crate) fn boot(start_info: u64) -> ! {
    let info =
        BootInfo::read(start_info).unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    let plan = info.plan().unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    BOOT_INFO.set(info);
    arch::become_the_kernel(&plan, run)
}

/// The rest, on the main stack.
fn run() -> ! {
    heap::set_up();
    let info = BOOT_INFO.get().unwrap_or_else(|| unreachable!());
    parts::connect();
    arch::cpu::enable_interrupts();

    let line = CommandLine::parse(info.command_line());
    place::set(line.as_ref().ok().and_then(|line| line.place.clone()));
    crate::println!(
        "xenolith: up rank={} size={} memory={} version={}",
        place::rank(),
        place::size(),
        arch::paging::plan().map_or(0, |plan| plan.ram.len()),
        env!("CARGO_PKG_VERSION"),
    );
    match line {
        Ok(line) => ARGUMENTS.set(line.arguments),
        Err(error) => fatal::die(format_args!("{error}")),
    };
    FILES.set(files::read(info).unwrap_or_else(|error| fatal::die(format_args!("{error}"))));
    exit(xenolith_application())
}

/// Called by Xen when events are pending, at any instruction of the application.
pub(crate) fn upcall() {
    serve(events::deliver_calling);
}

/// Deals with events, and then with what the toolstack may have asked for by them. With interrupts
/// off.
pub(crate) fn serve(deliver: fn()) {
    SERVING.store(true, Ordering::Relaxed);
    deliver();
    suspension::serve();
    SERVING.store(false, Ordering::Relaxed);
}

/// Serves what the toolstack has asked for and what was held off.
pub(crate) fn serve_now() {
    arch::cpu::without_interrupts(|| serve(events::deliver_calling));
}

/// Whether the caller may wait for events: not while they are dealt with, nor with interrupts off.
pub(crate) fn may_block() -> bool {
    arch::cpu::interrupts_enabled() && !SERVING.load(Ordering::Relaxed)
}

/// The application's arguments, without the program's name: the kernel's command line from `--` on,
/// or all words that do not begin with `xenolith.`.
pub fn args() -> &'static [String] {
    ARGUMENTS.get().map_or(&[], |arguments| arguments)
}

/// The read-only files that the application was started with.
///
/// In a domain: the boot modules (`ramdisk=` in xl.cfg). A module that is a cpio archive gives the
/// files in it; any other is one file with its command line as name, or `ramdisk` if it has none.
pub fn files() -> &'static [File] {
    FILES.get().map_or(&[], |files| files)
}

/// Ends the domain with this status, after all that has been printed has been read.
pub fn exit(exit: impl Into<Exit>) -> ! {
    let exit = attachment::leave(exit.into());
    suspension::report(exit);
    console::begin_line();
    crate::println!("xenolith: exit {}", exit.code());
    suspension::off()
}
