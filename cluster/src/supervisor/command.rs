//! The command lines by which the supervisor starts its servers.
//!
//! Called by `run`; `tui/cli/serve.rs` parses what is made here (and tests that it does). Plain
//! values in, plain values out.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use protocol::ids::Uuid;
use protocol::limits::Limits;

use super::options::{ServerOptions, Shape};
use crate::config::{EvictAfter, ScrubPeriod};
use crate::tokens::TokenFiles;

/// What all command lines of one cluster have in common.
#[derive(Debug, Clone)]
pub struct ChildCommands {
    /// The program whose `coordinator` and `node` commands the servers are.
    pub program: OsString,
    /// What the directory fixes.
    pub shape: Shape,
    /// What is handed on.
    pub servers: ServerOptions,
    /// How long a silent node keeps its place.
    pub evict_after: EvictAfter,
    /// How often all records are read anew.
    pub scrub_period: ScrubPeriod,
    /// Where the tokens are, absolute.
    pub token_files: TokenFiles,
    /// The cluster's directory, absolute.
    pub dir: PathBuf,
    /// Where the servers' logs go.
    pub logs: PathBuf,
    /// The supervisor's endpoint.
    pub supervisor: SocketAddr,
}

impl ChildCommands {
    /// The arguments of a coordinator on these ports, with its own `instance` and those known to
    /// be dead.
    pub fn coordinator(
        &self,
        listen: &str,
        peer_listen: &str,
        instance: Uuid,
        reaped: &[Uuid],
    ) -> Vec<OsString> {
        let (shape, servers) = (&self.shape, &self.servers);
        let mut line = Line::new("coordinator");
        line.add("--listen", listen);
        line.add("--peer-listen", peer_listen);
        line.add("--nodes", shape.nodes.to_string());
        line.add("--replicas", shape.replicas.to_string());
        line.add("--tokens", shape.tokens.to_string());
        line.add("--placement", shape.placement.to_string());
        if shape.serial_updates {
            line.0.push("--serial-updates".into());
        }
        line.add("--heartbeat-ms", servers.heartbeat.as_millis().to_string());
        line.add("--lease-ms", servers.lease.as_millis().to_string());
        line.add("--evict-after-ms", self.evict_after.to_string());
        line.add("--scrub-period-ms", self.scrub_period.to_string());
        line.add("--cache", servers.cache.to_string());
        line.add("--cache-bytes", servers.cache_bytes.to_string());
        line.add("--key-bytes-max", servers.limits.key_bytes.to_string());
        line.add("--value-bytes-max", servers.limits.value_bytes.to_string());
        let usual = Limits::default().settings();
        for ((name, value), usual) in servers.limits.settings().into_iter().zip(usual) {
            if (name, value) != usual {
                line.add("--limit", format!("{name}={value}"));
            }
        }
        for (flag, path) in self.token_files.flags() {
            line.add_path(flag, path);
        }
        line.add("--instance", instance.to_string());
        if !reaped.is_empty() {
            let list: Vec<String> = reaped.iter().map(Uuid::to_string).collect();
            line.add("--reaped", list.join(","));
        }
        self.end(line)
    }

    /// The arguments of the node `name`, which joins the coordinator at `join`.
    pub fn node(&self, name: &str, join: &str) -> Vec<OsString> {
        let mut line = Line::new("node");
        line.add("--join", join);
        line.add("--dir", self.dir.join(name).as_os_str());
        line.add("--name", name);
        line.add("--heartbeat-ms", self.servers.heartbeat.as_millis().to_string());
        line.add("--storage", self.shape.storage.to_string());
        line.add("--node-cache", self.servers.node_cache.to_string());
        line.add_path("--peer-token-file", self.token_files.peer.as_deref());
        self.end(line)
    }

    /// Where the stderr of the server `name` goes.
    pub fn stderr(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.stderr"))
    }

    fn end(&self, mut line: Line) -> Vec<OsString> {
        if self.servers.lab {
            line.0.push("--lab".into());
        }
        line.add("--supervisor", self.supervisor.to_string());
        line.add("--log-dir", Path::new(&self.logs).as_os_str());
        line.0.push("--lifeline".into());
        line.0
    }
}

struct Line(Vec<OsString>);

impl Line {
    fn new(command: &str) -> Self {
        Self(vec![command.into()])
    }

    fn add(&mut self, flag: &str, value: impl Into<OsString>) {
        self.0.push(flag.into());
        self.0.push(value.into());
    }

    fn add_path(&mut self, flag: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.add(flag, path);
        }
    }
}
