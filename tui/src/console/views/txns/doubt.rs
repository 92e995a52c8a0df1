//! A transaction in doubt, in words: what each vote proves, who is missing, what may be done, and
//! what became of it.
//!
//! Pure: lines of spans, not yet broken.

use protocol::event::Vote;

use crate::console::look::{Look, Tone};
use crate::console::model::Model;
use crate::console::model::clock::{ago, micros};
use crate::console::model::txns::Doubt;
use crate::console::widgets::text::{Span, span};

use super::rows::{Fate, Row, hindrance, node_tone};
use super::words;

/// Columns of a node's name and role before its vote.
const NAME: usize = 12;

/// The lines; none of one that never was in doubt.
pub(super) fn lines(row: &Row<'_>, model: &Model, look: &Look) -> Vec<Vec<Span>> {
    let Some(doubt) = row.doubt else { return Vec::new() };
    if let Some((outcome, at)) = doubt.resolved {
        let long = doubt.since.words(at);
        let text = format!(
            "It was in doubt for {long}, and is {}: {}.",
            outcome.as_str(),
            words::resolved(outcome)
        );
        return vec![vec![span(text, Tone::Bright)], client(row, model)];
    }
    let long = doubt.since.words(model.now);
    if row.fate == Fate::Settled {
        let text = format!(
            "It was in doubt {long} ago. A new coordinator serves, and nothing of earlier ones is \
             open: it is settled. Which way was not told; ask for the outcome of {}.",
            row.id()
        );
        return vec![vec![span(text, Tone::Text)]];
    }
    if row.fate != Fate::InDoubt {
        return Vec::new();
    }
    let mut lines: Vec<Vec<Span>> = Vec::new();
    lines.extend(row.votes().iter().map(|vote| of_vote(vote, model, look)));
    let told = |what: &str, text: &str| {
        vec![span(format!("{what}: "), Tone::Title), span(text.to_owned(), Tone::Text)]
    };
    if !doubt.told.meaning.is_empty() {
        lines.push(told("what it means", &doubt.told.meaning));
    }
    if let Some(action) = safe_action(doubt, model) {
        lines.push(told("what to do", &action));
    }
    lines.push(client(row, model));
    lines
}

/// What may be done. Whoever told that does not know a node that stands still from one that ended:
/// that one must not be started, but let go on.
fn safe_action(doubt: &Doubt, model: &Model) -> Option<String> {
    let missing = || doubt.told.missing.iter().map(|node| node.as_str());
    let (paused, ended): (Vec<&str>, Vec<&str>) = missing().partition(|node| model.is_paused(node));
    if paused.is_empty() {
        return Some(doubt.told.safe_action.clone()).filter(|told| !told.is_empty());
    }
    let others = match ended.as_slice() {
        [] => String::new(),
        ended => format!(" Start {} again.", ended.join(", ")),
    };
    let (is, it) = if paused.len() == 1 { ("is", "it") } else { ("are", "them") };
    let held = if doubt.told.missing.len() == 1 { "it holds" } else { "they hold" };
    let paused = paused.join(", ");
    Some(format!(
        "{paused} {is} paused: P lets {it} go on.{others} What {held} decides. To learn the \
         outcome repeat the update with the same once."
    ))
}

/// Since when it is in doubt and who is missing, for the line that says how it is.
pub(super) fn head(doubt: &Doubt, model: &Model) -> Vec<Span> {
    let long = doubt.since.words(model.now);
    let missing: Vec<&str> = doubt.told.missing.iter().map(|node| node.as_str()).collect();
    let why: Vec<String> = missing.iter().filter_map(|node| hindrance(model, node)).collect();
    let mut line = vec![span(format!(" for {long}"), Tone::Bright)];
    if !missing.is_empty() {
        line.push(span(format!(" · missing: {}", missing.join(", ")), Tone::Bright));
    }
    if !why.is_empty() {
        line.push(span(format!(" ({})", why.join("; ")), Tone::Warn));
    }
    line
}

fn of_vote(vote: &Vote, model: &Model, look: &Look) -> Vec<Span> {
    let name = vote.node.as_str();
    let (glyph, tone) = words::vote_glyph(vote.vote, look.glyphs);
    let who = format!("{name} {}", words::role(vote.role));
    vec![
        span(format!("{who:<NAME$}"), node_tone(model, name)),
        span(format!(" {glyph} {:<4} ", words::vote(vote.vote)), tone),
        span(words::proves(vote.vote), Tone::Text),
    ]
}

/// What its client knows, and what it may do.
fn client(row: &Row<'_>, model: &Model) -> Vec<Span> {
    let reason = row.txn().and_then(|txn| txn.reason.as_deref());
    let answered = row.txn().and_then(|txn| txn.us.answered);
    let limit_ms = model.cluster.as_ref().map(|cluster| cluster.limits.op_ms);
    let safe = "Repeating the update with the same once is safe: it never runs twice.";
    let open = row.fate == Fate::InDoubt;
    let text = match (reason, answered) {
        (Some("unknown_outcome"), Some(us)) => {
            format!("was told unknown_outcome after {}. {safe}", micros(us))
        }
        (Some(code), _) => format!("was told {code}. {safe}"),
        (None, Some(us)) => format!("was told the outcome, after {}.", micros(us)),
        (None, None) if open && row.told.is_some() => {
            let limit = limit_ms
                .map_or(String::new(), |ms| format!(" ({} where it asked for no other)", ago(ms)));
            format!("at its deadline{limit} it is told unknown_outcome. {safe}")
        }
        (None, None) => format!("if it asked, it was told unknown_outcome. {safe}"),
    };
    vec![span("its client: ", Tone::Title), span(text, Tone::Text)]
}
