//! The steps of a request that was carried out, from what was noted of it.
//!
//! Each begins where the one before it has ended, but for those at nodes, which go on at the same
//! time. The last one that is made here goes on until the answer leaves the loop.

use protocol::error::{ErrorCode, ErrorReply};
use protocol::event::{NodeUs, Role, Txn, Vote, VoteState};
use protocol::ids::{Key, Version};
use protocol::reply::{self, COORDINATOR, ExplainReply, Step, StepName};

use super::super::super::time::Time;
use super::super::{Answer, Coordinator};
use super::{CacheLook, Explained, Explaining, Open, Seen, Written};

/// Steps in the making.
struct Way {
    steps: Vec<Step>,
    /// How far they have come.
    at: Time,
}

impl Way {
    fn from(seen: Seen) -> Self {
        let mut way = Self { steps: Vec::new(), at: seen.began };
        way.until(StepName::Parse, seen.parsed, "understood, and within its limits");
        way
    }

    fn push(&mut self, name: StepName, place: &str, us: Option<u64>, note: impl Into<String>) {
        let place = if place == COORDINATOR { COORDINATOR.into() } else { place.to_owned().into() };
        self.steps.push(Step { name, place, us, note: note.into() });
    }

    /// A step at the coordinator that ended then.
    fn until(&mut self, name: StepName, end: Time, note: impl Into<String>) {
        self.push(name, COORDINATOR, Some(end.since_us(self.at)), note);
        self.at = end.max(self.at);
    }

    /// One that goes on.
    fn on(&mut self, name: StepName, note: impl Into<String>) {
        self.push(name, COORDINATOR, None, note);
    }
}

impl Coordinator {
    /// A `get` that its connection has answered from the cache.
    pub(super) fn explained_hit(&self, placed: ExplainReply, key: &Key, seen: Seen) -> Explained {
        let mut way = Way::from(seen);
        let mut version = None;
        if let CacheLook::Hit { at, version: found, replied } = seen.look {
            version = Some(found);
            way.until(StepName::CacheLookup, at, self.hit(key));
            way.until(StepName::Reply, replied, told(version));
        }
        let total_us = Some(way.at.since_us(seen.began));
        let reply = ExplainReply { steps: way.steps, total_us, version, ..placed };
        Explained { reply, error: None, open: None }
    }

    /// The way of a request that has its answer.
    pub(super) fn steps_of(&self, explaining: Explaining, answer: Answer) -> Explained {
        let seen = explaining.seen;
        let mut way = Way::from(seen);
        let (version, error) = match answer {
            Answer::Ok(tail) => (version_in(&tail), None),
            Answer::Error(error) => (None, Some(error)),
            Answer::Status(_) | Answer::Explained(_) => (None, None),
        };
        let error_ref = error.as_deref();
        let last_goes_on = match explaining.write {
            None => self.steps_of_get(&mut way, &explaining, error_ref),
            Some(write) => self.steps_of_update(&mut way, &explaining, write, version, error_ref),
        };
        let note = error_ref.map_or_else(|| told(version), refused);
        let open = Open { began: seen.began, since: way.at, last_goes_on, note };
        let reply = ExplainReply { steps: way.steps, version, ..explaining.placed };
        Explained { reply, error, open: Some(open) }
    }

    /// Whether the last step goes on.
    fn steps_of_get(&self, way: &mut Way, of: &Explaining, error: Option<&ErrorReply>) -> bool {
        let set = of.placed.set;
        let miss = format!("a miss: the key is not in set {set}");
        if let CacheLook::Miss(at) = of.seen.look {
            way.until(StepName::CacheLookup, at, miss.clone());
        }
        let Some(started) = of.started else {
            way.on(StepName::Queue, waited_in_vain(error));
            return true;
        };
        let behind = match of.seen.look {
            CacheLook::None => "behind this connection's earlier requests of the key",
            _ => "handed to the loop; no read waits for others' updates",
        };
        way.until(StepName::Queue, started, behind);
        if of.asked.is_empty() {
            way.on(StepName::CacheLookup, self.hit(&of.key));
            return true;
        }
        if of.seen.look == CacheLook::None {
            way.until(StepName::CacheLookup, started, miss);
        }
        let answered = reads(way, of);
        let Some(at) = answered else { return false };
        way.at = way.at.max(at);
        let found = error.is_none();
        if found {
            way.on(StepName::CacheUpdate, self.kept(of));
        }
        found
    }

    fn steps_of_update(
        &self,
        way: &mut Way,
        of: &Explaining,
        write: Written,
        version: Option<Version>,
        error: Option<&ErrorReply>,
    ) -> bool {
        let repeats = version.filter(|_| {
            // What was answered without having been handed over was answered before.
            of.txn.as_ref().is_none_or(|txn| txn.us.batch_formed.is_none())
        });
        if let Some(first) = repeats {
            let note = format!("its once is that of {first}: nothing is done again");
            way.on(StepName::Queue, note);
            return true;
        }
        let Some(txn) = &of.txn else {
            way.on(StepName::Queue, waited_in_vain(error));
            return true;
        };
        let when = |us: u64| of.arrived.plus_us(us);
        let formed = txn.us.batch_formed.map(when);
        let waited = queued(write, txn) + self.in_series();
        if let Some(first) = of.asked.first() {
            let turn = first.at;
            way.until(StepName::Queue, turn, waited.clone());
        }
        self.steps_of_tests(way, of, write);
        let Some(formed) = formed else {
            way.on(StepName::Queue, waited_in_vain(error));
            return true;
        };
        if of.asked.is_empty() || formed > way.at {
            way.until(StepName::Queue, formed, waited);
        }
        let sent = txn.votes.iter().filter_map(|vote| vote.sent_us).min();
        let Some(sent) = sent.map(when) else {
            way.on(StepName::Batch, "not sent: a node was away or behind");
            return true;
        };
        way.until(StepName::Batch, sent, batched(txn));
        self.steps_of_votes(way, of, txn);
        let last = txn.votes.iter().filter_map(|vote| vote.recv_us).max();
        way.at = last.map_or(way.at, |last| way.at.max(when(last)));
        if error.is_none() {
            way.on(StepName::CacheUpdate, format!("decided by the last yes; {}", self.kept(of)));
        }
        error.is_none()
    }

    /// What an update tests is looked up.
    fn steps_of_tests(&self, way: &mut Way, of: &Explaining, write: Written) {
        if write.tested == 0 {
            return;
        }
        let at = way.at;
        let note = match (write.tested, write.cached) {
            _ if write.ahead > 0 && of.asked.is_empty() => {
                "it is tested on what those before it leave".to_owned()
            }
            (1, 1) => format!("what it tests is in set {}", of.placed.set),
            (1, _) => "what it tests is not cached".to_owned(),
            (tested, cached) => format!("of {tested} keys that it tests {cached} are cached"),
        };
        way.until(StepName::CacheLookup, at, note);
        if let Some(answered) = reads(way, of) {
            way.at = way.at.max(answered);
        }
    }

    fn steps_of_votes(&self, way: &mut Way, of: &Explaining, txn: &Txn) {
        let mut votes: Vec<&Vote> = txn.votes.iter().collect();
        votes.sort_by_key(|vote| (vote.role != Role::Primary, place_in(of, vote)));
        let first = txn.votes.iter().filter_map(|vote| vote.sent_us).min().unwrap_or(0);
        for vote in votes {
            let node = vote.node.as_str();
            let sent = vote.sent_us;
            let held = sent.map_or(0, |sent| sent.saturating_sub(first));
            let round = sent.zip(vote.recv_us).map(|(sent, recv)| recv.saturating_sub(sent));
            let role = if vote.role == Role::Primary { "primary" } else { "replica" };
            let note = if held > 0 {
                format!("{role}; {held} us behind its batch before")
            } else {
                role.to_owned()
            };
            let Some(NodeUs { queue, append, sync }) = vote.node_us else {
                way.push(StepName::Prepare, node, None, note);
                way.push(StepName::Append, node, None, "not told");
                way.push(StepName::Sync, node, None, "not told");
                way.push(StepName::Vote, node, round.map(|us| us + held), vote_note(vote));
                continue;
            };
            way.push(StepName::Prepare, node, Some(held + queue), note);
            way.push(StepName::Append, node, Some(append), "its group, to the log");
            way.push(StepName::Sync, node, Some(sync), "fdatasync: it is durable");
            let rest = round.map(|round| round.saturating_sub(queue + append + sync));
            way.push(StepName::Vote, node, rest, vote_note(vote));
        }
    }

    /// What became of the key in the cache.
    fn kept(&self, of: &Explaining) -> String {
        let (set, way) = self.cache.place(of.key.as_str());
        match way {
            Some(way) => format!("set {set}, way {way} has it"),
            None if of.write.is_some_and(|write| write.removes) => format!("out of set {set}"),
            None => format!("not kept in set {set}: too large, or overtaken"),
        }
    }
}

/// A node's place among the holders of the key.
fn place_in(of: &Explaining, vote: &Vote) -> usize {
    let nodes = &of.placed.nodes;
    nodes.iter().position(|node| *node == vote.node).unwrap_or(nodes.len())
}

/// The reads of nodes, one step each; when the last answer came, if all did.
fn reads(way: &mut Way, of: &Explaining) -> Option<Time> {
    let mut nodes: Vec<&str> = of.asked.iter().map(|asked| asked.node.as_str()).collect();
    nodes.dedup();
    let mut shown: Vec<&str> = Vec::new();
    for node in nodes {
        if shown.contains(&node) {
            continue;
        }
        shown.push(node);
        let its = || of.asked.iter().filter(|asked| asked.node.as_str() == node);
        let (Some(first), count) = (its().next(), its().count()) else { continue };
        let answers = || its().filter_map(|asked| asked.answered);
        let us = answers().map(|(at, _)| at.since_us(first.at)).max();
        let mut note = first.why.clone();
        match (count, answers().next()) {
            (_, None) => note.push_str("; no answer"),
            (1, Some((_, true))) => note.push_str("; from its cache"),
            (1, Some((_, false))) => note.push_str("; from its keystore"),
            (count, Some(_)) => note.push_str(&format!("; {count} keys")),
        }
        way.push(StepName::NodeRead, node, us, note);
    }
    of.asked.iter().filter_map(|asked| asked.answered.map(|(at, _)| at)).max()
}

fn queued(write: Written, txn: &Txn) -> String {
    match (write.ahead, txn.waited_for) {
        (0, _) => "first on its key".into(),
        (1, Some(id)) => format!("behind {id}, an update of the same key"),
        (ahead, _) => format!("behind {ahead} updates of the same key"),
    }
}

fn batched(txn: &Txn) -> String {
    match txn.batch_txns {
        0 | 1 => "alone in its batch".into(),
        2 => "with one other in its batch".into(),
        count => format!("with {} others in its batch", count - 1),
    }
}

fn vote_note(vote: &Vote) -> &'static str {
    match vote.vote {
        VoteState::Yes => "yes; the way there and back",
        VoteState::No => "no",
        VoteState::Lost => "none: its link is gone",
        VoteState::None | VoteState::Other => "none yet",
    }
}

/// Why a request ended where it stood.
fn waited_in_vain(error: Option<&ErrorReply>) -> String {
    match error.map(|error| error.code) {
        Some(ErrorCode::ReplicaDown) => {
            let node = error.and_then(|error| error.node.as_deref());
            format!("not handed over: {} is away", node.unwrap_or("a replica"))
        }
        Some(ErrorCode::Timeout | ErrorCode::Unavailable | ErrorCode::UnknownOutcome) => {
            "its turn did not come before its deadline".into()
        }
        Some(ErrorCode::NotFound | ErrorCode::Exists | ErrorCode::VersionMismatch) => {
            "its turn came; its condition does not hold".into()
        }
        Some(_) => "not handed over to any node".into(),
        None => String::new(),
    }
}

fn told(version: Option<Version>) -> String {
    version.map_or_else(|| "ok".into(), |version| format!("ok, version {version}"))
}

fn refused(error: &ErrorReply) -> String {
    let node = error.node.as_ref().map(|node| format!(": {node}"));
    let why = node.or(error.reason.as_ref().map(|reason| format!(": {reason}")));
    format!("{}{}", error.code, why.unwrap_or_default())
}

/// The version in the tail of an answer.
fn version_in(tail: &[u8]) -> Option<Version> {
    let mut line = Vec::with_capacity(tail.len() + 16);
    reply::write_reply(&mut line, None, true, tail);
    reply::decode_version(&line).ok()?.ok()
}
