//! Reads: what a connection sees of its own updates and of others', and what the cache takes in.

use super::*;

#[test]
fn reads_of_one_connection_and_key_are_answered_from_one_time_to_the_next() {
    let mut world = World::founded();
    let at = world.some_key();
    let holders = world.holders(&at);
    world.put(1, &at, "v1");
    world.run();
    world.forget(&at);
    world.stuck.insert(holders[0]);
    let first = world.get(1, &at);
    world.run();
    world.put(2, &at, "v2");
    world.run();
    let second = world.get(1, &at);
    world.put(2, &at, "v3");
    world.run();
    world.crash(holders[0]);
    world.run();
    assert!(text(world.answer(first)).contains("v3"));
    assert!(text(world.answer(second)).contains("v3"), "{}", text(world.answer(second)));
}

#[test]
fn a_get_goes_on_with_the_last_decided_value_when_its_own_put_is_unknown() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    let put =
        world.request(0, 1, ClientOp::Update(Update::put(at.clone(), Value::from("v2"))), 200);
    let get = world.get(1, &at);
    world.advance(100);
    assert!(world.answer(get).is_none(), "program order");
    world.advance(150);
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
    assert!(text(world.answer(get)).contains("v1"), "{:?}", world.answer(get));
}

#[test]
fn h23_h24_an_answer_that_was_on_its_way_brings_nothing_old_back() {
    for delete in [false, true] {
        let mut world = World::founded();
        let at = world.some_key();
        let holders = world.holders(&at);
        world.put(1, &at, "v1");
        world.run();
        world.advance(50);
        world.forget(&at);
        world.stuck.insert(holders[0]);
        let early = world.get(1, &at);
        world.run();
        // The look has found v1 and waits; the new state is committed meanwhile, and evicted.
        if delete {
            world.stuck.clear();
            let late: Vec<_> = world.nodes[holders[0]].looks.drain(..).collect();
            let del = world.del(2, &at);
            world.run();
            assert!(is_ok(world.answer(del)));
            world.nodes[holders[0]].looks.extend(late);
        } else {
            let put = world.put(2, &at, "v2");
            world.run();
            assert!(is_ok(world.answer(put)));
        }
        world.stuck.clear();
        world.run();
        assert!(text(world.answer(early)).contains("v1"), "as of its place on the link");
        let get = world.get(3, &at);
        world.run();
        if delete {
            assert_eq!(code(world.answer(get)), Some(ErrorCode::NotFound));
        } else {
            assert!(text(world.answer(get)).contains("v2"));
        }
    }
}

#[test]
fn a_get_behind_a_put_of_its_own_connection_sees_it_and_others_do_not_wait() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    world.put(1, &at, "v2");
    let own = world.get(1, &at);
    let other = world.get(2, &at);
    world.run();
    assert!(world.answer(own).is_none());
    assert!(text(world.answer(other)).contains("v1"));
    world.mute.clear();
    world.run();
    assert!(text(world.answer(own)).contains("v2"));
}
