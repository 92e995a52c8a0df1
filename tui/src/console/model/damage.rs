//! What is known to be wrong with copies of keys: damaged records, copies that differ, keystores
//! that cannot be read.
//!
//! Changed by `apply` only: a snapshot says all of it, an event what was found or put right. Told
//! by `story`. Never: takes something for right before that is said.

use protocol::event::{Divergence, DivergenceKind};
use protocol::ids::{Key, Point};
use protocol::status::IncidentStatus;

use super::clock::{At, Since};
use super::ring::Ring;

/// What is followed: a coordinator knows of no more either.
const FOUND_MAX: usize = 64;
/// Keys of each that are named: likewise.
const KEYS_MAX: usize = 16;

/// What is known.
#[derive(Debug, Clone, Default)]
pub struct Damage {
    found: Vec<Found>,
    righted: Option<(At, Divergence)>,
}

/// Something that is wrong, in one way and one stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Since when that is known.
    pub since: Since,
    /// Its stretch, all nodes, and the keys that are wrong still, as far as told.
    pub told: Divergence,
}

fn is_same(one: &Divergence, other: &Divergence) -> bool {
    (&one.range, one.kind) == (&other.range, other.kind)
}

/// The gravest first.
fn rank(kind: DivergenceKind) -> u8 {
    match kind {
        DivergenceKind::Unreadable => 0,
        DivergenceKind::Checksum => 1,
        DivergenceKind::Hash => 2,
        DivergenceKind::Other => 3,
    }
}

impl Damage {
    /// All that is wrong, the gravest first.
    pub fn all(&self) -> impl Iterator<Item = &Found> {
        self.found.iter()
    }

    /// What was put right last, and when.
    pub fn righted(&self) -> Option<&(At, Divergence)> {
        self.righted.as_ref()
    }

    /// Takes what a snapshot knows.
    pub(super) fn snapshot(&mut self, incidents: &[IncidentStatus], now: At) {
        let told = incidents.iter().filter_map(|incident| incident.divergence.as_ref());
        let found = told.take(FOUND_MAX).map(|told| {
            let known = self.found.iter().find(|one| is_same(&one.told, told));
            let since = known.map_or(Since::found(now), |known| known.since);
            Found { since, told: told.clone() }
        });
        self.found = found.collect();
        self.sort();
    }

    /// Takes an event.
    pub(super) fn told(&mut self, told: &Divergence, now: At) {
        let known = self.found.iter().position(|one| is_same(&one.told, told));
        match (told.repaired, known) {
            (0, Some(place)) => add(&mut self.found[place].told, told),
            (0, None) if self.found.len() < FOUND_MAX => {
                self.found.push(Found { since: now.into(), told: told.clone() });
                self.sort();
            }
            (0, None) => {}
            (_, Some(place)) if told.keys.is_empty() => {
                let over = self.found.remove(place).told;
                // Of what was replaced key by key the news was told with them.
                if !over.keys.is_empty() || over.kind != DivergenceKind::Checksum {
                    self.righted = Some((now, over));
                }
            }
            (_, None) if told.keys.is_empty() => {}
            _ => {
                self.replaced(&told.keys);
                self.righted = Some((now, told.clone()));
            }
        }
    }

    fn replaced(&mut self, keys: &[Key]) {
        let damaged = |one: &&mut Found| one.told.kind == DivergenceKind::Checksum;
        for one in self.found.iter_mut().filter(damaged) {
            one.told.keys.retain(|key| !keys.contains(key));
        }
    }

    /// Another ring is in force: what was told of stretches that are no more is void, and of nodes
    /// that have no place.
    pub(super) fn ring(&mut self, ring: &Ring) {
        let has_place = |name: &str| ring.points.iter().any(|point| point.node == name);
        let is_arc = |(first, last): &(Point, Point)| {
            let Some(place) = ring.points.iter().position(|point| point.hash == last.0) else {
                return false;
            };
            let before = (place + ring.points.len() - 1) % ring.points.len();
            ring.points[before].hash.wrapping_add(1) == first.0
        };
        self.found.retain(|Found { told, .. }| match told.kind {
            DivergenceKind::Unreadable => told.nodes.iter().all(|node| has_place(node.as_str())),
            _ => told.range.iter().all(is_arc),
        });
    }

    fn sort(&mut self) {
        self.found.sort_by_key(|one| rank(one.told.kind));
    }
}

/// More of it was found.
fn add(known: &mut Divergence, told: &Divergence) {
    let nodes = told.nodes.iter().filter(|node| !known.nodes.contains(node));
    let nodes: Vec<_> = nodes.cloned().collect();
    known.nodes.extend(nodes);
    let keys = told.keys.iter().filter(|key| !known.keys.contains(key));
    let keys: Vec<_> = keys.take(KEYS_MAX.saturating_sub(known.keys.len())).cloned().collect();
    known.keys.extend(keys);
}
