//! A cache, bit by bit: its sets, their ways, and where the hand of each set's clock stands.
//!
//! With room one set a row, else several columns of sets.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// What one way of a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    Empty,
    /// An entry that was not used since the hand came by.
    Clear,
    /// An entry that was used.
    Referenced,
}

/// One set.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Its number.
    pub number: usize,
    /// What its ways hold.
    pub ways: Vec<Way>,
    /// The way where the hand stands.
    pub hand: Option<usize>,
    /// The way whose entry goes next.
    pub victim: Option<usize>,
    /// Right of the ways, in the wide form.
    pub right: Vec<Span>,
    /// Right of the ways, in the compact form: short.
    pub figure: String,
}

/// Some sets of a cache.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// All sets that can be scrolled to.
    pub sets: &'a [Set],
    /// The first one that is drawn, by its place in `sets`.
    pub first: usize,
    /// The selected one, by its place in `sets`.
    pub selected: Option<usize>,
    /// The selected way of that set.
    pub way: Option<usize>,
    /// Over what is right of the ways, in the wide form.
    pub head: &'a str,
}

/// Columns of one way in the wide form: the hand, the bit, the victim's mark, a blank.
const WAY_COLUMNS: u16 = 4;

impl Grid<'_> {
    /// Draws one set a row below a row of names; how many sets there is room for.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> usize {
        let area = area.intersection(buf.area);
        if area.height == 0 {
            return 0;
        }
        let digits = self.digits();
        let most = self.sets.iter().map(|set| set.ways.len()).max().unwrap_or(0);
        let ways = u16::try_from(most).unwrap_or(u16::MAX).saturating_mul(WAY_COLUMNS);
        self.names(look, Rect { height: 1, ..area }, buf, most);
        let rows = area.rows().skip(1);
        for ((at, set), row) in self.sets.iter().enumerate().skip(self.first).zip(rows) {
            let selected = self.selected == Some(at);
            self.number(look, row, buf, set, selected);
            let bits = within(row, digits + 3, ways);
            for way in 0..set.ways.len() {
                let offset = u16::try_from(way).unwrap_or(u16::MAX).saturating_mul(WAY_COLUMNS);
                let place = within(bits, offset, WAY_COLUMNS);
                bit(look, place, buf, (set, way));
                if selected && self.way == Some(way) {
                    // Told apart without colour, and in a row that is selected itself.
                    let style = Modifier::BOLD | Modifier::UNDERLINED;
                    buf.set_style(within(place, 0, 3), style);
                }
            }
            let right = within(row, digits.saturating_add(4).saturating_add(ways), u16::MAX);
            text::put_spans(look, right, buf, &set.right);
            if selected {
                buf.set_style(row, look.style(Tone::Selected));
            }
        }
        usize::from(area.height) - 1
    }

    /// Draws several columns of sets; how many sets there is room for.
    pub fn draw_compact(&self, look: &Look, area: Rect, buf: &mut Buffer) -> usize {
        let area = area.intersection(buf.area);
        let digits = self.digits();
        let most = self.sets.iter().map(|set| set.ways.len()).max().unwrap_or(0);
        let ways = u16::try_from(most).unwrap_or(u16::MAX);
        let figures = self.sets.iter().map(|set| text::width(look, &set.figure)).max();
        let figures = figures.unwrap_or(0);
        let column = (digits + 4).saturating_add(ways).saturating_add(figures);
        let across = (area.width.saturating_add(2) / column.saturating_add(2)).max(1);
        let capacity = usize::from(across) * usize::from(area.height);
        let shown = self.sets.iter().enumerate().skip(self.first).take(capacity);
        for (place, (at, set)) in shown.enumerate() {
            let height = usize::from(area.height);
            // Both are less than the area's own sides.
            let (across, down) = ((place / height) as u16, (place % height) as u16);
            let row = Rect { y: area.y + down, height: 1, ..area };
            let row = within(row, across * (column + 2), column);
            let selected = self.selected == Some(at);
            self.number(look, row, buf, set, selected);
            let bits = within(row, digits + 3, ways);
            for (x, (way, bit)) in bits.columns().zip(set.ways.iter().enumerate()) {
                let (glyph, tone) = glyph(look, *bit, set.victim == Some(way));
                text::put(look, x, buf, glyph, tone);
                if set.hand == Some(way) {
                    buf.set_style(x, Modifier::UNDERLINED);
                }
            }
            text::put_right(look, row, buf, &set.figure, Tone::Dim);
            if selected {
                buf.set_style(row, look.style(Tone::Selected));
            }
        }
        capacity
    }

    /// The columns of the highest number.
    fn digits(&self) -> u16 {
        let highest = self.sets.iter().map(|set| set.number).max().unwrap_or(0);
        (highest.checked_ilog10().unwrap_or(0) as u16 + 1).max(3)
    }

    fn names(&self, look: &Look, row: Rect, buf: &mut Buffer, ways: usize) {
        let digits = self.digits();
        text::put_right(look, within(row, 1, digits), buf, "set", Tone::Title);
        for way in 0..ways {
            let offset = u16::try_from(way).unwrap_or(u16::MAX).saturating_mul(WAY_COLUMNS);
            let place = within(row, (digits + 4).saturating_add(offset), WAY_COLUMNS - 1);
            text::put(look, place, buf, &format!("w{way}"), Tone::Title);
        }
        let all = u16::try_from(ways).unwrap_or(u16::MAX).saturating_mul(WAY_COLUMNS);
        let right = within(row, digits.saturating_add(4).saturating_add(all), u16::MAX);
        text::put(look, right, buf, self.head, Tone::Title);
    }

    fn number(&self, look: &Look, row: Rect, buf: &mut Buffer, set: &Set, selected: bool) {
        if selected {
            text::put(look, row, buf, look.glyphs.head_right, Tone::Accent);
        }
        let tone = if selected { Tone::Bright } else { Tone::Dim };
        text::put_right(look, within(row, 1, self.digits()), buf, &set.number.to_string(), tone);
    }
}

fn bit(look: &Look, place: Rect, buf: &mut Buffer, (set, way): (&Set, usize)) {
    let victim = set.victim == Some(way);
    if set.hand == Some(way) {
        text::put(look, place, buf, look.glyphs.pointer, Tone::Accent);
    }
    let (glyph, tone) = glyph(look, set.ways[way], victim);
    text::put(look, within(place, 1, 1), buf, glyph, tone);
    if victim {
        text::put(look, within(place, 2, 1), buf, look.glyphs.victim, Tone::Warn);
    }
}

fn glyph(look: &Look, way: Way, victim: bool) -> (&'static str, Tone) {
    match way {
        Way::Empty => (look.glyphs.dot, Tone::Dim),
        Way::Clear if victim => (look.glyphs.clear, Tone::Warn),
        Way::Clear => (look.glyphs.clear, Tone::Text),
        Way::Referenced if victim => (look.glyphs.full, Tone::Warn),
        Way::Referenced => (look.glyphs.full, Tone::Info),
    }
}

/// The columns of `row` from `offset` on, at most `width` of them.
fn within(row: Rect, offset: u16, width: u16) -> Rect {
    let offset = offset.min(row.width);
    Rect { x: row.x + offset, width: width.min(row.width - offset), ..row }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
