//! The coordinator's lease (R11): until when it may tell anybody what it read.
//!
//! Kept by `core::coordinator`, one per ring in force or on its way into force; a read's answer is
//! sent only if the lease of each of them still holds *after* the value was read. A new coordinator
//! waits with `wait_until` for the lease of its predecessor to end. Nothing here grants anything to
//! a node, and nothing shortens a lease: an answer, once given, stays a fact.

use std::collections::BTreeMap;

use protocol::ids::MemberId;

use super::time::Time;

/// The answers on which one coordinator's lease over one ring's members rests.
///
/// An answer to a message of this epoch proves that its member had not fenced the epoch when the
/// message was sent: no newer claim of it can be older than that. A claim needs a majority, so that
/// it meets any half of the members, rounded up, in one member at least.
///
/// Invariants, asserted after every change:
/// * there is at least one member, and the members never change;
/// * a member's send time never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Per member, when the newest message that it has answered was sent; `None` before the first.
    sent: BTreeMap<MemberId, Option<Time>>,
    /// How long an answer counts, milliseconds from the sending.
    lease_ms: u64,
}

impl Lease {
    /// A lease that nobody has answered yet, of `lease_ms` milliseconds from each sending.
    ///
    /// # Panics
    /// If there is no member.
    pub fn new(members: impl IntoIterator<Item = MemberId>, lease_ms: u64) -> Self {
        let sent: BTreeMap<_, _> = members.into_iter().map(|member| (member, None)).collect();
        assert!(!sent.is_empty(), "a lease needs members");
        Self { sent, lease_ms }
    }

    /// The lease of the same epoch over another ring's members; who is a member of both keeps its
    /// answer, which is a fact about the member and not about the ring.
    #[must_use]
    pub fn over(&self, members: impl IntoIterator<Item = MemberId>) -> Self {
        let mut lease = Self::new(members, self.lease_ms);
        for (member, sent) in &mut lease.sent {
            *sent = self.sent.get(member).copied().flatten();
        }
        lease
    }

    /// How many members' answers a lease needs: half of them, rounded up.
    pub fn needed(members: usize) -> usize {
        members.div_ceil(2)
    }

    /// `member` answered a message of this epoch that was sent at `sent`. Answers may come in any
    /// order; one of somebody who is no member does not count.
    pub fn answered(&mut self, member: MemberId, sent: Time) {
        let Some(newest) = self.sent.get_mut(&member) else { return };
        let before = *newest;
        *newest = before.max(Some(sent));
        assert!(*newest >= before, "a member's send time never goes back");
    }

    /// When the lease ends: it holds strictly before that. `None` while too few have answered.
    pub fn valid_until(&self) -> Option<Time> {
        let mut newest_first: Vec<Option<Time>> = self.sent.values().copied().collect();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let needed = Self::needed(newest_first.len());
        assert!((1..=newest_first.len()).contains(&needed));
        newest_first[needed - 1].map(|sent| sent.plus_ms(self.lease_ms))
    }

    /// Whether the lease holds at `now`.
    pub fn holds(&self, now: Time) -> bool {
        self.valid_until().is_some_and(|end| now < end)
    }
}

/// When a new coordinator, whose claim was durable at `claim_durable`, may tell anybody a result:
/// every lease of an older epoch has ended by then, even if its holder's clock runs 1 % slower
/// than this one's.
pub fn wait_until(claim_durable: Time, lease_ms: u64) -> Time {
    let lease_us = lease_ms.saturating_mul(1_000);
    claim_durable.plus_us(lease_us).plus_us(lease_us.div_ceil(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u16) -> impl Iterator<Item = MemberId> {
        (1..=count).map(MemberId)
    }

    #[test]
    fn half_of_the_members_rounded_up_make_a_lease() {
        // (members, send times of members 1, 2, ... in ms, end of a 2 s lease in ms)
        let table: &[(u16, &[u64], Option<u64>)] = &[
            (1, &[], None),
            (1, &[100], Some(2_100)),
            (2, &[], None),
            (2, &[100], Some(2_100)),
            (2, &[100, 300], Some(2_300)),
            (3, &[100], None),
            (3, &[100, 300], Some(2_100)),
            (3, &[100, 300, 200], Some(2_200)),
            (4, &[100], None),
            (4, &[100, 300, 200], Some(2_200)),
            (5, &[100, 300], None),
            (5, &[500, 100, 300], Some(2_100)),
            (5, &[500, 100, 300, 200, 400], Some(2_300)),
        ];
        for (count, sends_ms, end_ms) in table {
            let mut lease = Lease::new(members(*count), 2_000);
            for (member, ms) in members(*count).zip(*sends_ms) {
                lease.answered(member, Time::default().plus_ms(*ms));
            }
            let end = end_ms.map(|ms| Time::default().plus_ms(ms));
            assert_eq!(lease.valid_until(), end, "{count} members, {sends_ms:?}");
            if let Some(end) = end {
                assert!(lease.holds(Time(end.0 - 1)) && !lease.holds(end));
            }
        }
    }

    #[test]
    fn late_answers_and_strangers_change_nothing() {
        let mut lease = Lease::new(members(1), 1_000);
        lease.answered(MemberId(1), Time(500));
        lease.answered(MemberId(1), Time(400));
        lease.answered(MemberId(9), Time(900));
        assert_eq!(lease.valid_until(), Some(Time(1_000_500)));
    }

    #[test]
    fn a_ring_change_keeps_the_answers_of_those_who_stay() {
        let mut old = Lease::new(members(3), 1_000);
        old.answered(MemberId(1), Time(10));
        old.answered(MemberId(3), Time(30));
        let new = old.over([MemberId(3), MemberId(4)]);
        assert_eq!(new.valid_until(), Some(Time(1_000_030)));
        assert_eq!(old.over([MemberId(2), MemberId(4)]).valid_until(), None);
    }

    #[test]
    fn the_end_is_the_kth_newest_of_each_members_newest() {
        let mut state = 7_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let count = 1 + next(9) as u16;
            let mut lease = Lease::new(members(count), 50);
            let mut all: Vec<(u16, u64)> = Vec::new();
            let mut end_before = None;
            for _ in 0..40 {
                let (member, sent) = (1 + next(u64::from(count)) as u16, next(1_000));
                lease.answered(MemberId(member), Time(sent));
                all.push((member, sent));
                let newest = |m: u16| all.iter().filter(|(n, _)| *n == m).map(|(_, s)| *s).max();
                let mut sorted: Vec<u64> = (1..=count).filter_map(newest).collect();
                sorted.sort_unstable();
                let needed = usize::from(count.div_ceil(2));
                let kth = sorted.len().checked_sub(needed).map(|at| Time(sorted[at] + 50_000));
                assert_eq!(lease.valid_until(), kth);
                assert!(kth >= end_before, "a lease never shrinks");
                end_before = kth;
            }
        }
    }

    #[test]
    fn every_majority_meets_every_half() {
        for count in 1..=12_u32 {
            let (majority, half) = (count / 2 + 1, Lease::needed(count as usize) as u32);
            for a in (0..1_u32 << count).filter(|set| set.count_ones() == majority) {
                let apart = !a & ((1 << count) - 1);
                assert!(apart.count_ones() < half, "{count} members: {a:b} misses a half");
            }
        }
    }

    #[test]
    fn the_wait_is_the_lease_and_one_per_cent_rounded_up() {
        assert_eq!(wait_until(Time(7), 2_000), Time(2_020_007));
        assert_eq!(wait_until(Time(0), 0), Time(0));
        assert_eq!(wait_until(Time(0), u64::MAX), Time::NEVER);
        let odd = wait_until(Time(0), 1);
        assert_eq!(odd, Time(1_010));
    }
}
