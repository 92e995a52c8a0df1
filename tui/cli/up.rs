//! `piazza up` and `piazza down`: their flags, handed to `cluster::supervisor`.
//!
//! Called by `main`. Parsing here is about one flag at a time; whether they fit each other, the
//! directory and the machine is `cluster::supervisor::options`' business. `detach` starts the same
//! program again, in the background; on a terminal that is done too, and the console watches.

mod detach;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use cluster::config::{
    CACHE_BYTES_DEFAULT, CacheShape, EvictAfter, OrNever, ScrubPeriod, StorageKind, parse_ms,
};
use cluster::supervisor;
use cluster::supervisor::options::{ServerOptions, TOKENS_MAX, UpOptions};
use cluster::tokens::TokenFiles;
use protocol::ids::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use protocol::limits::Limits;
use protocol::peer::Placement;

use tui::console::run::End;

use crate::args::Common;
use crate::console::{self, Appearance, ConsoleArgs};
use crate::credentials::Credentials;
use crate::duration::duration;
use crate::print;
use crate::supervised;

/// Runs a whole cluster on this machine, each server a process of its own.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Number of storage nodes [default: 5, or what DIR says]
    #[arg(long, value_name = "N")]
    nodes: Option<u16>,
    /// Copies of each key [default: 2, or what DIR says]
    #[arg(long, value_name = "K")]
    replicas: Option<u16>,
    /// Points of each node on the ring [default: 1, or what DIR says]
    #[arg(long, value_name = "T", value_parser = tokens)]
    tokens: Option<u16>,
    /// Where nodes keep keys: disk or memory [default: disk, or what DIR says]
    #[arg(long, value_name = "KIND")]
    storage: Option<StorageKind>,
    /// How long a silent node keeps its place: 10s, 2m, or never [default: 10s, or what DIR says]
    #[arg(long, value_name = "TIME", value_parser = or_never::<10_000>)]
    evict_after: Option<EvictAfter>,
    /// How often all records are read anew: 24h, or never [default: 24h, or what DIR says]
    #[arg(long, value_name = "TIME", value_parser = or_never::<86_400_000>)]
    scrub_period: Option<ScrubPeriod>,
    /// How keys are placed on nodes: ring or ascii-sum [default: ring, or what DIR says]
    #[arg(long, value_name = "KIND")]
    placement: Option<Placement>,
    /// Carry out one update at a time in the whole cluster, for teaching; DIR keeps it
    #[arg(long)]
    serial_updates: bool,
    /// The cluster's directory, made if missing
    #[arg(long, default_value = "./piazza-data")]
    dir: PathBuf,
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where nodes register and send heartbeats
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    peer_listen: SocketAddr,
    /// Where the supervisor takes requests
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9191")]
    control_listen: SocketAddr,
    /// Let the system choose all three ports
    #[arg(long)]
    any_port: bool,
    /// Stay in the foreground and print one `ready` line once all servers are up
    #[arg(long, conflicts_with = "detach")]
    headless: bool,
    /// Go on in the background once all servers are up, and print that line
    #[arg(long)]
    detach: bool,
    /// Delete the cluster in DIR first, if there is one and it does not run
    #[arg(long)]
    fresh: bool,
    /// Leave the session that this process was started in
    #[arg(long, hide = true)]
    own_session: bool,
    /// End at once when the program that started this one does
    #[arg(long, hide = true)]
    lifeline: bool,
    /// Let faults be ordered with `piazza admin inject`, for teaching
    #[arg(long)]
    lab: bool,
    #[command(flatten)]
    access: TokenArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Shape of each node's cache
    #[arg(long, value_name = "SETSxWAYS", default_value_t = CacheShape::NODE)]
    node_cache: CacheShape,
    #[command(flatten)]
    appearance: Appearance,
    /// Run this program's `coordinator` and `node` in place of our own (debuggers, tests)
    #[arg(long, hide = true, value_name = "PROGRAM")]
    server_program: Option<PathBuf>,
}

/// Flags that `up` and `coordinator` share.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Time between two heartbeats of a node, milliseconds
    #[arg(long, value_name = "MS", default_value = "500", value_parser = parse_ms)]
    pub(crate) heartbeat_ms: Duration,
    /// Length of the coordinator's lease, milliseconds
    #[arg(long, value_name = "MS", default_value = "2000", value_parser = parse_ms)]
    pub(crate) lease_ms: Duration,
    /// Shape of the coordinator's cache
    #[arg(long, value_name = "SETSxWAYS", default_value_t = CacheShape::COORDINATOR)]
    pub(crate) cache: CacheShape,
    /// Bound of the coordinator's cache, bytes
    #[arg(long, value_name = "BYTES", default_value_t = CACHE_BYTES_DEFAULT)]
    pub(crate) cache_bytes: u64,
    /// Longest key, bytes
    #[arg(long, value_name = "BYTES", default_value_t = KEY_BYTES_MAX, value_parser = key_bytes)]
    pub(crate) key_bytes_max: usize,
    /// Longest value, bytes
    #[arg(long, value_name = "BYTES", default_value_t = VALUE_BYTES_MAX,
          value_parser = value_bytes)]
    pub(crate) value_bytes_max: usize,
    /// Another limit of what one client may use, as `status --json` names them; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    pub(crate) limit: Vec<(String, u64)>,
}

impl LimitArgs {
    /// All limits of a client.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits {
            key_bytes: self.key_bytes_max,
            value_bytes: self.value_bytes_max,
            ..Limits::default()
        };
        for (name, value) in &self.limit {
            // It has been tried when it was read.
            let _ = limits.set(name, *value);
        }
        limits
    }
}

/// The private files that say who may do what; `piazza token new` makes them.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The token of those who may read and update keys
    #[arg(long, value_name = "FILE")]
    client_token_file: Option<PathBuf>,
    /// The token of those who may look at everything
    #[arg(long, value_name = "FILE")]
    viewer_token_file: Option<PathBuf>,
    /// The token of those who may do everything
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The token that the servers prove to each other
    #[arg(long, value_name = "FILE")]
    peer_token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Where they are.
    pub(crate) fn files(self) -> TokenFiles {
        TokenFiles {
            client: self.client_token_file,
            viewer: self.viewer_token_file,
            admin: self.admin_token_file,
            peer: self.peer_token_file,
        }
    }
}

fn limit(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("{text:?} is no limit: write NAME=VALUE, as connections=100");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = value.parse().map_err(|_| wrong())?;
    Limits::default().set(name, value).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value))
}

/// Stops a cluster of this machine.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// The cluster's directory [default: ./piazza-data, else as the supervisor tells it]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// An address of its coordinator
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "dir")]
    addr: Option<String>,
    /// Its supervisor
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["dir", "addr"])]
    supervisor: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// A time or `never`, as it is typed.
fn or_never<const DEFAULT_MS: u64>(text: &str) -> Result<OrNever<DEFAULT_MS>, String> {
    match text {
        "never" => Ok(OrNever::NEVER),
        _ => OrNever::new(duration(text)?).map_err(|error| error.to_string()),
    }
}

fn key_bytes(text: &str) -> Result<usize, String> {
    bounded(text, KEY_BYTES_MAX)
}

fn value_bytes(text: &str) -> Result<usize, String> {
    bounded(text, VALUE_BYTES_MAX)
}

/// Points of a node: as many as the founding of a cluster takes.
fn tokens(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| (1..=TOKENS_MAX).contains(number));
    number.ok_or_else(|| format!("{text:?} is not a number of tokens from 1 to {TOKENS_MAX}"))
}

fn bounded(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is not a number of bytes from 1 to {max}")),
    }
}

/// Runs `piazza up` on the main thread until the cluster is stopped.
pub(crate) fn up(args: UpArgs) -> ExitCode {
    if args.detach {
        return detach::run();
    }
    if args.lifeline
        && let Err(error) = cluster::process::adopt_lifeline()
    {
        eprintln!("piazza: {error}");
        return ExitCode::from(5);
    }
    if args.own_session
        && let Err(error) = detach::leave_session()
    {
        eprintln!("piazza: cannot go into the background: {error}; start it with --headless");
        return ExitCode::from(5);
    }
    if print::has_screen() && !args.headless {
        return with_console(args);
    }
    let program = match args.server_program.map_or_else(std::env::current_exe, Ok) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("piazza: cannot find this program's own file ({error}); start it by path");
            return ExitCode::from(5);
        }
    };
    supervisor::run(UpOptions {
        nodes: args.nodes,
        replicas: args.replicas,
        tokens: args.tokens,
        storage: args.storage,
        evict_after: args.evict_after,
        scrub_period: args.scrub_period,
        placement: args.placement,
        serial_updates: args.serial_updates,
        dir: args.dir,
        listen: args.listen,
        peer_listen: args.peer_listen,
        control_listen: args.control_listen,
        any_port: args.any_port,
        fresh: args.fresh,
        token_files: args.access.files(),
        servers: ServerOptions {
            cache: args.limits.cache,
            cache_bytes: args.limits.cache_bytes,
            node_cache: args.node_cache,
            heartbeat: args.limits.heartbeat_ms,
            lease: args.limits.lease_ms,
            limits: args.limits.limits(),
            lab: args.lab,
        },
        program: program.into(),
    })
}

/// Starts the cluster in the background, then watches it: it outlives the console.
fn with_console(args: UpArgs) -> ExitCode {
    let dir = args.dir;
    let started = detach::run();
    if started != ExitCode::SUCCESS {
        return started;
    }
    let watched = ConsoleArgs::of_dir(dir.clone(), args.appearance);
    let ended = console::show(watched, true);
    if matches!(ended, Ok(End::Stopped)) {
        println!("the cluster is stopped");
        return ExitCode::SUCCESS;
    }
    let dir = dir.display();
    println!(
        "the cluster goes on: piazza console --dir {dir} shows it, piazza down --dir {dir} stops it"
    );
    ended.map_or_else(|failure| print::finish(Err(failure), false), console::exit_code)
}

/// Runs `piazza down`.
pub(crate) fn down(args: DownArgs) -> ExitCode {
    let DownArgs { dir, addr, supervisor, credentials } = args;
    let common = Common { addr, dir, json: false, credentials };
    let found = common.credentials.token().and_then(|token| {
        // What follows waits without a runtime: Ctrl-C must go on ending it.
        let dir = print::to_its_end(supervised::directory(supervisor.as_deref(), &common))?;
        Ok((dir, token))
    });
    match found {
        Ok((dir, token)) => supervisor::down(&dir, token.as_ref()),
        Err(failure) => print::finish(Err(failure), false),
    }
}
