//! Who is in the cluster and where, as it is kept durably and said between servers. Plain data.

use serde::{Deserialize, Serialize};

use super::Placement;
use crate::ids::{MemberId, NodeName, Point, RingNumber, Uuid, Version};

/// One member of a ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingMember {
    /// Its number in this cluster.
    pub id: MemberId,
    /// Its store.
    pub uuid: Uuid,
    /// Its name.
    pub name: NodeName,
    /// Its places on the ring; the first one is the node's own id.
    pub points: Vec<Point>,
}

/// The durable record of who is in the cluster and where: the first one is the founding record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingRecord {
    /// Rings are ordered by it.
    pub number: RingNumber,
    /// The cluster, named at its founding.
    pub cluster: Uuid,
    /// Copies of each key, 1..=members.
    pub replicas: u16,
    /// Points a member.
    pub tokens: u16,
    /// How keys are placed.
    pub placement: Placement,
    /// The members by ascending id; never empty, ids, UUIDs, names and points all distinct.
    pub members: Vec<RingMember>,
    /// Copies that are on their way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning: Vec<Learning>,
    /// Until the next ring: a member of the ring before, which is none of this one. Its answers
    /// still count in majorities of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Departed>,
    /// Until the next ring: a member that the ring before did not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<MemberId>,
    /// Stores that were members once, by ascending id: these ids are never given again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departed: Vec<Departed>,
}

impl RingRecord {
    /// All that were members once and are none of this ring.
    pub fn departed(&self) -> impl Iterator<Item = &Departed> {
        self.departed.iter().chain(&self.outgoing)
    }
}

/// A stretch of the ring: its first and its last point, both included.
pub type Span = (Point, Point);

/// A stretch of the ring that a member holds by its points and does not have yet: it takes part in
/// all updates there and copies the rest, and nobody reads from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learning {
    /// The stretch.
    pub span: Span,
    /// Who learns.
    pub learner: MemberId,
    /// Who holds it until then though its points do not say so: a full replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<MemberId>,
    /// The learner has all that was decided before this version.
    #[serde(default)]
    pub since: Version,
    /// The learner takes part in writes of this version and later ones: what it has there of lower
    /// ones is of an earlier time.
    #[serde(default)]
    pub from: Version,
}

/// A store that was a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Its number then.
    pub id: MemberId,
    /// The store.
    pub uuid: Uuid,
    /// Its name.
    pub name: NodeName,
    /// It has lost something: it never comes back.
    #[serde(default)]
    pub lost: bool,
    /// It was removed by order: neither it nor another one of its name comes back by itself.
    #[serde(default)]
    pub removed: bool,
    /// Where its points were: where it gets them again.
    #[serde(default)]
    pub points: Vec<Point>,
    /// The stretches of which it had everything.
    #[serde(default)]
    pub held: Vec<Span>,
    /// That is: all that was decided before this version.
    #[serde(default)]
    pub since: Version,
}
