//! What `pgas run` and `pgas logs` show of the ranks' output.
//!
//! ```text
//! writer    the thread that shows a job's output as it comes
//! lines     whole lines, or beginnings of lines that take their time
//! tagged    lines for people: whose each is, and when it came
//! json      lines for programs
//! ```

mod json;
mod lines;
mod tagged;
mod writer;

pub use json::JsonLine;
pub use lines::Fragment;
pub use tagged::{Style, Tagged};
pub use writer::{Presentation, Writer};
