//! The decided values of a node's keys, behind one small trait.
//!
//! Called by the one thread that owns a node's keystore. It is never synced for an update: the
//! log is, and what was applied since the last checkpoint is applied again from the log after a
//! crash. A checkpoint makes everything up to one group durable, all or nothing; then the log's
//! older groups may go. Never shows a value whose checksum is wrong, never lets an older version
//! replace a newer one, and counts keys by what it holds, not by what it was told.
//!
//! `fjall` keeps them on disk, `memory` in memory for simulation and `--storage memory`; `ranges`
//! is the count of live keys that both keep. `inspect` shows what lies on a disk.

use std::ops::Bound;

use protocol::ids::{GroupSeq, Key, Uuid, Value, Version};
use protocol::peer::{OnceEntry, Placement};

use super::codec;
use crate::core::record::Committed;
use crate::core::ring::{byte_sum, hash_of};

pub mod entry;
pub mod fjall;
pub mod inspect;
mod manifest;
pub mod memory;
mod ranges;
#[cfg(test)]
mod tests;

pub use self::ranges::{RANGES_MAX, RangeCount, Ranges};

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version of the last write.
    pub version: Version,
    /// The value, or `None`: the write was a deletion (a tombstone).
    pub value: Option<Value>,
    /// As in the write.
    pub flags: u32,
    /// As in the write; wall clock, ms; 0 = never.
    pub expires_ms: u64,
    /// [`codec::checksum`] of key, version and value.
    pub checksum: u32,
}

impl Stored {
    /// What `committed` leaves behind.
    pub fn of(committed: &Committed) -> Self {
        let Committed { version, write, .. } = committed;
        Self {
            version: *version,
            value: write.value.clone(),
            flags: write.flags,
            expires_ms: write.expires_ms,
            checksum: codec::checksum(&write.key, *version, write.value.as_ref()),
        }
    }

    /// Whether there is a value.
    pub fn is_live(&self) -> bool {
        self.value.is_some()
    }

    /// Refuses it if it is not what was once written under `key`.
    fn verified(self, key: &Key) -> Result<Self, KeystoreError> {
        if self.checksum == codec::checksum(key, self.version, self.value.as_ref()) {
            return Ok(self);
        }
        Err(KeystoreError::Corrupt(format!("the checksum of key {key:?} is wrong")))
    }

    /// Roughly how many bytes it takes in memory.
    fn bytes(&self, key: &Key) -> u64 {
        (key.as_bytes().len() + self.value.as_ref().map_or(0, Value::len) + 160) as u64
    }
}

/// Why the keystore cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// What is stored is not what was written: the store must not serve.
    #[error(
        "the keystore is damaged: {0}; this store has lost data, start it with an empty \
             directory to let it rejoin as a new one"
    )]
    Corrupt(String),
    /// There is no space for a checkpoint: what was applied is as before, and another one may be
    /// begun when there is.
    #[error("there is no space for a checkpoint of the keystore ({0}): free some")]
    NoSpace(String),
    /// The storage engine or the disk failed: the process must end.
    #[error("the keystore failed: {0}; stop this process and check the disk")]
    Failed(String),
    /// A newer program wrote it.
    #[error(
        "the keystore has format {format}, written by version {written_by}; start that \
             version or a newer one"
    )]
    Newer {
        /// The keystore's format.
        format: u32,
        /// The version of the program that wrote it.
        written_by: String,
    },
    /// It belongs to another store or cluster.
    #[error(
        "the keystore belongs to store {store} of cluster {cluster}; give each node a \
             directory of its own"
    )]
    Foreign {
        /// The store that it belongs to.
        store: Uuid,
        /// The cluster that it belongs to.
        cluster: Uuid,
    },
}

/// The work of making a frozen state durable; for any thread, one at a time.
pub struct Checkpoint(Box<dyn FnOnce() -> Result<(), KeystoreError> + Send>);

/// The outcome of [`Checkpoint::run`], for [`Keystore::end_checkpoint`].
pub struct Checkpointed(Result<(), KeystoreError>);

impl Checkpointed {
    /// That of a checkpoint for which there was no space; for tests of their owner.
    pub fn no_space() -> Self {
        Self(Err(KeystoreError::NoSpace("a test".into())))
    }
}

impl Checkpoint {
    /// Writes and syncs what was frozen. Blocks for as long as the disk takes.
    pub fn run(self) -> Checkpointed {
        Checkpointed((self.0)())
    }
}

/// What `committed` adds to the named updates (R16).
fn named(committed: &Committed) -> Option<OnceEntry> {
    let once = committed.once.clone()?;
    let (hash, sum) = (hash_of(&committed.write.key), byte_sum(&committed.write.key));
    Some(OnceEntry { version: committed.version, hash, sum, once })
}

/// Roughly how many bytes a named update takes in memory.
const ONCE_BYTES: u64 = 160;

/// The live keys of a scan, and where it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Sorted by the keys' bytes.
    pub items: Vec<(Key, Stored)>,
    /// There may be more after this key; `None`: that was all.
    pub through: Option<Key>,
}

/// What a scan looks at, and how much it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What the keys begin with; empty: all keys.
    pub prefix: Box<str>,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// It ends after so many keys, tombstones counted; at least 1.
    pub looks_max: usize,
    /// It ends when the values have so many bytes.
    pub bytes_max: usize,
}

impl Scan {
    /// Where it begins, among keys.
    fn start(&self) -> Bound<Key> {
        let prefix = Key::new(&self.prefix).ok();
        match (&self.after, prefix) {
            (Some(after), prefix) if prefix.as_ref().is_none_or(|p| p <= after) => {
                Bound::Excluded(after.clone())
            }
            (_, Some(prefix)) => Bound::Included(prefix),
            (_, None) => Bound::Unbounded,
        }
    }
}

/// A page on its way.
struct Paging<'a> {
    scan: &'a Scan,
    page: Page,
    looks: usize,
    bytes: usize,
}

impl<'a> Paging<'a> {
    fn new(scan: &'a Scan) -> Self {
        assert!(scan.looks_max > 0, "a scan that looks at nothing goes round in circles");
        Self { scan, page: Page::default(), looks: 0, bytes: 0 }
    }

    /// Takes the next key; false if the page ends with it or before it.
    fn take(&mut self, key: Key, stored: Stored) -> Result<bool, KeystoreError> {
        if !key.as_str().starts_with(&*self.scan.prefix) {
            return Ok(false);
        }
        self.looks += 1;
        self.bytes += stored.value.as_ref().map_or(0, Value::len);
        let full = self.looks >= self.scan.looks_max || self.bytes >= self.scan.bytes_max;
        if full {
            self.page.through = Some(key.clone());
        }
        if stored.is_live() {
            let stored = stored.verified(&key)?;
            self.page.items.push((key, stored));
        }
        Ok(!full)
    }
}

/// A store of the newest decided write of each key, and of the named updates (R16).
///
/// After `NoSpace` the owner goes on, and begins another checkpoint later. After `Failed` or
/// `Corrupt` the owner stops using it.
pub trait Keystore: Send {
    /// What is stored under `key`, tombstones too; `None` if nothing ever was.
    fn get(&self, key: &Key) -> Result<Option<Stored>, KeystoreError>;

    /// Applies decided writes, as one step: all decisions in the log's groups up to and including
    /// `through` are in afterwards. A write loses against a newer or the same version; so
    /// applying a write again changes nothing. A lower `through` than before is ignored.
    fn apply(&mut self, writes: &[Committed], through: GroupSeq) -> Result<(), KeystoreError>;

    /// All decisions in the log's groups up to and including this one are in.
    fn through(&self) -> GroupSeq;

    /// The same of what is durable: the last finished checkpoint. Groups after it are needed.
    fn checkpointed(&self) -> GroupSeq;

    /// How many bytes of memory hold what is not in a finished checkpoint, roughly. The owner
    /// begins a checkpoint when they are many, and holds updates back while they are too many.
    fn unsaved_bytes(&self) -> u64;

    /// Freezes what was applied so far, for a checkpoint that runs elsewhere; reads and applies
    /// go on meanwhile. `None` while another one is under way.
    fn begin_checkpoint(&mut self) -> Option<Checkpoint>;

    /// Ends the checkpoint that was begun: returns up to which group all is durable now. After
    /// `NoSpace` none is under way.
    fn end_checkpoint(&mut self, done: Checkpointed) -> Result<GroupSeq, KeystoreError>;

    /// Makes everything applied so far durable, here and now.
    ///
    /// # Panics
    /// If a checkpoint is under way.
    fn checkpoint(&mut self) -> Result<GroupSeq, KeystoreError> {
        let work = self.begin_checkpoint().expect("no checkpoint is under way");
        self.end_checkpoint(work.run())
    }

    /// Counts by these points of a ring on which keys are so placed from now on, sorted and at
    /// most [`RANGES_MAX`]. Reads all keys unless it counts by just these already.
    ///
    /// # Panics
    /// If the points do not rise or are too many.
    fn set_ranges(&mut self, placement: Placement, points: &[u64]) -> Result<(), KeystoreError>;

    /// How many live keys each range has, and the hash of them, in the order of the points: that
    /// of the ring's arcs.
    fn counts(&self) -> &[RangeCount];

    /// A page of the live keys.
    fn scan(&self, scan: &Scan) -> Result<Page, KeystoreError>;

    /// The first `limit` named updates after `after`, versions rising: all that were ever applied
    /// and not dropped since.
    fn onces(&self, after: Version, limit: usize) -> Result<Vec<OnceEntry>, KeystoreError>;

    /// Named updates below `from` need not be kept any more. A crash may bring them back.
    fn drop_onces(&mut self, from: Version) -> Result<(), KeystoreError>;
}
