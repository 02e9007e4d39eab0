//! Notes what becomes of a job when it is heard.

use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use dom0_proxy::control::Reply;

use crate::history::History;

/// A history that is being written.
#[derive(Debug, Default)]
pub struct Recorder(History);

impl Recorder {
    /// A life of a job of that many ranks is asked for.
    pub fn begin(&mut self, size: u32) {
        self.0.begin(size, now());
    }

    /// The daemon says this of it.
    pub fn hear(&mut self, reply: &Reply) {
        self.0.hear(reply, now());
    }

    /// It has not been seen to its end, for this reason.
    pub fn lose(&mut self, why: &impl Display) {
        self.0.lose(why.to_string(), now());
    }

    /// What was noted.
    pub fn history(&self) -> &History {
        &self.0
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
