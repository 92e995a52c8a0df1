//! A history as bars, the newest at the right.
//!
//! In several rows with its scale and a place to point at, in one row with the newest figure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// Figures over time, the oldest first. The last ones are drawn, as many as there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Spark<'a> {
    /// The figures; none where it is not known.
    pub values: &'a [Option<f64>],
    /// What the highest bar stands for; the greatest figure if nothing is said.
    pub max: Option<f64>,
    /// The scale's upper end, as text.
    pub max_label: &'a str,
    /// What the bars mean.
    pub tone: Tone,
    /// A place to point at, as the number of figures that came after, and what happened there.
    pub marker: Option<(usize, &'a str)>,
    /// Below the bars at the left: how long ago that was.
    pub since: &'a str,
}

impl Spark<'_> {
    /// Draws into all of `area`: with three rows or more the last one is the axis of time.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let gutter = text::width(look, self.max_label).max(1) + 1;
        if area.height < 3 || area.width <= gutter + 1 {
            return self.bars(look, area, buf);
        }
        let height = area.height - 1;
        let plot = Rect { x: area.x + gutter, width: area.width - gutter, height, ..area };
        let labels = Rect { width: gutter - 1, height: 1, ..area };
        text::put_right(look, labels, buf, self.max_label, Tone::Dim);
        let lowest = Rect { y: plot.bottom() - 1, ..labels };
        text::put_right(look, lowest, buf, "0", Tone::Dim);
        for y in plot.top()..plot.bottom() {
            text::set(buf, plot.x - 1, y, look.glyphs.axis, look.style(Tone::Border));
        }
        self.bars(look, plot, buf);
        let axis = Rect { y: plot.bottom(), height: 1, ..plot };
        self.axis(look, axis, buf);
    }

    /// Draws one row: the bars, and behind them `figure`.
    pub fn draw_row(&self, look: &Look, area: Rect, buf: &mut Buffer, figure: &[Span]) {
        let area = area.intersection(buf.area);
        let taken = text::spans_width(look, figure).saturating_add(1).min(area.width);
        let bars = Rect { width: area.width - taken, height: area.height.min(1), ..area };
        self.bars(look, bars, buf);
        text::put_spans_right(look, area, buf, figure);
    }

    fn top(&self) -> f64 {
        let greatest = self.values.iter().flatten().copied().fold(0.0, f64::max);
        self.max.unwrap_or(greatest).max(f64::MIN_POSITIVE)
    }

    fn bars(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let top = self.top();
        let style = look.style(self.tone);
        let eighths = usize::from(area.height) * 8;
        for (x, value) in (area.left()..area.right()).rev().zip(self.values.iter().rev()) {
            let Some(value) = value else { continue };
            let share = (value / top).clamp(0.0, 1.0);
            // What is not nothing is to be seen.
            let level = (share * eighths as f64).round() as usize;
            let mut level = if *value > 0.0 { level.max(1) } else { level };
            for y in (area.top()..area.bottom()).rev() {
                if level == 0 {
                    break;
                }
                let part = level.min(8);
                text::set(buf, x, y, look.glyphs.bars[part - 1], style);
                level -= part;
            }
        }
    }

    fn axis(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let since = text::put(look, area, buf, self.since, Tone::Dim);
        // What happened just now stands where "now" would.
        if self.marker.is_none_or(|(after, _)| after > "now".len()) {
            text::put_right(look, area, buf, "now", Tone::Dim);
        }
        let Some((after, what)) = self.marker else { return };
        let Ok(after) = u16::try_from(after) else { return };
        if after >= area.width {
            return;
        }
        let x = area.right() - 1 - after;
        text::set(buf, x, area.y, look.glyphs.head_up, look.style(Tone::Accent));
        let label = text::width(look, what);
        let free = (x - area.x).saturating_sub(since + 1);
        if label < free {
            let at = Rect { x: x - label - 1, width: label, ..area };
            text::put(look, at, buf, what, Tone::Accent);
        } else if label + 1 + 4 <= after {
            text::put(look, Rect { x: x + 2, width: label, ..area }, buf, what, Tone::Accent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, look, text};
    use super::*;

    const VALUES: [Option<f64>; 20] = {
        let mut values = [Some(10.0); 20];
        values[0] = None;
        values[1] = Some(0.0);
        values[2] = Some(0.01);
        values[3] = Some(5.0);
        values[10] = Some(7.5);
        values[19] = Some(20.0);
        values
    };

    fn spark() -> Spark<'static> {
        Spark {
            values: &VALUES,
            max: None,
            max_label: "20",
            tone: Tone::Bar,
            marker: Some((9, "n3 killed")),
            since: "-20 s",
        }
    }

    #[test]
    fn a_history_has_its_scale_and_a_place_to_point_at() {
        let buf = drawn(33, 5, |area, buf| spark().draw(&look(), area, buf));
        assert_eq!(
            text(&buf),
            "\
20▕                             █
  ▕                             █
  ▕              ██████▄█████████
 0▕            ▁█████████████████
   -20 s     n3 killed ▲      now",
            "{}",
            text(&buf)
        );
    }

    #[test]
    fn one_row_tells_the_newest_figure() {
        let figure = [text::span("1,204", Tone::Bright)];
        let row = |look: &Look, width| {
            text(&drawn(width, 1, |area, buf| spark().draw_row(look, area, buf, &figure)))
        };
        assert_eq!(row(&look(), 26), "  ▁▂▄▄▄▄▄▄▃▄▄▄▄▄▄▄▄█ 1,204");
        assert_eq!(row(&ascii(), 16), "-========# 1,204");
        assert_eq!(row(&look(), 5), "1,204");
    }
}
