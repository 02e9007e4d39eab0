//! What `pgas run` and `pgas logs` show of the ranks' output.
//!
//! ```text
//! job       a job: its start, its output, its end
//! writer    the thread that shows a job's output as it comes
//! lines     whole lines, or beginnings of lines that take their time
//! tagged    lines for people: whose each is, and when it came
//! shown     what has been shown, over all runs of a job
//! json      lines for programs
//! ```

mod job;
mod json;
mod lines;
mod shown;
mod tagged;
mod writer;

pub use job::{Show, say, say_lines, say_unshown};
pub use json::JsonLine;
pub use lines::Fragment;
pub use shown::{Mark, Shown};
pub use tagged::{Style, Tagged};
