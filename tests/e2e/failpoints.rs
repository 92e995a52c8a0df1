//! Nodes end at each step of making something durable, and see errors at some, under load: every
//! acknowledged write is there afterwards, and the whole history is linearizable.
//!
//! Segments and checkpoints are small here. A few points are armed at a time; when all were met,
//! everything is killed and started again.

use std::fs;
use std::time::Duration;

use cluster::storage::failpoint::POINTS;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::workload::{self, Plan, Record, Recorder};
use crate::check::seeded::from_env;
use crate::check::{durable, linear};

/// In so many rounds each point ends a process once. And one point a round is an error: after that
/// a node stays down until somebody asks for it, and with one down the others go on.
const ROUNDS: usize = 5;
const MET_MAX: Duration = Duration::from_secs(120);
/// Successful operations in each round, at least.
const OK_MIN: u64 = 100;

#[test]
fn failpoints_at_every_durable_step_lose_nothing_acknowledged() {
    if std::env::var_os("PIAZZA_BIN").is_some() {
        println!("skipped: a binary from elsewhere may be one without failpoints");
        return;
    }
    let (seed, repeat) = from_env("PIAZZA_FAILPOINTS_SEED");
    println!("failpoints: {repeat}");
    let mut cluster = Cluster::start_to_fail("failpoints", 3, 2);
    let directory = cluster.failpoints();
    let recorder = Recorder::new();
    let mut all = Record::default();
    for round in 0..ROUNDS {
        // Spread, so that a round has points of all kinds.
        let points = POINTS.iter().skip(round).step_by(ROUNDS);
        let mut points: Vec<(&str, &str)> = points.map(|point| (*point, "abort")).collect();
        points.push((POINTS[round + 1], "an error"));
        let plan = Plan { seed: seed ^ round as u64, clients: 16, ..Plan::default() };
        let before = recorder.ok_count();
        let running = workload::start(cluster.addr(), &recorder, &plan);
        let what = format!("work in round {round}");
        wait_for(&what, MET_MAX, || (recorder.ok_count() > before + OK_MIN).then_some(()));
        for (point, action) in &points {
            // Under its name when it is whole: a node may look at any moment.
            let new = directory.join("new");
            fs::write(&new, action).expect("a file");
            fs::rename(&new, directory.join(point)).expect("its name");
        }
        if points.iter().any(|(point, _)| point.starts_with("state.")) {
            // A new coordinator is promised something by every node, in its state file.
            cluster.sigkill("coordinator");
        }
        wait_for(&format!("{points:?} being met"), MET_MAX, || {
            let left = fs::read_dir(&directory).expect("the directory").count();
            (left == 0).then_some(())
        });
        cluster.kill_everything();
        all.append(running.stop());
        cluster.start_again();
        cluster.wait_healthy(None);
        let finals = workload::read_all(cluster.addr(), &recorder, &mut all.history);
        let lost = durable::check(&all.history, &finals);
        let first = lost.first().map(ToString::to_string).unwrap_or_default();
        assert!(lost.is_empty(), "{points:?}, {repeat}: {} keys wrong; {first}", lost.len());
        println!("{points:?}: {} keys read again; so far {all}", finals.len());
    }
    if let Err(violation) = linear::check(&all.history) {
        panic!("{repeat}: {violation}");
    }
}
