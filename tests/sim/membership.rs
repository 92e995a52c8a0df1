//! Nodes that come and go: orders of an operator, machines that stand ready, and what must be so
//! when all has come to rest.
//!
//! An operator adds machines while there are some, evicts and removes; a supervisor starts what is
//! wanted and stops what was removed. Evictions of the silent and returns come by themselves.

use cluster::core::coordinator::{Action, AdminOp, ClientId, ClientOp, Input};
use cluster::storage::keystore::{CopyScan, Keystore};
use protocol::ids::{MemberId, Point, Version};
use protocol::peer::RingRecord;
use protocol::status::NodeState;

use super::node::Machine;
use super::plan::{Fault, MS};
use super::world::{Event, World};

/// A connection that no client has.
const OPERATOR: u64 = u64::MAX;

impl World {
    /// Machines that may be added later.
    pub(crate) fn make_spares(&mut self) {
        let founders = self.nodes.len();
        for node in founders..founders + usize::from(self.plan.spares) {
            let mut machine = Machine::blank(node, &mut self.rng, self.plan.drift);
            machine.out = true;
            self.nodes.push(machine);
        }
    }

    /// An operator orders something.
    pub(crate) fn order(&mut self, coordinator: usize, fault: Fault, node: usize) {
        let name = self.nodes[node].name.to_string();
        let spare = self.nodes.iter().any(|machine| machine.out && machine.is_new());
        let action = match fault {
            Fault::EvictNode => Action::Evict(name),
            Fault::RemoveNode => Action::Remove(name),
            _ if spare => Action::Add,
            _ => return,
        };
        self.coverage.met("orders");
        self.ask_operator(coordinator, action);
    }

    pub(crate) fn ask_operator(&mut self, coordinator: usize, action: Action) {
        let op = AdminOp { action, dry_run: false, if_ring: None };
        let client = ClientId { conn: OPERATOR, slot: self.now };
        let op = ClientOp::Admin(op);
        self.hand_in(coordinator, Input::Request { client, op, once: None, timeout_ms: 1_000 });
    }

    /// A supervisor starts a machine that stands ready.
    pub(crate) fn start_spare(&mut self) {
        let spare = self.nodes.iter().position(|machine| machine.out && machine.is_new());
        let Some(node) = spare else { return };
        self.nodes[node].out = false;
        let wait = self.rng.below(500) * MS;
        self.after(wait, Event::StartNode(node));
    }

    /// A node was removed: its supervisor stops it for good.
    pub(crate) fn node_removed(&mut self, name: &str) {
        let node = self.nodes.iter().position(|machine| machine.name.as_str() == name);
        if let Some(node) = node {
            self.node_left(node);
        }
    }

    /// A node is no part of the cluster any more.
    pub(crate) fn node_left(&mut self, node: usize) {
        self.coverage.met("nodes removed");
        self.nodes[node].out = true;
        self.nodes[node].doom = None;
        self.crash_node(node, false);
    }

    /// A change of membership has come to its end.
    pub(crate) fn note_change(&mut self, what: &str) {
        for (word, name) in [
            ("(evict", "evictions"),
            ("(return", "returns"),
            ("(add", "nodes added"),
            ("(remove", "removals"),
            ("goes on behind", "copies resumed"),
        ] {
            if what.contains(word) {
                self.coverage.met(name);
            }
        }
    }

    /// Whoever runs, and is no member since its coordinator ended before that, is added again.
    pub(crate) fn add_strangers(&mut self) {
        let Some(coordinator) = self.reachable().filter(|c| self.coordinators[*c].active) else {
            return;
        };
        if !self.plan.is_living() {
            return;
        }
        let status = self.coordinators[coordinator].status(self.now);
        let stranger = |node: &protocol::status::NodeStatus| {
            node.state == NodeState::Joining && node.id.is_none()
        };
        if status.nodes.iter().any(stranger) {
            self.ask_operator(coordinator, Action::Add);
        }
    }

    /// The newest ring that a node holds.
    pub(crate) fn newest_record(&self) -> Option<RingRecord> {
        let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let records = processes.filter_map(|process| process.core.meta().ring.as_ref());
        records.max_by_key(|record| record.number).cloned()
    }

    /// The machine of a member, present or not.
    pub(crate) fn node_of(&self, member: MemberId) -> Option<usize> {
        let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let mut records = processes.filter_map(|process| process.core.meta().ring.as_ref());
        let store = records.find_map(|record| {
            let present = record.members.iter().map(|member| (member.id, member.uuid));
            let gone = record.departed.iter().chain(&record.outgoing);
            let mut all = present.chain(gone.map(|departed| (departed.id, departed.uuid)));
            all.find(|(id, _)| *id == member).map(|(_, uuid)| uuid)
        })?;
        self.nodes.iter().position(|machine| machine.store == store)
    }

    /// What of the membership is not at rest: all that run are members, nothing is learned, and
    /// nobody has what is not his.
    pub(crate) fn unrest_of_membership(&self, coordinator: usize) -> Option<String> {
        if !self.plan.is_living() {
            return None;
        }
        let record = self.newest_record()?;
        let moving = !record.learning.is_empty()
            || record.incoming.is_some()
            || record.outgoing.is_some()
            || record.members.iter().any(|member| member.points.is_empty());
        if moving {
            return Some(format!("the ring is on its way: {record:?}"));
        }
        let status = self.coordinators[coordinator].status(self.now);
        for (node, machine) in self.nodes.iter().enumerate() {
            let Some(process) = machine.process.as_ref().filter(|_| !machine.out) else { continue };
            let member = record.members.iter().any(|member| member.uuid == machine.store);
            let shown = status.nodes.iter().find(|node| node.uuid == Some(machine.store));
            if !member || shown.is_none_or(|shown| shown.state != NodeState::Up) {
                return Some(format!("node {node} is {shown:?}; {:?} {record:?}", status.changes));
            }
            let ring = cluster::core::ring::ring_of(&record);
            let me = process.core.member();
            let all = CopyScan {
                after: None,
                since: Version::ZERO,
                spans: vec![(Point(0), Point(u64::MAX))],
                looks_max: 1_000_000,
                bytes_max: usize::MAX,
            };
            let page = process.keystore.copy(&all).expect("what was applied is whole");
            // Tombstones may stay.
            let stray = page.items.iter().find(|(key, stored)| {
                stored.is_live() && !me.is_some_and(|me| ring.replicas_of(key).contains(&me))
            });
            if let Some((key, _)) = stray {
                return Some(format!("node {node} still has {key:?}, which is not its own"));
            }
        }
        None
    }
}
