//! What an earlier coordinator left open is decided (R6), what a store has lost is noticed (R7), and
//! what is decided everywhere is forgotten (R8).

use super::super::Action;
use super::*;

/// What a node may show of a transaction of an epoch that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Had {
    Prepared,
    Committed,
    Refused,
    Aborted,
    Never,
    /// Its log was cut: that nothing is there proves nothing.
    Cut,
    /// It does not come.
    Away,
}

pub(super) const OLD: u64 = 900;

/// What the log of one of the participants, the first `count` nodes, holds of a put of `v2` that it
/// had in this state.
pub(super) fn old_records(id: Version, at: &Key, count: usize, had: Had) -> Vec<LogRecord> {
    use super::super::super::record::{Prepared, Previous, Write};
    let participants: Vec<MemberId> = (0..count as u16).map(MemberId).collect();
    let write = Write {
        key: at.clone(),
        value: Some(Value::from("v2")),
        previous: Previous::Any,
        flags: 0,
        expires_ms: 0,
        holders: Vec::new(),
    };
    let prepare = LogRecord::Prepare(Arc::new(Prepared {
        id,
        ring: RingNumber { epoch: Epoch(1), counter: 0 },
        participants: participants.clone(),
        rests_on: Vec::new(),
        writes: vec![write],
        once: Some(name("left open", "v2")),
    }));
    match had {
        Had::Prepared => vec![prepare],
        Had::Committed => vec![prepare, LogRecord::Commit { id }],
        Had::Refused => vec![LogRecord::Refuse { id, participants }],
        Had::Aborted => vec![prepare, LogRecord::Abort { id, participants }],
        Had::Never | Had::Cut | Had::Away => Vec::new(),
    }
}

/// A cluster whose first coordinator died over one put of `v2`, and left it in these states at its
/// participants, the first nodes. A new one has just started.
pub(super) fn left_open<const N: usize>(states: [Had; N]) -> (World, Key) {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.advance(1_000);
    world.kill(0);
    let id = Version::new(Epoch(1), OLD);
    for (node, had) in states.into_iter().enumerate() {
        world.crash(node);
        let machine = &mut world.nodes[node];
        machine.append(old_records(id, &at, N, had));
        if had == Had::Cut {
            machine.meta.cut_through = Epoch(1);
        }
        if had == Had::Committed {
            let found = Found { version: id, value: Some(Value::from("v2")) };
            machine.keys.insert(at.clone(), found);
        }
        if had != Had::Away {
            world.restart(node);
        }
    }
    world.start(successor(101));
    world.run();
    (world, at)
}

#[test]
fn r7_a_store_whose_log_ends_before_what_was_seen_of_it_is_lost() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.advance(600);
    let groups = world.nodes[0].log.len();
    world.crash(0);
    world.restart_with(0, groups - 1);
    world.advance(100);
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
    assert_eq!(world.states(0)[0], NodeState::Down);
    // Its record at the others outlives the coordinator that saw it.
    let mut world = World::founded();
    world.put(1, &at, "v1");
    world.run();
    for value in ["v2", "v3"] {
        world.put(1, &at, value);
        world.run();
    }
    world.advance(300);
    world.kill(0);
    world.crash(0);
    world.restart_with(0, 1);
    world.start(successor(101));
    world.run();
    world.advance(100);
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
    // Also where the only other witness took part in nothing.
    let mut world = World::founded();
    world.put(1, &at, "v1");
    world.run();
    world.advance(1_000);
    world.kill(0);
    world.crash(0);
    world.restart_with(0, 1);
    (world.deaf, world.mute) = (BTreeSet::from([1]), BTreeSet::from([1]));
    world.start(successor(101));
    world.run();
    world.advance(100);
    assert_eq!(world.states(1)[0], NodeState::Down);
    assert!(world.nodes[0].exit.is_none(), "what it shows is not durable elsewhere");
    (world.deaf, world.mute) = (BTreeSet::new(), BTreeSet::new());
    world.advance(5_000);
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
}

#[test]
fn r8_nothing_is_forgotten_before_all_participants_have_confirmed_it() {
    let mut world = World::founded();
    let at = world.some_key();
    let committed = |world: &World, node: usize| {
        let core = world.nodes[node].core.as_ref().expect("it runs");
        core.count_in(protocol::peer::TxnState::Committed)
    };
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    // Voted, answered, and the decision is not yet sent: node 1 does not get it.
    world.deaf.insert(1);
    world.advance(1_000);
    assert_eq!(committed(&world, 0), 1);
    world.deaf.clear();
    world.advance(2_000);
    assert_eq!((committed(&world, 0), committed(&world, 1)), (0, 0));
}

#[test]
fn r8_a_member_that_is_away_keeps_only_older_epochs_from_being_forgotten() {
    let count = |world: &World, node: usize, state| {
        let core = world.nodes[node].core.as_ref().expect("it runs");
        core.count_in(state)
    };
    let old = Version::new(Epoch(1), OLD);
    use Had::{Aborted, Away, Committed, Never, Prepared};
    let table = [
        (Never, Prepared, "v1"),
        (Never, Aborted, "v1"),
        (Never, Never, "v1"),
        (Prepared, Prepared, "v2"),
        (Committed, Prepared, "v2"),
    ];
    for (there, away, expected) in table {
        // Node 1 is away since before this coordinator, and may show what nobody else has.
        let (mut world, at) = left_open([there, Away]);
        world.nodes[1].append(old_records(old, &at, 2, away));
        world.advance(4_000);
        let keys = (0..1_000).map(|n| key(&format!("key-{n}")));
        let apart: Vec<Key> = keys.filter(|key| !world.holders(key).contains(&1)).collect();
        let mut ids = Vec::new();
        for at in &apart[..5] {
            let core = &world.sides[1].core;
            ids.push(Version::new(core.epoch, core.counter + 1));
            let put = ClientOp::Update(Update::put(at.clone(), Value::from("new")));
            let put = world.request(1, 7, put, 5_000);
            world.run();
            assert!(is_ok(world.answer(put)), "{away:?}");
        }
        world.advance(2_000);
        for node in [0, 2] {
            let older = usize::from(there == Committed && node == 0);
            assert_eq!(
                count(&world, node, TxnState::Committed),
                older,
                "the new ones are forgotten"
            );
        }
        let settled = |world: &World| world.sides[1].core.settled(Version::new(ids[0].epoch(), 0));
        assert!(ids.iter().all(|id| settled(&world).covers(*id)));
        assert!(!settled(&world).covers(old), "what it may hold is not settled");
        world.restart(1);
        world.run();
        world.advance(4_000);
        for node in [0, 1] {
            assert!(world.nodes[node].exit.is_none(), "{away:?}: {:?}", world.nodes[node].exit);
            let states = [TxnState::Prepared, TxnState::Committed, TxnState::Aborted];
            let left = states.map(|state| count(&world, node, state));
            assert_eq!(left, [0, 0, 0], "{away:?} at {node}");
        }
        assert_eq!(world.value(1, &at), Some(Value::from(expected)), "{away:?}");
    }
}

#[test]
fn r6_what_an_earlier_epoch_left_open_is_decided_by_the_table() {
    use Had::{Aborted, Away, Committed, Cut, Never, Prepared, Refused};
    let table = [
        (Committed, Prepared, Some(true)),
        (Committed, Committed, Some(true)),
        (Prepared, Prepared, Some(true)),
        (Prepared, Cut, Some(true)),
        (Prepared, Refused, Some(false)),
        (Prepared, Aborted, Some(false)),
        (Prepared, Never, Some(false)),
        (Refused, Refused, Some(false)),
        (Aborted, Never, Some(false)),
        (Prepared, Away, None),
        (Committed, Away, Some(true)),
        (Aborted, Away, Some(false)),
    ];
    for (one, other, fate) in table {
        for states in [[one, other], [other, one]] {
            let (mut world, at) = left_open(states);
            let get = world.request(1, 1, ClientOp::Get(at.clone()), 5_000);
            world.advance(1_000);
            assert!(world.sides[1].active, "{states:?}");
            let exits: Vec<_> = world.nodes.iter().filter_map(|node| node.exit.clone()).collect();
            assert!(exits.is_empty(), "{states:?} {exits:?}");
            let id = Version::new(Epoch(1), OLD);
            let decided = [true, false]
                .into_iter()
                .find(|commit| world.sides[1].notes.contains(&Note::Resolved(id, *commit)));
            assert_eq!(decided, fate, "{states:?}");
            match fate {
                Some(true) => assert!(text(world.answer(get)).contains("v2"), "{states:?}"),
                Some(false) => assert!(text(world.answer(get)).contains("v1"), "{states:?}"),
                None => {
                    assert!(world.answer(get).is_none(), "{states:?}");
                    world.advance(4_100);
                    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
                    let away = usize::from(other != one && states[1] == other);
                    world.restart(away);
                    world.advance(1_000);
                    let get = world.request(1, 1, ClientOp::Get(at.clone()), 5_000);
                    world.run();
                    assert!(text(world.answer(get)).contains("v1"), "it never came there");
                }
            }
        }
    }
}

#[test]
fn r6_a_choice_is_durable_at_all_survivors_before_it_is_shown() {
    let (mut world, at) = left_open([Had::Prepared, Had::Away]);
    world.nodes[1].meta.cut_through = Epoch(1);
    let get = world.request(1, 1, ClientOp::Get(at.clone()), 60_000);
    world.advance(100);
    world.slow.insert(0);
    world.restart(1);
    world.run();
    let id = Version::new(Epoch(1), OLD);
    assert!(world.sides[1].notes.contains(&Note::Resolved(id, true)));
    world.advance(1_000);
    assert!(world.answer(get).is_none(), "node 0 has not made the choice durable");
    world.slow.clear();
    world.advance(500);
    assert!(text(world.answer(get)).contains("v2"));
}

#[test]
fn watches_are_told_of_what_was_left_open_in_the_order_of_ids() {
    let (mut world, at) = left_open([Had::Away, Had::Cut]);
    world.advance(3_000);
    let watch = super::super::WatchOp::Key(at.clone());
    world.request(1, 7, ClientOp::Watch(watch), 5_000);
    world.run();
    // The first one is a choice, which must be durable before it is shown; the second one is not.
    for (nth, had) in [(0, Had::Prepared), (1, Had::Committed)] {
        let mut records = old_records(Version::new(Epoch(1), OLD + nth), &at, 2, had);
        if let Some(LogRecord::Prepare(prepared)) = records.first_mut() {
            Arc::make_mut(prepared).once = None;
        }
        world.nodes[0].append(records);
    }
    world.restart(0);
    world.advance(3_000);
    let told: Vec<&String> =
        world.sides[1].lines.iter().filter(|(to, _)| *to == 7).map(|(_, line)| line).collect();
    let versions: Vec<bool> = [OLD, OLD + 1]
        .iter()
        .zip(&told)
        .map(|(nth, line)| line.contains(&format!("\"1.{nth}\"")))
        .collect();
    assert_eq!(versions, [true, true], "{told:?}");
}

/// H42: whoever is about to leave is needed until it is known that the ring without it is in force.
#[test]
fn h42_who_is_left_out_by_a_ring_that_is_not_in_force_counts_in_the_claim_of_it() {
    let mut world = World::blank();
    world.nodes.push(machine::blank(3));
    world.start(Config { nodes: 4, ..config(100) });
    world.run();
    world.advance(20);
    world.put_all("v1");
    world.admin(Action::Remove("n4".into()));
    let about_to_leave = |world: &World| {
        let record = world.sides[0].core.record.as_ref().expect("in force");
        record.learning.is_empty() && record.members[3].points.is_empty()
    };
    while !about_to_leave(&world) {
        world.deaf.clear();
        assert_eq!(world.members(), [1, 2, 3, 4], "it has not left yet");
        world.advance(10);
        world.deaf = BTreeSet::from([1, 2, 3]);
    }
    world.advance(50);
    let told = |node: usize| world.nodes[node].meta.ring.as_ref().expect("founded");
    assert!(told(0).outgoing.is_some() && told(3).outgoing.is_none(), "{:?}", told(3));
    // Of the four that may be its members still three make a majority.
    world.kill(0);
    world.deaf.clear();
    world.crash(2);
    world.start(Config { nodes: 4, ..successor(200) });
    world.run();
    world.advance(50);
    assert!(world.sides[1].active, "{:?}", world.sides[1].refusals);
    world.restart(2);
    world.register(1, 2);
    world.run();
    world.settle();
    assert_eq!(
        (world.members(), &*world.sides[1].removed),
        (vec![1, 2, 3], &["n4".to_owned()][..])
    );
    // Now that it is, it is told.
    world.crash(3);
    world.restart(3);
    world.register(1, 3);
    assert!(world.sides[1].refusals[0].contains("n4 was removed"), "{:?}", world.sides[1].refusals);
    world.crash(3);
    world.assert_whole(2, "v1");
}
