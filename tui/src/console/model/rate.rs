//! Rates out of counters that only rise, but begin anew when their server does; short histories.
//!
//! Used by the model; pure.

use std::collections::VecDeque;

use super::clock::At;

/// Samples that a history keeps.
pub const HISTORY_MAX: usize = 120;

/// What is counted a second, over the last few readings.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    readings: VecDeque<(u64, u64)>,
}

/// Readings that a rate is taken over.
const READINGS: usize = 5;

impl Rate {
    /// The counter stood at `total` at `at_us` on its server's clock. One that has gone back, in
    /// time or in count, was begun anew.
    pub fn count(&mut self, at_us: u64, total: u64) {
        if let Some((last_us, last)) = self.readings.back().copied() {
            if at_us == last_us {
                return;
            }
            if at_us < last_us || total < last {
                self.readings.clear();
            }
        }
        if self.readings.len() == READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back((at_us, total));
    }

    /// How many a second; none: it was read only once.
    pub fn per_s(&self) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let us = last.0.saturating_sub(first.0);
        (us > 0).then(|| last.1.saturating_sub(first.1) as f64 * 1e6 / us as f64)
    }

    /// How many came with the last reading.
    pub fn last_step(&self) -> Option<f64> {
        let mut newest = self.readings.iter().rev();
        let (last, before) = (newest.next()?, newest.next()?);
        let us = last.0.saturating_sub(before.0);
        (us > 0).then(|| last.1.saturating_sub(before.1) as f64 * 1e6 / us as f64)
    }
}

/// The last values of a figure that is told at even times, the newest last. Where nothing was told
/// there is no value, so that as many of them always are as much time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    values: VecDeque<Option<f64>>,
    told: Option<At>,
}

impl History {
    /// One more, told at `now`, where one is told every `step_ms`; none: it is not known.
    pub fn push(&mut self, now: At, step_ms: u64, value: Option<f64>) {
        let since_ms = self.told.map_or(step_ms, |told| now.ms_since(told));
        let steps = (since_ms + step_ms / 2) / step_ms.max(1);
        for _ in 1..steps.min(HISTORY_MAX as u64) {
            self.add(None);
        }
        self.add(value);
        self.told = Some(now);
    }

    fn add(&mut self, value: Option<f64>) {
        if self.values.len() == HISTORY_MAX {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// All of them, the newest last.
    pub fn values(&self) -> Vec<Option<f64>> {
        self.values.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_survives_its_servers_restart() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_s(), None);
        rate.count(0, 100);
        rate.count(500_000, 150);
        rate.count(1_000_000, 300);
        assert_eq!(rate.per_s(), Some(200.0));
        assert_eq!(rate.last_step(), Some(300.0));
        rate.count(1_500_000, 10);
        assert_eq!(rate.per_s(), None, "the counter began anew");
        rate.count(2_500_000, 40);
        rate.count(2_500_000, 40);
        assert_eq!(rate.per_s(), Some(30.0));
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::default();
        let at = |n: u32| At(i64::from(n) * 500_000);
        (0..1_000).for_each(|n| history.push(at(n), 500, Some(f64::from(n))));
        let values = history.values();
        assert_eq!((values.len(), values.last()), (HISTORY_MAX, Some(&Some(999.0))));
        history.push(At(i64::MAX), 500, None);
        assert_eq!(history.values(), [None; HISTORY_MAX]);
    }

    #[test]
    fn where_nothing_was_told_a_history_knows_nothing() {
        let mut history = History::default();
        for (ms, value) in [(0, Some(1.0)), (620, Some(2.0)), (3_000, None), (3_510, Some(3.0))] {
            history.push(At(ms * 1_000), 500, value);
        }
        let lost = [None; 5];
        let expected = [&[Some(1.0), Some(2.0)][..], &lost, &[Some(3.0)]].concat();
        assert_eq!(history.values(), expected);
    }
}
