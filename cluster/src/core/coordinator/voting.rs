//! The batches of prepares on one link that await votes: how many, since when, and when each of
//! their transactions was sent.
//!
//! Owned by `links`, asked by `events`. Ids rise from one prepare of a link to the next, so those
//! of a batch lie between its first and its last. Never decides anything.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::ids::Version;
use protocol::peer::Prepare;

use super::super::time::Time;

/// When a transaction was sent to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentIn {
    pub(super) at: Time,
    /// How many were sent with it, itself too.
    pub(super) txns: u32,
}

/// Batches that await votes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Voting(VecDeque<Out>);

/// One of them.
#[derive(Debug)]
struct Out {
    first: Version,
    last: Version,
    sent: SentIn,
    /// How many votes are awaited.
    left: usize,
    /// Since when they are owed: never before the end of a pause of this process.
    owed: Time,
}

impl Voting {
    /// These are sent now.
    pub(super) fn push(&mut self, now: Time, prepares: &[Arc<Prepare>]) {
        let (Some(first), Some(last)) = (prepares.first(), prepares.last()) else { return };
        let sent = SentIn { at: now, txns: prepares.len() as u32 };
        let (first, last) = (first.id, last.id);
        self.0.push_back(Out { first, last, sent, left: prepares.len(), owed: now });
    }

    /// A vote is in.
    pub(super) fn voted(&mut self) {
        if let Some(out) = self.0.front_mut() {
            out.left -= 1;
            if out.left == 0 {
                self.0.pop_front();
            }
        }
    }

    /// How many batches there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Since when the oldest votes are owed.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.0.front().map(|out| out.owed)
    }

    /// Forgives the node the time for which this process stood still.
    pub(super) fn excuse(&mut self, moved: impl Fn(Time) -> Time) {
        self.0.iter_mut().for_each(|out| out.owed = moved(out.owed));
    }

    /// When a transaction was sent whose vote is awaited.
    pub(super) fn sent(&self, id: Version) -> Option<SentIn> {
        let out = self.0.iter().find(|out| (out.first..=out.last).contains(&id))?;
        Some(out.sent)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{Epoch, RingNumber};

    use super::*;

    fn id(counter: u64) -> Version {
        Version::new(Epoch(1), counter)
    }

    fn prepares(counters: &[u64]) -> Vec<Arc<Prepare>> {
        let prepare = |counter: &u64| Prepare {
            id: id(*counter),
            ring: RingNumber::default(),
            participants: Vec::new(),
            rests_on: Vec::new(),
            due: Vec::new(),
            writes: Vec::new(),
            once: None,
        };
        counters.iter().map(prepare).map(Arc::new).collect()
    }

    #[test]
    fn each_is_found_in_its_batch_until_all_of_that_have_voted() {
        let mut voting = Voting::default();
        voting.push(Time(5), &[]);
        assert_eq!((voting.len(), voting.oldest()), (0, None));
        voting.push(Time(10), &prepares(&[3, 5, 6]));
        voting.push(Time(20), &prepares(&[9]));
        assert_eq!((voting.len(), voting.oldest()), (2, Some(Time(10))));
        let first = SentIn { at: Time(10), txns: 3 };
        assert_eq!([3, 6].map(|counter| voting.sent(id(counter))), [Some(first); 2]);
        assert_eq!(voting.sent(id(9)), Some(SentIn { at: Time(20), txns: 1 }));
        assert_eq!([2, 7, 10].map(|counter| voting.sent(id(counter))), [None; 3]);
        // A pause is forgiven; when they were sent stays.
        voting.excuse(|time| time.plus_us(100));
        assert_eq!((voting.oldest(), voting.sent(id(3))), (Some(Time(110)), Some(first)));
        (0..3).for_each(|_| voting.voted());
        assert_eq!((voting.len(), voting.sent(id(3)), voting.oldest()), (1, None, Some(Time(120))));
    }
}
