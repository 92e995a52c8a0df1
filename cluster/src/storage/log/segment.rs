//! A segment: one file of the log, its name and its first sector.
//!
//! Called by `log` and `open`. A segment's file is made under another name, and gets its own when
//! its header and first group are durable: a file with a segment's name and a bad header is
//! damaged, never half made. Never changes a segment that has its name, but for groups at its end.
//!
//! field        | offset | width | meaning (little-endian)
//! -------------|--------|-------|---------------------------------------------------------
//! magic        | 0      | 8     | `piazzaLG`
//! format       | 8      | 4     | 1; this field and those down to `store` stay where they are
//! crc          | 12     | 4     | CRC-32 of the sector without this field
//! written by   | 16     | 32    | version of the program, UTF-8, padded with zeros
//! cluster      | 48     | 16    | cluster UUID; 0 before the cluster was founded
//! store        | 64     | 16    | store UUID
//! number       | 80     | 8     | of the segment: contiguous from 1 over the store's life
//! first        | 88     | 8     | sequence number of its first group
//! length       | 96     | 8     | of the file, bytes
//! cut          | 104    | 8     | 0, or 1 + the last group before a cut that start-up has made
//! zeros        | 112    | 400   |

use std::io;

use protocol::ids::{GroupSeq, Uuid};

use super::LogError;
use crate::storage::NUMBER_MAX;
use crate::storage::codec::{BadRecord, Reader};
use crate::storage::disk::{Disk, DiskFile, SECTOR, is_full};
use crate::storage::failpoint;
use crate::storage::identity::{Identity, put_program, read_program};

const MAGIC: &[u8; 8] = b"piazzaLG";
const FORMAT: u32 = 1;
const CRC_AT: usize = 12;
const PREFIX: &str = "log-";
const DIGITS: usize = 20;
/// How the names of files begin that are not yet, or no longer, part of the log.
const TEMPORARY: &str = "new-";

/// What a segment's first sector says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    pub(super) number: u64,
    pub(super) first: GroupSeq,
    /// Bytes of the file.
    pub(super) length: u64,
    pub(super) cut_after: Option<GroupSeq>,
}

/// The name of segment `number`.
pub(super) fn name(number: u64) -> String {
    format!("{PREFIX}{number:0DIGITS$}")
}

/// The segment that `name` is the name of.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let valid = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if valid { digits.parse().ok() } else { None }
}

/// The `count`th name for a file in the making.
pub(super) fn temporary_name(count: u64) -> String {
    format!("{TEMPORARY}{count}")
}

/// Whether `name` is one of a file in the making.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

impl SegmentHeader {
    /// The segment's first sector.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut sector = Vec::with_capacity(SECTOR);
        sector.extend_from_slice(MAGIC);
        sector.extend_from_slice(&FORMAT.to_le_bytes());
        sector.extend_from_slice(&[0; 4]);
        put_program(&mut sector);
        sector.extend_from_slice(&self.identity.cluster.0.to_le_bytes());
        sector.extend_from_slice(&self.identity.store.0.to_le_bytes());
        let cut = self.cut_after.map_or(0, |after| after.0 + 1);
        for number in [self.number, self.first.0, self.length, cut] {
            sector.extend_from_slice(&number.to_le_bytes());
        }
        sector.resize(SECTOR, 0);
        let crc = crc(&sector);
        sector[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    /// Reads and checks the header of `file`, which has the name of segment `number`.
    pub(super) fn read(
        file: &dyn DiskFile,
        number: u64,
        ours: &Identity,
    ) -> Result<Self, LogError> {
        let length = file.length().map_err(LogError::io("read the log"))?;
        let lost = |what: &str| LogError::lost(format!("segment {number} of the log {what}"));
        if length < SECTOR as u64 {
            return Err(lost("is too short to be one"));
        }
        let mut sector = vec![0; SECTOR];
        file.read_at(&mut sector, 0).map_err(LogError::io("read the log"))?;
        if &sector[..MAGIC.len()] != MAGIC
            || sector[CRC_AT..CRC_AT + 4] != crc(&sector).to_le_bytes()
        {
            return Err(lost("has a damaged header"));
        }
        let (format, written_by, header) =
            Self::decode(&sector).map_err(|_| lost("has a damaged header"))?;
        if format > FORMAT {
            return Err(LogError::Newer { format, written_by });
        }
        if !ours.accepts(&header.identity) {
            let Identity { cluster, store } = header.identity;
            return Err(LogError::Foreign { store, cluster });
        }
        if header.number != number {
            return Err(lost("has another segment's name"));
        }
        if header.number > NUMBER_MAX || header.first.0 > NUMBER_MAX {
            return Err(lost("has a number beyond the limit"));
        }
        if header.length != length {
            return Err(lost("has a wrong length"));
        }
        Ok(header)
    }

    fn decode(sector: &[u8]) -> Result<(u32, String, Self), BadRecord> {
        let mut reader = Reader::new(sector);
        reader.take(MAGIC.len())?;
        let format = reader.u32()?;
        reader.u32()?;
        let written_by = read_program(&mut reader)?;
        let identity = Identity { cluster: Uuid(reader.u128()?), store: Uuid(reader.u128()?) };
        let (number, first) = (reader.u64()?, GroupSeq(reader.u64()?));
        let (length, cut) = (reader.u64()?, reader.u64()?);
        let cut_after = cut.checked_sub(1).map(GroupSeq);
        Ok((format, written_by, Self { identity, number, first, length, cut_after }))
    }
}

/// The store that a whole header in `file` names.
pub(super) fn store_of(file: &dyn DiskFile) -> Option<Uuid> {
    let mut sector = vec![0; SECTOR];
    file.read_at(&mut sector, 0).ok()?;
    let whole =
        sector.starts_with(MAGIC) && sector[CRC_AT..CRC_AT + 4] == crc(&sector).to_le_bytes();
    let (.., header) = SegmentHeader::decode(&sector).ok().filter(|_| whole)?;
    Some(header.identity.store)
}

fn crc(sector: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&sector[..CRC_AT]);
    crc.update(&sector[CRC_AT + 4..]);
    crc.finalize()
}

/// A file that no group of its next segment was ever written to, durable but for its name: what
/// a segment is made of. It holds zeros, or what an earlier segment has left.
pub(super) struct Blank {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) name: String,
    /// Bytes.
    pub(super) length: u64,
}

impl Blank {
    /// Makes one of zeros; leaves nothing behind if the disk is full.
    pub(super) fn make(disk: &dyn Disk, name: String, length: u64) -> Result<Self, LogError> {
        let made = disk.create(&name, length);
        let mut file = match made {
            Ok(file) => file,
            Err(error) if is_full(&error) => {
                discard(disk, &name)?;
                return Err(LogError::DiskFull);
            }
            Err(error) => return Err(LogError::io("make a segment of the log")(error)),
        };
        let sync = LogError::io("sync a new segment of the log");
        failpoint::hit("log.blank.sync").map_err(&sync)?;
        file.sync_data().map_err(sync)?;
        Ok(Self { file, name, length })
    }

    /// Makes one of a segment that is not needed any more: its space stays allocated, so that a
    /// sync in its next life has no allocation to commit. Its old name is gone for good when this
    /// returns.
    pub(super) fn recycle(
        disk: &dyn Disk,
        number: u64,
        name: String,
        length: u64,
    ) -> Result<Self, LogError> {
        failpoint::hit("log.free.rename").map_err(LogError::io("recycle a segment"))?;
        disk.rename(&self::name(number), &name).map_err(LogError::io("recycle a segment"))?;
        failpoint::hit("log.free.sync_dir").map_err(LogError::io("recycle a segment"))?;
        disk.sync_dir().map_err(LogError::io("sync the log's directory"))?;
        let file = disk.open(&name).map_err(LogError::io("open a recycled segment"))?;
        Ok(Self { file, name, length })
    }
}

/// Removes a file in the making, if it is there.
pub(super) fn discard(disk: &dyn Disk, name: &str) -> Result<(), LogError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("remove a file of the log")(error))
        }
        _ => Ok(()),
    }
}
