//! The ring of keys as a circle, in points finer than a cell.
//!
//! Used where there is room for it; `line` is the same ring for the rest.

use std::f64::consts::TAU;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::dots::Dots;
use super::ring::{Arc, Marker, Move, Walk, turn};
use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// The ring as a circle.
#[derive(Debug, Clone, Copy)]
pub struct Circle<'a> {
    /// Who owns what. Broken ones are drawn dashed.
    pub arcs: &'a [Arc],
    /// What moves, drawn inside: what is there already as a line, the rest as points.
    pub moves: &'a [Move],
    /// Places to be seen, with their names.
    pub markers: &'a [Marker],
    /// The way of one key, drawn inside.
    pub walk: Option<&'a Walk>,
    /// Rows in the middle.
    pub centre: &'a [Vec<Span>],
    /// Whether the begin of each arc has a tick.
    pub ticks: bool,
}

/// With a smaller radius, in points, a circle is none.
const RADIUS_MIN: f64 = 5.0;
/// Shorter arcs, in points, have no names: there would be no telling whose they are.
const NAMED_MIN: f64 = 10.0;
/// How far inside of the ring that is drawn what moves, in points.
const MOVES_INSIDE: f64 = 4.0;
/// How far inside of the ring the walk goes, in points.
const WALK_INSIDE: f64 = 5.0;

/// Where the circle is, in points; and what of it is taken already.
struct Plot {
    area: Rect,
    x: f64,
    y: f64,
    radius: f64,
    dots: Dots,
    /// Rows of cells in which something is written.
    taken: Vec<Rect>,
}

impl Circle<'_> {
    /// Draws the largest circle that `area` has room for; nothing if that is too small.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let (columns, rows) = (f64::from(area.width) * 2.0, f64::from(area.height) * 4.0);
        let radius = columns.min(rows) / 2.0 - 1.0;
        if radius < RADIUS_MIN {
            return;
        }
        let (x, y) = ((columns - 1.0) / 2.0, (rows - 1.0) / 2.0);
        let mut plot = Plot { area, x, y, radius, dots: Dots::new(area), taken: Vec::new() };
        for arc in self.arcs {
            plot.arc(arc, self.arcs.len() > 1);
        }
        for moved in self.moves {
            plot.moved(moved);
        }
        if let Some(walk) = self.walk {
            plot.walk(walk);
        }
        if self.ticks {
            self.arcs.iter().filter_map(Arc::span).for_each(|(from, _)| plot.tick(from));
        }
        plot.dots.draw(look, buf);
        plot.centre(look, buf, self.centre);
        for marker in self.markers {
            plot.marker(look, buf, marker);
        }
        let mut arcs: Vec<_> = self.arcs.iter().filter_map(|a| Some((a, a.span()?))).collect();
        arcs.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
        let long = |length: f64| length * TAU * radius >= NAMED_MIN;
        arcs.retain(|(arc, (_, length))| !arc.label.is_empty() && long(*length));
        for (arc, (from, length)) in arcs {
            let tone = if arc.broken { Tone::Bad } else { Tone::Node(arc.node) };
            plot.label(look, buf, from + length / 2.0, &arc.label, tone, 4.0);
        }
    }
}

impl Plot {
    /// The point at `turn` of a circle of this radius.
    fn at(&self, turn: f64, radius: f64) -> (f64, f64) {
        let (sin, cos) = (turn * TAU).sin_cos();
        (self.x + radius * sin, self.y - radius * cos)
    }

    fn arc(&mut self, arc: &Arc, gaps: bool) {
        let Some((from, length)) = arc.span() else { return };
        let points = length * TAU * self.radius;
        // Between two long arcs there is a gap of one cell; short ones would be all gap.
        let gap = if gaps && points > 12.0 { 1.5 } else { 0.0 };
        let (tone, mark) = match arc.broken {
            true => (Tone::Bad, '.'),
            false => (Tone::Node(arc.node), '#'),
        };
        let mut along = gap;
        while along <= points - gap {
            let turn = from + along / (TAU * self.radius);
            let dash = along.rem_euclid(7.0) < 3.5;
            if !arc.broken || dash {
                for inside in [0.0, 1.0] {
                    let (x, y) = self.at(turn, self.radius - inside);
                    self.dots.set(x, y, tone, mark);
                }
            }
            along += 0.4;
        }
    }

    fn moved(&mut self, moved: &Move) {
        let Some((from, length, done)) = moved.span() else { return };
        let radius = self.radius - MOVES_INSIDE;
        if radius < RADIUS_MIN {
            return;
        }
        let mut along = 0.0;
        while along <= length * TAU * radius {
            let turn = along / (TAU * radius);
            let is_there = turn < done;
            let (x, y) = self.at(from + turn, radius);
            self.dots.set(x, y, Tone::Node(moved.node), if is_there { '=' } else { '.' });
            along += if is_there { 0.5 } else { 3.0 };
        }
    }

    fn tick(&mut self, at: f64) {
        for inside in 2..4 {
            let (x, y) = self.at(at, self.radius - f64::from(inside));
            self.dots.set(x, y, Tone::Border, '\'');
        }
    }

    fn walk(&mut self, walk: &Walk) {
        let Some((from, length)) = walk.span() else { return };
        let radius = self.radius - WALK_INSIDE;
        if radius < RADIUS_MIN {
            return;
        }
        let points = length * TAU * radius;
        let mut along = 0.0;
        while along <= points {
            let (x, y) = self.at(from + along / (TAU * radius), radius);
            self.dots.set(x, y, Tone::Accent, ':');
            along += 0.5;
        }
        for stop in std::iter::once(&walk.from).chain(&walk.stops) {
            let Some(stop) = turn(*stop) else { continue };
            for inside in 2..WALK_INSIDE as u8 {
                let (x, y) = self.at(stop, self.radius - f64::from(inside));
                self.dots.set(x, y, Tone::Accent, ':');
            }
        }
    }

    fn centre(&mut self, look: &Look, buf: &mut Buffer, rows: &[Vec<Span>]) {
        let count = u16::try_from(rows.len()).unwrap_or(u16::MAX);
        if count > self.area.height / 2 {
            return;
        }
        let top = self.area.y + (self.area.height - count) / 2;
        for (y, row) in (top..).zip(rows) {
            let columns = text::spans_width(look, row);
            let x = self.area.x + self.area.width.saturating_sub(columns) / 2;
            let place = Rect { x, y, width: columns, height: 1 };
            if self.is_free(place) {
                text::put_spans(look, place, buf, row);
                self.taken.push(place);
            }
        }
    }

    fn marker(&mut self, look: &Look, buf: &mut Buffer, marker: &Marker) {
        let Some(at) = turn(marker.at) else { return };
        let (x, y) = self.at(at, self.radius - 0.5);
        let (column, row) = self.cell(x, y);
        let place = Rect { x: column, y: row, width: 1, height: 1 };
        text::put(look, place, buf, marker.glyph, marker.tone);
        self.taken.push(place);
        if !marker.label.is_empty() {
            self.label(look, buf, at, &marker.label, marker.tone, WALK_INSIDE + 3.0);
        }
    }

    /// The cell of a point.
    fn cell(&self, x: f64, y: f64) -> (u16, u16) {
        let column = (x / 2.0).clamp(0.0, f64::from(self.area.width) - 1.0) as u16;
        let row = (y / 4.0).clamp(0.0, f64::from(self.area.height) - 1.0) as u16;
        (self.area.x + column, self.area.y + row)
    }

    /// Writes `label` inside of the ring near `at`, further inside if it must be; not at all where
    /// there is no room.
    fn label(&mut self, look: &Look, buf: &mut Buffer, at: f64, label: &str, tone: Tone, by: f64) {
        let width = text::width(look, label);
        let (sin, _) = (at * TAU).sin_cos();
        let mut inside = by;
        while inside < self.radius * 0.7 {
            let (x, y) = self.at(at, self.radius - inside);
            let (column, row) = self.cell(x, y);
            // At the sides a label ends where the ring begins; above and below it is centred.
            let back = f64::from(width) * (0.5 + sin / 2.0);
            let place = Rect { x: column.saturating_sub(back as u16), y: row, width, height: 1 };
            if self.is_free(place) {
                text::put(look, place, buf, label, tone);
                self.taken.push(place);
                return;
            }
            inside += 2.0;
        }
    }

    /// Whether nothing is drawn or written in `place` or in the cells at its ends.
    fn is_free(&self, place: Rect) -> bool {
        if place.x < self.area.x || place.right() > self.area.right() || place.width == 0 {
            return false;
        }
        let ends = Rect { x: place.x.saturating_sub(1), width: place.width + 2, ..place };
        let row = place.y - self.area.y;
        let columns = ends.left().max(self.area.x)..ends.right().min(self.area.right());
        let blank = columns.into_iter().all(|x| !self.dots.any(x - self.area.x, row));
        blank && !self.taken.iter().any(|taken| taken.intersects(ends))
    }
}

#[cfg(test)]
#[path = "circle_tests.rs"]
mod tests;
