//! Updates on their way to the nodes: arrival, the queue of each key, evaluation, handing over.
//!
//! An update takes its place in the queues of all its keys in one step. It is evaluated, resolved
//! to plain writes and given its id only when it is first in all of them, or behind none but
//! transactions that are out and undecided; so on every key ids rise in queue order. It is then
//! put into all its participants' outboxes, or waits for room in the fullest.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId, Value, Version};
use protocol::peer::{Prepare, WireValue, WireWrite};

use super::super::time::Time;
use super::links::bytes_of;
use super::{
    Answer, ClientId, Coordinator, Deadline, QUEUED_BYTES_MAX, QUEUED_MAX, RETRY_AFTER_MS, Seq,
};

/// What an update asks for.
#[derive(Debug, Clone)]
pub(super) enum UpdateOp {
    Put(Key, Value),
    Del(Key),
}

impl UpdateOp {
    fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Del(key) => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put(key, value) => key.as_bytes().len() + value.len(),
            Self::Del(key) => key.as_bytes().len(),
        }
    }
}

/// What is at a key when an update is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// Of the value or tombstone; zero where the key was never written.
    version: Version,
    exists: bool,
}

/// One update, or a transaction of an earlier epoch that holds its keys.
#[derive(Debug)]
pub(super) struct Txn {
    pub(super) client: Option<ClientId>,
    op: Option<UpdateOp>,
    pub(super) keys: Vec<Key>,
    pub(super) participants: Vec<MemberId>,
    pub(super) phase: TxnPhase,
    deadline: Time,
    /// Reads of the same connection on the same key that come before it.
    reads_before: u32,
    /// Reads of the same connection on the same key that come after it.
    pub(super) reads_after: Vec<u64>,
}

/// How far an update is.
#[derive(Debug)]
pub(super) enum TxnPhase {
    /// In its queues.
    Waiting {
        /// The committed state of its key, read from a node, and how many updates of the key had
        /// been resolved when it was asked for: one more makes it void.
        cold: Option<(Base, u64)>,
        /// That read is on its way.
        reading: bool,
    },
    /// Handed over.
    Sent { prepare: Arc<Prepare>, yes: Vec<MemberId> },
    /// Refused by one participant; these have still to confirm.
    Aborting { prepare: Arc<Prepare>, awaited: Vec<MemberId>, reason: String },
    /// Of an earlier epoch, see `resolve`.
    Recovered,
}

impl TxnPhase {
    pub(super) fn id(&self) -> Option<Version> {
        match self {
            Self::Sent { prepare, .. } | Self::Aborting { prepare, .. } => Some(prepare.id),
            Self::Waiting { .. } | Self::Recovered => None,
        }
    }
}

impl Txn {
    pub(super) fn recovered(keys: Vec<Key>, participants: Vec<MemberId>) -> Self {
        Self {
            client: None,
            op: None,
            keys,
            participants,
            phase: TxnPhase::Recovered,
            deadline: Time::NEVER,
            reads_before: 0,
            reads_after: Vec::new(),
        }
    }
}

/// One key's updates in order, and its reads.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    pub(super) queue: VecDeque<Seq>,
    /// How many updates of the key have been resolved while the queue existed.
    pub(super) resolved: u64,
    pub(super) reads: Vec<u64>,
}

/// What becomes of an update when it is looked at.
enum Evaluated {
    /// It must wait; what it waits for will call again.
    Later,
    /// It writes this.
    Writes(Vec<WireWrite>, Vec<Version>),
    /// Its condition does not hold, and may not come to hold by an abort.
    Negative(Box<ErrorReply>),
}

impl Coordinator {
    pub(super) fn next_seq(&mut self) -> Seq {
        self.last_seq += 1;
        Seq(self.last_seq)
    }

    pub(super) fn on_update(&mut self, now: Time, client: ClientId, op: UpdateOp, deadline: Time) {
        let key = op.key().clone();
        let Some(ring) = self.ring.clone() else { return };
        let mut participants = ring.replicas_of(&key).to_vec();
        participants.sort_unstable();
        if let Some(down) = self.first_down(&participants) {
            self.reply_error(client, ErrorReply::replica_down(&self.name_of(down)));
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
        let queue = self.keys.entry(key.clone()).or_default();
        queue.queue.push_back(seq);
        let own = |read: &&u64| {
            let read = self.reads.get(read);
            read.is_some_and(|read| read.client.is_some_and(|c| c.conn == client.conn))
        };
        let before: Vec<u64> = queue.reads.iter().filter(own).copied().collect();
        for read in &before {
            if let Some(read) = self.reads.get_mut(read) {
                read.holds.push(seq);
            }
        }
        let txn = Txn {
            client: Some(client),
            op: Some(op),
            keys: vec![key],
            participants,
            phase: TxnPhase::Waiting { cold: None, reading: false },
            deadline,
            reads_before: before.len() as u32,
            reads_after: Vec::new(),
        };
        self.txns.insert(seq, txn);
        self.deadlines.insert((deadline, Deadline::Update(seq)));
        self.work.push_back(seq);
        self.run_work(now);
    }

    pub(super) fn first_down(&self, participants: &[MemberId]) -> Option<MemberId> {
        let up = |member: &MemberId| self.node_of(*member).is_some_and(|node| node.is_up());
        participants.iter().find(|member| !up(member)).copied()
    }

    /// Looks at each update whose situation has changed, until nothing changes any more.
    pub(super) fn run_work(&mut self, now: Time) {
        loop {
            if let Some(read) = self.due_reads.pop_front() {
                self.start_read(now, read);
                continue;
            }
            let Some(seq) = self.work.pop_front() else { break };
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
        let Some(txn) = self.txns.get(&seq) else { return };
        if txn.reads_before > 0 || !self.is_its_turn(seq, txn) {
            return;
        }
        match self.evaluate(now, seq) {
            Evaluated::Later => {}
            Evaluated::Negative(error) => {
                if self.may_tell(now) {
                    self.finish(now, seq, Err(*error));
                } else {
                    self.leaseless.insert(seq);
                }
            }
            Evaluated::Writes(writes, rests_on) => self.hand_over(now, seq, writes, rests_on),
        }
    }

    /// First in all its queues, or behind none but those that are out and undecided, all of
    /// whose participants are its own too.
    fn is_its_turn(&self, seq: Seq, txn: &Txn) -> bool {
        txn.keys.iter().all(|key| {
            let Some(queue) = self.keys.get(key) else { return false };
            queue.queue.iter().take_while(|other| **other != seq).all(|other| {
                self.txns.get(other).is_some_and(|ahead| {
                    matches!(ahead.phase, TxnPhase::Sent { .. })
                        && ahead.participants.iter().all(|m| txn.participants.contains(m))
                })
            })
        })
    }

    fn evaluate(&mut self, now: Time, seq: Seq) -> Evaluated {
        let Some(op) = self.txns.get(&seq).and_then(|txn| txn.op.clone()) else {
            return Evaluated::Later;
        };
        match op {
            UpdateOp::Put(key, value) => {
                let value = Some(WireValue(value));
                Evaluated::Writes(vec![WireWrite { key, value, previous: None }], Vec::new())
            }
            UpdateOp::Del(key) => {
                let Some((base, pending)) = self.base(now, seq, &key) else {
                    return Evaluated::Later;
                };
                if base.exists {
                    let previous = Some(base.version);
                    let write = WireWrite { key, value: None, previous };
                    return Evaluated::Writes(vec![write], pending.into_iter().collect());
                }
                // A negative answer that rests on an undecided write is given when that is
                // decided, and evaluated again if it aborts (H20).
                match pending {
                    Some(_) => Evaluated::Later,
                    None => Evaluated::Negative(Box::new(ErrorReply::not_found())),
                }
            }
        }
    }

    /// What the key holds for this update: the result of the undecided one before it, else the
    /// committed state. `None` while a node is being asked.
    fn base(&mut self, now: Time, seq: Seq, key: &Key) -> Option<(Base, Option<Version>)> {
        let queue = self.keys.get(key)?;
        let resolved = queue.resolved;
        let ahead = queue.queue.iter().take_while(|other| **other != seq).last().copied();
        if let Some(ahead) = ahead {
            let TxnPhase::Sent { prepare, .. } = &self.txns.get(&ahead)?.phase else { return None };
            let write = prepare.writes.iter().find(|write| write.key == *key)?;
            let base = Base { version: prepare.id, exists: write.value.is_some() };
            return Some((base, Some(prepare.id)));
        }
        if let Some((version, _)) = self.cache.lookup(key.as_str()) {
            return Some((Base { version, exists: true }, None));
        }
        let TxnPhase::Waiting { cold, reading } = &mut self.txns.get_mut(&seq)?.phase else {
            return None;
        };
        if let Some((base, at)) = cold
            && *at == resolved
        {
            return Some((*base, None));
        }
        if !*reading {
            *reading = true;
            *cold = None;
            self.read_for_update(now, seq, key.clone(), resolved);
        }
        None
    }

    /// The committed state that an update waited for.
    pub(super) fn on_cold(&mut self, seq: Seq, found: Option<(Version, bool)>, resolved: u64) {
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let TxnPhase::Waiting { cold, reading } = &mut txn.phase else { return };
        *reading = false;
        *cold = found.map(|(version, exists)| (Base { version, exists }, resolved));
        self.work.push_back(seq);
    }

    fn hand_over(&mut self, now: Time, seq: Seq, writes: Vec<WireWrite>, rests_on: Vec<Version>) {
        let Some(txn) = self.txns.get(&seq) else { return };
        let (participants, ring) = (txn.participants.clone(), self.record.as_ref());
        let Some(ring) = ring.map(|record| record.number) else { return };
        // The id is given only if it goes out: ids rise in queue order without holes.
        let id = Version::new(self.epoch, self.counter + 1);
        let prepare = Prepare { id, ring, participants, rests_on, writes };
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
        self.by_id.insert(id, seq);
        self.unqueue(seq);
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        let yes = Vec::with_capacity(prepare.participants.len());
        txn.phase = TxnPhase::Sent { prepare, yes };
        let keys = txn.keys.clone();
        for key in keys {
            self.next_on_key(&key, seq);
        }
        let _ = now;
    }

    /// The update is no longer among those that wait.
    fn unqueue(&mut self, seq: Seq) {
        let Some(txn) = self.txns.get(&seq) else { return };
        let Some(op) = &txn.op else { return };
        self.queued -= 1;
        self.queued_bytes -= op.bytes();
    }

    /// An update of the key was resolved: the next one may have its turn.
    fn next_on_key(&mut self, key: &Key, resolved: Seq) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        queue.resolved += 1;
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

    /// Takes a transaction out of its queues; those behind it, and reads that waited for it, go
    /// on.
    pub(super) fn leave_queues(&mut self, now: Time, seq: Seq) {
        let Some(txn) = self.txns.remove(&seq) else { return };
        self.cramped.remove(&seq);
        self.leaseless.remove(&seq);
        let reads: Vec<(u64, Option<Seq>)> = self.befores(seq, txn.reads_after);
        for key in &txn.keys {
            let Some(queue) = self.keys.get_mut(key) else { continue };
            queue.queue.retain(|other| *other != seq);
            queue.resolved += u64::from(matches!(txn.phase, TxnPhase::Recovered));
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
        self.wait_or_start(now, reads);
        if matches!(txn.phase, TxnPhase::Recovered) {
            self.retry_parked(now);
        }
    }

    /// Reads that waited for an update go on though it is not decided: its client has its answer.
    fn go_on(&mut self, now: Time, seq: Seq, reads: Vec<u64>) {
        let reads = self.befores(seq, reads);
        self.wait_or_start(now, reads);
    }

    fn befores(&self, seq: Seq, reads: Vec<u64>) -> Vec<(u64, Option<Seq>)> {
        reads.into_iter().map(|read| (read, self.own_before(read, seq))).collect()
    }

    fn wait_or_start(&mut self, now: Time, reads: Vec<(u64, Option<Seq>)>) {
        for (read, before) in reads {
            match before.and_then(|before| self.txns.get_mut(&before)) {
                Some(before) => before.reads_after.push(read),
                None => self.start_read(now, read),
            }
        }
    }

    /// The update of a read's own connection and key that is the last one before `seq`: when that
    /// ends out of turn, the read still comes after this one.
    fn own_before(&self, read: u64, seq: Seq) -> Option<Seq> {
        let read = self.reads.get(&read)?;
        let conn = read.client?.conn;
        let own = |other: &&Seq| {
            let txn = self.txns.get(other);
            txn.is_some_and(|txn| txn.client.is_some_and(|client| client.conn == conn))
        };
        let queue = &self.keys.get(&read.key)?.queue;
        queue.iter().take_while(|other| **other != seq).filter(own).last().copied()
    }

    /// A read of the same connection that came first has its answer.
    pub(super) fn read_passed(&mut self, seq: Seq) {
        if let Some(txn) = self.txns.get_mut(&seq) {
            txn.reads_before = txn.reads_before.saturating_sub(1);
            self.work.push_back(seq);
        }
    }

    pub(super) fn on_update_deadline(&mut self, now: Time, seq: Seq) {
        let Some(txn) = self.txns.get_mut(&seq) else { return };
        match txn.phase.id() {
            None if txn.op.is_some() => {
                self.finish(now, seq, Err(ErrorReply::timeout(RETRY_AFTER_MS)));
            }
            // The client's wait ends, the transaction does not.
            id => {
                let reads = std::mem::take(&mut txn.reads_after);
                if let Some(client) = txn.client.take() {
                    self.reply_error(client, ErrorReply::unknown_outcome(id));
                }
                self.go_on(now, seq, reads);
            }
        }
    }

    /// A member is no longer up: what was not handed over and needs it is refused, now.
    pub(super) fn on_member_silent(&mut self, now: Time, place: usize) {
        let Some(member) = self.nodes[place].id else { return };
        let waiting = |txn: &Txn| {
            txn.participants.contains(&member) && matches!(txn.phase, TxnPhase::Waiting { .. })
        };
        let refused: Vec<Seq> =
            self.txns.iter().filter(|(_, txn)| waiting(txn)).map(|(seq, _)| *seq).collect();
        let name = self.name_of(member);
        for seq in refused {
            self.finish(now, seq, Err(ErrorReply::replica_down(&name)));
        }
        let reads = std::mem::take(&mut self.nodes[place].link.reads);
        self.reads_lost(now, reads);
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
        self.arrivals.retain(|(client, _, _)| client.conn != conn);
    }
}
