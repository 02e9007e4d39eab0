//! What runs the ranks: Linux, each as a process, or Xen, each as a domain.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::hostile::{self, Hostile};
use crate::{Host, application, programs};

/// Where jobs run.
#[derive(Clone, Debug)]
pub enum Platform {
    /// On Linux. What attaches as it likes is this program, `hostile_process`.
    Hosted {
        /// The program.
        hostile_process: PathBuf,
        /// Whose jobs they are, if not this process's: for root.
        user: Option<u32>,
    },
    /// In Xen. Clocks do not step there.
    Xen {
        /// The folder of `pgas` and the daemon.
        programs: PathBuf,
        /// The folder of the applications' images.
        images: PathBuf,
    },
}

impl Platform {
    pub(super) fn is_xen(&self) -> bool {
        matches!(self, Self::Xen { .. })
    }

    /// A daemon of its own.
    pub(super) fn host(&self) -> Result<Host> {
        match self {
            Self::Hosted { hostile_process, user } => {
                ensure!(hostile_process.is_file(), "{} is not there", hostile_process.display());
                let Some(user) = user else { return Host::new() };
                let built = programs()?;
                let mut copied: Vec<_> =
                    ["pgas", "dom0-proxy"].iter().map(|name| built.join(name)).collect();
                for name in ["hello", "cg", "faults", "hostile"] {
                    copied.push(application(name)?);
                }
                copied.push(hostile_process.clone());
                Host::of_user(*user, &copied)
            }
            Self::Xen { programs, .. } => Host::of(programs),
        }
    }

    /// Whose jobs they are, if not this process's.
    pub(super) fn user(&self) -> Option<u32> {
        match self {
            Self::Hosted { user, .. } => *user,
            Self::Xen { .. } => None,
        }
    }

    /// The options of `pgas run` for it.
    pub(super) fn options(&self) -> &'static [&'static str] {
        match self {
            Self::Hosted { .. } => &["--hosted"],
            Self::Xen { .. } => &["--mem", "8M"],
        }
    }

    /// The program or the image of an application; a path stays what it is.
    pub(super) fn application(&self, host: &Host, name: &str) -> PathBuf {
        match self {
            Self::Hosted { .. } => host.application(name),
            Self::Xen { images, .. } => images.join(format!("{name}.img")),
        }
    }

    /// The program that attaches as it likes.
    pub(super) fn hostile_process(&self, host: &Host) -> PathBuf {
        match self {
            Self::Hosted { hostile_process, user: None } => hostile_process.clone(),
            // A copy.
            _ => self.application(host, "hostile_process"),
        }
    }

    /// The kinds of hostile jobs that there are.
    pub(super) fn hostile(&self) -> &'static [Hostile] {
        match self {
            Self::Hosted { .. } => hostile::PROCESSES,
            Self::Xen { .. } => hostile::DOMAINS,
        }
    }

    /// How many hostile jobs there are at a time.
    pub(super) fn hostile_lanes(&self) -> usize {
        if self.is_xen() { 2 } else { 5 }
    }

    /// The limit of a hostile job that does not end by itself, in seconds. Every one may reach it.
    pub(super) fn hostile_seconds(&self) -> &'static str {
        if self.is_xen() { "60" } else { "6" }
    }

    /// The limit of all other jobs, in seconds. Only one that is stuck reaches it.
    pub(super) fn seconds(&self) -> u32 {
        if self.is_xen() { 3600 } else { 200 }
    }

    /// The most ranks that a job has.
    pub(super) fn ranks(&self) -> usize {
        if self.is_xen() { 3 } else { 5 }
    }

    /// For how many milliseconds a job that does nothing may be under way.
    pub(super) fn short_job(&self) -> u64 {
        if self.is_xen() { 8000 } else { 1200 }
    }

    /// The status of a job in which a rank panics.
    pub(super) fn panicked(&self) -> i32 {
        if self.is_xen() { 134 } else { 101 }
    }

    /// The status of a job in which a rank reads through a null pointer.
    pub(super) fn null_pointer(&self) -> i32 {
        if self.is_xen() { 134 } else { 139 }
    }
}
