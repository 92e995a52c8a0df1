//! Stores that have lost something (R7): how that is found out, and what may rest on it.
//!
//! found by                                             | in
//! -----------------------------------------------------|--------------------------
//! its log ends before what anybody has seen of it      | `find_losses`
//! it lacks what it had confirmed                       | `resolve`
//! other members hold it, durably                       | `hear_losses`
//!
//! From then on the store takes part in nothing, and counts in no majority. What R6 decides without
//! it must bind every later coordinator, even one that meets the store before anybody's proof of
//! the loss, and even if what was lost is there again: so nothing is decided without it before the
//! loss is durable on so many sound members that each majority with the store has one of them, and
//! from their reports a claimant learns of it before it makes anything of the store's own. Until
//! then the store's process is kept waiting: should this coordinator end, it is the only evidence.
//!
//! Never: takes a loss back.

use std::collections::BTreeSet;

use protocol::ids::{GroupSeq, MemberId, Version};
use protocol::peer::{DownBody, RingRecord};

use super::super::time::Time;
use super::links::LinkPhase;
use super::{Coordinator, Note};

/// A member whose store has lost something.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// What the node is told of it.
    reason: String,
    /// Members on which that is durable.
    on: BTreeSet<MemberId>,
    /// Those are enough, or were: decisions may rest on it.
    holds: bool,
}

/// How it was found out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Evidence {
    /// The log ends there, though as much as that was acknowledged.
    Behind(GroupSeq, GroupSeq),
    /// It had confirmed this transaction.
    Lacks(Version),
    /// This member holds it.
    Heard(MemberId),
}

impl Coordinator {
    /// Whether the member's store is known to have lost something.
    pub(super) fn has_lost(&self, member: MemberId) -> bool {
        self.losses.contains_key(&member)
    }

    /// Whether a decision may rest on the loss.
    pub(super) fn loss_holds(&self, member: MemberId) -> bool {
        self.losses.get(&member).is_some_and(|loss| loss.holds)
    }

    /// Takes in what the node's report tells of log ends and of losses.
    pub(super) fn hear_losses(&mut self, now: Time, place: usize) {
        let Some(member) = self.nodes[place].id else { return };
        let Some(report) = &self.nodes[place].report else { return };
        let members = report.ring.as_ref().map_or(&[][..], |ring| &ring.members);
        let lost = members.iter().map(|member| member.id).filter(|id| report.lost.contains(id));
        let lost: Vec<MemberId> = lost.collect();
        for (other, mark) in &report.marks {
            let known = self.marks.entry(*other).or_default();
            *known = (*known).max(*mark);
        }
        for other in lost {
            self.lose(now, other, Evidence::Heard(member));
            if let Some(loss) = self.losses.get_mut(&other) {
                loss.on.insert(member);
            }
        }
        self.find_losses(now);
        self.weigh_losses(now);
    }

    /// A store whose log ends before what anybody has seen of it has lost something.
    fn find_losses(&mut self, now: Time) {
        let behind = |(member, mark): (&MemberId, &GroupSeq)| {
            let node = self.node_of(*member)?;
            let reported = node.witness.is_some() || node.report.is_some();
            (reported && node.end < *mark).then_some((*member, node.end, *mark))
        };
        let behind: Vec<_> = self.marks.iter().filter_map(behind).collect();
        for (member, end, mark) in behind {
            self.lose(now, member, Evidence::Behind(end, mark));
        }
    }

    pub(super) fn lose(&mut self, now: Time, member: MemberId, evidence: Evidence) {
        if self.has_lost(member) {
            return;
        }
        let how = match evidence {
            Evidence::Behind(end, mark) => {
                format!("its log ends at group {}, but group {} was acknowledged", end.0, mark.0)
            }
            Evidence::Lacks(id) => format!("it does not know {id}, which it had confirmed"),
            Evidence::Heard(by) => format!("{} knows it from before", self.name_of(by)),
        };
        let reason = format!(
            "{}'s store has lost data that other nodes rely on: {how}. Its directory must not be \
             used again; the other copies of its keys are intact.",
            self.name_of(member)
        );
        self.note(Note::Alarm(reason.clone()));
        self.losses.insert(member, Loss { reason, ..Loss::default() });
        if let Some(place) = self.by_member.get(&member).copied() {
            // It is told on its next link: this one has reads on it, which others can answer.
            self.end_link(now, place, false);
            self.watch_members(now);
        }
        self.doubt_onces_of(member);
        self.weigh_losses(now);
    }

    /// Whether nobody needs the lost store any more: not as evidence either.
    pub(super) fn is_expelled(&self, member: MemberId) -> bool {
        let Some(loss) = self.losses.get(&member) else { return false };
        let ring = self.record.as_deref().cloned().or_else(|| self.newest_ring());
        // Without a majority of sound members nothing is decided any more.
        let sound = |ring: &RingRecord| ring.members.len().saturating_sub(self.losses.len());
        loss.holds || ring.is_some_and(|ring| sound(&ring) <= ring.members.len() / 2)
    }

    /// Tells a node that is being claimed that its store has lost something, once it may end.
    fn expel(&mut self, now: Time, member: MemberId) {
        let Some(place) = self.by_member.get(&member).copied() else { return };
        let Some(loss) = self.losses.get(&member) else { return };
        let reason = loss.reason.clone();
        if self.is_expelled(member) && self.nodes[place].link.phase == LinkPhase::Opening {
            self.send(now, place, DownBody::Lost { reason });
        }
    }

    /// Nothing is made of the report of a node whose store has lost something.
    pub(super) fn turned_away(&mut self, now: Time, place: usize) -> bool {
        let lost = self.nodes[place].id.filter(|member| self.has_lost(*member));
        if let Some(member) = lost {
            self.expel(now, member);
        }
        lost.is_some()
    }

    /// Tells each node what it must know of losses before anything may rest on them.
    pub(super) fn tell_losses(&mut self, now: Time) {
        if self.losses.is_empty() {
            return;
        }
        let lost: Vec<MemberId> = self.losses.keys().copied().collect();
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            let Some(member) = node.id.filter(|member| !self.has_lost(*member)) else { continue };
            let behind = node.link.losses_told < lost.len();
            if behind && node.link.phase == LinkPhase::Ready {
                self.nodes[place].link.losses_told = lost.len();
                if self.losses.values().any(|loss| !loss.on.contains(&member)) {
                    self.send(now, place, DownBody::Losses(lost.clone()));
                }
            }
        }
    }

    /// These losses are durable on the member.
    pub(super) fn on_losses_kept(&mut self, now: Time, member: MemberId, lost: &[MemberId]) {
        for other in lost {
            if let Some(loss) = self.losses.get_mut(other) {
                loss.on.insert(member);
            }
        }
        self.weigh_losses(now);
    }

    /// Makes use of losses that are durable on enough members now: any majority that the store
    /// would be in has one of them.
    fn weigh_losses(&mut self, now: Time) {
        let Some(members) = self.record.as_ref().map(|record| record.members.len()) else { return };
        let sound = |member: &&MemberId| !self.losses.contains_key(member);
        let enough = |loss: &Loss| loss.on.iter().filter(sound).count() >= members.div_ceil(2);
        let news = self.losses.iter().filter(|(_, loss)| !loss.holds && enough(loss));
        let news: Vec<MemberId> = news.map(|(member, _)| *member).collect();
        for member in news {
            if let Some(loss) = self.losses.get_mut(&member) {
                loss.holds = true;
            }
            self.go_on_without(now, member);
        }
    }

    /// What has waited for the member waits no more.
    fn go_on_without(&mut self, now: Time, member: MemberId) {
        let waits = |outcome: &super::decide::Outcome| {
            outcome.adopting.contains(&member) || outcome.held.is_some()
        };
        let waiting = self.decided.iter().filter(|(_, outcome)| waits(outcome));
        let waiting: Vec<Version> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            let Some(mut outcome) = self.decided.remove(&id) else { continue };
            self.adopted(now, member, id, &mut outcome);
            self.settle_or_keep(now, id, outcome);
        }
        self.resolve_all(now);
        self.expel(now, member);
    }
}
