//! Checkpoints of the keystore, and what keeps old groups of the log after them.
//!
//! Called by `core::node`. A group is needed while a remembered transaction has its record in it,
//! or a decision that no checkpoint covers. After each checkpoint what old groups still hold is
//! logged anew, oldest first: carried forward, so that one transaction that stays undecided keeps
//! no segment. Nothing is freed before the group that carries it is durable: until then the vote
//! rests on the old record.

use protocol::ids::{GroupSeq, Version};
use protocol::peer::{Settled, TxnState};

use super::super::planted::{Bug, planted};
use super::super::record::LogRecord;
use super::{Effect, NodeCore, Time, Txn, record_bytes};

/// What is carried after a checkpoint is at most this part of what is logged between two.
const CARRIED_PART: u64 = 4;
/// About how many bytes are carried in one group: votes wait behind it.
const CARRIED_GROUP_BYTES: u64 = 1 << 20;
/// How long a checkpoint for which there was no space waits, milliseconds; doubles up to the last.
const RETRY_MS: u64 = 500;
const RETRY_MS_MAX: u64 = 30_000;
/// As many times the bytes between two checkpoints may be logged without one.
const OVERDUE_TIMES: u64 = 4;

/// Where the node is between two checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// The keystore is at it.
    Running,
    /// What old groups hold is being logged anew, so that they may go.
    Carrying {
        /// The group that holds it.
        carried: GroupSeq,
        /// What may go once that is durable. What is settled later frees nothing yet: a crash could
        /// leave neither the transaction nor the record that it is settled.
        free: GroupSeq,
        /// About how many bytes more may be carried before the next checkpoint.
        left: u64,
    },
}

/// How often checkpoints are made.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes to be logged between two.
    every_bytes: u64,
    /// Bytes logged since the last one was begun.
    logged_bytes: u64,
    /// Bytes that the one under way covers.
    covered_bytes: u64,
    /// How many in a row found no space.
    failures: u32,
    /// The next is not tried before.
    retry_at: Option<Time>,
}

impl Pace {
    pub(super) fn new(every_bytes: u64) -> Self {
        Self { every_bytes, logged_bytes: 0, covered_bytes: 0, failures: 0, retry_at: None }
    }

    pub(super) fn logged(&mut self, bytes: u64) {
        self.logged_bytes += bytes;
    }

    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// The last one found no space.
    pub(super) fn found_no_space(&self) -> bool {
        self.failures > 0
    }

    /// For want of space so much is not in the keystore that memory and log must not grow more.
    pub(super) fn are_overdue(&self) -> bool {
        self.failures > 0 && self.logged_bytes >= self.every_bytes.saturating_mul(OVERDUE_TIMES)
    }

    fn is_due(&mut self, now: Time, bytes_max: u64, wanted: bool) -> bool {
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        self.retry_at = None;
        wanted || self.failures > 0 || self.logged_bytes >= self.every_bytes.min(bytes_max)
    }

    fn begun(&mut self) {
        self.covered_bytes += std::mem::take(&mut self.logged_bytes);
    }

    fn failed(&mut self, now: Time) {
        self.logged_bytes += std::mem::take(&mut self.covered_bytes);
        let wait = (RETRY_MS << self.failures.min(16)).min(RETRY_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now.plus_ms(wait));
    }

    fn succeeded(&mut self) {
        self.covered_bytes = 0;
        self.failures = 0;
    }
}

impl NodeCore {
    /// Starts a checkpoint when enough has been logged since the last one. Not before a
    /// coordinator has found the log whole: what follows a checkpoint makes the log longer, and a
    /// log that has lost its end would be as long again as others know it (R7).
    pub(super) fn maybe_checkpoint(&mut self, now: Time) {
        let bytes_max = self.space.checkpoint_bytes_max();
        if self.checkpoint == State::Idle
            && self.found_whole
            && self.checkpoints.is_due(now, bytes_max, self.learning.wants_checkpoint())
        {
            self.hand_over_writes();
            self.checkpoint = State::Running;
            self.learning.checkpoint_begun();
            self.checkpoints.begun();
            self.effects.push(Effect::Checkpoint { through: self.applied_through() });
        }
    }

    /// Old segments also hold the newest marks and what is settled: they are logged anew before
    /// any segment goes.
    pub(super) fn on_checkpointed(&mut self, now: Time, through: GroupSeq) {
        self.checkpoints.succeeded();
        self.copies_are_durable();
        self.look_at_space(now);
        self.checkpointed = self.checkpointed.max(through);
        self.late_pins = self.late_pins.split_off(&through.next());
        let marks = self.marks.iter().map(|(member, seq)| (*member, *seq)).collect();
        self.push(LogRecord::Marks(marks));
        for Settled { from, below, except } in self.settled.ranges().to_vec() {
            self.push(LogRecord::Settled { from, below, except });
        }
        self.carry(self.checkpoints.every_bytes / CARRIED_PART + 1);
    }

    /// There was no space for the checkpoint: it is tried again a while later, with more.
    pub(super) fn on_not_checkpointed(&mut self, now: Time) {
        self.checkpoint = State::Idle;
        self.checkpoints.failed(now);
        self.learning.checkpoint_failed();
        self.look_at_space(now);
    }

    /// Logs anew, as one group, what the oldest needed groups hold.
    fn carry(&mut self, mut left: u64) {
        let carried = self.next;
        let last = self.last_to_carry();
        let mut room = left.min(CARRIED_GROUP_BYTES);
        while room > 0
            && let Some(id) = self.next_to_carry(last)
        {
            let bytes = self.carry_one(id);
            (room, left) = (room.saturating_sub(bytes), left.saturating_sub(bytes));
        }
        let free = self.unneeded();
        self.checkpoint = State::Carrying { carried, free, left };
        self.close_group();
    }

    /// The last group that carrying can free: not behind one that is needed for something else.
    fn last_to_carry(&self) -> GroupSeq {
        let needed = self.late_pins.values().min().map(|needed| GroupSeq(needed.0 - 1));
        needed.unwrap_or(self.checkpointed).min(self.checkpointed)
    }

    /// The next transaction to carry, from groups through `last`.
    fn next_to_carry(&self, last: GroupSeq) -> Option<Version> {
        let (_, ids) = self.pins.first_key_value().filter(|(group, _)| **group <= last)?;
        let id = *ids.first()?;
        let txn = self.txns.get(&id)?;
        let bytes = txn.prepared.as_ref().map_or(0, |prepared| prepared.bytes_max());
        if !self.space.carries(bytes) {
            return None;
        }
        // What is committed is known without its writes only when the keystore has them for good.
        (txn.state != TxnState::Committed || txn.decided <= self.checkpointed).then_some(id)
    }

    /// Logs one transaction anew; returns about how many bytes that took.
    fn carry_one(&mut self, id: Version) -> u64 {
        let next = self.next;
        self.repin(id, next);
        let Some(txn) = self.txns.get(&id) else { return 0 };
        let participants = txn.participants.clone();
        let mut records = Vec::new();
        if let Some(prepared) = &txn.prepared {
            records.push(LogRecord::Prepare(prepared.clone()));
        }
        match txn.state {
            TxnState::Prepared => {}
            TxnState::Committed if records.is_empty() => {
                records.push(LogRecord::Committed { id, participants });
            }
            TxnState::Committed => records.push(LogRecord::Commit { id }),
            TxnState::Refused => records.push(LogRecord::Refuse { id, participants }),
            TxnState::Aborted => records.push(LogRecord::Abort { id, participants }),
        }
        let bytes = records.iter().map(record_bytes).sum();
        records.into_iter().for_each(|record| self.push(record));
        bytes
    }

    /// A group is durable: what it carries is not needed elsewhere any more.
    pub(super) fn carried(&mut self, seq: GroupSeq) {
        let State::Carrying { carried, free, left } = self.checkpoint else { return };
        if seq < carried {
            return;
        }
        if free > GroupSeq(0) {
            self.effects.push(Effect::FreeLog { through: free });
        }
        if left > 0 && self.next_to_carry(self.last_to_carry()).is_some() {
            self.carry(left);
        } else {
            self.checkpoint = State::Idle;
        }
    }

    /// A group is needed while the record of an unsettled transaction is in it (R8), or a decision
    /// that no checkpoint of the keystore covers.
    fn unneeded(&self) -> GroupSeq {
        let early = planted(Bug::FreedEarly);
        let late_pins = self.late_pins.values().filter(|_| !early);
        let first_needed = self.pins.keys().next().into_iter().chain(late_pins).min();
        let unpinned = first_needed.map_or(self.synced, |seq| GroupSeq(seq.0 - 1));
        unpinned.min(if early { self.synced } else { self.checkpointed })
    }

    /// The transaction needs this group from now on, instead of the one before.
    pub(super) fn repin(&mut self, id: Version, group: GroupSeq) {
        let Some(txn) = self.txns.get_mut(&id) else { return };
        let before = std::mem::replace(&mut txn.group, group);
        self.unpin_from(id, before);
        self.pins.entry(group).or_default().insert(id);
    }

    /// The transaction is forgotten; the groups of a decision that no checkpoint covers stay.
    pub(super) fn unpin(&mut self, id: Version, txn: &Txn) {
        if txn.decided > self.checkpointed {
            let first = self.late_pins.entry(txn.decided).or_insert(txn.group);
            *first = txn.group.min(*first);
        }
        self.unpin_from(id, txn.group);
    }

    fn unpin_from(&mut self, id: Version, group: GroupSeq) {
        if let Some(ids) = self.pins.get_mut(&group) {
            ids.remove(&id);
            if ids.is_empty() {
                self.pins.remove(&group);
            }
        }
    }
}
