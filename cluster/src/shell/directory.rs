//! A node's directory: who holds it, whose store it is, what it has promised.
//!
//! `DIR/lock` is held for the life of the process; `DIR/store` names the store for ever;
//! `DIR/state.*` is the small file with fence, ring and incarnation. Used by `shell::node` only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::{Epoch, Incarnation, NodeName, Uuid};
use protocol::peer::Fence;

use crate::core::node::Meta;
use crate::process;
use crate::storage::crash_disk::CrashDisk;
use crate::storage::disk::Disk;
use crate::storage::file::FileDisk;
use crate::storage::identity::{Identity, STORE_MAGIC};
use crate::storage::small_file::SmallFile;

/// Why a directory cannot be used: a sentence for the operator.
pub(super) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// A directory that is ours.
pub(super) struct Directory {
    /// Where the log is kept.
    pub(super) disk: Arc<dyn Disk>,
    pub(super) identity: Identity,
    pub(super) state: SmallFile,
    pub(super) meta: Meta,
    /// Where the keystore is; `None` in memory.
    pub(super) keystore: Option<PathBuf>,
    /// Ours for as long as this is held (H47); none in memory.
    pub(super) lock: Option<File>,
}

/// Takes the directory, and makes its next incarnation durable (R4).
pub(super) fn open(path: &Path, name: &NodeName, durable: bool) -> Result<Directory, Refusal> {
    if !durable {
        let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
        return begin(disk, process::random_uuid()?, name, None, None);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let lock = lock(path)?;
    let store = store_uuid(path)?;
    let log = path.join("log");
    DirBuilder::new().recursive(true).mode(0o700).create(&log)?;
    File::open(path)?.sync_all()?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open(&log)?);
    begin(disk, store, name, Some(path.join("keys")), Some(lock))
}

fn begin(
    disk: Arc<dyn Disk>,
    store: Uuid,
    name: &NodeName,
    keystore: Option<PathBuf>,
    lock: Option<File>,
) -> Result<Directory, Refusal> {
    let mut identity = Identity { cluster: Uuid(0), store };
    let (mut state, saved) = SmallFile::open(Arc::clone(&disk), "state", identity)?;
    let mut meta = match saved {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| format!("the state file is whole but cannot be read: {error}"))?,
        None => Meta {
            store,
            name: name.clone(),
            incarnation: Incarnation(0),
            fence: Fence::default(),
            ring: None,
            cut_through: Epoch(0),
            former: Vec::new(),
            void_through: protocol::ids::GroupSeq(0),
            swept: protocol::ids::Version::ZERO,
            lost: Vec::new(),
        },
    };
    if meta.store != store || meta.name != *name {
        return Err(format!(
            "the directory belongs to node {} (store {}), not to {name}: give each node a \
             directory of its own",
            meta.name, meta.store
        )
        .into());
    }
    if let Some(ring) = &meta.ring {
        identity.cluster = ring.cluster;
        state.set_cluster(ring.cluster);
    }
    meta.incarnation = Incarnation(meta.incarnation.0 + 1);
    save(&mut state, &meta)?;
    Ok(Directory { disk, identity, state, meta, keystore, lock })
}

/// Makes the state durable.
pub(super) fn save(state: &mut SmallFile, meta: &Meta) -> Result<(), Refusal> {
    if let Some(ring) = &meta.ring {
        state.set_cluster(ring.cluster);
    }
    Ok(state.save(&serde_json::to_vec(meta)?)?)
}

fn lock(path: &Path) -> Result<File, Refusal> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join("lock"))?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        return Err(format!(
            "{} is in use by process {}: stop that first",
            path.display(),
            holder.trim()
        )
        .into());
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The store's name, made when the directory is first used.
fn store_uuid(path: &Path) -> Result<Uuid, Refusal> {
    let file = path.join("store");
    match fs::read_to_string(&file) {
        Ok(text) => {
            let uuid = text.strip_prefix(STORE_MAGIC).map(str::trim_end);
            let uuid = uuid.ok_or_else(|| format!("{} is not a store's name", file.display()))?;
            Ok(uuid.parse()?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.join("log").exists() {
                return Err(format!(
                    "{} is missing though the directory holds a log: put it back, or start with \
                     an empty directory to join as a new node",
                    file.display()
                )
                .into());
            }
            let uuid = process::random_uuid()?;
            let temporary = path.join("store.tmp");
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut made = options.open(&temporary)?;
            writeln!(made, "{STORE_MAGIC}{uuid}")?;
            made.sync_all()?;
            fs::rename(&temporary, &file)?;
            File::open(path)?.sync_all()?;
            Ok(uuid)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H47: two processes are never one node: a directory has one owner at a time, and each owner
    /// an incarnation of its own, durable before anybody hears of it.
    #[test]
    fn h47_a_directory_has_one_owner_and_each_a_higher_incarnation() {
        let path = std::env::temp_dir().join(format!("piazza-owner-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let name = NodeName::new("n1").unwrap();
        let first = open(&path, &name, true).unwrap();
        let refused = open(&path, &name, true).err().expect("it is taken").to_string();
        assert!(refused.contains("is in use by process"), "{refused}");
        let (store, incarnation) = (first.meta.store, first.meta.incarnation);
        drop(first);
        let second = open(&path, &name, true).unwrap();
        assert_eq!((second.meta.store, second.meta.incarnation.0), (store, incarnation.0 + 1));
        drop(second);
        let other = open(&path, &NodeName::new("n2").unwrap(), true).err().expect("not its own");
        assert!(other.to_string().contains("belongs to node n1"), "{other}");
        fs::remove_dir_all(&path).unwrap();
    }
}
