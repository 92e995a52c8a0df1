//! Sessions with coordinators, one after the other: claims, fences (R2), reports, and what ends one.

use super::*;

#[test]
fn votes_and_answers_of_one_coordinator_are_not_told_to_the_next_under_the_same_number() {
    let mut rig = Rig::ready();
    let read = Batch { read: vec![ReadAsk { r: 7, k: key("x") }], ..Batch::default() };
    rig.batch(read);
    rig.batch(prepares([put(id(1, 1), "k")]));
    // The group is on its way when another coordinator begins, whose sessions count from 1 too.
    rig.open(2, Uuid(12), 1);
    rig.found(id(1, 9));
    rig.settle();
    let report = rig.up.iter().find(|up| up.report.is_some()).expect("a report");
    assert_eq!(report.durable, 1, "of the one message that it has sent");
    assert!(rig.up.iter().all(|up| up.yes.is_empty() && up.read.is_empty()));
}

#[test]
fn a_record_that_is_no_ring_ends_the_session_only() {
    let spoil: [fn(&mut RingRecord); 5] = [
        |ring| ring.members.clear(),
        |ring| ring.replicas = 0,
        |ring| ring.members[1].points = ring.members[0].points.clone(),
        |ring| ring.members.iter_mut().for_each(|member| member.points.clear()),
        |ring| ring.number.epoch = Epoch(9),
    ];
    for spoil in spoil {
        let mut rig = Rig::blank();
        rig.open(1, Uuid(11), 1);
        rig.settle();
        let mut ring = record();
        spoil(&mut ring);
        rig.down(DownBody::Install(ring));
        assert_eq!(rig.closed, [ConnId(1)]);
        assert_eq!(rig.node.meta().ring, None);
    }
}

#[test]
fn r2_a_claim_of_a_number_that_is_no_epoch_is_turned_away() {
    let mut rig = Rig::ready();
    rig.open(u32::MAX, Uuid(12), 9);
    assert_eq!(rig.closed, [ConnId(2)]);
    assert_eq!(rig.node.meta().fence.epoch, Epoch(1));
}

#[test]
fn r2_h1_what_a_fenced_coordinator_says_is_not_taken() {
    let mut rig = Rig::ready();
    let (old, n) = (rig.conn, rig.n);
    rig.open(2, Uuid(12), 1);
    rig.settle();
    rig.closed.clear();
    rig.up.clear();
    // Its prepare was still on its way.
    let body = DownBody::Batch(prepares([put(id(1, 1), "k")]));
    let late = Down { session: 1, n: n + 1, epoch: Epoch(1), body };
    rig.hand(Input::Down { conn: old, down: Box::new(late.clone()) });
    assert_eq!(rig.closed, [old]);
    // And on the new one's connection, as it were.
    rig.hand(Input::Down { conn: rig.conn, down: Box::new(late) });
    assert_eq!(rig.state(id(1, 1)), None);
    // It tries again.
    let groups = rig.logged.len();
    rig.up.clear();
    rig.open(1, Uuid(11), 2);
    rig.settle();
    assert_eq!(rig.up.iter().map(|up| up.fenced).collect::<Vec<_>>(), [Some(Epoch(2))]);
    assert_eq!(rig.logged.len(), groups);
    // H16: an epoch is bound to the process that claimed it first.
    rig.up.clear();
    rig.open(2, Uuid(13), 1);
    assert_eq!(rig.up.iter().map(|up| up.fenced).collect::<Vec<_>>(), [Some(Epoch(2))]);
}

#[test]
fn r2_a_report_is_given_only_when_the_fence_and_all_before_it_are_durable() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "k")]));
    rig.open(2, Uuid(12), 1);
    assert!(rig.up.iter().all(|up| up.report.is_none()));
    for number in std::mem::take(&mut rig.saved) {
        rig.hand(Input::MetaSaved(number));
    }
    rig.flush();
    assert!(rig.up.iter().all(|up| up.report.is_none()), "the log is behind");
    rig.settle();
    let report = rig.up.iter().find_map(|up| up.report.clone()).expect("a report");
    assert_eq!(report.before.map(|fence| fence.epoch), Some(Epoch(1)));
    assert_eq!(report.txns.len(), 1);
}

#[test]
fn a_session_that_misses_a_message_ends_and_repeats_are_ignored() {
    let mut rig = Rig::ready();
    rig.n -= 1;
    rig.batch(prepares([put(id(1, 1), "k")]));
    assert!(rig.closed.is_empty(), "a repeat of a number is ignored");
    rig.n += 5;
    rig.batch(prepares([put(id(1, 2), "k")]));
    assert_eq!(rig.closed.len(), 1);
    assert_eq!((rig.state(id(1, 1)), rig.state(id(1, 2))), (None, None));
}
