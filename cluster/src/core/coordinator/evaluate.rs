//! Evaluation: what an update's keys hold for it, and so what it writes, rests on, or is refused
//! for.
//!
//! A key holds the result of the last undecided update before it in the key's queue, else what is
//! committed: from the cache, or read from a node meanwhile (a *cold* read). Called by `updates`
//! when it is the update's turn; `conditions` says what comes of it.

use std::collections::BTreeMap;

use protocol::error::ErrorReply;
use protocol::ids::{Key, Version};
use protocol::peer::WireWrite;

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::conditions::{Base, Update};
use super::updates::TxnPhase;
use super::{Coordinator, Seq};

/// What becomes of an update when it is looked at.
pub(super) enum Evaluated {
    /// It must wait; what it waits for will call again.
    Later,
    /// It writes this, if those that it rests on are committed.
    Writes(Vec<WireWrite>, Vec<Version>),
    /// Its condition does not hold, by what is committed.
    Negative(Box<ErrorReply>),
}

/// What a node says of a key that an update tests.
#[derive(Debug)]
pub(super) enum Cold {
    /// It was asked, by this read.
    Asked(u64),
    /// This, as of the moment at which so many updates of the key had been resolved: one more
    /// makes it void.
    Known(Base, u64),
}

impl Coordinator {
    /// Asks for the cold keys that an update tests before its turn comes. Where one is undecided
    /// before it, that one's result is likely to be the base, and what is read now could miss it.
    pub(super) fn read_ahead(&mut self, now: Time, seq: Seq) {
        let Some(update) = self.txns.get(&seq).and_then(|txn| txn.op.as_ref()) else { return };
        for key in update.tested() {
            let Some(queue) = self.keys.get(&key) else { continue };
            let waits = |other: &Seq| {
                let phase = self.txns.get(other).map(|txn| &txn.phase);
                matches!(phase, Some(TxnPhase::Waiting { .. }))
            };
            let all_wait = queue.queue.iter().take_while(|other| **other != seq).all(waits);
            if all_wait && self.cache.lookup(key.as_str()).is_none() {
                self.read_cold(now, seq, key);
            }
        }
    }

    pub(super) fn evaluate(&mut self, now: Time, seq: Seq) -> Evaluated {
        let Some(txn) = self.txns.get_mut(&seq) else { return Evaluated::Later };
        let Some(update) = txn.op.take() else { return Evaluated::Later };
        let evaluated = self.evaluate_update(now, seq, &update);
        if let Some(txn) = self.txns.get_mut(&seq) {
            txn.op = Some(update);
        }
        evaluated
    }

    fn evaluate_update(&mut self, now: Time, seq: Seq, update: &Update) -> Evaluated {
        let tested = update.tested();
        let mut bases = BTreeMap::new();
        let mut rests_on = Vec::new();
        for key in &tested {
            if let Some((base, pending)) = self.base(now, seq, key) {
                bases.insert(key, base);
                rests_on.extend(pending);
            }
        }
        if bases.len() < tested.len() {
            return Evaluated::Later;
        }
        rests_on.sort_unstable();
        rests_on.dedup();
        match update.on(|key| bases.get(key).copied()) {
            Ok(writes) => Evaluated::Writes(writes, rests_on),
            // A negative answer is a read of what is decided: it waits for all that is undecided
            // before it, and is evaluated again then (H20).
            Err(_) if !self.is_first(seq) && !planted(Bug::NegativeOnUndecided) => Evaluated::Later,
            Err(error) => Evaluated::Negative(error),
        }
    }

    /// First in the queues of all its keys.
    pub(super) fn is_first(&self, seq: Seq) -> bool {
        let first = |key| self.keys.get(key).is_some_and(|q| q.queue.front() == Some(&seq));
        self.txns.get(&seq).is_some_and(|txn| txn.keys.iter().all(first))
    }

    /// What the key holds for this update, and the undecided one whose result that is. `None`
    /// while a node is being asked.
    fn base(&mut self, now: Time, seq: Seq, key: &Key) -> Option<(Base, Option<Version>)> {
        let queue = self.keys.get(key)?;
        let resolved = queue.resolved;
        let result = |other: &Seq| match &self.txns.get(other)?.phase {
            TxnPhase::Sent { prepare, .. } => {
                let write = prepare.writes.iter().find(|write| write.key == *key)?;
                Some(Base { version: prepare.id, exists: write.value.is_some() })
            }
            _ => None,
        };
        // Those that only test the key leave it as it is.
        let ahead = queue.queue.iter().take_while(|other| **other != seq);
        if let Some(base) = ahead.filter_map(result).last() {
            return Some((base, Some(base.version)));
        }
        if let Some((version, _)) = self.cache.lookup(key.as_str()) {
            return Some((Base { version, exists: true }, None));
        }
        let TxnPhase::Waiting { cold } = &self.txns.get(&seq)?.phase else { return None };
        match cold.get(key) {
            Some(Cold::Known(base, at)) if *at == resolved => Some((*base, None)),
            Some(Cold::Asked(_)) => None,
            _ => {
                self.read_cold(now, seq, key.clone());
                None
            }
        }
    }

    /// Asks a node for the committed state of a key.
    fn read_cold(&mut self, now: Time, seq: Seq, key: Key) {
        let resolved = self.keys.get(&key).map_or(0, |queue| queue.resolved);
        let read = self.new_cold_read(key.clone(), seq, resolved);
        if let Some(txn) = self.txns.get_mut(&seq)
            && let TxnPhase::Waiting { cold } = &mut txn.phase
        {
            cold.insert(key, Cold::Asked(read));
        }
        self.start_read(now, read);
    }

    /// The committed state of a key that an update waited for.
    pub(super) fn on_cold(&mut self, seq: Seq, key: Key, base: Base, resolved: u64) {
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let TxnPhase::Waiting { cold } = &mut txn.phase else { return };
        cold.insert(key, Cold::Known(base, resolved));
        self.work.push_back(seq);
    }
}
