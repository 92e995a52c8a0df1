//! The keystore on disk: a table in memory in front of an LSM-tree.
//!
//! What was applied since the last checkpoint is in memory only, sorted. A checkpoint writes it
//! as finished tables, syncs them and registers them with one atomic change of the tree's
//! manifest, together with the counts and the group up to which it goes. So the tree is always
//! exactly a checkpoint, and the engine's journal is never written: a torn page in it, over which
//! the engine refuses to open, cannot be.
//! Reads look at the writes since the last checkpoint, then at those being written, then at the
//! tree. What is dropped leaves a mark in memory that hides what is below, and goes from the tree
//! with the checkpoint that writes it. `engine` is what is done with the tree.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use nix::sys::statvfs::statvfs;
use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::OnceEntry;

use super::entry::{self, Whole};
use super::{
    Checkpoint, Checkpointed, Counting, Keystore, KeystoreError, ONCE_BYTES, Stored, Visit,
    bytes_of, manifest, named,
};
use crate::core::record::Committed;
use crate::storage::identity::Identity;

mod engine;

use self::engine::{
    Engine, KEY, ONCE, Table, WHOLE, create, decode, empty_journals, guarded, ingest, key_of,
    name_of, once_name, wait_for_merges,
};

/// Space that a checkpoint leaves on the disk, bytes.
const SPACE_MIN: u64 = 1 << 20;
/// The default size of the cache of the tree's blocks, bytes.
pub const CACHE_BYTES: u64 = 32 << 20;

/// A keystore on disk.
///
/// Invariants: the tree is exactly the state of a checkpoint, the last finished one or the one
/// under way; `fresh` holds what was applied since a checkpoint was last begun anew, `frozen` what
/// the one under way writes, until that is in the tree; a newer place holds what was done later to
/// a key.
pub struct FjallKeystore {
    path: PathBuf,
    cache_bytes: u64,
    /// Only `None` after an attempt to open it anew has failed.
    engine: Option<Engine>,
    identity: Identity,
    fresh: Table,
    fresh_bytes: u64,
    /// No named update below this one is left: where looking for them begins.
    onces_from: Version,
    frozen: Arc<RwLock<Table>>,
    /// Of the checkpoint under way.
    under_way: Option<UnderWay>,
    counting: Counting,
    through: GroupSeq,
    checkpointed: GroupSeq,
}

struct UnderWay {
    bytes: u64,
    through: GroupSeq,
    /// What it says about the whole.
    whole: Arc<[u8]>,
    /// There was no space for it: the next one writes the same again.
    failed: bool,
}

impl FjallKeystore {
    /// Opens the keystore in the directory `path`, or makes one there if there is nothing; its
    /// parent must exist. `cache_bytes` bounds the cache of the tree's blocks.
    ///
    /// # Errors
    /// `Corrupt`, `Newer`, `Foreign`, `Failed`.
    pub fn open(path: &Path, identity: Identity, cache_bytes: u64) -> Result<Self, KeystoreError> {
        let failed = |error: std::io::Error| {
            KeystoreError::Failed(format!("directory {}: {error}", path.display()))
        };
        if !path.try_exists().map_err(failed)? {
            create(path, identity, cache_bytes)?;
        }
        manifest::verify(path)?;
        empty_journals(path).map_err(failed)?;
        let engine = Engine::open(path, cache_bytes)?;
        let Some(bytes) = engine.tree.get(WHOLE)? else {
            return Err(KeystoreError::Corrupt("its header is missing".into()));
        };
        let Whole { identity, through, ranges } = Whole::read(&bytes, &identity)?;
        Ok(Self {
            path: path.to_owned(),
            cache_bytes,
            engine: Some(engine),
            identity,
            fresh: Table::default(),
            fresh_bytes: 0,
            onces_from: Version::ZERO,
            frozen: Arc::default(),
            under_way: None,
            counting: Counting::of(ranges),
            through,
            checkpointed: through,
        })
    }

    /// How many bytes the keystore takes on disk.
    pub fn disk_bytes(&self) -> Result<u64, KeystoreError> {
        Ok(self.engine()?.database.disk_space()?)
    }

    fn engine(&self) -> Result<&Engine, KeystoreError> {
        let closed = || KeystoreError::Failed("its engine could not be opened anew".into());
        self.engine.as_ref().ok_or_else(closed)
    }

    fn tree(&self) -> Result<&fjall::Keyspace, KeystoreError> {
        self.engine().map(|engine| &engine.tree)
    }

    /// Opens the engine anew if a disk without space has left files in it that belong to nothing,
    /// or has ended its thread that merges tables: only so are they removed, and is it back.
    fn mend(&mut self) -> Result<(), KeystoreError> {
        let failed = self.under_way.as_ref().is_some_and(|under_way| under_way.failed);
        // With nothing in the engine's journal this only asks whether that thread has failed.
        let stopped = self.engine()?.database.persist(fjall::PersistMode::Buffer).is_err();
        if failed || stopped {
            self.engine = None;
            self.engine = Some(Engine::open(&self.path, self.cache_bytes)?);
        }
        Ok(())
    }

    /// Refuses a checkpoint of so many bytes, and their merging with others, where the disk has
    /// less: what is written until it is full helps nobody.
    fn find_space(&self, bytes: u64) -> Result<(), KeystoreError> {
        let Ok(disk) = statvfs(&self.path) else { return Ok(()) };
        let left = disk.blocks_available().saturating_mul(disk.fragment_size());
        let needed = 2 * bytes + SPACE_MIN;
        if left < needed {
            return Err(KeystoreError::NoSpace(format!("{left} bytes left of {needed}")));
        }
        Ok(())
    }

    /// Gives the store its cluster, from the next checkpoint on.
    pub fn set_cluster(&mut self, cluster: protocol::ids::Uuid) {
        self.identity.cluster = cluster;
    }

    fn frozen(&self) -> RwLockReadGuard<'_, Table> {
        self.frozen.read().expect("no one panics while writing to it")
    }

    /// What is under `key`, its checksum not yet verified.
    fn find(&self, key: &Key) -> Result<Option<Stored>, KeystoreError> {
        if let Some(entry) = self.fresh.keys.get(key) {
            return Ok(entry.clone());
        }
        // Before the tree: it is emptied only when the tree has what was in it.
        if let Some(entry) = self.frozen().keys.get(key) {
            return Ok(entry.clone());
        }
        match guarded(|| Ok(self.tree()?.get(name_of(key))?))? {
            Some(bytes) => Ok(Some(decode(key, &bytes))),
            None => Ok(None),
        }
    }

    /// Shows every named update after `after`, versions rising, until `visit` says no.
    fn walk_onces(
        &self,
        after: Version,
        visit: &mut dyn FnMut(OnceEntry) -> bool,
    ) -> Result<(), KeystoreError> {
        let from = Bound::Excluded(once_name(after));
        let frozen = self.frozen();
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let fresh = self.fresh.onces.range(range);
        let frozen = frozen.onces.range(range);
        let mut tree = self.tree()?.range((from, Bound::Excluded(vec![ONCE + 1]))).map(|guard| {
            let (name, bytes) = guard.into_inner()?;
            let number = name.get(1..).and_then(|number| number.try_into().ok());
            let version = number.map(|number| Version::from_number(u64::from_be_bytes(number)));
            let entry = version.and_then(|version| entry::decode_once(version, &bytes));
            let corrupt = || KeystoreError::Corrupt("it has a named update that is none".into());
            entry.map(|entry| (entry.version, Some(entry))).ok_or_else(corrupt)
        });
        merge(fresh, frozen, &mut || guarded(|| tree.next().transpose()), &mut |_, entry| {
            Ok(entry.is_none_or(&mut *visit))
        })
    }

    /// From now on `entry` is under `key`; `None`: nothing is.
    fn put(&mut self, key: &Key, entry: Option<Stored>) {
        self.fresh_bytes += bytes_of(key, entry.as_ref());
        if let Some(gone) = self.fresh.keys.insert(key.clone(), entry) {
            self.fresh_bytes -= bytes_of(key, gone.as_ref());
        }
    }

    fn keep_once(&mut self, entry: OnceEntry) {
        self.onces_from = self.onces_from.min(entry.version);
        self.fresh_bytes += ONCE_BYTES;
        self.fresh.onces.insert(entry.version, Some(entry));
    }

    fn drop_named(&mut self, versions: &[Version]) {
        self.fresh_bytes += ONCE_BYTES * versions.len() as u64;
        self.fresh.onces.extend(versions.iter().map(|version| (*version, None)));
    }

    /// Where looking for named updates after `after` begins.
    fn onces_after(&self, after: Version) -> Version {
        after.max(Version::from_number(self.onces_from.number().saturating_sub(1)))
    }
}

/// Shows what three sorted places hold, in order, the newest of each name, until `visit` says no.
fn merge<'a, K: Ord + Clone + 'a, V: Clone + 'a>(
    fresh: impl Iterator<Item = (&'a K, &'a V)>,
    frozen: impl Iterator<Item = (&'a K, &'a V)>,
    next: &mut dyn FnMut() -> Result<Option<(K, V)>, KeystoreError>,
    visit: &mut dyn FnMut(K, V) -> Result<bool, KeystoreError>,
) -> Result<(), KeystoreError> {
    let (mut fresh, mut frozen) = (fresh.peekable(), frozen.peekable());
    let mut below = next()?;
    loop {
        let least = [fresh.peek().map(|(k, _)| *k), frozen.peek().map(|(k, _)| *k)]
            .into_iter()
            .chain([below.as_ref().map(|(k, _)| k)])
            .flatten()
            .min()
            .cloned();
        let Some(name) = least else { return Ok(()) };
        let newest = fresh.next_if(|(k, _)| **k == name).map(|(_, value)| value.clone());
        let newer = frozen.next_if(|(k, _)| **k == name).map(|(_, value)| value.clone());
        let mut oldest = None;
        if below.as_ref().is_some_and(|(k, _)| *k == name) {
            oldest = below.take().map(|(_, value)| value);
            below = next()?;
        }
        let value = newest.or(newer).or(oldest).expect("the least name is somewhere");
        if !visit(name, value)? {
            return Ok(());
        }
    }
}

impl Keystore for FjallKeystore {
    fn get(&self, key: &Key) -> Result<Option<Stored>, KeystoreError> {
        match self.find(key) {
            Ok(found) => found.map(|stored| stored.verified(key)).transpose(),
            // Where it should be nothing can be made out: others may be read.
            Err(KeystoreError::Corrupt(_)) => Err(KeystoreError::Damaged(key.clone())),
            Err(error) => Err(error),
        }
    }

    fn apply(&mut self, writes: &[Committed], through: GroupSeq) -> Result<(), KeystoreError> {
        for committed in writes {
            if let Some(entry) = named(committed) {
                self.keep_once(entry);
            }
            let key = &committed.write.key;
            let before = self.find(key)?;
            if before.as_ref().is_some_and(|before| before.version >= committed.version) {
                continue;
            }
            let after = Stored::of(committed);
            self.counting.change(key, before.as_ref(), Some(&after))?;
            self.put(key, Some(after));
        }
        self.through = self.through.max(through);
        Ok(())
    }

    fn through(&self) -> GroupSeq {
        self.through
    }

    fn checkpointed(&self) -> GroupSeq {
        self.checkpointed
    }

    fn unsaved_bytes(&self) -> u64 {
        self.fresh_bytes + self.under_way.as_ref().map_or(0, |under_way| under_way.bytes)
    }

    fn begin_checkpoint(&mut self) -> Option<Checkpoint> {
        if self.under_way.as_ref().is_some_and(|under_way| !under_way.failed) {
            return None;
        }
        let bytes = self.under_way.as_ref().map_or(self.fresh_bytes, |under_way| under_way.bytes);
        let ready = self.find_space(bytes).and_then(|()| self.mend());
        if self.under_way.is_none() {
            let (identity, through) = (self.identity, self.through);
            let ranges = self.counting.known().clone();
            let whole = Whole { identity, through, ranges }.encode().into();
            self.fresh_bytes = 0;
            self.under_way = Some(UnderWay { bytes, through, whole, failed: false });
            let table = std::mem::take(&mut self.fresh);
            *self.frozen.write().expect("no one panics while writing to it") = table;
        }
        let under_way = self.under_way.as_mut()?;
        under_way.failed = false;
        let (whole, frozen) = (Arc::clone(&under_way.whole), Arc::clone(&self.frozen));
        let tree = ready.and_then(|()| self.tree().cloned());
        Some(Checkpoint(Box::new(move || {
            let tree = tree?;
            wait_for_merges(&tree);
            let table = frozen.read().expect("no one panics while writing to it");
            guarded(|| ingest(&tree, &table, &whole))?;
            drop(table);
            // Freed here and not where updates wait: it takes longer than many of them.
            let mut frozen = frozen.write().expect("no one panics while writing to it");
            let table = std::mem::take(&mut *frozen);
            drop(frozen);
            drop(table);
            Ok(())
        })))
    }

    fn end_checkpoint(&mut self, done: Checkpointed) -> Result<GroupSeq, KeystoreError> {
        // After an error the frozen table stays readable, and the log still has it.
        if let Err(error) = done.0 {
            let no_space = matches!(error, KeystoreError::NoSpace(_));
            self.under_way.iter_mut().for_each(|under_way| under_way.failed = no_space);
            return Err(error);
        }
        let UnderWay { through, .. } = self.under_way.take().expect("a checkpoint was begun");
        self.checkpointed = through;
        Ok(through)
    }

    fn walk(&self, start: Bound<Key>, visit: Visit<'_>) -> Result<(), KeystoreError> {
        let from = match &start {
            Bound::Included(key) => Bound::Included(name_of(key)),
            Bound::Excluded(key) => Bound::Excluded(name_of(key)),
            Bound::Unbounded => Bound::Included(vec![KEY]),
        };
        let frozen = self.frozen();
        let range = (start, Bound::Unbounded);
        let fresh = self.fresh.keys.range(range.clone());
        let frozen = frozen.keys.range(range);
        let mut tree = self.tree()?.range((from, Bound::Excluded(vec![ONCE]))).map(|guard| {
            let (name, bytes) = guard.into_inner()?;
            let key = key_of(&name)?;
            let stored = decode(&key, &bytes);
            Ok((key, Some(stored)))
        });
        merge(fresh, frozen, &mut || guarded(|| tree.next().transpose()), &mut |key, entry| {
            entry.map_or(Ok(true), |stored| visit(key, stored))
        })
    }

    fn replace(&mut self, key: &Key, stored: Stored) -> Result<(), KeystoreError> {
        let before = self.find(key)?;
        self.counting.change(key, before.as_ref(), Some(&stored))?;
        self.put(key, Some(stored));
        Ok(())
    }

    fn drop_entries(&mut self, keys: &[Key], onces: &[Version]) -> Result<(), KeystoreError> {
        for key in keys {
            let before = self.find(key)?;
            self.counting.change(key, before.as_ref(), None)?;
            self.put(key, None);
        }
        self.drop_named(onces);
        Ok(())
    }

    fn counting(&self) -> &Counting {
        &self.counting
    }

    fn counting_mut(&mut self) -> &mut Counting {
        &mut self.counting
    }

    fn onces(&self, after: Version, limit: usize) -> Result<Vec<OnceEntry>, KeystoreError> {
        let mut found = Vec::new();
        if limit > 0 {
            self.walk_onces(self.onces_after(after), &mut |entry| {
                found.push(entry);
                found.len() < limit
            })?;
        }
        Ok(found)
    }

    fn keep_onces(&mut self, entries: &[OnceEntry]) -> Result<(), KeystoreError> {
        entries.iter().for_each(|entry| self.keep_once(entry.clone()));
        Ok(())
    }

    fn drop_onces(&mut self, from: Version) -> Result<(), KeystoreError> {
        let mut gone = Vec::new();
        self.walk_onces(self.onces_after(Version::ZERO), &mut |entry| {
            let old = entry.version < from;
            gone.extend(old.then_some(entry.version));
            old
        })?;
        self.drop_named(&gone);
        self.onces_from = from;
        Ok(())
    }
}
