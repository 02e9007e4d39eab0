//! The kinds of hostile jobs, and which ends of them are true.

use fastrand::Rng;

/// A kind of hostile job. Each has a limit of time, by which it may always end.
#[derive(Debug)]
pub(super) struct Hostile {
    pub program: Program,
    pub kind: &'static str,
    pub ranks: usize,
    /// The statuses that are true of it, beside that of the limit.
    pub statuses: &'static [i32],
}

/// Whose kinds they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// `hostile_process`: a process that attaches as it likes.
    Process,
    /// `hostile`, which writes wrong requests.
    WrongRequests,
    /// `vandal`, which writes garbage in a domain.
    Vandal,
}

use Program::{Process, Vandal, WrongRequests};

pub(super) const TIMED_OUT: i32 = 124;
const BROKE_THE_PROTOCOL: i32 = 122;
const HOST: i32 = 123;
/// What is lost of a rank's output is said by this.
const KILLED: i32 = 137;
/// A vandal has done all that it was to do, and nobody minded.
const SPENT: i32 = 77;

const fn process(kind: &'static str, ranks: usize, statuses: &'static [i32]) -> Hostile {
    Hostile { program: Process, kind, ranks, statuses }
}

const fn wrong_requests(kind: &'static str) -> Hostile {
    Hostile { program: WrongRequests, kind, ranks: 2, statuses: &[BROKE_THE_PROTOCOL] }
}

const fn vandal(kind: &'static str, statuses: &'static [i32]) -> Hostile {
    Hostile { program: Vandal, kind, ranks: 2, statuses }
}

/// Those that are Linux processes.
pub(super) const PROCESSES: &[Hostile] = &[
    process("deaf", 3, &[BROKE_THE_PROTOCOL, HOST]),
    process("full-doorbell", 1, &[]),
    process("ringing", 1, &[]),
    process("garbage", 2, &[BROKE_THE_PROTOCOL]),
    process("large-window", 2, &[BROKE_THE_PROTOCOL]),
    process("lock-holder", 2, &[BROKE_THE_PROTOCOL]),
    process("intruder", 1, &[]),
    process("escape", 2, &[0]),
    process("flood", 2, &[]),
    process("holes", 1, &[]),
    wrong_requests("bad-opcode"),
    wrong_requests("wrapping-address"),
    wrong_requests("submission-tail-jumps"),
    wrong_requests("completion-head-jumps"),
];

/// Those that are domains.
pub(super) const DOMAINS: &[Hostile] = &[
    vandal("bell", &[SPENT]),
    vandal("rings", &[SPENT, BROKE_THE_PROTOCOL]),
    vandal("words", &[SPENT, BROKE_THE_PROTOCOL]),
    vandal("area", &[SPENT, BROKE_THE_PROTOCOL]),
    vandal("console", &[SPENT, HOST, KILLED]),
    vandal("grants", &[SPENT, BROKE_THE_PROTOCOL]),
    vandal("store", &[SPENT, BROKE_THE_PROTOCOL, HOST]),
    vandal("all", &[SPENT, BROKE_THE_PROTOCOL, HOST, KILLED]),
    wrong_requests("bad-opcode"),
    wrong_requests("submission-tail-jumps"),
    wrong_requests("completion-head-jumps"),
];

impl Hostile {
    /// The arguments of the program.
    pub(super) fn arguments(&self, random: &mut Rng) -> Vec<String> {
        let mut words = vec![self.kind.to_owned()];
        if self.program == Vandal {
            // Without end, or as many steps as a power of two that is drawn.
            let steps = [0, 1 << random.u32(0..16)][random.usize(..2)];
            words.extend([random.u64(..), steps].map(|number| number.to_string()));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vandal_is_told_what_to_do_and_for_how_long() {
        let mut random = Rng::with_seed(1);
        for kind in DOMAINS {
            let words = kind.arguments(&mut random);
            assert_eq!(words[0], kind.kind);
            assert_eq!(words.len(), if kind.program == Vandal { 3 } else { 1 });
        }
    }
}
