//! What a node may forget: what is settled (R8), and old groups of the log behind a checkpoint.

use super::*;

#[test]
fn r8_what_is_settled_stays_settled_and_an_undecided_one_is_never_forgotten() {
    let mut rig = Rig::ready();
    let (done, open) = (id(1, 1), id(1, 2));
    rig.batch(prepares([put(done, "k"), put(open, "k")]));
    rig.settle();
    rig.batch(commits(done));
    let settled = |below, except: &[Version]| Batch {
        settled: Some(Settled { from: Version::ZERO, below, except: except.to_vec() }),
        ..Batch::default()
    };
    rig.batch(settled(id(1, 9), &[open]));
    assert_eq!((rig.state(done), rig.state(open)), (None, Some(TxnState::Prepared)));
    // Older news, and news that would take something back.
    rig.batch(settled(id(1, 1), &[]));
    rig.batch(settled(id(1, 9), &[done, open]));
    let report = rig.report();
    let settled_now = |below| Settled { from: Version::ZERO, below, except: vec![open] };
    assert_eq!(report.settled, [settled_now(id(1, 9))]);
    // Told again to commit what is settled: it was, and is not known any more.
    rig.batch(commits(done));
    assert_eq!(rig.exit, None);
    // A prepare that comes late is refused, not prepared anew.
    rig.votes();
    rig.batch(prepares([put(id(1, 3), "k")]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![3]));
    // Even if it was said to be settled, an undecided one stays.
    rig.batch(settled(id(1, 10), &[]));
    assert_eq!(rig.state(open), Some(TxnState::Prepared));
}

#[test]
fn r8_an_announcement_that_says_nothing_new_is_not_logged() {
    let mut rig = Rig::ready();
    let settled = Settled { from: Version::ZERO, below: id(1, 9), except: vec![id(1, 2)] };
    let said = || Batch { settled: Some(settled.clone()), ..Batch::default() };
    rig.batch(said());
    let due = rig.node.next_deadline().expect("it waits for company in the log");
    let logged = rig.node.handle(due, Input::Tick);
    assert!(matches!(logged.as_slice(), [Effect::Log { .. }]), "{logged:?}");
    rig.batch(said());
    assert_eq!(rig.node.next_deadline(), None);
}

#[test]
fn r8_what_is_settled_of_one_epoch_leaves_older_ones_alone_and_all_of_it_adds_up() {
    let mut rig = Rig::ready();
    let (old, stuck, done) = (id(1, 1), id(1, 2), id(1, 3));
    rig.batch(prepares([put(old, "a"), put(stuck, "b"), put(done, "c")]));
    rig.settle();
    rig.batch(Batch { commit: vec![old, done], ..Batch::default() });
    let news = |from, below, except: &[Version]| Batch {
        settled: Some(Settled { from, below, except: except.to_vec() }),
        ..Batch::default()
    };
    let known = |rig: &mut Rig| rig.report().txns.iter().map(|txn| txn.id).collect::<Vec<_>>();
    // What cannot be, and what is empty, changes nothing.
    rig.batch(news(id(1, 9), id(1, 1), &[]));
    rig.batch(news(id(1, 3), id(1, 3), &[]));
    assert_eq!(known(&mut rig), [old, stuck, done]);
    rig.batch(news(id(1, 2), id(1, 9), &[stuck]));
    assert_eq!(known(&mut rig), [old, stuck]);
    rig.batch(news(id(2, 0), id(2, 5), &[]));
    let two = rig.report().settled;
    assert_eq!(two.iter().map(|range| range.from).collect::<Vec<_>>(), [id(1, 2), id(2, 0)]);
    let mut rig = rig.restart(usize::MAX);
    rig.open(2, Uuid(12), 1);
    assert_eq!(rig.report().settled, two, "the log tells the same");
    // News of part of a range takes its exceptions away, and of all of it takes its place.
    rig.batch(Batch { abort: aborts(stuck).abort, ..Batch::default() });
    rig.batch(news(id(1, 2), id(1, 4), &[]));
    assert_eq!(known(&mut rig), [old], "settled though the range that excepted it is longer");
    rig.batch(news(Version::ZERO, id(2, 4), &[old]));
    assert_eq!(rig.report().settled.len(), 2, "the end of the second range is still its own");
    rig.batch(news(Version::ZERO, id(2, 6), &[old, done]));
    let all = Settled { from: Version::ZERO, below: id(2, 6), except: vec![old] };
    assert_eq!(rig.report().settled, [all]);
    assert_eq!(known(&mut rig), [old]);
}

/// The ids and states that a node reports, and what it takes for settled.
fn told(rig: &mut Rig) -> (Vec<(Version, TxnState, bool)>, Vec<Settled>) {
    let report = rig.report();
    let txn = |txn: &protocol::peer::ReportedTxn| (txn.id, txn.state, txn.prepared.is_some());
    (report.txns.iter().map(txn).collect(), report.settled)
}

/// A node with one transaction in each state that it can be in, and one that is settled, all
/// durable; then a checkpoint of the keystore that covers it all.
fn one_of_each(checkpoint_bytes: u64) -> Rig {
    let mut rig = Rig::founded(Rig::with_checkpoint_bytes(checkpoint_bytes));
    let open = put(id(1, 1), "a");
    let unfit = Prepare { ring: RingNumber { epoch: Epoch(9), counter: 9 }, ..put(id(1, 3), "c") };
    rig.batch(prepares([open, put(id(1, 2), "b"), unfit, put(id(1, 4), "d"), put(id(1, 6), "f")]));
    rig.settle();
    let adopt = vec![Arc::new(put(id(1, 5), "e"))];
    let commit = vec![id(1, 2), id(1, 6)];
    rig.batch(Batch { commit, adopt, abort: aborts(id(1, 4)).abort, ..Batch::default() });
    rig.settle();
    let except: Vec<Version> = (1..=5).map(|counter| id(1, counter)).collect();
    let settled = Some(Settled { from: Version::ZERO, below: id(1, 9), except });
    rig.batch(Batch { settled, sync: true, ..Batch::default() });
    rig.settle();
    rig
}

#[test]
fn a_transaction_in_any_state_keeps_no_old_group_after_a_checkpoint() {
    for checkpoint_bytes in [0, 400, 1 << 20] {
        let mut rig = one_of_each(checkpoint_bytes);
        let before = told(&mut rig);
        assert_eq!(before.0.len(), 5, "{before:?}");
        let end = rig.logged.last().expect("groups").0;
        rig.hand(Input::Checkpointed(end));
        // As long as what carries it is not durable, nothing goes.
        assert_eq!(rig.freed, []);
        let groups = rig.logged.len();
        for stop in groups - 1..=groups {
            let mut again = rig.restart_after(GroupSeq(0), end, stop);
            again.open(1, Uuid(11), 50);
            assert_eq!(told(&mut again), before, "the old records are there, {stop}");
        }
        while checkpoint_bytes < 1 << 20 && rig.freed.last() != Some(&end) {
            // A small budget: one at a time, and the rest after the next checkpoint.
            rig.sync();
            let (freed, last) = (rig.freed.clone(), rig.logged.last().expect("groups").0);
            let through = freed.last().copied().unwrap_or_default();
            let mut again = rig.restart_after(through, end, usize::MAX);
            again.open(1, Uuid(11), 50);
            assert_eq!(told(&mut again), before, "after {through:?} went");
            assert!(last.0 < 100, "it comes to an end");
            rig.hand(Input::Checkpointed(end));
        }
        rig.sync();
        rig.sync();
        assert_eq!(rig.freed.last(), Some(&end), "at {checkpoint_bytes}");
        assert_eq!(told(&mut rig), before);
        let mut again = rig.restart_after(end, end, usize::MAX);
        again.open(1, Uuid(11), 50);
        assert_eq!(told(&mut again), before, "without the old groups");
        // What is carried can be decided, and a decision is never repeated wrongly.
        again.batch(commits(id(1, 1)));
        again.batch(commits(id(1, 2)));
        again.batch(aborts(id(1, 3)));
        again.settle();
        assert_eq!(again.exit, None);
        assert_eq!(again.state(id(1, 1)), Some(TxnState::Committed));
    }
}

#[test]
fn what_is_committed_behind_the_checkpoint_keeps_its_prepare() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "a"), put(id(1, 2), "b")]));
    rig.settle();
    let end = rig.logged.last().expect("groups").0;
    rig.batch(commits(id(1, 1)));
    rig.settle();
    rig.hand(Input::Checkpointed(end));
    rig.sync();
    let needed = GroupSeq(end.0 - 1);
    assert!(rig.freed.iter().all(|freed| *freed <= needed), "{:?}", rig.freed);
    // Its decision is in the next one.
    let end = rig.logged.last().expect("groups").0;
    rig.hand(Input::Checkpointed(end));
    rig.sync();
    assert_eq!(rig.freed.last(), Some(&end));
    let mut again = rig.restart_after(end, end, usize::MAX);
    again.open(1, Uuid(11), 50);
    assert_eq!(again.state(id(1, 1)), Some(TxnState::Committed));
    assert_eq!(again.state(id(1, 2)), Some(TxnState::Prepared));
}

/// A sweep begins when the state file says so, ends with the last key, and is not begun again
/// before something was deleted.
#[test]
fn r8_tombstones_are_swept_below_what_is_settled_once_that_is_durable() {
    let mut rig = Rig::founded(Rig::with_checkpoint_bytes(1));
    rig.node.found_whole = true;
    let delete = |number| prepare(number, "k", None, None, &[]);
    let (gone, open) = (id(1, 3), id(1, 7));
    rig.batch(prepares([delete(gone), put(open, "k")]));
    rig.settle();
    rig.batch(commits(gone));
    rig.settle();
    assert!(rig.swept.is_empty(), "nothing is settled");
    let settled = Settled { from: Version::ZERO, below: id(1, 9), except: vec![open] };
    let learning = Learning {
        span: (Point(0), Point(1)),
        learner: MemberId(0),
        keeper: None,
        since: Version::ZERO,
        from: Version::ZERO,
    };
    let ring = rig.node.meta.ring.as_mut().expect("it is founded");
    ring.learning = vec![learning];
    rig.batch(Batch { settled: Some(settled), ..Batch::default() });
    rig.sync();
    assert!(rig.swept.is_empty(), "an older write may be on its way to a learner");
    rig.node.meta.ring.as_mut().expect("it is founded").learning.clear();
    rig.flush();
    assert!(rig.swept.is_empty(), "it is not durable that tombstones are dropped");
    rig.sync();
    assert_eq!(rig.meta.swept, open);
    assert_eq!(rig.swept, [(open, None)]);
    rig.hand(Input::Swept { dropped: 2, through: Some(key("k")) });
    assert_eq!(rig.swept.pop(), Some((open, Some(key("k")))));
    rig.hand(Input::Swept { dropped: 0, through: None });
    rig.batch(commits(open));
    let settled = Settled { from: Version::ZERO, below: id(1, 12), except: Vec::new() };
    rig.batch(Batch { settled: Some(settled), ..Batch::default() });
    rig.settle();
    assert_eq!((rig.swept.len(), rig.meta.swept), (1, open), "nothing was deleted since");
}

#[test]
fn r8_a_condition_on_a_deletion_holds_where_its_tombstone_is_gone() {
    let mut rig = Rig::ready();
    let (first, second, third) = (id(1, 5), id(1, 6), id(1, 7));
    // Read where the tombstone is gone, checked where it is.
    rig.batch(prepares([prepare(first, "a", Some("v"), Some(Version::ZERO), &[])]));
    rig.found_there(id(1, 2), None);
    // The other way round, of what was swept and of what was not.
    rig.node.meta.swept = id(1, 4);
    rig.batch(prepares([prepare(second, "b", Some("v"), Some(id(1, 3)), &[])]));
    rig.found_there(Version::ZERO, None);
    rig.batch(prepares([prepare(third, "c", Some("v"), Some(id(1, 4)), &[])]));
    rig.found_there(Version::ZERO, None);
    rig.settle();
    assert_eq!(rig.votes(), (vec![5, 6], vec![7]));
    // A value that is there is never taken for a deletion.
    rig.batch(prepares([prepare(id(1, 8), "d", Some("v"), Some(Version::ZERO), &[])]));
    rig.found_there(id(1, 1), Some("there"));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![8]));
}

#[test]
fn r8_whoever_copies_what_was_swept_has_swept_it_too_before_it_is_told() {
    let mut rig = Rig::ready();
    let extent = Extent {
        spans: vec![(Point(0), Point(u64::MAX))],
        after: None,
        through: None,
        below: id(1, 9),
    };
    let put = CopyPut { r: 4, whole: Some(extent.clone()), ..CopyPut::default() };
    let last = CopyPut { r: 5, last: true, swept: id(1, 8), ..CopyPut::default() };
    rig.batch(Batch { put: vec![put], ..Batch::default() });
    let told = |rig: &Rig| rig.up.iter().flat_map(|up| up.put.clone()).collect::<Vec<u64>>();
    assert_eq!(told(&rig), [0; 0], "others are not dropped yet");
    rig.hand(Input::OthersDropped { dropped: 1, through: Some(key("k")) });
    assert_eq!(rig.others.pop().map(|extent| extent.after), Some(Some(key("k"))));
    rig.hand(Input::OthersDropped { dropped: 0, through: None });
    rig.flush();
    assert_eq!(told(&rig), [4]);
    rig.node.found_whole = true;
    rig.batch(Batch { put: vec![last], ..Batch::default() });
    rig.hand(Input::Checkpointed(GroupSeq(0)));
    rig.flush();
    assert_eq!(told(&rig), [4], "the state file is not durable yet");
    rig.sync();
    assert_eq!((told(&rig), rig.meta.swept), (vec![4, 5], id(1, 8)));
}
