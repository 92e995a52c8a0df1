//! The story bar: what happened, how far it has healed, where to look and what to press.
//!
//! Part of the screen, in every view. The words are the model's (`model::story`).

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::look::Tone;
use crate::console::model::story::{StepView, Told, Weight};
use crate::console::views::Seen;
use crate::console::widgets::chain::{Chain, StepState};
use crate::console::widgets::text::{self, Span, span};

pub(super) fn draw(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    let told = seen.model.told();
    let tone = tone(told.weight);
    for y in area.rows() {
        let edge = match told.weight {
            Weight::Calm => Tone::Dim,
            Weight::Healed => Tone::Good,
            Weight::Changing => Tone::Info,
            Weight::Warning => Tone::Warn,
            Weight::Alarm => Tone::Bad,
        };
        text::put(seen.look, y, buf, seen.look.glyphs.edge, edge);
    }
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    let row = |n: u16| Rect { y: inside.y + n, height: 1, ..inside }.intersection(inside);
    let word = match told.weight {
        Weight::Alarm => "INCIDENT ",
        Weight::Warning if !told.chain.is_empty() => "HEALING ",
        Weight::Changing => "CHANGE ",
        _ => "",
    };
    let whole = [vec![span(word, tone)], joined(&told.headline, Tone::Text)].concat();
    let fits = text::spans_width(seen.look, &whole) <= inside.width;
    match (area.height, fits) {
        (0, _) => {}
        (1, _) => {
            put_parts(seen, row(0), buf, word, tone, &told.headline);
        }
        (2, _) => {
            put_parts(seen, row(0), buf, word, tone, &told.headline);
            draw_second(seen, &told, row(1), buf);
        }
        // A headline that is too long for a row goes on in the second, and what is left of the
        // third goes to the steps.
        (_, true) => {
            text::put_spans(seen.look, row(0), buf, &whole);
            draw_steps(seen, &told, row(1), buf);
            text::put_spans(seen.look, row(2), buf, &joined(&told.advice, Tone::Dim));
        }
        (_, false) => {
            let begin = span(word, tone);
            let flowed = |rows| flowed(seen, &begin, &told.headline, inside.width, rows);
            // What it means goes before the steps, where both have no room.
            let least = told.headline.len().min(2);
            let (parts, rows) = match flowed(2) {
                (parts, rows) if parts >= least => (parts, rows),
                _ => flowed(3),
            };
            if parts == 0 {
                put_parts(seen, row(0), buf, word, tone, &told.headline);
            }
            for (at, spans) in (0..).zip(&rows) {
                text::put_spans(seen.look, row(at), buf, spans);
            }
            if rows.len() < 3 {
                draw_steps(seen, &told, row(2), buf);
            }
        }
    }
}

/// Where two rows must do: the steps, or the advice where there are none.
fn draw_second(seen: &Seen<'_>, told: &Told, row: Rect, buf: &mut Buffer) {
    if told.chain.is_empty() {
        text::put_spans(seen.look, row, buf, &joined(&told.advice, Tone::Dim));
    } else {
        draw_steps(seen, told, row, buf);
    }
}

fn draw_steps(seen: &Seen<'_>, told: &Told, row: Rect, buf: &mut Buffer) {
    let steps: Vec<(StepState, String)> = told.chain.iter().map(step).collect();
    if !steps.is_empty() {
        Chain { steps: &steps }.draw(seen.look, row, buf);
    }
}

fn step(view: &StepView) -> (StepState, String) {
    match view {
        StepView::Done(text) => (StepState::Done, text.clone()),
        StepView::Now(text) => (StepState::Now, text.clone()),
        StepView::Ahead(text) => (StepState::Ahead, text.clone()),
        StepView::Failed(text) => (StepState::Failed, text.clone()),
    }
}

pub(super) fn tone(weight: Weight) -> Tone {
    match weight {
        Weight::Calm => Tone::Text,
        Weight::Healed => Tone::Good,
        Weight::Changing => Tone::Info,
        Weight::Warning => Tone::Warn,
        Weight::Alarm => Tone::StoryBad,
    }
}

fn joined(parts: &[String], tone: Tone) -> Vec<Span> {
    vec![span(parts.join(" · "), tone)]
}

/// As many whole parts as so many rows hold, and those rows: of two rows each has whole parts if
/// that is enough, else the parts go on from row to row.
fn flowed(
    seen: &Seen<'_>,
    begin: &Span,
    parts: &[String],
    width: u16,
    rows: usize,
) -> (usize, Vec<Vec<Span>>) {
    let line = |parts: &[String]| [vec![begin.clone()], joined(parts, Tone::Text)].concat();
    let fits = |spans: &[Span]| text::spans_width(seen.look, spans) <= width;
    let first = (1..parts.len()).rev().find(|n| fits(&line(&parts[..*n])));
    let in_rows = |n: usize| {
        let aligned =
            first.filter(|first| *first < n && fits(&joined(&parts[*first..n], Tone::Text)));
        match aligned {
            Some(first) => vec![line(&parts[..first]), joined(&parts[first..n], Tone::Text)],
            None => text::wrapped(seen.look, &line(&parts[..n]), width),
        }
    };
    let counts = (1..=parts.len()).rev();
    let whole = counts.map(|n| (n, in_rows(n))).find(|(_, spans)| spans.len() <= rows);
    whole.unwrap_or_default()
}

/// Puts as many whole parts as fit into the row, but at least the first; how many.
fn put_parts(
    seen: &Seen<'_>,
    row: Rect,
    buf: &mut Buffer,
    word: &str,
    tone: Tone,
    parts: &[String],
) -> usize {
    let spans = |n: usize| [vec![span(word, tone)], joined(&parts[..n], Tone::Text)].concat();
    let fits = |n: &usize| text::spans_width(seen.look, &spans(*n)) <= row.width;
    let most = (1..=parts.len()).rev().find(fits).unwrap_or(1.min(parts.len()));
    text::put_spans(seen.look, row, buf, &spans(most));
    most
}
