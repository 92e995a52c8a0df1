//! One group of records as sectors: the unit that is written, synced and found again.
//!
//! Called by `log` to append and by `open` to read. A group begins on a sector boundary, so that
//! tearing one can never touch an earlier one; the first byte of each of its sectors tells a
//! group's first sector from its others, so that no value, however crafted, looks like a group.
//! Each sector says for which segment it was written: in a file that was a segment before, what
//! is left of its earlier life is known for that, and what is neither that nor zeros was torn or
//! has rotted. Never allocates more than the file that it reads from holds.
//!
//! part          | field       | offset | width | meaning
//! --------------|-------------|--------|-------|---------------------------------------------
//! each sector   | mark        | 0      | 1     | `G` a group's first sector, `c` a further one
//!               | version     | 1      | 3     | `pz1`
//!               | crc         | 4      | 4     | CRC-32 of store, and of the sector without it
//!               | segment     | 8      | 8     | the segment's number
//! first sector  | body length | 16     | 4     | bytes, without the heads of the sectors
//!               | records     | 20     | 4     | how many
//!               | sequence    | 24     | 8     | the group's number, contiguous from 1
//!               | body crc    | 32     | 4     | CRC-32 of store, segment, sequence and body
//!               | reserved    | 36     | 4     | 0
//!               | body        | 40     | 472   |
//! each further  | body        | 16     | 496   |
//!
//! What is left of the last sector is zero. All numbers are little-endian.

use protocol::ids::{GroupSeq, Uuid};

use super::GROUP_BYTES_MAX;
use crate::core::planted::{Bug, planted};
use crate::storage::disk::SECTOR;

const FIRST: u8 = b'G';
const FURTHER: u8 = b'c';
const VERSION: &[u8; 3] = b"pz1";
const CRC_AT: usize = 4;
const SEGMENT_AT: usize = 8;
/// How many bytes each sector begins with that are not the group's.
const HEAD_BYTES: usize = 16;
/// The same for a group's first sector.
const HEADER_BYTES: usize = 40;

/// The segment that a group was written for: part of every sector and its checksum, so that bytes
/// left from another segment or store are never taken for this one's (H53). Numbers of segments
/// are never used twice in a store's life.
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

/// What a sector behind the last valid group shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trace {
    /// Zeros, or what an earlier segment in the same file has left: nothing was written here.
    Nothing,
    /// A whole first sector of a group of this segment.
    Begins(Header),
    /// Part of a group of this segment, or damaged: something was written here.
    Something,
}

/// How many bytes a group with a body of `body_bytes` takes on disk: whole sectors.
pub(super) fn extent(body_bytes: usize) -> usize {
    let further = body_bytes.saturating_sub(SECTOR - HEADER_BYTES);
    (1 + further.div_ceil(SECTOR - HEAD_BYTES)) * SECTOR
}

/// Appends the group's sectors to `into`.
pub(super) fn seal(place: Place, seq: GroupSeq, records: u32, body: &[u8], into: &mut Vec<u8>) {
    assert!(body.len() <= GROUP_BYTES_MAX, "the caller bounds groups");
    let start = into.len();
    into.reserve(extent(body.len()));
    push_head(place, FIRST, into);
    into.extend_from_slice(&(body.len() as u32).to_le_bytes());
    into.extend_from_slice(&records.to_le_bytes());
    into.extend_from_slice(&seq.0.to_le_bytes());
    into.extend_from_slice(&body_crc(place, seq, body).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    let (first, further) = body.split_at(body.len().min(SECTOR - HEADER_BYTES));
    into.extend_from_slice(first);
    for part in further.chunks(SECTOR - HEAD_BYTES) {
        push_head(place, FURTHER, into);
        into.extend_from_slice(part);
    }
    into.resize(start + extent(body.len()), 0);
    for sector in into[start..].chunks_exact_mut(SECTOR) {
        let crc = sector_crc(place.store, sector);
        sector[CRC_AT..SEGMENT_AT].copy_from_slice(&crc.to_le_bytes());
    }
}

fn push_head(place: Place, mark: u8, into: &mut Vec<u8>) {
    into.push(mark);
    into.extend_from_slice(VERSION);
    into.extend_from_slice(&[0; SEGMENT_AT - CRC_AT]);
    into.extend_from_slice(&place.segment.to_le_bytes());
}

/// The mark and the segment of a whole sector of a group of this store.
fn head(store: Uuid, sector: &[u8]) -> Option<(u8, u64)> {
    assert_eq!(sector.len(), SECTOR);
    let sums = sector[CRC_AT..SEGMENT_AT] == sector_crc(store, sector).to_le_bytes();
    let whole = sector[1..CRC_AT] == *VERSION && (sums || planted(Bug::ChecksumIgnored));
    whole.then(|| (sector[0], number_at(sector, SEGMENT_AT)))
}

/// The header at the start of `sector`, if a group of `place` begins there.
pub(super) fn header(place: Place, sector: &[u8]) -> Option<Header> {
    let head = head(place.store, sector);
    let old = planted(Bug::OldSegmentRead) && head.is_some_and(|(mark, _)| mark == FIRST);
    if head != Some((FIRST, place.segment)) && !old {
        return None;
    }
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| sector[at + i]));
    let body_bytes = field(16) as usize;
    (body_bytes <= GROUP_BYTES_MAX).then_some(Header {
        body_bytes,
        seq: GroupSeq(number_at(sector, 24)),
        records: field(20),
        body_crc: field(32),
    })
}

fn number_at(sector: &[u8], at: usize) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| sector[at + i]))
}

/// What `sector` shows, which is behind the last valid group of `place`.
pub(super) fn trace(place: Place, sector: &[u8]) -> Trace {
    if sector.iter().all(|byte| *byte == 0) {
        return Trace::Nothing;
    }
    match head(place.store, sector) {
        Some((_, segment)) if segment < place.segment => Trace::Nothing,
        _ => header(place, sector).map_or(Trace::Something, Trace::Begins),
    }
}

/// The body of the group whose sectors are `sectors`, if all of it is there.
pub(super) fn body(place: Place, header: Header, sectors: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(sectors.len(), header.extent());
    let mut body = Vec::with_capacity(sectors.len());
    body.extend_from_slice(&sectors[HEADER_BYTES..SECTOR]);
    for sector in sectors[SECTOR..].chunks_exact(SECTOR) {
        if head(place.store, sector) != Some((FURTHER, place.segment)) {
            return None;
        }
        body.extend_from_slice(&sector[HEAD_BYTES..]);
    }
    body.truncate(header.body_bytes);
    let sums = body_crc(place, header.seq, &body) == header.body_crc;
    (sums || planted(Bug::ChecksumIgnored) || planted(Bug::OldSegmentRead)).then_some(body)
}

fn sector_crc(store: Uuid, sector: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&store.0.to_le_bytes());
    crc.update(&sector[..CRC_AT]);
    crc.update(&sector[SEGMENT_AT..]);
    crc.finalize()
}

fn body_crc(place: Place, seq: GroupSeq, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.store.0.to_le_bytes());
    crc.update(&place.segment.to_le_bytes());
    crc.update(&seq.0.to_le_bytes());
    crc.update(body);
    crc.finalize()
}
