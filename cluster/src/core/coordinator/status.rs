//! The picture of it all, as `status` shows it.
//!
//! Built only when asked for. What clients asked for is counted where they are answered, by
//! `shell::connection`, which adds it, and what supervisors say, which no rule may know.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Key, MemberId, NodeName};
use protocol::peer::{RingMember, RingRecord};
use protocol::status::{
    ClusterStatus, CoordinatorState, CoordinatorStatus, NodeFigures, NodeState, NodeStatus,
    OpsStatus, PointStatus, RingStatus, Status,
};

use super::super::time::Time;
use super::heal::as_founded;
use super::links::LinkPhase;
use super::members::Node;
use super::updates::TxnPhase;
use super::{Coordinator, Phase};

/// What is counted of transactions since the start.
#[derive(Debug, Default)]
pub(super) struct Ops {
    pub(super) committed: u64,
    pub(super) aborted: u64,
}

/// What a node has told since it started, once it has counted its keys.
pub(super) fn counted(node: &Node) -> Option<&NodeFigures> {
    let figures = node.heartbeat.as_ref().map(|heartbeat| &heartbeat.figures);
    figures.filter(|figures| !figures.counting)
}

impl Coordinator {
    /// What is known now.
    pub fn status(&self, now: Time) -> Status {
        let supervisor = self.nodes.iter().filter_map(|n| n.register.as_ref()?.supervisor);
        let listed = self.listed().into_iter();
        let mut nodes: Vec<NodeStatus> =
            listed.map(|place| self.node(now, &self.nodes[place])).collect();
        nodes.extend(self.absent_members());
        nodes.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.name.cmp(&b.name)));
        let copies = self.copies();
        Status {
            cluster: self.cluster_status(),
            coordinator: self.coordinator_status(now),
            ring: self.ring_status(),
            copies: copies.by_live_copies,
            copies_unwritable: copies.unwritable,
            copies_uncounted: copies.uncounted,
            nodes,
            cache: self.cache.stats().status(self.cache.shape()),
            ops: OpsStatus::default(),
            txns: BTreeMap::from([
                ("open".to_owned(), self.undecided() as u64),
                ("waiting".to_owned(), self.queued as u64),
                ("committed".to_owned(), self.ops.committed),
                ("aborted".to_owned(), self.ops.aborted),
                ("in_doubt".to_owned(), self.in_doubt.len() as u64),
            ]),
            once: self.once_status(now),
            keys_in_doubt: self.keys_in_doubt(),
            changes: self.changes_status(now),
            incidents: self.damage.incidents(),
            supervisor: supervisor.map(|addr| addr.to_string()).next(),
            lab: None,
        }
    }

    fn cluster_status(&self) -> ClusterStatus {
        let record = self.record.as_ref();
        let replicas = record.map_or(self.config.replicas, |record| record.replicas);
        let tokens = record.map_or(self.config.tokens, |record| record.tokens);
        let placement = record.map_or(self.config.placement, |record| record.placement);
        let nodes = record.map_or(usize::from(self.config.nodes), |r| r.members.len());
        let may_change = record.is_none_or(|record| as_founded(record).is_none());
        ClusterStatus {
            uuid: self.known_cluster(),
            name: String::new(),
            replicas: u32::from(replicas),
            tokens: u32::from(tokens),
            placement,
            serial_updates: self.config.serial_updates,
            nodes: nodes as u32,
            limits: protocol::limits::Limits::default(),
            heartbeat_ms: self.config.heartbeat_ms,
            lease_ms: self.config.lease_ms,
            evict_after_ms: self.evict_after_ms.filter(|_| may_change),
        }
    }

    /// What the coordinator does.
    pub(super) fn state_now(&self) -> CoordinatorState {
        match self.phase {
            Phase::Gathering { .. } | Phase::Claiming { .. } => CoordinatorState::Claiming,
            Phase::Installing { .. } => CoordinatorState::Fencing,
            Phase::Recovering { .. } => CoordinatorState::Recovering,
            Phase::Active => CoordinatorState::Active,
            Phase::Stopping { .. } | Phase::Stopped => CoordinatorState::Standby,
        }
    }

    fn coordinator_status(&self, now: Time) -> CoordinatorStatus {
        CoordinatorStatus {
            name: self.config.name.clone(),
            epoch: self.epoch,
            uptime_ms: now.since_us(self.started) / 1000,
            state: self.state_now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: None,
        }
    }

    pub(super) fn ring_status(&self) -> RingStatus {
        let Some(record) = &self.record else { return RingStatus::default() };
        let of = |member: &protocol::peer::RingMember| {
            let node = member.name.clone();
            let points = member.points.clone().into_iter();
            points.map(move |hash| PointStatus { hash, node: node.clone() })
        };
        let mut points: Vec<PointStatus> = record.members.iter().flat_map(of).collect();
        points.sort_by_key(|point| point.hash);
        RingStatus { epoch: record.number, points }
    }

    fn node(&self, now: Time, node: &Node) -> NodeStatus {
        let record = self.record.as_ref();
        let member = record.and_then(|r| r.members.iter().find(|m| m.uuid == node.uuid));
        let register = node.register.as_ref();
        // What one that has no place said of its keys is of the past.
        let heartbeat = node.heartbeat.as_ref().filter(|_| member.is_some());
        NodeStatus {
            name: node.name.clone(),
            id: member.and_then(|member| member.points.first().copied()),
            uuid: Some(node.uuid),
            version: register.map(|r| r.greeting.version.clone()).unwrap_or_default(),
            state: self.state_of(node),
            paused: false,
            hint: None,
            addr: register.map(|r| r.addr.to_string()),
            pid: register.map(|r| r.pid),
            supervisor: register.and_then(|r| r.supervisor).map(|addr| addr.to_string()),
            incarnation: node.incarnation().unwrap_or_default(),
            heartbeat_age_ms: node.heartbeat_at.map(|at| now.since_us(at) / 1000),
            heartbeats: node.heartbeats,
            keys_primary: counted(node).map(|figures| figures.keys_primary),
            keys_replica: counted(node).map(|figures| figures.keys_replica),
            cache: heartbeat.map(|h| h.figures.cache.clone()),
            log_bytes: heartbeat.map(|h| h.figures.log_bytes),
            fsync_us: heartbeat.map(|h| h.figures.fsync_us),
            undecided: heartbeat.map_or(0, |h| h.figures.undecided),
        }
    }

    /// The places of the nodes that are shown: one of each name, by which people know them.
    /// Of several the member is, or else whichever registered last: where one was evicted, and
    /// another store has its name now, the old one is nobody's any more.
    pub(super) fn listed(&self) -> Vec<usize> {
        let rank = |place: usize| {
            let node = &self.nodes[place];
            (node.id.is_some(), node.registered_on.is_some(), node.registered_at)
        };
        let mut listed: BTreeMap<&NodeName, usize> = BTreeMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if self.has_left(node) || self.is_forgotten(node) {
                continue;
            }
            let shown = listed.entry(&node.name).or_insert(place);
            if rank(place) > rank(*shown) {
                *shown = place;
            }
        }
        for member in self.unregistered_members() {
            listed.remove(&member.name);
        }
        listed.into_values().collect()
    }

    /// Whether a node was removed by order, and has ended.
    fn has_left(&self, node: &Node) -> bool {
        let record = self.record.as_ref().filter(|_| node.registered_on.is_none());
        let mut departed = record.into_iter().flat_map(|record| &record.departed);
        node.id.is_none() && departed.any(|gone| gone.uuid == node.uuid && gone.removed)
    }

    /// How a node is, as it is told.
    pub(super) fn state_of(&self, node: &Node) -> NodeState {
        let Some((record, ring)) = self.newest() else { return node.state };
        let Some(id) = node.id else {
            let evicted = record.departed().any(|departed| departed.uuid == node.uuid);
            return if evicted { NodeState::Evicted } else { NodeState::Joining };
        };
        let leaves_in = |record: &RingRecord| {
            let member = record.members.iter().find(|member| member.id == id);
            member.map(|member| member.points.is_empty())
        };
        let next = leaves_in(record);
        // Who is about to be out has its place until that ring is in force.
        let leaves = next.or_else(|| self.record.as_deref().and_then(leaves_in));
        if node.is_up() && leaves == Some(true) {
            return NodeState::Leaving;
        }
        // What a newcomer missed before it had its place it learns as that, from the moment that
        // there is a connection to it.
        let connected = matches!(node.link.phase, LinkPhase::Opening | LinkPhase::Ready);
        let is_new = match node.reason {
            "registered" => true,
            "tcp_reset" => connected,
            _ => false,
        };
        if next.is_none() || !node.is_up() && !is_new {
            return node.state;
        }
        let holds = || ring.arcs().filter(|arc| arc.holders.contains(&id));
        let learns_all =
            !record.learning.is_empty() && holds().all(|arc| !arc.in_sync.contains(&id));
        if learns_all { NodeState::Joining } else { node.state }
    }

    /// Members that have not registered with this coordinator.
    pub(super) fn unregistered_members(&self) -> impl Iterator<Item = &RingMember> {
        let members = self.record.iter().flat_map(|record| &record.members);
        members.filter(|member| self.nodes.iter().all(|node| node.uuid != member.uuid))
    }

    fn absent_members(&self) -> Vec<NodeStatus> {
        self.unregistered_members()
            .map(|member| NodeStatus {
                name: member.name.clone(),
                id: member.points.first().copied(),
                uuid: Some(member.uuid),
                version: String::new(),
                state: NodeState::Down,
                paused: false,
                hint: None,
                addr: None,
                pid: None,
                supervisor: None,
                incarnation: protocol::ids::Incarnation(0),
                heartbeat_age_ms: None,
                heartbeats: 0,
                keys_primary: None,
                keys_replica: None,
                cache: None,
                log_bytes: None,
                fsync_us: None,
                undecided: 0,
            })
            .collect()
    }

    /// Keys with an update that an earlier epoch left open, or that waits for the vote of a
    /// participant which is not there.
    pub(super) fn keys_in_doubt(&self) -> u64 {
        let is_away = |member: &&MemberId| !self.node_of(**member).is_some_and(Node::is_up);
        let in_doubt = self.txns.values().filter(|txn| match &txn.phase {
            TxnPhase::Recovered(_) => true,
            TxnPhase::Sent { yes, .. } => {
                txn.participants.iter().filter(is_away).any(|member| !yes.contains(member))
            }
            _ => false,
        });
        let keys: BTreeSet<&Key> = in_doubt.flat_map(|txn| &txn.keys).collect();
        keys.len() as u64
    }
}
