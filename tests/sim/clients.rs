//! Simulated clients: they ask, often several things at a time, and write down what they ask.
//!
//! Every value is written once in a run: it begins with the number of its entry in the history. A
//! history's times are moments, of which no two are the same, so that what came first is never in
//! question.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::core::coordinator::Input;
use protocol::ids::Version;

use super::asked::{Asked, Leg};
use super::coordinator::{Connection, key_of};
use super::plan::{ACCOUNTS, MS};
use super::world::{Event, World};
use crate::check::{Op, Outcome, ValueId};

/// One client.
pub(crate) struct Client {
    number: usize,
    /// Its coordinator and connection.
    pub(crate) conn: Option<(usize, u64)>,
    /// Operations that it waits for.
    pub(crate) open: BTreeSet<usize>,
    /// Operations that it will still ask for.
    pub(crate) left: u32,
    /// Operations that it will repeat, on its next connection or this one.
    pub(crate) again: Vec<usize>,
    /// Operations of which it will ask what became of them.
    pub(crate) settle: Vec<(usize, Option<Version>)>,
    /// When the last request so far arrives.
    sent_at: u64,
    /// The accounts, as it last saw them together.
    pub(crate) accounts: Option<Vec<Account>>,
}

/// What a client knows of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) version: Option<Version>,
    pub(crate) value: Option<ValueId>,
    pub(crate) balance: i64,
}

impl Client {
    /// A client that will ask for so many operations.
    pub(crate) fn new(number: usize, left: u32) -> Self {
        Self {
            number,
            conn: None,
            open: BTreeSet::new(),
            left,
            again: Vec::new(),
            settle: Vec::new(),
            sent_at: 0,
            accounts: None,
        }
    }

    /// It will not ask for anything more.
    pub(crate) fn rest(&mut self) {
        self.left = 0;
        self.again.clear();
        self.settle.clear();
    }
}

impl World {
    /// A client does its next thing: connects, or asks.
    pub(crate) fn step(&mut self, client: usize) {
        let Client { left, again, settle, open, .. } = &self.clients[client];
        let idle = *left == 0 && again.is_empty() && settle.is_empty();
        if idle || !open.is_empty() {
            return;
        }
        let Some((_, conn)) = self.connected(client) else {
            let wait = (20 + self.rng.below(200)) * MS;
            self.after(wait, Event::Step(client));
            return;
        };
        self.follow_up(client);
        if self.clients[client].left > 0 && self.rng.chance(self.plan.watches) {
            self.ask(client, Asked::Watch);
        }
        let round = 1 + self.rng.below(self.plan.pipeline);
        for _ in 0..round.min(u64::from(self.clients[client].left)) {
            self.clients[client].left -= 1;
            let asked = self.draw_request(client);
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

    fn draw_request(&mut self, client: usize) -> Asked {
        if self.rng.chance(self.plan.conditions) {
            return self.draw_conditional(client);
        }
        if self.rng.chance(self.plan.scans) {
            return self.draw_scan();
        }
        let key = self.rng.below(self.plan.keys);
        let kind = self.rng.below(100);
        if kind < self.plan.gets {
            return Asked::Get(key);
        }
        if kind < self.plan.gets + self.plan.dels {
            return Asked::Del(key, None);
        }
        Asked::Put(key, self.new_text(0, None))
    }

    fn draw_conditional(&mut self, client: usize) -> Asked {
        let key = self.rng.below(self.plan.keys);
        match self.rng.below(12) {
            0 => Asked::PutIfAbsent(key, self.new_text(0, None)),
            1 => Asked::Update(key, self.new_text(0, None)),
            2 | 3 => match self.some_version(key) {
                Some(version) => Asked::Cas(key, self.new_text(0, None), version),
                None => Asked::Update(key, self.new_text(0, None)),
            },
            4 => Asked::Del(key, self.some_version(key)),
            5 => {
                let count = 1 + self.rng.below(self.plan.keys);
                Asked::Mget((key..key + count).map(|key| key % self.plan.keys).collect())
            }
            6 => Asked::Mget(self.plan.accounts().collect()),
            7 | 8 => self.draw_guarded(client, key),
            _ => match self.clients[client].accounts.clone() {
                Some(accounts) => self.draw_transfer(&accounts),
                None => Asked::Mget(self.plan.accounts().collect()),
            },
        }
    }

    /// A version of the key that somebody was told of, often the newest.
    fn some_version(&mut self, key: u64) -> Option<Version> {
        let of_key = (key, Version::ZERO)..(key + 1, Version::ZERO);
        let told: Vec<Version> = self.values.range(of_key).map(|((_, v), _)| *v).collect();
        let back = if self.rng.chance(70) { 0 } else { self.rng.below(4) as usize };
        told.iter().rev().nth(back.min(told.len().saturating_sub(1))).copied()
    }

    /// Writes a key if it is as somebody has seen it, and another one is not there. That one's
    /// replicas never check it: all rests on what was known when the request was evaluated. Often
    /// that is a deletion just before it.
    fn draw_guarded(&mut self, client: usize, key: u64) -> Asked {
        let guard = (key + 1 + self.rng.below(self.plan.keys - 1)) % self.plan.keys;
        if self.rng.chance(50) {
            self.ask(client, Asked::Del(guard, None));
        }
        let version = self.some_version(key);
        let from = version.and_then(|version| self.values.get(&(key, version)).copied());
        let text = Some(self.new_text(0, None));
        let absent = Leg { key: guard, version: None, from: None, text: None };
        Asked::Txn(vec![Leg { key, version, from, text }, absent])
    }

    /// Moves something from one account to another, if both are as the client has seen them, and
    /// sometimes only if the third one is.
    fn draw_transfer(&mut self, accounts: &[Account]) -> Asked {
        let from = self.rng.below(ACCOUNTS) as usize;
        let to = (from + 1 + self.rng.below(ACCOUNTS - 1) as usize) % ACCOUNTS as usize;
        let amount = 1 + self.rng.below(50) as i64;
        let mut legs = Vec::new();
        for (part, (place, change)) in [(from, -amount), (to, amount)].into_iter().enumerate() {
            let text = self.new_text(part, Some(accounts[place].balance + change));
            legs.push(self.leg(accounts, place, Some(text)));
        }
        if self.rng.chance(30) {
            let third = (0..accounts.len()).find(|place| *place != from && *place != to);
            legs.push(self.leg(accounts, third.expect("there are more than two"), None));
        }
        Asked::Txn(legs)
    }

    fn leg(&self, accounts: &[Account], place: usize, text: Option<String>) -> Leg {
        let Account { version, value, .. } = accounts[place];
        Leg { key: self.plan.keys + place as u64, version, from: value, text }
    }

    /// A text that nobody else writes: it begins with the number of its entry in the history.
    pub(crate) fn new_text(&mut self, part: usize, balance: Option<i64>) -> String {
        let length = self.rng.below(self.plan.value_bytes) as usize;
        let number = self.history.len() + part;
        let balance = balance.map(|balance| format!("{balance}:")).unwrap_or_default();
        format!("{number}:{balance}") + &"x".repeat(length)
    }

    /// Sends one request on a client's connection; returns the operation's number, which is that
    /// of its first entry in the history: it has one a key.
    pub(crate) fn ask(&mut self, client: usize, asked: Asked) -> usize {
        let op = self.history.len();
        let invoke = self.moment();
        // The last updates have none: there may be no room for more names.
        let last = client == self.plan.clients as usize;
        let named = asked.is_update() && !last && self.rng.chance(self.plan.named);
        let mut keys = asked.keys();
        if keys.is_empty() {
            keys.push(0);
        }
        for (part, key) in keys.into_iter().enumerate() {
            let number = (op + part) as ValueId;
            if let Some(text) = asked.text(part) {
                self.written.insert(number, text.clone());
            }
            let value_of = |version| self.values.get(&(key, version)).copied();
            self.history.push(Op {
                key: Arc::from(key_of(key).as_str()),
                client: self.clients[client].number as u32,
                action: asked.action(part, number, value_of),
                outcome: Outcome::Unknown,
                invoke,
                complete: u64::MAX,
            });
            self.asked.push(if part == 0 { asked.clone() } else { Asked::Part });
            self.tries.push((named && part == 0, 0));
        }
        self.send(client, op);
        op
    }

    /// Sends an operation's request, for the first time or again.
    pub(crate) fn send(&mut self, client: usize, op: usize) {
        let (coordinator, conn) = self.clients[client].conn.expect("connected before");
        self.tries[op].1 += 1;
        let wait = self.delay();
        let client = &mut self.clients[client];
        client.open.insert(op);
        client.sent_at = (self.now + wait).max(client.sent_at + 1);
        let at = client.sent_at;
        self.at(at, Event::Request { coordinator, conn, op });
    }

    /// The connection has ended, whoever ended it.
    pub(crate) fn on_disconnected(&mut self, client: usize, conn: u64) {
        let Some((coordinator, _)) = self.clients[client].conn.filter(|(_, own)| *own == conn)
        else {
            return;
        };
        self.clients[client].conn = None;
        self.clients[client].sent_at = 0;
        self.end_watching(conn);
        for op in std::mem::take(&mut self.clients[client].open) {
            // An update stays unknown; a read without an answer says nothing.
            self.coverage.met("ops unknown");
            assert_eq!(self.history[op].outcome, Outcome::Unknown);
            self.may_follow_up(client, op, None);
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
