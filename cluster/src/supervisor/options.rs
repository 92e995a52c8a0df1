//! What `piazza up` was asked for, and whether that can be: flags against each other, against the
//! directory's `cluster.json` and against the ports of this machine.
//!
//! Made by `tui/cli/up.rs`, read by `run`. Checks everything that can be checked before a server
//! starts; starts none itself.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use protocol::limits::Limits;
use protocol::peer::Placement;
use serde::{Deserialize, Serialize};

use super::StartError;
use super::directory::ClusterFile;
use crate::config::{CacheShape, EvictAfter, ScrubPeriod, StorageKind};
use crate::tokens::{Audience, TokenError, TokenFiles, Tokens};

/// Most nodes that one supervisor runs.
pub const NODES_MAX: u16 = 256;
/// Most points of a node on the ring.
pub const TOKENS_MAX: u16 = 1024;

/// The flags of `piazza up`. `None` = not given, so that an existing directory decides.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Number of nodes, N; 1 to [`NODES_MAX`].
    pub nodes: Option<u16>,
    /// Copies of each key, K; 1 to N.
    pub replicas: Option<u16>,
    /// Points of each node on the ring; 1 to [`TOKENS_MAX`].
    pub tokens: Option<u16>,
    /// Where nodes keep their keys.
    pub storage: Option<StorageKind>,
    /// How long a silent node keeps its place; kept in the directory from then on.
    pub evict_after: Option<EvictAfter>,
    /// How often all records are read anew; kept in the directory from then on.
    pub scrub_period: Option<ScrubPeriod>,
    /// How keys are placed on nodes.
    pub placement: Option<Placement>,
    /// One update at a time in the whole cluster.
    pub serial_updates: bool,
    /// The cluster's directory.
    pub dir: PathBuf,
    /// The coordinator's port for clients.
    pub listen: SocketAddr,
    /// The coordinator's port for nodes.
    pub peer_listen: SocketAddr,
    /// The supervisor's own port.
    pub control_listen: SocketAddr,
    /// The system chooses all three ports.
    pub any_port: bool,
    /// Delete the cluster that is in the directory first.
    pub fresh: bool,
    /// Where the tokens are; read by each server itself.
    pub token_files: TokenFiles,
    /// Flags that are handed on to the servers as they are.
    pub servers: ServerOptions,
    /// The program whose `coordinator` and `node` commands the servers are.
    pub program: OsString,
}

/// What the supervisor hands on to its servers without a look at it.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Shape of the coordinator's cache.
    pub cache: CacheShape,
    /// Bound of the coordinator's cache, bytes.
    pub cache_bytes: u64,
    /// Shape of each node's cache.
    pub node_cache: CacheShape,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Length of the coordinator's lease.
    pub lease: Duration,
    /// What one client may use.
    pub limits: Limits,
    /// Nodes may be ordered to have faults, for teaching.
    pub lab: bool,
}

/// What a directory fixes for the life of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Number of nodes at the founding.
    pub nodes: u16,
    /// Copies of each key.
    pub replicas: u16,
    /// Points of each node on the ring.
    pub tokens: u16,
    /// Where nodes keep their keys.
    #[serde(default)]
    pub storage: StorageKind,
    /// How keys are placed on nodes.
    #[serde(default)]
    pub placement: Placement,
    /// Updates are carried out one at a time.
    #[serde(default)]
    pub serial_updates: bool,
}

/// Refuses more points than a placement has: only the ring's has several a node.
pub fn check_points(tokens: u16, placement: Placement) -> Result<(), String> {
    if placement == Placement::Ring || tokens == 1 {
        return Ok(());
    }
    Err(format!(
        "--tokens {tokens} is for --placement ring: by {placement} each node has one point; leave \
         --tokens out"
    ))
}

impl UpOptions {
    /// The shape of the cluster: what the directory's `existing` file says, else the flags, else
    /// 5 nodes, 2 replicas, 1 token, on disk.
    pub fn shape(&self, existing: Option<&ClusterFile>) -> Result<Shape, StartError> {
        let shape = match existing {
            Some(file) => self.agreeing(file.shape)?,
            None => {
                let nodes = self.nodes.unwrap_or(5);
                Shape {
                    nodes,
                    replicas: self.replicas.unwrap_or(2.min(nodes)),
                    tokens: self.tokens.unwrap_or(1),
                    storage: self.storage.unwrap_or_default(),
                    placement: self.placement.unwrap_or_default(),
                    serial_updates: self.serial_updates,
                }
            }
        };
        let ranges = [
            ("--nodes", shape.nodes, NODES_MAX),
            ("--replicas", shape.replicas, shape.nodes),
            ("--tokens", shape.tokens, TOKENS_MAX),
        ];
        for (flag, actual, max) in ranges {
            if !(1..=max).contains(&actual) {
                return Err(StartError::Usage(format!("{flag} {actual}: give 1 to {max}")));
            }
        }
        check_points(shape.tokens, shape.placement).map_err(StartError::Usage)?;
        Ok(shape)
    }

    fn agreeing(&self, shape: Shape) -> Result<Shape, StartError> {
        let number = |flag: Option<u16>| flag.map(|number| number.to_string());
        let pairs = [
            ("--nodes", number(self.nodes), shape.nodes.to_string()),
            ("--replicas", number(self.replicas), shape.replicas.to_string()),
            ("--tokens", number(self.tokens), shape.tokens.to_string()),
            ("--storage", self.storage.map(|kind| kind.to_string()), shape.storage.to_string()),
            (
                "--placement",
                self.placement.map(|placement| placement.to_string()),
                shape.placement.to_string(),
            ),
        ];
        for (flag, asked, actual) in pairs {
            if let Some(asked) = asked.filter(|asked| *asked != actual) {
                return Err(StartError::Usage(format!(
                    "{flag} {asked} contradicts the cluster in {}, which has {flag} {actual}: \
                     leave the flag out, or give another --dir",
                    self.dir.display()
                )));
            }
        }
        if self.serial_updates && !shape.serial_updates {
            return Err(StartError::Usage(format!(
                "--serial-updates contradicts the cluster in {}, which was made without: leave the \
                 flag out, or give another --dir",
                self.dir.display()
            )));
        }
        Ok(shape)
    }

    /// The tokens, without which all three ports must be of this machine only.
    pub fn tokens(&self) -> Result<Tokens, StartError> {
        let usage = |error: TokenError| StartError::Usage(error.to_string());
        let tokens = self.token_files.load().map_err(usage)?;
        for (flag, address, audience) in [
            ("--listen", self.listen, Audience::Clients),
            ("--peer-listen", self.peer_listen, Audience::Servers),
            ("--control-listen", self.control_listen, Audience::Clients),
        ] {
            tokens.check_reach(flag, address, audience).map_err(usage)?;
        }
        Ok(tokens)
    }

    /// Checks that all three ports are free, and keeps the supervisor's. The other two are free
    /// again on return, for the coordinator to bind.
    pub fn bind(&mut self) -> Result<TcpListener, StartError> {
        let flags = [
            ("--listen", &mut self.listen),
            ("--peer-listen", &mut self.peer_listen),
            ("--control-listen", &mut self.control_listen),
        ];
        // All are held at once, so that two flags with the same port are found out too.
        let mut held = Vec::new();
        for (flag, address) in flags {
            if self.servers.lab && !crate::tokens::is_loopback(address.ip()) {
                return Err(StartError::Usage(format!(
                    "--lab lets everybody who reaches {flag} {address} order faults: leave --lab \
                     out, or give a loopback address, as 127.0.0.1:{}",
                    address.port()
                )));
            }
            if self.any_port {
                address.set_port(0);
            }
            held.push(listener(flag, *address)?);
        }
        // Heartbeats come by UDP to the same port.
        let _udp = UdpSocket::bind(self.peer_listen)
            .map_err(|error| taken("--peer-listen", self.peer_listen, &error))?;
        held.pop().ok_or(StartError::Usage("no port to listen on".into()))
    }
}

fn listener(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| taken(flag, address, &error))
}

fn taken(flag: &str, address: SocketAddr, error: &io::Error) -> StartError {
    StartError::Usage(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {} is taken ({flag} {address}): stop what uses it, give another {flag}, or let \
             the system choose free ports with --any-port",
            address.port()
        ),
        _ => format!(
            "cannot listen on port {} ({flag} {address}): {error}; give another {flag}, or let \
             the system choose free ports with --any-port",
            address.port()
        ),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn options() -> UpOptions {
        UpOptions {
            nodes: None,
            replicas: None,
            tokens: None,
            storage: None,
            evict_after: None,
            scrub_period: None,
            placement: None,
            serial_updates: false,
            dir: "/nowhere".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            peer_listen: ([127, 0, 0, 1], 0).into(),
            control_listen: ([127, 0, 0, 1], 0).into(),
            any_port: true,
            fresh: false,
            token_files: TokenFiles::default(),
            servers: ServerOptions {
                cache: CacheShape::COORDINATOR,
                cache_bytes: 1 << 20,
                node_cache: CacheShape::NODE,
                heartbeat: Duration::from_millis(500),
                lease: Duration::from_secs(2),
                limits: Limits::default(),
                lab: false,
            },
            program: "piazza".into(),
        }
    }

    /// Contract: "piazza up [--nodes 5] [--replicas 2] [--tokens 1]"
    /// Contract: "an existing DIR's `cluster.json` rules"
    #[test]
    fn flags_fill_an_empty_directory_and_obey_a_full_one() {
        let none = options();
        let (storage, placement, serial_updates) = (StorageKind::Disk, Placement::Ring, false);
        let default =
            Shape { nodes: 5, replicas: 2, tokens: 1, storage, placement, serial_updates };
        assert_eq!(none.shape(None).unwrap(), default);
        let one = UpOptions { nodes: Some(1), ..options() };
        assert_eq!(one.shape(None).unwrap().replicas, 1);

        let storage = StorageKind::Memory;
        let shape = Shape { nodes: 3, replicas: 3, tokens: 8, storage, placement, serial_updates };
        let file = ClusterFile::new("c".into(), shape);
        assert_eq!(none.shape(Some(&file)).unwrap(), shape);
        let same = UpOptions { nodes: Some(3), storage: Some(StorageKind::Memory), ..options() };
        assert_eq!(same.shape(Some(&file)).unwrap(), shape);
        let serial = UpOptions { serial_updates: true, ..options() }.shape(None).unwrap();
        let kept = ClusterFile::new("c".into(), serial);
        assert!(none.shape(Some(&kept)).unwrap().serial_updates, "without the flag too");
        for (wrong, flag) in [
            (UpOptions { nodes: Some(5), ..options() }, "--nodes 5"),
            (UpOptions { replicas: Some(2), ..options() }, "--replicas 2"),
            (UpOptions { tokens: Some(1), ..options() }, "--tokens 1"),
            (UpOptions { serial_updates: true, ..options() }, "--serial-updates"),
            (
                UpOptions { placement: Some(Placement::AsciiSum), ..options() },
                "--placement ascii-sum",
            ),
            (UpOptions { storage: Some(StorageKind::Disk), ..options() }, "--storage disk"),
        ] {
            let error = wrong.shape(Some(&file)).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains("--dir"), "{error}");
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for wrong in [
            UpOptions { nodes: Some(0), ..options() },
            UpOptions { nodes: Some(257), ..options() },
            UpOptions { replicas: Some(6), ..options() },
            UpOptions { replicas: Some(0), ..options() },
            UpOptions { tokens: Some(0), ..options() },
            UpOptions { tokens: Some(2), placement: Some(Placement::AsciiSum), ..options() },
        ] {
            assert!(wrong.shape(None).is_err(), "{wrong:?}");
        }
    }

    /// Contract: "A port taken: exit 2 ... naming port, flag and `--any-port`"
    /// Contract: "listening on any other address is refused at start with the sentence what to do"
    #[test]
    fn a_taken_or_public_port_is_refused_by_name() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let mut wrong = UpOptions { any_port: false, peer_listen: address, ..options() };
        let error = wrong.bind().unwrap_err().to_string();
        for part in [&format!("port {} is taken", address.port()), "--peer-listen", "--any-port"] {
            assert!(error.contains(part), "{error}");
        }
        drop(other);
        let mut same = UpOptions { any_port: false, listen: address, ..options() };
        same.control_listen = address;
        assert!(same.bind().unwrap_err().to_string().contains("--control-listen"));

        for public in ["0.0.0.0:0", "192.168.1.1:0", "[::]:0"] {
            let mut wrong = UpOptions { listen: public.parse().unwrap(), ..options() };
            assert!(wrong.tokens().unwrap_err().to_string().contains("tokens"), "{public}");
            wrong.servers.lab = true;
            assert!(wrong.bind().unwrap_err().to_string().contains("--lab"), "{public}");
        }
        let mut right = UpOptions { listen: "[::1]:8080".parse().unwrap(), ..options() };
        if TcpListener::bind("[::1]:0").is_ok() {
            assert!(right.tokens().is_ok() && right.bind().is_ok());
        }
    }
}
