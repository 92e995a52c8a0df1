//! `piazza up`: owns one coordinator and N nodes as child processes of this machine.
//!
//! In reading order: `options`, `directory`, `roster` and `fresh` say whether the cluster may start
//! here; `fleet`, `server`, `asked`, `membership`, `stopping` and `told` hold the rules as a state
//! machine without I/O (with `core::restart`); `child` and `command` are one process; `run` turns
//! the fleet's effects into deeds; `request`, `lines`, `logs`, `audience`, `connection`,
//! `contained` and `endpoint` are its port; `down` is the other end of `shutdown`. The supervisor
//! never takes part in the data path and never changes membership: it runs what the coordinator
//! says is there.

mod asked;
mod audience;
mod child;
pub mod command;
mod connection;
mod contained;
pub mod directory;
mod down;
mod endpoint;
mod fleet;
#[cfg(test)]
mod fleet_tests;
mod fresh;
mod lines;
mod logs;
mod membership;
#[cfg(test)]
mod membership_tests;
pub mod options;
pub mod request;
pub mod roster;
mod run;
mod server;
mod stopping;
mod told;
#[cfg(test)]
mod told_tests;

use std::io::{self, Write};
use std::path::Path;

pub use asked::{Action, Ordered};
pub use down::down;
pub use fleet::{Refusal, Reply};
pub use run::run;

/// Why a supervisor did not start; one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The person who typed the command must change something: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The machine refused something: exit code 5.
    #[error("{0}")]
    System(String),
}

impl StartError {
    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::PermissionDenied => "give a --dir that you may write",
            io::ErrorKind::StorageFull => "free some space",
            _ => "see to it, or give another --dir",
        };
        Self::System(format!("{}: {error}; {what}", path.display()))
    }

    /// The exit code of `piazza up` with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::System(_) => 5,
        }
    }
}

/// Tells the person at the terminal, if there is one; a closed stderr is not an error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "piazza: {}", printable(text));
}

/// `text` with its control characters escaped: what servers print must not drive a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
