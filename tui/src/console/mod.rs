//! The console: everything that happens in a cluster, on one screen.
//!
//! Used by the binary. Pure: what is drawn is drawn into a buffer in memory, and
//! `terminal::Screen` brings it to the terminal.
//!
//! - `look`: colours and glyphs
//! - `widgets`: what views are made of; they take plain data and know nothing of clusters

pub mod look;
pub mod widgets;
