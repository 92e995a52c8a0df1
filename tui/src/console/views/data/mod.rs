//! The view Data: a prompt as that of the shell, where the key lives that was named last, and keys.
//!
//! - this file: its keys, and what they do; `session`: what was typed and printed
//! - `typed`: what a line is about; `place`: where a key lives; `list`: keys by their beginning
//! - `picture`: how it is drawn

mod list;
mod picture;
mod place;
mod session;
mod typed;

use protocol::ids::Version;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Out, Pointed, Seen, View};
use crate::commands::{Catalog, KeyQuestion, Wanted, quote, wanted};
use crate::console::action::{Action, ViewName};
use crate::console::effect::{Completions, Done, Effect};
use crate::console::keys::{self, Binding, bindings};
use crate::prompt::{Completion, Editor, History, Key, Outcome};
use list::List;
use place::Place;
use session::{By, Session};
use typed::Deed;

/// Rows of a leap, and of a turn of the wheel.
const LEAP: usize = 10;
const WHEEL: usize = 3;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The next key of the list, or the one before.
    Move(bool),
    /// Keys are text for the prompt.
    Type,
    /// Get the selected key; without one: type.
    Take,
    /// Type what the listed keys begin with.
    Prefix,
    /// Show the key that was named last in the ring.
    Ring,
    /// Show the last update in the view of transactions.
    Txn,
    /// Later lines of the session, or earlier ones.
    Scroll(bool),
    /// End the command that is carried out.
    Interrupt,
    /// No key is selected; then: all keys are listed.
    Close,
}

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Data,
    (
        "type",
        &[Key::Char('i')],
        Act::Type,
        "type",
        "type a command; Tab completes, Enter carries it out, Esc leaves the prompt",
    ),
    (
        "take",
        &[Key::Enter],
        Act::Take,
        "get",
        "get the selected key; where none is selected: type a command",
    ),
    ("down", keys::DOWN, Act::Move(true), "", "the next key of the list"),
    ("up", keys::UP, Act::Move(false), "", "the key before"),
    ("prefix", &[Key::Char('/')], Act::Prefix, "keys", "list the keys that begin with a text"),
    (
        "where",
        &[Key::Char('w')],
        Act::Ring,
        "in the ring",
        "show the key that was named last in the ring",
    ),
    (
        "transaction",
        &[Key::Char('x')],
        Act::Txn,
        "its 2PC",
        "show the transaction of the last update, or of the shown value",
    ),
    ("scroll-down", keys::PAGE_DOWN, Act::Scroll(true), "", "later lines of the session"),
    ("scroll-up", keys::PAGE_UP, Act::Scroll(false), "", "earlier lines of the session"),
    ("interrupt", &[Key::Char('c')], Act::Interrupt, "", "end the command that is carried out"),
    ("close", &[Key::Escape], Act::Close, "", "select no key; then: list all keys"),
);

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {
    catalog: Catalog,
    editor: Editor,
    /// Keys are text for the prompt.
    focused: bool,
    /// What the prompt has to say of the last key.
    hint: Option<&'static str>,
    /// Whose answer completes the line.
    completing: Option<KeyQuestion>,
    session: Session,
    place: Place,
    list: List,
    /// The transaction of the last update.
    last_txn: Option<Version>,
}

impl State {
    /// Whether a command is carried out.
    pub fn is_busy(&self) -> bool {
        self.session.running.is_some()
    }

    /// The last line that a command has printed.
    pub fn last_printed(&self) -> Option<String> {
        self.session.last_printed()
    }

    /// What may be typed.
    pub fn set_catalog(&mut self, catalog: Catalog) {
        self.catalog = catalog;
    }

    /// What was typed in earlier sessions.
    pub fn set_history(&mut self, history: History) {
        self.editor = Editor::new(history);
    }

    /// Takes a line that was typed.
    pub fn submit(&mut self, line: &str, seen: &Seen<'_>, out: &mut Out) {
        // A completion leaves a blank, which is no part of the last word.
        let trimmed = line.trim_end_matches(' ');
        let line = if trimmed.ends_with('\\') { line } else { trimmed };
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            return;
        }
        self.editor.remember(line);
        match typed::name(line).as_str() {
            "clear" => self.session.clear(),
            "quit" | "exit" => {
                self.focused = false;
                out.remark = Some("the prompt is left; q ends the console".into());
            }
            "history" => self.show_history(line),
            _ if self.session.running.is_none() => self.carry_out(line, seen, out),
            _ if self.session.wait(line) => {}
            _ => out.remark = Some("too many lines wait: this one is dropped".into()),
        }
    }

    /// Carries a line out, unless it may change what may not be changed.
    fn carry_out(&mut self, line: &str, seen: &Seen<'_>, out: &mut Out) {
        if let Some(why) = refusal(line).filter(|_| seen.read_only) {
            self.session.push(By::Typed, line);
            self.session.push(By::Remark, &why);
            out.remark = Some(why);
            return;
        }
        self.session.begin(line, seen.model.now);
        out.effect(Effect::Run(line.to_owned()));
        if let Some(key) = typed::key(&self.catalog, line) {
            self.place.ask(key, out);
        }
    }

    /// The command has ended; the next one's turn.
    fn ended(&mut self, ms: u64, seen: &Seen<'_>, out: &mut Out) {
        if let Some(ended) = self.session.ended(ms) {
            self.last_txn = ended.version.or(self.last_txn);
            if ended.changes {
                self.place.ask_again(out);
                self.list.ask_soon();
            }
        }
        while self.session.running.is_none() {
            let Some(line) = self.session.next() else { return };
            self.carry_out(&line, seen, out);
        }
    }

    fn interrupt(&mut self, out: &mut Out) {
        if self.session.running.is_none() {
            out.remark = Some("no command is being carried out".into());
            return;
        }
        out.effect(Effect::Interrupt);
        let dropped = self.session.drop_waiting();
        if dropped > 0 {
            out.remark = Some(match dropped {
                1 => "1 line that waited is dropped".into(),
                n => format!("{n} lines that waited are dropped"),
            });
        }
    }

    fn show_history(&mut self, line: &str) {
        self.session.push(By::Typed, line);
        let lines: Vec<String> = self.editor.history().lines().map(Into::into).collect();
        for (at, line) in lines.iter().enumerate() {
            self.session.push(By::Printed, &format!("{:>5}  {line}", at + 1));
        }
    }

    /// Shows the value of the selected key.
    fn take(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let Some(key) = self.list.selected() else {
            self.focused = true;
            return;
        };
        let dashes = if key.starts_with('-') { "-- " } else { "" };
        let line = format!("get {dashes}{}", quote(key.as_bytes()));
        self.submit(&line, seen, out);
    }

    /// A key for the prompt; false: it has no use for it.
    fn prompt(&mut self, key: &Key, seen: &Seen<'_>, out: &mut Out) -> bool {
        self.hint = None;
        let is_idle = self.editor.line().text().is_empty() && !self.editor.is_open();
        match key {
            Key::Escape if !self.editor.is_open() => {
                self.focused = false;
                return true;
            }
            Key::Ctrl('c') if self.session.running.is_some() => {
                self.interrupt(out);
                return true;
            }
            Key::Ctrl('c' | 'd') if is_idle => {
                self.editor.handle(Key::Ctrl('c'));
                self.focused = false;
                return true;
            }
            Key::BackTab if !self.editor.is_open() => return false,
            Key::PageDown | Key::PageUp => {
                self.session.scroll(*key == Key::PageDown, LEAP);
                return true;
            }
            _ => {}
        }
        self.completing = None;
        let mut outcome = self.editor.handle(key.clone());
        if outcome == Outcome::Complete {
            outcome = self.complete(out);
        }
        match outcome {
            Outcome::Lines(lines) => {
                for line in lines {
                    self.submit(&line, seen, out);
                }
            }
            Outcome::EndOfInput => self.focused = false,
            Outcome::Suspend => out.effect(Effect::Suspend),
            Outcome::Clear => self.session.clear(),
            Outcome::Refused(why) => self.hint = Some(why).filter(|why| !why.is_empty()),
            Outcome::Edited | Outcome::Interrupt(_) | Outcome::Complete => {}
        }
        true
    }

    /// Finds what may stand at the cursor; for keys the cluster is asked first.
    fn complete(&mut self, out: &mut Out) -> Outcome {
        let line = self.editor.line();
        let cursor = line.cursor();
        let completion = match wanted(&self.catalog, line.text(), cursor) {
            Wanted::These(completion) => completion,
            Wanted::Nothing => Completion { range: cursor..cursor, ..Completion::default() },
            Wanted::Keys(question) => {
                out.effect(Effect::Complete(question.prefix.clone()));
                self.completing = Some(question);
                return Outcome::Edited;
            }
        };
        self.editor.offer(completion)
    }

    fn completed(&mut self, prefix: &str, found: Option<&Completions>) {
        let Some(question) = self.completing.take_if(|asked| asked.prefix == prefix) else {
            return;
        };
        let outcome = match found {
            Some(Completions { keys, alike: true, .. }) => {
                self.editor.offer(question.answer_alike(keys))
            }
            Some(found) => self.editor.offer(question.answer(&found.keys, found.more)),
            None => Outcome::Refused("the cluster does not tell its keys now"),
        };
        if let Outcome::Refused(why) = outcome {
            self.hint = Some(why).filter(|why| !why.is_empty());
        }
    }

    fn clicked(&mut self, at: (u16, u16), areas: &picture::Areas, seen: &Seen<'_>) {
        let is_in = |area: Rect| area.contains(at.into());
        if is_in(areas.list) {
            let mut keys = picture::key_places(&self.list, seen, areas.list).into_iter();
            if let Some((place, _)) = keys.find(|(_, area)| is_in(*area)) {
                self.list.select(place);
                self.focused = false;
            }
        } else if is_in(areas.session) {
            self.focused = true;
            self.list.typing = false;
        }
    }
}

/// Why a line is not carried out where nothing may be changed; none: it may be.
fn refusal(line: &str) -> Option<String> {
    let name = typed::name(line);
    match typed::deed(line) {
        Deed::Reads => None,
        Deed::Changes => Some(format!("read-only: {name} would change keys")),
        Deed::Unknown => Some("read-only: only commands that are known to read".into()),
    }
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        match act {
            Act::Move(down) => self.list.step(down, 1),
            Act::Type => {
                self.focused = true;
                self.list.typing = false;
            }
            Act::Take => self.take(seen, out),
            Act::Prefix => {
                self.list.typing = true;
                self.focused = false;
                if !self.list.is_known() {
                    self.list.ask_soon();
                }
            }
            Act::Ring => match self.place.key() {
                Some(key) => {
                    out.show_key = Some(key.to_owned());
                    out.go = Some(ViewName::Ring);
                }
                None => out.remark = Some("name a key first, as in: get user:1".into()),
            },
            Act::Txn => match self.last_txn.or_else(|| self.place.version()) {
                Some(version) => {
                    out.show_txn = Some(version);
                    out.go = Some(ViewName::Txns);
                }
                None => out.remark = Some("no update was made here so far".into()),
            },
            Act::Scroll(down) => self.session.scroll(down, LEAP),
            Act::Interrupt => self.interrupt(out),
            Act::Close => {
                if !self.list.deselect() && !self.list.prefix.is_empty() {
                    self.list.prefix.clear();
                    self.list.ask_soon();
                }
            }
        }
    }

    fn is_typing(&self) -> bool {
        self.focused || self.list.typing
    }

    fn typed(&mut self, key: &Key, seen: &Seen<'_>, out: &mut Out) -> bool {
        if !self.list.typing {
            return self.prompt(key, seen, out);
        }
        let has_selected = self.list.selected().is_some();
        let taken = self.list.typed(key);
        if *key == Key::Enter {
            self.list.ask(out);
            if has_selected {
                self.take(seen, out);
            }
        }
        taken
    }

    fn done(&mut self, done: &Done, seen: &Seen<'_>, out: &mut Out) {
        match done {
            Done::Located(key, found) => self.place.located(key, found, seen.model),
            Done::Scanned(prefix, found) => self.list.scanned(prefix, found, seen.model.now),
            Done::Completed(prefix, found) => self.completed(prefix, found.as_ref()),
            Done::Printed(piece) => self.session.printed(piece),
            Done::Ended(ms) => self.ended(*ms, seen, out),
            Done::Process(..) | Done::Member(..) | Done::Exported(_) => {}
        }
    }

    fn shown(&mut self, _seen: &Seen<'_>, out: &mut Out) {
        self.focused = true;
        self.list.typing = false;
        if !self.list.is_known() {
            self.list.ask_soon();
            self.list.ask(out);
        }
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, _out: &mut Out) {
        let areas = picture::Areas::of(area, seen.compact);
        match at {
            Pointed::Click(column, row) => self.clicked((column, row), &areas, seen),
            Pointed::Wheel(column, row, down) if areas.list.contains((column, row).into()) => {
                self.list.step(down, WHEEL);
            }
            Pointed::Wheel(_, _, down) => self.session.scroll(down, WHEEL),
        }
    }

    fn ticked(&mut self, seen: &Seen<'_>, out: &mut Out) {
        self.list.ticked(seen.model, out);
        self.place.ticked(seen.model, out);
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        picture::draw(self, seen, area, buf);
    }
}

#[cfg(test)]
mod tests;
