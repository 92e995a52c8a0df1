//! Everything is killed at once under load, at a random moment, again and again on one directory:
//! every acknowledged write is there afterwards, and the whole history is linearizable.
//!
//! By hand: `PIAZZA_KILL_ALL_ROUNDS=10 cargo test kill_everything_under_load -- --nocapture`.

use std::thread;
use std::time::Duration;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::workload::{self, Plan, Record, Recorder};
use crate::check::seeded::{Seeded, from_env, number_from_env};
use crate::check::{durable, linear};

/// Successful operations before each kill, at least: else the round shows nothing.
const OK_MIN: u64 = 300;
const OK_MAX_WAIT: Duration = Duration::from_secs(120);

/// Contract: "An update answered `ok` is on stable storage on every one of its replicas"
#[test]
fn kill_everything_under_load() {
    let (seed, repeat) = from_env("PIAZZA_KILL_ALL_SEED");
    let rounds = number_from_env("PIAZZA_KILL_ALL_ROUNDS", 2);
    println!("kill_everything_under_load: {rounds} rounds, {repeat}");
    let mut random = Seeded::new(seed);
    let mut cluster = Cluster::start("kill-all", 3, 2, &[]);
    let recorder = Recorder::new();
    let mut all = Record::default();
    for round in 1..=rounds {
        let before = recorder.ok_count();
        let plan = Plan { seed: random.bits(), clients: 16, ..Plan::default() };
        let running = workload::start(cluster.addr(), &recorder, &plan);
        wait_for("the workload under way", OK_MAX_WAIT, || {
            (recorder.ok_count() - before > OK_MIN).then_some(())
        });
        // Not a wait for anything: this is the draw of the moment.
        thread::sleep(Duration::from_micros(random.below(1_000_000)));
        cluster.kill_everything();
        let left = cluster.pids();
        assert!(left.is_empty(), "processes {left:?} survived a SIGKILL to all");
        all.append(running.stop());
        cluster.start_again();
        cluster.wait_healthy(None);

        let finals = workload::read_all(cluster.addr(), &recorder, &mut all.history);
        let lost = durable::check(&all.history, &finals);
        let first = lost.first().map(ToString::to_string).unwrap_or_default();
        assert!(lost.is_empty(), "round {round}, {repeat}: {} keys wrong; {first}", lost.len());
        if let Err(violation) = linear::check(&all.history) {
            panic!("round {round}, {repeat}: {violation}");
        }
        println!("round {round}: {} keys read again; so far {all}", finals.len());
    }
}
