//! Tombstones that nobody needs any more are dropped (R8), so that space does not grow with what
//! was deleted.
//!
//! A tombstone may go once every transaction with a lower id is settled: then each participant has
//! the deletion durably, nothing older of the key can still be decided anywhere, and no older write
//! of it stands in the log behind this node's decision. One case is left: a copy for somebody who
//! was away must tell of the deletion. So the node first makes durable below which version
//! tombstones may be missing here (`Meta::swept`), says so with each portion it gives, and
//! whoever missed more than that copies the whole, onto nothing (`coordinator/copying`); and
//! nobody sweeps while learning, since an older write may still be on its way in a portion.
//!
//! When so much was deleted since the last time that the walk through all keys is worth it.
//! Never: drops a value, or a record that is damaged.

use protocol::ids::{Key, Version};

use super::super::record::Committed;
use super::{Effect, NodeCore};

/// Keys that are looked at in one step.
const LOOKS_MAX: usize = 2_048;
/// What a tombstone counts for.
const TOMBSTONE_BYTES: u64 = 160;
/// Tombstones are swept when they have so large a part of the bytes between two checkpoints, and
/// are so large a part of all keys.
const BYTES_PART: u64 = 64;
const KEYS_PART: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Goes on when this state file is durable.
    Saving(u64),
    /// The keystore is at a step; so many keys were looked at before.
    Running(u64),
}

/// What is to be swept, and how far that is.
#[derive(Debug)]
pub(super) struct Sweep {
    state: State,
    /// Deletions since the last sweep began. Of those before the start nothing is known.
    deleted: u64,
    /// How many of them make a sweep worth it.
    due: u64,
    due_min: u64,
}

impl Sweep {
    /// For a node that makes a checkpoint after so many bytes.
    pub(super) fn new(every_bytes: u64) -> Self {
        let due_min = (every_bytes / BYTES_PART / TOMBSTONE_BYTES).max(1);
        Self { state: State::Idle, deleted: due_min, due: due_min, due_min }
    }

    pub(super) fn handed_over(&mut self, writes: &[Committed]) {
        let deletions = writes.iter().filter(|committed| committed.write.value.is_none());
        self.deleted += deletions.count() as u64;
    }
}

impl NodeCore {
    /// Begins a sweep, if it is worth it and something may go.
    pub(super) fn maybe_sweep(&mut self) {
        let Sweep { state, deleted, due, .. } = self.sweep;
        if state != State::Idle || deleted < due || self.is_learner() || self.is_short_of_space() {
            return;
        }
        let below = self.settled.through();
        if below <= self.meta.swept || !self.found_whole {
            return;
        }
        self.meta.swept = below;
        self.sweep.deleted = 0;
        self.sweep.state = State::Saving(self.save_meta());
    }

    /// State files through this number are durable.
    pub(super) fn sweep_on_saved(&mut self, saved: u64) {
        if matches!(self.sweep.state, State::Saving(number) if number <= saved) {
            self.sweep_some(None, 0);
        }
    }

    fn sweep_some(&mut self, after: Option<Key>, looked: u64) {
        if self.is_learner() {
            self.sweep.state = State::Idle;
            return;
        }
        self.hand_over_writes();
        self.sweep.state = State::Running(looked);
        let below = self.meta.swept;
        self.effects.push(Effect::Sweep { below, after, looks_max: LOOKS_MAX });
    }

    /// A step is done: so many tombstones are gone, and there may be more after this key.
    pub(super) fn on_swept(&mut self, dropped: u64, through: Option<Key>) {
        self.checkpoints.logged(dropped * TOMBSTONE_BYTES);
        let State::Running(looked) = self.sweep.state else { return };
        let looked = looked + LOOKS_MAX as u64;
        if through.is_some() {
            self.sweep_some(through, looked);
            return;
        }
        self.sweep.state = State::Idle;
        self.sweep.due = self.sweep.due_min.max(looked / KEYS_PART);
    }

    /// Whether it has yet to copy something under its ring.
    fn is_learner(&self) -> bool {
        let learning = self.meta.ring.iter().flat_map(|ring| &ring.learning);
        self.me.is_some_and(|me| learning.into_iter().any(|learning| learning.learner == me))
    }

    /// Another node has swept what this one copies of it: that is missing here too.
    pub(super) fn swept_elsewhere(&mut self, below: Version) {
        if below > self.meta.swept {
            self.meta.swept = below;
            self.save_meta();
        }
    }
}
