//! How many live keys lie in each range of the ring, and a hash by which two members compare.
//!
//! Kept by both keystores, changed with each write that wins. Counting all keys anew gives the
//! same; so does any order of writes. Other ranges are counted a few keys at a time, while writes
//! go on: nothing waits for millions of keys. Never more ranges than [`RANGES_MAX`].

use std::ops::Bound;

use protocol::ids::{Key, Point};
use protocol::peer::{Placement, Span};
use xxhash_rust::xxh3::Xxh3;

use super::paging::{Paging, behind};
use super::spans::Spans;
use super::{KeystoreError, Stored, Visit};
use crate::core::ring::{Range, byte_sum, hash_of};
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

    /// How keys are placed in them.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The ring's points: a range ends at each.
    pub fn points(&self) -> &[u64] {
        &self.points
    }

    /// What lies in each range.
    pub fn counts(&self) -> &[RangeCount] {
        &self.counts
    }

    /// How many live keys each range has, by its end.
    pub fn live(&self) -> impl Iterator<Item = (Point, u64)> {
        self.points.iter().zip(&self.counts).map(|(point, count)| (Point(*point), count.live))
    }

    /// The same keys by other points, if each is one of these and keys do not lie elsewhere
    /// by them.
    fn summed(&self, placement: Placement, points: &[u64]) -> Option<Self> {
        let mut sums = Self::new(placement, points);
        let same = self.are(placement, points);
        let stay = placement == Placement::Ring && self.placement == placement;
        let within = || points.iter().all(|point| self.points.binary_search(point).is_ok());
        if !(same || stay && within()) {
            return None;
        }
        for (point, count) in self.points.iter().zip(&self.counts) {
            if let Some(at) = sums.place_of(*point) {
                let sum = &mut sums.counts[at];
                sum.live += count.live;
                sum.hash = sum.hash.wrapping_add(count.hash);
            }
        }
        Some(sums)
    }

    /// What lies in one stretch, if ranges begin and end with it.
    pub(super) fn of_span(&self, (first, last): Span) -> Option<RangeCount> {
        let place = |point: u64| self.points.binary_search(&point).ok();
        let (before, last) = (place(first.0.wrapping_sub(1))?, place(last.0)?);
        let count = self.points.len();
        let ranges = (last + count - before - 1) % count + 1;
        let mut sum = RangeCount::default();
        for range in self.counts.iter().cycle().skip(before + 1).take(ranges) {
            sum.live += range.live;
            sum.hash = sum.hash.wrapping_add(range.hash);
        }
        Some(sum)
    }

    /// Whether a key lies in a stretch with which ranges begin and end.
    pub(super) fn lies_in(&self, key: &Key, span: Span) -> bool {
        let end = self.place_of_key(key).and_then(|at| self.points.get(at).copied());
        let range = Range { first: span.0, last: span.1 };
        end.is_some_and(|end| range.contains(Point(end)))
    }

    /// Whether they prove that all live keys, placed by their hashes, lie in `spans`.
    fn are_within(&self, spans: &Spans) -> bool {
        let before = self.points.iter().cycle().skip(self.points.len().saturating_sub(1));
        let ranges = before.zip(&self.points).zip(&self.counts);
        let mut ranges = ranges.filter(|(_, count)| count.live > 0);
        let by_hash = self.placement == Placement::Ring;
        let within =
            |((before, last), _): ((&u64, &u64), _)| spans.covers(before.wrapping_add(1), *last);
        by_hash && !self.points.is_empty() && ranges.all(within)
    }

    /// The range in which a point lies.
    fn place_of(&self, point: u64) -> Option<usize> {
        self.points.partition_point(|end| *end < point).checked_rem(self.points.len())
    }

    /// The range in which a key lies: as `Ring::arc_of`, in which the same range has this place.
    fn place_of_key(&self, key: &Key) -> Option<usize> {
        match self.placement {
            Placement::Ring => self.place_of(hash_of(key).0),
            Placement::AsciiSum => (byte_sum(key) as usize).checked_rem(self.points.len()),
        }
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
        let Some(at) = self.place_of_key(key) else { return Ok(()) };
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

/// Shows the keys from one on with what is under them, as `Keystore::walk` does.
type Walk<'a> = &'a dyn Fn(Bound<Key>, Visit<'_>) -> Result<(), KeystoreError>;

/// The counts of a keystore, and those that are to take their place.
#[derive(Debug, Clone, Default)]
pub struct Counting {
    known: Ranges,
    /// By other ranges, while not all keys have been counted by them.
    anew: Option<Anew>,
    /// By the same ranges, of records that are read anew: damage does not go by what was counted.
    scrub: Option<Anew>,
}

#[derive(Debug, Clone)]
struct Anew {
    ranges: Ranges,
    /// All keys up to this one are counted, and no others.
    through: Option<Key>,
}

impl Counting {
    /// With these counts.
    pub(super) fn of(known: Ranges) -> Self {
        Self { known, anew: None, scrub: None }
    }

    /// All live keys, by the ranges by which they are known.
    pub(super) fn known(&self) -> &Ranges {
        &self.known
    }

    /// Whether a live key may lie outside of `spans`.
    pub(super) fn may_be_outside(&self, spans: &Spans) -> bool {
        !self.known.are_within(spans)
    }

    /// Counts by these points from now on, at once if the known counts add up to these.
    pub(super) fn count_by(&mut self, placement: Placement, points: &[u64]) {
        if let Some(sums) = self.known.summed(placement, points) {
            *self = Self::of(sums);
        } else if self.anew.as_ref().is_none_or(|anew| !anew.ranges.are(placement, points)) {
            self.anew = Some(Anew { ranges: Ranges::new(placement, points), through: None });
        }
    }

    /// What was counted by other ranges is forgotten.
    pub(super) fn stop(&mut self) {
        (self.anew, self.scrub) = (None, None);
    }

    /// Some records are read anew: those behind `after`, or the first ones. They count if all
    /// before them were counted so; `walk` is to show them, and to say which is the last.
    ///
    /// # Errors
    /// Those of `walk`.
    pub(super) fn scrub(
        &mut self,
        after: Option<&Key>,
        walk: impl FnOnce(&mut Ranges) -> Result<Option<Key>, KeystoreError>,
    ) -> Result<(), KeystoreError> {
        let begun =
            self.scrub.take().filter(|scrub| after.is_some() && scrub.through.as_ref() == after);
        let goes_on = begun.is_some() || after.is_none();
        let ranges = begun.map(|scrub| scrub.ranges);
        let mut ranges =
            ranges.unwrap_or_else(|| Ranges::new(self.known.placement, self.known.points()));
        let through = walk(&mut ranges)?;
        let same = goes_on && ranges.are(self.known.placement, self.known.points());
        match through {
            _ if !same => {}
            Some(_) => self.scrub = Some(Anew { ranges, through }),
            None => self.known = ranges,
        }
        Ok(())
    }

    /// `key` has `after` instead of `before`.
    ///
    /// # Errors
    /// As [`Ranges::change`].
    pub(super) fn change(
        &mut self,
        key: &Key,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), KeystoreError> {
        for anew in self.anew.iter_mut().chain(&mut self.scrub) {
            if anew.through.as_ref().is_some_and(|through| key <= through) {
                anew.ranges.change(key, before, after)?;
            }
        }
        self.known.change(key, before, after)
    }

    /// Counts the next `looks_max` keys that `walk` shows; whether any are left.
    pub(super) fn step(&mut self, looks_max: usize, walk: Walk<'_>) -> Result<bool, KeystoreError> {
        let Some(Anew { ranges, through }) = &mut self.anew else { return Ok(false) };
        let mut step = Paging::step(looks_max);
        walk(behind(through.as_ref()), &mut |key, stored| {
            ranges.change(&key, None, Some(&stored))?;
            step.look(key, stored, false)
        })?;
        *through = step.page.through;
        if through.is_none() {
            *self = Self::of(std::mem::take(ranges));
        }
        Ok(self.anew.is_some())
    }
}

fn hash(key: &Key, stored: &Stored) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key.as_bytes());
    hash.update(&stored.version.number().to_le_bytes());
    hash.update(&stored.checksum.to_le_bytes());
    hash.digest()
}
