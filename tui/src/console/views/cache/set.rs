//! The selected set, way by way, and what happens there next.
//!
//! Part of the view's picture.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use protocol::event::{CacheSet, Way};

use super::State;
use super::grid::paragraph;
use super::known::{Bits, Known};
use super::words::{self, bytes, short};
use crate::console::look::Tone;
use crate::console::model::clock::{At, ago};
use crate::console::views::Seen;
use crate::console::widgets::grid::Way as Bit;
use crate::console::widgets::table::{Column, Table};
use crate::console::widgets::text::{self, Span, span};

/// Rows of the sentence below, with room.
const SENTENCE_ROWS: u16 = 4;

const COLUMNS: [Column<'static>; 7] = [
    Column::new("way", 3).right(),
    Column::new("bit", 3),
    Column::new("key", 10).grows().middle(),
    Column::new("written by", 10).priority(4),
    Column::new("age", 6).right().priority(5),
    Column::new("hits", 5).right().priority(3),
    Column::new("bytes", 5).right().priority(2),
];

/// What stands behind the set's number.
pub(super) fn remarks(state: &State, known: &Known<'_>) -> Vec<Span> {
    let Some((_, set)) = known.closely(state.set) else {
        return vec![span("not told yet", Tone::Dim)];
    };
    let used = set.ways.len();
    vec![span(format!("hand at way {}, {used} of {} in use", set.hand, known.ways()), Tone::Dim)]
}

/// How the area is divided: the rows of ways, with their names, and what is below.
fn parts(known: &Known<'_>, seen: &Seen<'_>, area: Rect) -> (Rect, Rect) {
    let below = if seen.compact { 1 } else { SENTENCE_ROWS };
    let wanted = known.ways().saturating_add(1);
    let rows = wanted.min(area.height.saturating_sub(below));
    let upper = Rect { height: rows, ..area };
    let gap = u16::from(!seen.compact && rows + below < area.height);
    let from = (rows + gap).min(area.height);
    (upper, Rect { y: area.y + from, height: area.height - from, ..area })
}

/// The first way that is drawn.
fn first(state: &State, known: &Known<'_>, rows: Rect) -> u16 {
    let room = rows.height.saturating_sub(1).max(1);
    let last = known.ways().saturating_sub(room);
    (state.way / room * room).min(last)
}

/// The way at a row of `area`.
pub(super) fn way_at(
    state: &State,
    known: &Known<'_>,
    seen: &Seen<'_>,
    area: Rect,
    y: u16,
) -> Option<u16> {
    known.closely(state.set)?;
    let (rows, _) = parts(known, seen, area);
    let down = y.checked_sub(rows.y + 1).filter(|down| *down + 1 < rows.height)?;
    Some(first(state, known, rows) + down).filter(|way| *way < known.ways())
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
    if area.is_empty() {
        return;
    }
    let Some((told, set)) = known.closely(state.set) else {
        let words = match known.rows().is_some() && known.stale_ms().is_none() {
            true => format!("Set {} is asked for…", state.set),
            false => "What is in the selected set is told together with the sets.".into(),
        };
        return paragraph(seen, area, buf, &[span(words, Tone::Dim)]);
    };
    let (rows, below) = parts(known, seen, area);
    table(state, known, seen, (told, set), rows, buf);
    if seen.compact {
        let line = selected(state, set);
        text::put_elided(seen.look, below, buf, &line, Tone::Dim);
        return;
    }
    paragraph(seen, below, buf, &[span(words::next(known, set, known.ways()), Tone::Info)]);
}

fn table(
    state: &State,
    known: &Known<'_>,
    seen: &Seen<'_>,
    (told, set): (At, &CacheSet),
    area: Rect,
    buf: &mut Buffer,
) {
    let bits = Bits::of_set(set, known.ways());
    let victim = bits.victim();
    let since_ms = match known.stale_ms() {
        Some(_) => 0,
        None => known.model.now.ms_since(told),
    };
    let row = |number: u16| {
        let way = set.ways.iter().find(|way| way.way == number);
        row(
            seen,
            number,
            bits.of(number),
            (set.hand == number, victim == Some(number)),
            (way, since_ms),
        )
    };
    let rows: Vec<Vec<Vec<Span>>> = (0..known.ways()).map(row).collect();
    let first = first(state, known, area);
    let table = Table {
        columns: &COLUMNS,
        rows: &rows,
        first: usize::from(first),
        selected: None,
        head: true,
    };
    let (_, body) = table.draw(seen.look, area, buf);
    let down = state.way.checked_sub(first).filter(|down| *down < body.height);
    if let Some(down) = down {
        // Not the table's own mark, which is that of the hand.
        let line = Rect { y: body.y + down, height: 1, ..body };
        text::put(seen.look, line, buf, seen.look.glyphs.head_right, Tone::Accent);
        buf.set_style(line, seen.look.style(Tone::Selected));
    }
}

fn row(
    seen: &Seen<'_>,
    number: u16,
    bit: Bit,
    (hand, victim): (bool, bool),
    (way, since_ms): (Option<&Way>, u64),
) -> Vec<Vec<Span>> {
    let g = seen.look.glyphs;
    let (glyph, tone) = match bit {
        Bit::Empty => (g.dot, Tone::Dim),
        Bit::Clear => (g.clear, Tone::Text),
        Bit::Referenced => (g.full, Tone::Info),
    };
    let marks = vec![
        span(if hand { g.pointer } else { " " }, Tone::Accent),
        span(glyph, tone),
        span(if victim { g.victim } else { " " }, Tone::Warn),
    ];
    let number = vec![span(number.to_string(), Tone::Dim)];
    let Some(way) = way else {
        return vec![number, marks, vec![span("empty", Tone::Dim)]];
    };
    let version = way.version.map_or("-".into(), |version| version.to_string());
    vec![
        number,
        marks,
        vec![span(way.key.as_str(), Tone::Text)],
        vec![span(version, Tone::Dim)],
        vec![span(ago(way.age_ms.saturating_add(since_ms)), Tone::Text)],
        vec![span(short(way.hits), Tone::Text)],
        vec![span(short(way.bytes), Tone::Text)],
    ]
}

/// The selected way in a line.
fn selected(state: &State, set: &CacheSet) -> String {
    match set.ways.iter().find(|way| way.way == state.way) {
        None => format!("way {} is empty", state.way),
        Some(way) => {
            let version = way.version.map_or("?".into(), |version| version.to_string());
            format!("by {version}, {} hits, {}", way.hits, bytes(way.bytes))
        }
    }
}
