//! The user's terminal, for `shell`.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::channel::TerminalSize;

/// What the terminal was like before it was made raw.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// Passes every key on as it is typed, until [`restore`].
pub fn make_raw() -> io::Result<()> {
    let original = tcgetattr(io::stdin())?;
    let mut raw = original.clone();
    raw.make_raw();
    *ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(original);
    tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
    Ok(())
}

/// Undoes [`make_raw`], if it was done.
pub fn restore() {
    if let Some(original) = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // There is nothing better to do if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &original);
    }
}

/// Its size, if it is one.
pub fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(io::stdin()).ok()?;
    Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}
