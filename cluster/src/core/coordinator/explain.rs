//! `explain`: which way a request takes, or has just taken, and where its time went.
//!
//! One that is not carried out is answered at once, from what is known here (`plan`). One that is
//! goes the way of every other request; hooks in `reads` and `updates` note here when it came how
//! far, its transaction is followed with a `Trace`, and its answer, on the way out, becomes a list
//! of steps (`steps`). Nobody else pays for it: each hook first asks whether anything at all is
//! being explained.
//!
//! The core's clock is read once a turn, so what happens within one turn takes no time in it. What
//! lies at both ends is measured by the connection ([`Seen`]) and by the loop ([`Explained`]).
//!
//! Never: changes what becomes of a request.

mod plan;
mod steps;

use bytes::Bytes;
use protocol::error::{ErrorCode, ErrorReply};
use protocol::event::Txn;
use protocol::ids::{Key, MemberId, NodeName, Once, Version};
use protocol::peer::Prepare;
use protocol::reply::{self, COORDINATOR, ExplainReply, Step, StepName};

use super::super::time::Time;
use super::conditions::{Change, Update};
use super::locate::sum_on;
use super::{Answer, ClientId, Coordinator, Seq};

/// Questions to nodes that are noted of one request; only nodes that come and go make more.
const ASKED_MAX: usize = 256;

/// What is to be explained.
#[derive(Debug, Clone)]
pub struct ExplainOp {
    /// The request.
    pub of: Explainable,
    /// Whether it is carried out.
    pub run: bool,
    /// What its connection has seen of it.
    pub seen: Seen,
}

impl ExplainOp {
    /// Whether anything may be written.
    pub(super) fn is_update(&self) -> bool {
        self.run && matches!(self.of, Explainable::Update(_))
    }
}

/// A request that can be explained.
#[derive(Debug, Clone)]
pub enum Explainable {
    /// The value of a key.
    Get(Key),
    /// Writes.
    Update(Update),
}

/// What the connection has seen of a request before the core had it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Its bytes had come.
    pub began: Time,
    /// It was understood.
    pub parsed: Time,
    /// The connection's look into the cache.
    pub look: CacheLook,
}

/// A connection's own look into the cache, for a `get` that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLook {
    /// It may not look: the key has an earlier request of its own, or it is not for it to look.
    None,
    /// There was nothing that it may tell.
    Miss(Time),
    /// It had its answer.
    Hit {
        /// After the look.
        at: Time,
        /// What it found.
        version: Version,
        /// Its reply was made.
        replied: Time,
    },
}

/// The answer to an `explain`.
#[derive(Debug, Clone)]
pub struct Explained {
    reply: ExplainReply,
    error: Option<Box<ErrorReply>>,
    /// What is still to be measured of a request that was carried out.
    open: Option<Open>,
}

/// The end of a request's way.
#[derive(Debug, Clone)]
struct Open {
    began: Time,
    /// When the last step that has its time ended.
    since: Time,
    /// The last step goes on until the answer leaves the loop.
    last_goes_on: bool,
    /// The note on the reply.
    note: String,
}

impl Explained {
    /// The answer leaves the loop.
    pub fn leaves(&mut self, now: Time) {
        let Some(open) = &mut self.open else { return };
        if std::mem::take(&mut open.last_goes_on)
            && let Some(last) = self.reply.steps.last_mut()
        {
            last.us = Some(now.since_us(open.since));
            open.since = now.max(open.since);
        }
    }

    /// The reply is made: its code, if it is an error, and its tail.
    pub fn finish(mut self, now: Time) -> (Option<ErrorCode>, Bytes) {
        self.leaves(now);
        if let Some(Open { began, since, note, .. }) = self.open {
            let now = now.max(since);
            let (us, place) = (Some(now.since_us(since)), COORDINATOR.into());
            self.reply.steps.push(Step { name: StepName::Reply, place, us, note });
            self.reply.total_us = Some(now.since_us(began));
        }
        match self.error {
            Some(error) => (Some(error.code), reply::refusal_tail(&error, &self.reply)),
            None => (None, reply::object_tail(&self.reply)),
        }
    }
}

/// A request that is carried out and explained.
#[derive(Debug)]
pub(super) struct Explaining {
    /// What it is if it is an update.
    write: Option<Written>,
    /// The key that the reply is about.
    key: Key,
    /// What is known of that before anything has happened.
    placed: ExplainReply,
    seen: Seen,
    arrived: Time,
    /// When a `get` was its turn.
    started: Option<Time>,
    asked: Vec<Asked>,
    /// Its transaction, as far as that came.
    txn: Option<Txn>,
}

/// An update as it came.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// Updates that were before it on its keys.
    ahead: usize,
    /// How many keys it tests, and how many of those the cache had.
    tested: usize,
    cached: usize,
    /// It removes the key that it writes first.
    removes: bool,
}

/// A question to a node.
#[derive(Debug)]
struct Asked {
    /// The read that it was put for.
    read: u64,
    node: NodeName,
    /// Why that one.
    why: String,
    at: Time,
    /// When the answer came, and whether from the node's own cache.
    answered: Option<(Time, bool)>,
}

impl Coordinator {
    pub(super) fn on_explain(
        &mut self,
        now: Time,
        client: ClientId,
        op: ExplainOp,
        once: Option<Once>,
        deadline: Time,
    ) {
        let ExplainOp { of, run, seen } = op;
        let key = match &of {
            Explainable::Get(key) => key.clone(),
            Explainable::Update(update) => update.writes[0].key.clone(),
        };
        let Some(placed) = self.placed(&key) else {
            let error = ErrorReply::unavailable("the cluster is not complete", None);
            self.reply_error(client, error);
            return;
        };
        if !run {
            let steps = match &of {
                Explainable::Get(key) => self.plan_get(now, client.conn, key),
                Explainable::Update(update) => self.plan_update(now, update, once.as_ref()),
            };
            let reply = ExplainReply { steps, ..placed };
            let explained = Explained { reply, error: None, open: None };
            self.reply(client, Answer::Explained(Box::new(explained)));
            return;
        }
        if let CacheLook::Hit { .. } = seen.look {
            let explained = self.explained_hit(placed, &key, seen);
            self.reply(client, Answer::Explained(Box::new(explained)));
            return;
        }
        let write = match &of {
            Explainable::Get(_) => None,
            Explainable::Update(update) => Some(self.written(update)),
        };
        let explaining = Explaining {
            write,
            key,
            placed,
            seen,
            arrived: now,
            started: None,
            asked: Vec::new(),
            txn: None,
        };
        self.explains.insert(client, Box::new(explaining));
        match of {
            Explainable::Get(key) => self.on_get(now, client, key, deadline),
            Explainable::Update(update) => self.on_update(now, client, update, once, deadline),
        }
    }

    fn written(&self, update: &Update) -> Written {
        let tested = update.tested();
        let is_cached = |key: &&Key| self.cache.lookup(key.as_str()).is_some();
        Written {
            ahead: self.ahead_of(update),
            tested: tested.len(),
            cached: tested.iter().filter(is_cached).count(),
            removes: matches!(update.writes[0].change, Change::Del),
        }
    }

    /// Where a key lies, in the form of a reply without steps.
    fn placed(&self, key: &Key) -> Option<ExplainReply> {
        let ring = self.ring.as_ref()?;
        let holders = ring.replicas_of(key);
        Some(ExplainReply {
            hash: ring.point_of(key),
            byte_sum: sum_on(ring, key),
            serial_updates: self.config.serial_updates,
            nodes: holders.iter().map(|member| self.node_name(*member)).collect(),
            set: self.cache.place(key.as_str()).0,
            steps: Vec::new(),
            total_us: None,
            version: None,
        })
    }

    /// How many updates are before it, on that of its keys where most are.
    fn ahead_of(&self, update: &Update) -> usize {
        let ahead = |key: &Key| self.keys.get(key).map_or(0, |queue| queue.queue.len());
        update.keys().iter().map(ahead).max().unwrap_or(0)
    }

    /// Whether any request is being explained: if not, nothing is noted of any.
    pub(super) fn explains_any(&self) -> bool {
        !self.explains.is_empty()
    }

    pub(super) fn is_explained(&self, client: ClientId) -> bool {
        self.explains_any() && self.explains.contains_key(&client)
    }

    /// Whether one of these transactions is explained, so that the node is to tell its times.
    pub(super) fn explains_one_of(&self, prepares: &[std::sync::Arc<Prepare>]) -> bool {
        let client = |prepare: &std::sync::Arc<Prepare>| {
            self.txns.get(self.by_id.get(&prepare.id)?).and_then(|txn| txn.client)
        };
        self.explains_any() && prepares.iter().filter_map(client).any(|it| self.is_explained(it))
    }

    /// What was noted of the request that a read serves.
    fn explaining_read(&mut self, read: u64) -> Option<&mut Explaining> {
        let found = self.reads.get(&read)?;
        let client = match found.looks_for() {
            Some(seq) => self.txns.get(&seq)?.client,
            None => found.client,
        };
        self.explains.get_mut(&client?).map(|explaining| &mut **explaining)
    }

    /// It is the turn of a read: the cache has it, or these nodes are asked.
    pub(super) fn explain_read(&mut self, now: Time, read: u64, members: &[MemberId]) {
        let key = self.reads.get(&read).and_then(|read| read.keys().next()).cloned();
        let (Some(key), Some(_)) = (key, self.explaining_read(read)) else { return };
        let asked: Vec<Asked> = members
            .iter()
            .map(|member| {
                let (node, why) = (self.node_name(*member), self.why_reader(&key, *member));
                Asked { read, node, why, at: now, answered: None }
            })
            .collect();
        let Some(explaining) = self.explaining_read(read) else { return };
        explaining.started.get_or_insert(now);
        explaining.asked.extend(asked);
        explaining.asked.truncate(ASKED_MAX);
    }

    /// A node has answered.
    pub(super) fn explain_answer(&mut self, now: Time, read: u64, cached: bool) {
        let Some(explaining) = self.explaining_read(read) else { return };
        let asked = explaining.asked.iter_mut().rev().find(|asked| asked.read == read);
        if let Some(asked) = asked {
            asked.answered.get_or_insert((now, cached));
        }
    }

    /// An update is about to be answered: what was seen of it is kept.
    pub(super) fn explain_update(&mut self, now: Time, seq: Seq, committed: bool) {
        if !self.explains_any() {
            return;
        }
        let client = self.txns.get(&seq).and_then(|txn| txn.client);
        let Some(client) = client.filter(|client| self.is_explained(*client)) else { return };
        let txn = self.traced(now, seq, committed);
        if let Some(explaining) = self.explains.get_mut(&client) {
            explaining.txn = txn;
        }
    }

    /// An answer on its way out; that of an explained request is explained.
    pub(super) fn explained(&mut self, client: ClientId, answer: Answer) -> Answer {
        match self.explains.remove(&client) {
            Some(explaining) => Answer::Explained(Box::new(self.steps_of(*explaining, answer))),
            None => answer,
        }
    }

    /// A connection has ended: nobody waits for what is explained to it.
    pub(super) fn end_explains_of(&mut self, conn: u64) {
        self.explains.retain(|client, _| client.conn != conn);
    }

    /// That the cache has a key.
    fn hit(&self, key: &Key) -> String {
        let (set, way) = self.cache.place(key.as_str());
        let way = way.map_or_else(String::new, |way| format!(", way {way}"));
        format!("a hit in set {set}{way}, so no node is asked")
    }

    /// Why a key is read from this member.
    fn why_reader(&self, key: &Key, member: MemberId) -> String {
        let holders = self.ring.as_ref().map(|ring| ring.replicas_of(key)).unwrap_or_default();
        match holders.first() {
            Some(first) if *first == member => "the primary, and up".into(),
            Some(first) => {
                let state =
                    self.node_of(*first).map_or("away".into(), |node| node.state.to_string());
                format!("the next copy: {}, the primary, is {state}", self.name_of(*first))
            }
            None => String::new(),
        }
    }
}
