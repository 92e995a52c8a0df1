//! The lease (R11), claims and stops: what one coordinator leaves to the next.

use super::*;

#[test]
fn h30_a_stop_tells_nothing_that_the_lease_no_longer_covers() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.extend([0, 1, 2]);
    world.del(2, &at);
    let waiting = world.del(1, &at);
    let get = world.get(1, &at);
    // The process stands still; somebody else serves meanwhile.
    world.now = world.now.plus_ms(30_000);
    world.tell(0, Input::Stop);
    assert_eq!(code(world.answer(waiting)), Some(ErrorCode::Overloaded));
    assert!(!is_ok(world.answer(get)), "{:?}", world.answer(get));
}

#[test]
fn a_coordinator_that_is_deposed_while_it_stops_has_stopped() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.extend([0, 1]);
    let put = world.put(1, &at, "v1");
    world.run();
    world.tell(0, Input::Stop);
    assert!(!world.sides[0].released, "an answer is still owed");
    world.say(2, |up| up.fenced = Some(Epoch(9)));
    assert!(world.sides[0].released);
    assert_eq!(world.sides[0].core.phase, Phase::Stopped);
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
}

#[test]
fn r11_a_promise_that_nobody_told_of_may_have_been_to_somebody_alive() {
    let mut world = World::founded();
    world.tell(0, Input::Stop);
    world.run();
    assert!(world.sides[0].released);
    world.kill(0);
    // The second one never reaches node 1, and serves with the other two.
    world.deaf.insert(1);
    let second = world.start(config(101));
    world.run();
    world.advance(2_100);
    assert!(world.sides[second].active);
    world.sides[second].dead = true;
    for wire in world.wires.values_mut().filter(|wire| wire.node == 1) {
        wire.down.clear();
    }
    // The third claims of nodes 0 and 1; node 0's first report is lost on its way.
    world.deaf = BTreeSet::from([2]);
    world.mute.insert(0);
    let third = world.start(config(102));
    world.run();
    let lost = world.wires.iter().find(|(_, w)| w.side == third && w.node == 0);
    let lost = *lost.expect("it has dialled").0;
    world.cut(lost);
    world.mute.clear();
    world.advance(500);
    assert!(!world.sides[third].active, "the second one may hold a lease");
    world.advance(2_000);
    assert!(world.sides[third].active);
}

#[test]
fn r11_without_a_lease_reads_and_negative_answers_are_parked() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.extend([0, 1, 2]);
    world.now = world.sides[0].lease;
    let get = world.get(2, &at);
    let patient = world.request(0, 3, ClientOp::Get(at.clone()), 60_000);
    world.run();
    assert!(world.answer(get).is_none() && world.answer(patient).is_none());
    world.advance(5_100);
    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
    world.mute.clear();
    world.advance(1_000);
    assert!(text(world.answer(patient)).contains("v1"));
    // A negative answer: the key was read from a node while the lease held.
    let missing = world.some_other_key(&at);
    let holders = world.holders(&missing);
    world.stuck.extend(holders.iter());
    let del = world.del(4, &missing);
    world.run();
    world.stuck.clear();
    world.now = world.sides[0].lease.plus_ms(1);
    let late: Vec<_> = holders.iter().flat_map(|n| world.nodes[*n].looks.pop_front()).collect();
    world.mute.extend([0, 1, 2]);
    for (node, look) in holders.iter().zip(late) {
        world.ask(*node, look);
    }
    world.run();
    assert!(world.answer(del).is_none());
    world.mute.clear();
    world.advance(1_000);
    assert_eq!(code(world.answer(del)), Some(ErrorCode::NotFound));
}

#[test]
fn r11_a_new_coordinator_tells_nothing_before_the_old_lease_has_ended() {
    let at = World::founded().some_key();
    for (config, waits) in [(config(101), true), (successor(101), false)] {
        let mut world = World::founded();
        world.put(1, &at, "v1");
        world.run();
        world.kill(0);
        let side = world.start(config);
        let get = world.request(side, 1, ClientOp::Get(at.clone()), 5_000);
        world.run();
        world.advance(500);
        assert_eq!(world.answer(get).is_none(), waits);
        world.advance(1_510);
        assert_eq!(world.answer(get).is_none(), waits, "2,010 ms");
        world.advance(50);
        assert!(text(world.answer(get)).contains("v1"));
    }
    // Released, it needs no waiting either.
    let mut world = World::founded();
    world.tell(0, Input::Stop);
    world.run();
    assert!(world.sides[0].released);
    world.kill(0);
    let side = world.start(config(101));
    world.run();
    world.advance(50);
    assert!(world.sides[side].active);
}

#[test]
fn r11_one_that_never_finished_its_own_wait_proves_nothing_by_its_death() {
    let mut world = World::founded();
    // The first one lives on; the second one claims, waits, and is known to be dead.
    world.sides[0].dead = true;
    let second = world.start(config(101));
    world.run();
    world.kill(second);
    let third = world.start(Config { reaped: vec![Uuid(101)], ..config(102) });
    world.run();
    world.advance(1_900);
    assert!(!world.sides[third].active);
    world.advance(200);
    assert!(world.sides[third].active);
}

#[test]
fn h16_two_coordinators_that_claim_at_once_do_not_serve_in_one_epoch() {
    let mut world = World::founded();
    world.kill(0);
    let one = world.start_alone(successor(101));
    let two = world.start_alone(successor(102));
    for (node, order) in [(0, [one, two]), (1, [two, one]), (2, [one, two])] {
        for side in order {
            world.register(side, node);
        }
    }
    let epochs = |world: &World| [one, two].map(|side| world.sides[side].core.epoch);
    assert_eq!(epochs(&world), [Epoch(2); 2]);
    let mut served = BTreeSet::new();
    for _ in 0..500 {
        world.advance(10);
        for side in [one, two] {
            if world.sides[side].core.phase == Phase::Active {
                let epoch = world.sides[side].core.epoch;
                let first = served.iter().all(|(other, of)| *other != epoch || *of == side);
                assert!(first, "epoch {epoch} was served by another");
                served.insert((epoch, side));
            }
        }
    }
    assert!(!served.is_empty(), "one of them serves");
}
