//! What the servers are told when they start, as plain typed values.
//!
//! Made by `tui/cli/serve.rs` from flags, read by `shell::run_coordinator` and `shell::run_node`.
//! Parsing is validation: a value of one of these types is within its limits. Nothing here reads
//! an environment variable or a file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use protocol::ids::{NodeName, Uuid};
use protocol::limits::Limits;
use protocol::peer::Placement;
use serde::{Deserialize, Serialize};

use crate::tokens::{PeerSecret, Tokens};

/// Default size of the coordinator's cache, bytes.
pub const CACHE_BYTES_DEFAULT: u64 = 256 << 20;
/// Size of a node's cache at most, bytes.
pub const NODE_CACHE_BYTES: u64 = 64 << 20;
/// How fast copies are made for learners unless configured, bytes a second.
pub const COPY_BYTES_PER_S_DEFAULT: u64 = 32 << 20;
/// Most sets of a cache.
pub const CACHE_SETS_MAX: u32 = 1 << 24;
/// Most ways of a cache: the valid and reference bits of a set fit one word.
pub const CACHE_WAYS_MAX: u32 = 64;
/// Most instances of coordinators in [`CoordinatorConfig::reaped`].
pub const REAPED_MAX: usize = 64;

/// Why a flag's text is not valid: one sentence for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFlag(pub String);

/// A cache of `sets` x `ways` entries, written `4096x8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    sets: u32,
    ways: u32,
}

impl CacheShape {
    /// The coordinator's default.
    pub const COORDINATOR: Self = Self { sets: 4096, ways: 8 };
    /// A node's default.
    pub const NODE: Self = Self { sets: 1024, ways: 4 };

    /// A cache of `sets`, a power of two up to [`CACHE_SETS_MAX`], and 1 to [`CACHE_WAYS_MAX`]
    /// `ways`.
    pub fn new(sets: u32, ways: u32) -> Result<Self, InvalidFlag> {
        if !sets.is_power_of_two() || sets > CACHE_SETS_MAX {
            return Err(InvalidFlag(format!(
                "{sets} sets: give a power of two from 1 to {CACHE_SETS_MAX}"
            )));
        }
        if !(1..=CACHE_WAYS_MAX).contains(&ways) {
            return Err(InvalidFlag(format!("{ways} ways: give 1 to {CACHE_WAYS_MAX}")));
        }
        Ok(Self { sets, ways })
    }

    /// Number of sets, a power of two.
    pub fn sets(self) -> u32 {
        self.sets
    }

    /// Entries of each set.
    pub fn ways(self) -> u32 {
        self.ways
    }
}

impl fmt::Display for CacheShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.sets, self.ways)
    }
}

impl FromStr for CacheShape {
    type Err = InvalidFlag;

    fn from_str(text: &str) -> Result<Self, InvalidFlag> {
        let invalid =
            || InvalidFlag(format!("{text:?} is not a cache's shape; write SETSxWAYS, as 4096x8"));
        let (sets, ways) = text.split_once('x').ok_or_else(invalid)?;
        Self::new(sets.parse().map_err(|_| invalid())?, ways.parse().map_err(|_| invalid())?)
    }
}

/// Where a node keeps its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// In its directory; what was answered survives a crash.
    #[default]
    Disk,
    /// In memory only: nothing survives the node's end.
    Memory,
}

impl fmt::Display for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        })
    }
}

impl FromStr for StorageKind {
    type Err = InvalidFlag;

    fn from_str(text: &str) -> Result<Self, InvalidFlag> {
        match text {
            "disk" => Ok(Self::Disk),
            "memory" => Ok(Self::Memory),
            _ => Err(InvalidFlag(format!("{text:?} is no storage; write disk or memory"))),
        }
    }
}

/// The `Duration` of a flag in milliseconds, 1 ms to 10 min.
pub fn parse_ms(text: &str) -> Result<Duration, InvalidFlag> {
    match text.parse() {
        Ok(ms @ 1..=600_000) => Ok(Duration::from_millis(ms)),
        _ => Err(InvalidFlag(format!("{text:?} is not a number of milliseconds, 1 to 600000"))),
    }
}

/// How long a silent node keeps its place.
pub type EvictAfter = OrNever<10_000>;
/// How often all records are read anew.
pub type ScrubPeriod = OrNever<86_400_000>;

/// A time, as milliseconds or `never`; so many milliseconds unless it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Option<u64>", try_from = "Option<u64>")]
pub struct OrNever<const DEFAULT_MS: u64>(Option<Duration>);

impl<const DEFAULT_MS: u64> OrNever<DEFAULT_MS> {
    /// Never.
    pub const NEVER: Self = Self(None);

    /// For so long, 1 ms at least.
    pub fn new(after: Duration) -> Result<Self, InvalidFlag> {
        if after < Duration::from_millis(1) {
            let text = "that is no time at all: give 1ms at least, or never";
            return Err(InvalidFlag(text.to_owned()));
        }
        Ok(Self(Some(after)))
    }

    /// That time; none: never.
    pub fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl<const DEFAULT_MS: u64> Default for OrNever<DEFAULT_MS> {
    fn default() -> Self {
        Self(Some(Duration::from_millis(DEFAULT_MS)))
    }
}

impl<const DEFAULT_MS: u64> fmt::Display for OrNever<DEFAULT_MS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "{}", after.as_millis()),
            None => f.write_str("never"),
        }
    }
}

impl<const DEFAULT_MS: u64> FromStr for OrNever<DEFAULT_MS> {
    type Err = InvalidFlag;

    fn from_str(text: &str) -> Result<Self, InvalidFlag> {
        let wrong = || InvalidFlag(format!("{text:?} is no number of milliseconds, nor never"));
        match text {
            "never" => Ok(Self::NEVER),
            _ => Self::new(Duration::from_millis(text.parse().map_err(|_| wrong())?)),
        }
    }
}

impl<const DEFAULT_MS: u64> From<OrNever<DEFAULT_MS>> for Option<u64> {
    fn from(after: OrNever<DEFAULT_MS>) -> Self {
        after.0.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }
}

impl<const DEFAULT_MS: u64> TryFrom<Option<u64>> for OrNever<DEFAULT_MS> {
    type Error = InvalidFlag;

    fn try_from(ms: Option<u64>) -> Result<Self, InvalidFlag> {
        ms.map_or(Ok(Self::NEVER), |ms| Self::new(Duration::from_millis(ms)))
    }
}

/// The coordinator's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// Where clients connect; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where nodes register (TCP) and send heartbeats (UDP, same port); port 0 as above.
    pub peer_listen: SocketAddr,
    /// Nodes to found the cluster with, N; at least 1.
    pub nodes: u16,
    /// Copies of each key, K; 1 to N.
    pub replicas: u16,
    /// Points of each node on the ring; at least 1.
    pub tokens: u16,
    /// How keys are placed; other ways than the ring's have one point a node.
    pub placement: Placement,
    /// One update at a time in the whole cluster.
    pub serial_updates: bool,
    /// Time between two heartbeats of a node.
    pub heartbeat: Duration,
    /// Length of the coordinator's lease.
    pub lease: Duration,
    /// How long a silent node keeps its place.
    pub evict_after: EvictAfter,
    /// How fast copies are made for learners, bytes a second.
    pub copy_bytes_per_s: u64,
    /// How often all records are read anew.
    pub scrub_period: ScrubPeriod,
    /// Shape of the cache.
    pub cache: CacheShape,
    /// Bound of the cache's memory, bytes.
    pub cache_bytes: u64,
    /// What one client may use.
    pub limits: Limits,
    /// Who may do what at the client port, and the secret of the servers.
    pub access: Tokens,
    /// Names this very process; another one of the same cluster has another one.
    pub instance: Uuid,
    /// Instances of coordinators that the supervisor saw dead by `waitpid`, newest last, at most
    /// [`REAPED_MAX`]: their leases need not be waited for.
    pub reaped: Vec<Uuid>,
    /// The supervisor's endpoint, for `status`; none where the server was started by hand.
    pub supervisor: Option<SocketAddr>,
    /// The cluster is one for teaching: `status` shows the faults that its nodes have on order.
    pub lab: bool,
}

/// A node's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The coordinator's `peer_listen`.
    pub join: SocketAddr,
    /// The node's own directory; made if missing.
    pub dir: PathBuf,
    /// The node's name, unique in its cluster.
    pub name: NodeName,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Where the keys are kept.
    pub storage: StorageKind,
    /// Shape of the cache, which has at most [`NODE_CACHE_BYTES`].
    pub cache: CacheShape,
    /// The supervisor's endpoint, told at registration; none where started by hand.
    pub supervisor: Option<SocketAddr>,
    /// The node has faults where its supervisor orders some, for teaching.
    pub lab: bool,
    /// The secret of the servers.
    pub peer: Option<PeerSecret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_shape_reads_back_and_is_within_its_limits() {
        for text in ["4096x8", "1x1", "16777216x64"] {
            assert_eq!(text.parse::<CacheShape>().map(|shape| shape.to_string()), Ok(text.into()));
        }
        for wrong in ["", "8", "x", "0x8", "3x8", "4x0", "4x65", "4x4x4", "33554432x1", "-4x4"] {
            assert!(wrong.parse::<CacheShape>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn milliseconds_are_bounded() {
        assert_eq!(parse_ms("500"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "600001", "1.5", "5s", ""] {
            assert!(parse_ms(wrong).is_err(), "{wrong:?}");
        }
    }
}
