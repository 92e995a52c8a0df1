//! What is left of the screen on a very small terminal: the story, and the nodes where they fit.
//!
//! Part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::look::Tone;
use crate::console::model::clock::ago;
use crate::console::state::Console;
use crate::console::views::Seen;
use crate::console::views::overview;
use crate::console::widgets::text::{self, span};

/// Draws the story, and below it the nodes where there is `room` for them.
pub(super) fn draw(console: &Console, seen: &Seen<'_>, room: bool, buf: &mut Buffer) {
    let area = buf.area;
    let (columns, rows) = (area.width, area.height);
    let row = |y: u16| Rect { y, height: 1, ..area }.intersection(area);
    if !room {
        super::story::draw(seen, Rect { height: rows.min(2), ..area }, buf);
        let sentence = format!("need 50x12, have {columns}x{rows}, q quits");
        if rows > 2 {
            text::put(seen.look, row(2), buf, &sentence, Tone::Dim);
        }
        return;
    }
    let model = seen.model;
    super::story::draw(seen, Rect { height: 3, ..area }, buf);
    for (at, name) in model.servers().iter().enumerate().take(usize::from(rows) - 4) {
        let place = row(3 + at as u16);
        let mark = if *name == console.selected { seen.look.glyphs.pointer } else { " " };
        let (state, age) = match model.nodes.get(name) {
            Some(node) => (
                overview::state_spans(seen, name),
                node.heard.map_or("never".into(), |at| ago(model.now.ms_since(at))),
            ),
            None => (overview::state_spans(seen, name), String::new()),
        };
        let mut spans = vec![span(format!("{mark} {name:<12} "), Tone::Text)];
        spans.extend(state);
        spans.push(span(format!("  {age}"), Tone::Dim));
        text::put_spans(seen.look, place, buf, &spans);
    }
    let remark = console.remarks.back().map(|(_, words)| words.as_str());
    let words = remark.unwrap_or("K S R P on the selected server · n next · ? keys · q quits");
    text::put(seen.look, row(rows - 1), buf, words, Tone::Dim);
}
