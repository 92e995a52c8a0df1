//! Changes that are cancelled, at every moment of them: what was before is again, whole.

use std::collections::BTreeMap;

use protocol::error::ErrorReply;
use protocol::ids::Point;
use protocol::status::ChangeStatus;

use super::super::{Action, AdminOp};
use super::membership::{keys, living};
use super::*;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Add,
    Remove,
    Rebalance,
}

/// Moments, 10 ms apart, after which all of the changes below have come to their end.
const MOMENTS: u64 = 60;

impl World {
    /// A cluster with keys, in which copying takes its time.
    pub(super) fn slow() -> Self {
        let mut world = living();
        world.put_all("v1");
        world.admin(Action::SetCopyRate(10_000));
        world.nodes.iter_mut().for_each(|node| node.page_max = 2);
        world
    }

    fn join(&mut self) {
        let node = self.nodes.len();
        self.nodes.push(machine::blank(node));
        self.nodes[node].page_max = 2;
        self.register(self.sides.len() - 1, node);
    }

    /// Asks for a change; where the points were before.
    pub(super) fn begin(&mut self, what: What) -> BTreeMap<NodeName, Vec<Point>> {
        if what == What::Rebalance {
            self.admin(Action::Add);
            self.join();
            self.settle();
        }
        let before = self.places();
        let action = match what {
            What::Add => Action::Add,
            What::Remove => Action::Remove("n2".into()),
            What::Rebalance => Action::Rebalance,
        };
        let asked = self.admin(action);
        assert!(is_ok(self.answer(asked)), "{:?}", self.answer(asked));
        if what == What::Add {
            self.join();
        }
        before
    }

    pub(super) fn places(&self) -> BTreeMap<NodeName, Vec<Point>> {
        let record = self.record();
        record.members.iter().map(|m| (m.name.clone(), m.points.clone())).collect()
    }

    fn record(&self) -> Arc<RingRecord> {
        self.sides[self.sides.len() - 1].core.record.clone().expect("in force")
    }

    /// The newest change that was asked for.
    fn newest_change(&self) -> Option<ChangeStatus> {
        let core = &self.sides[self.sides.len() - 1].core;
        core.changes_status(self.now).into_iter().max_by_key(|change| change.change.clone())
    }

    /// Cancels the newest change; the refusal, if it is refused.
    fn cancel(&mut self) -> Result<String, Box<ErrorReply>> {
        let change = self.newest_change().expect("one was asked for").change;
        let asked = self.admin(Action::Cancel(change));
        match self.answer(asked) {
            Some(Answer::Error(error)) => Err(error.clone()),
            other => Ok(text(other)),
        }
    }

    /// Every key can be written, and is where it should be.
    fn assert_writable(&mut self, value: &str) {
        self.put_all(value);
        self.advance(200);
        self.assert_whole(2, value);
    }
}

#[test]
fn a_removal_that_is_cancelled_is_told_both_ways() {
    let mut world = World::slow();
    world.heard();
    world.begin(What::Remove);
    world.advance(50);
    assert_eq!(world.told_of("n2"), ["up leaving: admin"]);
    world.cancel().expect("it is under way");
    world.settle();
    assert_eq!(world.told_of("n2"), ["leaving up: admin"]);
}

#[test]
fn a_change_that_is_cancelled_leads_back_at_whatever_moment() {
    for what in [What::Add, What::Remove, What::Rebalance] {
        let mut ends = BTreeMap::new();
        for moment in 0..MOMENTS {
            let mut world = World::slow();
            let before = world.begin(what);
            world.advance(10 * moment);
            let before_it = world.put(1, &keys()[0], "v2");
            let cancelled = world.cancel();
            let after_it = world.put(2, &keys()[1], "v2");
            world.settle();
            for put in [before_it, after_it] {
                assert!(is_ok(world.answer(put)), "{moment}: {:?}", world.answer(put));
            }
            let change = world.newest_change().expect("it is shown");
            *ends.entry(change.state.clone()).or_insert(0) += 1;
            let at = format!("{what:?} after {moment}: {change:?} {cancelled:?}");
            match &cancelled {
                Ok(said) => {
                    assert!(said.contains(r#""note":""#), "{at}");
                    assert_eq!(world.places(), before, "{at}");
                    assert_eq!(change.state, "cancelled", "{at}");
                }
                // It was at its end.
                Err(error) => {
                    assert_eq!((error.code, &*change.state), (ErrorCode::Already, "done"), "{at}");
                    assert_ne!(world.places(), before, "{at}");
                }
            }
            if cancelled.is_ok() && what == What::Add && !world.sides[0].removed.is_empty() {
                // Its supervisor stops it.
                assert_eq!(world.sides[0].removed, ["n4"], "{at}");
                world.crash(3);
            }
            if world.sides[0].removed == ["n2"] {
                world.crash(1);
            }
            world.assert_writable("v2");
        }
        let both = ["cancelled", "done"].map(|state| ends.get(state).copied().unwrap_or(0));
        assert!(both[0] > 5 && both[1] > 5, "{what:?}: {ends:?}");
    }
}

#[test]
fn a_coordinator_that_dies_while_it_cancels_leaves_one_of_both_rings() {
    for what in [What::Add, What::Remove, What::Rebalance] {
        let mut ways = [0, 0];
        for moment in 0..20 {
            let mut world = World::slow();
            let before = world.begin(what);
            world.advance(80);
            world.cancel().expect("it is under way");
            world.advance(10 * moment);
            world.kill(0);
            world.start(Config { evict_after_ms: Some(2_000), ..successor(200) });
            world.run();
            world.advance(3_500);
            world.settle();
            let after = world.places();
            let full = after.values().all(|points| !points.is_empty());
            let names: Vec<&str> = after.keys().map(NodeName::as_str).collect();
            let there = match what {
                What::Add => names == ["n1", "n2", "n3", "n4"],
                What::Remove => names == ["n1", "n3"],
                What::Rebalance => after != before,
            };
            assert!(full && (there || after == before), "{what:?} after {moment}: {after:?}");
            ways[usize::from(there)] += 1;
            for (node, name) in [(1, "n2"), (3, "n4")] {
                let gone = after.keys().all(|member| member.as_str() != name);
                if gone && world.nodes.len() > node {
                    world.crash(node);
                }
            }
            world.assert_whole(2, "v1");
        }
        assert!(ways[0] > 0, "{what:?}: {ways:?}");
    }
}

#[test]
fn who_is_cancelled_may_die_meanwhile() {
    for what in [What::Add, What::Remove] {
        for moment in [0, 2, 5] {
            let mut world = World::slow();
            let before = world.begin(what);
            world.advance(80);
            let node = if what == What::Add { 3 } else { 1 };
            world.crash(node);
            world.advance(10 * moment);
            let _ = world.cancel();
            world.advance(2_500);
            world.settle();
            let change = world.newest_change().expect("it is shown");
            let stay: Vec<_> = before.keys().filter(|name| name.as_str() != "n2").collect();
            let here = world.places();
            assert!(stay.iter().all(|name| here.contains_key(*name)), "{change:?}: {here:?}");
            world.assert_writable("v2");
        }
    }
}

#[test]
fn who_is_evicted_meanwhile_is_not_added_and_is_removed() {
    for (what, node, end) in [
        (What::Add, 3, ("failed", Some("n4 has lost its place again"))),
        // Its points are given away already.
        (What::Remove, 1, ("done", None)),
    ] {
        let mut world = World::slow();
        world.admin(Action::SetCopyRate(300));
        world.begin(what);
        world.advance(80);
        world.crash(node);
        world.advance(2_500);
        world.admin(Action::SetCopyRate(10_000));
        world.settle();
        let core = &world.sides[0].core;
        let all = core.changes_status(world.now);
        let asked = all.iter().find(|change| change.change == "c1").expect("it is shown");
        assert_eq!((&*asked.state, asked.reason.as_deref()), end, "{all:?}");
    }
}

#[test]
fn an_eviction_is_not_taken_back_and_says_why() {
    let mut world = World::slow();
    world.crash(2);
    while world.newest_change().is_none() {
        world.advance(10);
    }
    let change = world.newest_change().expect("it has begun");
    assert_eq!((&*change.action, &*change.state), ("evict", "running"));
    let refused = world.cancel().expect_err("it is refused");
    assert_eq!(refused.code, ErrorCode::Refused);
    assert!(refused.error.contains("gets its place again by itself"), "{refused:?}");
    world.settle();
    world.assert_whole(2, "v1");
}

#[test]
fn what_would_be_copied_back_is_said_beforehand_and_nothing_is_done_twice() {
    let mut world = World::slow();
    world.begin(What::Remove);
    world.advance(80);
    let op = AdminOp { action: Action::Cancel("c1".into()), dry_run: true, if_ring: None };
    let asked = world.request(0, 9, ClientOp::Admin(op), 5_000);
    let said = text(world.answer(asked));
    assert!(said.contains("n2 stays and gets its part back"), "{said}");
    assert!(said.contains(r#""action":"cancel""#), "{said}");
    assert_eq!(world.newest_change().expect("it runs").reason, None);
    world.cancel().expect("it is under way");
    let again = world.cancel().expect_err("once is enough");
    assert_eq!(again.code, ErrorCode::Already);
    world.settle();
    assert!(keys().len() > 10);
    world.assert_whole(2, "v1");
}
