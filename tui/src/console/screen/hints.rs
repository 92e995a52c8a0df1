//! The last row: the keys that work now, out of the one table.
//!
//! Part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::action::ViewName;
use crate::console::keys::{self, Binding, GLOBAL, key_name};
use crate::console::look::Tone;
use crate::console::state::Console;
use crate::console::views::Seen;
use crate::console::widgets::text::{self, Span, span};

pub(super) fn draw(console: &Console, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let harmless = GLOBAL.iter().filter(|one| !one.changes);
    let mut left = vec![span(" ", Tone::Text)];
    for (view, binding) in keys::of_view(console.view)
        .iter()
        .map(|one| (Some(console.view), one))
        .chain(harmless.map(|one| (None, one)))
    {
        left.extend(hint(console, view, binding, Tone::Key));
    }
    let mut right = Vec::new();
    if console.may_change() {
        right.push(span(format!("{}: ", console.selected), Tone::Bright));
        for binding in GLOBAL.iter().filter(|one| one.changes) {
            right.extend(hint(console, None, binding, Tone::Danger));
        }
    } else if console.read_only.is_none() && seen.model.coordinator_feed.is_live() {
        right.push(span("no supervisor: no kill, stop, restart, pause ", Tone::Dim));
    }
    let columns = text::spans_width(seen.look, &right).min(area.width);
    let rest = Rect { width: area.width - columns, ..area };
    text::put_spans(seen.look, rest, buf, &left);
    text::put_spans_right(seen.look, area, buf, &right);
}

fn hint(console: &Console, view: Option<ViewName>, binding: &Binding, tone: Tone) -> Vec<Span> {
    let keys = console.settings.keys.of(view, binding);
    let Some(key) = keys.first().filter(|_| !binding.hint.is_empty()) else { return Vec::new() };
    vec![
        span(key_name(key), tone),
        span(" ", Tone::Text),
        span(binding.hint, Tone::Dim),
        span("  ", Tone::Text),
    ]
}
