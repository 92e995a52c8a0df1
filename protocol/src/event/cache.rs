//! Events about caches: counters of all, sets that somebody looks at, one set closely.

use serde::{Deserialize, Serialize};

use crate::error::version_text;
use crate::ids::{Key, Version};
use crate::status::CacheStatus;

/// The counters of all caches, once a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheTotals {
    /// The coordinator first, then the nodes.
    pub servers: Vec<CacheCounters>,
}

/// One server's cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheCounters {
    /// Whose it is.
    pub server: String,
    /// Its shape and counters.
    #[serde(flatten)]
    pub cache: CacheStatus,
}

/// The sets of the window that a subscriber looks at, four times a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheSets {
    /// Whose cache it is.
    pub server: String,
    /// The sets, in order.
    pub sets: Vec<SetRow>,
}

/// One set of a window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetRow {
    /// Its number.
    pub set: u32,
    /// Which ways hold an entry: bit 0 is way 0, in hex.
    pub valid: String,
    /// Which have been used since the hand came by, likewise.
    #[serde(rename = "ref")]
    pub referenced: String,
    /// Where the next sweep begins.
    pub hand: u16,
    /// Reads answered from it.
    pub hits: u64,
    /// Reads it could not answer.
    pub misses: u64,
    /// Entries that gave way to others.
    pub evictions: u64,
    /// Entries that were passed over for having been used.
    pub second_chances: u64,
}

/// One set, closely.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheSet {
    /// Whose cache it is.
    pub server: String,
    /// Its number.
    pub set: u32,
    /// Its ways that hold something, in order.
    pub ways: Vec<Way>,
    /// Where the next sweep begins.
    pub hand: u16,
    /// The way that it would empty; none while the set is empty.
    #[serde(default)]
    pub next_victim: Option<u16>,
}

/// One way of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Its number.
    pub way: u16,
    /// The key in it.
    pub key: Key,
    /// The version of its value.
    #[serde(with = "version_text")]
    pub version: Option<Version>,
    /// How long it has been there.
    pub age_ms: u64,
    /// Reads that it has answered.
    pub hits: u64,
    /// Its second-chance bit.
    #[serde(rename = "ref")]
    pub referenced: bool,
    /// Bytes that it counts for.
    pub bytes: u64,
}

/// What an entry had to give way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// What a read that missed has found.
    Miss,
    /// What was written.
    Write,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// A sweep of the set that is looked at closely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEvict {
    /// Whose cache it is.
    pub server: String,
    /// The set's number.
    pub set: u32,
    /// The key that needed room.
    pub trigger_key: Key,
    /// Why it came.
    pub trigger: Trigger,
    /// The ways that the hand came by, in order; the last one is the victim.
    pub steps: Vec<EvictStep>,
    /// The way that was emptied.
    pub victim: u16,
    /// The way that was filled; none: there was no room after all.
    #[serde(default)]
    pub filled_way: Option<u16>,
    /// Where the hand stopped.
    pub hand_after: u16,
}

/// One step of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictStep {
    /// The way.
    pub way: u16,
    /// The key in it; none: it was empty.
    #[serde(default)]
    pub key: Option<Key>,
    /// Its second-chance bit as the hand met it.
    #[serde(rename = "ref")]
    pub referenced: bool,
    /// What was done.
    pub action: StepAction,
}

/// What a sweep does at a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// Its bit was set: it is cleared, and the entry stays.
    SecondChance,
    /// Nothing was there.
    Skip,
    /// Its bit was clear: the entry goes.
    Evict,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}
