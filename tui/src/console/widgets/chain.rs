//! The steps of a story in one row: what happened, what is under way, what is ahead.
//!
//! What does not fit goes from the oldest end; what is under way is always to be seen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{self, Span};
use crate::console::look::{Look, Tone};

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It has happened.
    Done,
    /// It is under way.
    Now,
    /// It has not begun.
    Ahead,
    /// It did not succeed.
    Failed,
}

/// The steps in their order.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// How far each has come, and its name with what else is to be said of it.
    pub steps: &'a [(StepState, String)],
}

impl Chain<'_> {
    /// Draws into the first row. Where not all steps fit they stand closer, then the oldest go.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let under_way = |(state, _): &(StepState, String)| *state == StepState::Now;
        let kept = self.steps.iter().position(under_way).unwrap_or(self.steps.len());
        let wide = self.spans(look, 0, true);
        if text::spans_width(look, &wide) <= area.width {
            text::put_spans(look, area, buf, &wide);
            return;
        }
        let mut spans = self.spans(look, 0, false);
        for first in 1..=kept.min(self.steps.len().saturating_sub(1)) {
            if text::spans_width(look, &spans) <= area.width {
                break;
            }
            spans = self.spans(look, first, false);
        }
        text::put_spans(look, area, buf, &spans);
    }

    fn spans(&self, look: &Look, first: usize, wide: bool) -> Vec<Span> {
        let mut spans = Vec::new();
        if first > 0 {
            spans.push(text::span(look.glyphs.ellipsis, Tone::Dim));
            spans.push(text::span(" ", Tone::Dim));
        }
        for (at, (state, name)) in self.steps.iter().enumerate().skip(first) {
            if at > first {
                let line = format!(" {} ", look.glyphs.horizontal);
                spans.push(text::span(if wide { &line } else { " " }, Tone::Dim));
            }
            let (glyph, tone) = match state {
                StepState::Done => (look.glyphs.done, Tone::Good),
                StepState::Now => (look.glyphs.now, Tone::Accent),
                StepState::Ahead => (look.glyphs.dot, Tone::Dim),
                StepState::Failed => (look.glyphs.failed, Tone::Bad),
            };
            let between = if wide { " " } else { "" };
            let name_tone = if *state == StepState::Done { Tone::Text } else { tone };
            spans.push(text::span(format!("{glyph}{between}"), tone));
            spans.push(text::span(name.as_str(), name_tone));
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ascii, drawn, look, styles, text};
    use super::*;

    fn row(look: &Look, width: u16) -> String {
        let steps = [
            (StepState::Done, "killed 0.0".to_owned()),
            (StepState::Done, "silent 0.5".to_owned()),
            (StepState::Done, "DOWN 1.4".to_owned()),
            (StepState::Now, "re-copying 62%".to_owned()),
            (StepState::Ahead, "healthy".to_owned()),
        ];
        text(&drawn(width, 1, |area, buf| Chain { steps: &steps }.draw(look, area, buf)))
    }

    #[test]
    fn the_oldest_steps_go_first() {
        let all = "✓ killed 0.0 ─ ✓ silent 0.5 ─ ✓ DOWN 1.4 ─ ▶ re-copying 62% ─ · healthy";
        assert_eq!(row(&look(), 72), all);
        let closer = "✓killed 0.0 ✓silent 0.5 ✓DOWN 1.4 ▶re-copying 62% ·healthy";
        assert_eq!(row(&look(), 60), closer);
        assert_eq!(row(&look(), 40), "… ✓DOWN 1.4 ▶re-copying 62% ·healthy");
        assert_eq!(row(&look(), 30), "… ▶re-copying 62% ·healthy");
        assert_eq!(row(&look(), 20), "… ▶re-copying 62% ·…");
        let ascii = "* killed 0.0 - * silent 0.5 - * DOWN 1.4 - > re-copying 62% - . healthy";
        assert_eq!(row(&super::super::testing::ascii(), 72), ascii);
        assert_eq!(row(&super::super::testing::ascii(), 20), "~ >re-copying 62% .~");
    }

    #[test]
    fn what_failed_is_told() {
        let steps = [(StepState::Failed, "re-copy".to_owned()), (StepState::Ahead, "x".to_owned())];
        let draw =
            |look: &Look| drawn(20, 1, |area, buf| Chain { steps: &steps }.draw(look, area, buf));
        assert_eq!(text(&draw(&look())), "✗ re-copy ─ · x");
        assert!(styles(&draw(&look())).contains("a = 203 BOLD"));
        assert_eq!(text(&draw(&ascii())), "x re-copy - . x");
    }
}
