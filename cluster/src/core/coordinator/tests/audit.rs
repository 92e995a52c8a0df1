//! Copies that differ or are damaged, on real cores in memory.

use protocol::event::{Body, Divergence, Topic};

use super::super::{Action, AdminOp, Change, Write};
use super::events::pick;
use super::*;

fn keys() -> Vec<Key> {
    (0..12).map(|n| key(&format!("key-{n}"))).collect()
}

fn change(action: &str, state: &str) -> (String, String) {
    (action.to_owned(), state.to_owned())
}

impl World {
    /// Asks for a change, which is accepted.
    pub(super) fn order(&mut self, action: Action) {
        assert_eq!(self.refusal(action), None);
    }

    /// Gives an order; why it is refused.
    fn refusal(&mut self, action: Action) -> Option<ErrorCode> {
        let op = AdminOp { action, dry_run: false, if_ring: None };
        let client = self.request(0, 9, ClientOp::Admin(op), 5_000);
        self.run();
        let refusal = code(self.answer(client));
        assert!(refusal.is_some() || is_ok(self.answer(client)), "{:?}", self.answer(client));
        refusal
    }

    /// Every change that is shown: what it is, and how far.
    fn changes(&self) -> Vec<(String, String)> {
        let changes = self.sides[0].core.status(self.now).changes;
        changes.into_iter().map(|change| (change.action, change.state)).collect()
    }

    fn incidents(&self) -> Vec<String> {
        let status = self.sides[0].core.status(self.now);
        status.incidents.into_iter().map(|incident| incident.what).collect()
    }
}

/// What whoever follows the events takes for wrong.
#[derive(Default)]
struct Follower(Vec<Divergence>);

impl Follower {
    /// Takes what was told meanwhile; `status` says the same, of so many stretches.
    fn agrees(&mut self, world: &mut World, stretches: usize) {
        let divergence = |body: &Body| match body {
            Body::Divergence(told) => Some(told.clone()),
            _ => None,
        };
        let heard = world.heard();
        for event in heard.iter().filter(|event| divergence(&event.body).is_some()) {
            assert!(event.incident.is_some(), "{event:?}");
        }
        for told in pick(&heard, divergence) {
            let is_same = |one: &Divergence| (&one.range, one.kind) == (&told.range, told.kind);
            let known = self.0.iter().position(is_same);
            match (known, told.repaired) {
                (None, 0) => self.0.push(told),
                (Some(known), 0) => self.0[known].keys.extend(told.keys),
                (Some(known), _) if told.keys.is_empty() => drop(self.0.remove(known)),
                _ => self.0.iter_mut().for_each(|one| one.keys.retain(|k| !told.keys.contains(k))),
            }
        }
        let status = world.sides[0].core.status(world.now);
        let shown = status.incidents.into_iter().filter_map(|incident| incident.divergence);
        assert_eq!(self.0, shown.collect::<Vec<_>>());
        assert_eq!(self.0.len(), stretches);
    }
}

/// A cluster of three whose keys are written, and a key that the first node holds with another one.
fn written() -> (World, Key) {
    written_on(World::founded())
}

fn written_on(mut world: World) -> (World, Key) {
    for at in keys() {
        let put = world.put(1, &at, "right");
        world.run();
        assert!(is_ok(world.answer(put)));
    }
    // What is decided is applied a moment later.
    world.advance(50);
    let at = keys().into_iter().find(|at| world.nodes[0].keys.contains_key(at)).expect("one");
    (world, at)
}

#[test]
fn copies_that_nobody_changed_are_alike_at_every_comparison() {
    let (mut world, _) = written();
    for round in 0..40 {
        for at in keys() {
            world.put(1, &at, &format!("value-{round}"));
        }
        world.advance(100);
    }
    assert_eq!(world.incidents(), Vec::<String>::new());
}

#[test]
fn a_copy_that_differs_is_found_by_its_key_and_not_touched() {
    let (mut world, at) = written();
    world.listen(&[Topic::Member]);
    let mut follower = Follower::default();
    let found = world.nodes[0].keys.get_mut(&at).expect("it is held");
    found.value = Some(Value::from("wrong"));
    world.advance(3_000);
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1, "once a stretch: {incidents:?}");
    follower.agrees(&mut world, 1);
    assert!(incidents[0].contains(&format!("{:?}", at.as_str())), "{incidents:?}");
    world.order(Action::Repair);
    world.advance(3_000);
    assert_eq!(world.nodes[0].keys[&at].value, Some(Value::from("wrong")));
    assert_eq!(world.incidents().len(), 1);

    let put = world.put(1, &at, "new");
    world.run();
    assert!(is_ok(world.answer(put)));
    follower.agrees(&mut world, 1);
    world.advance(3_000);
    assert_eq!(world.incidents(), Vec::<String>::new());
    follower.agrees(&mut world, 0);
}

#[test]
fn a_damaged_record_is_found_by_a_scrub_and_mended_by_order() {
    let (mut world, at) = written();
    world.listen(&[Topic::Member]);
    let mut follower = Follower::default();
    world.nodes[0].rotten.insert(at.clone());
    let before = world.nodes[0].keys[&at].clone();
    world.order(Action::Scrub);
    world.advance(3_000);
    assert!(world.nodes[0].rotten.contains(&at), "a scrub mends nothing");
    let incidents = world.incidents();
    assert!(incidents.len() == 1 && incidents[0].contains("damaged"), "{incidents:?}");
    follower.agrees(&mut world, 1);
    world.order(Action::Repair);
    world.advance(3_000);
    assert!(!world.nodes[0].rotten.contains(&at));
    assert_eq!(world.nodes[0].keys[&at], before);
    assert_eq!(world.incidents(), Vec::<String>::new());
    follower.agrees(&mut world, 0);
}

#[test]
fn a_damaged_record_that_is_overwritten_is_told_to_be_right_again() {
    let (mut world, at) = written();
    world.listen(&[Topic::Member]);
    let mut follower = Follower::default();
    world.nodes[0].rotten.insert(at.clone());
    world.order(Action::Scrub);
    world.advance(3_000);
    follower.agrees(&mut world, 1);
    let put = world.put(1, &at, "new");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.advance(3_000);
    follower.agrees(&mut world, 0);
}

#[test]
fn an_order_to_repair_need_not_wait_for_scrubs_that_come_by_themselves() {
    let mut world = World::blank();
    // A scrub takes longer than the time until the next one.
    let slow = Config { copy_bytes_per_s: 650, scrub_period_ms: Some(300), ..config(100) };
    world.start(slow);
    world.run();
    world.nodes.iter_mut().for_each(|node| node.page_max = 1);
    let (mut world, at) = written_on(world);
    world.nodes[0].rotten.insert(at.clone());
    world.advance(500);
    assert_eq!(world.changes().last(), Some(&change("scrub", "running")));
    world.order(Action::Repair);
    assert_eq!(world.refusal(Action::Scrub), Some(ErrorCode::Busy), "one order at a time");
    world.advance(3_000);
    assert!(!world.nodes[0].rotten.contains(&at));
    let changes = world.changes();
    assert!(changes.contains(&change("scrub", "cancelled")), "{changes:?}");
    assert!(changes.contains(&change("repair", "done")), "{changes:?}");
}

#[test]
fn where_something_is_in_doubt_nothing_is_compared() {
    let mut world = World::founded();
    let at = world.some_key();
    let other = (0..1_000).map(|n| key(&format!("other-{n}")));
    let other = other.into_iter().find(|at| world.holders(at).contains(&2)).expect("one");
    for at in [&at, &other] {
        world.put(1, at, "v1");
        world.run();
    }
    world.advance(50);
    let id = world.next_id();
    world.mute.extend(0..3);
    let write = |at: &Key| Write { key: at.clone(), change: Change::Put(Value::from("v2")) };
    let writes = [&at, &other].map(write);
    world.request(0, 1, ClientOp::Update(Update::txn(Vec::new(), writes.into())), 5_000);
    world.run();
    // It was decided, and a checkpoint of the first node kept what it wrote; the power went before
    // the record of the decision was on any disk.
    world.crash(2);
    world.kill(0);
    world.mute.clear();
    let found = world.nodes[0].keys.get_mut(&at).expect("it is held");
    (found.version, found.value) = (id, Some(Value::from("v2")));
    let side = world.start_alone(config(200));
    world.register(side, 0);
    world.register(side, 1);
    world.advance(6_000);
    let incidents = |world: &World| world.sides[side].core.status(world.now).incidents;
    assert_eq!(incidents(&world), []);
    world.restart(2);
    world.advance(3_000);
    assert_eq!(world.value(1, &at), Some(Value::from("v2")));
    assert_eq!(incidents(&world), []);
    // From then on they are compared as ever.
    world.nodes[0].keys.get_mut(&at).expect("it is held").value = Some(Value::from("wrong"));
    world.advance(3_000);
    assert_eq!(incidents(&world).len(), 1);
}
