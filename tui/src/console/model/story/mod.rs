//! The story: incidents as they begin, heal and end, out of what servers tell.
//!
//! Looks at each thing after the model has taken it. An order to end a server, the end of its
//! process, missed heartbeats or another state open an incident, whichever comes first; what comes
//! later adds to it. So a crash that nobody asked for is told like one that somebody did. `found`
//! is about what went on already when the console first looked; `words` says it all in sentences.

mod change;
mod found;
mod incident;
mod moved;
pub(super) mod rot;
mod words;

pub use incident::{Cause, Impact, Incident, Step};
pub use words::{StepView, Told, Weight};

use std::collections::VecDeque;

use protocol::event::{Admin, Body, Event, Outcome, Proc, ProcState, RecoveryPhase};
use protocol::ids::{Epoch, Version};
use protocol::status::{CoordinatorState, NodeState};

use super::clock::{At, Since};
use super::feed::{FeedName, FeedState};
use super::node::{Node, is_missed_by_nobody};
use super::{COORDINATOR, Model};

/// Incidents that are kept.
pub const INCIDENTS_MAX: usize = 100;
/// A fault that was met so long before an incident began, or after, may have made it; milliseconds.
const FAULT_MS: u64 = 5_000;
/// Heartbeats in a row that are missed before silence is news.
const SILENT_BEATS: u64 = 2;

/// All incidents, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Story {
    incidents: VecDeque<Incident>,
    told: u32,
    /// A coordinator has been seen to serve: before, a cluster is starting, which is no incident.
    has_served: bool,
}

/// Whether a server's name is a coordinator's.
pub(super) fn is_coordinator(server: &str) -> bool {
    server == COORDINATOR || server.starts_with("coordinator.")
}

impl Story {
    /// Those that are not over, the newest first.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().rev().filter(|incident| incident.is_open())
    }

    /// All that are kept, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().rev()
    }

    /// The one to tell: an open one, the coordinator's first; else the last.
    pub fn foremost(&self) -> Option<&Incident> {
        let coordinator = self.open().find(|incident| incident.is_coordinator);
        let open = coordinator.or_else(|| self.open().next());
        open.or_else(|| self.incidents.iter().max_by_key(|incident| (incident.closed, incident.id)))
    }

    fn open_of(&mut self, server: &str) -> Option<&mut Incident> {
        let mut newest = self.incidents.iter_mut().rev();
        newest.find(|incident| incident.is_open() && incident.server == server)
    }

    /// The open incident of a server, begun if there is none.
    fn begin(&mut self, server: &str, cause: Cause, began: impl Into<Since>) -> &mut Incident {
        let place = self.incidents.iter().rposition(|one| one.is_open() && one.server == server);
        let place = place.unwrap_or_else(|| {
            if self.incidents.len() == INCIDENTS_MAX {
                self.incidents.pop_front();
            }
            self.told += 1;
            self.incidents.push_back(Incident::new(self.told, server, cause, began.into()));
            self.incidents.len() - 1
        });
        &mut self.incidents[place]
    }

    /// Takes a change of one of the console's connections; the incident that it is part of.
    pub(super) fn link(&mut self, name: FeedName, state: &FeedState, now: At) -> Option<u32> {
        if name != FeedName::Coordinator || !self.has_served {
            return None;
        }
        if let FeedState::Lost(_) = state {
            let incident = self.begin(COORDINATOR, Cause::Silent, now);
            incident.reach(Step::Cut, now);
            return Some(incident.id);
        }
        // Whether it serves, its snapshot will tell.
        self.open_of(COORDINATOR).map(|incident| incident.id)
    }

    /// What was handed over before this epoch is in doubt no more.
    pub(super) fn settled(&mut self, epoch: Epoch) {
        for incident in &mut self.incidents {
            incident.unresolved.retain(|version| version.epoch() >= epoch);
        }
    }

    /// The coordinator's connection is there and nothing comes over it.
    pub(super) fn coordinator_silent(&mut self, began: At, now: At) {
        if self.has_served {
            self.begin(COORDINATOR, Cause::Silent, began).reach(Step::Silent, now);
        }
    }

    /// Takes an event that the model has taken; the incident that it is part of.
    pub(super) fn event(
        &mut self,
        model: &Model,
        feed: FeedName,
        event: &Event,
        now: At,
    ) -> Option<u32> {
        let of = match &event.body {
            Body::Snapshot(_) => {
                self.snapshot(model, now);
                None
            }
            Body::ProcsSnapshot(_) => {
                self.procs_snapshot(model, now);
                None
            }
            Body::Admin(admin) if feed == FeedName::Supervisor => self.admin(admin, now),
            Body::Proc(told) => self.process(model, told, now),
            Body::HeartbeatMissed(missed) => {
                self.missed(missed.node.as_str(), missed.missed, model, now)
            }
            Body::Heartbeat(beat) => {
                self.heard(beat.node.as_str(), model, now);
                None
            }
            Body::MemberState(_) | Body::MemberRecovery(_) | Body::Link(_) => {
                self.member(&event.body, model, now)
            }
            Body::CoordinatorState(_) => self.coordinator(model, now),
            Body::RingEpoch(_) => self.ring(model, now),
            Body::Transfer(_) => self.open().find(|one| one.is_change()).map(|one| one.id),
            Body::TxnInDoubt(_) | Body::TxnResolved(_) | Body::Txn(_) => self.doubt(&event.body),
            _ => None,
        };
        self.explain(model);
        self.close_coordinator(model);
        of
    }

    /// Names the faults that explain what has just begun.
    fn explain(&mut self, model: &Model) {
        let fresh = |one: &&mut Incident| one.is_open() && !one.is_returning();
        for incident in self.incidents.iter_mut().filter(fresh) {
            let Some(process) = model.procs.get(&incident.server) else { continue };
            for (fault, at) in &process.met {
                let began = incident.began.latest();
                let near = at.ms_since(began).max(began.ms_since(*at));
                let explains = near <= FAULT_MS && incident.is_explained_by(fault);
                if explains && !incident.faults.contains(fault) {
                    incident.faults.push(fault.clone());
                }
            }
        }
    }

    fn admin(&mut self, admin: &Admin, now: At) -> Option<u32> {
        let target = admin.target.as_deref()?;
        if admin.result != "ok" {
            return None;
        }
        let cause = match admin.action.as_str() {
            "kill" => Cause::Killed,
            "stop" => Cause::Stopped,
            "pause" => Cause::Paused,
            _ => return self.open_of(target).map(|incident| incident.id),
        };
        let incident = self.begin(target, cause.clone(), now);
        incident.learn(cause, Some(&admin.by));
        Some(incident.id)
    }

    fn process(&mut self, model: &Model, told: &Proc, now: At) -> Option<u32> {
        let by = told.by.as_deref();
        if model.left.contains(&told.name) {
            return None;
        }
        match told.state {
            ProcState::Killed | ProcState::Exited | ProcState::Paused => {
                let cause = match (told.state, by) {
                    (ProcState::Killed, _) => Cause::Killed,
                    (ProcState::Paused, _) => Cause::Paused,
                    (_, Some(_)) => Cause::Stopped,
                    _ => Cause::Crashed { signal: told.signal, exit_code: told.exit_code },
                };
                if let Some(old) = self.open_of(&told.name).filter(|old| old.is_returning()) {
                    // It had come back, and ends once more: that is another one.
                    old.closed = Some(now);
                }
                let incident = self.begin(&told.name, cause.clone(), now);
                incident.learn(cause, by);
                Some(incident.id)
            }
            ProcState::Spawned | ProcState::Resumed => {
                if let Some(id) = self.runs_again(model, &told.name, now) {
                    return Some(id);
                }
                let incident = self.open_of(&told.name)?;
                incident.reach(Step::Started, now);
                Some(incident.id)
            }
            ProcState::GaveUp => {
                let incident = self.begin(&told.name, Cause::Silent, now);
                incident.reach(Step::GaveUp, now);
                Some(incident.id)
            }
            ProcState::Backoff | ProcState::Other => {
                self.open_of(&told.name).map(|incident| incident.id)
            }
        }
    }

    fn missed(&mut self, node: &str, missed: u64, model: &Model, now: At) -> Option<u32> {
        if missed < SILENT_BEATS || !self.has_served {
            return self.open_of(node).map(|incident| incident.id);
        }
        // While the coordinator itself comes back, nodes have yet to find it.
        if self.open_of(COORDINATOR).is_some() {
            return self.open_of(node).map(|incident| incident.id);
        }
        let seen = model.nodes.get(node)?;
        if seen.is_evicted() {
            return self.open_of(node).map(|incident| incident.id);
        }
        let began = seen.heard.unwrap_or(now).max(seen.state_since.latest());
        let beat_ms = model.cluster.as_ref().map_or(0, |cluster| cluster.heartbeat_ms);
        // One that has just come back is still counted by what it missed while it was away.
        if now.ms_since(began) < SILENT_BEATS * beat_ms && self.open_of(node).is_none() {
            return None;
        }
        let incident = self.begin(node, Cause::Silent, began);
        incident.reach(Step::Silent, now);
        Some(incident.id)
    }

    /// A node is heard that was only silent, or only stood still: no other state was seen.
    fn heard(&mut self, node: &str, model: &Model, now: At) {
        let well = model.nodes.get(node).is_some_and(Node::is_well);
        if let Some(incident) = self.open_of(node).filter(|_| well)
            && let (Cause::Silent, Step::Silent) | (Cause::Paused, Step::Started) =
                (&incident.cause, incident.last())
        {
            incident.reach(Step::Healthy, now);
        }
    }

    fn member(&mut self, body: &Body, model: &Model, now: At) -> Option<u32> {
        match body {
            Body::MemberState(change) => {
                let name = change.node.as_str();
                // A coordinator that does not serve yet counts nodes out that have yet to find it.
                let serves = model.coordinator.state == Some(CoordinatorState::Active);
                let alone = serves && self.open_of(COORDINATOR).is_none();
                let unwell = match change.to {
                    _ if is_missed_by_nobody(change) => None,
                    NodeState::Down => Some(Step::Down),
                    NodeState::Suspect => Some(Step::Suspected),
                    _ => None,
                };
                let is_news = alone || serves && change.to == NodeState::Down;
                // Who is to get a place has one as soon as a ring says so.
                let has_place = model.ring.points.iter().any(|point| point.node == name);
                let is_news = is_news && (has_place || change.reason != "registered");
                self.ends_change(name, change.to, now);
                if unwell.is_some() && self.has_served && is_news {
                    let heard = model.nodes.get(name).and_then(|node| node.heard);
                    self.begin(name, Cause::Silent, heard.unwrap_or(now));
                }
                let incident = self.open_of(name)?;
                if let Some(step) = unwell {
                    incident.reach(step, now);
                    incident.impact = Some(Impact {
                        share: change.ring_share,
                        reads_by: change.reads_by.iter().map(|n| n.as_str().to_owned()).collect(),
                    });
                } else if change.to == NodeState::Up
                    && !change.paused
                    && !(incident.is_change() && model.moving.is_under_way())
                {
                    incident.reach(Step::Healthy, now);
                }
                Some(incident.id)
            }
            Body::MemberRecovery(told) => {
                let incident = self.open_of(told.node.as_str())?;
                let step = match told.phase {
                    RecoveryPhase::Log => Step::Log,
                    RecoveryPhase::Decisions => Step::Decisions,
                    RecoveryPhase::Copy => Step::Copying,
                    RecoveryPhase::Ready | RecoveryPhase::Other => return Some(incident.id),
                };
                incident.reach(step, now);
                if incident.last() == step {
                    incident.progress = Some((told.done, told.total)).filter(|(_, all)| *all > 0);
                }
                Some(incident.id)
            }
            Body::Link(link) => self.open_of(link.peer.as_str()).map(|incident| incident.id),
            _ => None,
        }
    }

    fn coordinator(&mut self, model: &Model, now: At) -> Option<u32> {
        let state = model.coordinator.state?;
        if state == CoordinatorState::Active && !self.has_served {
            self.has_served = true;
            return None;
        }
        if !self.has_served {
            return None;
        }
        let step = match state {
            CoordinatorState::Claiming => Step::Claiming,
            CoordinatorState::Fencing => Step::Fencing,
            CoordinatorState::Recovering => Step::Recovering,
            CoordinatorState::Active => Step::Active,
            CoordinatorState::Standby | CoordinatorState::Other => return None,
        };
        let incident = if step == Step::Active {
            self.open_of(COORDINATOR)?
        } else {
            self.begin(COORDINATOR, Cause::Silent, now)
        };
        incident.reach(step, now);
        let id = incident.id;
        if step == Step::Active {
            self.left_behind(model, now);
        }
        Some(id)
    }

    /// A coordinator serves: nodes that it has counted out before are missing indeed.
    fn left_behind(&mut self, model: &Model, now: At) {
        for (name, node) in &model.nodes {
            if node.state == Some(NodeState::Down) {
                let began = node.heard.unwrap_or(now);
                self.begin(name, Cause::Silent, began).reach(Step::Down, now);
            }
        }
    }

    /// The coordinator's incident ends when it serves, is heard, and has all the nodes again that
    /// have no incident of their own: that it is heard is so from now on, whatever it tells of.
    fn close_coordinator(&mut self, model: &Model) {
        if !model.is_served() {
            return;
        }
        let own = |name: &str| self.open().any(|incident| incident.server == name);
        let missing = model.nodes.iter().any(|(name, node)| node.is_away() && !own(name));
        let over = |one: &&mut Incident| !missing && (one.is_returning() || one.is_guess());
        if let Some(incident) = self.open_of(COORDINATOR).filter(over) {
            incident.reach(Step::Active, model.now);
            incident.reach(Step::Healthy, model.now);
        }
    }

    fn doubt(&mut self, body: &Body) -> Option<u32> {
        match body {
            Body::TxnInDoubt(told) => {
                // Of several that are open, the newest is the likeliest to have left it behind.
                let mut newest = self.incidents.iter_mut().rev();
                let incident = newest.find(|incident| incident.is_open())?;
                told.tx.into_iter().for_each(|version| incident.doubt(version));
                Some(incident.id)
            }
            Body::TxnResolved(told) => self.resolve(told.tx?, told.outcome),
            // Of one that only this console found to be in doubt nothing else is told.
            Body::Txn(txn) => self.resolve(txn.tx?, txn.outcome?),
            _ => None,
        }
    }

    /// A transaction has ended; of which incident it was in doubt, if of any.
    fn resolve(&mut self, version: Version, outcome: Outcome) -> Option<u32> {
        let mut newest = self.incidents.iter_mut().rev();
        newest.find_map(|one| one.resolve(version, outcome).then_some(one.id))
    }
}
