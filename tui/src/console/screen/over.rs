//! What lies over the view: questions, help, palette.
//!
//! Part of the screen. What is asked and how it may be answered is `state::overlay`'s.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::action::{Action, ViewName};
use crate::console::keys::{self, Binding, full_name, key_name};
use crate::console::look::Tone;
use crate::console::state::{Console, Overlay, Palette, Question};
use crate::console::views::Seen;
use crate::console::widgets::popup::{self, Popup};
use crate::console::widgets::text::{self, Span, span};

/// Rows of the palette.
const PALETTE_ROWS: usize = 12;
/// Columns of keys beside what they do, with a blank at their end.
const KEYS_COLUMNS: u16 = 18;

pub(super) fn draw(console: &Console, seen: &Seen<'_>, buf: &mut Buffer) {
    let area = buf.area;
    match &console.overlay {
        None => {}
        Some(Overlay::Ask(question)) => ask(seen, question, area, buf),
        Some(Overlay::Quit { focused }) => quit(seen, *focused, area, buf),
        Some(Overlay::Help { from }) => help(console, seen, *from, area, buf),
        Some(Overlay::Palette(palette)) => draw_palette(console, seen, palette, area, buf),
    }
}

fn ask(seen: &Seen<'_>, question: &Question, area: Rect, buf: &mut Buffer) {
    let body: Vec<Vec<Span>> =
        question.said.iter().map(|said| vec![span(said.as_str(), Tone::Text)]).collect();
    let buttons = [span("n  Cancel", Tone::Key), span("y  Do it", Tone::Danger)];
    let popup = Popup {
        title: &question.title,
        body: &body,
        buttons: &buttons,
        focused: usize::from(question.yes),
        caption: "Tab changes, Enter takes the focused one",
        ..Popup::default()
    };
    popup.draw(seen.look, area, buf);
}

fn quit(seen: &Seen<'_>, focused: usize, area: Rect, buf: &mut Buffer) {
    let body = [
        vec![span("This console started the cluster. What becomes of it?", Tone::Text)],
        vec![span("Left running, `piazza console` with its --dir shows it again.", Tone::Dim)],
    ];
    let buttons = [
        span("s  Stop all", Tone::Danger),
        span("l  Leave running", Tone::Key),
        span("c  Cancel", Tone::Key),
    ];
    let popup =
        Popup { title: "Quit", body: &body, buttons: &buttons, focused, ..Popup::default() };
    popup.draw(seen.look, area, buf);
}

fn help(console: &Console, seen: &Seen<'_>, from: usize, area: Rect, buf: &mut Buffer) {
    let rows = help_rows(console, popup::text_columns(area));
    let room = help_room(area.height);
    let from = from.min(rows.len().saturating_sub(room));
    let caption = match rows.len().saturating_sub(from + room) {
        0 => "down, up; Esc closes".to_owned(),
        below => format!("{below} more below: down, up; Esc closes"),
    };
    let shown: Vec<Vec<Span>> = rows.into_iter().skip(from).take(room).collect();
    let popup = Popup { title: "Keys", body: &shown, caption: &caption, ..Popup::default() };
    popup.draw(seen.look, area, buf);
}

/// Rows of help that a screen of so many rows shows.
fn help_room(rows: u16) -> usize {
    usize::from(rows.saturating_sub(4)).max(1)
}

/// The last row of help that may come first on a screen of this size.
pub(in crate::console) fn help_end(console: &Console) -> usize {
    let (columns, rows) = console.size;
    let columns = popup::text_columns(Rect::new(0, 0, columns, rows));
    help_rows(console, columns).len().saturating_sub(help_room(rows))
}

/// All of the help, this view's keys first, in rows that are no wider than that.
fn help_rows(console: &Console, columns: u16) -> Vec<Vec<Span>> {
    let others = ViewName::ALL.into_iter().filter(|view| *view != console.view).map(Some);
    let mut rows: Vec<Vec<Span>> = Vec::new();
    for view in [Some(console.view), None].into_iter().chain(others) {
        let title = view.map_or("in every view".into(), |view| format!("in {}", view.title()));
        rows.push(vec![span(title, Tone::Title)]);
        let table = view.map_or(keys::GLOBAL, keys::of_view);
        rows.extend(table.iter().flat_map(|one| help_of(console, view, one, columns)));
        rows.push(Vec::new());
    }
    rows.pop();
    rows
}

/// A binding's keys, and beside them what they do.
fn help_of(
    console: &Console,
    view: Option<ViewName>,
    binding: &Binding,
    columns: u16,
) -> Vec<Vec<Span>> {
    let keys: Vec<String> = console.settings.keys.of(view, binding).iter().map(key_name).collect();
    let name = || format!(":{}", full_name(view, binding));
    let keys = if keys.is_empty() { name() } else { keys.join(" ") };
    let tone = if binding.changes { Tone::Danger } else { Tone::Key };
    let look = &console.settings.look;
    let beside = columns.saturating_sub(KEYS_COLUMNS).max(1);
    let said = text::wrapped(look, &[span(binding.help, Tone::Text)], beside);
    let wide = usize::from(KEYS_COLUMNS - 1);
    let begin = |at| if at == 0 { keys.as_str() } else { "" };
    let row = |(at, said): (usize, Vec<Span>)| {
        [vec![span(format!("{:<wide$} ", begin(at)), tone)], said].concat()
    };
    said.into_iter().enumerate().map(row).collect()
}

/// What a binding does, and whether it may now.
fn said(console: &Console, binding: &Binding) -> String {
    let is_members = matches!(binding.action, Action::Add | Action::Remove | Action::Evict);
    let may = if is_members { console.may_change_members() } else { console.may_change() };
    match binding.changes && !may {
        true => format!("not now: {}", binding.help),
        false => binding.help.to_owned(),
    }
}

fn draw_palette(
    console: &Console,
    seen: &Seen<'_>,
    palette: &Palette,
    area: Rect,
    buf: &mut Buffer,
) {
    let found = palette.found();
    let room = PALETTE_ROWS.min(usize::from(area.height.saturating_sub(10))).max(1);
    let first = (palette.focused + 1).saturating_sub(room);
    let mut body = Vec::new();
    for (at, (name, binding)) in found.iter().enumerate().skip(first).take(room) {
        let focused = at == palette.focused;
        let mark = if focused { seen.look.glyphs.pointer } else { " " };
        let view = ViewName::ALL.into_iter().find(|view| *name == full_name(Some(*view), binding));
        let keys: Vec<String> =
            console.settings.keys.of(view, binding).iter().map(key_name).collect();
        let begin = format!("{mark} {name:<22} ");
        let keys = format!("{:<10} ", keys.join(" "));
        let taken = text::width(seen.look, &begin) + text::width(seen.look, &keys);
        // One row each, so that the focused one is always there.
        let rest = popup::text_columns(area).saturating_sub(taken);
        body.push(vec![
            span(begin, if focused { Tone::Accent } else { Tone::Text }),
            span(keys, Tone::Key),
            span(text::elided(seen.look, &said(console, binding), rest), Tone::Dim),
        ]);
    }
    let below = found.len().saturating_sub(first + room);
    if below > 0 {
        body.push(vec![span(format!("  {below} more below: down, PageDown, End"), Tone::Dim)]);
    }
    // What the focused one does, whole.
    if let Some((_, binding)) = found.get(palette.focused) {
        body.push(Vec::new());
        body.push(vec![span(said(console, binding), Tone::Text)]);
    }
    if found.is_empty() {
        body.push(vec![span("nothing is called so", Tone::Warn)]);
    }
    let popup = Popup {
        title: "Do",
        body: &body,
        input: Some(&palette.text),
        caption: "Enter does it, Esc closes",
        ..Popup::default()
    };
    popup.draw(seen.look, area, buf);
}
