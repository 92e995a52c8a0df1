//! The first two rows: how the cluster and the console's own connections are; the views' names.
//!
//! Part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::action::ViewName;
use crate::console::look::Tone;
use crate::console::model::clock::{ago, count, micros};
use crate::console::model::feed::FeedState;
use crate::console::state::Console;
use crate::console::views::Seen;
use crate::console::widgets::text::{self, Span, span};

/// Columns of a cluster's name: of a longer one the beginning is shown.
const NAME_COLUMNS: u16 = 24;
/// Columns of a tab: a digit, a name, and what marks the one that is shown.
const TAB_COLUMNS: u16 = 12;

/// Where each view's name stands: from a column up to another.
pub(super) fn tab_places() -> impl Iterator<Item = (ViewName, u16, u16)> {
    ViewName::ALL.into_iter().map(|view| {
        let from = 1 + (view.digit() as u16 - 1) * TAB_COLUMNS;
        (view, from, from + TAB_COLUMNS)
    })
}

/// Columns of all of them.
pub(super) fn tabs_width() -> u16 {
    1 + ViewName::ALL.len() as u16 * TAB_COLUMNS
}

pub(super) fn draw(console: &Console, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let right = right(console, seen);
    let room = area.width.saturating_sub(text::spans_width(seen.look, &right) + 2);
    let mut shown: Vec<Span> = Vec::new();
    for (at, part) in left(console, seen).into_iter().enumerate() {
        let mut longer = shown.clone();
        longer.push(span(if at == 0 { " " } else { "   " }, Tone::Text));
        longer.extend(part);
        if text::spans_width(seen.look, &longer) > room {
            break;
        }
        shown = longer;
    }
    text::put_spans(seen.look, area, buf, &shown);
    text::put_spans_right(seen.look, area, buf, &right);
}

/// The parts from the left, the most important first: what does not fit is left out.
fn left(console: &Console, seen: &Seen<'_>) -> Vec<Vec<Span>> {
    let model = seen.model;
    let name = model.cluster.as_ref().map_or("", |cluster| cluster.name.as_str());
    let title = if name.is_empty() { "piazza" } else { name };
    let title = text::elided(seen.look, title, NAME_COLUMNS);
    let mut parts = vec![vec![span(title, Tone::Bright)], vec![liveness(seen)]];
    let (up, all) = model.nodes_up();
    let tone = if up == all { Tone::Good } else { Tone::Bad };
    if all > 0 && model.is_unheard() {
        parts.push(vec![span(format!("?/{all} up"), Tone::Bad)]);
    } else if all > 0 {
        parts.push(vec![span(format!("{up}/{all} up"), tone)]);
    }
    if let Some(ops) = model.figures.ops_per_s() {
        parts.push(vec![span(format!("{} op/s", count(ops.round() as u64)), Tone::Text)]);
    }
    if let Some(p99) = model.figures.update_p99_us() {
        parts.push(vec![span(format!("update p99 {}", micros(p99)), Tone::Text)]);
    }
    let dropped = model.coordinator_feed.dropped() + model.supervisor_feed.dropped();
    let tone = if dropped > 0 { Tone::Warn } else { Tone::Dim };
    parts.push(vec![span(format!("dropped {}", count(dropped)), tone)]);
    if let Some(events) = model.coordinator_feed.rate.per_s() {
        parts.push(vec![span(format!("{} events/s", count(events.round() as u64)), Tone::Dim)]);
    }
    if model.cluster.is_some() {
        parts.push(vec![span(format!("epoch {}", model.coordinator.epoch), Tone::Dim)]);
    }
    if !console.settings.address.is_empty() {
        parts.push(vec![span(format!("@{}", console.settings.address), Tone::Dim)]);
    }
    parts
}

fn liveness(seen: &Seen<'_>) -> Span {
    let (model, glyphs) = (seen.model, seen.look.glyphs);
    if model.has_ended {
        return span(format!("{} RECORDING ENDED", glyphs.dot), Tone::Warn);
    }
    match (&model.coordinator_feed.state, model.stale_ms()) {
        (FeedState::Live, None) => span(format!("{} LIVE", glyphs.full), Tone::Good),
        (FeedState::Live, Some(age)) => {
            span(format!("{} SILENT {}", glyphs.failed, ago(age)), Tone::Bad)
        }
        (FeedState::Lost(_), age) => {
            let age = age.map_or(String::new(), ago);
            span(format!("{} LOST {age}", glyphs.failed), Tone::Bad)
        }
        _ => span(format!("{} connecting", glyphs.dot), Tone::Warn),
    }
}

fn right(console: &Console, seen: &Seen<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Some(frozen) = &console.frozen {
        let behind = console.model.record.total() - frozen.record.total();
        spans.push(span(format!("FROZEN +{}, Space goes on ", count(behind)), Tone::Warn));
    }
    let faults: usize = seen.model.procs.values().map(|process| process.injected.len()).sum();
    if faults > 0 {
        spans.push(span(format!("FAULTS {faults} "), Tone::Bad));
    } else if seen.model.lab {
        spans.push(span("LAB ", Tone::Warn));
    }
    let (word, tone) = match &console.read_only {
        Some(_) => ("READ-ONLY ", Tone::Warn),
        None if seen.model.forbids_updates() => ("READ-ONLY ", Tone::Warn),
        None if seen.model.forbidden().is_some() => ("READ-ONLY but keys ", Tone::Warn),
        None if !console.confirm => ("UNASKED ", Tone::Danger),
        None => ("", Tone::Dim),
    };
    spans.push(span(word, tone));
    spans
}

pub(super) fn draw_tabs(console: &Console, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    for (view, from, to) in tab_places() {
        let place = Rect { x: area.x + from, width: to - from, ..area }.intersection(area);
        let shown = view == console.view;
        let name = format!("{} {}", view.digit(), view.title());
        let spans = if shown {
            vec![span(format!("[{name}]"), Tone::Accent)]
        } else {
            vec![span(format!(" {name}"), Tone::Dim)]
        };
        text::put_spans(seen.look, place, buf, &spans);
    }
    let from = tabs_width();
    let rest = Rect { x: area.x + from, width: area.width.saturating_sub(from), ..area };
    let pending = console.pending.last().map(|words| span(format!("{words} ... "), Tone::Warn));
    // One that does not fit here stands in the row of hints.
    let fits = |words: &&String| text::width(seen.look, words) < rest.width;
    let remark = console.remarks.back().map(|(_, words)| words).filter(fits);
    let remark = remark.map(|words| span(format!("{words} "), Tone::Info));
    text::put_spans_right(seen.look, rest, buf, &Vec::from_iter(pending.or(remark)));
}
