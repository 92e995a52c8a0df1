//! The lines that were typed before: bounded, each once, newest last.
//!
//! Pure; `history_file` keeps it. A line that begins with a blank is not remembered.

use std::collections::VecDeque;

/// Lines that are remembered.
const LINES_MAX: usize = 1_000;
/// A longer line is not remembered, bytes.
const LINE_BYTES_MAX: usize = 4 << 10;

/// The lines typed before.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: VecDeque<String>,
}

impl History {
    /// A history of these lines, the newest last.
    pub fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let mut history = Self::default();
        for line in lines {
            history.remember(&line);
        }
        history
    }

    /// Adds `line` as the newest; false if it is not to be remembered. What it was before is
    /// forgotten, so no line is there twice.
    pub fn remember(&mut self, line: &str) -> bool {
        let blank = line.starts_with([' ', '\t']) || line.trim().is_empty();
        if blank || line.len() > LINE_BYTES_MAX || line.contains(['\n', '\r']) {
            return false;
        }
        self.lines.retain(|known| known != line);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
        true
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The line at `at`, counted from the oldest.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.lines.get(at).map(String::as_str)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The newest one before `end` of which `fits` holds.
    pub(super) fn before(&self, end: usize, fits: impl Fn(&str) -> bool) -> Option<usize> {
        (0..end.min(self.lines.len())).rev().find(|at| fits(&self.lines[*at]))
    }

    /// The oldest one behind `at` of which `fits` holds.
    pub(super) fn behind(&self, at: usize, fits: impl Fn(&str) -> bool) -> Option<usize> {
        (at + 1..self.lines.len()).find(|at| fits(&self.lines[*at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_there_once_and_not_too_many_of_them() {
        let mut history =
            History::of(["a", "b", "a", " secret", "\tsecret", "", "c"].map(Into::into));
        assert_eq!(history.lines().collect::<Vec<_>>(), ["b", "a", "c"]);
        assert!(!history.remember(&"x".repeat(LINE_BYTES_MAX + 1)));
        assert!(!history.remember("a\nb"));
        for number in 0..LINES_MAX + 5 {
            assert!(history.remember(&format!("line {number}")));
        }
        assert_eq!(history.len(), LINES_MAX);
        assert_eq!(history.get(0), Some("line 5"));
    }
}
