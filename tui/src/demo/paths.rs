//! The one table of what a demo may look at: its name, of what kind it is, how it is read from the
//! console.
//!
//! Used by `parse` to find a path, by the player to read it, by captions to show it. Pure.

mod read;

use std::fmt::Write as _;

use crate::commands::nearest;
use crate::console::model::clock::{count, micros};
use crate::console::state::Console;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number: of things, of microseconds, a part of one, a rate; its path's kind says which.
    Number(f64),
    /// A name, or a few words.
    Word(String),
    /// Whether something is so.
    Flag(bool),
}

impl Value {
    /// Whether it is the same as another; words without regard to case.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => (a - b).abs() < 1e-9,
            (Self::Word(a), Self::Word(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

/// What a value means, and so how it is written and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How many.
    Count,
    /// A part of the whole; written as `20%`.
    Share,
    /// Microseconds; written as `200ms` or `2s`.
    Time,
    /// How many a second.
    Rate,
    /// So many times.
    Times,
    /// Words.
    Word,
    /// Yes or no.
    Flag,
}

impl Kind {
    /// What such a value looks like, for an error.
    pub fn example(self) -> &'static str {
        match self {
            Self::Count => "a number, as 5",
            Self::Share => "a part in per cent, as 20%",
            Self::Time => "a time, as 200ms or 2s",
            Self::Rate => "a number a second, as 1000",
            Self::Times => "a number, as 1.05",
            Self::Word => "a word, or words in quotes",
            Self::Flag => "yes or no",
        }
    }

    /// A value for a person.
    pub fn shown(self, value: &Value) -> String {
        let whole = |number: f64| count(number.round().max(0.0) as u64);
        match (self, value) {
            (Self::Share, Value::Number(part)) => format!("{:.0} %", part * 100.0),
            (Self::Time, Value::Number(us)) if *us >= 60e6 => format!("{:.0} s", us / 1e6),
            (Self::Time, Value::Number(us)) if *us >= 1e6 => format!("{:.1} s", us / 1e6),
            (Self::Time, Value::Number(us)) => micros(us.max(0.0) as u64),
            (Self::Times, Value::Number(times)) => {
                let text = format!("{times:.2}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            (_, Value::Number(number)) => whole(*number),
            (_, Value::Word(word)) => word.clone(),
            (_, Value::Flag(true)) => "yes".into(),
            (_, Value::Flag(false)) => "no".into(),
        }
    }
}

/// What a part of a path stands for that differs from demo to demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A node's name.
    Node,
    /// A node's name, or `coordinator`.
    Server,
    /// A key.
    Key,
    /// A kind of request: get, put ...
    Op,
    /// A step of an incident.
    Step,
}

/// One row of the table.
#[derive(Debug)]
pub struct Entry {
    /// Its name; a part in capitals stands for what a demo puts there.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it tells, in a few words.
    pub about: &'static str,
    read: fn(&Console, &str) -> Option<Value>,
}

impl Entry {
    /// What its part in capitals stands for.
    pub fn slot(&self) -> Option<Slot> {
        self.name.split('.').find_map(|part| {
            Some(match part {
                "NODE" => Slot::Node,
                "SERVER" => Slot::Server,
                "KEY" => Slot::Key,
                "OP" => Slot::Op,
                "STEP" => Slot::Step,
                _ => return None,
            })
        })
    }

    /// What stands for the part in capitals, if `text` is one of these paths; empty where it has
    /// none.
    fn fits<'a>(&self, text: &'a str) -> Option<&'a str> {
        if self.slot().is_none() {
            return (self.name == text).then_some("");
        }
        let (before, after) = self.around()?;
        let found = text.strip_prefix(before)?.strip_suffix(after)?;
        (!found.is_empty()).then_some(found)
    }

    /// What stands before and behind the part in capitals.
    fn around(&self) -> Option<(&'static str, &'static str)> {
        let from = self.name.find(|c: char| c.is_ascii_uppercase())?;
        let length = self.name[from..].find('.').unwrap_or(self.name.len() - from);
        Some((&self.name[..from], &self.name[from + length..]))
    }
}

/// A path: a row of the table with what stands for its part in capitals; or a kept figure.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    of: Of,
}

#[derive(Debug, Clone)]
enum Of {
    Entry(&'static Entry, String),
    Kept(Kind),
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What stands before the name of a figure that a demo has kept.
pub const KEPT: &str = "kept.";

impl Path {
    /// The path that is written so.
    ///
    /// # Errors
    /// A sentence, with what was probably meant.
    pub fn named(text: &str) -> Result<Self, String> {
        // Where several fit, the one with the shorter part to fill in is meant.
        let fitting = ENTRIES.iter().filter_map(|entry| Some((entry, entry.fits(text)?)));
        let found = fitting.min_by_key(|(_, slot)| slot.len());
        if let Some((entry, slot)) = found {
            let of = Of::Entry(entry, slot.to_owned());
            return Ok(Self { text: text.to_owned(), of });
        }
        Err(unknown(text))
    }

    /// The figure that was kept under a name.
    pub fn kept(name: &str, kind: Kind) -> Self {
        Self { text: format!("{KEPT}{name}"), of: Of::Kept(kind) }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name under which the figure was kept, if it is one.
    pub fn kept_name(&self) -> Option<&str> {
        matches!(self.of, Of::Kept(_)).then(|| &self.text[KEPT.len()..])
    }

    /// What it tells.
    pub fn kind(&self) -> Kind {
        match &self.of {
            Of::Entry(entry, _) => entry.kind,
            Of::Kept(kind) => *kind,
        }
    }

    /// What its variable part stands for, and what stands there.
    pub fn slot(&self) -> Option<(Slot, &str)> {
        match &self.of {
            Of::Entry(entry, text) => Some((entry.slot()?, text)),
            Of::Kept(_) => None,
        }
    }

    /// What is there now; none: that is not known, or it was kept and is not the console's.
    pub fn read(&self, console: &Console) -> Option<Value> {
        match &self.of {
            Of::Entry(entry, slot) => (entry.read)(console, slot),
            Of::Kept(_) => None,
        }
    }
}

/// That there is no such path, with the nearest one.
fn unknown(text: &str) -> String {
    let mut said = format!("there is no path {text:?}");
    // The nearest with the same variable part.
    let mut filled = Vec::new();
    for entry in ENTRIES {
        let name = match entry.around() {
            None => entry.name.to_owned(),
            Some((before, after)) => {
                let slot = text.split('.').nth(before.matches('.').count()).unwrap_or("n1");
                format!("{before}{slot}{after}")
            }
        };
        filled.push(name);
    }
    let family = || {
        let first = text.split('.').next().unwrap_or_default();
        let same = ENTRIES.iter().filter(|entry| entry.name.split('.').next() == Some(first));
        same.map(|entry| entry.name).collect::<Vec<_>>()
    };
    match nearest(text, filled.iter().map(String::as_str)) {
        Some(near) => write!(said, ": did you mean {near:?}?"),
        None if !family().is_empty() => write!(said, ": there are {}", family().join(", ")),
        None => write!(said, ": demos/README.md lists all paths"),
    }
    .expect("a text takes what is written to it");
    said
}

const fn entry(
    name: &'static str,
    kind: Kind,
    about: &'static str,
    read: fn(&Console, &str) -> Option<Value>,
) -> Entry {
    Entry { name, kind, about, read }
}

/// The steps of an incident that a path may name.
pub(super) fn read_steps() -> Vec<&'static str> {
    read::STEPS.iter().map(|(name, _)| *name).collect()
}

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry("cluster.nodes", Kind::Count, "nodes with a place on the ring", read::ring_nodes),
    entry("cluster.replicas", Kind::Count, "copies that each key shall have", read::replicas),
    entry("cluster.well", Kind::Flag, "all is well, and no incident is open", read::is_well),
    entry("nodes.up", Kind::Count, "nodes that are up", read::nodes_up),
    entry("node.NODE.state", Kind::Word, "how the coordinator sees it", read::node_state),
    entry("node.NODE.share", Kind::Share, "its part of the ring", read::node_share),
    entry("node.NODE.keys", Kind::Count, "keys that it holds a copy of", read::node_keys),
    entry("node.NODE.missed", Kind::Count, "heartbeats missed in a row", read::node_missed),
    entry("process.SERVER.state", Kind::Word, "running, dead, backoff ...", read::process_state),
    entry("process.SERVER.paused", Kind::Flag, "it stands still (SIGSTOP)", read::process_paused),
    entry("coordinator.state", Kind::Word, "claiming, fencing ... active", read::coordinator_state),
    entry("coordinator.epoch", Kind::Count, "its term of office", read::coordinator_epoch),
    entry("keys.total", Kind::Count, "live keys", read::keys_total),
    entry("keys.one_copy", Kind::Count, "keys with one live copy", read::keys_one_copy),
    entry("keys.no_copy", Kind::Count, "keys with no live copy", read::keys_no_copy),
    entry("keys.unwritable", Kind::Count, "keys that take no updates now", read::keys_unwritable),
    entry("keys.in_doubt", Kind::Count, "keys whose last update is in doubt", read::keys_in_doubt),
    entry("ops.per_s", Kind::Rate, "requests on keys", read::ops_per_s),
    entry("ops.reads_per_s", Kind::Rate, "reads", read::reads_per_s),
    entry("ops.writes_per_s", Kind::Rate, "updates", read::writes_per_s),
    entry("ops.failed", Kind::Count, "requests the cluster refused or failed", read::ops_failed),
    entry("ops.OP.ok", Kind::Count, "requests of a kind that were carried out", read::ops_ok),
    entry("updates.median", Kind::Time, "half of the updates take no longer", read::updates_median),
    entry("updates.in_sync", Kind::Count, "updates that share one sync", read::batch_txns),
    entry("txns.in_doubt", Kind::Count, "transactions in doubt", read::txns_in_doubt),
    entry("txn.KEY.outcome", Kind::Word, "of the key's last transaction", read::txn_outcome),
    entry("txn.KEY.reason", Kind::Word, "why it was not committed", read::txn_reason),
    entry("txn.KEY.took", Kind::Time, "from arrival to answer", read::txn_took),
    entry("txn.KEY.nodes", Kind::Count, "nodes that took part", read::txn_nodes),
    entry("txn.KEY.yes", Kind::Count, "nodes that voted yes", read::txn_yes),
    entry("txn.KEY.fate", Kind::Word, "open, in doubt, or how it ended", read::txn_fate),
    entry("incident.open", Kind::Flag, "an incident is not over", read::incident_open),
    entry("incident.server", Kind::Word, "whom the last incident is about", read::incident_server),
    entry("incident.lasted", Kind::Time, "how long it took, or so far", read::incident_lasted),
    entry("incident.until.STEP", Kind::Time, "until that step", read::incident_until),
    entry("incident.reads_by", Kind::Word, "who answers instead", read::incident_reads_by),
    entry("ring.number", Kind::Word, "the ring's number", read::ring_number),
    entry("ring.balance", Kind::Times, "largest share against the mean", read::ring_balance),
    entry("ring.moving", Kind::Flag, "keys are being copied", read::ring_moving),
    entry("lookup.key", Kind::Word, "the key looked up in the ring", read::lookup_key),
    entry("lookup.primary", Kind::Word, "its first node", read::lookup_primary),
    entry("lookup.second", Kind::Word, "its second node", read::lookup_second),
    entry("question.open", Kind::Flag, "the console asks before a change", read::question_open),
    entry("preview.moved", Kind::Share, "keys that get another primary", read::preview_moved),
    entry("preview.copied", Kind::Count, "keys that would be copied", read::preview_copied),
    entry("preview.modulo", Kind::Share, "the same with modulo placement", read::preview_modulo),
    entry("cache.hits", Kind::Count, "reads the coordinator's cache answered", read::cache_hits),
    entry("cache.misses", Kind::Count, "reads that it could not", read::cache_misses),
    entry("cache.evictions", Kind::Count, "entries that gave way", read::cache_evictions),
    entry("cache.ratio", Kind::Share, "hits among reads lately", read::cache_ratio),
    entry("set.filled", Kind::Count, "entries of the watched set", read::set_filled),
    entry("set.hand", Kind::Count, "where its hand stands", read::set_hand),
    entry("set.next", Kind::Word, "the key that would go next", read::set_next),
    entry("set.KEY.bit", Kind::Count, "a key's bit: one or zero", read::set_bit),
    entry("set.KEY.there", Kind::Flag, "whether it is in the set", read::set_there),
    entry("sweep.for", Kind::Word, "the key that needed room", read::sweep_for),
    entry("sweep.victim", Kind::Word, "the key that gave way", read::sweep_victim),
    entry("sweep.spared", Kind::Count, "second chances in the sweep", read::sweep_spared),
    entry("prompt.busy", Kind::Flag, "a command is carried out", read::prompt_busy),
    entry("prompt.answer", Kind::Word, "what the last command printed", read::prompt_answer),
    entry("shop.state", Kind::Word, "open, checking, adds up ...", read::shop_state),
    entry("shop.shoppers", Kind::Count, "shoppers of the demo's shop", read::shop_shoppers),
    entry("shop.carts_stored", Kind::Count, "changed carts that were stored", read::shop_carts),
    entry("shop.orders", Kind::Count, "orders that were acknowledged", read::shop_orders),
    entry("shop.overtaken", Kind::Count, "updates that came too late", read::shop_overtaken),
    entry("shop.refused", Kind::Count, "requests refused for now", read::shop_refused),
    entry(
        "shop.unknown",
        Kind::Count,
        "updates whose outcome was not known at first",
        read::shop_unknown,
    ),
    entry("shop.stock", Kind::Count, "pieces at the beginning", read::shop_stock),
    entry("shop.left", Kind::Count, "pieces left when it was closed", read::shop_left),
    entry("shop.sold", Kind::Count, "pieces in orders by then", read::shop_sold),
    entry("shop.wrong", Kind::Count, "what did not add up then", read::shop_wrong),
    entry("faults.left", Kind::Count, "faults that servers still are to have", read::faults_left),
];

#[cfg(test)]
mod tests;
