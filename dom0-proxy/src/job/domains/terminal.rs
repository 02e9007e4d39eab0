//! The pseudo-terminals at which consoles of domains are read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Whether this is the path of a pseudo-terminal and nothing else.
pub fn is_terminal_path(path: &str) -> bool {
    let number = path.strip_prefix("/dev/pts/").unwrap_or_default();
    !number.is_empty() && number.len() < 10 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Opens a pseudo-terminal so that bytes pass unchanged and are not sent back.
pub fn open_terminal(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let terminal =
        File::options().read(true).write(true).custom_flags(flags.bits() as i32).open(path)?;
    let mut attributes = tcgetattr(&terminal)?;
    attributes.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &attributes)?;
    Ok(terminal.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pseudo_terminals_are_opened() {
        assert!(is_terminal_path("/dev/pts/0"));
        assert!(is_terminal_path("/dev/pts/12"));
        for path in [
            "",
            "/dev/pts/",
            "/dev/pts/ptmx",
            "/dev/pts/../sda",
            "/etc/passwd",
            "/dev/pts/99999999999",
        ] {
            assert!(!is_terminal_path(path), "{path}");
        }
    }
}
