//! What the coordinator is shown of this node's cache, for those who look at it there.
//!
//! An ask says what is looked at until the next one: sweeps of a set are kept from the first ask
//! that names it to the first that does not, or to the next session.

use std::collections::BTreeSet;

use protocol::peer::{CacheAnswer, CacheAsk};

use super::NodeCore;

/// Answers to one ask: no coordinator has more subscribers.
const ASKS_MAX: usize = 64;

impl NodeCore {
    /// Answers with the next message.
    pub(super) fn on_cache_asks(&mut self, asks: Option<Vec<CacheAsk>>) {
        let Some(asks) = asks else { return };
        let asks = &asks[..asks.len().min(ASKS_MAX)];
        self.follow_sets(asks.iter().filter_map(|ask| ask.set).collect());
        let mut told = BTreeSet::new();
        let mut answer = |ask: &CacheAsk| {
            // Two may look at one set: its sweeps are told once.
            let new = ask.set.filter(|set| told.insert(*set));
            CacheAnswer {
                sets: ask.sets,
                rows: ask.sets.map(|sets| self.cache.rows(sets)).unwrap_or_default(),
                closely: ask.set.and_then(|set| self.cache.closely("", set)),
                sweeps: new.map(|set| self.cache.sweeps(set)).unwrap_or_default(),
            }
        };
        let answers: Vec<CacheAnswer> = asks.iter().map(&mut answer).collect();
        if let Some(session) = self.session.as_mut() {
            session.out.cache = answers;
        }
    }

    /// The sweeps of these sets are kept, and of no others.
    pub(super) fn follow_sets(&mut self, sets: BTreeSet<u32>) {
        for set in self.followed.difference(&sets) {
            self.cache.follow(*set, false);
        }
        sets.iter().for_each(|set| self.cache.follow(*set, true));
        self.followed = sets;
    }
}
