//! What domain 0 needs of Xen: the store, event channels, granted pages, and the consoles' among
//! them.
//!
//! These are the kernel's own interfaces, `/dev/xen/*` and the store's socket, described in Xen's
//! public headers and Linux' `include/uapi/xen`. All unsafe code of Xen's side is here, wrapped so
//! that its users need none.

mod console_page;
mod event_channel;
mod grant_mapping;
pub mod store;
pub mod wire;

pub use console_page::{ConsolePage, Unread};
pub use event_channel::{EventChannel, EventDevice};
pub use grant_mapping::GrantMapping;
pub use store::Store;

use std::path::Path;

use crate::error::{Error, Result};

/// Whether the kernel of this domain is paravirtualised. Such a kernel maps each page of another
/// domain twice: once for itself, once for its process.
pub fn is_paravirtual() -> bool {
    // Linux' Documentation/ABI/stable/sysfs-hypervisor-xen.
    std::fs::read_to_string("/sys/hypervisor/guest_type").is_ok_and(|kind| kind.trim() == "PV")
}

/// The version of Xen below this Linux.
pub fn version() -> Option<String> {
    // Linux' Documentation/ABI/stable/sysfs-hypervisor-xen; `extra` begins with a dot.
    let part = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/hypervisor/version/{name}")).ok()?;
        Some(text.trim().to_owned())
    };
    Some(format!("{}.{}{}", part("major")?, part("minor")?, part("extra")?))
}

/// Whether this process may create domains: domain 0 of a Xen host, as root.
pub fn check_privileged() -> Result<()> {
    check_host()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    Ok(())
}

/// Whether this is domain 0 of a Xen host.
pub fn check_host() -> Result<()> {
    let missing = |what: &str| Error::NoXen { missing: what.to_owned() };
    if !Path::new("/proc/xen").exists() {
        return Err(missing("no /proc/xen"));
    }
    match std::fs::read_to_string("/proc/xen/capabilities") {
        Ok(capabilities) if capabilities.contains("control_d") => Ok(()),
        Ok(_) => Err(missing("/proc/xen/capabilities does not say control_d")),
        Err(_) => Err(missing("no /proc/xen/capabilities: mount xenfs on /proc/xen")),
    }
}
