//! How many live keys lie in each range of the ring, and a hash by which two members compare.
//!
//! Kept by both keystores, changed with each write that wins. Counting all keys anew gives the
//! same; so does any order of writes. Never more ranges than [`RANGES_MAX`].

use protocol::ids::Key;
use protocol::peer::Placement;
use xxhash_rust::xxh3::Xxh3;

use super::{KeystoreError, Stored};
use crate::core::ring::{byte_sum, hash_of};
use crate::storage::codec::{BadRecord, Reader};

/// How many ranges can be counted by.
pub const RANGES_MAX: usize = 1 << 20;
/// In the placement's byte: ranges are those of `ascii-sum`; 0 are those of the ring.
const BY_SUM: u32 = 1 << 24;

/// The live keys of one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeCount {
    /// How many.
    pub live: u64,
    /// The wrapping sum, over all of them, of the `xxh3_64` of key, version (8 bytes) and
    /// checksum (4 bytes).
    pub hash: u64,
}

/// Counts by range.
///
/// Invariants: `points` rise; `counts` are as many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges {
    placement: Placement,
    points: Vec<u64>,
    counts: Vec<RangeCount>,
}

impl Ranges {
    /// No keys yet, by these points.
    pub(super) fn new(placement: Placement, points: &[u64]) -> Self {
        assert!(points.len() <= RANGES_MAX, "{} ranges are too many", points.len());
        assert!(points.is_sorted_by(|a, b| a < b), "ring points rise");
        let counts = vec![RangeCount::default(); points.len()];
        Self { placement, points: points.to_vec(), counts }
    }

    /// Whether it counts by just these.
    pub(super) fn are(&self, placement: Placement, points: &[u64]) -> bool {
        self.placement == placement && self.points == points
    }

    /// The ring's points: a range ends at each.
    pub fn points(&self) -> &[u64] {
        &self.points
    }

    /// What lies in each range.
    pub fn counts(&self) -> &[RangeCount] {
        &self.counts
    }

    /// `key` has `after` instead of `before`.
    ///
    /// # Errors
    /// `Corrupt` if what was there was never counted.
    pub(super) fn change(
        &mut self,
        key: &Key,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), KeystoreError> {
        if self.points.is_empty() {
            return Ok(());
        }
        // As `Ring::arc_of`, in which the same range has this place.
        let at = match self.placement {
            Placement::Ring => self.points.partition_point(|point| *point < hash_of(key).0),
            Placement::AsciiSum => byte_sum(key) as usize,
        } % self.points.len();
        let count = &mut self.counts[at];
        if let Some(gone) = before.filter(|stored| stored.is_live()) {
            count.live = count.live.checked_sub(1).ok_or_else(|| {
                KeystoreError::Corrupt(format!("key {key:?} is there and was not counted"))
            })?;
            count.hash = count.hash.wrapping_sub(hash(key, gone));
        }
        if let Some(new) = after.filter(|stored| stored.is_live()) {
            count.live += 1;
            count.hash = count.hash.wrapping_add(hash(key, new));
        }
        Ok(())
    }

    /// Appends them: count (3 bytes), placement (1 byte), then point, live keys and hash (8 each).
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let placement = match self.placement {
            Placement::Ring => 0,
            Placement::AsciiSum => BY_SUM,
        };
        into.extend_from_slice(&(self.points.len() as u32 | placement).to_le_bytes());
        for (point, count) in self.points.iter().zip(&self.counts) {
            for number in [*point, count.live, count.hash] {
                into.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Reads what `encode` wrote; `None` if it breaks an invariant.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, BadRecord> {
        let head = reader.u32()?;
        let (placement, count) = match head & BY_SUM {
            0 => (Placement::Ring, head as usize),
            by_sum => (Placement::AsciiSum, (head - by_sum) as usize),
        };
        if count > RANGES_MAX || count > reader.left() / 24 {
            return Ok(None);
        }
        let mut ranges = Self { placement, ..Self::default() };
        for _ in 0..count {
            ranges.points.push(reader.u64()?);
            ranges.counts.push(RangeCount { live: reader.u64()?, hash: reader.u64()? });
        }
        Ok(ranges.points.is_sorted_by(|a, b| a < b).then_some(ranges))
    }
}

fn hash(key: &Key, stored: &Stored) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key.as_bytes());
    hash.update(&stored.version.number().to_le_bytes());
    hash.update(&stored.checksum.to_le_bytes());
    hash.digest()
}
