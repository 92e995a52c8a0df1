//! The keys that the line editor knows.
//!
//! Made by `terminal::keys` of what a terminal sends, and by tests.

/// A key, or a text that was pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Control with a lower-case letter.
    Ctrl(char),
    /// Alt (or Escape first) with a lower-case letter.
    Alt(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Alt and Backspace.
    AltBackspace,
    /// Delete.
    Delete,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// Control or Alt and the arrow to the left.
    WordLeft,
    /// Control or Alt and the arrow to the right.
    WordRight,
    /// The arrow upwards.
    Up,
    /// The arrow downwards.
    Down,
    /// Page up; the editor has no use for it.
    PageUp,
    /// Page down, likewise.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Escape.
    Escape,
    /// A text that was pasted, of any number of lines.
    Paste(String),
}
