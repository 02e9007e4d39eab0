//! What each job is, and what is done to it.

use std::time::Duration;

use fastrand::Rng;

use super::platform::Platform;

/// What a job does when nobody disturbs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Says hello.
    Hello,
    /// Says hello and counts seconds.
    Ticks(u32),
    /// Computes eigenvalues by exchanging data all the time.
    Cg,
    /// Every rank writes as many lines; no rank attaches.
    Lines(u32),
    /// All ranks end with this status.
    Exit(u8),
    /// One rank panics while the others wait.
    Panic(usize),
    /// One rank reads through a null pointer while the others wait.
    Null(usize),
}

/// What is done to a job from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Nothing: the job is innocent.
    None,
    /// `pgas` gets SIGKILL.
    KillClient,
    /// `pgas` gets SIGTERM.
    TerminateClient,
    /// A rank gets SIGKILL, or its domain is destroyed.
    KillRank(usize),
    /// A rank gets SIGTERM.
    TerminateRank(usize),
    /// `pgas kill`.
    KillJob,
}

/// What `pgas`, and with it the ranks, may have, by the options of the shell's `ulimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// As this process.
    None,
    /// Open files, enough of them.
    Files,
    /// Size of files, in the shell's unit: too little for a window.
    FileSize(u32),
    /// Addresses, enough of them.
    Addresses,
    /// Processor time, stack, core files, locked memory: enough, or none needed.
    Others,
}

/// One job.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub number: usize,
    pub ranks: usize,
    pub task: Task,
    pub harm: Harm,
    /// From the start of `pgas` to the harm.
    pub harm_after: Duration,
    pub limit: Limit,
}

impl Plan {
    /// The job with this number, drawn at random.
    pub(super) fn draw(number: usize, platform: &Platform, random: &mut Rng) -> Self {
        let ranks = random.usize(1..=platform.ranks());
        let task = match random.u32(0..12) {
            0..4 => Task::Hello,
            4..6 => Task::Ticks(random.u32(1..=2)),
            // A power of two of them.
            6 => Task::Cg,
            // Every Linux has a program for that.
            7..9 if !platform.is_xen() => Task::Lines(random.u32(1..5000)),
            7..9 => Task::Ticks(random.u32(1..=4)),
            9 => Task::Exit(random.u8(1..=100)),
            10 => Task::Panic(random.usize(..ranks)),
            _ => Task::Null(random.usize(..ranks)),
        };
        let ranks = if task == Task::Cg { 1 << random.u32(0..3) } else { ranks };
        let harm = match random.u32(0..16) {
            0 => Harm::KillClient,
            1 => Harm::TerminateClient,
            2 => Harm::KillRank(random.usize(..ranks)),
            // A domain takes no signals.
            3 if !platform.is_xen() => Harm::TerminateRank(random.usize(..ranks)),
            4 => Harm::KillJob,
            _ => Harm::None,
        };
        let limit = match random.u32(0..8) {
            0 => Limit::Files,
            1 => Limit::FileSize(random.u32(0..=1)),
            2 => Limit::Addresses,
            3 => Limit::Others,
            _ => Limit::None,
        };
        let harm_after = Duration::from_millis(random.u64(0..platform.short_job()));
        Self { number, ranks, task, harm, harm_after, limit }
    }

    /// A job for after all others, when nothing disturbs any more.
    pub(super) fn last() -> Self {
        let (harm, harm_after, limit) = (Harm::None, Duration::ZERO, Limit::None);
        Self { number: usize::MAX, ranks: 2, task: Task::Hello, harm, harm_after, limit }
    }

    /// The name of the application, and its arguments.
    pub(super) fn program(&self) -> (&'static str, Vec<String>) {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self.task {
            Task::Hello => ("hello", Vec::new()),
            Task::Ticks(ticks) => ("hello", words(&["--ticks", &ticks.to_string()])),
            Task::Cg => ("cg", words(&["--class", "S"])),
            Task::Lines(lines) => ("/usr/bin/seq", words(&[&lines.to_string()])),
            Task::Exit(status) => ("faults", words(&["exit", &status.to_string()])),
            Task::Panic(rank) => ("faults", words(&["--rank", &rank.to_string(), "panic"])),
            Task::Null(rank) => ("faults", words(&["--rank", &rank.to_string(), "null"])),
        }
    }

    /// The status that the job has of itself.
    pub(super) fn status(&self, platform: &Platform) -> i32 {
        match (&self.task, self.limit) {
            (Task::Lines(_), _) => 0,
            // A window is a file for Linux: rank 0 gets SIGXFSZ when it makes its own.
            (_, Limit::FileSize(_)) if !platform.is_xen() => 153,
            (Task::Hello | Task::Ticks(_) | Task::Cg, _) => 0,
            (Task::Exit(status), _) => (*status).into(),
            (Task::Panic(_), _) => platform.panicked(),
            (Task::Null(_), _) => platform.null_pointer(),
        }
    }

    /// What must be in the output of a job that ends with status 0, that is missing there.
    pub(super) fn missing(&self, output: &str) -> Option<String> {
        let has =
            |line: String| output.lines().any(|found| found == line).then_some(()).ok_or(line);
        let check = |rank: usize| match self.task {
            Task::Hello => has(format!("[{rank}] hello from {rank} of {}", self.ranks)),
            Task::Ticks(ticks) => has(format!("[{rank}] tick {ticks}")),
            Task::Lines(lines) => {
                let prefix = format!("[{rank}] ");
                let found = output.lines().filter(|line| line.starts_with(&prefix)).count();
                let missing = format!("{lines} lines of rank {rank}: there are {found}");
                if found == lines as usize { Ok(()) } else { Err(missing) }
            }
            Task::Cg if !output.contains("VERIFICATION SUCCESSFUL") => Err("verification".into()),
            Task::Cg | Task::Exit(_) | Task::Panic(_) | Task::Null(_) => Ok(()),
        };
        (0..self.ranks).find_map(|rank| check(rank).err())
    }
}

impl Limit {
    /// A shell's command that sets it; soft, so that a daemon may free itself of it.
    pub(super) fn command(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Files => Some("ulimit -S -n 64".into()),
            Self::FileSize(kib) => Some(format!("ulimit -S -f {kib}")),
            Self::Addresses => Some("ulimit -S -v 2000000".into()),
            Self::Others => {
                let each = ["t 100", "s 1024", "c 0", "l 0"].map(|it| format!("ulimit -S -{it}"));
                Some(each.join(" && "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_all_that_it_takes_to_draw_the_same_again() {
        let hostile_process = "hostile_process".into();
        let platform = Platform::Hosted { hostile_process, user: None };
        let plans = |seed| {
            let mut random = Rng::with_seed(seed);
            let draw = |number| Plan::draw(number, &platform, &mut random);
            let plans: Vec<_> = (0..300).map(draw).collect();
            format!("{plans:?}")
        };
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
    }
}
