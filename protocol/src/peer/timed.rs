//! How long yes votes took at a node. Said only while a coordinator asks for it. Plain data.

use serde::{Deserialize, Serialize};

use crate::event::NodeUs;

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

impl Timed {
    /// Whether it tells of this one of the yes votes.
    pub fn is_of(&self, nth: u32) -> bool {
        nth.checked_sub(self.from).is_some_and(|nth| nth < self.votes)
    }

    /// The durations as they are told.
    pub fn node_us(&self) -> NodeUs {
        NodeUs { queue: self.queue_us, append: self.append_us, sync: self.sync_us }
    }
}
