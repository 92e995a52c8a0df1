//! A line editor: what is typed, key by key, with history, search and completion.
//!
//! Pure: [`Editor::handle`] takes a [`Key`] and gives an [`Outcome`], [`Editor::view`] says what is
//! to be seen. No terminal, no file, no clock; whoever owns the terminal feeds it and draws it.
//!
//! - `key`: the keys it knows
//! - `line`: a text with a cursor
//! - `history`: the lines typed before, bounded
//! - `editor`: what each key does; `browse`: the keys of history and search
//! - `menu`: candidates of a completion
//! - `view`: the part of the line that fits into a row

mod browse;
mod editor;
mod history;
mod key;
mod line;
mod menu;
mod view;

pub use editor::{Editor, Outcome};
pub use history::History;
pub use key::Key;
pub use line::{Line, TEXT_BYTES_MAX};
pub use menu::{Candidate, Completion, MenuRow};
pub use view::View;

#[cfg(test)]
mod tests;
