//! The ring of keys unrolled into one row, with its markers in a second.
//!
//! Used where a circle does not fit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::ring::{Arc, Marker, Move, turn};
use super::text;
use crate::console::look::{Look, Tone};

/// The ring as a line from its top to its top.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Who owns what. Broken ones are drawn as crosses.
    pub arcs: &'a [Arc],
    /// What moves, in the row below: what is there already in full, the rest in shade.
    pub moves: &'a [Move],
    /// Places to be seen in the row below, with their names.
    pub markers: &'a [Marker],
}

impl Line<'_> {
    /// Draws into the first two rows.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.height == 0 || area.width < 3 {
            return;
        }
        let row = Rect { height: 1, ..area };
        for arc in self.arcs {
            self.arc(look, row, buf, arc);
        }
        let end = look.style(Tone::Border);
        text::set(buf, row.right() - 1, row.y, look.glyphs.branch_left, end);
        if area.height > 1 {
            let below = Rect { y: area.y + 1, height: 1, ..area };
            self.moves.iter().for_each(|moved| draw_move(look, below, buf, moved));
            self.markers(look, below, buf);
        }
    }

    /// An arc that goes over the top has two parts; the longer one bears its name.
    fn arc(&self, look: &Look, row: Rect, buf: &mut Buffer, arc: &Arc) {
        let Some((from, length)) = arc.span() else { return };
        let (before, after) = (length.min(1.0 - from), (from + length - 1.0).max(0.0));
        for (from, length, named) in [(from, before, before >= after), (0.0, after, before < after)]
        {
            if length <= 0.0 {
                continue;
            }
            let (x, end) = (column(row, from), column(row, from + length));
            self.part(look, Rect { x, width: end - x, ..row }, buf, arc, named);
        }
    }

    fn part(&self, look: &Look, part: Rect, buf: &mut Buffer, arc: &Arc, named: bool) {
        let (glyph, tone) = match arc.broken {
            true => (look.glyphs.lost, Tone::Bad),
            false => (look.glyphs.horizontal, Tone::Node(arc.node)),
        };
        for x in part.left()..part.right() {
            text::set(buf, x, part.y, glyph, look.style(tone));
        }
        if part.width == 0 {
            return;
        }
        text::set(buf, part.x, part.y, look.glyphs.branch_right, look.style(Tone::Border));
        let room = Rect { x: part.x + 1, width: part.width - 1, ..part };
        // A name that is cut could be that of another node: its first word or nothing.
        let word = arc.label.split(' ').next().unwrap_or_default();
        let fits = |name: &&str| !name.is_empty() && text::width(look, name) <= room.width;
        let name = [arc.label.as_str(), word].into_iter().find(fits).filter(|_| named);
        let taken = text::put(look, room, buf, name.unwrap_or_default(), tone);
        if name.is_some() && arc.broken && taken < room.width {
            text::set(buf, room.x + taken, room.y, " ", look.style(tone));
        }
    }

    fn markers(&self, look: &Look, row: Rect, buf: &mut Buffer) {
        let mut taken: Vec<(u16, u16)> = Vec::new();
        let free = |taken: &[(u16, u16)], from: u16, to: u16| {
            from >= row.left()
                && to <= row.right()
                && taken.iter().all(|(begin, end)| to < *begin || from > *end)
        };
        let place = |marker: &Marker| Some((marker.clone(), column(row, turn(marker.at)?)));
        let markers: Vec<_> = self.markers.iter().filter_map(place).collect();
        for (marker, x) in &markers {
            let at = Rect { x: *x, width: 1, ..row };
            text::put(look, at, buf, marker.glyph, marker.tone);
            taken.push((*x, *x + 1));
        }
        for (marker, x) in &markers {
            let width = text::width(look, &marker.label);
            let right = (x + 2, (x + 2).saturating_add(width));
            let left = (x.saturating_sub(width + 1), x.saturating_sub(1));
            let fits = |(from, to): &(u16, u16)| to - from == width && free(&taken, *from, *to);
            let Some((from, to)) = [right, left].into_iter().find(fits) else { continue };
            let at = Rect { x: from, width, ..row };
            text::put(look, at, buf, &marker.label, marker.tone);
            taken.push((from, to));
        }
    }
}

/// One that goes over the top goes on at the left.
fn draw_move(look: &Look, row: Rect, buf: &mut Buffer, moved: &Move) {
    let Some((from, length, done)) = moved.span() else { return };
    let style = look.style(Tone::Node(moved.node));
    let column = |turn: f64| column(row, turn.clamp(0.0, 1.0));
    for (from, length, done) in [(from, length, done), (from - 1.0, length, done)] {
        // However short it is, it is to be seen.
        let last = column(from + length).max(column(from) + u16::from(from >= 0.0));
        for x in column(from)..last.min(row.right()) {
            let is_there = x < column(from + done);
            let glyph = if is_there { look.glyphs.blocks[7] } else { look.glyphs.light };
            text::set(buf, x, row.y, glyph, style);
        }
    }
}

/// The column of a place; the last one has the end of the line.
fn column(row: Rect, turn: f64) -> u16 {
    let columns = f64::from(row.width - 1);
    row.x + (turn * columns).round().clamp(0.0, columns) as u16
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, expect_picture, look};
    use super::*;

    fn arc(from: f64, to: f64, node: u8, label: &str, broken: bool) -> Arc {
        Arc { from, to, node, label: label.into(), broken }
    }

    fn line(look: &Look, width: u16) -> Buffer {
        let arcs = [
            arc(0.9, 0.2, 0, "n1 30%", false),
            arc(0.2, 0.4, 1, "n2 20%", false),
            arc(0.4, 0.6, 2, "n3", true),
            arc(0.6, 0.9, 3, "n4 30%", false),
        ];
        let marker = Marker {
            at: 0.5,
            glyph: look.glyphs.diamond,
            label: "user:42".into(),
            tone: Tone::Accent,
        };
        let line = Line { arcs: &arcs, moves: &[], markers: &[marker] };
        drawn(width, 2, |area, buf| line.draw(look, area, buf))
    }

    #[test]
    fn the_ring_unrolled() {
        expect_picture("line-61x2", &line(&look(), 61));
        expect_picture("line-ascii-31x2", &line(&ascii(), 31));
    }
}
