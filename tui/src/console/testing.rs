//! What the console's tests share: recordings of a real cluster, played into a console.
//!
//! To look at what is drawn:
//! `PIAZZA_SHOW=kill@4000:ring:120x36 cargo test -p tui show -- --nocapture`
//! (recording, milliseconds, view, size, and after one more colon a theme or `ascii`).

use std::path::Path;

use protocol::event::Body;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::{Action, ViewName};
use super::look::{Look, ThemeName};
use super::model::clock::At;
use super::model::feed::Fed;
use super::state::{Console, Input, Settings};
use super::{recording, screen};
use crate::prompt::Key;

/// Milliseconds between two ticks.
const TICK_MS: u64 = 250;

/// The recordings of `tests/recordings`, by name.
pub(crate) fn recorded(name: &str) -> Vec<(At, Fed)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings");
    let bytes = std::fs::read(root.join(format!("{name}.ndjson"))).expect("it is recorded");
    let (_, records) = recording::read(&bytes).expect("it is a recording");
    records.into_iter().map(<(At, Fed)>::from).collect()
}

/// When the first such event of a recording came that came not before `from_ms`: milliseconds, so
/// that it is played by then. No test rests on the times themselves: they differ in each recording.
pub(crate) fn moment(name: &str, from_ms: u64, is: impl Fn(&Body) -> bool) -> u64 {
    let is_it = |(at, fed): &&(At, Fed)| {
        let is_it = matches!(fed, Fed::Event(_, event) if is(&event.body));
        is_it && at.us() >= from_ms * 1_000
    };
    let fed = recorded(name);
    let (at, _) = fed.iter().find(is_it).expect("it is in the recording");
    at.us().div_ceil(1_000)
}

/// A console that was fed a recording up to `until_ms`, with ticks as they would have come.
pub(crate) fn played(name: &str, until_ms: u64) -> Console {
    let mut console = Console::new(Settings { own_name: "recorder".into(), ..Settings::default() });
    play(&mut console, &recorded(name), 0, until_ms);
    console
}

/// Feeds what came after `from_ms` and up to `until_ms`.
pub(crate) fn play(console: &mut Console, fed: &[(At, Fed)], from_ms: u64, until_ms: u64) {
    let mut ticks =
        (from_ms / TICK_MS + 1..=until_ms / TICK_MS).map(|n| At::after_us(n * TICK_MS * 1_000));
    let mut tick = ticks.next();
    let within = |at: &At| at.us() > from_ms * 1_000 && at.us() <= until_ms * 1_000;
    for (at, one) in fed.iter().filter(|(at, _)| within(at) || (from_ms == 0 && at.us() == 0)) {
        while let Some(due) = tick.filter(|due| due <= at) {
            console.handle(due, Input::Tick);
            tick = ticks.next();
        }
        console.handle(*at, Input::Fed(one.clone()));
    }
    for due in tick.into_iter().chain(ticks) {
        console.handle(due, Input::Tick);
    }
    console.model.tick(At::after_us(until_ms * 1_000));
}

/// Presses keys, one after the other.
pub(crate) fn press(console: &mut Console, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\u{1b}' => Key::Escape,
            c => Key::Char(c),
        };
        console.handle(console.model.now, Input::Key(key));
    }
}

/// What is drawn on a screen of so many columns and rows.
pub(crate) fn drawn(console: &Console, columns: u16, rows: u16) -> Buffer {
    let mut console = console.clone();
    console.size = (columns, rows);
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    screen::draw(&console, &mut buffer);
    buffer
}

/// The same as text, a line a row.
pub(crate) fn frame(console: &Console, columns: u16, rows: u16) -> String {
    screen::text_of(&drawn(console, columns, rows))
}

#[test]
fn show() {
    let wanted =
        std::env::var("PIAZZA_SHOW").unwrap_or_else(|_| "kill@4000:overview:120x36".into());
    let mut parts = wanted.split(':');
    let (name, at) = parts.next().and_then(|part| part.split_once('@')).expect("NAME@MS");
    let mut console = played(name, at.parse().expect("milliseconds"));
    let view = parts.next().unwrap_or("overview");
    let named = |one: &&ViewName| one.title().eq_ignore_ascii_case(view);
    let view = *ViewName::ALL.iter().find(named).expect("a view's title");
    console.act_now(Action::Go(view));
    let (columns, rows) = parts.next().unwrap_or("120x36").split_once('x').expect("COLUMNSxROWS");
    if let Some(look) = parts.next() {
        let theme: Option<ThemeName> = look.parse().ok();
        console.settings.look = Look::choose(theme, false, None, look == "ascii");
    }
    let text = frame(&console, columns.parse().expect("columns"), rows.parse().expect("rows"));
    println!("{text}");
    assert!(!text.trim().is_empty());
}
