//! The world outside the core: sockets, threads, clocks and disks, turned into the core's inputs,
//! and its effects into deeds. Holds no rules of its own.
//!
//! * `clock`: the one place that reads a clock
//! * `lines`: JSON lines on a socket, both ways
//! * `counters`: what clients asked for and what became of it
//! * `connection`: one client; answers cache hits by itself
//! * `access`: what it may do; `places`: how many there may be
//! * `slots`: its requests that are not answered yet
//! * `ops`: its requests as the core takes them
//! * `feed`: lines of watches on their way to a connection
//! * `subscribers`: events on their way to those who asked for them
//! * `wall`: what time it is, for display
//! * `listener`: accepts clients
//! * `coordinator`: the coordinator's loop
//! * `outlet`: the sending end of a link
//! * `alarm`: a loop's next deadline
//! * `hints`: what a supervisor says of the nodes, for display
//! * `link`: the coordinator's end of a node's link
//! * `registration`: nodes that announce themselves, and their heartbeats
//! * `directory`: a node's directory: lock, store, state file
//! * `lanes`: a node's two lanes of blocking work, log and keystore
//! * `pulse`: a node's heartbeats
//! * `faults`: those that a node has on order, for teaching
//! * `engine`: a node's core, behind the lock that its threads share
//! * `node_link`: a node's links and its registration
//! * `node`: the node's loop
//!
//! The coordinator runs on one thread that serves sockets, and its core belongs to it. A node has
//! one for its links, one for heartbeats and registration, and one for each lane that blocks; its
//! core belongs to whichever has something for it.

mod access;
pub(crate) mod admin;
mod alarm;
mod budget;
pub mod clock;
mod connection;
pub mod coordinator;
mod counters;
mod directory;
mod engine;
mod faults;
mod feed;
mod hints;
mod lanes;
mod lines;
mod link;
mod listener;
pub mod node;
mod node_link;
mod ops;
mod outlet;
mod places;
mod proof;
mod pulse;
mod registration;
mod slots;
pub(crate) mod subscribers;
pub(crate) mod wall;

pub use coordinator::run_coordinator;
pub use node::run_node;
