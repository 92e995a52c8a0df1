//! Stretches of the ring, as a set of points.
//!
//! Used by whatever treats keys by where they lie. Pure.

use protocol::ids::Point;
use protocol::peer::Span;

/// A set of points.
///
/// Invariant: the parts rise, none is empty, none passes 0, and no two touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// All points of these stretches, which may overlap and pass 0.
    pub(super) fn new(spans: &[Span]) -> Self {
        let mut parts: Vec<_> = spans.iter().flat_map(|(Point(a), Point(b))| cut(*a, *b)).collect();
        parts.sort_unstable();
        parts.dedup_by(|next, before| {
            let touches = next.0 <= before.1.saturating_add(1);
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        Self(parts)
    }

    pub(super) fn contains(&self, point: Point) -> bool {
        self.covers(point.0, point.0)
    }

    /// Whether all points of this stretch, which may pass 0, are in it.
    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        cut(first, last).all(|(first, last)| {
            let at = self.0.partition_point(|part| part.1 < first);
            self.0.get(at).is_some_and(|part| part.0 <= first && last <= part.1)
        })
    }
}

/// A stretch in parts that do not pass 0.
fn cut(first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
    let (head, tail) =
        if first <= last { ((first, last), None) } else { ((first, u64::MAX), Some((0, last))) };
    std::iter::once(head).chain(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ring::Range;
    use crate::storage::codec::tests::Source;

    /// Points near both sides of 0, so that stretches pass it, touch and overlap.
    fn near_zero(source: &mut Source) -> Point {
        Point(source.below(24).wrapping_sub(12))
    }

    #[test]
    fn they_are_the_points_of_their_stretches() {
        let mut source = Source(3);
        for _ in 0..2_000 {
            let count = source.below(4);
            let draw = |_| (near_zero(&mut source), near_zero(&mut source));
            let all: Vec<Span> = (0..count).map(draw).collect();
            let spans = Spans::new(&all);
            let ranges: Vec<_> =
                all.iter().map(|(first, last)| Range { first: *first, last: *last }).collect();
            let naive = |point: u64| ranges.iter().any(|range| range.contains(Point(point)));
            let near = || (0..40_u64).map(|n| n.wrapping_sub(20));
            for point in near() {
                assert_eq!(spans.contains(Point(point)), naive(point), "{all:?} at {point}");
            }
            let (first, last) = (near_zero(&mut source), near_zero(&mut source));
            if (Range { first, last }).width() < 30 {
                let within = near().filter(|p| Range { first, last }.contains(Point(*p)));
                let covered = within.into_iter().all(naive);
                assert_eq!(spans.covers(first.0, last.0), covered, "{all:?} of {first:?} {last:?}");
            }
        }
        assert!(Spans::new(&[(Point(8), Point(7))]).covers(0, u64::MAX));
    }
}
