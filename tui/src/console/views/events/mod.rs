//! The view Events: all that came in, as sentences, the newest last.
//!
//! - this file: its keys, and what they do; `kept`: the entries that are shown; `filter`: which
//! - `rows`: the list as it is drawn; `brackets`: incidents at its right edge
//! - `detail`: one event closely; `raw`: its line; `about`: what its kind is

mod about;
mod brackets;
mod detail;
mod filter;
mod kept;
mod raw;
mod rows;

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Out, Pointed, Seen, View};
use crate::console::action::Action;
use crate::console::effect::Effect;
use crate::console::keys::{self, Binding, bindings};
use crate::console::model::Model;
use crate::console::model::record::Entry;
use crate::prompt::Key;
use filter::{Level, Wanted};
use kept::Kept;

/// Rows of a leap, and of a turn of the wheel.
const LEAP: usize = 10;
const WHEEL: usize = 3;
/// What may be typed as a filter, bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Where events are written to.
const FILE: &str = "piazza-events.ndjson";

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The next event, or the one before.
    Move(bool),
    /// Ten further, or back.
    Leap(bool),
    /// The last one, or the first.
    End(bool),
    /// Keep to the newest, or do not.
    Follow,
    /// Show more, or less.
    Level,
    /// Type what must be in what is shown.
    Find,
    /// Only what is about the selected server, or all again.
    Only,
    /// Only the incident of the selected event, or all again.
    Incident,
    /// Look at the selected event closely; from there, go to its cause.
    Open,
    /// From an event to the first that it led to.
    Consequence,
    /// Back to the list; then to all of it.
    Close,
    /// The rows of the line further down, or up.
    Scroll(bool),
    /// Put the event's line onto the clipboard.
    Copy,
    /// Write what is shown to a file.
    Export,
}

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Events,
    ("down", keys::DOWN, Act::Move(true), "", "the next event"),
    ("up", keys::UP, Act::Move(false), "", "the event before"),
    ("leap-down", keys::PAGE_DOWN, Act::Leap(true), "", "ten events further"),
    ("leap-up", keys::PAGE_UP, Act::Leap(false), "", "ten events back"),
    ("last", keys::LAST, Act::End(true), "", "the last event, and follow"),
    ("first", keys::FIRST, Act::End(false), "", "the first event"),
    (
        "open",
        &[Key::Enter],
        Act::Open,
        "open",
        "look at the selected event closely; there: go to the event that led to it",
    ),
    ("follow", &[Key::Char('f')], Act::Follow, "follow", "keep to the newest, or do not"),
    (
        "level",
        &[Key::Char('l')],
        Act::Level,
        "level",
        "show changes, only worries, or everything with figures and samples",
    ),
    (
        "find",
        &[Key::Char('/')],
        Act::Find,
        "filter",
        "show only what has all these words in server, kind and text; !word: what has it not",
    ),
    (
        "only",
        &[Key::Char('o')],
        Act::Only,
        "only server",
        "show only what is about the selected server, or all again",
    ),
    (
        "incident",
        &[Key::Char('i')],
        Act::Incident,
        "incident",
        "show only the incident of the selected event, or all again",
    ),
    (
        "consequence",
        &[Key::Char('c')],
        Act::Consequence,
        "",
        "go to the first event that the selected one led to",
    ),
    ("close", &[Key::Escape], Act::Close, "", "back to the list; then: show all again"),
    ("scroll-down", &[Key::Char(']')], Act::Scroll(true), "", "the event's line further down"),
    ("scroll-up", &[Key::Char('[')], Act::Scroll(false), "", "the event's line further up"),
    ("copy", &[Key::Char('y')], Act::Copy, "", "copy the selected event as JSON"),
    (
        "export",
        &[Key::Char('e')],
        Act::Export,
        "export",
        "write what is shown to piazza-events.ndjson, a line an event",
    ),
);

/// The view's state.
#[derive(Debug, Clone)]
pub struct State {
    /// The newest is the selected one.
    follow: bool,
    level: Level,
    /// What must be in what is shown.
    text: String,
    /// Keys are text for the filter.
    typing: bool,
    only_server: bool,
    incident: Option<u32>,
    /// The number of the selected entry, unless the newest is followed.
    selected: Option<u64>,
    /// The selected event is shown closely.
    open: bool,
    /// How many rows of its line are passed over.
    scroll: usize,
    /// The rows of the line of the entry of that number.
    raw: Option<(u64, Arc<Vec<String>>)>,
    kept: Kept,
}

impl Default for State {
    fn default() -> Self {
        Self {
            follow: true,
            level: Level::default(),
            text: String::new(),
            typing: false,
            only_server: false,
            incident: None,
            selected: None,
            open: false,
            scroll: 0,
            raw: None,
            kept: Kept::default(),
        }
    }
}

impl State {
    fn wanted(&self, seen: &Seen<'_>) -> Wanted {
        Wanted {
            level: self.level,
            text: self.text.clone(),
            server: self.only_server.then(|| seen.selected.to_owned()),
            incident: self.incident,
        }
    }

    fn catch_up(&mut self, seen: &Seen<'_>) {
        let wanted = self.wanted(seen);
        self.kept.catch_up(&wanted, seen.model);
    }

    /// The place of the selected entry among the rows.
    fn place(&self, rows: &kept::Rows<'_>) -> Option<usize> {
        match self.selected {
            Some(no) if !self.follow => rows.place(no),
            _ => rows.len().checked_sub(1),
        }
    }

    /// The selected entry.
    fn entry(&self, model: &Model) -> Option<Arc<Entry>> {
        let rows = self.kept.rows(model);
        self.place(&rows).and_then(|at| rows.get(at)).cloned()
    }

    fn select(&mut self, no: u64, model: &Model) {
        self.follow = false;
        if self.selected != Some(no) {
            self.selected = Some(no);
            self.scroll = 0;
        }
        self.read(model);
    }

    /// Makes the rows of the selected event's line, if they are shown and not there.
    fn read(&mut self, model: &Model) {
        let Some(entry) = self.entry(model).filter(|_| self.open) else { return };
        if self.raw.as_ref().is_none_or(|(no, _)| *no != entry.no) {
            self.raw = Some((entry.no, Arc::new(raw::pretty(&raw::line(&entry)))));
        }
    }

    fn step(&mut self, down: bool, by: usize, seen: &Seen<'_>) {
        let rows = self.kept.rows(seen.model);
        let Some(place) = self.place(&rows) else { return };
        let to = if down { place.saturating_add(by) } else { place.saturating_sub(by) };
        let past = to >= rows.len();
        let Some(no) = rows.get(to.min(rows.len() - 1)).map(|entry| entry.no) else { return };
        self.select(no, seen.model);
        // Whoever goes on past the last one wants to see what comes.
        self.follow = past && !self.open;
    }

    /// Goes to an entry, even if that is not among what is shown now.
    fn jump(&mut self, entry: &Entry, seen: &Seen<'_>, out: &mut Out) {
        let is_shown = |state: &Self| {
            let rows = state.kept.rows(seen.model);
            rows.place(entry.no).and_then(|at| rows.get(at)).is_some_and(|at| at.no == entry.no)
        };
        if !is_shown(self) {
            self.text.clear();
            (self.only_server, self.incident) = (false, None);
            self.level = kept::level_of(entry);
            self.catch_up(seen);
            if !is_shown(self) {
                self.level = Level::All;
                self.catch_up(seen);
            }
            out.remark = Some("the filter hid that event: it is off now".into());
        }
        self.select(entry.no, seen.model);
    }

    fn open(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let Some(entry) = self.entry(seen.model) else { return };
        if !self.open {
            self.open = true;
            self.scroll = 0;
            return self.select(entry.no, seen.model);
        }
        match detail::cause(&entry, seen.model).cloned() {
            Some(cause) => self.jump(&cause, seen, out),
            None => out.remark = Some("no event is known that led to this one".into()),
        }
    }

    fn consequence(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let Some(entry) = self.entry(seen.model) else { return };
        match detail::consequences(&entry, seen.model).first().map(|first| Arc::clone(first)) {
            Some(first) => self.jump(&first, seen, out),
            None => out.remark = Some("no event is known that this one led to".into()),
        }
    }

    /// One step back: the open event, the filter's text, the other conditions.
    fn close(&mut self) {
        if self.open {
            self.open = false;
        } else if !self.text.is_empty() {
            self.text.clear();
        } else {
            (self.only_server, self.incident) = (false, None);
        }
    }

    fn toggle_incident(&mut self, seen: &Seen<'_>, out: &mut Out) {
        if self.incident.take().is_some() {
            return;
        }
        self.incident = self.entry(seen.model).and_then(|entry| entry.incident);
        if self.incident.is_none() {
            out.remark = Some("the selected event is part of no incident".into());
        }
    }

    fn export(&self, seen: &Seen<'_>, out: &mut Out) {
        let rows = self.kept.rows(seen.model);
        let lines = (0..rows.len()).filter_map(|at| rows.get(at)).map(|entry| raw::line(entry));
        out.effect(Effect::Export(FILE.into(), lines.collect()));
    }

    /// A key while the filter is typed; false: it is none of its.
    fn type_filter(&mut self, key: &Key) -> bool {
        match key {
            Key::Enter => self.typing = false,
            Key::Escape | Key::Ctrl('c') => {
                self.typing = false;
                self.text.clear();
            }
            Key::Backspace | Key::Ctrl('h') => drop(self.text.pop()),
            Key::Ctrl('u') => self.text.clear(),
            Key::Char(c) if !c.is_control() => self.add(&c.to_string()),
            Key::Paste(text) => self.add(text),
            _ => return false,
        }
        true
    }

    fn add(&mut self, text: &str) {
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if self.text.len() + c.len_utf8() <= TEXT_BYTES_MAX {
                self.text.push(c);
            }
        }
    }
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        self.catch_up(seen);
        match act {
            Act::Move(down) => self.step(down, 1, seen),
            Act::Leap(down) => self.step(down, LEAP, seen),
            Act::End(true) => self.follow = true,
            Act::End(false) => self.step(false, usize::MAX, seen),
            Act::Follow if self.follow => {
                if let Some(entry) = self.entry(seen.model) {
                    self.select(entry.no, seen.model);
                }
            }
            Act::Follow => self.follow = true,
            Act::Level => self.level = self.level.next(),
            Act::Find => self.typing = true,
            Act::Only => self.only_server = !self.only_server,
            Act::Incident => self.toggle_incident(seen, out),
            Act::Open => self.open(seen, out),
            Act::Consequence => self.consequence(seen, out),
            Act::Close => self.close(),
            Act::Scroll(true) => {
                let rows = self.raw.as_ref().map_or(0, |(_, rows)| rows.len());
                self.scroll = (self.scroll + 1).min(rows.saturating_sub(1));
            }
            Act::Scroll(false) => self.scroll = self.scroll.saturating_sub(1),
            Act::Copy => {
                if let Some(entry) = self.entry(seen.model) {
                    out.effect(Effect::Copy(raw::line(&entry)));
                    out.remark = Some("the event is on the clipboard, as JSON".into());
                }
            }
            Act::Export => self.export(seen, out),
        }
        self.catch_up(seen);
        self.read(seen.model);
    }

    fn is_typing(&self) -> bool {
        self.typing
    }

    fn typed(&mut self, key: &Key, seen: &Seen<'_>, _out: &mut Out) -> bool {
        let taken = self.type_filter(key);
        self.catch_up(seen);
        self.read(seen.model);
        taken
    }

    fn shown(&mut self, seen: &Seen<'_>, _out: &mut Out) {
        self.catch_up(seen);
        self.read(seen.model);
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, _out: &mut Out) {
        self.catch_up(seen);
        let rows = self.kept.rows(seen.model);
        let areas = rows::Areas::of(area, seen.compact, self.open, rows.len());
        match at {
            Pointed::Click(column, row) if areas.list.contains((column, row).into()) => {
                let first = rows::first(self.place(&rows), rows.len(), areas.list.height);
                let clicked = rows.get(first + usize::from(row - areas.list.y));
                if let Some(no) = clicked.map(|entry| entry.no) {
                    self.select(no, seen.model);
                }
            }
            Pointed::Wheel(column, row, down) if areas.detail.contains((column, row).into()) => {
                for _ in 0..WHEEL {
                    self.act(Act::Scroll(down), seen, &mut Out::default());
                }
            }
            Pointed::Wheel(_, _, down) => self.step(down, WHEEL, seen),
            Pointed::Click(..) => {}
        }
    }

    fn ticked(&mut self, seen: &Seen<'_>, _out: &mut Out) {
        self.catch_up(seen);
        self.read(seen.model);
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        rows::draw(self, seen, area, buf);
    }
}

#[cfg(test)]
mod tests;
