//! A node's directory, looked at without a server and without changing a byte of it.
//!
//! Called by `tui/cli/inspect.rs`. Holds the directory's lock while it looks, so that no server
//! changes what is being read. Reads with the code that a node starts with, goes on behind damage
//! and tells it; never repairs, never panics over what a disk may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::{GroupSeq, Key, MemberId, NodeName, Uuid, Version};
use protocol::peer::RingRecord;

use crate::core::node::Meta;
use crate::core::record::{Committed, LogRecord, Prepared};
use crate::core::ring::{Ring, is_ring, ring_of};
use crate::storage::disk::Disk;
use crate::storage::identity::{Identity, STORE_MAGIC};
use crate::storage::keystore::KeystoreError;
pub use crate::storage::keystore::inspect::{Entry, Snapshot};
use crate::storage::log;
pub use crate::storage::log::Found;
use crate::storage::read_only::ReadOnlyDisk;
use crate::storage::small_file::{self, SmallFileError};

/// Longest `store` or `lock` that is read, bytes.
const SHORT_BYTES_MAX: u64 = 256;
/// Decided writes are handed to the keystore in portions of so many.
const WRITES_AT_A_TIME: usize = 1024;

/// Why a directory cannot be looked at; one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Another directory is meant, or another moment.
    #[error("{0}")]
    Usage(String),
    /// The machine, or the directory, does not allow it.
    #[error("{0}")]
    System(String),
}

/// The part that a node has in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the first of its holders.
    Primary,
    /// It is another one of them.
    Replica,
    /// It is none of them by the ring that it knows, or knows no ring.
    Stray,
}

/// A node's directory, held while it is looked at.
pub struct NodeDirectory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    identity: Identity,
    /// What it has promised; none if that was never saved, or is lost.
    pub meta: Option<Meta>,
    /// How often that was saved.
    pub saves: u64,
    /// What is wrong with the small files, a sentence each.
    pub damage: Vec<String>,
    ring: Option<(Ring, Option<MemberId>)>,
    _lock: Option<File>,
}

/// What a node's log decides.
#[derive(Debug, Default)]
pub struct Decided {
    /// Transactions that it has prepared and not decided, by key.
    pub undecided: BTreeMap<Key, BTreeSet<Version>>,
    /// The first whole group that is still there.
    pub first: Option<GroupSeq>,
    /// The last whole group.
    pub end: GroupSeq,
    /// What could not be read.
    pub damage: Vec<String>,
}

impl NodeDirectory {
    /// Takes the directory at `path`.
    ///
    /// # Errors
    /// `Usage` if a server has it, or it is no node's directory; `System` if it cannot be read, or
    /// a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, InspectError> {
        check_kind(path)?;
        let lock = lock(path)?;
        let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk::new(&path.join("log")));
        let mut damage = Vec::new();
        let store = match store_uuid(path) {
            Ok(store) => Some(store),
            Err(sentence) => {
                damage.push(sentence);
                log::store_of(disk.as_ref())
            }
        };
        let store = store.ok_or_else(|| {
            let text = format!("{}: neither `store` nor the log tells whose it is", path.display());
            InspectError::System(format!("{text}; restore `store` from a copy"))
        })?;
        let identity = Identity { cluster: Uuid(0), store };
        let (mut meta, mut saves) = (None, 0);
        match small_file::peek(&disk, "state", identity) {
            Ok(peek) => {
                damage.extend(peek.damage.iter().map(|what| format!("state file: {what}")));
                saves = peek.generation;
                match peek.content.as_deref().map(serde_json::from_slice) {
                    Some(Ok(read)) => meta = Some(read),
                    Some(Err(error)) => damage.push(format!("state file: {error}")),
                    None => {}
                }
            }
            Err(error @ SmallFileError::Newer { .. }) => {
                return Err(InspectError::System(error.to_string()));
            }
            Err(error) => damage.push(error.to_string()),
        }
        let meta: Option<Meta> = meta;
        let ring = meta.as_ref().and_then(|meta| meta.ring.as_ref()).and_then(|record| {
            let me = record.members.iter().find(|member| member.uuid == store);
            Some((ring_in(record)?, me.map(|member| member.id)))
        });
        if ring.is_none() && meta.as_ref().is_some_and(|meta| meta.ring.is_some()) {
            damage.push("state file: its ring is none".into());
        }
        let path = path.to_owned();
        Ok(Self { path, disk, identity, meta, saves, damage, ring, _lock: lock })
    }

    /// The store's name for ever.
    pub fn store(&self) -> Uuid {
        self.identity.store
    }

    /// The node's name, if it is known.
    pub fn name(&self) -> Option<&NodeName> {
        self.meta.as_ref().map(|meta| &meta.name)
    }

    /// The newest ring that the node knows.
    pub fn ring(&self) -> Option<&RingRecord> {
        self.meta.as_ref()?.ring.as_ref()
    }

    /// The name of a member of that ring.
    pub fn member(&self, id: MemberId) -> Option<&NodeName> {
        self.ring()?.members.iter().find(|member| member.id == id).map(|member| &member.name)
    }

    /// The part that this node has in `key`.
    pub fn role(&self, key: &Key) -> Role {
        let Some((ring, me)) = &self.ring else { return Role::Stray };
        let place = ring.replicas_of(key).iter().position(|member| Some(*member) == *me);
        match place {
            Some(0) => Role::Primary,
            Some(_) => Role::Replica,
            None => Role::Stray,
        }
    }

    /// Shows the log.
    ///
    /// # Errors
    /// What the disk says when it cannot be listed.
    pub fn log(&self, visit: &mut dyn FnMut(Found)) -> io::Result<()> {
        log::inspect(self.disk.as_ref(), self.identity, visit)
    }

    /// The keystore as its last checkpoint has left it.
    ///
    /// # Errors
    /// As [`Snapshot::open`]; `None` if there is none yet.
    pub fn keystore(&self) -> Option<Result<Snapshot, KeystoreError>> {
        let keys = self.path.join("keys");
        keys.exists().then(|| Snapshot::open(&keys, self.identity))
    }

    /// Takes into `keystore` what the log decides, as a node does when it starts.
    ///
    /// # Errors
    /// Those of the keystore.
    pub fn replay(&self, keystore: &mut Snapshot) -> Result<Decided, KeystoreError> {
        let mut replay = Replay::default();
        let mut applied = Ok(());
        let listed = self.log(&mut |found| {
            replay.take(found, self.ring.as_ref());
            if replay.ready.len() >= WRITES_AT_A_TIME && applied.is_ok() {
                applied = keystore.apply(&std::mem::take(&mut replay.ready));
            }
        });
        applied?;
        keystore.apply(&replay.ready)?;
        let Decided { first, damage, .. } = &mut replay.decided;
        if let Err(error) = listed {
            damage.push(format!("the log cannot be read: {error}"));
        }
        let through = keystore.through();
        if let Some(first) = first.filter(|first| first.0.saturating_sub(1) > through.0) {
            damage.push(format!(
                "the keystore ends at group {} and the log begins at group {}: what was decided \
                 between them is lost",
                through.0, first.0
            ));
        }
        Ok(replay.end(self.meta.as_ref().map_or(GroupSeq(0), |meta| meta.void_through)))
    }
}

/// From records to what they decide.
#[derive(Default)]
struct Replay {
    /// Undecided as far as was read, with the last group that says so.
    prepared: BTreeMap<Version, (GroupSeq, Arc<Prepared>)>,
    /// The group that is being read.
    group: GroupSeq,
    /// So that one that is carried forward late does not come back.
    closed: BTreeSet<Version>,
    ready: Vec<Committed>,
    decided: Decided,
}

impl Replay {
    fn take(&mut self, found: Found, ring: Option<&(Ring, Option<MemberId>)>) {
        match found {
            Found::Group { seq, .. } => {
                self.group = seq;
                self.decided.first.get_or_insert(seq);
                self.decided.end = self.decided.end.max(seq);
            }
            Found::Damaged(what) => self.decided.damage.push(what),
            Found::Record(LogRecord::Prepare(prepared)) => {
                if !self.closed.contains(&prepared.id) {
                    self.prepared.insert(prepared.id, (self.group, prepared));
                }
            }
            Found::Record(LogRecord::Commit { id } | LogRecord::Committed { id, .. }) => {
                let Some(prepared) = self.close(id) else { return };
                let ours = |key: &Key| {
                    ring.is_none_or(|(ring, me)| {
                        me.is_none_or(|me| ring.replicas_of(key).contains(&me))
                    })
                };
                for write in prepared.writes.iter().filter(|write| ours(&write.key)) {
                    let write = write.clone();
                    self.ready.push(Committed { version: id, write, once: None });
                }
            }
            Found::Record(LogRecord::Abort { id, .. } | LogRecord::Refuse { id, .. }) => {
                self.close(id);
            }
            Found::Record(LogRecord::Settled { .. } | LogRecord::Marks(_))
            | Found::Segment { .. }
            | Found::SegmentEnd { .. }
            | Found::Torn { .. }
            | Found::Blank { .. } => {}
        }
    }

    fn close(&mut self, id: Version) -> Option<Arc<Prepared>> {
        self.closed.insert(id);
        self.prepared.remove(&id).map(|(_, prepared)| prepared)
    }

    /// What is open at the log's end. What groups through `void` left open was decided without this
    /// node while it was no member (H41), and is not open any more.
    fn end(mut self, void: GroupSeq) -> Decided {
        for (id, (_, prepared)) in self.prepared.iter().filter(|(_, (group, _))| *group > void) {
            for write in &prepared.writes {
                self.decided.undecided.entry(write.key.clone()).or_default().insert(*id);
            }
        }
        self.decided
    }
}

/// The ring of `record`, unless no ring can be made of it.
fn ring_in(record: &RingRecord) -> Option<Ring> {
    is_ring(record).then(|| ring_of(record))
}

/// Refuses what is no node's directory.
fn check_kind(path: &Path) -> Result<(), InspectError> {
    let shown = path.display();
    let usage = |text: String| Err(InspectError::Usage(text));
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return usage(format!("there is no directory {shown}: check its spelling"));
        }
        Err(error) => return Err(InspectError::System(format!("{shown}: {error}"))),
        Ok(found) if !found.is_dir() => {
            return usage(format!("{shown} is no directory: give a node's, as piazza-data/n1"));
        }
        Ok(_) => {}
    }
    if path.join("log").is_dir() || path.join("store").exists() {
        return Ok(());
    }
    if path.join("cluster.json").exists() {
        return usage(format!(
            "{shown} is the directory of a whole cluster: give that of one node, as {}",
            path.join("n1").display()
        ));
    }
    usage(format!("{shown} is not the directory of a node: it has neither `store` nor `log`"))
}

/// Keeps servers out while we look. What cannot be locked, on a disk that is only readable say, is
/// looked at all the same.
fn lock(path: &Path) -> Result<Option<File>, InspectError> {
    let lock = path.join("lock");
    let Ok(mut file) = File::open(&lock) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let holder = short(&mut file).unwrap_or_default();
            let by = match holder.trim() {
                "" => String::new(),
                pid => format!(" by process {pid}"),
            };
            Err(InspectError::Usage(format!(
                "{} is in use{by}: stop that server first (`piazza admin stop NODE`, or `piazza \
                 down` for all), or look at a copy of the directory",
                path.display()
            )))
        }
    }
}

fn short(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(SHORT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn store_uuid(path: &Path) -> Result<Uuid, String> {
    let file = path.join("store");
    let read = File::open(&file).and_then(|mut file| short(&mut file));
    let text = read.map_err(|error| format!("{}: {error}", file.display()))?;
    let uuid = text.strip_prefix(STORE_MAGIC).and_then(|uuid| uuid.trim_end().parse().ok());
    uuid.ok_or_else(|| format!("{} is not a store's name", file.display()))
}

#[cfg(test)]
mod tests {
    use protocol::ids::{Epoch, RingNumber, Value};

    use super::*;
    use crate::core::record::{Previous, Write};

    fn prepared(counter: u64, key: &str) -> Found {
        let write = Write {
            key: Key::new(key).unwrap(),
            value: Some(Value::from("v")),
            previous: Previous::Any,
            flags: 0,
            expires_ms: 0,
            holders: Vec::new(),
        };
        Found::Record(LogRecord::Prepare(Arc::new(Prepared {
            id: Version::new(Epoch(1), counter),
            ring: RingNumber::default(),
            participants: vec![MemberId(1)],
            rests_on: Vec::new(),
            writes: vec![write],
            once: None,
        })))
    }

    #[test]
    fn what_a_node_left_open_before_its_eviction_is_not_undecided() {
        let group = |seq| Found::Group { seq: GroupSeq(seq), offset: 0, bytes: 512, records: 1 };
        let open = |void| {
            let mut replay = Replay::default();
            for found in [group(3), prepared(1, "before"), group(4), prepared(2, "after")] {
                replay.take(found, None);
            }
            let undecided = replay.end(GroupSeq(void)).undecided;
            undecided.into_keys().map(|key| key.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(open(0), ["after", "before"]);
        assert_eq!(open(3), ["after"]);
    }
}
