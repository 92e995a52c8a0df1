//! What no sound node says, or not any more: numbers that cannot be, votes that do not count.

use super::*;

#[test]
fn a_fence_that_is_no_epoch_is_refused_and_does_not_end_the_cluster() {
    let mut world = World::blank();
    world.start_alone(config(100));
    let register = Register { fence: Epoch(u32::MAX), ..world.registration(0) };
    world.register_as(0, register);
    assert_eq!(world.sides[0].refusals.len(), 1);
    let mut world = World::founded();
    world.say(0, |up| up.fenced = Some(Epoch(u32::MAX)));
    world.advance(1_000);
    assert_eq!(world.sides[0].core.phase, Phase::Active);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
}

#[test]
fn a_vote_that_is_no_counter_ends_the_session_only() {
    let mut world = World::founded();
    world.say(0, |up| up.yes = vec![u64::MAX]);
    world.advance(1_000);
    world.say(1, |up| up.no = vec![Refusal { c: u64::MAX, reason: "no".into() }]);
    world.advance(1_000);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
}

#[test]
fn r4_a_vote_of_a_node_that_is_no_participant_does_not_count() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    world.mute.extend([0, 1]);
    let put = world.put(1, &at, "v");
    world.run();
    world.say(2, |up| up.yes = vec![id.counter()]);
    world.say(0, |up| up.yes = vec![id.counter()]);
    world.tell(0, Input::Flush);
    assert!(world.answer(put).is_none());
    world.say(2, |up| up.no = vec![Refusal { c: id.counter(), reason: "no".into() }]);
    world.say(1, |up| up.yes = vec![id.counter()]);
    world.tell(0, Input::Flush);
    assert!(is_ok(world.answer(put)), "{:?}", world.answer(put));
}

#[test]
fn a_forged_heartbeat_does_not_break_status() {
    let mut world = World::founded();
    for node in 0..3 {
        let mut heartbeat = world.heartbeat(node);
        (heartbeat.seq, heartbeat.figures.keys_primary) = (1 << 40, u64::MAX);
        world.tell(0, Input::Heartbeat(Box::new(heartbeat)));
    }
    world.sides[0].core.status(world.now);
}

/// H15: a vote that was in when its node began a new life.
#[test]
fn r4_a_vote_of_an_incarnation_that_is_over_does_not_count() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.insert(1);
    let put = world.put(1, &at, "v1");
    world.run();
    world.crash(0);
    world.deaf.insert(0);
    world.restart(0);
    world.advance(100);
    world.mute.remove(&1);
    world.run();
    assert!(world.answer(put).is_none(), "node 0 has not shown yet what it still has");
    world.deaf.remove(&0);
    world.run();
    assert!(is_ok(world.answer(put)));
}
