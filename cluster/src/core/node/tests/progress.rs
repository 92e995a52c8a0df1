//! How far a copy is, as a learner tells it.

use protocol::peer::{CopyProgress, Span};

use super::*;

/// The first member learns both stretches.
fn learning(from: Version) -> RingRecord {
    let all: Vec<Span> = vec![(Point(1), Point(1 << 40)), (Point((1 << 40) + 1), Point(0))];
    let of = |span| {
        let (learner, keeper, since) = (MemberId(0), None, Version::ZERO);
        Learning { span, learner, keeper, since, from }
    };
    let learning = all.into_iter().map(of).collect();
    RingRecord { number: RingNumber { epoch: Epoch(1), counter: 1 }, learning, ..record() }
}

fn progress(ring: &RingRecord, stretches: &[usize], through: &str) -> CopyProgress {
    CopyProgress {
        source: MemberId(1),
        spans: stretches.iter().map(|at| ring.learning[*at].span).collect(),
        since: Version::ZERO,
        from: ring.learning[0].from,
        through: key(through),
        swept: Version::ZERO,
        keys: 1,
        bytes: 100,
    }
}

fn take(r: u64, progress: CopyProgress) -> Batch {
    let put = CopyPut { r, progress: Some(progress), ..CopyPut::default() };
    Batch { put: vec![put], ..Batch::default() }
}

impl Rig {
    fn learner(ring: &RingRecord) -> Self {
        let mut rig = Self::ready();
        rig.down(DownBody::Install(ring.clone()));
        rig.settle();
        rig
    }
}

#[test]
fn it_is_kept_by_stretch_and_told_to_whoever_asks_next() {
    let ring = learning(id(1, 5));
    let mut rig = Rig::learner(&ring);
    let (one, other) = (progress(&ring, &[0], "a"), progress(&ring, &[1], "b"));
    rig.batch(take(1, one.clone()));
    rig.batch(take(2, other.clone()));
    assert_eq!(rig.report().copied, [one, other.clone()]);
    let further = progress(&ring, &[0], "c");
    rig.batch(take(3, further.clone()));
    assert_eq!(rig.report().copied, [other, further]);
    let both = progress(&ring, &[0, 1], "aa");
    rig.batch(take(4, both.clone()));
    assert_eq!(rig.report().copied, std::slice::from_ref(&both));
    // Another coordinator is told it too; a start of the node knows nothing of it.
    rig.open(2, Uuid(12), 1);
    rig.settle();
    let told = rig.up.iter().find_map(|up| up.report.as_ref()).expect("a report");
    assert_eq!(told.copied, [both]);
    assert!(rig.restart(usize::MAX).node.learning.progress.is_empty());
}

#[test]
fn h39_it_goes_with_the_learning_that_it_is_about() {
    let ring = learning(id(1, 5));
    let mut rig = Rig::learner(&ring);
    rig.batch(take(1, progress(&ring, &[0], "a")));
    rig.batch(take(2, progress(&ring, &[1], "b")));
    // The first stretch is learned, and the second one later learned again.
    let mut next = learning(id(1, 6));
    next.number.counter = 2;
    next.learning[1].from = id(1, 5);
    next.learning.remove(0);
    rig.down(DownBody::Install(next.clone()));
    rig.settle();
    assert_eq!(rig.report().copied, [progress(&ring, &[1], "b")]);
    let mut last = next.clone();
    last.number.counter = 3;
    last.learning[0].from = id(1, 6);
    rig.down(DownBody::Install(last));
    rig.settle();
    assert_eq!(rig.report().copied, []);
    // What is said of a learning that is over counts for nothing.
    rig.batch(take(3, progress(&ring, &[1], "c")));
    assert_eq!(rig.report().copied, []);
}

#[test]
fn it_is_noted_when_everything_older_beside_the_portion_has_gone() {
    let ring = learning(id(1, 5));
    let mut rig = Rig::learner(&ring);
    let told = progress(&ring, &[0], "a");
    let spans = told.spans.clone();
    let through = Some(key("a"));
    let whole = Some(Extent { spans, after: None, through, below: id(1, 5) });
    let put = CopyPut { r: 1, whole, progress: Some(told.clone()), ..CopyPut::default() };
    rig.batch(Batch { put: vec![put], ..Batch::default() });
    assert_eq!(rig.report().copied, []);
    rig.hand(Input::OthersDropped { dropped: 0, through: Some(key("0")) });
    assert_eq!(rig.report().copied, []);
    rig.hand(Input::OthersDropped { dropped: 0, through: None });
    assert_eq!(rig.report().copied, [told]);
}
