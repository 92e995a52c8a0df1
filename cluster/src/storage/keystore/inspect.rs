//! A keystore on disk as it lies there, for people: opened without changing a byte of it.
//!
//! Called by `inspect` for a directory that no server has. The storage engine writes to what it
//! opens (it takes a lock, and removes and merges tables), so it gets a directory of its own: with
//! links to the tables, which it never changes, and copies of the small files beside them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use protocol::ids::{GroupSeq, Key};

use super::fjall::FjallKeystore;
use super::paging::behind;
use super::{Keystore, KeystoreError, Stored, manifest};
use crate::core::record::Committed;
use crate::process::random_uuid;
use crate::storage::identity::Identity;

/// The cache of the tree's blocks, bytes.
const CACHE_BYTES: u64 = 8 << 20;
/// In a directory of this name are the engine's tables.
const TABLES: &str = "tables";
/// Folders are that deep at most: `keyspaces/N/tables`.
const DEPTH_MAX: u32 = 8;

/// What a keystore holds, and what was applied to it since, in memory only.
pub struct Snapshot {
    keystore: FjallKeystore,
    /// Goes last.
    _beside: Beside,
}

/// An entry of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What is under it, a tombstone maybe.
    pub stored: Stored,
    /// Whether its checksum is right.
    pub whole: bool,
}

impl Snapshot {
    /// Opens the keystore in the directory `path`.
    ///
    /// # Errors
    /// `Corrupt`, `Newer`, `Foreign`, `Failed`.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, KeystoreError> {
        // Else a missing one would be made.
        if !path.join("keyspaces").is_dir() {
            return Err(KeystoreError::Corrupt(format!("{} holds none", path.display())));
        }
        manifest::verify(path)?;
        let beside = Beside::of(path).map_err(|error| {
            KeystoreError::Failed(format!(
                "it cannot be read beside its place, in {}: {error}",
                std::env::temp_dir().display()
            ))
        })?;
        let keystore = FjallKeystore::open(&beside.0, identity, CACHE_BYTES)?;
        Ok(Self { keystore, _beside: beside })
    }

    /// All decisions in the log's groups up to and including this one are in.
    pub fn through(&self) -> GroupSeq {
        self.keystore.through()
    }

    /// Takes in decided writes, in memory only.
    ///
    /// # Errors
    /// `Corrupt`, `Failed`.
    pub fn apply(&mut self, writes: &[Committed]) -> Result<(), KeystoreError> {
        let through = self.keystore.through();
        self.keystore.apply(writes, through)
    }

    /// The first `limit` entries after `after`, in the keys' order. After an error those before it,
    /// and none can be read behind it.
    pub fn entries(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> (Vec<Entry>, Result<(), KeystoreError>) {
        let mut entries = Vec::new();
        let read = self.keystore.walk(behind(after), &mut |key, stored| {
            let whole = stored.clone().verified(&key).is_ok();
            entries.push(Entry { key, stored, whole });
            Ok(entries.len() < limit)
        });
        (entries, read)
    }
}

/// A directory for the engine, removed on drop.
struct Beside(PathBuf);

impl Beside {
    fn of(path: &Path) -> io::Result<Self> {
        let name = format!("piazza-inspect-{}", random_uuid()?);
        let beside = Self(std::env::temp_dir().join(name));
        // Absolute, since the links to the tables lie elsewhere.
        link_all(&path.canonicalize()?, &beside.0, DEPTH_MAX)?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn link_all(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    let tables = from.file_name().is_some_and(|name| name == TABLES);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            link_all(&source, &target, depth - 1)?;
        } else if kind.is_file() && tables {
            symlink(&source, &target)?;
        } else if kind.is_file() {
            fs::write(&target, fs::read(&source)?)?;
        }
    }
    Ok(())
}
