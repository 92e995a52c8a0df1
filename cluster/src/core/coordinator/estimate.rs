//! How much a change copies, and how far that is: estimates, and what is not known is said to be
//! so.
//!
//! Nodes tell with their heartbeats how many keys they have and how long those are about (R15: for
//! display only); a stretch of the ring has its part of them. What was copied is known, and of what
//! is being copied the rest is as long as what came so far. Of a learner that had something before
//! it is not known how much of that is old.
//!
//! Called by `preview`, `change` and `events`. Never: decides anything.

use std::collections::{BTreeMap, VecDeque};

use protocol::event::Transfer as Told;
use protocol::ids::{MemberId, Version};
use protocol::peer::{Learning, Span};

use super::super::ring::Range;
use super::super::time::Time;
use super::Coordinator;
use super::copying::Transfer;
use super::status::counted;

/// Between two looks at how much was copied, microseconds.
const LOOK_EVERY_US: u64 = 500_000;
/// Looks that are kept in mind.
const LOOKS: usize = 10;

/// Keys and bytes; `None`: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) keys: Option<u64>,
    pub(super) bytes: Option<u64>,
}

impl Amount {
    /// Nothing, for sure.
    pub(super) const NONE: Self = Self { keys: Some(0), bytes: Some(0) };

    /// Of so many keys, each of about this length if that is known.
    pub(super) fn of_keys(keys: u64, key_bytes: Option<u64>) -> Self {
        let bytes = match keys {
            0 => Some(0),
            keys => key_bytes.map(|each| keys.saturating_mul(each)),
        };
        Self { keys: Some(keys), bytes }
    }

    /// Of both together.
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self { keys: sum(self.keys, other.keys), bytes: sum(self.bytes, other.bytes) }
    }

    /// What is left of this without the other.
    pub(super) fn minus(self, other: Self) -> Self {
        let left = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_sub(other?));
        Self { keys: left(self.keys, other.keys), bytes: left(self.bytes, other.bytes) }
    }
}

/// How far all copying is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) keys_done: u64,
    pub(super) bytes_done: u64,
    pub(super) total: Amount,
    pub(super) bytes_per_s: Option<u64>,
    pub(super) eta_ms: Option<u64>,
    pub(super) transfers: Vec<Told>,
}

/// How fast bytes came during the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    looks: VecDeque<(Time, u64)>,
}

impl Meter {
    /// So many bytes have come until now.
    pub(super) fn look(&mut self, now: Time, bytes: u64) {
        if self.looks.back().is_some_and(|(at, _)| now.since_us(*at) < LOOK_EVERY_US) {
            return;
        }
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, bytes));
    }

    /// Bytes a second, when so many have come; `None` so soon after the beginning.
    pub(super) fn bytes_per_s(&self, now: Time, bytes: u64) -> Option<u64> {
        let (at, before) = self.looks.front()?;
        let us = now.since_us(*at);
        let came = bytes.saturating_sub(*before);
        (us >= LOOK_EVERY_US / 2).then(|| came.saturating_mul(1_000_000) / us)
    }
}

/// Milliseconds for so many bytes; `None` if they never come.
pub(super) fn ms_for(bytes: u64, bytes_per_s: u64) -> Option<u64> {
    match (bytes, bytes_per_s) {
        (0, _) => Some(0),
        (_, 0) => None,
        (bytes, bytes_per_s) => Some(bytes.saturating_mul(1_000) / bytes_per_s),
    }
}

impl Coordinator {
    /// About what a member has in these stretches: of all that it has in proportion.
    pub(super) fn amount_in(&self, member: MemberId, spans: &[Span]) -> Amount {
        let known = self.node_of(member).and_then(counted);
        let (Some(figures), Some(ring)) = (known, &self.ring) else { return Amount::default() };
        let all = figures.keys_primary.saturating_add(figures.keys_replica);
        let width = |span: &Span| Range { first: span.0, last: span.1 }.width();
        let held = ring.arcs().filter(|arc| arc.holders.contains(&member));
        let held: u128 = held.map(|arc| arc.range.width()).sum();
        let wanted: u128 = spans.iter().map(width).sum();
        let share = wanted.min(held) as f64 / held.max(1) as f64;
        Amount::of_keys((all as f64 * share).round() as u64, figures.key_bytes)
    }

    /// About what is in a stretch, as the first member in sync knows that knows anything.
    pub(super) fn amount_of(&self, span: Span) -> Amount {
        let Some(ring) = &self.ring else { return Amount::default() };
        let told = |member: &MemberId| {
            let amount = self.amount_in(*member, &[span]);
            amount.keys.is_some().then_some(amount)
        };
        ring.in_sync_at(span.1).iter().find_map(told).unwrap_or_default()
    }

    /// About what is copied for a learner.
    pub(super) fn amount_to_learn(&self, learning: &Learning) -> Amount {
        if learning.since > Version::ZERO {
            return Amount::default();
        }
        self.amount_of(learning.span)
    }

    /// About what a transfer comes to in all.
    fn total_of(&self, transfer: &Transfer) -> Amount {
        let (keys, bytes) = (transfer.keys, transfer.bytes);
        if transfer.has_all_keys() {
            return Amount { keys: Some(keys), bytes: Some(bytes) };
        }
        if transfer.since > Version::ZERO {
            return Amount::default();
        }
        let told = self.amount_in(transfer.source, &transfer.spans);
        let total = told.keys.map(|told| told.max(keys));
        let rest = |total: u64| {
            let rest = (total - keys).saturating_mul(bytes).checked_div(keys);
            rest.map(|rest| rest.saturating_add(bytes)).or(told.bytes)
        };
        Amount { keys: total, bytes: total.and_then(rest) }
    }

    /// How far a transfer is, as it is told.
    pub(super) fn told_of(&self, now: Time, id: u64, transfer: &Transfer, state: &str) -> Told {
        let us = now.since_us(transfer.began).max(1);
        let came = transfer.bytes.saturating_sub(transfer.resumed_bytes);
        let bytes_per_s = came.saturating_mul(1_000_000) / us;
        let total = self.total_of(transfer);
        let left = total.bytes.map(|total| total.saturating_sub(transfer.bytes));
        Told {
            id,
            range: transfer.spans.clone(),
            source: self.node_name(transfer.source),
            target: self.node_name(transfer.learner),
            keys_done: transfer.keys,
            keys_total: total.keys,
            bytes_done: transfer.bytes,
            bytes_total: total.bytes,
            bytes_per_s,
            eta_ms: left.and_then(|left| ms_for(left, bytes_per_s)),
            state: state.to_owned(),
        }
    }

    /// What is being copied now.
    pub fn transfers(&self, now: Time) -> Vec<Told> {
        let all = self.copies.transfers.iter();
        let told = |(id, transfer): (&u64, &Transfer)| {
            self.told_of(now, *id, transfer, self.state_of_transfer(transfer))
        };
        all.map(told).collect()
    }

    /// What is to be learned and is not copied yet, by whom and from whom.
    fn not_begun(&self) -> Vec<Told> {
        let Some((record, ring)) = self.record.as_ref().zip(self.ring.as_ref()) else {
            return Vec::new();
        };
        let mut pairs: BTreeMap<(MemberId, MemberId), (Vec<Span>, Amount)> = BTreeMap::new();
        for learning in record.learning.iter().filter(|learning| self.copies.is_open(learning)) {
            let Some(source) = ring.in_sync_at(learning.span.1).first() else { continue };
            let pair = pairs.entry((learning.learner, *source));
            let (spans, amount) = pair.or_insert((Vec::new(), Amount::NONE));
            spans.push(learning.span);
            *amount = amount.plus(self.amount_to_learn(learning));
        }
        let told = |((learner, source), (range, total)): (_, (Vec<Span>, Amount))| Told {
            id: 0,
            range,
            source: self.node_name(source),
            target: self.node_name(learner),
            keys_done: 0,
            keys_total: total.keys,
            bytes_done: 0,
            bytes_total: total.bytes,
            bytes_per_s: 0,
            eta_ms: None,
            state: "waiting".to_owned(),
        };
        pairs.into_iter().map(told).collect()
    }

    /// How far all copying is.
    pub(super) fn progress(&self, now: Time) -> Progress {
        let (keys_done, bytes_done) = self.copies.copied();
        let mut transfers = self.transfers(now);
        transfers.extend(self.not_begun());
        let (keys, bytes) = self.copies.ended;
        let ended = Amount { keys: Some(keys), bytes: Some(bytes) };
        let of = |told: &Told| Amount { keys: told.keys_total, bytes: told.bytes_total };
        let total = transfers.iter().map(of).fold(ended, Amount::plus);
        let bytes_per_s = self.copies.meter.bytes_per_s(now, bytes_done);
        let left = total.bytes.map(|total| total.saturating_sub(bytes_done));
        let eta_ms = left.zip(bytes_per_s).and_then(|(left, pace)| ms_for(left, pace));
        Progress { keys_done, bytes_done, total, bytes_per_s, eta_ms, transfers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_makes_the_sum_unknown() {
        let some = Amount { keys: Some(3), bytes: None };
        assert_eq!(Amount::NONE.plus(some), some);
        assert_eq!(some.plus(some), Amount { keys: Some(6), bytes: None });
        assert_eq!(Amount::NONE.minus(some).keys, Some(0));
        assert_eq!(ms_for(0, 0), Some(0));
        assert_eq!((ms_for(5, 0), ms_for(10, 4)), (None, Some(2_500)));
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.bytes_per_s(Time(0), 0), None);
        meter.look(Time(0), 0);
        assert_eq!(meter.bytes_per_s(Time(1_000), 500), None, "so soon");
        for second in 1..=20 {
            meter.look(Time(second * 1_000_000), second * 100);
        }
        assert_eq!(meter.bytes_per_s(Time(20_000_000), 2_000), Some(100));
        // Then nothing comes.
        for second in 21..=40 {
            meter.look(Time(second * 1_000_000), 2_000);
        }
        assert_eq!(meter.bytes_per_s(Time(40_000_000), 2_000), Some(0));
        assert_eq!(meter.bytes_per_s(Time(40_000_000), 0), Some(0), "something was lost");
    }
}
