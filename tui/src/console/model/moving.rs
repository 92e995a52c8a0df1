//! What moves from node to node: the stretches that are learned, how far their copying is, and what
//! became of each node's place with the last ring.
//!
//! Changed by `apply` only; read by the story and the views. Estimates are the coordinator's: what
//! it does not tell is not known here either.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::{RingMove, Transfer};
use protocol::status::ChangeStatus;

use super::clock::{At, ago, count};

/// Stretches and transfers that are followed at most.
const FOLLOWED_MAX: usize = 4_096;

/// A stretch of the ring that somebody learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Its first point.
    pub from: u64,
    /// Its last point.
    pub to: u64,
    /// Who gets it.
    pub gain: String,
    /// Who holds it until then and no longer; none where a copy is replaced that is gone.
    pub lose: Option<String>,
    /// Whom it may be copied from.
    pub source: Option<String>,
    /// About how many keys that is.
    pub keys: Option<u64>,
}

impl Stretch {
    /// Whether a point is in it; it may go over the top.
    pub fn has(&self, point: u64) -> bool {
        match self.from <= self.to {
            true => (self.from..=self.to).contains(&point),
            false => point >= self.from || point <= self.to,
        }
    }
}

/// How far something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Keys copied.
    pub done: u64,
    /// About how many there are in all; none: not known.
    pub total: Option<u64>,
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// About how long it still takes, milliseconds; none: not known.
    pub left_ms: Option<u64>,
}

impl Progress {
    /// As a part of the whole, 0 to 1; none: not known.
    pub fn share(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).min(1.0))
    }

    /// For a person: `1,234 of about 5,000 keys, 3 s left`.
    pub fn words(&self) -> String {
        let of = self.total.map_or(String::new(), |total| format!(" of about {}", count(total)));
        let left = self.left_ms.map_or(String::new(), |ms| format!(", {} left", ago(ms)));
        let keys = crate::text::plural(self.total.unwrap_or(self.done), "key");
        format!("{}{of} {keys}{left}", count(self.done))
    }
}

/// What became of nodes' places with the last ring; each with its part of the keys, before for
/// those that are gone and after for those that came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct News {
    /// Their places were given to others.
    pub evicted: Vec<(String, f64)>,
    /// They give away what they hold.
    pub leaving: Vec<(String, f64)>,
    /// They were giving it away, and hold nothing any more.
    pub left: Vec<String>,
    /// They were never members before, as far as known.
    pub joined: Vec<(String, f64)>,
    /// They had been evicted.
    pub returned: Vec<(String, f64)>,
}

/// All that moves.
#[derive(Debug, Clone, Default)]
pub struct Moving {
    stretches: Vec<Stretch>,
    /// Keys of each stretch since there was nothing to learn, by who gets it and where it begins.
    planned: BTreeMap<(String, u64), u64>,
    transfers: BTreeMap<u64, (At, Transfer)>,
    /// Since when something is learned, and how many keys of it were copied then: it may have begun
    /// before this console.
    began: Option<(At, u64)>,
    /// Changes, as the last snapshot told them.
    changes: Vec<ChangeStatus>,
    /// What became of places with the last ring.
    pub(super) news: News,
}

impl Moving {
    /// A ring is in force under which this is learned.
    pub(super) fn ring(&mut self, moves: &[RingMove], now: At) {
        let stretch = |told: &RingMove| Stretch {
            from: told.from.0,
            to: told.to.0,
            gain: told.gain_node.as_str().to_owned(),
            lose: told.lose_node.as_ref().map(|node| node.as_str().to_owned()),
            source: told.source.as_ref().map(|node| node.as_str().to_owned()),
            keys: told.keys,
        };
        self.stretches = moves.iter().take(FOLLOWED_MAX).map(stretch).collect();
        // What the last snapshot told is older than this.
        self.changes.clear();
        if self.stretches.is_empty() {
            *self = Self { news: std::mem::take(&mut self.news), ..Self::default() };
            return;
        }
        self.begin(now);
        for stretch in &self.stretches {
            let place = (stretch.gain.clone(), stretch.from);
            let room = self.planned.len() < FOLLOWED_MAX || self.planned.contains_key(&place);
            if let Some(keys) = stretch.keys.filter(|_| room) {
                // Later estimates count what was copied meanwhile.
                self.planned.entry(place).or_insert(keys);
            }
        }
    }

    /// A transfer has come a bit further. One that begins anew takes the place of the one before.
    pub(super) fn transfer(&mut self, told: &Transfer, now: At) {
        let same = |other: &Transfer| {
            other.target == told.target && other.range.iter().any(|span| told.range.contains(span))
        };
        self.transfers.retain(|id, (_, other)| *id == told.id || !same(other));
        if told.state == "lost" {
            self.transfers.remove(&told.id);
            return;
        }
        if self.transfers.len() >= FOLLOWED_MAX {
            self.transfers.pop_first();
        }
        self.transfers.insert(told.id, (now, told.clone()));
        self.begin(now);
    }

    /// What a snapshot says of changes; of stretches it says nothing.
    pub(super) fn snapshot(&mut self, changes: &[ChangeStatus], now: At) {
        let runs = |change: &&ChangeStatus| change.state == "running";
        self.changes = changes.iter().filter(runs).take(FOLLOWED_MAX).cloned().collect();
        if self.changes.is_empty() {
            *self = Self::default();
            return;
        }
        self.begin(now);
    }

    /// From now on it is seen how fast it goes.
    fn begin(&mut self, now: At) {
        let done = self.done();
        self.began.get_or_insert((now, done));
    }

    /// Keys that are copied.
    fn done(&self) -> u64 {
        let told = self.transfers.values().map(|(_, told)| told.keys_done);
        let changes = self.changes.iter().rev().find(|change| change.keys_total.is_some());
        told.fold(0, u64::saturating_add).max(changes.map_or(0, |change| change.keys_done))
    }

    /// Whether something is copied, or is to be.
    pub fn is_under_way(&self) -> bool {
        !self.stretches.is_empty() || !self.changes.is_empty()
    }

    /// The stretches that are learned.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Changes that ran when a snapshot was last told, until a ring tells more.
    pub fn changes(&self) -> &[ChangeStatus] {
        &self.changes
    }

    /// Whether this node learns something.
    pub fn gains(&self, node: &str) -> bool {
        self.stretches.iter().any(|stretch| stretch.gain == node)
    }

    /// Whether others learn what this node holds, so that it need not hold it any more.
    pub fn loses(&self, node: &str) -> bool {
        self.stretches.iter().any(|stretch| stretch.lose.as_deref() == Some(node))
    }

    /// All of it together; none: nothing is under way.
    pub fn progress(&self, now: At) -> Option<Progress> {
        if !self.is_under_way() {
            return None;
        }
        let told = || self.transfers.values().map(|(_, told)| told);
        let done = self.done();
        let planned = self.planned.values().copied().fold(0, u64::saturating_add);
        let totals = told().filter_map(total_of).fold(0, u64::saturating_add);
        let change = self.changes.iter().rev().find(|change| change.keys_total.is_some());
        let known = planned.max(totals).max(change.and_then(|c| c.keys_total).unwrap_or(0));
        let total = (known > 0).then_some(known.max(done));
        let ran = told().filter(|told| told.state == "copying");
        let bytes_per_s = ran.map(|told| told.bytes_per_s).fold(0, u64::saturating_add);
        let (ms, before) = self.began.map_or((0, 0), |(at, before)| (now.ms_since(at), before));
        let seen = done.saturating_sub(before);
        let left = total.map(|total| total - done).filter(|_| seen > 0 && ms > 0);
        let left_ms = left.map(|left| ms.saturating_mul(left) / seen.max(1));
        Some(Progress { done, total, bytes_per_s, left_ms })
    }

    /// How far each node that learns is, by name: from whom, and how far; the nodes in order.
    pub fn learners(&self) -> Vec<(&str, Vec<&str>, Progress)> {
        let gain = self.stretches.iter().map(|stretch| stretch.gain.as_str());
        let names: BTreeSet<&str> =
            gain.chain(self.transfers.values().map(|(_, told)| told.target.as_str())).collect();
        names.into_iter().map(|name| self.learner(name)).collect()
    }

    fn learner<'a>(&'a self, name: &'a str) -> (&'a str, Vec<&'a str>, Progress) {
        let all = self.transfers.values().map(|(_, told)| told);
        let own: Vec<&Transfer> = all.filter(|told| told.target.as_str() == name).collect();
        let mut sources: BTreeSet<&str> = own.iter().map(|told| told.source.as_str()).collect();
        if sources.is_empty() {
            let stretches = self.stretches.iter().filter(|stretch| stretch.gain == name);
            sources.extend(stretches.filter_map(|stretch| stretch.source.as_deref()));
        }
        let sum = |of: &dyn Fn(&Transfer) -> u64| {
            own.iter().map(|told| of(told)).fold(0, u64::saturating_add)
        };
        let done = sum(&|told| told.keys_done);
        let planned = self.planned.iter().filter(|((gain, _), _)| gain == name);
        let planned = planned.map(|(_, keys)| *keys).fold(0, u64::saturating_add);
        let known = planned.max(sum(&|told| total_of(told).unwrap_or(0)));
        let total = (known > 0).then_some(known.max(done));
        let left = own.iter().filter(|told| told.state == "copying").filter_map(|t| t.eta_ms);
        let bytes_per_s = sum(&|told| if told.state == "copying" { told.bytes_per_s } else { 0 });
        let progress = Progress { done, total, bytes_per_s, left_ms: left.max() };
        (name, sources.into_iter().collect(), progress)
    }

    /// How far the transfer of a stretch is; none: it has not begun.
    pub fn of_stretch(&self, stretch: &Stretch) -> Option<Progress> {
        let of = |told: &&Transfer| {
            let span = |(from, to): &(protocol::ids::Point, protocol::ids::Point)| {
                from.0 == stretch.from && to.0 == stretch.to
            };
            told.target.as_str() == stretch.gain && told.range.iter().any(span)
        };
        let told = self.transfers.values().map(|(_, told)| told).find(of)?;
        Some(Progress {
            done: told.keys_done,
            total: told.keys_total,
            bytes_per_s: told.bytes_per_s,
            left_ms: told.eta_ms,
        })
    }
}

/// About how many keys a transfer has; at its end that is known.
fn total_of(told: &Transfer) -> Option<u64> {
    if told.state == "done" { Some(told.keys_done) } else { told.keys_total }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(told: &[(u64, &str, u64)]) -> Vec<RingMove> {
        let one = |(at, gain, keys): &(u64, &str, u64)| {
            let (from, to) = (format!("{:016x}", at << 32), format!("{:016x}", (at + 1) << 32));
            serde_json::from_value(serde_json::json!({"from": from, "to": to, "gain_node": gain,
                "source": "n1", "keys": keys}))
            .expect("a move")
        };
        told.iter().map(one).collect()
    }

    fn transfer(id: u64, at: u64, target: &str, done: u64, state: &str) -> Transfer {
        let span = [format!("{:016x}", at << 32), format!("{:016x}", (at + 1) << 32)];
        serde_json::from_value(serde_json::json!({"id": id, "range": [span], "from": "n1",
            "target": target, "keys_done": done, "keys_total": 100, "bytes_done": done * 10,
            "bytes_per_s": 500, "eta_ms": 800, "state": state}))
        .expect("a transfer")
    }

    #[test]
    fn progress_is_that_of_all_transfers() {
        let mut moving = Moving::default();
        assert_eq!(moving.progress(At(0)), None);
        moving.ring(&moves(&[(1, "n4", 100), (7, "n5", 300)]), At(0));
        let none = Progress { done: 0, total: Some(400), bytes_per_s: 0, left_ms: None };
        assert_eq!(moving.progress(At(0)), Some(none));
        moving.transfer(&transfer(1, 1, "n4", 60, "copying"), At(500_000));
        moving.transfer(&transfer(2, 7, "n5", 40, "copying"), At(500_000));
        let now = moving.progress(At(1_000_000)).expect("it is under way");
        assert_eq!((now.done, now.total, now.left_ms), (100, Some(400), Some(3_000)));
        assert_eq!((now.bytes_per_s, now.share()), (1_000, Some(0.25)));
        assert_eq!(now.words(), "100 of about 400 keys, 3.0 s left");
        // One that begins anew is not counted twice.
        moving.transfer(&transfer(3, 7, "n5", 10, "copying"), At(1_000_000));
        assert_eq!(moving.progress(At(1_000_000)).map(|now| now.done), Some(70));
        let learners: Vec<_> = moving.learners();
        let shown: Vec<_> = learners.iter().map(|(name, _, now)| (*name, now.done)).collect();
        assert_eq!(shown, [("n4", 60), ("n5", 10)]);
        assert_eq!(learners[1].1, ["n1"]);
        let stretches = moving.stretches().to_vec();
        assert_eq!(moving.of_stretch(&stretches[0]).map(|now| now.done), Some(60));
        // What is learned is a stretch no more, and stays done.
        moving.transfer(&transfer(1, 1, "n4", 100, "done"), At(1_200_000));
        moving.ring(&moves(&[(7, "n5", 300)]), At(1_200_000));
        let now = moving.progress(At(1_200_000)).expect("it is under way");
        assert_eq!((now.done, now.total), (110, Some(400)));
        moving.ring(&[], At(2_000_000));
        assert!(!moving.is_under_way() && moving.learners().is_empty());
    }

    #[test]
    fn a_snapshot_tells_how_far_changes_are_until_a_ring_does() {
        let mut moving = Moving::default();
        let change = |state: &str| ChangeStatus {
            change: "c1".into(),
            action: "evict".into(),
            node: Some("n3".into()),
            state: state.into(),
            keys_done: 30,
            keys_total: Some(120),
            ..ChangeStatus::default()
        };
        moving.snapshot(&[change("done")], At(0));
        assert!(!moving.is_under_way());
        moving.snapshot(&[change("running")], At(0));
        let now = moving.progress(At(0)).expect("it is under way");
        assert_eq!((now.done, now.total, now.left_ms), (30, Some(120), None));
        // How fast it went before, nobody knows.
        moving.transfer(&transfer(1, 1, "n4", 60, "copying"), At(1_000_000));
        assert_eq!(moving.progress(At(1_000_000)).and_then(|now| now.left_ms), Some(2_000));
        moving.ring(&[], At(1_000_001));
        assert!(!moving.is_under_way());
    }
}
