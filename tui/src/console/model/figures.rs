//! Throughput and latency of the whole cluster, from the coordinator's figures.
//!
//! Changed by `apply` only; read by the views.

use protocol::event::Stats;

use super::clock::At;
use super::rate::{History, Rate};

/// Milliseconds between two tellings.
pub const STEP_MS: u64 = 500;

/// Answers that are no fault of the cluster's: a condition that did not hold, or wrong usage.
const ANSWERS: &[&str] = &[
    "ok",
    "not_found",
    "exists",
    "version_mismatch",
    "bad_request",
    "too_large",
    "unauthorized",
    "forbidden",
];
/// Operations that read keys.
const READS: &[&str] = &["get", "mget", "scan"];
/// Operations that write keys.
const WRITES: &[&str] = &["put", "update", "cas", "del", "txn"];

/// The cluster's figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// As they were last told.
    pub stats: Stats,
    /// Reads a second, now.
    pub reads: Rate,
    /// Writes a second, now.
    pub writes: Rate,
    /// Requests a second that the cluster refused or failed, now.
    pub failed: Rate,
    /// Reads and writes a second, one value every [`STEP_MS`].
    pub ops_history: History,
}

impl Figures {
    /// Takes figures told at `at_us` on the coordinator's clock, which came at `now`.
    pub(super) fn apply(&mut self, stats: &Stats, at_us: u64, now: At) {
        self.reads.count(at_us, total(stats, READS, |_| true));
        self.writes.count(at_us, total(stats, WRITES, |_| true));
        let of_keys: Vec<&str> = READS.iter().chain(WRITES).copied().collect();
        self.failed.count(at_us, total(stats, &of_keys, |outcome| !ANSWERS.contains(&outcome)));
        let ops = self.reads.last_step().zip(self.writes.last_step());
        self.ops_history.push(now, STEP_MS, ops.map(|(reads, writes)| reads + writes));
        self.stats = stats.clone();
    }

    /// Requests on keys that the cluster refused or failed, since the coordinator started.
    pub fn failures(&self) -> u64 {
        let of_keys: Vec<&str> = READS.iter().chain(WRITES).copied().collect();
        total(&self.stats, &of_keys, |outcome| !ANSWERS.contains(&outcome))
    }

    /// Updates' 99th percentile in the last figures, microseconds; none: there were none.
    pub fn update_p99_us(&self) -> Option<u64> {
        self.stats.latency_us.get("update").map(|told| told.p99).filter(|p99| *p99 > 0)
    }

    /// Reads and writes a second.
    pub fn ops_per_s(&self) -> Option<f64> {
        Some(self.reads.per_s()? + self.writes.per_s()?)
    }
}

fn total(stats: &Stats, ops: &[&str], outcome: impl Fn(&str) -> bool) -> u64 {
    let counted = stats.ops.iter().filter(|(op, _)| ops.contains(&op.as_str()));
    let outcomes = counted.flat_map(|(_, outcomes)| outcomes);
    outcomes.filter(|(name, _)| outcome(name)).map(|(_, n)| *n).fold(0, u64::saturating_add)
}
