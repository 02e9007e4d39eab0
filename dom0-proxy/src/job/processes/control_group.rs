//! The control groups of a job's processes. Whatever a process starts is in its groups too, and
//! nothing leaves them without the right to write there; so all of it is found and killed, and the
//! memory that it touches is charged to the job. (Linux' `Documentation/admin-guide/cgroup-v2.rst`
//! and `cgroup-v1/cgroups.rst`.)
//!
//! Root may make them, and whoever was given a part of the tree, as by systemd's `Delegate=`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What the names of our groups begin with.
const PREFIX: &str = "xenolith-";
/// Between the job's name and the number of a host, in that of a part of a job.
const OF_HOST: &str = "-host-";
/// The daemon's own group, where it must not be beside those of jobs.
const DAEMON: &str = "xenolith-daemon";
/// The file in a job's record that names its groups, a line each.
const RECORD: &str = "control-groups";
/// A group's processes.
const PROCESSES: &str = "cgroup.procs";
/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The control groups of one job: none where none may be made.
#[derive(Debug, Default)]
pub struct ControlGroups {
    folders: Vec<PathBuf>,
}

impl ControlGroups {
    /// Makes them for `job`, or for what `host` has of it if it is over several, and notes them in
    /// its `record`, by which they are found when the daemon dies.
    pub fn create(job: &str, host: Option<u32>, record: &Path) -> Self {
        // Each of those hosts may be a daemon of this one.
        let host = host.map_or(String::new(), |host| format!("{OF_HOST}{host}"));
        let folders = parents().iter().map(|parent| parent.join(format!("{PREFIX}{job}{host}")));
        let mut groups = Self { folders: folders.collect() };
        // First: the daemon may be killed while it makes them, which takes Linux a while.
        if let Err(error) = fs::write(record.join(RECORD), groups.to_text()) {
            tracing::warn!(%error, job, "its control groups could not be noted");
        }
        groups.folders.retain(|folder| match fs::create_dir(folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "no group");
                false
            }
        });
        groups
    }

    /// Those that a job's record names, of a daemon that has died.
    pub fn of_record(job: &str, record: &Path) -> Self {
        let text = fs::read_to_string(record.join(RECORD)).unwrap_or_default();
        let name = format!("{PREFIX}{job}");
        let is_jobs = |folder: &PathBuf| {
            let rest = folder.file_name().and_then(OsStr::to_str);
            let rest = rest.and_then(|found| found.strip_prefix(&name));
            let is_host = |rest: &str| {
                rest.strip_prefix(OF_HOST).is_some_and(|host| host.parse::<u32>().is_ok())
            };
            rest.is_some_and(|rest| rest.is_empty() || is_host(rest))
        };
        Self { folders: text.lines().map(PathBuf::from).filter(is_jobs).collect() }
    }

    /// Their folders, a line each, for a process that is to [enter](enter) them.
    pub fn to_text(&self) -> String {
        let lines = self.folders.iter().map(|folder| format!("{}\n", folder.display()));
        lines.collect()
    }

    /// Kills all that is in them, waits for its end, and removes them.
    pub fn end(&self) {
        let deadline = Instant::now() + PATIENCE;
        for folder in &self.folders {
            while !kill_all(folder) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
        for folder in &self.folders {
            // The last of its processes may not be gone entirely.
            while let Err(error) = fs::remove_dir(folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                if Instant::now() > deadline {
                    let folder = folder.display();
                    tracing::warn!(%error, %folder, "a control group could not be removed");
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Enters the groups with this process. Where that is not possible it stays where it is: it is
/// found by other means, most likely.
pub fn enter(folders: &str) {
    for folder in folders.lines() {
        // Zero is whoever writes.
        let _ = fs::write(Path::new(folder).join(PROCESSES), "0");
    }
}

/// Kills what is in a group; whether there was nothing.
fn kill_all(folder: &Path) -> bool {
    let members = || {
        let text = fs::read_to_string(folder.join(PROCESSES)).unwrap_or_default();
        text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect::<Vec<_>>()
    };
    let killed = members();
    // All at once, where the kernel can: then nothing starts meanwhile.
    if killed.is_empty() || fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return killed.is_empty();
    }
    for pid in killed {
        // The number may mean another process by now, but what is opened here stays what it is.
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
            && members().contains(&pid)
        {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
    }
    false
}

/// The folders in which this process may make groups: in that of version 2, and in that of version
/// 1 which charges memory.
fn parents() -> &'static [PathBuf] {
    static PARENTS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PARENTS.get_or_init(|| {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = own_groups(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        own.iter().for_each(|folder| have_memory_charged(folder));
        own
    })
}

/// The same from what the kernel says of mounts and of this process's groups.
fn own_groups(mounts: &str, groups: &str) -> Vec<PathBuf> {
    let own = |version_2: bool| {
        let mut lines = groups.lines().filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it = match version_2 {
                true => controllers.is_empty(),
                false => controllers.split(',').any(|name| name == "memory"),
            };
            is_it.then_some(path)
        });
        lines.next()
    };
    let folder = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next()?, words.nth(1)?);
        let path = match kind {
            "cgroup2" => own(true)?,
            "cgroup" if options.split(',').any(|name| name == "memory") => own(false)?,
            _ => return None,
        };
        let inside = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(inside))
    };
    mounts.lines().filter_map(folder).collect()
}

/// Has memory charged to groups below this one of version 2, if nobody but this process is in it: a
/// group that divides memory among others can have no processes of its own.
fn have_memory_charged(folder: &Path) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let has = |name: &str| read(name).split_ascii_whitespace().any(|word| word == "memory");
    let is_alone = read(PROCESSES).trim() == std::process::id().to_string();
    if !has("cgroup.controllers") || has("cgroup.subtree_control") || !is_alone {
        return;
    }
    let daemon = folder.join(DAEMON);
    let divide = || {
        let _ = fs::create_dir(&daemon);
        fs::write(daemon.join(PROCESSES), "0")?;
        fs::write(folder.join("cgroup.subtree_control"), "+memory")
    };
    if let Err(error) = divide() {
        tracing::debug!(%error, "memory is not charged to jobs");
        let _ = fs::write(folder.join(PROCESSES), "0");
        let _ = fs::remove_dir(&daemon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_groups_are_found_in_whatever_is_mounted() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let service = "0::/system.slice/dom0-proxy.service\n";
        let own = own_groups(unified, service);
        assert_eq!(own, [Path::new("/sys/fs/cgroup/system.slice/dom0-proxy.service")]);
        let hybrid = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/\n";
        let own = own_groups(hybrid, groups);
        assert_eq!(own, ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/unified"].map(Path::new));
        // A container sees a part of the tree.
        let part = "30 23 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_groups(part, "0::/box/a\n"), [Path::new("/sys/fs/cgroup/a")]);
        assert_eq!(own_groups(part, "0::/elsewhere\n"), [""; 0].map(Path::new));
        assert_eq!(own_groups("nonsense\n - \n", "0:\n"), [""; 0].map(Path::new));
    }

    #[test]
    fn nothing_is_removed_but_groups_of_the_job() {
        let record = tempfile::tempdir().unwrap();
        let others = "/home/user\n/sys/fs/cgroup/xenolith-fedcba\n/sys/fs/cgroup/xenolith-abcdef\n\
                      /sys/fs/cgroup/xenolith-abcdef-host-3\n/x/xenolith-abcdef-host-\n\
                      /x/xenolith-abcdef3\n/x/xenolith-abcdef-host-3/daemon\n";
        fs::write(record.path().join(RECORD), others).unwrap();
        let groups = ControlGroups::of_record("abcdef", record.path());
        let ours = ["/sys/fs/cgroup/xenolith-abcdef", "/sys/fs/cgroup/xenolith-abcdef-host-3"];
        assert_eq!(groups.folders, ours.map(Path::new));
    }
}
