//! The console, as far as it needs no terminal.
//!
//! - `recording`: what a console was fed, as a file's lines

pub mod recording;
