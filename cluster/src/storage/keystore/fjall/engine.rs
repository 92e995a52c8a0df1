//! The storage engine under the keystore on disk: its one tree, what is written to it and how its
//! entries are named.
//!
//! Used by `fjall`, which says when. Never writes through the engine's journal or its memtable.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs::{self, File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions};
use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::OnceEntry;

use super::super::entry::{self, Whole};
use super::super::ranges::Ranges;
use super::super::{KeystoreError, Stored};
use crate::storage::disk::is_full;
use crate::storage::identity::Identity;

/// The name of the one keyspace.
const KEYSPACE: &str = "keys";
/// Under which the tree has what is said about the whole; sorts before all keys.
pub(super) const WHOLE: &[u8] = &[0];
/// What a key's name in the tree begins with.
pub(super) const KEY: u8 = 1;
/// What a named update's name in the tree begins with; its version follows, big-endian.
pub(super) const ONCE: u8 = 2;
/// How many tables may lie unsorted on top of the tree before a checkpoint waits for them to be
/// merged: each costs a read one more look.
const UNSORTED_TABLES_MAX: usize = 24;
/// How long a checkpoint waits for that: it is about speed only.
const MERGE_WAIT: Duration = Duration::from_secs(30);

/// What was applied or dropped: `None` under what is not there any more, whatever is below.
#[derive(Default)]
pub(super) struct Table {
    pub(super) keys: BTreeMap<Key, Option<Stored>>,
    pub(super) onces: BTreeMap<Version, Option<OnceEntry>>,
}

/// The storage engine, open.
pub(super) struct Engine {
    pub(super) tree: fjall::Keyspace,
    /// Last, so that its threads end after everything else has let go.
    pub(super) database: Database,
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
            // It could be read, and is not what was written.
            None if matches!(error, fjall::Error::Storage(_)) => Self::Corrupt(format!("{error}")),
            _ => Self::Failed(format!("{error:?}")),
        }
    }
}

impl Engine {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, KeystoreError> {
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
pub(super) fn guarded<T>(
    read: impl FnOnce() -> Result<T, KeystoreError>,
) -> Result<T, KeystoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(KeystoreError::Corrupt("the engine cannot make sense of its files".into()))
    })
}

/// Makes an empty keystore beside its place and moves it there when it is whole: the engine does
/// not open what it has made half.
pub(super) fn create(
    path: &Path,
    identity: Identity,
    cache_bytes: u64,
) -> Result<(), KeystoreError> {
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
pub(super) fn empty_journals(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            OpenOptions::new().write(true).open(&file)?.set_len(0)?;
        }
    }
    Ok(())
}

/// Adds `table` and `whole` to the tree: durable on return, all or nothing.
pub(super) fn ingest(
    tree: &fjall::Keyspace,
    table: &Table,
    whole: &[u8],
) -> Result<(), KeystoreError> {
    let mut ingestion = tree.start_ingestion()?;
    ingestion.write(WHOLE, whole)?;
    for (key, stored) in &table.keys {
        match stored {
            Some(stored) => ingestion.write(name_of(key), entry::encode(stored))?,
            None => ingestion.write_tombstone(name_of(key))?,
        }
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

pub(super) fn wait_for_merges(tree: &fjall::Keyspace) {
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while tree.l0_table_count() > UNSORTED_TABLES_MAX && waited < MERGE_WAIT {
        std::thread::sleep(pause);
        waited += pause;
    }
}

pub(super) fn name_of(key: &Key) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + key.as_bytes().len());
    name.push(KEY);
    name.extend_from_slice(key.as_bytes());
    name
}

pub(super) fn once_name(version: Version) -> Vec<u8> {
    let mut name = vec![ONCE];
    name.extend_from_slice(&version.number().to_be_bytes());
    name
}

pub(super) fn key_of(name: &[u8]) -> Result<Key, KeystoreError> {
    let text = name.strip_prefix(&[KEY]).and_then(|text| std::str::from_utf8(text).ok());
    let key = text.and_then(|text| Key::new(text).ok());
    key.ok_or_else(|| KeystoreError::Corrupt("it has a key that is none".into()))
}

/// What is stored as `bytes` under `key`: damage to them shows in the checksum.
pub(super) fn decode(key: &Key, bytes: &[u8]) -> Stored {
    entry::decode(bytes).unwrap_or_else(|| Stored::illegible(key))
}
