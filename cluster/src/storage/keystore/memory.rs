//! A keystore in memory, for simulation and `--storage memory`.
//!
//! It can lose its power as one on disk does: back to the last checkpoint, or to any point
//! between that and now, since what a disk writes of its own accord is a prefix. Deterministic;
//! nothing outlives the process.

use std::collections::BTreeMap;
use std::ops::Bound;

use protocol::ids::{GroupSeq, Key, Value, Version};
use protocol::peer::OnceEntry;

use super::{
    Checkpoint, Checkpointed, Counting, Keystore, KeystoreError, ONCE_BYTES, Stored, Visit,
    bytes_of, named,
};
use crate::core::planted::{Bug, planted};
use crate::core::record::Committed;
use crate::storage::codec;

/// A keystore in memory.
#[derive(Clone, Default)]
pub struct MemoryKeystore {
    keys: BTreeMap<Key, Stored>,
    onces: BTreeMap<Version, OnceEntry>,
    counting: Counting,
    through: GroupSeq,
    checkpointed: GroupSeq,
    /// What each batch since the last checkpoint replaced, oldest first.
    undo: Vec<Undo>,
    unsaved_bytes: u64,
    /// Of the checkpoint under way: how many of `undo` it covers, and up to which group.
    freezing: Option<(usize, GroupSeq)>,
}

#[derive(Clone, Default)]
struct Undo {
    replaced: Vec<(Key, Option<Stored>)>,
    named: Vec<Version>,
    dropped: BTreeMap<Version, OnceEntry>,
    through: GroupSeq,
    bytes: u64,
}

impl MemoryKeystore {
    /// An empty keystore.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many batches were applied since the last finished checkpoint.
    pub fn unsaved_batches(&self) -> usize {
        self.undo.len()
    }

    /// Loses power: of the batches since the last finished checkpoint only the first `keep` are
    /// left, durable. A checkpoint under way is gone.
    ///
    /// # Panics
    /// If there are fewer than `keep`.
    pub fn crash(&mut self, keep: usize) {
        assert!(keep <= self.undo.len(), "only unsaved batches can be lost");
        for undo in self.undo.drain(keep..).rev() {
            for (key, before) in undo.replaced.into_iter().rev() {
                let now = match &before {
                    Some(stored) => self.keys.insert(key.clone(), stored.clone()),
                    None => self.keys.remove(&key),
                };
                let uncounted = self.counting.change(&key, now.as_ref(), before.as_ref());
                uncounted.expect("what is in memory was counted");
            }
            for version in undo.named {
                self.onces.remove(&version);
            }
            self.onces.extend(undo.dropped);
            self.through = undo.through;
        }
        self.undo.clear();
        self.counting.stop();
        self.checkpointed = self.through;
        self.unsaved_bytes = 0;
        self.freezing = None;
    }

    /// The value under `key` becomes another one behind the store's back, as on a disk that rots;
    /// with `whole` its checksum fits. Returns whether there was a value.
    pub fn rot(&mut self, key: &Key, whole: bool) -> bool {
        let Some(stored) = self.keys.get_mut(key).filter(|stored| stored.is_live()) else {
            return false;
        };
        stored.value = Some(Value::from("rotten"));
        if whole {
            stored.checksum = codec::checksum(key, stored.version, stored.value.as_ref());
        }
        true
    }

    /// Something was done that is not in a checkpoint.
    fn done(&mut self, undo: Undo) {
        self.unsaved_bytes += undo.bytes;
        self.undo.push(undo);
    }
}

impl Keystore for MemoryKeystore {
    fn get(&self, key: &Key) -> Result<Option<Stored>, KeystoreError> {
        self.keys.get(key).cloned().map(|stored| stored.verified(key)).transpose()
    }

    fn apply(&mut self, writes: &[Committed], through: GroupSeq) -> Result<(), KeystoreError> {
        let mut undo = Undo { through: self.through, ..Undo::default() };
        for committed in writes {
            if let Some(entry) = named(committed)
                && self.onces.insert(committed.version, entry).is_none()
            {
                undo.named.push(committed.version);
                undo.bytes += ONCE_BYTES;
            }
            let key = &committed.write.key;
            let before = self.keys.get(key);
            let old = before.is_some_and(|before| before.version >= committed.version);
            if old && !planted(Bug::OlderReplacesNewer) {
                continue;
            }
            let after = Stored::of(committed);
            self.counting.change(key, before, Some(&after))?;
            undo.bytes += bytes_of(key, Some(&after));
            undo.replaced.push((key.clone(), self.keys.insert(key.clone(), after)));
        }
        self.through = self.through.max(through);
        self.done(undo);
        Ok(())
    }

    fn through(&self) -> GroupSeq {
        self.through
    }

    fn checkpointed(&self) -> GroupSeq {
        self.checkpointed
    }

    fn unsaved_bytes(&self) -> u64 {
        self.unsaved_bytes
    }

    fn begin_checkpoint(&mut self) -> Option<Checkpoint> {
        if self.freezing.is_some() {
            return None;
        }
        self.freezing = Some((self.undo.len(), self.through));
        Some(Checkpoint(Box::new(|| Ok(()))))
    }

    fn end_checkpoint(&mut self, done: Checkpointed) -> Result<GroupSeq, KeystoreError> {
        let (batches, through) = self.freezing.take().expect("a checkpoint was begun");
        done.0?;
        let saved: u64 = self.undo.drain(..batches).map(|undo| undo.bytes).sum();
        self.unsaved_bytes -= saved;
        self.checkpointed = through;
        Ok(through)
    }

    fn walk(&self, start: Bound<Key>, visit: Visit<'_>) -> Result<(), KeystoreError> {
        for (key, stored) in self.keys.range((start, Bound::Unbounded)) {
            if !visit(key.clone(), stored.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn replace(&mut self, key: &Key, stored: Stored) -> Result<(), KeystoreError> {
        let mut undo = Undo { through: self.through, ..Undo::default() };
        let before = self.keys.get(key);
        self.counting.change(key, before, Some(&stored))?;
        undo.bytes = bytes_of(key, Some(&stored));
        undo.replaced.push((key.clone(), self.keys.insert(key.clone(), stored)));
        self.done(undo);
        Ok(())
    }

    fn drop_entries(&mut self, keys: &[Key], onces: &[Version]) -> Result<(), KeystoreError> {
        let mut undo = Undo { through: self.through, ..Undo::default() };
        for key in keys {
            let before = self.keys.remove(key);
            self.counting.change(key, before.as_ref(), None)?;
            undo.bytes += bytes_of(key, before.as_ref());
            undo.replaced.push((key.clone(), before));
        }
        let dropped = onces.iter().filter_map(|version| self.onces.remove_entry(version));
        undo.dropped = dropped.collect();
        self.done(undo);
        Ok(())
    }

    fn counting(&self) -> &Counting {
        &self.counting
    }

    fn counting_mut(&mut self) -> &mut Counting {
        &mut self.counting
    }

    fn onces(&self, after: Version, limit: usize) -> Result<Vec<OnceEntry>, KeystoreError> {
        let later = self.onces.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    fn keep_onces(&mut self, entries: &[OnceEntry]) -> Result<(), KeystoreError> {
        let mut undo = Undo { through: self.through, ..Undo::default() };
        for entry in entries {
            if self.onces.insert(entry.version, entry.clone()).is_none() {
                undo.named.push(entry.version);
                undo.bytes += ONCE_BYTES;
            }
        }
        self.done(undo);
        Ok(())
    }

    fn drop_onces(&mut self, from: Version) -> Result<(), KeystoreError> {
        let kept = self.onces.split_off(&from);
        let dropped = std::mem::replace(&mut self.onces, kept);
        self.undo.push(Undo { dropped, through: self.through, ..Undo::default() });
        Ok(())
    }
}
