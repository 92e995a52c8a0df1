//! The candidates of a completion, and the rows in which they are shown.
//!
//! Made by `commands::complete`, shown and chosen from by the editor.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::text;

/// Rows of candidates at a time.
const ROWS_MAX: usize = 8;

/// What may stand where the cursor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As it is put into the line, quoted where it must be.
    pub insert: String,
    /// What it is, in a few words; may be empty.
    pub about: String,
}

/// All that may stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// The part of the line that is replaced, up to the cursor, bytes.
    pub range: Range<usize>,
    /// What all candidates begin with, as it is put into the line.
    pub common: String,
    /// In the order shown.
    pub candidates: Vec<Candidate>,
    /// Whether there are more than these.
    pub more: bool,
}

/// A row of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuRow {
    /// As it is shown.
    pub text: String,
    /// Whether it is the one that stands in the line now.
    pub chosen: bool,
}

/// An open menu.
#[derive(Debug, Clone)]
pub(super) struct Menu {
    pub(super) completion: Completion,
    /// The candidate that stands in the line.
    pub(super) chosen: Option<usize>,
    /// What stood in `completion.range` before any was chosen.
    pub(super) typed: String,
}

impl Menu {
    /// Chooses the next candidate, or the one before, going round.
    pub(super) fn turn(&mut self, forward: bool) -> &str {
        let count = self.completion.candidates.len();
        let chosen = match (self.chosen, forward) {
            (None, true) => 0,
            (None, false) => count - 1,
            (Some(at), true) => (at + 1) % count,
            (Some(at), false) => (at + count - 1) % count,
        };
        self.chosen = Some(chosen);
        &self.completion.candidates[chosen].insert
    }

    /// At most `rows_max` rows of at most `width` columns, with the chosen one among them.
    pub(super) fn rows(&self, width: usize, rows_max: usize) -> Vec<MenuRow> {
        let candidates = &self.completion.candidates;
        let room = rows_max.min(ROWS_MAX);
        if room == 0 {
            return Vec::new();
        }
        let all = candidates.len() <= room && !self.completion.more;
        let fit = if all { room } else { room - 1 };
        let chosen = self.chosen.unwrap_or(0);
        let from = (chosen + 1).saturating_sub(fit.max(1));
        let shown: Vec<(String, &str, bool)> = candidates
            .iter()
            .enumerate()
            .skip(from)
            .take(fit)
            .map(|(at, one)| (visible(&one.insert), one.about.as_str(), self.chosen == Some(at)))
            .collect();
        let names = shown.iter().map(|(name, ..)| text::width(name)).max().unwrap_or(0);
        let mut rows: Vec<MenuRow> = shown
            .into_iter()
            .map(|(name, about, chosen)| {
                let gap = if about.is_empty() { 0 } else { names - text::width(&name) + 2 };
                let text = format!("  {name}{:gap$}{about}", "");
                MenuRow { text: cut_to(&text, width), chosen }
            })
            .collect();
        if !all {
            let plus = if self.completion.more { " or more" } else { "" };
            let text = format!("  {} of {}{plus}", from + rows.len(), candidates.len());
            rows.push(MenuRow { text: cut_to(&text, width), chosen: false });
        }
        rows
    }
}

/// `text` with all in it that cannot be seen as escapes.
pub(super) fn visible(text: &str) -> String {
    text.graphemes(true).map(text::shown).collect()
}

/// As much of a shown text as fits into `width` columns.
pub(super) fn cut_to(shown: &str, width: usize) -> String {
    let mut out = String::new();
    let mut columns = 0;
    for grapheme in shown.graphemes(true) {
        columns += text::width(grapheme);
        if columns > width {
            break;
        }
        out.push_str(grapheme);
    }
    out
}
