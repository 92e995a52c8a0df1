//! Tests of the ring: pinned vectors, and properties against a naive walk around the circle.

use super::*;

/// A small deterministic generator (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 32)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}

/// The founding ring: members are numbered from 1.
fn founded(members: u16, tokens: u16, replicas: u16) -> Ring {
    let proposal = propose(members, tokens);
    let of = |(m, points): (usize, &Vec<Point>)| {
        let member = MemberId(m as u16 + 1);
        points.iter().map(move |point| (*point, member)).collect::<Vec<_>>()
    };
    Ring::new(proposal.iter().enumerate().flat_map(of).collect(), replicas)
}

/// A ring with random points, some of them close together.
fn random_ring(numbers: &mut Numbers) -> Ring {
    let members = 1 + numbers.below(6) as u16;
    let mut points = BTreeMap::new();
    for member in 1..=members {
        for _ in 0..=numbers.below(4) {
            let point = match numbers.below(4) {
                0 => numbers.below(8),
                1 => u64::MAX - numbers.below(8),
                _ => numbers.next(),
            };
            points.insert(Point(point), MemberId(member));
        }
    }
    Ring::new(points.into_iter().collect(), 1 + numbers.below(4) as u16)
}

/// Who holds `point`, found by walking clockwise over all points.
fn walk(ring: &Ring, point: Point) -> Vec<MemberId> {
    let mut points: Vec<(Point, MemberId)> = ring.points().to_vec();
    points.sort_by_key(|(end, _)| end.0.wrapping_sub(point.0));
    let mut holders: Vec<MemberId> = Vec::new();
    for (_, member) in points {
        if !holders.contains(&member) && holders.len() < usize::from(ring.replicas()) {
            holders.push(member);
        }
    }
    holders
}

/// Points worth asking about: all ends, their neighbours, and some others.
fn probes(rings: &[&Ring], numbers: &mut Numbers) -> Vec<Point> {
    let ends = rings.iter().flat_map(|ring| ring.points().iter().map(|(point, _)| point.0));
    let mut probes: Vec<Point> = ends
        .flat_map(|end| [end.wrapping_sub(1), end, end.wrapping_add(1)])
        .chain([0, 1, u64::MAX])
        .map(Point)
        .collect();
    probes.extend((0..30).map(|_| Point(numbers.next())));
    probes
}

#[test]
fn pinned_hashes_of_keys() {
    let pinned = [
        ("a", "e6c632b61e964e1f"),
        ("b", "575a0b1c44d8843f"),
        ("user:1", "3b577afd7fed9501"),
        ("user:2", "69a0366b760b5c02"),
        ("grüße, 世界 🙂", "ef96d886ec24ea0b"),
    ];
    for (text, hash) in pinned {
        assert_eq!(hash_of(&key(text)).to_string(), hash, "{text}");
    }
}

#[test]
fn pinned_placement_on_the_default_ring() {
    let ring = founded(5, 1, 2);
    let placed: Vec<String> = (1..=20)
        .map(|n| {
            let holders = ring.replicas_of(&key(&format!("user:{n}")));
            format!("{}{}", holders[0].0, holders[1].0)
        })
        .collect();
    let pinned = "23 34 23 12 12 23 12 12 34 45 12 23 45 51 34 51 34 51 51 51";
    assert_eq!(placed.join(" "), pinned);
}

#[test]
fn pinned_proposals_of_one_token() {
    let pinned: [&[&str]; 8] = [
        &["ffffffffffffffff"],
        &["7fffffffffffffff", "ffffffffffffffff"],
        &["5555555555555555", "aaaaaaaaaaaaaaaa", "ffffffffffffffff"],
        &["3fffffffffffffff", "7fffffffffffffff", "bfffffffffffffff", "ffffffffffffffff"],
        &[
            "3333333333333333",
            "6666666666666666",
            "9999999999999999",
            "cccccccccccccccc",
            "ffffffffffffffff",
        ],
        &[
            "2aaaaaaaaaaaaaaa",
            "5555555555555555",
            "8000000000000000",
            "aaaaaaaaaaaaaaab",
            "d555555555555555",
            "ffffffffffffffff",
        ],
        &[
            "2492492492492492",
            "4924924924924925",
            "6db6db6db6db6db7",
            "9249249249249249",
            "b6db6db6db6db6db",
            "db6db6db6db6db6d",
            "ffffffffffffffff",
        ],
        &[
            "1fffffffffffffff",
            "3fffffffffffffff",
            "5fffffffffffffff",
            "7fffffffffffffff",
            "9fffffffffffffff",
            "bfffffffffffffff",
            "dfffffffffffffff",
            "ffffffffffffffff",
        ],
    ];
    for (members, points) in (1..=8).zip(pinned) {
        let proposal = propose(members, 1);
        let texts: Vec<String> = proposal.iter().flatten().map(Point::to_string).collect();
        assert_eq!(texts, points, "{members} members");
    }
}

#[test]
fn proposed_shares_are_equal() {
    for members in 1..=20_u16 {
        for tokens in [1, 2, 3, 7, 16, 64] {
            let ring = founded(members, tokens, 2);
            assert_eq!(ring.points().len(), usize::from(members) * usize::from(tokens));
            let shares = ring.shares();
            let (min, max) = (shares.values().min(), shares.values().max());
            let spread = max.zip(min).map(|(max, min)| max - min).expect("a member");
            assert!(spread <= 1, "{members} x {tokens}: {spread}");
            let widths: BTreeSet<u128> = ring.arcs().map(|arc| arc.range.width()).collect();
            let spread = widths.last().zip(widths.first()).map(|(max, min)| max - min);
            assert!(spread <= Some(1), "{members} x {tokens}: arcs {widths:?}");
        }
    }
}

#[test]
fn proposed_successors_vary() {
    for members in 3..=12_u16 {
        let tokens = 64;
        let ring = founded(members, tokens, 2);
        let mut followers: BTreeMap<(MemberId, MemberId), u32> = BTreeMap::new();
        let points = ring.points();
        for (at, (_, member)) in points.iter().enumerate() {
            let next = points[(at + 1) % points.len()].1;
            assert_ne!(*member, next, "{members} members: two arcs of one member in a row");
            *followers.entry((*member, next)).or_insert(0) += 1;
        }
        let fair = u32::from(tokens) / u32::from(members - 1);
        for a in 1..=members {
            for b in (1..=members).filter(|b| *b != a) {
                let count = followers.get(&(MemberId(a), MemberId(b))).copied().unwrap_or(0);
                assert!(count >= fair / 2 && count <= fair * 2 + 1, "{members}: {a},{b} {count}");
            }
        }
    }
}

#[test]
fn the_table_agrees_with_a_walk_around_the_circle() {
    let mut numbers = Numbers(1);
    for _ in 0..300 {
        let ring = random_ring(&mut numbers);
        let expected = usize::from(ring.replicas()).min(ring.members().len());
        for point in probes(&[&ring], &mut numbers) {
            let holders = ring.replicas_at(point);
            assert_eq!(holders, walk(&ring, point), "{ring:?} {point}");
            let distinct: BTreeSet<_> = holders.iter().collect();
            assert_eq!((distinct.len(), holders.len()), (expected, expected));
            let inside: Vec<usize> = (ring.arcs().enumerate())
                .filter(|(_, arc)| arc.range.contains(point))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(inside, [ring.arc_at(point)], "every point lies in one arc");
        }
        assert_eq!(ring.arcs().map(|arc| arc.range.width()).sum::<u128>(), RING_POINTS);
    }
}

#[test]
fn one_point_owns_everything() {
    for end in [0, 1, 77, u64::MAX] {
        let ring = Ring::new(vec![(Point(end), MemberId(4))], 3);
        assert_eq!(ring.shares(), BTreeMap::from([(MemberId(4), RING_POINTS)]));
        assert_eq!(ring.replicas_of(&key("a")), [MemberId(4)]);
    }
}

#[test]
#[should_panic(expected = "distinct")]
fn a_point_taken_twice_is_no_ring() {
    Ring::new(vec![(Point(1), MemberId(1)), (Point(1), MemberId(2))], 1);
}

#[test]
fn keys_are_balanced() {
    let ring = founded(7, 64, 2);
    let mut counts: BTreeMap<MemberId, u32> = BTreeMap::new();
    for n in 0..100_000 {
        *counts.entry(ring.replicas_of(&key(&format!("user:{n}")))[0]).or_insert(0) += 1;
    }
    let max = counts.values().max().copied().expect("seven members");
    let mean = 100_000.0 / 7.0;
    assert!(f64::from(max) / mean <= 1.05, "{counts:?}");
}

#[test]
fn moves_agree_with_brute_force() {
    let mut numbers = Numbers(2);
    for _ in 0..300 {
        let (old, new) = (random_ring(&mut numbers), random_ring(&mut numbers));
        let moves = moves(&old, &new);
        for point in probes(&[&old, &new], &mut numbers) {
            let (from, to) = (walk(&old, point), walk(&new, point));
            let found: Vec<&Move> = moves.iter().filter(|m| m.range.contains(point)).collect();
            let set = |members: &[MemberId]| members.iter().copied().collect::<BTreeSet<_>>();
            if set(&from) == set(&to) {
                assert!(found.is_empty(), "{point} does not move");
            } else {
                assert_eq!(found.len(), 1, "{point} moves once");
                assert_eq!((&found[0].from, &found[0].to), (&from, &to));
            }
        }
        for (at, one) in moves.iter().enumerate() {
            let next = &moves[(at + 1) % moves.len()];
            let same = one.from == next.from && one.to == next.to;
            let touching =
                moves.len() > 1 && one.range.last.0.wrapping_add(1) == next.range.first.0;
            assert!(!(same && touching), "neighbours that are one: {one:?} {next:?}");
        }
    }
}

#[test]
fn the_same_ring_moves_nothing() {
    let ring = founded(5, 8, 3);
    assert_eq!(moves(&ring, &ring), []);
}

/// With one token a member, a member that joins or leaves touches its own arc and the K - 1 before
/// it, and nothing else; every copy goes to or comes from it or one neighbour.
#[test]
fn a_change_of_one_member_costs_its_neighbours_only() {
    for replicas in 1..=3_u16 {
        let old = founded(6, 1, replicas);
        let point = propose_join(&old, 1)[0];
        let newcomer = MemberId(9);
        let mut points = old.points().to_vec();
        points.push((point, newcomer));
        let new = Ring::new(points, replicas);
        for (before, after, joins) in [(&old, &new, true), (&new, &old, false)] {
            let moves = moves(before, after);
            let moved: u128 = moves.iter().map(|m| m.range.width()).sum();
            // Half an arc, and the whole arcs of the K - 1 members before it.
            let twelfths = u128::from(2 * replicas - 1);
            assert!(moved.abs_diff(RING_POINTS / 12 * twelfths) < 32, "{replicas}: {moved}");
            for m in &moves {
                let (gaining, losing): (Vec<_>, Vec<_>) =
                    (m.gaining().collect(), m.losing().collect());
                assert_eq!((gaining.len(), losing.len()), (1, 1));
                assert_eq!(if joins { gaining[0] } else { losing[0] }, newcomer);
            }
        }
    }
}

/// With many tokens, what moves is still about the newcomer's share, K times.
#[test]
fn a_join_with_tokens_moves_little_more_than_its_share() {
    let old = founded(7, 64, 1);
    let mut points = old.points().to_vec();
    points.extend(propose_join(&old, 64).into_iter().map(|point| (point, MemberId(8))));
    let new = Ring::new(points, 1);
    let moved: u128 = moves(&old, &new).iter().map(|m| m.range.width()).sum();
    assert_eq!(moved, new.shares()[&MemberId(8)]);
    assert!(moved.abs_diff(RING_POINTS / 8) <= 64);
}

fn joined(ring: &Ring, member: u16, tokens: u16) -> Ring {
    let mut points = ring.points().to_vec();
    points.extend(propose_join(ring, tokens).into_iter().map(|point| (point, MemberId(member))));
    Ring::new(points, ring.replicas())
}

#[test]
fn one_token_takes_half_of_the_largest_arc() {
    let mut ring = founded(3, 1, 2);
    for member in 4..=6 {
        ring = joined(&ring, member, 1);
    }
    for share in ring.shares().values() {
        assert!(share.abs_diff(RING_POINTS / 6) <= 2, "{ring:?}");
    }
    let first = propose_join(&founded(4, 1, 2), 1);
    assert_eq!(first, [Point(0x1fff_ffff_ffff_ffff)], "ties go to the lowest arc");
}

#[test]
fn with_a_token_per_member_all_shares_become_equal() {
    for tokens in [16_u16, 64] {
        let mut ring = founded(4, tokens, 2);
        for member in 5..=8_u16 {
            ring = joined(&ring, member, tokens);
            let shares = ring.shares();
            let (min, max) = (shares.values().min(), shares.values().max());
            let spread = max.zip(min).map(|(max, min)| max - min).expect("a member");
            assert!(spread <= 4 * u128::from(member), "{tokens} tokens, {member}: {spread}");
        }
    }
}

#[test]
fn few_tokens_take_from_the_largest_shares() {
    let ring = joined(&founded(5, 1, 2), 6, 2);
    let fifteenth = RING_POINTS / 15;
    let shares = ring.shares();
    for (member, share) in [(1, 2), (2, 2), (3, 3), (4, 3), (5, 3), (6, 2)] {
        assert!(shares[&MemberId(member)].abs_diff(share * fifteenth) < 40, "{member} {shares:?}");
    }
}

/// Eight points cannot always cut what eight arcs do not hold; what they do is near.
#[test]
fn with_few_tokens_shares_become_nearly_equal() {
    let mut ring = founded(4, 8, 2);
    for member in 5..=12_u16 {
        ring = joined(&ring, member, 8);
        let shares = ring.shares();
        let (min, max) = (shares.values().min(), shares.values().max());
        let (min, max) = min.copied().zip(max.copied()).expect("a member");
        assert!(max * 4 <= min * 5, "{member}: {max} {min}");
    }
}

/// Any ring can be joined with any number of tokens: never more uneven than before.
#[test]
fn a_join_never_makes_the_largest_share_larger() {
    let mut numbers = Numbers(3);
    for _ in 0..300 {
        let old = random_ring(&mut numbers);
        let tokens = 1 + numbers.below(9) as u16;
        let new = joined(&old, 99, tokens);
        assert_eq!(new.points().len(), old.points().len() + usize::from(tokens));
        let (before, after) = (old.shares(), new.shares());
        for (member, share) in &before {
            assert!(after[member] <= *share, "nobody but the newcomer gains");
        }
        assert!(after[&MemberId(99)] <= before.values().max().copied().unwrap_or(0));
    }
}

/// The third way to say it: the bytes added up, modulo, and then round the circle.
#[test]
fn by_ascii_sum_the_rest_of_the_sum_is_the_primary() {
    for members in 1..=9_u16 {
        for replicas in 1..=members {
            let ring = founded(members, 1, replicas).placed_by(Placement::AsciiSum);
            for text in ["a", "z", "ab", "ba", "user:1", "grüße, 世界 🙂"] {
                let sum: usize = text.bytes().map(usize::from).sum();
                let nth = |n: u16| MemberId((sum as u16 + n) % members + 1);
                let holders: Vec<MemberId> = (0..replicas).map(nth).collect();
                let key = key(text);
                assert_eq!(ring.replicas_of(&key), holders, "{text} of {members}");
                let point = ring.point_of(&key);
                assert_eq!(ring.arc_of(&key), sum % usize::from(members));
                assert_eq!(point, ring.points()[ring.arc_of(&key)].0, "its primary's own id");
                assert_eq!(point, ring.point_by(hash_of(&key), byte_sum(&key)));
            }
        }
    }
}

/// What is true of arcs and points is true by either placement.
#[test]
fn by_either_placement_a_key_is_where_its_point_is() {
    let mut numbers = Numbers(11);
    for _ in 0..200 {
        let by_hash = random_ring(&mut numbers);
        for ring in [by_hash.clone(), by_hash.placed_by(Placement::AsciiSum)] {
            for _ in 0..20 {
                let key = key(&format!("key {}", numbers.next()));
                let point = ring.point_of(&key);
                let arc = ring.arcs().nth(ring.arc_of(&key)).expect("one of its arcs");
                assert!(arc.range.contains(point), "{key:?} on {ring:?}");
                assert_eq!(arc.holders, ring.replicas_of(&key));
                assert_eq!(ring.replicas_of(&key), walk(&ring, point));
                assert_eq!(ring.point_by(hash_of(&key), byte_sum(&key)), point);
            }
        }
    }
}

/// One node more: of six keys five get another primary, where hashing moves one of ten.
#[test]
fn by_ascii_sum_nearly_every_key_moves_when_a_node_joins() {
    let five = founded(5, 1, 1);
    let mut points = five.points().to_vec();
    points.push((propose_join(&five, 1)[0], MemberId(6)));
    let six = Ring::new(points, 1);
    // One key of each sum, so that each rest of a division by 30 is there equally often.
    let of_sum = |sum: u32| {
        let (length, rest) = (sum / 100, sum % 100);
        let byte =
            |at: u32| char::from((100 + rest / length + u32::from(at < rest % length)) as u8);
        key(&(0..length).map(byte).collect::<String>())
    };
    let keys: Vec<Key> = (1_000..4_000).map(of_sum).collect();
    assert!(keys.iter().zip(1_000..).all(|(key, sum)| byte_sum(key) == sum));
    let moved = |old: &Ring, new: &Ring| {
        let primary = |ring: &Ring, key: &Key| ring.replicas_of(key)[0];
        keys.iter().filter(|key| primary(old, key) != primary(new, key)).count()
    };
    let by_sum = |ring: &Ring| ring.clone().placed_by(Placement::AsciiSum);
    assert_eq!(moved(&by_sum(&five), &by_sum(&six)), 2_500, "five of six");
    let hashed = moved(&five, &six);
    assert!((200..400).contains(&hashed), "{hashed} of 3000");
}

#[test]
fn the_parts_of_a_range_are_it_and_lie_in_arcs_of_their_own_holders() {
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let ring = random_ring(&mut numbers);
        let ends: Vec<Point> = ring.arcs().map(|arc| arc.range.last).collect();
        let mut point = || match numbers.below(2) {
            0 => ends[numbers.below(ends.len() as u64) as usize],
            _ => Point(numbers.next().wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let range = Range { first: point(), last: point() };
        let parts: Vec<RingArc<'_>> = ring.cut_to(range).collect();
        let width: u128 = parts.iter().map(|part| part.range.width()).sum();
        assert_eq!(width, range.width(), "seed {seed}");
        assert_eq!(
            (parts[0].range.first, parts[parts.len() - 1].range.last),
            (range.first, range.last)
        );
        for (part, next) in parts.iter().zip(parts.iter().skip(1)) {
            assert_eq!(part.range.last.0.wrapping_add(1), next.range.first.0, "seed {seed}");
        }
        for part in parts {
            let arc = ring.arc_at(part.range.last);
            assert_eq!(ring.arc_at(part.range.first), arc, "seed {seed}");
            let arc = ring.arcs().nth(arc).expect("one of its arcs");
            assert_eq!((part.holders, part.in_sync), (arc.holders, arc.in_sync));
        }
    }
}
