//! The ring record that comes next when members come, go or get other points: who must learn what,
//! and who keeps it for them meanwhile.
//!
//! Pure functions over a record and its ring; `core::coordinator` decides which of them is made
//! and when it is in force. Never makes a record in which a stretch has nobody in sync.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{MemberId, NodeName, Point, Uuid, Version};
use protocol::peer::{Departed, Learning, RingMember, RingRecord, Span};

use super::super::planted::{Bug, planted};
use super::{Range, Ring, ring_of};

/// Why a record is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// This stretch would have nobody in sync.
    LastCopy(Span),
    /// Nobody with points would be left.
    NobodyLeft,
    /// All numbers of members are used up.
    NoNumber,
}

/// What a member has of a stretch before it learns the rest: everything before a version.
pub type Had = BTreeMap<MemberId, (Vec<Span>, Version)>;

/// The next record when the members have these points: `next` is complete but for `learning`,
/// `now` is the ring in force.
///
/// In each stretch whoever is to hold it and does not have it learns it; as many of those that have
/// it and are not to hold it any more keep it until then, so that there are never fewer copies than
/// before.
///
/// # Errors
/// [`Refused::LastCopy`].
pub fn with_learning(now: &Ring, next: RingRecord, had: &Had) -> Result<RingRecord, Refused> {
    let before = next.learning.clone();
    let bare = RingRecord { learning: Vec::new(), ..next };
    if bare.members.iter().all(|member| member.points.is_empty()) {
        return Err(Refused::NobodyLeft);
    }
    let new = ring_of(&bare);
    let is_member = |id: &MemberId| bare.members.iter().any(|member| member.id == *id);
    let ends: BTreeSet<Point> =
        now.arcs().map(|arc| arc.range.last).chain(new.arcs().map(|arc| arc.range.last)).collect();
    let mut first = ends.last().map_or(Point(0), |last| Point(last.0.wrapping_add(1)));
    let mut learning: Vec<(Learning, Vec<MemberId>)> = Vec::new();
    for last in ends {
        let span = (first, last);
        first = Point(last.0.wrapping_add(1));
        let have = now.in_sync_at(last).iter().copied().filter(is_member);
        let have: Vec<MemberId> = have.collect();
        if have.is_empty() && planted(Bug::LastCopyEvicted) {
            continue;
        }
        if have.is_empty() {
            return Err(Refused::LastCopy(span));
        }
        let hold = new.replicas_at(last);
        let mut keepers = have.iter().copied().filter(|member| !hold.contains(member));
        for learner in hold.iter().copied().filter(|member| !have.contains(member)) {
            let since = since(had, learner, span);
            // Whoever was learning it goes on; of the others whoever proposes the record says it.
            let goes_on = |old: &&Learning| old.learner == learner && lies_within(span, old.span);
            let from = before.iter().find(goes_on).map_or(Version::ZERO, |old| old.from);
            let new = Learning { span, learner, keeper: keepers.next(), since, from };
            push(&mut learning, new, &have);
        }
    }
    let learning = learning.into_iter().map(|(learning, _)| learning).collect();
    Ok(RingRecord { learning, ..bare })
}

/// The version before which the member has everything of the stretch.
fn since(had: &Had, member: MemberId, span: Span) -> Version {
    match had.get(&member) {
        Some((spans, since)) if spans.iter().any(|held| lies_within(span, *held)) => *since,
        _ => Version::ZERO,
    }
}

fn lies_within(span: Span, other: Span) -> bool {
    let range = Range { first: other.0, last: other.1 };
    range.contains(span.0)
        && range.contains(span.1)
        && Range { first: span.0, last: span.1 }.width() <= range.width()
}

/// Adds a stretch, or lengthens the one before it if the same members have that: it is copied from
/// one of them.
fn push(all: &mut Vec<(Learning, Vec<MemberId>)>, new: Learning, have: &[MemberId]) {
    let same = |(old, had): &&mut (Learning, Vec<MemberId>)| {
        let follows = old.span.1.0.wrapping_add(1) == new.span.0.0;
        let parts = |l: &Learning| (l.learner, l.keeper, l.since, l.from);
        let alike = parts(old) == parts(&new);
        follows && alike && had == have
    };
    match all.iter_mut().find(same) {
        Some((old, _)) => old.span.1 = new.span.1,
        None => all.push((new, have.to_vec())),
    }
}

/// The next record without this member: `since` as in [`Departed`].
///
/// # Errors
/// [`Refused::LastCopy`], [`Refused::NobodyLeft`].
pub fn without(
    record: &RingRecord,
    member: MemberId,
    since: Version,
    lost: bool,
) -> Result<RingRecord, Refused> {
    let now = ring_of(record);
    let mut next = record.clone();
    let Some(place) = next.members.iter().position(|other| other.id == member) else {
        return Err(Refused::NobodyLeft);
    };
    let RingMember { id, uuid, name, points } = next.members.remove(place);
    let held = spans_in_sync(&now, member);
    // Who has given its points away is not to come back, though it did not get to its end.
    let removed = points.is_empty();
    next.outgoing = Some(Departed { id, uuid, name, lost, removed, points, held, since });
    next.incoming = None;
    with_learning(&now, next, &Had::new())
}

/// The stretches of which a member has everything, as few as possible.
pub fn spans_in_sync(ring: &Ring, member: MemberId) -> Vec<Span> {
    let held = ring.arcs().filter(|arc| arc.in_sync.contains(&member));
    merged(held.map(|arc| (arc.range.first, arc.range.last)))
}

/// Neighbouring stretches, in order, as one.
pub fn merged(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if last.1.0.wrapping_add(1) == span.0.0 => last.1 = span.1,
            _ => all.push(span),
        }
    }
    all
}

/// A store that becomes a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// The store.
    pub uuid: Uuid,
    /// Its name.
    pub name: NodeName,
    /// Its points; sorted, none of them anybody else's.
    pub points: Vec<Point>,
    /// What it has already, and before which version.
    pub had: Option<(Vec<Span>, Version)>,
}

/// The next record with one more member, and its number.
///
/// # Errors
/// [`Refused::NoNumber`]; [`Refused::LastCopy`] cannot be: nobody loses anything at once.
pub fn with(record: &RingRecord, newcomer: Newcomer) -> Result<(RingRecord, MemberId), Refused> {
    let present = record.members.iter().map(|member| member.id);
    let ids = present.chain(record.departed.iter().map(|departed| departed.id));
    let ids = ids.chain(record.outgoing.iter().map(|departed| departed.id));
    let highest = ids.map(|id| id.0).max().unwrap_or(0);
    let Some(number) = highest.checked_add(1) else { return Err(Refused::NoNumber) };
    let id = MemberId(number);
    let now = ring_of(record);
    let Newcomer { uuid, name, points, had } = newcomer;
    let mut next = record.clone();
    next.members.push(RingMember { id, uuid, name, points });
    next.incoming = Some(id);
    next.outgoing = None;
    let had = had.into_iter().map(|had| (id, had)).collect();
    Ok((with_learning(&now, next, &had)?, id))
}

/// The next record when this member gives its points away; it stays a member until others have
/// learned what it holds.
///
/// # Errors
/// [`Refused::NobodyLeft`].
pub fn leaving(record: &RingRecord, member: MemberId) -> Result<RingRecord, Refused> {
    let now = ring_of(record);
    let mut next = record.clone();
    for other in next.members.iter_mut().filter(|other| other.id == member) {
        other.points.clear();
    }
    (next.incoming, next.outgoing) = (None, None);
    with_learning(&now, next, &Had::new())
}

/// The next record when the members get these points, in the order of `record.members`.
///
/// # Errors
/// [`Refused::NobodyLeft`].
pub fn with_points(record: &RingRecord, points: Vec<Vec<Point>>) -> Result<RingRecord, Refused> {
    assert_eq!(points.len(), record.members.len(), "points for each member");
    let now = ring_of(record);
    let mut next = record.clone();
    for (member, points) in next.members.iter_mut().zip(points) {
        member.points = points;
    }
    (next.incoming, next.outgoing) = (None, None);
    with_learning(&now, next, &Had::new())
}

/// The next record when these have been learned. Keepers of them hold them no more.
pub fn learned(record: &RingRecord, done: &[(MemberId, Span)]) -> RingRecord {
    let mut next = record.clone();
    next.learning.retain(|learning| !done.contains(&(learning.learner, learning.span)));
    (next.incoming, next.outgoing) = (None, None);
    next
}

/// The next record when all know that the one before it is in force: only its members count.
pub fn settled(record: &RingRecord) -> RingRecord {
    let mut next = record.clone();
    next.incoming = None;
    if let Some(departed) = next.outgoing.take() {
        next.departed.push(departed);
        next.departed.sort_by_key(|departed| departed.id);
    }
    // Who is a member again has what it left with: it need not be known any more.
    for departed in &mut next.departed {
        let back = next.members.iter().any(|member| member.uuid == departed.uuid);
        if back || departed.lost || departed.removed {
            departed.held.clear();
            departed.points.clear();
        }
    }
    next
}
