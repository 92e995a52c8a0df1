//! Heartbeats: one JSON object a datagram, from a node to the coordinator.
//!
//! Written by the node's `pulse`, read by the coordinator. Plain data.

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, RingNumber, Uuid};
use crate::status::NodeFigures;

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
    /// The ring by which it counted its keys; none: it has counted by none yet, or is older than
    /// this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingNumber>,
    /// What it tells of itself.
    #[serde(flatten)]
    pub figures: NodeFigures,
}
