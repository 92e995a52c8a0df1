//! `member_state`: how each node is, told whenever `status` would say it otherwise than before.
//!
//! What was told last is kept by name and held against what `status` says now, so that whoever
//! folds these events over a snapshot always has what `status` says. Looked at whenever a verdict
//! changes, and at the end of each input that may have changed a place: a ring proposed or put in
//! force, a registration or link that came or went.
//!
//! A name that `status` does not list is `down`: whoever comes is told from that, and who was
//! waiting to become a member, or was removed, and has ended, is told to it. Who had a place that
//! others have now is told to be `evicted` before.

use std::collections::BTreeMap;

use protocol::event::{Body, MemberState, Topic};
use protocol::ids::{MemberId, NodeName};
use protocol::peer::RingRecord;
use protocol::status::NodeState;

use super::super::super::ring::RING_POINTS;
use super::super::super::time::Time;
use super::super::members::Node;
use super::super::{Coordinator, Phase};

/// How a node is, and its place among the nodes; none: it has not registered here.
type Shown = (NodeState, Option<usize>);

/// A change of a node's state.
struct Seen {
    from: NodeState,
    to: NodeState,
    reason: &'static str,
}

impl Coordinator {
    /// How all nodes are, by name, as `status` says it.
    fn states(&self) -> BTreeMap<NodeName, Shown> {
        let absent = self
            .unregistered_members()
            .map(|member| (member.name.clone(), (NodeState::Down, None)));
        let listed = self.listed().into_iter().map(|place| {
            let node = &self.nodes[place];
            (node.name.clone(), (self.state_of(node), Some(place)))
        });
        absent.chain(listed).collect()
    }

    /// What whoever is given a snapshot now is told of them; nothing while nobody asks.
    pub(super) fn states_for_snapshot(&self) -> BTreeMap<NodeName, NodeState> {
        if !self.events.on(Topic::Member) {
            return BTreeMap::new();
        }
        self.states().into_iter().map(|(name, (state, _))| (name, state)).collect()
    }

    /// The same, if something has happened by which it may have changed.
    pub(in super::super) fn tell_states_that_differ(&mut self, now: Time) {
        if std::mem::take(&mut self.events.states_differ) {
            self.tell_states(now);
        }
    }

    /// Tells how each node is that is not as it was told to be.
    pub(in super::super) fn tell_states(&mut self, now: Time) {
        if !self.events.on(Topic::Member) {
            return;
        }
        let states = self.states();
        let now_told = states.iter().map(|(name, (state, _))| (name.clone(), *state)).collect();
        let before = std::mem::replace(&mut self.events.states, now_told);
        for (name, (to, place)) in &states {
            let known = before.get(name).copied();
            let (from, to) = (known.unwrap_or(NodeState::Down), *to);
            if from != to {
                let reason = self.reason(name, *place, known, to);
                self.tell_member_state(now, (name, *place), &Seen { from, to, reason });
            }
        }
        for (name, from) in before.into_iter().filter(|(name, _)| !states.contains_key(name)) {
            self.tell_gone(now, &name, from);
        }
    }

    /// Tells that there is nothing to be said of a node any more: it had no place, or has none now.
    fn tell_gone(&mut self, now: Time, name: &NodeName, mut from: NodeState) {
        let place = self.nodes.iter().position(|node| node.name == *name);
        let named = |record: &RingRecord| record.departed().any(|gone| gone.name == *name);
        if from != NodeState::Evicted && self.record.as_deref().is_some_and(named) {
            let to = NodeState::Evicted;
            let reason = self.reason(name, place, Some(from), to);
            self.tell_member_state(now, (name, place), &Seen { from, to, reason });
            from = to;
        }
        if from != NodeState::Down {
            let seen = Seen { from, to: NodeState::Down, reason: "tcp_reset" };
            self.tell_member_state(now, (name, place), &seen);
        }
    }

    /// Why a node is in another state: an order, what was seen of it, or, where its place alone
    /// is another one, what led to that.
    fn reason(
        &self,
        name: &NodeName,
        place: Option<usize>,
        from: Option<NodeState>,
        to: NodeState,
    ) -> &'static str {
        use NodeState::{Evicted, Joining, Leaving, Up};
        match (from, to) {
            (None, Joining) if self.wants_node() => "admin",
            (None | Some(Evicted), Joining) | (None, Evicted) => "registered",
            // It was evicted before: that is known only now.
            (_, Evicted) if self.phase != Phase::Active => "registered",
            (_, Evicted) if self.is_out_by_order(name.as_str()) => "admin",
            (Some(Up | Leaving), Joining) | (Some(Up | Joining), Leaving) => "admin",
            (Some(Leaving), Up) => "admin",
            _ => place.map_or("silence", |place| self.nodes[place].reason),
        }
    }

    fn tell_member_state(
        &mut self,
        now: Time,
        (name, place): (&NodeName, Option<usize>),
        seen: &Seen,
    ) {
        let copies = self.copies();
        let node = place.map(|place| &self.nodes[place]);
        let heard = node.map_or(self.active_since, |node| node.last_heard);
        let id = node.and_then(|node| node.id);
        let body = Body::MemberState(MemberState {
            node: name.clone(),
            from: seen.from,
            to: seen.to,
            reason: seen.reason.to_owned(),
            // The shell knows what supervisors say: no rule may.
            paused: false,
            hint: None,
            silent_ms: now.since_us(heard) / 1_000,
            ring_share: id.map_or(0.0, |id| self.ring_share(id)),
            keys_one_copy: copies.by_live_copies.get(&1).copied().unwrap_or(0),
            keys_unwritable: copies.unwritable,
            keys_in_doubt: self.keys_in_doubt(),
            reads_by: id.map(|id| self.reads_by(id)).unwrap_or_default(),
        });
        let by_ring =
            matches!(seen.to, NodeState::Joining | NodeState::Leaving | NodeState::Evicted);
        let by_ring = by_ring || matches!(seen.from, NodeState::Joining | NodeState::Leaving);
        let latest = place.and_then(|place| self.events.latest.get(&place).copied());
        let cause = self.events.ring.filter(|_| by_ring).max(latest);
        let number = self.tell_event(cause, body);
        if let Some(place) = place {
            self.events.latest.insert(place, number);
        }
        self.events.member = Some(number);
    }

    fn ring_share(&self, member: MemberId) -> f64 {
        let share = self.ring.as_ref().and_then(|ring| ring.shares().get(&member).copied());
        share.unwrap_or(0) as f64 / RING_POINTS as f64
    }

    /// Who answers the reads of the keys of which this member is the first replica.
    fn reads_by(&self, member: MemberId) -> Vec<NodeName> {
        let Some(ring) = &self.ring else { return Vec::new() };
        let mut names = Vec::new();
        for arc in ring.arcs().filter(|arc| arc.holders.first() == Some(&member)) {
            let up = |holder: &&MemberId| self.node_of(**holder).is_some_and(Node::is_up);
            let node = arc.in_sync.iter().find(up).and_then(|holder| self.node_of(*holder));
            let name = node.map(|node| node.name.clone());
            names.extend(name.filter(|name| !names.contains(name)));
        }
        names
    }
}
