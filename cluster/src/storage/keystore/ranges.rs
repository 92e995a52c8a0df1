//! How many live keys lie in each range of the ring, and a hash by which two members compare.
//!
//! Kept by both keystores, changed with each write that wins. Counting all keys anew gives the
//! same; so does any order of writes. Never more ranges than [`RANGES_MAX`].

use protocol::ids::Key;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{KeystoreError, Stored};
use crate::storage::codec::{BadRecord, Reader};

/// How many ranges can be counted by.
pub const RANGES_MAX: usize = 1 << 20;

/// Where a key lies on the ring: `xxh3_64` of its bytes.
pub fn point_of(key: &Key) -> u64 {
    xxh3_64(key.as_bytes())
}

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
    points: Vec<u64>,
    counts: Vec<RangeCount>,
}

impl Ranges {
    /// No keys yet, by these points.
    pub(super) fn new(points: &[u64]) -> Self {
        assert!(points.len() <= RANGES_MAX, "{} ranges are too many", points.len());
        assert!(points.is_sorted_by(|a, b| a < b), "ring points rise");
        Self { points: points.to_vec(), counts: vec![RangeCount::default(); points.len()] }
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
        let at = self.points.partition_point(|point| *point < point_of(key)) % self.points.len();
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

    /// Appends them: count (4 bytes), then point, live keys and hash (8 each).
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&(self.points.len() as u32).to_le_bytes());
        for (point, count) in self.points.iter().zip(&self.counts) {
            for number in [*point, count.live, count.hash] {
                into.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Reads what `encode` wrote; `None` if it breaks an invariant.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, BadRecord> {
        let count = reader.u32()? as usize;
        if count > RANGES_MAX || count > reader.left() / 24 {
            return Ok(None);
        }
        let mut ranges = Self::default();
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
