//! What each key does.
//!
//! Owned by whoever owns the terminal: keys go in by [`Editor::handle`], and [`Editor::view`] says
//! what is to be seen afterwards. Pure. Completion takes two steps, since only the owner may know
//! the candidates: [`Outcome::Complete`], then [`Editor::offer`].

use std::collections::VecDeque;
use std::ops::Range;

use super::browse::{Browse, Search};
use super::history::History;
use super::key::Key;
use super::line::{Line, TEXT_BYTES_MAX};
use super::menu::{Completion, Menu, cut_to, visible};
use super::view::{View, window};
use crate::text;

/// Lines that may be pasted at once.
const PASTED_LINES_MAX: usize = 1_000;

/// What a key led to, for the owner to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There may be something else to see.
    Edited,
    /// Enter: these lines, one unless several were pasted. The editor is empty again.
    Lines(Vec<String>),
    /// Tab: the owner finds what may stand at the cursor, and calls [`Editor::offer`].
    Complete,
    /// Ctrl-C; whether there was anything to drop.
    Interrupt(bool),
    /// Ctrl-D in an empty line.
    EndOfInput,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L: everything else on the screen shall go.
    Clear,
    /// Nothing happened; why, if there is anything to say.
    Refused(&'static str),
}

/// What the keys mean now.
#[derive(Debug, Clone, Default)]
enum Mode {
    #[default]
    Plain,
    /// Up and Down go through the history.
    Browse(Browse),
    /// Ctrl-R.
    Search(Search),
    /// Tab goes through candidates.
    Menu(Menu),
}

/// A line being edited.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    line: Line,
    /// Pasted lines that go before the one being edited.
    above: VecDeque<String>,
    history: History,
    mode: Mode,
    masked: bool,
}

impl Editor {
    /// An empty line, with what was typed before.
    pub fn new(history: History) -> Self {
        Self { history, ..Self::default() }
    }

    /// An empty line whose text is not shown, not completed and not remembered.
    pub fn masked() -> Self {
        Self { masked: true, ..Self::default() }
    }

    /// What is being edited.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Whether the text is not to be shown.
    pub fn is_masked(&self) -> bool {
        self.masked
    }

    /// Whether Escape would close something: a search, or the candidates of a completion.
    pub fn is_open(&self) -> bool {
        matches!(self.mode, Mode::Search(_) | Mode::Menu(_))
    }

    /// What was typed before.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Adds to what was typed before; false if it is not to be remembered.
    pub fn remember(&mut self, line: &str) -> bool {
        self.history.remember(line)
    }

    /// One key.
    pub fn handle(&mut self, key: Key) -> Outcome {
        match std::mem::take(&mut self.mode) {
            Mode::Plain => self.plain(key, None),
            Mode::Browse(browse) => self.plain(key, Some(browse)),
            Mode::Search(search) => self.searching(key, search),
            Mode::Menu(menu) => self.choosing(key, menu),
        }
    }

    /// A key when nothing but the line is open; `browse` if it came out of the history.
    fn plain(&mut self, key: Key, browse: Option<Browse>) -> Outcome {
        match key {
            Key::Enter => self.enter(),
            Key::Tab if self.masked => Outcome::Refused(""),
            Key::Tab => Outcome::Complete,
            Key::Up | Key::Ctrl('p') => self.browse(browse, false),
            Key::Down | Key::Ctrl('n') => self.browse(browse, true),
            Key::Ctrl('r') if !self.masked => {
                self.mode = Mode::Search(Search::new(self.line.clone()));
                Outcome::Edited
            }
            Key::Ctrl('c') => {
                let dropped = !self.line.take().is_empty() | !self.above.is_empty();
                self.above.clear();
                Outcome::Interrupt(dropped)
            }
            Key::Ctrl('d') if self.line.text().is_empty() && self.above.is_empty() => {
                Outcome::EndOfInput
            }
            Key::Ctrl('z') => Outcome::Suspend,
            Key::Ctrl('l') => Outcome::Clear,
            Key::Paste(pasted) => self.paste(&pasted),
            key => self.edit(key),
        }
    }

    /// A key that changes the line or moves the cursor.
    fn edit(&mut self, key: Key) -> Outcome {
        let line = &mut self.line;
        let full = Outcome::Refused("the line is full: put large values from a file");
        match key {
            Key::Char(c) if c.is_control() => return Outcome::Refused(""),
            Key::Char(c) if !line.insert(c.encode_utf8(&mut [0; 4])) => return full,
            Key::Char(_) => {}
            Key::Left | Key::Ctrl('b') => line.left(),
            Key::Right | Key::Ctrl('f') => line.right(),
            Key::Home | Key::Ctrl('a') => line.home(),
            Key::End | Key::Ctrl('e') => line.end(),
            Key::WordLeft | Key::Alt('b') => line.word_left(),
            Key::WordRight | Key::Alt('f') => line.word_right(),
            Key::Backspace | Key::Ctrl('h') => line.backspace(),
            Key::Delete | Key::Ctrl('d') => line.delete(),
            Key::Ctrl('u') => line.cut_to_start(),
            Key::Ctrl('k') => line.cut_to_end(),
            Key::Ctrl('w') => line.cut_blank_word(),
            Key::AltBackspace => line.cut_word_left(),
            Key::Alt('d') => line.cut_word_right(),
            Key::Ctrl('y') if !line.put_back() => return full,
            Key::Ctrl('y') => {}
            _ => return Outcome::Refused(""),
        }
        Outcome::Edited
    }

    fn enter(&mut self) -> Outcome {
        let mut lines: Vec<String> = self.above.drain(..).collect();
        let last = self.line.take();
        if lines.is_empty() || !last.is_empty() {
            lines.push(last);
        }
        Outcome::Lines(lines)
    }

    /// Several lines are held until Enter: what is pasted by mistake shall not run by itself.
    fn paste(&mut self, pasted: &str) -> Outcome {
        let pasted = pasted.replace("\r\n", "\n").replace('\r', "\n");
        let held: usize = self.above.iter().map(String::len).sum();
        let bytes = held + self.line.text().len() + pasted.len();
        let lines = self.above.len() + pasted.matches('\n').count();
        if bytes > TEXT_BYTES_MAX || lines > PASTED_LINES_MAX {
            return Outcome::Refused(
                "too much was pasted: put it into a file for piazza shell < FILE",
            );
        }
        if self.masked && lines > 0 {
            return Outcome::Refused("several lines were pasted: only one may be");
        }
        let (left, right) = self.line.text().split_at(self.line.cursor());
        let text = [left, &pasted, right].concat();
        let cursor_from_end = right.len();
        let (above, last) = text.rsplit_once('\n').map_or((None, &*text), |(a, b)| (Some(a), b));
        let first = last.len() - cursor_from_end;
        self.line.set("");
        // Text that fitted with the rest of it fits alone.
        let fits = self.line.insert(&last[first..]);
        self.line.home();
        let all = fits && self.line.insert(&last[..first]);
        debug_assert!(all, "the length was checked");
        self.above.extend(above.into_iter().flat_map(|above| above.split('\n')).map(Into::into));
        Outcome::Edited
    }

    fn browse(&mut self, browse: Option<Browse>, forward: bool) -> Outcome {
        let mut browse = browse.unwrap_or_else(|| Browse::new(self.line.text(), &self.history));
        let moved = browse.turn(&self.history, self.line.text(), forward);
        if let Some(text) = &moved {
            self.line.set(text);
        }
        self.mode = Mode::Browse(browse);
        if moved.is_some() { Outcome::Edited } else { Outcome::Refused("") }
    }

    fn searching(&mut self, key: Key, mut search: Search) -> Outcome {
        match key {
            Key::Char(c) if !c.is_control() => search.add(c, &self.history),
            Key::Backspace | Key::Ctrl('h') => search.shorten(&self.history),
            Key::Ctrl('r') => search.older(&self.history),
            Key::Escape | Key::Ctrl('g' | 'c') => {
                self.line = search.before;
                return Outcome::Edited;
            }
            key => {
                if let Some(found) = search.found(&self.history) {
                    self.line.set(found);
                }
                return self.plain(key, None);
            }
        }
        self.mode = Mode::Search(search);
        Outcome::Edited
    }

    fn choosing(&mut self, key: Key, mut menu: Menu) -> Outcome {
        let forward = match key {
            Key::Tab | Key::Down => true,
            Key::BackTab | Key::Up => false,
            Key::Escape => {
                self.put(menu.completion.range.start..self.line.cursor(), &menu.typed);
                return Outcome::Edited;
            }
            // What was chosen is taken, not run.
            Key::Enter if menu.chosen.is_some() => return Outcome::Edited,
            key => return self.plain(key, None),
        };
        let range = menu.completion.range.start..self.line.cursor();
        let insert = menu.turn(forward).to_owned();
        self.put(range, &insert);
        self.mode = Mode::Menu(menu);
        Outcome::Edited
    }

    /// Puts a candidate, or what was typed, to where the candidates go. One that is too long for
    /// the line is not put in.
    fn put(&mut self, range: Range<usize>, text: &str) {
        let _ = self.line.replace(range.start, range.end, text);
    }

    /// What may stand at the cursor, as an answer to [`Outcome::Complete`]: one candidate is put in
    /// at once; of several, what they have in common, and a menu opens.
    pub fn offer(&mut self, completion: Completion) -> Outcome {
        let cursor = self.line.cursor();
        let range = completion.range.clone();
        if self.line.text().get(range.clone()).is_none() || range.end != cursor {
            return Outcome::Refused(""); // It is about an earlier line.
        }
        match completion.candidates.as_slice() {
            [] => return Outcome::Refused("nothing that is known begins so"),
            [one] if !completion.more => {
                let blank = if self.line.text()[cursor..].starts_with(' ') { "" } else { " " };
                let insert = format!("{}{blank}", one.insert);
                let fits = self.line.replace(range.start, cursor, &insert);
                return if fits { Outcome::Edited } else { Outcome::Refused("the line is full") };
            }
            _ => {}
        }
        if completion.common.len() > range.len() {
            self.put(range.clone(), &completion.common);
        }
        let typed = self.line.text()[range.start..self.line.cursor()].to_owned();
        self.mode = Mode::Menu(Menu { completion, chosen: None, typed });
        Outcome::Edited
    }

    /// What is to be seen in `width` columns, with at most `rows_max` rows below the line.
    pub fn view(&self, prompt: &str, width: usize, rows_max: usize) -> View {
        let found;
        let (prompt, line) = match &self.mode {
            Mode::Search(search) => {
                found = search.shown(&self.history);
                (search.prompt(), found.as_ref().unwrap_or(&search.before))
            }
            _ => (prompt.to_owned(), &self.line),
        };
        let prompt = cut_to(&visible(&prompt), width / 2);
        let (before, after) = window(line, width - text::width(&prompt).min(width), self.masked);
        let menu = match &self.mode {
            Mode::Menu(menu) => menu.rows(width.saturating_sub(1), rows_max),
            _ => Vec::new(),
        };
        let hint = (!self.above.is_empty() && rows_max > 0).then(|| {
            let lines: Vec<String> = self.above.iter().take(5).map(|line| visible(line)).collect();
            let hint = format!(
                "  {} pasted above; Enter runs all, Ctrl-C none: {}",
                self.above.len(),
                lines.join(" | ")
            );
            cut_to(&hint, width.saturating_sub(1))
        });
        View { prompt, before, after, menu, hint }
    }
}
