//! Tells the user what is going on: a spinner with the elapsed time on a terminal, plain lines
//! elsewhere.
//!
//! All of it goes to standard error; standard output belongs to what runs in dom0.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::style;
use image_builder::output;
use indicatif::{ProgressBar, ProgressStyle};

/// One step of the work, from [`Step::start`] to [`Step::done`]. Dropped before that, it has
/// failed, and the error that follows says why.
pub struct Step {
    what: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Says that a step begins.
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            note(format_args!("{what} ..."));
        }
        Self { what, started: Instant::now(), spinner }
    }

    /// Takes the spinner away for the time that another has the terminal.
    pub fn hide(&self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
    }

    /// For threads that know more about how the step goes.
    pub fn details(&self) -> Details {
        Details { what: self.what.clone(), spinner: self.spinner.clone() }
    }

    /// The step is done; says how long it took.
    pub fn done(self) -> Duration {
        let took = self.started.elapsed();
        let line = format!(
            "{} {}",
            self.what,
            style(format!("({:.1} s)", took.as_secs_f64())).for_stderr().dim()
        );
        match &self.spinner {
            Some(bar) => {
                bar.finish_and_clear();
                output::error_line(format_args!("{} {line}", style("✓").for_stderr().green()));
            }
            None => note(line),
        }
        took
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
    }
}

/// Tells details of a [`Step`].
pub struct Details {
    what: String,
    spinner: Option<ProgressBar>,
}

impl Details {
    /// Shows a line of cargo's, on a terminal, until the next. Elsewhere only its reason for
    /// waiting is shown.
    pub fn cargo_says(&self, detail: &str) {
        const WIDTH: usize = 60;
        if self.spinner.is_none() && detail.starts_with("Blocking") {
            note(detail);
        }
        if let Some(bar) = &self.spinner {
            let detail = console::strip_ansi_codes(detail);
            let detail = console::truncate_str(&detail, WIDTH, "…");
            bar.set_message(format!("{} {}", self.what, style(detail).for_stderr().dim()));
        }
    }
}

/// One plain line for the user.
pub fn note(line: impl std::fmt::Display) {
    output::error_line(format_args!("qemu-ci: {line}"));
}
