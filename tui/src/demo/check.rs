//! Whether a demo holds together: its servers exist, its time is enough, its faults are allowed.
//!
//! Part of `parse`, which has read each line by itself.

use std::collections::BTreeSet;

use protocol::supervisor::ProcAction;

use super::paths::read_steps;
use super::paths::{Path, Slot};
use super::player::{KEY_MS, TYPED_MS};
use super::script::{Operand, Piece, Script, Step, Verb};
use super::{Problem, TAKES_MS_MAX, reading_ms};
use crate::commands::nearest;
use crate::console::effect::MemberChange;
use crate::console::model::COORDINATOR;

/// All that is wrong.
pub(super) fn check(script: &Script) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut nodes = script.cluster.nodes;
    let mut shots = BTreeSet::new();
    let mut has_shop = false;
    for step in &script.steps {
        let mut complain = |message: String| problems.push(Problem::at(step.place, message));
        // Who was asked about may be added with the key that says yes.
        if let Verb::Member(MemberChange::Add) | Verb::Preview(MemberChange::Add) = step.verb {
            nodes += 1;
        }
        for server in servers(&step.verb) {
            if let Some(message) = unknown_server(server, nodes, may_be_coordinator(&step.verb)) {
                complain(message);
            }
        }
        for path in paths(&step.verb) {
            if let Some(message) = wrong_slot(path, nodes) {
                complain(message);
            }
            if path.text().starts_with("shop.") && !has_shop {
                complain(format!("{}: no shop was opened by then: shop 100/s", path.text()));
            }
        }
        match &step.verb {
            Verb::Process(ProcAction::Inject(..)) if !script.cluster.lab => complain(format!(
                "faults can be ordered in a lab only: write cluster {} lab",
                script.cluster.nodes
            )),
            Verb::Shot(name) if !shots.insert(name) => {
                complain(format!("there is another shot {name:?}: give each a name of its own"));
            }
            Verb::Shop(_) if has_shop => complain("a demo opens one shop at most".into()),
            Verb::Shop(_) => has_shop = true,
            Verb::CloseShop if !has_shop => {
                complain("no shop was opened by then: shop 100/s".into());
            }
            _ => {}
        }
    }
    let least_ms: u64 = script.steps.iter().map(least_ms).sum();
    let top = super::script::Place { line: 1, column: 1 };
    if script.takes_ms < least_ms {
        let (takes, least) = (script.takes_ms.div_ceil(1_000), least_ms.div_ceil(1_000));
        let message = format!(
            "its captions and pauses alone take {least} s, and it says takes {takes}s: write \
             takes {}s, at most {}s",
            least + least / 4,
            TAKES_MS_MAX / 1_000
        );
        problems.push(Problem::at(top, message));
    }
    if !script.steps.iter().any(|step| matches!(step.verb, Verb::Expect(_) | Verb::Wait(..))) {
        let message = "nothing is expected: a demo checks what it says, as expect nodes.up = 5";
        problems.push(Problem::at(top, message));
    }
    problems
}

/// How long a step takes at least when it is shown, milliseconds.
fn least_ms(step: &Step) -> u64 {
    match &step.verb {
        Verb::Caption(pieces) => {
            let words = pieces.iter().map(|piece| match piece {
                Piece::Words(words) => words.as_str(),
                Piece::Figure(_) => "1,234",
            });
            reading_ms(&words.collect::<String>())
        }
        Verb::Pause(ms) => *ms,
        Verb::Press(keys) => KEY_MS * keys.len() as u64,
        Verb::Type(text) => TYPED_MS * text.chars().count() as u64,
        _ => 0,
    }
}

/// The servers that a step names.
fn servers(verb: &Verb) -> Vec<&str> {
    match verb {
        Verb::Select(server) => vec![server],
        Verb::Process(action) => action.proc().into_iter().collect(),
        Verb::Member(MemberChange::Remove(node) | MemberChange::Evict(node))
        | Verb::Preview(MemberChange::Remove(node) | MemberChange::Evict(node)) => vec![node],
        _ => Vec::new(),
    }
}

fn may_be_coordinator(verb: &Verb) -> bool {
    matches!(verb, Verb::Select(_) | Verb::Process(_))
}

/// The paths that a step looks at.
fn paths(verb: &Verb) -> Vec<&Path> {
    match verb {
        Verb::Wait(predicate, _) | Verb::Expect(predicate) => {
            let terms = predicate.terms.iter();
            terms
                .flat_map(|term| {
                    let other = match &term.with {
                        Operand::Times(_, path) => Some(path),
                        Operand::Literal(_) => None,
                    };
                    [Some(&term.path), other].into_iter().flatten()
                })
                .collect()
        }
        Verb::Caption(pieces) => {
            let figures = pieces.iter().filter_map(|piece| match piece {
                Piece::Figure(path) => Some(path),
                Piece::Words(_) => None,
            });
            figures.collect()
        }
        Verb::Keep(_, path) => vec![path],
        _ => Vec::new(),
    }
}

/// What is wrong with what stands for a path's variable part.
fn wrong_slot(path: &Path, nodes: u16) -> Option<String> {
    let (slot, text) = path.slot()?;
    let listed = |known: &[&str]| {
        let is_known = known.contains(&text);
        let near = nearest(text, known.iter().copied());
        let told = near.map_or_else(
            || format!("there are {}", known.join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        (!is_known).then(|| format!("{}: nothing is called {text:?}: {told}", path.text()))
    };
    match slot {
        Slot::Node => unknown_server(text, nodes, false),
        Slot::Server => unknown_server(text, nodes, true),
        Slot::Op => listed(&["get", "put", "update", "cas", "del", "mget", "scan", "txn"]),
        Slot::Step => listed(&read_steps()),
        Slot::Key => None,
    }
}

/// Why there is no such server among `nodes` nodes.
fn unknown_server(server: &str, nodes: u16, with_coordinator: bool) -> Option<String> {
    if with_coordinator && server == COORDINATOR {
        return None;
    }
    let number = server.strip_prefix('n').and_then(|number| number.parse().ok());
    let is_there = number.is_some_and(|number: u16| (1..=nodes).contains(&number));
    (!is_there || server.starts_with("n0")).then(|| {
        let coordinator = if with_coordinator { ", or coordinator" } else { "" };
        format!("there is no server {server:?} by then: n1 to n{nodes}{coordinator}")
    })
}
