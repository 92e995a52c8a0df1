//! The list of transactions: filtered, those in doubt always on top, and below it the phases.
//!
//! Draws, and says which row is where for the mouse.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::look::Tone;
use crate::console::model::clock::{ago, count, micros};
use crate::console::views::Seen;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::table::{Column, Table};
use crate::console::widgets::text::{self, Span, span};

use super::State;
use super::filter::{HELP, Outcomes};
use super::rows::{Name, Row, is_in_doubt};

/// Rows of the phases with their heading, and rows that a list has with them at least.
const PHASES_ROWS: u16 = 7;
const ROWS_WITH_PHASES: u16 = 16;
/// The phases: as they are told, and as they are called.
const PHASES: [(&str, &str); 4] = [
    ("batch_formed", "waiting for its turn"),
    ("prepare_sent", "waiting to be sent"),
    ("last_vote", "prepare to last vote"),
    ("answered", "decide, cache, answer"),
];

/// Where the parts of a list are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    head: Rect,
    doubts: Rect,
    rest: Rect,
    filter: Rect,
    phases: Rect,
}

/// Which rows are drawn where: the first of those in doubt, and the first of the rest.
#[derive(Debug, Clone, Copy)]
struct Window {
    doubts: usize,
    first_doubt: usize,
    first: usize,
}

/// The parts of what is inside the list's box.
fn places(seen: &Seen<'_>, state: &State, inner: Rect, doubts: usize) -> Places {
    let row = |y: u16, height: u16| {
        let y = y.min(inner.bottom());
        Rect { y, height: height.min(inner.bottom() - y), ..inner }
    };
    let filter = match (state.typing, state.filter_text.is_empty()) {
        (true, _) => 1 + 80u16.div_ceil(inner.width.max(1)).min(3),
        // What it does not take is said as long as it stands there.
        (false, false) => 1 + u16::from(state.filter.unknown.is_some()),
        (false, true) => 0,
    };
    let roomy = !seen.compact && inner.height >= PHASES_ROWS + ROWS_WITH_PHASES;
    let phases = if roomy { PHASES_ROWS } else { 0 };
    let head = u16::from(!seen.compact);
    let filter = filter.min(inner.height.saturating_sub(head + 1));
    let body = inner.height.saturating_sub(head + filter + phases);
    let doubts = u16::try_from(doubts).unwrap_or(u16::MAX).min(body.div_ceil(2));
    let y = inner.y + head.min(inner.height);
    Places {
        head: row(inner.y, head),
        doubts: row(y, doubts),
        rest: row(y + doubts, body - doubts),
        filter: row(y + body, filter),
        phases: row(y + body + filter, phases),
    }
}

/// Keeps the selected row in sight, and all above it as long as that goes.
fn first(selected: Option<usize>, len: usize, height: u16) -> usize {
    let height = usize::from(height);
    match selected {
        Some(at) if at >= height => (at - height / 2).min(len.saturating_sub(height)),
        _ => 0,
    }
}

fn window(rows: &[Row<'_>], selected: Option<usize>, places: &Places) -> Window {
    let doubts = rows.iter().take_while(|row| is_in_doubt(row)).count();
    let in_rest = selected.and_then(|at| at.checked_sub(doubts));
    let in_doubts = selected.filter(|at| *at < doubts);
    Window {
        doubts,
        first_doubt: first(in_doubts, doubts, places.doubts.height),
        first: first(in_rest, rows.len() - doubts, places.rest.height),
    }
}

/// The box around the list; what is inside.
fn pane(
    seen: &Seen<'_>,
    state: &State,
    shown: (usize, usize),
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    let (some, all) = shown;
    let mut remarks = vec![span(format!("{some} of {all}"), Tone::Text)];
    if state.outcomes != Outcomes::All {
        remarks.push(span(format!("  only: {}", state.outcomes.shown()), Tone::Accent));
    }
    if let Some(ms) = seen.model.stale_ms() {
        remarks.push(span(format!("  as it was {} ago", ago(ms)), Tone::Warn));
    }
    if seen.compact {
        let row = Rect { height: area.height.min(1), ..area };
        let mut line = vec![span("Transactions ", Tone::Title)];
        line.extend(remarks);
        text::put_spans(seen.look, row, buf, &line);
        return below(area, 1);
    }
    let frame = Frame {
        title: "Transactions",
        remarks: &remarks,
        caption: "f outcome  / filter  x opens",
        focused: state.typing,
    };
    frame.draw(seen.look, area, buf)
}

/// What is left of an area below its first rows.
pub(super) fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}

/// What is inside of the box that [`pane`] draws.
fn inside(seen: &Seen<'_>, area: Rect) -> Rect {
    match seen.compact {
        true => below(area, 1),
        false => {
            Frame { title: "-", ..Frame::default() }.draw(seen.look, area, &mut Buffer::empty(area))
        }
    }
}

/// Draws the list; `rows` are those that pass, of `all`.
pub(super) fn draw(
    seen: &Seen<'_>,
    state: &State,
    rows: &[Row<'_>],
    all: usize,
    area: Rect,
    buf: &mut Buffer,
) {
    let inner = pane(seen, state, (rows.len(), all), area, buf);
    let doubts = rows.iter().take_while(|row| is_in_doubt(row)).count();
    let places = places(seen, state, inner, doubts);
    let selected = state.place(rows);
    let window = window(rows, selected, &places);
    if rows.is_empty() {
        let text = match all {
            0 => "nothing was told yet: transactions are updates, and none came",
            _ => "no transaction passes the filter",
        };
        let lines = text::wrapped(seen.look, &[span(text, Tone::Dim)], places.rest.width);
        for (line, row) in lines.iter().zip(places.rest.rows()) {
            text::put_spans(seen.look, row, buf, line);
        }
    }
    let in_doubt = &rows[..window.doubts];
    let parts = [
        (in_doubt, places.doubts, window.first_doubt, selected),
        (
            &rows[window.doubts..],
            places.rest,
            window.first,
            selected.and_then(|at| at.checked_sub(window.doubts)),
        ),
    ];
    let ids = parts.iter().flat_map(|(rows, place, first, _)| {
        rows.iter().skip(*first).take(usize::from(place.height)).map(Row::id)
    });
    let id = ids.map(|id| id.len()).max().unwrap_or(2).clamp(3, 16);
    let columns = columns(u16::try_from(id).unwrap_or(3));
    let head = Table { columns: &columns, rows: &[], first: 0, selected: None, head: true };
    head.draw(seen.look, places.head, buf);
    for (rows, place, first, selected) in parts {
        let last = (first + usize::from(place.height)).min(rows.len());
        let room = room(&columns, place.width);
        let cells: Vec<_> = rows[first..last].iter().map(|row| cells(seen, row, room)).collect();
        let selected = selected.and_then(|at| at.checked_sub(first));
        let table = Table { columns: &columns, rows: &cells, first: 0, selected, head: false };
        table.draw(seen.look, place, buf);
    }
    filter_line(seen, state, places.filter, buf);
    phases(seen, places.phases, buf);
}

fn columns<'a>(id: u16) -> [Column<'a>; 5] {
    [
        Column::new("state", 11).priority(9),
        Column::new("id", id).priority(6),
        Column::new("what", 12).grows().priority(8),
        Column::new("time", 8).right().priority(7),
        Column::new("nodes", 10).priority(1),
    ]
}

/// Columns that a table of so many has for what a transaction does: the others and a blank after
/// each come first, and the nodes only where all has room.
fn room(columns: &[Column<'_>; 5], width: u16) -> u16 {
    let width = width.saturating_sub(2);
    let [state, id, what, time, nodes] = columns.map(|column| column.width + 1);
    let with_nodes = state + id + time + nodes;
    let without = state + id + time;
    let taken = if with_nodes + what <= width + 1 { with_nodes } else { without };
    width.saturating_sub(taken)
}

fn cells(seen: &Seen<'_>, row: &Row<'_>, room: u16) -> Vec<Vec<Span>> {
    let nodes: Vec<&str> = row.votes().iter().map(|vote| vote.node.as_str()).collect();
    let state = format!("{} {}", row.fate.glyph(seen.look.glyphs), row.word());
    vec![
        vec![span(state, row.fate.tone())],
        vec![span(row.id(), Tone::Dim)],
        vec![span(text::shortened(seen.look, &row.what(), room), Tone::Text)],
        vec![span(row.took(seen.model), Tone::Text)],
        vec![span(nodes.join(" "), Tone::Dim)],
    ]
}

fn filter_line(seen: &Seen<'_>, state: &State, area: Rect, buf: &mut Buffer) {
    let mut rows = area.rows();
    let Some(row) = rows.next() else { return };
    let cursor = if state.typing { seen.look.glyphs.cursor } else { "" };
    let typed = text::width(seen.look, &state.filter_text) + 4;
    let line = [
        span("/ ", Tone::Key),
        span(state.filter_text.as_str(), Tone::Bright),
        span(cursor, Tone::Accent),
    ];
    match typed > row.width {
        // What is typed now stands at the end.
        true => text::put_right(
            seen.look,
            row,
            buf,
            &format!("/ {}{cursor}", state.filter_text),
            Tone::Bright,
        ),
        false => drop(text::put_spans(seen.look, row, buf, &line)),
    }
    let help = match &state.filter.unknown {
        Some(word) => span(format!("not understood: {word}. Write {HELP}"), Tone::Warn),
        None => span(HELP, Tone::Dim),
    };
    let lines = text::wrapped(seen.look, &[help], area.width);
    for (line, row) in lines.iter().zip(rows) {
        text::put_spans(seen.look, row, buf, line);
    }
}

fn phases(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let told = &seen.model.figures.stats.phases_us;
    let columns = [
        Column::new("phase, last half second", 21).grows(),
        Column::new("p50", 8).right(),
        Column::new("p99", 8).right(),
    ];
    let cells: Vec<Vec<Vec<Span>>> = PHASES
        .iter()
        .map(|(name, words)| {
            let some = told.get(*name).filter(|quantiles| quantiles.count > 0);
            let time = |us: Option<u64>| us.map_or("-".to_owned(), micros);
            vec![
                vec![span(*words, Tone::Dim)],
                vec![span(time(some.map(|quantiles| quantiles.p50)), Tone::Text)],
                vec![span(time(some.map(|quantiles| quantiles.p99)), Tone::Text)],
            ]
        })
        .collect();
    let table = Table { columns: &columns, rows: &cells, first: 0, selected: None, head: true };
    table.draw(seen.look, below(area, 1), buf);
    let of = |name: &str| count(seen.model.txns.seen.get(name).copied().unwrap_or(0));
    let line = format!(
        "told: {} committed, {} aborted, {} refused",
        of("committed"),
        of("aborted"),
        of("refused")
    );
    let last = Rect { y: area.bottom() - 1, height: 1, ..area };
    let last = Rect { x: last.x + last.width.min(2), width: last.width.saturating_sub(2), ..last };
    text::put_elided(seen.look, last, buf, &line, Tone::Dim);
}

/// The transaction whose row is there.
pub(super) fn at(
    seen: &Seen<'_>,
    state: &State,
    rows: &[Row<'_>],
    area: Rect,
    (x, y): (u16, u16),
) -> Option<Name> {
    let inner = inside(seen, area);
    let doubts = rows.iter().take_while(|row| is_in_doubt(row)).count();
    let places = places(seen, state, inner, doubts);
    let window = window(rows, state.place(rows), &places);
    let within = |place: Rect| place.contains((x, y).into()).then(|| usize::from(y - place.y));
    let doubt = within(places.doubts).map(|at| window.first_doubt + at);
    let rest = within(places.rest).map(|at| window.doubts + window.first + at);
    doubt.or(rest).and_then(|at| rows.get(at)).map(|row| row.name)
}
