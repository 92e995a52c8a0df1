//! The decided values of a node's keys, behind one small trait.
//!
//! Called by the one thread that owns a node's keystore. It is never synced for an update: the
//! log is, and what was applied since the last checkpoint is applied again from the log after a
//! crash. A checkpoint makes everything up to one group durable, all or nothing; then the log's
//! older groups may go. Never shows a value whose checksum is wrong, never lets an older version
//! replace a newer one, and counts keys by what it holds, not by what it was told.
//!
//! `fjall` keeps them on disk, `memory` in memory for simulation and `--storage memory`; `ranges`
//! is the count of live keys that both keep, `paging` says where portions of keys end, `spans` what
//! lies in stretches of the ring, `audit` what finds and mends damage. `inspect` shows what lies on
//! a disk.

use std::collections::BTreeSet;
use std::ops::Bound;

use protocol::ids::{GroupSeq, Key, Uuid, Value, Version};
use protocol::peer::{Audit, Audited, CopyItem, Extent, OnceEntry, Placement, Span, WireValue};

use super::codec;
use crate::core::record::Committed;
use crate::core::ring::{byte_sum, hash_of};

mod audit;
pub mod entry;
pub mod fjall;
pub mod inspect;
mod manifest;
pub mod memory;
mod paging;
mod ranges;
mod spans;
#[cfg(test)]
mod tests;

pub use self::paging::{CopyScan, Page, Scan};
use self::paging::{Paging, behind};
pub use self::ranges::{Counting, RANGES_MAX, RangeCount, Ranges};
use self::spans::Spans;

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

    /// What stands for a record that cannot even be read.
    fn illegible(key: &Key) -> Self {
        let version = Version::ZERO;
        let checksum = !codec::checksum(key, version, None);
        Self { version, value: None, flags: 0, expires_ms: 0, checksum }
    }

    /// Whether it is what was once written under `key`.
    fn is_whole(&self, key: &Key) -> bool {
        self.checksum == codec::checksum(key, self.version, self.value.as_ref())
    }

    /// Refuses it if it is not what was once written under `key`.
    fn verified(self, key: &Key) -> Result<Self, KeystoreError> {
        if self.is_whole(key) {
            return Ok(self);
        }
        Err(KeystoreError::Damaged(key.clone()))
    }

    /// As a portion for a learner has it.
    pub fn into_item(self, key: Key) -> CopyItem {
        let Self { version, value, flags, expires_ms, checksum: _ } = self;
        CopyItem { key, version, value: value.map(WireValue), flags, expires_ms }
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
    /// One record is not what was written: it must not be served, all others may be.
    #[error(
        "the record of key {0:?} is damaged: `piazza admin repair` replaces it by the copy of \
             another node"
    )]
    Damaged(Key),
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

/// Roughly how many bytes of memory hold what is under `key`; the mark of one that was dropped, if
/// nothing is.
fn bytes_of(key: &Key, stored: Option<&Stored>) -> u64 {
    let value = stored.and_then(|stored| stored.value.as_ref());
    (key.as_bytes().len() + value.map_or(0, Value::len) + 160) as u64
}

/// How many named updates are looked at together.
const ONCES_AT_A_TIME: usize = 4096;

/// Is shown keys with what is under them; says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(Key, Stored) -> Result<bool, KeystoreError>;

/// A store of the newest decided write of each key, and of the named updates (R16).
///
/// After `NoSpace` the owner goes on, and begins another checkpoint later. After `Failed` or
/// `Corrupt` the owner stops using it.
pub trait Keystore: Send {
    /// What is stored under `key`, tombstones too; `None` if nothing ever was.
    fn get(&self, key: &Key) -> Result<Option<Stored>, KeystoreError>;

    /// Applies decided writes, as one step: all decisions in the log's groups up to and including
    /// `through` are in afterwards. A write loses against a newer or the same version, be that
    /// damaged or not; so applying a write again changes nothing. A lower `through` than before is
    /// ignored.
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

    /// Shows every key from `start` on with what is under it, tombstones too, in the order of the
    /// keys' bytes, until `visit` says no. The checksums are not verified.
    fn walk(&self, start: Bound<Key>, visit: Visit<'_>) -> Result<(), KeystoreError>;

    /// A page of the live keys.
    fn scan(&self, scan: &Scan) -> Result<Page, KeystoreError> {
        let mut paging = Paging::new(scan.looks_max, scan.bytes_max);
        self.walk(scan.start(), &mut |key, stored| {
            let wanted = stored.is_live();
            Ok(key.as_str().starts_with(&*scan.prefix) && paging.look(key, stored, wanted)?)
        })?;
        Ok(paging.page)
    }

    /// A portion of what there is for a learner, tombstones too. Stretches here and in `retain` are
    /// of keys' hashes: where keys are placed otherwise nobody learns or drops any.
    fn copy(&self, copy: &CopyScan) -> Result<Page, KeystoreError> {
        let spans = Spans::new(&copy.spans);
        let mut paging = Paging::new(copy.looks_max, copy.bytes_max);
        self.walk(behind(copy.after.as_ref()), &mut |key, stored| {
            let wanted = stored.version >= copy.since && spans.contains(hash_of(&key));
            paging.look(key, stored, wanted)
        })?;
        Ok(paging.page)
    }

    /// Drops, of the next `looks_max` keys after `after`, all records whose keys lie outside of
    /// these stretches of the ring, and returns where to go on; `None`: that was all, and the named
    /// updates outside are dropped too. Counts go down with what is dropped.
    ///
    /// Once the counts prove that no live key is outside, no key is looked at: tombstones there may
    /// stay, which lose against what a learner of those stretches is told. A crash may bring back
    /// what was dropped since the last checkpoint: then this is to be asked for again.
    fn retain(
        &mut self,
        spans: &[Span],
        after: Option<&Key>,
        looks_max: usize,
    ) -> Result<Option<Key>, KeystoreError> {
        let spans = Spans::new(spans);
        let mut step = Paging::step(looks_max);
        let mut keys = Vec::new();
        if self.counting().may_be_outside(&spans) {
            self.walk(behind(after), &mut |key, stored| {
                if !spans.contains(hash_of(&key)) {
                    keys.push(key.clone());
                }
                step.look(key, stored, false)
            })?;
        }
        let through = step.page.through;
        let mut onces = Vec::new();
        let mut seen = through.is_none().then_some(Version::ZERO);
        while let Some(after) = seen {
            let some = self.onces(after, ONCES_AT_A_TIME)?;
            seen = some.last().map(|entry| entry.version);
            let outside = some.iter().filter(|entry| !spans.contains(entry.hash));
            onces.extend(outside.map(|entry| entry.version));
        }
        self.drop_entries(&keys, &onces)?;
        Ok(through)
    }

    /// Drops, of the next `looks_max` keys of these stretches, what is older than what a learner
    /// takes part in and not among `keep`, and returns how many, and where to go on; `None`: that
    /// was all.
    fn drop_others(
        &mut self,
        whole: &Extent,
        keep: &BTreeSet<Key>,
        looks_max: usize,
    ) -> Result<(u64, Option<Key>), KeystoreError> {
        let spans = Spans::new(&whole.spans);
        let mut step = Paging::step(looks_max);
        let mut keys = Vec::new();
        self.walk(behind(whole.after.as_ref()), &mut |key, stored| {
            if whole.through.as_ref().is_some_and(|through| key > *through) {
                return Ok(false);
            }
            let inside = spans.contains(hash_of(&key));
            if inside && stored.version < whole.below && !keep.contains(&key) {
                keys.push(key.clone());
            }
            step.look(key, stored, false)
        })?;
        self.drop_entries(&keys, &[])?;
        Ok((keys.len() as u64, step.page.through))
    }

    /// Drops, of the next `looks_max` keys after `after`, the tombstones of versions below this
    /// one, and returns how many, and where to go on; `None`: that was all.
    fn sweep(
        &mut self,
        below: Version,
        after: Option<&Key>,
        looks_max: usize,
    ) -> Result<(u64, Option<Key>), KeystoreError> {
        let mut step = Paging::step(looks_max);
        let mut keys = Vec::new();
        self.walk(behind(after), &mut |key, stored| {
            if !stored.is_live() && stored.version < below && stored.is_whole(&key) {
                keys.push(key.clone());
            }
            step.look(key, stored, false)
        })?;
        self.drop_entries(&keys, &[])?;
        Ok((keys.len() as u64, step.page.through))
    }

    /// Finds out what is wanted, or mends, and looks at so many keys at most.
    ///
    /// # Errors
    /// Where something can be said of what is damaged, that is no error but the answer.
    fn audit(&mut self, what: &Audit, looks_max: usize) -> Result<Audited, KeystoreError> {
        audit::run(self, what, looks_max)
    }

    /// Puts a record in the place of whatever is under `key`.
    fn replace(&mut self, key: &Key, stored: Stored) -> Result<(), KeystoreError>;

    /// Drops what is under these keys, tombstones too, and these named updates, as one step.
    fn drop_entries(&mut self, keys: &[Key], onces: &[Version]) -> Result<(), KeystoreError>;

    /// The counts of the live keys.
    fn counting(&self) -> &Counting;

    /// The same, to be kept in step.
    fn counting_mut(&mut self) -> &mut Counting;

    /// Counts by these points of a ring on which keys are so placed from now on, sorted and at
    /// most [`RANGES_MAX`]. Where the counts there are do not add up to these, `ranges` stays as it
    /// was until enough `recount_step`s are done.
    ///
    /// # Panics
    /// If the points do not rise or are too many.
    fn set_ranges(&mut self, placement: Placement, points: &[u64]) {
        self.counting_mut().count_by(placement, points);
    }

    /// Counts the next `looks_max` keys, where keys are to be counted anew; whether any are left.
    /// Writes may come between the steps.
    fn recount_step(&mut self, looks_max: usize) -> Result<bool, KeystoreError> {
        let mut counting = std::mem::take(self.counting_mut());
        let left = counting.step(looks_max, &|start, visit| self.walk(start, visit));
        *self.counting_mut() = counting;
        left
    }

    /// How many live keys each range has, and the hash of them: the ranges are the ring's arcs.
    fn ranges(&self) -> &Ranges {
        self.counting().known()
    }

    /// The first `limit` named updates after `after`, versions rising: all that were ever applied
    /// or kept, and not dropped since.
    fn onces(&self, after: Version, limit: usize) -> Result<Vec<OnceEntry>, KeystoreError>;

    /// Adds named updates as if they had been applied.
    fn keep_onces(&mut self, entries: &[OnceEntry]) -> Result<(), KeystoreError>;

    /// Named updates below `from` need not be kept any more. A crash may bring them back.
    fn drop_onces(&mut self, from: Version) -> Result<(), KeystoreError>;
}
