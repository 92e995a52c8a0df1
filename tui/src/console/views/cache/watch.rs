//! How the sets that are looked at have done since somebody looks: their hits and misses, lately
//! and in all.
//!
//! Fed by the view's ticks; holds no more sets than can be looked at at once.

use std::collections::{BTreeMap, VecDeque};

use protocol::event::SetRow;

use crate::console::model::clock::At;

/// Seconds that are kept.
const SECONDS_MAX: usize = 16;
/// Ticks a second.
const TICKS: u8 = 4;

/// The sets of one server that are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    server: String,
    ticks: u8,
    told: Option<At>,
    sets: BTreeMap<u32, Watched>,
}

/// One of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    first: (u64, u64),
    second: (u64, u64),
    last: (u64, u64),
    lately: VecDeque<Option<f64>>,
}

impl Watched {
    /// Hits of all reads since it is looked at, 0 to 1; none: there was no read.
    pub(super) fn ratio(&self) -> Option<f64> {
        ratio(self.first, self.last)
    }

    /// The same second by second, the newest last.
    pub(super) fn lately(&self) -> Vec<Option<f64>> {
        self.lately.iter().copied().collect()
    }
}

fn ratio((hits_before, misses_before): (u64, u64), (hits, misses): (u64, u64)) -> Option<f64> {
    let hits = hits.saturating_sub(hits_before) as f64;
    let misses = misses.saturating_sub(misses_before) as f64;
    (hits + misses > 0.0).then(|| hits / (hits + misses))
}

impl Watch {
    /// A quarter of a second has passed, and these are the sets that are looked at.
    pub(super) fn tick(&mut self, server: &str, told: Option<(At, &[SetRow])>) {
        if self.server != server {
            *self = Self { server: server.to_owned(), ..Self::default() };
        }
        if let Some((at, rows)) = told.filter(|(at, _)| Some(*at) != self.told) {
            self.told = Some(at);
            self.sets.retain(|set, _| rows.iter().any(|row| row.set == *set));
            rows.iter().for_each(|row| self.count(row));
        }
        self.ticks += 1;
        if self.ticks >= TICKS {
            self.ticks = 0;
            self.sets.values_mut().for_each(Watched::second);
        }
    }

    fn count(&mut self, row: &SetRow) {
        let now = (row.hits, row.misses);
        let fresh = Watched { first: now, second: now, last: now, lately: VecDeque::new() };
        let watched = self.sets.entry(row.set).or_insert(fresh);
        // Counters that have gone back were begun anew.
        if now.0 < watched.last.0 || now.1 < watched.last.1 {
            watched.first = (0, 0);
            watched.second = (0, 0);
        }
        watched.last = now;
    }

    /// What is known of a set of that server.
    pub(super) fn of(&self, server: &str, set: u32) -> Option<&Watched> {
        self.sets.get(&set).filter(|_| self.server == server)
    }
}

impl Watched {
    fn second(&mut self) {
        if self.lately.len() == SECONDS_MAX {
            self.lately.pop_front();
        }
        self.lately.push_back(ratio(self.second, self.last));
        self.second = self.last;
    }
}
