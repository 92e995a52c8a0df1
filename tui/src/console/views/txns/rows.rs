//! The transactions that are known, as one list: in doubt, in flight, finished.
//!
//! Made anew for each picture out of the model; changes nothing.

use std::collections::BTreeSet;

use protocol::event::{Outcome, Txn, Vote};
use protocol::ids::Version;
use protocol::status::CoordinatorState;

use crate::console::look::{Glyphs, State as Glyph, Tone};
use crate::console::model::Model;
use crate::console::model::clock::{At, micros};
use crate::console::model::txns::{Doubt, TxnRow};

/// What names a transaction: its id, or its place in what was told where it was never handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// By its id.
    Tx(Version),
    /// By its number in what was told.
    No(u64),
}

/// How a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody can say at present what becomes of it.
    InDoubt,
    /// It is not finished.
    InFlight,
    /// It was in doubt and is not any more; what became of it was not told.
    Settled,
    /// It happened.
    Committed,
    /// It was handed over, and never happens.
    Aborted,
    /// It was never handed over.
    Refused,
    /// It ended in a way that this console does not know.
    Other,
}

impl Fate {
    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InDoubt => "IN DOUBT",
            Self::InFlight => "in flight",
            Self::Settled => "settled",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
            Self::Other => "other",
        }
    }

    /// As a mark, that no other has.
    pub(super) fn glyph(self, glyphs: &Glyphs) -> &'static str {
        match self {
            Self::InDoubt | Self::Other => glyphs.state(Glyph::Unknown),
            Self::InFlight => glyphs.now,
            Self::Settled => glyphs.dot,
            Self::Committed => glyphs.done,
            Self::Aborted => glyphs.failed,
            Self::Refused => glyphs.clear,
        }
    }

    /// What it means.
    pub(super) fn tone(self) -> Tone {
        match self {
            Self::InDoubt | Self::Aborted => Tone::Bad,
            Self::InFlight => Tone::Info,
            Self::Settled | Self::Other => Tone::Dim,
            Self::Committed => Tone::Good,
            Self::Refused => Tone::Warn,
        }
    }
}

/// One transaction: what was told of it, or that it is in doubt, or both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// What names it.
    pub(super) name: Name,
    /// How it is.
    pub(super) fate: Fate,
    /// What was told of it.
    pub(super) told: Option<&'a TxnRow>,
    /// That it is or was in doubt.
    pub(super) doubt: Option<&'a Doubt>,
}

impl<'a> Row<'a> {
    fn of(told: &'a TxnRow) -> Self {
        let doubt = told.doubt.as_ref();
        let fate = match told.txn.outcome {
            Some(outcome) => fate_of(outcome),
            None if doubt.is_some_and(|doubt| doubt.resolved.is_none()) => Fate::InDoubt,
            None => match doubt.and_then(|doubt| doubt.resolved) {
                Some((outcome, _)) => fate_of(outcome),
                None => Fate::InFlight,
            },
        };
        let name = told.txn.tx.map_or(Name::No(told.no), Name::Tx);
        Self { name, fate, told: Some(told), doubt }
    }

    /// What was told of it.
    pub(super) fn txn(&self) -> Option<&'a Txn> {
        self.told.map(|told| &told.txn)
    }

    /// Its id.
    pub(super) fn tx(&self) -> Option<Version> {
        match self.name {
            Name::Tx(version) => Some(version),
            Name::No(_) => None,
        }
    }

    /// Its id for a person.
    pub(super) fn id(&self) -> String {
        self.tx().map_or("-".into(), |version| version.to_string())
    }

    /// How it is, in a word: that it was in doubt goes before how that ended, which the glyph says.
    pub(super) fn word(&self) -> &'static str {
        let was_in_doubt = self.doubt.is_some_and(|doubt| doubt.resolved.is_some());
        if was_in_doubt { "resolved" } else { self.fate.word() }
    }

    /// The key that it writes first.
    pub(super) fn key(&self) -> Option<&'a str> {
        let of_txn = self.txn().and_then(|txn| txn.key.as_ref());
        let of_doubt = self.doubt.and_then(|doubt| doubt.told.key.as_ref());
        of_txn.or(of_doubt).map(protocol::ids::Key::as_str)
    }

    /// What it does, and with which keys.
    pub(super) fn what(&self) -> String {
        let op = self.txn().map_or("?", |txn| txn.op.as_str());
        let more = self.txn().map_or(0, |txn| txn.keys.saturating_sub(1));
        let more = if more > 0 { format!(" +{more}") } else { String::new() };
        format!("{op} {}{more}", self.key().unwrap_or("?"))
    }

    /// What its participants said, as it was told last.
    pub(super) fn votes(&self) -> &'a [Vote] {
        match (self.txn(), self.doubt) {
            (Some(txn), _) if !txn.votes.is_empty() => &txn.votes,
            (_, Some(doubt)) => &doubt.told.votes,
            _ => &[],
        }
    }

    /// How long it took until its client was answered, or has taken so far; microseconds.
    pub(super) fn took_us(&self, model: &Model) -> Option<u64> {
        let told = self.told?;
        let us = told.txn.us_total;
        let goes_on = matches!(self.fate, Fate::InFlight | Fate::InDoubt);
        if !goes_on || told.txn.us.answered.is_some() || model.stale_ms().is_some() {
            return Some(us);
        }
        Some(us.saturating_add(model.now.us_since(told.at)))
    }

    /// The same for a person; what is not over is longer than that.
    pub(super) fn took(&self, model: &Model) -> String {
        let Some(us) = self.took_us(model) else { return "-".into() };
        let goes_on = matches!(self.fate, Fate::InFlight | Fate::InDoubt);
        format!("{}{}", if goes_on { ">" } else { "" }, micros(us))
    }

    /// When the last of it was told.
    fn at(&self) -> At {
        let resolved =
            self.doubt.map(|doubt| doubt.resolved.map_or(doubt.since.latest(), |(_, at)| at));
        self.told.map(|told| told.at).max(resolved).unwrap_or_default()
    }
}

fn fate_of(outcome: Outcome) -> Fate {
    match outcome {
        Outcome::Committed => Fate::Committed,
        Outcome::Aborted => Fate::Aborted,
        Outcome::Refused => Fate::Refused,
        Outcome::Other => Fate::Other,
    }
}

/// All that are known: those in doubt, then those in flight, then the finished; of each the newest
/// first.
pub(super) fn all(model: &Model) -> Vec<Row<'_>> {
    let mut open: Vec<Row<'_>> = model.txns.open().map(Row::of).collect();
    let past: Vec<Row<'_>> = model.txns.past().map(Row::of).collect();
    let known: BTreeSet<Version> = open.iter().chain(&past).filter_map(Row::tx).collect();
    let alone = model.txns.doubts().filter(|(version, _)| !known.contains(version));
    let alone = alone.map(|(version, doubt)| {
        let fate = match doubt.resolved {
            Some((outcome, _)) => fate_of(outcome),
            None if is_settled(model, *version) => Fate::Settled,
            None => Fate::InDoubt,
        };
        Row { name: Name::Tx(*version), fate, told: doubt.begun.as_deref(), doubt: Some(doubt) }
    });
    let (mut in_doubt, mut rest): (Vec<_>, Vec<_>) = alone.partition(|row| is_in_doubt(row));
    in_doubt.extend(open.iter().copied().filter(is_in_doubt));
    open.retain(|row| !is_in_doubt(row));
    let since = |row: &Row<'_>| row.doubt.map(|doubt| doubt.since.latest());
    in_doubt.sort_by_key(|row| std::cmp::Reverse((since(row), row.tx())));
    open.sort_by_key(|row| std::cmp::Reverse(row.told.map(|told| told.no)));
    rest.extend(past);
    // Stable: what was told at the same moment stays in the order in which it was told.
    rest.sort_by_key(|row| std::cmp::Reverse(row.at()));
    in_doubt.into_iter().chain(open).chain(rest).collect()
}

/// The newest that is open and in doubt.
pub(super) fn newest_in_doubt(model: &Model) -> Option<Version> {
    let open = model.txns.open().map(Row::of).filter(is_in_doubt);
    let newest = open.max_by_key(|row| (row.doubt.map(|doubt| doubt.since.latest()), row.tx()));
    newest.and_then(|row| row.tx())
}

/// Whether it is in doubt now.
pub(super) fn is_in_doubt(row: &Row<'_>) -> bool {
    row.fate == Fate::InDoubt
}

/// A coordinator that serves and has nothing open of earlier epochs has decided it, though it may
/// not have told so.
fn is_settled(model: &Model, version: Version) -> bool {
    let coordinator = &model.coordinator;
    version.epoch().0 < coordinator.epoch
        && coordinator.state == Some(CoordinatorState::Active)
        && coordinator.in_doubt == 0
}

/// The place of a transaction in the list.
pub(super) fn place(rows: &[Row<'_>], name: Name) -> Option<usize> {
    rows.iter().position(|row| row.name == name)
}

/// A node's place among all, for its colour.
pub(super) fn node_tone(model: &Model, node: &str) -> Tone {
    let place = model.nodes.keys().position(|name| name == node);
    place.map_or(Tone::Text, |place| Tone::Node(u8::try_from(place % 256).unwrap_or(0)))
}

/// What keeps a node from answering, as far as that is known: its state, and for how long.
pub(super) fn hindrance(model: &Model, node: &str) -> Option<String> {
    let process = model.procs.get(node);
    if model.is_paused(node) {
        return Some(format!("{node} is PAUSED"));
    }
    let known = model.nodes.get(node)?;
    if process.is_some_and(|process| process.pid.is_none() && process.state == "dead") {
        return Some(format!("{node} has ended"));
    }
    (!known.is_well())
        .then(|| format!("{node} is {} for {}", known.word(), known.state_since.words(model.now)))
}

/// Whether a node is gone: what was on its way to it or from it is lost.
pub(super) fn is_gone(model: &Model, node: &str) -> bool {
    use protocol::status::NodeState;
    let ended = |process: &crate::console::model::servers::Process| process.state == "dead";
    let state = model.nodes.get(node).and_then(|node| node.state);
    model.procs.get(node).is_some_and(ended)
        || matches!(state, Some(NodeState::Down | NodeState::Evicted))
}
