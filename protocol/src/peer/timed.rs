//! How long yes votes took at a node. Said only while a coordinator asks for it. Plain data.

use serde::{Deserialize, Serialize};

/// Of some of the yes votes of a message: durations on the node's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// The place of the first of them among the yes votes.
    pub from: u32,
    /// How many, from there on.
    #[serde(rename = "n")]
    pub votes: u32,
    /// From the first one's arrival until their group was written, microseconds.
    #[serde(rename = "q")]
    pub queue_us: u64,
    /// To write the group.
    #[serde(rename = "a")]
    pub append_us: u64,
    /// To sync it.
    #[serde(rename = "s")]
    pub sync_us: u64,
}
