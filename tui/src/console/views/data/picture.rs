//! How the view is drawn: the session with its prompt, where a key lives, keys.
//!
//! Part of the view Data.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use unicode_segmentation::UnicodeSegmentation;

use super::State;
use super::list::List;
use super::session::By;
use crate::console::look::Tone;
use crate::console::model::clock::ago;
use crate::console::views::Seen;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::text::{self, Span, span};
use crate::prompt::View;

/// What stands in front of what is typed.
const PROMPT: &str = "> ";
/// Rows of the keys where there is little room, their heading included.
const COMPACT_KEYS: u16 = 4;
/// Columns of a key where several stand in a row, at most.
const KEY_COLUMNS: u16 = 24;
/// What stands where nothing was typed so far.
const BEGINNING: [&str; 7] = [
    "  Commands are those of piazza shell; help tells all of them.",
    "    put K V         write a key: a two-phase commit on all of its nodes",
    "    get K           read it",
    "    scan PREFIX     list keys",
    "    explain get K   the way of a request, step by step",
    "    locate K        where a key lies; the box at the right tells that too",
    "    status          how the cluster is, and what to do",
];
/// Rows of the place of a key, borders included, at most.
const PLACE_ROWS: u16 = 14;

/// Who gets which part of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    /// The session and its prompt, with its borders.
    pub(super) session: Rect,
    /// Where the key lives, likewise.
    place: Rect,
    /// The keys, likewise.
    keys: Rect,
    /// The keys alone.
    pub(super) list: Rect,
}

impl Areas {
    /// The parts of `area`.
    pub(super) fn of(area: Rect, compact: bool) -> Self {
        if compact {
            let keys = COMPACT_KEYS.min(area.height / 3);
            let place = u16::from(area.height > keys + 1);
            let session = Rect { height: area.height - keys - place, ..area };
            let place = Rect { y: session.bottom(), height: place, ..area };
            let keys = Rect { y: place.bottom(), height: keys, ..area };
            let head = keys.height.min(1);
            let list = Rect { y: keys.y + head, height: keys.height - head, ..keys };
            return Self { session, place, keys, list };
        }
        let left = u16::try_from(u32::from(area.width) * 3 / 5).unwrap_or(area.width);
        let session = Rect { width: left, ..area };
        let right = Rect { x: session.right(), width: area.width - left, ..area };
        let place = Rect { height: PLACE_ROWS.min(right.height / 2), ..right };
        let keys = Rect { y: place.bottom(), height: right.height - place.height, ..right };
        let list = inside(keys);
        Self { session, place, keys, list }
    }
}

/// What a frame leaves.
fn inside(area: Rect) -> Rect {
    if area.width < 4 || area.height < 3 {
        let head = u16::from(area.height >= 2);
        return Rect { y: area.y + head, height: area.height - head, ..area };
    }
    Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
}

/// Draws the view.
pub(super) fn draw(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    let areas = Areas::of(area, seen.compact);
    draw_session(state, seen, areas.session, buf);
    draw_place(state, seen, areas.place, buf);
    draw_keys(state, seen, &areas, buf);
}

fn draw_session(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let inner = if seen.compact {
        area
    } else {
        let remarks = remarks(state, seen);
        let caption = match (state.focused, state.session.below()) {
            (true, 0) => "Enter runs  Tab completes  up, Ctrl-R: history  Esc leaves",
            (false, 0) => "i: type a command",
            (_, _) => "earlier lines: PageDown or the wheel goes down again",
        };
        let frame = Frame { title: "Session", remarks: &remarks, caption, focused: state.focused };
        frame.draw(seen.look, area, buf)
    };
    let width = usize::from(inner.width);
    let below = usize::from(inner.height.saturating_sub(4));
    let mut view = state.editor.view(PROMPT, width, below);
    if let Some(hint) = state.hint.filter(|_| below > 0) {
        view = view.with_hint(hint, width);
    }
    let rows = 1 + view.menu.len() + usize::from(view.hint.is_some());
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(inner.height);
    let above = Rect { height: inner.height - rows, ..inner };
    draw_lines(state, seen, above, buf);
    let prompt = Rect { y: above.bottom(), height: rows, ..inner };
    draw_prompt(state, seen, &view, prompt, buf);
}

/// What the session's title says beside it.
fn remarks(state: &State, seen: &Seen<'_>) -> Vec<Span> {
    let mut remarks = Vec::new();
    if seen.read_only {
        remarks.push(span("read-only ", Tone::Warn));
    }
    if let Some(age) = seen.model.stale_ms() {
        remarks.push(span(format!("no word from the coordinator for {} ", ago(age)), Tone::Bad));
    }
    if state.session.waiting() > 0 {
        let waiting = match state.session.waiting() {
            1 => "1 line waits ".into(),
            n => format!("{n} lines wait "),
        };
        remarks.push(span(waiting, Tone::Info));
    }
    remarks
}

/// The last lines that fit, the newest at the bottom.
fn draw_lines(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let room = usize::from(area.height);
    let mut rows: Vec<Vec<Span>> = Vec::new();
    if let Some(running) = state.session.running.as_ref().filter(|_| state.session.below() == 0) {
        let took = ago(seen.model.now.ms_since(running.began));
        let end = if state.focused { "Ctrl-C" } else { "c" };
        let words = format!("  {} running for {took}; {end} ends it", seen.look.glyphs.now);
        rows.push(vec![span(words, Tone::Info)]);
    }
    for (by, line) in state.session.shown() {
        if rows.len() >= room {
            break;
        }
        let wrapped = text::wrapped(seen.look, &told(by, &line), area.width);
        rows.extend(wrapped.into_iter().rev());
    }
    if rows.is_empty() {
        let shown = if room < 2 * BEGINNING.len() { &BEGINNING[..1] } else { &BEGINNING[..] };
        rows.extend(shown.iter().rev().map(|line| vec![span(*line, Tone::Dim)]));
    }
    let first = room.saturating_sub(rows.len());
    for (spans, row) in rows.iter().take(room).rev().zip(area.rows().skip(first)) {
        text::put_spans(seen.look, row, buf, spans);
    }
}

fn told(by: By, line: &str) -> Vec<Span> {
    match by {
        By::Typed => vec![span(PROMPT, Tone::Accent), span(line, Tone::Bright)],
        By::Printed if line.starts_with("piazza: ") => vec![span(format!("  {line}"), Tone::Warn)],
        By::Printed => vec![span(format!("  {line}"), Tone::Text)],
        By::Remark => vec![span(format!("  {line}"), Tone::Dim)],
    }
}

fn draw_prompt(state: &State, seen: &Seen<'_>, view: &View, area: Rect, buf: &mut Buffer) {
    let look = seen.look;
    let mut rows = area.rows();
    let Some(row) = rows.next() else { return };
    if !state.focused && view.before.is_empty() && view.after.is_empty() {
        let spans = [span(PROMPT, Tone::Dim), span("i: type a command", Tone::Dim)];
        text::put_spans(look, row, buf, &spans);
    } else {
        let tone = if state.focused { Tone::Bright } else { Tone::Dim };
        let before = [span(&*view.prompt, Tone::Accent), span(&*view.before, tone)];
        let taken = text::put_spans(look, row, buf, &before);
        let rest = Rect { x: row.x + taken, width: row.width - taken, ..row };
        match view.after.graphemes(true).next() {
            None if state.focused => {
                text::put(look, rest, buf, look.glyphs.cursor, Tone::Accent);
            }
            first => {
                text::put(look, rest, buf, &view.after, tone);
                let columns = first.map_or(0, |first| text::width(look, first));
                if state.focused {
                    let cursor = Rect { width: columns.min(rest.width), ..rest };
                    buf.set_style(cursor, Modifier::REVERSED);
                }
            }
        }
    }
    for (entry, row) in view.menu.iter().zip(rows.by_ref()) {
        text::put(look, row, buf, &entry.text, if entry.chosen { Tone::Bright } else { Tone::Dim });
        if entry.chosen {
            text::put(look, row, buf, look.glyphs.pointer, Tone::Accent);
            buf.set_style(row, look.style(Tone::Selected));
        }
    }
    if let (Some(hint), Some(row)) = (&view.hint, rows.next()) {
        text::put(look, row, buf, hint, Tone::Warn);
    }
}

fn draw_place(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    if seen.compact {
        text::put_spans(seen.look, area, buf, &state.place.row(seen));
        return;
    }
    let title = match state.place.key() {
        Some(key) => format!("Where {key} lives"),
        None => "Where a key lives".into(),
    };
    let caption = match state.place.key() {
        Some(_) => "w: in the ring  x: its 2PC",
        None => "",
    };
    let frame = Frame { title: &title, remarks: &[], caption, focused: false };
    let inner = frame.draw(seen.look, area, buf);
    let rows = state.place.rows(seen);
    let rows = rows.iter().flat_map(|row| text::wrapped(seen.look, row, inner.width.max(1)));
    for (spans, row) in rows.zip(inner.rows()) {
        text::put_spans(seen.look, row, buf, &spans);
    }
}

fn draw_keys(state: &State, seen: &Seen<'_>, areas: &Areas, buf: &mut Buffer) {
    let list = &state.list;
    let mut chosen = vec![span("/ ", Tone::Key), span(list.prefix.as_str(), Tone::Bright)];
    if list.typing {
        chosen.push(span(seen.look.glyphs.cursor, Tone::Accent));
    } else if list.prefix.is_empty() {
        chosen.push(span("all", Tone::Dim));
    }
    let counted = list.counted(seen.model.now);
    if seen.compact {
        let mut head = vec![span("keys ", Tone::Title)];
        head.extend(chosen);
        head.push(span(format!("  {counted}"), Tone::Dim));
        text::put_spans(seen.look, areas.keys, buf, &head);
    } else {
        let frame =
            Frame { title: "Keys", remarks: &chosen, caption: &counted, focused: list.typing };
        frame.draw(seen.look, areas.keys, buf);
    }
    let selected = list.place();
    for (at, place) in key_places(list, seen, areas.list) {
        let is_selected = selected == Some(at);
        if is_selected {
            text::put(seen.look, place, buf, seen.look.glyphs.pointer, Tone::Accent);
        }
        let name =
            Rect { x: place.x + place.width.min(2), width: place.width.saturating_sub(2), ..place };
        text::put_elided(seen.look, name, buf, &list.keys()[at], Tone::Text);
        if is_selected {
            buf.set_style(place.intersection(buf.area), seen.look.style(Tone::Selected));
        }
    }
}

/// Where each key that is seen stands: one a row, or several where there is little room.
pub(super) fn key_places(list: &List, seen: &Seen<'_>, area: Rect) -> Vec<(usize, Rect)> {
    let per_row = if seen.compact { (area.width / KEY_COLUMNS).max(1) } else { 1 };
    let width = area.width / per_row;
    let (rows, per_row) = (usize::from(area.height), usize::from(per_row));
    let keys = list.keys().len();
    let all_rows = keys.div_ceil(per_row);
    let selected_row = list.place().unwrap_or(0) / per_row;
    let first = selected_row.saturating_sub(rows / 2).min(all_rows.saturating_sub(rows));
    let mut places = Vec::new();
    for (y, row) in area.rows().enumerate() {
        for column in 0..per_row {
            let at = (first + y) * per_row + column;
            if at < keys {
                let x = row.x + column as u16 * width;
                places.push((at, Rect { x, width, ..row }));
            }
        }
    }
    places
}
