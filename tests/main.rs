//! Whole-system tests: does it hold together?
//!
//! Run all with `cargo test --test main`, one module with `cargo test --test main e2e::words`. What
//! is measured is shown with `-- --nocapture`. In reading order:
//!
//! * `tidy`: the rules of the code that a machine keeps: purity, imports, lengths.
//! * `cache_threads`: the cache, hammered by several threads.
//! * `fuzz`: what must hold of every parser, over the inputs that fuzzing has kept.
//! * `check`: is a recorded history right? The linearizability and durability checkers, used by all
//!   that follow, and their own tests.
//! * `golden`: scenarios of the commit protocol, one a file, with the trace that each must reproduce.
//! * `recordings`: what a console is fed by a real cluster, kept to test it with;
//! * `sim`: whole clusters in virtual time, from one seed each, with crashes and power losses.
//! * `supervisor`: the supervisor with real processes that are not servers.
//! * `e2e`: real processes that are killed while clients write down what they are told.
//! * `conformance`: numbered checks of the client protocol over raw sockets, against any server;
//! * `contract`: is every line of the contract held by a test?
//!
//! Beside it are programs of their own: the models of the commit protocol in `model`, which show
//! that its rules are enough and each of them needed (`cargo test --test model`), and the benchmarks
//! (`cargo bench --bench versus -- --help`).

mod cache_threads;
mod check;
mod conformance;
mod contract;
mod e2e;
mod fuzz;
mod golden;
mod recordings;
mod sim;
mod supervisor;
mod tidy;
