//! What is wrong with a line, and where.
//!
//! Made by `words` and by whoever parses the words; printed below the line.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::text;

/// Columns of a line that are shown around the place.
const EXCERPT_COLUMNS: usize = 72;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes; empty: something is missing there.
    pub range: Range<usize>,
    /// A sentence that says what to do.
    pub message: String,
}

impl Problem {
    /// A problem there.
    pub fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into() }
    }

    /// The column and the length of the mark below `line`, as it is shown.
    pub fn mark(&self, line: &str) -> (usize, usize) {
        let columns = |range: Range<usize>| {
            line.get(range).unwrap_or_default().graphemes(true).map(columns_of).sum()
        };
        let length: usize = columns(self.range.clone());
        (columns(0..self.range.start), length.max(1))
    }

    /// The part of `line` around the place, and the mark below it: two lines.
    pub fn excerpt(&self, line: &str) -> String {
        let start = self.range.start.min(line.len());
        let (left, right) = line.split_at_checked(start).unwrap_or((line, ""));
        let mut begin = Vec::new();
        let mut column = 0;
        for grapheme in left.graphemes(true).rev() {
            let shown = text::shown(grapheme);
            if column + text::width(&shown) > EXCERPT_COLUMNS / 2 {
                break;
            }
            column += text::width(&shown);
            begin.push(shown);
        }
        begin.reverse();
        let mut excerpt = begin.concat();
        let mut columns = column;
        for grapheme in right.graphemes(true) {
            let shown = text::shown(grapheme);
            columns += text::width(&shown);
            if columns > EXCERPT_COLUMNS {
                break;
            }
            excerpt.push_str(&shown);
        }
        let (_, length) = self.mark(line);
        let length = length.min(EXCERPT_COLUMNS - column);
        format!("  {excerpt}\n  {:column$}{}\n", "", "^".repeat(length.max(1)))
    }
}

fn columns_of(grapheme: &str) -> usize {
    text::width(&text::shown(grapheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_below_the_place_however_wide_the_text_is() {
        let line = "get 漢\u{200b}x gte";
        let at = line.find("gte").unwrap();
        let problem = Problem::new(at..at + 3, "no");
        assert_eq!(problem.mark(line), (4 + 2 + 8 + 1 + 1, 3));
        assert_eq!(problem.excerpt(line), "  get 漢\\u{200b}x gte\n                  ^^^\n");
        let missing = Problem::new(line.len()..line.len(), "no");
        assert_eq!(missing.mark(line), (19, 1));
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let line = format!("{} wrong {}", "x".repeat(500), "y".repeat(500));
        let excerpt = Problem::new(501..506, "no").excerpt(&line);
        let (shown, mark) = excerpt.split_once('\n').unwrap();
        let at = mark.find('^').unwrap();
        assert_eq!(&shown[at..at + 5], "wrong");
        assert_eq!(mark.trim(), "^^^^^");
        assert!(shown.len() <= EXCERPT_COLUMNS + 2, "{shown}");
    }
}
