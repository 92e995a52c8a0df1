//! A sweep of the selected set's hand, step by step, or in slow motion.
//!
//! Part of the view's picture.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use protocol::event::{EvictStep, StepAction};

use super::State;
use super::film::{Film, Sweep};
use super::known::Known;
use super::words;
use crate::console::look::Tone;
use crate::console::model::COORDINATOR;
use crate::console::model::clock::ago;
use crate::console::views::Seen;
use crate::console::widgets::grid::Way as Bit;
use crate::console::widgets::text::{self, Span, span};

type Line = Vec<Span>;

/// Columns of a key in a step.
const KEY_COLUMNS: u16 = 12;

/// What stands over it.
pub(super) fn title(state: &State, known: &Known<'_>) -> (String, Vec<Span>) {
    if let Some(film) = &state.film {
        let pretend = film.sweep.cause.is_none();
        let how = match (film.is_over(), film.is_playing) {
            (true, _) => "the end",
            (false, true) => "playing",
            (false, false) => "standing still",
        };
        let mut remarks =
            vec![span(format!("step {} of {}, {how}", film.at(), film.last()), Tone::Dim)];
        if pretend {
            remarks.push(span("  PRETEND", Tone::Warn));
        }
        return ("Slow motion".into(), remarks);
    }
    let sweeps = known.sweeps(state.set);
    let Some(place) = state.chosen(&sweeps) else {
        return ("Sweeps of the hand".into(), Vec::new());
    };
    let age = ago(known.model.now.ms_since(sweeps[place].0.0));
    let which = if place + 1 == sweeps.len() { "Last sweep" } else { "Sweep" };
    let remarks = format!("{} of {}, {age} ago", place + 1, sweeps.len());
    (which.into(), vec![span(remarks, Tone::Dim)])
}

/// What stands below it.
pub(super) fn caption(state: &State, known: &Known<'_>) -> &'static str {
    match (&state.film, state.awaited) {
        (Some(_), _) => ". step  , back  p stop or go on  Esc end",
        (None, Some(_)) => "Esc: wait no longer  p: what would happen",
        (None, None) if known.sweeps(state.set).is_empty() => {
            "p: what would happen  w: wait for one"
        }
        (None, None) => "< > older, newer  p slow motion  w next one",
    }
}

/// Draws it.
pub(super) fn draw(
    state: &State,
    known: &Known<'_>,
    seen: &Seen<'_>,
    area: Rect,
    buf: &mut Buffer,
) {
    let mut area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    if seen.compact {
        let (title, remarks) = title(state, known);
        let mut spans = vec![span(format!("{title}  "), Tone::Title)];
        spans.extend(remarks);
        spans.push(span(format!("  {}", caption(state, known)), Tone::Dim));
        text::put_spans(seen.look, area, buf, &spans);
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    if let Some(film) = &state.film {
        return put(seen, area, buf, &of_film(film, seen));
    }
    let sweeps = known.sweeps(state.set);
    let mut lines = Vec::new();
    if let Some((_, set)) = known.closely(state.set).filter(|_| seen.compact) {
        lines.push(vec![span(words::next(known, set, known.ways()), Tone::Info)]);
    }
    match state.chosen(&sweeps) {
        Some(place) => lines.extend(of_sweep(&Sweep::from(sweeps[place].1), seen)),
        None => lines.push(vec![span(none(state, known), Tone::Dim)]),
    }
    put(seen, area, buf, &(lines, 0));
}

/// What is said where there is no sweep.
fn none(state: &State, known: &Known<'_>) -> String {
    if state.awaited.is_some() {
        return "Waiting for the next sweep of this set: it comes with the next new key that finds \
                all ways taken, and is played in slow motion."
            .into();
    }
    let who = match known.server {
        COORDINATOR => "a read that misses, or a write,",
        _ => "a read that misses",
    };
    format!(
        "No sweep was seen since this set is watched. There is one when {who} brings a new key \
         and all ways are taken: the hand goes from way to way, clears the bits that are set, and \
         evicts the first entry whose bit is clear."
    )
}

fn of_sweep(sweep: &Sweep, seen: &Seen<'_>) -> Vec<Line> {
    let mut lines = vec![vec![span(words::cause(sweep), Tone::Bright)]];
    let steps = sweep.steps.iter().map(|one| step(one, seen));
    if seen.compact {
        // One after the other, as far as the room goes.
        let comma = || vec![span(";  ", Tone::Dim)];
        lines.push(steps.flat_map(|step| step.into_iter().chain(comma())).collect());
    } else {
        lines.extend(steps.map(|step| [vec![span("  ", Tone::Text)], step].concat()));
    }
    lines.push(vec![span(words::outcome(sweep), Tone::Good)]);
    lines.push(vec![span(words::why(sweep), Tone::Text)]);
    lines
}

/// What the hand met at a way, and what was done.
fn step(step: &EvictStep, seen: &Seen<'_>) -> Line {
    let g = seen.look.glyphs;
    let key = step.key.as_ref().map_or("", |key| key.as_str());
    let bit = match (&step.key, step.referenced) {
        (None, _) => Bit::Empty,
        (Some(_), true) => Bit::Referenced,
        (Some(_), false) => Bit::Clear,
    };
    let glyph = match bit {
        Bit::Empty => g.dot,
        Bit::Clear => g.clear,
        Bit::Referenced => g.full,
    };
    let (done, tone) = match step.action {
        StepAction::SecondChance => ("cleared, passed by", Tone::Info),
        StepAction::Skip => ("passed by", Tone::Dim),
        StepAction::Evict => ("EVICTED", Tone::Warn),
        StepAction::Other => ("?", Tone::Dim),
    };
    vec![
        span(format!("way {:<2} ", step.way), Tone::Dim),
        span(format!("{glyph} "), tone),
        span(padded(seen, key, if seen.compact { 0 } else { KEY_COLUMNS }), Tone::Text),
        span(format!(" {}: {done}", words::bit(bit)), tone),
    ]
}

/// A key in so many columns at least; if it is much longer, its begin.
fn padded(seen: &Seen<'_>, key: &str, columns: u16) -> String {
    let key = text::elided(seen.look, key, KEY_COLUMNS);
    let free = columns.saturating_sub(text::width(seen.look, &key));
    format!("{key}{}", " ".repeat(free.into()))
}

/// The lines of slow motion as far as it has come, and which one is now.
fn of_film(film: &Film, seen: &Seen<'_>) -> (Vec<Line>, usize) {
    let g = seen.look.glyphs;
    let sweep = &film.sweep;
    let mark = |at: usize| match at == film.at() {
        true => span(format!("{} ", g.now), Tone::Accent),
        false => span(format!("{} ", g.done), Tone::Good),
    };
    let cause = format!("{}; the hand stands at way {}", words::cause(sweep), sweep.hand.0);
    let mut lines = vec![vec![mark(0), span(cause, Tone::Bright)]];
    let (slots, hand) = film.picture();
    let mut picture = vec![span("  ", Tone::Text)];
    for (way, slot) in slots.iter().enumerate() {
        let (glyph, tone) = match slot.bit {
            Bit::Empty => (g.dot, Tone::Dim),
            Bit::Clear => (g.clear, Tone::Text),
            Bit::Referenced => (g.full, Tone::Info),
        };
        let tone = if slot.met { tone } else { Tone::Dim };
        let pointer = if usize::from(hand) == way { g.pointer } else { " " };
        picture.push(span(pointer, Tone::Accent));
        picture.push(span(format!("{glyph} "), tone));
    }
    lines.insert(0, picture);
    for (at, one) in sweep.steps.iter().enumerate().take(film.at()) {
        let mut line = vec![mark(at + 1)];
        line.extend(step(one, seen));
        lines.push(line);
    }
    let now = lines.len() - 1;
    if film.is_over() {
        lines.push(vec![mark(film.last()), span(words::outcome(sweep), Tone::Good)]);
        lines.push(vec![span(words::why(sweep), Tone::Text)]);
        if slots.iter().any(|slot| !slot.met) {
            let words = "Ways that the hand did not meet are drawn as they are now.";
            lines.push(vec![span(words, Tone::Dim)]);
        }
        return (lines, now + 2);
    }
    let ahead = film.last() - film.at();
    lines.push(vec![span(format!("{} {ahead} more to come", g.dot), Tone::Dim)]);
    (lines, now + 1)
}

/// Draws lines, broken where they are too long, so that the one of number `now` is seen.
fn put(seen: &Seen<'_>, area: Rect, buf: &mut Buffer, (lines, now): &(Vec<Line>, usize)) {
    let mut rows = Vec::new();
    let mut end = 0;
    for (at, line) in lines.iter().enumerate() {
        rows.extend(text::wrapped(seen.look, line, area.width));
        if at == *now {
            end = rows.len();
        }
    }
    let first = end.saturating_sub(usize::from(area.height));
    for (line, row) in rows.iter().skip(first).zip(area.rows()) {
        text::put_spans(seen.look, row, buf, line);
    }
}
