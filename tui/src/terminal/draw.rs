//! The picture of a line being edited, as the bytes that show it.
//!
//! Pure. The cursor stays in the line's row, so each picture begins by clearing from there on.
//! Where terminals do not agree on the columns of a text, the cursor is right all the same: it is
//! where the text left of it ends.

use crate::prompt::View;
use crate::text;

use unicode_segmentation::UnicodeSegmentation;

/// Attributes off; bright; dark; reversed. No colours, so `NO_COLOR` changes nothing.
const PLAIN: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const REVERSED: &str = "\x1b[7m";
/// To the row's begin, and all from there on cleared.
const CLEAR_BELOW: &str = "\r\x1b[J";

/// The bytes that show `view` in place of what was shown before.
pub fn drawn(view: &View) -> Vec<u8> {
    let View { prompt, before, after, menu, hint } = view;
    let mut out = format!("{CLEAR_BELOW}{BOLD}{prompt}{PLAIN}{before}{after}");
    let rows = menu.len() + usize::from(hint.is_some());
    for row in menu {
        let (attribute, text) = (if row.chosen { REVERSED } else { "" }, &row.text);
        out.push_str(&format!("\r\n{attribute}{text}{PLAIN}"));
    }
    if let Some(hint) = hint {
        out.push_str(&format!("\r\n{DIM}{hint}{PLAIN}"));
    }
    if rows > 0 {
        out.push_str(&format!("\x1b[{rows}A"));
    }
    out.push_str(&format!("\r{BOLD}{prompt}{PLAIN}{before}"));
    out.into_bytes()
}

/// The bytes that show a line that is not edited any more, whole, with the cursor in a row below.
pub fn finished(prompt: &str, line: &str) -> Vec<u8> {
    let line: String = line.graphemes(true).map(text::shown).collect();
    let prompt = text::escaped(prompt.as_bytes(), false);
    format!("{CLEAR_BELOW}{BOLD}{prompt}{PLAIN}{line}\r\n").into_bytes()
}

/// The bytes that clear the whole screen.
pub fn cleared() -> &'static [u8] {
    b"\x1b[H\x1b[2J"
}
