//! Room in the log: what is promised fits, prepares wait or are refused, checkpoints are retried.

use protocol::peer::DISK_FULL;

use super::super::RESERVE_BYTES;
use super::*;
use crate::core::record::Room;

const PLENTY: u64 = 64 << 20;

fn room(bytes: u64, full: bool) -> Input {
    Input::Room(Room { bytes, group_max: 16 << 20, full })
}

/// Whether the coordinator was last told that the disk is full.
fn told(rig: &Rig) -> Option<bool> {
    rig.up.last().map(|up| up.full)
}

#[test]
fn h57_without_space_prepares_are_refused_and_what_is_prepared_is_decided() {
    let mut rig = Rig::ready();
    rig.hand(room(PLENTY, false));
    rig.batch(prepares([put(id(1, 1), "a"), put(id(1, 2), "b")]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![1, 2], vec![]));
    // Little room alone says nothing: the log may be getting more.
    rig.hand(room(RESERVE_BYTES / 2, false));
    assert!(!rig.node.is_short_of_space());
    rig.hand(room(RESERVE_BYTES / 2, true));
    rig.flush();
    assert_eq!((rig.node.is_short_of_space(), told(&rig)), (true, Some(true)));
    rig.batch(prepares([put(id(1, 3), "c")]));
    rig.settle();
    let reasons: Vec<String> =
        rig.up.iter().flat_map(|up| &up.no).map(|no| no.reason.clone()).collect();
    assert_eq!(reasons, [DISK_FULL]);
    rig.batch(commits(id(1, 1)));
    rig.batch(aborts(id(1, 2)));
    rig.settle();
    assert_eq!(rig.state(id(1, 1)), Some(TxnState::Committed));
    assert_eq!(rig.state(id(1, 2)), Some(TxnState::Aborted));
    assert_eq!(rig.state(id(1, 3)), Some(TxnState::Refused), "for ever (R3)");
    rig.hand(room(PLENTY, false));
    rig.flush();
    assert_eq!((rig.node.is_short_of_space(), told(&rig)), (false, Some(false)));
    rig.up.clear();
    rig.batch(prepares([put(id(1, 3), "c"), put(id(1, 4), "d")]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![4], vec![3]));
}

/// Each of two nodes may wait for the other's vote before anything is decided: so no prepare waits
/// for a decision.
#[test]
fn h57_a_prepare_that_waits_for_room_asks_for_it() {
    let mut rig = Rig::ready();
    let bytes = RESERVE_BYTES + (16 << 10);
    rig.hand(room(bytes, false));
    for n in 1.. {
        rig.batch(prepares([put(id(1, n), &format!("k{n}"))]));
        rig.settle();
        // Its log is as long as ever: all room goes into what is promised.
        rig.hand(room(bytes, false));
        rig.flush();
        if rig.votes() != (vec![n], vec![]) {
            break;
        }
        assert!(n < 100, "room without end");
    }
    let [wanted] = rig.wanted[..] else { panic!("asked for once: {:?}", rig.wanted) };
    assert!(wanted > bytes);
    rig.hand(room(wanted, false));
    rig.settle();
    let (yes, no) = rig.votes();
    assert!(yes.len() == 1 && no.is_empty(), "{yes:?} {no:?}");
}

#[test]
fn a_new_session_hears_at_once_that_the_disk_is_full() {
    let mut rig = Rig::ready();
    rig.hand(room(0, true));
    rig.settle();
    rig.report();
    assert!(rig.up.iter().any(|up| up.full));
}

#[test]
fn prepares_wait_in_order_while_the_log_gets_more_room() {
    for (more, yes, no) in
        [(room(PLENTY, false), vec![1, 3], vec![2]), (room(0, true), vec![], vec![2, 1, 3])]
    {
        let mut rig = Rig::ready();
        rig.hand(room(RESERVE_BYTES, false));
        rig.batch(prepares([put(id(1, 1), "a"), put(id(1, 2), "b")]));
        let resting = Prepare { rests_on: vec![id(1, 1)], ..put(id(1, 3), "a") };
        rig.batch(prepares([resting]));
        rig.settle();
        assert_eq!(rig.votes(), (vec![], vec![]));
        rig.batch(aborts(id(1, 2)));
        rig.settle();
        assert_eq!(rig.votes(), (vec![], vec![2]), "one that waits can be aborted");
        rig.hand(more);
        rig.settle();
        let (mut voted_yes, mut voted_no) = rig.votes();
        voted_no.insert(0, 2);
        voted_yes.sort_unstable();
        assert_eq!((voted_yes, voted_no), (yes, no));
    }
}

#[test]
fn what_can_wait_is_not_logged_without_space_and_marks_are_logged_with_it() {
    let mut rig = Rig::ready();
    rig.hand(room(RESERVE_BYTES / 2, true));
    rig.settle();
    let groups = rig.logged.len();
    let settled = Some(Settled { from: Version::ZERO, below: id(1, 9), except: Vec::new() });
    let marks = vec![(MemberId(1), GroupSeq(77))];
    rig.batch(Batch { settled, marks: marks.clone(), ask: true, ..Batch::default() });
    rig.settle();
    assert_eq!(rig.logged.len(), groups, "{:?}", rig.logged);
    rig.hand(room(PLENTY, false));
    rig.node.sync_wanted = true;
    rig.settle();
    assert_eq!(rig.logged.last().expect("a group").1, [LogRecord::Marks(marks)]);
}

#[test]
fn a_checkpoint_without_space_is_tried_again_with_growing_pauses() {
    let mut rig = Rig::founded(Rig::with_checkpoint_bytes(1));
    rig.node.found_whole = true;
    let mut now = Time(1_000);
    let begun = |effects: Vec<Effect>| {
        effects.iter().any(|effect| matches!(effect, Effect::Checkpoint { .. }))
    };
    rig.batch(prepares([put(id(1, 1), "a")]));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert!(rig.node.handle(now, Input::NotCheckpointed).is_empty());
        assert!(!begun(rig.node.handle(now, Input::Flush)), "not at once");
        let at = rig.node.next_deadline().expect("it is tried again");
        rig.node.handle(at, Input::Tick);
        assert!(begun(rig.node.handle(at, Input::Flush)));
        pauses.push(at.since_us(now) / 1_000);
        now = at;
    }
    assert!(pauses.is_sorted() && pauses[0] <= 1_000, "{pauses:?}");
    assert_eq!(pauses.last(), Some(&30_000));
    // Checkpoints that never end must not let log and memory grow for ever.
    rig.node.handle(now, Input::NotCheckpointed);
    rig.node.handle(now, Input::Flush);
    assert!(rig.node.is_short_of_space());
    rig.node.handle(now, Input::Checkpointed(GroupSeq(1)));
    assert!(!rig.node.is_short_of_space());
}

/// What a node logs of its own accord would make up for the end that its log has lost.
#[test]
fn r7_a_checkpoint_waits_until_a_coordinator_has_found_the_log_whole() {
    let mut rig = Rig::founded(Rig::with_checkpoint_bytes(1));
    let begun = |effects: Vec<Effect>| {
        effects.iter().any(|effect| matches!(effect, Effect::Checkpoint { .. }))
    };
    rig.batch(prepares([put(id(1, 1), "a")]));
    assert!(!begun(rig.node.handle(Time(1_000), Input::Flush)));
    rig.down(DownBody::Batch(Batch { caught_up: true, ..Batch::default() }));
    assert!(begun(rig.node.handle(Time(1_000), Input::Flush)));
}
