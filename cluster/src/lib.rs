//! Piazza's servers: coordinator, storage nodes, and the supervisor that owns them as processes.
//!
//! * [`core`]: the rules, pure
//! * [`storage`]: what is durable
//! * [`shell`]: sockets, threads and clocks around the core
//! * [`inspect`]: a node's directory, looked at without a server
//! * [`config`], [`process`], [`orders`], [`telemetry`]: what a server is told, how it is tied to
//!   its supervisor, what that tells it, what it logs
//! * [`tokens`]: who may do what at its ports

pub mod config;
pub mod core;
pub mod inspect;
pub mod orders;
pub mod process;
pub mod shell;
pub mod storage;
pub mod supervisor;
pub mod telemetry;
pub mod tokens;
