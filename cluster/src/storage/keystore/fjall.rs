//! The keystore on disk: a table in memory in front of an LSM-tree.
//!
//! What was applied since the last checkpoint is in memory only, sorted. A checkpoint writes it
//! as finished tables, syncs them and registers them with one atomic change of the tree's
//! manifest, together with the counts and the group up to which it goes. So the tree is always
//! exactly a checkpoint, and the engine's journal is never written: a torn page in it, over which
//! the engine refuses to open, cannot be.
//! Reads look at the writes since the last checkpoint, then at those being written, then at the
//! tree. Never writes through the engine's journal or its memtable.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs::{self, File, OpenOptions};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions};
use nix::sys::statvfs::statvfs;
use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::{OnceEntry, Placement};

use super::entry::{self, Whole};
use super::ranges::{RangeCount, Ranges};
use super::{
    Checkpoint, Checkpointed, Keystore, KeystoreError, ONCE_BYTES, Page, Paging, Scan, Stored,
    manifest, named,
};
use crate::core::record::Committed;
use crate::storage::disk::is_full;
use crate::storage::identity::Identity;

/// The name of the one keyspace.
const KEYSPACE: &str = "keys";
/// Under which the tree has what is said about the whole; sorts before all keys.
const WHOLE: &[u8] = &[0];
/// What a key's name in the tree begins with.
const KEY: u8 = 1;
/// What a named update's name in the tree begins with; its version follows, big-endian.
const ONCE: u8 = 2;
/// How many tables may lie unsorted on top of the tree before a checkpoint waits for them to be
/// merged: each costs a read one more look.
const UNSORTED_TABLES_MAX: usize = 24;
/// How long a checkpoint waits for that: it is about speed only.
const MERGE_WAIT: Duration = Duration::from_secs(30);
/// Space that a checkpoint leaves on the disk, bytes.
const SPACE_MIN: u64 = 1 << 20;
/// The default size of the cache of the tree's blocks, bytes.
pub const CACHE_BYTES: u64 = 32 << 20;

/// What was applied; of a named update `None` once it is dropped.
#[derive(Default)]
struct Table {
    keys: BTreeMap<Key, Stored>,
    onces: BTreeMap<Version, Option<OnceEntry>>,
}

/// A keystore on disk.
///
/// Invariants: the tree is exactly the state of a checkpoint, the last finished one or the one
/// under way; `fresh` holds what was applied since a checkpoint was last begun anew, `frozen` what
/// the one under way writes, until that is in the tree; a newer place holds a newer version of a
/// key.
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
    ranges: Ranges,
    through: GroupSeq,
    checkpointed: GroupSeq,
}

/// The storage engine, open.
struct Engine {
    tree: fjall::Keyspace,
    /// Last, so that its threads end after everything else has let go.
    database: Database,
}

struct UnderWay {
    bytes: u64,
    through: GroupSeq,
    /// What it says about the whole.
    whole: Arc<[u8]>,
    /// There was no space for it: the next one writes the same again.
    failed: bool,
}

impl From<fjall::Error> for KeystoreError {
    fn from(error: fjall::Error) -> Self {
        let cause = match &error {
            fjall::Error::Io(cause) => Some(cause),
            fjall::Error::Storage(cause) => cause.source().and_then(|c| c.downcast_ref()),
            _ => None,
        };
        match cause {
            Some(cause) if is_full(cause) => Self::NoSpace(cause.to_string()),
            _ => Self::Failed(format!("{error:?}")),
        }
    }
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
            ranges,
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
        if let Some(stored) = self.fresh.keys.get(key) {
            return Ok(Some(stored.clone()));
        }
        // Before the tree: it is emptied only when the tree has what was in it.
        if let Some(stored) = self.frozen().keys.get(key) {
            return Ok(Some(stored.clone()));
        }
        match guarded(|| Ok(self.tree()?.get(name_of(key))?))? {
            Some(bytes) => decode(key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Shows every key from `start` on with what is under it, in order, until `visit` says no.
    fn walk(
        &self,
        start: Bound<Key>,
        visit: &mut dyn FnMut(Key, Stored) -> Result<bool, KeystoreError>,
    ) -> Result<(), KeystoreError> {
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
            decode(&key, &bytes).map(|stored| (key, stored))
        });
        merge(fresh, frozen, &mut || guarded(|| tree.next().transpose()), visit)
    }

    /// Shows every entry after `after`, tombstones too, in order, until `visit` says no. Their
    /// checksums are not verified.
    pub(super) fn entries(
        &self,
        after: Option<&Key>,
        visit: &mut dyn FnMut(Key, Stored) -> Result<bool, KeystoreError>,
    ) -> Result<(), KeystoreError> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        self.walk(start, visit)
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

impl Engine {
    fn open(path: &Path, cache_bytes: u64) -> Result<Self, KeystoreError> {
        guarded(|| {
            let database = Database::builder(path)
                .cache_size(cache_bytes)
                .worker_threads(1)
                .manual_journal_persist(true)
                .open()?;
            let options = || KeyspaceCreateOptions::default().manual_journal_persist(true);
            let tree = database.keyspace(KEYSPACE, options)?;
            Ok(Self { tree, database })
        })
    }
}

/// Does `read`. The engine has assertions about what it reads; here damage ends as an error.
fn guarded<T>(read: impl FnOnce() -> Result<T, KeystoreError>) -> Result<T, KeystoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(KeystoreError::Corrupt("the engine cannot make sense of its files".into()))
    })
}

/// Makes an empty keystore beside its place and moves it there when it is whole: the engine does
/// not open what it has made half.
fn create(path: &Path, identity: Identity, cache_bytes: u64) -> Result<(), KeystoreError> {
    let failed = |error: std::io::Error| {
        KeystoreError::Failed(format!("directory {}: {error}", path.display()))
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    if beside.try_exists().map_err(failed)? {
        fs::remove_dir_all(&beside).map_err(failed)?;
    }
    let engine = Engine::open(&beside, cache_bytes)?;
    let whole = Whole { identity, through: GroupSeq(0), ranges: Ranges::default() };
    ingest(&engine.tree, &Table::default(), &whole.encode())?;
    drop(engine);
    let sync = |directory: &Path| File::open(directory).and_then(|d| d.sync_all());
    sync(&beside).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(parent.unwrap_or(Path::new("."))).map_err(failed)
}

/// Empties the engine's journals. Nothing of ours is ever in them, and over some kinds of damage
/// to them the engine does not open.
fn empty_journals(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            OpenOptions::new().write(true).open(&file)?.set_len(0)?;
        }
    }
    Ok(())
}

/// Adds `table` and `whole` to the tree: durable on return, all or nothing.
fn ingest(tree: &fjall::Keyspace, table: &Table, whole: &[u8]) -> Result<(), KeystoreError> {
    let mut ingestion = tree.start_ingestion()?;
    ingestion.write(WHOLE, whole)?;
    for (key, stored) in &table.keys {
        ingestion.write(name_of(key), entry::encode(stored))?;
    }
    for (version, entry) in &table.onces {
        match entry {
            Some(entry) => ingestion.write(once_name(*version), entry::encode_once(entry))?,
            None => ingestion.write_tombstone(once_name(*version))?,
        }
    }
    ingestion.finish()?;
    Ok(())
}

fn wait_for_merges(tree: &fjall::Keyspace) {
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while tree.l0_table_count() > UNSORTED_TABLES_MAX && waited < MERGE_WAIT {
        std::thread::sleep(pause);
        waited += pause;
    }
}

fn name_of(key: &Key) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + key.as_bytes().len());
    name.push(KEY);
    name.extend_from_slice(key.as_bytes());
    name
}

fn once_name(version: Version) -> Vec<u8> {
    let mut name = vec![ONCE];
    name.extend_from_slice(&version.number().to_be_bytes());
    name
}

fn key_of(name: &[u8]) -> Result<Key, KeystoreError> {
    let text = name.strip_prefix(&[KEY]).and_then(|text| std::str::from_utf8(text).ok());
    let key = text.and_then(|text| Key::new(text).ok());
    key.ok_or_else(|| KeystoreError::Corrupt("it has a key that is none".into()))
}

fn decode(key: &Key, bytes: &[u8]) -> Result<Stored, KeystoreError> {
    entry::decode(bytes)
        .ok_or_else(|| KeystoreError::Corrupt(format!("what is under key {key:?} is no entry")))
}

impl Keystore for FjallKeystore {
    fn get(&self, key: &Key) -> Result<Option<Stored>, KeystoreError> {
        self.find(key)?.map(|stored| stored.verified(key)).transpose()
    }

    fn apply(&mut self, writes: &[Committed], through: GroupSeq) -> Result<(), KeystoreError> {
        for committed in writes {
            if let Some(entry) = named(committed) {
                self.onces_from = self.onces_from.min(entry.version);
                self.fresh_bytes += ONCE_BYTES;
                self.fresh.onces.insert(entry.version, Some(entry));
            }
            let key = &committed.write.key;
            let before = self.find(key)?;
            if before.as_ref().is_some_and(|before| before.version >= committed.version) {
                continue;
            }
            let after = Stored::of(committed);
            self.ranges.change(key, before.as_ref(), Some(&after))?;
            self.fresh_bytes += after.bytes(key);
            if let Some(gone) = self.fresh.keys.insert(key.clone(), after) {
                self.fresh_bytes -= gone.bytes(key);
            }
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
            let whole = Whole { identity, through, ranges: self.ranges.clone() }.encode().into();
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

    fn set_ranges(&mut self, placement: Placement, points: &[u64]) -> Result<(), KeystoreError> {
        if self.ranges.are(placement, points) {
            return Ok(());
        }
        let mut ranges = Ranges::new(placement, points);
        self.walk(Bound::Unbounded, &mut |key, stored| {
            ranges.change(&key, None, Some(&stored)).map(|()| true)
        })?;
        self.ranges = ranges;
        Ok(())
    }

    fn counts(&self) -> &[RangeCount] {
        self.ranges.counts()
    }

    fn scan(&self, scan: &Scan) -> Result<Page, KeystoreError> {
        let mut paging = Paging::new(scan);
        self.walk(scan.start(), &mut |key, stored| paging.take(key, stored))?;
        Ok(paging.page)
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

    fn drop_onces(&mut self, from: Version) -> Result<(), KeystoreError> {
        let mut gone = Vec::new();
        self.walk_onces(self.onces_after(Version::ZERO), &mut |entry| {
            let old = entry.version < from;
            gone.extend(old.then_some(entry.version));
            old
        })?;
        self.fresh_bytes += ONCE_BYTES * gone.len() as u64;
        self.fresh.onces.extend(gone.into_iter().map(|version| (version, None)));
        self.onces_from = from;
        Ok(())
    }
}
