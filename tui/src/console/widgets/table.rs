//! Rows in columns, with names above and one row selected.
//!
//! Where not all columns fit, those of the lowest priority are left out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// How wide it is at least.
    pub width: u16,
    /// Whether it takes a share of what is left over.
    pub grows: bool,
    /// Whether it stands at the right.
    pub right: bool,
    /// Whether what is too long is cut in its middle: keys differ at their ends.
    pub middle: bool,
    /// The lowest is left out first.
    pub priority: u8,
}

impl<'a> Column<'a> {
    /// A column of fixed width, at the left, that is never left out before others.
    pub const fn new(name: &'a str, width: u16) -> Self {
        Self { name, width, grows: false, right: false, middle: false, priority: u8::MAX }
    }

    /// At the right.
    #[must_use]
    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// As wide as it can be.
    #[must_use]
    pub const fn grows(self) -> Self {
        Self { grows: true, ..self }
    }

    /// Cut in its middle where it is too long.
    #[must_use]
    pub const fn middle(self) -> Self {
        Self { middle: true, ..self }
    }

    /// Left out before those of a higher priority.
    #[must_use]
    pub const fn priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }
}

/// Rows in columns.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// The columns, from the left.
    pub columns: &'a [Column<'a>],
    /// The rows; each has a cell for each column, and a cell is spans.
    pub rows: &'a [Vec<Vec<Span>>],
    /// The first row that is drawn.
    pub first: usize,
    /// The selected row.
    pub selected: Option<usize>,
    /// Whether the names are drawn.
    pub head: bool,
}

/// The mark of the selected row and a blank.
const MARK_COLUMNS: u16 = 2;

impl Table<'_> {
    /// Draws the names and as many rows as there is room for; where each column is, with its
    /// number, for what is no text and drawn by the caller, and the area of the rows.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> (Vec<(usize, Rect)>, Rect) {
        let area = area.intersection(buf.area);
        let columns = self.layout(area);
        let head = u16::from(self.head).min(area.height);
        for (column, place) in &columns {
            let column = &self.columns[*column];
            let row = Rect { height: head, ..*place };
            if column.right {
                text::put_right(look, row, buf, column.name, Tone::Title);
            } else {
                text::put_elided(look, row, buf, column.name, Tone::Title);
            }
        }
        let body = Rect { y: area.y + head, height: area.height - head, ..area };
        for ((at, row), line) in self.rows.iter().enumerate().skip(self.first).zip(body.rows()) {
            for (column, place) in &columns {
                let Some(cell) = row.get(*column) else { continue };
                let place = Rect { y: line.y, height: 1, ..*place };
                if self.columns[*column].right {
                    text::put_spans_right(look, place, buf, cell);
                } else if let ([(words, tone)], true) = (&cell[..], self.columns[*column].middle) {
                    let words = text::shortened(look, words, place.width);
                    text::put(look, place, buf, &words, *tone);
                } else {
                    text::put_spans(look, place, buf, cell);
                }
            }
            if self.selected == Some(at) {
                text::put(look, line, buf, look.glyphs.pointer, Tone::Accent);
                buf.set_style(line, look.style(Tone::Selected));
            }
        }
        (columns, body)
    }

    /// The columns that fit, with their places: full height, names and rows.
    fn layout(&self, area: Rect) -> Vec<(usize, Rect)> {
        let room = area.width.saturating_sub(MARK_COLUMNS);
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let width = |kept: &[usize]| {
            let each = kept.iter().map(|at| self.columns[*at].width.saturating_add(1));
            each.fold(0, u16::saturating_add).saturating_sub(1)
        };
        while kept.len() > 1 && width(&kept) > room {
            // Of equal ones the rightmost goes first.
            let least = kept.iter().rev().min_by_key(|at| self.columns[**at].priority).copied();
            kept.retain(|at| Some(*at) != least);
        }
        let over = room.saturating_sub(width(&kept));
        let growing = kept.iter().filter(|at| self.columns[**at].grows).count();
        let growing = u16::try_from(growing).unwrap_or(u16::MAX).max(1);
        let (mut share, mut rest) = (over / growing, over % growing);
        if kept.iter().all(|at| !self.columns[*at].grows) {
            (share, rest) = (0, 0);
        }
        let mut x = area.x + area.width.min(MARK_COLUMNS);
        let mut places = Vec::new();
        for at in kept {
            let column = self.columns[at];
            let more = if column.grows { share + std::mem::take(&mut rest) } else { 0 };
            let width = column.width.saturating_add(more).min(area.right().saturating_sub(x));
            places.push((at, Rect { x, width, ..area }));
            x = x.saturating_add(width).saturating_add(1).min(area.right());
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, expect_picture, look, mono};
    use super::*;

    fn table(look: &Look, width: u16, height: u16) -> Buffer {
        let columns = [
            Column::new("id", 3),
            Column::new("state", 7),
            Column::new("what", 6).grows().priority(2),
            Column::new("keys", 5).right().priority(1),
            Column::new("op/s", 5).right().priority(3),
        ];
        let row = |id: &str, (mark, state, tone), what: &str, keys: &str, ops: &str| {
            vec![
                vec![text::span(id, Tone::Text)],
                vec![text::span(format!("{mark} {state}"), tone)],
                vec![text::span(what, Tone::Dim)],
                vec![text::span(keys, Tone::Text)],
                vec![text::span(ops, Tone::Text)],
            ]
        };
        let state = |state| look.glyphs.state(state);
        use crate::console::look::State;
        let rows = [
            row("n1", (state(State::Up), "UP", Tone::Good), "serves", "812", "311"),
            row("n2", (state(State::Up), "UP", Tone::Good), "receives 801 keys", "690", "264"),
            row("n3", (state(State::Down), "DOWN", Tone::Bad), "SIGKILL", "801", "0"),
            row("n4", (state(State::Suspect), "SUSPECT", Tone::Warn), "", "1613", "402"),
        ];
        let table =
            Table { columns: &columns, rows: &rows, first: 1, selected: Some(2), head: true };
        drawn(width, height, |area, buf| table.draw(look, area, buf))
    }

    #[test]
    fn rows_stand_in_columns_and_the_least_go_first() {
        expect_picture("table-48x4", &table(&look(), 48, 4));
        expect_picture("table-mono-26x4", &table(&mono(), 26, 4));
        expect_picture("table-ascii-22x4", &table(&ascii(), 22, 4));
    }
}
