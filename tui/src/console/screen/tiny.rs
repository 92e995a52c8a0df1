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

/// Columns of a server's name.
const NAME_COLUMNS: u16 = 12;

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
    let servers = model.servers();
    let room = usize::from(rows) - 4;
    // The selected one is always among them.
    let selected = servers.iter().position(|name| *name == console.selected).unwrap_or(0);
    let first = (selected + 1).saturating_sub(room);
    for (at, name) in servers.iter().skip(first).enumerate().take(room) {
        let place = row(3 + at as u16);
        let mark = if *name == console.selected { seen.look.glyphs.pointer } else { " " };
        let heard = model.nodes.get(name).map(|node| node.heard);
        let age = match heard {
            Some(heard) => heard.map_or("never".into(), |at| ago(model.now.ms_since(at))),
            None => String::new(),
        };
        let name = text::elided(seen.look, name, NAME_COLUMNS);
        let gap = usize::from(NAME_COLUMNS.saturating_sub(text::width(seen.look, &name)));
        let mut spans = vec![span(format!("{mark} {name}{} ", " ".repeat(gap)), Tone::Text)];
        spans.extend(overview::state_spans(seen, servers[first + at].as_str()));
        spans.push(span(format!("  {age}"), Tone::Dim));
        text::put_spans(seen.look, place, buf, &spans);
    }
    let remark = console.remarks.back().map(|(_, words)| words.as_str());
    let keys = match console.may_change() {
        true => "K S R P E D selected · n next · ? keys · q quits",
        false => "n next · ? keys · q quits",
    };
    let words = remark.unwrap_or(keys);
    text::put_elided(seen.look, row(rows - 1), buf, words, Tone::Dim);
}
