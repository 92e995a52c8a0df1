//! What those who subscribed are told: made beside the effects, as values, while somebody asks.
//!
//! The shell says with [`Interest`] what its subscribers want together. Each hook in the other
//! modules first asks `on`: with nobody there, it is one comparison, and nothing is built. Who gets
//! which event, and in what number, is `core::subscription`'s business.
//!
//! * this file: what is asked for, numbers, what time brings
//! * `members`: heartbeats, links, copies, the coordinator; `rings`: the ring
//! * `states`: how each node is, as `status` says it at the same moment
//! * `txns`: transactions, followed while somebody asks, each with a `trace`; `doubts`: those that
//!   nobody can decide
//! * `caches`: the caches' counters, and what somebody looks at
//! * `figures`: counts and times of the last half second
//!
//! Never: changes anything but its own state; decides anything.

mod caches;
mod doubts;
mod figures;
mod members;
mod rings;
mod states;
mod trace;
mod txns;

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::{
    Body, CoordinatorState, Copies, LinkState, RecoveryPhase, Subscribe, Topic, Topics,
};
use protocol::ids::{Epoch, NodeName, Version};
use protocol::status::NodeState;

pub use caches::Look;
pub(super) use trace::Trace;

use super::super::subscription::{Event, Sampler};
use super::super::time::Time;
use super::{Coordinator, Effect, Note};

/// Between two `copies` at least, milliseconds.
const COPIES_MS: u64 = 250;
/// Between two looks at transactions that are open, or wait for their confirmations: while many
/// come, time is told of far more often.
const TXNS_MS: u64 = 10;

/// What all subscribers together want to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interest {
    /// The topics.
    pub topics: Topics,
    /// Finished transactions a second that anybody wants, beside those that are always told.
    pub txn_per_s: u32,
    /// Transactions that somebody watches.
    pub watched: BTreeSet<Version>,
    /// What somebody looks at of caches.
    pub looks: BTreeSet<Look>,
}

impl Interest {
    /// What these want together.
    pub fn of<'a>(all: impl Iterator<Item = &'a Subscribe>) -> Self {
        let mut interest = Self::default();
        for wants in all {
            interest.topics = interest.topics.and(wants.topics);
            interest.watched.extend(wants.tx);
            interest.looks.extend(Look::of(wants));
            // Of all that happens the few that somebody wants may not be among any sample.
            let most = if wants.only.is_all() { wants.max_per_s } else { u32::MAX };
            interest.txn_per_s = interest.txn_per_s.max(most);
        }
        interest
    }
}

/// What is kept to tell events, and only for that.
#[derive(Debug, Default)]
pub(super) struct Events {
    interest: Interest,
    /// The number of the last event.
    number: u64,
    /// The last event about each node, by its place: what comes next of it comes of that.
    latest: BTreeMap<usize, u64>,
    /// Nodes that come back, by place: the step that was told last, and when the first one was;
    /// none that are ready.
    returning: BTreeMap<usize, (RecoveryPhase, Time)>,
    /// How the link to each node was last told to be.
    links: BTreeMap<usize, LinkState>,
    /// How many heartbeats in a row each node was told to have missed.
    missed: BTreeMap<usize, u64>,
    /// When this process last woke from a pause: until then nobody can have been heard (H43).
    awake: Time,
    /// How each node was told to be, by its name; in a snapshot, or since.
    states: BTreeMap<NodeName, NodeState>,
    /// Something has happened by which they may be otherwise.
    states_differ: bool,
    /// The last change of a node's state.
    member: Option<u64>,
    /// The last ring that was told.
    ring: Option<u64>,
    copies: Option<Copies>,
    copies_at: Time,
    /// How far the coordinator was last told to be, and in which epoch.
    coordinator: Option<(Epoch, CoordinatorState)>,
    sampler: Sampler,
    /// Committed transactions that wait for their confirmations.
    closing: BTreeMap<Version, txns::Closing>,
    /// Transactions that were told to be in doubt.
    doubts: BTreeSet<Version>,
    txns_at: Time,
    /// Counted for the next `stats`.
    figures: Option<Box<figures::Figures>>,
    stats_at: Time,
    /// Sets of the coordinator's cache whose sweeps are followed.
    followed: BTreeSet<u32>,
    /// Places of the nodes that were asked to show something.
    lookers: BTreeSet<usize>,
    totals_at: Time,
    looks_at: Time,
}

impl Events {
    pub(super) fn on(&self, topic: Topic) -> bool {
        self.interest.topics.has(topic)
    }

    /// Whether transactions are followed.
    pub(super) fn traces(&self) -> bool {
        self.on(Topic::Txn) || self.on(Topic::Stats)
    }

    /// How many events were told.
    #[cfg(test)]
    pub(super) fn told(&self) -> u64 {
        self.number
    }

    /// Something has happened by which nodes may be seen otherwise: looked at before the input is
    /// done with.
    pub(super) fn states_may_differ(&mut self) {
        self.states_differ = true;
    }

    /// This process stood still until now.
    pub(super) fn awake(&mut self, now: Time) {
        self.awake = now;
    }
}

impl Coordinator {
    /// Other things are wanted from now on.
    pub(super) fn on_interest(&mut self, interest: Interest) {
        let before = std::mem::replace(&mut self.events.interest, interest);
        // Whoever has just been given a snapshot knows the copies as they are at this moment.
        self.events.copies = None;
        self.events.states = self.states_for_snapshot();
        if !before.topics.has(Topic::Member) {
            // What was told to nobody is news.
            self.events.links.clear();
        }
        if !before.topics.has(Topic::Coordinator) {
            self.events.coordinator = None;
        }
        if !self.events.on(Topic::Txn) {
            self.events.closing.clear();
            self.events.doubts.clear();
        }
        if !self.events.on(Topic::Stats) {
            self.events.figures = None;
        }
        self.follow_sets();
    }

    /// Tells something; its number.
    pub(super) fn tell_event(&mut self, cause: Option<u64>, body: Body) -> u64 {
        self.tell_event_as(cause, false, None, body)
    }

    fn tell_event_as(
        &mut self,
        cause: Option<u64>,
        always: bool,
        window: Option<(u32, u32)>,
        body: Body,
    ) -> u64 {
        self.events.number += 1;
        let (number, epoch) = (self.events.number, self.epoch);
        let event = Event { number, cause, incident: None, epoch, always, window, body };
        self.effects.push(Effect::Event(Box::new(event)));
        number
    }

    /// Tells something that is part of an incident.
    pub(super) fn tell_of_incident(&mut self, incident: Option<String>, body: Body) {
        self.events.number += 1;
        let number = self.events.number;
        let event = Event { number, incident, ..Event::plain(self.epoch, body) };
        self.effects.push(Effect::Event(Box::new(event)));
    }

    /// What is worth a line in the log may be worth an event.
    pub(super) fn tell_of_note(&mut self, note: &Note) {
        match note {
            Note::Phase(phase, _) => {
                self.tell_coordinator_state();
                if *phase == "recovering" {
                    self.tell_ring();
                }
            }
            Note::Resolved(id, commit) => self.tell_resolved(*id, *commit),
            _ => {}
        }
    }

    /// What time brings.
    pub(super) fn tell_of_time(&mut self, now: Time) {
        if self.events.interest.topics.is_empty() {
            return;
        }
        if self.events.on(Topic::Heartbeat) {
            self.tell_missed(now);
        }
        if self.events.on(Topic::Member) && now >= self.events.copies_at.plus_ms(COPIES_MS) {
            self.events.copies_at = now;
            self.tell_copies();
        }
        if self.events.on(Topic::Txn) && now >= self.events.txns_at.plus_ms(TXNS_MS) {
            self.events.txns_at = now;
            self.close_late(now);
            self.tell_open(now);
            self.tell_doubts();
        }
        if self.events.on(Topic::Stats) && now >= self.events.stats_at.plus_ms(figures::STATS_MS) {
            self.events.stats_at = now;
            self.tell_stats(now);
        }
        if self.events.on(Topic::Cache) {
            self.tell_caches(now);
        }
    }
}
