//! What the nodes' reports prove of the fate of transactions that an earlier coordinator, or an
//! earlier session of this one, left open (R6).
//!
//! Each participant of such a transaction is a witness. A node that was fenced without it can
//! never get it any more (R2), so `Never` is final; a node that cut its log says `LostHere`. One
//! whose store has lost something shows nothing until that is durable (`losses`), and then that.
//!
//! witnesses                                         | decision
//! --------------------------------------------------|----------------------------------
//! any committed                                     | commit
//! any aborted, refused or never                     | abort
//! any settled; if one is lost, and another prepared | abort
//! all prepared, and what it rests on committed      | commit
//! all survivors prepared, the others lost           | commit, a choice: durable at all
//!                                                   | survivors before it is shown, and first
//!                                                   | where it was lost
//! otherwise                                         | wait

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::event::RecoveryPhase;
use protocol::ids::{Epoch, Key, MemberId, RingNumber, Version};
use protocol::peer::{Prepare, Report, ReportedTxn, Settled, TxnState};

use super::super::planted::{Bug, planted};
use super::super::ring::{is_ring, number_in};
use super::super::time::Time;
use super::decide::{Ballot, Outcome};
use super::links::LinkPhase;
use super::losses::Evidence;
use super::updates::{Txn, TxnPhase};
use super::{Coordinator, Note, Phase, Seq};

/// What a node's silence about a transaction means, as of its last report in this epoch.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    cut_through: Epoch,
    settled: Vec<Settled>,
}

/// What one participant shows of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Prepared,
    Committed,
    /// Aborted or refused, durably.
    Closed,
    /// Fenced without it.
    Never,
    /// Fenced without it, and told that what may be missing was settled: it either never came
    /// here, or is decided and confirmed everywhere.
    Settled,
    /// It may have held it, and lost it.
    LostHere,
}

/// A transaction of an earlier epoch whose fate is open.
#[derive(Debug)]
pub(super) struct InDoubt {
    pub(super) participants: Vec<MemberId>,
    pub(super) prepare: Option<Arc<Prepare>>,
    pub(super) seen: BTreeMap<MemberId, Seen>,
    /// Its place at the head of its keys' queues, if its keys are known.
    pub(super) seq: Option<Seq>,
}

impl InDoubt {
    /// The key that it writes first, once somebody has shown what it writes.
    pub(super) fn first_written(&self) -> Option<&Key> {
        Some(&self.prepare.as_ref()?.writes.first()?.key)
    }
}

impl Coordinator {
    pub(super) fn on_report(&mut self, now: Time, place: usize, report: Box<Report>) {
        let node = &mut self.nodes[place];
        let expected = node.link.phase == LinkPhase::Opening && node.uuid == report.store;
        let sound = report.ring.as_ref().is_none_or(is_ring);
        if !expected || !sound || node.incarnation() != Some(report.incarnation) {
            self.end_link(now, place, false);
            return;
        }
        if self.turned_away(now, place) {
            return;
        }
        let node = &mut self.nodes[place];
        if node.before.is_none() {
            node.before = report.before;
        }
        node.installed = report.ring.as_ref().map(|ring| ring.number);
        node.report = Some(report);
        match self.phase {
            Phase::Claiming { .. } => self.claim_step(now),
            Phase::Recovering { .. } | Phase::Active | Phase::Stopping { .. }
                if self.nodes[place].installed == self.newest().map(|(r, _)| r.number) =>
            {
                self.take_report(now, place);
            }
            _ => self.install(now, place),
        }
    }

    pub(super) fn on_installed(&mut self, now: Time, place: usize, number: RingNumber) {
        self.nodes[place].installed = Some(number);
        let current = self.newest().map(|(record, _)| record.number);
        match self.phase {
            Phase::Installing { .. } => self.claim_step(now),
            Phase::Recovering { .. } | Phase::Active | Phase::Stopping { .. }
                if current == Some(number) =>
            {
                self.take_report(now, place);
                self.look_at_step(now);
            }
            _ => {}
        }
    }

    /// Makes use of a report: the node's link is ready after it, and what it had missed is on
    /// its way.
    pub(super) fn take_report(&mut self, now: Time, place: usize) {
        self.hear_losses(now, place);
        // Of one that is no member it is kept: it may become one.
        let Some(member) = self.nodes[place].id else { return };
        let Some(report) = self.nodes[place].report.take() else { return };
        if self.has_lost(member) {
            return;
        }
        // What it remembers from when it was another member is decided without it (R6, H41).
        let was = report.ring.as_ref().and_then(|ring| number_in(ring, report.store));
        let Report { cut_through, settled, mut txns, mut copied, .. } = *report;
        if was != Some(member) {
            txns.clear();
            copied.clear();
        }
        if !copied.is_empty() || !planted(Bug::GoneOnPastStart) {
            self.nodes[place].copied = copied;
        }
        self.nodes[place].link.phase = LinkPhase::Ready;
        self.nodes[place].witness = Some(Witness { cut_through, settled });
        let told: BTreeMap<Version, ReportedTxn> =
            txns.into_iter().map(|txn| (txn.id, txn)).collect();
        self.resume_decided(now, member, &told);
        self.resume_undecided(now, member, &told);
        for txn in told.into_values() {
            self.witness(member, txn);
        }
        self.missing_at(member);
        self.resolve_all(now);
        self.load_onces();
        self.nodes[place].link.push_caught_up();
        let told = self.nodes[place].link.unconfirmed() as u64;
        self.tell_recovery(now, place, RecoveryPhase::Decisions, (0, told));
        self.mark_late(now, place);
        self.watch_members(now);
        if self.phase == Phase::Active {
            self.tell_in_force();
        }
    }

    /// Decisions that the node has not confirmed: told again, or seen to be there.
    fn resume_decided(
        &mut self,
        now: Time,
        member: MemberId,
        told: &BTreeMap<Version, ReportedTxn>,
    ) {
        let mut confirmed = Vec::new();
        let Some(place) = self.by_member.get(&member).copied() else { return };
        let open = self.decided.iter().filter(|(_, outcome)| outcome.awaits(member));
        let open: Vec<(&Version, &Outcome, Option<Seen>)> =
            open.map(|(id, outcome)| (id, outcome, self.absent(member, *id))).collect();
        let mut lacks = None;
        for (id, outcome, absent) in open {
            let state = told.get(id).map(|txn| txn.state);
            let link = &mut self.nodes[place].link;
            match (outcome.commit, state) {
                (true, Some(TxnState::Committed))
                | (false, Some(TxnState::Aborted | TxnState::Refused)) => confirmed.push(*id),
                (true, Some(TxnState::Prepared)) if planted(Bug::DecisionToldOnce) => {}
                (true, Some(TxnState::Prepared)) if outcome.adopting.is_empty() => {
                    link.push_commit(now, *id);
                }
                // It is told when those that have lost it have it again; unless it is one of them,
                // whose log has come back longer than it was.
                (true, Some(TxnState::Prepared)) if !outcome.adopting.contains(&member) => {}
                (true, _) => match &outcome.prepare {
                    Some(prepare) => link.push_adopt(prepare.clone(), outcome.choice),
                    None if absent == Some(Seen::Settled) => confirmed.push(*id),
                    None => lacks = Some(*id),
                },
                (false, _) => link.push_abort(*id, outcome.participants.clone()),
            }
            if outcome.choice {
                link.want_sync();
            }
        }
        for id in confirmed {
            self.on_confirmed(now, member, id);
        }
        if let Some(id) = lacks {
            self.lose(now, member, Evidence::Lacks(id));
        }
    }

    /// Transactions of this epoch that are out: the report is the vote, or the question is put
    /// again (R4: a vote counts only from the node's present incarnation).
    fn resume_undecided(
        &mut self,
        now: Time,
        member: MemberId,
        told: &BTreeMap<Version, ReportedTxn>,
    ) {
        let ids: Vec<(Version, Seq)> = self.by_id.iter().map(|(id, seq)| (*id, *seq)).collect();
        let Some(place) = self.by_member.get(&member).copied() else { return };
        for (id, seq) in ids {
            let Some(txn) = self.txns.get_mut(&seq) else { continue };
            if !txn.participants.contains(&member) {
                continue;
            }
            let state = told.get(&id).map(|txn| txn.state);
            match &mut txn.phase {
                TxnPhase::Sent { prepare, yes, .. } => {
                    yes.retain(|other| *other != member);
                    match state {
                        Some(TxnState::Prepared) => yes.push(member),
                        Some(_) => {
                            let no = Ballot::No("refused before".into());
                            self.on_vote(now, member, id, no);
                        }
                        None => self.nodes[place].link.push_prepare(prepare.clone()),
                    }
                    self.work.push_back(seq);
                }
                TxnPhase::Aborting { .. } => match state {
                    Some(TxnState::Aborted | TxnState::Refused) => {
                        self.on_confirmed(now, member, id);
                    }
                    _ => {
                        let participants = txn.participants.clone();
                        self.nodes[place].link.push_abort(id, participants);
                    }
                },
                TxnPhase::Waiting { .. } | TxnPhase::Recovered(_) => {}
            }
        }
    }

    /// Takes in what a node remembers of a transaction of an earlier epoch.
    fn witness(&mut self, member: MemberId, txn: ReportedTxn) {
        let known = self.decided.contains_key(&txn.id) || self.by_id.contains_key(&txn.id);
        let known = known || self.resolved.contains(&txn.id);
        if known || txn.id.epoch() == self.epoch {
            return;
        }
        let seen = match txn.state {
            TxnState::Prepared => Seen::Prepared,
            TxnState::Committed => Seen::Committed,
            TxnState::Aborted | TxnState::Refused => Seen::Closed,
        };
        let id = txn.id;
        if !self.in_doubt.contains_key(&id) {
            let mut others = BTreeMap::new();
            for other in &txn.participants {
                if let Some(absent) = self.absent(*other, id) {
                    others.insert(*other, absent);
                }
            }
            let participants = txn.participants.clone();
            let doubt = InDoubt { participants, prepare: None, seen: others, seq: None };
            self.in_doubt.insert(id, doubt);
        }
        let Some(doubt) = self.in_doubt.get_mut(&id) else { return };
        doubt.seen.insert(member, seen);
        if doubt.prepare.is_none()
            && let Some(prepare) = txn.prepared
        {
            doubt.prepare = Some(prepare.clone());
            let seq = self.occupy(&prepare);
            if let Some(doubt) = self.in_doubt.get_mut(&id) {
                doubt.seq = Some(seq);
            }
        }
    }

    /// Puts a transaction of an earlier epoch at the head of its keys' queues, in the order of ids:
    /// its keys are neither read nor written until it is decided.
    fn occupy(&mut self, prepare: &Prepare) -> Seq {
        let seq = self.next_seq();
        let txn = Txn::recovered(prepare);
        for key in &txn.keys {
            // A member that comes late may show what one that was read from has lost (H29).
            self.cache.remove(key.as_str());
            let queue = self.keys.entry(key.clone()).or_default();
            let after = queue.queue.iter().take_while(|other| {
                let phase = self.txns.get(other).map(|txn| &txn.phase);
                matches!(phase, Some(TxnPhase::Recovered(id)) if *id < prepare.id)
            });
            let place = after.count();
            queue.queue.insert(place, seq);
            queue.resolved += 1;
        }
        self.txns.insert(seq, txn);
        self.awaits_too(seq);
        if let Some(once) = &prepare.once {
            self.recover_once(seq, once);
        }
        seq
    }

    /// What a node that says nothing of a transaction shows by that; `None` if it has not
    /// reported under this epoch.
    pub(super) fn absent(&self, member: MemberId, id: Version) -> Option<Seen> {
        if self.is_gone(member) {
            return Some(if planted(Bug::EvictedIsNo) { Seen::Never } else { Seen::LostHere });
        }
        if self.has_lost(member) {
            return self.loss_holds(member).then_some(Seen::LostHere);
        }
        let witness = self.node_of(member)?.witness.as_ref()?;
        if witness.settled.iter().any(|settled| settled.covers(id)) {
            return Some(Seen::Settled);
        }
        Some(if id.epoch() <= witness.cut_through { Seen::LostHere } else { Seen::Never })
    }

    /// Counts a node that has just reported as a witness of what it did not name.
    fn missing_at(&mut self, member: MemberId) {
        let ids: Vec<Version> = self
            .in_doubt
            .iter()
            .filter(|(_, doubt)| {
                doubt.participants.contains(&member) && !doubt.seen.contains_key(&member)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let absent = self.absent(member, id);
            if let (Some(absent), Some(doubt)) = (absent, self.in_doubt.get_mut(&id)) {
                doubt.seen.insert(member, absent);
            }
        }
    }

    /// Decides what can be decided, older ones first: a later one may rest on them.
    pub(super) fn resolve_all(&mut self, now: Time) {
        let ids: Vec<Version> = self.in_doubt.keys().copied().collect();
        for id in ids {
            let Some((commit, choice)) = self.fate(id) else { continue };
            self.resolve(now, id, commit, choice);
        }
    }

    /// R6.
    fn fate(&self, id: Version) -> Option<(bool, bool)> {
        let doubt = self.in_doubt.get(&id)?;
        let seen = |member: &MemberId| match doubt.seen.get(member) {
            _ if self.has_lost(*member) || self.is_gone(*member) => self.absent(*member, id),
            None if planted(Bug::SilentIsNo) => Some(Seen::Never),
            seen => seen.copied(),
        };
        let all: Vec<Option<Seen>> = doubt.participants.iter().map(seen).collect();
        if all.contains(&Some(Seen::Committed)) {
            return Some((true, false));
        }
        // What a lost store has named may have been confirmed by all, it too, and forgotten. One
        // that still holds it prepared shows that it was not: it never came to who has settled it.
        let lost = |member: &MemberId| self.has_lost(*member) || self.is_gone(*member);
        let open = all.contains(&Some(Seen::Prepared)) || all.iter().all(Option::is_some);
        let settled_is_no = open || !doubt.participants.iter().any(lost);
        let no = |seen: &Option<Seen>| match seen {
            Some(Seen::Closed | Seen::Never) => true,
            Some(Seen::Settled) => settled_is_no,
            _ => false,
        };
        if all.iter().any(no) {
            return Some((false, false));
        }
        let prepare = doubt.prepare.as_ref()?;
        for on in &prepare.rests_on {
            // One that nobody reports was settled: committed, or this one aborted with it.
            if self.in_doubt.contains_key(on) {
                return None;
            }
            if self.decided.get(on).is_some_and(|outcome| !outcome.commit) {
                return Some((false, false));
            }
        }
        let choice = all.contains(&Some(Seen::LostHere));
        all.iter().all(Option::is_some).then_some((true, choice))
    }

    fn resolve(&mut self, now: Time, id: Version, commit: bool, choice: bool) {
        // First, while its keys are at hand: whoever listens is told one of them.
        self.note(Note::Resolved(id, commit));
        let Some(doubt) = self.in_doubt.remove(&id) else { return };
        self.resolved.insert(id);
        let mut unconfirmed = Vec::new();
        let mut lost = Vec::new();
        let adopting: Vec<MemberId> = doubt
            .participants
            .iter()
            .filter(|member| {
                let gone = self.has_lost(**member) || self.is_gone(**member);
                let lacks = matches!(doubt.seen.get(member), Some(Seen::LostHere | Seen::Never));
                let wanted = lacks && !planted(Bug::LostNotAdopted);
                commit && wanted && !gone && doubt.prepare.is_some()
            })
            .copied()
            .collect();
        for member in &doubt.participants {
            let seen = doubt.seen.get(member).copied();
            if self.is_gone(*member) {
                continue;
            }
            let Some(place) = self.by_member.get(member).copied() else {
                // It has not registered yet: what it holds is learned from its report.
                unconfirmed.push(*member);
                continue;
            };
            let ready = self.nodes[place].link.phase == LinkPhase::Ready;
            let link = &mut self.nodes[place].link;
            match (commit, seen) {
                (true, Some(Seen::LostHere)) if planted(Bug::LostNotAdopted) => continue,
                (true, Some(Seen::Prepared)) if ready && adopting.is_empty() => {
                    link.push_commit(now, id);
                }
                (true, Some(Seen::LostHere | Seen::Never)) => match &doubt.prepare {
                    Some(prepare) if ready => link.push_adopt(prepare.clone(), choice),
                    Some(_) => {}
                    // Committed elsewhere and nowhere to be had as a record: this store is
                    // behind, and copying is not a matter of the log.
                    None => {
                        lost.push(*member);
                        continue;
                    }
                },
                (true, Some(Seen::Committed | Seen::Settled))
                | (false, Some(Seen::Closed | Seen::Never | Seen::Settled)) => continue,
                (false, Some(_)) if ready => link.push_abort(id, doubt.participants.clone()),
                _ => {}
            }
            if choice {
                self.nodes[place].link.want_sync();
            }
            unconfirmed.push(*member);
        }
        let InDoubt { participants, prepare, seq, .. } = doubt;
        let held = seq;
        let outcome =
            Outcome { commit, choice, participants, unconfirmed, adopting, prepare, held };
        self.settle_or_keep(now, id, outcome);
        for member in lost {
            self.lose(now, member, Evidence::Lacks(id));
        }
    }
}
