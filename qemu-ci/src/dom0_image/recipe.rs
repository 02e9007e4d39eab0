//! What dom0 consists of. To have more in it, add it here; the image is built anew by itself.

/// Counts changes of the way an image is made that show nowhere else in the recipe.
pub const REVISION: u32 = 1;

/// The Debian release that dom0 and Xen are taken from, whatever this machine runs.
pub const SUITE: &str = "bookworm";

/// Packages that are fetched (with what they depend on) and taken apart.
pub const PACKAGES: &[&str] = &[
    "base-files",
    "bash",
    "bridge-utils",
    "busybox-static",
    "coreutils",
    "ibverbs-providers",
    "ibverbs-utils",
    "iproute2",
    "kmod",
    "libc-bin",
    "libgcc-s1",
    "librdmacm1",
    "linux-image-amd64",
    "perftest",
    "procps",
    "rdma-core",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "xenstore-utils",
];

/// What is taken from them into dom0: files, directories with all below, or all names that begin
/// like the part before a `*`. The libraries that programs need come along by themselves; busybox
/// provides whatever command is not named here.
pub const FILES: &[&str] = &[
    // Xen's tools
    "etc/xen",
    "usr/bin/xenstore*",
    "usr/lib/xen-4.17/bin/libxl-save-helper",
    "usr/lib/xen-4.17/bin/lsevtchn",
    "usr/lib/xen-4.17/bin/readnotes",
    "usr/lib/xen-4.17/bin/xen-diag",
    "usr/lib/xen-4.17/bin/xen-hptool",
    "usr/lib/xen-4.17/bin/xen-init-dom0",
    "usr/lib/xen-4.17/bin/xenconsole*",
    "usr/lib/xen-4.17/bin/xenctx",
    "usr/lib/xen-4.17/bin/xenstored",
    "usr/lib/xen-4.17/bin/xentop",
    "usr/lib/xen-4.17/bin/xl",
    // a shell, and what busybox has not or not well enough for scripts
    "bin/bash",
    "bin/busybox",
    "bin/date",
    "bin/ps",
    "usr/bin/free",
    "usr/bin/pgrep",
    "usr/bin/pkill",
    "usr/bin/sort",
    "usr/bin/stat",
    "usr/bin/timeout",
    "usr/bin/top",
    "etc/os-release",
    "usr/lib/locale/C.utf8",
    // kernel modules, networks and RDMA
    "bin/ip",
    "bin/kmod",
    "etc/iproute2",
    "etc/libibverbs.d/rxe.driver",
    "sbin/brctl",
    "sbin/bridge",
    "sbin/depmod",
    "sbin/insmod",
    "sbin/lsmod",
    "sbin/modinfo",
    "sbin/modprobe",
    "sbin/rmmod",
    "sbin/tc",
    "usr/bin/ib_read_bw",
    "usr/bin/ib_read_lat",
    "usr/bin/ib_write_bw",
    "usr/bin/ib_write_lat",
    "usr/bin/ibv_devices",
    "usr/bin/ibv_devinfo",
    "usr/bin/ibv_rc_pingpong",
    "usr/bin/rdma",
    "usr/lib/x86_64-linux-gnu/libibverbs/librxe*",
    // loaded by name at run time, so that no program lists them
    "lib/x86_64-linux-gnu/libgcc_s.so.1",
    "lib/x86_64-linux-gnu/libm.so.6",
    "usr/lib/x86_64-linux-gnu/libibverbs.so.1",
    "usr/lib/x86_64-linux-gnu/librdmacm.so.1",
];

/// Kernel modules, with what they depend on.
pub const MODULES: &[&str] = &[
    "bridge",
    "crc32_generic", // rdma_rxe asks for it when a link is added, and fails with -2 without it
    "ib_uverbs",
    "loop",
    "rdma_rxe",
    "rdma_ucm",
    "tun",
    "veth",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_pci",
    "xen-blkback",
    "xen-evtchn",
    "xen-gntalloc",
    "xen-gntdev",
    "xen-netback",
    "xen-privcmd",
    "xenfs",
];

/// Starts dom0.
pub const INIT: &str = include_str!("init.sh");

/// Starts the Linux that benchmarks boot as a domU.
pub const LINUX_DOMU_INIT: &str = include_str!("linux-domu-init.sh");

/// Small files written into dom0.
pub const TEXTS: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         user:x:1000:1000:somebody without rights:/home/user:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        "root:x:0:\ndaemon:x:1:\ntty:x:5:\nusers:x:100:\nuser:x:1000:\nnogroup:x:65534:\n",
    ),
    ("etc/shells", "/bin/sh\n/bin/bash\n"),
    (
        "etc/hosts",
        "127.0.0.1 localhost\n10.77.0.1 host1\n10.77.0.2 host2\n10.77.0.3 host3\n10.77.0.4 host4\n",
    ),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("etc/profile", "PS1='\\h:\\w# '\n"),
];

/// Directories that programs expect, with their permissions.
pub const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("home/user", 0o755),
    ("mnt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("usr/local/sbin", 0o755),
    ("var/cache", 0o755),
    ("var/lib/xen/dump", 0o700),
    ("var/lib/xenstored", 0o755),
    ("var/log/xen/console", 0o755),
    ("var/tmp", 0o1777),
];

/// Symbolic links besides those in packages.
pub const LINKS: &[(&str, &str)] = &[
    ("etc/mtab", "/proc/self/mounts"),
    ("var/lock", "/run/lock"), // xenconsole keeps a file there for each console
    ("var/run", "/run"),
];

/// Changes whenever an image made from this recipe would.
pub fn hash() -> String {
    let layout = (TEXTS, DIRECTORIES, LINKS);
    hash_of(&(REVISION, SUITE, PACKAGES, FILES, MODULES, INIT, LINUX_DOMU_INIT, layout))
}

fn hash_of(inputs: &impl std::fmt::Debug) -> String {
    let hash = blake3::hash(format!("{inputs:?}").as_bytes()).to_hex();
    hash[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_stable_and_changes_with_any_input() {
        assert_eq!(hash(), hash());
        assert_ne!(hash_of(&(1, ["a", "b"])), hash_of(&(2, ["a", "b"])));
        assert_ne!(hash_of(&(1, ["a", "b"])), hash_of(&(1, ["ab", ""])));
    }

    #[test]
    fn nothing_is_listed_twice() {
        for list in [PACKAGES, FILES, MODULES] {
            let mut sorted = list.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), list.len());
        }
    }
}
