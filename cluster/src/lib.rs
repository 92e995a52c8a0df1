//! Piazza's servers.

pub mod core;
pub mod storage;
