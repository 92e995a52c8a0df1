//! Reads that the cache cannot answer: in program order, from one in-sync replica, and never told
//! without a lease.
//!
//! A read goes onto a node's link behind all decisions made before it, so what the node answers
//! is the last decided value as of that place. A read of several keys is one step: what the cache
//! has is read and the rest is asked for in it, so that the links' order is the cut; if one node
//! must be asked again, all of it is read again. Within a message decisions come before reads,
//! whatever was decided first; so the step is taken as the messages are made. No read waits for
//! anybody else's update, but for the fate of a transaction of an earlier epoch (R6).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId, Version};
use protocol::peer::{ReadAnswer, ReadAsk};
use protocol::reply::{self, MgetTail};

use super::super::cache::Generation;
use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::conditions::Base;
use super::links::LinkPhase;
use super::order::{Place, Turn};
use super::updates::TxnPhase;
use super::{Answer, ClientId, Coordinator, Deadline, READS_MAX, RETRY_AFTER_MS, Seq};

/// One read in the core.
#[derive(Debug)]
pub(super) struct Read {
    /// Who waits; `None` for an update's look at a cold key.
    pub(super) client: Option<ClientId>,
    what: What,
    /// Its keys, each once; never empty.
    parts: Vec<Part>,
    deadline: Time,
    /// When it came, for figures.
    came: Time,
    /// The answer, while it waits for the lease.
    answer: Option<Answer>,
    pub(super) turn: Turn,
}

/// What a read is for.
#[derive(Debug)]
enum What {
    /// A client's `get`.
    Get,
    /// A client's `mget`; for each of its keys the place in `parts`.
    Mget(Vec<usize>),
    /// An update, and how many updates of the key were resolved when it was asked for.
    Cold(Seq, u64),
}

/// One key of a read.
#[derive(Debug)]
struct Part {
    key: Key,
    /// The set's generation before the node was asked (H23).
    generation: Option<Generation>,
    /// The number of the question that a node was last asked.
    asked: u64,
    found: Option<Found>,
}

/// What is at a key.
#[derive(Debug, Clone)]
struct Found {
    /// The encoded value, if it exists.
    tail: Option<Bytes>,
    /// Of the value or tombstone; nobody asks for that of a hit.
    at: Option<Version>,
}

impl Part {
    fn new(key: Key) -> Self {
        Self { key, generation: None, asked: 0, found: None }
    }
}

impl Read {
    /// Its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.parts.iter().map(|part| &part.key)
    }

    /// The update that it is a look for, if it is none of a client.
    pub(super) fn looks_for(&self) -> Option<Seq> {
        match &self.what {
            What::Cold(seq, _) => Some(*seq),
            What::Get | What::Mget(_) => None,
        }
    }

    pub(super) fn has_key(&self, key: &Key) -> bool {
        self.keys().any(|own| own == key)
    }

    fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.found.is_some())
    }

    /// The answer to a client, once all is found.
    fn result(&self) -> Option<Answer> {
        let tail = |part: &Part| part.found.as_ref().and_then(|found| found.tail.clone());
        match &self.what {
            What::Get => Some(match self.parts.first().and_then(tail) {
                Some(tail) => Answer::Ok(tail),
                None => Answer::Error(Box::new(ErrorReply::not_found())),
            }),
            What::Mget(places) => {
                let mut values = MgetTail::new();
                for place in places {
                    values.push(self.parts.get(*place).and_then(tail).as_deref());
                }
                Some(values.finish().map_or_else(Answer::Error, Answer::Ok))
            }
            What::Cold(..) => None,
        }
    }
}

impl Coordinator {
    pub(super) fn on_get(&mut self, now: Time, client: ClientId, key: Key, deadline: Time) {
        self.on_read(now, client, What::Get, vec![key], deadline);
    }

    pub(super) fn on_mget(&mut self, now: Time, client: ClientId, keys: Vec<Key>, deadline: Time) {
        let mut each = keys.clone();
        each.sort_unstable();
        each.dedup();
        let places = keys.iter().filter_map(|key| each.binary_search(key).ok()).collect();
        self.on_read(now, client, What::Mget(places), each, deadline);
    }

    fn on_read(&mut self, now: Time, client: ClientId, what: What, keys: Vec<Key>, deadline: Time) {
        if self.keys_read + keys.len() > READS_MAX {
            let error = ErrorReply::overloaded("reads", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        let read = self.new_read(Some(client), what, keys, deadline);
        if let Some(read) = self.reads.get_mut(&read) {
            read.came = now;
        }
        if self.reads.get(&read).is_some_and(|read| read.turn.has_come()) {
            self.start_read(now, read);
        }
    }

    /// A read of the committed state of a key that an update tests.
    pub(super) fn new_cold_read(&mut self, key: Key, seq: Seq, resolved: u64) -> u64 {
        self.new_read(None, What::Cold(seq, resolved), vec![key], Time::NEVER)
    }

    fn new_read(
        &mut self,
        client: Option<ClientId>,
        what: What,
        keys: Vec<Key>,
        deadline: Time,
    ) -> u64 {
        let id = self.next_ask();
        if deadline != Time::NEVER {
            self.deadlines.insert((deadline, Deadline::Read(id)));
        }
        let parts = keys.iter().cloned().map(Part::new).collect();
        let (answer, turn, came) = (None, Turn::default(), Time::NEVER);
        let read = Read { client, what, parts, deadline, came, answer, turn };
        self.reads.insert(id, read);
        self.keys_read += keys.len();
        let conn = client.map(|client| client.conn);
        if let Some(conn) = conn {
            self.take_turn(Place::Read(id), conn, &keys);
        }
        for key in keys {
            self.keys.entry(key).or_default().reads.insert((conn, id));
        }
        id
    }

    /// Reads all of it anew: from the cache, or asking nodes; or parks it until that is possible.
    pub(super) fn start_read(&mut self, now: Time, id: u64) {
        let Some(read) = self.reads.get_mut(&id) else { return };
        // What is still answered to earlier questions is no part of this cut.
        for part in &mut read.parts {
            (part.asked, part.found) = (0, None);
        }
        let Some(read) = self.reads.get(&id) else { return };
        let cut = matches!(read.what, What::Mget(_)) && !planted(Bug::CutTorn);
        if cut && !read.keys().all(|key| self.cache.lookup(key.as_str()).is_some()) {
            self.cuts.push(id);
            return;
        }
        self.read_now(now, id);
    }

    /// Makes the cuts that reads of several keys wait for, just before messages are made.
    pub(super) fn make_cuts(&mut self, now: Time) {
        for id in std::mem::take(&mut self.cuts) {
            self.read_now(now, id);
        }
    }

    fn read_now(&mut self, now: Time, id: u64) {
        let Some(read) = self.reads.get(&id) else { return };
        let cold = matches!(read.what, What::Cold(..));
        let keys: Vec<Key> = read.keys().cloned().collect();
        if keys.iter().any(|key| self.is_in_doubt(key)) {
            self.parked.insert(id);
            return;
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in &keys {
            let hit = if cold { None } else { self.cache.get(key.as_str()) };
            match (hit, self.reader_of(key)) {
                (Some((_, tail)), _) => found.push(Ok(Found { tail: Some(tail), at: None })),
                (None, Some(member)) => found.push(Err(member)),
                (None, None) => {
                    self.parked.insert(id);
                    return;
                }
            }
        }
        if self.explains_any() {
            let asked = found.iter().filter_map(|found| found.as_ref().err().copied());
            self.explain_read(now, id, &asked.collect::<Vec<_>>());
        }
        for (place, (key, found)) in keys.into_iter().zip(found).enumerate() {
            match found {
                Ok(found) => self.found(id, place, found),
                Err(member) => self.ask_node(id, place, key, member),
            }
        }
        self.finish_read(now, id);
    }

    /// The member that is asked for a key now.
    pub(super) fn reader_of(&self, key: &Key) -> Option<MemberId> {
        let able = |member: &&MemberId| {
            let node = self.node_of(**member);
            node.is_some_and(|node| node.is_up() && node.link.phase == LinkPhase::Ready)
        };
        let whole = |member: &&MemberId| able(member) && self.damage.is_whole(**member, key);
        let ring = self.ring.as_ref()?;
        let learners = planted(Bug::LearnerRead);
        let all =
            if learners { ring.replicas_of(key) } else { ring.in_sync_at(ring.point_of(key)) };
        all.iter().find(whole).copied()
    }

    fn ask_node(&mut self, id: u64, place: usize, key: Key, member: MemberId) {
        let generation = self.cache.generation(key.as_str());
        let asked = self.next_ask();
        if let Some(part) = self.reads.get_mut(&id).and_then(|read| read.parts.get_mut(place)) {
            *part = Part { generation: Some(generation), asked, ..Part::new(key.clone()) };
        }
        if let Some(node) = self.by_member.get(&member) {
            self.nodes[*node].link.push_read(ReadAsk { r: asked, k: key }, id);
        }
    }

    /// A node has the key, and not what was written: somebody else is asked.
    pub(super) fn on_damaged_read(
        &mut self,
        now: Time,
        member: MemberId,
        id: u64,
        answer: &ReadAnswer,
    ) {
        let Some(read) = self.reads.get(&id) else {
            self.on_copy(now, id, answer);
            return;
        };
        let asked = read.parts.iter().find(|part| part.asked == answer.r);
        if let Some(key) = asked.map(|part| part.key.clone()) {
            self.found_damaged(now, member, vec![key]);
            self.start_read(now, id);
        }
    }

    fn found(&mut self, id: u64, place: usize, found: Found) {
        if let Some(part) = self.reads.get_mut(&id).and_then(|read| read.parts.get_mut(place)) {
            part.asked = 0;
            part.found = Some(found);
        }
    }

    /// A transaction of an earlier epoch is first on the key.
    pub(super) fn is_in_doubt(&self, key: &Key) -> bool {
        if planted(Bug::DoubtRead) {
            return false;
        }
        let first = self.keys.get(key).and_then(|queue| queue.queue.front());
        let txn = first.and_then(|seq| self.txns.get(seq));
        txn.is_some_and(|txn| matches!(txn.phase, TxnPhase::Recovered(_)))
    }

    /// A late answer to a question that was put again elsewhere is not one: the set's generation
    /// was taken for the later question (H23).
    pub(super) fn on_read_answer(&mut self, now: Time, id: u64, answer: ReadAnswer) {
        let Some(read) = self.reads.get(&id) else {
            self.on_copy(now, id, &answer);
            return;
        };
        let asked = |part: &Part| part.found.is_none() && part.asked == answer.r;
        let Some(place) = read.parts.iter().position(asked) else { return };
        let tail = answer.v.map(|value| reply::value_tail(value.0.as_bytes(), answer.at));
        let part = &read.parts[place];
        if let (Some(tail), Some(generation)) = (&tail, part.generation) {
            let late = planted(Bug::StaleFill);
            let at = if late { self.cache.generation(part.key.as_str()) } else { generation };
            self.cache.fill(&part.key, answer.at, tail.clone(), at);
        }
        if self.explains_any() {
            self.explain_answer(now, id, answer.c);
        }
        self.found(id, place, Found { tail, at: Some(answer.at) });
        self.finish_read(now, id);
    }

    /// Makes use of a read when all of it is found.
    fn finish_read(&mut self, now: Time, id: u64) {
        let Some(read) = self.reads.get(&id).filter(|read| read.is_complete()) else { return };
        if let Some(answer) = read.result() {
            self.tell(now, id, answer);
            return;
        }
        let (What::Cold(seq, resolved), Some(part)) = (&read.what, read.parts.first()) else {
            return;
        };
        let (seq, resolved, key) = (*seq, *resolved, part.key.clone());
        let found = part.found.as_ref();
        let base = found.and_then(|found| {
            found.at.map(|version| Base { version, exists: found.tail.is_some() })
        });
        self.end_read(id);
        if let Some(base) = base {
            self.on_cold(seq, key, base, resolved);
        }
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
        let asked = self.reads.get(&id).and_then(|read| Some((read.client?, read.came)));
        if let Some((client, came)) = asked {
            self.count_read(now.since_us(came));
            self.reply(client, answer);
        }
        self.end_read(id);
    }

    pub(super) fn end_read(&mut self, id: u64) {
        let Some(read) = self.reads.get(&id) else { return };
        let conn = read.client.map(|client| client.conn);
        let keys: Vec<Key> = read.keys().cloned().collect();
        self.end_turn(Place::Read(id), conn, &keys);
        let Some(read) = self.reads.remove(&id) else { return };
        self.keys_read -= keys.len();
        self.parked.remove(&id);
        self.deadlines.remove(&(read.deadline, Deadline::Read(id)));
        for key in &keys {
            let Some(queue) = self.keys.get_mut(key) else { continue };
            queue.reads.remove(&(conn, id));
            if queue.queue.is_empty() && queue.reads.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub(super) fn on_read_deadline(&mut self, id: u64) {
        let Some(read) = self.reads.get(&id) else { return };
        let missing = read.parts.iter().find(|part| part.found.is_none());
        let doubted = read.keys().find(|key| self.is_in_doubt(key));
        let key = doubted.or(missing.or(read.parts.first()).map(|part| &part.key)).cloned();
        if let (Some(client), Some(key)) = (read.client, key) {
            let (reason, blocked_by) = self.why_unreadable(&key);
            self.reply_error(client, ErrorReply::unavailable(reason, blocked_by));
        }
        self.end_read(id);
    }

    pub(super) fn why_unreadable(&self, key: &Key) -> (&'static str, Option<String>) {
        if self.is_in_doubt(key) {
            return ("its last update is not decided: a node that holds it is missing", None);
        }
        let Some(ring) = &self.ring else { return ("the cluster is not complete", None) };
        let holders = ring.in_sync_at(ring.point_of(key));
        if let Some(member) = holders.iter().find(|member| !self.damage.is_whole(**member, key)) {
            return ("its copy is damaged, and no other one is there", Some(self.name_of(*member)));
        }
        match self.first_down(holders) {
            Some(down) => ("its nodes do not answer", Some(self.name_of(down))),
            None => ("half of the nodes do not answer, so this coordinator may not tell", None),
        }
    }

    /// Questions that a node will not answer any more: their reads are read anew, all of them.
    pub(super) fn reads_lost(&mut self, now: Time, questions: BTreeMap<u64, u64>) {
        self.copies_lost(now, &questions);
        let open = |(asked, id): &(u64, u64)| {
            let read = self.reads.get(id);
            read.is_some_and(|read| read.parts.iter().any(|part| part.asked == *asked))
        };
        let reads: BTreeSet<u64> = questions.into_iter().filter(open).map(|(_, id)| id).collect();
        for id in reads {
            self.start_read(now, id);
        }
    }

    /// Something that parked reads may have waited for has changed.
    pub(super) fn retry_parked(&mut self, now: Time) {
        self.retry_scans(now);
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
