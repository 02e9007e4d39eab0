//! What a job of the soak does, and what is done to it: all of it follows from a seed.

use std::time::Duration;

use test_applications::random::Random;

/// A job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its ranks write follows from this.
    pub seed: u64,
    pub ranks: usize,
    /// What each rank writes at least.
    pub bytes: usize,
    /// How often a rank pauses at most.
    pub pauses: u32,
    pub view: View,
    pub reader: Reader,
    pub event: Event,
    pub end: End,
}

/// In which form `pgas` shows what ranks write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As it does unless told otherwise: lines that begin with the rank.
    Tagged,
    /// The bytes of the only rank.
    Untagged,
    /// A JSON object a line.
    Json,
    /// A file a rank.
    Files,
}

/// Who reads what `pgas` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Prompt,
    /// Takes this much at a time, and pauses.
    Slow {
        piece: usize,
        pause: Duration,
    },
    /// Takes this much, then nothing for a while, then the rest.
    Stalls {
        after: usize,
        pause: Duration,
    },
    /// Takes this much, and is gone.
    Leaves {
        after: usize,
    },
}

/// What happens to `pgas` while the job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Nothing,
    /// SIGTERM, after a while.
    Terminated(Duration),
    /// SIGINT, after a while.
    Interrupted(Duration),
    /// `pgas kill`, after a while.
    Killed(Duration),
    /// SIGTSTP after a while, and SIGCONT after another.
    Stopped(Duration, Duration),
}

/// How the job ends if nothing happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    Exit { rank: usize, status: u8 },
    Panic { rank: usize },
}

/// How large jobs are.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub ranks: u64,
    /// The most that a rank writes, about.
    pub bytes: u64,
}

impl Plan {
    /// The job of this number in the soak with this seed.
    pub fn new(seed: u64, number: u64, scale: Scale) -> Self {
        let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.bits();
        let ranks = 1 + random.below(scale.ranks) as usize;
        // Each power of two is as likely.
        let magnitude = random.below(u64::from(scale.bytes.ilog2()));
        let bytes = random.below(2 << magnitude) as usize;
        let view = match random.below(6) {
            0 | 1 if ranks == 1 => View::Untagged,
            0..=2 => View::Tagged,
            3 | 4 => View::Json,
            _ => View::Files,
        };
        Self {
            seed: random.bits(),
            ranks,
            bytes,
            pauses: random.below(4) as u32,
            view,
            reader: reader(&mut random, view, bytes * ranks),
            event: event(&mut random),
            end: end(&mut random, ranks),
        }
    }
}

fn reader(random: &mut Random, view: View, bytes: usize) -> Reader {
    let milliseconds = |random: &mut Random, end| Duration::from_millis(random.below(end));
    // What `pgas` writes itself begins where all has been read.
    let after = random.below(bytes as u64 + 1) as usize;
    match random.below(8) {
        _ if view == View::Files => Reader::Prompt,
        // A reader that would take longer than a minute for all of it is none for a soak.
        0..=2 => Reader::Slow {
            piece: 1 + random.below(16 << 10) as usize + bytes / 500,
            pause: milliseconds(random, 100),
        },
        3 => Reader::Stalls { after, pause: milliseconds(random, 9000) },
        4 => Reader::Leaves { after },
        _ => Reader::Prompt,
    }
}

fn event(random: &mut Random) -> Event {
    let mut soon = |end| Duration::from_millis(random.below(end));
    let (when, pause) = (soon(2500), soon(2000));
    match random.below(12) {
        0 => Event::Terminated(when),
        1 => Event::Interrupted(when),
        2 => Event::Killed(when),
        3 => Event::Stopped(when, pause),
        _ => Event::Nothing,
    }
}

fn end(random: &mut Random, ranks: usize) -> End {
    let rank = random.below(ranks as u64) as usize;
    match random.below(4) {
        0 => End::Exit { rank, status: 1 + random.below(100) as u8 },
        1 => End::Panic { rank },
        _ => End::Well,
    }
}
