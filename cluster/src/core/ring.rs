//! Placement: which members hold a key, as a pure value (consistent hashing, Karger et al. 1997).
//!
//! The coordinator and every node build a `Ring` from a ring record and never change it; a change
//! of membership is another `Ring`, and `moves` says what it costs. Points are proposed here, never
//! at random, so that members' shares are as equal as they can be. The ring's number, who is in
//! sync and when a ring is in force are the coordinator's business.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Key, MemberId, Point};
use protocol::peer::Placement;
use xxhash_rust::xxh3::xxh3_64;

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

/// One point's part of the ring, and who holds its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingArc<'ring> {
    /// From after the previous point up to and with this one.
    pub range: Range,
    /// The distinct members met clockwise from `range.last`, primary first; never empty.
    pub holders: &'ring [MemberId],
}

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

/// The members' points and, precomputed, every arc's holders: 2^64 points in a circle, each owned
/// by the first member's point at or after it.
///
/// The placement says at which point a key lies: at its hash; or, by `ascii-sum`, at the point that
/// ends the arc whose number, counted from 0 in the points' order, is the key's byte sum modulo
/// the number of points. All else is the same for both. By `ascii-sum` a key's point thus depends
/// on the number of points: another ring may place nearly every key elsewhere.
///
/// Invariants, asserted at construction:
/// * there is at least one point; points are distinct and sorted;
/// * every arc has the same number of holders, min(replicas, members), all distinct, and the first
///   of them is the member whose point ends the arc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    points: Vec<(Point, MemberId)>,
    replicas: u16,
    placement: Placement,
    /// Holders per arc: min(replicas, members).
    copies: usize,
    /// `copies` holders for each arc, in the order of `points`.
    holders: Vec<MemberId>,
}

impl Ring {
    /// The ring of these points, in any order, with `replicas` copies of every key as far as there
    /// are members.
    ///
    /// # Panics
    /// Without points, with the same point twice, or with 0 replicas: whoever takes a ring from
    /// outside checks that first.
    pub fn new(mut points: Vec<(Point, MemberId)>, replicas: u16) -> Self {
        assert!(!points.is_empty(), "a ring needs a point");
        assert!(replicas >= 1, "a ring needs a replica");
        points.sort_unstable();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "points must be distinct");
        let members: BTreeSet<MemberId> = points.iter().map(|(_, member)| *member).collect();
        let copies = usize::from(replicas).min(members.len());
        let mut holders = Vec::with_capacity(points.len() * copies);
        for arc in 0..points.len() {
            let start = holders.len();
            for (_, member) in points[arc..].iter().chain(&points[..arc]) {
                if !holders[start..].contains(member) {
                    holders.push(*member);
                }
                if holders.len() - start == copies {
                    break;
                }
            }
            assert_eq!(holders.len() - start, copies, "every arc has all its holders");
            assert_eq!(holders[start], points[arc].1, "an arc's primary is its point's member");
        }
        Self { points, replicas, placement: Placement::Ring, copies, holders }
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

    /// All members, sorted.
    pub fn members(&self) -> BTreeSet<MemberId> {
        self.points.iter().map(|(_, member)| *member).collect()
    }

    /// The members that hold `key`, primary first: min(replicas, members) distinct ones.
    pub fn replicas_of(&self, key: &Key) -> &[MemberId] {
        self.replicas_at(self.point_of(key))
    }

    /// The members that hold the keys at `point`, primary first.
    pub fn replicas_at(&self, point: Point) -> &[MemberId] {
        self.holders_of(self.arc_at(point))
    }

    /// The arc in which `key` lies: its place in [`Ring::points`] and in [`Ring::arcs`].
    pub fn arc_of(&self, key: &Key) -> usize {
        self.arc_at(self.point_of(key))
    }

    /// The arc in which `point` lies: its place in [`Ring::points`] and in [`Ring::arcs`].
    pub fn arc_at(&self, point: Point) -> usize {
        self.points.partition_point(|(end, _)| *end < point) % self.points.len()
    }

    /// All arcs in the order of their points. The first one passes 0, unless the last point is the
    /// ring's last.
    pub fn arcs(&self) -> impl ExactSizeIterator<Item = RingArc<'_>> {
        (0..self.points.len())
            .map(|arc| RingArc { range: self.range_of(arc), holders: self.holders_of(arc) })
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

    fn holders_of(&self, arc: usize) -> &[MemberId] {
        &self.holders[arc * self.copies..][..self.copies]
    }

    fn range_of(&self, arc: usize) -> Range {
        let before = if arc == 0 { self.points.len() - 1 } else { arc - 1 };
        let first = Point(self.points[before].0.0.wrapping_add(1));
        Range { first, last: self.points[arc].0 }
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
    let points = old.points.iter().chain(&new.points);
    let ends: BTreeSet<Point> = points.map(|(point, _)| *point).collect();
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

/// Points for the founding members, `tokens` for each: member `m`'s are in the `m`-th list, sorted.
///
/// The ring is cut into rounds, one per token, and each round into one arc for every member, all of
/// one width; members' shares differ by one point at most. The order of members changes from round
/// to round (Williams 1949: each member follows each other one equally often), so that a lost
/// member's load falls on all others.
///
/// # Panics
/// If either number is 0.
pub fn propose(members: u16, tokens: u16) -> Vec<Vec<Point>> {
    assert!(members >= 1 && tokens >= 1, "a ring needs members, and they need points");
    let arcs = u128::from(members) * u128::from(tokens);
    let (width, wider) = (RING_POINTS / arcs, RING_POINTS % arcs);
    let mut points = vec![Vec::with_capacity(tokens.into()); members.into()];
    let mut end: u128 = 0;
    let mut order: Vec<u16> = Vec::new();
    for round in 0..tokens {
        let is_last = round + 1 == tokens;
        order = order_of_round(members, round, order.last().copied(), is_last);
        for &member in &order {
            // The remainder goes to the first `wider` pairs of round and member, one point each:
            // that is equally many for each member, give or take one.
            let pair = u128::from(round) * u128::from(members) + u128::from(member);
            end += width + u128::from(pair < wider);
            points[usize::from(member)].push(Point((end - 1) as u64));
        }
    }
    assert_eq!(end, RING_POINTS, "the arcs fill the ring");
    points
}

/// The members in the order of one round. Member 0 begins the ring, so it must not end it, and no
/// round begins with `previous`, the end of the one before: two arcs of one member in a row are
/// one.
fn order_of_round(members: u16, round: u16, previous: Option<u16>, is_last: bool) -> Vec<u16> {
    if round == 0 {
        return (0..members).collect();
    }
    let count = u32::from(members);
    // 0, n-1, 1, n-2, ...: all differences of neighbours occur. Odd numbers of members need the
    // sequence backwards as well to be even-handed.
    let zigzag = |at: u32| if at.is_multiple_of(2) { at / 2 } else { count - at.div_ceil(2) };
    let turn = u32::from(round) - 1;
    let mut order: Vec<u16> = (0..count).map(|at| ((zigzag(at) + turn) % count) as u16).collect();
    if members % 2 == 1 && (turn / count) % 2 == 1 {
        order.reverse();
    }
    for _ in 0..members {
        let doubled = previous == order.first().copied();
        let seam = is_last && order.last() == Some(&0);
        if !doubled && !seam {
            break;
        }
        order.rotate_left(1);
    }
    order
}

/// What one present member gives to a new one: `amount` points out of `arcs`, by `tokens` cuts.
#[derive(Debug)]
struct Donor {
    share: u128,
    /// Its arcs, the widest first.
    arcs: Vec<Range>,
    /// How many of the new member's points cut into its arcs.
    tokens: usize,
}

impl Donor {
    /// The arcs that are cut, and their points together.
    fn cut(&self) -> (&[Range], u128) {
        let cut = &self.arcs[..self.tokens.min(self.arcs.len())];
        (cut, cut.iter().map(Range::width).sum())
    }

    /// Whether its cut arcs are too narrow to give `amount` and keep something of each.
    fn is_short_of(&self, amount: u128) -> bool {
        let (cut, width) = self.cut();
        self.tokens < self.arcs.len() && amount + cut.len() as u128 > width
    }
}

/// `tokens` points for one more member, sorted, such that shares become as equal as so many points
/// allow while no present point moves.
///
/// One point takes half of the widest arc. More points take from the members with
/// the largest shares, so many of them that what is left to each and what the new member gets are
/// all the same; each gives in proportion from its widest arcs.
///
/// # Panics
/// If `tokens` is 0, or the ring is too crowded to cut (arcs of a few points only).
pub fn propose_join(ring: &Ring, tokens: u16) -> Vec<Point> {
    assert!(tokens >= 1, "a member needs a point");
    if tokens == 1 {
        let widest = ring
            .arcs()
            .map(|arc| arc.range)
            .max_by_key(|range| (range.width(), std::cmp::Reverse(range.last)));
        return widest.map(|range| cuts(range, range.width() / 2, 1)).unwrap_or_default();
    }
    let (mut donors, level) = donors(ring, tokens.into());
    for _ in donors.len()..tokens.into() {
        // First whoever cannot give its part yet, then whoever gives most per point.
        let neediest = donors.iter_mut().max_by_key(|donor| {
            let amount = donor.share - level;
            (donor.is_short_of(amount), amount / donor.tokens as u128)
        });
        neediest.expect("a ring has a member to take from").tokens += 1;
    }
    let mut points: Vec<Point> =
        donors.iter().flat_map(|donor| cut_points(donor, donor.share - level)).collect();
    points.sort_unstable();
    assert_eq!(points.len(), usize::from(tokens), "as many points as asked for");
    points
}

/// Who gives to a new member, at most `count`, the largest shares first; and the share that all of
/// them and the new member end up with.
fn donors(ring: &Ring, count: usize) -> (Vec<Donor>, u128) {
    let shares = ring.shares();
    let mut all: BTreeMap<MemberId, Donor> = BTreeMap::new();
    for arc in ring.arcs() {
        // Arcs too narrow to cut stay whole.
        if arc.range.width() <= count as u128 {
            continue;
        }
        let new = || Donor { share: 0, arcs: Vec::new(), tokens: 1 };
        let donor = all.entry(arc.holders[0]).or_insert_with(new);
        donor.share = shares[&arc.holders[0]];
        donor.arcs.push(arc.range);
    }
    let mut sorted: Vec<Donor> = all.into_values().collect();
    sorted.sort_by_key(|donor| std::cmp::Reverse(donor.share));
    let (mut taken, mut sum, mut level) = (Vec::new(), 0, 0);
    for mut donor in sorted.into_iter().take(count) {
        if donor.share <= level {
            break; // It has no more than all others will have.
        }
        donor.arcs.sort_by_key(|range| std::cmp::Reverse(range.width()));
        sum += donor.share;
        taken.push(donor);
        level = sum / (taken.len() as u128 + 1);
    }
    (taken, level)
}

/// The points by which a new member takes `amount` points from `donor`, or as much as there is.
fn cut_points(donor: &Donor, amount: u128) -> Vec<Point> {
    let (arcs, width) = donor.cut();
    let amount = amount.min(width - arcs.len() as u128);
    let (mut points, mut width_seen, mut given) = (Vec::new(), 0, 0);
    for (at, range) in arcs.iter().enumerate() {
        width_seen += range.width();
        // In proportion, rounded such that the parts add up to the whole; at most 2^63 * 2^64.
        let upto = amount * width_seen / width;
        let cuts_here = donor.tokens / arcs.len() + usize::from(at < donor.tokens % arcs.len());
        points.extend(cuts(*range, upto - given, cuts_here as u128));
        given = upto;
    }
    points
}

/// `count` points that together take the first `amount` points of `range`.
fn cuts(range: Range, amount: u128, count: u128) -> Vec<Point> {
    let (least, most) = (count, range.width() - 1);
    assert!(least <= most, "an arc of {} points cannot be cut {count} times", range.width());
    let amount = amount.clamp(least, most);
    (1..=count)
        .map(|n| Point(range.first.0.wrapping_add((amount * n / count - 1) as u64)))
        .collect()
}

#[cfg(test)]
mod tests;
