//! The fewest incidents with which a run still fails.
//!
//! Used by `mod` when a seed fails. Greedy: a kind at a time, then portions, half as long each
//! time, then single ones until none can go. Knows runs only as a function, and stops after a
//! number of runs and of events, never by a clock: the same failure shrinks the same everywhere.

use std::collections::BTreeSet;

use super::incidents::{Incident, Incidents, Kept, list};
use super::plan::Fault;

/// Most runs that one failure is worth.
const RUNS_MAX: usize = 250;
/// Most events in all these runs together.
const EVENTS_MAX: u64 = 5_000_000;

/// What a run with some of the incidents came to.
pub(crate) struct Rerun {
    /// It fails in the same way; what has struck then.
    pub(crate) fails_with: Option<BTreeSet<Incident>>,
    pub(crate) events: u64,
}

/// Takes incidents out as long as the run fails without them.
pub(crate) fn shrink(
    struck: BTreeSet<Incident>,
    mut rerun: impl FnMut(&BTreeSet<Incident>) -> Rerun,
) -> BTreeSet<Incident> {
    let mut kept = struck;
    let (mut runs, mut events) = (0, 0);
    // Whether it failed without these; what remains then.
    let mut without = |kept: &mut BTreeSet<Incident>, out: &[Incident]| {
        if out.iter().all(|one| !kept.contains(one)) || runs >= RUNS_MAX || events >= EVENTS_MAX {
            return false;
        }
        let rest = kept.iter().filter(|one| !out.contains(one)).copied().collect();
        let outcome = rerun(&rest);
        runs += 1;
        events += outcome.events;
        // What does not strike any more need not be named.
        let Some(now) = outcome.fails_with else { return false };
        *kept = rest.intersection(&now).copied().collect();
        true
    };
    let all: Vec<Incident> = kept.iter().copied().collect();
    if without(&mut kept, &all) {
        return kept;
    }
    let kinds: BTreeSet<Fault> = kept.iter().map(|incident| incident.fault).collect();
    for kind in kinds {
        let out: Vec<Incident> = kept.iter().filter(|one| one.fault == kind).copied().collect();
        without(&mut kept, &out);
    }
    let mut portion = kept.len() / 2;
    while portion > 1 {
        let in_order: Vec<Incident> = kept.iter().copied().collect();
        for out in in_order.chunks(portion) {
            without(&mut kept, out);
        }
        portion = (portion / 2).min(kept.len() / 2);
    }
    let mut shrinks = true;
    while shrinks {
        shrinks = false;
        for one in kept.clone() {
            shrinks |= without(&mut kept, &[one]);
        }
    }
    kept
}

fn incidents(fault: Fault, numbers: impl IntoIterator<Item = u32>) -> BTreeSet<Incident> {
    numbers.into_iter().map(|number| Incident { fault, number }).collect()
}

#[test]
fn sim_shrink_finds_the_few_that_matter() {
    let mut all = incidents(Fault::LoseMessage, 0..60);
    all.append(&mut incidents(Fault::KillNode, 0..5));
    all.append(&mut incidents(Fault::StallDisk, 0..40));
    let mut needed = incidents(Fault::LoseMessage, [17, 42]);
    needed.append(&mut incidents(Fault::KillNode, [3]));
    let mut runs = 0;
    let found = shrink(all, |kept| {
        runs += 1;
        let fails_with = needed.is_subset(kept).then(|| kept.clone());
        Rerun { fails_with, events: 1 }
    });
    assert_eq!(found, needed);
    assert!(runs < 60, "{runs} runs");
}

#[test]
fn sim_shrink_needs_no_faults_where_none_matter() {
    let rerun = |kept: &BTreeSet<Incident>| Rerun { fails_with: Some(kept.clone()), events: 1 };
    assert!(shrink(incidents(Fault::Usurp, 0..9), rerun).is_empty());
}

#[test]
fn sim_shrink_ends_though_nothing_can_go() {
    let all = incidents(Fault::DoubleMessage, 0..5_000);
    let mut runs = 0;
    let found = shrink(all.clone(), |_| {
        runs += 1;
        Rerun { fails_with: None, events: 1 }
    });
    assert_eq!((found, runs), (all.clone(), RUNS_MAX));
    let mut events = 0;
    shrink(all, |_| {
        events += 1_000_000;
        Rerun { fails_with: None, events: 1_000_000 }
    });
    assert_eq!(events, EVENTS_MAX);
}

#[test]
fn sim_incidents_keep_their_numbers() {
    let kept = Kept::parse("KillNode.1,LoseMessage.0").expect("two incidents");
    let mut run = Incidents::new(kept.clone());
    assert!(!run.strikes(5, Fault::KillNode));
    assert!(run.strikes(6, Fault::KillNode));
    assert!(run.strikes(7, Fault::LoseMessage));
    assert!(!run.strikes(8, Fault::LoseMessage));
    let struck: BTreeSet<Incident> = run.struck.iter().map(|(_, incident)| *incident).collect();
    assert_eq!(Kept::Only(struck.clone()), kept);
    assert_eq!(list(&struck), "KillNode.1,LoseMessage.0");
    assert_eq!(Kept::parse(""), Ok(Kept::Only(BTreeSet::new())));
    assert!(Kept::parse("KillNode").is_err() && Kept::parse("Rain.1").is_err());
}
