//! Rings as they are kept and said: whether a record is one, and the ring that it describes.

use protocol::ids::{Epoch, MemberId, NodeName, Point, Uuid};
use protocol::peer::{Placement, RingRecord};

use super::{Ring, parts_of};

/// Points times stretches that are learned, at most: what is said by others must not take long.
const WORK_MAX: usize = 1 << 26;
/// Highest number of a change.
const CHANGES_MAX: u64 = 1 << 52;
/// Changes under way at most beside evictions.
const OTHERS_MAX: usize = 4;

/// Whether a record describes a ring at all: to be asked of each one that comes from outside,
/// before anything is made of it.
pub fn is_ring(record: &RingRecord) -> bool {
    let members = &record.members;
    let mut points: Vec<Point> = members.iter().flat_map(|m| m.points.clone()).collect();
    let mut uuids: Vec<Uuid> = members.iter().map(|member| member.uuid).collect();
    let mut names: Vec<&NodeName> = members.iter().map(|member| &member.name).collect();
    let ids: Vec<MemberId> = members.iter().map(|member| member.id).collect();
    let departed: Vec<MemberId> = record.departed.iter().map(|departed| departed.id).collect();
    points.sort_unstable();
    uuids.sort_unstable();
    names.sort_unstable();
    record.number.epoch <= Epoch::MAX
        && record.replicas >= 1
        && !points.is_empty()
        && (rises(&points) && rises(&uuids) && rises(&names) && rises(&ids) && rises(&departed))
        && record.incoming.is_none_or(|id| ids.contains(&id))
        && record.outgoing.iter().all(|member| !ids.contains(&member.id))
        && (record.placement == Placement::Ring || record.learning.is_empty())
        && learns(record)
        && are_changes(record)
}

/// Whether changes have numbers of their own, all of them taken, and are no more than can be.
fn are_changes(record: &RingRecord) -> bool {
    let changes = &record.changes;
    // Each member's going, and what else is under way.
    let most = record.members.len() + record.departed.len() + OTHERS_MAX;
    let numbers: Vec<u64> = changes.open.iter().map(|change| change.number).collect();
    let highest = numbers.last().copied().unwrap_or_default();
    numbers.len() <= most
        && rises(&numbers)
        && highest <= changes.taken
        && changes.taken <= CHANGES_MAX
}

/// Whether learners are members with points, and each stretch has somebody else who has it.
fn learns(record: &RingRecord) -> bool {
    let is_member = |id: MemberId| record.members.iter().any(|member| member.id == id);
    let sound = record.learning.iter().all(|learning| {
        is_member(learning.learner)
            && learning.keeper.is_none_or(|keeper| is_member(keeper) && keeper != learning.learner)
    });
    if !sound {
        return false;
    }
    let points: Vec<(Point, MemberId)> = points_of(record).collect();
    points.len().saturating_mul(record.learning.len()) <= WORK_MAX
        && parts_of(&sorted(points), record.replicas, &record.learning)
            .all(|(_, part)| !part.in_sync.is_empty())
}

/// The number of this store in a record: that of a member, or of the one that it leaves out, which
/// may still be a member of the ring in force.
pub fn number_in(record: &RingRecord, store: Uuid) -> Option<MemberId> {
    let present = record.members.iter().map(|member| (member.uuid, member.id));
    let out = record.outgoing.iter().map(|departed| (departed.uuid, departed.id));
    present.chain(out).find(|(uuid, _)| *uuid == store).map(|(_, id)| id)
}

/// Whether each one is more than the one before.
fn rises<T: Ord>(all: &[T]) -> bool {
    all.windows(2).all(|pair| pair[0] < pair[1])
}

/// The ring that a record describes.
///
/// # Panics
/// If it is none: see [`is_ring`].
pub fn ring_of(record: &RingRecord) -> Ring {
    let points = points_of(record).collect();
    Ring::with_learners(points, record.replicas, &record.learning).placed_by(record.placement)
}

fn points_of(record: &RingRecord) -> impl Iterator<Item = (Point, MemberId)> {
    record.members.iter().flat_map(|m| m.points.iter().map(|point| (*point, m.id)))
}

fn sorted(mut points: Vec<(Point, MemberId)>) -> Vec<(Point, MemberId)> {
    points.sort_unstable();
    points
}
