//! What the console's views are made of.
//!
//! Each takes plain data and draws it into a part of a buffer; where that part is too small, less
//! is drawn, and never anything outside of it. Pure. Nothing that came from outside reaches a cell
//! but through `text`.
//!
//! - `text`: texts, clipped and made safe; everything else draws through it
//! - `frame`, `popup`, `table`: boxes, questions, rows in columns
//! - `ring`, `circle`, `line`: the ring of keys, as a circle and unrolled
//! - `strip`, `spark`, `meter`: heartbeats, a history, a share
//! - `chain`: the steps of a story
//! - `grid`: a cache, bit by bit
//! - `ladder`, `waterfall`: the messages of a transaction, and where its time went

pub mod chain;
pub mod circle;
pub mod frame;
pub mod grid;
pub mod ladder;
pub mod line;
pub mod meter;
pub mod popup;
pub mod ring;
pub mod spark;
pub mod strip;
pub mod table;
pub mod text;
pub mod waterfall;

mod dots;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
