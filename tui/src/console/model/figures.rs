//! Throughput and latency of the whole cluster, from the coordinator's figures.
//!
//! Changed by `apply` only; read by the views.

use protocol::event::Stats;

use super::rate::{History, Rate};

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
    /// Reads and writes a second, one value a half second.
    pub ops_history: History,
    /// Failures a second, likewise.
    pub failed_history: History,
    /// Updates' 99th percentile, microseconds, likewise.
    pub p99_history: History,
}

impl Figures {
    /// Takes figures told at `at_us` on the coordinator's clock.
    pub(super) fn apply(&mut self, stats: &Stats, at_us: u64) {
        self.reads.count(at_us, total(stats, READS, |_| true));
        self.writes.count(at_us, total(stats, WRITES, |_| true));
        let of_keys: Vec<&str> = READS.iter().chain(WRITES).copied().collect();
        self.failed.count(at_us, total(stats, &of_keys, |outcome| !ANSWERS.contains(&outcome)));
        if let (Some(reads), Some(writes)) = (self.reads.last_step(), self.writes.last_step()) {
            self.ops_history.push(reads + writes);
        }
        if let Some(failed) = self.failed.last_step() {
            self.failed_history.push(failed);
        }
        let p99 = stats.latency_us.get("update").map_or(0, |quantiles| quantiles.p99);
        self.p99_history.push(p99 as f64);
        self.stats = stats.clone();
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
