//! Placement: which members hold a key, as a pure value (consistent hashing, Karger et al. 1997).
//!
//! The coordinator and every node build a `Ring` from a ring record and never change it; a change
//! of membership is another `Ring`, and `moves` says what it costs. Points are proposed in
//! `propose`, never at random, so that members' shares are as equal as they can be. The ring's
//! number and when a ring is in force are the coordinator's business.

mod moves;
pub mod next;
mod propose;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Key, MemberId, Point};
use protocol::peer::{Learning, Placement};
use xxhash_rust::xxh3::xxh3_64;

pub use moves::{Move, moves};
pub use propose::{propose, propose_join};
pub use record::{is_ring, number_in, ring_of};

/// Points on the ring, all of them: 2^64.
pub const RING_POINTS: u128 = 1 << 64;

/// The hash of a key: `xxh3_64` of its bytes, for ever.
pub fn hash_of(key: &Key) -> Point {
    Point(xxh3_64(key.as_bytes()))
}

/// The sum of a key's bytes.
pub fn byte_sum(key: &Key) -> u32 {
    key.as_bytes().iter().map(|byte| u32::from(*byte)).sum()
}

/// A stretch of the ring, both ends included; it passes 0 where `first > last`. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first point in it.
    pub first: Point,
    /// The last point in it.
    pub last: Point,
}

impl Range {
    /// Whether `point` lies in the range.
    pub fn contains(&self, point: Point) -> bool {
        point.0.wrapping_sub(self.first.0) <= self.last.0.wrapping_sub(self.first.0)
    }

    /// How many points it has: 1 to [`RING_POINTS`].
    pub fn width(&self) -> u128 {
        u128::from(self.last.0.wrapping_sub(self.first.0)) + 1
    }
}

/// A part of the ring of which the same members hold all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingArc<'ring> {
    /// Where it is.
    pub range: Range,
    /// The distinct members met clockwise from `range.last`, primary first, then those that keep
    /// it until others have learned it; never empty.
    pub holders: &'ring [MemberId],
    /// Those of them that have it already, in the same order; never empty.
    pub in_sync: &'ring [MemberId],
}

/// The members' points and, precomputed, who holds every part: 2^64 points in a circle, each owned
/// by the first member's point at or after it.
///
/// The placement says at which point a key lies: at its hash; or, by `ascii-sum`, at the point that
/// ends the arc whose number, counted from 0 in the points' order, is the key's byte sum modulo
/// the number of points. All else is the same for both. By `ascii-sum` a key's point thus depends
/// on the number of points: another ring may place nearly every key elsewhere.
///
/// Invariants, asserted at construction:
/// * there is at least one point; points are distinct and sorted;
/// * a part lies between two points, or is cut off one by a stretch that is being learned; its
///   holders are min(replicas, members with points) distinct members met clockwise, the first of
///   them the member whose point ends the arc, and then whoever keeps it for a learner;
/// * at least one holder of each part is in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    points: Vec<(Point, MemberId)>,
    replicas: u16,
    placement: Placement,
    /// Where each part ends, sorted.
    ends: Vec<Point>,
    parts: Vec<Part>,
}

/// Who holds one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    holders: Vec<MemberId>,
    in_sync: Vec<MemberId>,
}

impl Ring {
    /// The ring of these points, in any order, with `replicas` copies of every key as far as there
    /// are members.
    ///
    /// # Panics
    /// Without points, with the same point twice, or with 0 replicas: whoever takes a ring from
    /// outside checks that first.
    pub fn new(points: Vec<(Point, MemberId)>, replicas: u16) -> Self {
        Self::with_learners(points, replicas, &[])
    }

    /// The same while some members are still learning what their points give them.
    ///
    /// # Panics
    /// As [`Ring::new`], and if a part has nobody in sync.
    pub fn with_learners(
        mut points: Vec<(Point, MemberId)>,
        replicas: u16,
        learning: &[Learning],
    ) -> Self {
        assert!(!points.is_empty(), "a ring needs a point");
        assert!(replicas >= 1, "a ring needs a replica");
        points.sort_unstable();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "points must be distinct");
        let (ends, parts): (Vec<Point>, Vec<Part>) = parts_of(&points, replicas, learning).unzip();
        assert!(parts.iter().all(|part| !part.in_sync.is_empty()), "every part has one in sync");
        Self { points, replicas, placement: Placement::Ring, ends, parts }
    }

    /// The same ring, on which keys are placed in this way; [`Ring::new`] places them by hash.
    pub fn placed_by(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    /// How keys are placed.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The point of a key.
    pub fn point_of(&self, key: &Key) -> Point {
        match self.placement {
            Placement::Ring => hash_of(key),
            Placement::AsciiSum => self.point_by_sum(byte_sum(key)),
        }
    }

    /// The point of a key of which only these are known.
    pub fn point_by(&self, hash: Point, sum: u32) -> Point {
        match self.placement {
            Placement::Ring => hash,
            Placement::AsciiSum => self.point_by_sum(sum),
        }
    }

    fn point_by_sum(&self, sum: u32) -> Point {
        self.points[sum as usize % self.points.len()].0
    }

    /// The points and their members, sorted.
    pub fn points(&self) -> &[(Point, MemberId)] {
        &self.points
    }

    /// The number of copies asked for, which may be more than there are members.
    pub fn replicas(&self) -> u16 {
        self.replicas
    }

    /// All members with points, sorted.
    pub fn members(&self) -> BTreeSet<MemberId> {
        self.points.iter().map(|(_, member)| *member).collect()
    }

    /// The members that hold `key`, primary first: all that take part in its updates.
    pub fn replicas_of(&self, key: &Key) -> &[MemberId] {
        self.replicas_at(self.point_of(key))
    }

    /// The members that hold the keys at `point`, primary first.
    pub fn replicas_at(&self, point: Point) -> &[MemberId] {
        &self.parts[self.arc_at(point)].holders
    }

    /// Those of them that have all of it: the ones that may be read from.
    pub fn in_sync_at(&self, point: Point) -> &[MemberId] {
        &self.parts[self.arc_at(point)].in_sync
    }

    /// Whether the member holds the keys at `point` and has not all of them yet.
    pub fn is_learner(&self, member: MemberId, point: Point) -> bool {
        let part = &self.parts[self.arc_at(point)];
        part.holders.contains(&member) && !part.in_sync.contains(&member)
    }

    /// The part in which `key` lies: its place in [`Ring::arcs`].
    pub fn arc_of(&self, key: &Key) -> usize {
        self.arc_at(self.point_of(key))
    }

    /// The part in which `point` lies: its place in [`Ring::arcs`].
    pub fn arc_at(&self, point: Point) -> usize {
        self.ends.partition_point(|end| *end < point) % self.ends.len()
    }

    /// All parts in the order of their ends. The first one passes 0, unless the last one ends at
    /// the ring's last point.
    pub fn arcs(&self) -> impl ExactSizeIterator<Item = RingArc<'_>> {
        (0..self.ends.len()).map(|arc| RingArc {
            range: self.range_of(arc),
            holders: &self.parts[arc].holders,
            in_sync: &self.parts[arc].in_sync,
        })
    }

    /// The parts that meet a range, cut to it, in their order from its first point.
    pub fn cut_to(&self, range: Range) -> impl Iterator<Item = RingArc<'_>> {
        let from = move |first: Point| {
            let arc = self.arc_at(first);
            let rest = Range { first, last: range.last };
            let end = self.ends[arc];
            let last = if rest.contains(end) { end } else { range.last };
            let Part { holders, in_sync } = &self.parts[arc];
            RingArc { range: Range { first, last }, holders, in_sync }
        };
        std::iter::successors(Some(from(range.first)), move |cut| {
            let last = cut.range.last;
            (last != range.last).then(|| from(Point(last.0.wrapping_add(1))))
        })
    }

    /// How many of the ring's 2^64 points each member owns as primary; together all of them.
    pub fn shares(&self) -> BTreeMap<MemberId, u128> {
        let mut shares = BTreeMap::new();
        for arc in self.arcs() {
            *shares.entry(arc.holders[0]).or_insert(0) += arc.range.width();
        }
        assert_eq!(shares.values().sum::<u128>(), RING_POINTS, "every point has one owner");
        shares
    }

    fn range_of(&self, arc: usize) -> Range {
        let before = if arc == 0 { self.ends.len() - 1 } else { arc - 1 };
        let first = Point(self.ends[before].0.wrapping_add(1));
        Range { first, last: self.ends[arc] }
    }
}

/// All parts in the order of their ends, of points that rise.
fn parts_of(
    points: &[(Point, MemberId)],
    replicas: u16,
    learning: &[Learning],
) -> impl Iterator<Item = (Point, Part)> {
    let members: BTreeSet<MemberId> = points.iter().map(|(_, member)| *member).collect();
    let copies = usize::from(replicas).min(members.len());
    let mut ends: BTreeSet<Point> = points.iter().map(|(point, _)| *point).collect();
    for Learning { span: (first, last), .. } in learning {
        ends.extend([Point(first.0.wrapping_sub(1)), *last]);
    }
    ends.into_iter().map(move |end| (end, part_at(points, copies, learning, end)))
}

/// Who holds the part that ends at `end`.
fn part_at(points: &[(Point, MemberId)], copies: usize, learning: &[Learning], end: Point) -> Part {
    let arc = points.partition_point(|(point, _)| *point < end) % points.len();
    let mut holders: Vec<MemberId> = Vec::with_capacity(copies);
    for (_, member) in points[arc..].iter().chain(&points[..arc]) {
        if !holders.contains(member) {
            holders.push(*member);
        }
        if holders.len() == copies {
            break;
        }
    }
    assert_eq!(holders.len(), copies, "every part has all its holders");
    assert_eq!(holders[0], points[arc].1, "an arc's primary is its point's member");
    let here = |l: &&Learning| Range { first: l.span.0, last: l.span.1 }.contains(end);
    let mut in_sync = holders.clone();
    for learning in learning.iter().filter(here) {
        in_sync.retain(|member| *member != learning.learner);
        if let Some(keeper) = learning.keeper.filter(|keeper| !holders.contains(keeper)) {
            holders.push(keeper);
            in_sync.push(keeper);
        }
    }
    Part { holders, in_sync }
}
