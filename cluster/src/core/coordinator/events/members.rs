//! Events about heartbeats, links, the copies of keys, and the coordinator.

use protocol::event::{
    Body, CoordinatorState, Heartbeat, HeartbeatMissed, Link, LinkState, MemberRecovery,
    RecoveryPhase, Topic,
};
use protocol::ids::MemberId;
use protocol::peer;
use protocol::status::NodeState;

use super::super::super::ring::RING_POINTS;
use super::super::super::time::Time;
use super::super::estimate::Amount;
use super::super::members::Node;
use super::super::{Coordinator, Phase};

impl Coordinator {
    /// A heartbeat has come; the one before came at `before`.
    pub(in super::super) fn tell_heartbeat(
        &mut self,
        now: Time,
        heartbeat: &peer::Heartbeat,
        before: Option<Time>,
    ) {
        let Some(place) = self.nodes.iter().position(|node| node.uuid == heartbeat.uuid) else {
            return;
        };
        self.events.missed.remove(&place);
        if !self.events.on(Topic::Heartbeat) {
            return;
        }
        let due = before.map(|before| before.plus_ms(heartbeat.figures.interval_ms));
        let body = Body::Heartbeat(Heartbeat {
            node: self.nodes[place].name.clone(),
            incarnation: heartbeat.incarnation,
            hb_seq: heartbeat.seq,
            delay_us: due.map_or(0, |due| now.since_us(due)),
            figures: heartbeat.figures.clone(),
        });
        self.tell_event(None, body);
    }

    /// Heartbeats that are half an interval overdue, each once.
    pub(super) fn tell_missed(&mut self, now: Time) {
        let interval_us = self.config.heartbeat_ms.saturating_mul(1_000).max(1);
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            // Nobody waits for one whose place others have, or that has left.
            if node.id.is_none() && self.record.is_some() {
                continue;
            }
            let last = node.heartbeat_at.unwrap_or(node.registered_at).max(self.events.awake);
            let silent_us = now.since_us(last);
            let missed = silent_us.saturating_sub(interval_us / 2) / interval_us;
            let told = self.events.missed.entry(place).or_default();
            if missed <= *told {
                continue;
            }
            *told = missed;
            let (node, silent_ms) = (node.name.clone(), silent_us / 1_000);
            let body = Body::HeartbeatMissed(HeartbeatMissed { node, missed, silent_ms });
            let number = self.tell_event(None, body);
            self.events.latest.insert(place, number);
        }
    }

    /// The link to a node is there, or is not any more. Attempts that change nothing are no news.
    pub(in super::super) fn tell_link(&mut self, now: Time, place: usize, up: bool) {
        if !self.events.on(Topic::Member) {
            return;
        }
        let node = &self.nodes[place];
        let state = match (up, node.link.refused) {
            (true, _) => LinkState::Up,
            (false, true) => LinkState::Refused,
            (false, false) => LinkState::Lost,
        };
        let retry_ms = node.redial_at.filter(|_| !up).map(|at| at.since_us(now) / 1_000);
        let peer = node.name.clone();
        if self.events.links.insert(place, state) == Some(state) {
            return;
        }
        let number = self.tell_event(None, Body::Link(Link { peer, state, retry_ms }));
        self.events.latest.insert(place, number);
    }

    /// A node that came back has come one step further.
    pub(in super::super) fn tell_recovery(
        &mut self,
        now: Time,
        place: usize,
        phase: RecoveryPhase,
        (done, total): (u64, u64),
    ) {
        let begun = self.events.returning.remove(&place).filter(|_| phase != RecoveryPhase::Log);
        let began = begun.map_or(now, |(_, began)| began);
        if phase != RecoveryPhase::Ready {
            self.events.returning.insert(place, (phase, began));
        }
        if !self.events.on(Topic::Member) {
            return;
        }
        let (node, ms) = (self.nodes[place].name.clone(), now.since_us(began) / 1_000);
        let body = Body::MemberRecovery(MemberRecovery { node, phase, done, total, ms });
        let number = self.tell_event(self.events.latest.get(&place).copied(), body);
        self.events.latest.insert(place, number);
    }

    /// A node knows all decisions: it has what it needs, or copies that.
    pub(in super::super) fn tell_caught_up(&mut self, now: Time, place: usize) {
        if !self.tell_copying(now, place) {
            self.tell_recovery(now, place, RecoveryPhase::Ready, (0, 0));
        }
    }

    /// Another ring is in force: some that have come copy from now on, some have all.
    pub(in super::super) fn tell_who_copies(&mut self, now: Time) {
        for place in 0..self.nodes.len() {
            let is_here = self.nodes[place].caught_up && self.nodes[place].id.is_some();
            let copies = is_here && self.tell_copying(now, place);
            if copies || !self.is_told_to_copy(place) {
                continue;
            }
            if is_here {
                self.tell_recovery(now, place, RecoveryPhase::Ready, (0, 0));
            } else {
                // It has lost its place again.
                self.events.returning.remove(&place);
            }
        }
    }

    fn is_told_to_copy(&self, place: usize) -> bool {
        matches!(self.events.returning.get(&place), Some((RecoveryPhase::Copy, _)))
    }

    /// Whether a node that has come has yet to copy what it is to hold; told once.
    fn tell_copying(&mut self, now: Time, place: usize) -> bool {
        let (Some(record), node) = (self.record.clone(), &self.nodes[place]) else { return false };
        let own = record.learning.iter().filter(|one| Some(one.learner) == node.id);
        if own.clone().next().is_none() {
            return false;
        }
        let is_told = self.is_told_to_copy(place);
        let begins = !is_told && self.state_of(node) == NodeState::Joining;
        if begins {
            let all = own.map(|learning| self.amount_to_learn(learning));
            let total = all.fold(Amount::NONE, Amount::plus).keys.unwrap_or(0);
            self.tell_recovery(now, place, RecoveryPhase::Copy, (0, total));
        }
        begins || is_told
    }

    /// The copies, if they have changed since that was told.
    pub(super) fn tell_copies(&mut self) {
        let copies = self.copies();
        if self.events.copies.as_ref() == Some(&copies) {
            return;
        }
        self.events.copies = Some(copies.clone());
        self.tell_event(self.events.member, Body::Copies(copies));
    }

    /// How far the coordinator is.
    pub(in super::super) fn tell_coordinator_state(&mut self) {
        if !self.events.on(Topic::Coordinator) {
            return;
        }
        let number = self.record.as_ref().map(|record| record.number);
        let answered = |node: &&Node| match self.phase {
            Phase::Gathering { .. } => node.registered_on.is_some(),
            Phase::Claiming { .. } => node.report.is_some(),
            Phase::Installing { .. } => node.installed.is_some() && node.installed == number,
            _ => node.witness.is_some(),
        };
        let members = self.record.clone().map(|record| record.members.len());
        let members = members.or_else(|| self.newest_ring().map(|ring| ring.members.len()));
        let founders = usize::from(self.config.nodes);
        let founding = matches!(self.phase, Phase::Installing { founding: true, .. });
        let needed = match members {
            Some(members) if !founding => members / 2 + 1,
            _ => founders,
        };
        let told = CoordinatorState {
            state: self.state_now(),
            answered: self.nodes.iter().filter(answered).count() as u32,
            needed: needed as u32,
            in_doubt: self.in_doubt.len() as u64,
            resolved: self.resolved.len() as u64,
            serving_share: self.serving_share(),
        };
        // What nodes say after they have answered changes nothing of it.
        let told = (self.epoch, told);
        if self.events.coordinator.as_ref() != Some(&told) {
            self.events.coordinator = Some(told.clone());
            self.tell_event(None, Body::CoordinatorState(told.1));
        }
    }

    /// The part of the ring that has a replica which may be read.
    fn serving_share(&self) -> f64 {
        let Some(ring) = self.ring.as_ref().filter(|_| self.phase == Phase::Active) else {
            return 0.0;
        };
        let up = |holder: &MemberId| self.node_of(*holder).is_some_and(Node::is_up);
        let served = ring.arcs().filter(|arc| arc.in_sync.iter().any(up));
        served.map(|arc| arc.range.width()).sum::<u128>() as f64 / RING_POINTS as f64
    }
}
