//! How many keys have how many live copies, while the ring changes and nodes tell one by one that
//! they have counted anew.

use protocol::event::Copies;

use super::super::super::ring::ring_of;
use super::super::Action;
use super::membership::living;
use super::*;

/// So many that their parts are about as wide as their arcs.
fn keys() -> Vec<Key> {
    (0..4_000).map(|n| key(&format!("key-{n}"))).collect()
}

impl World {
    /// A node counts the keys for which it is the first in sync, by the ring that it has, and
    /// tells.
    fn counts(&mut self, node: usize) {
        let meta = self.nodes[node].meta.clone();
        let record = meta.ring.as_ref().expect("it has one");
        let ring = ring_of(record);
        let me = record.members.iter().find(|member| member.uuid == meta.store);
        let first = |at: &&Key| {
            let first = ring.in_sync_at(ring.point_of(at)).first();
            first.is_some() && first == me.map(|member| &member.id)
        };
        self.nodes[node].figures.keys_primary = keys().iter().filter(first).count() as u64;
        self.nodes[node].beats += 1;
        let heartbeat = self.heartbeat(node);
        self.tell(0, Input::Heartbeat(Box::new(heartbeat)));
    }

    fn copies(&self) -> Copies {
        self.sides[0].core.copies()
    }

    /// Goes on for so many times 10 ms, in which now and then one of these nodes counts, so that
    /// rings are in force by which some have not counted. Returns how many rings were.
    fn count_on(&mut self, steps: usize, nodes: &[usize]) -> usize {
        let all = keys().len() as u64;
        let (mut rings, mut ring) = (0, None);
        for step in 0..steps {
            self.advance(10);
            let now = self.sides[0].core.record.as_ref().map(|record| record.number);
            rings += usize::from(ring != now);
            ring = now;
            if step % 5 == 4 {
                self.counts(nodes[step / 5 % nodes.len()]);
            }
            let copies = self.copies();
            let counted: u64 = copies.by_live_copies.values().sum();
            // Keys are shared out as arcs are wide: not one by one.
            let about = all - all / 20..=all + all / 20;
            assert!(about.contains(&counted), "{counted} of {all} by {ring:?}");
            assert_eq!(copies.uncounted, [], "by {ring:?}, step {step}");
        }
        rings
    }
}

#[test]
fn while_the_ring_changes_no_key_is_counted_twice_and_none_is_left_out() {
    let mut world = living();
    world.silent.extend(0..3);
    (0..3).for_each(|node| world.counts(node));
    let all = keys().len() as u64;
    let whole = Copies { by_live_copies: [(2, all)].into(), ..Copies::default() };
    assert_eq!(world.copies(), whole);
    let asked = world.admin(Action::Remove("n3".into()));
    assert!(is_ok(world.answer(asked)), "{}", text(world.answer(asked)));
    let rings = world.count_on(200, &[0, 1, 2]);
    assert_eq!(world.members(), [1, 2]);
    (0..2).for_each(|node| world.counts(node));
    assert_eq!(world.copies(), whole);
    assert!(rings >= 3, "{rings} rings were in force");
}

#[test]
fn of_a_node_that_is_evicted_and_comes_back_no_key_is_counted_twice_or_left_out() {
    let mut world = living();
    world.silent.extend(0..3);
    (0..3).for_each(|node| world.counts(node));
    let whole = world.copies();
    world.crash(2);
    let rings = world.count_on(500, &[0, 1]);
    assert!(rings >= 3, "{rings} rings were in force");
    assert_eq!(world.members(), [1, 2]);
    assert_eq!(world.copies(), whole);
    world.restart(2);
    world.count_on(200, &[2, 0, 1]);
    assert_eq!(world.members(), [1, 2, 3]);
    assert_eq!(world.copies(), whole);
}

#[test]
fn who_has_told_nothing_is_named() {
    let mut world = living();
    world.silent.extend(0..3);
    world.advance(10);
    (1..3).for_each(|node| world.counts(node));
    world.nodes[0].figures.counting = true;
    world.counts(0);
    let uncounted = world.copies().uncounted;
    assert_eq!(uncounted.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["n1"]);
}
