//! Updates: their order, what they wait for and for how long, and what they are told.

use super::*;

/// Contract: "`aborted` | `reason` | certainly did not and will not happen | safe"
#[test]
fn aborted_updates_are_counted() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    // Node 0 has lost the value; the second update is conditional on it.
    world.advance(100);
    world.nodes[0].keys.clear();
    let del = world.del(1, &at);
    world.run();
    assert_eq!(code(world.answer(del)), Some(ErrorCode::Aborted));
    assert_eq!(world.sides[0].core.status(world.now).txns["aborted"], 1);
}

#[test]
fn an_update_is_refused_at_once_where_a_replica_is_silent_and_waits_where_it_was_handed_over() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.mute.insert(0);
    let id = world.next_id();
    let sent = world.put(1, &at, "v2");
    let gone = world.request(0, 9, ClientOp::Update(Update::del(at.clone(), None)), 5_000);
    let queued = world.del(2, &at);
    world.run();
    assert!(world.answer(queued).is_none(), "it rests on one that is not decided (H20)");
    let conn = *world.wires.iter().find(|(_, w)| w.node == 0).expect("a link").0;
    world.deaf.insert(0);
    world.cut(conn);
    assert_eq!(code(world.answer(queued)), Some(ErrorCode::ReplicaDown), "queued");
    let new = world.put(3, &at, "v3");
    assert_eq!(code(world.answer(new)), Some(ErrorCode::ReplicaDown), "new");
    world.advance(4_900);
    assert!(world.answer(sent).is_none() && world.answer(gone).is_none());
    world.advance(200);
    for client in [sent, gone] {
        assert_eq!(code(world.answer(client)), Some(ErrorCode::UnknownOutcome));
    }
    assert!(format!("{:?}", world.answer(sent)).contains(&id.to_string()), "names the version");
    // Reads go on with what is decided.
    let get = world.get(4, &at);
    world.run();
    assert!(text(world.answer(get)).contains("v1"));
    // The transactions do not end with their clients' patience.
    world.deaf.clear();
    world.mute.clear();
    world.advance(1_000);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    let get = world.get(4, &at);
    world.run();
    assert_eq!(code(world.answer(get)), Some(ErrorCode::NotFound), "put and delete are there");
    assert_eq!(world.value(0, &at), None);
}

#[test]
fn h20_a_negative_answer_waits_for_the_write_before_it_and_is_given_anew_after_an_abort() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.advance(50);
    world.mute.extend([0, 1]);
    let aborted = world.del(1, &at);
    let second = world.del(2, &at);
    // Node 0 finds something else than the coordinator, and refuses.
    let there = world.nodes[0].keys.remove(&at).expect("it was applied");
    world.run();
    world.nodes[0].keys.insert(at.clone(), there);
    assert!(world.answer(second).is_none(), "it rests on one that is not decided");
    world.mute.remove(&0);
    world.run();
    assert!(world.answer(aborted).is_none(), "node 1 may hold it still (R5)");
    assert!(world.answer(second).is_none());
    world.mute.clear();
    world.run();
    assert_eq!(code(world.answer(aborted)), Some(ErrorCode::Aborted));
    assert!(is_ok(world.answer(second)), "{:?}", world.answer(second));
    let third = world.del(2, &at);
    world.run();
    assert_eq!(code(world.answer(third)), Some(ErrorCode::NotFound));
}

#[test]
fn h62_h63_a_slow_node_delays_only_its_own_keys() {
    let mut world = World::founded();
    world.slow.insert(0);
    let keys: Vec<Key> = (0..20_000).map(|n| key(&format!("k{n}"))).collect();
    let (held, free): (Vec<Key>, Vec<Key>) =
        keys.into_iter().partition(|key| world.holders(key).contains(&0));
    assert!(held.len() > 9_000 && !free.is_empty());
    // More than fits the window of node 0.
    for at in &held[..9_000] {
        world.put(1, at, "v");
    }
    world.run();
    assert!(world.sides[0].answers.is_empty());
    let other = world.put(2, &free[0], "v");
    world.run();
    assert!(is_ok(world.answer(other)), "{:?}", world.answer(other));
    world.slow.clear();
    world.advance(100);
    assert_eq!(world.sides[0].answers.len(), 9_001, "every one has its answer");
    assert!(world.sides[0].answers.values().all(|answer| is_ok(Some(answer))));
}

#[test]
fn r13_every_wait_has_an_end() {
    // Before there is a cluster.
    let mut world = World::blank();
    world.start_alone(config(100));
    let at = key("a");
    let get = world.get(1, &at);
    let put = world.put(1, &at, "v");
    world.advance(5_100);
    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
    assert_eq!(code(world.answer(put)), Some(ErrorCode::Timeout));
    // Behind an update that is not decided.
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    let first = world.request(0, 1, ClientOp::Update(Update::del(at.clone(), None)), 300);
    let second = world.request(0, 2, ClientOp::Update(Update::del(at.clone(), None)), 400);
    world.advance(350);
    assert_eq!(code(world.answer(first)), Some(ErrorCode::UnknownOutcome));
    assert!(world.answer(second).is_none());
    world.advance(100);
    assert_eq!(code(world.answer(second)), Some(ErrorCode::Timeout));
}

#[test]
fn ids_rise_in_the_order_of_each_keys_queue() {
    let mut world = World::founded();
    let at = world.some_key();
    let puts: Vec<ClientId> = (0..50).map(|n| world.put(n % 5, &at, &format!("{n}"))).collect();
    world.run();
    let number = |client: &ClientId| text(world.answer(*client));
    let versions: Vec<String> = puts.iter().map(number).collect();
    let counters: Vec<u64> = versions
        .iter()
        .filter_map(|tail| tail.split('"').find_map(|word| word.parse::<Version>().ok()))
        .map(Version::counter)
        .collect();
    assert_eq!(counters.len(), 50);
    assert!(counters.windows(2).all(|pair| pair[0] < pair[1]), "{counters:?}");
    let get = world.get(9, &at);
    assert!(text(world.answer(get)).contains("\"49\""));
}
