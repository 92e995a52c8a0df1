//! Where time went: one row a party, what it did from when to when, and an axis over all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text;
use crate::console::look::{Look, Tone};

/// What a party did, or waited for, from then to then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// When it began, in microseconds.
    pub from_us: u64,
    /// When it ended, in microseconds.
    pub to_us: u64,
    /// What it means.
    pub tone: Tone,
    /// Whether nothing was done but to wait: drawn lighter.
    pub waiting: bool,
    /// What it was; written inside or behind it, where there is room.
    pub text: String,
}

/// One party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its name.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// What it did, the earliest first.
    pub segments: Vec<Segment>,
}

/// Parties over one axis of time.
#[derive(Debug, Clone, Copy)]
pub struct Waterfall<'a> {
    /// The parties, from the top.
    pub parties: &'a [Party],
    /// The first one that is drawn.
    pub first: usize,
}

impl Waterfall<'_> {
    /// Draws the axis and below it as many parties as there is room for; that many.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> usize {
        let area = area.intersection(buf.area);
        if area.height == 0 || area.width < 4 {
            return 0;
        }
        let names = self.parties.iter().map(|party| text::width(look, &party.label)).max();
        let gutter = names.unwrap_or(0).saturating_add(2).min(area.width / 3);
        let plot = Rect { x: area.x + gutter, width: area.width - gutter, ..area };
        let ends = self.parties.iter().flat_map(|party| &party.segments).map(|s| s.to_us);
        let until_us = ends.max().unwrap_or(0).max(1);
        axis(look, Rect { height: 1, ..plot }, buf, until_us);
        let rows = area.rows().skip(1);
        for (party, row) in self.parties.iter().skip(self.first).zip(rows) {
            let label = Rect { width: gutter.saturating_sub(1), ..row };
            text::put_elided(look, label, buf, &party.label, party.tone);
            segments(look, Rect { x: plot.x, width: plot.width, ..row }, buf, party, until_us);
        }
        usize::from(area.height) - 1
    }
}

/// The columns of a segment: at least one.
fn columns(row: Rect, segment: &Segment, until_us: u64) -> (u16, u16) {
    let column = |us: u64| {
        let share = us as f64 / until_us as f64;
        (share * f64::from(row.width)).round().clamp(0.0, f64::from(row.width)) as u16
    };
    let from = column(segment.from_us).min(row.width.saturating_sub(1));
    (from, column(segment.to_us).max(from + 1).min(row.width))
}

fn segments(look: &Look, row: Rect, buf: &mut Buffer, party: &Party, until_us: u64) {
    if row.width == 0 {
        return;
    }
    let full = look.glyphs.blocks[7];
    // What is done is drawn over what is waited for, so that the short is not lost.
    for waiting in [true, false] {
        for segment in party.segments.iter().filter(|segment| segment.waiting == waiting) {
            let (from, to) = columns(row, segment, until_us);
            let glyph = if waiting { look.glyphs.light } else { full };
            for x in row.x + from..row.x + to {
                text::set(buf, x, row.y, glyph, look.style(segment.tone));
            }
        }
    }
    for (at, segment) in party.segments.iter().enumerate() {
        let (from, to) = columns(row, segment, until_us);
        let next = party.segments.get(at + 1).map(|next| columns(row, next, until_us).0);
        let (begin, end) = match segment.waiting {
            true => (from + 1, to),
            false => (to, next.unwrap_or(row.width)),
        };
        let text = format!(" {} ", segment.text);
        let width = text::width(look, &text);
        if !segment.text.is_empty() && width <= end.saturating_sub(begin).saturating_add(1) {
            let place = Rect { x: row.x + begin, width: end - begin, ..row };
            text::put(look, place, buf, &text, segment.tone);
        }
    }
}

/// A number with as few units as it needs.
fn figure(us: u64, unit: (&str, u64)) -> String {
    if us.is_multiple_of(unit.1) {
        (us / unit.1).to_string()
    } else {
        format!("{:.1}", us as f64 / unit.1 as f64)
    }
}

/// Ticks at even times, as many as can be read; the last one names the unit.
fn axis(look: &Look, row: Rect, buf: &mut Buffer, until_us: u64) {
    let unit = match until_us {
        0..2_000 => ("us", 1),
        2_000..2_000_000 => ("ms", 1_000),
        _ => ("s", 1_000_000),
    };
    let most = u64::from(row.width / 10).max(1);
    let mut step: u64 = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if until_us / step <= most {
            break;
        }
        let power = 10u64.pow(step.ilog10());
        step = power.saturating_mul(factor);
    }
    let ticks = (0..=until_us / step).map(|at| at * step);
    let mut taken = 0;
    let last = until_us / step * step;
    for us in ticks {
        let share = us as f64 / until_us as f64;
        let x = (share * f64::from(row.width)).round() as u16;
        let mut label = figure(us, unit);
        if us == last {
            label = format!("{label} {}", unit.0);
        }
        let width = text::width(look, &label);
        let x = x.min(row.width.saturating_sub(width)).max(taken);
        if x + width <= row.width {
            let place = Rect { x: row.x + x, width: row.width - x, ..row };
            text::put(look, place, buf, &label, Tone::Dim);
            taken = x + width + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, expect_picture, look, text};
    use super::*;

    fn segment(from_us: u64, to_us: u64, tone: Tone, waiting: bool, text: &str) -> Segment {
        Segment { from_us, to_us, tone, waiting, text: text.into() }
    }

    fn parties() -> Vec<Party> {
        let party =
            |label: &str, segments| Party { label: label.into(), tone: Tone::Text, segments };
        vec![
            party("coordinator", vec![segment(0, 1_000, Tone::Info, false, "prepare")]),
            party(
                "n3",
                vec![
                    segment(1_000, 2_900, Tone::Info, false, ""),
                    segment(2_900, 502_000, Tone::Bad, true, "no answer"),
                ],
            ),
            party(
                "n4",
                vec![
                    segment(1_000, 2_400, Tone::Good, false, ""),
                    segment(2_400, 501_000, Tone::Warn, true, "voted yes, held the lock"),
                    segment(501_000, 502_000, Tone::Info, false, ""),
                ],
            ),
        ]
    }

    fn picture(look: &Look, width: u16) -> Buffer {
        let parties = parties();
        let waterfall = Waterfall { parties: &parties, first: 0 };
        drawn(width, 4, |area, buf| waterfall.draw(look, area, buf))
    }

    #[test]
    fn where_the_time_went() {
        expect_picture("waterfall-74x4", &picture(&look(), 74));
        expect_picture("waterfall-ascii-50x4", &picture(&ascii(), 50));
        expect_picture("waterfall-20x4", &picture(&look(), 20));
    }

    #[test]
    fn ticks_stand_at_even_times() {
        let ticks = |until_us| {
            let row = drawn(60, 1, |area, buf| axis(&look(), area, buf, until_us));
            text(&row).split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks(1), "0 1 us");
        assert_eq!(ticks(900), "0 200 400 600 800 us");
        assert_eq!(ticks(7_100), "0 2 4 6 ms");
        assert_eq!(ticks(2_500), "0 0.5 1 1.5 2 2.5 ms");
        assert_eq!(ticks(30_000_000), "0 5 10 15 20 25 30 s");
        assert!(ticks(u64::MAX).starts_with("0 "));
    }
}
