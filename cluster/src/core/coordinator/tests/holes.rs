//! Holes that no other test of the coordinator is about, one a test.

use super::super::READS_MAX;
use super::*;

/// H13: the record names a third participant, which today's ring would not: its word counts, and
/// is waited for.
#[test]
fn h13_the_participants_are_those_of_the_record_and_not_of_todays_ring() {
    for third_has_it in [true, false] {
        let (mut world, at) = left_open([Had::Prepared, Had::Prepared, Had::Away]);
        assert!(!world.holders(&at).contains(&2));
        let id = Version::new(Epoch(1), OLD);
        if third_has_it {
            world.nodes[2].append(old_records(id, &at, 3, Had::Prepared));
        }
        world.advance(100);
        let told =
            |world: &World, commit| world.sides[1].notes.contains(&Note::Resolved(id, commit));
        assert!(!told(&world, true) && !told(&world, false), "the third one has not been heard");
        world.restart(2);
        world.advance(100);
        assert!(told(&world, third_has_it) && !told(&world, !third_has_it));
        let get = world.request(1, 1, ClientOp::Get(at.clone()), 5_000);
        world.run();
        let expected = if third_has_it { "v2" } else { "v1" };
        assert!(text(world.answer(get)).contains(expected), "{:?}", world.answer(get));
    }
}

/// H27: whoever sees a commit at a node, or has the answer, must not find the value before it in
/// the cache, which others read while the core works.
#[test]
fn r12_h27_the_cache_has_a_commit_before_anybody_is_told_of_it() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.advance(1_000);
    let id = world.next_id();
    world.mute.extend([0, 1]);
    let put = world.put(1, &at, "v2");
    world.run();
    let votes: Vec<(u64, Up)> = world
        .wires
        .values_mut()
        .flat_map(|wire| wire.up.drain(..).map(|up| (wire.session, up)).collect::<Vec<_>>())
        .collect();
    let mut inputs: Vec<Input> =
        votes.into_iter().map(|(session, up)| Input::Up { session, up: Box::new(up) }).collect();
    inputs.extend([Input::Flush, Input::Flush]);
    let (mut answered, mut decided) = (0, 0);
    for input in inputs {
        world.now = world.now.plus_ms(10);
        let core = &mut world.sides[0].core;
        for effect in core.handle(world.now, input) {
            let answers = matches!(&effect, Effect::Reply { client, .. } if *client == put);
            let decides = matches!(&effect, Effect::Send { down, .. }
                if matches!(&down.body, DownBody::Batch(batch) if batch.commit.contains(&id)));
            if answers || decides {
                assert_eq!(core.cached_version(&at), Some(id), "{effect:?}");
            }
            answered += usize::from(answers);
            decided += usize::from(decides);
        }
    }
    assert_eq!((answered, decided), (1, 2));
}

/// H60: reads that wait for the fate of a key hold no thread and no room that the decision needs,
/// however many they are.
#[test]
fn h60_reads_that_wait_are_bounded_and_in_no_decisions_way() {
    let (mut world, at) = left_open([Had::Prepared, Had::Away]);
    world.advance(100);
    let get = |world: &mut World, conn: u64, at: &Key| {
        world.request(1, conn, ClientOp::Get(at.clone()), 60_000)
    };
    let waiting: Vec<ClientId> = (0..READS_MAX).map(|n| get(&mut world, n as u64, &at)).collect();
    world.run();
    assert!(waiting.iter().all(|get| world.answer(*get).is_none()));
    let more = get(&mut world, 1 << 40, &at);
    assert_eq!(code(world.answer(more)), Some(ErrorCode::Overloaded));
    // Other keys are written, and the fate of this one is learned and made known.
    let keys = (0..1_000).map(|n| key(&format!("key-{n}")));
    let apart = keys.into_iter().find(|key| !world.holders(key).contains(&1));
    let put = Update::put(apart.expect("some key is elsewhere"), Value::from("v"));
    let put = world.request(1, 1 << 41, ClientOp::Update(put), 5_000);
    world.run();
    assert!(is_ok(world.answer(put)), "{:?}", world.answer(put));
    world.restart(1);
    world.advance(500);
    let answered = |get: &ClientId| text(world.answer(*get)).contains("v1");
    assert!(waiting.iter().all(answered), "it never came to node 1");
    let more = get(&mut world, 1 << 40, &at);
    world.run();
    assert!(is_ok(world.answer(more)), "there is room again");
}
