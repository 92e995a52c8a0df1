//! Copies that differ or are damaged, on real cores in memory.

use super::super::{Action, AdminOp};
use super::*;

fn keys() -> Vec<Key> {
    (0..12).map(|n| key(&format!("key-{n}"))).collect()
}

impl World {
    fn order(&mut self, action: Action) {
        let op = AdminOp { action, dry_run: false, if_ring: None };
        let client = self.request(0, 9, ClientOp::Admin(op), 5_000);
        self.run();
        assert!(is_ok(self.answer(client)), "{:?}", self.answer(client));
    }

    fn incidents(&self) -> Vec<String> {
        let status = self.sides[0].core.status(self.now);
        status.incidents.into_iter().map(|incident| incident.what).collect()
    }
}

/// A cluster of three whose keys are written, and a key that the first node holds with another one.
fn written() -> (World, Key) {
    let mut world = World::founded();
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
    let found = world.nodes[0].keys.get_mut(&at).expect("it is held");
    found.value = Some(Value::from("wrong"));
    world.advance(3_000);
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1, "once a stretch: {incidents:?}");
    assert!(incidents[0].contains(&format!("{:?}", at.as_str())), "{incidents:?}");
    world.order(Action::Repair);
    world.advance(3_000);
    assert_eq!(world.nodes[0].keys[&at].value, Some(Value::from("wrong")));
    assert_eq!(world.incidents().len(), 1);

    let put = world.put(1, &at, "new");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.advance(3_000);
    assert_eq!(world.incidents(), Vec::<String>::new());
}

#[test]
fn a_damaged_record_is_found_by_a_scrub_and_mended_by_order() {
    let (mut world, at) = written();
    world.nodes[0].rotten.insert(at.clone());
    let before = world.nodes[0].keys[&at].clone();
    world.order(Action::Scrub);
    world.advance(3_000);
    assert!(world.nodes[0].rotten.contains(&at), "a scrub mends nothing");
    let incidents = world.incidents();
    assert!(incidents.len() == 1 && incidents[0].contains("damaged"), "{incidents:?}");
    world.order(Action::Repair);
    world.advance(3_000);
    assert!(!world.nodes[0].rotten.contains(&at));
    assert_eq!(world.nodes[0].keys[&at], before);
    assert_eq!(world.incidents(), Vec::<String>::new());
}
