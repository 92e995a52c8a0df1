//! The console: a cluster seen from outside, live, by a program that is client and administrator.
//!
//! Used by the binary (`piazza console`, `piazza up` on a terminal) and by demos. Knows the cluster
//! only through `protocol`.
//!
//! - `model`: what is known, a fold over what comes in

pub mod model;
