//! What a change would move, before anything is done: for `dry_run`.
//!
//! Shares and arcs are exact; keys, bytes and times are estimates (`estimate`), and what is not
//! known is said to be so.

use std::collections::BTreeMap;

use protocol::ids::{MemberId, NodeName};
use protocol::peer::{Learning, RingRecord};
use protocol::reply::{ChangePreview, LoadPreview, MovePreview, PlacementPreview};

use super::super::ring::{self, RING_POINTS, Ring, propose, propose_join, ring_of};
use super::Coordinator;
use super::change::Kind;
use super::copying::TRANSFERS_MAX;
use super::estimate::{Amount, ms_for};
use super::members::Node;
use super::status::counted;

impl Coordinator {
    /// What the change that begins with the ring `next` would do.
    pub(super) fn preview(
        &self,
        record: &RingRecord,
        next: &RingRecord,
        kind: &Kind,
    ) -> ChangePreview {
        let (old, new) = (ring_of(record), bare(next));
        let learning: Vec<(&Learning, Amount)> = next
            .learning
            .iter()
            .map(|learning| (learning, self.amount_of(learning.span)))
            .collect();
        let named = |id: MemberId| name_in(next, id).or_else(|| name_in(record, id));
        let moves = learning.iter().map(|(learning, amount)| MovePreview {
            from: learning.span.0,
            to: learning.span.1,
            gain: named(learning.learner),
            lose: learning.keeper.and_then(named),
            keys: amount.keys,
            bytes: amount.bytes,
        });
        let all = learning.iter().map(|(_, amount)| *amount).fold(Amount::NONE, Amount::plus);
        let one_copy = self.at_risk(&old, next);
        let adds = matches!(kind, Kind::Add(_));
        ChangePreview {
            action: kind.action().to_owned(),
            node: kind.node().map(str::to_owned),
            arcs: next.learning.len() as u64,
            moves: moves.take(MOVES_MAX).collect(),
            keys: all.keys,
            bytes: all.bytes,
            copy_bytes_per_s: self.copy_bytes_per_s,
            eta_ms: self.copying_ms(&old, &learning),
            primaries_moved: primaries_moved(&old, &new),
            one_copy,
            keys_one_copy: self.keys_in_all(record).map(|keys| (keys as f64 * one_copy) as u64),
            shares_before: shares(record, &old),
            shares_after: shares(next, &new),
            max_over_mean: max_over_mean(&new),
            loads: self.loads(record, next, &ring::moves(&old, &new)),
            compared: if adds { compared(record) } else { Vec::new() },
            rebalance_moves: adds.then(|| rebalance_moves(next, &new)),
        }
    }

    /// The part of all keys of which less than two complete copies would be there meanwhile.
    fn at_risk(&self, old: &Ring, next: &RingRecord) -> f64 {
        let gone = next.outgoing.as_ref().map(|departed| departed.id);
        let live = |member: &&MemberId| {
            Some(**member) != gone && self.node_of(**member).is_some_and(Node::is_up)
        };
        let at_risk = old.arcs().filter(|arc| arc.in_sync.iter().filter(live).count() < 2);
        at_risk.map(|arc| arc.range.width()).sum::<u128>() as f64 / RING_POINTS as f64
    }

    /// All keys, each once.
    fn keys_in_all(&self, record: &RingRecord) -> Option<u64> {
        let of = |id: MemberId| Some(counted(self.node_of(id)?)?.keys_primary);
        record.members.iter().map(|member| of(member.id)).sum()
    }

    /// About how long the copying takes: transfers between different nodes run side by side, each
    /// at the pace.
    fn copying_ms(&self, old: &Ring, learning: &[(&Learning, Amount)]) -> Option<u64> {
        let mut pairs: BTreeMap<(MemberId, Option<MemberId>), u64> = BTreeMap::new();
        for (learning, amount) in learning {
            let is_there = |id: &MemberId| self.node_of(*id).is_some_and(Node::is_up);
            let source = old.in_sync_at(learning.span.1).iter().copied().find(is_there);
            *pairs.entry((learning.learner, source)).or_default() += amount.bytes?;
        }
        let side_by_side = pairs.len().clamp(1, TRANSFERS_MAX) as u64;
        let longest = pairs.values().copied().max().unwrap_or(0);
        let bytes = longest.max(pairs.values().sum::<u64>() / side_by_side);
        ms_for(bytes, self.copy_bytes_per_s)
    }

    /// What each node holds, before and after.
    fn loads(
        &self,
        record: &RingRecord,
        next: &RingRecord,
        moves: &[ring::Move],
    ) -> Vec<LoadPreview> {
        let mut after: BTreeMap<MemberId, Amount> = BTreeMap::new();
        let of = |id: MemberId| self.held_by(record, id);
        for moved in moves {
            let amount = self.amount_of((moved.range.first, moved.range.last));
            for id in moved.gaining() {
                let load = after.entry(id).or_insert_with(|| of(id));
                *load = load.plus(amount);
            }
            for id in moved.losing() {
                let load = after.entry(id).or_insert_with(|| of(id));
                *load = load.minus(amount);
            }
        }
        let stays = |id: MemberId| next.members.iter().any(|member| member.id == id);
        let new = next.members.iter().filter(|member| Some(member.id) == next.incoming);
        let all = record.members.iter().chain(new).take(MOVES_MAX);
        let load = |member: &protocol::peer::RingMember| {
            let before = of(member.id);
            let after = after.get(&member.id).copied().unwrap_or(before);
            let after = if stays(member.id) { after } else { Amount::NONE };
            LoadPreview {
                node: member.name.to_string(),
                keys_before: before.keys,
                keys_after: after.keys,
                bytes_before: before.bytes,
                bytes_after: after.bytes,
            }
        };
        all.map(load).collect()
    }

    /// About what a member holds; one that is none yet holds nothing.
    fn held_by(&self, record: &RingRecord, id: MemberId) -> Amount {
        if record.members.iter().all(|member| member.id != id) {
            return Amount::NONE;
        }
        let Some(figures) = self.node_of(id).and_then(counted) else { return Amount::default() };
        let keys = figures.keys_primary.saturating_add(figures.keys_replica);
        Amount::of_keys(keys, figures.key_bytes)
    }
}

/// Which part of the keys would get another primary if the shares were made equal afterwards.
fn rebalance_moves(next: &RingRecord, new: &Ring) -> f64 {
    let holding: Vec<MemberId> = new.members().into_iter().collect();
    let points = holding.iter().zip(propose(holding.len() as u16, next.tokens));
    let points = points.flat_map(|(id, points)| points.into_iter().map(move |at| (at, *id)));
    primaries_moved(new, &Ring::new(points.collect(), next.replicas))
}

/// Moves that are listed at most.
const MOVES_MAX: usize = 64;

fn bare(record: &RingRecord) -> Ring {
    ring_of(&RingRecord { learning: Vec::new(), ..record.clone() })
}

fn name_in(record: &RingRecord, id: MemberId) -> Option<NodeName> {
    record.members.iter().find(|member| member.id == id).map(|member| member.name.clone())
}

fn shares(record: &RingRecord, ring: &Ring) -> BTreeMap<String, f64> {
    let named = ring.shares().into_iter().filter_map(|(id, share)| {
        Some((name_in(record, id)?.to_string(), share as f64 / RING_POINTS as f64))
    });
    named.collect()
}

/// The largest share over the mean of all.
pub(super) fn max_over_mean(ring: &Ring) -> f64 {
    let shares = ring.shares();
    let max = shares.values().copied().max().unwrap_or(0) as f64;
    max * shares.len() as f64 / RING_POINTS as f64
}

/// The part of the keys that get another primary.
fn primaries_moved(old: &Ring, new: &Ring) -> f64 {
    let ends = old.arcs().chain(new.arcs()).map(|arc| arc.range.last);
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    ends.dedup();
    let mut before = ends.last().copied();
    let mut moved: u128 = 0;
    for end in ends {
        let width = before.map_or(0, |before| end.0.wrapping_sub(before.0));
        let width = if width == 0 { RING_POINTS } else { u128::from(width) };
        if old.replicas_at(end)[0] != new.replicas_at(end)[0] {
            moved += width;
        }
        before = Some(end);
    }
    moved as f64 / RING_POINTS as f64
}

/// One node more than these, by each way of placing keys.
fn compared(record: &RingRecord) -> Vec<PlacementPreview> {
    let members = record.members.iter().filter(|member| !member.points.is_empty()).count();
    let members = members.clamp(1, usize::from(u16::MAX) - 1) as u16;
    let by_tokens = |tokens: u16| {
        let founders = (0..members).zip(propose(members, tokens));
        let points = founders
            .flat_map(|(id, points)| points.into_iter().map(move |point| (point, MemberId(id))));
        let old = Ring::new(points.collect(), record.replicas);
        let joined = propose_join(&old, tokens).into_iter().map(|at| (at, MemberId(members)));
        let all = old.points().iter().copied().chain(joined).collect();
        let new = ring::Ring::new(all, record.replicas);
        PlacementPreview {
            placement: format!("ring, {tokens} token{}", if tokens == 1 { "" } else { "s" }),
            primaries_moved: primaries_moved(&old, &new),
            max_over_mean: max_over_mean(&new),
        }
    };
    // Of all pairs of remainders by N and N + 1 one in N + 1 is twice the same number.
    let modulo = PlacementPreview {
        placement: "ascii-sum".into(),
        primaries_moved: f64::from(members) / f64::from(members + 1),
        max_over_mean: 1.0,
    };
    [by_tokens(64), by_tokens(1), modulo].into()
}
