//! The daemon's sockets, and who may connect to them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::error::{Context, Error, Result};

/// Listens at `path`, for this user alone. Whatever is there is of a daemon that has died, since we
/// have the lock.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let context = || format!("listen on {}", path.display());
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context(context);
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).context(context)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).context(context)?;
    listener.set_nonblocking(true).context(context)?;
    Ok(listener)
}

/// Only the daemon's own user and root may talk to it: jobs run with its rights.
pub fn check_peer(stream: &UnixStream) -> Result<()> {
    stream.set_nonblocking(false).context(|| "talk with a client")?;
    let peer = rustix::net::sockopt::socket_peercred(stream).context(|| "ask who a client is")?;
    if peer.uid.is_root() || peer.uid == rustix::process::geteuid() {
        return Ok(());
    }
    Err(Error::Protocol {
        peer: format!("user {}", peer.uid.as_raw()),
        why: "this daemon serves its own user alone".into(),
    })
}
