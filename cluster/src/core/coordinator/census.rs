//! How many keys there are, and how many copies of them are on nodes that are up: for display only
//! (R15).
//!
//! Each node counts the keys for which it is the first replica in sync, by the ring that it has,
//! and tells their number with its heartbeats. Right after a change some have counted by the new
//! ring, and some have not yet. So each arc of the ring in force is looked up in the newest ring by
//! which all of it was counted, be it in parts: none is counted twice, and none is left out that
//! anybody knows.
//! With several arcs a node this is an estimate: its keys are shared out as its arcs are wide.
//!
//! Called by `status` and `events`. Never: decides anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::event::Copies;
use protocol::ids::{MemberId, RingNumber};
use protocol::peer::{Heartbeat, RingRecord};

use super::super::ring::{Range, Ring};
use super::Coordinator;
use super::members::Node;
use super::status::counted;

/// Rings before the one in force that are kept: a node counts by the newest within a heartbeat, in
/// which the steps of some changes may be done.
const EARLIER_MAX: usize = 16;

/// The rings that were in force before, the newest last.
#[derive(Debug, Default)]
pub(super) struct Census {
    earlier: VecDeque<(Arc<RingRecord>, Arc<Ring>)>,
}

impl Census {
    /// This ring is in force no more.
    pub(super) fn keep(&mut self, record: Arc<RingRecord>, ring: Arc<Ring>) {
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back((record, ring));
    }
}

/// The keys for which a node is the first in sync, by one ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    ring: RingNumber,
    keys: u64,
}

impl Counted {
    /// What is known of the ring before once this heartbeat is a node's newest.
    pub(super) fn before(node: &Node, heartbeat: &Heartbeat) -> Option<Self> {
        let newest = node.heartbeat.as_ref().and_then(|newest| newest.ring);
        match (newest, counted(node)) {
            (Some(ring), Some(figures)) if heartbeat.ring != newest => {
                Some(Self { ring, keys: figures.keys_primary })
            }
            _ => node.counted_before,
        }
    }
}

/// The keys that one node has counted, on their way to its arcs.
#[derive(Debug)]
struct Share {
    keys: u64,
    /// How wide its arcs are together, and those that have had their part.
    width: u128,
    behind: u128,
}

impl Share {
    /// The part of an arc. All parts together are all keys: what rounding takes from one the next
    /// one has.
    fn take(&mut self, width: u128) -> u64 {
        let (keys, whole) = (self.keys as f64, self.width.max(1) as f64);
        let up_to = |width: u128| (keys * (width as f64 / whole).min(1.0)).round() as u64;
        let before = up_to(self.behind);
        self.behind += width;
        up_to(self.behind).saturating_sub(before)
    }
}

/// What was counted by one ring.
struct Count<'a> {
    ring: &'a Ring,
    shares: BTreeMap<MemberId, Share>,
}

impl Count<'_> {
    /// The keys in a range, if all that were the first in sync for parts of it have counted.
    fn keys_in(&mut self, range: Range) -> Option<u64> {
        let parts = self.ring.cut_to(range).map(|part| (part.in_sync[0], part.range.width()));
        let parts: Vec<(MemberId, u128)> = parts.collect();
        // Nothing is taken of a range of which a part is not known.
        if !parts.iter().all(|(first, _)| self.shares.contains_key(first)) {
            return None;
        }
        let take = |(first, width)| self.shares.get_mut(&first).expect("counted").take(width);
        Some(parts.into_iter().map(take).sum())
    }
}

impl Coordinator {
    /// Keys by how many of their copies are on nodes that are up, and those whose writes are
    /// refused since a holder, also one that is still learning them, is not up or has a full disk.
    pub(super) fn copies(&self) -> Copies {
        let mut copies = Copies::default();
        let (Some(ring), Some(record)) = (&self.ring, &self.record) else { return copies };
        let up = |member: &MemberId| self.node_of(*member).is_some_and(Node::is_up);
        let writable = |member: &MemberId| self.node_of(*member).is_some_and(Node::takes_writes);
        let next = self.step.as_ref().map(|step| (&step.record, &step.ring));
        let earlier = self.census.earlier.iter().rev().map(|(record, ring)| (record, ring));
        let rings = [(record, ring)].into_iter().chain(next).chain(earlier);
        // What is known from before helps out where the newest does not do: counted only then.
        let before = rings.clone().map(|(record, ring)| self.count_by(record, ring, true));
        let newest = rings.map(|(record, ring)| self.count_by(record, ring, false));
        let (mut counts, mut more): (Vec<Count<'_>>, _) = (Vec::new(), newest.chain(before));
        for arc in ring.arcs() {
            let mut known = counts.iter_mut().find_map(|count| count.keys_in(arc.range));
            while known.is_none()
                && let Some(mut count) = more.next()
            {
                known = count.keys_in(arc.range);
                counts.push(count);
            }
            let Some(keys) = known else {
                let who = self.node_name(arc.in_sync[0]);
                if !copies.uncounted.contains(&who) {
                    copies.uncounted.push(who);
                }
                continue;
            };
            let live = arc.in_sync.iter().filter(|member| up(member)).count() as u32;
            if keys > 0 {
                // A heartbeat may say anything.
                let sum: &mut u64 = copies.by_live_copies.entry(live).or_default();
                *sum = sum.saturating_add(keys);
            }
            if !arc.holders.iter().all(writable) {
                copies.unwritable = copies.unwritable.saturating_add(keys);
            }
        }
        copies
    }

    /// What was counted by this ring; `before`: also by those that count by another one now.
    fn count_by<'a>(&self, record: &RingRecord, ring: &'a Ring, before: bool) -> Count<'a> {
        let in_force = self.record.as_ref().is_some_and(|now| now.number == record.number);
        let mut shares = BTreeMap::new();
        for member in &record.members {
            let node = self.nodes.iter().find(|node| node.uuid == member.uuid);
            let told = node.and_then(|node| node.heartbeat.as_ref());
            let by = told.map(|told| told.ring.map_or(in_force, |by| by == record.number));
            let newest = node.and_then(counted).filter(|_| by == Some(true));
            let earlier = node.and_then(|node| node.counted_before);
            let earlier = earlier.filter(|told| before && told.ring == record.number);
            let keys = newest.map(|figures| figures.keys_primary);
            if let Some(keys) = keys.or(earlier.map(|told| told.keys)) {
                shares.insert(member.id, Share { keys, width: 0, behind: 0 });
            }
        }
        for arc in ring.arcs() {
            if let Some(share) = shares.get_mut(&arc.in_sync[0]) {
                share.width += arc.range.width();
            }
        }
        Count { ring, shares }
    }
}
