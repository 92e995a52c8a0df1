//! What the model knows of one server's cache, and of one set of it.
//!
//! Used by everything in this view. What was told of another server, or of sets that are not
//! looked at any more, is not known here.

use protocol::event::{CacheEvict, CacheSet, SetRow};
use protocol::status::NodeState;

use crate::console::model::caches::Cache;
use crate::console::model::clock::At;
use crate::console::model::{COORDINATOR, Model};
use crate::console::widgets::grid::Way as Bit;

/// Looks come four times a second: what was told longer ago is not as it is now.
const OLD_MS: u64 = 2_000;
/// More ways has no set: their bits fit one word.
pub(super) const WAYS_MAX: u16 = 64;

/// Which sweep of a set: when it was told, and which of those of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SweepId(pub(super) At, pub(super) usize);

/// What is known of a server's cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) model: &'a Model,
    pub(super) server: &'a str,
    /// Its counters; none: it was never heard of.
    pub(super) cache: Option<&'a Cache>,
}

impl<'a> Known<'a> {
    pub(super) fn of(model: &'a Model, server: &'a str) -> Self {
        let cache = model.caches.servers.get(server);
        Self { model, server, cache: cache.filter(|cache| cache.counters.sets > 0) }
    }

    /// Its number of sets, and of ways of each.
    pub(super) fn shape(&self) -> Option<(u32, u16)> {
        let counters = &self.cache?.counters;
        let sets = u32::try_from(counters.sets).unwrap_or(u32::MAX);
        let ways = u16::try_from(counters.ways).unwrap_or(WAYS_MAX).clamp(1, WAYS_MAX);
        Some((sets, ways))
    }

    /// The ways of each set: as many as it says it has, or as many as were seen.
    pub(super) fn ways(&self) -> u16 {
        let seen = || {
            let rows = self.rows().map_or(&[][..], |(_, rows)| rows).iter();
            rows.map(|row| u16::from(row.hand < WAYS_MAX) * (row.hand + 1)).max()
        };
        self.shape().map(|(_, ways)| ways).or_else(seen).unwrap_or(1)
    }

    /// The sets that are looked at, and when they were told.
    pub(super) fn rows(&self) -> Option<(At, &'a [SetRow])> {
        let (at, told) = self.model.caches.window.as_ref()?;
        (told.server == self.server).then_some((*at, &told.sets[..]))
    }

    /// One of them.
    pub(super) fn row(&self, set: u32) -> Option<&'a SetRow> {
        self.rows()?.1.iter().find(|row| row.set == set)
    }

    /// A set, closely, and when it was told.
    pub(super) fn closely(&self, set: u32) -> Option<(At, &'a CacheSet)> {
        let (at, told) = self.model.caches.closely.as_ref()?;
        (told.server == self.server && told.set == set).then_some((*at, told))
    }

    /// The sweeps of a set, the oldest first.
    pub(super) fn sweeps(&self, set: u32) -> Vec<(SweepId, &'a CacheEvict)> {
        let mut found: Vec<(SweepId, &CacheEvict)> = Vec::new();
        for (at, sweep) in &self.model.caches.sweeps {
            if sweep.server == self.server && sweep.set == set {
                let nth = found.iter().rev().take_while(|(id, _)| id.0 == *at).count();
                found.push((SweepId(*at, nth), sweep));
            }
        }
        found
    }

    /// For how long the sets that are looked at have not been renewed, milliseconds; none: they are
    /// as they are now, or nothing of them is known.
    pub(super) fn stale_ms(&self) -> Option<u64> {
        let told = self.rows().map(|(at, _)| self.model.now.ms_since(at));
        self.model.stale_ms().or_else(|| told.filter(|age_ms| *age_ms > OLD_MS))
    }

    /// The server, in a sentence.
    pub(super) fn who(&self) -> String {
        match self.server {
            COORDINATOR => "the coordinator".into(),
            node => node.to_owned(),
        }
    }

    /// Why nothing is known, or nothing new comes, and what comes next.
    pub(super) fn awaited(&self) -> String {
        let who = self.who();
        let told_by = &self.model.coordinator_feed;
        if !told_by.is_live() {
            return "The coordinator is not connected: what caches hold is told by it alone. \
                    The console tries again by itself."
                .into();
        }
        let node = self.model.nodes.get(self.server);
        if let Some(node) = node {
            match node.state {
                Some(NodeState::Evicted) => {
                    return format!(
                        "{who} is evicted: others have its place, and nobody asks its cache. R \
                         brings it back."
                    );
                }
                Some(NodeState::Down) => {
                    return format!(
                        "{who} is down: its cache is gone with its process, and begins empty \
                         when {who} comes back."
                    );
                }
                Some(NodeState::Suspect) if node.paused => {
                    return format!("{who} stands still: it tells nothing until P lets it go on.");
                }
                Some(NodeState::Suspect) => {
                    return format!("{who} is not heard just now: its cache is told when it is.");
                }
                _ => {}
            }
        } else if self.server != COORDINATOR {
            return format!("No node is called {who}.");
        }
        match self.server {
            COORDINATOR => "Awaiting the coordinator's first look at these sets: it tells them \
                            four times a second."
                .into(),
            _ => format!(
                "Awaiting the first look at these sets: the coordinator asks {who} for them four \
                 times a second."
            ),
        }
    }
}

/// The bits of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    valid: u64,
    referenced: u64,
    ways: u16,
    hand: u16,
}

impl Bits {
    /// Of a row as it is told; none: it cannot be read.
    pub(super) fn of_row(row: &SetRow, ways: u16) -> Option<Self> {
        let word = |hex: &str| u64::from_str_radix(hex, 16).ok();
        let (valid, referenced) = (word(&row.valid)?, word(&row.referenced)?);
        (row.hand < ways && ways <= WAYS_MAX).then_some(Self {
            valid,
            referenced,
            ways,
            hand: row.hand,
        })
    }

    /// Of a set that is told closely.
    pub(super) fn of_set(set: &CacheSet, ways: u16) -> Self {
        let ways = ways.min(WAYS_MAX);
        let (mut valid, mut referenced) = (0, 0);
        for way in set.ways.iter().filter(|way| way.way < ways) {
            valid |= 1 << way.way;
            referenced |= u64::from(way.referenced) << way.way;
        }
        Self { valid, referenced, ways, hand: set.hand % ways.max(1) }
    }

    pub(super) fn of(&self, way: u16) -> Bit {
        let is = |word: u64| word.checked_shr(way.into()).is_some_and(|rest| rest & 1 == 1);
        match (is(self.valid), is(self.referenced)) {
            (false, _) => Bit::Empty,
            (true, false) => Bit::Clear,
            (true, true) => Bit::Referenced,
        }
    }

    /// All of them, way 0 first.
    pub(super) fn all(&self) -> Vec<Bit> {
        (0..self.ways).map(|way| self.of(way)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.valid == 0
    }

    /// The first way that holds nothing.
    pub(super) fn first_empty(&self) -> Option<u16> {
        (0..self.ways).find(|way| self.of(*way) == Bit::Empty)
    }

    /// The way that the next new key empties; none while there is room.
    pub(super) fn victim(&self) -> Option<u16> {
        if self.first_empty().is_some() {
            return None;
        }
        let mut round = (0..self.ways).map(|step| (self.hand + step) % self.ways);
        // All bits set: the hand comes back to where it stands, and finds that one clear.
        round.find(|way| self.of(*way) == Bit::Clear).or((self.ways > 0).then_some(self.hand))
    }
}
