//! The servers' caches: counters of all, and what somebody looks at closely.
//!
//! Changed by `apply` only; read by the views.

use std::collections::{BTreeMap, VecDeque};

use protocol::event::{CacheEvict, CacheSet, CacheSets, CacheTotals};
use protocol::status::CacheStatus;

use super::clock::At;
use super::rate::{History, Rate};

/// Milliseconds between two tellings of the counters.
const STEP_MS: u64 = 1_000;
/// Sweeps that are kept.
pub const SWEEPS_MAX: usize = 64;

/// One server's cache.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    /// Its shape and counters.
    pub counters: CacheStatus,
    /// Reads a second that it answered.
    pub hits: Rate,
    /// Reads a second that it could not.
    pub misses: Rate,
    /// Entries a second that gave way.
    pub evictions: Rate,
    /// Second chances a second.
    pub second_chances: Rate,
    /// Hits of all reads, 0 to 1, one value a second; nothing where nothing was read.
    pub ratio_history: History,
    /// Hits a second, one value a second.
    pub hits_history: History,
    /// Misses likewise.
    pub misses_history: History,
}

impl Cache {
    fn count(&mut self, counters: &CacheStatus, at_us: u64, now: At) {
        self.hits.count(at_us, counters.hits);
        self.misses.count(at_us, counters.misses);
        self.evictions.count(at_us, counters.evictions);
        self.second_chances.count(at_us, counters.second_chances);
        let (hits, misses) = (self.hits.last_step(), self.misses.last_step());
        let both = hits.zip(misses).filter(|(hits, misses)| hits + misses > 0.0);
        self.hits_history.push(now, STEP_MS, hits);
        self.misses_history.push(now, STEP_MS, misses);
        self.ratio_history.push(now, STEP_MS, both.map(|(hits, misses)| hits / (hits + misses)));
        self.counters = counters.clone();
    }

    /// Hits of all reads lately, 0 to 1; of all since its server's start where none came lately.
    pub fn ratio(&self) -> Option<f64> {
        let lately = self.hits.per_s().zip(self.misses.per_s());
        let (hits, misses) = lately
            .filter(|(hits, misses)| hits + misses > 0.0)
            .unwrap_or((self.counters.hits as f64, self.counters.misses as f64));
        (hits + misses > 0.0).then(|| hits / (hits + misses))
    }
}

/// All caches.
#[derive(Debug, Clone, Default)]
pub struct Caches {
    /// By server.
    pub servers: BTreeMap<String, Cache>,
    /// The sets that are looked at, as told last.
    pub window: Option<(At, CacheSets)>,
    /// The set that is looked at closely, as told last.
    pub closely: Option<(At, CacheSet)>,
    /// Sweeps of it, the newest last.
    pub sweeps: VecDeque<(At, CacheEvict)>,
}

impl Caches {
    pub(super) fn totals(&mut self, totals: &CacheTotals, at_us: u64, now: At) {
        for told in &totals.servers {
            self.servers.entry(told.server.clone()).or_default().count(&told.cache, at_us, now);
        }
    }

    pub(super) fn shape(&mut self, server: &str, status: &CacheStatus) {
        self.servers.entry(server.to_owned()).or_default().counters = status.clone();
    }

    pub(super) fn evicted(&mut self, sweep: &CacheEvict, now: At) {
        if self.sweeps.len() == SWEEPS_MAX {
            self.sweeps.pop_front();
        }
        self.sweeps.push_back((now, sweep.clone()));
    }
}
