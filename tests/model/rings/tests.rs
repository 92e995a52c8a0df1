//! With all rules on, every state of these worlds is right; without any one rule, one is wrong.

use super::super::check::{breaks, holds};
use super::{ALL, InForce, Rings, Rules};

const NEW: Rules = Rules { in_force: InForce::OfNewMembers, ..ALL };
const OLD: Rules = Rules { in_force: InForce::OfOldMembers, ..ALL };

/// A write is out when the ring changes.
fn early(rules: Rules) -> Rings {
    Rings { rules, early: true, exchanges: false }
}

/// A write is the first one of the new ring.
fn late(rules: Rules) -> Rings {
    Rings { rules, early: false, exchanges: false }
}

/// One step changes two members.
fn exchanging(rules: Rules) -> Rings {
    Rings { rules, early: true, exchanges: true }
}

#[test]
fn changes_with_all_rules() {
    holds("one of three is evicted, a write is out", &early(ALL));
    holds("one of three is evicted, then a write", &late(ALL));
    holds("one of three is exchanged, a write is out", &exchanging(ALL));
}

/// H5, H17, H35, H38, H39, H40.
#[test]
fn changes_need_each_rule() {
    let alone = Rules { in_force: InForce::OneMember, ..ALL };
    breaks("R15, H17, a ring is in force by majority", &early(alone));
    let alone = Rules { claim_by_majority: false, ..ALL };
    breaks("R15, H17, an epoch is claimed by majority", &early(alone));
    breaks("R2, the fence, for rings", &early(Rules { fence: false, ..ALL }));
    breaks("R10, H40, the barrier between two rings", &early(Rules { barrier: false, ..ALL }));
    let dropped = Rules { survivors_decide: false, ..ALL };
    breaks("R6, H5, what is open with an evicted node is not dropped", &early(dropped));
    let uncopied = Rules { copied_first: false, ..ALL };
    breaks("R15, H35, in sync when all is copied", &early(uncopied));
    let readers = Rules { learners_write: false, ..ALL };
    breaks("H39, a learner takes part in writes", &late(readers));
    breaks("H38, newer versions win", &late(Rules { newer_wins: false, ..ALL }));
}

/// A step that changes two members at once needs a majority of the old and one of the new: they may
/// have no member in common.
#[test]
fn both_majorities_are_needed() {
    breaks("R15, a majority of the old members too", &exchanging(NEW));
    breaks("R15, a majority of the new members too", &exchanging(OLD));
}

/// Where rings differ by one member, any majority of either meets any of the other: that no step
/// changes two (R15), and that both are asked, cover for each other.
#[test]
fn of_rings_that_differ_by_one_member_either_majority_would_do() {
    holds("in force by the new members alone, rings differ by one", &early(NEW));
    holds("in force by the old members alone, rings differ by one", &early(OLD));
}
