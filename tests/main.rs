//! Whole-system tests.

mod cache_threads;
mod tidy;
