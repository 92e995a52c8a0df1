//! The page of sets, one a row with room, else in several columns.
//!
//! Part of the view's picture.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::known::{Bits, Known};
use super::words::{percent, short};
use super::{PAGE_SETS, State};
use crate::console::look::Tone;
use crate::console::views::Seen;
use crate::console::widgets::grid::{Grid, Set};
use crate::console::widgets::text::{self, Span, span};

/// Columns of the counters of a set, with room.
const COUNTERS: u16 = 24;
/// Columns of the figure of a set, without room.
const FIGURE: u16 = 4;
/// What stands over the counters.
const HEAD: &str = "  hits  miss evict  hit%";

/// The columns that the wide form takes for the ways, before the counters.
pub(super) fn wide_columns(ways: u16) -> u16 {
    ways.saturating_mul(4).saturating_add(8 + COUNTERS)
}

/// How the page is laid out.
struct Form {
    /// One set a row, or several columns.
    wide: bool,
    /// The first set that is drawn, by its place on the page.
    first: usize,
    /// The ways that are drawn, where not all are: the first one, and how many.
    ways: (usize, usize),
    /// The rows below the names.
    body: Rect,
    /// The columns of one column of sets and of what is between two, in the form that has several.
    column: u16,
}

/// The sets of the page: the first, and how many.
fn page(state: &State, known: &Known<'_>) -> (u32, u32) {
    let first = state.set / PAGE_SETS * PAGE_SETS;
    let told = || known.rows().map_or(0, |(_, rows)| u32::try_from(rows.len()).unwrap_or(0));
    let there = known.shape().map_or_else(told, |(sets, _)| sets.saturating_sub(first));
    (first, there.min(PAGE_SETS))
}

impl Form {
    fn of(state: &State, known: &Known<'_>, seen: &Seen<'_>, area: Rect) -> Self {
        let (first, count) = page(state, known);
        let digits = first.saturating_add(count).saturating_sub(1).checked_ilog10().unwrap_or(0);
        let digits = (digits as u16 + 1).max(3);
        let all = known.ways();
        let wide = !seen.compact && wide_columns(all) - 8 + digits + 5 <= area.width;
        let head = area.height.min(1);
        let body = Rect { y: area.y + head, height: area.height - head, ..area };
        let room = area.width.saturating_sub(digits + 4 + FIGURE).max(1);
        let shown = if wide { all } else { all.min(room) };
        let from = if shown < all { state.way / shown * shown } else { 0 };
        let column = digits + 4 + shown + FIGURE + 2;
        let across = if wide { 1 } else { ((area.width + 2) / column).max(1) };
        let capacity = (usize::from(across) * usize::from(body.height)).max(1);
        let selected = (state.set - first) as usize;
        let last = (count as usize).saturating_sub(capacity);
        let first = (selected / capacity * capacity).min(last);
        let ways = (usize::from(from), usize::from(shown.min(all.saturating_sub(from))));
        Self { wide, first, ways, body, column }
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
    let area = area.intersection(buf.area);
    let (first, count) = page(state, known);
    if area.is_empty() {
        return;
    }
    let is_told = (first..first.saturating_add(count)).any(|set| known.row(set).is_some());
    if !is_told {
        let told = known.rows().is_some() && known.stale_ms().is_none();
        let words = match told {
            true => format!("Sets {first} to {} are asked for…", (first + count).saturating_sub(1)),
            false => known.awaited(),
        };
        return paragraph(seen, area, buf, &[span(words, Tone::Info)]);
    }
    let form = Form::of(state, known, seen, area);
    let width = area.width.saturating_sub(wide_columns(known.ways()) + 1);
    let sets: Vec<Set> = (first..first + count)
        .map(|number| one(state, known, seen, number, form.ways, usize::from(width)))
        .collect();
    let way = usize::from(state.way).checked_sub(form.ways.0);
    let selected = Some((state.set - first) as usize);
    let grid = Grid { sets: &sets, first: form.first, selected, way, head: HEAD };
    if form.wide {
        grid.draw(seen.look, area, buf);
        return;
    }
    let shown = sets.len().saturating_sub(form.first);
    names(&form, shown, seen, area, buf);
    grid.draw_compact(seen.look, form.body, buf);
}

/// Rows of text, as many as there is room for.
pub(super) fn paragraph(seen: &Seen<'_>, area: Rect, buf: &mut Buffer, spans: &[Span]) {
    let lines = text::wrapped(seen.look, spans, area.width);
    for (line, row) in lines.iter().zip(area.rows()) {
        text::put_spans(seen.look, row, buf, line);
    }
}

/// The names over each column of sets, where there are `sets` to be shown.
fn names(form: &Form, sets: usize, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let (from, count) = form.ways;
    let numbers: String =
        (from..from + count).map(|way| char::from(b'0' + (way % 10) as u8)).collect();
    let width = usize::from(form.column).saturating_sub(count + usize::from(FIGURE) + 5);
    let name = format!("{:>width$}  {numbers} {:>4}  ", "set", "hit%");
    let columns = sets.div_ceil(usize::from(form.body.height).max(1));
    let mut x = area.x;
    for _ in 0..columns {
        if x + form.column - 2 > area.right() {
            break;
        }
        let place = Rect { x, width: area.right() - x, height: 1, ..area };
        text::put(seen.look, place, buf, &name, Tone::Title);
        x += form.column;
    }
}

fn one(
    state: &State,
    known: &Known<'_>,
    seen: &Seen<'_>,
    number: u32,
    (from, count): (usize, usize),
    bars: usize,
) -> Set {
    let all = known.ways();
    let told = known.row(number).and_then(|row| Some((row, Bits::of_row(row, all)?)));
    let Some((row, bits)) = told else {
        let right = vec![span("  not told yet", Tone::Dim)];
        let (ways, figure) = (Vec::new(), seen.look.glyphs.ellipsis.into());
        return Set { number: number as usize, ways, hand: None, victim: None, right, figure };
    };
    let film = state.film.as_ref().filter(|film| film.set == number);
    let (ways, hand, victim) = match film.map(|film| film.picture()) {
        Some((slots, hand)) => (slots.into_iter().map(|slot| slot.bit).collect(), hand, None),
        None => (bits.all(), row.hand, bits.victim()),
    };
    let watched = state.watch.of(known.server, number);
    let ratio = percent(watched.and_then(super::watch::Watched::ratio));
    let counters = format!(
        "{:>6}{:>6}{:>6} {:>5}  ",
        short(row.hits),
        short(row.misses),
        short(row.evictions),
        ratio
    );
    let mut right = vec![span(counters, Tone::Text)];
    if let Some(film) = film {
        let what = if film.sweep.cause.is_none() { "pretend" } else { "slow motion" };
        right.push(span(what, Tone::Accent));
    } else if bars >= 4 {
        let lately = watched.map_or(Vec::new(), super::watch::Watched::lately);
        right.push(span(bar(seen, &lately, bars.min(16)), Tone::Bar));
    }
    let place = |way: u16| usize::from(way).checked_sub(from).filter(|way| *way < count);
    Set {
        number: number as usize,
        ways: ways.into_iter().skip(from).take(count).collect(),
        hand: place(hand),
        victim: victim.and_then(place),
        right,
        figure: format!("{ratio:>4}"),
    }
}

/// Shares as bars, the newest at the right; a blank where nothing was read.
fn bar(seen: &Seen<'_>, values: &[Option<f64>], width: usize) -> String {
    let skipped = values.len().saturating_sub(width);
    let one = |value: &Option<f64>| {
        let level = value.map(|value| (value.clamp(0.0, 1.0) * 7.0).round() as usize);
        level.map_or(" ", |level| seen.look.glyphs.bars[level.min(7)])
    };
    let bars: String = values.iter().skip(skipped).map(one).collect();
    format!("{}{bars}", " ".repeat(width.saturating_sub(values.len())))
}

/// The set at a place of `area`.
pub(super) fn set_at(
    state: &State,
    known: &Known<'_>,
    seen: &Seen<'_>,
    area: Rect,
    (x, y): (u16, u16),
) -> Option<u32> {
    known.rows()?;
    let (first, count) = page(state, known);
    let form = Form::of(state, known, seen, area);
    let down = usize::from(y.checked_sub(form.body.y).filter(|down| *down < form.body.height)?);
    let across = match form.wide {
        true => 0,
        false => usize::from(x.checked_sub(form.body.x)? / form.column),
    };
    let place = form.first + across * usize::from(form.body.height) + down;
    let place = u32::try_from(place).ok().filter(|place| *place < count)?;
    Some(first + place)
}
