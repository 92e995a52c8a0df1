//! The records of a node's log as bytes, and back; and the checksum that a write keeps for life.
//!
//! Called by `log` for each group and by `keystore` for checksums. Bytes are never trusted: every
//! length is checked against what is there and against its limit before anything is allocated,
//! and what is not exactly the encoding of a valid record is an error, never a panic.
//!
//! All numbers are little-endian; widths in bytes. A list is its count, then its members.
//!
//! record     | field        | width | meaning
//! -----------|--------------|-------|------------------------------------------------------
//! all        | kind         | 1     | 1 prepare, 2 refuse, 3 commit, 4 abort, 5 settled, 6 marks,
//!            |              |       | 7 committed
//!            | flags        | 4     | room; 0, and a reader refuses any other
//! 1          | id           | 8     | transaction, and version of its writes
//!            | ring         | 4 + 4 | epoch, counter
//!            | once length  | 1     | 0: no `once`, and the next two fields are absent
//!            | once name    | 16-64 | UTF-8
//!            | once hash    | 8     | of the request
//!            | participants | 2+2n  | members, rising, at least one
//!            | rests on     | 4+8n  | transactions, rising
//!            | writes       | 4+..  | at least one of the following
//! a write    | key          | 2+n   | 1 to 256 bytes of UTF-8
//!            | flags        | 4     | of the value; room, kept as it is
//!            | expires      | 8     | wall clock, ms; 0 never; room, kept as it is
//!            | previous     | 1 + 8 | 0 any (then 0), 1 exactly this version; 2 and 3 are the same
//!            |              |       | with holders behind them
//!            | holders      | 2+2n  | only then: members, rising, at least one
//!            | value        | 4+n   | length at most 1 MiB; `u32::MAX` alone: a tombstone
//!            | checksum     | 4     | [`checksum`] of key, version and value
//! 2, 4       | id           | 8     |
//!            | participants | 2+2n  | members, rising; may be none
//! 3          | id           | 8     |
//! 5          | below        | 8     | first transaction not covered
//!            | except       | 4+8n  | transactions, rising
//! 6          | marks        | 2+10n | member (2), newest group seen of it (8)

use std::sync::Arc;

use protocol::ids::{
    Epoch, GroupSeq, KEY_BYTES_MAX, Key, MemberId, Once, RingNumber, VALUE_BYTES_MAX, Value,
    Version,
};

use crate::core::record::{LogRecord, Prepared, Previous, Write};

#[cfg(test)]
pub(crate) mod tests;

/// Stands for the length of a value that is absent.
const TOMBSTONE: u32 = u32::MAX;
/// Marks a write that names its holders.
const HELD: u8 = 2;
/// A write without its key's and value's bytes.
const WRITE_BYTES_MIN: usize = 2 + 4 + 8 + 9 + 4 + 4;

const PREPARE: u8 = 1;
const REFUSE: u8 = 2;
const COMMIT: u8 = 3;
const ABORT: u8 = 4;
const SETTLED: u8 = 5;
const MARKS: u8 = 6;
const COMMITTED: u8 = 7;

/// Why bytes are not a record: what was found, where a record was to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the records: {what}")]
pub struct BadRecord {
    /// Where, bytes from the first record's start.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// The checksum that a write carries from its prepare into the keystore: CRC-32 of the key's
/// length (2 bytes) and bytes, the version (8), 1 or 0 for value or tombstone (1), and the value.
pub fn checksum(key: &Key, version: Version, value: Option<&Value>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(key.as_bytes().len() as u16).to_le_bytes());
    crc.update(key.as_bytes());
    crc.update(&version.number().to_le_bytes());
    crc.update(&[u8::from(value.is_some())]);
    crc.update(value.map_or(&[], Value::as_bytes));
    crc.finalize()
}

/// Appends the encoding of `record` to `into`.
///
/// # Panics
/// If the record breaks a rule of its type: such a record must not become durable.
pub fn encode(record: &LogRecord, into: &mut Vec<u8>) {
    let kind = match record {
        LogRecord::Prepare(_) => PREPARE,
        LogRecord::Refuse { .. } => REFUSE,
        LogRecord::Commit { .. } => COMMIT,
        LogRecord::Abort { .. } => ABORT,
        LogRecord::Settled { .. } => SETTLED,
        LogRecord::Marks(_) => MARKS,
        LogRecord::Committed { .. } => COMMITTED,
    };
    into.push(kind);
    into.extend_from_slice(&0u32.to_le_bytes());
    match record {
        LogRecord::Prepare(prepared) => encode_prepared(prepared, into),
        LogRecord::Refuse { id, participants }
        | LogRecord::Abort { id, participants }
        | LogRecord::Committed { id, participants } => {
            put_version(*id, into);
            put_members(participants, into);
        }
        LogRecord::Commit { id } => put_version(*id, into),
        LogRecord::Settled { from, below, except } => {
            put_version(*from, into);
            put_version(*below, into);
            put_versions(except, into);
        }
        LogRecord::Marks(marks) => {
            put_count16(marks.len(), into);
            for (member, end) in marks {
                into.extend_from_slice(&member.0.to_le_bytes());
                into.extend_from_slice(&end.0.to_le_bytes());
            }
        }
    }
}

fn encode_prepared(prepared: &Prepared, into: &mut Vec<u8>) {
    assert!(!prepared.participants.is_empty(), "a transaction has participants");
    assert!(!prepared.writes.is_empty(), "a transaction has writes");
    put_version(prepared.id, into);
    assert!(prepared.ring.epoch <= Epoch::MAX, "an epoch fits its bits");
    into.extend_from_slice(&prepared.ring.epoch.0.to_le_bytes());
    into.extend_from_slice(&prepared.ring.counter.to_le_bytes());
    match &prepared.once {
        None => into.push(0),
        Some(once) => put_once(once, into),
    }
    put_members(&prepared.participants, into);
    put_versions(&prepared.rests_on, into);
    put_count32(prepared.writes.len(), into);
    for write in &prepared.writes {
        encode_write(write, prepared.id, into);
    }
}

fn encode_write(write: &Write, version: Version, into: &mut Vec<u8>) {
    let key = write.key.as_bytes();
    assert!(key.len() <= KEY_BYTES_MAX, "a key is within its limit");
    put_count16(key.len(), into);
    into.extend_from_slice(key);
    into.extend_from_slice(&write.flags.to_le_bytes());
    into.extend_from_slice(&write.expires_ms.to_le_bytes());
    let (exact, previous) = match write.previous {
        Previous::Any => (0, Version::ZERO),
        Previous::Is(version) => (1, version),
    };
    into.push(exact | if write.holders.is_empty() { 0 } else { HELD });
    put_version(previous, into);
    if !write.holders.is_empty() {
        put_members(&write.holders, into);
    }
    match &write.value {
        None => into.extend_from_slice(&TOMBSTONE.to_le_bytes()),
        Some(value) => {
            assert!(value.len() <= VALUE_BYTES_MAX, "a value is within its limit");
            put_count32(value.len(), into);
            into.extend_from_slice(value.as_bytes());
        }
    }
    let sum = checksum(&write.key, version, write.value.as_ref());
    into.extend_from_slice(&sum.to_le_bytes());
}

/// Appends name and hash of a `once`, as in record 1.
pub(crate) fn put_once(once: &Once, into: &mut Vec<u8>) {
    let name = once.name.as_str();
    into.push(name.len() as u8);
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(&once.request_hash.to_le_bytes());
}

fn put_version(version: Version, into: &mut Vec<u8>) {
    into.extend_from_slice(&version.number().to_le_bytes());
}

fn put_versions(versions: &[Version], into: &mut Vec<u8>) {
    assert!(versions.is_sorted_by(|a, b| a < b), "lists of transactions rise");
    put_count32(versions.len(), into);
    versions.iter().for_each(|version| put_version(*version, into));
}

fn put_members(members: &[MemberId], into: &mut Vec<u8>) {
    assert!(members.is_sorted_by(|a, b| a < b), "lists of members rise");
    put_count16(members.len(), into);
    members.iter().for_each(|member| into.extend_from_slice(&member.0.to_le_bytes()));
}

fn put_count16(count: usize, into: &mut Vec<u8>) {
    let count = u16::try_from(count).expect("members and keys are fewer than 2^16");
    into.extend_from_slice(&count.to_le_bytes());
}

fn put_count32(count: usize, into: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("a group is shorter than 2^32 bytes");
    into.extend_from_slice(&count.to_le_bytes());
}

/// The records that `bytes` consist of, in order, up to the first that is none.
///
/// After an error the iterator ends.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = Result<LogRecord, BadRecord>> {
    let mut reader = Reader { bytes, at: 0 };
    std::iter::from_fn(move || {
        if reader.at == reader.bytes.len() {
            return None;
        }
        let record = reader.record();
        if record.is_err() {
            reader.at = reader.bytes.len();
        }
        Some(record)
    })
}

/// What is left of the bytes; every read is within them.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn bad<T>(&self, what: &'static str) -> Result<T, BadRecord> {
        Err(BadRecord { at: self.at, what })
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], BadRecord> {
        if count > self.left() {
            return self.bad("ends too early");
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8, BadRecord> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next 2 bytes as a number.
    pub(crate) fn u16(&mut self) -> Result<u16, BadRecord> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 4 bytes as a number.
    pub(crate) fn u32(&mut self) -> Result<u32, BadRecord> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 8 bytes as a number.
    pub(crate) fn u64(&mut self) -> Result<u64, BadRecord> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next 16 bytes as a number.
    pub(crate) fn u128(&mut self) -> Result<u128, BadRecord> {
        self.array().map(u128::from_le_bytes)
    }

    fn version(&mut self) -> Result<Version, BadRecord> {
        self.u64().map(Version::from_number)
    }

    /// A count of members of at least `width` bytes each: never more than the bytes left allow.
    fn count(&self, count: usize, width: usize) -> Result<usize, BadRecord> {
        if count > self.left() / width { self.bad("counts more than is there") } else { Ok(count) }
    }

    fn versions(&mut self) -> Result<Vec<Version>, BadRecord> {
        let count = self.u32()? as usize;
        let count = self.count(count, 8)?;
        let versions = (0..count).map(|_| self.version()).collect::<Result<Vec<_>, _>>()?;
        if versions.is_sorted_by(|a, b| a < b) { Ok(versions) } else { self.bad("does not rise") }
    }

    fn members(&mut self) -> Result<Vec<MemberId>, BadRecord> {
        let count = self.u16()?.into();
        let count = self.count(count, 2)?;
        let members =
            (0..count).map(|_| self.u16().map(MemberId)).collect::<Result<Vec<_>, _>>()?;
        if members.is_sorted_by(|a, b| a < b) { Ok(members) } else { self.bad("does not rise") }
    }

    fn record(&mut self) -> Result<LogRecord, BadRecord> {
        let kind = self.u8()?;
        if self.u32()? != 0 {
            return self.bad("has flags that this version does not know");
        }
        Ok(match kind {
            PREPARE => LogRecord::Prepare(Arc::new(self.prepared()?)),
            REFUSE => LogRecord::Refuse { id: self.version()?, participants: self.members()? },
            COMMIT => LogRecord::Commit { id: self.version()? },
            ABORT => LogRecord::Abort { id: self.version()?, participants: self.members()? },
            COMMITTED => {
                LogRecord::Committed { id: self.version()?, participants: self.members()? }
            }
            SETTLED => LogRecord::Settled {
                from: self.version()?,
                below: self.version()?,
                except: self.versions()?,
            },
            MARKS => {
                let count = self.u16()?.into();
                let count = self.count(count, 10)?;
                let mut mark = || Ok((MemberId(self.u16()?), GroupSeq(self.u64()?)));
                LogRecord::Marks((0..count).map(|_| mark()).collect::<Result<_, _>>()?)
            }
            _ => return self.bad("is of a kind that this version does not know"),
        })
    }

    fn prepared(&mut self) -> Result<Prepared, BadRecord> {
        let id = self.version()?;
        let ring = RingNumber { epoch: Epoch(self.u32()?), counter: self.u32()? };
        if ring.epoch > Epoch::MAX {
            return self.bad("has an epoch beyond the limit");
        }
        let once = self.once()?;
        let participants = self.members()?;
        if participants.is_empty() {
            return self.bad("has no participants");
        }
        let rests_on = self.versions()?;
        let count = self.u32()? as usize;
        let count = self.count(count, WRITE_BYTES_MIN)?;
        if count == 0 {
            return self.bad("has no writes");
        }
        let writes = (0..count).map(|_| self.write(id)).collect::<Result<_, _>>()?;
        Ok(Prepared { id, ring, participants, rests_on, writes, once })
    }

    /// What [`put_once`] wrote, or that there is none.
    pub(crate) fn once(&mut self) -> Result<Option<Once>, BadRecord> {
        let length = self.u8()?.into();
        if length == 0 {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.take(length)?).ok();
        let Some(name) = text.and_then(|text| text.parse().ok()) else {
            return self.bad("has a once that is none");
        };
        Ok(Some(Once { name, request_hash: self.u64()? }))
    }

    fn write(&mut self, version: Version) -> Result<Write, BadRecord> {
        let length = self.u16()?.into();
        let text = std::str::from_utf8(self.take(length)?).ok();
        let Some(key) = text.and_then(|text| Key::new(text).ok()) else {
            return self.bad("has a key that is none");
        };
        let (flags, expires_ms) = (self.u32()?, self.u64()?);
        let kind = self.u8()?;
        let previous = match (kind & !HELD, self.version()?) {
            (0, Version::ZERO) => Previous::Any,
            (1, version) => Previous::Is(version),
            _ => return self.bad("has a previous version that is none"),
        };
        let holders = if kind & HELD > 0 { self.members()? } else { Vec::new() };
        if kind & HELD > 0 && holders.is_empty() {
            return self.bad("is held by nobody");
        }
        let value = match self.u32()? {
            TOMBSTONE => None,
            length if length as usize > VALUE_BYTES_MAX => {
                return self.bad("has a value beyond the limit");
            }
            length => Some(Value::from(self.take(length as usize)?.to_vec())),
        };
        if self.u32()? != checksum(&key, version, value.as_ref()) {
            return self.bad("has a write whose checksum is wrong");
        }
        Ok(Write { key, value, previous, flags, expires_ms, holders })
    }
}
