//! The checkers' own tests: hand-made wrong histories must be caught and right ones must pass, and
//! on thousands of small random histories `linear` must agree with brute force.
//!
//! Run by `cargo test check::`. Never used by other tests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::durable::{self, Finals};
use super::seeded::{Seeded, from_env};
use super::{Action, History, Op, Outcome, ValueId, linear};

const FOUND: Action = Action::Del { found: true };
const NOT_FOUND: Action = Action::Del { found: false };

fn op(action: Action, outcome: Outcome, invoke: u64, complete: u64) -> Op {
    Op { key: "k".into(), client: 0, action, outcome, invoke, complete }
}

fn ok(action: Action, invoke: u64, complete: u64) -> Op {
    op(action, Outcome::Ok, invoke, complete)
}

fn put(value: ValueId, invoke: u64, complete: u64) -> Op {
    ok(Action::Put(value), invoke, complete)
}

fn get(value: impl Into<Option<ValueId>>, invoke: u64, complete: u64) -> Op {
    ok(Action::Get(value.into()), invoke, complete)
}

fn unknown(action: Action, invoke: u64) -> Op {
    op(action, Outcome::Unknown, invoke, 0)
}

fn refused(action: Action, invoke: u64, complete: u64) -> Op {
    op(action, Outcome::Failed, invoke, complete)
}

fn swap(
    from: impl Into<Option<ValueId>>,
    to: impl Into<Option<ValueId>>,
    invoke: u64,
    complete: u64,
) -> Op {
    ok(Action::Swap { from: from.into(), to: to.into() }, invoke, complete)
}

#[test]
fn wrong_histories_are_caught() {
    let wrong: &[(&str, History)] = &[
        ("stale read", vec![put(1, 0, 1), put(2, 2, 3), get(1, 4, 5)]),
        ("lost write", vec![put(1, 0, 1), get(None, 2, 3)]),
        ("lost write, seen before", vec![put(1, 0, 9), get(1, 1, 2), get(None, 3, 4)]),
        ("read of a refused write", vec![refused(Action::Put(1), 0, 1), get(1, 2, 3)]),
        ("read of a write refused later", vec![refused(Action::Put(1), 0, 9), get(1, 2, 3)]),
        ("back after a deletion", vec![put(1, 0, 1), ok(FOUND, 2, 3), get(1, 4, 5)]),
        ("never written", vec![put(1, 0, 1), get(7, 2, 3)]),
        ("from the future", vec![get(1, 0, 1), put(1, 2, 3)]),
        ("reads go back", vec![put(1, 0, 1), put(2, 2, 9), get(2, 3, 4), get(1, 5, 6)]),
        (
            "reads go back, unknown write",
            vec![put(1, 0, 1), unknown(Action::Put(2), 2), get(2, 3, 4), get(1, 5, 6)],
        ),
        ("deleted twice", vec![put(1, 0, 1), ok(FOUND, 2, 3), ok(FOUND, 4, 5)]),
        ("deletion finds nothing", vec![put(1, 0, 1), ok(NOT_FOUND, 2, 3)]),
        ("refused deletion", vec![put(1, 0, 1), refused(FOUND, 2, 3), get(None, 4, 5)]),
        (
            "one unknown write, found twice",
            vec![unknown(Action::Put(1), 0), ok(FOUND, 1, 2), ok(FOUND, 3, 4)],
        ),
        (
            "one unknown deletion for two",
            vec![unknown(FOUND, 0), put(1, 0, 1), get(None, 2, 3), put(2, 4, 5), get(None, 6, 7)],
        ),
        ("unknown write, found too early", vec![ok(FOUND, 0, 1), unknown(Action::Put(1), 2)]),
        ("condition on what was not there", vec![put(1, 0, 1), put(2, 2, 3), swap(1, 3, 4, 5)]),
        ("two on one", vec![put(1, 0, 1), swap(1, 2, 2, 9), swap(1, 3, 3, 9)]),
        ("absent though there", vec![put(1, 0, 1), swap(None, 2, 2, 3)]),
        ("two on none", vec![swap(None, 1, 0, 9), swap(None, 2, 1, 9)]),
        ("updated though not there", vec![ok(Action::Replace(1), 0, 1)]),
        ("deleted by version, and there", vec![put(1, 0, 1), swap(1, None, 2, 3), get(1, 4, 5)]),
        ("lost update", vec![put(1, 0, 1), swap(1, 2, 2, 9), get(2, 3, 4), swap(1, 3, 5, 6)]),
        (
            "two readers disagree on the order",
            vec![put(1, 0, 9), put(2, 0, 9), get(1, 1, 2), get(2, 3, 4), get(1, 5, 6)],
        ),
    ];
    for (name, history) in wrong {
        let violation = linear::check(history).expect_err(name);
        assert!(!violation.to_string().is_empty());
        assert!(!brute_force(history), "{name}");
    }
}

#[test]
fn right_histories_pass() {
    let right: &[(&str, History)] = &[
        ("nothing", vec![]),
        ("one after the other", vec![get(None, 0, 1), put(1, 2, 3), get(1, 4, 5)]),
        ("concurrent read of old", vec![put(1, 0, 1), put(2, 2, 9), get(1, 3, 4), get(2, 5, 6)]),
        ("ends touch", vec![put(1, 0, 5), get(None, 5, 6)]),
        (
            "unknown write seen late",
            vec![unknown(Action::Put(1), 0), get(None, 1, 2), get(1, 3, 4)],
        ),
        ("unknown write never seen", vec![unknown(Action::Put(1), 0), get(None, 1, 2)]),
        (
            "unknown deletion late",
            vec![put(1, 0, 1), unknown(FOUND, 2), get(1, 3, 4), get(None, 5, 6)],
        ),
        (
            "unknown write deleted",
            vec![unknown(Action::Put(1), 0), ok(FOUND, 1, 2), get(None, 3, 4)],
        ),
        (
            "unknown write and deletion, twice",
            vec![
                unknown(Action::Put(1), 0),
                unknown(Action::Put(2), 1),
                ok(FOUND, 2, 3),
                ok(NOT_FOUND, 4, 5),
                ok(FOUND, 6, 7),
            ],
        ),
        ("refused", vec![put(1, 0, 1), refused(Action::Put(2), 2, 3), get(1, 4, 5)]),
        ("conditions in a row", vec![swap(None, 1, 0, 9), swap(1, 2, 0, 9), swap(2, None, 0, 9)]),
        (
            "update of an unknown write",
            vec![unknown(Action::Put(1), 0), ok(Action::Replace(2), 1, 2)],
        ),
        (
            "absent by an unknown deletion",
            vec![put(1, 0, 1), unknown(FOUND, 2), swap(None, 2, 3, 4)],
        ),
        (
            "a chain of unknown ones that somebody saw the end of",
            vec![
                unknown(Action::Put(1), 0),
                unknown(Action::Swap { from: Some(1), to: Some(2) }, 1),
                get(2, 3, 4),
            ],
        ),
        ("lost read", vec![put(1, 0, 1), unknown(Action::Get(None), 2), get(1, 4, 5)]),
    ];
    for (name, history) in right {
        if let Err(violation) = linear::check(history) {
            panic!("{name}: {violation}");
        }
        assert!(brute_force(history), "{name}");
    }
}

#[test]
fn an_explanation_names_the_first_answer_that_is_wrong() {
    let history = vec![
        put(1, 0, 1),
        put(2, 2, 3),
        get(2, 4, 5),
        get(1, 6, 7),
        // All this comes later and is right by itself.
        put(3, 8, 9),
        get(3, 10, 11),
        get(2, 12, 13),
    ];
    let text = linear::check(&history).expect_err("stale").to_string();
    assert!(text.contains("get -> 1"), "{text}");
    assert!(!text.contains("put 3"), "{text}");
}

#[test]
fn keys_are_checked_apart() {
    let mut history = vec![put(1, 0, 1), get(1, 2, 3)];
    history.push(Op { key: "other".into(), ..get(None, 2, 3) });
    assert_eq!(linear::check(&history), Ok(()));
    history.push(Op { key: "other".into(), ..get(1, 4, 5) });
    assert_eq!(&*linear::check(&history).expect_err("never written there").key, "other");
}

/// All orders, one after the other.
fn brute_force(history: &[Op]) -> bool {
    let ops: Vec<&Op> = history.iter().filter(|op| op.outcome != Outcome::Failed).collect();
    fn from_here(ops: &[&Op], left: BTreeSet<usize>, holds: Option<ValueId>) -> bool {
        if left.iter().all(|index| ops[*index].outcome == Outcome::Unknown) {
            return true;
        }
        let bound = left.iter().map(|index| ops[*index].latest()).min().unwrap_or(u64::MAX);
        left.iter().any(|index| {
            let op = ops[*index];
            let certain = op.outcome == Outcome::Ok;
            let (fits, after) = match op.action {
                Action::Get(value) => (!certain || value == holds, holds),
                Action::Put(value) => (true, Some(value)),
                Action::Del { found } => (!certain || found == holds.is_some(), None),
                Action::Replace(value) => (holds.is_some(), Some(value)),
                Action::Swap { from, to } => (holds == from, to),
            };
            let mut rest = left.clone();
            rest.remove(index);
            fits && op.invoke <= bound && from_here(ops, rest, after)
        })
    }
    from_here(&ops, (0..ops.len()).collect(), None)
}

/// A history of up to 7 operations in which anything may be wrong; about half of them are right.
fn small_random_history(random: &mut Seeded) -> History {
    let mut history = History::new();
    let mut values = 0;
    for _ in 0..=random.below(7) {
        let invoke = random.below(14);
        let complete = invoke + random.below(6);
        let value = random.below(4);
        let action = match random.below(10) {
            0..4 => {
                values += 1;
                Action::Put(values)
            }
            4..6 => Action::Get((value > 0).then_some(value)),
            6 => {
                values += 1;
                let from = (value > 0).then_some(value);
                let to = random.chance(70).then_some(values);
                *random.one_of(&[Action::Replace(values), Action::Swap { from, to }])
            }
            _ => Action::Del { found: random.chance(60) },
        };
        // What is unknown and conditional is checked more loosely than by brute force.
        let loose = matches!(action, Action::Replace(_) | Action::Swap { .. });
        let outcome = match random.below(10) {
            0..3 if loose => Outcome::Ok,
            0..3 => Outcome::Unknown,
            3 => Outcome::Failed,
            _ => Outcome::Ok,
        };
        history.push(op(action, outcome, invoke, complete));
    }
    history
}

#[test]
fn agrees_with_brute_force_on_small_histories() {
    let (seed, repeat) = from_env("PIAZZA_CHECK_SEED");
    let mut random = Seeded::new(seed);
    let mut right = 0;
    const ROUNDS: u64 = 40_000;
    for round in 0..ROUNDS {
        let history = small_random_history(&mut random);
        let expected = brute_force(&history);
        let found = linear::check(&history);
        assert_eq!(found.is_ok(), expected, "round {round}, {repeat}: {found:?}\n{history:#?}");
        right += u64::from(expected);
    }
    assert!((ROUNDS / 10..ROUNDS * 9 / 10).contains(&right), "{right} of {ROUNDS}: one-sided");
}

/// What `clients` clients see of one register, each operation taking effect at some moment between
/// its ends; `unknown` of 1000 operations are lost, and may take effect much later.
fn simulated(random: &mut Seeded, ops: u64, clients: u64, unknown: u64) -> History {
    let mut plan: Vec<(u64, Op)> = Vec::new();
    let mut free = vec![0; clients as usize];
    for value in 1..=ops {
        let client = random.below(clients) as usize;
        let invoke = free[client] + random.below(20);
        let complete = invoke + 1 + random.below(100);
        free[client] = complete + 1;
        let action = match random.below(10) {
            0..5 => Action::Get(None),
            5..8 => Action::Put(value),
            _ => NOT_FOUND,
        };
        let lost = random.below(1000) < unknown;
        let at = if lost {
            invoke + random.below(3000)
        } else {
            invoke + random.below(complete - invoke + 1)
        };
        let outcome = if lost { Outcome::Unknown } else { Outcome::Ok };
        plan.push((at, Op { client: client as u32, ..op(action, outcome, invoke, complete) }));
    }
    plan.sort_by_key(|(at, _)| *at);
    let mut holds = None;
    for (_, op) in &mut plan {
        let never = op.outcome == Outcome::Unknown && random.chance(50);
        match &mut op.action {
            _ if never => {}
            Action::Get(value) => *value = holds,
            Action::Put(value) => holds = Some(*value),
            Action::Del { found } => *found = holds.take().is_some(),
            Action::Replace(_) | Action::Swap { .. } => unreachable!("not planned"),
        }
    }
    plan.into_iter().map(|(_, op)| op).collect()
}

#[test]
fn thousands_of_operations_are_checked_quickly_and_one_wrong_read_is_found() {
    let (seed, repeat) = from_env("PIAZZA_CHECK_SEED");
    let mut random = Seeded::new(seed);
    let begin = Instant::now();
    for clients in [1, 4, 20] {
        let history = simulated(&mut random, 5000, clients, 15);
        if let Err(violation) = linear::check(&history) {
            panic!("{clients} clients, {repeat}: {violation}");
        }
        // A read that returns what was overwritten long before.
        let mut wrong = history.clone();
        let old = wrong.iter().find_map(|op| match (op.action, op.outcome) {
            (Action::Put(value), Outcome::Ok) => Some(value),
            _ => None,
        });
        let last = wrong
            .iter_mut()
            .rev()
            .find(|op| matches!(op.action, Action::Get(_)) && op.outcome == Outcome::Ok);
        last.expect("some read").action = Action::Get(old);
        assert!(linear::check(&wrong).is_err(), "{clients} clients, {repeat}");
    }
    // Two orders of magnitude above what it takes.
    assert!(begin.elapsed().as_secs() < 60, "{:?}, {repeat}", begin.elapsed());
}

fn finals(value: impl Into<Option<ValueId>>) -> Finals {
    Finals::from([(Arc::from("k"), value.into())])
}

#[test]
fn a_write_that_does_not_survive_is_caught() {
    let lost = |history: &[Op], value: Option<ValueId>| {
        !durable::check(history, &finals(value)).is_empty()
    };
    let two = [put(1, 0, 1), put(2, 2, 3)];
    assert!(!lost(&two, Some(2)));
    assert!(lost(&two, Some(1)));
    assert!(lost(&two, None));
    assert!(lost(&two, Some(3)));
    let overlap = [put(1, 0, 5), put(2, 2, 3)];
    assert!(!lost(&overlap, Some(1)) && !lost(&overlap, Some(2)) && lost(&overlap, None));
    let in_doubt = [put(1, 0, 1), unknown(Action::Put(2), 2), unknown(FOUND, 3)];
    assert!(!lost(&in_doubt, Some(1)) && !lost(&in_doubt, Some(2)) && !lost(&in_doubt, None));
    let deleted = [put(1, 0, 1), ok(FOUND, 2, 3)];
    assert!(!lost(&deleted, None) && lost(&deleted, Some(1)));
    let not_deleted = [put(1, 0, 1), refused(FOUND, 2, 3), ok(NOT_FOUND, 0, 0)];
    assert!(lost(&not_deleted, None) && !lost(&not_deleted, Some(1)));
    let refused_put = [put(1, 0, 1), refused(Action::Put(2), 2, 3)];
    assert!(lost(&refused_put, Some(2)));
    assert_eq!(durable::check(&two, &Finals::new()).len(), 1, "a key that was not read");
}
