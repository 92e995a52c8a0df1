//! What a node does with a batch: decisions, then reads (`reads`), then prepares.
//!
//! state here  | on              | does                                     | next
//! ------------|-----------------|------------------------------------------|----------
//! unknown     | prepare         | record Prepare, sync, then yes           | prepared
//! unknown     | unfit prepare   | record Refuse, sync, then no (R3)        | refused
//! prepared    | commit          | record Commit, apply                     | committed
//! any but committed | abort     | record Abort, sync; with all that rest on it | aborted
//! unknown     | adopt           | record Prepare and Commit, sync, apply   | committed
//!
//! Never: commits what is aborted or aborts what is committed (H14: that stops the process);
//! answers a repeated prepare otherwise than the first time.

use std::sync::Arc;

use protocol::ids::{Key, MemberId, RingNumber, Version};
use protocol::peer::{Abort, Batch, DISK_FULL, Prepare, Refusal, TxnState};

use super::super::planted::{Bug, planted};
use super::super::record::{Committed, LogRecord, Prepared, Previous, Write};
use super::super::time::Time;
use super::space::Taken;
use super::{CHECKING_MAX, Checking, Effect, Found, NodeCore, ReadToken, Txn};

impl NodeCore {
    pub(super) fn on_batch(&mut self, now: Time, batch: Batch) {
        let decides =
            !batch.commit.is_empty() || !batch.adopt.is_empty() || !batch.abort.is_empty();
        for prepare in batch.adopt {
            self.adopt(now, &prepare);
        }
        for id in batch.commit {
            self.commit(now, id);
        }
        for abort in batch.abort {
            self.abort(now, &abort);
        }
        self.sync_wanted |= batch.sync;
        let Some(session) = self.session.as_mut() else { return };
        let n = session.n_in;
        // What these come to may take long, or nothing: that they are here is said at once.
        let rare = batch.in_force.is_some() || !batch.copy.is_empty() || !batch.put.is_empty();
        let rare = rare || !batch.audit.is_empty();
        session.ask |= batch.ask || rare;
        if decides {
            session.decided_n = n;
        }
        if batch.caught_up {
            self.found_whole = true;
            session.caught_up_at = Some(n);
            self.sync_wanted = true;
        }
        self.on_read_asks(batch.read);
        self.on_once_asks(batch.once, batch.once_from);
        self.on_scan_asks(batch.scan);
        self.on_cache_asks(batch.cache);
        self.on_copy_asks(batch.copy);
        self.on_puts(now, batch.put);
        self.on_audit_asks(batch.audit);
        self.on_in_force(batch.in_force);
        if !batch.marks.is_empty() {
            for (member, seq) in &batch.marks {
                let mark = self.marks.entry(*member).or_default();
                *mark = (*mark).max(*seq);
            }
            if !self.saves_space(true) {
                self.record(now, LogRecord::Marks(batch.marks), false);
            }
        }
        if let Some(settled) = batch.settled {
            self.settle(now, settled);
        }
        self.time_votes(now, batch.timed, !batch.prepare.is_empty());
        for prepare in batch.prepare {
            self.prepare(now, prepare);
        }
    }

    fn prepare(&mut self, now: Time, prepare: Arc<Prepare>) {
        if self.is_cramped() {
            self.wait_for_room(now, prepare);
        } else {
            self.examine(now, prepare);
        }
    }

    pub(super) fn examine(&mut self, now: Time, prepare: Arc<Prepare>) {
        let id = prepare.id;
        if self.vote_again(id) {
            return;
        }
        if self.checking.contains_key(&id) {
            return;
        }
        if let Some(first) = prepare.rests_on.iter().find_map(|on| self.checked_first(*on)) {
            self.behind.entry(first).or_default().push(prepare);
            return;
        }
        if let Err(reason) = self.fits(&prepare) {
            self.refuse(now, &prepare, reason);
            return;
        }
        let looks = self.looks(&prepare);
        if looks.is_empty() {
            self.accept(now, prepare);
            return;
        }
        self.hand_over_writes();
        for (place, key) in &looks {
            let token = ReadToken::Check(id, *place);
            self.effects.push(Effect::Read { token, key: key.clone() });
        }
        let checking = Checking { prepare, looks: looks.len(), failed: None };
        self.checking.insert(id, checking);
    }

    /// The transaction whose looks are awaited before `id` is answered: itself, or the one that it
    /// waits behind.
    fn checked_first(&self, id: Version) -> Option<Version> {
        if self.checking.contains_key(&id) {
            return Some(id);
        }
        let mut waiting = self.behind.iter();
        // From the newest: most often that is what the next one rests on.
        let found = waiting.find(|(_, all)| all.iter().rev().any(|prepare| prepare.id == id));
        found.map(|(first, _)| *first)
    }

    /// What was answered once is answered so for ever (R3).
    fn vote_again(&mut self, id: Version) -> bool {
        let Some(txn) = self.txns.get(&id) else { return false };
        match txn.state {
            TxnState::Prepared | TxnState::Committed => self.buffer_yes.push(id.counter()),
            TxnState::Refused | TxnState::Aborted => self.buffer_no.push(refusal(id, "over")),
        }
        // The earlier answer may still be on its way to the disk: it rides behind it.
        self.sync_wanted = true;
        true
    }

    /// Whether the prepare may be taken at all, before any look into the keystore.
    fn fits(&self, prepare: &Prepare) -> Result<(), &'static str> {
        let Some(session) = &self.session else { return Err("no session") };
        // One of an earlier ring of this epoch may still be asked again: what must not be behind
        // it, its coordinator holds back until it is decided (R10).
        let ring = self.meta.ring.as_ref().map(|ring| ring.number);
        let fits_ring = |ring: RingNumber| ring.epoch == prepare.ring.epoch && ring >= prepare.ring;
        if self.is_settled(prepare.id) {
            return Err("it is settled");
        }
        if prepare.id.epoch() != session.epoch {
            return Err("another epoch");
        }
        if !ring.is_some_and(fits_ring) && !planted(Bug::RingIgnored) {
            return Err("another ring");
        }
        if !self.me.is_some_and(|me| prepare.participants.contains(&me)) {
            return Err("not a participant");
        }
        if prepare.writes.is_empty() || self.checking.len() >= CHECKING_MAX {
            return Err("out of bounds");
        }
        if self.is_short_of_space() {
            return Err(DISK_FULL);
        }
        let due_here = |id: &Version| {
            let due = prepare.due.iter().find(|due| due.id == *id);
            due.is_none_or(|due| self.me.is_some_and(|me| due.at.contains(&me)))
        };
        let stands = |id: &Version| match self.txns.get(id) {
            Some(txn) => matches!(txn.state, TxnState::Prepared | TxnState::Committed),
            None => self.is_settled(*id) || !due_here(id),
        };
        if !prepare.rests_on.iter().all(stands) && !planted(Bug::CascadeLeftOut) {
            return Err("what it rests on is not here");
        }
        Ok(())
    }

    /// The conditions that only the keystore can tell: those not met by an undecided write that
    /// the transaction names (H18).
    fn looks(&self, prepare: &Prepare) -> Vec<(usize, Key)> {
        let mut looks = Vec::new();
        for (place, write) in prepare.writes.iter().enumerate() {
            let Some(previous) = write.previous else { continue };
            // Asked again after a lost message, it may come behind one with a higher id.
            let ids = self.undecided.get(&write.key);
            let pending = ids.and_then(|ids| ids.range(..prepare.id).next_back());
            let mine = self.is_mine(&write.key, &write.holders, prepare.writes.len());
            // What is not copied yet says nothing of what is there: those that have it say it.
            if pending != Some(&previous) && mine && !self.is_learning(&write.key) {
                looks.push((place, write.key.clone()));
            }
        }
        looks
    }

    /// Whether this node holds the key of a write, one of so many of its transaction.
    fn is_mine(&self, key: &Key, holders: &[MemberId], writes: usize) -> bool {
        let mut ids = self.me.into_iter().chain(self.meta.former.iter().copied());
        match (holders.is_empty(), writes) {
            (false, _) => ids.any(|id| holders.contains(&id)),
            // All participants hold the only key.
            (true, 1) => true,
            // Of a program that left it to the ring.
            (true, _) => self
                .ring
                .as_ref()
                .is_some_and(|ring| ids.any(|id| ring.replicas_of(key).contains(&id))),
        }
    }

    /// Whether this node has not all of the key's range yet.
    fn is_learning(&self, key: &Key) -> bool {
        let (Some(ring), Some(me)) = (&self.ring, self.me) else { return false };
        ring.is_learner(me, ring.point_of(key))
    }

    pub(super) fn on_read_done(&mut self, now: Time, token: ReadToken, found: Found) {
        match token {
            ReadToken::Asked { session, r } => self.on_asked_read(session, r, found),
            ReadToken::Check(id, place) => self.on_check(now, id, place, Some(found)),
        }
    }

    /// What is there is not what was written. A condition on it does not hold: its version may be
    /// what is wrong.
    pub(super) fn on_read_damaged(&mut self, now: Time, token: ReadToken) {
        match token {
            ReadToken::Asked { session, r } => self.on_damaged_read(session, r),
            ReadToken::Check(id, place) => self.on_check(now, id, place, None),
        }
    }

    fn on_check(&mut self, now: Time, id: Version, place: usize, found: Option<Found>) {
        let Some(checking) = self.checking.get_mut(&id) else { return };
        let Some(write) = checking.prepare.writes.get(place) else { return };
        let swept = self.meta.swept;
        let fits = |(found, previous): (Found, Version)| {
            // Of a deletion the tombstone may be gone here, or where the base was read (R8).
            let gone = previous == Version::ZERO || previous < swept;
            found.version == previous || found.value.is_none() && gone
        };
        if !found.zip(write.previous).is_some_and(fits) && checking.failed.is_none() {
            checking.failed = Some(write.key.clone());
        }
        checking.looks -= 1;
        if checking.looks > 0 {
            return;
        }
        let Some(checking) = self.checking.remove(&id) else { return };
        match checking.failed {
            None => self.accept(now, checking.prepare),
            Some(_) => self.refuse(now, &checking.prepare, "another version is here"),
        }
        for prepare in self.behind.remove(&id).unwrap_or_default() {
            self.prepare(now, prepare);
        }
    }

    fn accept(&mut self, now: Time, prepare: Arc<Prepare>) {
        if self.vote_again(prepare.id) {
            return;
        }
        match self.room_for(&prepare) {
            Taken::Now => {}
            Taken::Later => return self.wait_for_room(now, prepare),
            Taken::Never => return self.refuse(now, &prepare, DISK_FULL),
        }
        let prepared = Arc::new(from_wire(&prepare));
        self.make_room_in_group(&prepared);
        let txn = self.remember(now, prepare.id, TxnState::Prepared, &prepare.participants);
        txn.prepared = Some(prepared.clone());
        for write in &prepared.writes {
            self.undecided.entry(write.key.clone()).or_default().insert(prepare.id);
        }
        self.space.keep(prepare.participants.len());
        self.record(now, LogRecord::Prepare(prepared), true);
        self.assert_room();
        self.buffer_yes.push(prepare.id.counter());
    }

    pub(super) fn refuse(&mut self, now: Time, prepare: &Prepare, reason: &str) {
        if self.vote_again(prepare.id) {
            return;
        }
        let (id, participants) = (prepare.id, prepare.participants.clone());
        if !planted(Bug::RefusalForgotten) {
            self.remember(now, id, TxnState::Refused, &participants);
            self.record(now, LogRecord::Refuse { id, participants }, true);
        }
        self.buffer_no.push(refusal(id, reason));
    }

    pub(super) fn remember(
        &mut self,
        now: Time,
        id: Version,
        state: TxnState,
        participants: &[MemberId],
    ) -> &mut Txn {
        self.pins.entry(self.next).or_default().insert(id);
        let participants = participants.to_vec();
        let (group, decided) = (self.next, self.next);
        let txn = Txn { state, participants, prepared: None, group, decided, since: now };
        let entry = self.txns.entry(id);
        assert!(matches!(entry, std::collections::btree_map::Entry::Vacant(_)));
        entry.or_insert(txn)
    }

    /// Takes a prepared transaction out of the undecided ones, with the new state.
    pub(super) fn decide(&mut self, id: Version, state: TxnState) -> Option<Arc<Prepared>> {
        let txn = self.txns.get_mut(&id)?;
        assert_eq!(txn.state, TxnState::Prepared, "{id} was decided before");
        txn.state = state;
        txn.decided = self.next;
        let participants = txn.participants.len();
        let prepared = txn.prepared.take()?;
        self.space.release(participants);
        for write in &prepared.writes {
            if let Some(ids) = self.undecided.get_mut(&write.key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.undecided.remove(&write.key);
                }
            }
        }
        Some(prepared)
    }

    fn commit(&mut self, now: Time, id: Version) {
        let state = self.txns.get(&id).map(|txn| txn.state);
        match state {
            Some(TxnState::Prepared) => {
                let Some(prepared) = self.decide(id, TxnState::Committed) else { return };
                self.record(now, LogRecord::Commit { id }, false);
                self.apply(now, &prepared);
            }
            Some(TxnState::Committed) => {}
            None if self.is_settled(id) => {}
            state => self.broken(format!("told to commit {id}, which is {state:?} here")),
        }
    }

    fn adopt(&mut self, now: Time, prepare: &Prepare) {
        let id = prepare.id;
        match self.txns.get(&id).map(|txn| txn.state) {
            Some(TxnState::Prepared | TxnState::Committed) => self.commit(now, id),
            None if self.is_settled(id) => {}
            None => {
                let prepared = Arc::new(from_wire(prepare));
                let txn = self.remember(now, id, TxnState::Committed, &prepare.participants);
                // Who else has lost it may need it from here.
                txn.prepared = Some(prepared.clone());
                self.record(now, LogRecord::Prepare(prepared.clone()), true);
                self.record(now, LogRecord::Commit { id }, true);
                self.apply(now, &prepared);
            }
            state => self.broken(format!("told to adopt {id}, which is {state:?} here")),
        }
    }

    /// Aborts it and, in the same group, every prepared one that rests on it.
    fn abort(&mut self, now: Time, abort: &Abort) {
        let mut aborts = vec![abort.clone()];
        while let Some(Abort { id, participants }) = aborts.pop() {
            if self.drop_unanswered(id) {
                self.buffer_no.push(refusal(id, "aborted"));
            }
            for prepare in self.behind.remove(&id).unwrap_or_default() {
                self.refuse(now, &prepare, "what it rests on is aborted");
            }
            match self.txns.get(&id).map(|txn| txn.state) {
                Some(TxnState::Aborted) => continue,
                Some(TxnState::Refused) => self.set_state(id, TxnState::Aborted),
                None if self.is_settled(id) => continue,
                None => {
                    self.remember(now, id, TxnState::Aborted, &participants);
                }
                Some(TxnState::Prepared) => {
                    self.decide(id, TxnState::Aborted);
                }
                Some(TxnState::Committed) => {
                    self.broken(format!("told to abort {id}, which is committed here"));
                    return;
                }
            }
            self.record(now, LogRecord::Abort { id, participants }, true);
            aborts.extend(self.resting_on(id));
        }
    }

    /// Takes out a prepare that has no answer yet. It must not be taken in later, when its abort
    /// may be forgotten; and every prepare gets its vote, since the coordinator's window counts
    /// them.
    fn drop_unanswered(&mut self, id: Version) -> bool {
        let mut found = self.checking.remove(&id).is_some() || self.drop_waiting(|p| p.id == id);
        for waiting in self.behind.values_mut() {
            let before = waiting.len();
            waiting.retain(|prepare| prepare.id != id);
            found |= waiting.len() < before;
        }
        found
    }

    pub(super) fn set_state(&mut self, id: Version, state: TxnState) {
        if let Some(txn) = self.txns.get_mut(&id) {
            txn.state = state;
        }
    }

    fn resting_on(&self, id: Version) -> Vec<Abort> {
        let cascades = !planted(Bug::CascadeLeftOut);
        let rests = |prepared: &Arc<Prepared>| cascades && prepared.rests_on.contains(&id);
        self.txns
            .range(id..)
            .filter(|(_, txn)| txn.state == TxnState::Prepared)
            .filter(|(_, txn)| txn.prepared.as_ref().is_some_and(rests))
            .map(|(id, txn)| Abort { id: *id, participants: txn.participants.clone() })
            .collect()
    }

    fn apply(&mut self, now: Time, prepared: &Prepared) {
        let writes = self.committed(prepared);
        self.unapplied_since.get_or_insert(now);
        self.unapplied_bytes += super::record_bytes_of(prepared) as usize;
        self.unapplied.extend(writes);
    }

    /// The writes of a transaction that this node holds.
    pub(super) fn committed(&self, prepared: &Prepared) -> Vec<Committed> {
        let count = prepared.writes.len();
        let mine = |w: &Write| self.is_mine(&w.key, &w.holders, count);
        let mine = prepared.writes.iter().enumerate().filter(|(_, w)| mine(w));
        mine.map(|(place, write)| Committed {
            version: prepared.id,
            write: write.clone(),
            once: prepared.once.clone().filter(|_| place == 0),
        })
        .collect()
    }
}

fn refusal(id: Version, reason: &str) -> Refusal {
    Refusal { c: id.counter(), reason: reason.to_owned() }
}

/// A transaction as the node keeps it, from how it is said between servers.
pub(crate) fn from_wire(prepare: &Prepare) -> Prepared {
    let write = |w: &protocol::peer::WireWrite| Write {
        key: w.key.clone(),
        value: w.value.as_ref().map(|value| value.0.clone()),
        previous: w.previous.map_or(Previous::Any, Previous::Is),
        flags: 0,
        expires_ms: 0,
        holders: w.holders.clone(),
    };
    Prepared {
        id: prepare.id,
        ring: prepare.ring,
        participants: prepare.participants.clone(),
        rests_on: prepare.rests_on.clone(),
        writes: prepare.writes.iter().map(write).collect(),
        once: prepare.once.clone(),
    }
}
