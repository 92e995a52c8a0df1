//! Figures of the last half second, counted while somebody asks.

use protocol::event::{Body, NodeLoad, Phases, Quantiles, Stats};

use super::super::super::time::Time;
use super::super::Coordinator;

/// Between two `stats`.
pub(super) const STATS_MS: u64 = 500;
/// Parts that each power of two is divided into: a quantile is at most an eighth too high.
const PARTS: u64 = 8;
const BUCKETS: usize = 62 * PARTS as usize;

/// Counts of numbers by their size.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Box<[u32]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts a number.
    pub(super) fn record(&mut self, number: u64) {
        let bucket = bucket_of(number);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.count += 1;
        self.max = self.max.max(number);
    }

    /// What `per_cent` of the numbers do not pass.
    fn quantile(&self, per_cent: u64) -> u64 {
        let rank = (self.count * per_cent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return highest_in(bucket).min(self.max);
            }
        }
        self.max
    }

    fn quantiles(&self) -> Quantiles {
        let [p50, p90, p99] = [50, 90, 99].map(|per_cent| self.quantile(per_cent));
        Quantiles { count: self.count, p50, p90, p99, max: self.max }
    }
}

/// Numbers below [`PARTS`] each have a bucket; above, each power of two has so many.
fn bucket_of(number: u64) -> usize {
    if number < PARTS {
        return number as usize;
    }
    let power = u64::from(number.ilog2());
    let part = (number >> (power - 3)) - PARTS;
    ((power - 2) * PARTS + part) as usize
}

fn highest_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (power, part) = (bucket / PARTS + 2, bucket % PARTS);
    ((PARTS + part + 1) << (power - 3)).wrapping_sub(1)
}

/// What is counted between two `stats`.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) batches: Histogram,
    pub(super) reads: Histogram,
    updates: Histogram,
    phases: [Histogram; STEPS.len()],
}

/// The steps of an update that are counted, each from the end of the one before.
const STEPS: [&str; 4] = ["batch_formed", "prepare_sent", "last_vote", "answered"];

impl Figures {
    /// A transaction is finished.
    pub(super) fn finished(&mut self, total_us: u64, us: &Phases) {
        self.updates.record(total_us);
        let steps = [us.batch_formed, us.prepare_sent, us.last_vote, us.answered];
        let mut before = 0;
        for (step, at) in self.phases.iter_mut().zip(steps) {
            let Some(at) = at else { continue };
            step.record(at.saturating_sub(before));
            before = at;
        }
    }
}

impl Coordinator {
    /// A read that asked a node is answered.
    pub(in super::super) fn count_read(&mut self, us: u64) {
        if let Some(figures) = &mut self.events.figures {
            figures.reads.record(us);
        }
    }

    /// Tells the figures since the last time, and counts anew. The shell adds what it knows.
    pub(super) fn tell_stats(&mut self, now: Time) {
        let figures = self.events.figures.replace(Box::default()).unwrap_or_default();
        let load = |node: &super::super::members::Node| {
            let oldest = node.link.asked_oldest();
            let load = NodeLoad {
                txns: node.link.window_txns as u64,
                bytes: node.link.window_bytes as u64,
                unconfirmed: node.link.unconfirmed() as u64,
                oldest_ms: oldest.map_or(0, |at| now.since_us(at) / 1_000),
            };
            (node.name.to_string(), load)
        };
        let arrived = |seq| self.txns.get(seq)?.trace.as_ref().map(|trace| trace.arrived);
        let oldest = self.by_id.values().filter_map(arrived).min();
        let some = |histogram: &Histogram| (histogram.count > 0).then(|| histogram.quantiles());
        let latencies = [("update", &figures.updates), ("read", &figures.reads)];
        let named = |(name, h): (&str, &Histogram)| Some((name.to_owned(), some(h)?));
        let phases = STEPS.into_iter().zip(&figures.phases);
        let stats = Stats {
            latency_us: latencies.into_iter().filter_map(named).collect(),
            phases_us: phases.filter_map(named).collect(),
            in_flight: self.by_id.len() as u64,
            oldest_ms: oldest.map_or(0, |at| now.since_us(at) / 1_000),
            batches: figures.batches.count,
            batch_txns_p50: figures.batches.quantile(50),
            per_node: self.nodes.iter().map(load).collect(),
            ..Stats::default()
        };
        self.tell_event(None, Body::Stats(stats));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_an_eighth_too_high() {
        for number in (0..2_000).chain([1 << 40, u64::MAX / 2, u64::MAX]) {
            let high = highest_in(bucket_of(number));
            assert!(high >= number && high - number <= number / 8, "{number}: {high}");
        }
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), Quantiles::default());
        (1..=100).for_each(|number| histogram.record(number * 10));
        let quantiles = histogram.quantiles();
        assert_eq!((quantiles.count, quantiles.max), (100, 1_000));
        for (quantile, exact) in [(quantiles.p50, 500), (quantiles.p90, 900), (quantiles.p99, 990)]
        {
            assert!((exact..=exact + exact / 8).contains(&quantile), "{quantiles:?}");
        }
    }
}
