//! The ring in force: whose which part of it is.
//!
//! Changed by `apply` only; read by the views. Places are turns, 0 to 1, clockwise from the top.

use std::collections::BTreeMap;

use protocol::status::PointStatus;

/// The ring.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ring {
    /// Its number, as `EPOCH.COUNTER`.
    pub number: String,
    /// Its points, in order.
    pub points: Vec<RingPoint>,
    /// The nodes that hold it durably, as far as told.
    pub durable_on: Vec<String>,
}

/// One point: its node owns the keys from the point before up to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingPoint {
    /// Where it is.
    pub hash: u64,
    /// Whose it is.
    pub node: String,
}

/// A part of the ring that one node owns.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedArc {
    /// Where it begins.
    pub from: f64,
    /// Where it ends; below `from` where it goes over the top.
    pub to: f64,
    /// Its owner.
    pub node: String,
}

impl Ring {
    pub(super) fn new(number: String, points: &[PointStatus], durable_on: Vec<String>) -> Self {
        let points = points
            .iter()
            .map(|point| RingPoint { hash: point.hash.0, node: point.node.as_str().to_owned() });
        let mut points: Vec<RingPoint> = points.collect();
        points.sort_by_key(|point| point.hash);
        Self { number, points, durable_on }
    }

    /// The parts, clockwise.
    pub fn arcs(&self) -> Vec<OwnedArc> {
        let Some(last) = self.points.last() else { return Vec::new() };
        let mut from = turn(last.hash);
        let mut arcs = Vec::with_capacity(self.points.len());
        for point in &self.points {
            let to = turn(point.hash);
            arcs.push(OwnedArc { from, to, node: point.node.clone() });
            from = to;
        }
        arcs
    }

    /// Each node's part of the whole, 0 to 1.
    pub fn shares(&self) -> BTreeMap<String, f64> {
        let mut shares = BTreeMap::new();
        for arc in self.arcs() {
            let width = arc.to - arc.from;
            // A single point owns all there is.
            let width = if width <= 0.0 { width + 1.0 } else { width };
            *shares.entry(arc.node).or_insert(0.0) += width;
        }
        shares
    }

    /// The nodes from `hash` on, each once, in the order in which they would hold a key.
    pub fn walk(&self, hash: u64) -> Vec<&RingPoint> {
        let first = self.points.partition_point(|point| point.hash < hash);
        let mut found: Vec<&RingPoint> = Vec::new();
        for step in 0..self.points.len() {
            let point = &self.points[(first + step) % self.points.len()];
            if found.iter().all(|seen| seen.node != point.node) {
                found.push(point);
            }
        }
        found
    }

    /// How even the parts are: the largest against the mean.
    pub fn balance(&self) -> Option<f64> {
        let shares = self.shares();
        let largest = shares.values().copied().fold(0.0, f64::max);
        (!shares.is_empty()).then_some(largest * shares.len() as f64)
    }
}

/// A hash as a place on the ring.
pub fn turn(hash: u64) -> f64 {
    hash as f64 / (u64::MAX as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::{NodeName, Point};

    #[test]
    fn parts_are_all_of_the_ring_and_a_walk_meets_each_node_once() {
        let points = [(0x4000, "a"), (0x8000, "b"), (0xc000, "a")].map(|(high, node)| {
            PointStatus { hash: Point(high << 48), node: NodeName::new(node).unwrap() }
        });
        let ring = Ring::new("1.0".into(), &points, Vec::new());
        let shares = ring.shares();
        assert_eq!((shares["a"], shares["b"]), (0.75, 0.25));
        assert_eq!(ring.balance(), Some(1.5));
        let nodes = |hash| ring.walk(hash).iter().map(|p| p.node.clone()).collect::<Vec<_>>();
        assert_eq!(nodes(0x5000 << 48), ["b", "a"]);
        assert_eq!(nodes(0xd000 << 48), ["a", "b"]);
        assert_eq!(nodes(0x4000 << 48), ["a", "b"], "a point owns its own place");
        let single = Ring::new("1.0".into(), &points[..1], Vec::new());
        assert_eq!(single.shares()["a"], 1.0);
        assert!(Ring::default().arcs().is_empty() && Ring::default().walk(7).is_empty());
    }
}
