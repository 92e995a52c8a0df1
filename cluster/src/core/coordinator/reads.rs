//! Reads that the cache cannot answer: in program order, from one in-sync replica, and never told
//! without a lease.
//!
//! A read goes onto a node's link behind all decisions made before it, so what the node answers
//! is the last decided value as of that place. A read that follows its own connection's update of
//! the key waits for that; no read waits for anybody else's, but for the fate of a transaction of
//! an earlier epoch (R6).

use std::collections::BTreeMap;

use protocol::error::ErrorReply;
use protocol::ids::{Key, Version};
use protocol::peer::{ReadAnswer, ReadAsk};
use protocol::reply;

use super::super::cache::Generation;
use super::super::time::Time;
use super::links::LinkPhase;
use super::updates::TxnPhase;
use super::{Answer, ClientId, Coordinator, Deadline, READS_MAX, RETRY_AFTER_MS, Seq};

/// One read in the core.
#[derive(Debug)]
pub(super) struct Read {
    /// Who waits; `None` for an update's look at a cold key.
    pub(super) client: Option<ClientId>,
    pub(super) key: Key,
    deadline: Time,
    /// For an update: which, and how many of the key's updates were resolved when it was asked.
    update: Option<(Seq, u64)>,
    /// The set's generation before the node was asked (H23).
    generation: Option<Generation>,
    /// The number of the question that a node was last asked.
    asked: u64,
    /// The answer, while it waits for the lease.
    answer: Option<Answer>,
    /// Updates of the same connection on the key that came later.
    pub(super) holds: Vec<Seq>,
    /// Reads of the same connection on the key that came later, with no update between.
    then: Vec<u64>,
}

impl Coordinator {
    pub(super) fn on_get(&mut self, now: Time, client: ClientId, key: Key, deadline: Time) {
        if self.reads.len() >= READS_MAX {
            let error = ErrorReply::overloaded("too many reads are waiting", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        let own = |seq: &&Seq| {
            let txn = self.txns.get(seq);
            txn.is_some_and(|txn| txn.client.is_some_and(|other| other.conn == client.conn))
        };
        let own_read = |id: &&u64| {
            let read = self.reads.get(id);
            read.is_some_and(|read| read.client.is_some_and(|other| other.conn == client.conn))
        };
        let queue = self.keys.get(&key);
        let update = queue.and_then(|queue| queue.queue.iter().rev().find(own)).copied();
        let earlier = queue.and_then(|queue| queue.reads.iter().rev().find(own_read)).copied();
        // Of both the later one: a read that an update waits for came before it.
        let held = |id: &u64| {
            let read = self.reads.get(id);
            read.zip(update).is_some_and(|(read, update)| read.holds.contains(&update))
        };
        let earlier = earlier.filter(|id| !held(id));
        let read = self.new_read(Some(client), key, deadline, None);
        if let Some(before) = earlier.and_then(|id| self.reads.get_mut(&id)) {
            before.then.push(read);
            return;
        }
        match update.and_then(|seq| self.txns.get_mut(&seq)) {
            Some(txn) => txn.reads_after.push(read),
            None => self.start_read(now, read),
        }
    }

    /// Asks a node for the committed state of a key that an update tests.
    pub(super) fn read_for_update(&mut self, now: Time, seq: Seq, key: Key, resolved: u64) {
        let read = self.new_read(None, key, Time::NEVER, Some((seq, resolved)));
        self.start_read(now, read);
    }

    fn new_read(
        &mut self,
        client: Option<ClientId>,
        key: Key,
        deadline: Time,
        update: Option<(Seq, u64)>,
    ) -> u64 {
        self.last_read += 1;
        let id = self.last_read;
        self.keys.entry(key.clone()).or_default().reads.push(id);
        if deadline != Time::NEVER {
            self.deadlines.insert((deadline, Deadline::Read(id)));
        }
        let read = Read {
            client,
            key,
            deadline,
            update,
            generation: None,
            asked: 0,
            answer: None,
            holds: Vec::new(),
            then: Vec::new(),
        };
        self.reads.insert(id, read);
        id
    }

    /// Answers a read, asks a node, or parks it until one can be asked.
    pub(super) fn start_read(&mut self, now: Time, id: u64) {
        let Some(read) = self.reads.get(&id) else { return };
        let key = read.key.clone();
        if self.is_in_doubt(&key) {
            self.parked.insert(id);
            return;
        }
        if read.update.is_none()
            && let Some(tail) = self.cache.get(key.as_str())
        {
            self.tell(now, id, Answer::Ok(tail));
            return;
        }
        let Some(ring) = self.ring.clone() else { return };
        let able = |member: &&protocol::ids::MemberId| {
            let node = self.node_of(**member);
            node.is_some_and(|node| node.is_up() && node.link.phase == LinkPhase::Ready)
        };
        let Some(member) = ring.replicas_of(&key).iter().find(able) else {
            self.parked.insert(id);
            return;
        };
        let generation = self.cache.generation(key.as_str());
        self.last_read += 1;
        let asked = self.last_read;
        if let Some(read) = self.reads.get_mut(&id) {
            read.generation = Some(generation);
            read.asked = asked;
        }
        if let Some(place) = self.by_member.get(member) {
            self.nodes[*place].link.push_read(ReadAsk { r: asked, k: key }, id);
        }
    }

    /// A transaction of an earlier epoch is first on the key.
    fn is_in_doubt(&self, key: &Key) -> bool {
        let first = self.keys.get(key).and_then(|queue| queue.queue.front());
        let txn = first.and_then(|seq| self.txns.get(seq));
        txn.is_some_and(|txn| matches!(txn.phase, TxnPhase::Recovered))
    }

    /// A late answer to a question that was put again elsewhere is not one: the set's generation
    /// was taken for the later question (H23).
    pub(super) fn on_read_answer(&mut self, now: Time, id: u64, answer: ReadAnswer) {
        let Some(read) = self.reads.get(&id).filter(|read| read.asked == answer.r) else { return };
        let found = answer.v.map(|value| reply::value_tail(value.0.as_bytes(), answer.at));
        if let (Some(tail), Some(generation)) = (&found, read.generation) {
            self.cache.fill(&read.key, answer.at, tail.clone(), generation);
        }
        if let Some((seq, resolved)) = read.update {
            let exists = found.is_some();
            self.end_read(id);
            self.on_cold(seq, Some((answer.at, exists)), resolved);
            return;
        }
        let answer = match found {
            Some(tail) => Answer::Ok(tail),
            None => Answer::Error(Box::new(ErrorReply::not_found())),
        };
        self.tell(now, id, answer);
    }

    /// Gives the answer if the lease holds now, after the value was read (R11).
    fn tell(&mut self, now: Time, id: u64, answer: Answer) {
        if !self.may_tell(now) {
            if let Some(read) = self.reads.get_mut(&id) {
                read.answer = Some(answer);
                self.parked.insert(id);
            }
            return;
        }
        if let Some(client) = self.reads.get(&id).and_then(|read| read.client) {
            self.reply(client, answer);
        }
        self.end_read(id);
    }

    fn end_read(&mut self, id: u64) {
        let Some(read) = self.reads.remove(&id) else { return };
        self.parked.remove(&id);
        self.deadlines.remove(&(read.deadline, Deadline::Read(id)));
        if let Some(queue) = self.keys.get_mut(&read.key) {
            queue.reads.retain(|other| *other != id);
            if queue.queue.is_empty() && queue.reads.is_empty() {
                self.keys.remove(&read.key);
            }
        }
        for seq in read.holds {
            self.read_passed(seq);
        }
        // Not from here: a chain of hits would go as deep as it is long.
        self.due_reads.extend(read.then);
    }

    pub(super) fn on_read_deadline(&mut self, id: u64) {
        let Some(read) = self.reads.get(&id) else { return };
        let (client, key) = (read.client, read.key.clone());
        let (reason, blocked_by) = self.why_unreadable(&key);
        if let Some(client) = client {
            self.reply_error(client, ErrorReply::unavailable(reason, blocked_by));
        }
        self.end_read(id);
    }

    fn why_unreadable(&self, key: &Key) -> (&'static str, Option<String>) {
        if self.is_in_doubt(key) {
            return ("its last update is not decided: a node that holds it is missing", None);
        }
        let Some(ring) = &self.ring else { return ("the cluster is not complete", None) };
        match self.first_down(ring.replicas_of(key)) {
            Some(down) => ("its nodes do not answer", Some(self.name_of(down))),
            None => ("half of the nodes do not answer, so this coordinator may not tell", None),
        }
    }

    /// Reads that a node will not answer any more are asked of another one.
    pub(super) fn reads_lost(&mut self, now: Time, reads: BTreeMap<u64, u64>) {
        for id in reads.into_values() {
            self.start_read(now, id);
        }
    }

    /// Something that parked reads may have waited for has changed.
    pub(super) fn retry_parked(&mut self, now: Time) {
        for id in std::mem::take(&mut self.parked) {
            match self.reads.get_mut(&id).and_then(|read| read.answer.take()) {
                Some(answer) => self.tell(now, id, answer),
                None => self.start_read(now, id),
            }
        }
    }

    pub(super) fn on_member_up(&mut self, now: Time) {
        self.retry_parked(now);
    }

    /// The version that the cache holds of a key; for `status` and tests.
    pub fn cached_version(&self, key: &Key) -> Option<Version> {
        self.cache.lookup(key.as_str()).map(|(version, _)| version)
    }
}
