//! Whole-system tests.
//!
//! * `check`: is a recorded history right? The checkers, and their own tests.

mod check;
