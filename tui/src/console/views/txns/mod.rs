//! The view 2PC: transactions, each with its messages, its time, and why one is in doubt.
//!
//! One of the six; see `views`. A selection names a transaction, not a row.
//!
//! - `rows`: all that are known, as one list; `filter`: which of them; `list`: drawn
//! - `steps`, `path`: one as messages and as time; `doubt`: one in doubt; `words`; `detail`: drawn

mod detail;
mod doubt;
mod filter;
mod list;
mod path;
mod rows;
mod steps;
#[cfg(test)]
mod tests;
mod words;

use protocol::ids::Version;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Out, Pointed, Seen, View, Wants};
use crate::console::action::{Action, ViewName};
use crate::console::effect::Effect;
use crate::console::keys::{self, Binding, bindings};
use crate::console::look::Tone;
use crate::console::model::Model;
use crate::prompt::Key;
use filter::{Filter, Outcomes, TEXT_MAX};
use rows::{Name, Row};

/// Columns of the list beside a transaction, and its rows above one.
const LIST_COLUMNS: u16 = 47;
const LIST_ROWS: u16 = 7;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The next transaction, or the one before.
    Move(bool),
    /// The last transaction, or the first.
    End(bool),
    /// The next message, or the one before.
    Step(bool),
    /// Show the selected one alone, or the list again.
    Open,
    /// Close what is open: the transaction, the step, the filter.
    Close,
    /// Messages or time.
    Swap,
    /// The next outcome of the list.
    Outcome,
    /// Type a filter.
    Filter,
    /// Its key in the ring.
    Ring,
    /// Its id onto the clipboard.
    Copy,
}

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Txns,
    ("down", keys::DOWN, Act::Move(true), "", "the transaction below"),
    ("up", keys::UP, Act::Move(false), "", "the transaction above"),
    ("first", keys::FIRST, Act::End(false), "", "the newest transaction, and keep to the newest"),
    ("last", keys::LAST, Act::End(true), "", "the oldest transaction"),
    (
        "open",
        &[Key::Enter, Key::Char('x')],
        Act::Open,
        "open",
        "show the selected transaction alone, or the list again",
    ),
    (
        "next-step",
        keys::RIGHT,
        Act::Step(true),
        "",
        "select the next message, and say what it means",
    ),
    ("previous-step", keys::LEFT, Act::Step(false), "", "the message before"),
    ("swap", &[Key::Char('w')], Act::Swap, "time", "show its messages, or where its time went"),
    ("outcome", &[Key::Char('f')], Act::Outcome, "outcome", "list only one outcome: the next"),
    ("filter", &[Key::Char('/')], Act::Filter, "filter", "list only what a text asks for"),
    ("key-in-ring", &[Key::Char('r')], Act::Ring, "", "show the transaction's key in the ring"),
    ("copy-id", &[Key::Char('y')], Act::Copy, "", "copy the transaction's id"),
    ("close", &[Key::Escape], Act::Close, "", "close the transaction, the step, the filter"),
);

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// None: the newest, whichever that is, until a person chooses.
    selected: Option<Name>,
    /// Where the selected one was among all when it was last seen; none: it never was.
    was_at: Option<usize>,
    /// The selected message.
    step: Option<usize>,
    /// The transaction is shown alone.
    open: bool,
    /// Time is shown, not messages.
    waterfall: bool,
    outcomes: Outcomes,
    filter_text: String,
    filter: Filter,
    typing: bool,
}

/// Where list and transaction are.
struct Places {
    list: Rect,
    detail: Rect,
}

impl State {
    /// Shows this transaction.
    pub fn show(&mut self, version: Version) {
        self.select(Some(Name::Tx(version)));
    }

    fn select(&mut self, name: Option<Name>) {
        if self.selected != name {
            self.step = None;
            self.was_at = None;
        }
        self.selected = name;
    }

    /// Of a selected one that is forgotten by now, what stood beside it is selected.
    fn keep_place(&mut self, model: &Model) {
        let Some(name) = self.selected else { return };
        let all = rows::all(model);
        match (rows::place(&all, name), self.was_at) {
            (Some(at), _) => self.was_at = Some(at),
            (None, Some(at)) => {
                let (before, after) = all.split_at(at.min(all.len()));
                let mut near = after.iter().chain(before.iter().rev());
                let near = near.find(|row| self.passes(row, model)).map(|row| row.name);
                self.select(near);
                self.was_at = near.and_then(|name| rows::place(&all, name));
            }
            (None, None) => {}
        }
    }

    fn passes(&self, row: &Row<'_>, model: &Model) -> bool {
        self.outcomes.passes(row) && self.filter.passes(row, model)
    }

    /// The rows that are listed, and how many there are in all.
    fn listed<'a>(&self, model: &'a Model) -> (Vec<Row<'a>>, usize) {
        let mut rows = rows::all(model);
        let all = rows.len();
        rows.retain(|row| self.passes(row, model));
        (rows, all)
    }

    /// Where the selected one is in the list; the first, and newest, while nobody chose one.
    fn place(&self, rows: &[Row<'_>]) -> Option<usize> {
        match self.selected {
            Some(name) => rows::place(rows, name),
            None => (!rows.is_empty()).then_some(0),
        }
    }

    /// The selected transaction, and whether the filter hides it.
    fn chosen<'a>(&self, listed: &[Row<'a>], model: &'a Model) -> (Option<Row<'a>>, bool) {
        if let Some(at) = self.place(listed) {
            return (Some(listed[at]), false);
        }
        let Some(name) = self.selected else { return (None, false) };
        let row = rows::all(model).into_iter().find(|row| row.name == name);
        (row, row.is_some())
    }

    /// Selects the one below or above; of one that is not listed, the one that is nearest.
    fn step_row(&mut self, model: &Model, down: bool) {
        let all = rows::all(model);
        let at = match self.selected {
            Some(name) => rows::place(&all, name),
            None => (!all.is_empty()).then_some(0),
        };
        let passes = |row: &&Row<'_>| self.passes(row, model);
        let next = match (at, down) {
            (Some(at), true) => all[at + 1..].iter().find(passes),
            (Some(at), false) => all[..at].iter().rev().find(passes),
            (None, _) => all.iter().find(passes),
        };
        let name = next.map(|row| row.name).or(at.map(|at| all[at].name));
        self.select(name.or(self.selected));
    }

    fn pin(&mut self, seen: &Seen<'_>) {
        if self.selected.is_none() {
            let first = self.listed(seen.model).0.first().map(|row| row.name);
            self.select(first);
        }
    }

    fn move_step(&mut self, model: &Model, forward: bool) {
        let (row, _) = self.chosen(&self.listed(model).0, model);
        let ladder = row.and_then(|row| steps::ladder(&row, model, u16::MAX));
        let len = match self.waterfall {
            true => row.map_or(0, |row| path::parties(&row, model).len()),
            false => ladder.map_or(0, |ladder| ladder.steps.len()),
        };
        self.step = match (self.step, forward) {
            _ if len == 0 => None,
            (None, true) => Some(0),
            (Some(at), true) => Some((at + 1).min(len - 1)),
            (None | Some(0), false) => None,
            (Some(at), false) => Some(at.min(len) - 1),
        };
    }

    fn type_text(&mut self, text: &str) {
        let room = TEXT_MAX.saturating_sub(self.filter_text.chars().count());
        let safe = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.filter_text.extend(safe.take(room));
        self.filter = Filter::of(&self.filter_text);
    }

    fn clear_filter(&mut self) {
        self.filter_text.clear();
        self.filter = Filter::default();
    }

    fn places(&self, seen: &Seen<'_>, area: Rect) -> Places {
        let none = Rect { width: 0, height: 0, ..area };
        if self.open {
            return Places { list: none, detail: area };
        }
        if seen.compact {
            let typing = if self.typing { 3 } else { 0 };
            let rows = (LIST_ROWS + typing).min(area.height / 2 + area.height % 2);
            let detail = list::below(area, rows);
            return Places { list: Rect { height: rows, ..area }, detail };
        }
        let columns = LIST_COLUMNS.min(area.width / 2).max(area.width * 2 / 5);
        let detail = Rect { x: area.x + columns, width: area.width - columns, ..area };
        Places { list: Rect { width: columns, ..area }, detail }
    }
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        let model = seen.model;
        match act {
            Act::Move(down) => self.step_row(model, down),
            Act::End(last) => {
                let last = self.listed(model).0.last().map(|row| row.name).filter(|_| last);
                self.select(last);
            }
            Act::Step(forward) => {
                self.pin(seen);
                self.move_step(model, forward);
            }
            Act::Open => {
                self.pin(seen);
                self.open = !self.open;
            }
            Act::Close if self.step.is_some() => self.step = None,
            Act::Close if self.open => self.open = false,
            Act::Close => {
                self.clear_filter();
                self.outcomes = Outcomes::All;
            }
            Act::Swap => {
                self.waterfall = !self.waterfall;
                self.step = None;
            }
            Act::Outcome => self.outcomes = self.outcomes.next(),
            Act::Filter => {
                self.open = false;
                self.typing = true;
            }
            Act::Ring => {
                let row = self.chosen(&self.listed(model).0, model).0;
                match row.and_then(|row| row.key()) {
                    Some(key) => {
                        out.show_key = Some(key.to_owned());
                        out.go = Some(ViewName::Ring);
                    }
                    None => out.remark = Some("its key is not known".into()),
                }
            }
            Act::Copy => {
                let row = self.chosen(&self.listed(model).0, model).0;
                match row.and_then(|row| row.tx()) {
                    Some(version) => {
                        out.effect(Effect::Copy(version.to_string()));
                        out.remark = Some(format!("{version} is copied"));
                    }
                    None => out.remark = Some("it has no id: it was never handed over".into()),
                }
            }
        }
    }

    fn is_typing(&self) -> bool {
        self.typing
    }

    fn typed(&mut self, key: &Key, _seen: &Seen<'_>, _out: &mut Out) -> bool {
        match key {
            Key::Char(c) => self.type_text(c.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => self.type_text(text),
            Key::Backspace => {
                self.filter_text.pop();
                self.filter = Filter::of(&self.filter_text);
            }
            Key::Ctrl('w') | Key::AltBackspace => {
                let kept = self.filter_text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.filter_text.truncate(kept);
                self.filter = Filter::of(&self.filter_text);
            }
            Key::Ctrl('u') => self.clear_filter(),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.clear_filter();
            }
            Key::Left | Key::Right | Key::Home | Key::End | Key::Delete => {}
            _ => return false,
        }
        true
    }

    fn ticked(&mut self, seen: &Seen<'_>, _out: &mut Out) {
        self.keep_place(seen.model);
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, _out: &mut Out) {
        let places = self.places(seen, area);
        match at {
            Pointed::Click(x, y) => {
                let (rows, _) = self.listed(seen.model);
                let Some(name) = list::at(seen, self, &rows, places.list, (x, y)) else { return };
                match self.selected == Some(name) {
                    true => self.open = true,
                    false => self.select(Some(name)),
                }
            }
            Pointed::Wheel(x, y, down) if places.list.contains((x, y).into()) => {
                self.step_row(seen.model, down);
            }
            Pointed::Wheel(_, _, down) => self.move_step(seen.model, down),
        }
    }

    fn wants(&self, seen: &Seen<'_>) -> Wants {
        // Asked with all that comes in: so it looks at what is open only.
        let is_open =
            |version: &Version| seen.model.txns.open().any(|row| row.txn.tx == Some(*version));
        let tx = match self.selected {
            Some(Name::Tx(version)) => Some(version).filter(is_open),
            Some(Name::No(_)) => None,
            // The newest is another every moment, unless it is in doubt.
            None => rows::newest_in_doubt(seen.model),
        };
        Wants { tx, ..Wants::default() }
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let places = self.places(seen, area);
        let (rows, all) = self.listed(seen.model);
        if !self.open {
            list::draw(seen, self, &rows, all, places.list, buf);
        }
        let (row, hidden) = self.chosen(&rows, seen.model);
        detail::draw(seen, self, row.as_ref(), hidden, places.detail, buf);
        if seen.model.stale_ms().is_some() {
            buf.set_style(area, seen.look.style(Tone::Stale));
        }
    }
}
