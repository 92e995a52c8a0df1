//! What a change of membership would do, as `admin` with `dry_run` answers. Plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeName, Point};

/// What a change would move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangePreview {
    /// What it does: `evict`, `remove`, `add`, `rebalance`.
    pub action: String,
    /// The node it is about, if there is one yet.
    pub node: Option<String>,
    /// Stretches of the ring that somebody would learn.
    pub arcs: u64,
    /// The first of them.
    pub moves: Vec<MovePreview>,
    /// About how many keys would be copied.
    pub keys: u64,
    /// The part of all keys that would get another primary, 0 to 1.
    pub primaries_moved: f64,
    /// The part of all keys that would have one complete copy until the copying is done, 0 to 1.
    pub one_copy: f64,
    /// The part of the keys of which each node is the primary.
    pub shares_before: BTreeMap<String, f64>,
    /// The same afterwards.
    pub shares_after: BTreeMap<String, f64>,
    /// Afterwards: the largest share over the mean of all.
    pub max_over_mean: f64,
    /// What adding a node comes to with other placements, for comparison.
    pub compared: Vec<PlacementPreview>,
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
    /// About how many keys that is.
    pub keys: u64,
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
