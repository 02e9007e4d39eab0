//! From the entry code to the application.

use crate::Exit;
use crate::arch::lock::Once;
use crate::arch::trap::Handlers;
use crate::arch::{self, cpu, heap, landing, paging, standstill};
use crate::logic::command_line::{CommandLine, REST};
use crate::rank::{attachment, place};
use crate::xen::boot_info::BootInfo;
use crate::xen::{events, files, stdin};

use super::{application, end, fatal, parts, suspension};

static BOOT_INFO: Once<BootInfo> = Once::new();

#[allow(unsafe_code, reason = "the application is another crate, which only the linker knows")]
unsafe extern "Rust" {
    /// The application; made by [`main!`](crate::main).
    safe fn xenolith_application() -> Exit;
}

/// The beginning, on the entry code's page tables and a small stack.
#[allow(unsafe_code, reason = "the entry code knows it by this name")]
// SAFETY: nothing else has this name, and the entry code declares it as it is.
#[unsafe(no_mangle)]
extern "Rust" fn xenolith_boot(start_info: u64) -> ! {
    let info =
        BootInfo::read(start_info).unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    let plan = info.plan().unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    BOOT_INFO.set(info);
    let handlers = Handlers { exception: fatal::exception, events: events::deliver_calling };
    arch::become_the_kernel(&plan, handlers, run)
}

/// The rest, on the main stack.
fn run() -> ! {
    heap::set_up();
    let info = BOOT_INFO.get().unwrap_or_else(|| unreachable!());
    events::set_afterwards(suspension::serve);
    standstill::set_arrival(parts::land);
    let line = CommandLine::parse(info.command_line());
    place::set(line.as_ref().ok().and_then(|line| line.place.clone()));
    if line.as_ref().is_ok_and(|line| line.lands) {
        wait_to_land();
    }
    parts::connect();
    cpu::enable_interrupts();
    attachment::become_reachable();
    report_up();
    let line = line.unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    let rest = files::set_up(info, line.goes_on.then_some(REST))
        .unwrap_or_else(|error| fatal::die(format_args!("{error}")));
    let line = match (line.goes_on, rest) {
        (false, _) => line,
        (true, Some(rest)) => line
            .and_rest(rest)
            .unwrap_or_else(|error| fatal::die(format_args!("in the boot module: {error}"))),
        (true, None) => fatal::die(format_args!(
            "the command line goes on in `{REST}`, and no boot module has that file"
        )),
    };
    if line.has_stdin {
        stdin::promise();
    }
    application::set(line.arguments, line.environment);
    end::exit(xenolith_application())
}

/// Becomes a rank that was saved.
fn wait_to_land() -> ! {
    parts::connect_to_land();
    cpu::enable_interrupts();
    report_up();
    let ports = attachment::offer_to_land()
        .unwrap_or_else(|error| fatal::die(format_args!("cannot wait for a saved rank: {error}")));
    landing::wait(ports)
}

fn report_up() {
    end::report_up(format_args!(
        "rank={} size={} memory={} version={}",
        place::rank(),
        place::size(),
        paging::plan().map_or(0, |plan| plan.ram.len()),
        env!("CARGO_PKG_VERSION"),
    ));
}
