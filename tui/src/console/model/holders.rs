//! Who holds which keys, by the ring: who of them is there now, and who without one more node.
//!
//! Read by the story, by the question before a server is taken away, and by the view Ring. Says
//! nothing where it is not known what is copied already.

use std::collections::BTreeSet;

use super::Model;
use super::node::Node;
use super::ring::turn;

/// A part of the ring whose keys have the same nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// How much of the ring it is, 0 to 1.
    pub share: f64,
    /// Whose it is: the first replica.
    pub primary: String,
    /// Nodes that hold it whole, the first replica first.
    pub holders: Vec<String>,
    /// Nodes that are learning it.
    pub learners: Vec<String>,
}

/// Why a node's place cannot be given to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Some of its keys have no copy on a node that is there: who holds them.
    NoCopy(Vec<String>),
    /// Too few nodes are there to agree: so many are, and so many must.
    TooFew(usize, usize),
}

impl Model {
    /// Whether a node serves what it holds.
    pub fn is_there(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(Node::is_there)
    }

    /// The ring's parts with their nodes; none: somebody learns something, and it is not known
    /// what.
    pub fn parts(&self) -> Option<Vec<Part>> {
        let stretches = self.moving.stretches();
        if self.moving.is_under_way() && stretches.is_empty() {
            return None;
        }
        let replicas = usize::try_from(self.replicas()).unwrap_or(usize::MAX);
        let points = &self.ring.points;
        let mut ends: Vec<u64> = points.iter().map(|point| point.hash).collect();
        // What is learned may end in the middle of what a node owns.
        if !points.is_empty() {
            ends.extend(stretches.iter().flat_map(|one| [one.to, one.from.wrapping_sub(1)]));
        }
        ends.sort_unstable();
        ends.dedup();
        let mut from = ends.last().copied().unwrap_or(0);
        let part = |end: u64| {
            let width = turn(end.wrapping_sub(from));
            from = end;
            let (mut learners, mut losers) = (Vec::new(), Vec::new());
            for one in stretches.iter().filter(|one| one.has(end)) {
                learners.push(one.gain.clone());
                losers.extend(one.lose.clone());
            }
            let walk: Vec<String> =
                self.ring.walk(end).into_iter().map(|point| point.node.clone()).collect();
            let held = walk.iter().take(replicas).filter(|node| !learners.contains(node));
            let mut holders: Vec<String> = held.cloned().collect();
            holders.extend(losers);
            let share = if width <= 0.0 { 1.0 } else { width };
            Part { share, primary: walk[0].clone(), holders, learners }
        };
        Some(ends.into_iter().map(part).collect())
    }

    /// Who answers reads of the keys of which `server` is the first replica, where `told` was said
    /// to: one that was may be away by now.
    pub fn answers_for(&self, server: &str, told: &[String]) -> Vec<String> {
        let answers = |node: &String| node == server || self.is_there(node);
        match told.iter().all(answers) || self.parts().is_none() {
            true => told.iter().filter(|node| answers(node)).cloned().collect(),
            false => self.reads_by(server),
        }
    }

    /// Who answers the reads of a node that is not well, as was told of it; none: it is well, or
    /// nothing was told.
    pub fn stand_ins(&self, server: &str) -> Option<Vec<String>> {
        let node = self.nodes.get(server).filter(|node| !node.is_well() && !node.is_evicted())?;
        let told = node.last_change.as_ref()?.reads_by.iter();
        let told: Vec<String> = told.map(|by| by.as_str().to_owned()).collect();
        (!told.is_empty()).then(|| self.answers_for(server, &told))
    }

    /// Who answers reads of the keys of which `server` is the first replica, by the ring.
    pub(super) fn reads_by(&self, server: &str) -> Vec<String> {
        let mut by: Vec<String> = Vec::new();
        let parts = self.parts().unwrap_or_default();
        for part in parts.iter().filter(|part| part.primary == server) {
            let first = part.holders.iter().find(|node| self.is_there(node));
            by.extend(first.filter(|node| !by.contains(node)).cloned());
        }
        by
    }

    /// The part of the ring of which `server` is the first replica and whose reads nobody answers.
    pub fn unread_share(&self, server: &str) -> f64 {
        let parts = self.parts().unwrap_or_default();
        let own = parts.iter().filter(|part| part.primary == server);
        let unread = own.filter(|part| !part.holders.iter().any(|node| self.is_there(node)));
        unread.map(|part| part.share).sum()
    }

    /// Why others cannot get the place of `server`, which is away or would be; none: they can, as
    /// far as known.
    pub fn blocks_eviction(&self, server: &str) -> Option<Blocked> {
        let answers = |node: &String| node != server && self.is_there(node);
        let parts = self.parts().unwrap_or_default();
        let of =
            |part: &&Part| part.holders.iter().chain(&part.learners).any(|node| node == server);
        let unread = parts.iter().filter(of).filter(|part| !part.holders.iter().any(answers));
        let holders: BTreeSet<&String> = unread.flat_map(|part| &part.holders).collect();
        if !holders.is_empty() {
            return Some(Blocked::NoCopy(holders.into_iter().cloned().collect()));
        }
        let shares = self.ring.shares();
        // Whoever comes back agrees already, while it still learns what it missed.
        let returns =
            |node: &String| self.nodes.get(node).is_some_and(|one| one.recovery.is_some());
        let agrees = |node: &&String| *node != server && (answers(node) || returns(node));
        let there = shares.keys().filter(agrees).count();
        let needed = shares.len() / 2 + 1;
        (there < needed && !shares.is_empty()).then_some(Blocked::TooFew(there, needed))
    }
}
