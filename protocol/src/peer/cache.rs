//! What a coordinator asks to be shown of a node's cache, and the node's answer. Said only while
//! somebody looks. Plain data.

use serde::{Deserialize, Serialize};

use crate::event::{CacheEvict, CacheSet, SetRow};

/// What is looked at from now on, until the next ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheAsk {
    /// These sets in a row: the first, and how many.
    pub sets: Option<(u32, u32)>,
    /// This one closely.
    pub set: Option<u32>,
}

/// The answer to a [`CacheAsk`]; servers are not named in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheAnswer {
    /// As it was asked.
    pub sets: Option<(u32, u32)>,
    /// Those sets, as far as there are so many.
    pub rows: Vec<SetRow>,
    /// The other one, if there is such a set.
    pub closely: Option<CacheSet>,
    /// Its sweeps since the last ask.
    pub sweeps: Vec<CacheEvict>,
}
