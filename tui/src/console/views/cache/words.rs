//! Sentences about sets and sweeps, and figures for a person.
//!
//! Used by the pictures of this view. Pure.

use protocol::event::{CacheSet, StepAction, Trigger};

use super::film::Sweep;
use super::known::{Bits, Known};
use crate::console::model::COORDINATOR;
use crate::console::model::clock::count;
use crate::console::widgets::grid::Way as Bit;

/// What the next key that is new to a set does there, and why.
pub(super) fn next(known: &Known<'_>, set: &CacheSet, ways: u16) -> String {
    let bits = Bits::of_set(set, ways);
    let what = match known.server {
        COORDINATOR => "The next new key here",
        _ => "The next miss here",
    };
    if let Some(empty) = bits.first_empty() {
        let room = match bits.is_empty() {
            true => "the set is empty".into(),
            false => format!("way {empty} is empty"),
        };
        return format!("{what} evicts nothing: {room}, so way {empty} is filled.");
    }
    let sweep = Sweep::pretend(set, ways);
    let Some(victim) = sweep.victim else { return String::new() };
    let key = sweep.steps.last().and_then(|step| step.key.as_ref());
    let key = key.map_or(String::new(), |key| format!(" ({})", key.as_str()));
    if sweep.is_second_round() {
        return format!(
            "{what} evicts way {victim}{key}: all bits are set, so the hand clears them all and \
             comes back to where it stands."
        );
    }
    let passed: Vec<u16> = spared(&sweep);
    if passed.is_empty() {
        return format!(
            "{what} evicts way {victim}{key}: the hand stands there and its bit is \
                        clear."
        );
    }
    let have = if passed.len() == 1 { "has its bit" } else { "have their bits" };
    let them = if passed.len() == 1 { "it" } else { "them" };
    format!(
        "{} {have} set: the hand clears {them} and passes by; {} evicts way {victim}{key}.",
        capital(&ways_named(&passed)),
        what.to_lowercase(),
    )
}

/// Why this one had to go.
pub(super) fn why(sweep: &Sweep) -> String {
    let Some(victim) = sweep.victim else {
        return match sweep.filled {
            Some(way) => format!("Way {way} was empty: nothing has to go, and the hand stays."),
            None => "Nothing is there that could go.".into(),
        };
    };
    let mut why = if sweep.is_second_round() {
        format!(
            "Why way {victim}: every entry had been used. The hand cleared all bits in one round \
             and took the first that it met again."
        )
    } else {
        match spared(sweep) {
            passed if passed.is_empty() => format!(
                "Why way {victim}: it was the first that the hand met, and nobody had used it \
                 since the hand came by before."
            ),
            passed => {
                let (had, they) = match passed.len() {
                    1 => ("had", "it keeps its place"),
                    _ => ("had", "they keep their places"),
                };
                format!(
                    "Why way {victim}: {} {had} been used since the hand came by, so {they} once \
                     more; way {victim} had not.",
                    ways_named(&passed)
                )
            }
        }
    };
    if sweep.steps.iter().any(|step| step.action == StepAction::Skip)
        || sweep.filled.is_some_and(|way| way != victim)
    {
        why.push_str(" There was a way left, but not enough bytes.");
    }
    why
}

/// What led to a sweep.
pub(super) fn cause(sweep: &Sweep) -> String {
    match &sweep.cause {
        None if sweep.victim.is_none() => "PRETEND: a new key comes; there is room".into(),
        None => "PRETEND: a new key comes, and all ways are taken".into(),
        Some((Trigger::Miss, key)) => format!("MISS: {key} was read, was not here, needs room"),
        Some((Trigger::Write, key)) => format!("WRITE: {key} was written and needs room"),
        Some((Trigger::Other, key)) => format!("{key} needs room"),
    }
}

/// What came of a sweep.
pub(super) fn outcome(sweep: &Sweep) -> String {
    let key = sweep.cause.as_ref().map_or("the new key", |(_, key)| key);
    let (before, after) = sweep.hand;
    let hand = match before == after && sweep.steps.is_empty() {
        true => "the hand stays".to_owned(),
        false => format!("the hand stops at way {after}"),
    };
    match sweep.filled {
        Some(way) if sweep.victim.is_none_or(|victim| victim == way) => {
            format!("way {way} ← {key}, its bit clear; {hand}")
        }
        Some(way) => format!("way {way} ← {key}; {hand}"),
        None => format!("{key} found no room after all; {hand}"),
    }
}

/// The ways that were passed by for having been used.
fn spared(sweep: &Sweep) -> Vec<u16> {
    let spared = sweep.steps.iter().filter(|step| step.action == StepAction::SecondChance);
    spared.map(|step| step.way).collect()
}

/// `way 3`, `ways 0 and 1`, `ways 0, 1 and 2`, `12 ways`.
fn ways_named(ways: &[u16]) -> String {
    match ways {
        [] => "no way".into(),
        [one] => format!("way {one}"),
        [most @ .., last] if ways.len() <= 8 => {
            let most: Vec<String> = most.iter().map(u16::to_string).collect();
            format!("ways {} and {last}", most.join(", "))
        }
        _ => format!("{} ways", ways.len()),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What a bit means, in a word or two.
pub(super) fn bit(bit: Bit) -> &'static str {
    match bit {
        Bit::Empty => "empty",
        Bit::Clear => "clear",
        Bit::Referenced => "set",
    }
}

/// A count in at most five columns.
pub(super) fn short(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{}k", number / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", number / 1_000_000),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

/// Bytes: `812 B`, `10.8 kB`, `1.2 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let in_tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", in_tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", in_tenths(1_000_000)),
        _ => format!("{} GB", in_tenths(1_000_000_000)),
    }
}

/// So many a second.
pub(super) fn rate(per_s: Option<f64>) -> String {
    match per_s {
        None => "-".into(),
        Some(per_s) if per_s > 0.0 && per_s < 10.0 => format!("{per_s:.1}"),
        Some(per_s) => count(per_s.round() as u64),
    }
}

/// A share, in four columns.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.0}%", share.clamp(0.0, 1.0) * 100.0))
}
