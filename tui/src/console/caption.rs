//! What a demo shows of itself: plain data, set by the loop, drawn by `screen` in place of the
//! hints.

use std::sync::Arc;

use ratatui::buffer::Buffer;

/// What a demo says now, and how far it is.
#[derive(Debug, Clone, Default)]
pub struct Caption {
    /// The words.
    pub text: String,
    /// The step, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// What it has just done, as a person would.
    pub deed: Option<Deed>,
    /// What it does.
    pub doing: Doing,
    /// How fast it goes, against the usual.
    pub speed: f64,
    /// An earlier screen that is shown in place of the present one.
    pub past: Option<Arc<Buffer>>,
}

/// What a person would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Press this key.
    Presses(String),
    /// Carry out this line.
    Runs(String),
}

/// What a demo does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doing {
    /// It goes on by itself.
    #[default]
    Plays,
    /// It waits until a person lets it go on.
    Stands,
    /// It waits for Enter.
    Asks,
    /// An earlier caption is looked at.
    Looks,
    /// Something that it expected was not so.
    Failed,
    /// All was shown.
    Ended,
}
