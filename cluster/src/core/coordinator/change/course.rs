//! The course of changes: what is shown of them, and when they are at their end.
//!
//! Never: makes anything begin or end; it sees that it has.

use protocol::peer::RingRecord;
use protocol::status::ChangeStatus;

use super::super::super::time::Time;
use super::super::{Coordinator, Note};
use super::{Change, Kind, State};

impl Coordinator {
    /// Takes down what was copied for the changes that are open, before that is forgotten.
    pub(in super::super) fn count_copied(&mut self) {
        let (keys, bytes) = self.copies.copied();
        for change in self.changes.open.iter_mut().filter(|change| !change.kind.is_scrub()) {
            (change.keys, change.bytes) = (change.keys.max(keys), change.bytes.max(bytes));
        }
    }

    /// Ends the changes of which nothing is left.
    pub(in super::super) fn end_changes(&mut self, now: Time) {
        let Some(record) = self.record.clone() else { return };
        let open = std::mem::take(&mut self.changes.open);
        for mut change in open {
            let Some(end) = change.end(&record) else {
                self.changes.open.push(change);
                continue;
            };
            let (named, how) = (change.named(), end.told());
            let took_ms = now.since_us(change.began) / 1_000;
            let since = if change.carried_on { " with this coordinator" } else { "" };
            self.note(Note::Change(format!("{named} {how} after {took_ms} ms{since}")));
            change.state = end;
            self.end_change(change);
        }
    }

    /// What is shown of changes, the oldest first.
    pub(in super::super) fn changes_status(&self, now: Time) -> Vec<ChangeStatus> {
        let progress = self.progress(now);
        let paused = self.paused_for();
        let shown = |change: &Change| {
            let (state, reason) = match &change.state {
                State::Waiting(why) => ("waiting", why.clone()),
                State::Running => ("running", None),
                State::GoingBack { .. } => ("running", Some("it is taken back".to_owned())),
                State::Done => ("done", change.remark.clone()),
                State::Cancelled => ("cancelled", None),
                State::Failed(why) => ("failed", Some(why.clone())),
            };
            let told = ChangeStatus {
                change: format!("c{}", change.number),
                action: change.kind.action().to_owned(),
                node: change.kind.node().map(str::to_owned),
                state: state.to_owned(),
                keys_done: change.keys,
                bytes_done: change.bytes,
                reason,
                ..ChangeStatus::default()
            };
            if state != "running" {
                return told;
            }
            if change.kind.is_scrub() {
                let figures = self.scrub_figures();
                let (keys_done, bytes_done) =
                    figures.map_or((0, 0), |read| (read.keys, read.bytes));
                return ChangeStatus { keys_done, bytes_done, ..told };
            }
            let reason = match (told.reason.clone(), &paused) {
                (None, Some(why)) if change.kind.once_cancelled().is_ok() => {
                    Some(format!("{why}, and it goes on by itself; or cancel the change"))
                }
                (None, Some(why)) => Some(format!("{why}, and it goes on by itself")),
                (Some(why), Some(full)) => Some(format!("{why}; {full}")),
                (reason, None) => reason,
            };
            ChangeStatus {
                keys_done: progress.keys_done,
                keys_total: progress.total.keys,
                bytes_done: progress.bytes_done,
                bytes_total: progress.total.bytes,
                bytes_per_s: progress.bytes_per_s,
                eta_ms: progress.eta_ms,
                transfers: progress.transfers.clone(),
                reason,
                ..told
            }
        };
        self.changes.ended.iter().chain(&self.changes.open).map(shown).collect()
    }
}

impl Change {
    /// Its name, and in brackets what it does.
    pub(super) fn named(&self) -> String {
        let node = self.kind.node().map_or_else(String::new, |node| format!(" {node}"));
        format!("c{} ({}{node})", self.number, self.kind.action())
    }

    /// How it ends, if nothing of it is left under this ring.
    pub(super) fn end(&self, record: &RingRecord) -> Option<State> {
        if !record.learning.is_empty() || record.incoming.is_some() || record.outgoing.is_some() {
            return None;
        }
        let is_member = |name: &str| record.members.iter().any(|m| m.name.as_str() == name);
        let removed = |name: &str| {
            record.departed.iter().any(|gone| gone.name.as_str() == name && gone.removed)
        };
        match (&self.state, &self.kind) {
            (_, kind) if kind.is_scrub() => None,
            // The last step of a removal is the member's going.
            (State::Running, Kind::Remove(name)) if is_member(name) => None,
            (State::Running, Kind::Remove(name)) if !removed(name) => {
                let why = format!("{name} lost its place before it had given all away");
                Some(State::Failed(why))
            }
            (State::Running, Kind::Add(name)) if !is_member(name) => {
                Some(State::Failed(format!("{name} has lost its place again")))
            }
            (State::Running, _) => Some(State::Done),
            (State::GoingBack { made: true }, Kind::Add(name)) if is_member(name) => None,
            (State::GoingBack { made: true }, _) => Some(State::Cancelled),
            _ => None,
        }
    }
}
