//! Whole-system tests.

mod supervisor;
