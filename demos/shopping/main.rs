//! Shoppers at a replicated store that loses servers meanwhile: at the end everything adds up, or
//! it is said what does not. How a correct client of such a store is written.
//!
//! With a cluster running (`piazza up --nodes 5`):
//! `cargo run --release --example shopping -- --shoppers 32 --seconds 30`
//!
//! This file is only the process: arguments, Ctrl-C, what is printed, the exit code. The rest is
//! the crate in `driver/`, of which `patience` and `shopper` are what to read.

use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

/// What a shell reports of a program that SIGINT has ended.
const EXIT_INTERRUPTED: i32 = 130;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async {
        if ctrl_c().await.is_ok() {
            // The first one: no more shopping, but what was bought is still checked.
            let _ = stop.send(());
            if ctrl_c().await.is_ok() {
                std::process::exit(EXIT_INTERRUPTED);
            }
        }
    });
    let ended = shopping::run(std::env::args_os(), stopped).await;
    // Where an output is closed, the exit code still says it.
    let _ = std::io::stdout().write_all(ended.out.as_bytes());
    let _ = std::io::stderr().write_all(ended.err.as_bytes());
    ExitCode::from(ended.code)
}
