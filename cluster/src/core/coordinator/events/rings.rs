//! Events about rings and what moves under them.

use protocol::event::{Body, RingEpoch, RingMove, Topic, Transfer};
use protocol::ids::MemberId;
use protocol::peer::{Learning, Span};

use super::super::super::ring::Range;
use super::super::super::time::Time;
use super::super::Coordinator;

impl Coordinator {
    /// The ring that is in force now.
    pub(in super::super) fn tell_ring(&mut self) {
        if !self.events.on(Topic::Ring) {
            return;
        }
        let Some(record) = self.record.clone() else { return };
        let durable = self.nodes.iter().filter(|node| node.installed == Some(record.number));
        let body = Body::RingEpoch(RingEpoch {
            ring: record.number,
            points: self.ring_status().points,
            moves: record.learning.iter().map(|learning| self.moved(learning)).collect(),
            durable_on: durable.map(|node| node.name.clone()).collect(),
        });
        self.tell_event(None, body);
    }

    fn moved(&self, learning: &Learning) -> RingMove {
        let in_sync = self.ring.as_ref().map(|ring| ring.in_sync_at(learning.span.1));
        let source = in_sync.and_then(|in_sync| in_sync.first().copied());
        RingMove {
            from: learning.span.0,
            to: learning.span.1,
            gain_node: self.node_name(learning.learner),
            lose_node: learning.keeper.map(|keeper| self.node_name(keeper)),
            source: source.map(|source| self.node_name(source)),
            keys: source.and_then(|source| self.keys_in(source, &[learning.span])),
            bytes: None,
        }
    }

    /// About how many keys a member has in these stretches: its keys in proportion.
    pub(in super::super) fn keys_in(&self, member: MemberId, spans: &[Span]) -> Option<u64> {
        let figures = &self.node_of(member)?.heartbeat.as_ref()?.figures;
        let keys = figures.keys_primary.saturating_add(figures.keys_replica);
        let ring = self.ring.as_ref()?;
        let width = |span: &Span| Range { first: span.0, last: span.1 }.width();
        let held = ring.arcs().filter(|arc| arc.holders.contains(&member));
        let held: u128 = held.map(|arc| arc.range.width()).sum();
        let wanted: u128 = spans.iter().map(width).sum();
        let share = wanted.min(held) as f64 / held.max(1) as f64;
        Some((keys as f64 * share).round() as u64)
    }

    /// About how many keys are still to be learned, with those that were.
    pub(in super::super) fn keys_to_learn(&self) -> Option<u64> {
        let record = self.record.as_ref()?;
        let keys = record.learning.iter().map(|learning| {
            let ring = self.ring.as_ref()?;
            let source = ring.in_sync_at(learning.span.1).first()?;
            self.keys_in(*source, &[learning.span])
        });
        keys.sum()
    }

    /// A transfer has come a bit further.
    pub(in super::super) fn tell_transfer(&mut self, now: Time, id: u64, state: &str) {
        if !self.events.on(Topic::Ring) {
            return;
        }
        let Some(transfer) = self.copies.transfers.get(&id) else { return };
        let total = self.keys_in(transfer.source, &transfer.spans);
        let total = total.map(|total| total.max(transfer.keys));
        let us = now.since_us(transfer.began).max(1);
        let left = total.map(|total| total - transfer.keys);
        let eta = left.filter(|_| transfer.keys > 0);
        let body = Body::Transfer(Transfer {
            id,
            range: transfer.spans.clone(),
            source: self.node_name(transfer.source),
            target: self.node_name(transfer.learner),
            keys_done: transfer.keys,
            keys_total: total,
            bytes_done: transfer.bytes,
            bytes_total: None,
            bytes_per_s: transfer.bytes.saturating_mul(1_000_000) / us,
            eta_ms: eta.map(|left| (us / 1_000).saturating_mul(left) / transfer.keys.max(1)),
            state: state.to_owned(),
        });
        self.tell_event(None, body);
    }
}
