//! The view Data.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Out, Seen, View};
use crate::console::action::Action;
use crate::console::keys::Binding;
use crate::prompt::Key;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The next row, or the one before.
    Move(bool),
}

/// Its keys.
pub const BINDINGS: &[Binding] = &[
    Binding::of(
        "down",
        &[Key::Down, Key::Char('j')],
        Action::Data(Act::Move(true)),
        "",
        "the next",
    ),
    Binding::of(
        "up",
        &[Key::Up, Key::Char('k')],
        Action::Data(Act::Move(false)),
        "",
        "the one before",
    ),
];

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {}

impl View for State {
    type Act = Act;

    fn act(&mut self, _act: Act, _seen: &Seen<'_>, _out: &mut Out) {}

    fn draw(&self, _seen: &Seen<'_>, _area: Rect, _buf: &mut Buffer) {}
}

impl State {
    /// What may be typed.
    pub fn set_catalog(&mut self, _catalog: crate::commands::Catalog) {}
}
