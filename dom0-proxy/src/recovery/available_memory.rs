//! How much memory this host could still give.

use std::fs;

/// Bytes that Linux could give to this process, as far as it says so.
pub fn available_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available_in(&meminfo).unwrap_or(u64::MAX)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_says_what_is_available() {
        let said = "MemTotal:        8052008 kB\nMemAvailable:    7000000 kB\nBuffers: 1 kB\n";
        assert_eq!(available_in(said), Some(7_000_000 << 10));
        assert_eq!(available_in("MemFree: 5 kB\n"), None);
    }
}
