//! What a server has said it must stand by, whatever happens to it.
//!
//! Looked at as things are said, so that a rule that is broken is noticed though nothing comes of
//! it in this run: each is one of several that keep the same thing from happening.
//!
//! * A node never forgets an epoch that it has promised (R2), and gives it to one process (H16).
//! * No epoch is served that less than a majority has promised (R15, H17).
//! * What it has said no to, it never says yes to (R3).
//! * It prepares nothing that was placed by another ring than its own (H42).
//! * `ok` rests on votes of the lives in which the coordinator knows the participants (R4, H15).

use std::collections::{BTreeMap, BTreeSet};

use cluster::core::node::Meta;
use cluster::core::record::LogRecord;
use protocol::ids::{Epoch, RingNumber, Version};
use protocol::peer::{Batch, TxnState, Up};
use protocol::reply;

use super::world::{Failure, World};

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// The highest epoch under which each node has spoken.
    epochs: BTreeMap<usize, Epoch>,
    /// By node and epoch: the coordinator that it has spoken to.
    owners: BTreeMap<(usize, Epoch), usize>,
    /// What each node has said no to.
    refused: BTreeSet<(usize, Version)>,
    /// Who takes part in what was sent.
    participants: BTreeMap<Version, Vec<usize>>,
    /// By coordinator, transaction and node: the life in which the node voted yes.
    votes: BTreeMap<(usize, Version, usize), u64>,
    /// By coordinator and node: the life that has registered last.
    lives: BTreeMap<(usize, usize), u64>,
}

impl World {
    /// A node says something to a coordinator.
    pub(crate) fn note_said(&mut self, node: usize, coordinator: usize, up: &Up) {
        if up.fenced.is_some() {
            return;
        }
        let owner = *self.promises.owners.entry((node, up.epoch)).or_insert(coordinator);
        if owner != coordinator {
            let (epoch, both) = (up.epoch, (owner, coordinator));
            let text = format!("node {node} gives epoch {epoch} to the coordinators {both:?}");
            self.fail(Failure::Promise(text));
        }
        let promised = self.promises.epochs.entry(node).or_default();
        *promised = up.epoch.max(*promised);
        let id = |counter: &u64| Version::new(up.epoch, *counter);
        self.promises.refused.extend(up.no.iter().map(|no| (node, id(&no.c))));
        let twice = up.yes.iter().map(id).find(|id| self.promises.refused.contains(&(node, *id)));
        if let Some(id) = twice {
            self.fail(Failure::Promise(format!("node {node} says yes to {id} after no")));
        }
    }

    /// A coordinator begins to serve.
    pub(crate) fn check_majority(&mut self, epoch: Epoch) {
        let promised = self.promises.epochs.values().filter(|known| **known >= epoch).count();
        // Who is a member is another matter where that changes.
        if !self.plan.is_living() && promised <= self.nodes.len() / 2 {
            let text = format!("epoch {epoch} is served, which {promised} nodes have promised");
            self.fail(Failure::Promise(text));
        }
    }

    /// A node has come back.
    pub(crate) fn check_fence(&mut self, node: usize, meta: &Meta) {
        let promised = self.promises.epochs.get(&node).copied().unwrap_or_default();
        if meta.fence.epoch < promised {
            let text = format!("node {node} spoke under epoch {promised} and has forgotten it");
            self.fail(Failure::Promise(text));
        }
    }

    /// A node's log has lost what it held: among it may be what it said no to.
    pub(crate) fn forget_refusals(&mut self, node: usize) {
        self.promises.refused.retain(|(other, _)| *other != node);
    }

    /// A node is about to log something.
    pub(crate) fn check_rings(&mut self, node: usize, records: &[LogRecord]) {
        let Some(process) = &self.nodes[node].process else { return };
        let meta = process.core.meta();
        let ring = meta.ring.as_ref().map(|ring| ring.number);
        let foreign = records.iter().find_map(|record| match record {
            LogRecord::Prepare(prepared) if prepared.id.epoch() == meta.fence.epoch => {
                let fits =
                    |ring: RingNumber| ring.epoch == prepared.ring.epoch && ring >= prepared.ring;
                (!ring.is_some_and(fits)).then_some(prepared.id)
            }
            _ => None,
        });
        if let Some(id) = foreign {
            self.fail(Failure::Promise(format!("node {node} prepares {id} of another ring")));
        }
    }

    /// A coordinator sends a batch.
    pub(crate) fn note_sent(&mut self, batch: &Batch) {
        for prepare in &batch.prepare {
            let nodes = prepare.participants.iter().filter_map(|member| self.node_of(*member));
            let nodes: Vec<usize> = nodes.collect();
            self.promises.participants.insert(prepare.id, nodes);
        }
    }

    /// A coordinator hears of a node's new life.
    pub(crate) fn note_life(&mut self, coordinator: usize, node: usize, life: u64) {
        let known = self.promises.lives.entry((coordinator, node)).or_default();
        *known = life.max(*known);
    }

    /// A coordinator hears what a node says: votes, or a report, which is as good as a vote.
    pub(crate) fn note_heard(&mut self, coordinator: usize, node: usize, life: u64, up: &Up) {
        let yes = up.yes.iter().map(|counter| Version::new(up.epoch, *counter));
        let reported = up.report.iter().flat_map(|report| &report.txns);
        let held = reported.filter(|txn| txn.state == TxnState::Prepared).map(|txn| txn.id);
        for id in yes.chain(held) {
            let voted = self.promises.votes.entry((coordinator, id, node)).or_default();
            *voted = life.max(*voted);
        }
    }

    /// A coordinator says that an update is done that it was asked for once.
    pub(crate) fn check_votes(&mut self, coordinator: usize, tail: &[u8]) {
        let mut line = Vec::new();
        reply::write_reply(&mut line, None, true, tail);
        let Ok(Ok(id)) = reply::decode_version(&line) else { return };
        let Promises { participants, votes, lives, .. } = &self.promises;
        let Some(participants) = participants.get(&id) else { return };
        let over = participants.iter().find(|node| {
            votes.get(&(coordinator, id, **node)) != lives.get(&(coordinator, **node))
        });
        if let Some(node) = over {
            let text = format!("{id} is done, and node {node} has not voted in its present life");
            self.fail(Failure::Promise(text));
        }
    }
}
