//! Piazza's one binary.

mod serve;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A replicated key-value store that you can watch think.
#[derive(Parser)]
#[command(name = "piazza", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a whole cluster on this machine, each server a process of its own
    Up(up::UpArgs),
    /// Stops the cluster in a directory
    Down(up::DownArgs),
    #[command(hide = true)]
    Coordinator(serve::CoordinatorArgs),
    #[command(hide = true)]
    Node(serve::NodeArgs),
}

fn main() -> ExitCode {
    let not_yet = || {
        eprintln!("piazza: this build has no servers");
        ExitCode::from(5)
    };
    match Cli::parse().command {
        Command::Up(args) => up::up(args),
        Command::Down(args) => up::down(&args),
        Command::Coordinator(args) => serve::coordinator(args, |_| not_yet()),
        Command::Node(args) => serve::node(args, |_| not_yet()),
    }
}
