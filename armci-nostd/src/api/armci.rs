//! A rank, as an application sees it.

use core::cell::OnceCell;
use core::fmt;
use core::ops::Deref;
use std::prelude::v1::*;

use crate::api::notification::Notifications;
use crate::error::Error;
use crate::path::link::ProxyLink;
use crate::path::paths::Paths;
use crate::path::platform::Platform;
use crate::team::world::World;

/// A rank of a job: what `ARMCI_Init` makes.
///
/// It belongs to one thread. Collective calls (`malloc`, `free`, `barrier`, `broadcast`, `reduce`,
/// `create_mutexes`, `finalize`) must be made by all ranks in the same order.
///
/// Memory of ranks on the same host is reached directly, by copies and atomics; other memory, and
/// all memory while the proxy has closed the [gate](crate::shared::gate), by the proxy.
///
/// It derefs to its [`World`], and that to its [`Paths`]: so each call is written once, on the floor
/// that can do it, and an application finds all of them here.
pub struct Armci {
    world: World,
    /// None where there was no memory for them.
    pub(crate) notifications: OnceCell<Notifications>,
}

impl fmt::Debug for Armci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.world.fmt(f)
    }
}

impl Deref for Armci {
    type Target = World;

    #[inline]
    fn deref(&self) -> &World {
        &self.world
    }
}

impl Armci {
    /// Rank `rank` of `size`, attached through `platform`. Waits until the proxy has attached the
    /// job.
    ///
    /// # Panics
    /// If `rank` is not below `size`.
    pub fn attach(rank: usize, size: usize, platform: Box<dyn Platform>) -> Result<Self, Error> {
        let armci = Self::new(Paths::by_link(rank, size, ProxyLink::attach(platform)?));
        armci.get_acquainted()?;
        armci.prepare_notifications()?;
        Ok(armci)
    }

    /// The only rank of a job without a proxy.
    pub fn alone() -> Self {
        let armci = Self::new(Paths::alone());
        // With enough memory for one word this cannot fail.
        let _ = armci.prepare_notifications();
        armci
    }

    fn new(paths: Paths) -> Self {
        Self { world: World::new(paths), notifications: OnceCell::new() }
    }

    /// Leaves the job: waits until all ranks are here, so that none ends while others still need
    /// its memory.
    pub fn finalize(&self) -> Result<(), Error> {
        self.barrier()
    }
}
