//! One group of records as sectors: the unit that is written, synced and found again.
//!
//! Called by `log` to append and by `open` to read. A group begins on a sector boundary, so that
//! tearing one can never touch an earlier one; the first byte of each of its sectors tells a
//! group's first sector from its others, so that no value, however crafted, looks like a group.
//! Never allocates more than the file that it reads from holds.
//!
//! part          | field       | offset | width | meaning
//! --------------|-------------|--------|-------|---------------------------------------------
//! first sector  | magic       | 0      | 4     | `Gpz1`; the `G` marks a group's first sector
//!               | body length | 4      | 4     | bytes, without the marks of the sectors
//!               | sequence    | 8      | 8     | the group's number, contiguous from 1
//!               | records     | 16     | 4     | how many
//!               | body crc    | 20     | 4     | CRC-32 of store, segment, sequence and body
//!               | reserved    | 24     | 4     | 0
//!               | header crc  | 28     | 4     | CRC-32 of store, segment and bytes 0..28
//!               | body        | 32     | 480   |
//! each further  | mark        | 0      | 1     | `c`
//!               | body        | 1      | 511   |
//!
//! What is left of the last sector is zero. All numbers are little-endian.

use protocol::ids::{GroupSeq, Uuid};

use super::GROUP_BYTES_MAX;
use crate::storage::disk::SECTOR;

const MAGIC: &[u8; 4] = b"Gpz1";
const CONTINUED: u8 = b'c';
const HEADER_BYTES: usize = 32;
const HEADER_CRC_AT: usize = 28;

/// The segment that a group was written for: part of its checksums, so that bytes left from
/// another segment or store are never taken for this one's (H53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) store: Uuid,
    pub(super) segment: u64,
}

/// A group's header that has the right checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_bytes: usize,
    pub(super) seq: GroupSeq,
    pub(super) records: u32,
    body_crc: u32,
}

impl Header {
    /// How many bytes the group takes on disk.
    pub(super) fn extent(&self) -> usize {
        extent(self.body_bytes)
    }
}

/// How many bytes a group with a body of `body_bytes` takes on disk: whole sectors.
pub(super) fn extent(body_bytes: usize) -> usize {
    let further = body_bytes.saturating_sub(SECTOR - HEADER_BYTES);
    (1 + further.div_ceil(SECTOR - 1)) * SECTOR
}

/// Appends the group's sectors to `into`.
pub(super) fn seal(place: Place, seq: GroupSeq, records: u32, body: &[u8], into: &mut Vec<u8>) {
    assert!(body.len() <= GROUP_BYTES_MAX, "the caller bounds groups");
    let start = into.len();
    into.reserve(extent(body.len()));
    into.extend_from_slice(MAGIC);
    into.extend_from_slice(&(body.len() as u32).to_le_bytes());
    into.extend_from_slice(&seq.0.to_le_bytes());
    into.extend_from_slice(&records.to_le_bytes());
    into.extend_from_slice(&body_crc(place, seq, body).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    let crc = header_crc(place, &into[start..]);
    into.extend_from_slice(&crc.to_le_bytes());
    let (first, further) = body.split_at(body.len().min(SECTOR - HEADER_BYTES));
    into.extend_from_slice(first);
    for part in further.chunks(SECTOR - 1) {
        into.push(CONTINUED);
        into.extend_from_slice(part);
    }
    into.resize(start + extent(body.len()), 0);
}

/// The header at the start of `sector`, if a group of `place` begins there.
pub(super) fn header(place: Place, sector: &[u8]) -> Option<Header> {
    assert_eq!(sector.len(), SECTOR);
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| sector[at + i]));
    if &sector[..4] != MAGIC || field(HEADER_CRC_AT) != header_crc(place, &sector[..HEADER_CRC_AT])
    {
        return None;
    }
    let seq = u64::from(field(8)) | u64::from(field(12)) << 32;
    let body_bytes = field(4) as usize;
    (body_bytes <= GROUP_BYTES_MAX).then_some(Header {
        body_bytes,
        seq: GroupSeq(seq),
        records: field(16),
        body_crc: field(20),
    })
}

/// The body of the group whose sectors are `sectors`, if all of it is there.
pub(super) fn body(place: Place, header: Header, sectors: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(sectors.len(), header.extent());
    let mut body = Vec::with_capacity(sectors.len());
    body.extend_from_slice(&sectors[HEADER_BYTES..SECTOR]);
    for sector in sectors[SECTOR..].chunks_exact(SECTOR) {
        if sector[0] != CONTINUED {
            return None;
        }
        body.extend_from_slice(&sector[1..]);
    }
    body.truncate(header.body_bytes);
    (body_crc(place, header.seq, &body) == header.body_crc).then_some(body)
}

fn header_crc(place: Place, header: &[u8]) -> u32 {
    let mut crc = of_place(place);
    crc.update(header);
    crc.finalize()
}

fn body_crc(place: Place, seq: GroupSeq, body: &[u8]) -> u32 {
    let mut crc = of_place(place);
    crc.update(&seq.0.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

fn of_place(place: Place) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.store.0.to_le_bytes());
    crc.update(&place.segment.to_le_bytes());
    crc
}
