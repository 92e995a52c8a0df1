//! With all rules on, every state of these worlds is right; without any one rule, one is wrong.

use super::super::check::{breaks, holds};
use super::{ALL, AbortTold, Commit, QUIET, Rules, World};

const LOSSY: World = World { losses: 1, ..QUIET };
const TWICE: World = World { successors: 2, ..QUIET };
/// Losses that no ring tells of: only who meets one knows of it.
const HEARSAY: Rules = Rules { ring_by_majority: false, ..ALL };

#[test]
fn two_replicas_with_all_rules() {
    let all = |name: &str, world| {
        holds(name, &Commit::<2, 1> { rules: ALL, world, nameless: true });
    };
    all("K=2 of 3, one successor, a replica lost", LOSSY);
    all("K=2 of 3, two successors, a replica lost", World { losses: 1, ..TWICE });
    let zombie = World { losses: 1, evicts_live: true, ..TWICE };
    all("K=2 of 3, two successors, an evicted replica lives on", zombie);
    all("K=2 of 3, two successors, a log cut", World { cuts: 1, ..TWICE });
    all("K=2 of 3, two successors, forgetting", World { forgetting: true, ..TWICE });
    let replaced = World { successors: 0, losses: 1, replaced: 1, ..QUIET };
    all("K=2 of 3, a store replaced, then a replica lost", replaced);
    let world = World { losses: 1, ..TWICE };
    let hearsay = Commit::<2, 1> { rules: HEARSAY, world, nameless: true };
    holds("K=2 of 3, two successors, a loss that no ring tells of", &hearsay);
}

#[test]
fn three_replicas_with_all_rules() {
    let all = |name: &str, world| {
        holds(name, &Commit::<3, 0> { rules: ALL, world, nameless: true });
    };
    all("K=3 of 3, two successors", TWICE);
    all("K=3 of 3, one successor, a replica lost", LOSSY);
    let world = World { losses: 1, power: false, ..TWICE };
    all("K=3 of 3, two successors, a replica lost, no power loss", world);
    all("K=3 of 3, one successor, a log cut", World { cuts: 1, ..QUIET });
}

#[test]
fn each_rule_is_needed() {
    let off = |name: &str, rules, world| {
        breaks(name, &Commit::<2, 1> { rules, world, nameless: false });
    };
    let unsynced = Rules { persist_before_send: false, ..ALL };
    off("a vote leaves after the sync of its record", unsynced, QUIET);
    off("R2, the fence", Rules { fence: false, ..ALL }, QUIET);
    off("R3, refusals are durable", Rules { refusals_kept: false, ..ALL }, LOSSY);
    let replaced = World { successors: 0, losses: 1, replaced: 1, ..QUIET };
    off("R4, votes of the present store", Rules { present_votes: false, ..ALL }, replaced);
    let early = Rules { abort_told: AbortTold::AtOnce, ..ALL };
    off("R5, aborted only told when durable", early, QUIET);
    let half = Rules { abort_told: AbortTold::AfterOne, ..ALL };
    off("R5, ... at all participants", half, LOSSY);
    off("R6, all survivors prepared is commit", Rules { lost_commits: false, ..ALL }, LOSSY);
    let shown = Rules { choice_first: false, ..HEARSAY };
    off("R6, a choice is durable before it is told", shown, World { losses: 1, ..TWICE });
    let silent = Rules { continuity: false, ..ALL };
    off("R7, a store that has lost something says so", silent, World { cuts: 1, ..QUIET });
    let forgetful = World { forgetting: true, ..QUIET };
    off("R8, forgotten when all confirmed", Rules { forget_late: false, ..ALL }, forgetful);
    off("R9, a start syncs what it found", Rules { tail_synced: false, ..ALL }, TWICE);
}

/// With two replicas the choice's own durability would do.
#[test]
fn with_three_replicas_majorities_are_needed() {
    let world = World { losses: 1, power: false, ..TWICE };
    let off = |name: &str, rules| {
        breaks(name, &Commit::<3, 0> { rules, world, nameless: true });
    };
    off("R10, a ring is in force by majority", HEARSAY);
    off("R15, a majority's promise before deciding", Rules { claim_by_majority: false, ..ALL });
}
