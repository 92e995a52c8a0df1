//! How a learner gets what it does not have: the coordinator asks a member that has it for
//! portions and hands them on. Plain data.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{OnceEntry, Span, WireValue};
use crate::ids::{Key, MemberId, Version};

/// A question for a portion of what a node holds, as of its place on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyAsk {
    /// The coordinator's number for the question.
    pub r: u64,
    /// Only keys after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
    /// Only what was written by this version or a later one.
    pub since: Version,
    /// The stretches of the ring.
    pub spans: Vec<Span>,
    /// After how many bytes the portion ends, as in [`CopyItem::bytes`]; a node may end it earlier.
    pub bytes_max: u64,
}

/// The answer to a [`CopyAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyAnswer {
    /// The question's number.
    pub r: u64,
    /// Absent: there is none, see `damaged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portion: Option<Portion>,
    /// There may be more after this key; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Key>,
    /// Of deletions below this version nothing may be in it: whoever asks for what was written
    /// since an earlier one must ask for all.
    #[serde(default, skip_serializing_if = "is_first")]
    pub swept: Version,
    /// There is no portion: what is under this key is not what was written.
    #[serde(default, rename = "bad", skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Key>,
}

/// What the last decided write of a key left; a tombstone where there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyItem {
    /// The key.
    #[serde(rename = "k")]
    pub key: Key,
    /// Which write it was.
    #[serde(rename = "at")]
    pub version: Version,
    /// The value.
    #[serde(default, rename = "v", skip_serializing_if = "Option::is_none")]
    pub value: Option<WireValue>,
    /// As in the write.
    #[serde(default, rename = "f", skip_serializing_if = "is_zero_u32")]
    pub flags: u32,
    /// As in the write.
    #[serde(default, rename = "x", skip_serializing_if = "is_zero")]
    pub expires_ms: u64,
}

/// What an item counts for beside its key and value, bytes.
const ITEM_BYTES: u64 = 64;

/// What a key with a value of this length counts for where copies and pages are paced, bounded and
/// told, bytes.
pub fn item_bytes(key: &Key, value_bytes: usize) -> u64 {
    (key.as_bytes().len() + value_bytes) as u64 + ITEM_BYTES
}

impl CopyItem {
    /// As [`item_bytes`].
    pub fn bytes(&self) -> u64 {
        item_bytes(&self.key, self.value.as_ref().map_or(0, |value| value.0.len()))
    }
}

/// Items on their way from one node to another. Who hands them on does not look into them: they are
/// read where they are taken in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Portion {
    /// How many there are.
    #[serde(rename = "n")]
    pub keys: u64,
    /// What they count for, as in [`CopyItem::bytes`].
    #[serde(rename = "b")]
    pub bytes: u64,
    items: Box<RawValue>,
}

impl Portion {
    /// Of items in the order of their keys' bytes, tombstones too.
    pub fn of(items: &[CopyItem]) -> Self {
        let written = serde_json::value::to_raw_value(items);
        Self {
            keys: items.len() as u64,
            bytes: items.iter().map(CopyItem::bytes).sum(),
            items: written.expect("plain data always serializes"),
        }
    }

    /// What is in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn items(&self) -> Result<Vec<CopyItem>, serde_json::Error> {
        serde_json::from_str(self.items.get())
    }
}

impl PartialEq for Portion {
    fn eq(&self, other: &Self) -> bool {
        let Self { keys, bytes, items } = self;
        (*keys, *bytes, items.get()) == (other.keys, other.bytes, other.items.get())
    }
}

impl Eq for Portion {}

/// A portion that has everything of some stretches: what a learner has there beside it was deleted
/// while it was away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The stretches of the ring.
    pub spans: Vec<Span>,
    /// Of keys after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
    /// Through this one; absent: to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Key>,
    /// But what has this version or a later one stays.
    pub below: Version,
}

/// How far the copy of some stretches has come. The learner is told it with each portion and keeps
/// it while it runs; the next coordinator hears of it with the report, and goes on from there if it
/// is the same copy that it would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Whose portions they all were.
    pub source: MemberId,
    /// The stretches of the ring; never empty.
    pub spans: Vec<Span>,
    /// As in [`CopyAsk::since`].
    pub since: Version,
    /// As in [`super::Learning::from`].
    pub from: Version,
    /// What the learner has of the stretches is all through this key.
    pub through: Key,
    /// The highest of [`CopyAnswer::swept`].
    #[serde(default, skip_serializing_if = "is_first")]
    pub swept: Version,
    /// Keys that were copied so far.
    pub keys: u64,
    /// What they count for, as in [`CopyItem::bytes`].
    pub bytes: u64,
}

/// A portion for a learner: newer versions win.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPut {
    /// The coordinator's number for it.
    pub r: u64,
    /// What others hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portion: Option<Portion>,
    /// Named updates (R16).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onces: Vec<OnceEntry>,
    /// What else the learner has there goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Extent>,
    /// How far the copy is with it; absent where that can be gone on from by nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<CopyProgress>,
    /// As in the answers from which it comes.
    #[serde(default, skip_serializing_if = "is_first")]
    pub swept: Version,
    /// That was all: answered when everything so far is durable.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub last: bool,
}

fn is_first(version: &Version) -> bool {
    *version == Version::ZERO
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}
