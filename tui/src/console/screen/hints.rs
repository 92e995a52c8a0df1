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

#[cfg(test)]
mod tests {
    use crate::console::model::feed::{Fed, FeedName, FeedState};
    use crate::console::state::Input;
    use crate::console::testing::{frame, played, press};

    /// Contract: "null: the console greys those keys and says why"
    #[test]
    fn without_a_supervisor_nothing_can_be_killed_and_the_reason_is_said() {
        let mut console = played("calm", 2_000);
        assert!(frame(&console, 120, 36).contains("K kill -9"));
        let lost = Fed::Link(FeedName::Supervisor, FeedState::Lost("it has gone".into()));
        console.handle(console.model.now, Input::Fed(lost));
        console.model.supervisor = None;
        let shown = frame(&console, 120, 36);
        assert!(!shown.contains("K kill -9") && shown.contains("no supervisor"), "{shown}");
        press(&mut console, "K");
        let shown = frame(&console, 120, 36);
        assert!(console.overlay.is_none() && shown.contains("have no supervisor"), "{shown}");
    }

    /// Contract: "only in a loopback `up` with `--lab`; shown in the console's header; every use is
    /// an event"
    #[test]
    fn a_lab_and_the_faults_in_it_are_shown_in_the_header() {
        let header = |at: u64| {
            let shown = frame(&played("doubt", at), 120, 36);
            shown.lines().next().unwrap_or_default().to_owned()
        };
        assert!(header(1_500).ends_with("LAB"), "{}", header(1_500));
        let with_faults = (1_900..7_000).step_by(50).any(|at| header(at).contains("FAULTS"));
        assert!(with_faults);
    }
}
