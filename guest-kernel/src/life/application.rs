//! What an application finds: its arguments, and this rank of its job.

use alloc::string::String;
use alloc::vec::Vec;

use armci_nostd::Armci;

use super::fatal;
use crate::arch::lock::Once;
use crate::rank::attachment;

static ARGUMENTS: Once<Vec<String>> = Once::new();
static ENVIRONMENT: Once<Vec<String>> = Once::new();

/// Remembers what the command line says.
pub(super) fn set(arguments: Vec<String>, environment: Vec<String>) {
    ARGUMENTS.set(arguments);
    ENVIRONMENT.set(environment);
}

/// What `pgas run --env` has added to the environment: `NAME=VALUE` each.
#[cfg(feature = "c")]
pub(super) fn environment() -> &'static [String] {
    ENVIRONMENT.get().map_or(&[], |environment| environment)
}

/// The application's arguments, without the program's name: the kernel's command line from `--` on,
/// or all words that do not begin with `xenolith.`.
pub fn args() -> &'static [String] {
    ARGUMENTS.get().map_or(&[], |arguments| arguments)
}

/// This rank of its job; the first call attaches it.
///
/// What job, the command line says (`xenolith.rank` and others, set by `pgas run`); without that it
/// is the only rank of a job of one. A rank that cannot be attached ends with an error.
pub fn armci() -> &'static Armci {
    attachment::armci()
        .unwrap_or_else(|error| fatal::die(format_args!("cannot attach to the job: {error}")))
}
