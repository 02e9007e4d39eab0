//! Chaos: many jobs on one daemon, hosted or in Xen, beside ranks that mean harm, while `pgas`,
//! ranks and the daemon are killed, jobs are held, the disk fills up and the clock steps. What must
//! hold: a job that nobody has touched succeeds, every status says what has happened to its job,
//! and nothing is left behind.
//!
//! ```text
//! platform     what is different where ranks are processes, and where they are domains
//! hostile      the kinds of ranks that mean harm
//! plan         what each job is, and what is done to it: all of it follows from the seed
//! job          one job: started, disturbed, and its end judged
//! lanes        who runs which job when; the hostile ones beside them
//! disturbance  clock, disk and daemon, while jobs run
//! remains      what is left when all is over
//! ```

mod disturbance;
mod hostile;
mod job;
mod lanes;
mod plan;
mod platform;
mod remains;

pub use lanes::{Chaos, Outcome};
pub use platform::Platform;

/// Marks, with the number of a job or the name of a hostile kind, whatever chaos has started.
const MARK: &str = "XENOLITH_CHAOS";
