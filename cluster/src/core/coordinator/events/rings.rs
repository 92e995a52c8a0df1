//! Events about rings and what moves under them.

use protocol::event::{Body, RingEpoch, RingMove, Topic};
use protocol::peer::Learning;

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
        self.events.ring = Some(self.tell_event(None, body));
    }

    fn moved(&self, learning: &Learning) -> RingMove {
        let in_sync = self.ring.as_ref().map(|ring| ring.in_sync_at(learning.span.1));
        let source = in_sync.and_then(|in_sync| in_sync.first().copied());
        let amount = self.amount_to_learn(learning);
        RingMove {
            from: learning.span.0,
            to: learning.span.1,
            gain_node: self.node_name(learning.learner),
            lose_node: learning.keeper.map(|keeper| self.node_name(keeper)),
            source: source.map(|source| self.node_name(source)),
            keys: amount.keys,
            bytes: amount.bytes,
        }
    }

    /// A transfer has come a bit further.
    pub(in super::super) fn tell_transfer(&mut self, now: Time, id: u64, state: &str) {
        if !self.events.on(Topic::Ring) {
            return;
        }
        let Some(transfer) = self.copies.transfers.get(&id) else { return };
        let told = self.told_of(now, id, transfer, state);
        self.tell_event(None, Body::Transfer(told));
    }
}
