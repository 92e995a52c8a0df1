//! Updates on their way to the nodes: arrival, the queue of each key, handing over, deadlines.
//!
//! An update takes its place in the queues of all its keys, those that it writes and those that it
//! tests, in one step. It is evaluated, resolved to plain writes and given its id only when it is
//! first in all of them, or behind none but transactions that are out and undecided, all of whose
//! participants are its own too; so on every key ids rise in queue order. It is then put into all
//! its participants' outboxes, or waits for room in the fullest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId, Once, Version};
use protocol::peer::{Due, Prepare, WireWrite};

use super::super::planted::{Bug, planted};
use super::super::ring::Ring;
use super::super::time::Time;
use super::conditions::Update;
use super::evaluate::{Cold, Evaluated};
use super::events::Trace;
use super::links::bytes_of;
use super::once::Looked;
use super::order::{Place, Turn};
use super::{
    Answer, ClientId, Coordinator, Deadline, QUEUED_BYTES_MAX, QUEUED_MAX, RETRY_AFTER_MS, Seq,
};

/// One update, or a transaction of an earlier epoch that holds its keys.
#[derive(Debug)]
pub(super) struct Txn {
    pub(super) client: Option<ClientId>,
    pub(super) op: Option<Update>,
    /// Those that it writes and those that it tests, sorted.
    pub(super) keys: Vec<Key>,
    /// The members that hold a key that it writes, sorted.
    pub(super) participants: Vec<MemberId>,
    pub(super) phase: TxnPhase,
    /// The client's name for it (R16).
    pub(super) once: Option<Once>,
    deadline: Time,
    pub(super) turn: Turn,
    /// What is seen of it, while somebody asks.
    pub(super) trace: Option<Box<Trace>>,
}

/// How far an update is.
#[derive(Debug)]
pub(super) enum TxnPhase {
    /// In its queues.
    Waiting {
        /// What nodes say of the keys that it tests.
        cold: BTreeMap<Key, Cold>,
    },
    /// Handed over.
    Sent { prepare: Arc<Prepare>, yes: Vec<MemberId> },
    /// Refused by one participant; these have still to confirm.
    Aborting { prepare: Arc<Prepare>, awaited: Vec<MemberId>, error: Box<ErrorReply> },
    /// Of an earlier epoch, with its id; see `resolve`.
    Recovered(Version),
}

impl TxnPhase {
    pub(super) fn id(&self) -> Option<Version> {
        match self {
            Self::Sent { prepare, .. } | Self::Aborting { prepare, .. } => Some(prepare.id),
            Self::Waiting { .. } | Self::Recovered(_) => None,
        }
    }
}

impl Txn {
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    pub(super) fn recovered(prepare: &Prepare) -> Self {
        Self {
            client: None,
            op: None,
            keys: prepare.writes.iter().map(|write| write.key.clone()).collect(),
            participants: prepare.participants.clone(),
            phase: TxnPhase::Recovered(prepare.id),
            once: prepare.once.clone(),
            deadline: Time::NEVER,
            turn: Turn::default(),
            trace: None,
        }
    }

    /// The key that it writes first, in the order of its request: where its name is kept. `None`
    /// for one of an earlier epoch.
    pub(super) fn first_written(&self) -> Option<&Key> {
        Some(&self.op.as_ref()?.writes.first()?.key)
    }
}

/// One key's updates in order, and its reads.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    pub(super) queue: VecDeque<Seq>,
    /// How many writes of the key have been resolved while the queue existed.
    pub(super) resolved: u64,
    /// Each behind the connection that asked; an update's look has none.
    pub(super) reads: BTreeSet<(Option<u64>, u64)>,
}

impl Coordinator {
    pub(super) fn next_seq(&mut self) -> Seq {
        self.last_seq += 1;
        Seq(self.last_seq)
    }

    pub(super) fn on_update(
        &mut self,
        now: Time,
        client: ClientId,
        op: Update,
        once: Option<Once>,
        deadline: Time,
    ) {
        if let Some(answer) = once.as_ref().and_then(|once| self.repeated(once)) {
            self.reply(client, answer);
            return;
        }
        let Some(ring) = self.newest().map(|(_, ring)| ring.clone()) else { return };
        let participants = participants_of(&ring, &op);
        let keys = op.keys();
        let first_written = &op.writes[0].key;
        let repeats = once.as_ref().is_some_and(|once| self.may_be_known(once, first_written));
        // Behind a barrier it is seen who is there.
        let waits = repeats || self.bars(&keys);
        if !waits && let Some(down) = self.first_down(&participants) {
            let error = ErrorReply::replica_down(&self.name_of(down));
            self.trace_refused(now, client, &op, &participants, &error);
            self.reply_error(client, error);
            return;
        }
        if let Some(error) = once.as_ref().and_then(|once| self.room_for(now, once)) {
            self.reply_error(client, error);
            return;
        }
        if self.queued >= QUEUED_MAX || self.queued_bytes + op.bytes() > QUEUED_BYTES_MAX {
            let error = ErrorReply::overloaded("too many updates are waiting", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        self.queued += 1;
        self.queued_bytes += op.bytes();
        let seq = self.next_seq();
        let trace = self.new_trace(now, client, &participants);
        let txn = Txn {
            client: Some(client),
            op: Some(op),
            keys: keys.clone(),
            participants,
            phase: TxnPhase::Waiting { cold: BTreeMap::new() },
            once,
            deadline,
            turn: Turn::default(),
            trace,
        };
        if let Some(once) = &txn.once {
            self.claim_once(seq, once);
        }
        self.txns.insert(seq, txn);
        let in_turn = !self.take_turn(Place::Update(seq), client.conn, &keys);
        let mut ahead = None;
        for key in keys {
            let queue = &mut self.keys.entry(key).or_default().queue;
            ahead = ahead.or(queue.back().copied());
            queue.push_back(seq);
        }
        if let Some(ahead) = ahead {
            self.trace_behind(seq, ahead);
        }
        self.deadlines.insert((deadline, Deadline::Update(seq)));
        if !in_turn || !self.is_its_turn(seq) {
            self.read_ahead(now, seq);
        }
        self.work.push_back(seq);
        self.run_work(now);
    }

    pub(super) fn first_down(&self, participants: &[MemberId]) -> Option<MemberId> {
        let up = |member: &MemberId| self.node_of(*member).is_some_and(|node| node.is_up());
        participants.iter().find(|member| !up(member)).copied()
    }

    /// The first of an update's participants that would refuse it since its disk is full.
    fn first_full(&self, seq: Seq) -> Option<MemberId> {
        let full = |member: &MemberId| self.node_of(*member).is_some_and(|node| node.full);
        self.txns.get(&seq)?.participants.iter().copied().find(full)
    }

    /// Looks at each update whose situation has changed, until nothing changes any more.
    pub(super) fn run_work(&mut self, now: Time) {
        loop {
            if let Some(read) = self.due_reads.pop_front() {
                self.start_read(now, read);
                continue;
            }
            let Some(seq) = self.work.pop_front().or_else(|| self.next_in_series()) else { break };
            match self.txns.get(&seq).map(|txn| &txn.phase) {
                Some(TxnPhase::Waiting { .. }) => self.advance(now, seq),
                Some(TxnPhase::Sent { .. }) => {
                    self.try_commit(now, seq);
                }
                _ => {}
            }
        }
    }

    /// Evaluates a waiting update and hands it over, if it is its turn.
    fn advance(&mut self, now: Time, seq: Seq) {
        let its_turn = self.txns.get(&seq).is_some_and(|txn| txn.turn.has_come());
        if !its_turn || self.is_barred(seq) || !self.is_its_turn(seq) {
            return;
        }
        match self.look_up_once(now, seq) {
            Looked::Fresh => {}
            Looked::Later | Looked::Answered => return,
        }
        match self.evaluate(now, seq) {
            Evaluated::Later => {}
            Evaluated::Writes(..) if !self.may_hand_over(seq) => {}
            Evaluated::Negative(error) => {
                if self.may_tell(now) {
                    self.finish(now, seq, Err(*error));
                } else {
                    self.leaseless.insert(seq);
                }
            }
            Evaluated::Writes(writes, rests_on) => {
                // What it tests and does not write no participant checks: only the lease says
                // that no other coordinator has changed it (R11).
                let op = self.txns.get(&seq).and_then(|txn| txn.op.as_ref());
                if op.is_some_and(Update::tests_elsewhere) && !self.may_tell(now) {
                    self.ops.aborted += 1;
                    let reason = "half of the nodes do not answer, so its conditions may not hold";
                    self.finish(now, seq, Err(ErrorReply::aborted(reason)));
                    return;
                }
                if let Some(full) = self.first_full(seq) {
                    self.ops.aborted += 1;
                    self.finish(now, seq, Err(ErrorReply::disk_full(&self.name_of(full))));
                    return;
                }
                self.hand_over(now, seq, writes, rests_on);
            }
        }
    }

    /// First in all its queues, or behind none but those that are out and undecided, all of
    /// whose participants are its own too.
    fn is_its_turn(&self, seq: Seq) -> bool {
        let Some(txn) = self.txns.get(&seq) else { return false };
        let jumps = planted(Bug::OrderOfIds);
        txn.keys.iter().all(|key| {
            let Some(queue) = self.keys.get(key) else { return false };
            queue.queue.iter().take_while(|other| **other != seq).all(|other| {
                self.txns.get(other).is_some_and(|ahead| {
                    let out = matches!(ahead.phase, TxnPhase::Sent { .. });
                    let waits = matches!(ahead.phase, TxnPhase::Waiting { .. });
                    (out || jumps && waits)
                        && ahead.participants.iter().all(|m| txn.participants.contains(m))
                })
            })
        })
    }

    fn hand_over(
        &mut self,
        now: Time,
        seq: Seq,
        mut writes: Vec<WireWrite>,
        rests_on: Vec<Version>,
    ) {
        let Some(txn) = self.txns.get(&seq) else { return };
        let (participants, once) = (txn.participants.clone(), txn.once.clone());
        let Some((record, placed)) = self.newest() else { return };
        let ring = record.number;
        if writes.len() > 1 {
            for write in &mut writes {
                write.holders = placed.replicas_of(&write.key).to_vec();
                write.holders.sort_unstable();
            }
        }
        // The id is given only if it goes out: ids rise in queue order without holes.
        let id = Version::new(self.epoch, self.counter + 1);
        let due = self.due_elsewhere(&rests_on, &participants);
        let prepare = Prepare { id, ring, participants, rests_on, due, writes, once };
        let bytes = bytes_of(&prepare);
        let room =
            |member: &MemberId| self.node_of(*member).is_some_and(|node| node.link.has_room(bytes));
        if !prepare.participants.iter().all(room) {
            self.cramped.insert(seq);
            return;
        }
        self.counter += 1;
        let prepare = Arc::new(prepare);
        for member in &prepare.participants {
            if let Some(place) = self.by_member.get(member) {
                self.nodes[*place].link.push_prepare(prepare.clone());
            }
        }
        if planted(Bug::CachedBeforeVotes) {
            self.write_through(&prepare);
        }
        if planted(Bug::WatchedBeforeVotes) {
            self.tell_watchers(&prepare);
        }
        self.by_id.insert(id, seq);
        self.unqueue(seq);
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let yes = Vec::with_capacity(prepare.participants.len());
        txn.phase = TxnPhase::Sent { prepare, yes };
        if let Some(trace) = &mut txn.trace {
            trace.formed = Some(now);
        }
        for key in txn.keys.clone() {
            self.next_on_key(&key, seq);
        }
    }

    /// Where those are due that an update rests on and that have fewer participants than it.
    fn due_elsewhere(&self, rests_on: &[Version], participants: &[MemberId]) -> Vec<Due> {
        let due = |id: &Version| {
            let at = &self.txns.get(self.by_id.get(id)?)?.participants;
            (at != participants).then(|| Due { id: *id, at: at.clone() })
        };
        rests_on.iter().filter_map(due).collect()
    }

    /// The update is no longer among those that wait.
    fn unqueue(&mut self, seq: Seq) {
        let Some(txn) = self.txns.get(&seq) else { return };
        let Some(op) = &txn.op else { return };
        self.queued -= 1;
        self.queued_bytes -= op.bytes();
    }

    /// An update was resolved: the next one of the key may have its turn.
    fn next_on_key(&mut self, key: &Key, resolved: Seq) {
        let writes = match self.txns.get(&resolved).map(|txn| &txn.phase) {
            Some(TxnPhase::Sent { prepare, .. }) => prepare.writes.iter().any(|w| w.key == *key),
            _ => false,
        };
        let Some(queue) = self.keys.get_mut(key) else { return };
        queue.resolved += u64::from(writes);
        let next = queue.queue.iter().skip_while(|seq| **seq != resolved).nth(1);
        self.work.extend(next);
    }

    /// There may be room in a window again.
    pub(super) fn uncramp(&mut self) {
        self.work.extend(std::mem::take(&mut self.cramped));
    }

    /// The lease is back: negative answers may be given.
    pub(super) fn on_lease(&mut self, now: Time) {
        self.work.extend(std::mem::take(&mut self.leaseless));
        self.retry_outcomes(now);
        self.retry_locates(now);
        self.retry_parked(now);
    }

    /// An update ends with an answer: its place is free.
    pub(super) fn finish(&mut self, now: Time, seq: Seq, result: Result<Answer, ErrorReply>) {
        let Some(txn) = self.txns.get(&seq) else { return };
        if matches!(txn.phase, TxnPhase::Waiting { .. }) {
            self.unqueue(seq);
        }
        let Some(txn) = self.txns.get(&seq) else { return };
        let (client, deadline, id) = (txn.client, txn.deadline, txn.phase.id());
        self.deadlines.remove(&(deadline, Deadline::Update(seq)));
        self.explain_update(now, seq, result.is_ok());
        self.trace_finished(now, seq, result.as_ref().err());
        if let Some(id) = id {
            self.by_id.remove(&id);
        }
        match (client, result) {
            (Some(client), Ok(answer)) => self.reply(client, answer),
            (Some(client), Err(error)) => self.reply_error(client, error),
            (None, _) => {}
        }
        self.leave_queues(now, seq);
    }

    /// Takes a transaction out of its queues; those behind it, and what its connection asked
    /// later, go on.
    pub(super) fn leave_queues(&mut self, now: Time, seq: Seq) {
        self.end_update_turn(seq);
        let Some(txn) = self.txns.remove(&seq) else { return };
        self.pass_barriers(seq);
        self.cramped.remove(&seq);
        self.series.remove(&seq);
        self.leaseless.remove(&seq);
        if let Some(once) = &txn.once {
            self.release_once(seq, once);
        }
        let recovered = matches!(txn.phase, TxnPhase::Recovered(_));
        if let TxnPhase::Waiting { cold } = txn.phase {
            for cold in cold.into_values() {
                if let Cold::Asked(read) = cold {
                    self.end_read(read);
                }
            }
        }
        for key in &txn.keys {
            let Some(queue) = self.keys.get_mut(key) else { continue };
            queue.queue.retain(|other| *other != seq);
            queue.resolved += u64::from(recovered);
            // All that are out may be decided in turn, and the first that waits may go.
            for other in &queue.queue {
                self.work.push_back(*other);
                let out = |txn: &Txn| matches!(txn.phase, TxnPhase::Sent { .. });
                if !self.txns.get(other).is_some_and(out) {
                    break;
                }
            }
            if queue.queue.is_empty() && queue.reads.is_empty() {
                self.keys.remove(key);
            }
        }
        if recovered {
            self.retry_parked(now);
        }
    }

    /// What its connection asked later need not wait for it any more.
    fn end_update_turn(&mut self, seq: Seq) {
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let keys = std::mem::take(&mut txn.keys);
        let conn = txn.client.map(|client| client.conn);
        self.end_turn(Place::Update(seq), conn, &keys);
        if let Some(txn) = self.txns.get_mut(&seq) {
            txn.keys = keys;
        }
    }

    pub(super) fn on_update_deadline(&mut self, now: Time, seq: Seq) {
        let may_repeat = self.txns.get(&seq).is_some_and(|txn| self.may_repeat(seq, txn));
        let repeats = self.repeats(seq);
        let Some(txn) = self.txns.get(&seq) else { return };
        match txn.phase.id() {
            None if txn.op.is_some() => {
                let error = match may_repeat {
                    true => ErrorReply::unknown_outcome(repeats),
                    false => ErrorReply::timeout(RETRY_AFTER_MS),
                };
                self.finish(now, seq, Err(error));
            }
            // The client's wait ends, the transaction does not.
            id => {
                self.end_update_turn(seq);
                self.explain_update(now, seq, false);
                let client = self.txns.get_mut(&seq).and_then(|txn| txn.client.take());
                if let Some(client) = client {
                    let error = ErrorReply::unknown_outcome(id);
                    self.trace_answered(now, seq, &error);
                    self.reply_error(client, error);
                }
            }
        }
    }

    /// A member is no longer up: what was not handed over and needs it is refused, now.
    pub(super) fn on_member_silent(&mut self, now: Time, place: usize) {
        let Some(member) = self.nodes[place].id else { return };
        let waiting = |(seq, txn): &(&Seq, &Txn)| {
            let waits = matches!(txn.phase, TxnPhase::Waiting { .. });
            let needs = waits && txn.participants.contains(&member);
            needs && !self.may_repeat(**seq, txn) && !self.is_barred(**seq)
        };
        let refused: Vec<Seq> = self.txns.iter().filter(waiting).map(|(seq, _)| *seq).collect();
        let name = self.name_of(member);
        for seq in refused {
            self.finish(now, seq, Err(ErrorReply::replica_down(&name)));
        }
        let link = &mut self.nodes[place].link;
        let (reads, scans) = (std::mem::take(&mut link.reads), std::mem::take(&mut link.scans));
        self.reads_lost(now, reads);
        self.scans_lost(now, scans);
    }

    /// Refuses what was not handed over.
    pub(super) fn refuse_unsent(&mut self, now: Time, which: impl Fn(&Txn) -> bool, why: &str) {
        let unsent = |txn: &Txn| matches!(txn.phase, TxnPhase::Waiting { .. }) && which(txn);
        let refused: Vec<Seq> =
            self.txns.iter().filter(|(_, txn)| unsent(txn)).map(|(seq, _)| *seq).collect();
        for seq in refused {
            let error = ErrorReply::overloaded(why, RETRY_AFTER_MS);
            self.finish(now, seq, Err(error));
        }
    }

    pub(super) fn on_client_gone(&mut self, conn: u64) {
        // What it asked for goes on; nobody waits for it. Program order ends with it.
        for txn in self.txns.values_mut() {
            if txn.client.is_some_and(|client| client.conn == conn) {
                txn.client = None;
            }
        }
        self.arrivals.retain(|arrival| arrival.client.conn != conn);
        self.end_watches_of(conn);
        self.end_explains_of(conn);
    }
}

/// The members that hold a key that the update writes, sorted.
pub(super) fn participants_of(ring: &Ring, op: &Update) -> Vec<MemberId> {
    let mut participants = Vec::new();
    for write in &op.writes {
        let out = planted(Bug::LearnerLeftOut);
        let in_sync = || ring.in_sync_at(ring.point_of(&write.key));
        participants.extend_from_slice(if out { in_sync() } else { ring.replicas_of(&write.key) });
    }
    participants.sort_unstable();
    participants.dedup();
    participants
}
