//! What of changes outlives a coordinator: each ring that it proposes says it, and whoever goes on
//! from that ring goes on with them, under their numbers.
//!
//! A number is given once in the life of a cluster. Those up to [`OpenChanges::taken`] in the ring
//! in force may be given; each ring takes some more ahead, since some changes begin without one: an
//! order that waits for something, a scrub. A successor gives none of these, as it cannot know
//! which were. Where few are left a ring is made for that alone (`numbers_are_low`).
//!
//! An order that waits for its first step is forgotten with its coordinator, and so is a scrub.
//!
//! Never: says that a step is made which no ring shows.

use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::NodeName;
use protocol::peer::{ChangeKind, Learning, OpenChange, OpenChanges, RingRecord};

use super::super::super::time::Time;
use super::super::links::LinkPhase;
use super::super::{Coordinator, Note};
use super::{Change, Changes, Kind, State, of, refused};

/// Numbers that each ring takes ahead.
const AHEAD: u64 = 10;
/// With fewer left it is time for another one.
const LOW: u64 = 3;

impl Coordinator {
    /// What `next`, which is about to be proposed, says of changes.
    pub(in super::super) fn carried(&self, next: &RingRecord) -> OpenChanges {
        let open = self.changes.open.iter().filter_map(|change| change.carried(next)).collect();
        let done = |one: &Learning| self.copies.is_done(&(one.learner, one.span));
        let (keys, bytes) = match &self.record {
            // Some of what was copied is not switched in by it: another one may copy that again.
            Some(now) if next.learning.iter().any(done) => (now.changes.keys, now.changes.bytes),
            // All is switched in: what it came to the changes know, copying knows it no more.
            _ if next.learning.is_empty() => self.changes.copied(self.copies.ended),
            _ => self.copies.ended,
        };
        OpenChanges { taken: self.changes.last + AHEAD, open, keys, bytes }
    }

    /// Goes on with what this ring says to be under way.
    pub(in super::super) fn go_on_with_changes(&mut self, now: Time, record: &RingRecord) {
        let carried = &record.changes;
        self.changes.last = carried.taken;
        if !record.learning.is_empty() {
            self.copies.ended = (carried.keys, carried.bytes);
        }
        for open in &carried.open {
            let mut change = Change::carried_on(open, now);
            (change.keys, change.bytes) = (carried.keys, carried.bytes);
            if let Some(end) = change.end(record) {
                change.state = end;
                self.end_change(change);
                continue;
            }
            let named = change.named();
            self.note(Note::Change(format!("{named} goes on: an earlier coordinator began it")));
            self.changes.open.push(change);
        }
    }

    /// Numbers that may be given under the ring in force.
    fn numbers_left(&self) -> u64 {
        let taken = self.record.as_ref().map_or(0, |record| record.changes.taken);
        taken.saturating_sub(self.changes.last)
    }

    /// Whether a ring is due that takes some more, and can be made.
    pub(in super::super) fn numbers_are_low(&self, record: &RingRecord) -> bool {
        let there = |node: &super::super::members::Node| node.link.phase == LinkPhase::Ready;
        self.numbers_left() < LOW && self.majority_of(record, there)
    }

    /// Whether a change may begin without a ring.
    pub(super) fn has_number(&self) -> Result<(), Box<ErrorReply>> {
        if self.numbers_left() > 0 {
            return Ok(());
        }
        let sentence = "so many changes were asked for that the next one needs more than half of \
                        the nodes to agree on its number: ask again when they are up";
        Err(Box::new(refused(ErrorCode::Refused, "no number", sentence)))
    }

    /// The same of one that nobody asked for.
    pub(super) fn has_number_for_itself(&self) -> bool {
        self.numbers_left() > LOW
    }
}

impl Changes {
    /// Keys and bytes that were copied for what is open: at least these.
    fn copied(&self, least: (u64, u64)) -> (u64, u64) {
        let open = self.open.iter().filter(|change| !change.kind.is_scrub());
        open.fold(least, |(keys, bytes), change| (keys.max(change.keys), bytes.max(change.bytes)))
    }
}

impl Change {
    /// What a ring says of it: nothing before its first step.
    fn carried(&self, next: &RingRecord) -> Option<OpenChange> {
        let leads_back = match self.state {
            State::Running => None,
            State::GoingBack { made } => Some(made),
            _ => return None,
        };
        let kind = match self.kind {
            Kind::Evict(_) => ChangeKind::Evict,
            Kind::Return(_) => ChangeKind::Return,
            Kind::Add(_) => ChangeKind::Add,
            Kind::Remove(_) => ChangeKind::Remove,
            Kind::Rebalance => ChangeKind::Rebalance,
            Kind::Scrub | Kind::Repair => return None,
        };
        let node = self.kind.node().and_then(|name| NodeName::new(name).ok());
        let moved = next.members.iter().filter_map(|member| {
            let old = of(&self.before, member.id).filter(|old| **old != member.points)?;
            Some((member.id, old.clone()))
        });
        let (number, asked, before) = (self.number, self.asked, moved.collect());
        Some(OpenChange { number, kind, node, asked, leads_back, before })
    }

    /// As it was carried on to this coordinator.
    fn carried_on(open: &OpenChange, now: Time) -> Self {
        let node = open.node.as_ref().map_or_else(String::new, ToString::to_string);
        let kind = match open.kind {
            ChangeKind::Evict => Kind::Evict(node),
            ChangeKind::Return => Kind::Return(node),
            ChangeKind::Add => Kind::Add(node),
            ChangeKind::Remove => Kind::Remove(node),
            ChangeKind::Rebalance => Kind::Rebalance,
        };
        let state = open.leads_back.map_or(State::Running, |made| State::GoingBack { made });
        Self {
            number: open.number,
            kind,
            state,
            began: now,
            asked: open.asked,
            carried_on: true,
            keys: 0,
            bytes: 0,
            before: open.before.clone(),
            remark: None,
        }
    }
}
