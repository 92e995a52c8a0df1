//! Where members get their points: such that their shares are as equal as they can be.

use std::collections::BTreeMap;

use protocol::ids::{MemberId, Point};

use super::{RING_POINTS, Range, Ring};

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
