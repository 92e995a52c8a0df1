//! Heartbeats: one JSON object a datagram, from a node to the coordinator.
//!
//! Written by the node's `pulse`, read by the coordinator. Plain data.

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, Uuid};
use crate::status::CacheStatus;

/// A heartbeat: sent by a node, never answered, trusted for nothing but display and liveness
/// (R15). Older ones than the newest seen are ignored (H45).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The cluster; none before the founding.
    pub cluster: Option<Uuid>,
    /// The sender's store.
    pub uuid: Uuid,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Rises with each heartbeat of the incarnation.
    pub seq: u64,
    /// Milliseconds between heartbeats.
    pub interval_ms: u64,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Microseconds of the last sync of the log.
    pub fsync_us: u64,
    /// Transactions prepared and not decided.
    pub undecided: u64,
    /// Age of the oldest of them.
    pub undecided_oldest_ms: u64,
    /// Live keys of which this node is the primary.
    pub keys_primary: u64,
    /// Live keys of which it is another replica.
    pub keys_replica: u64,
    /// Bytes of log kept.
    pub log_bytes: u64,
    /// Reads answered since the start.
    pub reads: u64,
    /// Writes applied since the start.
    pub writes: u64,
    /// Its cache.
    pub cache: CacheStatus,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Processor time used.
    pub cpu_us: u64,
}
