//! Transactions: under way, in doubt, finished.
//!
//! Changed by `apply` only; read by the views. Finished ones are a sample, as the coordinator tells
//! it; aborted, slow and watched ones are always told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::event::{Outcome, Txn, TxnInDoubt, TxnResolved, VoteState};
use protocol::ids::{Epoch, Version};

use super::clock::{At, Since};

/// Finished transactions that are kept.
pub const PAST_MAX: usize = 2_000;
/// Unfinished ones, and ones in doubt, that are kept.
pub const OPEN_MAX: usize = 500;

/// A transaction, as it was told last.
#[derive(Debug, Clone)]
pub struct TxnRow {
    /// Rises with each that was told: names a row, also where there is no id.
    pub no: u64,
    /// When it was told.
    pub at: At,
    /// What was told.
    pub txn: Txn,
    /// That it was in doubt, if it was.
    pub doubt: Option<Doubt>,
}

/// That a transaction is or was in doubt.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// What was told.
    pub told: TxnInDoubt,
    /// Since when.
    pub since: Since,
    /// What became of it, and when.
    pub resolved: Option<(Outcome, At)>,
    /// What was told of it while it was open; a later coordinator does not know that.
    pub begun: Option<Box<TxnRow>>,
}

/// All that are known.
#[derive(Debug, Clone, Default)]
pub struct Txns {
    open: BTreeMap<Version, TxnRow>,
    doubts: BTreeMap<Version, Doubt>,
    /// Those that were open when a coordinator ended, and of which the next has not told yet.
    left: BTreeMap<Version, TxnRow>,
    past: VecDeque<TxnRow>,
    told: u64,
    /// What was handed over before this epoch is settled, whether its end was told or not.
    settled_before: Epoch,
    /// By state since the coordinator started, as `status` tells it.
    pub counts: BTreeMap<String, u64>,
    /// Finished ones that were told, by outcome, since the console began.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Txns {
    pub(in crate::console) fn snapshot(
        &mut self,
        open: &[Txn],
        counts: &BTreeMap<String, u64>,
        now: At,
    ) {
        self.counts.clone_from(counts);
        let still: BTreeSet<Version> = open.iter().filter_map(|txn| txn.tx).collect();
        for (version, row) in self.open.extract_if(.., |version, _| !still.contains(version)) {
            let row = TxnRow { doubt: None, ..row };
            match self.doubts.get_mut(&version) {
                Some(doubt) => doubt.begun = Some(Box::new(row)),
                None if self.left.len() < OPEN_MAX => drop(self.left.insert(version, row)),
                None => {}
            }
        }
        for txn in open {
            self.opened(txn, now);
        }
    }

    pub(super) fn opened(&mut self, txn: &Txn, now: At) {
        let Some(version) = txn.tx else { return };
        let no = match self.open.get(&version) {
            Some(row) => row.no,
            None if self.open.len() >= OPEN_MAX => return,
            None => self.next_no(),
        };
        let doubt = self.doubts.get(&version).cloned();
        self.open.insert(version, TxnRow { no, at: now, txn: txn.clone(), doubt });
    }

    pub(super) fn finished(&mut self, txn: &Txn, now: At) {
        let begun = txn.tx.and_then(|version| self.open.remove(&version));
        let doubt = txn.tx.and_then(|version| self.doubts.get_mut(&version)).map(|doubt| {
            // Of one that only this console found to be in doubt nothing else is told.
            if let Some(outcome) = txn.outcome {
                doubt.resolved.get_or_insert((outcome, now));
            }
            doubt.clone()
        });
        let no = begun.map_or_else(|| self.next_no(), |row| row.no);
        let name = txn.outcome.map_or("other", Outcome::as_str);
        *self.seen.entry(name).or_default() += 1;
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(TxnRow { no, at: now, txn: txn.clone(), doubt });
    }

    pub(super) fn in_doubt(&mut self, told: &TxnInDoubt, now: At) {
        let Some(version) = told.tx else { return };
        if self.doubts.len() >= OPEN_MAX && !self.doubts.contains_key(&version) {
            let settled = self.doubts.iter().find(|(_, doubt)| doubt.resolved.is_some());
            let Some(oldest) = settled.map(|(version, _)| *version) else { return };
            self.doubts.remove(&oldest);
        }
        let known = self.doubts.remove(&version);
        let since = known.as_ref().map_or(Since::at(now), |doubt| doubt.since);
        let left = self.left.remove(&version).map(Box::new);
        let begun = known.and_then(|doubt| doubt.begun).or(left);
        let doubt = Doubt { told: told.clone(), since, resolved: None, begun };
        if let Some(row) = self.open.get_mut(&version) {
            row.doubt = Some(doubt.clone());
        }
        self.doubts.insert(version, doubt);
    }

    /// Of those that are open some wait for one that is not there, which was told before anybody
    /// listened: `missed` says since when a node is not, if so.
    pub(super) fn doubts_found(&mut self, missed: impl Fn(&str) -> Option<At>) {
        let mut found = Vec::new();
        for (version, row) in self.open.iter().filter(|(_, row)| row.doubt.is_none()) {
            let silent = row.txn.votes.iter().filter(|vote| vote.vote != VoteState::Yes);
            let missing = silent.filter_map(|vote| Some((&vote.node, missed(vote.node.as_str())?)));
            let missing: Vec<_> = missing.collect();
            let Some(since) = missing.iter().map(|(_, since)| *since).min() else { continue };
            // It was not before it came.
            let came = At(row.at.0.saturating_sub_unsigned(row.txn.us_total));
            let told = TxnInDoubt {
                tx: Some(*version),
                key: row.txn.key.clone(),
                votes: row.txn.votes.clone(),
                missing: missing.into_iter().map(|(node, _)| node.clone()).collect(),
                meaning: String::new(),
                safe_action: String::new(),
            };
            let since = Since::found(since.max(came));
            found.push((*version, Doubt { told, since, resolved: None, begun: None }));
        }
        for (version, doubt) in found {
            if self.doubts.len() < OPEN_MAX || self.doubts.contains_key(&version) {
                self.doubts.insert(version, doubt.clone());
                self.open.entry(version).and_modify(|row| row.doubt = Some(doubt));
            }
        }
    }

    /// Whether it was known to be in doubt, and was not resolved before.
    pub(super) fn resolved(&mut self, told: &TxnResolved, now: At) -> bool {
        let Some(version) = told.tx else { return false };
        let Some(doubt) = self.doubts.get_mut(&version) else { return false };
        if doubt.resolved.is_some() {
            return false;
        }
        doubt.resolved = Some((told.outcome, now));
        let doubt = doubt.clone();
        if let Some(row) = self.open.get_mut(&version) {
            row.doubt = Some(doubt.clone());
        }
        for row in self.past.iter_mut().rev().filter(|row| row.txn.tx == Some(version)) {
            row.doubt = Some(doubt.clone());
        }
        true
    }

    fn next_no(&mut self) -> u64 {
        self.told += 1;
        self.told
    }

    /// Those under way, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = &TxnRow> {
        self.open.values()
    }

    /// The finished ones, the newest first.
    pub fn past(&self) -> impl Iterator<Item = &TxnRow> {
        self.past.iter().rev()
    }

    /// Those that are or were in doubt, by id.
    pub fn doubts(&self) -> impl Iterator<Item = (&Version, &Doubt)> {
        self.doubts.iter()
    }

    /// How many are in doubt now.
    pub fn in_doubt_now(&self) -> usize {
        let open = |(version, doubt): &(&Version, &Doubt)| {
            doubt.resolved.is_none() && version.epoch() >= self.settled_before
        };
        self.doubts.iter().filter(open).count()
    }

    /// A coordinator of this epoch serves and has none in doubt of the epochs before.
    pub(super) fn settled(&mut self, epoch: Epoch) {
        self.settled_before = self.settled_before.max(epoch);
        self.left.retain(|version, _| version.epoch() >= epoch);
    }
}
