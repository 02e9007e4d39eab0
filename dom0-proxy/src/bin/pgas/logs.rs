//! `pgas logs`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dom0_proxy::Error;
use dom0_proxy::control::OutputStream;
use dom0_proxy::run_dir::{JobOrigin, LOGS_KEPT, RestoredLine, RunDir};

use crate::output::{self, print_json};
use crate::show::{Fragment, JsonLine, Mark, Style, Tagged};

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Only this rank.
    pub rank: Option<u32>,
    /// Lines for programs.
    pub json: bool,
    /// The runs that the job goes on with too.
    pub all_runs: bool,
}

/// Shows what the ranks of a job have written; the status to end with.
pub fn logs(job: &str, asked: Asked) -> anyhow::Result<u8> {
    let run_dir = RunDir::from_env()?;
    let no_log = |path: PathBuf| Error::NoLog { path, kept: LOGS_KEPT };
    let run = Run::find(&run_dir, job);
    let Some(logs) = &run.logs else { return Err(no_log(run_dir.job_logs(job)).into()) };
    if let Some(rank) = asked.rank
        && !log_of(logs, rank).exists()
    {
        return Err(no_log(log_of(logs, rank)).into());
    }
    let runs = if asked.all_runs { run.with_earlier(&run_dir) } else { vec![run] };
    let [terminal, _] = output::are_terminals();
    let tags = asked.rank.is_none() || asked.all_runs;
    let mut tagged = Tagged::new(Style { tags, times: false, terminal });
    for (index, run) in runs.iter().enumerate() {
        output::write(OutputStream::Output, tagged.close())?;
        if asked.all_runs && asked.json {
            print_json(&serde_json::json!({ "run": run.for_programs() }))?;
        } else if asked.all_runs || (run.origin.is_some() && tags && !asked.json) {
            output::print(&run.heading())?;
        }
        run.show(asked, &runs[index + 1..], &mut tagged)?;
    }
    output::write(OutputStream::Output, tagged.close())?;
    Ok(0)
}

/// One run of a job.
#[derive(Debug)]
struct Run {
    job: String,
    /// Where its logs are, if they are still there.
    logs: Option<PathBuf>,
    /// What it goes on with.
    origin: Option<JobOrigin>,
}

impl Run {
    fn find(run_dir: &RunDir, job: &str) -> Self {
        let is_name = !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let logs = is_name.then(|| run_dir.job_logs(job)).filter(|logs| logs.is_dir());
        let origin = logs.as_deref().and_then(JobOrigin::of);
        Self { job: job.into(), logs, origin }
    }

    /// It and those that it goes on with, the oldest first, as far as their logs tell.
    fn with_earlier(self, run_dir: &RunDir) -> Vec<Self> {
        let mut runs = vec![self];
        loop {
            // Where the logs of the one before are gone a later one knows more.
            let mut known = runs.iter().rev().filter_map(|run| run.origin.as_ref());
            let is_new = |job: &&str| runs.iter().all(|run| run.job != *job);
            let Some(earlier) = known.find_map(|origin| origin.earlier().find(is_new)) else {
                break;
            };
            runs.push(Self::find(run_dir, earlier));
        }
        runs.reverse();
        runs
    }

    /// Where the log of this rank begins in all that it writes.
    fn begins(&self, rank: u32) -> u64 {
        let begins = self.origin.as_ref().map(|origin| &origin.begins[..]).unwrap_or_default();
        begins.get(rank as usize).copied().unwrap_or(0)
    }

    fn heading(&self) -> String {
        let JobOrigin { after, restored, .. } = self.origin.clone().unwrap_or_default();
        let words = match (&self.logs, restored, after) {
            (None, ..) => ": its logs are not here any more".into(),
            (_, None, None) => String::new(),
            (_, None, Some(after)) => format!(": begun again after the accident of job {after}"),
            (_, Some(RestoredLine { line, job, .. }), after) => {
                let after = match after {
                    None => String::new(),
                    Some(after) if after == job => ", after its accident".into(),
                    Some(after) => format!(", after the accident of job {after}"),
                };
                format!(": restored from line {line} of job {job}{after}")
            }
        };
        format!("-- job {}{words} --", self.job)
    }

    fn for_programs(&self) -> serde_json::Value {
        let JobOrigin { after, restored, .. } = self.origin.clone().unwrap_or_default();
        let has_logs = self.logs.is_some();
        serde_json::json!({
            "job": self.job, "logs": has_logs, "restored": restored, "after": after,
        })
    }

    /// Shows what its ranks have written. What is behind the place where one of the `later` runs
    /// begins was undone.
    fn show(&self, asked: Asked, later: &[Self], tagged: &mut Tagged) -> anyhow::Result<()> {
        let Some(logs) = &self.logs else { return Ok(()) };
        let entries = std::fs::read_dir(logs).with_context(|| logs.display().to_string())?;
        let mut ranks: Vec<u32> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                name.to_str()?.strip_prefix("rank-")?.strip_suffix(".log")?.parse().ok()
            })
            .filter(|number| asked.rank.is_none_or(|only| only == *number))
            .collect();
        ranks.sort_unstable();
        for rank in ranks {
            let path = log_of(logs, rank);
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            let mut at = self.begins(rank);
            for bytes in bytes.split_inclusive(|&byte| byte == b'\n') {
                let stream = OutputStream::Output;
                // Where one begins whose logs are gone nobody knows.
                let known = later.iter().filter(|run| run.origin.is_some());
                let is_undone = known.map(|run| run.begins(rank)).any(|begins| begins <= at);
                let mark = if is_undone { Mark::Undone } else { Mark::None };
                at = at.saturating_add(bytes.len() as u64);
                let line = Fragment { rank, stream, at: 0, bytes, goes_on: false, mark };
                if asked.json {
                    print_json(&JsonLine::new(&line, false))?;
                } else {
                    output::write(stream, &tagged.show(&line))?;
                }
            }
        }
        Ok(())
    }
}

fn log_of(logs: &Path, rank: u32) -> PathBuf {
    logs.join(format!("rank-{rank}.log"))
}
