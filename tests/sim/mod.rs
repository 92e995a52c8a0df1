//! Deterministic simulation: whole clusters in one thread and virtual time, from one seed each.
//!
//! `PIAZZA_SIM_SEED=7 cargo test sim_one -- --nocapture` runs one seed and shows all of it;
//! `PIAZZA_SIM_SEEDS=5000 PIAZZA_SIM_FROM=1000 cargo test sim_seeds` runs many. The real cores, log,
//! state file and memory keystore run; the network, the disks' power, processes and clients are
//! simulated. In reading order:
//!
//! * `plan`: what a seed is about
//! * `world`: time, events, and everything that takes part
//! * `network`, `node` with `recover`, `lanes` and `registration`, `coordinator`, `faults`: the
//!   parts
//! * `clients`: what they do; `asked`: what they ask for; `answers`: what they are told
//! * `finish`: coming to rest, and the verdict
//! * `planted`: whether bugs planted on purpose are found
//! * `coverage`: what was met, and how little of it is too little

mod answers;
mod asked;
mod clients;
mod coordinator;
mod coverage;
mod faults;
mod finish;
pub(crate) mod lanes;
mod network;
mod node;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
pub(crate) mod recover;
mod registration;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::coverage::Coverage;
use self::world::{Event, Failure, World};
#[cfg(not(feature = "lie-about-sync"))]
use crate::check::seeded::number_from_env;

/// Seeds in an ordinary run.
const SEEDS: u64 = 200;
/// Threads that share them.
const THREADS: usize = 2;
/// A run stops after so many seeds have failed.
#[cfg(not(feature = "lie-about-sync"))]
const FAILED_MAX: usize = 10;

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    seed: u64,
    trace: u64,
    failures: Vec<Failure>,
    coverage: Coverage,
    events: u64,
    virtual_us: u64,
}

/// Runs one seed; a panic is a failure like others.
fn run(seed: u64, verbose: bool) -> Verdict {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, verbose);
        world.run();
        let (events, virtual_us) = world.length();
        let (trace, failures, coverage) = (world.trace(), world.failures, world.coverage);
        Verdict { seed, trace, failures, coverage, events, virtual_us }
    }));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let failures = vec![Failure::Refused(format!("a panic: {}", text.unwrap_or_default()))];
        let coverage = Coverage::default();
        Verdict { seed, trace: 0, failures, coverage, events: 0, virtual_us: 0 }
    })
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
                    let verdict = run(seed, false);
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
    text + &format!(
        "\n  repeat with: PIAZZA_SIM_SEED={} cargo test sim_one -- --nocapture",
        verdict.seed
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
    let failed: Vec<String> =
        verdicts.iter().filter(|v| !v.failures.is_empty()).map(describe).collect();
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
    let verdict = run(seed, true);
    assert!(verdict.failures.is_empty(), "{}", describe(&verdict));
}

#[test]
fn sim_same_seed_same_trace() {
    for seed in [1, 2, 3, 4, 5] {
        let (first, second) = (run(seed, false), run(seed, false));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1, false).trace, run(2, false).trace);
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
