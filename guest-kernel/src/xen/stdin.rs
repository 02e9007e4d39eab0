//! Standard input: a ring in the console's page, which the daemon of `pgas` fills.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use super::{console, idle};
use crate::logic::byte_ring::ByteRing;
use crate::stdin_error::StdinError;

/// Whether the command line promises input. Nobody has any for a domain that was started alone.
static PROMISED: AtomicBool = AtomicBool::new(false);

/// How long to wait between two looks at an empty ring: no event tells of bytes in it. Twice as
/// long each time.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// From now on input is waited for.
pub(crate) fn promise() {
    PROMISED.store(true, Ordering::Relaxed);
}

/// Reads some bytes of standard input, as many as `buffer` has room for at most, and waits until
/// there is one. 0 bytes: the input has ended, or the rank has none.
///
/// # Errors
/// [`StdinError`] if whoever writes makes no sense.
pub fn read(buffer: &mut [u8]) -> Result<usize, StdinError> {
    let page = console::page().filter(|_| PROMISED.load(Ordering::Relaxed));
    let Some(stdin) = page.map(|page| &page.stdin) else { return Ok(0) };
    if buffer.is_empty() {
        return Ok(0);
    }
    stdin.wanted.store(1, Ordering::Relaxed);
    let ring =
        ByteRing { bytes: &stdin.bytes, produced: &stdin.produced, consumed: &stdin.consumed };
    let mut pause = LOOK_AGAIN.0;
    loop {
        // Before the ring: what was written before the end is there to be read.
        let ended = stdin.ended.load(Ordering::Acquire) != 0;
        let count = ring.read(buffer).map_err(StdinError::new)?;
        if count > 0 || ended {
            return Ok(count);
        }
        idle::sleep(pause);
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
}
