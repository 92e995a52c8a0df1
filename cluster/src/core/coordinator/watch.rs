//! Clients that are told of every committed change of a key or prefix.
//!
//! A line is made at the commit point, in commit order per key, behind cache and decisions; one a
//! change and connection, however many of its watches match. A change of coordinator ends them:
//! what was committed between two coordinators neither could tell. With nobody watching, a commit
//! pays for one comparison. How far a reader is behind is the shell's to watch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::error::ErrorReply;
use protocol::ids::{Key, Version};
use protocol::peer::Prepare;
use protocol::reply;

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::{Answer, ClientId, Coordinator, Effect, RETRY_AFTER_MS};

/// Watches at a time; more are `overloaded`.
const WATCHES_MAX: usize = 4_096;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchOp {
    /// One key.
    Key(Key),
    /// All keys that begin so.
    Prefix(Box<str>),
}

/// Who watches what.
#[derive(Debug, Default)]
pub(super) struct Watches {
    keys: BTreeMap<Key, BTreeSet<ClientId>>,
    prefixes: BTreeMap<ClientId, Box<str>>,
    count: usize,
}

impl Watches {
    fn conns(&self) -> BTreeSet<u64> {
        let keys = self.keys.values().flatten();
        keys.chain(self.prefixes.keys()).map(|client| client.conn).collect()
    }

    /// The connections that watch a key, each with the first of its requests that does.
    fn of(&self, key: &Key) -> BTreeMap<u64, u64> {
        let by_prefix = self.prefixes.iter().filter(|(_, p)| key.as_str().starts_with(&***p));
        let by_key = self.keys.get(key).into_iter().flatten();
        let mut watching = BTreeMap::new();
        for client in by_key.chain(by_prefix.map(|(client, _)| client)) {
            let slot = watching.entry(client.conn).or_insert(client.slot);
            *slot = client.slot.min(*slot);
        }
        watching
    }
}

impl Coordinator {
    pub(super) fn on_watch(&mut self, now: Time, client: ClientId, op: WatchOp) {
        if !self.may_tell(now) {
            let why = "half of the nodes do not answer, so this coordinator may not tell";
            self.reply_error(client, ErrorReply::unavailable(why, None));
            return;
        }
        if self.watches.count >= WATCHES_MAX {
            let error = ErrorReply::overloaded("watches", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        self.watches.count += 1;
        match op {
            WatchOp::Key(key) => {
                self.watches.keys.entry(key).or_default().insert(client);
            }
            WatchOp::Prefix(prefix) => {
                self.watches.prefixes.insert(client, prefix);
            }
        }
        let version = Version::new(self.epoch, self.counter);
        self.reply(client, Answer::Ok(reply::version_tail(version)));
    }

    /// Tells the changes of a committed transaction.
    pub(super) fn tell_watchers(&mut self, prepare: &Prepare) {
        if self.watches.count == 0 {
            return;
        }
        let told = if planted(Bug::WatchedFirstOnly) { 1 } else { prepare.writes.len() };
        for write in prepare.writes.iter().take(told) {
            let watching = self.watches.of(&write.key);
            if watching.is_empty() {
                continue;
            }
            let key = write.key.as_str();
            let line: Bytes = match &write.value {
                Some(value) => reply::watch_put_line(key, value.0.as_bytes(), prepare.id),
                None => reply::watch_del_line(key, prepare.id),
            };
            let clients = watching.into_iter().map(|(conn, slot)| ClientId { conn, slot });
            self.effects.push(Effect::Watched { clients: clients.collect(), line });
        }
    }

    pub(super) fn end_watches_of(&mut self, conn: u64) {
        if self.watches.count == 0 {
            return;
        }
        self.watches.prefixes.retain(|client, _| client.conn != conn);
        self.watches.keys.retain(|_, clients| {
            clients.retain(|client| client.conn != conn);
            !clients.is_empty()
        });
        let by_key: usize = self.watches.keys.values().map(BTreeSet::len).sum();
        self.watches.count = by_key + self.watches.prefixes.len();
    }

    /// This coordinator cannot go on telling: nobody is left to believe that it does.
    pub(super) fn lose_watches(&mut self) {
        if planted(Bug::WatchNotLost) {
            return;
        }
        let watches = std::mem::take(&mut self.watches);
        self.effects.extend(watches.conns().into_iter().map(Effect::WatchLost));
    }
}
