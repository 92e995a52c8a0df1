//! Whole frames: every view and overlay, of a real cluster and of made ones, at any size, in every
//! look. Only tests.
//!
//! - `scenarios`: consoles in the states that a person may find them in; `hand`: made clusters
//! - `golden`: frames that are kept as files, and README.md's; `sizes`: any size
//! - `looks`: what is told without colours, and in ASCII; `hostile`: texts that would do harm
//! - `said`: what help, palette, hints and README.md say of keys
//! - `alive`: that what is shown is what was told, by putting constants in its place

mod alive;
mod golden;
mod hand;
mod hostile;
mod looks;
mod said;
mod scenarios;
mod sizes;
