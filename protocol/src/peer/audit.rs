//! What servers say to each other to find copies that differ or are damaged, and to mend them.
//! Plain data.

use serde::{Deserialize, Serialize};

use super::{CopyItem, Span};
use crate::ids::{Key, Version};

/// Something to be found out about what a node holds, as of its place on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAsk {
    /// The coordinator's number for the question.
    pub r: u64,
    /// What.
    pub what: Audit,
}

/// What is to be found out, or mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// The counts and hashes of these stretches of the ring, as they are kept.
    Hashes(Vec<Span>),
    /// The records of one stretch, without their values, a portion of them.
    Digests {
        /// The stretch.
        span: Span,
        /// Only keys after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Key>,
    },
    /// Which records are damaged, of a portion of all.
    Scrub {
        /// Only keys after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Key>,
    },
    /// What is there under these keys whatever it is, with its value, if it is whole.
    Copies(Vec<Key>),
    /// Puts these where a damaged record is, and nowhere else.
    Mend(Vec<CopyItem>),
}

/// The answer to an [`AuditAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnswer {
    /// The question's number.
    pub r: u64,
    /// What was found.
    pub what: Audited,
}

/// What was found, or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audited {
    /// To [`Audit::Hashes`]: one each; none of a stretch that is not counted by itself.
    Hashes(Vec<Option<RangeHash>>),
    /// To [`Audit::Digests`].
    Digests {
        /// In the order of their keys' bytes; tombstones are left out.
        items: Vec<Digest>,
        /// There may be more after this key; absent: that was all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        through: Option<Key>,
    },
    /// To [`Audit::Scrub`].
    Scrubbed(Scrubbed),
    /// To [`Audit::Copies`]: those that are there and whole.
    Copies(Vec<CopyItem>),
    /// To [`Audit::Mend`]: the keys whose damaged records were replaced.
    Mended(Vec<Key>),
    /// The keystore could not find it out.
    Failed,
}

/// What was read of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// The keys whose records are damaged.
    pub damaged: Vec<Key>,
    /// What follows the key `through`, or the first record, cannot be read at all: nothing more
    /// was looked at.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub unreadable: bool,
    /// How many records were read.
    pub keys: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// There may be more after this key; absent: that was all, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Key>,
}

/// The live keys of one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeHash {
    /// How many.
    #[serde(rename = "n")]
    pub live: u64,
    /// A hash of all of them that does not depend on their order.
    #[serde(rename = "h")]
    pub hash: u64,
}

/// A record without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The key.
    #[serde(rename = "k")]
    pub key: Key,
    /// Which write it was.
    #[serde(rename = "at")]
    pub version: Version,
    /// The checksum of key, version and value that was kept with it.
    #[serde(rename = "c")]
    pub checksum: u32,
    /// It is not what was written.
    #[serde(default, rename = "bad", skip_serializing_if = "super::is_false")]
    pub damaged: bool,
}
