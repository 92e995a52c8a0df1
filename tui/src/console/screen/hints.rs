//! The last row: the keys that work now, out of the one table.
//!
//! Part of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::action::{Action, ViewName};
use crate::console::keys::{self, Binding, GLOBAL, key_name};
use crate::console::look::Tone;
use crate::console::state::Console;
use crate::console::views::Seen;
use crate::console::widgets::text::{self, Span, span};

/// Keys of the view that come before everything else.
const OWN_FIRST: usize = 2;
/// Columns of the name of the server that the changing keys are about.
const NAME_COLUMNS: u16 = 14;

/// Draws as many whole hints as there is room for: the view's first ones, help, the others. The
/// keys that change the cluster go before all of them, without their words where it is narrow.
pub(super) fn draw(console: &Console, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    if let Some((_, words)) = console.remarks.back().filter(|_| !has_tabs_room(console, seen, area))
    {
        text::put_elided(seen.look, area, buf, &format!(" {words}"), Tone::Info);
        return;
    }
    if console.is_typing() {
        let words = " what you type goes into the text: Enter takes it, Esc leaves it";
        text::put_elided(seen.look, area, buf, words, Tone::Dim);
        return;
    }
    let hints = hints(console);
    let needed = hints.iter().take(OWN_FIRST + 1).flatten();
    let needed = text::spans_width(seen.look, &needed.cloned().collect::<Vec<_>>()) + 1;
    let fits = |spans: &Vec<Span>| {
        text::spans_width(seen.look, spans).saturating_add(needed) <= area.width
    };
    let all = [Words::All, Words::Processes, Words::Only];
    let mut rights = all.into_iter().map(|words| changing(console, seen, words));
    let right = rights.find(fits).unwrap_or_else(|| changing(console, seen, Words::None));
    let room = area.width.saturating_sub(text::spans_width(seen.look, &right));
    let mut left = vec![span(" ", Tone::Text)];
    for hint in hints {
        if text::spans_width(seen.look, &[&left[..], &hint].concat()) <= room {
            left.extend(hint);
        }
    }
    text::put_spans(seen.look, area, buf, &left);
    text::put_spans_right(seen.look, area, buf, &right);
}

/// Whether what the console remarks fits behind the tabs.
fn has_tabs_room(console: &Console, seen: &Seen<'_>, area: Rect) -> bool {
    let words = console.remarks.back().map_or("", |(_, words)| words.as_str());
    let room = area.width.saturating_sub(super::header::tabs_width());
    text::width(seen.look, words) < room
}

/// The keys that change nothing: the view's first ones, help, the view's others, the rest.
fn hints(console: &Console) -> Vec<Vec<Span>> {
    let own = keys::of_view(console.view).iter().filter(|one| !one.hint.is_empty());
    let own: Vec<_> = own.map(|one| (Some(console.view), one)).collect();
    let (first, others) = own.split_at(own.len().min(OWN_FIRST));
    let harmless = GLOBAL.iter().filter(|one| !one.changes && !one.hint.is_empty());
    let (help, rest): (Vec<_>, Vec<_>) =
        harmless.map(|one| (None, one)).partition(|(_, one)| one.action == Action::Help);
    let all = first.iter().chain(&help).chain(others).chain(&rest);
    all.map(|(view, one)| hint(console, *view, one, Tone::Key, true)).collect()
}

/// Which of the keys that change the cluster stand there with their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    All,
    Processes,
    /// Those alone stand there at all; `?` has the others.
    Only,
    None,
}

/// The keys that change the cluster, or why there are none.
fn changing(console: &Console, seen: &Seen<'_>, words: Words) -> Vec<Span> {
    let (processes, members) = (console.may_change(), console.may_change_members());
    let mut right = Vec::new();
    let may = console.read_only.is_none() && seen.model.forbidden().is_none();
    let is_alone = !processes && may && seen.model.coordinator_feed.is_live();
    if is_alone && words != Words::None {
        right.push(span("no supervisor: no kill, stop, restart, pause ", Tone::Dim));
    }
    if processes || members {
        let name = text::elided(seen.look, &console.selected, NAME_COLUMNS);
        right.push(span(format!("{name}: "), Tone::Bright));
    }
    for binding in GLOBAL.iter().filter(|one| one.changes) {
        let is_members = matches!(binding.action, Action::Add | Action::Remove | Action::Evict);
        let with_words = match words {
            Words::All => true,
            Words::Processes | Words::Only => !is_members,
            Words::None => false,
        };
        let is_shown = if is_members { members && words != Words::Only } else { processes };
        if is_shown {
            right.extend(hint(console, None, binding, Tone::Danger, with_words));
        }
    }
    right
}

fn hint(
    console: &Console,
    view: Option<ViewName>,
    binding: &Binding,
    tone: Tone,
    words: bool,
) -> Vec<Span> {
    let keys = console.settings.keys.of(view, binding);
    let Some(key) = keys.first() else { return Vec::new() };
    if !words {
        return vec![span(key_name(key), tone), span(" ", Tone::Text)];
    }
    vec![
        span(key_name(key), tone),
        span(" ", Tone::Text),
        span(binding.hint, Tone::Dim),
        span("  ", Tone::Text),
    ]
}

#[cfg(test)]
mod tests {
    use protocol::reply::Role;

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

    #[test]
    fn who_may_not_change_the_cluster_is_told_so_before_any_question() {
        for (role, header, why, updates) in [
            (Role::Viewer, "READ-ONLY", "token of a viewer", false),
            (Role::Client, "READ-ONLY but keys", "token of a client", true),
            (Role::Admin, "", "", true),
        ] {
            let mut console = played("calm", 2_000);
            for feed in [FeedName::Coordinator, FeedName::Supervisor] {
                console.handle(console.model.now, Input::Fed(Fed::Role(feed, role)));
            }
            let first = frame(&console, 120, 36);
            let first = first.lines().next().unwrap().trim_end().to_owned();
            assert_eq!(first.contains("READ-ONLY"), !header.is_empty(), "{first}");
            assert!(header.is_empty() || first.ends_with(header), "{first}");
            for keys in ["K", "S", "R", "P"] {
                press(&mut console, keys);
                assert_eq!(console.overlay.is_some(), role == Role::Admin, "{role:?} {keys}");
                let said = console.remarks.back().map_or("", |(_, words)| words.as_str());
                assert!(said.contains(why), "{role:?} {keys}: {said}");
                console.overlay = None;
            }
            assert_eq!(frame(&console, 120, 36).contains("K kill -9"), role == Role::Admin);
            press(&mut console, "5");
            assert_eq!(!frame(&console, 120, 36).contains(" read-only "), updates, "{role:?}");
        }
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
