//! What a subscriber makes of the coordinator's events: how each node is, folded over what `status`
//! said when it began. After whatever happens that must be what `status` says then, one row a name.
//!
//! And a name that a change has no other change may have, of this coordinator or another one.
//!
//! Half of the coordinators have such a subscriber, so that the others show that nothing hangs on
//! one.

use std::collections::BTreeMap;

use cluster::core::coordinator::{Effect, Input, Interest};
use protocol::event::{Body, MemberState, Subscribe, Topic};
use protocol::ids::NodeName;
use protocol::status::{NodeState, Status};

use super::world::{Failure, World};

/// How nodes are, by name, as it was told. Of whom nothing is told is down.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<NodeName, NodeState>);

impl Seen {
    fn of(&self, name: &NodeName) -> NodeState {
        self.0.get(name).copied().unwrap_or(NodeState::Down)
    }

    /// Takes what is told; what is wrong with it.
    fn take(&mut self, told: &MemberState) -> Option<String> {
        let known = self.of(&told.node);
        self.0.insert(told.node.clone(), told.to);
        let is_right = known == told.from && told.from != told.to;
        (!is_right).then(|| format!("{known} was told before {told:?}"))
    }

    /// How it differs from what `status` says.
    fn differs(&self, status: &Status) -> Option<String> {
        let mut listed = BTreeMap::new();
        for node in &status.nodes {
            if listed.insert(&node.name, node.state).is_some() {
                return Some(format!("{} is listed twice: {:?}", node.name, status.nodes));
            }
        }
        let wrong = listed.iter().find(|(name, state)| self.of(name) != **state);
        if let Some((name, state)) = wrong {
            return Some(format!("{name} is {state}, and was told to be {}", self.of(name)));
        }
        let mut unlisted = self.0.iter().filter(|(name, _)| !listed.contains_key(name));
        let left = unlisted.find(|(_, state)| **state != NodeState::Down);
        left.map(|(name, state)| format!("{name} was told to be {state}, and is not listed"))
    }
}

/// What a change does, and the node that it is about, if that is known.
pub(crate) type Known = (String, Option<String>);

/// Holds the changes that are shown against what their names stood for before.
fn misnamed(known: &mut BTreeMap<String, Known>, status: &Status) -> Option<String> {
    let mut wrong = None;
    for change in &status.changes {
        let is = (change.action.clone(), change.node.clone());
        let was = known.entry(change.change.clone()).or_insert_with(|| is.clone());
        if was.1.is_none() {
            // It waited for a node then.
            was.1.clone_from(&is.1);
        }
        if was.0 != is.0 || is.1.is_some() && was.1 != is.1 {
            wrong = Some(format!("{} was {was:?} and is {is:?} now", change.change));
        }
    }
    wrong
}

impl World {
    /// Somebody subscribes at a coordinator that has just started, at every other one.
    pub(crate) fn subscribe(&mut self, coordinator: usize) {
        let process = &mut self.coordinators[coordinator];
        if (process.instance.0 >> 64) & 1 == 0 {
            return;
        }
        let topics = [Topic::Member].into_iter().collect();
        let wants = Subscribe { topics, ..Subscribe::default() };
        let interest = Box::new(Interest::of([wants].iter()));
        process.seen = Some(Seen::default());
        self.hand_in_quietly(coordinator, Input::Interest(interest));
    }

    /// Takes the events among these effects; `looks`: and holds all that was told against `status`.
    pub(crate) fn see(&mut self, coordinator: usize, effects: &[Effect], looks: bool) {
        let process = &mut self.coordinators[coordinator];
        let Some(mut seen) = process.seen.take() else { return };
        let events = effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(event),
            _ => None,
        });
        let mut wrong = None;
        let mut looks = looks;
        for event in events {
            let Body::MemberState(told) = &event.body else { continue };
            looks = true;
            wrong = wrong.or(seen.take(told));
            self.coverage.met(match told.to {
                NodeState::Joining => "nodes told to join",
                NodeState::Leaving => "nodes told to leave",
                NodeState::Evicted => "nodes told to be evicted",
                _ => "nodes told to be otherwise",
            });
        }
        if looks {
            let status = self.coordinators[coordinator].status(self.now);
            wrong = wrong.or(seen.differs(&status));
            wrong = wrong.or_else(|| misnamed(&mut self.changes, &status));
        }
        self.coordinators[coordinator].seen = Some(seen);
        if let Some(what) = wrong {
            self.fail(Failure::Untold(what));
        }
    }
}
