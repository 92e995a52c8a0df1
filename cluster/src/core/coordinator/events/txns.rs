//! Transactions, followed from their arrival to the last confirmation, while somebody asks.
//!
//! Each has a [`Trace`] then, and no more: most are never told, since samples are chosen as soon as
//! they are finished. What else is told of one is looked up for those that are. A finished one is
//! told at once, or, if it is committed, when all its participants have confirmed that, at most a
//! quarter of a second after its answer. Those that began before anybody asked have no trace.

use protocol::error::ErrorReply;
use protocol::event::{
    Body, Decide, Outcome, Phases, Role, Topic, Txn, TxnOpen, TxnResolved, Vote, VoteState,
};
use protocol::ids::{Key, MemberId, Version};
use protocol::peer::Batch;

use super::super::super::time::Time;
use super::super::conditions::Update;
use super::super::links::LinkPhase;
use super::super::members::Node;
use super::super::resolve::InDoubt;
use super::super::updates::{self, TxnPhase};
use super::super::{ClientId, Coordinator, Seq};
use super::trace::{At, Trace};

/// A transaction that takes longer is told while it is open, and always when it is finished.
const OPEN_MS: u64 = 20;
/// How long the confirmations of a committed one are waited for.
const CLOSING_MS: u64 = 250;
/// Committed ones that wait for them; of more, the oldest are told without.
const CLOSING_MAX: usize = 4_096;
/// Open transactions in a snapshot, and told at a time.
const OPEN_MAX: usize = 64;

/// What a transaction does, as it is told.
#[derive(Debug)]
struct Deed {
    op: &'static str,
    /// The one that it writes first.
    key: Option<Key>,
    keys: Vec<Key>,
    /// Of its participants, in the order of its trace.
    roles: Vec<Role>,
}

/// A finished transaction that waits for its confirmations.
#[derive(Debug)]
pub(super) struct Closing {
    trace: Box<Trace>,
    deed: Deed,
    always: bool,
}

impl Coordinator {
    /// What an update that has just come is followed with.
    pub(in super::super) fn new_trace(
        &self,
        now: Time,
        client: ClientId,
        participants: &[MemberId],
    ) -> Option<Box<Trace>> {
        if !self.events.traces() && !self.is_explained(client) {
            return None;
        }
        let at = |member: &MemberId| At {
            member: *member,
            sent: None,
            received: None,
            vote: VoteState::None,
            node_us: None,
            decided: None,
            confirmed: None,
        };
        Some(Box::new(Trace {
            conn: client.conn,
            waited_for: None,
            arrived: now,
            formed: None,
            batch_txns: 0,
            at: participants.iter().map(at).collect(),
            answered: None,
            reason: None,
            told: None,
        }))
    }

    /// One that has just come has another ahead of it on one of its keys.
    pub(in super::super) fn trace_behind(&mut self, seq: Seq, ahead: Seq) {
        if !self.follows() {
            return;
        }
        let ahead = self.txns.get(&ahead).and_then(|txn| txn.phase.id());
        if let Some(trace) = self.txns.get_mut(&seq).and_then(|txn| txn.trace.as_mut()) {
            trace.waited_for = ahead;
        }
    }

    fn deed(&self, op: &Update, keys: Vec<Key>, trace: &Trace) -> Deed {
        let written = || op.writes.iter().map(|write| &write.key);
        let roles = trace.at.iter().map(|at| self.role_of(at.member, written())).collect();
        Deed { op: op.name(), key: written().next().cloned(), keys, roles }
    }

    /// Whether some transaction may have a trace that is still made use of.
    fn follows(&self) -> bool {
        self.events.traces() || self.explains_any()
    }

    /// What is seen of a transaction that is about to be answered.
    pub(in super::super) fn traced(&self, now: Time, seq: Seq, committed: bool) -> Option<Txn> {
        let txn = self.txns.get(&seq)?;
        let trace = txn.trace.as_ref()?;
        let deed = self.deed(txn.op.as_ref()?, txn.keys.clone(), trace);
        let outcome = committed.then_some(Outcome::Committed);
        Some(self.txn_body(now, txn.phase.id(), Trace::clone(trace), deed, outcome))
    }

    fn trace_mut(&mut self, id: Version) -> Option<&mut Trace> {
        match self.by_id.get(&id) {
            Some(seq) => self.txns.get_mut(seq)?.trace.as_deref_mut(),
            None => self.events.closing.get_mut(&id).map(|closing| &mut *closing.trace),
        }
    }

    /// A message goes to a node. When its prepares were sent is remembered with their votes.
    pub(in super::super) fn trace_batch(&mut self, now: Time, place: usize, batch: &Batch) {
        let Some(member) = self.nodes[place].id.filter(|_| self.follows()) else { return };
        let count = batch.prepare.len() as u64;
        if let Some(figures) = self.events.figures.as_mut().filter(|_| count > 0) {
            figures.batches.record(count);
        }
        let decided = |trace: &mut Trace| {
            if let Some(at) = trace.at(member) {
                at.decided.get_or_insert(now);
            }
        };
        if !self.events.closing.is_empty() {
            let closing = &mut self.events.closing;
            for id in &batch.commit {
                closing.get_mut(id).into_iter().for_each(|closing| decided(&mut closing.trace));
            }
        }
        let adopted = batch.adopt.iter().map(|prepare| prepare.id);
        for id in adopted.chain(batch.abort.iter().map(|abort| abort.id)) {
            self.trace_mut(id).into_iter().for_each(decided);
        }
    }

    /// A link ends: what is open on it was sent, though its votes will not come.
    pub(in super::super) fn trace_link_ended(&mut self, place: usize) {
        let Some(member) = self.nodes[place].id.filter(|_| self.follows()) else { return };
        let voting = &self.nodes[place].link.voting;
        for (id, seq) in &self.by_id {
            if let Some(trace) = self.txns.get_mut(seq).and_then(|txn| txn.trace.as_mut()) {
                trace.sent(member, voting.sent(*id));
            }
        }
    }

    /// A participant has a commit durably.
    pub(in super::super) fn trace_confirmed(&mut self, now: Time, member: MemberId, id: Version) {
        let Some(closing) = self.events.closing.get_mut(&id) else { return };
        closing.trace.confirmed(now, member);
        if closing.trace.at.iter().all(|at| at.confirmed.is_some()) {
            self.close(now, id);
        }
    }

    /// Its client has been told that its outcome is not known; it goes on.
    pub(in super::super) fn trace_answered(&mut self, now: Time, seq: Seq, error: &ErrorReply) {
        if let Some(trace) = self.txns.get_mut(&seq).and_then(|txn| txn.trace.as_mut()) {
            trace.answered = Some(now);
            trace.reason = Some(error.code.as_str());
        }
    }

    /// It is finished: committed, or with an error.
    pub(in super::super) fn trace_finished(
        &mut self,
        now: Time,
        seq: Seq,
        error: Option<&ErrorReply>,
    ) {
        if !self.follows() {
            return;
        }
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let (id, trace) = (txn.phase.id(), txn.trace.take());
        if let Some(id) = id
            && self.events.doubts.contains(&id)
        {
            self.tell_resolved(id, error.is_none());
        }
        let Some(mut trace) = trace else { return };
        let outcome = match (error, id) {
            (None, _) => Outcome::Committed,
            (Some(_), Some(_)) => Outcome::Aborted,
            (Some(_), None) => Outcome::Refused,
        };
        if let Some(error) = error {
            trace.reason.get_or_insert(error.code.as_str());
        }
        let answered = *trace.answered.get_or_insert(now);
        let total_us = answered.since_us(trace.arrived);
        if let Some(figures) = self.events.figures.as_mut().filter(|_| id.is_some()) {
            figures.finished(total_us, &trace.phases(outcome == Outcome::Committed));
        }
        if !self.events.on(Topic::Txn) {
            return;
        }
        let watched = id.is_some_and(|id| self.events.interest.watched.contains(&id));
        let slow = now.since_us(trace.arrived) >= OPEN_MS * 1_000;
        let always = watched || slow || outcome == Outcome::Aborted;
        let most = self.events.interest.txn_per_s;
        if !always && !self.events.sampler.passes(now, most) {
            return;
        }
        let Some(txn) = self.txns.get(&seq) else { return };
        let Some(op) = &txn.op else { return };
        let deed = self.deed(op, txn.keys.clone(), &trace);
        match id {
            Some(id) if outcome == Outcome::Committed => {
                self.events.closing.insert(id, Closing { trace, deed, always });
                if self.events.closing.len() > CLOSING_MAX
                    && let Some((oldest, _)) = self.events.closing.first_key_value()
                {
                    self.close(now, *oldest);
                }
            }
            _ => {
                let txn = self.txn_body(now, id, *trace, deed, Some(outcome));
                self.tell_event_as(None, always, None, Body::Txn(txn));
            }
        }
    }

    /// An update is refused before it is one.
    pub(in super::super) fn trace_refused(
        &mut self,
        now: Time,
        client: ClientId,
        op: &Update,
        participants: &[MemberId],
        error: &ErrorReply,
    ) {
        let most = self.events.interest.txn_per_s;
        if !self.events.on(Topic::Txn) || !self.events.sampler.passes(now, most) {
            return;
        }
        let Some(mut trace) = self.new_trace(now, client, participants) else { return };
        trace.reason = Some(error.code.as_str());
        trace.answered = Some(now);
        let deed = self.deed(op, op.keys(), &trace);
        let txn = self.txn_body(now, None, *trace, deed, Some(Outcome::Refused));
        self.tell_event_as(None, false, None, Body::Txn(txn));
    }

    /// Tells a committed transaction, however many have confirmed it.
    fn close(&mut self, now: Time, id: Version) {
        let Some(Closing { trace, deed, always }) = self.events.closing.remove(&id) else { return };
        let txn = self.txn_body(now, Some(id), *trace, deed, Some(Outcome::Committed));
        self.tell_event_as(None, always, None, Body::Txn(txn));
    }

    /// Tells those whose confirmations were waited for long enough.
    pub(super) fn close_late(&mut self, now: Time) {
        let late = |closing: &Closing| {
            closing.trace.answered.is_none_or(|at| now >= at.plus_ms(CLOSING_MS))
        };
        let all = self.events.closing.iter().filter(|(_, closing)| late(closing));
        let ids: Vec<Version> = all.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.close(now, id));
    }

    /// Tells open transactions that are old or watched, each again when it has another vote.
    pub(super) fn tell_open(&mut self, now: Time) {
        let watched = &self.events.interest.watched;
        let is_news = |id: &Version, seq: &Seq| {
            let trace = self.txns.get(seq).and_then(|txn| txn.trace.as_ref());
            trace.is_some_and(|trace| {
                let old = now.since_us(trace.arrived) > OPEN_MS * 1_000;
                (old || watched.contains(id)) && trace.told != Some(trace.votes())
            })
        };
        let news = self.by_id.iter().filter(|(id, seq)| is_news(id, seq)).take(OPEN_MAX);
        let news: Vec<(Version, Seq)> = news.map(|(id, seq)| (*id, *seq)).collect();
        for (id, seq) in news {
            let Some(open) = self.open_txn(now, id, seq) else { continue };
            if let Some(trace) = self.trace_mut(id) {
                trace.told = Some(trace.votes());
            }
            self.tell_event_as(None, true, None, Body::TxnOpen(TxnOpen(open)));
        }
    }

    /// The oldest transactions that are handed over and not finished, for a snapshot.
    pub fn txns_open(&self, now: Time) -> Vec<Txn> {
        let oldest = self.by_id.iter().take(OPEN_MAX);
        oldest.filter_map(|(id, seq)| self.open_txn(now, *id, *seq)).collect()
    }

    fn open_txn(&self, now: Time, id: Version, seq: Seq) -> Option<Txn> {
        let txn = self.txns.get(&seq)?;
        if let (Some(trace), Some(op)) = (&txn.trace, &txn.op) {
            let deed = self.deed(op, txn.keys.clone(), trace);
            return Some(self.txn_body(now, Some(id), Trace::clone(trace), deed, None));
        }
        Some(Txn {
            tx: Some(id),
            op: txn.op.as_ref().map(|op| op.name().to_owned()).unwrap_or_default(),
            keys: txn.keys.len() as u32,
            key: txn.first_written().cloned(),
            conn: txn.client.map_or(0, |client| client.conn),
            outcome: None,
            reason: None,
            waited_for: None,
            us_total: 0,
            us: Phases::default(),
            batch_txns: 0,
            votes: self.votes_of(txn),
            decides: Vec::new(),
            all_keys: txn.keys.clone(),
        })
    }

    /// What the participants of a transaction that is handed over have said.
    pub(super) fn votes_of(&self, txn: &updates::Txn) -> Vec<Vote> {
        let vote = |member: &MemberId| {
            let yes = matches!(&txn.phase, TxnPhase::Sent { yes, .. } if yes.contains(member));
            let vote = if yes { VoteState::Yes } else { self.vote_missing(*member) };
            let (node, role) = (self.node_name(*member), self.role_of(*member, &txn.keys));
            Vote { node, role, vote, sent_us: None, recv_us: None, node_us: None }
        };
        txn.participants.iter().map(vote).collect()
    }

    /// Whether a member is the first replica of one of these keys.
    pub(in super::super) fn role_of<'a>(
        &self,
        member: MemberId,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> Role {
        let ring = self.ring.as_ref();
        let first = |key| ring.is_some_and(|ring| ring.replicas_of(key).first() == Some(&member));
        if keys.into_iter().any(first) { Role::Primary } else { Role::Replica }
    }

    /// Whether a participant that has not voted can do so at present.
    pub(super) fn vote_missing(&self, member: MemberId) -> VoteState {
        let ready = |node: &Node| node.link.phase == LinkPhase::Ready;
        let there = !self.has_lost(member) && self.node_of(member).is_some_and(ready);
        if there { VoteState::None } else { VoteState::Lost }
    }

    /// Adds when those were asked that have not voted: that only their links know.
    fn add_sent(&self, id: Version, trace: &mut Trace) {
        for at in 0..trace.at.len() {
            let member = trace.at[at].member;
            trace.sent(member, self.node_of(member).and_then(|node| node.link.voting.sent(id)));
        }
    }

    fn txn_body(
        &self,
        now: Time,
        id: Option<Version>,
        mut trace: Trace,
        deed: Deed,
        outcome: Option<Outcome>,
    ) -> Txn {
        if let Some(id) = id {
            self.add_sent(id, &mut trace);
        }
        let us = |at: Option<Time>| at.map(|at| at.since_us(trace.arrived));
        let vote = |(at, role): (&At, Role)| Vote {
            node: self.node_name(at.member),
            role,
            vote: match at.vote {
                // A report was its vote.
                VoteState::None if outcome == Some(Outcome::Committed) => VoteState::Yes,
                VoteState::None if outcome.is_none() => self.vote_missing(at.member),
                vote => vote,
            },
            sent_us: us(at.sent),
            recv_us: us(at.received),
            node_us: at.node_us,
        };
        let decide = |at: &At| Decide {
            node: self.node_name(at.member),
            sent_us: us(at.decided),
            confirmed_us: us(at.confirmed),
        };
        let handed_over = id.is_some();
        Txn {
            tx: id,
            op: deed.op.to_owned(),
            keys: deed.keys.len() as u32,
            key: deed.key,
            conn: trace.conn,
            outcome,
            reason: trace.reason.map(str::to_owned),
            waited_for: trace.waited_for,
            us_total: trace.answered.unwrap_or(now).since_us(trace.arrived),
            us: trace.phases(outcome == Some(Outcome::Committed)),
            batch_txns: trace.batch_txns,
            votes: trace.at.iter().zip(deed.roles).map(vote).collect(),
            decides: trace.at.iter().filter(|_| handed_over).map(decide).collect(),
            all_keys: deed.keys,
        }
    }

    /// One that was told to be in doubt is decided.
    pub(super) fn tell_resolved(&mut self, id: Version, commit: bool) {
        if !self.events.on(Topic::Txn) {
            return;
        }
        self.events.doubts.remove(&id);
        let txn = self.by_id.get(&id).and_then(|seq| self.txns.get(seq));
        let earlier = || self.in_doubt.get(&id).and_then(InDoubt::first_written);
        let key = txn.and_then(updates::Txn::first_written).or_else(earlier).cloned();
        let outcome = if commit { Outcome::Committed } else { Outcome::Aborted };
        let body = Body::TxnResolved(TxnResolved { tx: Some(id), key, outcome });
        self.tell_event_as(None, true, None, body);
    }
}
