//! The thread that shows a job's output as it comes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use dom0_proxy::control::{ClientRequest, LineReport, OutputPiece, OutputStream, Reply};
use indicatif::ProgressBar;

use super::json::JsonLine;
use super::lines::{Fragment, Lines, PATIENCE};
use super::shown::Shown;
use super::tagged::{Style, Tagged};
use crate::connect::Requests;
use crate::{output, table};

/// How output is shown.
#[derive(Debug)]
pub enum Presentation {
    /// As lines, on standard output and standard error.
    Lines(Style),
    /// As lines of JSON on standard output, with the times at which they came or without.
    Json {
        /// With times.
        times: bool,
    },
    /// Not at all: it goes to files in this directory, one a rank, as it was written.
    Files(PathBuf),
}

/// How the lines that were saved are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Not at all.
    Nothing,
    /// In a line each, on standard error.
    InShort,
    /// As JSON, on standard output.
    Json,
}

/// Something to be shown.
#[derive(Debug)]
enum Item {
    Piece(OutputPiece),
    Saved(Box<LineReport>),
}

/// Shows output in a thread of its own: whoever reads it may be slow, and how the job has ended is
/// to be heard meanwhile.
#[derive(Debug)]
pub struct Writer {
    items: Option<Sender<Item>>,
    /// Bytes that are still to be shown.
    waiting: Arc<AtomicU64>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Writer {
    /// Starts the thread, in a run of a job of which earlier ones have `shown` something. What it
    /// has shown it reports to `daemon`, which sends more then.
    pub fn start(
        presentation: Presentation,
        telling: Telling,
        progress: ProgressBar,
        daemon: Requests,
        ranks: u32,
        shown: Shown,
    ) -> anyhow::Result<Self> {
        let mut sink = Sink::new(presentation, ranks, shown)?;
        let (sender, items) = channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let still_waiting = waiting.clone();
        let thread = thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                let shown = |item: &Item| {
                    let taken = match item {
                        Item::Piece(piece) => {
                            still_waiting.fetch_sub(piece.bytes.len() as u64, Ordering::Relaxed);
                            ClientRequest::Taken(piece.weight())
                        }
                        Item::Saved(_) => ClientRequest::TakenReport,
                    };
                    // A daemon that is gone is noticed elsewhere.
                    let _ = daemon.send(&taken);
                };
                let result = write(&items, &mut sink, telling, &progress, shown);
                if result.is_err() {
                    // Nobody is to wait for the rest.
                    daemon.close();
                }
                result
            })
            .context("start a thread")?;
        Ok(Self { items: Some(sender), waiting, thread })
    }

    /// Shows a piece, when those before are shown.
    pub fn show(&self, piece: OutputPiece) {
        self.waiting.fetch_add(piece.bytes.len() as u64, Ordering::Relaxed);
        self.send(Item::Piece(piece));
    }

    /// Tells of a line that was saved, when all that came before is shown.
    pub fn saved(&self, report: LineReport) {
        self.send(Item::Saved(Box::new(report)));
    }

    fn send(&self, item: Item) {
        if let Some(items) = &self.items {
            // A thread that has ended has had an error, which `finish` will tell.
            let _ = items.send(item);
        }
    }

    /// Waits until all is shown, or until nothing of it was for so long. How many bytes were not.
    pub fn finish(mut self, patience: Option<Duration>) -> anyhow::Result<u64> {
        drop(self.items.take());
        let waiting = || self.waiting.load(Ordering::Relaxed);
        let (mut left, mut since) = (waiting(), Instant::now());
        while let Some(patience) = patience
            && !self.thread.is_finished()
        {
            if waiting() != left {
                (left, since) = (waiting(), Instant::now());
            } else if since.elapsed() > patience {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(2));
        }
        match self.thread.join() {
            Ok(result) => result.map(|()| 0),
            Err(_) => anyhow::bail!("the thread that shows output has failed"),
        }
    }
}

/// Shows items until there are no more.
fn write(
    items: &Receiver<Item>,
    sink: &mut Sink,
    telling: Telling,
    progress: &ProgressBar,
    shown: impl Fn(&Item),
) -> anyhow::Result<()> {
    loop {
        let since = Instant::now();
        let next = if sink.has_unfinished() {
            items.recv_timeout(PATIENCE / 4)
        } else {
            items.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        sink.wait(since.elapsed())?;
        match next {
            Ok(item) => {
                // Output takes the bar's place. Nobody may hold the bar while output is stuck.
                if !progress.is_finished() {
                    progress.finish_and_clear();
                }
                match &item {
                    Item::Piece(piece) => sink.take(piece)?,
                    Item::Saved(report) => tell(telling, report)?,
                }
                shown(&item);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return sink.finish(),
        }
    }
}

fn tell(telling: Telling, report: &LineReport) -> anyhow::Result<()> {
    match telling {
        Telling::Nothing => {}
        Telling::InShort => output::print_error(&format!("pgas: {}", table::short_line(report))),
        Telling::Json => output::print_json(&Reply::Saved(report.clone()))?,
    }
    Ok(())
}

/// Where output goes.
enum Sink {
    Lines { lines: Lines, files: Files },
    Json { lines: Lines, times: bool },
    Directory { directory: PathBuf, shown: Shown },
}

/// Standard output and standard error.
struct Files {
    output: Tagged,
    /// None where it is the same file as standard output, so that one line can break another.
    error: Option<Tagged>,
}

impl Sink {
    fn new(presentation: Presentation, ranks: u32, shown: Shown) -> anyhow::Result<Self> {
        Ok(match presentation {
            Presentation::Lines(style) => {
                Self::Lines { lines: Lines::new(shown), files: Files::new(style) }
            }
            Presentation::Json { times } => Self::Json { lines: Lines::new(shown), times },
            Presentation::Files(directory) => {
                fs::create_dir_all(&directory)
                    .with_context(|| format!("--output {}", directory.display()))?;
                for rank in 0..ranks {
                    let path = file_of(&directory, rank);
                    // Those of earlier runs of this job are gone on with.
                    let mut file = File::options();
                    file.write(true).create(true).truncate(!shown.is_next_run());
                    file.open(&path).with_context(|| format!("create {}", path.display()))?;
                }
                Self::Directory { directory, shown }
            }
        })
    }

    fn take(&mut self, piece: &OutputPiece) -> anyhow::Result<()> {
        match self {
            Self::Lines { lines, files } => lines.push(piece, |fragment| files.show(&fragment)),
            Self::Json { lines, times } => {
                lines.push(piece, |fragment| show_json(&fragment, *times))
            }
            Self::Directory { directory, shown } => {
                // Opened for each piece: jobs have more ranks than a process has open files.
                let path = file_of(directory, piece.rank);
                let file = File::options().append(true).open(&path);
                file.and_then(|mut file| file.write_all(&piece.bytes))
                    .with_context(|| format!("write to {}", path.display()))?;
                shown.push(piece.rank, &piece.bytes);
                Ok(())
            }
        }
    }

    fn has_unfinished(&self) -> bool {
        match self {
            Self::Lines { lines, .. } | Self::Json { lines, .. } => lines.has_unfinished(),
            Self::Directory { .. } => false,
        }
    }

    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        match self {
            Self::Lines { lines, files } => lines.wait(time, |fragment| files.show(&fragment)),
            Self::Json { lines, times } => {
                lines.wait(time, |fragment| show_json(&fragment, *times))
            }
            Self::Directory { .. } => Ok(()),
        }
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Lines { lines, files } => {
                lines.finish(|fragment| files.show(&fragment))?;
                files.close()
            }
            Self::Json { lines, times } => lines.finish(|fragment| show_json(&fragment, *times)),
            Self::Directory { .. } => Ok(()),
        }
    }
}

impl Files {
    fn new(style: Style) -> Self {
        let [output, error] = output::are_terminals();
        Self {
            output: Tagged::new(Style { terminal: output, ..style }),
            error: (!output::are_one_file())
                .then(|| Tagged::new(Style { terminal: error, ..style })),
        }
    }

    fn show(&mut self, fragment: &Fragment<'_>) -> anyhow::Result<()> {
        let tagged = match (&mut self.error, fragment.stream) {
            (Some(error), OutputStream::Error) => error,
            _ => &mut self.output,
        };
        output::write(fragment.stream, &tagged.show(fragment))
    }

    fn close(&mut self) -> anyhow::Result<()> {
        output::write(OutputStream::Output, self.output.close())?;
        match &mut self.error {
            Some(error) => output::write(OutputStream::Error, error.close()),
            None => Ok(()),
        }
    }
}

fn show_json(fragment: &Fragment<'_>, times: bool) -> anyhow::Result<()> {
    output::print_json(&serde_json::json!({ "line": JsonLine::new(fragment, times) }))
}

fn file_of(directory: &Path, rank: u32) -> PathBuf {
    directory.join(format!("rank-{rank}.log"))
}
