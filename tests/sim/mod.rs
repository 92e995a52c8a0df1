//! Deterministic simulation: whole clusters in one thread and virtual time, from one seed each.
//!
//! `PIAZZA_SIM_SEED=7 cargo test sim_one -- --nocapture` runs one seed and shows all of it;
//! `PIAZZA_SIM_SEEDS=5000 PIAZZA_SIM_FROM=1000 cargo test sim_seeds` runs many. A seed that fails is
//! run again with ever fewer faults, and `PIAZZA_SIM_KEEP` names the few that are left of it, so that
//! exactly that run can be repeated. The real cores, log,
//! state file and memory keystore run; the network, the disks' power, processes and clients are
//! simulated. In reading order:
//!
//! * `plan`: what a seed is about; `incidents`: what of it strikes
//! * `world`: time, events, and everything that takes part
//! * `network`, `node` with `recover`, `lanes` and `registration`, `coordinator`, `faults` with
//!   `disks`, `stores` and `clogs`: the parts
//! * `membership`: nodes that come and go
//! * `caches`: what is checked of those of the nodes
//! * `clients`: what they do; `asked`: what they ask for; `answers`: what they are told
//! * `repeats`: what they do about an end that they do not know; `watchers`: scans and watches
//! * `seen`: what a subscriber makes of events, and what `status` says
//! * `promises`: what servers have said and must stand by
//! * `finish`: coming to rest, and the verdict
//! * `planted`: whether bugs planted on purpose are found
//! * `coverage`: what was met, and how little of it is too little
//! * `shrink`: the fewest incidents with which a run still fails

mod answers;
mod asked;
mod caches;
mod clients;
mod clogs;
mod coordinator;
mod coverage;
mod disks;
mod duplicates;
mod faults;
mod finish;
mod incidents;
pub(crate) mod lanes;
mod membership;
mod network;
mod node;
mod plan;
#[cfg(feature = "planted-bugs")]
pub(crate) mod planted;
mod promises;
pub(crate) mod recover;
mod registration;
mod repeats;
mod rot;
mod seen;
mod shrink;
mod stores;
mod watchers;
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::coverage::Coverage;
use self::incidents::{Incident, Kept, list};
use self::plan::Plan;
use self::shrink::{Rerun, shrink};
use self::world::{Event, Failure, World};
use crate::check::seeded::Seeded;
#[cfg(not(feature = "lie-about-sync"))]
use crate::check::seeded::number_from_env;

/// Seeds in an ordinary run.
const SEEDS: u64 = 200;
/// Threads that share them.
const THREADS: usize = 2;
/// A run stops after so many seeds have failed.
#[cfg(not(feature = "lie-about-sync"))]
const FAILED_MAX: usize = 10;
/// So many of them are shrunk.
#[cfg(not(feature = "lie-about-sync"))]
const SHRUNK_MAX: usize = 3;
/// One seed of so many is run twice: both runs must be the same.
const TWICE_EVERY: u64 = 20;

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    seed: u64,
    trace: u64,
    failures: Vec<Failure>,
    coverage: Coverage,
    events: u64,
    virtual_us: u64,
    /// What went wrong and when, in virtual microseconds.
    struck: Vec<(u64, Incident)>,
}

/// Runs one seed; a panic is a failure like others.
fn run(seed: u64, kept: Kept, verbose: bool) -> Verdict {
    let mut world = World::new(seed, kept, verbose);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        world.fail(Failure::Panicked(text.unwrap_or_default()));
    }
    let (events, virtual_us) = world.length();
    let trace = world.trace();
    let struck = world.struck().to_vec();
    let (failures, coverage) = (world.failures, world.coverage);
    Verdict { seed, trace, failures, coverage, events, virtual_us, struck }
}

/// Runs one seed as it is; some of them twice.
fn run_seed(seed: u64) -> Verdict {
    let mut verdict = run(seed, Kept::All, false);
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = run(seed, Kept::All, false);
        if again != verdict {
            let text = format!("trace {:x}, then {:x}", verdict.trace, again.trace);
            verdict.failures.push(Failure::Unrepeatable(text));
        }
    }
    if verdict.failures.is_empty() {
        // Nobody asks for them, and there are many.
        verdict.struck = Vec::new();
    }
    verdict
}

/// Runs seeds from `from` on, in a few threads; verdicts in the order of seeds. Ends early when
/// `enough` of them have failed.
fn run_all(from: u64, count: u64, enough: usize) -> Vec<Verdict> {
    let next = AtomicU64::new(from);
    let verdicts = Mutex::new(Vec::new());
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) < enough as u64 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let verdict = run_seed(seed);
                    failed.fetch_add(u64::from(!verdict.failures.is_empty()), Ordering::Relaxed);
                    verdicts.lock().expect("runs catch panics").push(verdict);
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("runs catch panics");
    verdicts.sort_by_key(|verdict| verdict.seed);
    verdicts
}

/// An event as it is shown and hashed.
fn brief(event: &Event) -> String {
    format!("{event:?}")
}

fn describe(verdict: &Verdict) -> String {
    let mut text = format!("seed {} fails:", verdict.seed);
    for failure in &verdict.failures {
        text += &format!("\n  {failure:?}").replace("\\n", "\n");
    }
    let mut options = Plan::draw(&mut Seeded::new(verdict.seed));
    // What of them has struck is listed by itself.
    options.faults.clear();
    text + &format!(
        "\n  options: {options:?}\n  repeat with: PIAZZA_SIM_SEED={} cargo test sim_one -- --nocapture",
        verdict.seed
    )
}

/// The fewest incidents with which the verdict on a seed is still as bad in the eyes of `fails`.
fn shrink_seed(verdict: &Verdict, fails: impl Fn(&Verdict) -> bool) -> BTreeSet<Incident> {
    let struck = |verdict: &Verdict| verdict.struck.iter().map(|(_, one)| *one).collect();
    shrink(struck(verdict), |kept| {
        let again = run(verdict.seed, Kept::Only(kept.clone()), false);
        Rerun { fails_with: fails(&again).then(|| struck(&again)), events: again.events }
    })
}

/// What is left of a failed seed's faults, and how to repeat that run.
#[cfg(not(feature = "lie-about-sync"))]
fn describe_shrunk(verdict: &Verdict) -> String {
    let Some(kind) = verdict.failures.first().map(std::mem::discriminant) else {
        return String::new();
    };
    let same = |failure: &Failure| std::mem::discriminant(failure) == kind;
    let kept = shrink_seed(verdict, |again| again.failures.iter().any(same));
    let last = run(verdict.seed, Kept::Only(kept.clone()), false);
    let failure = last.failures.iter().find(|failure| same(failure));
    let mut text = format!(
        "\n  the same kind of failure with {} of {} faults: {failure:?}",
        kept.len(),
        verdict.struck.len()
    );
    for (at, incident) in &last.struck {
        text += &format!("\n    {at:>10} us  {incident}");
    }
    text + &format!(
        "\n  repeat with: PIAZZA_SIM_SEED={} PIAZZA_SIM_KEEP={} cargo test sim_one -- --nocapture",
        verdict.seed,
        list(&kept)
    )
}

#[test]
#[cfg(not(feature = "lie-about-sync"))]
fn sim_seeds() {
    let (from, count) =
        (number_from_env("PIAZZA_SIM_FROM", 0), number_from_env("PIAZZA_SIM_SEEDS", SEEDS));
    let verdicts = run_all(from, count, FAILED_MAX);
    let mut coverage = Coverage::default();
    verdicts.iter().for_each(|verdict| coverage.merge(&verdict.coverage));
    let events: u64 = verdicts.iter().map(|verdict| verdict.events).sum();
    let hours = verdicts.iter().map(|v| v.virtual_us).sum::<u64>() as f64 / 3.6e9;
    println!("{} seeds, {events} events, {hours:.1} virtual hours\n{coverage}", verdicts.len());
    let failed = verdicts.iter().filter(|v| !v.failures.is_empty()).enumerate();
    let failed: Vec<String> = failed
        .map(|(n, v)| describe(v) + &if n < SHRUNK_MAX { describe_shrunk(v) } else { "".into() })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} seeds fail\n{}",
        failed.len(),
        verdicts.len(),
        failed.join("\n")
    );
    let quiet = coverage.too_quiet(count);
    assert!(count < 100 || quiet.is_empty(), "the run was too quiet: {quiet:#?}\n{coverage}");
}

#[test]
fn sim_one() {
    let Ok(seed) = std::env::var("PIAZZA_SIM_SEED") else { return };
    let seed = seed.parse().expect("PIAZZA_SIM_SEED is a number");
    #[cfg(feature = "planted-bugs")]
    planted::plant_from_env();
    let kept = std::env::var("PIAZZA_SIM_KEEP").map_or(Ok(Kept::All), |list| Kept::parse(&list));
    let kept = kept.expect("PIAZZA_SIM_KEEP names incidents");
    let verdict = run(seed, kept, true);
    assert!(verdict.failures.is_empty(), "{}", describe(&verdict));
}

/// On a real seed, with a verdict that is wrong on purpose: "no node may lose power". One incident
/// that takes a node's power is all that may be left, and the run that it names is the same again.
#[test]
#[cfg(not(feature = "lie-about-sync"))]
fn sim_shrinks_a_real_seed() {
    let fails = |verdict: &Verdict| verdict.coverage.of("nodes without power") > 0;
    let runs = (0..100).map(|seed| run(seed, Kept::All, false));
    let verdict = runs.into_iter().find(|verdict| fails(verdict) && verdict.struck.len() > 20);
    let verdict = verdict.expect("a node loses power in one of a hundred seeds");
    let kept = shrink_seed(&verdict, fails);
    assert_eq!(kept.len(), 1, "{}", list(&kept));
    let named = Kept::parse(&list(&kept)).expect("what was listed");
    let (first, second) =
        (run(verdict.seed, named.clone(), false), run(verdict.seed, named, false));
    assert!(fails(&first) && first == second);
    assert_eq!(first.struck.iter().map(|(_, one)| *one).collect::<BTreeSet<_>>(), kept);
    // What is let happen again is the run as it was.
    let all = verdict.struck.iter().map(|(_, one)| *one).collect();
    assert_eq!(run(verdict.seed, Kept::Only(all), false), verdict);
}

#[test]
fn sim_same_seed_same_trace() {
    let run = |seed| run(seed, Kept::All, false);
    for seed in [1, 2, 3, 4, 5] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1).trace, run(2).trace);
}

/// A log that does not sync must be found out: a write that was acknowledged is gone. Most such
/// runs end before that, since a store that lost something refuses to start; so more seeds are run
/// than ordinarily.
#[test]
#[cfg(feature = "lie-about-sync")]
fn sim_finds_a_lying_log() {
    let verdicts = run_all(0, 20 * SEEDS, usize::MAX);
    let lost = |verdict: &&Verdict| {
        verdict.failures.iter().any(|failure| matches!(failure, Failure::LostWrite(_)))
    };
    let found: Vec<u64> = verdicts.iter().filter(lost).map(|verdict| verdict.seed).collect();
    println!("{} of {} seeds lose an acknowledged write: {found:?}", found.len(), verdicts.len());
    assert!(!found.is_empty(), "no seed loses a write though nothing is synced");
}
