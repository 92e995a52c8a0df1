//! Piazza's one binary: what was typed, to one function a subcommand, to the exit code.
//!
//! Nothing is decided here. `args` holds the whole grammar; each command is a file of its own,
//! a screenful that builds, calls and prints; `print` says what every exit code means.

mod address;
mod admin;
mod args;
mod asked;
mod bench;
mod console;
mod credentials;
mod demo;
mod duration;
mod explain;
mod export;
mod import;
mod inspect;
mod kv;
mod locate;
mod logs;
mod make;
mod many;
mod print;
mod records;
mod serve;
mod server_file;
mod settings_file;
mod shell;
mod status;
mod supervised;
mod up;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// The servers allocate and free small things all the time, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words = match server_file::expanded(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(error) => {
            eprintln!("piazza: {error}");
            return ExitCode::from(2);
        }
    };
    match Args::parse_from(words).command {
        Command::Up(args) => up::up(args),
        Command::Down(args) => up::down(args),
        Command::Asked(asked) => asked::run(asked),
        Command::Console(args) => console::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Shell(args) => shell::run(args),
        Command::Wait(args) => wait::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Logs(args) => logs::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Token(args) => make::token(args),
        Command::Completions(args) => make::completions(&args),
        Command::Man(args) => make::man(&args),
        Command::Coordinator(args) => serve::coordinator(args, cluster::shell::run_coordinator),
        Command::Node(args) => serve::node(args, cluster::shell::run_node),
    }
}
