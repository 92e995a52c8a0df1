//! From one ring to the next, while it serves (R10, R15, H17, H42).
//!
//! A step is one new ring record, made from the one in force:
//!
//! 1. `propose`: updates on ranges that other members will hold wait from now on (`is_barred`);
//!    all others go on. Every member of either ring is asked to make the record durable.
//! 2. It is in force when a majority of the old members and one of the new ones have it durably
//!    (`look_at_step`): from then on every claimant finds it. A member that it leaves out is gone:
//!    what was open with it is decided by the others (R6), as a choice that they make durable.
//! 3. Behind the barrier: when every transaction on those ranges that was handed over before is
//!    decided, updates flow again, to the new holders (`lift_barriers`).
//!
//! While old and new members differ, both majorities count, and the leases of both (R11). A step
//! that is begun is never taken back: should this coordinator end, its successor finds it and
//! brings it to its end, or, if no majority has it, never hears of it.
//!
//! Who makes steps, and why: `heal` and `change`. None is made but where keys are placed by their
//! hashes, which are their points here. Never: two steps at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::ids::{MemberId, RingNumber, Uuid, Version};
use protocol::peer::{DownBody, Learning, RingMember, RingRecord};

use super::super::planted::{Bug, planted};
use super::super::ring::{self, Range, Ring, hash_of, ring_of};
use super::super::time::Time;
use super::links::LinkPhase;
use super::updates::{Txn, TxnPhase, participants_of};
use super::{Coordinator, Effect, Note, Phase, Seq};

/// How long updates wait for a new holder to be ready after its ring is in force, milliseconds.
const READY_MS: u64 = 2_000;

/// A ring that is on its way into force.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) record: Arc<RingRecord>,
    pub(super) ring: Arc<Ring>,
}

/// Ranges whose holders change: updates on them wait.
#[derive(Debug)]
pub(super) struct Barrier {
    ranges: Vec<Range>,
    /// What was handed over before, and is not decided.
    awaited: BTreeSet<Seq>,
    /// Since when its ring is in force.
    in_force: Option<Time>,
    /// The members that hold something new: they must be ready, or known not to be.
    gaining: BTreeSet<MemberId>,
}

impl Barrier {
    fn covers(&self, txn: &Txn) -> bool {
        let covered = |key| self.ranges.iter().any(|range| range.contains(hash_of(key)));
        txn.keys.iter().any(covered)
    }
}

impl Coordinator {
    /// The newest ring: the one that updates are placed by.
    pub(super) fn newest(&self) -> Option<(&Arc<RingRecord>, &Arc<Ring>)> {
        match &self.step {
            Some(step) => Some((&step.record, &step.ring)),
            None => self.record.as_ref().zip(self.ring.as_ref()),
        }
    }

    /// The number by which this store is a member: of the newest ring, of the one in force, or,
    /// until it is known which that is, of the one before.
    pub(super) fn number_of(&self, uuid: Uuid) -> Option<MemberId> {
        let of = |record: &Arc<RingRecord>| {
            record.members.iter().find(|member| member.uuid == uuid).map(|member| member.id)
        };
        let step = self.step.as_ref().and_then(|step| of(&step.record));
        let installing = matches!(self.phase, Phase::Installing { .. });
        let before = || {
            let outgoing = self.record.as_ref()?.outgoing.as_ref()?;
            (installing && outgoing.uuid == uuid).then_some(outgoing.id)
        };
        step.or_else(|| self.record.as_ref().and_then(of)).or_else(before)
    }

    /// Whether a participant is a member no more: nothing it holds counts (R6).
    pub(super) fn is_gone(&self, member: MemberId) -> bool {
        let Some(record) = self.record.as_ref() else { return false };
        let settled = !matches!(self.phase, Phase::Claiming { .. } | Phase::Installing { .. });
        settled && record.members.iter().all(|other| other.id != member)
    }

    /// Whether so many members have it: a majority, and while the members change one of the old
    /// ones too. Those do not count that have lost something (R7).
    pub(super) fn majority_of(
        &self,
        record: &RingRecord,
        has: impl Fn(&super::members::Node) -> bool,
    ) -> bool {
        let holds = |uuid: Uuid, id: MemberId| {
            let node = self.nodes.iter().find(|node| node.uuid == uuid);
            !self.has_lost(id) && node.is_some_and(&has)
        };
        let is_new = |member: &&RingMember| Some(member.id) == record.incoming;
        let members = || record.members.iter();
        let new = members().filter(|member| holds(member.uuid, member.id)).count();
        let stays = members().filter(|member| !is_new(member));
        let old = stays.clone().filter(|member| holds(member.uuid, member.id)).count();
        let out = record.outgoing.as_ref();
        let old = old + out.iter().filter(|member| holds(member.uuid, member.id)).count();
        let old_members = stays.count() + usize::from(out.is_some());
        let enough = new > record.members.len() / 2 && old > old_members / 2;
        enough || new > 0 && planted(Bug::ClaimOnMinority)
    }

    /// Begins a step: `record` is the next ring but for its number.
    pub(super) fn propose(&mut self, now: Time, record: RingRecord) {
        assert!(self.step.is_none() && self.phase == Phase::Active, "one step at a time (R15)");
        let (Some(before), Some(old)) = (self.record.clone(), self.ring.clone()) else { return };
        let counter = before.number.counter + 1;
        let number = RingNumber { epoch: self.epoch, counter };
        let changes = self.carried(&record);
        let mut record = RingRecord { number, changes, ..record };
        // Every write in which a new learner takes part will have a higher id.
        let from = Version::new(self.epoch, self.counter + 1);
        let begins = |learning: &&mut Learning| learning.from == Version::ZERO;
        record.learning.iter_mut().filter(begins).for_each(|learning| learning.from = from);
        let record = Arc::new(record);
        assert!(ring::is_ring(&record), "a ring of ours is one: {record:?}");
        let ring = Arc::new(ring_of(&record));
        let moves = ring::moves(&old, &ring);
        let gaining = moves.iter().flat_map(|moved| moved.gaining().collect::<Vec<_>>()).collect();
        if record.outgoing.is_some() || record.incoming.is_some() {
            let members = record.members.iter().map(|member| member.id);
            self.joint = self.lease.as_ref().map(|lease| lease.over(members));
        }
        self.note(Note::Ring { number, what: "proposed" });
        self.step = Some(Step { record, ring });
        self.take_numbers();
        self.place_anew();
        let ranges: Vec<Range> = moves.into_iter().map(|moved| moved.range).collect();
        if !ranges.is_empty() && !planted(Bug::BarrierLeftOut) {
            let mut barrier = Barrier { ranges, awaited: BTreeSet::new(), in_force: None, gaining };
            let out = |txn: &Txn| !matches!(txn.phase, TxnPhase::Waiting { .. });
            let awaited = self.txns.iter().filter(|(_, txn)| out(txn) && barrier.covers(txn));
            barrier.awaited = awaited.map(|(seq, _)| *seq).collect();
            self.barriers.push(barrier);
        }
        for place in 0..self.nodes.len() {
            self.install(now, place);
        }
        self.look_at_step(now);
    }

    /// What waits is placed by the newest ring.
    fn place_anew(&mut self) {
        let Some((_, ring)) = self.newest() else { return };
        let ring = ring.clone();
        for txn in self.txns.values_mut() {
            if let (TxnPhase::Waiting { .. }, Some(op)) = (&txn.phase, &txn.op) {
                txn.participants = participants_of(&ring, op);
            }
        }
    }

    /// Asks a node that has reported to make the newest ring durable.
    pub(super) fn install(&mut self, now: Time, place: usize) {
        let Some((record, _)) = self.newest() else { return };
        let record = record.clone();
        let node = &self.nodes[place];
        let out = record.outgoing.as_ref().is_some_and(|member| member.uuid == node.uuid);
        let opening = node.report.is_some() && node.link.phase == LinkPhase::Opening;
        let ready = node.link.phase == LinkPhase::Ready;
        if (node.id.is_some() || out) && (opening || ready) {
            self.send(now, place, DownBody::Install((*record).clone()));
        }
    }

    /// Puts the proposed ring in force once enough members have it.
    pub(super) fn look_at_step(&mut self, now: Time) {
        let Some(step) = &self.step else { return };
        let number = step.record.number;
        if !self.majority_of(&step.record, |node| node.installed == Some(number)) {
            return;
        }
        let Some(Step { record, ring }) = self.step.take() else { return };
        let gone = record.outgoing.as_ref().map(|member| (member.id, member.uuid));
        if record.outgoing.is_none()
            && record.incoming.is_none()
            && let Some(joint) = self.joint.take()
        {
            // The ring before is in force on a majority of these: claimants count no others.
            self.lease = Some(joint);
        }
        self.tell_removed(&record);
        if let (Some(record), Some(ring)) = (self.record.take(), self.ring.take()) {
            self.census.keep(record, ring);
        }
        self.record = Some(record);
        self.ring = Some(ring);
        self.take_numbers();
        self.note(Note::Ring { number, what: "in force" });
        self.admit_anew(now);
        self.onces_are_here();
        self.restart_scans();
        for barrier in &mut self.barriers {
            barrier.in_force.get_or_insert(now);
        }
        for place in 0..self.nodes.len() {
            if gone.is_some_and(|(_, uuid)| self.nodes[place].uuid == uuid) {
                self.end_link(now, place, false);
            }
        }
        if let Some((member, _)) = gone {
            self.go_on_without_member(now, member);
        }
        self.ring_changed(now);
        self.retry_parked(now);
        self.renew_lease(now);
        self.lift_barriers(now);
        self.watch_members(now);
    }

    /// What goes by the ring follows the one that is in force now; changes of which nothing is left
    /// are at their end.
    fn ring_changed(&mut self, now: Time) {
        self.count_copied();
        self.copies_follow_ring();
        self.audits_follow_ring();
        self.scrub_follows_ring();
        self.damage_follows_ring();
        self.tell_ring();
        self.tell_who_copies(now);
        self.end_changes(now);
    }

    /// Tells each node once that the ring that it has is in force: what that does not let it hold
    /// it drops. Not before all that was handed over under earlier rings is decided, and told to
    /// it.
    pub(super) fn tell_in_force(&mut self) {
        let Some(number) = self.record.as_ref().map(|record| record.number) else { return };
        let open = self.decided.values().any(|outcome| outcome.held.is_some());
        if self.step.is_some() || !self.barriers.is_empty() || !self.in_doubt.is_empty() || open {
            return;
        }
        for node in &mut self.nodes {
            let link = &mut node.link;
            let has_it = link.phase == LinkPhase::Ready && node.installed == Some(number);
            if has_it && link.in_force_told != Some(number) {
                link.in_force_told = Some(number);
                link.push_in_force(number);
            }
        }
    }

    /// Says which nodes have left by order with this ring: they need not run any more.
    fn tell_removed(&mut self, next: &RingRecord) {
        let Some(before) = self.record.clone() else { return };
        let is_new = |id: MemberId| before.departed.iter().all(|departed| departed.id != id);
        for departed in next.departed.iter().filter(|departed| departed.removed) {
            if is_new(departed.id) {
                self.effects.push(Effect::NodeRemoved(departed.name.to_string()));
            }
        }
    }

    /// What was open with a member that is gone waits for it no more (R6).
    fn go_on_without_member(&mut self, now: Time, member: MemberId) {
        self.losses.remove(&member);
        self.marks.remove(&member);
        // It may have been silent on a link that was open until now.
        self.transfers_lost(now, member);
        let open: Vec<Version> = self.by_id.keys().copied().collect();
        for id in open {
            // Of an abort it need not be heard; of a commit it has no say.
            self.on_confirmed(now, member, id);
            self.work.extend(self.by_id.get(&id));
        }
        let decided: Vec<Version> = self.decided.keys().copied().collect();
        for id in decided {
            self.on_confirmed(now, member, id);
        }
        self.resolve_all(now);
        self.run_work(now);
    }

    /// Nothing of all this is this coordinator's any more.
    pub(super) fn abandon_steps(&mut self) {
        self.step = None;
        self.joint = None;
        self.barriers.clear();
        self.copies = super::copying::Copies::default();
        self.changes = super::change::Changes::default();
        self.refused.clear();
        self.census = super::census::Census::default();
    }

    /// Whether an update waits for a new ring.
    pub(super) fn is_barred(&self, seq: Seq) -> bool {
        let Some(txn) = self.txns.get(&seq).filter(|_| !self.barriers.is_empty()) else {
            return false;
        };
        self.barriers.iter().any(|barrier| barrier.covers(txn))
    }

    /// The same of one that is arriving.
    pub(super) fn bars(&self, keys: &[protocol::ids::Key]) -> bool {
        let barred = |key| {
            let point = hash_of(key);
            let covers = |range: &Range| range.contains(point);
            self.barriers.iter().any(|barrier| barrier.ranges.iter().any(covers))
        };
        !self.barriers.is_empty() && keys.iter().any(barred)
    }

    /// A transaction is decided and out of its queues.
    pub(super) fn pass_barriers(&mut self, seq: Seq) {
        for barrier in &mut self.barriers {
            barrier.awaited.remove(&seq);
        }
    }

    /// One of an earlier epoch was heard of: whoever waits for those waits for it too.
    pub(super) fn awaits_too(&mut self, seq: Seq) {
        let Some(txn) = self.txns.get(&seq) else { return };
        for barrier in &mut self.barriers {
            if barrier.covers(txn) {
                barrier.awaited.insert(seq);
            }
        }
    }

    /// Lets updates go on whose ranges have their new holders.
    pub(super) fn lift_barriers(&mut self, now: Time) {
        if self.barriers.is_empty() {
            return;
        }
        let not_ready = |member: &MemberId| {
            let node = self.node_of(*member);
            node.is_some_and(|node| !node.is_up() && node.registered_on.is_some())
        };
        let lifted = |barrier: &Barrier| {
            let Some(since) = barrier.in_force else { return false };
            let late = now >= since.plus_ms(READY_MS);
            barrier.awaited.is_empty() && (late || !barrier.gaining.iter().any(not_ready))
        };
        let before = self.barriers.len();
        let kept: Vec<bool> = self.barriers.iter().map(|barrier| !lifted(barrier)).collect();
        let mut kept = kept.into_iter();
        self.barriers.retain(|_| kept.next().unwrap_or(true));
        if self.barriers.len() == before {
            return;
        }
        let waiting = |txn: &Txn| matches!(txn.phase, TxnPhase::Waiting { .. });
        let waiting: Vec<Seq> =
            self.txns.iter().filter(|(_, txn)| waiting(txn)).map(|(seq, _)| *seq).collect();
        for seq in waiting {
            let down = self.txns.get(&seq).and_then(|txn| self.first_down(&txn.participants));
            let known = self.txns.get(&seq).is_some_and(|txn| self.may_repeat(seq, txn));
            match down.filter(|_| !known && !self.is_barred(seq)) {
                Some(down) => {
                    let error = ErrorReply::replica_down(&self.name_of(down));
                    self.finish(now, seq, Err(error));
                }
                None => self.work.push_back(seq),
            }
        }
    }

    /// Whether a transaction is open that writes to one of these ranges without this member, since
    /// it was placed by an earlier ring: what it writes may not be copied yet.
    pub(super) fn is_open_without(&self, member: MemberId, ranges: &[Range]) -> bool {
        let sent = self.txns.values().filter_map(|txn| match &txn.phase {
            TxnPhase::Sent { prepare, .. } | TxnPhase::Aborting { prepare, .. } => Some(prepare),
            TxnPhase::Waiting { .. } | TxnPhase::Recovered(_) => None,
        });
        let in_doubt = self.in_doubt.values().filter_map(|doubt| doubt.prepare.as_ref());
        let held = self.decided.values().filter(|outcome| outcome.held.is_some());
        let held = held.filter_map(|outcome| outcome.prepare.as_ref());
        sent.chain(in_doubt).chain(held).any(|prepare| {
            prepare.writes.iter().any(|write| {
                let named = !write.holders.is_empty();
                let holders = if named { &write.holders } else { &prepare.participants };
                let point = hash_of(&write.key);
                !holders.contains(&member) && ranges.iter().any(|range| range.contains(point))
            })
        })
    }
}
