//! What must hold of each kind of key, when all is over and every key was read.
//!
//! Each rule is simple enough to be checked by eye; `check` judges all histories besides. A
//! violation is told with the history of its key.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Entries;
use super::readers::{self, Watched};
use crate::check::durable::{self, Finals};
use crate::check::{Op, Outcome, ValueId, linear};

/// Whether all is as it must be; what is wrong if not.
pub(super) fn judge(
    entries: &mut Entries,
    finals: &Finals,
    watches: &[Watched],
) -> Result<(), String> {
    entries.name_what_was_seen();
    let entries = &*entries;
    let mut updates: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in entries.history.iter().filter(|op| op.action.effect().is_some()) {
        updates.entry(&op.key).or_default().push(op);
    }
    for (key, ops) in updates {
        let last = finals.get(key).copied().flatten();
        let kind = key.split('/').next().unwrap_or_default();
        let fault = match kind {
            "count" | "nameless" => counted(entries, &ops, last),
            "repeat" if key.starts_with("repeat/count/") => counted(entries, &ops, last),
            "list" => listed(entries, &ops, last),
            "set" => claimed(&ops, last),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(format!("key {key:?}: {fault}\n{}", entries.story(key)));
        }
    }
    readers::judge(entries, watches)?;
    if let Some(lost) = durable::check(&entries.history, finals).first() {
        return Err(format!("{lost}\n{}", entries.story(&lost.key)));
    }
    linear::check(&entries.history)
        .map_err(|violation| format!("{violation}\n{}", entries.story(&violation.key)))
}

/// How many of `ops` ended so.
fn ended(ops: &[&Op], outcome: Outcome) -> u64 {
    ops.iter().filter(|op| op.outcome == outcome).count() as u64
}

/// A counter holds what was acknowledged; of what is unknown, each may be counted.
fn counted(entries: &Entries, ops: &[&Op], last: Option<ValueId>) -> Option<String> {
    let holds: u64 = last.map_or(0, |id| entries.payload(id).parse().expect("a number"));
    let (done, unknown) = (ended(ops, Outcome::Ok), ended(ops, Outcome::Unknown));
    let right = (done..=done + unknown).contains(&holds);
    let sentence = || format!("holds {holds} after {done} counts and {unknown} of unknown outcome");
    (!right).then(sentence)
}

/// A list has every element that was acknowledged, none that was refused, and none twice.
fn listed(entries: &Entries, ops: &[&Op], last: Option<ValueId>) -> Option<String> {
    let text = last.map_or("", |id| entries.payload(id));
    let elements: Vec<ValueId> = text.split(',').filter_map(|id| id.parse().ok()).collect();
    let unique: BTreeSet<&ValueId> = elements.iter().collect();
    if unique.len() < elements.len() {
        return Some(format!("has an element twice: {text}"));
    }
    ops.iter().find_map(|op| {
        let id = op.action.effect().flatten()?;
        let there = unique.contains(&id);
        match op.outcome {
            Outcome::Ok if !there => Some(format!("has not {id}, which was acknowledged: {text}")),
            Outcome::Failed if there => Some(format!("has {id}, which was refused: {text}")),
            _ => None,
        }
    })
}

/// An element is there for the one who got it.
fn claimed(ops: &[&Op], last: Option<ValueId>) -> Option<String> {
    let got: Vec<Option<ValueId>> = ops
        .iter()
        .filter(|op| op.outcome == Outcome::Ok)
        .map(|op| op.action.effect().flatten())
        .collect();
    let refused = ops.iter().filter(|op| op.outcome == Outcome::Failed);
    let mut refused = refused.map(|op| op.action.effect().flatten());
    match got[..] {
        [] => refused
            .any(|id| id.is_some() && id == last)
            .then(|| format!("holds {last:?}, which was refused")),
        [id] => (id != last).then(|| format!("holds {last:?}, but {id:?} was acknowledged")),
        _ => Some(format!("was new for several: {got:?}")),
    }
}
