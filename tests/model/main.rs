//! Models of the commit protocol, checked in every state that they can reach: are its rules enough,
//! and is each of them needed?
//!
//! Run with `cargo test --test model -- --nocapture`. Each model is a small world: the rules, each
//! with a switch, and the faults, each with a bound. With all rules on no reachable state may be
//! wrong, and the outcomes worth having must be reachable, so that no check is empty. With any one
//! rule off a wrong state must be found; the shortest way to it is printed.
//!
//! * `check`: a model, its successors and its claims, handed to `stateright`.
//! * `commit`: one transaction on K replicas: prepare, votes, decision, recovery (R2 to R9).
//! * `keys`: two transactions on two keys with different replicas, the second built on the first
//!   (R1, R12, H18).
//! * `lease`: two coordinators and the clock between them; over the cores' own `Lease` (R11).
//! * `cache`: one coordinator's cache, the commit point and what readers are told (R12).
//! * `rings`: two coordinators and the way from one ring to the next: majorities, barrier, learner
//!   (R10, R15).
//!
//! They are ports of the rules, not the cores themselves: a state must be small, compared and copied
//! millions of times. Where the cores' own code is a value, the model runs it.
//!
//! A program of its own rather than a module of `main`: it needs `stateright` and nearly nothing of
//! Piazza, so that it is there in seconds, and neither is compiled again for the other's sake.
//! Never: real time, randomness, states without a bound.

mod cache;
mod check;
mod commit;
mod keys;
mod lease;
mod rings;
