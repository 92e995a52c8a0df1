//! Whole-system tests: does it hold together?
//!
//! Run all with `cargo test --test main`, one module with `cargo test --test main e2e::words`. What
//! is measured is shown with `-- --nocapture`. In reading order:
//!
//! * `check`: is a recorded history right? The linearizability and durability checkers, used by all
//!   that follow, and their own tests.
//! * `e2e`: real processes that are killed while clients write down what they are told.
//!
//! The benchmarks beside it are programs of their own: `cargo bench --bench versus -- --help`.

mod check;
mod e2e;
