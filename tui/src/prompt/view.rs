//! The part of the line that fits into one row, and what stands below it.
//!
//! Used by the editor; drawn by `terminal::draw`, or by any other widget of one row.

use unicode_segmentation::UnicodeSegmentation;

use super::line::Line;
use super::menu::{MenuRow, cut_to};
use crate::text;

/// What is to be seen of a line being edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What stands in front of the text.
    pub prompt: String,
    /// What is shown left of the cursor.
    pub before: String,
    /// What is shown under the cursor and right of it.
    pub after: String,
    /// Rows below the line.
    pub menu: Vec<MenuRow>,
    /// A remark below the line.
    pub hint: Option<String>,
}

impl View {
    /// With another remark below the line, as much of it as fits into `width` columns.
    #[must_use]
    pub fn with_hint(self, hint: &str, width: usize) -> Self {
        let hint = cut_to(&format!("  {hint}"), width.saturating_sub(1));
        Self { hint: Some(hint), ..self }
    }
}

/// What is shown of `line`, left and right of the cursor, in `width` columns. Of a line that is too
/// long the part around the cursor is shown, with `<` and `>` where something is cut off.
pub(super) fn window(line: &Line, width: usize, masked: bool) -> (String, String) {
    let (left, right) = line.text().split_at(line.cursor());
    // The cursor takes a column behind the text.
    let room = width.saturating_sub(1).max(1);
    let right_width = columns_upto(right.graphemes(true), room, masked);
    // Room for what is right of the cursor, but never more than a third of it all.
    let left_room = room - right_width.min(room / 3);
    let mut before: Vec<String> = Vec::new();
    let mut columns = 0;
    let mut cut = false;
    for grapheme in left.graphemes(true).rev() {
        let shown = shown(grapheme, masked);
        let next = columns + text::width(&shown);
        if next > left_room {
            cut = true;
            break;
        }
        columns = next;
        before.push(shown);
    }
    if cut {
        columns -= before.pop().map_or(0, |shown| text::width(&shown));
        before.push("<".into());
        columns += 1;
    }
    let before: String = before.into_iter().rev().collect();
    let after = forward(right, room.saturating_sub(columns), masked);
    (before, after)
}

fn forward(right: &str, room: usize, masked: bool) -> String {
    let mut shown_all: Vec<String> = Vec::new();
    let mut columns = 0;
    for grapheme in right.graphemes(true) {
        let shown = shown(grapheme, masked);
        let next = columns + text::width(&shown);
        if next > room {
            if let Some(last) = shown_all.pop() {
                // What is put in its place is never wider.
                shown_all.push(format!("{}>", " ".repeat(text::width(&last) - 1)));
            }
            break;
        }
        columns = next;
        shown_all.push(shown);
    }
    shown_all.concat()
}

fn columns_upto<'a>(
    graphemes: impl Iterator<Item = &'a str>,
    enough: usize,
    masked: bool,
) -> usize {
    let mut columns = 0;
    for grapheme in graphemes {
        columns += text::width(&shown(grapheme, masked));
        if columns >= enough {
            return enough;
        }
    }
    columns
}

fn shown(grapheme: &str, masked: bool) -> String {
    if masked { "*".into() } else { text::shown(grapheme).into_owned() }
}
