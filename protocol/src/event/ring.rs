//! Events about rings: which one is in force, what moves, and how far that is. Plain data.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeName, Point, RingNumber};
use crate::status::PointStatus;

/// A ring is in force. The envelope's epoch is the coordinator's; `ring` is this one's number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RingEpoch {
    /// The ring's number.
    pub ring: RingNumber,
    /// Its points, in order.
    pub points: Vec<PointStatus>,
    /// What is being learned under it.
    #[serde(default)]
    pub moves: Vec<RingMove>,
    /// The nodes that hold it durably.
    #[serde(default)]
    pub durable_on: Vec<NodeName>,
}

/// A stretch of the ring that somebody learns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingMove {
    /// Its first point.
    pub from: Point,
    /// Its last point; the stretch passes 0 where it lies before the first.
    pub to: Point,
    /// Who gets it.
    pub gain_node: NodeName,
    /// Who holds it until then and no longer; none where a copy is replaced that is gone.
    #[serde(default)]
    pub lose_node: Option<NodeName>,
    /// Whom it may be copied from.
    #[serde(default)]
    pub source: Option<NodeName>,
    /// About how many keys that is.
    #[serde(default)]
    pub keys: Option<u64>,
    /// About how many bytes, if known.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// How far the copying from one node to another is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its number.
    pub id: u64,
    /// The stretches of the ring: first and last point of each.
    pub range: Vec<(Point, Point)>,
    /// Who is asked; `from` on the wire, where `source` is who tells the event.
    #[serde(rename = "from")]
    pub source: NodeName,
    /// Who learns.
    pub target: NodeName,
    /// Keys copied, deleted ones too.
    pub keys_done: u64,
    /// About how many there are in all.
    #[serde(default)]
    pub keys_total: Option<u64>,
    /// Bytes copied.
    pub bytes_done: u64,
    /// About how many there are in all, if known.
    #[serde(default)]
    pub bytes_total: Option<u64>,
    /// Since it began, bytes a second.
    pub bytes_per_s: u64,
    /// About how long it still takes, milliseconds, if known.
    #[serde(default)]
    pub eta_ms: Option<u64>,
    /// `copying`; `paused`, since the disk of who learns is full; `done`; `lost`: another one goes
    /// on or begins anew. In `status` also `waiting`: it has not begun, and has no number yet.
    pub state: String,
}
