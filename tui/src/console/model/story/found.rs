//! What goes on already when the console first looks, or looks again: out of a snapshot.
//!
//! Part of `story`. A snapshot says how things are, and seldom since when: what is not known is
//! told as "at least". A node that is silent ended, or stood still, when it was last heard.

use protocol::status::{CoordinatorState, NodeState};

use super::super::Model;
use super::super::clock::{At, Since};
use super::super::feed::FeedName;
use super::super::node::{DOWN_INTERVALS, Node, SUSPECT_INTERVALS};
use super::super::servers::Process;
use super::change::asked_by;
use super::{Cause, Impact, Incident, Step, Story};

/// Who asked the supervisor last for what a process is now, if somebody did.
fn ordered(model: &Model, name: &str, process: &Process) -> Option<(Cause, String)> {
    let orders = ["kill", "stop", "pause", "start", "restart", "resume"];
    let last = model.admin.iter().rev().find(|(feed, admin)| {
        let about = admin.target.as_deref() == Some(name) && admin.result == "ok";
        *feed == FeedName::Supervisor && about && orders.contains(&admin.action.as_str())
    });
    let (_, admin) = last?;
    let cause = match (admin.action.as_str(), process.paused) {
        ("kill", false) => Cause::Killed,
        ("stop", false) => Cause::Stopped,
        ("pause", true) => Cause::Paused,
        _ => return None,
    };
    Some((cause, admin.by.clone()))
}

/// Whether nothing is missing without that server: it is a node that others have the place of, or
/// that has none yet.
fn has_no_place(model: &Model, server: &str) -> bool {
    let ring = &model.ring.points;
    !super::is_coordinator(server)
        && !ring.is_empty()
        && ring.iter().all(|point| point.node != server)
}

/// Since when a node is away that a snapshot tells of.
fn away_since(model: &Model, node: &Node, now: At) -> Since {
    let Some(heard) = node.heard else {
        return Since::found(node.silent_by(SUSPECT_INTERVALS, model.waits(), now));
    };
    let beat_ms = model.cluster.as_ref().map_or(0, |cluster| cluster.heartbeat_ms);
    let is_silent = now.ms_since(heard) > super::SILENT_BEATS * beat_ms;
    let is_gone = node.paused || node.state == Some(NodeState::Down);
    if is_silent || is_gone { Since::at(heard) } else { Since::found(heard) }
}

/// What it means that a node is away, by the ring: a snapshot does not say it. Nobody knows while
/// something is copied.
fn impact(model: &Model, name: &str) -> Option<Impact> {
    let share = *model.ring.shares().get(name)?;
    if model.moving.is_under_way() {
        return None;
    }
    let reads_by = model.reads_by(name);
    Some(Impact { share, reads_by })
}

impl Story {
    /// A snapshot of the coordinator's.
    pub(super) fn snapshot(&mut self, model: &Model, now: At) {
        let serves = model.coordinator.state == Some(CoordinatorState::Active);
        let restarted = self.coordinator(model, now).is_some();
        if !serves || restarted {
            return;
        }
        self.changes_found(model, now);
        for (name, node) in &model.nodes {
            if node.is_evicted() {
                self.evicted_found(model, name, now);
            } else if node.is_away() {
                self.away_found(model, name, node, now);
            } else {
                // What was ordered a moment ago may not have been seen there yet.
                let is_over = |one: &&mut Incident| one.was_seen() && !one.is_change();
                if let Some(incident) = self.open_of(name).filter(is_over)
                    && node.is_well()
                {
                    incident.reach(Step::Healthy, now);
                }
            }
        }
        self.incidents.retain(|one| !(one.is_only_found() && has_no_place(model, &one.server)));
    }

    fn away_found(&mut self, model: &Model, name: &str, node: &Node, now: At) {
        let began = away_since(model, node, now);
        let incident = self.begin(name, Cause::Before, began);
        incident.began_before(began);
        if node.paused {
            incident.learn(Cause::Paused, None);
        }
        let by = |intervals| Since::found(node.silent_by(intervals, model.waits(), now));
        if matches!(node.state, Some(NodeState::Suspect | NodeState::Down)) {
            incident.reach(Step::Suspected, by(SUSPECT_INTERVALS));
        }
        if incident.impact.is_none() {
            incident.impact = impact(model, name);
        }
        for (version, doubt) in model.txns.doubts() {
            let waits = doubt.told.missing.iter().any(|missing| missing.as_str() == name);
            if waits && doubt.resolved.is_none() {
                incident.doubt(*version);
            }
        }
        if node.state == Some(NodeState::Down) {
            incident.reach(Step::Down, by(DOWN_INTERVALS));
        }
    }

    /// A node has lost its place while nobody looked.
    fn evicted_found(&mut self, model: &Model, name: &str, now: At) {
        let loses = |one: &&mut Incident| one.cause != Cause::Returns && !one.is_only_found();
        let Some(incident) = self.open_of(name).filter(loses) else { return };
        incident.reach(Step::Evicted, Since::found(now));
        let next = if model.moving.is_under_way() { Step::Recopying } else { Step::Healthy };
        incident.reach(next, Since::found(now));
    }

    /// A snapshot of the supervisor's.
    pub(super) fn procs_snapshot(&mut self, model: &Model, now: At) {
        for (name, process) in &model.procs {
            let ended = matches!(process.state.as_str(), "dead" | "backoff" | "gave_up");
            if !ended && !process.paused {
                if let Some(incident) = self.open_of(name) {
                    incident.reach(Step::Started, now);
                }
                continue;
            }
            if has_no_place(model, name) && self.open_of(name).is_none() {
                continue;
            }
            let incident = self.begin(name, Cause::Before, Since::found(now));
            match (ordered(model, name, process), process.state.as_str()) {
                (Some((cause, by)), _) => incident.learn(cause, Some(&by)),
                (None, "backoff" | "gave_up") => {
                    incident.learn(Cause::Crashed { signal: None, exit_code: None }, None);
                }
                (None, _) if process.paused => incident.learn(Cause::Paused, None),
                (None, _) => {}
            }
            if process.state == "gave_up" {
                incident.reach(Step::GaveUp, Since::found(now));
            }
        }
    }

    /// What a snapshot says of changes under way: a console may come in the middle of one.
    fn changes_found(&mut self, model: &Model, now: At) {
        let since = Since::found(now);
        for change in model.moving.changes() {
            let Some(name) = change.node.as_deref() else { continue };
            // Whoever adds a node does not name it.
            let target = (change.action != "add").then_some(name);
            let by = asked_by(model, &change.action, target);
            let share = model.ring.shares().get(name).copied().unwrap_or(0.0);
            match change.action.as_str() {
                "evict" => {
                    let known = self.open_of(name).is_some();
                    let incident = self.begin(name, Cause::Evicted, since);
                    incident.by = if known { incident.by.take() } else { by };
                    incident.reach(Step::Evicted, since);
                    incident.reach(Step::Recopying, since);
                }
                "return" => drop(self.changes(name, Cause::Returns, share, since, None)),
                "add" => drop(self.changes(name, Cause::Joins, share, since, by)),
                "remove" => drop(self.changes(name, Cause::Leaves, share, since, by)),
                _ => {}
            }
        }
        if model.moving.is_under_way() {
            return;
        }
        self.copied(model, now);
        for incident in self.incidents.iter_mut().filter(|one| one.is_open()) {
            let is_gone = !model.nodes.contains_key(&incident.server);
            if incident.cause == Cause::Leaves && is_gone {
                incident.reach(Step::Healthy, now);
            }
        }
    }
}
