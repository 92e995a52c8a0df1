//! What lies over the view: questions, help, palette.
//!
//! Part of the screen. What is asked and how it may be answered is `state::overlay`'s.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::action::ViewName;
use crate::console::keys::{self, Binding, full_name, key_name};
use crate::console::look::Tone;
use crate::console::state::{Console, Overlay, Palette, Question};
use crate::console::views::Seen;
use crate::console::widgets::popup::Popup;
use crate::console::widgets::text::{Span, span};

/// Rows of the palette.
const PALETTE_ROWS: usize = 12;

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
        vec![span("Left running, `piazza console` shows it again.", Tone::Dim)],
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
    let mut rows: Vec<Vec<Span>> = Vec::new();
    let views = [Some(console.view), None];
    for view in views.into_iter().chain(ViewName::ALL.map(Some)) {
        if view == Some(console.view) && !rows.is_empty() {
            continue;
        }
        let title = view.map_or("in every view".into(), |view| format!("in {}", view.title()));
        rows.push(vec![span(title, Tone::Title)]);
        let table = view.map_or(keys::GLOBAL, keys::of_view);
        rows.extend(table.iter().map(|one| help_row(console, view, one)));
        rows.push(Vec::new());
    }
    let room = usize::from(area.height.saturating_sub(4)).max(1);
    let from = from.min(rows.len().saturating_sub(room));
    let shown: Vec<Vec<Span>> = rows.into_iter().skip(from).take(room).collect();
    let popup =
        Popup { title: "Keys", body: &shown, caption: "down, up; Esc closes", ..Popup::default() };
    popup.draw(seen.look, area, buf);
}

fn help_row(console: &Console, view: Option<ViewName>, binding: &Binding) -> Vec<Span> {
    let keys: Vec<String> = console.settings.keys.of(view, binding).iter().map(key_name).collect();
    let keys = if keys.is_empty() { format!(":{}", binding.name) } else { keys.join(" ") };
    let tone = if binding.changes { Tone::Danger } else { Tone::Key };
    vec![span(format!("{keys:<14} "), tone), span(binding.help, Tone::Text)]
}

fn draw_palette(
    console: &Console,
    seen: &Seen<'_>,
    palette: &Palette,
    area: Rect,
    buf: &mut Buffer,
) {
    let found = palette.found();
    let room = PALETTE_ROWS.min(usize::from(area.height.saturating_sub(6))).max(1);
    let first = (palette.focused + 1).saturating_sub(room);
    let mut body = Vec::new();
    for (at, (name, binding)) in found.iter().enumerate().skip(first).take(room) {
        let focused = at == palette.focused;
        let mark = if focused { seen.look.glyphs.pointer } else { " " };
        let view = ViewName::ALL.into_iter().find(|view| *name == full_name(Some(*view), binding));
        let keys: Vec<String> =
            console.settings.keys.of(view, binding).iter().map(key_name).collect();
        body.push(vec![
            span(format!("{mark} {name:<22} "), if focused { Tone::Accent } else { Tone::Text }),
            span(format!("{:<10} ", keys.join(" ")), Tone::Key),
            span(binding.help, Tone::Dim),
        ]);
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
