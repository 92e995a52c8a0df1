//! A question or a text over everything else, in the middle.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::frame::Frame;
use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// A box with a text, a field to type into, and buttons.
#[derive(Debug, Clone, Copy, Default)]
pub struct Popup<'a> {
    /// What it is about.
    pub title: &'a str,
    /// The text, line by line; wrapped where it is too wide.
    pub body: &'a [Vec<Span>],
    /// What was typed, where something is to be typed.
    pub input: Option<&'a str>,
    /// What may be chosen, from the left.
    pub buttons: &'a [Span],
    /// The number of the button that Enter chooses.
    pub focused: usize,
    /// In the lower border.
    pub caption: &'a str,
}

/// Wider texts are harder to read.
const COLUMNS_MAX: u16 = 72;

/// The columns that a text may take in a box in the middle of `area`.
pub fn text_columns(area: Rect) -> u16 {
    area.width.saturating_sub(8).clamp(1, COLUMNS_MAX)
}

impl Popup<'_> {
    /// Draws the box in the middle of `area`; where its buttons are, for clicks.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> Vec<Rect> {
        let area = area.intersection(buf.area);
        let widest = text_columns(area);
        let lines = self.body.iter().map(|line| text::spans_width(look, line));
        let others = [
            text::width(look, self.title).saturating_add(4),
            text::width(look, self.caption).saturating_add(4),
            self.buttons_width(look),
        ];
        let columns = lines.chain(others).max().unwrap_or(0).clamp(1, widest);
        let rows: Vec<_> = self.body.iter().flat_map(|l| text::wrapped(look, l, columns)).collect();
        let below = 2 * u16::from(self.input.is_some()) + 2 * u16::from(!self.buttons.is_empty());
        let height = u16::try_from(rows.len()).unwrap_or(u16::MAX);
        let height = height.saturating_add(below).saturating_add(2).min(area.height);
        let width = columns.saturating_add(4).min(area.width);
        let x = area.x + (area.width - width) / 2;
        let y = area.y + (area.height - height) / 2;
        let place = Rect { x, y, width, height };
        clear(buf, place);
        let frame = Frame { title: self.title, caption: self.caption, focused: true, remarks: &[] };
        let inner = frame.draw(look, place, buf);
        let margin = inner.width.min(1);
        let inner = Rect { x: inner.x + margin, width: inner.width.saturating_sub(2), ..inner };
        let body = inner.height.saturating_sub(below);
        let top = Rect { height: body, ..inner };
        for (row, spans) in top.rows().zip(&rows) {
            text::put_spans(look, row, buf, spans);
        }
        self.field(look, inner, buf, below);
        self.draw_buttons(look, inner, buf)
    }

    fn field(&self, look: &Look, inner: Rect, buf: &mut Buffer, below: u16) {
        let Some(input) = self.input else { return };
        if inner.height < below {
            return;
        }
        let row = Rect { y: inner.bottom() - below + 1, height: 1, ..inner };
        let spans = [
            text::span("> ", Tone::Key),
            text::span(input, Tone::Bright),
            text::span(look.glyphs.cursor, Tone::Accent),
        ];
        text::put_spans(look, row, buf, &spans);
    }

    fn buttons_width(&self, look: &Look) -> u16 {
        let each = self.buttons.iter().map(|(label, _)| text::width(look, label).saturating_add(6));
        each.fold(0, u16::saturating_add)
    }

    /// The focused one has marks on its sides, so that it is told without colour.
    fn draw_buttons(&self, look: &Look, inner: Rect, buf: &mut Buffer) -> Vec<Rect> {
        let mut places = Vec::new();
        if self.buttons.is_empty() || inner.height == 0 {
            return places;
        }
        let taken = self.buttons_width(look).min(inner.width);
        let y = inner.bottom() - 1;
        let mut x = inner.x + (inner.width - taken) / 2;
        for (at, (label, tone)) in self.buttons.iter().enumerate() {
            let label = match at == self.focused {
                true => format!("{} {label} {}", look.glyphs.head_right, look.glyphs.head_left),
                false => format!("[ {label} ]"),
            };
            let width = inner.right().saturating_sub(x);
            let row = Rect { x, y, width, height: 1 };
            let taken = text::put(look, row, buf, &label, *tone);
            let place = Rect { width: taken, ..row };
            if at == self.focused {
                buf.set_style(place, Modifier::REVERSED);
            }
            places.push(place);
            x = x.saturating_add(taken + 2).min(inner.right());
        }
        places
    }
}

/// Takes away all that is in `area`.
pub fn clear(buf: &mut Buffer, area: Rect) {
    let area = area.intersection(buf.area);
    for position in area.positions() {
        text::set(buf, position.x, position.y, " ", ratatui::style::Style::new());
        buf[position].reset();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, expect_picture, look};
    use super::*;

    fn popup(look: &Look, width: u16, height: u16, input: Option<&str>) -> Buffer {
        let body = [
            vec![text::span("Kill n3 with SIGKILL?", Tone::Bright)],
            vec![],
            vec![
                text::span("It owns 20 % of the keys, ", Tone::Text),
                text::span("2 transactions are under way. ", Tone::Warn),
                text::span("The cluster stays available: 4 of 5 up.", Tone::Text),
            ],
        ];
        let buttons = [text::span("Cancel", Tone::Key), text::span("y kill", Tone::Danger)];
        let popup = Popup {
            title: "Kill",
            body: &body,
            input,
            buttons: &buttons,
            focused: 0,
            caption: "piazza admin kill n3",
        };
        drawn(width, height, |area, buf| {
            let dots = "字".repeat(usize::from(width) / 2);
            for row in area.rows() {
                text::put(look, row, buf, &dots, Tone::Dim);
            }
            popup.draw(look, area, buf);
        })
    }

    #[test]
    fn a_question_stands_over_everything_else() {
        expect_picture("popup-60x12", &popup(&look(), 60, 12, None));
        expect_picture("popup-input-59x12", &popup(&look(), 59, 12, Some("n3")));
        expect_picture("popup-ascii-40x9", &popup(&ascii(), 40, 9, None));
    }

    #[test]
    fn where_the_buttons_are() {
        let buttons = [text::span("No", Tone::Key), text::span("Yes", Tone::Danger)];
        let popup = Popup { title: "Kill", buttons: &buttons, ..Popup::default() };
        let mut places = Vec::new();
        drawn(30, 6, |area, buf| places = popup.draw(&look(), area, buf));
        assert_eq!(places, [Rect::new(6, 3, 6, 1), Rect::new(14, 3, 7, 1)]);
    }
}
