//! Rates out of counters that only rise, but begin anew when their server does; short histories.
//!
//! Used by the model; pure.

use std::collections::VecDeque;

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

/// The last values of a figure, the newest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    values: VecDeque<f64>,
}

impl History {
    /// One more.
    pub fn push(&mut self, value: f64) {
        if self.values.len() == HISTORY_MAX {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// All of them, the newest last.
    pub fn values(&self) -> Vec<f64> {
        self.values.iter().copied().collect()
    }

    /// The newest.
    pub fn last(&self) -> Option<f64> {
        self.values.back().copied()
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
        (0..1_000).for_each(|n| history.push(f64::from(n)));
        assert_eq!((history.values().len(), history.last()), (HISTORY_MAX, Some(999.0)));
    }
}
