//! Counts and tells how tests came out.

use std::fmt;
use std::time::Duration;

use console::style;
use image_builder::output;

/// The tests so far.
#[derive(Debug, Default)]
pub struct Verdicts {
    passed: usize,
    failed: Vec<String>,
}

impl Verdicts {
    /// Takes one and prints its line; for a failure also why, and what the test wrote.
    pub fn add(&mut self, name: &str, took: Duration, result: Result<(), Failure>) {
        let took = took.as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                let ok = style("ok    ").green();
                output::line(format_args!("{ok} {name} ({took:.1} s)"));
            }
            Err(Failure { why, output: said }) => {
                self.failed.push(name.to_owned());
                let failed = style("FAILED").red();
                output::line(format_args!("{failed} {name} ({took:.1} s): {why}"));
                for line in said.lines() {
                    output::line(format_args!("    | {line}"));
                }
            }
        }
    }

    /// The exit status that they make.
    pub fn status(&self) -> i32 {
        // Nothing tested is nothing shown to work.
        i32::from(!self.failed.is_empty() || self.passed == 0)
    }

    /// The names of those that failed.
    pub fn failed(&self) -> &[String] {
        &self.failed
    }
}

/// The closing line.
impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// Why a test failed.
#[derive(Debug)]
pub struct Failure {
    /// In a few words.
    pub why: String,
    /// What helps to find the cause.
    pub output: String,
}

impl Failure {
    /// From an error with all its causes.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let text = format!("{error:#}");
        let (why, output) = text.split_once('\n').unwrap_or((&text, ""));
        Self { why: why.to_owned(), output: output.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure { why: "status 1".into(), output: String::new() }
    }

    #[test]
    fn the_closing_line_counts_both() {
        let mut verdicts = Verdicts::default();
        verdicts.add("a", Duration::ZERO, Ok(()));
        assert_eq!((verdicts.to_string().as_str(), verdicts.status()), ("1 passed, 0 failed", 0));
        verdicts.add("b", Duration::ZERO, Err(failure()));
        assert_eq!((verdicts.to_string().as_str(), verdicts.status()), ("1 passed, 1 failed", 1));
        assert_eq!(verdicts.failed(), ["b"]);
    }

    #[test]
    fn nothing_tested_is_no_success() {
        assert_eq!(Verdicts::default().status(), 1);
    }

    #[test]
    fn an_error_s_first_line_is_the_reason() {
        let failure = Failure::from_error(&anyhow::anyhow!("boom\nlog\nlog"));
        assert_eq!((failure.why.as_str(), failure.output.as_str()), ("boom", "log\nlog"));
    }
}
