//! Reads what `xl list -v` and `xl info` print.

use xen_hypercall::sched_op::ShutdownReason;

use super::config::DEFAULT_GRANT_FRAMES;

/// What Xen takes if nothing is said (`xen/include/xen/grant_table.h`).
const DEFAULT_MAPTRACK_FRAMES: u64 = 1024;

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Xen's number of it.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// MiB of its memory.
    pub memory_mib: u64,
    /// Why it has stopped, if it has.
    pub shutdown: Option<StopReason>,
    /// It is being destroyed.
    pub dying: bool,
}

/// Why a domain has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It powered itself off.
    Poweroff,
    /// It crashed.
    Crash,
    /// It has let itself be saved. It goes on, in this domain or another, or is destroyed.
    Suspend,
    /// Anything else: it asked to be rebooted, or its watchdog ran out.
    Other,
}

/// The domains of a listing. Lines that are not a domain's are left out.
pub fn parse(listing: &str) -> Vec<Domain> {
    listing.lines().filter_map(parse_line).collect()
}

/// `name id memory vcpus state time uuid reason ...`, where the state is a letter or dash each for
/// running, blocked, paused, shut down, crashed, dying.
fn parse_line(line: &str) -> Option<Domain> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?.to_owned();
    let id = words.next()?.parse().ok()?;
    let memory_mib = words.next()?.parse().ok()?;
    let state = words.nth(1)?.as_bytes();
    let reason = words.nth(2);
    let [_, _, _, shut, crashed, dying] = *state else { return None };
    let shutdown = if crashed == b'c' {
        Some(StopReason::Crash)
    } else if shut == b's' {
        const POWEROFF: u32 = ShutdownReason::Poweroff as u32;
        const CRASH: u32 = ShutdownReason::Crash as u32;
        const SUSPEND: u32 = ShutdownReason::Suspend as u32;
        Some(match reason.and_then(|reason| reason.parse().ok()) {
            Some(POWEROFF) => StopReason::Poweroff,
            Some(CRASH) => StopReason::Crash,
            Some(SUSPEND) => StopReason::Suspend,
            _ => StopReason::Other,
        })
    } else {
        None
    };
    Some(Domain { id, name, memory_mib, shutdown, dying: dying == b'd' })
}

/// What `xl info` says of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// MiB of memory that are free.
    pub free_memory_mib: u64,
    /// Grant frames that Xen lets a domain have: its option `gnttab_max_frames`, or what it takes
    /// without.
    pub most_grant_frames: u64,
    /// Frames for what a domain has mapped of others that Xen lets a domain have: its option
    /// `gnttab_max_maptrack_frames`, or what it takes without.
    pub most_maptrack_frames: u64,
}

impl HostInfo {
    /// Reads it; none if it does not say how much memory is free.
    pub fn parse(info: &str) -> Option<Self> {
        Some(Self {
            free_memory_mib: value(info, "free_memory")?.parse().ok()?,
            most_grant_frames: option(info, "gnttab_max_frames=").unwrap_or(DEFAULT_GRANT_FRAMES),
            most_maptrack_frames: option(info, "gnttab_max_maptrack_frames=")
                .unwrap_or(DEFAULT_MAPTRACK_FRAMES),
        })
    }
}

/// The number that an option of Xen has.
fn option(info: &str, name: &str) -> Option<u64> {
    let options = value(info, "xen_commandline")?.split_ascii_whitespace();
    // Of an option that is there twice Xen takes the last.
    let number = options.filter_map(|option| option.strip_prefix(name)).next_back()?;
    match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    }
}

fn value<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    let mut entries = info.lines().filter_map(|line| line.split_once(':'));
    entries.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = include_str!("listing.txt");

    #[test]
    fn states_are_understood() {
        let domains = parse(LISTING);
        let of = |id| domains.iter().find(|domain| domain.id == id).unwrap();
        assert_eq!(domains.len(), 6);
        assert_eq!(of(0).name, "Domain-0");
        assert_eq!((of(0).memory_mib, of(12).memory_mib), (1536, 16));
        assert_eq!(of(11).shutdown, None);
        assert_eq!(of(12).shutdown, Some(StopReason::Poweroff));
        assert_eq!(of(13).shutdown, Some(StopReason::Crash));
        assert_eq!(of(14).shutdown, Some(StopReason::Suspend));
        assert!(of(15).dying && !of(11).dying);
    }

    #[test]
    fn nonsense_is_left_out() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("a b c d e f g h\nx 1 2 3 short 4 u 0\nx 99999999999 1 1 r----- 1"), []);
    }

    #[test]
    fn free_memory_is_found() {
        let free = |info| HostInfo::parse(info).map(|info| info.free_memory_mib);
        assert_eq!(
            free("total_memory           : 3071\nfree_memory            : 1450\n"),
            Some(1450)
        );
        assert_eq!(free("free_memory : many\n"), None);
        assert_eq!(free(""), None);
    }

    #[test]
    fn xens_limits_are_on_its_command_line() {
        let frames = |options: &str| {
            let info = format!("free_memory : 12\nxen_commandline        : {options}\n");
            let info = HostInfo::parse(&info).unwrap();
            (info.most_grant_frames, info.most_maptrack_frames)
        };
        assert_eq!(frames("console=com1 gnttab_max_frames=256 loglvl=all"), (256, 1024));
        assert_eq!(frames("gnttab_max_frames=1 gnttab_max_frames=0x80"), (128, 1024));
        for none in ["console=com1", "gnttab_max_frames=", "gnttab_max_frames=many", ""] {
            assert_eq!(frames(none), (64, 1024), "{none}");
        }
        assert_eq!(frames("gnttab_max_frames=32 gnttab_max_maptrack_frames=2048"), (32, 2048));
    }
}
