//! Events: each comes when it should, with what it should say, and none where nobody asks.

use protocol::event::{Body, Copies, LinkState, RecoveryPhase, Subscribe, Topic, Topics};
use protocol::status::CoordinatorState;

use super::super::Interest;
use super::*;

impl World {
    /// From now on all of these topics are told.
    pub(super) fn listen(&mut self, topics: &[Topic]) {
        let topics: Topics = topics.iter().copied().collect();
        self.subscribe(0, Subscribe { topics, ..Subscribe::default() });
    }

    /// From now on a coordinator tells this.
    pub(super) fn subscribe(&mut self, side: usize, wants: Subscribe) {
        let interest = Interest::of([wants.clone()].iter());
        self.sides[side].seen = None;
        self.tell(side, Input::Interest(Box::new(interest)));
        if wants.topics.has(Topic::Member) {
            self.fold_from_now(side);
        }
    }

    /// What was told since the last look.
    pub(super) fn heard(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.sides[0].events)
    }
}

pub(super) fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.body.name()).collect()
}

/// What `pick` makes of the events that it knows.
pub(super) fn pick<T>(events: &[Event], pick: impl Fn(&Body) -> Option<T>) -> Vec<T> {
    events.iter().filter_map(|event| pick(&event.body)).collect()
}

/// Founding, updates, a node that dies and comes back, a second coordinator.
fn a_full_life(world: &mut World) {
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.advance(1_000);
    world.crash(0);
    world.put(1, &at, "v2");
    world.advance(4_000);
    world.restart(0);
    world.advance(1_000);
    world.put(1, &at, "v3");
    world.get(1, &at);
    world.advance(1_000);
}

#[test]
fn with_nobody_there_nothing_is_built() {
    let mut world = World::founded();
    a_full_life(&mut world);
    assert_eq!(names(&world.heard()), [""; 0]);
    assert_eq!(world.sides[0].core.events.told(), 0);
    // Whoever goes away again leaves nothing behind.
    world.listen(&[Topic::Member, Topic::Heartbeat]);
    world.advance(500);
    assert!(!world.heard().is_empty());
    world.listen(&[]);
    a_full_life(&mut world);
    assert_eq!(names(&world.heard()), [""; 0]);
}

#[test]
fn a_heartbeat_says_how_late_it_came() {
    let mut world = World::founded();
    world.listen(&[Topic::Heartbeat]);
    world.silent.extend(0..3);
    let mut beat = |after_ms| {
        world.now = world.now.plus_ms(after_ms);
        world.nodes[0].beats += 1;
        let mut heartbeat = world.heartbeat(0);
        heartbeat.figures.log_bytes = 77;
        world.tell(0, Input::Heartbeat(Box::new(heartbeat)));
        let heard = world.heard();
        let beats = pick(&heard, |body| match body {
            Body::Heartbeat(beat) => Some(beat.clone()),
            _ => None,
        });
        assert_eq!((beats.len(), beats[0].figures.log_bytes), (1, 77));
        assert_eq!((beats[0].node.as_str(), beats[0].figures.interval_ms), ("n1", HEARTBEAT_MS));
        beats[0].delay_us
    };
    beat(1);
    assert_eq!(beat(HEARTBEAT_MS), 0);
    assert_eq!(beat(HEARTBEAT_MS + 7), 7_000);
}

#[test]
fn a_silent_node_is_told_once_an_interval_and_is_the_cause_of_its_suspicion() {
    let mut world = World::founded();
    world.advance(100);
    world.listen(&[Topic::Heartbeat, Topic::Member]);
    world.silent.insert(1);
    world.mute.insert(1);
    world.advance(3_600);
    let heard = world.heard();
    let missed: Vec<_> = heard
        .iter()
        .filter_map(|event| match &event.body {
            Body::HeartbeatMissed(missed) => Some((event.number, missed.clone())),
            _ => None,
        })
        .collect();
    let of_n2 =
        |(_, missed): &(u64, protocol::event::HeartbeatMissed)| missed.node.as_str() == "n2";
    assert!(missed.iter().all(of_n2), "{missed:?}");
    let counts: Vec<u64> = missed.iter().map(|(_, missed)| missed.missed).collect();
    assert_eq!(counts, (1..=counts.len() as u64).collect::<Vec<_>>());
    assert!((6..=7).contains(&counts.len()), "in 3.6 s: {counts:?}");
    assert!((750..=800).contains(&missed[0].1.silent_ms), "{:?}", missed[0]);
    let states: Vec<_> = heard
        .iter()
        .filter_map(|event| match &event.body {
            Body::MemberState(state) => Some((event.cause, state.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(states.len(), 2, "{states:?}");
    let (suspect, down) = (&states[0], &states[1]);
    assert_eq!((suspect.1.from, suspect.1.to), (NodeState::Up, NodeState::Suspect));
    assert_eq!((suspect.1.reason.as_str(), down.1.to), ("silence", NodeState::Down));
    assert_eq!(suspect.0, Some(missed[1].0), "the second missed one led to it");
    assert!((suspect.1.ring_share - 1.0 / 3.0).abs() < 1e-6, "{}", suspect.1.ring_share);
    assert!(suspect.1.reads_by.len() == 1 && suspect.1.reads_by[0].as_str() != "n2");
}

#[test]
fn a_pause_of_the_coordinator_is_nobodys_silence() {
    let mut world = World::founded();
    world.listen(&[Topic::Heartbeat]);
    world.heard();
    world.now = world.now.plus_ms(10_000);
    world.tell(0, Input::Tick);
    assert_eq!(names(&world.heard()), [""; 0]);
}

#[test]
fn a_death_and_a_return_are_told_step_by_step() {
    let mut world = World::founded();
    world.advance(100);
    world.listen(&[Topic::Member]);
    for node in 0..3 {
        world.nodes[node].beats += 1;
        let mut heartbeat = world.heartbeat(node);
        heartbeat.figures.keys_primary = 10;
        world.tell(0, Input::Heartbeat(Box::new(heartbeat)));
    }
    world.silent.extend(0..3);
    world.advance(300);
    let copies = |events: &[Event]| {
        pick(events, |body| match body {
            Body::Copies(copies) => Some(copies.clone()),
            _ => None,
        })
    };
    let whole = Copies { by_live_copies: [(2, 30)].into(), ..Copies::default() };
    assert_eq!(copies(&world.heard()), [whole]);

    world.crash(0);
    let heard = world.heard();
    assert_eq!(names(&heard), ["link", "member_state"]);
    assert_eq!(heard[1].cause, Some(heard[0].number));
    let Body::Link(link) = &heard[0].body else { panic!("{heard:?}") };
    assert_eq!((link.peer.as_str(), link.state), ("n1", LinkState::Lost));
    assert_eq!(link.retry_ms, Some(20));
    let Body::MemberState(state) = &heard[1].body else { panic!("{heard:?}") };
    assert_eq!((state.to, state.reason.as_str()), (NodeState::Suspect, "tcp_reset"));
    assert_eq!((state.keys_unwritable, state.keys_one_copy), (20, 20));
    world.advance(300);
    let heard = world.heard();
    assert_eq!(names(&heard), ["link", "member_state", "copies"], "attempts are no news");
    let Body::MemberState(state) = &heard[1].body else { panic!("{heard:?}") };
    assert_eq!((state.to, state.reason.as_str()), (NodeState::Down, "tcp_refused"));
    let halved = [(1, 20), (2, 10)].into();
    let halved = Copies { by_live_copies: halved, unwritable: 20, ..Copies::default() };
    assert_eq!(copies(&heard), [halved]);
    assert_eq!(heard[2].cause, Some(heard[1].number));

    world.silent.clear();
    world.restart(0);
    world.run();
    world.advance(50);
    let heard = world.heard();
    let phases = pick(&heard, |body| match body {
        Body::MemberRecovery(recovery) => Some(recovery.phase),
        _ => None,
    });
    assert_eq!(phases, [RecoveryPhase::Log, RecoveryPhase::Decisions, RecoveryPhase::Ready]);
    let states = pick(&heard, |body| match body {
        Body::MemberState(state) => Some((state.to, state.reason.clone())),
        _ => None,
    });
    assert_eq!(states.last(), Some(&(NodeState::Up, "caught_up".to_owned())));
    let ups = pick(&heard, |body| match body {
        Body::Link(link) => Some(link.state),
        _ => None,
    });
    assert_eq!(ups, [LinkState::Up]);
}

#[test]
fn nodes_whose_keys_are_not_counted_are_named_and_show_no_zero() {
    let mut world = World::founded();
    world.advance(100);
    world.listen(&[Topic::Member]);
    world.silent.extend(0..3);
    let count = |world: &mut World, counting: bool| {
        for node in 0..3 {
            world.nodes[node].beats += 1;
            let mut heartbeat = world.heartbeat(node);
            heartbeat.figures.keys_primary = 10;
            heartbeat.figures.counting = counting && node == 0;
            world.tell(0, Input::Heartbeat(Box::new(heartbeat)));
        }
    };
    let shown = |world: &World, side: usize| {
        let status = world.sides[side].core.status(world.now);
        let uncounted: Vec<_> = status.copies_uncounted.iter().map(ToString::to_string).collect();
        let n1 = status.nodes.iter().find(|node| node.name.as_str() == "n1").expect("it is known");
        (uncounted, n1.keys_primary, status.copies.values().sum::<u64>())
    };
    let (none, n1) = (Vec::<String>::new(), vec!["n1".to_owned()]);
    count(&mut world, false);
    assert_eq!(shown(&world, 0), (none.clone(), Some(10), 30));

    world.crash(0);
    world.restart(0);
    world.run();
    assert_eq!(shown(&world, 0), (n1.clone(), None, 20), "it has told nothing yet");
    count(&mut world, true);
    assert_eq!(shown(&world, 0), (n1.clone(), None, 20), "it counts");
    world.heard();
    world.advance(300);
    let told = pick(&world.heard(), |body| match body {
        Body::Copies(copies) => Some(copies.uncounted.clone()),
        _ => None,
    });
    assert_eq!(told.last().map(|nodes| nodes[0].as_str()), Some("n1"));
    count(&mut world, false);
    assert_eq!(shown(&world, 0), (none, Some(10), 30));

    // A new coordinator has heard of nobody's keys.
    world.kill(0);
    let side = world.start_alone(config(200));
    for node in 0..3 {
        world.register(side, node);
    }
    world.run();
    let (uncounted, keys, sum) = shown(&world, side);
    assert_eq!((uncounted.len(), keys, sum), (3, None, 0));
}

#[test]
fn a_new_coordinator_tells_how_it_comes_to_serve() {
    let mut world = World::blank();
    world.start_alone(config(100));
    world.listen(&[Topic::Coordinator, Topic::Ring]);
    for node in 0..3 {
        world.register(0, node);
    }
    world.run();
    world.advance(20);
    let heard = world.heard();
    let states = pick(&heard, |body| match body {
        Body::CoordinatorState(state) => Some((state.state, state.answered)),
        _ => None,
    });
    assert_eq!(states[0], (CoordinatorState::Claiming, 0));
    assert!(states.contains(&(CoordinatorState::Claiming, 2)), "{states:?}");
    assert!(states.contains(&(CoordinatorState::Fencing, 2)), "{states:?}");
    assert_eq!(states.last(), Some(&(CoordinatorState::Active, 3)));
    let all = pick(&heard, |body| match body {
        Body::CoordinatorState(state) => Some(state.clone()),
        _ => None,
    });
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "nothing is told twice: {all:?}");
    let shares = pick(&heard, |body| match body {
        Body::CoordinatorState(state) => Some(state.serving_share),
        _ => None,
    });
    assert_eq!(shares[0], 0.0);
    let rings = pick(&heard, |body| match body {
        Body::RingEpoch(ring) => Some(ring.clone()),
        _ => None,
    });
    assert_eq!((rings.len(), rings[0].points.len(), rings[0].durable_on.len()), (1, 3, 3));
    assert_eq!(rings[0].ring, RingNumber { epoch: Epoch(1), counter: 0 });
    assert!(heard.windows(2).all(|pair| pair[0].number < pair[1].number));
}
