//! Servers are killed one after the other under load, each time once the cluster is whole again:
//! the history stays linearizable, and keys that do not live on the killed node never wait long.
//!
//! By hand: `PIAZZA_KILL_ROUNDS=60 cargo test kill_loop -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::workload::{self, Plan, Record, Recorder};
use crate::check::seeded::{Seeded, from_env, number_from_env};
use crate::check::{durable, linear};

/// Successful operations that each round needs, before the kill and again until its end.
const OK_MIN: u64 = 100;
/// For a machine that stalls; what is usual is printed.
const OK_MAX_WAIT: Duration = Duration::from_secs(60);
/// A hundred times what is wanted: machines stall.
const STALL_MAX: Duration = Duration::from_secs(20);
/// Keys in each group that is watched for stalls.
const GROUP_KEYS: usize = 8;

/// A time in which a server was down or coming back.
struct Window {
    /// `None`: the coordinator.
    node: Option<String>,
    from: u64,
    until: u64,
}

#[test]
fn kill_loop() {
    let (seed, repeat) = from_env("PIAZZA_KILL_SEED");
    let rounds = number_from_env("PIAZZA_KILL_ROUNDS", 20);
    println!("kill_loop: {rounds} rounds, {repeat}");
    let mut random = Seeded::new(seed);
    let cluster = Cluster::start("kill-loop", 5, 2, &[]);
    cluster.wait_healthy(None);
    let nodes = cluster.node_names();
    let groups = groups(&cluster);
    let recorder = Recorder::new();
    let keys = groups.values().cloned().collect();
    let think = Duration::from_millis(2);
    let plan = Plan { seed, clients: 12, think, groups: keys };
    let running = workload::start(cluster.addr(), &recorder, &plan);

    let mut windows = Vec::new();
    let mut unasked: BTreeSet<String> = BTreeSet::new();
    for round in 1..=rounds {
        wait_ok(&recorder, round);
        let node = (!random.chance(30)).then(|| random.one_of(&nodes).clone());
        let proc = node.as_deref().unwrap_or("coordinator");
        let before = cluster.pid(proc);
        let from = recorder.now();
        // The supervisor gives up what dies five times in a row, each soon after its start: a
        // deliberate restart in between is what it forgives.
        let deliberate = random.chance(40) || !unasked.insert(proc.to_owned());
        if deliberate {
            unasked.remove(proc);
            cluster.kill(proc);
            cluster.restart(proc);
        } else {
            cluster.sigkill(proc);
        }
        cluster.wait_healthy(before);
        let until = recorder.now();
        let how = if deliberate { "kill and restart" } else { "SIGKILL" };
        println!("round {round}: {how} {proc}, whole again after {} ms", (until - from) / 1000);
        windows.push(Window { node, from, until });
    }
    wait_ok(&recorder, rounds);
    let mut record = running.stop();
    let finals = workload::read_all(cluster.addr(), &recorder, &mut record.history);
    report(&record, &windows, &groups);
    let lost = durable::check(&record.history, &finals);
    assert!(lost.is_empty(), "{repeat}: {} keys are wrong; {}", lost.len(), lost[0]);
    if let Err(violation) = linear::check(&record.history) {
        panic!("{repeat}: {violation}");
    }
    let (unaffected, _) = stalls(&record, &windows, &groups);
    assert!(unaffected < STALL_MAX, "{repeat}: unaffected keys stood for {unaffected:?}");
}

/// A loop in which nothing goes on shows nothing: waits until enough does, and fails if it stays
/// quiet.
fn wait_ok(recorder: &Recorder, round: u64) {
    let before = recorder.ok_count();
    let what = format!("{OK_MIN} successful operations in round {round}");
    wait_for(&what, OK_MAX_WAIT, || (recorder.ok_count() - before >= OK_MIN).then_some(()));
}

/// Keys by the nodes that hold them.
fn groups(cluster: &Cluster) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for number in 0..GROUP_KEYS * 20 {
        let key = format!("group-{number}");
        let mut nodes = cluster.locate(&key);
        nodes.sort();
        let keys = groups.entry(nodes).or_default();
        if keys.len() < GROUP_KEYS {
            keys.push(key);
        }
    }
    groups
}

/// The longest stalls while nodes were down: of groups without the node, and of those with it.
fn stalls(
    record: &Record,
    windows: &[Window],
    groups: &BTreeMap<Vec<String>, Vec<String>>,
) -> (Duration, Duration) {
    let (mut unaffected, mut affected) = (Duration::ZERO, Duration::ZERO);
    for window in windows {
        let Some(node) = &window.node else { continue };
        for (group, nodes) in groups.keys().enumerate() {
            let stall = record.longest_stall(Some(group), window.from, window.until);
            let class = if nodes.contains(node) { &mut affected } else { &mut unaffected };
            *class = stall.max(*class);
        }
    }
    (unaffected, affected)
}

fn report(record: &Record, windows: &[Window], groups: &BTreeMap<Vec<String>, Vec<String>>) {
    let (unaffected, affected) = stalls(record, windows, groups);
    let coordinator = windows.iter().filter(|window| window.node.is_none());
    let coordinator =
        coordinator.map(|window| record.longest_stall(None, window.from, window.until));
    println!("operations: {record}");
    println!("longest stall, a node down, keys elsewhere: {unaffected:?}");
    println!("longest stall, a node down, its own keys:   {affected:?}");
    println!("longest stall, the coordinator down:        {:?}", coordinator.max());
}
