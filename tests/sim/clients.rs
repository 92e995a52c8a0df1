//! Simulated clients: they ask, often several things at a time, and write down what they are told.
//!
//! Every value is written once in a run: it begins with the number of its operation. A history's
//! times are moments, of which no two are the same, so that what came first is never in question.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::core::coordinator::Input;
use protocol::error::{ErrorCode, ErrorReply, Remedy};
use protocol::ids::Version;
use protocol::reply;

use super::coordinator::{Connection, key_of};
use super::plan::MS;
use super::world::{Event, Failure, World};
use crate::check::{Action, Op, Outcome};

/// What an operation asks for: the key's number, and what is written.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Get(u64),
    Put(u64, String),
    Del(u64),
}

impl Asked {
    /// The key's number.
    pub(crate) fn key(&self) -> u64 {
        match self {
            Self::Get(key) | Self::Put(key, _) | Self::Del(key) => *key,
        }
    }
}

/// One client.
pub(crate) struct Client {
    number: usize,
    /// Its coordinator and connection.
    pub(crate) conn: Option<(usize, u64)>,
    /// Operations that it waits for.
    pub(crate) open: BTreeSet<usize>,
    /// Operations that it will still ask for.
    pub(crate) left: u32,
    /// When the last request so far arrives.
    sent_at: u64,
}

impl Client {
    /// A client that will ask for so many operations.
    pub(crate) fn new(number: usize, left: u32) -> Self {
        Self { number, conn: None, open: BTreeSet::new(), left, sent_at: 0 }
    }
}

impl World {
    /// A client does its next thing: connects, or asks.
    pub(crate) fn step(&mut self, client: usize) {
        if self.clients[client].left == 0 || !self.clients[client].open.is_empty() {
            return;
        }
        let Some((_, conn)) = self.connected(client) else {
            let wait = (20 + self.rng.below(200)) * MS;
            self.after(wait, Event::Step(client));
            return;
        };
        let round = 1 + self.rng.below(self.plan.pipeline);
        for _ in 0..round.min(u64::from(self.clients[client].left)) {
            self.clients[client].left -= 1;
            let asked = self.draw_request();
            self.ask(client, asked);
        }
        if self.rng.chance(self.plan.impatient) {
            let patience = self.rng.below(100) * MS;
            self.coverage.met("clients impatient");
            self.after(patience, Event::Disconnected { client, conn });
        }
    }

    /// A client's connection, made if need be and possible.
    pub(crate) fn connected(&mut self, client: usize) -> Option<(usize, u64)> {
        if self.clients[client].conn.is_none() {
            let coordinator = self.reachable()?;
            self.last_client_conn += 1;
            let conn = self.last_client_conn;
            self.coordinators[coordinator].conns.insert(conn, Connection::new(client));
            self.clients[client].conn = Some((coordinator, conn));
        }
        self.clients[client].conn
    }

    fn draw_request(&mut self) -> Asked {
        let key = self.rng.below(self.plan.keys);
        let kind = self.rng.below(100);
        if kind < self.plan.gets {
            return Asked::Get(key);
        }
        if kind < self.plan.gets + self.plan.dels {
            return Asked::Del(key);
        }
        let length = self.rng.below(self.plan.value_bytes) as usize;
        let name = format!("{}-", self.history.len());
        Asked::Put(key, name + &"x".repeat(length))
    }

    /// Sends one request on a client's connection; returns the operation's number.
    pub(crate) fn ask(&mut self, client: usize, asked: Asked) -> usize {
        let (coordinator, conn) = self.clients[client].conn.expect("connected before");
        let op = self.history.len();
        let action = match &asked {
            Asked::Get(_) => Action::Get(None),
            Asked::Put(..) => Action::Put(op as u64),
            Asked::Del(_) => Action::Del { found: false },
        };
        let invoke = self.moment();
        self.history.push(Op {
            key: Arc::from(key_of(asked.key()).as_str()),
            client: self.clients[client].number as u32,
            action,
            outcome: Outcome::Unknown,
            invoke,
            complete: u64::MAX,
        });
        self.asked.push(asked);
        let wait = self.delay();
        let client = &mut self.clients[client];
        client.open.insert(op);
        client.sent_at = (self.now + wait).max(client.sent_at + 1);
        let at = client.sent_at;
        self.at(at, Event::Request { coordinator, conn, op });
        op
    }

    /// An answer arrives.
    pub(crate) fn on_reply(&mut self, client: usize, conn: u64, op: usize, line: &[u8], ok: bool) {
        let here = self.clients[client].conn.is_some_and(|(_, own)| own == conn);
        if !here || !self.clients[client].open.remove(&op) {
            return;
        }
        let moment = self.moment();
        let (outcome, action, version) = self.understand(op, line, ok);
        if self.shows() {
            let asked = format!("{:?}", self.asked[op]);
            let asked: String = asked.chars().take(30).collect();
            eprintln!(
                "{:>10}   client {client} op {op} {asked}: {outcome:?} {version:?}",
                self.now
            );
        }
        self.coverage.met(match outcome {
            Outcome::Ok => "ops ok",
            Outcome::Failed => "ops refused",
            Outcome::Unknown => "ops unknown",
        });
        let entry = &mut self.history[op];
        entry.outcome = outcome;
        entry.action = action;
        entry.complete = moment;
        if let Some(version) = version {
            self.check_program_order(conn, op, version);
        }
        if client == self.plan.clients as usize {
            self.finals.insert(self.asked[op].key(), op);
        }
        if self.clients[client].open.is_empty() {
            let wait = self.rng.below(self.plan.think_us + 1);
            self.after(wait, Event::Step(client));
        }
    }

    /// What an answer means.
    fn understand(
        &mut self,
        op: usize,
        line: &[u8],
        ok: bool,
    ) -> (Outcome, Action, Option<Version>) {
        let action = self.history[op].action;
        let refused = |error: &ErrorReply| match (error.code, &action) {
            (ErrorCode::NotFound, Action::Get(_)) => (Outcome::Ok, Action::Get(None)),
            (ErrorCode::NotFound, Action::Del { .. }) => {
                (Outcome::Ok, Action::Del { found: false })
            }
            (code, action) => match code.remedy() {
                Remedy::Unknown => (Outcome::Unknown, *action),
                Remedy::Retry => (Outcome::Failed, *action),
                other => panic!("{error:?} was answered, which is a case of {other:?}"),
            },
        };
        if let Action::Get(_) = action {
            return match reply::decode_value(line).expect("replies read back") {
                Ok(found) => {
                    assert!(ok);
                    let text = String::from_utf8(found.value.as_bytes().to_vec()).expect("text");
                    let number = text.split('-').next().and_then(|n| n.parse().ok());
                    let value = number.expect("values begin with a number");
                    let written =
                        matches!(&self.asked[value as usize], Asked::Put(_, v) if *v == text);
                    assert!(written, "a value that nobody wrote: {text:?}");
                    (Outcome::Ok, Action::Get(Some(value)), Some(found.version))
                }
                Err(error) => {
                    let (outcome, action) = refused(&error);
                    (outcome, action, None)
                }
            };
        }
        match reply::decode_version(line).expect("replies read back") {
            Ok(version) => {
                let action = match action {
                    Action::Del { .. } => Action::Del { found: true },
                    other => other,
                };
                (Outcome::Ok, action, Some(version))
            }
            Err(error) => {
                let (outcome, action) = refused(&error);
                (outcome, action, None)
            }
        }
    }

    /// On one connection the versions told of a key never fall, and each update's is new: replies
    /// come in the order of requests, so program order shows in them.
    fn check_program_order(&mut self, conn: u64, op: usize, version: Version) {
        let key = self.asked[op].key();
        let before = self.told.insert((conn, key), version).unwrap_or(Version::ZERO);
        let read = matches!(self.asked[op], Asked::Get(_));
        if version < before || (version == before && !read) {
            let text = format!("op {op} on key {key}: version {version} was told after {before}");
            self.fail(Failure::ProgramOrder(text));
        }
    }

    /// The connection has ended, whoever ended it.
    pub(crate) fn on_disconnected(&mut self, client: usize, conn: u64) {
        let Some((coordinator, _)) = self.clients[client].conn.filter(|(_, own)| *own == conn)
        else {
            return;
        };
        self.clients[client].conn = None;
        self.clients[client].sent_at = 0;
        for op in std::mem::take(&mut self.clients[client].open) {
            // An update stays unknown; a read without an answer says nothing.
            self.coverage.met("ops unknown");
            assert_eq!(self.history[op].outcome, Outcome::Unknown);
        }
        let wait = self.delay();
        self.after(wait, Event::ClientGone(coordinator, conn));
        let wait = self.rng.below(100) * MS;
        self.after(wait, Event::Step(client));
    }

    /// All of a coordinator's clients hear that it has gone.
    pub(crate) fn disconnect_clients(&mut self, coordinator: usize, percent: u64) {
        for client in 0..self.clients.len() {
            let wait = self.delay();
            if let Some((own, conn)) = self.clients[client].conn
                && own == coordinator
                && self.rng.chance(percent)
            {
                self.after(wait, Event::Disconnected { client, conn });
            }
        }
    }

    /// Asks a coordinator to stop gracefully.
    pub(crate) fn stop_coordinator(&mut self, coordinator: usize) {
        self.hand_in(coordinator, Input::Stop);
    }
}
