//! How nodes are told to be: whoever folds `member_state` over a snapshot has what `status` says,
//! after each input; and why each change is told.

use protocol::event::{Body, RecoveryPhase, Subscribe, Topic};
use protocol::status::NodeStatus;

use super::super::Action;
use super::events::pick;
use super::membership::living;
use super::*;

/// How nodes are, by name, as a snapshot and then events told it. Of whom nothing is told is down.
pub(super) type Seen = BTreeMap<NodeName, NodeState>;

fn of(seen: &Seen, name: &NodeName) -> NodeState {
    seen.get(name).copied().unwrap_or(NodeState::Down)
}

impl World {
    fn rows(&self, side: usize) -> Vec<NodeStatus> {
        self.sides[side].core.status(self.now).nodes
    }

    /// What `status` says now is what later events are folded over.
    pub(super) fn fold_from_now(&mut self, side: usize) {
        let rows = self.rows(side).into_iter().map(|node| (node.name, node.state));
        self.sides[side].seen = Some(rows.collect());
    }

    /// Takes the events of an input's effects, and holds them against what `status` says now.
    pub(super) fn fold(&mut self, side: usize, effects: &[Effect]) {
        if self.sides[side].seen.is_none() {
            return;
        }
        let rows = self.rows(side);
        let Some(seen) = &mut self.sides[side].seen else { return };
        for effect in effects {
            let Effect::Event(event) = effect else { continue };
            let Body::MemberState(told) = &event.body else { continue };
            assert_eq!(of(seen, &told.node), told.from, "{told:?}");
            assert_ne!(told.from, told.to, "{told:?}");
            seen.insert(told.node.clone(), told.to);
        }
        for node in &rows {
            assert_eq!(of(seen, &node.name), node.state, "{node:?}");
            let alike = rows.iter().filter(|other| other.name == node.name).count();
            assert_eq!(alike, 1, "one row a name: {rows:?}");
        }
        let is_listed = |name: &NodeName| rows.iter().any(|node| node.name == *name);
        for (name, state) in seen.iter().filter(|(name, _)| !is_listed(name)) {
            assert_eq!(*state, NodeState::Down, "{name} is not listed");
        }
    }

    /// What was told of this node since the last look, with why.
    pub(super) fn told_of(&mut self, node: &str) -> Vec<String> {
        pick(&self.heard(), |body| match body {
            Body::MemberState(told) if told.node.as_str() == node => {
                Some(format!("{} {}: {}", told.from, told.to, told.reason))
            }
            _ => None,
        })
    }
}

#[test]
fn an_eviction_by_itself_is_told_with_why_the_node_was_down_and_its_return_step_by_step() {
    let mut world = living();
    world.put_all("v1");
    world.heard();
    world.crash(2);
    world.advance(4_000);
    world.settle();
    let told = world.told_of("n3");
    assert_eq!(
        told,
        ["up suspect: tcp_reset", "suspect down: tcp_refused", "down evicted: tcp_refused"]
    );
    world.restart(2);
    world.advance(1_000);
    world.settle();
    assert_eq!(world.told_of("n3"), ["evicted joining: registered", "joining up: caught_up"]);
}

#[test]
fn who_has_come_is_told_to_copy_until_it_has_all_and_nobody_else_is() {
    let mut world = living();
    world.put_all("v1");
    world.heard();
    let steps = |world: &mut World| {
        pick(&world.heard(), |body| match body {
            Body::MemberRecovery(step) => Some((step.node.to_string(), step.phase, step.total)),
            _ => None,
        })
    };
    world.crash(2);
    world.advance(4_000);
    world.settle();
    assert_eq!(steps(&mut world), [], "others copy what they are to hold now");
    world.restart(2);
    world.advance(1_000);
    world.settle();
    let told = steps(&mut world);
    assert!(told.iter().all(|(node, ..)| node == "n3"), "{told:?}");
    let phases: Vec<_> = told.iter().map(|(_, phase, _)| *phase).collect();
    use RecoveryPhase::{Copy, Decisions, Log, Ready};
    assert_eq!(phases, [Log, Decisions, Copy, Ready]);
}

#[test]
fn the_time_of_a_return_begins_with_its_first_step() {
    let mut world = living();
    world.put_all("v1");
    world.advance(60_000);
    world.heard();
    // Its connections stay as they are: it does not register anew.
    world.order(Action::Evict("n3".into()));
    world.advance(500);
    world.settle();
    let took_ms = pick(&world.heard(), |body| match body {
        Body::MemberRecovery(step) => Some((step.phase, step.ms)),
        _ => None,
    });
    assert_eq!(took_ms.last().map(|(phase, _)| *phase), Some(RecoveryPhase::Ready));
    assert!(took_ms.iter().all(|(_, ms)| *ms < 60_000), "{took_ms:?}");
}

#[test]
fn what_an_order_does_is_told_as_that() {
    let mut world = living();
    world.put_all("v1");
    world.heard();
    // It is up, and comes back at once.
    world.order(Action::Evict("n3".into()));
    world.advance(500);
    world.settle();
    let told = world.told_of("n3");
    assert_eq!(told, ["up evicted: admin", "evicted joining: registered", "joining up: caught_up"]);

    world.order(Action::Add);
    world.nodes.push(machine::blank(3));
    world.register(0, 3);
    let conn = RegistrationId(world.last_registration);
    world.advance(500);
    world.settle();
    assert_eq!(world.told_of("n4"), ["down joining: admin", "joining up: caught_up"]);

    world.order(Action::Remove("n4".into()));
    world.advance(500);
    world.settle();
    assert_eq!(world.told_of("n4"), ["up leaving: admin", "leaving evicted: admin"]);
    world.crash(3);
    world.tell(0, Input::Unregistered(conn));
    world.advance(1_000);
    assert!(world.rows(0).iter().all(|node| node.name.as_str() != "n4"), "it has left");
    assert_eq!(world.told_of("n4"), ["evicted down: tcp_reset"]);
}

#[test]
fn who_waits_to_be_added_and_goes_is_told_to_be_gone() {
    let mut world = living();
    world.heard();
    world.nodes.push(machine::blank(3));
    world.register(0, 3);
    world.advance(500);
    assert_eq!(world.told_of("n4"), ["down joining: registered"]);
    world.crash(3);
    let conn = RegistrationId(world.last_registration);
    world.tell(0, Input::Unregistered(conn));
    world.advance(500);
    assert_eq!(world.told_of("n4"), ["joining down: tcp_reset"]);
    assert_eq!(world.rows(0).len(), 3);
}

/// A disk is wiped: another store has the name now.
#[test]
fn a_node_that_returns_with_a_wiped_disk_is_shown_once() {
    let mut world = living();
    world.put_all("v1");
    world.crash(2);
    world.advance(4_000);
    world.settle();
    world.heard();
    world.nodes.push(machine::blank_as(3, "n3"));
    world.register(0, 3);
    world.advance(1_000);
    world.settle();
    assert_eq!(world.told_of("n3"), ["evicted joining: registered", "joining up: caught_up"]);
    let rows = world.rows(0);
    let n3: Vec<_> = rows.iter().filter(|node| node.name.as_str() == "n3").collect();
    assert_eq!((rows.len(), n3.len()), (3, 1), "{rows:?}");
    assert_eq!((n3[0].uuid, n3[0].state), (Some(Uuid(4)), NodeState::Up));

    // The old directory runs again: the name is another store's.
    world.restart(2);
    world.advance(1_000);
    assert_eq!(world.rows(0).len(), 3);
    assert_eq!(world.told_of("n3"), [""; 0]);
}

/// Who finds a change made tells nothing of it as new: its snapshot says it.
#[test]
fn a_new_coordinator_tells_no_old_change_as_a_new_one() {
    let mut world = living();
    world.put_all("v1");
    world.crash(2);
    world.advance(4_000);
    world.settle();
    world.kill(0);
    let side = world.start_alone(config(200));
    let topics = [Topic::Member].into_iter().collect();
    world.subscribe(side, Subscribe { topics, ..Subscribe::default() });
    for node in 0..2 {
        world.register(side, node);
    }
    world.run();
    world.advance(5_000);
    assert!(world.sides[side].active);
    let told = pick(&std::mem::take(&mut world.sides[side].events), |body| match body {
        Body::MemberState(told) => Some((told.node.to_string(), told.to, told.reason.clone())),
        _ => None,
    });
    let is_plain = |(_, to, reason): &(String, NodeState, String)| {
        matches!(to, NodeState::Suspect | NodeState::Up) && reason != "admin"
    };
    assert!(told.iter().all(is_plain), "{told:?}");
}
