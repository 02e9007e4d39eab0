//! Ranks as PVH domains, one each.
//!
//! ```text
//! capacity  whether the host has room for a job
//! start     the domains of a job: created, watched, destroyed
//! record    what `xl create` reads: configurations, the image (`image`), the boot module (`cpio`)
//! regular_file  opening what a user has named
//! create    the threads that create domains, a few at a time (`parallel`)
//! watch     the thread that finds domains, attaches them, and sees them end
//! terminal  where their consoles are read
//! input     the thread that puts the user's standard input into their console pages
//! destroy   whatever there is of a job, also of a daemon that has died
//! ```

mod capacity;
mod cpio;
mod create;
mod destroy;
mod image;
mod input;
mod parallel;
mod record;
mod regular_file;
mod start;
mod terminal;
mod watch;

pub use capacity::check;
pub use destroy::destroy_all;
pub use image::{NAME as IMAGE_IN_RECORD, check_image};
pub use record::MODULE as MODULE_IN_RECORD;
pub use start::Domains;
