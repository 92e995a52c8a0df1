//! The list as it is drawn: a row an event, with when, about whom, what, and its incident.
//!
//! Part of the view Events. Only what is seen is put into sentences.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::brackets::Brackets;
use super::kept::Rows;
use super::{State, detail};
use crate::console::look::{Look, Tone};
use crate::console::model::clock::{ago, count};
use crate::console::model::record::{Entry, What};
use crate::console::model::sentence::{Mood, sentence};
use crate::console::model::story::Incident;
use crate::console::views::Seen;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::text::{self, Span, span};

/// Columns: the mark of the selection, the time, the mood, the time since an incident began.
const MARK: u16 = 2;
const TIME: u16 = 14;
const MOOD: u16 = 2;
const SINCE: u16 = 9;

/// Who gets which part of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    /// What is shown, where there is no frame to say it.
    pub(super) head: Rect,
    /// The events.
    pub(super) list: Rect,
    /// One of them closely; empty: none.
    pub(super) detail: Rect,
    /// The counters, where there is no frame.
    pub(super) foot: Rect,
}

impl Areas {
    /// The parts of `area`.
    pub(super) fn of(area: Rect, compact: bool, open: bool, rows: usize) -> Self {
        let has_frame = !compact && area.width >= 4 && area.height >= 3;
        let (head, inner, foot) = if has_frame {
            let inner = Rect {
                x: area.x + 1,
                y: area.y + 1,
                width: area.width - 2,
                height: area.height - 2,
            };
            (Rect { height: 0, ..area }, inner, Rect { height: 0, ..area })
        } else {
            let head = Rect { height: area.height.min(1), ..area };
            let rest = area.height - head.height;
            let foot = rest.min(1);
            let inner = Rect { y: area.y + head.height, height: rest - foot, ..area };
            (head, inner, Rect { y: inner.bottom(), height: foot, ..area })
        };
        let detail = match (open, compact) {
            (false, _) => 0,
            (true, false) => inner.height / 2 + 2,
            (true, true) => inner.height * 3 / 4,
        };
        // What the list does not need is good for the detail.
        let spare = inner.height.saturating_sub(u16::try_from(rows.max(1)).unwrap_or(u16::MAX));
        let detail = if open { detail.max(spare).min(inner.height) } else { 0 };
        let list = Rect { height: inner.height - detail, ..inner };
        Self { head, list, detail: Rect { y: list.bottom(), height: detail, ..inner }, foot }
    }
}

/// The first row that is drawn: the selected one is in the middle where that can be.
pub(super) fn first(place: Option<usize>, rows: usize, height: u16) -> usize {
    let height = usize::from(height);
    let top = place.unwrap_or(0).saturating_sub(height / 2);
    top.min(rows.saturating_sub(height))
}

/// Draws the view.
pub(super) fn draw(state: &State, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    let rows = state.kept.rows(seen.model);
    let areas = Areas::of(area, seen.compact, state.open, rows.len());
    let (chosen, counters) = (chosen(state, seen), counters(state, seen, &rows));
    if seen.compact || areas.head.height > 0 {
        let head = [vec![span(" ", Tone::Text)], chosen].concat();
        text::put_spans(seen.look, areas.head, buf, &head);
        text::put_elided(seen.look, areas.foot, buf, &format!(" {counters}"), Tone::Dim);
    } else {
        let frame =
            Frame { title: "Events", remarks: &chosen, caption: &counters, focused: state.typing };
        frame.draw(seen.look, area, buf);
    }
    draw_list(state, seen, &rows, areas.list, buf);
    if state.open
        && let Some(entry) = state.place(&rows).and_then(|at| rows.get(at))
    {
        detail::draw(state, seen, entry, areas.detail, buf);
    }
}

/// What is shown, in words.
fn chosen(state: &State, seen: &Seen<'_>) -> Vec<Span> {
    let tone = |is_narrow: bool| if is_narrow { Tone::Accent } else { Tone::Dim };
    let narrow_level = state.level != super::filter::Level::default();
    let mut spans = vec![span(state.level.words(), tone(narrow_level))];
    if state.only_server {
        spans.push(span(format!("  only {}", seen.selected), Tone::Accent));
    }
    if let Some(id) = state.incident {
        spans.push(span(format!("  only incident {id}"), Tone::Accent));
    }
    if state.typing || !state.text.is_empty() {
        spans.push(span("  / ", Tone::Key));
        spans.push(span(state.text.as_str(), Tone::Bright));
    }
    if state.typing {
        spans.push(span(seen.look.glyphs.cursor, Tone::Accent));
        if state.text.is_empty() {
            spans.push(span(" words that it must have, !word: must not", Tone::Dim));
        }
    }
    if let Some(age) = seen.model.stale_ms() {
        spans.push(span(format!("  nothing new for {}", ago(age)), Tone::Warn));
    }
    spans
}

fn counters(state: &State, seen: &Seen<'_>, rows: &Rows<'_>) -> String {
    let model = seen.model;
    let dropped = model.coordinator_feed.dropped() + model.supervisor_feed.dropped();
    let below = state.place(rows).map_or(0, |at| rows.len() - 1 - at);
    let place = match (state.follow, below) {
        (true, _) => "following the newest".to_owned(),
        (false, 0) => "not following: f follows".to_owned(),
        (false, below) => format!("{} below: f follows", count(below as u64)),
    };
    format!(
        "{} seen, {} shown, {} dropped; {place}",
        count(model.record.total()),
        count(rows.len() as u64),
        count(dropped)
    )
}

fn draw_list(state: &State, seen: &Seen<'_>, rows: &Rows<'_>, area: Rect, buf: &mut Buffer) {
    if rows.len() == 0 {
        let is_narrow = state.only_server || state.incident.is_some() || !state.text.is_empty();
        let words = match (seen.model.record.total(), is_narrow) {
            (0, _) => "nothing has come in yet",
            (_, true) => "nothing that came in is like that: Esc shows all again",
            (_, false) => "nothing of this level has come in: l shows others",
        };
        text::put_elided(seen.look, area, buf, &format!("  {words}"), Tone::Dim);
        return;
    }
    let place = state.place(rows);
    let first = first(place, rows.len(), area.height);
    let shown: Vec<&Entry> = (first..rows.len())
        .take(area.height.into())
        .filter_map(|at| rows.get(at))
        .map(|e| &**e)
        .collect();
    let incidents: BTreeMap<u32, &Incident> =
        seen.model.story.all().map(|incident| (incident.id, incident)).collect();
    let brackets = Brackets::new(&shown, rows, &incidents, seen.compact);
    for (at, (entry, row)) in shown.iter().zip(area.rows()).enumerate() {
        let edge = brackets.width().min(row.width / 3);
        let left = Rect { width: row.width - edge, ..row };
        draw_row(seen, entry, &incidents, left, buf);
        brackets.draw(seen.look, at, Rect { x: left.right(), width: edge, ..row }, buf);
        if place == Some(first + at) {
            text::put(seen.look, row, buf, seen.look.glyphs.pointer, Tone::Accent);
            buf.set_style(row, seen.look.style(Tone::Selected));
        }
    }
}

fn draw_row(
    seen: &Seen<'_>,
    entry: &Entry,
    incidents: &BTreeMap<u32, &Incident>,
    area: Rect,
    buf: &mut Buffer,
) {
    let look = seen.look;
    let said = sentence(entry);
    let stale = seen.model.stale_ms().is_some();
    let (mark, tone) = mood(look, said.mood);
    let tone_of = |tone| if stale { Tone::Stale } else { tone };
    let since = entry.incident.and_then(|id| incidents.get(&id)).map(|incident| {
        let ms = entry.at.ms_since(incident.began.latest());
        format!("+{}", since_words(ms))
    });
    let mut x = area.x;
    let mut cell = |width: u16| {
        let place = Rect { x, width: width.min(area.right() - x), ..area };
        x += place.width;
        place
    };
    cell(MARK);
    let place = cell(TIME);
    let time = time_words(seen, entry);
    text::put_elided(look, short(place, 1), buf, &time, tone_of(Tone::Dim));
    text::put(look, cell(MOOD), buf, mark, tone_of(tone));
    let (servers, kinds) = if seen.compact { (7, 0) } else { (12, 7) };
    let server = match said.server.as_str() {
        "coordinator" if seen.compact => "coord",
        "supervisor" if seen.compact => "superv",
        "" => "-",
        server => server,
    };
    text::put_elided(look, short(cell(servers), 1), buf, server, tone_of(Tone::Bright));
    let kind = cell(kinds);
    text::put_elided(look, short(kind, 1), buf, said.kind, tone_of(Tone::Dim));
    let rest = cell(u16::MAX);
    let since_columns = if since.is_some() { SINCE.min(rest.width / 3) } else { 0 };
    let place = Rect { width: rest.width - since_columns, ..rest };
    text::put_elided(look, place, buf, &said.text, tone_of(tone));
    if let Some(since) = since {
        let place = Rect { x: place.right(), width: since_columns, ..rest };
        text::put_right(look, short(place, 1), buf, &since, tone_of(Tone::Dim));
    }
}

/// The same without its last columns.
fn short(area: Rect, by: u16) -> Rect {
    Rect { width: area.width.saturating_sub(by), ..area }
}

/// The mark of a mood, and its tone.
pub(super) fn mood(look: &Look, mood: Mood) -> (&'static str, Tone) {
    match mood {
        Mood::Plain => (" ", Tone::Text),
        Mood::Good => (look.glyphs.done, Tone::Good),
        Mood::Worry => ("!", Tone::Warn),
        Mood::Bad => (look.glyphs.failed, Tone::Bad),
    }
}

/// When: on the server's clock, or how long ago where there is none.
pub(super) fn time_words(seen: &Seen<'_>, entry: &Entry) -> String {
    match &entry.what {
        What::Event(event) if event.wall_ms > 0 => wall_words(event.wall_ms),
        // The console's own connections: by the clock of whichever server was heard last.
        _ => match wall_at(seen, entry) {
            Some(wall_ms) => wall_words(wall_ms),
            None => format!("{} ago", ago(seen.model.now.ms_since(entry.at))),
        },
    }
}

/// When an entry without a time came, by the newest that has one.
fn wall_at(seen: &Seen<'_>, entry: &Entry) -> Option<u64> {
    let (at, wall_ms) = seen.model.record.control().find_map(|other| match &other.what {
        What::Event(event) if event.wall_ms > 0 => Some((other.at, event.wall_ms)),
        _ => None,
    })?;
    let after_ms = entry.at.ms_since(at);
    Some(wall_ms.saturating_add(after_ms).saturating_sub(at.ms_since(entry.at)))
}

/// A time of day, UTC.
pub(super) fn wall_words(wall_ms: u64) -> String {
    let (seconds, ms) = (wall_ms / 1_000, wall_ms % 1_000);
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

/// How long after something else.
pub(super) fn since_words(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => ago(ms),
    }
}
