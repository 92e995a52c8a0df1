//! Copies for a learner, and being one: portions read here for others, portions of others taken
//! in, and what is held no more dropped.
//!
//! The coordinator asks, hands on and paces; a node only does what it is told. A portion is read
//! behind all writes that were decided before the question, tombstones too, so that a deletion is
//! copied like any other write. What is taken in is not logged: of a last portion it is said only
//! when a checkpoint has made everything before it durable, and a learner that restarts before
//! that begins anew. Newer versions win, whatever comes first; what a portion that is whole does
//! not have goes, if it is of the time before the learning: its deletion may be told by nobody any
//! more (`sweep`).
//!
//! How far a copy is, a learner keeps in memory, like what it has taken in, and says in its
//! reports, so that another coordinator goes on from there (`coordinator/resume`). It forgets that
//! with the learning it is about: before anything of those stretches may be dropped here.
//!
//! A node that was evicted comes back under another number. What it remembers of transactions
//! under the old one is void from then on: they were decided without it (R6, H41), and it gets
//! what they wrote with the copy.
//!
//! Never: decides what it holds (the ring in force does); serves what it is still learning.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::ids::{GroupSeq, Key, MemberId, RingNumber};
use protocol::peer::{
    CopyAnswer, CopyAsk, CopyItem, CopyProgress, CopyPut, Extent, Placement, Portion, Span,
    TxnState,
};

use super::super::planted::{Bug, planted};
use super::super::record::{Committed, Previous, Write};
use super::super::ring::Ring;
use super::super::ring::next::merged;
use super::super::time::Time;
use super::{AskToken, Effect, NodeCore};

/// Keys that are looked at for one portion, at most.
const LOOKS_MAX: usize = 2_048;
/// And in one step of dropping: reads wait behind no more than that.
const DROP_LOOKS: usize = 256;
/// And at least; for a portion it is one for each so many bytes that are wanted.
const LOOKS_MIN: usize = 64;
const LOOK_BYTES: u64 = 64;
/// Bytes after which a portion ends.
const BYTES_MAX: u64 = 256 << 10;
/// What a dropped key counts for until a checkpoint; each of a step, at most.
const DROPPED_BYTES: u64 = 64;
/// Questions of one session that the keystore may be at.
const ASKS_MAX: usize = 256;

/// A last portion, whose answer waits for a checkpoint.
#[derive(Debug)]
struct Last {
    session: u64,
    r: u64,
    /// The checkpoint under way covers it.
    covered: bool,
    /// That checkpoint is done.
    durable: bool,
    /// The state file that must be saved, too.
    saved_with: u64,
}

/// A portion beside which nothing older is to be left.
#[derive(Debug)]
struct Alone {
    session: u64,
    r: u64,
    whole: Extent,
    keep: Arc<BTreeSet<Key>>,
    /// How far the copy is when that is done.
    progress: Option<CopyProgress>,
}

/// What a node is learning, and what it drops.
#[derive(Debug, Default)]
pub(super) struct Learning {
    lasts: Vec<Last>,
    /// The keystore is at the first of them.
    alone: VecDeque<Alone>,
    /// How far copies are: each of stretches of its own, all of which are learned under the
    /// present ring.
    pub(super) progress: Vec<CopyProgress>,
    /// What is kept, and under which ring that was said, while the rest is being dropped.
    retain: Option<(RingNumber, Vec<Span>)>,
    /// All that this ring does not let it hold is dropped, and that leaves these.
    retained: Option<(RingNumber, Vec<Span>)>,
    /// The keystore is at a step of dropping.
    dropping: bool,
    /// That step is one of an earlier ring: what it comes to says nothing of this one.
    stale: bool,
}

impl Learning {
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.lasts.iter().any(|last| !last.covered)
    }

    pub(super) fn checkpoint_begun(&mut self) {
        self.lasts.iter_mut().for_each(|last| last.covered = true);
    }

    pub(super) fn checkpoint_failed(&mut self) {
        let open = self.lasts.iter_mut().filter(|last| !last.durable);
        open.for_each(|last| last.covered = false);
    }
}

impl NodeCore {
    pub(super) fn on_copy_asks(&mut self, asks: Vec<CopyAsk>) {
        if asks.is_empty() {
            return;
        }
        self.hand_over_writes();
        let Some(session) = self.session.as_mut() else { return };
        for ask in asks {
            if session.copies.len() >= ASKS_MAX {
                self.close_session();
                return;
            }
            let token = AskToken { session: session.serial, r: ask.r };
            session.copies.insert(ask.r, ask.clone());
            let bytes_max = ask.bytes_max.min(BYTES_MAX);
            let looks_max = ((bytes_max / LOOK_BYTES) as usize).clamp(LOOKS_MIN, LOOKS_MAX);
            let ask = CopyAsk { bytes_max, ..ask };
            self.effects.push(Effect::Copy { token, ask, looks_max });
        }
    }

    /// A portion is read; `through` as in [`super::Input::Copied`].
    pub(super) fn on_copied(&mut self, token: AskToken, portion: Portion, through: Option<Key>) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == token.session) else {
            return;
        };
        if session.copies.remove(&token.r).is_none() {
            return;
        }
        session.out.answered_bytes += portion.bytes as usize;
        let (portion, swept) = (Some(portion), self.meta.swept);
        session.out.copy.push(CopyAnswer { r: token.r, portion, through, swept, damaged: None });
        self.send_if_long();
    }

    pub(super) fn on_puts(&mut self, now: Time, puts: Vec<CopyPut>) {
        for CopyPut { r, portion, onces, whole, progress, swept, last } in puts {
            let Ok(items) = portion.map_or(Ok(Vec::new()), |portion| portion.items()) else {
                // It is no portion: as with any message that cannot be read.
                self.close_session();
                return;
            };
            self.swept_elsewhere(swept);
            let keep = whole.is_some().then(|| items.iter().map(|item| item.key.clone()).collect());
            let copied =
                |item: &CopyItem| item.value.is_some() || !planted(Bug::TombstonesNotCopied);
            for item in items.into_iter().filter(copied) {
                self.unapplied_since.get_or_insert(now);
                let bytes = item.bytes();
                self.unapplied_bytes += bytes as usize;
                // It is not in the log, but in memory until a checkpoint like what is.
                self.checkpoints.logged(bytes);
                self.unapplied.push(taken(item));
            }
            if !onces.is_empty() {
                self.effects.push(Effect::KeepOnces(onces));
            }
            let saved_with = self.metas_sent;
            let Some(session) = self.session.as_mut() else { return };
            let serial = session.serial;
            if last && !planted(Bug::LearnedBeforeDurable) {
                let last = Last { session: serial, r, covered: false, durable: false, saved_with };
                self.learning.lasts.push(last);
            } else if let Some((whole, keep)) = whole.zip(keep) {
                let keep = Arc::new(keep);
                let alone = Alone { session: serial, r, whole, keep, progress };
                self.learning.alone.push_back(alone);
                if self.learning.alone.len() == 1 {
                    self.drop_others(None);
                }
            } else {
                session.out.put.push(r);
                self.has_come(progress);
            }
        }
    }

    /// A copy is so far now.
    fn has_come(&mut self, progress: Option<CopyProgress>) {
        let Some(progress) = progress.filter(|progress| !progress.spans.is_empty()) else { return };
        let same = |old: &CopyProgress| old.spans.iter().any(|span| progress.spans.contains(span));
        self.learning.progress.retain(|old| !same(old));
        self.learning.progress.push(progress);
        self.progress_follows_ring();
    }

    /// What is not being learned any more may be dropped, and may come back.
    pub(super) fn progress_follows_ring(&mut self) {
        let learning = self.meta.ring.as_ref().map_or(&[][..], |ring| &ring.learning);
        let me = self.me;
        let learned = |progress: &CopyProgress, span: &Span| {
            learning.iter().any(|one| {
                Some(one.learner) == me && one.span == *span && one.from == progress.from
            })
        };
        self.learning
            .progress
            .retain(|progress| progress.spans.iter().all(|span| learned(progress, span)));
    }

    /// A checkpoint is done: what waited for it may be told.
    pub(super) fn copies_are_durable(&mut self) {
        self.learning.lasts.iter_mut().for_each(|last| last.durable |= last.covered);
        self.copies_are_saved();
    }

    /// The same of a state file.
    pub(super) fn copies_are_saved(&mut self) {
        let lasts = std::mem::take(&mut self.learning.lasts);
        let serial = self.session.as_ref().map(|session| session.serial);
        for last in lasts.into_iter().filter(|last| Some(last.session) == serial) {
            let done = last.durable && last.saved_with <= self.metas_saved;
            match &mut self.session {
                Some(session) if done => session.out.put.push(last.r),
                _ => self.learning.lasts.push(last),
            }
        }
    }

    /// Drops what was beside the first portion, behind `after` if that is given.
    fn drop_others(&mut self, after: Option<Key>) {
        let Some(Alone { whole, keep, .. }) = self.learning.alone.front() else { return };
        let mut whole = whole.clone();
        whole.after = after.or(whole.after);
        let keep = keep.clone();
        self.effects.push(Effect::DropOthers { whole, keep, looks_max: DROP_LOOKS });
    }

    /// A step of that is done; `through` as in [`super::Input::OthersDropped`].
    pub(super) fn on_others_dropped(&mut self, dropped: u64, through: Option<Key>) {
        self.checkpoints.logged(DROPPED_BYTES * dropped);
        if through.is_some() {
            self.drop_others(through);
            return;
        }
        let Some(alone) = self.learning.alone.pop_front() else { return };
        self.has_come(alone.progress);
        if let Some(session) = self.session.as_mut().filter(|s| s.serial == alone.session) {
            session.out.put.push(alone.r);
        }
        self.drop_others(None);
    }

    /// The coordinator says which ring is in force: what it does not let this node hold goes.
    pub(super) fn on_in_force(&mut self, number: Option<RingNumber>) {
        let (Some(number), Some(ring), Some(me)) = (number, &self.ring, self.me) else { return };
        let installed = self.meta.ring.as_ref().map(|ring| ring.number);
        let is_it = |told: &Option<(RingNumber, Vec<Span>)>| {
            told.as_ref().is_some_and(|(under, _)| *under == number)
        };
        let known = is_it(&self.learning.retained) || is_it(&self.learning.retain);
        // Placed otherwise than by their hashes, keys stay with the members of the founding.
        if installed != Some(number) || known || ring.placement() != Placement::Ring {
            return;
        }
        let spans = spans_of(ring, me);
        if let Some((under, retained)) = &mut self.learning.retained
            && *retained == spans
        {
            *under = number;
            return;
        }
        // What was decided is applied before anything is dropped, and what goes may be cached.
        self.hand_over_writes();
        self.cache.clear();
        self.learning.retain = Some((number, spans));
        if self.learning.dropping {
            self.learning.stale = true;
        } else {
            self.drop_some(None);
        }
    }

    /// Another ring was taken in: nothing is dropped until it is said to be in force. What it lets
    /// this node hold may come, and may have to go again under the next one.
    pub(super) fn stop_dropping(&mut self) {
        self.learning.retain = None;
        let spans = self.ring.as_ref().zip(self.me).map(|(ring, me)| spans_of(ring, me));
        let same = |(_, retained): &(_, Vec<Span>)| Some(retained) == spans.as_ref();
        self.learning.retained = self.learning.retained.take().filter(same);
    }

    fn drop_some(&mut self, after: Option<Key>) {
        let Some((_, spans)) = &self.learning.retain else { return };
        let spans = spans.clone();
        self.learning.dropping = true;
        self.effects.push(Effect::Retain { spans, after, looks_max: DROP_LOOKS });
    }

    pub(super) fn on_retained(&mut self, through: Option<Key>) {
        self.learning.dropping = false;
        self.checkpoints.logged(DROPPED_BYTES * DROP_LOOKS as u64);
        if std::mem::take(&mut self.learning.stale) {
            self.drop_some(None);
        } else if through.is_some() {
            self.drop_some(through);
        } else if let Some(retain) = self.learning.retain.take() {
            self.learning.retained = Some(retain);
        }
    }

    /// This node was a member under that number and is none any more.
    pub(super) fn leave_behind(&mut self, id: MemberId) {
        if self.meta.former.contains(&id) {
            return;
        }
        self.meta.former.push(id);
        self.meta.former.sort_unstable();
        if planted(Bug::OldPreparesKept) {
            return;
        }
        self.meta.void_through = GroupSeq(self.next.0 - 1);
        if !self.buffer.is_empty() {
            // What is not in a group yet is under the old number too.
            self.meta.void_through = self.next;
            self.close_group();
        }
        self.drop_void();
        // The copy brings what was decided without it, whatever is cached.
        self.cache.clear();
    }

    /// Forgets the transactions of the time before it was evicted. What was decided of them here
    /// stays, and its groups until a checkpoint covers it.
    pub(super) fn drop_void(&mut self) {
        let through = self.meta.void_through;
        let void = self.txns.iter().filter(|(_, txn)| txn.group <= through);
        let void: Vec<_> = void.map(|(id, _)| *id).collect();
        for id in void {
            if self.txns.get(&id).is_some_and(|txn| txn.state == TxnState::Prepared) {
                self.decide(id, TxnState::Aborted);
            }
            let Some(txn) = self.txns.remove(&id) else { continue };
            self.unpin(id, &txn);
        }
    }
}

/// The stretches that a member holds, as few as possible.
fn spans_of(ring: &Ring, me: MemberId) -> Vec<Span> {
    let held = ring.arcs().filter(|arc| arc.holders.contains(&me));
    merged(held.map(|arc| (arc.range.first, arc.range.last)))
}

/// A copied item as it goes into the keystore.
fn taken(item: CopyItem) -> Committed {
    let CopyItem { key, version, value, flags, expires_ms } = item;
    let value = value.map(|value| value.0);
    let (previous, holders) = (Previous::Any, Vec::new());
    let write = Write { key, value, previous, flags, expires_ms, holders };
    Committed { version, write, once: None }
}
