//! What can be typed: the whole grammar of `piazza`, and its help.
//!
//! Read by `main`; each command's own file takes its struct from here. No I/O, no defaults that
//! depend on the machine: those are in `address`. Every sentence here is read by strangers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use protocol::ids::Version;
use protocol::request::MGET_KEYS_MAX;

use crate::credentials::Credentials;
use crate::duration::duration;

/// A replicated key-value store that you can watch think.
#[derive(Debug, Parser)]
#[command(name = "piazza", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not there, or the condition is not met
  2  wrong usage, or a request that can only be refused
  3  refused and safe to try again, or never connected
  4  it is not known whether the update happened
  5  anything else
  130  Ctrl-C";

/// Every subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this machine, each server a process of its own.
    Up(crate::up::UpArgs),
    /// Stop the cluster in a directory.
    Down(crate::up::DownArgs),
    /// Show what the servers of a directory have logged.
    Logs(crate::logs::LogsArgs),
    #[command(flatten)]
    Asked(crate::asked::Asked),
    /// Watch the cluster on the whole terminal, and kill and restart its servers.
    Console(crate::console::ConsoleArgs),
    /// Play a story on a cluster of its own, in the console, and check what it says.
    Demo(crate::demo::DemoArgs),
    /// Type these commands one after the other, with history and completion.
    Shell(crate::shell::ShellArgs),
    /// Wait until the cluster answers, or until nothing is missing.
    Wait(WaitArgs),
    /// Put many keys, from a file or standard input.
    Import(ImportArgs),
    /// Write all keys and values to a file or standard output, as import takes them.
    Export(ExportArgs),
    /// Ask much of the cluster for a while, and tell how it answered.
    Bench(crate::bench::BenchArgs),
    /// Kill, stop, start or pause a server, or change the membership.
    Admin(crate::admin::AdminArgs),
    /// Show a stopped node's log and keystore, or what differs between two.
    Inspect(crate::inspect::InspectArgs),
    /// Make a token.
    Token(crate::make::TokenArgs),
    /// Print the completions of a shell.
    Completions(crate::make::CompletionsArgs),
    /// Write the manual's pages.
    Man(crate::make::ManArgs),
    /// Run one coordinator, of a cluster on several machines; `up` starts its own.
    Coordinator(crate::serve::CoordinatorArgs),
    /// Run one storage node, of a cluster on several machines; `up` starts its own.
    Node(crate::serve::NodeArgs),
}

/// Where the cluster is, and how to answer: the same for every client command.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Common {
    /// The coordinator's address; several with commas between them are tried in turn.
    ///
    /// Without it and --dir: PIAZZA_ADDR, else the cluster in ./piazza-data if it is running, else
    /// 127.0.0.1:8080.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "dir")]
    pub(crate) addr: Option<String>,
    /// The directory of a cluster that `piazza up` runs on this machine.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Answer in JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
}

/// `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The key.
    pub(crate) key: String,
    /// Write exactly the value's bytes: nothing escaped, no newline added.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `put`.
#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    /// The key.
    pub(crate) key: String,
    /// The value; `-` or nothing: exactly the bytes of standard input.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<OsString>,
    /// Only if there is no such key.
    #[arg(long)]
    pub(crate) if_absent: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `update`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// The key.
    pub(crate) key: String,
    /// The value; `-` or nothing: exactly the bytes of standard input.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<OsString>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `cas`.
#[derive(Debug, clap::Args)]
pub(crate) struct CasArgs {
    /// The key.
    pub(crate) key: String,
    /// The value; `-`: exactly the bytes of standard input.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: OsString,
    /// The version that the key must have, as `get --json` tells it.
    pub(crate) version: Version,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `del`.
#[derive(Debug, clap::Args)]
pub(crate) struct DelArgs {
    /// The key.
    pub(crate) key: String,
    /// Only if the key has this version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<Version>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `mget`.
#[derive(Debug, clap::Args)]
pub(crate) struct MgetArgs {
    /// The keys.
    #[arg(required = true, num_args = 1..=MGET_KEYS_MAX)]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `scan`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScanArgs {
    /// What the keys begin with; without it: all keys.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Begin behind this key.
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<String>,
    /// Stop after so many keys.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// With the values.
    #[arg(long)]
    pub(crate) values: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `txn`.
#[derive(Debug, clap::Args)]
pub(crate) struct TxnArgs {
    /// A file, or `-` for standard input, with one JSON object like
    /// {"if":[{"key":"a","version":"3.17"}],"then":[{"op":"put","key":"a","value":"b"}]}.
    ///
    /// "if" may be left out; a version of null means that there must be no such key. "then" takes
    /// put, update and del.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// The key.
    #[arg(required_unless_present = "prefix")]
    pub(crate) key: Option<String>,
    /// All keys that begin so; with '' all keys.
    #[arg(long, conflicts_with = "key")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `locate`.
#[derive(Debug, clap::Args)]
pub(crate) struct LocateArgs {
    /// The key.
    pub(crate) key: String,
    /// Ask each of its nodes what it holds.
    #[arg(long)]
    pub(crate) copies: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `outcome`.
#[derive(Debug, clap::Args)]
pub(crate) struct OutcomeArgs {
    /// The version that the update was given, as its answer told it.
    pub(crate) version: Version,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct WaitArgs {
    /// What to wait for.
    pub(crate) goal: Goal,
    /// Give up after this long: 500ms, 30s, 2m.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What `wait` can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// The coordinator serves: reads and updates are answered.
    Ready,
    /// It serves, every node is up, and every key has all its copies.
    Healthy,
}

/// `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// A file, or `-` for standard input; lines like {"key":"a","value":"b"}.
    ///
    /// Bytes that are not text stand as "value_b64" in place of "value".
    pub(crate) file: PathBuf,
    /// The lines are `key,value` instead, with the quotes of RFC 4180 and no header.
    #[arg(long)]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The file, which is replaced if it is there; without it: standard output.
    pub(crate) file: Option<PathBuf>,
    /// Write lines of `key,value` with the quotes of RFC 4180 instead of JSON.
    #[arg(long)]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[cfg(test)]
mod tests;
