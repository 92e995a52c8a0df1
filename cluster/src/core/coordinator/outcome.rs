//! What became of an update, for a client that was not told.
//!
//! Of this epoch everything is known: an id that was given is out, aborted, or committed. Of an
//! earlier one known is what reports have shown. `aborted` is said only if every member that could
//! hold the transaction has said so or was fenced without it (R5); what rests on nothing is
//! `unknown`. Told only with the lease (R11).

use std::collections::BTreeSet;

use protocol::error::ErrorReply;
use protocol::ids::Version;
use protocol::reply::{self, UpdateState};

use super::super::time::Time;
use super::resolve::Seen;
use super::{Answer, ClientId, Coordinator, Deadline, READS_MAX, RETRY_AFTER_MS, UpdateName};

/// Aborted transactions that are remembered.
const ABORTED_MAX: usize = 65_536;

/// The newest transactions that were aborted under this epoch, or found to be.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    ids: BTreeSet<Version>,
    /// Below this one some may be missing.
    from: Version,
}

impl Aborted {
    /// It is aborted, and so say all that could hold it.
    pub(super) fn insert(&mut self, id: Version) {
        self.ids.insert(id);
        if self.ids.len() > ABORTED_MAX
            && let Some(oldest) = self.ids.pop_first()
        {
            self.from = Version::from_number(oldest.number() + 1);
        }
    }
}

/// A question that waits, for the lease or for the table of named updates.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: ClientId,
    of: UpdateName,
    deadline: Time,
}

impl Coordinator {
    pub(super) fn on_outcome(
        &mut self,
        now: Time,
        client: ClientId,
        of: UpdateName,
        deadline: Time,
    ) {
        if self.outcomes.len() >= READS_MAX {
            let error = ErrorReply::overloaded("questions", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        let id = self.next_ask();
        self.deadlines.insert((deadline, Deadline::Outcome(id)));
        self.outcomes.insert(id, Asked { client, of, deadline });
        self.try_outcome(now, id);
    }

    fn try_outcome(&mut self, now: Time, id: u64) {
        let Some(asked) = self.outcomes.get(&id) else { return };
        let Some(state) = self.outcome_of(&asked.of) else { return };
        if !self.may_tell(now) {
            return;
        }
        let client = asked.client;
        self.end_outcome(id);
        self.reply(client, Answer::Ok(reply::outcome_tail(state)));
    }

    fn end_outcome(&mut self, id: u64) {
        if let Some(asked) = self.outcomes.remove(&id) {
            self.deadlines.remove(&(asked.deadline, Deadline::Outcome(id)));
        }
    }

    /// The lease is back, or more is known.
    pub(super) fn retry_outcomes(&mut self, now: Time) {
        let ids: Vec<u64> = self.outcomes.keys().copied().collect();
        for id in ids {
            self.try_outcome(now, id);
        }
    }

    pub(super) fn on_outcome_deadline(&mut self, id: u64) {
        if let Some(asked) = self.outcomes.get(&id) {
            let why = "half of the nodes do not answer, or have not told what they know";
            self.reply_error(asked.client, ErrorReply::unavailable(why, None));
        }
        self.end_outcome(id);
    }

    /// What is known; `None` while more will be.
    fn outcome_of(&self, of: &UpdateName) -> Option<UpdateState> {
        match of {
            UpdateName::Version(version) => Some(self.fate_of(*version)),
            UpdateName::Once(name) => {
                if self.onces.version_of(name).is_some() {
                    return Some(UpdateState::Committed);
                }
                if self.onces.open(name).is_some_and(|seq| self.is_out(seq)) {
                    return Some(UpdateState::InDoubt);
                }
                self.has_all_onces().then_some(UpdateState::Unknown)
            }
        }
    }

    fn fate_of(&self, id: Version) -> UpdateState {
        if self.by_id.contains_key(&id) || self.in_doubt.contains_key(&id) {
            return UpdateState::InDoubt;
        }
        if let Some(outcome) = self.decided.get(&id) {
            // An abort that is not confirmed, and a choice that is not shown (R5, R6).
            let told = outcome.commit && outcome.held.is_none();
            return if told { UpdateState::Committed } else { UpdateState::InDoubt };
        }
        if self.aborted.ids.contains(&id) {
            return UpdateState::Aborted;
        }
        let given = id.epoch() == self.epoch && (1..=self.counter).contains(&id.counter());
        let known = given || self.resolved.contains(&id);
        if (known && id >= self.aborted.from) || self.onces.has(id) {
            return UpdateState::Committed;
        }
        let members = self.record.as_ref().map_or(&[][..], |record| &record.members);
        let never = |member| self.absent(member, id) == Some(Seen::Never);
        // Who has left might have said something else.
        let all_stayed = self
            .record
            .as_ref()
            .is_some_and(|record| record.departed.is_empty() && record.outgoing.is_none());
        let fenced = id.epoch() < self.epoch && !known && !members.is_empty() && all_stayed;
        if fenced && members.iter().all(|member| never(member.id)) {
            return UpdateState::Aborted;
        }
        UpdateState::Unknown
    }
}
