//! Demos: scripts that a player plays in the console, and that check what they say.
//!
//! A script is a text with one verb a line. It is read and checked whole before anything runs; what
//! it waits for and expects are predicates on what the console knows, never texts on the screen;
//! a figure in a caption is always one that was found. So a demo is a test of what it shows.
//!
//! Used by the binary's `demo`, which starts a cluster for each, and by the console's loop, which
//! gives the player the place of a person. Pure: no I/O, no clock.
//!
//! - `script`: a demo as plain data; `parse`: out of a text; `check`: whether it holds together
//! - `paths`: what predicates and captions may look at
//! - `player`: what is to be done when; `transcript`: what was done, as lines
//! - `library`: the demos that come with the program; `cast`: a recording of the screen

pub mod cast;
mod check;
pub mod library;
mod parse;
pub mod paths;
pub mod player;
pub mod script;
pub mod transcript;

pub use parse::{Problem, parse};

/// Longest demo, milliseconds.
pub const TAKES_MS_MAX: u64 = 120_000;
/// Longest caption as it is shown, characters: two rows of a small terminal, beside the counter.
pub const CAPTION_CHARS_MAX: usize = 116;

/// How long a caption is left to be read, milliseconds.
pub fn reading_ms(text: &str) -> u64 {
    const BEGIN_MS: u64 = 900;
    const LETTER_MS: u64 = 60;
    BEGIN_MS + LETTER_MS * text.chars().count() as u64
}

#[cfg(test)]
mod tests;
