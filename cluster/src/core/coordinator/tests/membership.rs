//! Members that go, come back, are added and removed, on real cores in memory.

use protocol::event::Topic;
use protocol::ids::Point;

use super::super::{Action, AdminOp};
use super::*;

/// A cluster in which who is silent for two seconds is evicted.
pub(super) fn living() -> World {
    let mut world = World::blank();
    world.start(Config { evict_after_ms: Some(2_000), ..config(100) });
    world.run();
    world.advance(20);
    assert!(world.sides[0].active);
    world.listen(&[Topic::Member]);
    world
}

pub(super) fn keys() -> Vec<Key> {
    (0..40).map(|n| key(&format!("key-{n}"))).collect()
}

impl World {
    pub(super) fn put_all(&mut self, value: &str) {
        for at in keys() {
            let put = self.put(1, &at, value);
            self.run();
            assert!(is_ok(self.answer(put)), "{at:?}: {:?}", self.answer(put));
        }
    }

    pub(super) fn admin(&mut self, action: Action) -> ClientId {
        let op = AdminOp { action, dry_run: false, if_ring: None };
        self.request(self.sides.len() - 1, 9, ClientOp::Admin(op), 5_000)
    }

    /// The places of the machines whose members hold a key.
    pub(super) fn machines_of(&self, at: &Key) -> Vec<usize> {
        let core = &self.sides[self.sides.len() - 1].core;
        let ring = core.ring.as_ref().expect("in force");
        let record = core.record.as_ref().expect("in force");
        let place = |id: &MemberId| {
            let member = record.members.iter().find(|member| member.id == *id).expect("a member");
            member.uuid.0 as usize - 1
        };
        let mut places: Vec<usize> = ring.in_sync_at(ring.point_of(at)).iter().map(place).collect();
        places.sort_unstable();
        places
    }

    /// Every key is on as many nodes as it should, on no other, and is what it should be.
    pub(super) fn assert_whole(&self, copies: usize, value: &str) {
        for at in keys() {
            let holders = self.machines_of(&at);
            assert_eq!(holders.len(), copies, "{at:?}");
            for node in 0..self.nodes.len() {
                let held = self.value(node, &at);
                if holders.contains(&node) {
                    assert_eq!(held, Some(Value::from(value)), "{at:?} on {node}");
                } else if self.nodes[node].core.is_some() {
                    assert!(!self.nodes[node].keys.contains_key(&at), "{at:?} is still on {node}");
                }
            }
        }
    }

    fn at_rest(&self) -> bool {
        let core = &self.sides[self.sides.len() - 1].core;
        let record = core.record.as_ref().expect("in force");
        core.step.is_none()
            && record.learning.is_empty()
            && record.incoming.is_none()
            && record.outgoing.is_none()
            && core.barriers.is_empty()
            && core.by_id.is_empty()
            && core.decided.is_empty()
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            if self.at_rest() {
                self.advance(600);
                return;
            }
            self.advance(50);
        }
        let core = &self.sides[self.sides.len() - 1].core;
        panic!(
            "never at rest: {:#?} {:#?} {:#?} {:?}",
            core.record, core.copies, core.barriers, core.decided
        );
    }

    pub(super) fn members(&self) -> Vec<u128> {
        let core = &self.sides[self.sides.len() - 1].core;
        let record = core.record.as_ref().expect("in force");
        record.members.iter().map(|member| member.uuid.0).collect()
    }
}

#[test]
fn a_silent_node_is_evicted_and_its_keys_get_all_their_copies_again() {
    let mut world = living();
    world.put_all("v1");
    world.crash(2);
    world.advance(1_500);
    assert_eq!(world.members(), [1, 2, 3], "not yet");
    world.advance(2_000);
    world.settle();
    assert_eq!(world.members(), [1, 2]);
    world.assert_whole(2, "v1");
    world.put_all("v2");
    world.advance(200);
    world.assert_whole(2, "v2");
}

#[test]
fn an_evicted_node_comes_back_under_another_number_with_what_it_missed() {
    let mut world = living();
    world.put_all("v1");
    let groups = world.nodes[2].log.len();
    world.crash(2);
    world.advance(3_500);
    world.settle();
    for at in keys().iter().take(20) {
        let put = world.put(1, at, "v2");
        world.run();
        assert!(is_ok(world.answer(put)));
    }
    world.restart_with(2, groups);
    world.register(0, 2);
    world.advance(1_000);
    world.settle();
    assert_eq!(world.members(), [1, 2, 3]);
    let record = world.sides[0].core.record.clone().expect("in force");
    assert_eq!(record.members[2].id, MemberId(3), "numbers are never given again");
    for at in keys() {
        for node in world.machines_of(&at) {
            let wanted = if keys()[..20].contains(&at) { "v2" } else { "v1" };
            assert_eq!(world.value(node, &at), Some(Value::from(wanted)), "{at:?} on {node}");
        }
    }
    // Only what it had missed was copied.
    let copied = world.sides[0].core.changes_status(world.now);
    let back = copied.iter().find(|change| change.action == "return").expect("it came back");
    assert!((1..=20).contains(&back.keys_done), "{back:?}");
    world.put_all("v3");
    world.advance(200);
    world.assert_whole(2, "v3");
}

#[test]
fn what_is_in_flight_when_a_node_dies_is_decided_when_it_is_evicted() {
    let mut world = living();
    let at = world.some_key();
    world.deaf.insert(1);
    let put = world.put(1, &at, "v1");
    world.advance(300);
    assert!(world.answer(put).is_none(), "it waits");
    world.crash(1);
    world.deaf.clear();
    world.advance(4_000);
    world.settle();
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
    let get = world.get(2, &at);
    world.run();
    assert!(text(world.answer(get)).contains("v1"), "{}", text(world.answer(get)));
    for node in world.machines_of(&at) {
        assert_eq!(world.value(node, &at), Some(Value::from("v1")));
    }
}

#[test]
fn a_node_is_added_and_gets_its_part_and_another_is_removed() {
    let mut world = living();
    world.put_all("v1");
    let add = world.admin(Action::Add);
    assert!(is_ok(world.answer(add)), "{:?}", world.answer(add));
    assert_eq!(world.sides[0].wanted, 1);
    world.nodes.push(machine::blank(3));
    world.register(0, 3);
    world.advance(500);
    world.settle();
    assert_eq!(world.members(), [1, 2, 3, 4]);
    world.assert_whole(2, "v1");
    assert!(!world.nodes[3].keys.is_empty(), "it has got a part");
    let remove = world.admin(Action::Remove("n1".into()));
    assert!(is_ok(world.answer(remove)), "{:?}", world.answer(remove));
    world.advance(200);
    world.put_all("v2");
    world.settle();
    assert_eq!(world.members(), [2, 3, 4]);
    assert_eq!(world.sides[0].removed, ["n1"]);
    // Its supervisor stops it.
    world.crash(0);
    world.assert_whole(2, "v2");
}

#[test]
fn a_new_coordinator_brings_a_change_to_its_end() {
    for stop_after in 0..60 {
        let mut world = living();
        world.put_all("v1");
        world.crash(2);
        world.advance(2_600 + 10 * stop_after);
        world.kill(0);
        world.start(Config { evict_after_ms: Some(2_000), ..successor(200) });
        world.run();
        world.advance(3_500);
        world.settle();
        assert_eq!(world.members(), [1, 2], "killed after {stop_after}");
        world.assert_whole(2, "v1");
    }
}

#[test]
fn who_is_copied_from_may_fall_silent_on_a_link_that_stays_open_until_it_is_evicted() {
    let mut world = living();
    world.put_all("v1");
    world.advance(200);
    world.deaf.insert(0);
    let remove = world.admin(Action::Remove("n1".into()));
    assert!(is_ok(world.answer(remove)), "{:?}", world.answer(remove));
    world.advance(100);
    let copies = format!("{:?}", world.sides[0].core.copies);
    assert!(copies.contains("source: MemberId(0)"), "it is copied from: {copies}");
    world.advance(15_000);
    world.settle();
    assert_eq!(world.members(), [2, 3]);
    assert_eq!(world.sides[0].removed, ["n1"], "it was to leave anyway");
    world.crash(0);
    world.assert_whole(2, "v1");
}

#[test]
fn r16_names_of_updates_are_copied_with_their_keys() {
    let mut world = living();
    let at = world.some_key();
    let first = world.put_once(0, 1, &at, "v1", "first");
    world.run();
    world.advance(100);
    world.crash(world.holders(&at)[0]);
    world.advance(3_500);
    world.settle();
    for node in world.machines_of(&at) {
        assert_eq!(world.nodes[node].onces.len(), 1, "on {node}");
    }
    world.kill(0);
    let side = world.start(Config { evict_after_ms: Some(2_000), ..successor(200) });
    world.run();
    world.advance(3_500);
    let again = world.put_once(side, 2, &at, "v1", "first");
    world.run();
    assert_eq!(text(world.answer(again)), text(world.answer(first)));
}

#[test]
fn two_nodes_cannot_do_without_one_of_them() {
    let mut world = World::blank();
    world.nodes.pop();
    world.start(Config { nodes: 2, evict_after_ms: Some(2_000), ..config(100) });
    world.run();
    world.advance(20);
    world.put_all("v1");
    world.crash(1);
    world.advance(6_000);
    assert_eq!(world.members(), [1, 2]);
    let said = |note: &Note| matches!(note, Note::Alarm(what) if what.contains("a cluster of 2"));
    assert!(world.sides[0].notes.iter().any(said), "{:?}", world.sides[0].notes);
}

#[test]
fn points_of_a_stretch_are_learned_and_kept_until_then() {
    use super::super::super::ring::{self, next, ring_of};
    let ring = |members: u16| RingRecord {
        number: RingNumber::default(),
        cluster: Uuid(1),
        replicas: 2,
        tokens: 1,
        placement: Placement::Ring,
        members: (0..members)
            .zip(ring::propose(members, 1))
            .map(|(id, points)| RingMember {
                id: MemberId(id),
                uuid: Uuid(u128::from(id) + 1),
                name: NodeName::new(&format!("n{id}")).expect("a name"),
                points,
            })
            .collect(),
        learning: Vec::new(),
        outgoing: None,
        changes: OpenChanges::default(),
        incoming: None,
        departed: Vec::new(),
    };
    let record = ring(4);
    let points = vec![Point(1 << 61)];
    let newcomer = next::Newcomer {
        uuid: Uuid(99),
        name: NodeName::new("new").expect("a name"),
        points,
        had: None,
    };
    let (next, id) = next::with(&record, newcomer).expect("it may come");
    assert!(ring::is_ring(&next));
    let (old, new) = (ring_of(&record), ring_of(&next));
    for at in (0..64).map(|n| Point(n << 58 | 12_345)) {
        let in_sync = new.in_sync_at(at);
        assert_eq!(in_sync.len(), 2, "never fewer copies than before: {next:#?}");
        assert!(in_sync.iter().all(|member| old.replicas_at(at).contains(member)));
        assert!(!in_sync.contains(&id));
    }
    let done: Vec<_> = next.learning.iter().map(|l| (l.learner, l.span)).collect();
    let last = ring_of(&next::settled(&next::learned(&next, &done)));
    assert!(last.arcs().all(|arc| arc.holders.len() == 2 && arc.in_sync.len() == 2));
}

#[test]
fn placed_by_the_sum_of_bytes_members_stay_as_they_were_founded() {
    let mut world = World::blank();
    let placement = Placement::AsciiSum;
    world.start(Config { placement, evict_after_ms: Some(2_000), ..config(100) });
    world.run();
    world.advance(20);
    world.put_all("v1");
    world.advance(1_000);
    world.assert_whole(2, "v1");
    let (n1, n3) = ("n1".to_owned(), "n3".to_owned());
    for action in [Action::Add, Action::Remove(n1), Action::Evict(n3), Action::Rebalance] {
        let asked = world.admin(action.clone());
        assert_eq!(code(world.answer(asked)), Some(ErrorCode::Refused), "{action:?}");
        let told = text(world.answer(asked));
        assert!(told.contains("stay as they were founded"), "{action:?}: {told}");
    }
    assert_eq!(world.sides[0].wanted, 0);
    world.crash(2);
    world.advance(6_000);
    assert_eq!(world.members(), [1, 2, 3]);
    let said = |note: &Note| {
        let why = "n3 is not evicted: keys are placed by the sum of their bytes";
        matches!(note, Note::Alarm(what) if what.starts_with(why))
    };
    assert!(world.sides[0].notes.iter().any(said), "{:?}", world.sides[0].notes);
}

#[test]
fn nothing_is_begun_that_a_node_which_is_silent_on_an_open_link_must_agree_to() {
    let mut world = living();
    world.crash(2);
    world.advance(3_500);
    world.settle();
    assert_eq!(world.members(), [1, 2]);
    world.deaf.insert(1);
    world.silent.insert(1);
    world.advance(1_800);
    let evict = Action::Evict("n2".into());
    for (action, dry_run) in [(evict.clone(), true), (evict, false), (Action::Add, false)] {
        let op = AdminOp { action, dry_run, if_ring: None };
        let asked = world.request(0, 9, ClientOp::Admin(op), 5_000);
        let refused = text(world.answer(asked));
        let why = "1 of 2 nodes answer, and 2 must agree: a cluster of 2 nodes cannot do without";
        assert!(refused.contains("code: Refused") && refused.contains(why), "{refused}");
    }
    // Nor by itself, so that updates are refused at once and do not wait for it.
    world.advance(5_000);
    assert!(world.sides[0].core.step.is_none());
    let put = world.put(1, &key("key-0"), "v2");
    world.run();
    assert!(text(world.answer(put)).contains("ReplicaDown"), "{}", text(world.answer(put)));
    world.deaf.clear();
    world.silent.clear();
    world.advance(1_000);
    let put = world.put(1, &key("key-0"), "v2");
    world.run();
    assert!(is_ok(world.answer(put)), "{}", text(world.answer(put)));
}

#[test]
fn shares_that_are_equal_are_not_moved() {
    let mut world = living();
    world.put_all("v1");
    let before = world.sides[0].core.ring_status().points;
    let asked = world.admin(Action::Rebalance);
    assert!(is_ok(world.answer(asked)), "{}", text(world.answer(asked)));
    world.settle();
    assert_eq!(world.sides[0].core.ring_status().points, before);
    let changes = world.sides[0].core.changes_status(world.now);
    let done = changes.last().expect("it is shown");
    assert_eq!((&*done.action, &*done.state, done.keys_done), ("rebalance", "done", 0));
}
