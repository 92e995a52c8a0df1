//! A share of something, as a bar.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// A horizontal bar with a text on each side.
#[derive(Debug, Clone, Copy)]
pub struct Meter<'a> {
    /// What the whole bar would be is 1.
    pub share: f64,
    /// What the bar means.
    pub tone: Tone,
    /// Whether what it shows is broken: drawn as crosses.
    pub broken: bool,
    /// Whether the rest of the bar is drawn, as for progress.
    pub track: bool,
    /// Left of the bar, as wide as the caller wants it.
    pub label: &'a [Span],
    /// Right of the bar, at the right end.
    pub figure: &'a [Span],
}

impl Meter<'_> {
    /// Draws into the first row.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.height == 0 {
            return;
        }
        let mut row = Rect { height: 1, ..area };
        if !self.label.is_empty() {
            let taken = text::put_spans(look, row, buf, self.label).saturating_add(1);
            let taken = taken.min(row.width);
            row = Rect { x: row.x + taken, width: row.width - taken, ..row };
        }
        if !self.figure.is_empty() {
            text::put_spans_right(look, row, buf, self.figure);
            let taken = text::spans_width(look, self.figure).saturating_add(1).min(row.width);
            row.width -= taken;
        }
        self.bar(look, row, buf);
    }

    fn bar(&self, look: &Look, row: Rect, buf: &mut Buffer) {
        let share = if self.share.is_finite() { self.share.clamp(0.0, 1.0) } else { 0.0 };
        let mut eighths = (share * f64::from(row.width) * 8.0).round() as usize;
        if share > 0.0 {
            eighths = eighths.max(1);
        }
        for x in row.left()..row.right() {
            let part = eighths.min(8);
            eighths -= part;
            let (glyph, tone) = match part {
                0 if self.track => (look.glyphs.dot, Tone::Dim),
                0 => return,
                _ if self.broken => (look.glyphs.lost, Tone::Bad),
                part => (look.glyphs.blocks[part - 1], self.tone),
            };
            text::set(buf, x, row.y, glyph, look.style(tone));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, look, text};
    use super::*;

    fn row(look: &Look, share: f64, broken: bool, track: bool) -> String {
        let meter = Meter {
            share,
            tone: Tone::Bar,
            broken,
            track,
            label: &[text::span("n1 21%", Tone::Text)],
            figure: &[text::span("812", Tone::Dim)],
        };
        text(&drawn(22, 1, |area, buf| meter.draw(look, area, buf)))
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(row(&look(), 0.5, false, false), "n1 21% █████▌      812");
        assert_eq!(row(&look(), 0.5, false, true), "n1 21% █████▌····· 812");
        assert_eq!(row(&look(), 0.5, true, false), "n1 21% ╳╳╳╳╳╳      812");
        assert_eq!(row(&look(), 9.0, false, false), "n1 21% ███████████ 812");
        assert_eq!(row(&look(), f64::NAN, false, false), "n1 21%             812");
        assert_eq!(row(&look(), 0.0001, false, false), "n1 21% ▏           812");
        assert_eq!(row(&ascii(), 0.5, false, true), "n1 21% #####=..... 812");
    }
}
