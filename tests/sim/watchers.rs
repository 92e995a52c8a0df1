//! Simulated clients that scan and watch, and what must hold of what they are told.
//!
//! A page of a scan is as good as a read of each key that it covers: so each becomes one in the
//! history, which then must have an order. A watch must be told of every committed change, in
//! order per key, until it is lost.

use std::collections::BTreeMap;

use cluster::core::coordinator::ScanOp;
use protocol::ids::{Key, Version};
use protocol::reply::{self, WatchLine};

use super::asked::Asked;
use super::coordinator::key_of;
use super::world::{Failure, World};
use crate::check::{Action, Op, Outcome};

/// What one connection's watch was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watching {
    /// As answered; nothing counts before.
    start: Option<Version>,
    /// Each change: the key's number, its version, and the entry of the history that wrote the value.
    told: Vec<(u64, Version, Option<usize>)>,
    /// The client knows that it may have missed something from here on.
    ended: bool,
}

impl World {
    /// A page to ask for.
    pub(crate) fn draw_scan(&mut self) -> Asked {
        let after = self.rng.chance(50).then(|| key_of(self.rng.below(self.plan.keys)));
        let prefix = if self.rng.chance(50) { "" } else { "key-" };
        let limit = 1 + self.rng.below(6) as usize;
        Asked::Scan(ScanOp { prefix: prefix.into(), after, limit, values: self.rng.chance(90) })
    }

    /// A page has come: each key that it covers was read.
    pub(crate) fn on_page(&mut self, client: usize, op: usize, scan: &ScanOp, line: &[u8]) {
        let Ok(page) = reply::decode_page(line).expect("replies read back") else { return };
        self.coverage.met("pages");
        let keys: Vec<&Key> = page.items.iter().map(|item| &item.key).collect();
        let next = page.next.as_deref();
        let sound = keys.windows(2).all(|pair| pair[0] < pair[1])
            && keys.first().is_none_or(|first| Some(*first) > scan.after.as_ref())
            && keys.len() <= scan.limit
            && next.is_none_or(|next| keys.last().is_some_and(|last| last.as_str() == next));
        if !sound {
            self.fail(Failure::NotLinear(format!("{scan:?} was answered {page:?}")));
        }
        let invoke = self.history[op].invoke;
        for number in self.plan.all_keys() {
            let key = key_of(number);
            let item = page.items.iter().find(|item| item.key == key);
            let covered =
                Some(&key) > scan.after.as_ref() && next.is_none_or(|next| key.as_str() <= next);
            let value = match item {
                None if covered => None,
                Some(item) if scan.values => {
                    let value = item.value.as_ref().expect("values were asked for");
                    assert_eq!(value.len() as u64, item.bytes);
                    Some(self.learn_value(number, item.version, value))
                }
                _ => continue,
            };
            let complete = self.moment();
            self.history.push(Op {
                key: key.as_str().into(),
                client: client as u32,
                action: Action::Get(value),
                outcome: Outcome::Ok,
                invoke,
                complete,
            });
            // Operations are numbered by their place in the history.
            self.asked.push(Asked::Part);
            self.tries.push((false, 0));
        }
    }

    /// A watch has begun.
    pub(crate) fn on_watching(&mut self, conn: u64, line: &[u8]) {
        if let Ok(version) = reply::decode_version(line).expect("replies read back") {
            self.coverage.met("watches");
            let watching = self.watching.entry(conn).or_default();
            watching.start.get_or_insert(version);
        }
    }

    /// A line for a connection that watches.
    pub(crate) fn on_watch_line(&mut self, client: usize, conn: u64, line: &[u8]) {
        if self.clients[client].conn.is_none_or(|(_, own)| own != conn) {
            return;
        }
        let change = match reply::decode_watch(line).expect("lines read back") {
            WatchLine::Change(change) => change,
            WatchLine::Lost => {
                self.coverage.met("watches lost");
                self.on_disconnected(client, conn);
                return;
            }
            WatchLine::Other => panic!("a line of an unknown kind"),
        };
        self.coverage.met("watch lines");
        let number = change.key.as_str().trim_start_matches("key-").parse().expect("a number");
        let value = change.value.as_ref();
        let writer = value.map(|value| self.learn_value(number, change.version, value) as usize);
        let watching = self.watching.get_mut(&conn).expect("it is told after its answer");
        watching.told.push((number, change.version, writer));
    }

    /// A connection has ended: what was on its way to it is not missed.
    pub(crate) fn end_watching(&mut self, conn: u64) {
        if let Some(watching) = self.watching.get_mut(&conn) {
            watching.ended = true;
        }
    }

    /// Judges what watches were told.
    pub(crate) fn judge_watches(&mut self) {
        let mut wrong = Vec::new();
        for (conn, watching) in &self.watching {
            let Some(start) = watching.start else { continue };
            let mut last: BTreeMap<u64, Version> = BTreeMap::new();
            for (key, version, writer) in &watching.told {
                if last.insert(*key, *version).is_some_and(|before| before >= *version) {
                    wrong.push(format!("conn {conn} key {key}: {version} out of order"));
                }
                let Some(op) = *writer else { continue };
                let entry = &self.history[op];
                let refused = entry.outcome == Outcome::Failed || entry.action.effect().is_none();
                let other = self.versions.get(&op).is_some_and(|(_, told)| told != version);
                if refused || other {
                    wrong.push(format!("conn {conn}: op {op} was told of as {version}"));
                }
            }
            for (op, (key, version)) in &self.versions {
                let due = *version > start
                    && version.epoch() == start.epoch()
                    && (!watching.ended || last.get(key).is_some_and(|last| last > version));
                let told = watching.told.iter().any(|(k, v, _)| (k, v) == (key, version));
                if due && !told {
                    wrong.push(format!("conn {conn} key {key}: {version} of op {op} is missing"));
                }
            }
        }
        for text in wrong {
            self.fail(Failure::Watch(text));
        }
    }
}
