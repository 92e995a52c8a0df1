//! What was typed and what was printed: lines, one command at a time.
//!
//! Part of the view Data. Bounded in lines, in their lengths, and in what waits.

use std::collections::VecDeque;

use protocol::ids::Version;

use super::typed;
use crate::console::model::clock::{At, count};
use crate::text;

/// Lines that are kept.
pub(super) const LINES_MAX: usize = 2_000;
/// A longer line is cut, bytes.
pub(super) const LINE_BYTES_MAX: usize = 4 << 10;
/// Of that, what says so.
const NOTE_BYTES: usize = 64;
/// Lines that wait for the one that is carried out.
pub(super) const WAITING_MAX: usize = 100;

/// Who a line is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The person.
    Typed,
    /// A command.
    Printed,
    /// The console.
    Remark,
}

/// What is carried out.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Since when.
    pub(super) began: At,
    /// Whether it may change keys.
    pub(super) changes: bool,
    /// The version that it has told.
    pub(super) version: Option<Version>,
}

/// The session so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    lines: VecDeque<(By, String)>,
    /// What was printed without a newline so far, and how many bytes more that are not shown.
    partial: Vec<u8>,
    cut_bytes: usize,
    /// What is carried out.
    pub(super) running: Option<Running>,
    waiting: VecDeque<String>,
    /// Lines at the end that are not shown: somebody looks at earlier ones.
    scroll: usize,
}

impl Session {
    /// Adds a line.
    pub(super) fn push(&mut self, by: By, text: &str) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((by, clipped(text, 0)));
        if self.scroll > 0 {
            self.scroll = (self.scroll + 1).min(self.lines.len());
        }
    }

    /// The lines that are shown, the last one first.
    pub(super) fn shown(&self) -> impl Iterator<Item = (By, String)> {
        let partial = Some((By::Printed, self.partial_text()));
        let partial = partial.filter(|_| self.scroll == 0 && !self.partial.is_empty());
        let lines = self.lines.iter().rev().skip(self.scroll).cloned();
        partial.into_iter().chain(lines)
    }

    /// The last line that a command has printed, of those that are whole.
    pub(super) fn last_printed(&self) -> Option<String> {
        let mut newest = self.lines.iter().rev();
        newest.find(|(by, _)| *by == By::Printed).map(|(_, text)| text.clone())
    }

    /// How many lines at the end are not shown.
    pub(super) fn below(&self) -> usize {
        self.scroll
    }

    /// Looks at later lines, or at earlier ones.
    pub(super) fn scroll(&mut self, down: bool, by: usize) {
        let most = self.lines.len().saturating_sub(1);
        let up = self.scroll.saturating_add(by).min(most);
        self.scroll = if down { self.scroll.saturating_sub(by) } else { up };
    }

    /// Forgets all lines.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.scroll = 0;
    }

    /// A line is carried out from now on.
    pub(super) fn begin(&mut self, line: &str, began: At) {
        self.scroll = 0;
        self.push(By::Typed, line);
        let changes = typed::deed(line) != typed::Deed::Reads;
        self.running = Some(Running { began, changes, version: None });
    }

    /// A line that waits; false: there are too many.
    pub(super) fn wait(&mut self, line: &str) -> bool {
        let fits = self.waiting.len() < WAITING_MAX;
        if fits {
            self.waiting.push_back(line.to_owned());
        }
        fits
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The line whose turn it is.
    pub(super) fn next(&mut self) -> Option<String> {
        self.waiting.pop_front()
    }

    /// Those that wait are not carried out; how many they were.
    pub(super) fn drop_waiting(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }

    /// A piece of what is printed, of any length, cut anywhere.
    pub(super) fn printed(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&text[..text.len().min(room)]);
            self.cut_bytes = self.cut_bytes.saturating_add(text.len().saturating_sub(room));
            if is_whole {
                self.flush();
            }
        }
    }

    /// It has ended; what it was.
    pub(super) fn ended(&mut self, ms: u64) -> Option<Running> {
        if !self.partial.is_empty() {
            self.flush();
        }
        if self.running.is_some() {
            self.push(By::Remark, &format!("{ms} ms"));
        }
        self.running.take()
    }

    fn flush(&mut self) {
        let text = self.partial_text();
        self.partial.clear();
        self.cut_bytes = 0;
        if let Some(running) = self.running.as_mut().filter(|running| running.changes) {
            running.version = typed::version(&text).or(running.version);
        }
        self.push(By::Printed, &text);
    }

    fn partial_text(&self) -> String {
        let bytes = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let shown = text::escaped(bytes, true).replace('\t', "    ");
        clipped(&shown, self.cut_bytes)
    }
}

/// A text with no more bytes than a line may have, of which `left` are missing already; what is
/// missing in the end is said.
fn clipped(text: &str, left: usize) -> String {
    if left == 0 && text.len() <= LINE_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LINE_BYTES_MAX - NOTE_BYTES);
    let left = left.saturating_add(text.len() - end);
    format!("{}... ({} bytes more are not shown)", &text[..end], count(left as u64))
}
