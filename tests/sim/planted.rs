//! Does the simulation find bugs? Three score are planted (`core::planted`), one at a time, and
//! seeds are run until one fails: whoever changes a fault or a check sees what that is worth.
//!
//! Needs the feature `planted-bugs`; `PIAZZA_PLANTED=StaleFill` names a single one, with which
//! `PIAZZA_SIM_SEED=7 cargo test --features planted-bugs sim_one` shows a seed of the table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cluster::core::planted::{Bug, plant};

use super::THREADS;
use super::incidents::Kept;
use crate::check::seeded::number_from_env;

/// After so many seeds without a failure a bug counts as not found.
const SEEDS_MAX: u64 = 5_000;

/// How a bug was found.
struct Found {
    seeds: u64,
    failure: String,
}

/// Gives this thread's code the bug that the environment names, if it names one.
pub(crate) fn plant_from_env() {
    let name = std::env::var("PIAZZA_PLANTED").ok();
    plant(name.map(|name| by_name(&name)));
}

fn by_name(name: &str) -> Bug {
    let found = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    found.unwrap_or_else(|| panic!("PIAZZA_PLANTED={name} is none of {:?}", Bug::ALL))
}

/// Runs seeds until one fails.
fn search(bug: Bug, from: u64) -> Option<Found> {
    plant(Some(bug));
    let failed = (from..from + SEEDS_MAX).map(|seed| super::run(seed, Kept::All, false));
    let failed = failed.into_iter().find(|verdict| !verdict.failures.is_empty());
    plant(None);
    failed.map(|verdict| Found {
        seeds: verdict.seed - from + 1,
        failure: format!("{:?}", verdict.failures[0]),
    })
}

/// A line of the table.
fn show(bug: Bug, found: Option<&Found>, took: Duration) {
    let (seeds, failure) = match found {
        Some(found) => (found.seeds.to_string(), found.failure.replace("\\n", " ")),
        None => ("-".to_owned(), "NOT FOUND".to_owned()),
    };
    let (bug, failure) = (format!("{bug:?}"), failure.chars().take(100).collect::<String>());
    println!("{bug:>20} {seeds:>5} seeds {:>5.1} s  {failure}", took.as_secs_f64());
}

#[test]
fn planted_bugs_are_found() {
    let from = number_from_env("PIAZZA_SIM_FROM", 0);
    let bugs: Vec<Bug> = match std::env::var("PIAZZA_PLANTED") {
        Ok(name) => vec![by_name(&name)],
        Err(_) => Bug::ALL.to_vec(),
    };
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let since = Instant::now();
                    let found = search(*bug, from);
                    show(*bug, found.as_ref(), since.elapsed());
                    rows.lock().expect("searches catch panics").push((*bug, found));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("searches catch panics");
    rows.sort_by_key(|(bug, _)| bugs.iter().position(|other| other == bug));
    let mut seeds: Vec<u64> =
        rows.iter().filter_map(|(_, found)| Some(found.as_ref()?.seeds)).collect();
    seeds.sort_unstable();
    println!(
        "{} of {} found, {:?} seeds at the median, in {:.0} s",
        seeds.len(),
        bugs.len(),
        seeds.get(seeds.len() / 2),
        began.elapsed().as_secs_f64()
    );
    let missed: Vec<Bug> =
        rows.iter().filter(|(_, found)| found.is_none()).map(|(bug, _)| *bug).collect();
    assert!(missed.is_empty(), "in {SEEDS_MAX} seeds nothing shows of {missed:?}");
}
