//! What is told of each rank when its job has ended.

use std::time::Instant;

use super::verdict::Verdict;
use crate::control::{JobSpec, OperationSummary, RankSummary, TrafficSummary};
use crate::engine::{Count, Traffic};

/// Collects it, by rank.
#[derive(Debug)]
pub struct Summaries {
    begun: Vec<Option<Instant>>,
    ranks: Vec<RankSummary>,
}

impl Summaries {
    /// Of a job of which nothing has begun. Of ranks of other hosts nothing will be known.
    pub fn new(spec: &JobSpec) -> Self {
        let memory = |rank| if spec.is_here(rank) { spec.memory } else { 0 };
        let summary = |rank| RankSummary { memory: memory(rank), ..RankSummary::default() };
        let ranks = (0..spec.size).map(summary).collect();
        Self { begun: vec![None; spec.size as usize], ranks }
    }

    /// A rank's creation has begun.
    pub fn begun(&mut self, rank: u32, at: Instant) {
        self.begun[rank as usize] = Some(at);
    }

    /// A rank has started. True the first time.
    pub fn booted(&mut self, rank: u32, at: Instant) -> bool {
        let (Some(begun), boot) =
            (self.begun[rank as usize], &mut self.ranks[rank as usize].boot_seconds)
        else {
            return false;
        };
        let first = boot.is_none();
        boot.get_or_insert(at.saturating_duration_since(begun).as_secs_f64());
        first
    }

    /// The job, which began at `started`, has ended: how its ranks have, and what the engine has
    /// counted.
    pub fn finish(
        mut self,
        started: Instant,
        verdict: &Verdict,
        traffic: &[Traffic],
    ) -> Vec<RankSummary> {
        for ((rank, summary), begun) in (0..).zip(&mut self.ranks).zip(&self.begun) {
            let seconds = |begun: Instant| begun.saturating_duration_since(started).as_secs_f64();
            summary.begun_seconds = begun.map(seconds);
            summary.status = verdict.exit_status(rank);
            summary.traffic = traffic.get(rank as usize).copied().unwrap_or_default().into();
        }
        self.ranks
    }
}

impl From<Traffic> for TrafficSummary {
    fn from(Traffic { put, get, accumulate, rmw, other }: Traffic) -> Self {
        Self {
            put: put.into(),
            get: get.into(),
            accumulate: accumulate.into(),
            rmw: rmw.into(),
            other: other.into(),
        }
    }
}

impl From<Count> for OperationSummary {
    fn from(Count { operations, bytes }: Count) -> Self {
        Self { operations, bytes }
    }
}
