//! `piazza shell`: commands typed one after the other, over one connection.
//!
//! Called by `main`. On a terminal it is a prompt with history and completion; otherwise the lines
//! of standard input are a script. Commands do and print what they do at the command line.
//!
//! - `grammar`: a line to a command, by the grammar of the command line
//! - `session`: the connection, and what is asked over it
//! - `interactive`: the prompt; `script`: lines from a pipe or file

pub(crate) mod grammar;
mod interactive;
mod script;
pub(crate) mod session;

use std::io;
use std::process::ExitCode;

use tui::commands::Problem;

use crate::args::Common;
use crate::print::{self, Exit, Failure};

/// Signals that end the shell, and its exit code then: 128 and their number.
const SIGHUP_EXIT: u8 = 129;
const SIGTERM_EXIT: u8 = 143;

/// `shell`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShellArgs {
    /// Of a script, go on after a command that fails; the exit code is that of the first one.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    common: Common,
}

/// `piazza shell`.
pub(crate) fn run(args: ShellArgs) -> ExitCode {
    let json = args.common.json;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return print::finish(Err(system(&error)), json),
    };
    let code = runtime.block_on(async {
        if print::has_screen() {
            interactive::run(args.common).await
        } else {
            script::run(args).await
        }
    });
    // A thread that reads standard input cannot be woken; nobody waits for it.
    runtime.shutdown_background();
    code.unwrap_or_else(|failure| print::finish(Err(failure), json))
}

fn system(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, "system", format!("cannot start: {error}"))
}

/// A line that means nothing, as a failure.
fn wrong(problem: &Problem) -> Failure {
    Failure::usage(&problem.message)
}
