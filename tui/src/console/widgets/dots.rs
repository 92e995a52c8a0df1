//! Points finer than a cell: two by four in each, drawn as braille, or as one mark in ASCII.
//!
//! Used by `circle`. A terminal's cell is about twice as high as wide, so the points are square.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text;
use crate::console::look::{Look, Tone};

/// The bits of a cell's points, by row and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// What the points of one cell are.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    bits: u8,
    tone: Tone,
    mark: char,
}

/// The points of an area.
#[derive(Debug)]
pub(super) struct Dots {
    area: Rect,
    cells: Vec<Cell>,
}

impl Dots {
    /// None set.
    pub(super) fn new(area: Rect) -> Self {
        let count = usize::from(area.width) * usize::from(area.height);
        Self { area, cells: vec![Cell::default(); count] }
    }

    /// Sets the point at `x` and `y`, if it is within the area. A cell keeps the tone and the mark
    /// of its first point.
    pub(super) fn set(&mut self, x: f64, y: f64, tone: Tone, mark: char) {
        let (x, y) = (x.round(), y.round());
        let (columns, rows) = (f64::from(self.area.width) * 2.0, f64::from(self.area.height) * 4.0);
        if !(0.0..columns).contains(&x) || !(0.0..rows).contains(&y) {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        let cell = &mut self.cells[(y / 4) * usize::from(self.area.width) + x / 2];
        if cell.bits == 0 {
            (cell.tone, cell.mark) = (tone, mark);
        }
        cell.bits |= BITS[y % 4][x % 2];
    }

    /// Whether any point is set in the cell at `column` and `row` of the area.
    pub(super) fn any(&self, column: u16, row: u16) -> bool {
        let at = usize::from(row) * usize::from(self.area.width) + usize::from(column);
        self.cells.get(at).is_some_and(|cell| cell.bits != 0)
    }

    /// Draws all points.
    pub(super) fn draw(&self, look: &Look, buf: &mut Buffer) {
        for (at, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.bits != 0) {
            let width = usize::from(self.area.width);
            // Both are less than the area's own sides.
            let (column, row) = ((at % width) as u16, (at / width) as u16);
            let braille = char::from_u32(0x2800 + u32::from(cell.bits)).unwrap_or(' ');
            let symbol = if look.glyphs.ascii { cell.mark } else { braille };
            let (x, y) = (self.area.x + column, self.area.y + row);
            let style = look.style(cell.tone);
            let style = style.remove_modifier(ratatui::style::Modifier::UNDERLINED);
            text::set(buf, x, y, symbol.encode_utf8(&mut [0; 4]), style);
        }
    }
}
