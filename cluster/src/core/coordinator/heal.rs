//! What the coordinator changes by itself: who is silent for too long loses its place, who has
//! learned what it shall hold is read from, who comes back gets its place again.
//!
//! Looked at with each tick, and when something came to its end. One step at a time (`rings`);
//! which one comes first is the order in `next_step`. Nothing is begun without a lease, without a
//! majority of old and new members in reach, or where a stretch would have no copy in sync that
//! answers (R15): `why_not` says so in words, which `status` and `change` show. Where keys are not
//! placed by their hashes nothing is changed at all (`as_founded`).
//!
//! Never: evicts by what a heartbeat or a supervisor says; undoes a step (`change::cancel` makes
//! another one, which leads back).

use std::collections::BTreeSet;

use protocol::ids::{MemberId, NodeName, Uuid, Version};
use protocol::peer::{Departed, Placement, RingRecord, Span};

use super::super::detector::Reason;
use super::super::planted::{Bug, planted};
use super::super::ring::next::{self, Newcomer, Refused};
use super::super::ring::{propose_join, ring_of};
use super::super::time::Time;
use super::change::Kind;
use super::links::LinkPhase;
use super::members::Node;
use super::{Coordinator, Note, Phase};

impl Coordinator {
    /// Whether steps can be made at all now.
    pub(super) fn may_step(&self, now: Time) -> bool {
        self.step.is_none()
            && self.phase == Phase::Active
            && self.may_tell(now)
            && self.has_all_onces()
            && !self.nodes.is_empty()
    }

    /// Makes the next step, if there is one to make.
    pub(super) fn heal(&mut self, now: Time) {
        self.look_at_step(now);
        self.lift_barriers(now);
        self.tell_in_force();
        self.copy_step(now);
        if !self.may_step(now) {
            return;
        }
        let Some(record) = self.record.clone() else { return };
        let Some((record, kind)) = self.next_step(now, &record) else { return };
        if let Some(kind) = kind {
            self.change_begins(now, kind);
        }
        self.propose(now, record);
    }

    /// The ring that is due, and the change that begins with it, if one does.
    fn next_step(&mut self, now: Time, record: &RingRecord) -> Option<(RingRecord, Option<Kind>)> {
        if record.incoming.is_some() || record.outgoing.is_some() {
            return Some((next::settled(record), None));
        }
        if self.numbers_are_low(record) {
            return Some((record.clone(), None));
        }
        // First: who is to stay after all and is silent is evicted as the member that it is again.
        if let Some(next) = self.due_way_back(now, record) {
            return Some((next, None));
        }
        if let Some((next, kind)) = self.due_eviction(now, record) {
            return Some((next, Some(kind)));
        }
        let done = self.learned(record);
        if !done.is_empty() {
            return Some((next::learned(record, &done), None));
        }
        if !record.learning.is_empty() {
            return None;
        }
        self.due_removal(record)
            .map(|next| (next, None))
            .or_else(|| self.due_return(record).map(|(next, kind)| (next, Some(kind))))
            .or_else(|| self.asked_change(now, record).map(|next| (next, None)))
    }

    /// Who has been silent for too long, the longest first.
    fn due_eviction(&mut self, now: Time, record: &RingRecord) -> Option<(RingRecord, Kind)> {
        let asked = self.asked_eviction();
        let mut silent: Vec<(Time, MemberId)> = record
            .members
            .iter()
            .filter_map(|member| Some((self.silent_since(member.uuid)?, member.id)))
            .collect();
        silent.sort_unstable();
        let due = |since: Time| {
            self.evict_after_ms.is_some_and(|after_ms| now >= since.plus_ms(after_ms))
        };
        let late = silent.into_iter().filter(|(since, _)| due(*since)).map(|(_, id)| id);
        for member in asked.into_iter().chain(late).collect::<Vec<_>>() {
            match self.without(record, member) {
                Ok(next) => {
                    self.refused.remove(&member);
                    return Some((next, Kind::Evict(self.name_of(member))));
                }
                Err(why) => self.tell_refused(member, why),
            }
        }
        None
    }

    /// Since when a member is not there; `None` while it is, or is on its way.
    fn silent_since(&self, uuid: Uuid) -> Option<Time> {
        match self.nodes.iter().find(|node| node.uuid == uuid) {
            Some(node) if node.is_up() => None,
            Some(node) => {
                let lost = node.id.is_some_and(|id| self.has_lost(id));
                let ready = node.link.phase == LinkPhase::Ready && !is_stuck(node);
                (lost || !ready).then_some(node.silent_since)
            }
            None => Some(self.active_since),
        }
    }

    /// The ring without a member, or the sentence that says why there is none.
    pub(super) fn without(
        &self,
        record: &RingRecord,
        member: MemberId,
    ) -> Result<RingRecord, String> {
        if let Some(why) = as_founded(record) {
            return Err(why.to_owned());
        }
        let name = self.name_of(member);
        let lost = self.has_lost(member);
        let next = next::without(record, member, self.had_before(member), lost);
        let mut next = next.map_err(|refused| self.told(refused, &name))?;
        if self.stays_after_all(member) {
            // Its points are given away, but its removal is cancelled: it may come back.
            next.outgoing.iter_mut().for_each(|out| out.removed = false);
        }
        self.why_not(record, &next, Some(member)).map_or(Ok(next), Err)
    }

    /// The version before which a member has everything that it was to have.
    fn had_before(&self, member: MemberId) -> Version {
        let open = self.by_id.keys().chain(self.in_doubt.keys());
        let told = self.decided.iter().filter(|(_, outcome)| outcome.awaits(member));
        let next = Version::new(self.epoch, self.counter + 1);
        if planted(Bug::HadTooMuch) {
            return next;
        }
        open.chain(told.map(|(id, _)| id)).min().copied().unwrap_or(next).min(next)
    }

    pub(super) fn told(&self, refused: Refused, name: &str) -> String {
        match refused {
            Refused::LastCopy(_) => format!(
                "{name} has the only complete copy of some keys: start it again, or wait until \
                 others have learned them"
            ),
            Refused::NobodyLeft => format!("{name} is the only node that holds keys"),
            Refused::NoNumber => {
                "all 65,536 numbers of members are used up: this cluster is at its end".to_owned()
            }
        }
    }

    /// Why a step cannot be made now; `None` if it can.
    pub(super) fn why_not(
        &self,
        record: &RingRecord,
        next: &RingRecord,
        out: Option<MemberId>,
    ) -> Option<String> {
        let answers = |uuid: Uuid| {
            let node = self.nodes.iter().find(|node| node.uuid == uuid);
            node.is_some_and(|node| node.link.phase == LinkPhase::Ready && !is_stuck(node))
        };
        if let Some(why) = as_founded(record) {
            return Some(why.to_owned());
        }
        for members in [&record.members, &next.members] {
            let there = members
                .iter()
                .filter(|member| answers(member.uuid) || Some(member.id) == next.incoming);
            let (there, needed) = (there.count(), members.len() / 2 + 1);
            if there < needed {
                let hint = if record.members.len() == 2 {
                    "a cluster of 2 nodes cannot do without one of them; bring it back first, and \
                     add a third while both are there"
                } else {
                    "bring back those that do not first"
                };
                return Some(format!(
                    "{there} of {} nodes answer, and {needed} must agree: {hint}",
                    members.len()
                ));
            }
        }
        let (now_ring, ring) = (ring_of(record), ring_of(next));
        let readable = |member: &MemberId| {
            Some(*member) != out && self.node_of(*member).is_some_and(Node::is_up)
        };
        for learning in &next.learning {
            let point = learning.span.1;
            let there = ring.in_sync_at(point).iter().chain(now_ring.in_sync_at(point));
            if !there.into_iter().any(readable) {
                let who = now_ring.in_sync_at(point).iter().map(|id| self.name_of(*id));
                let who: Vec<String> = who.collect();
                return Some(format!(
                    "some keys have no complete copy on a node that is up: start one of {} first",
                    who.join(", ")
                ));
            }
        }
        None
    }

    /// Says once why somebody who is due is not evicted.
    fn tell_refused(&mut self, member: MemberId, why: String) {
        if self.refused.get(&member) != Some(&why) {
            let name = self.name_of(member);
            self.note(Note::Alarm(format!("{name} is not evicted: {why}")));
            self.refused.insert(member, why);
        }
    }

    /// A member that has given everything away.
    fn due_removal(&self, record: &RingRecord) -> Option<RingRecord> {
        let leaves = |member: &&protocol::peer::RingMember| {
            member.points.is_empty() && !self.stays_after_all(member.id)
        };
        let leaver = record.members.iter().find(leaves)?;
        let next = next::without(record, leaver.id, Version::ZERO, false).ok()?;
        self.why_not(record, &next, Some(leaver.id)).is_none().then_some(next)
    }

    /// A store that was evicted, or another under its name, and is there again.
    fn due_return(&self, record: &RingRecord) -> Option<(RingRecord, Kind)> {
        let there = |node: &&Node| node.id.is_none() && node.report.is_some();
        self.nodes.iter().filter(there).find_map(|node| {
            let departed = place_of(record, node)?;
            let (mut next, id) = next::with(record, self.newcomer(record, node, departed)).ok()?;
            next.learning.retain(|new| new.learner != id || !planted(Bug::ReturnsInSync));
            let kind = Kind::Return(node.name.to_string());
            self.why_not(record, &next, None).is_none().then_some((next, kind))
        })
    }

    fn newcomer(&self, record: &RingRecord, node: &Node, departed: &Departed) -> Newcomer {
        let ring = ring_of(record);
        let taken: BTreeSet<_> = ring.points().iter().map(|(point, _)| *point).collect();
        let own = departed.points.clone();
        let free = !own.is_empty() && own.iter().all(|point| !taken.contains(point));
        let points = if free { own } else { propose_join(&ring, record.tokens) };
        let same_store = departed.uuid == node.uuid;
        let had = same_store.then(|| (departed.held.clone(), departed.since));
        Newcomer { uuid: node.uuid, name: node.name.clone(), points, had }
    }

    /// The stretches that were copied and are durable at those who learned them.
    fn learned(&self, record: &RingRecord) -> Vec<(MemberId, Span)> {
        let learning = record.learning.iter().map(|learning| (learning.learner, learning.span));
        let early = planted(Bug::SwitchedInEarly);
        learning.filter(|done| early || self.copies.is_done(done)).collect()
    }
}

/// Whether a node that is connected does not answer: it is not on its way to be up, or it is and
/// nothing is heard of it.
fn is_stuck(node: &Node) -> bool {
    !node.is_up() && (node.caught_up || node.reason == Reason::Silence.name())
}

/// Why the members of a cluster never change; `None` where they may. A change would give nearly
/// every key another point, and no stretch of the ring would say which keys move.
pub(super) fn as_founded(record: &RingRecord) -> Option<&'static str> {
    match record.placement {
        Placement::Ring => None,
        Placement::AsciiSum => Some(
            "keys are placed by the sum of their bytes, for comparison: the members of this \
             cluster stay as they were founded",
        ),
    }
}

/// What this store, or one of its name, left behind; nothing if it never was a member, or is not
/// to come back.
pub(super) fn place_of<'a>(record: &'a RingRecord, node: &Node) -> Option<&'a Departed> {
    let taken = |name: &NodeName| record.members.iter().any(|member| member.name == *name);
    let own = record.departed.iter().rev().find(|departed| departed.uuid == node.uuid);
    if let Some(own) = own {
        return (!own.lost && !own.removed && !taken(&node.name)).then_some(own);
    }
    let named = record.departed.iter().rev().find(|departed| departed.name == node.name);
    named.filter(|departed| !taken(&node.name) && !departed.removed)
}
