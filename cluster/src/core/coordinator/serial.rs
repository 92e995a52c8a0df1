//! One update at a time in the whole cluster, where that was asked for: for teaching, to compare.
//!
//! The next update is handed over only when nothing is undecided any more, of this epoch or of an
//! earlier one; of those that are ready, the one that came first. Reads go on as ever. So an
//! update whose participant is silent holds up all others, until that one is back. Never: decides
//! anything.

use super::{Coordinator, Seq};

impl Coordinator {
    /// Whether this update, whose turn on its keys it is, may be handed over now; if not it is
    /// looked at again when it may.
    pub(super) fn may_hand_over(&mut self, seq: Seq) -> bool {
        let is_first = self.series.first().is_none_or(|first| *first >= seq);
        if !self.config.serial_updates || self.is_idle() && is_first {
            return true;
        }
        self.series.insert(seq);
        false
    }

    /// The next of those that wait for all others to be decided, if they are.
    pub(super) fn next_in_series(&mut self) -> Option<Seq> {
        if self.is_idle() { self.series.pop_first() } else { None }
    }

    /// Whether no transaction is undecided.
    fn is_idle(&self) -> bool {
        self.by_id.is_empty() && self.in_doubt.is_empty()
    }

    /// Updates that were handed over and are neither decided nor aborted for good.
    pub fn undecided(&self) -> usize {
        self.by_id.len()
    }
}
