//! A text of one line with a cursor.
//!
//! Used by the editor. Invariant: the cursor lies between two graphemes, so what a person sees as
//! one character is never cut; the text has no line break and at most [`TEXT_BYTES_MAX`] bytes.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// More than this is no line that anybody types, bytes; larger values are put from a file.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// A text with a cursor, and what was last cut out of it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    text: String,
    /// In bytes.
    cursor: usize,
    cut: String,
}

impl Line {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor is, in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Another text, with the cursor at its end. What was cut stays.
    pub(super) fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// Takes the text away.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts `added` where the cursor is; false if there is no room for it.
    pub(super) fn insert(&mut self, added: &str) -> bool {
        self.replace(self.cursor, self.cursor, added)
    }

    /// Puts `added` in the place of what lies from `start` to `end`, with the cursor behind it;
    /// false if there is no room for it.
    pub(super) fn replace(&mut self, start: usize, end: usize, added: &str) -> bool {
        if self.text.len() - (end - start) + added.len() > TEXT_BYTES_MAX {
            return false;
        }
        debug_assert!(!added.contains(['\n', '\r']), "a line break in a line");
        self.text.replace_range(start..end, added);
        self.put_cursor(start + added.len());
        true
    }

    /// The cursor at `at`, or behind the grapheme that `at` would cut: what was added can be one
    /// with what follows.
    fn put_cursor(&mut self, at: usize) {
        self.cursor = at;
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        if !cursor.is_boundary(&self.text, 0).unwrap_or(true) {
            let next = cursor.next_boundary(&self.text, 0).ok().flatten();
            self.cursor = next.unwrap_or(self.text.len());
        }
    }

    fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    fn after(&self) -> &str {
        &self.text[self.cursor..]
    }

    /// Where the grapheme before the cursor begins.
    fn previous(&self) -> usize {
        let last = self.before().graphemes(true).next_back();
        self.cursor - last.map_or(0, str::len)
    }

    /// Where the grapheme behind the cursor ends.
    fn next(&self) -> usize {
        self.cursor + self.after().graphemes(true).next().map_or(0, str::len)
    }

    /// Where the word before the cursor begins; `belongs` says what a word is made of.
    fn word_start(&self, belongs: impl Fn(&str) -> bool) -> usize {
        let mut at = self.cursor;
        let mut inside = false;
        for grapheme in self.before().graphemes(true).rev() {
            if belongs(grapheme) {
                inside = true;
            } else if inside {
                break;
            }
            at -= grapheme.len();
        }
        at
    }

    /// Where the word behind the cursor ends.
    fn word_end(&self) -> usize {
        let mut at = self.cursor;
        let mut inside = false;
        for grapheme in self.after().graphemes(true) {
            if is_wordlike(grapheme) {
                inside = true;
            } else if inside {
                break;
            }
            at += grapheme.len();
        }
        at
    }

    fn remove(&mut self, start: usize, end: usize) -> String {
        let removed: String = self.text.drain(start..end).collect();
        self.put_cursor(start);
        removed
    }

    fn cut(&mut self, start: usize, end: usize) {
        if start < end {
            self.cut = self.remove(start, end);
        }
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.previous();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.next();
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_start(is_wordlike);
    }

    pub(super) fn word_right(&mut self) {
        self.cursor = self.word_end();
    }

    pub(super) fn backspace(&mut self) {
        self.remove(self.previous(), self.cursor);
    }

    pub(super) fn delete(&mut self) {
        self.remove(self.cursor, self.next());
    }

    pub(super) fn cut_to_start(&mut self) {
        self.cut(0, self.cursor);
    }

    pub(super) fn cut_to_end(&mut self) {
        self.cut(self.cursor, self.text.len());
    }

    /// Back to the blank before what lies before the cursor.
    pub(super) fn cut_blank_word(&mut self) {
        let start = self.word_start(|grapheme| !grapheme.trim().is_empty());
        self.cut(start, self.cursor);
    }

    pub(super) fn cut_word_left(&mut self) {
        self.cut(self.word_start(is_wordlike), self.cursor);
    }

    pub(super) fn cut_word_right(&mut self) {
        self.cut(self.cursor, self.word_end());
    }

    /// Puts what was last cut back, where the cursor is; false if there is no room for it.
    pub(super) fn put_back(&mut self) -> bool {
        let cut = std::mem::take(&mut self.cut);
        let fits = self.insert(&cut);
        self.cut = cut;
        fits
    }
}

fn is_wordlike(grapheme: &str) -> bool {
    grapheme.chars().any(char::is_alphanumeric)
}
