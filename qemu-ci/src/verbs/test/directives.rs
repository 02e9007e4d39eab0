//! What a test script asks for, in comment lines near its top:
//!
//! ```text
//! # xenolith: mem=4096 cpus=2 hosts=2 silence=300 own-boot
//! ```
//!
//! `mem` is each host's memory (MiB, or with M or G), `cpus` its processors, `hosts` their number,
//! `silence` the seconds for which the script may write nothing; `own-boot` wants hosts that no
//! other test has used or will use.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::cli::{parse_hosts, parse_memory};

/// The word that makes a comment a directive.
const MARK: &str = "# xenolith:";
/// Lines at the top of a script among which its directives are.
const TOP: usize = 10;
/// For how long a script may write nothing unless it says more. What takes a minute on an idle
/// machine passes on one that is ten times slower.
const DEFAULT_SILENCE: Duration = Duration::from_secs(600);

/// All that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// MiB of each host.
    pub memory: Option<u32>,
    /// Processors of each host.
    pub cpus: Option<u32>,
    /// Number of hosts.
    pub hosts: usize,
    /// For how long the script may write nothing.
    pub silence: Duration,
    /// Hosts of its own.
    pub own_boot: bool,
}

impl Default for Directives {
    fn default() -> Self {
        Self { memory: None, cpus: None, hosts: 1, silence: DEFAULT_SILENCE, own_boot: false }
    }
}

impl Directives {
    /// Reads them from a script's text.
    pub fn parse(script: &str) -> Result<Self> {
        let mut directives = Self::default();
        for line in script.lines().take(TOP) {
            if let Some(words) = line.strip_prefix(MARK) {
                for word in words.split_whitespace() {
                    directives.apply(word).with_context(|| format!("`{word}` in `{line}`"))?;
                }
            }
        }
        Ok(directives)
    }

    fn apply(&mut self, word: &str) -> Result<()> {
        match word.split_once('=').unwrap_or((word, "")) {
            ("mem", value) => self.memory = Some(parse_memory(value).map_err(|why| anyhow!(why))?),
            ("cpus", value) => self.cpus = Some(positive(value)?),
            ("hosts", value) => self.hosts = parse_hosts(value).map_err(|why| anyhow!(why))?,
            ("silence", value) => self.silence = Duration::from_secs(positive(value)?.into()),
            ("own-boot", "") => self.own_boot = true,
            _ => bail!("only mem=, cpus=, hosts=, silence= and own-boot are known"),
        }
        Ok(())
    }
}

fn positive(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => bail!("write a number, at least 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_script_gets_the_defaults() {
        let script = "#!/bin/bash\n# Checks something.\nxl list\n";
        assert_eq!(Directives::parse(script).unwrap(), Directives::default());
    }

    #[test]
    fn everything_can_be_asked_for() {
        let script =
            "#!/bin/bash\n# xenolith: mem=4G cpus=3\n# xenolith: hosts=2 silence=5 own-boot\n";
        let expected = Directives {
            memory: Some(4096),
            cpus: Some(3),
            hosts: 2,
            silence: Duration::from_secs(5),
            own_boot: true,
        };
        assert_eq!(Directives::parse(script).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in ["memory=4G", "mem=", "hosts=9", "silence=0", "own-boot=yes", "cpus=two"] {
            let error = Directives::parse(&format!("# xenolith: {wrong}\n")).unwrap_err();
            assert!(format!("{error:#}").contains(wrong), "{error:#}");
        }
    }

    #[test]
    fn far_down_it_is_only_a_comment() {
        let script = format!("{}# xenolith: nonsense\n", "true\n".repeat(TOP));
        assert_eq!(Directives::parse(&script).unwrap(), Directives::default());
    }
}
