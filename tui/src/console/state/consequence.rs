//! What it would mean to kill, stop or pause a server, in sentences, before it is done.
//!
//! Used by the question that is asked first. Says only what the model knows.

use crate::console::model::clock::{ago, some};
use crate::console::model::holders::{Blocked, Part};
use crate::console::model::{COORDINATOR, Model};

/// The sentences; the last one says what happens next.
pub(super) fn of_losing(model: &Model, server: &str, comes_back: &str) -> Vec<String> {
    if server == COORDINATOR {
        return vec![
            "Nothing can be read or written until one serves again.".into(),
            "What was acknowledged is durable at the nodes; updates under way will be in doubt \
             until the next coordinator resolves them."
                .into(),
            comes_back.into(),
        ];
    }
    let Some(share) = model.ring.shares().get(server).copied() else {
        return vec!["It has no place on the ring: no key loses a copy.".into(), comes_back.into()];
    };
    let mut said = Vec::new();
    let node = model.nodes.get(server);
    let keys = node.and_then(|node| Some(node.keys_primary()? + node.keys_replica()?));
    if let Some(keys) = keys {
        said.push(format!(
            "It holds {} and is the primary of {:.0} % of the ring.",
            some(keys, "key"),
            share * 100.0
        ));
    }
    said.extend(copies_left(model, server));
    said.extend(evicted_later(model, server));
    said.push(comes_back.into());
    said
}

/// What its keys have left without it.
fn copies_left(model: &Model, server: &str) -> Vec<String> {
    let Some(parts) = model.parts() else {
        return vec!["Keys are being copied: those that only it holds whole are not read.".into()];
    };
    let lives = |node: &&String| *node != server && model.is_there(node);
    let left = |part: &Part| part.holders.iter().filter(lives).count();
    let held: Vec<&Part> =
        parts.iter().filter(|part| part.holders.iter().any(|node| node == server)).collect();
    if held.is_empty() {
        let words = "It has no whole copy yet: its part is not written until it is back.";
        return vec![words.into()];
    }
    let is_there = model.is_there(server);
    let mut said = Vec::new();
    let lost: Vec<&&Part> = held.iter().filter(|part| left(part) == 0).collect();
    if !lost.is_empty() {
        let share = lost.iter().map(|part| part.share).sum::<f64>() * 100.0;
        let mut away: Vec<&str> =
            lost.iter().flat_map(|part| &part.holders).map(String::as_str).collect();
        away.retain(|node| *node != server);
        away.sort_unstable();
        away.dedup();
        said.push(match (is_there, away.as_slice()) {
            (true, []) => {
                format!(
                    "It has the only copy of {share:.0} % of the keys: they cannot be read either."
                )
            }
            (true, away) => format!(
                "{} is away already: {share:.0} % of the keys, which only they hold, will not be \
                 readable.",
                away.join(", ")
            ),
            (false, _) => {
                format!("{share:.0} % of the keys cannot be read until one of their nodes is back.")
            }
        });
    }
    let left: Vec<usize> = held.iter().map(|part| left(part)).filter(|left| *left > 0).collect();
    let (Some(least), Some(most)) = (left.iter().min(), left.iter().max()) else { return said };
    let left = match (least, most) {
        (1, 1) => "one copy".to_owned(),
        (least, most) if least == most => format!("{most} copies"),
        (least, most) => format!("{least} to {most} copies"),
    };
    let whose = if lost.is_empty() { "Its keys" } else { "Its other keys" };
    said.push(match is_there {
        true => {
            format!("{whose} will have {left}: they can be read, and not written until it is back.")
        }
        false => {
            format!("It is away already: {} have {left} and are not written.", whose.to_lowercase())
        }
    });
    said
}

/// What becomes of a node that stays away, in a sentence; none: it is waited for for ever.
fn evicted_later(model: &Model, server: &str) -> Option<String> {
    let after_ms = model.cluster.as_ref()?.evict_after_ms.filter(|ms| *ms > 0)?;
    Some(match model.blocks_eviction(server) {
        Some(Blocked::NoCopy(holders)) => {
            let others = holders.iter().filter(|node| *node != server);
            let all: Vec<&str> = ["it"].into_iter().chain(others.map(String::as_str)).collect();
            format!("Others cannot get its place until {} is back.", all.join(" or "))
        }
        Some(Blocked::TooFew(there, needed)) => format!(
            "Others cannot get its place: {there} would be there to agree, and {needed} must."
        ),
        None => {
            let when = match model.evicts_in_ms(server) {
                None => format!("After {}", ago(after_ms)),
                Some(0) => "Soon".into(),
                Some(left_ms) => format!("In {}", ago(left_ms)),
            };
            format!("{when} others get its place and copy what it held: then updates flow again.")
        }
    })
}

#[cfg(test)]
#[path = "consequence_tests.rs"]
mod tests;
