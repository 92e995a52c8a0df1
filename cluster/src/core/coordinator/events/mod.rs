//! What those who subscribed are told: made beside the effects, as values, while somebody asks.
//!
//! The shell says with [`Interest`] what its subscribers want together. Each hook in the other
//! modules first asks `on`: with nobody there, it is one comparison, and nothing is built. Who gets
//! which event, and in what number, is `core::subscription`'s business.
//!
//! * this file: what is asked for, numbers, what time brings
//! * `members`: heartbeats, nodes, links, copies, the coordinator, the ring
//!
//! Never: changes anything but its own state; decides anything.

mod members;

use std::collections::BTreeMap;

use protocol::event::{Body, Copies, LinkState, Subscribe, Topic, Topics};

pub(super) use members::Seen;

use super::super::subscription::Event;
use super::super::time::Time;
use super::{Coordinator, Effect, Note};

/// Between two `copies` at least, milliseconds.
const COPIES_MS: u64 = 250;

/// What all subscribers together want to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interest {
    /// The topics.
    pub topics: Topics,
}

impl Interest {
    /// What these want together.
    pub fn of<'a>(all: impl Iterator<Item = &'a Subscribe>) -> Self {
        let mut interest = Self::default();
        for wants in all {
            interest.topics = interest.topics.and(wants.topics);
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
    /// How the link to each node was last told to be.
    links: BTreeMap<usize, LinkState>,
    /// How many heartbeats in a row each node was told to have missed.
    missed: BTreeMap<usize, u64>,
    /// When this process last woke from a pause: until then nobody can have been heard (H43).
    awake: Time,
    /// The last change of a node's state.
    member: Option<u64>,
    copies: Option<Copies>,
    copies_at: Time,
}

impl Events {
    pub(super) fn on(&self, topic: Topic) -> bool {
        self.interest.topics.has(topic)
    }

    /// How many events were told.
    #[cfg(test)]
    pub(super) fn told(&self) -> u64 {
        self.number
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
        if !before.topics.has(Topic::Member) {
            // What was told to nobody is news.
            self.events.links.clear();
            self.events.copies = None;
        }
    }

    /// Tells something; its number.
    fn tell_event(&mut self, cause: Option<u64>, body: Body) -> u64 {
        self.events.number += 1;
        let (number, epoch) = (self.events.number, self.epoch);
        let event = Event { number, cause, epoch, always: false, window: None, body };
        self.effects.push(Effect::Event(Box::new(event)));
        number
    }

    /// What is worth a line in the log may be worth an event.
    pub(super) fn tell_of_note(&mut self, note: &Note) {
        if let Note::Phase(phase, _) = note {
            self.tell_coordinator_state();
            if *phase == "recovering" {
                self.tell_ring();
            }
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
    }
}
