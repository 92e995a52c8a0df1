//! What a demo says, in place of the hints: two rows, with how far it is and the keys it presses.
//!
//! Part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Areas;
use crate::console::caption::{Caption, Deed, Doing};
use crate::console::look::{Look, Tone};
use crate::console::widgets::text::{self, Span, span};

/// Its rows.
pub(super) const ROWS: u16 = 2;
/// Columns for how far it is, at the right.
const COUNTER_COLUMNS: u16 = 24;
/// Cells of the bar in it.
const BAR: usize = 8;

/// Draws the earlier screen that the demo looks at, but for its last rows; false: it does not.
pub(super) fn draw_past(caption: &Caption, areas: Areas, buf: &mut Buffer) -> bool {
    let Some(past) = &caption.past else { return false };
    let until = areas.hints.y;
    for y in 0..until.min(past.area.height) {
        for x in 0..buf.area.width.min(past.area.width) {
            buf[(x, y)] = past[(x, y)].clone();
        }
    }
    true
}

pub(super) fn draw(look: &Look, caption: &Caption, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    for y in area.rows() {
        for x in y.left()..y.right() {
            buf[(x, y.y)].reset();
        }
        text::put(look, y, buf, look.glyphs.edge, edge(caption.doing));
    }
    let columns = if area.width > 3 * COUNTER_COLUMNS { COUNTER_COLUMNS } else { 0 };
    let inside = area.width.saturating_sub(columns + 2);
    let words = Rect { x: area.x + 1, width: inside, ..area };
    let tone = if caption.doing == Doing::Failed { Tone::Bad } else { Tone::Bright };
    let failed = if caption.doing == Doing::Failed { "not so: " } else { "" };
    let rows = text::wrapped(look, &[span(format!("{failed}{}", caption.text), tone)], inside);
    let cut = rows.len() > usize::from(area.height);
    for (row, spans) in words.rows().zip(&rows) {
        let is_last = row.y + 1 == words.bottom();
        let mut spans = spans.clone();
        if cut && is_last {
            spans.push(span(look.glyphs.ellipsis, tone));
        }
        text::put_spans(look, row, buf, &spans);
    }
    let right = Rect { x: area.right() - columns, width: columns, ..area };
    for (row, spans) in right.rows().zip([counter(look, caption), below(look, caption)]) {
        text::put_spans_right(look, row, buf, &spans);
    }
}

fn edge(doing: Doing) -> Tone {
    match doing {
        Doing::Plays | Doing::Asks => Tone::Accent,
        Doing::Stands | Doing::Looks => Tone::Warn,
        Doing::Failed => Tone::Bad,
        Doing::Ended => Tone::Good,
    }
}

/// How far it is: `7/19` and a bar.
fn counter(look: &Look, caption: &Caption) -> Vec<Span> {
    let done = caption.step * BAR / caption.steps.max(1);
    let bar = look.glyphs.full.repeat(done.min(BAR));
    let rest = look.glyphs.dot.repeat(BAR - done.min(BAR));
    vec![
        span(format!("{}/{} ", caption.step, caption.steps), Tone::Dim),
        span(bar, Tone::Accent),
        span(rest, Tone::Dim),
    ]
}

/// The keys it has just pressed, or what a person may press.
fn below(look: &Look, caption: &Caption) -> Vec<Span> {
    match &caption.deed {
        Some(Deed::Presses(key)) => {
            let (left, right) = if look.glyphs.ascii { ("[", "]") } else { ("▐", "▌") };
            return vec![
                span("presses ", Tone::Dim),
                span(left, Tone::Danger),
                span(format!(" {key} "), Tone::Danger),
                span(right, Tone::Danger),
            ];
        }
        Some(Deed::Runs(line)) => return vec![span(format!("> {line}"), Tone::Accent)],
        None => {}
    }
    let words = match caption.doing {
        Doing::Plays if (caption.speed - 1.0).abs() > 1e-9 => format!("{}x", caption.speed),
        Doing::Plays => String::new(),
        Doing::Stands => "stands, Space plays".into(),
        Doing::Asks => "Enter goes on".into(),
        Doing::Looks => "earlier; n, b, Space".into(),
        Doing::Failed | Doing::Ended => "q ends, Esc stays".into(),
    };
    vec![span(words, Tone::Dim)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::console::testing::{drawn, frame, played};

    fn caption(doing: Doing, text: &str) -> Caption {
        let deed = Some(Deed::Presses("K".into()));
        Caption { text: text.into(), step: 7, steps: 19, deed, doing, speed: 1.0, past: None }
    }

    #[test]
    fn it_stands_in_place_of_the_hints_and_the_story_stays() {
        let mut console = played("kill", 6_000);
        let before = frame(&console, 120, 36);
        let text = "We kill it, and watch what becomes of its keys: others have copies of them.";
        console.caption = Some(caption(Doing::Plays, text));
        let shown = frame(&console, 120, 36);
        let rows = |frame: &str| frame.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rows(&before)[..5], rows(&shown)[..5], "{shown}");
        let last = &rows(&shown)[34..];
        assert!(last[0].contains(text) && last[0].contains("7/19 "), "{shown}");
        assert!(last[1].contains("presses ▐ K ▌"), "{shown}");
        let compact = frame(&console, 80, 24);
        assert!(rows(&compact)[22].contains("7/19 ") && compact.contains("copies"), "{compact}");
        console.caption = Some(caption(Doing::Failed, "nodes.up = 4: nodes.up is 5"));
        assert!(frame(&console, 120, 36).contains("not so: nodes.up = 4: nodes.up is 5"));
    }

    #[test]
    fn it_is_drawn_at_any_size_over_a_screen_of_any_size() {
        let mut console = played("kill", 6_000);
        let past = Arc::new(drawn(&console, 100, 30));
        for (columns, rows) in [(1, 1), (3, 2), (50, 12), (79, 24), (80, 24), (120, 36), (250, 90)]
        {
            for past in [None, Some(past.clone())] {
                let text = "words ".repeat(60);
                console.caption = Some(Caption { past, ..caption(Doing::Looks, &text) });
                let _ = frame(&console, columns, rows);
            }
        }
    }
}
