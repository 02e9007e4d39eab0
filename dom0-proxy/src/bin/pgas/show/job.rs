//! A job as the user sees it.

use std::time::Duration;

use dom0_proxy::control::{LineReport, OutputPiece, Reply, Summary};
use dom0_proxy::error::status;
use indicatif::{ProgressBar, ProgressStyle};

use super::shown::Shown;
use super::tagged::Style;
use super::writer::{Presentation, Telling, Writer};
use crate::arguments::ShowArguments;
use crate::connect::Requests;
use crate::output::{error_takes_more, print, print_error, print_json};
use crate::table;

/// How long to wait for whoever reads the output of a job that was killed, while nothing is read.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shows a job to the user.
pub struct Show {
    json: bool,
    table: bool,
    size: u32,
    progress: ProgressBar,
    writer: Writer,
}

impl Show {
    /// A job of `size` ranks, to be shown so, of which earlier runs have `shown` something.
    pub fn new(
        arguments: &ShowArguments,
        size: u32,
        requests: &Requests,
        shown: Shown,
    ) -> anyhow::Result<Self> {
        // On a terminal only: indicatif draws nothing elsewhere.
        let progress =
            if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(size.into()) };
        if let Ok(style) = ProgressStyle::with_template("{spinner} starting ranks: {pos}/{len}") {
            progress.set_style(style);
        }
        let times = arguments.timestamp;
        let presentation = match &arguments.output {
            Some(directory) => Presentation::Files(directory.clone()),
            None if arguments.json => Presentation::Json { times },
            None => Presentation::Lines(Style { tags: !arguments.no_tag, times, terminal: false }),
        };
        let telling = match arguments {
            ShowArguments { json: true, .. } => Telling::Json,
            ShowArguments { lines: true, .. } => Telling::InShort,
            _ => Telling::Nothing,
        };
        let (bar, requests) = (progress.clone(), requests.clone());
        let writer = Writer::start(presentation, telling, bar, requests, size, shown)?;
        progress.enable_steady_tick(Duration::from_millis(100));
        Ok(Self { json: arguments.json, table: arguments.table, size, progress, writer })
    }

    /// This many ranks have started.
    pub fn up(&self, up: u32) {
        self.progress.set_position(up.into());
        if up >= self.size {
            self.progress.finish_and_clear();
        }
    }

    /// A rank has written something.
    pub fn output(&self, piece: OutputPiece) {
        self.writer.show(piece);
    }

    /// The job was saved.
    pub fn saved(&self, report: LineReport) {
        self.writer.saved(report);
    }

    /// Something that the user should know.
    pub fn notice(&self, line: &str) {
        self.progress.suspend(|| say(&format!("pgas: {line}")));
    }

    /// The job has ended; the status to end with.
    pub fn end(self, summary: &Summary) -> anyhow::Result<u8> {
        let Self { json, table, progress, writer, .. } = self;
        progress.finish_and_clear();
        let is_killed = matches!(summary.status, status::INTERRUPTED | status::KILLED);
        let unshown = writer.finish(is_killed.then_some(PATIENCE))?;
        let ranks = || summary.ranks.iter().map(|rank| rank.output);
        // Nobody reads standard output then, and standard error may be the same file.
        if unshown == 0 {
            if json {
                print_json(&Reply::Ended(summary.clone()))?;
            } else if table {
                print(table::ranks(summary).trim_end())?;
            }
        }
        let missing = unshown + ranks().map(|output| output.unsent).sum::<u64>();
        if missing > 0 {
            say_unshown(missing, Some(&summary.job));
        }
        for (rank, output) in ranks().enumerate() {
            if output.lost > 0 {
                say(&format!("pgas: rank {rank}: {} bytes of its output were lost", output.lost));
            }
            if output.unlogged > 0 {
                say(&format!(
                    "pgas: rank {rank}: the last {} bytes of its output are not in its log",
                    output.unlogged
                ));
            }
        }
        if let Some(cause) = &summary.cause {
            match summary.status {
                status::SAVED => say(&format!("pgas: job {} was {cause}", summary.job)),
                _ => say(&format!("pgas: job {} failed: {cause}", summary.job)),
            }
        }
        Ok(if summary.status == 0 && missing > 0 { status::KILLED } else { summary.status })
    }

    /// The daemon is gone: how many bytes of what it has sent could not be shown.
    pub fn stop(self) -> anyhow::Result<u64> {
        self.progress.finish_and_clear();
        self.writer.finish(Some(PATIENCE))
    }
}

/// Says what all lines of a job have cost.
pub fn say_lines<'a>(reports: impl Iterator<Item = &'a LineReport>) {
    let mut reports = reports.peekable();
    match reports.peek() {
        None => say("pgas: no line was saved"),
        Some(_) => table::lines(reports).lines().for_each(say),
    }
}

/// Says how much output of a job was not shown.
pub fn say_unshown(bytes: u64, job: Option<&str>) {
    let log = job.map_or(String::new(), |job| format!(": `pgas logs {job}` has all of it"));
    say(&format!("pgas: {bytes} bytes of the ranks' output were not shown{log}"));
}

/// Says a line, unless standard error is as stuck as standard output may be.
pub fn say(line: &str) {
    if error_takes_more() {
        print_error(line);
    }
}
