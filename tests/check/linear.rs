//! Is a history linearizable? Is there, for every key, one order of its operations that explains
//! every answer and puts no operation before one that had ended when it began?
//!
//! Called with the history of a whole run. Keys are registers of their own, and linearizability is
//! local (Herlihy & Wing 1990), so each is checked apart. Here the operations of a key are turned
//! into the few kinds that the search knows (`search`, after Wing & Gong 1993 and Lowe 2017); what
//! needs no search is decided here. Never guesses: a search that is too long is an error, too.
//!
//! # What makes it fast, and why that is sound
//!
//! Let S be an order that explains the history, if there is one.
//!
//! * **A refused operation, and a read whose answer was lost**, constrain nothing: dropped.
//! * **Values are unique**, so a read of v comes after *the* put of v, and all reads of v before
//!   the next update. Hence the put happened before the first of its reads ended: its interval is
//!   cut there, also if its own outcome is unknown; from then on it is an operation like any other.
//!   A read of v happened after the put of v began: its interval starts no earlier.
//! * **An unknown put that nobody read** (a *spare put*) can be left out of S unless the next
//!   operation in S that is no spare is a deletion that found something, and the key was empty
//!   before. For else the next one is a put or an unknown deletion, which do the same on any
//!   state, or nothing, or a deletion that finds what was there before as well; it is no read, as
//!   none returns the spare's value, or "not there" while it stands. So spare puts are no
//!   operations of the search: they are a stock from which such a deletion takes one. They have no
//!   end, so each one that has begun can be taken at any later time, and taking the one that began
//!   first leaves the others at least as usable: the stock is one counter.
//! * **An unknown deletion** can be left out of S unless the next operation in S is an answer
//!   "not there" and the key was not empty before: any put after it does the same on any state, a
//!   deletion that found something cannot follow it. So these are a stock with one counter as well.
//! * **A write under a condition that was carried out** is a read of what it was conditional on, and
//!   a write. One that finds the key there can follow a spare put as a deletion that found something
//!   can, one that finds it empty can follow an unknown deletion as "not there" can. If its own
//!   outcome is unknown and nobody read its value, its condition is forgotten: it is a spare put or
//!   an unknown deletion. That lets more histories pass, never fewer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::search::{Found, Kind, Placed, Problem, Search, Task};
use super::{Action, Op, Outcome, ValueId, Violation};

/// How many of the operations around a violation are shown.
const SHOWN_MAX: usize = 12;

/// Whether each key of `history` has an order that explains it; the first key's violation if not.
///
/// # Panics
/// If two writes of a key write the same value: the caller's mistake.
pub(crate) fn check(history: &[Op]) -> Result<(), Violation> {
    let mut keys: BTreeMap<Arc<str>, Vec<&Op>> = BTreeMap::new();
    for op in history {
        keys.entry(op.key.clone()).or_default().push(op);
    }
    keys.into_iter().try_for_each(|(key, ops)| check_key(&key, &ops))
}

fn check_key(key: &Arc<str>, ops: &[&Op]) -> Result<(), Violation> {
    let violation = |sentence: &str, details| Violation {
        key: key.clone(),
        sentence: sentence.into(),
        details,
    };
    let problem = prepare(ops).map_err(|(sentence, ops)| {
        violation(sentence, ops.iter().map(ToString::to_string).collect())
    })?;
    match Search::new(&problem).run() {
        Found::Order(_) => Ok(()),
        Found::GaveUp => {
            Err(violation("the search for an order was given up as too long", Vec::new()))
        }
        Found::NoOrder => {
            Err(violation("no order of its operations explains the answers", explain(ops)))
        }
    }
}

/// The longest beginning of the history that has an order, the end of that order, and the answer
/// that none explains.
fn explain(ops: &[&Op]) -> Vec<String> {
    // Every beginning of a linearizable history is linearizable, so there is one first moment at
    // which it stops being so, found by halving; the operation that ends then is the one to show.
    let mut ends: Vec<u64> =
        ops.iter().map(|op| op.latest()).filter(|end| *end < u64::MAX).collect();
    ends.sort_unstable();
    ends.dedup();
    let first_bad = ends.partition_point(|end| order_of(&until(ops, *end)).is_some());
    let bad_end = ends.get(first_bad).copied().unwrap_or(u64::MAX);
    let good = first_bad.checked_sub(1).map_or_else(Vec::new, |last| until(ops, ends[last]));
    let order = order_of(&good).unwrap_or_default();

    let mut lines = vec![format!("{} operations have an order; it ends with:", order.len())];
    lines.extend(order[order.len().saturating_sub(SHOWN_MAX)..].iter().map(|op| format!("  {op}")));
    lines.push("and then this answer cannot be placed in any order:".into());
    let culprits = ops.iter().filter(|op| op.latest() == bad_end);
    lines.extend(culprits.map(|op| format!("  {op}")));
    lines.push("other operations that were open then:".into());
    let open = ops.iter().filter(|op| op.invoke <= bad_end && op.latest() > bad_end);
    let open = open.filter(|op| op.outcome != Outcome::Failed);
    lines.extend(open.rev().take(SHOWN_MAX).map(|op| format!("  {op}")));
    lines
}

/// What was known of `ops` at the moment `end`.
fn until(ops: &[&Op], end: u64) -> Vec<Op> {
    let begun = ops.iter().filter(|op| op.invoke <= end);
    begun
        .map(|op| {
            let outcome = if op.latest() <= end { op.outcome } else { Outcome::Unknown };
            // What is refused later is known to be without effect; leaving it unknown would only
            // make the explanation longer.
            let refused = op.outcome == Outcome::Failed;
            Op { outcome: if refused { Outcome::Failed } else { outcome }, ..(*op).clone() }
        })
        .collect()
}

/// An order of `ops`, for reading.
fn order_of(ops: &[Op]) -> Option<Vec<String>> {
    let ops: Vec<&Op> = ops.iter().collect();
    let problem = prepare(&ops).ok()?;
    let Found::Order(order) = Search::new(&problem).run() else { return None };
    let line = |placed| match placed {
        Placed::Task(index) => ops[problem.tasks[index].op].to_string(),
        Placed::SparePut => "(a put whose outcome is unknown)".into(),
        Placed::SpareDel => "(a deletion whose outcome is unknown)".into(),
    };
    Some(order.into_iter().map(line).collect())
}

/// The search problem of one key's operations, or why there can be no order.
fn prepare<'a>(ops: &[&'a Op]) -> Result<Problem, (&'static str, Vec<&'a Op>)> {
    let mut writers: BTreeMap<ValueId, &Op> = BTreeMap::new();
    for op in ops {
        if let Some(Some(value)) = op.action.effect() {
            let twice = writers.insert(value, op);
            assert!(twice.is_none(), "value {value} of key {:?} is written twice", op.key);
        }
    }
    let read_by = first_reads(ops, &writers)?;
    let mut problem = Problem::default();
    for (index, op) in ops.iter().enumerate() {
        if op.outcome == Outcome::Failed {
            continue;
        }
        let unknown = op.outcome == Outcome::Unknown;
        let (mut invoke, mut latest) = (op.invoke, op.latest());
        let mut read = false;
        match op.action.effect() {
            None if unknown => continue,
            Some(None) if unknown => {
                problem.spare_dels.push(op.invoke);
                continue;
            }
            Some(Some(value)) => match read_by.get(&value) {
                Some(by) => (read, latest) = (true, latest.min(*by)),
                None if unknown => {
                    problem.spare_puts.push(op.invoke);
                    continue;
                }
                None => {}
            },
            None | Some(None) => {}
        }
        let kind = match op.action {
            Action::Get(value) => Kind::Read(value),
            Action::Del { found: false } => Kind::Read(None),
            Action::Del { found: true } => Kind::Take,
            Action::Put(value) => Kind::Put { value, read },
            Action::Replace(value) => Kind::Replace(value),
            Action::Swap { from, to } => Kind::Swap { from, to },
        };
        if let Some(value) = reads(op) {
            invoke = invoke.max(writers[&value].invoke);
        }
        problem.tasks.push(Task { kind, invoke, latest, op: index });
    }
    problem.sort();
    Ok(problem)
}

/// The value that an operation has seen, if it has taken effect.
fn reads(op: &Op) -> Option<ValueId> {
    match op.action {
        Action::Get(value) => value,
        Action::Swap { from, .. } => from,
        _ => None,
    }
}

/// For each value that was read: when the first read of it ended.
fn first_reads<'a>(
    ops: &[&'a Op],
    writers: &BTreeMap<ValueId, &'a Op>,
) -> Result<BTreeMap<ValueId, u64>, (&'static str, Vec<&'a Op>)> {
    let mut read_by: BTreeMap<ValueId, u64> = BTreeMap::new();
    let certain = ops.iter().filter(|op| op.outcome == Outcome::Ok);
    let mut ahead: Vec<(&Op, u64)> = certain.map(|op| (*op, op.complete)).collect();
    while let Some((op, by)) = ahead.pop() {
        let Some(value) = reads(op) else { continue };
        let Some(writer) = writers.get(&value) else {
            return Err(("a read returned a value that nobody wrote", vec![op]));
        };
        if writer.outcome == Outcome::Failed {
            return Err(("a read returned the value of a refused write", vec![writer, op]));
        }
        if by < writer.invoke {
            return Err(("a read returned a value before its write began", vec![op, writer]));
        }
        let before = read_by.entry(value).or_insert(u64::MAX);
        if by < *before {
            *before = by;
            // Whatever its own client knows, it has taken effect, and so what it rests on.
            if writer.outcome == Outcome::Unknown {
                ahead.push((writer, by));
            }
        }
    }
    Ok(read_by)
}
