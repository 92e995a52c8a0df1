//! Piazza's servers.

pub mod config;
pub mod core;
pub mod process;
pub mod storage;
pub mod supervisor;
pub mod telemetry;
