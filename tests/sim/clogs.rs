//! Clogged networks: what goes one way, or both, between a node and all others is held up.
//!
//! Streams get through when the clog ends, in order and whole, as TCP sends again; datagrams are
//! lost. The two ways are clogged apart from each other, so that a node may hear all and be heard by
//! nobody, or the reverse. Breaks no connection: whoever has waited too long does that.

use super::network::Way;
use super::plan::MS;
use super::world::{Event, World};

/// Until when a node's ways are clogged, virtual microseconds.
#[derive(Debug, Default)]
pub(crate) struct Clogs {
    down: u64,
    up: u64,
}

/// What is clogged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ways {
    Only(Way),
    Both,
}

impl World {
    /// After how many microseconds something gets through to a node or from it.
    pub(crate) fn passes(&self, node: usize, way: Way) -> u64 {
        let clogs = &self.nodes[node].clogs;
        let until = if way == Way::Down { clogs.down } else { clogs.up };
        until.saturating_sub(self.now)
    }

    /// A node can be reached by nobody, or nobody by it.
    pub(crate) fn clog_one_way(&mut self, node: usize) {
        let way = if self.rng.chance(50) { Way::Down } else { Way::Up };
        let until = self.now + (200 + self.rng.below(5_000)) * MS;
        self.clog(node, Ways::Only(way), until);
    }

    /// Some nodes are clogged, each from its moment to its own end.
    pub(crate) fn swizzle(&mut self) {
        for node in 0..self.nodes.len() {
            let (from, long) = (self.rng.below(1_000) * MS, (500 + self.rng.below(4_000)) * MS);
            if self.rng.chance(60) {
                let until = self.now + from + long;
                self.after(from, Event::Clog(node, Ways::Both, until));
            }
        }
    }

    /// The clog begins.
    pub(crate) fn clog(&mut self, node: usize, ways: Ways, until: u64) {
        if self.healed {
            return;
        }
        self.coverage.met(if ways == Ways::Both { "nodes clogged" } else { "one-way cuts" });
        let clogs = &mut self.nodes[node].clogs;
        if ways != Ways::Only(Way::Up) {
            clogs.down = clogs.down.max(until);
        }
        if ways != Ways::Only(Way::Down) {
            clogs.up = clogs.up.max(until);
        }
    }

    /// All gets through again.
    pub(crate) fn unclog(&mut self, node: usize) {
        self.nodes[node].clogs = Clogs::default();
    }
}
