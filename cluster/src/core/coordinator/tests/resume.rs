//! A copy that another coordinator goes on with, on real cores in memory.

use protocol::peer::CopyProgress;

use super::membership::keys;
use super::*;

/// Copying takes its time: so many keys a second, about.
const KEYS_PER_S: u64 = 10;

fn slow(instance: u128) -> Config {
    let copy_bytes_per_s = KEYS_PER_S * 72;
    Config {
        nodes: 4,
        replicas: 3,
        evict_after_ms: Some(2_000),
        copy_bytes_per_s,
        ..config(instance)
    }
}

fn slow_successor(instance: u128) -> Config {
    Config { reaped: vec![Uuid(100)], ..slow(instance) }
}

/// Four nodes with three copies; the last has gone, and its place is being taken.
fn copying() -> World {
    let mut world = World::blank();
    world.nodes.push(machine::blank(3));
    world.start(slow(100));
    world.run();
    world.advance(20);
    world.put_all("v1");
    world.advance(200);
    world.crash(3);
    world.advance(4_000);
    let learners: BTreeSet<MemberId> = world.copied().into_keys().collect();
    assert_eq!(learners.len(), 3, "everybody learns: {:?}", world.copied());
    assert!(world.copied().values().all(|(_, keys)| *keys > 1), "{:?}", world.copied());
    world
}

impl World {
    /// By learner: whom it is copied from, and how many keys came.
    fn copied(&self) -> BTreeMap<MemberId, (MemberId, u64)> {
        let core = &self.sides[self.sides.len() - 1].core;
        let all = core.copies.transfers.values();
        all.map(|transfer| (transfer.learner, (transfer.source, transfer.keys))).collect()
    }

    /// Another coordinator takes over; `without` has gone too.
    fn succeed(&mut self, without: Option<usize>) {
        let side = self.sides.len() - 1;
        self.kill(side);
        without.into_iter().for_each(|node| self.crash(node));
        self.start(slow_successor(200));
        self.run();
        self.advance(20);
        assert!(self.sides[side + 1].active);
    }
}

#[test]
fn another_coordinator_goes_on_from_the_key_to_which_the_one_before_had_come() {
    let mut world = copying();
    let before = world.copied();
    // What is written meanwhile reaches the learners as participants.
    world.put_all("v2");
    world.succeed(None);
    let further = world.copied();
    for (learner, (source, keys)) in &before {
        assert!(further[learner].0 == *source && further[learner].1 >= *keys, "{further:?}");
    }
    let told = |note: &Note| matches!(note, Note::Change(what) if what.contains("goes on behind"));
    assert_eq!(world.sides[1].notes.iter().filter(|note| told(note)).count(), before.len());
    world.advance(500);
    let after = world.copied();
    assert!(further.iter().all(|(learner, (_, keys))| after[learner].1 >= *keys), "{after:?}");
    // And the next one from there.
    world.kill(1);
    world.start(slow_successor(300));
    world.run();
    world.advance(20);
    let last = world.copied();
    assert!(after.iter().all(|(learner, (_, keys))| last[learner].1 >= *keys), "{last:?}");
    world.settle();
    assert_eq!(world.members(), [1, 2, 3]);
    world.assert_whole(3, "v2");
}

#[test]
fn a_learner_that_has_started_anew_begins_at_the_first_key() {
    let mut world = copying();
    let learner = MemberId(0);
    let before = world.copied();
    world.crash(0);
    world.restart(0);
    world.succeed(None);
    world.advance(50);
    let after = world.copied();
    assert!(after[&learner].1 < before[&learner].1, "{after:?}");
    for other in [MemberId(1), MemberId(2)] {
        assert!(after[&other].1 >= before[&other].1, "{after:?}");
    }
    world.settle();
    world.assert_whole(3, "v1");
}

#[test]
fn the_source_is_waited_for_and_without_it_another_one_is_asked_from_the_first_key() {
    let mut world = copying();
    let before = world.copied();
    let (learner, (source, _)) = before.iter().next().map(|(l, from)| (*l, *from)).unwrap();
    world.succeed(Some(usize::from(source.0)));
    world.advance(1_000);
    assert!(!world.copied().contains_key(&learner), "{:?}", world.copied());
    world.advance(1_200);
    let after = world.copied();
    let (other, keys) = after[&learner];
    assert!(other != source && keys < before[&learner].1, "{after:?}");
    world.restart(usize::from(source.0));
    let side = world.sides.len() - 1;
    world.register(side, usize::from(source.0));
    world.run();
    world.settle();
    world.assert_whole(3, "v1");
}

#[test]
fn a_copy_that_was_begun_with_another_source_is_not_gone_on_with_by_a_successor() {
    let mut world = copying();
    let before = world.copied();
    let (learner, (source, keys)) = before.iter().next().map(|(l, from)| (*l, *from)).unwrap();
    world.crash(usize::from(source.0));
    let of_another = |_| {
        world.advance(50);
        let now = world.copied();
        (now.get(&learner)?.0 != source).then_some(now)
    };
    let mixed = (0..60).find_map(of_another).expect("another source goes on");
    assert!(mixed[&learner].1 >= keys, "{mixed:?}");
    let node = &world.nodes[usize::from(learner.0)];
    let told = format!("{:?}", node.core.as_ref().expect("it runs"));
    assert!(!told.contains(&format!("CopyProgress {{ source: {:?}", mixed[&learner].0)), "{told}");
}

/// H39: nothing but the very copy that is to be made is gone on with.
#[test]
fn h39_progress_in_another_copy_is_none_in_this_one() {
    let world = copying();
    let core = &world.sides[0].core;
    let learning = core.record.as_ref().expect("in force").learning[0].clone();
    let progress = CopyProgress {
        source: MemberId(1),
        spans: vec![(Point(1), Point(2)), learning.span],
        since: learning.since,
        from: learning.from,
        through: key("k"),
        swept: Version::ZERO,
        keys: 1,
        bytes: 100,
    };
    let is_of = super::super::resume::is_of;
    assert!(is_of(&progress, &learning));
    let (first, last) = learning.span;
    let part = vec![(first, Point(last.0.wrapping_sub(1)))];
    let later = Version::new(learning.from.epoch(), learning.from.counter() + 1);
    for other in [
        CopyProgress { spans: part, ..progress.clone() },
        CopyProgress { since: later, ..progress.clone() },
        CopyProgress { from: later, ..progress.clone() },
    ] {
        assert!(!is_of(&other, &learning), "{other:?}");
    }
    assert_eq!(keys().len(), 40, "enough for several portions");
}
