//! Where the daemon keeps its sockets, its records of jobs, and their logs.
//!
//! ```text
//! RUN_DIR/lock             held by the daemon; its text is the daemon's process id
//! RUN_DIR/proxy.sock       pgas connects here
//! RUN_DIR/ranks.sock       hosted ranks connect here
//! RUN_DIR/address          where the daemon listens for members, if it does
//! RUN_DIR/daemon.log       what a daemon that pgas started says; what it said before: daemon.log.1
//! RUN_DIR/jobs/JOB/        record of a running job: configurations, boot modules; gone with it
//! LOG_DIR/JOB/rank-R.log   each rank's console, kept for the last jobs
//! LOG_DIR/JOB/origin.json  the job that this one goes on with, if it does
//! ```
//!
//! Nothing is removed but what is provably a job's own: a directory of this user that has a job's
//! name, with a mark inside that has it too. See `job_folder`.

mod daemon_log;
mod folders;
mod job_folder;
mod lock;
mod origin;

pub use daemon_log::DaemonLog;
pub use folders::{JobFolders, LOGS_KEPT, RunDir};
pub use job_folder::{JobFolder, is_job_name, random_job_name};
pub use lock::Lock;
pub use origin::{JobOrigin, RestoredLine};
