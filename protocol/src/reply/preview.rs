//! What a change of membership would do, as `admin` with `dry_run` answers. Plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeName, Point};

/// What a change would move. Numbers of keys and bytes are estimates; none: not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangePreview {
    /// What it does: `evict`, `remove`, `add`, `rebalance`, `cancel`.
    pub action: String,
    /// The node it is about, if there is one yet.
    pub node: Option<String>,
    /// Stretches of the ring that somebody would learn.
    pub arcs: u64,
    /// The first of them.
    pub moves: Vec<MovePreview>,
    /// About how many keys would be copied.
    pub keys: Option<u64>,
    /// About how many bytes that is.
    pub bytes: Option<u64>,
    /// How fast one node copies from another at most, bytes a second.
    pub copy_bytes_per_s: u64,
    /// About how long the copying takes at that pace, milliseconds: it takes longer while clients
    /// are served.
    pub eta_ms: Option<u64>,
    /// The part of all keys that would get another primary, 0 to 1.
    pub primaries_moved: f64,
    /// The part of all keys that would have one complete copy until the copying is done, 0 to 1.
    pub one_copy: f64,
    /// About how many keys that is.
    pub keys_one_copy: Option<u64>,
    /// The part of the keys of which each node is the primary.
    pub shares_before: BTreeMap<String, f64>,
    /// The same afterwards.
    pub shares_after: BTreeMap<String, f64>,
    /// Afterwards: the largest share over the mean of all.
    pub max_over_mean: f64,
    /// What each node holds, before and after.
    pub loads: Vec<LoadPreview>,
    /// What adding a node comes to with other placements, for comparison.
    pub compared: Vec<PlacementPreview>,
    /// The part of all keys that would get another primary if shares were made equal after a node
    /// was added.
    pub rebalance_moves: Option<f64>,
}

/// A stretch of the ring that would move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovePreview {
    /// Its first point.
    pub from: Point,
    /// Its last point.
    pub to: Point,
    /// Who would get it.
    pub gain: Option<NodeName>,
    /// Who would hold it no longer afterwards.
    pub lose: Option<NodeName>,
    /// About how many keys that is; none: not known.
    #[serde(default)]
    pub keys: Option<u64>,
    /// About how many bytes that is; none: not known.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// What a node holds, of which it is the primary or not. Estimates; none: not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadPreview {
    /// The node.
    pub node: String,
    /// Keys that it holds now.
    pub keys_before: Option<u64>,
    /// Keys that it would hold.
    pub keys_after: Option<u64>,
    /// Bytes that it holds now.
    pub bytes_before: Option<u64>,
    /// Bytes that it would hold.
    pub bytes_after: Option<u64>,
}

/// One more node, by one way of placing keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacementPreview {
    /// Which way.
    pub placement: String,
    /// The part of all keys that would get another primary.
    pub primaries_moved: f64,
    /// The largest share over the mean of all.
    pub max_over_mean: f64,
}
