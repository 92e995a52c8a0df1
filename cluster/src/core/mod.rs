//! The rules of Piazza, pure: what has happened comes in as a value together with the time, what
//! is to be done goes out as values. No clock, socket, file, thread, async or randomness in here
//! (`tests/tidy.rs` enforces it), so that the same code runs in production and in simulation.

pub mod planted;
pub mod time;

pub mod record;

pub mod cache;
pub mod detector;
pub mod lease;
pub mod restart;
pub mod ring;
pub mod subscription;

pub mod node;

pub mod coordinator;
