//! `piazza coordinator` and `piazza node`: one server in this process, from flags.
//!
//! Called by `main` with the function that serves; the supervisor makes these flags
//! (`cluster::supervisor::command`), or a person, who may write them into a file (`server_file`).
//! Ties the process to its supervisor and opens its log before
//! it serves; serving itself is `cluster::shell`'s business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use cluster::config::{
    COPY_BYTES_PER_S_DEFAULT, CacheShape, CoordinatorConfig, EvictAfter, NodeConfig, REAPED_MAX,
    ScrubPeriod, StorageKind, parse_ms,
};
use cluster::process::{self, Orders};
use cluster::supervisor::options::check_points;
use cluster::telemetry;
use cluster::tokens::{Audience, TokenError, TokenFiles};
use protocol::ids::{NodeName, Uuid};
use protocol::peer::Placement;

use crate::up::{LimitArgs, TokenArgs};

/// Runs one coordinator.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where nodes register and send heartbeats
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    peer_listen: SocketAddr,
    /// Number of nodes to found the cluster with
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..))]
    nodes: u16,
    /// Copies of each key
    #[arg(long, value_name = "K", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..))]
    replicas: u16,
    /// Points of each node on the ring
    #[arg(long, value_name = "T", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..))]
    tokens: u16,
    /// How long a silent node keeps its place: milliseconds, or never
    #[arg(long, value_name = "MS", default_value_t)]
    evict_after_ms: EvictAfter,
    /// How often all records are read anew: milliseconds, or never
    #[arg(long, value_name = "MS", default_value_t)]
    scrub_period_ms: ScrubPeriod,
    /// How fast copies are made at most, bytes a second in all
    #[arg(long, value_name = "BYTES", default_value_t = COPY_BYTES_PER_S_DEFAULT,
          value_parser = clap::value_parser!(u64).range(1..))]
    copy_bytes_per_s: u64,
    /// How keys are placed on nodes: ring or ascii-sum
    #[arg(long, value_name = "KIND", default_value_t = Placement::Ring)]
    placement: Placement,
    /// Carry out one update at a time in the whole cluster, for teaching
    #[arg(long)]
    serial_updates: bool,
    #[command(flatten)]
    access: TokenArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Names this very process [default: random]
    #[arg(long, hide = true, value_name = "UUID")]
    instance: Option<Uuid>,
    /// Instances known to have ended, newest last
    #[arg(long, hide = true, value_name = "UUID,...", value_delimiter = ',')]
    reaped: Vec<Uuid>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs one storage node.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where the coordinator takes nodes
    #[arg(long, value_name = "ADDR")]
    join: SocketAddr,
    /// The node's directory, made if missing
    #[arg(long)]
    dir: PathBuf,
    /// The node's name
    #[arg(long)]
    name: NodeName,
    /// Time between two heartbeats, milliseconds
    #[arg(long, value_name = "MS", default_value = "500", value_parser = parse_ms)]
    heartbeat_ms: Duration,
    /// Where keys are kept: disk or memory
    #[arg(long, value_name = "KIND", default_value_t = StorageKind::Disk)]
    storage: StorageKind,
    /// Shape of the node's cache
    #[arg(long, value_name = "SETSxWAYS", default_value_t = CacheShape::NODE)]
    node_cache: CacheShape,
    /// The token that the servers prove to each other
    #[arg(long, value_name = "FILE")]
    peer_token_file: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of every server.
#[derive(Debug, Clone, Args)]
struct CommonArgs {
    /// Take flags from this file too, as `name = value`; those that are typed win over it
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// The supervisor's address
    #[arg(long, hide = true, value_name = "ADDR")]
    supervisor: Option<SocketAddr>,
    /// Where the log goes [default: stderr]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Have faults, for teaching, as the supervisor orders on stdin
    #[arg(long, hide = true)]
    lab: bool,
    /// End when stdin ends or the parent process does
    #[arg(long, hide = true)]
    lifeline: bool,
}

/// Runs a coordinator by `serve`, on the main thread.
pub(crate) fn coordinator(
    args: CoordinatorArgs,
    serve: impl FnOnce(CoordinatorConfig, Option<Orders>) -> ExitCode,
) -> ExitCode {
    let common = args.common.clone();
    match coordinator_config(args) {
        Ok(config) => begin(common, "coordinator", |orders| serve(config, orders)),
        Err(error) => usage(&error),
    }
}

/// Runs a node by `serve`, on the main thread.
pub(crate) fn node(
    args: NodeArgs,
    serve: impl FnOnce(NodeConfig, Option<Orders>) -> ExitCode,
) -> ExitCode {
    let common = args.common.clone();
    let name = args.name.clone();
    match node_config(args) {
        Ok(config) => begin(common, name.as_str(), |orders| serve(config, orders)),
        Err(error) => usage(&error),
    }
}

fn coordinator_config(args: CoordinatorArgs) -> Result<CoordinatorConfig, String> {
    let (nodes, replicas) = (args.nodes, args.replicas);
    if replicas > nodes {
        return Err(format!(
            "--replicas {replicas} is more than --nodes {nodes}: give 1 to {nodes}"
        ));
    }
    check_points(args.tokens, args.placement)?;
    if args.reaped.len() > REAPED_MAX {
        return Err(format!("--reaped has {} instances: give {REAPED_MAX}", args.reaped.len()));
    }
    let said = |error: TokenError| error.to_string();
    let limits = args.limits.limits();
    let access = args.access.files().load().map_err(said)?;
    access.check_reach("--listen", args.listen, Audience::Clients).map_err(said)?;
    access.check_reach("--peer-listen", args.peer_listen, Audience::Servers).map_err(said)?;
    let instance = args.instance.map_or_else(process::random_uuid, Ok);
    Ok(CoordinatorConfig {
        listen: args.listen,
        peer_listen: args.peer_listen,
        nodes,
        replicas,
        tokens: args.tokens,
        placement: args.placement,
        serial_updates: args.serial_updates,
        heartbeat: args.limits.heartbeat_ms,
        lease: args.limits.lease_ms,
        evict_after: args.evict_after_ms,
        copy_bytes_per_s: args.copy_bytes_per_s,
        scrub_period: args.scrub_period_ms,
        cache: args.limits.cache,
        cache_bytes: args.limits.cache_bytes,
        limits,
        access,
        instance: instance.map_err(|error| format!("no random numbers: {error}"))?,
        reaped: args.reaped,
        supervisor: args.common.supervisor,
        lab: args.common.lab,
    })
}

fn node_config(args: NodeArgs) -> Result<NodeConfig, String> {
    let said = |error: TokenError| error.to_string();
    let files = TokenFiles { peer: args.peer_token_file, ..TokenFiles::default() };
    let access = files.load().map_err(said)?;
    // A node listens where it can be reached from the coordinator's machine.
    access.check_reach("--join", args.join, Audience::Servers).map_err(said)?;
    Ok(NodeConfig {
        join: args.join,
        dir: args.dir,
        name: args.name,
        heartbeat: args.heartbeat_ms,
        storage: args.storage,
        cache: args.node_cache,
        supervisor: args.common.supervisor,
        lab: args.common.lab,
        peer: access.peer().cloned(),
    })
}

/// Ties the process to its supervisor, opens its log, serves.
fn begin(
    common: CommonArgs,
    name: &str,
    serve: impl FnOnce(Option<Orders>) -> ExitCode,
) -> ExitCode {
    let orders = match common.lifeline.then(process::adopt_lifeline).transpose() {
        Ok(orders) => orders,
        Err(error) => return failed(&error.to_string()),
    };
    match telemetry::init(common.log_dir.as_deref(), name) {
        Ok(_guard) => serve(orders),
        Err(error) => failed(&error.to_string()),
    }
}

fn usage(error: &str) -> ExitCode {
    eprintln!("piazza: {error}");
    ExitCode::from(2)
}

fn failed(error: &str) -> ExitCode {
    eprintln!("piazza: {error}");
    ExitCode::from(5)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;
    use cluster::supervisor::command::ChildCommands;
    use cluster::supervisor::options::{ServerOptions, Shape};
    use cluster::tokens::Tokens;
    use protocol::limits::Limits;

    use super::*;

    #[derive(Parser)]
    struct Coordinator {
        #[command(flatten)]
        args: CoordinatorArgs,
    }

    #[derive(Parser)]
    struct Node {
        #[command(flatten)]
        args: NodeArgs,
    }

    fn limits() -> Limits {
        let all = Limits { key_bytes: 20, value_bytes: 1_000, ..Limits::default() };
        Limits { connections: 7, idle_ms: 800, ..all }
    }

    fn commands() -> ChildCommands {
        ChildCommands {
            program: "piazza".into(),
            shape: Shape {
                nodes: 7,
                replicas: 3,
                tokens: 1,
                storage: StorageKind::Memory,
                placement: Placement::AsciiSum,
                serial_updates: true,
            },
            servers: ServerOptions {
                cache: CacheShape::new(8, 2).unwrap(),
                cache_bytes: 12_345,
                node_cache: CacheShape::new(16, 3).unwrap(),
                heartbeat: Duration::from_millis(50),
                lease: Duration::from_millis(300),
                limits: limits(),
                lab: true,
            },
            evict_after: EvictAfter::new(Duration::from_millis(1_500)).unwrap(),
            scrub_period: ScrubPeriod::NEVER,
            token_files: TokenFiles::default(),
            dir: "/d i r".into(),
            logs: "/d i r/logs".into(),
            supervisor: "127.0.0.1:3".parse().unwrap(),
        }
    }

    #[test]
    fn what_the_supervisor_writes_is_what_a_coordinator_reads() {
        let line = commands().coordinator("127.0.0.1:1", "[::1]:2", Uuid(9), &[Uuid(7), Uuid(8)]);
        let args = Coordinator::try_parse_from(line).unwrap().args;
        assert!(args.common.lifeline);
        assert_eq!(args.common.log_dir, Some("/d i r/logs".into()));
        let expected = CoordinatorConfig {
            listen: "127.0.0.1:1".parse().unwrap(),
            peer_listen: "[::1]:2".parse().unwrap(),
            nodes: 7,
            replicas: 3,
            tokens: 1,
            placement: Placement::AsciiSum,
            serial_updates: true,
            heartbeat: Duration::from_millis(50),
            lease: Duration::from_millis(300),
            evict_after: EvictAfter::new(Duration::from_millis(1_500)).unwrap(),
            copy_bytes_per_s: COPY_BYTES_PER_S_DEFAULT,
            scrub_period: ScrubPeriod::NEVER,
            cache: CacheShape::new(8, 2).unwrap(),
            cache_bytes: 12_345,
            limits: limits(),
            access: Tokens::default(),
            instance: Uuid(9),
            reaped: vec![Uuid(7), Uuid(8)],
            supervisor: "127.0.0.1:3".parse().ok(),
            lab: true,
        };
        assert_eq!(coordinator_config(args), Ok(expected));
        let line = commands().coordinator("127.0.0.1:1", "127.0.0.1:2", Uuid(9), &[]);
        assert_eq!(Coordinator::try_parse_from(line).unwrap().args.reaped, []);
    }

    #[test]
    fn what_the_supervisor_writes_is_what_a_node_reads() {
        let line = commands().node("n3", "127.0.0.1:2");
        let args = Node::try_parse_from(line).unwrap().args;
        assert!(args.common.lifeline);
        let expected = NodeConfig {
            join: "127.0.0.1:2".parse().unwrap(),
            dir: "/d i r/n3".into(),
            name: NodeName::new("n3").unwrap(),
            heartbeat: Duration::from_millis(50),
            storage: StorageKind::Memory,
            cache: CacheShape::new(16, 3).unwrap(),
            supervisor: "127.0.0.1:3".parse().ok(),
            lab: true,
            peer: None,
        };
        assert_eq!(node_config(args), Ok(expected));
    }

    #[test]
    fn impossible_flags_are_refused() {
        let parse = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            Coordinator::try_parse_from(words).map(|parsed| coordinator_config(parsed.args))
        };
        assert!(matches!(parse("coordinator --nodes 3 --replicas 4"), Ok(Err(_))));
        assert!(matches!(parse("coordinator --placement ascii-sum --tokens 2"), Ok(Err(_))));
        assert!(parse("coordinator --placement random").is_err());
        let never = parse("coordinator --evict-after-ms never").unwrap().unwrap();
        assert_eq!(never.evict_after, EvictAfter::NEVER);
        for wrong in [
            "--nodes 0",
            "--tokens 0",
            "--cache 3x8",
            "--key-bytes-max 257",
            "--evict-after-ms 0",
            "--evict-after-ms soon",
            "--copy-bytes-per-s 0",
        ] {
            assert!(parse(&format!("coordinator {wrong}")).is_err(), "{wrong}");
        }
        let node = "node --join 127.0.0.1:1 --dir d --name n1 --node-cache";
        for (shape, good) in [("3x8", false), ("4x65", false), ("4", false), ("1x1", true)] {
            let words = node.split(' ').chain([shape]);
            assert_eq!(Node::try_parse_from(words).is_ok(), good, "{shape}");
        }
    }
}
