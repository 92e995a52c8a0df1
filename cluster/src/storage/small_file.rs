//! A small state file, written twice: epoch fence, ring, incarnation.
//!
//! Called at start and before each promise that must outlive the process. `save` returns when
//! both copies are durable, one written after the other was synced, so that a crash at any point
//! leaves one whole copy and rot of one costs nothing. Never shortens a copy, never guesses: two
//! bad copies are an error.
//!
//! A copy is the file `NAME.a` or `NAME.b`, at least 4 KiB long, little-endian:
//!
//! field        | offset | width  | meaning
//! -------------|--------|--------|----------------------------------------------------------
//! magic        | 0      | 8      | `piazzaSF`
//! format       | 8      | 4      | 1
//! crc          | 12     | 4      | CRC-32 of bytes 0..12 and of all from 16 to the content's end
//! written by   | 16     | 32     | version of the program, UTF-8, padded with zeros
//! cluster      | 48     | 16     | cluster UUID; 0 before the cluster was founded
//! store        | 64     | 16     | store UUID
//! generation   | 80     | 8      | counts the saves from 1
//! length       | 88     | 4      | of the content, bytes; at most 16 MiB
//! content      | 92     | length |

use std::io;
use std::sync::Arc;

use protocol::ids::Uuid;

use super::NUMBER_MAX;
use super::codec::{BadRecord, Reader};
use super::disk::Disk;
use super::failpoint;
use super::identity::{Identity, put_program, read_program};
use crate::core::planted::{Bug, planted};

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"piazzaSF";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 92;
const CRC_AT: usize = 12;
const COPY_BYTES_MIN: usize = 4096;
/// Longest content, bytes.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;
const SUFFIXES: [&str; 2] = ["a", "b"];
const TEMPORARY: &str = "tmp";

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmallFileError {
    /// The disk failed: stop, and start again once the disk is well.
    #[error("state file {name}: {error}; stop this process and check the disk")]
    Io {
        /// The file's name.
        name: String,
        /// What the disk said.
        error: io::Error,
    },
    /// An earlier call failed: nothing is known of what is on the disk.
    #[error("state file {0}: an earlier write failed; stop this process and check the disk")]
    Poisoned(String),
    /// What was saved is gone: the store must rejoin as a new one.
    #[error(
        "state file {name}: both copies are damaged ({what}); this store has lost its state, \
             start it with an empty directory to rejoin as a new one"
    )]
    Lost {
        /// The file's name.
        name: String,
        /// What is wrong with the copies.
        what: String,
    },
    /// A newer program wrote it.
    #[error(
        "state file {name}: format {format} was written by version {written_by}; \
             start that version or a newer one"
    )]
    Newer {
        /// The file's name.
        name: String,
        /// Its format.
        format: u32,
        /// The version of the program that wrote it.
        written_by: String,
    },
    /// It belongs to another store or cluster.
    #[error(
        "state file {name} belongs to store {store} of cluster {cluster}; \
             give each node a directory of its own"
    )]
    Foreign {
        /// The file's name.
        name: String,
        /// The store that it belongs to.
        store: Uuid,
        /// The cluster that it belongs to.
        cluster: Uuid,
    },
    /// The content is too long to save.
    #[error("state file {name}: {bytes} bytes are more than the limit of {CONTENT_BYTES_MAX}")]
    TooLong {
        /// The file's name.
        name: String,
        /// How many bytes were to be saved.
        bytes: usize,
    },
}

/// A state file in a directory.
///
/// Invariants: after `open` and after each successful `save` both copies hold the content of the
/// newest generation, durably; a copy is overwritten only while the other one is whole.
pub struct SmallFile {
    disk: Arc<dyn Disk>,
    name: String,
    identity: Identity,
    generation: u64,
    poisoned: bool,
}

struct Copy {
    generation: u64,
    content: Vec<u8>,
}

/// A state file as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// What was last saved, if a whole copy is there.
    pub content: Option<Vec<u8>>,
    /// How often was saved.
    pub generation: u64,
    /// What is wrong with the copies, in words; empty if nothing is, or nothing was ever saved.
    pub damage: Vec<String>,
}

/// Reads the state file `name` of the store `identity` and changes nothing; damage is told.
///
/// # Errors
/// `Io` if the directory cannot be listed; `Newer`, `Foreign`.
pub fn peek(disk: &Arc<dyn Disk>, name: &str, identity: Identity) -> Result<Peek, SmallFileError> {
    let disk = Arc::clone(disk);
    let file = SmallFile { disk, name: name.into(), identity, generation: 0, poisoned: false };
    let there = file.disk.list().map_err(|error| file.io(error))?;
    let is_there = |suffix: &&str| there.contains(&file.copy_name(suffix));
    let mut peek = Peek { content: None, generation: 0, damage: Vec::new() };
    let mut generations = Vec::new();
    for suffix in SUFFIXES {
        let name = file.copy_name(suffix);
        if !is_there(&suffix) {
            if SUFFIXES.iter().any(is_there) {
                peek.damage.push(format!("{name} is missing"));
            }
            continue;
        }
        match file.read(suffix) {
            Ok(Ok(copy)) => {
                generations.push(copy.generation);
                if peek.content.is_none() || copy.generation > peek.generation {
                    (peek.generation, peek.content) = (copy.generation, Some(copy.content));
                }
            }
            Ok(Err(what)) => peek.damage.push(format!("{name} {what}")),
            Err(SmallFileError::Io { error, .. }) => peek.damage.push(format!("{name}: {error}")),
            Err(error) => return Err(error),
        }
    }
    if let [a, b] = generations[..]
        && a != b
    {
        let older = if a < b { SUFFIXES[0] } else { SUFFIXES[1] };
        peek.damage.push(format!("{} is of an earlier save", file.copy_name(older)));
    }
    Ok(peek)
}

impl SmallFile {
    /// The state file `name` of the store `identity`, and what was last saved to it, if anything
    /// was. Repairs a copy that a crash or rot has damaged.
    ///
    /// # Errors
    /// `Lost` if there are copies but no whole one; `Newer`, `Foreign`, `Io`.
    pub fn open(
        disk: Arc<dyn Disk>,
        name: &str,
        identity: Identity,
    ) -> Result<(Self, Option<Vec<u8>>), SmallFileError> {
        let mut file = Self { disk, name: name.into(), identity, generation: 0, poisoned: false };
        let there = file.disk.list().map_err(|error| file.io(error))?;
        let temporary = file.copy_name(TEMPORARY);
        if there.contains(&temporary) {
            file.disk.remove(&temporary).map_err(|error| file.io(error))?;
        }
        // A killed process may have left a rename in the page cache only: a copy that is there to
        // fall back on must be there after a power loss too.
        file.disk.sync_dir().map_err(|error| file.io(error))?;
        let mut copies = Vec::new();
        let mut damage = Vec::new();
        for suffix in SUFFIXES {
            if !there.contains(&file.copy_name(suffix)) {
                damage.push(format!("{suffix} is missing"));
                continue;
            }
            match file.read(suffix)? {
                Ok(copy) => copies.push((suffix, copy)),
                Err(what) => damage.push(format!("{suffix} {what}")),
            }
        }
        let all_whole = copies.len() == SUFFIXES.len();
        let newest = copies.iter().map(|(_, copy)| copy.generation).max();
        let Some(newest) = newest else {
            let missing = SUFFIXES.iter().all(|s| !there.contains(&file.copy_name(s)));
            if missing {
                return Ok((file, None));
            }
            return Err(SmallFileError::Lost { name: file.name, what: damage.join(", ") });
        };
        file.generation = newest;
        let whole: Vec<_> = copies
            .iter()
            .filter(|(_, copy)| copy.generation == newest)
            .map(|(suffix, _)| *suffix)
            .collect();
        let content = copies
            .into_iter()
            .find(|(_, copy)| copy.generation == newest)
            .map(|(_, copy)| copy.content)
            .expect("one copy has the newest generation");
        // A killed process may have left its last write in the page cache only; the first copy was
        // synced before the second was begun. So while the other copy is still there to fall back
        // on, the last one written is written anew: what is overwritten next is never the only one
        // on the disk. Where one copy is damaged the other was synced before.
        if all_whole && let Some(last) = whole.last() {
            file.write(last, newest, &content).map_err(|error| file.io(error))?;
        }
        for suffix in SUFFIXES.iter().filter(|suffix| !whole.contains(suffix)) {
            file.write(suffix, newest, &content).map_err(|error| file.io(error))?;
        }
        Ok((file, Some(content)))
    }

    /// Saves `content` in place of what was saved before; durable on return.
    ///
    /// # Errors
    /// `TooLong`, with nothing changed. After any other error the file is poisoned: either content
    /// may be found after a restart, and all later calls fail.
    pub fn save(&mut self, content: &[u8]) -> Result<(), SmallFileError> {
        if self.poisoned {
            return Err(SmallFileError::Poisoned(self.name.clone()));
        }
        if content.len() > CONTENT_BYTES_MAX {
            let (name, bytes) = (self.name.clone(), content.len());
            return Err(SmallFileError::TooLong { name, bytes });
        }
        let generation = self.generation + 1;
        self.poisoned = true;
        for suffix in SUFFIXES {
            let point = if suffix == SUFFIXES[0] { "state.write" } else { "state.second" };
            failpoint::hit(point).map_err(|error| self.io(error))?;
            if suffix != SUFFIXES[0] && planted(Bug::StateOnce) {
                continue;
            }
            self.write(suffix, generation, content).map_err(|error| self.io(error))?;
        }
        failpoint::hit("state.report").map_err(|error| self.io(error))?;
        self.poisoned = false;
        self.generation = generation;
        Ok(())
    }

    /// Gives the store its cluster, from the next `save` on.
    pub fn set_cluster(&mut self, cluster: Uuid) {
        self.identity.cluster = cluster;
    }

    fn copy_name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name)
    }

    fn io(&self, error: io::Error) -> SmallFileError {
        SmallFileError::Io { name: self.name.clone(), error }
    }

    /// Writes in place where the copy is long enough, since that needs no space on a full disk.
    fn write(&self, suffix: &str, generation: u64, content: &[u8]) -> io::Result<()> {
        let bytes = encode(&self.identity, generation, content);
        let name = self.copy_name(suffix);
        if self.disk.list()?.contains(&name) {
            let mut file = self.disk.open(&name)?;
            if file.length()? >= bytes.len() as u64 {
                file.write_at(&bytes, 0)?;
                failpoint::hit("state.sync")?;
                return file.sync_data();
            }
        }
        let temporary = self.copy_name(TEMPORARY);
        let length = bytes.len().next_power_of_two().max(COPY_BYTES_MIN);
        let mut file = self.disk.create(&temporary, length as u64)?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        self.disk.rename(&temporary, &name)?;
        self.disk.sync_dir()
    }

    /// The copy, or what is wrong with it in words.
    fn read(&self, suffix: &str) -> Result<Result<Copy, &'static str>, SmallFileError> {
        let file = self.disk.open(&self.copy_name(suffix)).map_err(|error| self.io(error))?;
        let length = file.length().map_err(|error| self.io(error))?;
        let length_max = (HEADER_BYTES + CONTENT_BYTES_MAX).next_power_of_two() as u64;
        if length < HEADER_BYTES as u64 || length > length_max {
            return Ok(Err("has a wrong length"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_at(&mut bytes, 0).map_err(|error| self.io(error))?;
        let Ok(decoded) = decode(&bytes) else {
            return Ok(Err("ends too early"));
        };
        let Some((head, copy)) = decoded else {
            return Ok(Err("has a wrong checksum"));
        };
        if head.format > FORMAT {
            let (name, format) = (self.name.clone(), head.format);
            return Err(SmallFileError::Newer { name, format, written_by: head.written_by });
        }
        if !self.identity.accepts(&head.identity) {
            let Identity { cluster, store } = head.identity;
            return Err(SmallFileError::Foreign { name: self.name.clone(), store, cluster });
        }
        if copy.generation > NUMBER_MAX {
            return Ok(Err("has a generation beyond the limit"));
        }
        Ok(Ok(copy))
    }
}

struct Head {
    format: u32,
    written_by: String,
    identity: Identity,
}

fn encode(identity: &Identity, generation: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    put_program(&mut bytes);
    bytes.extend_from_slice(&identity.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&identity.store.0.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    assert_eq!(bytes.len(), HEADER_BYTES);
    bytes.extend_from_slice(content);
    let crc = crc(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn crc(copy: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&copy[..CRC_AT]);
    crc.update(&copy[CRC_AT + 4..]);
    crc.finalize()
}

/// The copy in `bytes`, `None` if it is not whole.
fn decode(bytes: &[u8]) -> Result<Option<(Head, Copy)>, BadRecord> {
    let mut reader = Reader::new(bytes);
    let magic = reader.take(MAGIC.len())?;
    let format = reader.u32()?;
    let expected = reader.u32()?;
    let written_by = read_program(&mut reader)?;
    let identity = Identity { cluster: Uuid(reader.u128()?), store: Uuid(reader.u128()?) };
    let generation = reader.u64()?;
    let length = reader.u32()? as usize;
    let content = reader.take(length)?.to_vec();
    if magic != MAGIC || crc(&bytes[..HEADER_BYTES + length]) != expected {
        return Ok(None);
    }
    Ok(Some((Head { format, written_by, identity }, Copy { generation, content })))
}
