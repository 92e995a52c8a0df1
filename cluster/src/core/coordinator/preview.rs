//! What a change would move, before anything is done: for `dry_run`.
//!
//! Shares and arcs are exact; keys are those that the sources tell of, in proportion.

use std::collections::BTreeMap;

use protocol::ids::{MemberId, NodeName};
use protocol::peer::RingRecord;
use protocol::reply::{ChangePreview, PlacementPreview};

use super::super::ring::{self, RING_POINTS, Ring, propose, propose_join, ring_of};
use super::Coordinator;
use super::change::Kind;
use super::members::Node;

impl Coordinator {
    /// What the change that begins with the ring `next` would do.
    pub(super) fn preview(
        &self,
        record: &RingRecord,
        next: &RingRecord,
        kind: &Kind,
    ) -> ChangePreview {
        let (old, new) = (ring_of(record), bare(next));
        let named = |id: MemberId| name_in(next, id).or_else(|| name_in(record, id));
        let keys = next.learning.iter().map(|learning| {
            let source = old.in_sync_at(learning.span.1).first().copied();
            source.and_then(|source| self.keys_in(source, &[learning.span])).unwrap_or(0)
        });
        let moves = next.learning.iter().zip(keys.clone()).map(|(learning, keys)| {
            let (from, to) = learning.span;
            let gain = named(learning.learner);
            let lose = learning.keeper.and_then(named);
            protocol::reply::MovePreview { from, to, gain, lose, keys }
        });
        let gone = next.outgoing.as_ref().map(|departed| departed.id);
        let live = |member: &&MemberId| {
            Some(**member) != gone && self.node_of(**member).is_some_and(Node::is_up)
        };
        let at_risk = old.arcs().filter(|arc| arc.in_sync.iter().filter(live).count() < 2);
        let share_at_risk = at_risk.map(|arc| arc.range.width()).sum::<u128>();
        let adds = matches!(kind, Kind::Add(_));
        ChangePreview {
            action: kind.action().to_owned(),
            node: kind.node().filter(|name| !name.is_empty()).map(str::to_owned),
            arcs: next.learning.len() as u64,
            moves: moves.take(MOVES_MAX).collect(),
            keys: keys.sum(),
            primaries_moved: primaries_moved(&old, &new),
            one_copy: share_at_risk as f64 / RING_POINTS as f64,
            shares_before: shares(record, &old),
            shares_after: shares(next, &new),
            max_over_mean: max_over_mean(&new),
            compared: if adds { compared(record) } else { Vec::new() },
        }
    }
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
fn max_over_mean(ring: &Ring) -> f64 {
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
