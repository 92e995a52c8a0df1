//! What the binary shows on a terminal and takes from it: a prompt with history and completion, the
//! words of its commands, and the terminal itself, put back as it was.
//!
//! Used by the binary in `tui/cli/`. Knows nothing of servers and opens no sockets; who completes
//! keys or carries out a command is the binary's matter.
//!
//! - `prompt`: a line editor, pure: keys go in, outcomes and a picture come out
//! - `commands`: how a line becomes words, what may be typed, what completes it; pure too
//! - `console`: the cluster live on one screen: its looks and what its views are made of; pure too
//! - `demo`: scripts that are played in the console and check what they say; pure too
//! - `history_file`: the lines of earlier sessions, in a private file
//! - `terminal`: raw mode and back, keys as they come, the picture as bytes
//! - `settings`: the flags of a command in a file of settings; pure
//! - `text`: text that a terminal shows and does not obey

pub mod commands;
pub mod console;
pub mod demo;
pub mod history_file;
pub mod prompt;
pub mod settings;
pub mod terminal;
pub mod text;
