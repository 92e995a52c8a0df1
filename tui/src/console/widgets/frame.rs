//! A box with a title above and a caption below.
//!
//! Used around everything that has a name.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// A box. Without room for its borders it has a title only, or nothing at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame<'a> {
    /// In the upper border; nothing if empty.
    pub title: &'a str,
    /// Behind the title, less bright.
    pub remarks: &'a [Span],
    /// In the lower border; nothing if empty.
    pub caption: &'a str,
    /// Whether keys go there: said by a mark before the title, and a brighter border.
    pub focused: bool,
}

impl Frame<'_> {
    /// Draws the box; what is inside.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> Rect {
        let area = area.intersection(buf.area);
        if area.width >= 4 && area.height >= 3 {
            self.borders(look, area, buf);
            self.title(look, Rect { x: area.x + 1, width: area.width - 2, ..area }, buf);
            self.caption(look, area, buf);
            let (width, height) = (area.width - 2, area.height - 2);
            return Rect { x: area.x + 1, y: area.y + 1, width, height };
        }
        if area.height >= 2 {
            self.title(look, area, buf);
            return Rect { y: area.y + 1, height: area.height - 1, ..area };
        }
        area
    }

    fn borders(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let style = look.style(if self.focused { Tone::Accent } else { Tone::Border });
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let [top_left, top_right, bottom_left, bottom_right] = look.glyphs.corners;
        for x in area.x + 1..right {
            text::set(buf, x, area.y, look.glyphs.horizontal, style);
            text::set(buf, x, bottom, look.glyphs.horizontal, style);
        }
        for y in area.y + 1..bottom {
            text::set(buf, area.x, y, look.glyphs.vertical, style);
            text::set(buf, right, y, look.glyphs.vertical, style);
        }
        text::set(buf, area.x, area.y, top_left, style);
        text::set(buf, right, area.y, top_right, style);
        text::set(buf, area.x, bottom, bottom_left, style);
        text::set(buf, right, bottom, bottom_right, style);
    }

    fn title(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        if self.title.is_empty() || area.width < 4 {
            return;
        }
        let mark = if self.focused { look.glyphs.pointer } else { look.glyphs.horizontal };
        let mark_tone = if self.focused { Tone::Accent } else { Tone::Border };
        let mut spans = vec![
            text::span(mark, mark_tone),
            text::span(" ", Tone::Text),
            text::span(self.title, Tone::Title),
        ];
        if !self.remarks.is_empty() {
            spans.push(text::span("  ", Tone::Text));
            spans.extend_from_slice(self.remarks);
        }
        spans.push(text::span(" ", Tone::Text));
        text::put_spans(look, area, buf, &spans);
    }

    fn caption(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        if self.caption.is_empty() || area.width < 8 {
            return;
        }
        let row = Rect { x: area.x + 2, y: area.bottom() - 1, width: area.width - 4, height: 1 };
        let room = row.width - 2;
        let caption = format!(" {} ", text::elided(look, self.caption, room));
        text::put(look, row, buf, &caption, Tone::Dim);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, look, text};
    use super::*;

    fn frame() -> Frame<'static> {
        Frame { title: "Ring", caption: "2 for the full view", ..Frame::default() }
    }

    #[test]
    fn a_box_with_a_title_and_a_caption() {
        let mut inner = Rect::default();
        let buf = drawn(28, 4, |area, buf| inner = frame().draw(&look(), area, buf));
        assert_eq!(
            text(&buf),
            "\
┌─ Ring ───────────────────┐
│                          │
│                          │
└─ 2 for the full view ────┘"
        );
        assert_eq!(inner, Rect::new(1, 1, 26, 2));
    }

    #[test]
    fn the_focused_one_is_told_without_colour() {
        let focused =
            Frame { focused: true, remarks: &[text::span("5 up", Tone::Good)], ..frame() };
        let buf = drawn(28, 3, |area, buf| focused.draw(&ascii(), area, buf));
        assert_eq!(
            text(&buf),
            "\
+> Ring  5 up -------------+
|                          |
+- 2 for the full view ----+"
        );
    }

    #[test]
    fn a_small_box_gives_up_its_borders_first() {
        let inner = |width, height| {
            let mut inner = Rect::default();
            drawn(width, height, |area, buf| inner = frame().draw(&look(), area, buf));
            inner
        };
        assert_eq!(inner(28, 2), Rect::new(0, 1, 28, 1));
        assert_eq!(inner(28, 1), Rect::new(0, 0, 28, 1));
        assert_eq!(inner(3, 9), Rect::new(0, 1, 3, 8));
        let buf = drawn(12, 3, |area, buf| frame().draw(&look(), area, buf));
        assert_eq!(text(&buf), "┌─ Ring ───┐\n│          │\n└─ 2 for… ─┘");
    }
}
