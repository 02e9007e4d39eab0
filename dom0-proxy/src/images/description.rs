//! What a job and its ranks are, besides their memory. The store keeps it and acts on none of it.

use std::fmt;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Items of one list in a description, at most: arguments, variables, features.
pub const MAX_ITEMS: usize = 65_536;
/// Bytes of one text, or of one string of bytes, at most.
pub const MAX_TEXT: usize = 1 << 20;

/// A recovery line, by which an image is named.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Line {
    /// How often the job had been restored.
    pub incarnation: u64,
    /// The line's number in that incarnation.
    pub number: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.number)
    }
}

impl std::str::FromStr for Line {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let line = || {
            let (incarnation, number) = text.split_once('-')?;
            Some(Self { incarnation: incarnation.parse().ok()?, number: number.parse().ok()? })
        };
        // Only as it is written: no signs, no leading zeros.
        line().filter(|line| line.to_string() == text).ok_or("a line is two numbers, such as 0-7")
    }
}

/// The job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The line that the image is of.
    pub line: Line,
    /// When it was saved, in seconds since 1970.
    pub created: u64,
    /// The name of the host.
    pub host: String,
    /// The job's name.
    pub job: String,
    /// What its ranks run.
    pub program: Program,
    /// What it was started with.
    pub options: Options,
    /// What the processor must have, by name.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ITEMS>")]
    pub processor: Vec<String>,
    /// The version of Xen that the ranks ran on.
    pub xen_version: String,
}

/// What the ranks of a job run. Its bytes are in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name of its file, for people; nothing is ever read from there.
    pub name: String,
    /// The BLAKE3 of its file.
    pub hash: [u8; 32],
}

/// What a job was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The application's arguments.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ITEMS>")]
    pub args: Vec<Vec<u8>>,
    /// Names and values of its environment.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ITEMS>")]
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of memory of a rank.
    pub memory: u64,
    /// Ranks of the job, wherever they are.
    pub size: u32,
    /// Who got the standard input of `pgas`.
    pub input: Input,
}

/// Who got the standard input of `pgas`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nobody.
    #[default]
    Nobody,
    /// Rank 0.
    Rank0,
    /// Every rank a copy.
    All,
}

/// A rank, besides its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankDescription {
    /// The rank.
    pub rank: u32,
    /// Whether it goes on.
    pub state: RankState,
    /// Bytes of its window, from address 0; whole pages.
    pub window: u64,
    /// What lies where in the window.
    pub layout: Layout,
    /// Its counters of traffic, as whoever counts writes them.
    #[serde(deserialize_with = "bounded::<_, _, MAX_TEXT>")]
    pub traffic: Vec<u8>,
    /// What it had written.
    pub console: Console,
}

/// Whether a rank goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RankState {
    /// It was running.
    Running,
    /// It had ended by itself; others may still need its memory.
    Ended {
        /// Its exit status.
        status: i32,
    },
}

/// What lies where in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Address of the runtime area.
    pub runtime: u64,
    /// First address that other ranks may touch.
    pub public_start: u64,
    /// End of what they may touch.
    pub public_end: u64,
}

/// What a rank had written at the line. Nobody writes that again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Bytes that were read of its output, in all runs of its job: the log of the run that was
    /// saved has them.
    pub written: u64,
    /// The last of these bytes, where they are the beginning of a line that has not ended.
    #[serde(deserialize_with = "bounded::<_, _, MAX_TEXT>")]
    pub partial: Vec<u8>,
    /// What follows, which was in the console's ring and could not be read from there.
    #[serde(deserialize_with = "bounded::<_, _, MAX_TEXT>")]
    pub unread: Vec<u8>,
}

impl Console {
    /// Bytes that the rank had written before what a restored job shows of it.
    pub fn begins(&self) -> u64 {
        self.written.saturating_sub(self.partial.len() as u64)
    }
}

impl Description {
    /// Whether both can be of one job, which has another name when it has been restored: it is the
    /// same program, started in the same way.
    pub fn can_be_same_job(&self, other: &Self) -> bool {
        self.program.hash == other.program.hash && self.options == other.options
    }

    /// What is too large or wrong in it, if anything is.
    pub fn fault(&self) -> Option<String> {
        let options = &self.options;
        let variables = options.environment.iter().flat_map(|(name, value)| [name, value]);
        let texts = [&self.host, &self.job, &self.program.name, &self.xen_version].into_iter();
        let mut lengths = texts
            .chain(&self.processor)
            .map(String::len)
            .chain(options.args.iter().chain(variables).map(Vec::len));
        let lists = [options.args.len(), options.environment.len(), self.processor.len()];
        if lengths.any(|length| length > MAX_TEXT) {
            return Some(format!("a text is longer than {MAX_TEXT} bytes"));
        }
        if lists.into_iter().any(|length| length > MAX_ITEMS) {
            return Some(format!("a list has more than {MAX_ITEMS} items"));
        }
        None
    }
}

impl RankDescription {
    /// What is too large or wrong in it, if anything is.
    pub fn fault(&self) -> Option<String> {
        let texts = [&self.traffic, &self.console.partial, &self.console.unread];
        if texts.into_iter().any(|text| text.len() > MAX_TEXT) {
            return Some(format!("rank {}: a text is longer than {MAX_TEXT} bytes", self.rank));
        }
        let Layout { runtime, public_start, public_end } = self.layout;
        let is_sound = self.window.is_multiple_of(super::chunk::PAGE as u64)
            && runtime <= self.window
            && public_start <= public_end
            && public_end <= self.window;
        (!is_sound).then(|| format!("rank {}: its layout does not fit its window", self.rank))
    }
}

/// Reads a list of `MOST` items at most, and makes room for no more than have come.
pub fn bounded<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MOST: usize>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of {MOST} items at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let told = items.size_hint().unwrap_or(0);
            if told > MOST {
                return Err(A::Error::invalid_length(told, &self));
            }
            // What is told may be a lie: no more than 64 KiB is believed.
            let room = (1 << 16) / size_of::<T>().max(1);
            let mut list = Vec::with_capacity(told.min(room));
            while let Some(item) = items.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Bounded::<T, MOST>(std::marker::PhantomData))
}
