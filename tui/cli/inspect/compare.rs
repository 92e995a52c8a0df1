//! Two nodes side by side: the keys that both should hold, and hold differently.
//!
//! Called by `inspect`. Compares versions and checksums of what each would serve after a start. A
//! key that one of them has not decided yet is told apart: its next start learns what became of it.

use std::cmp::Ordering;
use std::path::Path;

use cluster::inspect::{Decided, Entry, NodeDirectory, Role, Snapshot};
use protocol::ids::{Key, Value};
use serde_json::{Value as Json, json};

use super::keystore::Pages;
use super::{Out, counted, quoted};
use crate::print::{Exit, Failure};

/// One of the two.
struct Side {
    node: NodeDirectory,
    name: String,
    keystore: Snapshot,
    decided: Decided,
}

/// What became of a comparison.
#[derive(Default)]
struct Totals {
    compared: u64,
    different: u64,
    undecided: u64,
}

/// Compares the nodes in `one` and `other`.
pub(super) fn run(out: &mut Out<'_>, one: &Path, other: &Path) -> Result<Exit, Failure> {
    let (one, other) = (side(out, one)?, side(out, other)?);
    check_pair(&one.node, &other.node)?;
    let mut totals = Totals::default();
    let (mut left, mut right) = (Pages::new(&one.keystore), Pages::new(&other.keystore));
    let (mut a, mut b) = (next(&one, &mut left)?, next(&other, &mut right)?);
    loop {
        let order = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key.cmp(&b.key),
        };
        let (mut here, mut there) = (None, None);
        if order != Ordering::Greater {
            here = std::mem::replace(&mut a, next(&one, &mut left)?);
        }
        if order != Ordering::Less {
            there = std::mem::replace(&mut b, next(&other, &mut right)?);
        }
        compare(out, &mut totals, (&one, here.as_ref()), (&other, there.as_ref()))?;
    }
    let Totals { compared, different, undecided } = totals;
    let words = format!(
        "{} should be on both {} and {}: {} on them, {} undecided on one",
        counted(compared, "key"),
        one.name,
        other.name,
        if different == 0 { "all are the same".into() } else { format!("{different} differ") },
        undecided,
    );
    let object = json!({
        "kind": "comparison", "nodes": [one.name, other.name], "compared": compared,
        "different": different, "undecided": undecided,
    });
    out.line(&words, &object)?;
    Ok(if different > 0 { Exit::NotThere } else { Exit::Done })
}

fn side(out: &mut Out<'_>, dir: &Path) -> Result<Side, Failure> {
    let node = NodeDirectory::open(dir)?;
    let name = node.name().map_or_else(|| dir.display().to_string(), ToString::to_string);
    for what in &node.damage {
        out.damage(&name, what)?;
    }
    let unreadable = |what: &dyn std::fmt::Display| {
        let text = format!("the keystore of {} cannot be compared: {what}", dir.display());
        Failure::new(Exit::Other, "damaged", text)
    };
    let mut keystore = match node.keystore() {
        Some(Ok(keystore)) => keystore,
        Some(Err(error)) => return Err(unreadable(&error)),
        None => return Err(unreadable(&"it has none yet")),
    };
    let decided = node.replay(&mut keystore).map_err(|error| unreadable(&error))?;
    for what in &decided.damage {
        out.damage(&format!("the log of {name}"), what)?;
    }
    Ok(Side { node, name, keystore, decided })
}

/// Whether there is anything that both should hold.
fn check_pair(one: &NodeDirectory, other: &NodeDirectory) -> Result<(), Failure> {
    if one.store() == other.store() {
        return Err(Failure::usage("both directories are of one node: give those of two"));
    }
    let (Some(a), Some(b)) = (one.ring(), other.ring()) else {
        let text = "one of them was never part of a cluster: there is nothing to compare";
        return Err(Failure::usage(text));
    };
    if a.cluster != b.cluster {
        let text = format!("they are of two clusters, {} and {}", a.cluster, b.cluster);
        return Err(Failure::usage(text));
    }
    Ok(())
}

fn next(side: &Side, pages: &mut Pages<'_>) -> Result<Option<Entry>, Failure> {
    pages.next().map_err(|damage| {
        let text = format!("the keystore of {} cannot be read any further: {damage}", side.name);
        Failure::new(Exit::Other, "damaged", text)
    })
}

fn compare(
    out: &mut Out<'_>,
    totals: &mut Totals,
    (one, a): (&Side, Option<&Entry>),
    (other, b): (&Side, Option<&Entry>),
) -> Result<(), Failure> {
    let Some(key) = a.or(b).map(|entry| &entry.key) else { return Ok(()) };
    let both = [one, other].iter().all(|side| side.node.role(key) != Role::Stray);
    if !both {
        return Ok(());
    }
    totals.compared += 1;
    for (side, entry) in [(one, a), (other, b)] {
        if entry.is_some_and(|entry| !entry.whole) {
            out.damage(&side.name, &format!("the checksum of key {key:?} is wrong"))?;
        }
    }
    if is_same(a, b) {
        return Ok(());
    }
    let open = |side: &Side| side.decided.undecided.contains_key(key);
    let undecided = open(one) || open(other);
    *(if undecided { &mut totals.undecided } else { &mut totals.different }) += 1;
    let words = format!(
        "{}  {} has {}, {} has {}{}",
        quoted(key),
        one.name,
        in_words(a),
        other.name,
        in_words(b),
        if undecided { "  (undecided: the next start settles it)" } else { "" },
    );
    let object = json!({
        "kind": if undecided { "undecided" } else { "difference" },
        "key": key.as_str(),
        "nodes": [in_json(one, key, a), in_json(other, key, b)],
    });
    out.line(&words, &object)
}

/// Whether two nodes hold the same. A deletion may have been dropped by one of them.
fn is_same(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            let (a, b) = (&a.stored, &b.stored);
            (a.version, a.checksum, a.is_live()) == (b.version, b.checksum, b.is_live())
        }
        (Some(only), None) | (None, Some(only)) => !only.stored.is_live(),
        (None, None) => true,
    }
}

fn in_words(entry: Option<&Entry>) -> String {
    let Some(Entry { stored, .. }) = entry else { return "nothing".into() };
    match &stored.value {
        Some(value) => {
            let size = counted(value.len() as u64, "byte");
            format!("{} ({size}, {:08x})", stored.version, stored.checksum)
        }
        None => format!("its deletion {}", stored.version),
    }
}

fn in_json(side: &Side, key: &Key, entry: Option<&Entry>) -> Json {
    let stored = entry.map(|entry| &entry.stored);
    let undecided = side.decided.undecided.get(key);
    json!({
        "node": side.name,
        "version": stored.map(|stored| stored.version.to_string()),
        "deleted": stored.is_some_and(|stored| !stored.is_live()),
        "bytes": stored.and_then(|stored| stored.value.as_ref()).map(Value::len),
        "checksum": stored.map(|stored| format!("{:08x}", stored.checksum)),
        "undecided": undecided.map(super::versions).unwrap_or_default(),
    })
}
