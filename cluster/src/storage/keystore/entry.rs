//! What the keystore on disk writes: one entry for each key, and one about the whole.
//!
//! Called by `fjall`. Pure. The bytes come back from a storage engine that has checksums of its
//! own; they are checked all the same, and never make the reader panic.
//!
//! entry   | field      | width | meaning (little-endian)
//! --------|------------|-------|-----------------------------------------------------
//! a key's | kind       | 1     | 1 value, 2 tombstone
//!         | flags      | 4     | as in the write
//!         | version    | 8     | of the write
//!         | expires    | 8     | as in the write
//!         | checksum   | 4     | of key, version and value
//!         | value      | rest  | nothing for a tombstone
//! a named | crc        | 4     | CRC-32 of the version (8) and the other fields
//! update's| hash       | 8     | of the first key that it wrote
//!         | sum        | 4     | of that key's bytes
//!         | once       | 1+n+8 | length and text of its name, hash of its request
//! whole   | magic      | 8     | `piazzaKS`
//!         | format     | 4     | 1
//!         | crc        | 4     | CRC-32 of the entry without this field
//!         | written by | 32    | version of the program, UTF-8, padded with zeros
//!         | cluster    | 16    | cluster UUID; 0 before the cluster was founded
//!         | store      | 16    | store UUID
//!         | through    | 8     | the last group whose decisions are all in
//!         | ranges     | 4+24n | n and placement; point, live keys and hash of each

use protocol::ids::{GroupSeq, Point, Uuid, VALUE_BYTES_MAX, Value, Version};
use protocol::peer::OnceEntry;

use super::ranges::Ranges;
use super::{KeystoreError, Stored};
use crate::storage::NUMBER_MAX;
use crate::storage::codec::{BadRecord, Reader, put_once};
use crate::storage::identity::{Identity, put_program, read_program};

const VALUE: u8 = 1;
const TOMBSTONE: u8 = 2;
const MAGIC: &[u8; 8] = b"piazzaKS";
const FORMAT: u32 = 1;
const CRC_AT: usize = 12;

/// The bytes of a key's entry.
pub fn encode(stored: &Stored) -> Vec<u8> {
    let value = stored.value.as_ref().map_or(&[][..], Value::as_bytes);
    let mut bytes = Vec::with_capacity(25 + value.len());
    bytes.push(if stored.is_live() { VALUE } else { TOMBSTONE });
    bytes.extend_from_slice(&stored.flags.to_le_bytes());
    bytes.extend_from_slice(&stored.version.number().to_le_bytes());
    bytes.extend_from_slice(&stored.expires_ms.to_le_bytes());
    bytes.extend_from_slice(&stored.checksum.to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// The entry in `bytes`; `None` if they are none.
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    let read = || -> Result<Option<Stored>, BadRecord> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let flags = reader.u32()?;
        let version = Version::from_number(reader.u64()?);
        let expires_ms = reader.u64()?;
        let checksum = reader.u32()?;
        let value = reader.take(reader.left())?;
        let value = match kind {
            VALUE if value.len() <= VALUE_BYTES_MAX => Some(Value::from(value.to_vec())),
            TOMBSTONE if value.is_empty() => None,
            _ => return Ok(None),
        };
        Ok(Some(Stored { version, value, flags, expires_ms, checksum }))
    };
    read().ok().flatten()
}

/// The bytes of a named update.
pub fn encode_once(entry: &OnceEntry) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&entry.hash.0.to_le_bytes());
    bytes.extend_from_slice(&entry.sum.to_le_bytes());
    put_once(&entry.once, &mut bytes);
    let crc = once_crc(entry.version, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The named update in `bytes`; `None` if they are none.
pub fn decode_once(version: Version, bytes: &[u8]) -> Option<OnceEntry> {
    let read = || -> Result<Option<OnceEntry>, BadRecord> {
        let mut reader = Reader::new(bytes);
        let crc = reader.u32()?;
        let (hash, sum) = (Point(reader.u64()?), reader.u32()?);
        let once = reader.once()?;
        let whole = reader.left() == 0 && crc == once_crc(version, &bytes[4..]);
        Ok(once.filter(|_| whole).map(|once| OnceEntry { version, hash, sum, once }))
    };
    read().ok().flatten()
}

fn once_crc(version: Version, rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&version.number().to_le_bytes());
    crc.update(rest);
    crc.finalize()
}

/// What is said about the whole.
#[derive(Debug, Clone)]
pub struct Whole {
    /// Whose keystore it is.
    pub identity: Identity,
    /// All decisions in the log's groups up to and including this one are in.
    pub through: GroupSeq,
    /// The live keys, by range.
    pub ranges: Ranges,
}

impl Whole {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        put_program(&mut bytes);
        bytes.extend_from_slice(&self.identity.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.identity.store.0.to_le_bytes());
        bytes.extend_from_slice(&self.through.0.to_le_bytes());
        self.ranges.encode(&mut bytes);
        let crc = crc(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads it, and refuses what is not for `ours`.
    ///
    /// # Errors
    /// `Corrupt`, `Newer`, `Foreign`.
    pub fn read(bytes: &[u8], ours: &Identity) -> Result<Self, KeystoreError> {
        let corrupt = || KeystoreError::Corrupt("its header cannot be read".into());
        let whole = bytes.len() >= CRC_AT + 4
            && bytes[..MAGIC.len()] == *MAGIC
            && bytes[CRC_AT..CRC_AT + 4] == crc(bytes).to_le_bytes();
        if !whole {
            return Err(corrupt());
        }
        let mut reader = Reader::new(&bytes[MAGIC.len()..]);
        let head = Self::head(&mut reader).map_err(|_| corrupt())?;
        let (format, written_by, identity) = head;
        if format > FORMAT {
            return Err(KeystoreError::Newer { format, written_by });
        }
        if !ours.accepts(&identity) {
            let Identity { cluster, store } = identity;
            return Err(KeystoreError::Foreign { store, cluster });
        }
        let through = GroupSeq(reader.u64().map_err(|_| corrupt())?);
        if through.0 > NUMBER_MAX {
            return Err(corrupt());
        }
        let ranges = Ranges::decode(&mut reader).ok().flatten().ok_or_else(corrupt)?;
        if reader.left() > 0 {
            return Err(corrupt());
        }
        Ok(Self { identity: *ours, through, ranges })
    }

    fn head(reader: &mut Reader<'_>) -> Result<(u32, String, Identity), BadRecord> {
        let format = reader.u32()?;
        reader.u32()?;
        let written_by = read_program(reader)?;
        let identity = Identity { cluster: Uuid(reader.u128()?), store: Uuid(reader.u128()?) };
        Ok((format, written_by, identity))
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CRC_AT]);
    crc.update(&bytes[CRC_AT + 4..]);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use protocol::peer::Placement;

    use super::*;

    /// There is always a next group.
    #[test]
    fn a_group_that_no_log_reaches_is_damage() {
        let identity = Identity { cluster: Uuid(0), store: Uuid(7) };
        let read = |through: u64| {
            let whole = Whole { identity, through: GroupSeq(through), ranges: Ranges::default() };
            Whole::read(&whole.encode(), &identity).map(|whole| whole.through)
        };
        assert!(matches!(read(7), Ok(GroupSeq(7))));
        assert!(matches!(read(u64::MAX), Err(KeystoreError::Corrupt(_))));
    }

    #[test]
    fn bytes_behind_the_last_range_are_damage() {
        let identity = Identity { cluster: Uuid(0), store: Uuid(7) };
        let ranges = Ranges::new(Placement::AsciiSum, &[1, 2]);
        let mut bytes = Whole { identity, through: GroupSeq(7), ranges }.encode();
        bytes.push(0);
        let crc = crc(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(Whole::read(&bytes, &identity), Err(KeystoreError::Corrupt(_))));
    }
}
