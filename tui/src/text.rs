//! Text that a terminal shows and does not obey, and how many columns it takes.
//!
//! Used by everything that prints what comes from outside: values, keys, what is typed. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `bytes` as text that a terminal only shows: control characters, invisible direction marks and
/// what is not UTF-8 as escapes. `lines` keeps newlines and tabs, for values of several lines.
pub fn escaped(bytes: &[u8], lines: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' if lines => out.push(c),
                c if c.is_control() || redirects(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

/// Characters that make a terminal show the rest of a line in another order than it is.
fn redirects(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a person could not see that `c` is there, or a terminal would obey it.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || redirects(c) || c.width().unwrap_or(0) == 0
}

/// One grapheme as it is shown within a line: at least one column wide, and nothing in it that a
/// terminal obeys.
pub fn shown(grapheme: &str) -> Cow<'_, str> {
    let obeyed = grapheme.chars().any(|c| c.is_control() || redirects(c));
    if !obeyed && grapheme.width() > 0 {
        return Cow::Borrowed(grapheme);
    }
    let mut out = String::new();
    for c in grapheme.chars() {
        if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The columns that a shown text takes.
pub fn width(shown: &str) -> usize {
    shown.width()
}

/// What so many things are called of which one is called `one`: `key`, `keys`, `copies`.
pub fn plural(number: u64, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if number == 1 => one.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if one.ends_with("ch") => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_segmentation::UnicodeSegmentation;

    #[test]
    fn a_terminal_is_told_nothing_it_would_obey() {
        assert_eq!(escaped(b"a\x1b[31mb\r\n\t\x07", false), "a\\u{1b}[31mb\\r\\n\\t\\u{7}");
        assert_eq!(escaped(b"one\n\ttwo\r", true), "one\n\ttwo\\r");
        assert_eq!(escaped("é\u{9b}\u{202e}".as_bytes(), true), "é\\u{9b}\\u{202e}");
        assert_eq!(escaped(b"\xff\xfe ok", true), "\\xff\\xfe ok");
    }

    #[test]
    fn one_of_a_kind_is_no_plural() {
        for (number, one, said) in
            [(0, "key", "keys"), (1, "key", "key"), (2, "copy", "copies"), (1, "copy", "copy")]
        {
            assert_eq!(plural(number, one), said);
        }
    }

    #[test]
    fn every_grapheme_can_be_seen_and_takes_its_columns() {
        for (grapheme, expected, columns) in [
            ("a", "a", 1),
            ("漢", "漢", 2),
            ("e\u{301}", "e\u{301}", 1),
            ("ש", "ש", 1),
            ("\u{301}", "\\u{301}", 7),
            ("\u{200b}", "\\u{200b}", 8),
            ("\u{202e}", "\\u{202e}", 8),
            ("\t", "\\t", 2),
            ("\u{1b}", "\\u{1b}", 6),
        ] {
            assert_eq!(grapheme.graphemes(true).count(), 1, "{grapheme:?}");
            assert_eq!(shown(grapheme), expected);
            assert_eq!(width(&shown(grapheme)), columns, "{grapheme:?}");
        }
    }
}
