//! What a change from one ring to another costs: the ranges whose holders differ.

use std::collections::BTreeSet;

use protocol::ids::{MemberId, Point};
use protocol::peer::Placement;

use super::{Range, Ring};

/// A range of the ring that is held by other members in a new ring than in the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What moves.
    pub range: Range,
    /// The holders in the old ring, primary first.
    pub from: Vec<MemberId>,
    /// The holders in the new ring, primary first.
    pub to: Vec<MemberId>,
}

impl Move {
    /// The members that must get a copy.
    pub fn gaining(&self) -> impl Iterator<Item = MemberId> {
        self.to.iter().copied().filter(|member| !self.from.contains(member))
    }

    /// The members that no longer hold it.
    pub fn losing(&self) -> impl Iterator<Item = MemberId> {
        self.from.iter().copied().filter(|member| !self.to.contains(member))
    }
}

/// The ranges whose set of holders differs between two rings, in order and as few as possible: what
/// has to be copied when `new` follows `old`. A mere change of the order of holders moves nothing.
///
/// # Panics
/// If keys change their points from the old ring to the new: then no range says what moves.
pub fn moves(old: &Ring, new: &Ring) -> Vec<Move> {
    let by_hash = |ring: &Ring| ring.placement == Placement::Ring;
    assert!(by_hash(old) && by_hash(new) || old == new, "keys stay at their points");
    let ends: BTreeSet<Point> = old.ends.iter().chain(&new.ends).copied().collect();
    let mut first = ends.last().map_or(Point(0), |last| Point(last.0.wrapping_add(1)));
    let mut moves: Vec<Move> = Vec::new();
    for last in ends {
        let (from, to) = (old.replicas_at(last), new.replicas_at(last));
        let same = from.len() == to.len() && from.iter().all(|member| to.contains(member));
        if !same {
            match moves.last_mut() {
                Some(m) if m.from == from && m.to == to && follows(m.range, first) => {
                    m.range.last = last;
                }
                _ => moves.push(Move {
                    range: Range { first, last },
                    from: from.to_vec(),
                    to: to.to_vec(),
                }),
            }
        }
        first = Point(last.0.wrapping_add(1));
    }
    // The circle's seam lies at the first end; the last stretch may go on beyond it.
    if let [head, .., tail] = moves.as_mut_slice() {
        let one = head.from == tail.from && head.to == tail.to;
        if one && follows(tail.range, head.range.first) {
            head.range.first = tail.range.first;
            moves.pop();
        }
    }
    moves
}

/// Whether the point `first` comes right after `range`.
fn follows(range: Range, first: Point) -> bool {
    range.last.0.wrapping_add(1) == first.0
}
