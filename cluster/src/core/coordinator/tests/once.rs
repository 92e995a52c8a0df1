//! R16: repeating an update is harmless; and what became of one.

use protocol::reply::{self, UpdateState};

use super::super::UpdateName;
use super::*;

impl World {
    fn outcome(&mut self, side: usize, of: UpdateName) -> ClientId {
        self.request(side, 9, ClientOp::Outcome(of), 5_000)
    }

    fn state(&mut self, side: usize, of: UpdateName) -> Option<UpdateState> {
        let asked = self.outcome(side, of);
        self.run();
        let Some(Answer::Ok(tail)) = self.answer(asked) else { return None };
        let mut line = Vec::new();
        reply::write_reply(&mut line, None, true, tail);
        Some(reply::decode_outcome(&line).expect("it reads back").expect("ok"))
    }

    fn once_entries(&self, side: usize) -> u64 {
        self.sides[side].core.status(self.now).once.entries
    }
}

fn called(text: &str) -> UpdateName {
    UpdateName::Once(name(text, "").name)
}

#[test]
fn r16_a_repetition_gets_the_first_ones_result_and_writes_nothing() {
    let mut world = World::founded();
    let at = world.some_key();
    let first = world.put_once(0, 1, &at, "v1", "first");
    world.run();
    let later = world.put(2, &at, "v2");
    world.run();
    let again = world.put_once(0, 3, &at, "v1", "first");
    world.run();
    assert!(is_ok(world.answer(later)));
    assert_eq!(text(world.answer(first)), text(world.answer(again)));
    let get = world.get(4, &at);
    world.run();
    assert!(text(world.answer(get)).contains("v2"));
    let other = world.put_once(0, 5, &at, "v3", "first");
    world.run();
    assert_eq!(code(world.answer(other)), Some(ErrorCode::BadRequest));
    assert_eq!(world.once_entries(0), 1);
}

#[test]
fn r16_a_repetition_of_one_that_is_out_waits_for_it_and_reads_wait_for_the_repetition() {
    let mut world = World::founded();
    let at = world.some_key();
    let slow = world.holders(&at)[0];
    world.slow.insert(slow);
    let first = world.put_once(0, 1, &at, "v1", "first");
    world.run();
    let again = world.put_once(0, 2, &at, "v1", "first");
    let get = world.get(2, &at);
    let other = world.put_once(0, 3, &at, "v22", "first");
    world.run();
    assert_eq!(world.state(0, called("first")), Some(UpdateState::InDoubt));
    assert!(world.answer(first).is_none() && world.answer(again).is_none());
    assert!(world.answer(get).is_none(), "program order");
    assert_eq!(code(world.answer(other)), Some(ErrorCode::BadRequest));
    world.slow.clear();
    world.run();
    assert_eq!(text(world.answer(first)), text(world.answer(again)));
    assert!(text(world.answer(get)).contains("v1"));
    assert_eq!(world.state(0, called("first")), Some(UpdateState::Committed));
}

#[test]
fn r16_a_repetition_of_one_that_was_aborted_is_carried_out() {
    let mut world = World::founded();
    let at = world.some_key();
    let node = world.holders(&at)[0];
    world.mute.insert(node);
    let id = world.next_id();
    let first = world.put_once(0, 1, &at, "v1", "first");
    world.run();
    let again = world.put_once(0, 2, &at, "v1", "first");
    world.run();
    world.say(node, |up| {
        up.yes.clear();
        up.no = vec![Refusal { c: id.counter(), reason: "test".into() }];
    });
    world.mute.clear();
    world.run();
    assert_eq!(code(world.answer(first)), Some(ErrorCode::Aborted));
    assert_eq!(world.state(0, UpdateName::Version(id)), Some(UpdateState::Aborted));
    assert!(is_ok(world.answer(again)), "{:?}", world.answer(again));
    assert_eq!(world.once_entries(0), 1);
}

#[test]
fn r16_a_refused_condition_is_not_recorded() {
    let mut world = World::founded();
    let at = world.some_key();
    let once = Some(name("delete", ""));
    for (slot, found) in [(900, false), (901, false), (902, true), (903, true)] {
        if slot == 902 {
            world.put(1, &at, "v1");
            world.run();
        }
        let client = ClientId { conn: 2, slot };
        let (op, once) = (ClientOp::Update(Update::del(at.clone(), None)), once.clone());
        world.tell(0, Input::Request { client, op, once, timeout_ms: 5_000 });
        world.run();
        let expected = if found { None } else { Some(ErrorCode::NotFound) };
        assert_eq!(code(world.answer(client)), expected, "{slot}");
    }
}

/// Contract: "also across any restart"
#[test]
fn r16_a_new_coordinator_knows_what_was_committed_before_it() {
    let mut world = World::founded();
    let at = world.some_key();
    let first = world.put_once(0, 1, &at, "v1", "first");
    world.put(1, &at, "v2");
    world.run();
    world.advance(100);
    world.kill(0);
    // They know it from their keystores, whatever their logs have left of it.
    for node in 0..3 {
        world.crash(node);
        world.restart(node);
    }
    let side = world.start(successor(101));
    world.stuck.extend(0..3);
    world.run();
    world.advance(50);
    let again = world.put_once(side, 2, &at, "v1", "first");
    let fresh = world.put_once(side, 3, &at, "v3", "second");
    let plain = world.request(
        side,
        4,
        ClientOp::Update(Update::put(world.some_other_key(&at), Value::from("v"))),
        5_000,
    );
    let asked = world.outcome(side, called("third"));
    world.run();
    assert!(world.answer(again).is_none() && world.answer(fresh).is_none(), "not looked up yet");
    assert!(world.answer(asked).is_none());
    assert!(is_ok(world.answer(plain)), "updates without a name need no table");
    world.stuck.clear();
    world.run();
    assert_eq!(text(world.answer(first)), text(world.answer(again)));
    assert!(is_ok(world.answer(fresh)));
    assert_eq!(world.state(side, called("first")), Some(UpdateState::Committed));
    assert_eq!(world.state(side, called("third")), Some(UpdateState::Unknown));
    let id = Version::new(Epoch(1), 1);
    assert_eq!(world.state(side, UpdateName::Version(id)), Some(UpdateState::Committed));
    let never = Version::new(Epoch(2), 4_000);
    assert_eq!(world.state(side, UpdateName::Version(never)), Some(UpdateState::Unknown));
}

#[test]
fn r16_what_may_be_a_repetition_is_not_denied_while_that_is_not_known() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put_once(0, 1, &at, "v1", "first");
    world.run();
    world.advance(100);
    world.kill(0);
    let side = world.start(successor(101));
    world.stuck.extend(0..3);
    world.run();
    world.advance(50);
    let again = world.put_once(side, 2, &at, "v1", "first");
    let down = world.holders(&at)[1];
    world.crash(down);
    world.run();
    assert!(world.answer(again).is_none(), "replica_down would say that it did not happen");
    world.advance(5_000);
    assert_eq!(code(world.answer(again)), Some(ErrorCode::UnknownOutcome));
    world.stuck.clear();
    world.run();
    let again = world.put_once(side, 2, &at, "v1", "first");
    assert!(is_ok(world.answer(again)), "known, it is answered though a replica is down");
    let fresh = world.put_once(side, 2, &at, "v1", "second");
    assert_eq!(code(world.answer(fresh)), Some(ErrorCode::ReplicaDown));
}

#[test]
fn r16_what_an_earlier_epoch_left_open_is_repeated_when_it_is_decided() {
    use Had::{Aborted, Away, Committed, Cut, Never, Prepared, Refused};
    let table = [
        (Committed, Prepared, Some(true)),
        (Prepared, Prepared, Some(true)),
        (Prepared, Cut, Some(true)),
        (Prepared, Refused, Some(false)),
        (Prepared, Never, Some(false)),
        (Aborted, Never, Some(false)),
        (Prepared, Away, None),
    ];
    let id = Version::new(Epoch(1), OLD);
    for (one, other, fate) in table {
        for states in [[one, other], [other, one]] {
            let (mut world, at) = left_open(states);
            let again = world.put_once(1, 1, &at, "v2", "left open");
            world.advance(1_000);
            let state = world.state(1, UpdateName::Version(id));
            let answer = text(world.answer(again));
            match fate {
                Some(true) => {
                    assert!(answer.contains(&id.to_string()), "{states:?}: {answer}");
                    assert_eq!(state, Some(UpdateState::Committed), "{states:?}");
                }
                Some(false) => {
                    assert!(is_ok(world.answer(again)), "{states:?}: {answer}");
                    assert!(!answer.contains(&id.to_string()), "{states:?}: {answer}");
                    assert_eq!(state, Some(UpdateState::Aborted), "{states:?}");
                }
                None => {
                    assert!(world.answer(again).is_none(), "{states:?}: {answer}");
                    assert_eq!(state, Some(UpdateState::InDoubt), "{states:?}");
                    assert_eq!(world.state(1, called("left open")), Some(UpdateState::InDoubt));
                }
            }
        }
    }
}

/// Contract: "within 60 s (longer while the server's table has room"
#[test]
fn r16_the_table_is_bounded_and_keeps_each_entry_a_minute() {
    let mut world = World::blank();
    world.start(Config { once_entries_max: 3, ..config(100) });
    world.run();
    world.advance(20);
    let at = world.some_key();
    for n in 0..3 {
        world.put_once(0, 1, &at, "v", &format!("number {n}"));
        world.run();
        world.advance(1_000);
    }
    let held = |world: &World| world.holders(&at).iter().map(|n| world.nodes[*n].onces.len()).max();
    let fourth = world.put_once(0, 1, &at, "v", "number 3");
    assert_eq!(code(world.answer(fourth)), Some(ErrorCode::Overloaded));
    let plain = world.put(1, &at, "v");
    world.run();
    assert!(is_ok(world.answer(plain)));
    let again = world.put_once(0, 1, &at, "v", "number 0");
    assert!(is_ok(world.answer(again)), "a repetition needs no room");
    world.advance(57_500);
    let fourth = world.put_once(0, 1, &at, "v", "number 3");
    world.run();
    assert!(is_ok(world.answer(fourth)), "the oldest was a minute old");
    let fifth = world.put_once(0, 1, &at, "v", "number 4");
    assert_eq!(code(world.answer(fifth)), Some(ErrorCode::Overloaded));
    world.advance(500);
    assert_eq!((world.once_entries(0), held(&world)), (3, Some(3)), "nodes drop what it dropped");
}

#[test]
fn an_outcome_is_told_only_with_the_lease() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    world.put(1, &at, "v1");
    world.run();
    world.mute.extend(0..3);
    world.silent.extend(0..3);
    world.advance(3_000);
    let asked = world.outcome(0, UpdateName::Version(id));
    world.run();
    assert!(world.answer(asked).is_none());
    world.mute.clear();
    world.silent.clear();
    world.advance(1_000);
    assert!(text(world.answer(asked)).contains("committed"));
    world.mute.extend(0..3);
    world.advance(3_000);
    let asked = world.outcome(0, UpdateName::Version(id));
    world.advance(5_000);
    assert_eq!(code(world.answer(asked)), Some(ErrorCode::Unavailable));
}

/// Contract: "or was decided too long ago"
#[test]
fn what_all_have_confirmed_is_forgotten_and_then_unknown() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    assert_eq!(world.state(0, UpdateName::Version(id)), Some(UpdateState::Committed));
    // Confirmed, announced as settled, forgotten (R8).
    world.advance(2_000);
    world.kill(0);
    let side = world.start(config(101));
    world.advance(5_000);
    assert!(world.sides[side].active);
    assert_eq!(world.state(side, UpdateName::Version(id)), Some(UpdateState::Unknown));
    let get = world.request(side, 4, ClientOp::Get(at), 5_000);
    world.run();
    assert!(text(world.answer(get)).contains("v1"), "it is there all the same");
}
