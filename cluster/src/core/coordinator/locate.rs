//! `locate`: where a key lies, who holds it, and, if that is asked for, what each of them holds.
//!
//! Placement is the ring's and is told at once. A node's copy is asked for on its link, behind all
//! decisions made before; a node that is not up, or is lost meanwhile, is told without one. What
//! was read of nodes is told only with the lease (R11).

use std::collections::BTreeMap;

use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId};
use protocol::peer::{Placement, ReadAnswer, ReadAsk};
use protocol::reply::{self, ByteSum, Copy, LocateReply};
use protocol::status::NodeState;

use super::super::ring::{Ring, byte_sum};
use super::super::time::Time;
use super::updates::TxnPhase;
use super::{Answer, ClientId, Coordinator, Deadline, READS_MAX, RETRY_AFTER_MS};

/// What a `locate` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocateOp {
    /// The key.
    pub key: Key,
    /// With what each of its nodes holds.
    pub copies: bool,
}

/// A `locate` whose nodes have been asked.
#[derive(Debug)]
pub(super) struct Locating {
    pub(super) client: ClientId,
    reply: LocateReply,
    /// The questions that are not answered yet, with their places in the reply's copies.
    asked: BTreeMap<u64, usize>,
    deadline: Time,
}

impl Coordinator {
    pub(super) fn on_locate(&mut self, now: Time, client: ClientId, op: LocateOp, deadline: Time) {
        let LocateOp { key, copies } = op;
        let Some(ring) = &self.ring else {
            let error = ErrorReply::unavailable("the cluster is not complete", None);
            self.reply_error(client, error);
            return;
        };
        let holders = ring.replicas_of(&key).to_vec();
        let (set, way) = self.cache.place(key.as_str());
        let nodes = holders.iter().map(|member| self.node_name(*member)).collect();
        let (hash, byte_sum) = (ring.point_of(&key), sum_on(ring, &key));
        let mut reply = LocateReply { hash, byte_sum, nodes, set, way, copies: None };
        if !copies {
            self.reply(client, Answer::Ok(reply::object_tail(&reply)));
            return;
        }
        if self.locates.len() + holders.len() > READS_MAX {
            let error = ErrorReply::overloaded("reads", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        let copies = holders.iter().enumerate();
        reply.copies =
            Some(copies.filter_map(|(at, member)| self.copy(&key, at, *member)).collect());
        let id = self.next_ask();
        let mut asked = BTreeMap::new();
        for (at, member) in holders.into_iter().enumerate() {
            let Some(place) = self.by_member.get(&member).copied() else { continue };
            if self.can_be_asked(member) {
                let r = self.next_ask();
                self.nodes[place].link.push_read(ReadAsk { r, k: key.clone() }, id);
                asked.insert(r, at);
            }
        }
        self.deadlines.insert((deadline, Deadline::Locate(id)));
        self.locates.insert(id, Locating { client, reply, asked, deadline });
        self.try_locate(now, id);
    }

    /// What is known here of the copy of the holder at place `at`.
    fn copy(&self, key: &Key, at: usize, member: MemberId) -> Option<Copy> {
        let role = if at == 0 { "primary" } else { "replica" };
        let state = self.node_of(member).map_or(NodeState::Down, |node| node.state);
        let queue = self.keys.get(key).map(|queue| &queue.queue);
        let open = queue.into_iter().flatten().filter_map(|seq| self.txns.get(seq));
        let there = open.filter(|txn| {
            !matches!(txn.phase, TxnPhase::Waiting { .. }) && txn.participants.contains(&member)
        });
        Some(Copy {
            node: self.node_name(member),
            role: role.into(),
            state,
            version: None,
            cached: None,
            undecided: there.count() as u64,
        })
    }

    /// A node has told its copy.
    pub(super) fn on_copy(&mut self, now: Time, id: u64, answer: &ReadAnswer) {
        let Some(locating) = self.locates.get_mut(&id) else { return };
        let place = locating.asked.remove(&answer.r);
        let copies = locating.reply.copies.as_mut();
        if let Some(copy) = copies.zip(place).and_then(|(copies, at)| copies.get_mut(at)) {
            copy.version = answer.v.as_ref().map(|_| answer.at);
            copy.cached = Some(answer.c);
        }
        self.try_locate(now, id);
    }

    /// Questions that a node will not answer any more: its copies are told as they are known.
    pub(super) fn copies_lost(&mut self, now: Time, questions: &BTreeMap<u64, u64>) {
        for (r, id) in questions {
            if let Some(locating) = self.locates.get_mut(id) {
                locating.asked.remove(r);
                self.try_locate(now, *id);
            }
        }
    }

    fn try_locate(&mut self, now: Time, id: u64) {
        let done = self.locates.get(&id).is_some_and(|locating| locating.asked.is_empty());
        if done && self.may_tell(now) {
            self.end_locate(id);
        }
    }

    /// The lease is back.
    pub(super) fn retry_locates(&mut self, now: Time) {
        let ids: Vec<u64> = self.locates.keys().copied().collect();
        for id in ids {
            self.try_locate(now, id);
        }
    }

    fn end_locate(&mut self, id: u64) {
        let Some(locating) = self.locates.remove(&id) else { return };
        self.deadlines.remove(&(locating.deadline, Deadline::Locate(id)));
        self.reply(locating.client, Answer::Ok(reply::object_tail(&locating.reply)));
    }

    pub(super) fn on_locate_deadline(&mut self, now: Time, id: u64) {
        if self.may_tell(now) {
            self.end_locate(id);
        } else if let Some(locating) = self.locates.remove(&id) {
            let why = "half of the nodes do not answer, so this coordinator may not tell";
            self.reply_error(locating.client, ErrorReply::unavailable(why, None));
        }
    }
}

/// By which arithmetic a key lies where it does, where the sum of its bytes says so.
pub(super) fn sum_on(ring: &Ring, key: &Key) -> Option<ByteSum> {
    let nodes = ring.points().len() as u32;
    (ring.placement() == Placement::AsciiSum).then(|| ByteSum { sum: byte_sum(key), nodes })
}
