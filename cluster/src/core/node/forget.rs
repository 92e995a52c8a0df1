//! What a node has been told to forget (R8), and the forgetting.
//!
//! Called by `participant`, `restart` and whoever asks whether a transaction is settled. What was
//! settled stays so: news only adds to it, since what is forgotten must not look as if it never
//! was. Never forgets what is prepared here.

use protocol::ids::Version;
use protocol::peer::{Settled, TxnState};

use super::super::record::LogRecord;
use super::super::time::Time;
use super::NodeCore;

/// Most ranges that are kept: one for each coordinator since all members were last heard. What is
/// settled beyond that is not forgotten until they are.
const RANGES_MAX: usize = 1_024;

/// What is settled: the union of some ranges.
///
/// Invariant: by where they begin, rising; none lies within another.
#[derive(Debug, Default)]
pub(super) struct Forgotten(Vec<Settled>);

impl Forgotten {
    pub(super) fn ranges(&self) -> &[Settled] {
        &self.0
    }

    /// All transactions below this one are settled.
    pub(super) fn through(&self) -> Version {
        let first = self.0.first().filter(|range| range.from == Version::ZERO);
        let below = first.map(|range| range.except.iter().copied().fold(range.below, Version::min));
        below.unwrap_or(Version::ZERO)
    }

    fn covers(&self, id: Version) -> bool {
        self.0.iter().any(|range| range.covers(id))
    }

    /// Takes in news; false if nothing came of it.
    fn add(&mut self, mut news: Settled) -> bool {
        let bounds = (news.from, news.below);
        let wider = |r: &&mut Settled| {
            r.from <= news.from && news.below <= r.below && (r.from, r.below) != bounds
        };
        if let Some(range) = self.0.iter_mut().find(wider) {
            let before = range.except.len();
            range.except.retain(|id| !news.covers(*id));
            return range.except.len() < before;
        }
        news.except.retain(|id| !self.covers(*id));
        // An idle cluster goes on announcing the same: that is not to be logged again.
        if self.0.contains(&news) {
            return false;
        }
        let keeps = |range: &Settled| range.from < news.from || news.below < range.below;
        if self.0.iter().filter(|range| keeps(range)).count() >= RANGES_MAX {
            return false;
        }
        self.0.retain(keeps);
        let at = self.0.partition_point(|range| range.from < news.from);
        self.0.insert(at, news);
        true
    }
}

impl NodeCore {
    /// Whether the node was told that all its participants have the transaction decided.
    pub(super) fn is_settled(&self, id: Version) -> bool {
        self.settled.covers(id)
    }

    /// Forgets what every participant has decided durably.
    pub(super) fn settle(&mut self, now: Time, settled: Settled) {
        let Settled { from, below, except } = settled.clone();
        if self.forget(settled) && !self.saves_space(false) {
            self.record(now, LogRecord::Settled { from, below, except }, false);
        }
    }

    /// As `settle`, of what the log says; false if there is nothing new.
    pub(super) fn forget(&mut self, settled: Settled) -> bool {
        let (from, below) = (settled.from, settled.below);
        if from >= below || !self.settled.add(settled) {
            return false;
        }
        let within = self.txns.range(from..below);
        let gone: Vec<Version> = within
            .filter(|(id, txn)| self.is_settled(**id) && txn.state != TxnState::Prepared)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let Some(txn) = self.txns.remove(&id) else { continue };
            self.unpin(id, &txn);
        }
        true
    }
}
