//! What a change would copy, and how far it is: estimates from what nodes tell, and nothing where
//! they tell nothing.

use protocol::event::{Body, Topic};
use protocol::reply::{AdminReply, ChangePreview};
use protocol::status::{ChangeStatus, NodeFigures};

use super::super::{Action, AdminOp};
use super::events::pick;
use super::membership::living;
use super::*;

/// What each node tells: keys that it is the primary of, and as many others.
const KEYS: u64 = 300;
const KEY_BYTES: u64 = 100;

impl World {
    fn that_tells(figures: &NodeFigures) -> Self {
        let mut world = living();
        world.put_all("v1");
        for node in &mut world.nodes {
            (node.figures, node.page_max) = (figures.clone(), 2);
        }
        world.advance(200);
        world
    }

    fn would(&mut self, action: Action) -> ChangePreview {
        let op = AdminOp { action, dry_run: true, if_ring: None };
        let asked = self.request(0, 9, ClientOp::Admin(op), 5_000);
        let reply = format!("{{\"ok\":true{}", text(self.answer(asked)));
        let reply: AdminReply = serde_json::from_str(reply.trim_end()).expect("a reply");
        reply.preview.expect("a preview")
    }

    fn change(&self) -> ChangeStatus {
        self.sides[0].core.changes_status(self.now).pop().expect("a change")
    }
}

fn figures() -> NodeFigures {
    let key_bytes = Some(KEY_BYTES);
    NodeFigures { keys_primary: KEYS, keys_replica: KEYS, key_bytes, ..NodeFigures::default() }
}

#[test]
fn a_change_says_beforehand_what_it_copies_and_for_how_long() {
    let mut world = World::that_tells(&figures());
    world.admin(Action::SetCopyRate(1_000));
    let remove = world.would(Action::Remove("n2".into()));
    // Two thirds of all keys are on each of three nodes; what n2 had others have afterwards.
    let keys = remove.keys.expect("nodes tell it");
    assert!(keys.abs_diff(2 * KEYS) < 10, "{remove:?}");
    assert_eq!(remove.bytes, Some(keys * KEY_BYTES));
    assert_eq!(remove.copy_bytes_per_s, 1_000);
    let ms = remove.eta_ms.expect("all of it is known");
    let one_by_one = keys * KEY_BYTES;
    assert!((one_by_one / 4..=one_by_one).contains(&ms), "{ms} of {one_by_one}");
    assert_eq!((remove.one_copy, remove.keys_one_copy), (0.0, Some(0)));
    let load = |name: &str| remove.loads.iter().find(|load| load.node == name).expect("a node");
    assert_eq!((load("n2").keys_before, load("n2").keys_after), (Some(2 * KEYS), Some(0)));
    let grown = load("n1").keys_after.zip(load("n1").keys_before).expect("known");
    assert!(grown.0 > grown.1 && load("n1").bytes_after == Some(grown.0 * KEY_BYTES), "{remove:?}");

    let add = world.would(Action::Add);
    let new = add.loads.iter().find(|load| load.node == "new").expect("the new node");
    assert_eq!(new.keys_before, Some(0));
    assert!(new.keys_after > Some(0) && new.keys_after == add.keys, "{add:?}");
    assert!(add.rebalance_moves.is_some_and(|moved| moved > 0.0), "{add:?}");
    assert_eq!(add.compared.len(), 3);

    let evict = world.would(Action::Evict("n3".into()));
    assert!(evict.one_copy > 0.6 && evict.keys_one_copy > Some(KEYS), "{evict:?}");
}

#[test]
fn what_nodes_do_not_tell_is_unknown_and_not_0() {
    for (figures, keys) in [
        (NodeFigures { counting: true, ..NodeFigures::default() }, None),
        (NodeFigures { key_bytes: None, ..figures() }, Some(())),
    ] {
        let mut world = World::that_tells(&figures);
        let remove = world.would(Action::Remove("n2".into()));
        assert_eq!((remove.keys.map(drop), remove.bytes, remove.eta_ms), (keys, None, None));
        assert!(remove.moves.iter().all(|moved| moved.bytes.is_none()), "{remove:?}");
        let load = &remove.loads[1];
        assert_eq!((load.keys_before.map(drop), load.bytes_before), (keys, None));
    }
    // An empty cluster copies nothing, for sure.
    let mut world = World::that_tells(&NodeFigures::default());
    let remove = world.would(Action::Remove("n2".into()));
    assert_eq!((remove.keys, remove.bytes, remove.eta_ms), (Some(0), Some(0), Some(0)));
}

#[test]
fn progress_is_told_with_what_is_left_and_for_how_long() {
    let mut world = World::that_tells(&figures());
    world.listen(&[Topic::Ring]);
    world.admin(Action::SetCopyRate(400));
    world.admin(Action::Remove("n2".into()));
    world.advance(100);
    let (mut seen, mut before) = (0, 0);
    while world.change().state == "running" {
        let change = world.change();
        world.advance(50);
        if change.transfers.is_empty() {
            continue;
        }
        let total = change.keys_total.expect("nodes tell it");
        assert!(total >= change.keys_done && change.bytes_total >= Some(change.bytes_done));
        // What is copied stays copied, also when a part of it is switched in.
        assert!(change.keys_done >= before, "{before}, then {change:?}");
        before = change.keys_done;
        let of = |state: &str| change.transfers.iter().filter(|t| t.state == state).count();
        assert_eq!(of("copying") + of("waiting"), change.transfers.len(), "{change:?}");
        assert!(change.transfers.iter().all(|told| !told.range.is_empty()), "{change:?}");
        if let Some((pace, left)) = change.bytes_per_s.zip(change.eta_ms) {
            let bytes = change.bytes_total.expect("known") - change.bytes_done;
            assert_eq!(left, bytes * 1_000 / pace, "{change:?}");
            seen += 1;
        }
    }
    assert!(seen > 5, "a pace was told {seen} times");
    let change = world.change();
    assert_eq!((&*change.state, change.transfers.len(), change.eta_ms), ("done", 0, None));
    assert!(change.keys_done >= before && before > 0, "{before}, then {change:?}");
    let told = |body: &Body| match body {
        Body::Transfer(told) => Some(told.clone()),
        _ => None,
    };
    let told = pick(&world.heard(), told);
    assert!(told.iter().any(|told| told.bytes_total > Some(0) && told.eta_ms > Some(0)));
    let end = told.iter().rfind(|told| told.state == "done").expect("an end");
    assert_eq!((end.keys_total, end.bytes_total), (Some(end.keys_done), Some(end.bytes_done)));
}

#[test]
fn who_comes_in_the_middle_sees_what_is_copied_and_who_loses_it_is_told() {
    let mut world = World::that_tells(&figures());
    world.listen(&[Topic::Ring]);
    assert!(world.sides[0].core.transfers(world.now).is_empty());
    world.admin(Action::SetCopyRate(400));
    world.admin(Action::Remove("n2".into()));
    world.advance(500);
    let under_way = world.sides[0].core.transfers(world.now);
    assert!(!under_way.is_empty());
    assert!(under_way.iter().all(|told| told.id > 0 && told.state == "copying"), "{under_way:?}");
    let learner: usize = under_way[0].target.as_str()[1..].parse().expect("a number");
    world.heard();
    world.crash(learner - 1);
    world.restart(learner - 1);
    world.advance(500);
    let lost = |body: &Body| matches!(body, Body::Transfer(told) if told.state == "lost");
    assert!(world.heard().iter().any(|event| lost(&event.body)));
}

#[test]
fn of_one_that_had_something_nobody_knows_how_much_is_old() {
    let mut world = World::that_tells(&figures());
    let groups = world.nodes[2].log.len();
    world.crash(2);
    world.advance(3_500);
    world.settle();
    world.put_all("v2");
    world.admin(Action::SetCopyRate(400));
    world.restart_with(2, groups);
    world.register(0, 2);
    let running = |world: &World| world.change().action == "return";
    while !running(&world) || world.change().transfers.is_empty() {
        world.advance(10);
    }
    assert_eq!((world.change().keys_total, world.change().eta_ms), (None, None));
}

/// A cluster in which n3 is to leave, and n1 has no space for what it gets of it.
fn paused() -> World {
    let mut world = World::that_tells(&figures());
    world.listen(&[Topic::Ring]);
    world.nodes[0].no_space = true;
    world.admin(Action::Remove("n3".into()));
    for _ in 0..100 {
        world.advance(10);
        if world.change().reason.is_some() {
            break;
        }
    }
    let change = world.change();
    assert_eq!(change.state, "running");
    let why = "n1 has no space on its disk for what it is to hold: free some there, and it goes \
               on by itself; or cancel the change";
    assert_eq!(change.reason.as_deref(), Some(why), "{change:?}");
    world
}

fn states(world: &mut World, of: &str) -> Vec<String> {
    let state = |body: &Body| match body {
        Body::Transfer(told) if told.target.as_str() == of => Some(told.state.clone()),
        _ => None,
    };
    pick(&world.heard(), state)
}

#[test]
fn a_learner_without_space_pauses_the_change_and_not_the_cluster() {
    let mut world = paused();
    assert!(states(&mut world, "n1").contains(&"paused".to_owned()));
    let shown = world.change().transfers;
    assert!(shown.iter().any(|told| told.target.as_str() == "n1" && told.state == "paused"));
    let said = |note: &Note| matches!(note, Note::Alarm(what) if what.contains("n1 has no space"));
    assert!(world.sides[0].notes.iter().any(said), "{:?}", world.sides[0].notes);
    world.put_all("v2");
    world.advance(40_000);
    world.put_all("v3");
    assert_eq!(world.change().state, "running", "it waits for as long as it takes");
    assert!(world.nodes.iter().all(|node| node.core.is_some()), "nobody ends for that");
    world.nodes[0].no_space = false;
    // It tries again after half a minute at the latest.
    world.advance(31_000);
    world.settle();
    assert_eq!(world.change().state, "done");
    assert_eq!(world.members(), [1, 2]);
    assert_eq!(states(&mut world, "n1").last().map(String::as_str), Some("done"));
    world.crash(2);
    world.assert_whole(2, "v3");
}

#[test]
fn a_change_that_is_paused_can_be_cancelled_and_another_is_refused() {
    let mut world = paused();
    let cancel = world.admin(Action::Cancel("c1".into()));
    assert!(is_ok(world.answer(cancel)), "{:?}", world.answer(cancel));
    world.settle();
    assert_eq!((world.change().state.as_str(), world.members()), ("cancelled", vec![1, 2, 3]));
    world.assert_whole(2, "v1");
    let again = world.admin(Action::Remove("n3".into()));
    let refused = format!("{:?}", world.answer(again));
    assert!(refused.contains("n1 has no space on its disk"), "{refused}");
    world.nodes[0].no_space = false;
    world.advance(31_000);
    let again = world.admin(Action::Remove("n3".into()));
    assert!(is_ok(world.answer(again)), "{:?}", world.answer(again));
}
