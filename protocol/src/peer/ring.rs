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
    /// What the next coordinator must know to go on with changes under their names.
    #[serde(default)]
    pub changes: OpenChanges,
}

impl RingRecord {
    /// All that were members once and are none of this ring.
    pub fn departed(&self) -> impl Iterator<Item = &Departed> {
        self.departed.iter().chain(&self.outgoing)
    }
}

/// Changes of the membership, as a ring that is part of them says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenChanges {
    /// Whoever makes a ring of this one gives higher numbers than this to new changes: those up to
    /// it are given, or may have been.
    pub taken: u64,
    /// Those under way, by ascending number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenChange>,
    /// Keys that were copied for them, of the stretches that are learned by now.
    pub keys: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// A change that has begun, and may have come to its end with this ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChange {
    /// As in `c7`.
    pub number: u64,
    /// What it does.
    pub kind: ChangeKind,
    /// The node that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// An administrator asked for it: it did not begin by itself.
    #[serde(default)]
    pub asked: bool,
    /// It is cancelled: whether the ring that leads back is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads_back: Option<bool>,
    /// Where the points of those members were before that have others now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<(MemberId, Vec<Point>)>,
}

/// What a change of the membership does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A member loses its place.
    Evict,
    /// One that was evicted has a place again.
    Return,
    /// A node becomes a member.
    Add,
    /// A member gives away what it has, and leaves.
    Remove,
    /// Shares become as equal as they can be.
    Rebalance,
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
