//! One incident: what happened to which server, by whom, how far it has healed.
//!
//! Changed by `story` only. Its steps never go backwards: a server that ends once more while it
//! comes back has an incident of its own.

use std::collections::BTreeSet;

use protocol::event::Outcome;
use protocol::ids::Version;

use super::super::clock::{At, Since};

/// Updates in doubt that one incident follows.
const UNRESOLVED_MAX: usize = 1_000;

/// What befell a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// SIGKILL, on somebody's order.
    Killed,
    /// It was asked to end, on somebody's order.
    Stopped,
    /// It is started anew, on somebody's order.
    Restarted,
    /// It ended without an order: by a signal, or with an exit code.
    Crashed {
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its exit code.
        exit_code: Option<i32>,
    },
    /// SIGSTOP, on somebody's order.
    Paused,
    /// Nothing is known but that it is not heard, or not well.
    Silent,
    /// It was so when the console first looked.
    Before,
    /// Its place was given to others while it was well, on somebody's order.
    Evicted,
    /// It was evicted, and is a member again.
    Returns,
    /// It becomes a member.
    Joins,
    /// It gives away what it has.
    Leaves,
}

/// How far an incident has come; in this order, though most have only some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It ended, or stands still.
    Began,
    /// The console's own connection was lost: of coordinators.
    Cut,
    /// Heartbeats are missed.
    Silent,
    /// The coordinator suspects it.
    Suspected,
    /// The coordinator counts it out.
    Down,
    /// Its supervisor gave up.
    GaveUp,
    /// Its place was given to others.
    Evicted,
    /// They copy what it held.
    Recopying,
    /// It runs again.
    Started,
    /// A coordinator asks nodes for a new epoch.
    Claiming,
    /// It shuts out its predecessors.
    Fencing,
    /// It finds out what they left undecided.
    Recovering,
    /// It serves; the nodes come back to it.
    Active,
    /// A node has registered, and is asked what it remembers.
    Log,
    /// It is told what was decided meanwhile.
    Decisions,
    /// It copies what it missed; or others copy what it holds, where it leaves.
    Copying,
    /// All is as before.
    Healthy,
}

/// What it means for keys, as told last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Impact {
    /// The server's part of the ring.
    pub share: f64,
    /// Who answers the reads of the keys of which it is the first replica.
    pub reads_by: Vec<String>,
}

/// An incident.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Rises with each.
    pub id: u32,
    /// The server.
    pub server: String,
    /// Whether that is the coordinator.
    pub is_coordinator: bool,
    /// What befell it.
    pub cause: Cause,
    /// Who asked for that.
    pub by: Option<String>,
    /// Faults that were ordered for teaching and explain it.
    pub faults: Vec<String>,
    /// Since when it goes on, as far as known.
    pub began: Since,
    /// The steps, in order, with since when each is reached.
    pub steps: Vec<(Step, Since)>,
    /// When all was as before.
    pub closed: Option<At>,
    /// What it means for keys.
    pub impact: Option<Impact>,
    /// How much of the present step is done, of how much.
    pub progress: Option<(u64, u64)>,
    /// Updates that came to be in doubt meanwhile.
    pub doubts: u64,
    /// Of those, how many are decided: committed and aborted.
    pub resolved: (u64, u64),
    /// Those that are not, as far as they are followed.
    pub(super) unresolved: BTreeSet<Version>,
}

impl Incident {
    pub(super) fn new(id: u32, server: &str, cause: Cause, began: Since) -> Self {
        Self {
            id,
            server: server.to_owned(),
            is_coordinator: super::is_coordinator(server),
            cause,
            by: None,
            faults: Vec::new(),
            began,
            steps: vec![(Step::Began, began)],
            closed: None,
            impact: None,
            progress: None,
            doubts: 0,
            resolved: (0, 0),
            unresolved: BTreeSet::new(),
        }
    }

    /// The step that was reached last.
    pub fn last(&self) -> Step {
        self.steps.last().map_or(Step::Began, |(step, _)| *step)
    }

    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether its server runs again, or goes on.
    pub fn is_returning(&self) -> bool {
        self.last() >= Step::Started
    }

    /// Whether its place was given to others.
    pub fn is_eviction(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|(step, _)| matches!(step, Step::Evicted | Step::Recopying))
    }

    /// Whether it is over only when all is copied that it moves.
    pub fn is_change(&self) -> bool {
        let moves = matches!(self.cause, Cause::Returns | Cause::Joins | Cause::Leaves);
        moves || self.is_eviction()
    }

    /// Since when it is seen to be gone.
    pub(super) fn missed_since(&self) -> Option<Since> {
        let is_gone = |step: &Step| matches!(step, Step::Suspected | Step::Down);
        self.steps.iter().find(|(step, _)| is_gone(step)).map(|(_, since)| *since)
    }

    /// Whether only its signs are known, and not what befell the server.
    pub(super) fn is_guess(&self) -> bool {
        matches!(self.cause, Cause::Silent | Cause::Before)
    }

    /// Whether a fault may be what befell the server.
    pub(super) fn is_explained_by(&self, fault: &str) -> bool {
        match self.cause {
            Cause::Paused => fault == "stop_after",
            Cause::Silent => matches!(fault, "drop_heartbeats" | "drop_votes" | "sync_delay_ms"),
            _ => false,
        }
    }

    /// Whether more has been seen of it than an order.
    pub(super) fn was_seen(&self) -> bool {
        self.last() > Step::Began || self.is_guess()
    }

    /// Whether nothing is known but that the console found it so.
    pub(super) fn is_only_found(&self) -> bool {
        self.is_open() && self.began.is_found() && self.last() == Step::Began
    }

    /// How long it took, or has taken until `now`, in words.
    pub fn lasted(&self, now: At) -> String {
        self.began.words(self.closed.unwrap_or(now))
    }

    /// When it had come to a step, in seconds from its beginning; none: that is not known.
    pub(super) fn step_words(&self, since: Since) -> Option<String> {
        let is_known = !since.is_found() && !self.began.is_found();
        let ms = since.latest().ms_since(self.began.latest());
        is_known.then(|| format!("{:.1}", ms as f64 / 1_000.0))
    }

    /// It began before the console looked, and then at the latest.
    pub(super) fn began_before(&mut self, began: Since) {
        if self.began.is_found() && began.latest() <= self.began.latest() {
            self.began = began;
            self.steps[0].1 = began;
        }
    }

    /// An update is in doubt.
    pub(super) fn doubt(&mut self, version: Version) {
        if self.unresolved.len() < UNRESOLVED_MAX && self.unresolved.insert(version) {
            self.doubts += 1;
        }
    }

    /// It is not any more; whether it was one of this incident's.
    pub(super) fn resolve(&mut self, version: Version, outcome: Outcome) -> bool {
        let was = self.unresolved.remove(&version);
        match outcome {
            _ if !was => {}
            Outcome::Committed => self.resolved.0 += 1,
            _ => self.resolved.1 += 1,
        }
        was
    }

    /// It has come to `step`: only ever forward.
    pub(super) fn reach(&mut self, step: Step, since: impl Into<Since>) {
        // Who has no place waits for one: that its process runs is another story.
        let waits = self.is_eviction() && (Step::Started..Step::Healthy).contains(&step);
        if self.is_open() && step > self.last() && !waits {
            let before = self.steps.last().map_or(self.began, |(_, since)| *since);
            let since = since.into().not_before(before.latest());
            self.progress = None;
            self.steps.push((step, since));
            if step == Step::Healthy {
                self.closed = Some(since.latest());
            }
        }
    }

    /// More is known of what befell it; an order is never forgotten again.
    pub(super) fn learn(&mut self, cause: Cause, by: Option<&str>) {
        let less = matches!(cause, Cause::Silent | Cause::Before | Cause::Crashed { .. });
        if self.is_guess() || !less {
            self.cause = cause;
        }
        let faults = std::mem::take(&mut self.faults);
        self.faults = faults.into_iter().filter(|fault| self.is_explained_by(fault)).collect();
        if let Some(by) = by {
            self.by = Some(by.to_owned());
        }
    }
}
