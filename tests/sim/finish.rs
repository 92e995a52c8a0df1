//! The end of a run: with all faults over everything must come to rest, and then be right.
//!
//! At rest: a coordinator is active, all nodes have caught up, every request has its answer,
//! nothing is undecided, no prepared record is left and what is decided has been forgotten. Then
//! every key is written once more, and read, and judged: acknowledged writes are there, answers
//! have an order, replicas hold the same.

use cluster::core::ring::{Ring, ring_of};
use cluster::storage::keystore::Keystore;
use protocol::ids::Version;
use protocol::peer::TxnState;

use super::asked::Asked;
use super::clients::Client;
use super::coordinator::key_of;
use super::node::Process;
use super::plan::{ACCOUNTS, MS};
use super::world::{Event, Failure, World};
use crate::check::durable::{self, Finals};
use crate::check::{Action, Op, Outcome, linear};

/// How long coming to rest may take, virtual microseconds.
const REST_MAX: u64 = 40_000 * MS;
/// How often it is looked at.
const LOOK: u64 = 100 * MS;

impl World {
    /// From now on the world is watched until it is at rest.
    pub(crate) fn begin_watch(&mut self) {
        self.after(LOOK, Event::Watch);
    }

    /// Looks whether all is at rest: reads all keys then, and ends when they are read.
    pub(crate) fn watch(&mut self) {
        if self.rotten.is_some() {
            self.after(LOOK, Event::Watch);
            self.watch_rot();
            return;
        }
        self.add_strangers();
        let unrest = self.unrest();
        let started = self.plan.heal_at + 1_000 * MS;
        if self.now > started + REST_MAX {
            let what =
                unrest.unwrap_or_else(|| "writing or reading all keys takes for ever".into());
            self.fail(Failure::Stuck(what));
            self.over = true;
            return;
        }
        self.after(LOOK, Event::Watch);
        if unrest.is_some() {
            return;
        }
        let reader = self.plan.clients as usize;
        if self.clients.len() == reader {
            self.clients.push(Client::new(reader, 0));
        }
        // Whatever had kept updates from being taken is over: each key takes one.
        let ok = |op: &usize| self.history[*op].outcome == Outcome::Ok;
        let written = |key: &u64| self.last_puts.get(key).is_some_and(ok);
        let unwritten = (0..self.plan.keys).filter(|key| !written(key) && self.is_whole(*key));
        let unwritten: Vec<u64> = unwritten.collect();
        if !unwritten.is_empty() {
            if self.connected(reader).is_some() {
                for key in unwritten {
                    let text = self.new_text(0, None);
                    let op = self.ask(reader, Asked::Put(key, text));
                    self.last_puts.insert(key, op);
                }
            }
            return;
        }
        let unread = |key: &u64| !self.is_read(*key) && self.living_replicas(*key) > 0;
        let missing: Vec<u64> = self.plan.all_keys().filter(unread).collect();
        if missing.is_empty() {
            self.rot_or_end();
            return;
        }
        if self.connected(reader).is_some() {
            for key in missing {
                self.ask(reader, Asked::Get(key));
            }
        }
    }

    /// Whether the key's last read had an answer.
    fn is_read(&self, key: u64) -> bool {
        self.finals.get(&key).is_some_and(|op| self.history[*op].outcome == Outcome::Ok)
    }

    /// What is not at rest yet.
    fn unrest(&self) -> Option<String> {
        let Some(coordinator) = self.reachable().filter(|c| self.coordinators[*c].active) else {
            return Some("no coordinator is active".into());
        };
        if let Some(client) = self.clients.iter().position(|client| !client.open.is_empty()) {
            return Some(format!("client {client} waits for {:?}", self.clients[client].open));
        }
        let txns = &self.coordinators[coordinator].status(self.now).txns;
        for what in ["open", "waiting", "in_doubt"] {
            // What a missing node takes part in waits for it for ever, but not if it was left by
            // an earlier coordinator.
            if what == "open" && self.is_one_missing() {
                continue;
            }
            if txns.get(what).is_some_and(|count| *count > 0) {
                return Some(format!("the coordinator has transactions {what}: {txns:?}"));
            }
        }
        if let Some(what) = self.unrest_of_membership(coordinator) {
            return Some(what);
        }
        (0..self.nodes.len()).find_map(|node| self.unrest_of(node))
    }

    fn unrest_of(&self, node: usize) -> Option<String> {
        if self.nodes[node].dead || self.nodes[node].out {
            return None;
        }
        let Some(process) = &self.nodes[node].process else {
            return Some(format!("node {node} is down"));
        };
        if !process.caught_up || !process.is_idle() {
            return Some(format!("node {node} has not caught up, or is at work"));
        }
        // What a missing one has not voted on or confirmed is remembered by the others: alike.
        if self.is_one_missing() {
            let open = process.core.remembered(TxnState::Prepared);
            let told: Vec<Version> = open.filter(|id| self.is_committed_somewhere(*id)).collect();
            return (!told.is_empty()).then(|| format!("node {node} has to hear of {told:?}"));
        }
        for state in [TxnState::Prepared, TxnState::Committed, TxnState::Aborted, TxnState::Refused]
        {
            let count = process.core.count_in(state);
            if count > 0 {
                return Some(format!("node {node} remembers {count} transactions as {state:?}"));
            }
        }
        None
    }

    /// Whether a node is missing for good.
    fn is_one_missing(&self) -> bool {
        self.nodes.iter().any(|node| node.dead)
    }

    /// Whether a living node has the transaction committed.
    fn is_committed_somewhere(&self, id: Version) -> bool {
        let mut living = self.nodes.iter().filter_map(|node| node.process.as_ref());
        living.any(|process| process.core.remembered(TxnState::Committed).any(|other| other == id))
    }

    /// Judges what has happened.
    pub(crate) fn judge(&mut self) {
        self.name_what_was_seen();
        (0..self.nodes.len()).for_each(|node| self.count_cache_hits(node));
        if self.abandoned {
            return self.judge_order();
        }
        let mut finals = Finals::new();
        let mut accounts = Vec::new();
        for key in self.plan.all_keys() {
            if let Some(op) = self.finals.get(&key).filter(|_| self.is_read(key)) {
                let Action::Get(value) = self.history[*op].action else { continue };
                finals.insert(self.history[*op].key.clone(), value);
                if self.plan.accounts().contains(&key) {
                    accounts.push(value);
                }
            }
        }
        if accounts.len() as u64 == ACCOUNTS {
            self.check_sum("at the end", &accounts);
        }
        // What could not be read at the end is a failure of its own.
        let read = |op: &&Op| finals.contains_key(&op.key);
        let readable: Vec<Op> = self.history.iter().filter(read).cloned().collect();
        for violation in durable::check(&readable, &finals) {
            self.fail(Failure::LostWrite(violation.to_string()));
        }
        self.judge_order();
        self.judge_watches();
        for key in self.plan.all_keys() {
            if let Some(text) = self.difference(key) {
                self.fail(Failure::Diverged(text));
            }
        }
    }

    /// Whether an order of the operations explains the answers.
    fn judge_order(&mut self) {
        if let Err(violation) = linear::check(&self.history) {
            self.fail(Failure::NotLinear(violation.to_string()));
        }
    }

    fn ring(&self) -> Option<Ring> {
        self.newest_record().map(|record| ring_of(&record))
    }

    /// The living nodes that hold a key.
    fn replicas_of(&self, number: u64) -> Vec<&Process> {
        let Some(ring) = self.ring() else { return Vec::new() };
        let replicas = ring.replicas_of(&key_of(number));
        let living = self.nodes.iter().filter_map(|node| node.process.as_ref());
        living.filter(|p| p.core.member().is_some_and(|me| replicas.contains(&me))).collect()
    }

    fn living_replicas(&self, number: u64) -> usize {
        self.replicas_of(number).len()
    }

    /// Whether none of the nodes that hold a key is missing for good.
    pub(crate) fn is_whole(&self, number: u64) -> bool {
        let members = self.ring().map_or(0, |ring| ring.members().len());
        self.living_replicas(number) == usize::from(self.plan.replicas).min(members)
    }

    /// How the replicas of a key differ.
    fn difference(&self, number: u64) -> Option<String> {
        let key = key_of(number);
        if self.is_rotten(&key) {
            return None;
        }
        let held: Vec<_> = self
            .replicas_of(number)
            .into_iter()
            .map(|process| {
                let stored = process.keystore.get(&key).expect("whole");
                (process.core.member(), stored, process.core.meta().swept)
            })
            .collect();
        let newest = held.iter().filter_map(|(_, stored, _)| stored.as_ref());
        let newest = newest.max_by_key(|stored| stored.version);
        // Of a deletion nothing need be left where tombstones of its time were dropped.
        let may_be_gone = |swept: Version| {
            newest.is_none_or(|newest| !newest.is_live() && newest.version < swept)
        };
        let same = held.iter().all(|(_, stored, swept)| match stored {
            Some(stored) => Some(stored) == newest,
            None => may_be_gone(*swept),
        });
        (!same).then(|| format!("key {number}: {held:?}"))
    }
}
