//! The kernel's command line (`cmdline=` in xl.cfg).
//!
//! Words are split at spaces; double quotes group; a backslash, inside quotes or outside, takes the
//! next character as it is. Words that begin with `xenolith.` are the kernel's up to a word `--`;
//! all others are the application's.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The rank's place in a job; none for an image that was started alone.
    pub place: Option<Place>,
    /// What the application finds in its environment: `NAME=VALUE` each.
    pub environment: Vec<String>,
    /// The application's arguments.
    pub arguments: Vec<String>,
    /// Whether it goes on in the boot module's file [`REST`].
    pub goes_on: bool,
    /// Whether the rank has standard input.
    pub has_stdin: bool,
    /// Whether the domain waits for the memory of a saved rank.
    pub lands: bool,
}

/// The word that promises standard input.
const STDIN: &str = "xenolith.stdin";
/// The word of a domain that waits for the memory of a saved rank.
const LANDING: &str = "xenolith.landing";
/// The file of a boot module that holds what was too long for the command line.
pub const REST: &str = "xenolith.rest";

/// Which rank of which job this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The job's name.
    pub job: String,
    /// The rank, from 0.
    pub rank: u32,
    /// How many ranks the job has.
    pub size: u32,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// Not UTF-8.
    #[error("the command line is not UTF-8")]
    NotText,
    /// An opening quote has no closing one.
    #[error("the command line ends inside double quotes")]
    OpenQuote,
    /// A backslash stands at the end.
    #[error("the command line ends with a backslash")]
    OpenEscape,
    /// A number was expected.
    #[error("`{0}` on the command line is not a number")]
    NotANumber(String),
    /// No option of the kernel's.
    #[error(
        "`{0}` on the command line is no option of the kernel (known: xenolith.job, xenolith.rank, \
         xenolith.size, xenolith.env, xenolith.rest, xenolith.stdin, xenolith.landing); is this \
         image older than pgas?"
    )]
    Unknown(String),
    /// xenolith.rank without xenolith.size, or the other way round.
    #[error("xenolith.rank and xenolith.size must be given together")]
    HalfAPlace,
    /// The rank is not below the size.
    #[error("xenolith.rank={rank} is not below xenolith.size={size}")]
    NoSuchRank {
        /// The rank asked for.
        rank: u32,
        /// The job's size.
        size: u32,
    },
}

impl CommandLine {
    /// Reads a command line.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandLineError> {
        let text = core::str::from_utf8(bytes).map_err(|_| CommandLineError::NotText)?;
        let (mut job, mut rank, mut size) = (None, None, None);
        let (mut environment, mut arguments) = (Vec::new(), Vec::new());
        let (mut goes_on, mut has_stdin, mut lands) = (false, false, false);
        let mut words = split(text)?.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.extend(words.by_ref());
            } else if word.starts_with("xenolith.") {
                match word.split_once('=') {
                    Some(("xenolith.job", name)) => job = Some(name.to_string()),
                    Some(("xenolith.rank", number)) => rank = Some(parse_number(&word, number)?),
                    Some(("xenolith.size", number)) => size = Some(parse_number(&word, number)?),
                    Some(("xenolith.env", variable)) => environment.push(variable.to_string()),
                    None if word == REST => goes_on = true,
                    None if word == STDIN => has_stdin = true,
                    None if word == LANDING => lands = true,
                    _ => return Err(CommandLineError::Unknown(word)),
                }
            } else {
                arguments.push(word);
            }
        }
        let place = match (rank, size) {
            (None, None) => None,
            (Some(rank), Some(size)) if rank < size => {
                Some(Place { job: job.unwrap_or_default(), rank, size })
            }
            (Some(rank), Some(size)) => return Err(CommandLineError::NoSuchRank { rank, size }),
            _ => return Err(CommandLineError::HalfAPlace),
        };
        Ok(CommandLine { place, environment, arguments, goes_on, has_stdin, lands })
    }

    /// The same with the environment and the arguments of its rest, the content of [`REST`].
    pub fn and_rest(mut self, rest: &[u8]) -> Result<Self, CommandLineError> {
        let rest = Self::parse(rest)?;
        self.environment.extend(rest.environment);
        self.arguments.extend(rest.arguments);
        Ok(self)
    }
}

fn parse_number(word: &str, number: &str) -> Result<u32, CommandLineError> {
    number.parse().map_err(|_| CommandLineError::NotANumber(word.to_string()))
}

fn split(text: &str) -> Result<Vec<String>, CommandLineError> {
    let mut words = Vec::new();
    // None between words; a word may be empty, if quoted.
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' if !quoted => words.extend(word.take()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => {
                let escaped = characters.next().ok_or(CommandLineError::OpenEscape)?;
                word.get_or_insert_default().push(escaped);
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quoted {
        return Err(CommandLineError::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        CommandLine::parse(text.as_bytes()).unwrap().arguments
    }

    fn error(text: &str) -> CommandLineError {
        CommandLine::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_rank_of_a_job() {
        let line =
            CommandLine::parse(b"xenolith.job=ab12cd xenolith.rank=2 xenolith.size=4 -- --class S")
                .unwrap();
        assert_eq!(line.place, Some(Place { job: "ab12cd".into(), rank: 2, size: 4 }));
        assert_eq!(line.arguments, ["--class", "S"]);
    }

    #[test]
    fn an_image_alone() {
        let line = CommandLine::parse(b"--ticks 20").unwrap();
        assert_eq!(
            line,
            CommandLine {
                arguments: alloc::vec!["--ticks".into(), "20".into()],
                ..CommandLine::default()
            }
        );
        assert_eq!(CommandLine::parse(b"").unwrap(), CommandLine::default());
    }

    #[test]
    fn a_domain_that_waits_for_a_saved_rank() {
        let lands = |line: &str| CommandLine::parse(line.as_bytes()).unwrap().lands;
        assert!(lands("xenolith.rank=0 xenolith.size=1 xenolith.landing -- a"));
        assert!(!lands("xenolith.rank=0 xenolith.size=1 -- xenolith.landing"));
        assert_eq!(
            error("xenolith.landing=1"),
            CommandLineError::Unknown("xenolith.landing=1".into())
        );
    }

    #[test]
    fn the_kernels_words_after_the_dashes_are_the_applications() {
        assert_eq!(arguments("a -- xenolith.rank=1 --"), ["a", "xenolith.rank=1", "--"]);
    }

    #[test]
    fn an_environment_and_a_rest() {
        let line = CommandLine::parse(b"xenolith.rank=0 xenolith.size=1 xenolith.rest").unwrap();
        assert!(line.goes_on);
        let line = line.and_rest(b" \"xenolith.env=A=b c=d\" xenolith.env=E= -- one two").unwrap();
        assert_eq!(line.place.unwrap().size, 1);
        assert_eq!(line.environment, ["A=b c=d", "E="]);
        assert_eq!(line.arguments, ["one", "two"]);
    }

    #[test]
    fn quotes_group_and_backslashes_escape() {
        assert_eq!(
            arguments(r#"one "two  words" th"re"e "" \"q\" "in\"side" a\ b \\"#),
            ["one", "two  words", "three", "", "\"q\"", "in\"side", "a b", "\\"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(error("\"open"), CommandLineError::OpenQuote);
        assert_eq!(error("open\\"), CommandLineError::OpenEscape);
        assert_eq!(
            error("xenolith.rank=x xenolith.size=1"),
            CommandLineError::NotANumber("xenolith.rank=x".into())
        );
        assert_eq!(error("xenolith.rank=1"), CommandLineError::HalfAPlace);
        assert_eq!(
            error("xenolith.rank=4 xenolith.size=4"),
            CommandLineError::NoSuchRank { rank: 4, size: 4 }
        );
        assert_eq!(
            error("xenolith.colour=red"),
            CommandLineError::Unknown("xenolith.colour=red".into())
        );
        assert_eq!(CommandLine::parse(b"\xff"), Err(CommandLineError::NotText));
    }
}
