//! Changes that another coordinator goes on with: under their names, from where they had come, and
//! back as well as forth.

use protocol::status::{ChangeStatus, NodeFigures};

use super::super::{Action, AdminOp};
use super::cancel::What;
use super::membership::keys;
use super::*;

/// How fast is copied, bytes a second: a change takes about a second.
const RATE: u64 = 2_000;

/// What names stand for: the action, and the node if it was known.
type Names = BTreeMap<String, (String, Option<String>)>;

impl World {
    fn shown(&self) -> Vec<ChangeStatus> {
        self.sides[self.sides.len() - 1].core.changes_status(self.now)
    }

    fn named(&self, name: &str) -> ChangeStatus {
        let found = self.shown().into_iter().find(|change| change.change == name);
        found.unwrap_or_else(|| panic!("{name} is not among {:?}", self.shown()))
    }

    fn running(&self) -> ChangeStatus {
        let running = self.shown().into_iter().find(|change| change.state == "running");
        running.unwrap_or_else(|| panic!("none is running: {:?}", self.shown()))
    }

    /// The coordinator dies, and another one serves.
    fn succeed_it(&mut self) {
        let side = self.sides.len() - 1;
        self.kill(side);
        let (instance, reaped) = (100 * (side as u128 + 2), vec![Uuid(100 * (side as u128 + 1))]);
        let evict_after_ms = Some(2_000);
        let copy_bytes_per_s = RATE;
        self.start(Config { reaped, evict_after_ms, copy_bytes_per_s, ..config(instance) });
        self.run();
        self.advance(20);
        assert!(self.sides[side + 1].active);
    }

    /// Holds the names against those that were told before.
    fn remember(&self, names: &mut Names) {
        for change in self.shown() {
            let is = (change.action, change.node);
            let was = names.entry(change.change.clone()).or_insert_with(|| is.clone());
            assert_eq!(*was, is, "{} is another change now", change.change);
        }
    }
}

/// Nodes that tell how much they have.
fn telling() -> World {
    let mut world = World::slow();
    let key_bytes = Some(60);
    let figures =
        NodeFigures { keys_primary: 14, keys_replica: 14, key_bytes, ..NodeFigures::default() };
    world.nodes.iter_mut().for_each(|node| node.figures = figures.clone());
    world.advance(200);
    world.admin(Action::SetCopyRate(RATE));
    world
}

#[test]
fn a_successor_goes_on_with_a_change_under_its_name_and_from_where_it_had_come() {
    for what in [What::Add, What::Remove, What::Rebalance] {
        for moment in [60, 120, 240] {
            let mut world = telling();
            world.begin(what);
            world.advance(moment);
            let before = world.running();
            world.put_all("v2");
            world.succeed_it();
            let after = world.named(&before.change);
            let at = format!("{what:?} after {moment}: {before:?}, then {after:?}");
            assert_eq!((&after.action, &after.node), (&before.action, &before.node), "{at}");
            if after.state == "running" {
                assert!(after.keys_done > 0 && after.keys_done + 4 >= before.keys_done, "{at}");
                assert!(after.keys_total.is_none_or(|total| total >= after.keys_done), "{at}");
                assert!(after.bytes_total >= Some(after.bytes_done), "{at}");
                assert!(!after.transfers.is_empty(), "{at}");
            }
            world.settle();
            let end = world.named(&before.change);
            assert_eq!(end.state, "done", "{at}, then {end:?}");
            assert!(end.keys_done >= after.keys_done, "{at}, then {end:?}");
            if what == What::Remove {
                world.crash(1);
            }
            world.assert_whole(2, "v2");
        }
    }
}

#[test]
fn a_change_that_another_coordinator_goes_on_with_can_be_cancelled() {
    for what in [What::Add, What::Remove, What::Rebalance] {
        for moment in [60, 120, 200] {
            let mut world = telling();
            let before = world.begin(what);
            world.advance(moment);
            let name = world.running().change;
            world.succeed_it();
            let at = format!("{what:?} after {moment}");
            let asked = world.admin(Action::Cancel(name.clone()));
            assert!(is_ok(world.answer(asked)), "{at}: {:?}", world.answer(asked));
            world.advance(20);
            // The next one takes it back, too.
            world.succeed_it();
            world.settle();
            assert_eq!(world.named(&name).state, "cancelled", "{at}: {:?}", world.shown());
            assert_eq!(world.places(), before, "{at}");
            if what == What::Add {
                world.crash(3);
            }
            world.assert_whole(2, "v1");
        }
    }
}

#[test]
fn an_order_to_evict_is_one_for_a_successor_too_and_is_not_taken_back() {
    let mut world = telling();
    let asked = world.admin(Action::Evict("n3".into()));
    assert!(is_ok(world.answer(asked)), "{:?}", world.answer(asked));
    world.crash(2);
    world.advance(30);
    let before = world.running();
    world.succeed_it();
    let after = world.running();
    assert_eq!((&after.change, &*after.action), (&before.change, "evict"));
    assert!(world.sides[1].core.is_out_by_order("n3"));
    let asked = world.admin(Action::Cancel(after.change.clone()));
    assert_eq!(code(world.answer(asked)), Some(ErrorCode::Refused));
    let asked = world.admin(Action::Rebalance);
    assert_eq!(code(world.answer(asked)), Some(ErrorCode::Busy));
    world.settle();
    assert_eq!(world.named(&after.change).state, "done");
    world.assert_whole(2, "v1");
}

#[test]
fn what_came_to_its_end_with_the_last_ring_is_told_by_the_next_coordinator_only() {
    for what in [What::Add, What::Remove] {
        let mut world = telling();
        world.begin(what);
        world.settle();
        if what == What::Remove {
            world.crash(1);
        }
        let end = world.named("c1");
        assert!(end.keys_done > 0 && end.state == "done", "{end:?}");
        world.succeed_it();
        assert_eq!(world.shown(), [end]);
        world.succeed_it();
        assert_eq!(world.shown(), []);
    }
}

#[test]
fn a_number_is_given_once_whoever_gives_it() {
    let mut world = World::slow();
    let mut names = Names::new();
    for coordinator in 0..4 {
        // Some begin with a ring, some without one.
        for round in 0..7 {
            for action in [Action::Scrub, Action::Add] {
                let asked = world.admin(action);
                assert!(is_ok(world.answer(asked)), "{coordinator}.{round}");
                world.remember(&mut names);
                let newest = world.shown().pop().expect("it has begun, or waits");
                world.admin(Action::Cancel(newest.change));
                world.remember(&mut names);
            }
            world.advance(50);
        }
        if coordinator % 2 == 0 {
            let begun = world.admin(Action::Remove("n2".into()));
            assert!(is_ok(world.answer(begun)), "{:?}", world.answer(begun));
            world.advance(60);
            world.remember(&mut names);
            let op = Action::Cancel(world.running().change);
            world.admin(op);
            world.settle();
        }
        world.succeed_it();
        world.remember(&mut names);
    }
    assert!(names.len() >= 4 * 14 + 2, "{names:?}");
    assert!(keys().len() > 10);
    world.assert_whole(2, "v1");
}

#[test]
fn without_a_majority_no_number_is_given_that_may_be_given_again() {
    let mut world = World::slow();
    world.crash(1);
    world.crash(2);
    world.advance(20);
    let mut given = 0;
    let refused = loop {
        let asked = world.admin(Action::Scrub);
        if !is_ok(world.answer(asked)) {
            break world.answer(asked).cloned();
        }
        given += 1;
        assert!(given < 100, "they come to an end");
        world.advance(10);
        world.admin(Action::Cancel(format!("c{given}")));
    };
    let taken = world.sides[0].core.record.as_ref().expect("in force").changes.taken;
    assert_eq!(given, taken);
    assert_eq!(code(refused.as_ref()), Some(ErrorCode::Refused));
    assert!(format!("{refused:?}").contains("ask again when they are up"), "{refused:?}");
    let op = AdminOp { action: Action::Scrub, dry_run: true, if_ring: None };
    let tried = world.request(0, 9, ClientOp::Admin(op), 5_000);
    assert!(world.answer(tried).is_some());
}
