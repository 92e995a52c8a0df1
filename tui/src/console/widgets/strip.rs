//! Heartbeats in a row, the newest at the right.
//!
//! A heartbeat that never came is louder than any that came, and is told without colour.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::text;
use crate::console::look::{Look, Tone};

/// What became of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Beat {
    /// It came.
    Came {
        /// How late, as a fraction of the time between two.
        late: f32,
    },
    /// It is due, and has not come yet.
    Late,
    /// It never came.
    Missed,
    /// None was expected.
    Nothing,
}

/// Heartbeats, the oldest first. The last ones are drawn, as many as there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Strip<'a> {
    /// What became of them.
    pub beats: &'a [Beat],
    /// Whether this is the last picture of what is not known any more.
    pub stale: bool,
}

impl Strip<'_> {
    /// Draws into the first row.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.height == 0 {
            return;
        }
        let newest = self.beats.iter().rev();
        for (x, beat) in (area.left()..area.right()).rev().zip(newest) {
            let (glyph, tone) = cell(look, *beat);
            let mut style = look.style(if self.stale { Tone::Stale } else { tone });
            if *beat == Beat::Missed {
                style = style.add_modifier(Modifier::REVERSED);
            }
            text::set(buf, x, area.y, glyph, style);
        }
    }
}

fn cell(look: &Look, beat: Beat) -> (&'static str, Tone) {
    match beat {
        Beat::Came { late } => {
            let level = eighth(late);
            let tone = if level < 5 { Tone::Good } else { Tone::Warn };
            (look.glyphs.beats[level], tone)
        }
        Beat::Late => (look.glyphs.light, Tone::Warn),
        Beat::Missed => (look.glyphs.missed, Tone::Bad),
        Beat::Nothing => (" ", Tone::Dim),
    }
}

/// Which of eight bars: those that are not late at all have the lowest.
fn eighth(late: f32) -> usize {
    let level = (late.clamp(0.0, 1.0) * 8.0).floor();
    // Not a number becomes 0.
    (level as usize).min(7)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, look, mono, styles, text};
    use super::*;

    const BEATS: [Beat; 12] = [
        Beat::Nothing,
        Beat::Nothing,
        Beat::Came { late: 0.1 },
        Beat::Came { late: 0.0 },
        Beat::Came { late: 0.2 },
        Beat::Came { late: 0.7 },
        Beat::Came { late: 7.0 },
        Beat::Came { late: f32::NAN },
        Beat::Came { late: -1.0 },
        Beat::Missed,
        Beat::Missed,
        Beat::Late,
    ];

    fn strip(look: &Look, width: u16) -> Buffer {
        drawn(width, 1, |area, buf| Strip { beats: &BEATS, stale: false }.draw(look, area, buf))
    }

    #[test]
    fn the_newest_is_at_the_right() {
        assert_eq!(text(&strip(&look(), 12)), "  ▁▁▂▆█▁▁xx░");
        assert_eq!(text(&strip(&look(), 14)), "    ▁▁▂▆█▁▁xx░");
        assert_eq!(text(&strip(&look(), 4)), "▁xx░");
        assert_eq!(text(&strip(&ascii(), 12)), "  1126811xx:");
    }

    #[test]
    fn a_missed_one_is_loud() {
        assert_eq!(
            styles(&strip(&look(), 12)),
            "\
a2 b3 c2 b2 d2 c1
a = 245
b = 78
c = 221
d = 203 BOLD | REVERSED"
        );
        let mono = styles(&strip(&mono(), 12));
        assert!(mono.contains("BOLD | UNDERLINED | REVERSED"), "{mono}");
    }
}
