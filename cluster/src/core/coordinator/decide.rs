//! Votes in, decisions out: the commit point, aborts, confirmations.
//!
//! The commit point is the last yes vote; there is no record of it but the participants' own.
//! Then, in this order (R12): the cache, the decisions onto the links, the answer. `aborted` is
//! told only when every participant that could hold the transaction has durably refused or
//! aborted it (R5).

use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::event::NodeUs;
use protocol::ids::{MemberId, Version};
use protocol::peer::{DISK_FULL, Prepare};
use protocol::reply;

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::links::LinkPhase;
use super::updates::TxnPhase;
use super::{Answer, Coordinator, Deadline, Seq};

/// A decided transaction that not all participants have confirmed.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) commit: bool,
    /// A participant is lost: it is shown only when the survivors have it durably (R6).
    pub(super) choice: bool,
    pub(super) participants: Vec<MemberId>,
    pub(super) unconfirmed: Vec<MemberId>,
    /// Those that have lost it and must have it durably before it is committed where it is
    /// prepared: a new coordinator would find it committed, and the record of it nowhere.
    pub(super) adopting: Vec<MemberId>,
    /// The whole of it, for a participant that has lost it.
    pub(super) prepare: Option<Arc<Prepare>>,
    /// The place that it still holds in its keys' queues.
    pub(super) held: Option<Seq>,
}

/// What a participant says.
#[derive(Debug)]
pub(super) enum Ballot {
    /// It has it durably; how long that took there, where it was asked.
    Yes(Option<NodeUs>),
    /// It refuses it, and why.
    No(String),
}

impl Outcome {
    pub(super) fn awaits(&self, member: MemberId) -> bool {
        self.unconfirmed.contains(&member)
    }
}

impl Coordinator {
    /// A vote.
    pub(super) fn on_vote(&mut self, now: Time, member: MemberId, id: Version, ballot: Ballot) {
        let Some(seq) = self.by_id.get(&id).copied() else { return };
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let prepare = match &txn.phase {
            TxnPhase::Sent { prepare, .. } | TxnPhase::Aborting { prepare, .. } => prepare.clone(),
            TxnPhase::Waiting { .. } | TxnPhase::Recovered(_) => return,
        };
        if !prepare.participants.contains(&member) {
            return;
        }
        if let Some(place) = self.by_member.get(&member) {
            let link = &mut self.nodes[*place].link;
            if let Some(trace) = &mut txn.trace {
                trace.voted(now, member, link.voting.sent(id), &ballot);
            }
            link.voted(&prepare);
        }
        match ballot {
            Ballot::No(reason) => {
                // That a disk is full is said once, when it begins.
                if reason != DISK_FULL {
                    let what = format!("{} refused {id}: {reason}", self.name_of(member));
                    self.note(super::Note::Alarm(what));
                }
                self.abort(now, seq, member, &reason);
            }
            Ballot::Yes(_) => {
                if let TxnPhase::Sent { yes, .. } = &mut txn.phase
                    && !yes.contains(&member)
                {
                    yes.push(member);
                }
                self.work.push_back(seq);
            }
        }
    }

    /// A vote counts only while the incarnation that gave it is the node's present one (R4, H15):
    /// the next one's report is its vote.
    pub(super) fn void_votes(&mut self, place: usize) {
        let Some(member) = self.nodes[place].id.filter(|_| !planted(Bug::OldVoteCounts)) else {
            return;
        };
        for seq in self.by_id.values() {
            if let Some(txn) = self.txns.get_mut(seq)
                && let TxnPhase::Sent { yes, .. } = &mut txn.phase
            {
                yes.retain(|other| *other != member);
            }
        }
    }

    /// Commits it if every participant has said yes and it is first on all its keys.
    pub(super) fn try_commit(&mut self, now: Time, seq: Seq) -> bool {
        let Some(txn) = self.txns.get(&seq) else { return false };
        let TxnPhase::Sent { prepare, yes, .. } = &txn.phase else { return false };
        let first = self.is_first(seq) || planted(Bug::OrderOfDecisions);
        if first && txn.participants.iter().any(|member| self.is_gone(*member)) {
            return self.commit_without(now, seq);
        }
        if yes.len() < txn.participants.len() || !first {
            return false;
        }
        assert!(txn.participants.iter().all(|member| yes.contains(member)), "R4");
        let prepare = prepare.clone();
        self.write_through(&prepare);
        for member in &prepare.participants {
            if let Some(place) = self.by_member.get(member) {
                self.nodes[*place].link.push_commit(now, prepare.id);
            }
        }
        let outcome = Outcome {
            commit: true,
            choice: false,
            participants: prepare.participants.clone(),
            unconfirmed: prepare.participants.clone(),
            adopting: Vec::new(),
            prepare: Some(prepare.clone()),
            held: None,
        };
        self.decided.insert(prepare.id, outcome);
        self.keep_once(now, &prepare);
        if !planted(Bug::WatchedBeforeVotes) {
            self.tell_watchers(&prepare);
        }
        self.ops.committed += 1;
        self.finish(now, seq, Ok(Answer::Ok(reply::version_tail(prepare.id))));
        true
    }

    /// Commits it if a participant is gone and all others have said yes: a choice, which they must
    /// have durably before it is shown (R6). Its client is not told ok: not every replica that the
    /// key has now holds it.
    fn commit_without(&mut self, now: Time, seq: Seq) -> bool {
        let Some(txn) = self.txns.get(&seq) else { return false };
        let TxnPhase::Sent { prepare, yes, .. } = &txn.phase else { return false };
        let (gone, here): (Vec<MemberId>, Vec<MemberId>) =
            txn.participants.iter().partition(|member| self.is_gone(**member));
        if gone.is_empty() || here.is_empty() || !here.iter().all(|member| yes.contains(member)) {
            return false;
        }
        let (prepare, deadline, client) = (prepare.clone(), txn.deadline(), txn.client);
        let id = prepare.id;
        self.deadlines.remove(&(deadline, Deadline::Update(seq)));
        self.explain_update(now, seq, false);
        if let Some(client) = client {
            let error = ErrorReply::unknown_outcome(Some(id));
            self.trace_answered(now, seq, &error);
            self.reply_error(client, error);
        }
        self.trace_finished(now, seq, None);
        self.by_id.remove(&id);
        let Some(txn) = self.txns.get_mut(&seq) else { return false };
        txn.client = None;
        txn.phase = TxnPhase::Recovered(id);
        txn.op = None;
        for write in &prepare.writes {
            self.cache.remove(write.key.as_str());
        }
        for member in &here {
            if let Some(place) = self.by_member.get(member).copied() {
                let link = &mut self.nodes[place].link;
                if link.phase == LinkPhase::Ready {
                    link.push_commit(now, id);
                    link.want_sync();
                }
            }
        }
        self.ops.committed += 1;
        self.resolved.insert(id);
        let outcome = Outcome {
            commit: true,
            choice: true,
            participants: prepare.participants.clone(),
            unconfirmed: here,
            adopting: Vec::new(),
            prepare: Some(prepare),
            held: Some(seq),
        };
        self.settle_or_keep(now, id, outcome);
        true
    }

    /// Several keys are first all taken out, so that a reader may miss but never see half.
    pub(super) fn write_through(&mut self, prepare: &Prepare) {
        self.damage.overwritten(prepare.writes.iter().map(|write| &write.key));
        self.mend_overtaken(prepare.writes.iter().map(|write| &write.key));
        if prepare.writes.len() > 1 {
            for write in &prepare.writes {
                self.cache.remove(write.key.as_str());
            }
        }
        for write in &prepare.writes {
            match &write.value {
                Some(value) => {
                    let tail = reply::value_tail(value.0.as_bytes(), prepare.id);
                    self.cache.write(&write.key, prepare.id, tail);
                }
                None => self.cache.remove(write.key.as_str()),
            }
        }
    }

    /// Aborts it and, with it, what rests on it.
    fn abort(&mut self, now: Time, seq: Seq, refused_by: MemberId, reason: &str) {
        let error = Box::new(match reason {
            DISK_FULL => ErrorReply::disk_full(&self.name_of(refused_by)),
            reason => ErrorReply::aborted(reason.to_owned()),
        });
        let mut doomed = vec![(seq, Some(refused_by))];
        while let Some((seq, refused_by)) = doomed.pop() {
            let Some(txn) = self.txns.get(&seq) else { continue };
            let participants = txn.participants.clone();
            // What one that is gone holds is void.
            let awaited = participants.iter().copied();
            let awaited = awaited.filter(|m| Some(*m) != refused_by && !self.is_gone(*m));
            let awaited: Vec<MemberId> = awaited.collect();
            let Some(txn) = self.txns.get_mut(&seq) else { continue };
            match &mut txn.phase {
                TxnPhase::Sent { prepare, .. } => {
                    let prepare = prepare.clone();
                    let id = prepare.id;
                    let error = error.clone();
                    txn.phase = TxnPhase::Aborting { prepare, awaited, error };
                    for member in participants.iter().filter(|m| Some(**m) != refused_by) {
                        if let Some(place) = self.by_member.get(member) {
                            let participants = participants.clone();
                            self.nodes[*place].link.push_abort(id, participants);
                        }
                    }
                    doomed.extend(self.resting_on(id).into_iter().map(|seq| (seq, None)));
                }
                TxnPhase::Aborting { awaited, .. } => {
                    awaited.retain(|member| Some(*member) != refused_by);
                }
                TxnPhase::Waiting { .. } | TxnPhase::Recovered(_) => continue,
            }
            self.maybe_aborted(now, seq);
        }
    }

    fn resting_on(&self, id: Version) -> Vec<Seq> {
        if planted(Bug::CascadeLeftOut) {
            return Vec::new();
        }
        let rests = |seq: &Seq| {
            let phase = self.txns.get(seq).map(|txn| &txn.phase);
            matches!(phase, Some(TxnPhase::Sent { prepare, .. }) if prepare.rests_on.contains(&id))
        };
        self.by_id.range(id..).map(|(_, seq)| *seq).filter(rests).collect()
    }

    fn maybe_aborted(&mut self, now: Time, seq: Seq) {
        let Some(txn) = self.txns.get(&seq) else { return };
        let TxnPhase::Aborting { awaited, error, .. } = &txn.phase else { return };
        if awaited.is_empty() || planted(Bug::AbortToldEarly) {
            let error = (**error).clone();
            if let Some(id) = txn.phase.id() {
                self.aborted.insert(id);
            }
            self.ops.aborted += 1;
            self.finish(now, seq, Err(error));
        }
    }

    /// A participant has made the decision durable.
    pub(super) fn on_confirmed(&mut self, now: Time, member: MemberId, id: Version) {
        if let Some(seq) = self.by_id.get(&id).copied() {
            if let Some(txn) = self.txns.get_mut(&seq)
                && let TxnPhase::Aborting { awaited, .. } = &mut txn.phase
            {
                awaited.retain(|other| *other != member);
                if let Some(trace) = &mut txn.trace {
                    trace.confirmed(now, member);
                }
                self.maybe_aborted(now, seq);
            }
            return;
        }
        let Some(mut outcome) = self.decided.remove(&id) else { return };
        outcome.unconfirmed.retain(|other| *other != member);
        self.adopted(now, member, id, &mut outcome);
        self.settle_or_keep(now, id, outcome);
    }

    /// A participant need not be waited for any more: the last one of them lets the others commit.
    pub(super) fn adopted(
        &mut self,
        now: Time,
        member: MemberId,
        id: Version,
        outcome: &mut Outcome,
    ) {
        if !outcome.adopting.contains(&member) {
            return;
        }
        outcome.adopting.retain(|other| *other != member);
        if !outcome.adopting.is_empty() {
            return;
        }
        for member in &outcome.unconfirmed {
            let Some(place) = self.by_member.get(member) else { continue };
            let link = &mut self.nodes[*place].link;
            if link.phase == LinkPhase::Ready {
                link.push_commit(now, id);
                link.want_sync();
            }
        }
    }

    /// Frees the keys of a decided transaction as soon as it may be shown, and forgets it when
    /// all have confirmed.
    pub(super) fn settle_or_keep(&mut self, now: Time, id: Version, outcome: Outcome) {
        if outcome.held.is_none() {
            self.keep_unconfirmed(id, outcome);
            return;
        }
        self.decided.insert(id, outcome);
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            next.extend(self.show(now, id));
            if self.decided.get(&id).is_some_and(|outcome| outcome.held.is_none())
                && let Some(outcome) = self.decided.remove(&id)
            {
                self.keep_unconfirmed(id, outcome);
            }
        }
    }

    /// Keeps what not all have confirmed.
    fn keep_unconfirmed(&mut self, id: Version, outcome: Outcome) {
        if !outcome.unconfirmed.is_empty() {
            self.decided.insert(id, outcome);
        } else if !outcome.commit {
            self.aborted.insert(id);
        }
    }

    /// Frees the keys of a transaction of an earlier epoch, if it may be shown now: on each key
    /// those who watch it are told in the order of ids. Returns those that may be next.
    fn show(&mut self, now: Time, id: Version) -> Vec<Version> {
        let Some(outcome) = self.decided.get(&id) else { return Vec::new() };
        let Some(seq) = outcome.held else { return Vec::new() };
        let lost = |member: &MemberId| self.loss_holds(*member);
        let durable = !outcome.choice || outcome.unconfirmed.iter().all(lost);
        if !durable || outcome.commit && !self.is_first(seq) {
            return Vec::new();
        }
        let shown = outcome.prepare.clone().filter(|_| outcome.commit);
        if let Some(outcome) = self.decided.get_mut(&id) {
            outcome.held = None;
        }
        if let Some(prepare) = shown {
            self.keep_once(now, &prepare);
            self.tell_watchers(&prepare);
        }
        let keys = self.txns.get(&seq).map(|txn| txn.keys.clone()).unwrap_or_default();
        self.leave_queues(now, seq);
        let first = |key| self.keys.get(key)?.queue.front();
        let recovered =
            keys.iter().filter_map(first).filter_map(|seq| match self.txns.get(seq)?.phase {
                TxnPhase::Recovered(id) => Some(id),
                _ => None,
            });
        recovered.collect()
    }
}
