//! What simulated clients do about updates whose end they do not know, or that were refused: they
//! repeat those that have a name, and ask what became of others.
//!
//! A repetition's refusal does not deny the first request, which may still be on its way; only
//! "carried out" settles an update that was sent more than once.

use protocol::ids::Version;
use protocol::reply::{self, UpdateState};

use super::asked::Asked;
use super::clients::Client;
use super::world::World;
use crate::check::{Action, Outcome, ValueId};

/// An update is sent so often at most.
const TRIES_MAX: u32 = 6;

impl World {
    /// Repeats and asks what it has set itself.
    pub(crate) fn follow_up(&mut self, client: usize) {
        for op in std::mem::take(&mut self.clients[client].again) {
            self.coverage.met("updates repeated");
            self.reopen(op);
            self.send(client, op);
        }
        for (op, version) in std::mem::take(&mut self.clients[client].settle) {
            self.ask(client, Asked::Outcome(op, version));
        }
    }

    /// An operation's end is open again, and with it what it does: a refusal had made it a read.
    fn reopen(&mut self, op: usize) {
        let entries = self.entries(op);
        self.seen.retain(|(entry, ..)| !entries.contains(entry));
        let asked = self.asked[op].clone();
        for (part, key) in asked.keys().into_iter().enumerate() {
            let value_of = |version| self.values.get(&(key, version)).copied();
            let action = asked.action(part, (op + part) as ValueId, value_of);
            let entry = &mut self.history[op + part];
            entry.action = action;
            entry.outcome = Outcome::Unknown;
            entry.complete = u64::MAX;
        }
    }

    /// An operation's end is not known, or it was refused: its client may repeat it, or ask.
    pub(crate) fn may_follow_up(&mut self, client: usize, op: usize, version: Option<Version>) {
        let (named, tries) = self.tries[op];
        let unknown = self.history[op].outcome == Outcome::Unknown;
        if self.healed || !self.asked[op].is_update() {
            return;
        }
        let asks = version.is_some() && self.rng.chance(50);
        if named && !asks && tries < TRIES_MAX && self.rng.chance(if unknown { 60 } else { 20 }) {
            self.clients[client].again.push(op);
        } else if unknown && (named || version.is_some()) {
            self.clients[client].settle.push((op, version));
        }
    }

    /// The answer to the question what became of an operation.
    pub(crate) fn outcome_told(
        &mut self,
        client: usize,
        of: usize,
        version: Option<Version>,
        line: &[u8],
    ) {
        let Ok(state) = reply::decode_outcome(line).expect("replies read back") else { return };
        let moment = self.moment();
        let (_, tries) = self.tries[of];
        let awaits = |client: &Client| client.open.contains(&of) || client.again.contains(&of);
        let awaited = self.clients.iter().any(awaits);
        if self.history[of].outcome != Outcome::Unknown || awaited {
            return;
        }
        let outcome = match state {
            UpdateState::Committed => {
                self.coverage.met("outcomes committed");
                Outcome::Ok
            }
            UpdateState::Aborted => {
                assert!(version.is_some(), "a name that is not known proves nothing");
                self.coverage.met("outcomes aborted");
                // Another sending may still be on its way.
                if tries > 1 {
                    return;
                }
                Outcome::Failed
            }
            UpdateState::InDoubt => {
                self.coverage.met("outcomes in doubt");
                if !self.healed {
                    self.clients[client].settle.push((of, version));
                }
                return;
            }
            UpdateState::Unknown => {
                self.coverage.met("outcomes unknown");
                return;
            }
        };
        for entry in self.entries(of) {
            let entry = &mut self.history[entry];
            if let Action::Del { found } = &mut entry.action {
                *found = true;
            }
            (entry.outcome, entry.complete) = (outcome, moment);
        }
    }

    /// The places of an operation's entries in the history.
    pub(crate) fn entries(&self, op: usize) -> std::ops::Range<usize> {
        op..op + self.asked[op].keys().len()
    }
}
