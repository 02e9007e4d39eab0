//! The configuration of a rank's domain, in `xl.cfg`'s syntax.

use std::fmt::Write;
use std::path::Path;

use image_builder::{command_line, xl_config};

use super::names::domain_name;
use crate::error::{Error, Result};

/// The file of the boot module that has the common words if the command line has not.
pub const REST: &str = "xenolith.rest";
/// What the command line says then.
pub const WORDS_IN_MODULE: &str = " xenolith.rest";
/// How long the common words on a command line may be. Xen gives a PVH guest all of a longer one;
/// but guests' kernels have limits of their own, this one's being 4,095 bytes, and Xen's tools have
/// 1,023 for other kinds of guests.
const MAX_COMMON_WORDS: usize = 896;
/// Grant entries in a frame, and frames that a domain has if nothing is said.
const GRANTS_A_FRAME: u64 = 512;
pub(super) const DEFAULT_GRANT_FRAMES: u64 = 64;
/// Grants that a guest needs besides those of its memory.
const OTHER_GRANTS: u64 = 1024;
/// For how many neighbours there are grants for all of a rank's memory. With more of them it can
/// share less.
const NEIGHBOURS: u64 = 3;

/// What a rank's domain is made of.
#[derive(Clone, Copy, Debug)]
pub struct DomainConfig<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The rank.
    pub rank: u32,
    /// Ranks of the job.
    pub size: u32,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Frames of grants that Xen lets a domain have.
    pub most_grant_frames: u64,
    /// The image.
    pub kernel: &'a Path,
    /// The boot module with the application's files.
    pub ramdisk: Option<&'a Path>,
    /// Whether the rank has standard input.
    pub has_stdin: bool,
    /// Whether the domain waits for its memory, to become a rank that was saved.
    pub lands: bool,
    /// The end of the command line, with a space before each word: [`common_words`] or
    /// [`WORDS_IN_MODULE`].
    pub words: &'a str,
}

impl DomainConfig<'_> {
    /// The text for `xl create`.
    pub fn render(&self) -> Result<String> {
        let Self { job, rank, memory_mib, .. } = self;
        let name = domain_name(job, *rank);
        let mut text = format!(
            "name = {name:?}\ntype = \"pvh\"\nvcpus = 1\nmemory = {memory_mib}\nkernel = {}\n",
            xl_config::string(path(self.kernel)?)
        );
        if let Some(ramdisk) = self.ramdisk {
            let _ = writeln!(text, "ramdisk = {}", xl_config::string(path(ramdisk)?));
        }
        let _ = writeln!(text, "cmdline = {}", xl_config::string(&self.command_line()));
        if let Some(frames) = self.grant_frames() {
            let _ = writeln!(text, "max_grant_frames = {frames}");
        }
        for event in ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"] {
            let _ = writeln!(text, "{event} = \"preserve\"");
        }
        Ok(text)
    }

    /// How many frames of grants the rank is to have, if those are more than a domain has by
    /// default. What it needs in any case it gets, or Xen refuses; what it could use for sharing
    /// memory with its neighbours, as far as Xen lets it.
    fn grant_frames(&self) -> Option<u64> {
        let neighbours = u64::from(self.size.saturating_sub(1)).min(NEIGHBOURS);
        let needed = grant_frames(self.memory_mib, 1);
        let useful = grant_frames(self.memory_mib, 1 + neighbours);
        Some(useful.min(self.most_grant_frames).max(needed))
            .filter(|frames| *frames > DEFAULT_GRANT_FRAMES)
    }

    /// The kernel's command line.
    fn command_line(&self) -> String {
        let Self { job, rank, size, words, .. } = self;
        let stdin = if self.has_stdin { " xenolith.stdin" } else { "" };
        let landing = if self.lands { " xenolith.landing" } else { "" };
        format!(
            "xenolith.job={job} xenolith.rank={rank} xenolith.size={size}{stdin}{landing}{words}"
        )
    }
}

/// The part of the command line that is the same for all ranks: the application's environment and
/// arguments.
pub fn common_words(environment: &[String], args: &[String]) -> String {
    let variables: Vec<_> = environment.iter().map(|it| format!("xenolith.env={it}")).collect();
    let mut words = String::new();
    command_line::push_words(&mut words, &variables);
    words.push_str(" --");
    command_line::push_words(&mut words, args);
    words
}

/// Whether these words can be on a command line. Longer ones go into the boot module.
pub fn can_be_on_command_line(words: &str) -> bool {
    words.len() <= MAX_COMMON_WORDS
}

/// How many frames of grants a rank of `memory_mib` MiB needs, if those are more than a domain has
/// by default.
pub fn more_grant_frames(memory_mib: u64) -> Option<u64> {
    Some(grant_frames(memory_mib, 1)).filter(|frames| *frames > DEFAULT_GRANT_FRAMES)
}

/// How many frames it takes to grant `memory_mib` MiB to each of `domains`.
fn grant_frames(memory_mib: u64, domains: u64) -> u64 {
    (memory_mib * 256 * domains + OTHER_GRANTS).div_ceil(GRANTS_A_FRAME)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::BadFile { path: path.into(), why: "its name is not UTF-8".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &str) -> DomainConfig<'_> {
        DomainConfig {
            job: "ab12cd",
            rank: 2,
            size: 4,
            memory_mib: 16,
            most_grant_frames: 64,
            kernel: Path::new("/images/cg.img"),
            ramdisk: None,
            has_stdin: false,
            lands: false,
            words,
        }
    }

    #[test]
    fn a_plain_domain() {
        let args = ["--class".to_owned(), "S".to_owned()];
        let words = common_words(&[], &args);
        let text = config(&words).render().unwrap();
        assert_eq!(
            text,
            r#"name = "pgas-ab12cd-2"
type = "pvh"
vcpus = 1
memory = 16
kernel = "/images/cg.img"
cmdline = "xenolith.job=ab12cd xenolith.rank=2 xenolith.size=4 -- --class S"
on_poweroff = "preserve"
on_reboot = "preserve"
on_watchdog = "preserve"
on_crash = "preserve"
on_soft_reset = "preserve"
"#
        );
    }

    #[test]
    fn arguments_cannot_leave_their_quotes() {
        let args = [
            "a b".to_owned(),
            String::new(),
            "\"\nmemory = 4096 #".to_owned(),
            "back\\slash".to_owned(),
            "xenolith.rank=0".to_owned(),
        ];
        let words = common_words(&[], &args);
        let text = config(&words).render().unwrap();
        let line = text.lines().find(|line| line.starts_with("cmdline")).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"cmdline = "xenolith.job=ab12cd xenolith.rank=2 xenolith.size=4 -- "#,
                r#"\"a b\" \"\" \"\\\"\nmemory = 4096 #\" \"back\\\\slash\" xenolith.rank=0""#
            )
        );
        assert_eq!(text.lines().count(), config(" --").render().unwrap().lines().count());
    }

    #[test]
    fn long_words_are_for_the_boot_module() {
        let long = ["x".repeat(2000)];
        assert!(!can_be_on_command_line(&common_words(&[], &long)));
        assert!(can_be_on_command_line(&common_words(&[], &[])));
        assert!(config(WORDS_IN_MODULE).command_line().ends_with("xenolith.size=4 xenolith.rest"));
    }

    #[test]
    fn an_environment_is_quoted_as_arguments_are() {
        let environment = ["A=b c".to_owned(), "D=".to_owned()];
        let words = common_words(&environment, &["one".to_owned()]);
        assert_eq!(words, " \"xenolith.env=A=b c\" xenolith.env=D= -- one");
    }

    #[test]
    fn a_domain_that_waits_for_its_memory_is_told_so() {
        let mut waiting = config(" -- landing");
        waiting.lands = true;
        waiting.has_stdin = true;
        let words = "xenolith.size=4 xenolith.stdin xenolith.landing -- landing";
        assert!(waiting.command_line().ends_with(words));
        assert!(!config(" --").command_line().contains("landing"));
    }

    #[test]
    fn large_ranks_get_more_grant_frames() {
        let mut large = config(" --");
        large.memory_mib = 64;
        assert!(!large.render().unwrap().contains("max_grant_frames"));
        large.memory_mib = 256;
        assert!(large.render().unwrap().contains("max_grant_frames = 130\n"));
    }

    #[test]
    fn neighbours_get_grants_as_far_as_xen_goes() {
        let mut shared = config(" --");
        let frames = |config: &DomainConfig<'_>| config.grant_frames();
        shared.most_grant_frames = 256;
        // 4 ranks of 16 MiB: 4 * 4096 grants, and what a domain has by default does.
        assert_eq!(frames(&shared), None);
        shared.memory_mib = 32;
        assert_eq!(frames(&shared), Some(66));
        shared.size = 1000;
        assert_eq!(frames(&shared), Some(66));
        shared.size = 1;
        assert_eq!(frames(&shared), None);
        // No more than Xen gives, and no less than the rank's own memory takes.
        shared.size = 4;
        shared.memory_mib = 200;
        assert_eq!(frames(&shared), Some(256));
        shared.most_grant_frames = 64;
        assert_eq!(frames(&shared), Some(102));
        shared.memory_mib = 100;
        assert_eq!(frames(&shared), None);
    }

    #[test]
    fn a_ramdisk_is_named() {
        let mut with = config(" --");
        with.ramdisk = Some(Path::new("/run/a \"b\""));
        assert!(with.render().unwrap().contains(r#"ramdisk = "/run/a \"b\"""#));
    }
}
