//! The whole picture: who gets which place, what lies where the mouse points, and the figures of
//! the whole cache.
//!
//! Part of the view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::find::Find;
use super::known::Known;
use super::words::{self, percent, rate};
use super::{State, grid, set, sweep};
use crate::console::look::Tone;
use crate::console::model::caches::Cache;
use crate::console::model::clock::{ago, count};
use crate::console::views::{Pointed, Seen};
use crate::console::widgets::frame::Frame;
use crate::console::widgets::spark::Spark;
use crate::console::widgets::text::{self, Span, span};

/// Rows of the figures of the whole cache, with room.
const FIGURE_ROWS: u16 = 6;
/// Columns of the set, without room.
const SET_COLUMNS: u16 = 35;
/// Rows of the sweep, without room.
const SWEEP_ROWS: u16 = 7;

/// What lies at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// That set.
    Set(u32),
    /// That way.
    Way(u16),
    /// The sets: the wheel goes down, or up.
    Sets(bool),
    /// The ways, likewise.
    Ways(bool),
    /// The sweeps, likewise.
    Sweeps(bool),
}

/// Who gets which place.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// Whose cache it is, without room; nothing with it.
    head: Rect,
    grid: Rect,
    figures: Rect,
    set: Rect,
    sweep: Rect,
}

/// What is inside a box, as the box itself sees it.
fn inner(area: Rect) -> Rect {
    if area.width >= 4 && area.height >= 3 {
        return Rect {
            x: area.x + 1,
            y: area.y + 1,
            width: area.width - 2,
            height: area.height - 2,
        };
    }
    let title = u16::from(area.height >= 2);
    Rect { y: area.y + title, height: area.height - title, ..area }
}

/// The part of `area` from a row on, so high at most.
fn rows(area: Rect, from: u16, height: u16) -> Rect {
    let from = from.min(area.height);
    Rect { y: area.y + from, height: height.min(area.height - from), ..area }
}

/// The part of `area` from a column on, so wide at most.
fn columns(area: Rect, from: u16, width: u16) -> Rect {
    let from = from.min(area.width);
    Rect { x: area.x + from, width: width.min(area.width - from), ..area }
}

/// The boxes of the full picture: the sets, one set, a sweep.
fn boxes(area: Rect, ways: u16) -> [Rect; 3] {
    let most = u16::try_from(u32::from(area.width) * 58 / 100).unwrap_or(area.width);
    let left = grid::wide_columns(ways).saturating_add(20).min(most);
    let right = columns(area, left, u16::MAX);
    let half = u16::try_from(u32::from(area.height) * 6 / 10).unwrap_or(area.height);
    let upper = ways.saturating_add(8).min(half);
    [columns(area, 0, left), rows(right, 0, upper), rows(right, upper, u16::MAX)]
}

impl Places {
    fn of(area: Rect, compact: bool, ways: u16) -> Self {
        if !compact {
            let [sets, set, sweep] = boxes(area, ways);
            let sets = inner(sets);
            let upper = sets.height.saturating_sub(FIGURE_ROWS);
            let (set, sweep) = (inner(set), inner(sweep));
            let grid = rows(sets, 0, upper);
            let figures = rows(sets, upper, u16::MAX);
            return Self { head: rows(area, 0, 0), grid, figures, set, sweep };
        }
        let middle = area.height.saturating_sub(2 + SWEEP_ROWS);
        let both = rows(area, 1, middle);
        let left = area.width.saturating_sub(SET_COLUMNS);
        Self {
            head: rows(area, 0, 1),
            grid: columns(both, 0, left.saturating_sub(1)),
            figures: rows(area, 1 + middle, 1),
            set: columns(both, left.saturating_add(1), u16::MAX),
            sweep: rows(area, 2 + middle, u16::MAX),
        }
    }
}

/// What lies where the mouse points.
pub(super) fn at(state: &State, seen: &Seen<'_>, area: Rect, at: Pointed) -> Option<At> {
    let known = Known::of(seen.model, state.server());
    let places = Places::of(area, seen.compact, known.ways());
    let within = |place: Rect, (x, y): (u16, u16)| {
        (place.left()..place.right()).contains(&x) && (place.top()..place.bottom()).contains(&y)
    };
    match at {
        Pointed::Click(x, y) if within(places.grid, (x, y)) => {
            grid::set_at(state, &known, seen, places.grid, (x, y)).map(At::Set)
        }
        Pointed::Click(x, y) if within(places.set, (x, y)) => {
            set::way_at(state, &known, seen, places.set, y).map(At::Way)
        }
        Pointed::Click(..) => None,
        Pointed::Wheel(x, y, down) => {
            let over = |place| within(place, (x, y));
            [(places.grid, At::Sets(down)), (places.set, At::Ways(down))]
                .into_iter()
                .chain([(places.sweep, At::Sweeps(down))])
                .find_map(|(place, at)| over(place).then_some(at))
        }
    }
}

/// Draws it all.
pub(super) fn draw(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    let known = Known::of(seen.model, state.server());
    let places = Places::of(area, seen.compact, known.ways());
    match seen.compact {
        true => head(&known, seen, places.head, buf),
        false => frames(state, &known, seen, area, buf),
    }
    grid::draw(state, &known, seen, places.grid, buf);
    match (note(state, &known, seen), seen.compact) {
        (Some(note), _) => {
            figures(&known, seen, rows(places.figures, 1, u16::MAX), buf);
            text::put_spans(seen.look, rows(places.figures, 0, 1), buf, &note);
        }
        (None, true) => figures_in_a_row(&known, seen, places.figures, buf),
        (None, false) => figures(&known, seen, rows(places.figures, 1, u16::MAX), buf),
    }
    if seen.compact && places.set.x >= area.x + 2 && places.set.width > 0 {
        for y in places.set.top()..places.set.bottom() {
            let style = seen.look.style(Tone::Border);
            text::set(buf, places.set.x - 2, y, seen.look.glyphs.vertical, style);
        }
    }
    set::draw(state, &known, seen, places.set, buf);
    sweep::draw(state, &known, seen, places.sweep, buf);
    if known.stale_ms().is_some() {
        buf.set_style(area, seen.look.style(Tone::Stale));
    }
}

/// How old the picture is, if it is old.
fn age(known: &Known<'_>) -> Vec<Span> {
    let age = known.stale_ms().filter(|_| known.rows().is_some());
    age.map_or(Vec::new(), |ms| vec![span(format!("as it was {} ago  ", ago(ms)), Tone::Warn)])
}

fn shape(known: &Known<'_>) -> String {
    match known.shape() {
        Some((sets, ways)) => format!("{} sets × {ways} ways", count(sets.into())),
        None => "of a shape not told yet".into(),
    }
}

/// What the marks mean.
fn legend(seen: &Seen<'_>) -> String {
    let g = seen.look.glyphs;
    format!(
        "{} used since the hand passed  {} not  {} empty  {} hand  {} next",
        g.full, g.clear, g.dot, g.pointer, g.victim
    )
}

fn frames(state: &State, known: &Known<'_>, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let [sets, set, sweep] = boxes(area, known.ways());
    let title = format!("Cache of {}", known.who());
    let mut remarks = age(known);
    remarks.push(span(shape(known), Tone::Dim));
    let caption = legend(seen);
    Frame { title: &title, remarks: &remarks, caption: &caption, focused: true }
        .draw(seen.look, sets, buf);
    let title = format!("Set {}", state.set);
    let remarks = set::remarks(state, known);
    let caption = "left and right: way   Enter: who wrote it";
    Frame { title: &title, remarks: &remarks, caption, focused: false }.draw(seen.look, set, buf);
    let (title, remarks) = sweep::title(state, known);
    let caption = sweep::caption(state, known);
    Frame { title: &title, remarks: &remarks, caption, focused: state.film.is_some() }
        .draw(seen.look, sweep, buf);
}

fn head(known: &Known<'_>, seen: &Seen<'_>, row: Rect, buf: &mut Buffer) {
    let g = seen.look.glyphs;
    let mut spans = vec![span(known.server, Tone::Title), span("  ", Tone::Text)];
    spans.push(span(
        known.shape().map_or("shape ?".into(), |(sets, ways)| format!("{sets}x{ways}")),
        Tone::Dim,
    ));
    let marks = format!("  {} used {} not {} empty  underlined: hand", g.full, g.clear, g.dot);
    spans.push(span(marks, Tone::Dim));
    let age = age(known);
    let taken = text::put_spans(seen.look, row, buf, &spans);
    let rest = columns(row, taken.saturating_add(2), u16::MAX);
    if !age.is_empty() {
        return text::put_spans_right(seen.look, rest, buf, &age);
    }
    let ratio = known.cache.and_then(Cache::ratio);
    let values = known.cache.map_or(Vec::new(), |cache| cache.ratio_history.values());
    let figure = [span(format!("hit {}", percent(ratio)), Tone::Bright)];
    spark(&values, Some(1.0)).draw_row(seen.look, rest, buf, &figure);
}

/// What is going on beside: a key that is typed or found, a set that is looked for.
fn note(state: &State, known: &Known<'_>, seen: &Seen<'_>) -> Option<Vec<Span>> {
    let of = |text: String| Some(vec![span(text, Tone::Accent)]);
    match &state.find {
        Find::Nothing => None,
        Find::Typing(typed) => Some(vec![
            span("find key: ", Tone::Title),
            span(typed.clone(), Tone::Bright),
            span(seen.look.glyphs.cursor, Tone::Accent),
            span("   Enter: its set at the coordinator   Esc", Tone::Dim),
        ]),
        Find::Asked(key) => of(format!("asking where {key} lies…")),
        Find::Found(key, set, Some(way)) => of(format!("{key}: set {set}, was in way {way}")),
        Find::Found(key, set, None) => of(format!("{key}: set {set}, was not cached")),
        Find::Hunt(_) => {
            let page = state.set / super::PAGE_SETS * super::PAGE_SETS;
            let last = page + super::PAGE_SETS - 1;
            let who = known.who();
            of(format!("looking for a set of {who} in use: {page} to {last}   Esc"))
        }
    }
}

fn spark(values: &[Option<f64>], max: Option<f64>) -> Spark<'_> {
    Spark { values, max, max_label: "", tone: Tone::Bar, marker: None, since: "" }
}

/// The figures of the whole cache, with room.
fn figures(known: &Known<'_>, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let Some(cache) = known.cache else { return };
    let histories = [
        ("hit ratio", cache.ratio_history.values(), Some(1.0), percent(cache.ratio())),
        ("hits/s", cache.hits_history.values(), None, rate(cache.hits.per_s())),
        ("misses/s", cache.misses_history.values(), None, rate(cache.misses.per_s())),
    ];
    let mut free = area.rows();
    for ((label, values, max, figure), row) in histories.into_iter().zip(&mut free) {
        text::put(seen.look, columns(row, 1, 10), buf, label, Tone::Dim);
        let bars = columns(row, 12, row.width.saturating_sub(13));
        let figure = [span(format!("{figure:>7}"), Tone::Bright)];
        spark(&values, max).draw_row(seen.look, bars, buf, &figure);
    }
    let counters = &cache.counters;
    let capacity = counters.sets.saturating_mul(counters.ways);
    let lines = [
        format!(
            " evictions {}/s   second chances {}/s   hit% is since you look",
            rate(cache.evictions.per_s()),
            rate(cache.second_chances.per_s()),
        ),
        format!(
            " {} of {} entries, {} of keys and values",
            count(counters.entries),
            count(capacity),
            words::bytes(counters.bytes)
        ),
    ];
    for (line, row) in lines.iter().zip(free) {
        text::put_elided(seen.look, row, buf, line, Tone::Text);
    }
}

/// The same in one row.
fn figures_in_a_row(known: &Known<'_>, seen: &Seen<'_>, row: Rect, buf: &mut Buffer) {
    let Some(cache) = known.cache else { return };
    let counters = &cache.counters;
    let line = format!(
        "hits {}/s  misses {}/s  evict {}/s  2nd chances {}/s  {} of {}, {}",
        rate(cache.hits.per_s()),
        rate(cache.misses.per_s()),
        rate(cache.evictions.per_s()),
        rate(cache.second_chances.per_s()),
        count(counters.entries),
        count(counters.sets.saturating_mul(counters.ways)),
        words::bytes(counters.bytes),
    );
    text::put_elided(seen.look, row, buf, &line, Tone::Text);
}
