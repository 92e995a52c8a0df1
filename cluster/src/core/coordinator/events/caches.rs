//! Events about caches: the counters of all, and what somebody looks at in one of them. The
//! coordinator's own it sees; nodes are asked, and answer with their next message.

use std::collections::BTreeSet;

use protocol::event::{Body, CacheCounters, CacheSet, CacheSets, CacheTotals, Subscribe, Topic};
use protocol::peer::{CacheAnswer, CacheAsk};

use super::super::super::subscription::COORDINATOR;
use super::super::super::time::Time;
use super::super::Coordinator;
use super::super::links::LinkPhase;

/// Between two `cache_totals`, milliseconds.
const TOTALS_MS: u64 = 1_000;
/// Between two looks at sets.
const LOOKS_MS: u64 = 250;

/// What somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    /// Whose cache.
    pub server: String,
    /// These sets in a row: the first, and how many.
    pub sets: Option<(u32, u32)>,
    /// This one closely.
    pub set: Option<u32>,
}

impl Look {
    /// What a subscriber looks at, if it does.
    pub(super) fn of(wants: &Subscribe) -> Option<Self> {
        let looks = wants.topics.has(Topic::Cache) && (wants.sets.is_some() || wants.set.is_some());
        let server = wants.server.as_deref().unwrap_or(COORDINATOR).to_owned();
        looks.then_some(Self { server, sets: wants.sets, set: wants.set })
    }
}

impl Coordinator {
    /// Others look, or at something else: the sweeps of these sets are followed here.
    pub(super) fn follow_sets(&mut self) {
        let here = |look: &&Look| look.server == COORDINATOR;
        let looks = self.events.interest.looks.iter().filter(here);
        let followed: BTreeSet<u32> = looks.filter_map(|look| look.set).collect();
        for set in self.events.followed.difference(&followed) {
            self.cache.follow(*set, false);
        }
        followed.iter().for_each(|set| self.cache.follow(*set, true));
        self.events.followed = followed;
        self.ask_of_caches();
    }

    /// What time brings for those who look.
    pub(super) fn tell_caches(&mut self, now: Time) {
        if now >= self.events.totals_at.plus_ms(TOTALS_MS) {
            self.events.totals_at = now;
            self.tell_totals();
        }
        if now >= self.events.looks_at.plus_ms(LOOKS_MS) {
            self.events.looks_at = now;
            self.tell_looks();
        }
    }

    fn tell_totals(&mut self) {
        let own = self.cache.stats().status(self.cache.shape());
        let own = CacheCounters { server: COORDINATOR.to_owned(), cache: own };
        let others = self.nodes.iter().filter_map(|node| {
            let cache = node.heartbeat.as_ref()?.figures.cache.clone();
            Some(CacheCounters { server: node.name.to_string(), cache })
        });
        let servers = std::iter::once(own).chain(others).collect();
        self.tell_event(None, Body::CacheTotals(CacheTotals { servers }));
    }

    fn tell_looks(&mut self) {
        for look in self.events.interest.looks.clone() {
            if look.server != COORDINATOR {
                continue;
            }
            let closely = look.set.and_then(|set| self.cache.closely(COORDINATOR, set));
            let rows = look.sets.map(|sets| (sets, self.cache.rows(sets)));
            self.tell_sets(COORDINATOR, rows, closely);
        }
        self.ask_of_caches();
    }

    fn tell_sets(
        &mut self,
        server: &str,
        rows: Option<((u32, u32), Vec<protocol::event::SetRow>)>,
        closely: Option<CacheSet>,
    ) {
        if let Some((window, sets)) = rows {
            let body = Body::CacheSets(CacheSets { server: server.to_owned(), sets });
            self.tell_event_as(None, false, Some(window), body);
        }
        if let Some(set) = closely {
            self.tell_event(None, Body::CacheSet(set));
        }
    }

    /// Tells what has given way in the sets that are followed here.
    pub(in super::super) fn tell_sweeps(&mut self) {
        if self.events.followed.is_empty() {
            return;
        }
        // Mostly there is none, and an empty list costs nothing.
        let followed = self.events.followed.iter();
        let sweeps: Vec<_> = followed.flat_map(|set| self.cache.sweeps(*set)).collect();
        for mut sweep in sweeps {
            sweep.server = COORDINATOR.to_owned();
            self.tell_event(None, Body::CacheEvict(sweep));
        }
    }

    /// Asks each node for what somebody looks at there; once more with nothing when nobody does.
    fn ask_of_caches(&mut self) {
        let looks: Vec<Look> = self.events.interest.looks.iter().cloned().collect();
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            let there = looks.iter().filter(|look| look.server == node.name.as_str());
            let asks: Vec<CacheAsk> =
                there.map(|look| CacheAsk { sets: look.sets, set: look.set }).collect();
            let known = self.events.lookers.contains(&place);
            if node.link.phase != LinkPhase::Ready || (asks.is_empty() && !known) {
                continue;
            }
            match asks.is_empty() {
                true => self.events.lookers.remove(&place),
                false => self.events.lookers.insert(place),
            };
            node.link.push_cache_ask(asks);
        }
    }

    /// A node has answered.
    pub(in super::super) fn on_cache_answer(&mut self, place: usize, answers: Vec<CacheAnswer>) {
        if !self.events.on(Topic::Cache) {
            return;
        }
        let server = self.nodes[place].name.to_string();
        for CacheAnswer { sets, rows, closely, sweeps } in answers {
            for mut sweep in sweeps {
                sweep.server.clone_from(&server);
                self.tell_event(None, Body::CacheEvict(sweep));
            }
            let closely = closely.map(|set| CacheSet { server: server.clone(), ..set });
            self.tell_sets(&server, sets.map(|window| (window, rows)), closely);
        }
    }
}
