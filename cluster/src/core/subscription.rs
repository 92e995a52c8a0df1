//! One subscriber's events: which of them it wants, how many, and what becomes of those that it
//! does not take in time.
//!
//! The shell and the supervisor keep one for each subscribed connection, offer it every event and
//! take out what the connection can write. Control events are never left out silently: when too
//! many wait, all that waits is replaced by one `lagged` and a fresh snapshot, which the owner
//! makes. Telemetry goes before that, oldest first. What `max_per_s` leaves out has no number and
//! is no loss.
//!
//! Never: formats an event that nobody wants (the owner is asked for the text then); waits; reads a
//! clock.

use std::collections::VecDeque;

use bytes::Bytes;
use protocol::event::{Body, Class, Lagged, Subscribe, Topic};
use protocol::ids::Epoch;

use super::time::Time;

/// Control events that may wait.
const CONTROL_MAX: usize = 1_024;
/// Telemetry that may wait.
const TELEMETRY_MAX: usize = 1_024;
/// As much of that as this is not kept waiting for more.
const TELEMETRY_MANY: usize = TELEMETRY_MAX / 4;
/// Events whose numbers are remembered, for those that name them as their cause.
const CAUSES_MAX: usize = 256;
/// What was not used of `max_per_s` may be made up for within this time, microseconds.
const BURST_US: u64 = 50_000;

/// An event as its source tells it: the same for all subscribers.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number at the source; rises.
    pub number: u64,
    /// The number of the event that led to it.
    pub cause: Option<u64>,
    /// The incident that it is part of.
    pub incident: Option<String>,
    /// The coordinator's epoch.
    pub epoch: Epoch,
    /// It is not to be sampled: aborted, slow or watched.
    pub always: bool,
    /// The window that a `cache_sets` was made for.
    pub window: Option<(u32, u32)>,
    /// What happened.
    pub body: Body,
}

impl Event {
    /// One that no other names as its cause.
    pub fn plain(epoch: Epoch, body: Body) -> Self {
        let (cause, incident, window) = (None, None, None);
        Self { number: 0, cause, incident, epoch, always: false, window, body }
    }
}

/// Lets so many through a second, evenly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sampler {
    credit_us: u64,
    at: Time,
}

impl Sampler {
    /// Whether one more may pass.
    pub fn passes(&mut self, now: Time, max_per_s: u32) -> bool {
        let cost_us = 1_000_000 / u64::from(max_per_s.max(1));
        let credit = self.credit_us.saturating_add(now.since_us(self.at));
        self.credit_us = credit.min(BURST_US.max(cost_us));
        self.at = now;
        let passes = self.credit_us >= cost_us;
        if passes {
            self.credit_us -= cost_us;
        }
        passes
    }
}

/// An event that waits for its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number for this subscriber.
    pub seq: u64,
    /// That of the event that led to it.
    pub cause: Option<u64>,
    /// Its kind.
    pub name: &'static str,
    /// All else, see [`protocol::event::tail`].
    pub tail: Bytes,
    topic: Option<Topic>,
}

/// What became of an event that was offered.
#[derive(Debug, Clone, PartialEq)]
pub enum Offered {
    /// It waits for the reader.
    Taken,
    /// It is not wanted.
    Left,
    /// Too much waited: all of that is gone. The owner is to tell this, and a fresh snapshot, with
    /// [`Subscription::restart`].
    Lagged(Lagged),
}

/// What one subscriber wants, and what waits for it.
///
/// Invariants:
/// * numbers rise in both queues, and no number is in both;
/// * neither queue is ever longer than its limit.
#[derive(Debug)]
pub struct Subscription {
    wants: Subscribe,
    seq: u64,
    control: VecDeque<Waiting>,
    telemetry: VecDeque<Waiting>,
    sampler: Sampler,
    /// What was lost and is not told yet, and the number under which it will be.
    lagged: Option<(Lagged, u64)>,
    /// Numbers at the source of the latest control events, and those they were given here.
    causes: VecDeque<(u64, u64)>,
    dropped: u64,
}

impl Subscription {
    /// A subscriber that wants this from now on.
    pub fn new(wants: Subscribe) -> Self {
        Self {
            wants,
            seq: 0,
            control: VecDeque::new(),
            telemetry: VecDeque::new(),
            sampler: Sampler::default(),
            lagged: None,
            causes: VecDeque::new(),
            dropped: 0,
        }
    }

    /// It wants something else: what waits is not told any more. Numbers go on.
    pub fn replace(&mut self, wants: Subscribe) {
        let (seq, dropped) = (self.seq, self.dropped);
        *self = Self { seq, dropped, ..Self::new(wants) };
    }

    /// What it wants.
    pub fn wants(&self) -> &Subscribe {
        &self.wants
    }

    /// Events that it was to get and did not.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.telemetry.is_empty()
    }

    /// Whether what waits is to be written at once: figures and samples alone, while there are few,
    /// may be gathered for a while.
    pub fn is_urgent(&self) -> bool {
        !self.control.is_empty() || self.telemetry.len() >= TELEMETRY_MANY
    }

    /// Something has happened; `tail` makes the text of it, if it is wanted.
    pub fn offer(&mut self, now: Time, event: &Event, tail: impl FnOnce() -> Bytes) -> Offered {
        if !self.is_wanted(event) {
            return Offered::Left;
        }
        let sampled = matches!(event.body, Body::Txn(_)) && !self.always(event);
        if sampled && !self.sampler.passes(now, self.wants.max_per_s) {
            return Offered::Left;
        }
        self.seq += 1;
        let cause = event.cause.and_then(|number| {
            let known = self.causes.iter().rev().find(|(known, _)| *known == number);
            known.map(|(_, seq)| *seq)
        });
        let (name, topic) = (event.body.name(), event.body.topic());
        let entry = |seq| Waiting { seq, cause, name, tail: tail(), topic };
        match event.body.class() {
            Class::Telemetry => {
                if self.telemetry.len() >= TELEMETRY_MAX {
                    self.telemetry.pop_front();
                    self.dropped += 1;
                }
                self.telemetry.push_back(entry(self.seq));
            }
            Class::Control if self.control.len() >= CONTROL_MAX => {
                return Offered::Lagged(self.lose(topic));
            }
            Class::Control => {
                self.control.push_back(entry(self.seq));
                if self.causes.len() >= CAUSES_MAX {
                    self.causes.pop_front();
                }
                self.causes.push_back((event.number, self.seq));
            }
        }
        Offered::Taken
    }

    /// All that waits is lost, and the event of this topic that did not fit.
    fn lose(&mut self, topic: Option<Topic>) -> Lagged {
        let mut lost = self.lagged.take().map(|(lagged, _)| lagged);
        let first = [self.control.front(), self.telemetry.front()];
        let first = first.into_iter().flatten().map(|entry| entry.seq).min();
        let lagged = lost.get_or_insert_with(|| Lagged {
            from_seq: first.unwrap_or(self.seq),
            ..Lagged::default()
        });
        lagged.to_seq = self.seq;
        let waiting = self.control.drain(..).chain(self.telemetry.drain(..));
        for topic in waiting.map(|entry| entry.topic).chain([topic]).flatten() {
            *lagged.dropped.entry(topic.as_str().to_owned()).or_default() += 1;
            self.dropped += 1;
        }
        let lagged = lagged.clone();
        self.lagged = Some((lagged.clone(), self.seq + 1));
        lagged
    }

    /// Begins, or begins again behind a loss: with these texts.
    pub fn restart(&mut self, lagged: Option<Bytes>, snapshot: Bytes) {
        let bodies =
            lagged.map(|tail| ("lagged", tail)).into_iter().chain([("snapshot", snapshot)]);
        for (name, tail) in bodies {
            self.seq += 1;
            self.control.push_back(Waiting { seq: self.seq, cause: None, name, tail, topic: None });
        }
    }

    /// What its reader gets next, in order.
    pub fn take(&mut self) -> Option<Waiting> {
        let older = match (self.control.front(), self.telemetry.front()) {
            (Some(control), Some(telemetry)) => control.seq < telemetry.seq,
            (control, _) => control.is_some(),
        };
        let next = if older { self.control.pop_front() } else { self.telemetry.pop_front() };
        if let Some(next) = &next
            && self.lagged.as_ref().is_some_and(|(_, seq)| *seq == next.seq)
        {
            self.lagged = None;
        }
        next
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let Some(topic) = event.body.topic() else { return false };
        if !self.wants.topics.has(topic) {
            return false;
        }
        let server = |name: &str| name == self.wants.server.as_deref().unwrap_or(COORDINATOR);
        match &event.body {
            Body::CacheSets(sets) => server(&sets.server) && event.window == self.wants.sets,
            Body::CacheSet(set) => server(&set.server) && Some(set.set) == self.wants.set,
            Body::CacheEvict(evict) => server(&evict.server) && Some(evict.set) == self.wants.set,
            body => self.watches(body) || self.wants.only.lets(body),
        }
    }

    /// It is about the transaction that this subscriber watches.
    fn watches(&self, body: &Body) -> bool {
        let tx = match body {
            Body::Txn(txn) => txn.tx,
            Body::TxnOpen(open) => open.0.tx,
            Body::TxnInDoubt(doubt) => doubt.tx,
            Body::TxnResolved(resolved) => resolved.tx,
            _ => None,
        };
        tx.is_some() && tx == self.wants.tx
    }

    fn always(&self, event: &Event) -> bool {
        event.always || self.watches(&event.body)
    }
}

/// What the coordinator is called as a server that has a cache.
pub const COORDINATOR: &str = "coordinator";

#[cfg(test)]
mod tests;
