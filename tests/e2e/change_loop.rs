//! The membership changes under load, again and again, and in the midst of each change a server is
//! killed: the coordinator, one that is copied from, one that learns, or any. Each change ends in
//! one of its two rings; no acknowledged write is lost, and all copies of each key are equal.
//!
//! By hand: `PIAZZA_CHANGE_ROUNDS=30 cargo test change_loop -- --nocapture`.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, is_changing};
use super::copies;
use super::procs::{wait_for, wait_or};
use super::wire::{Conn, ask};
use super::workload::{self, Plan, Recorder};
use crate::check::seeded::{Seeded, from_env, number_from_env};
use crate::check::{durable, linear};

const NODES: usize = 5;
const REPLICAS: usize = 3;
/// Never more nodes than this.
const NODES_MAX: usize = 6;
/// So slowly that a change can be struck while it copies.
const COPY_BYTES_PER_S: u64 = 100_000;
/// Successful operations before each change: else the round shows nothing.
const OK_MIN: u64 = 200;
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// For a moment that may not come, since the change is over before.
const MOMENT_MAX: Duration = Duration::from_secs(5);
/// Between two looks whether an operator has to ask again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What is done to the membership.
#[derive(Debug, Clone)]
enum Change {
    /// A node dies, loses its place when it was silent for too long, and comes back.
    Silence(String),
    /// A node loses its place by order, and comes back at once.
    Evict(String),
    Add,
    Remove(String),
}

/// When a server is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Soon after the beginning, in milliseconds.
    Soon(u64),
    /// So many milliseconds after a ring with learners is in force.
    Learning(u64),
    /// The same after something was copied.
    Copying(u64),
}

#[derive(Debug, Clone, Copy)]
enum Whom {
    Coordinator,
    Source,
    Learner,
    Any,
}

/// What is heard of a change while it goes on.
struct Listener {
    conn: Conn,
    sources: Vec<String>,
    learners: Vec<String>,
    copied: bool,
}

impl Listener {
    /// Heartbeats come all the time, so that no wait for the next event is long.
    fn new(cluster: &Cluster) -> Self {
        let mut conn = Conn::open(cluster.addr()).expect("the cluster is at rest");
        let request = json!({"op": "subscribe", "topics": ["ring", "heartbeat"]});
        let reply = conn.call(&request).expect("an answer");
        assert_eq!(reply["ok"], true, "{reply}");
        Self { conn, sources: Vec::new(), learners: Vec::new(), copied: false }
    }

    /// Listens until the moment has come, the coordinator is gone, or it takes too long.
    fn wait(&mut self, moment: Moment) {
        let begin = Instant::now();
        let come = |listener: &Self| match moment {
            Moment::Soon(ms) => begin.elapsed() >= Duration::from_millis(ms),
            Moment::Learning(_) => !listener.learners.is_empty(),
            Moment::Copying(_) => listener.copied,
        };
        while !come(self) && begin.elapsed() < MOMENT_MAX {
            let Ok(event) = self.conn.receive() else { return };
            self.hear(&event);
        }
        if let Moment::Learning(ms) | Moment::Copying(ms) = moment {
            // Not a wait for anything: this is the draw of the moment.
            thread::sleep(Duration::from_millis(ms));
        }
    }

    fn hear(&mut self, event: &Value) {
        let name = |value: &Value| value.as_str().map(String::from);
        match event["event"].as_str() {
            Some("ring_epoch") => {
                let moves = event["moves"].as_array().into_iter().flatten();
                for moved in moves {
                    self.sources.extend(name(&moved["source"]));
                    self.learners.extend(name(&moved["gain_node"]));
                }
            }
            Some("transfer") => {
                self.copied = true;
                self.sources.extend(name(&event["from"]));
                self.learners.extend(name(&event["target"]));
            }
            _ => {}
        }
    }
}

struct Loop<'a> {
    cluster: &'a Cluster,
    random: Seeded,
    repeat: &'a str,
    /// Servers whose last death nobody asked for: the supervisor gives up what dies often in a row.
    unasked: BTreeSet<String>,
}

impl Loop<'_> {
    fn round(&mut self, round: u64) {
        let begin = Instant::now();
        let before = self.cluster.ring().names();
        let change = self.change(&before);
        let moment = self.moment(&change);
        let whom = *self.random.one_of(&[
            Whom::Coordinator,
            Whom::Coordinator,
            Whom::Source,
            Whom::Learner,
            Whom::Any,
        ]);
        let slowly = json!({"name": "copy_bytes_per_s", "value": COPY_BYTES_PER_S});
        self.order("set", slowly);
        let mut listener = Listener::new(self.cluster);
        match &change {
            Change::Silence(node) => self.cluster.kill(node),
            Change::Evict(node) => self.order("evict", json!({ "node": node })),
            Change::Add => self.order("add", json!({})),
            Change::Remove(node) => self.order("remove", json!({ "node": node })),
        }
        listener.wait(moment);
        let victim = self.strike(whom, &listener);
        let struck = begin.elapsed();
        if let Change::Silence(node) = &change {
            if self.random.chance(80) {
                self.until_gone(node);
            }
            let started = self.cluster.admin("start", node);
            assert!(started["ok"] == true || started["code"] == "already", "{node}: {started}");
        }
        self.until_at_rest(&format!("rest after round {round}, {change:?}, {victim} killed"));
        let after = self.cluster.ring().names();
        println!(
            "round {round}: {change:?}, {moment:?}: {victim} ({whom:?}) killed after {} ms; at rest \
             after {} ms: {after:?}",
            struck.as_millis(),
            begin.elapsed().as_millis()
        );
        let (came, went): (Vec<_>, Vec<_>) =
            (after.difference(&before).collect(), before.difference(&after).collect());
        let right = match &change {
            Change::Silence(_) | Change::Evict(_) => came.is_empty() && went.is_empty(),
            Change::Add => came.len() <= 1 && went.is_empty(),
            Change::Remove(node) => came.is_empty() && (went.is_empty() || went == [node]),
        };
        assert!(right, "{}: {change:?} led from {before:?} to {after:?}", self.repeat);
    }

    fn change(&mut self, names: &BTreeSet<String>) -> Change {
        let names: Vec<String> = names.iter().cloned().collect();
        let node = self.random.one_of(&names).clone();
        match self.random.below(4) {
            0 => Change::Silence(node),
            1 => Change::Evict(node),
            2 if names.len() < NODES_MAX => Change::Add,
            _ if names.len() > REPLICAS + 1 => Change::Remove(node),
            _ => Change::Add,
        }
    }

    fn moment(&mut self, change: &Change) -> Moment {
        // A silent node is evicted after a second.
        let soon_ms = if matches!(change, Change::Silence(_)) { 1_500 } else { 300 };
        match self.random.below(3) {
            0 => Moment::Soon(self.random.below(soon_ms)),
            1 => Moment::Learning(self.random.below(30)),
            _ => Moment::Copying(self.random.below(300)),
        }
    }

    /// Kills a server of that kind, or any that runs; its name.
    fn strike(&mut self, whom: Whom, heard: &Listener) -> String {
        let list = self.cluster.supervised();
        let procs = list["procs"].as_array().expect("a list").iter();
        let running = procs.filter(|proc| proc["state"] == "running");
        let all: Vec<&str> = running.filter_map(|proc| proc["name"].as_str()).collect();
        let wanted = |name: &str| match whom {
            Whom::Coordinator => name == "coordinator",
            Whom::Source => heard.sources.iter().any(|source| source == name),
            Whom::Learner => heard.learners.iter().any(|learner| learner == name),
            Whom::Any => true,
        };
        let mut choices: Vec<&str> = all.iter().copied().filter(|name| wanted(name)).collect();
        if choices.is_empty() {
            choices = all;
        }
        let victim = self.random.one_of(&choices).to_string();
        let pid = procs_pid(&list, &victim);
        let asked = !self.unasked.insert(victim.clone()) || self.random.chance(30);
        if asked {
            self.unasked.remove(&victim);
            let killed = self.cluster.admin("kill", &victim);
            assert!(killed["ok"] == true || killed["code"] == "already", "{victim}: {killed}");
            self.cluster.restart(&victim);
        } else if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = super::procs::sigkill(pid);
            // Until its supervisor has seen that, all seems to be at rest.
            wait_for(&format!("the end of {victim}; {}", self.repeat), WAIT_MAX, || {
                (procs_pid(&self.cluster.supervised(), &victim) != Some(pid)).then_some(())
            });
        }
        victim
    }

    /// Asks the coordinator, which takes it.
    fn order(&self, action: &str, more: Value) {
        let answer = self.asked(action, &more).expect("an answer");
        assert_eq!(answer["ok"], true, "{}: {action} {more}: {answer}", self.repeat);
    }

    fn asked(&self, action: &str, more: &Value) -> Option<Value> {
        let mut request = json!({"op": "admin", "action": action});
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        ask(self.cluster.addr(), &request)
    }

    /// Waits until a silent node has lost its place.
    fn until_gone(&self, node: &str) {
        wait_for(&format!("{node} to lose its place; {}", self.repeat), WAIT_MAX, || {
            let status = self.cluster.status().filter(is_active)?;
            let points = status["ring"]["points"].as_array()?;
            points.iter().all(|point| point["node"] != node).then_some(())
        });
    }

    /// Waits until all servers run, all that run are members, and nothing is on its way. Who waits
    /// to be a member, since the coordinator that was asked for it is gone, is added again.
    fn until_at_rest(&self, what: &str) {
        let mut asked = Instant::now();
        let rests = || self.at_rest(&mut asked);
        wait_or(WAIT_MAX, rests, || {
            let (status, list) = (self.cluster.status(), self.cluster.supervised());
            format!("{what}; {}: {status:?}\n{list}", self.repeat)
        });
    }

    fn at_rest(&self, asked: &mut Instant) -> Option<()> {
        let status = self.cluster.status().filter(is_active)?;
        let list = self.cluster.supervised();
        if is_changing(&status)? {
            return None;
        }
        let nodes = status["nodes"].as_array()?;
        let waits = |node: &Value| node["state"] == "joining" && node["id"].is_null();
        if nodes.iter().any(waits) && asked.elapsed() > ASK_AGAIN {
            *asked = Instant::now();
            self.asked("add", &json!({}));
        }
        let procs = list["procs"].as_array()?;
        let runs = procs.iter().all(|proc| proc["state"] == "running");
        let up = nodes.iter().all(|node| node["state"] == "up");
        let points = status["ring"]["points"].as_array()?.iter();
        let members: BTreeSet<&str> = points.filter_map(|point| point["node"].as_str()).collect();
        let all = nodes.len() == members.len() && procs.len() == members.len() + 1;
        (up && all && runs).then_some(())
    }
}

fn is_active(status: &Value) -> bool {
    status["coordinator"]["state"] == "active"
}

fn procs_pid(list: &Value, name: &str) -> Option<i32> {
    let proc = list["procs"].as_array()?.iter().find(|proc| proc["name"] == name)?;
    proc["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

#[test]
fn change_loop() {
    let (seed, repeat) = from_env("PIAZZA_CHANGE_SEED");
    let rounds = number_from_env("PIAZZA_CHANGE_ROUNDS", 3);
    println!("change_loop: {rounds} rounds, {repeat}");
    let repeat = format!("{repeat} PIAZZA_CHANGE_ROUNDS={rounds}");
    let flags = ["--evict-after", "1s", "--heartbeat-ms", "100", "--lease-ms", "500"];
    let mut cluster = Cluster::start("change-loop", NODES, REPLICAS, &flags);
    cluster.wait_healthy(None);
    let recorder = Recorder::new();
    let think = Duration::from_millis(3);
    let plan = Plan { seed, clients: 8, think, ..Plan::default() };
    let running = workload::start(cluster.addr(), &recorder, &plan);
    let random = Seeded::new(seed);
    let mut all = Loop { cluster: &cluster, random, repeat: &repeat, unasked: BTreeSet::new() };
    for round in 1..=rounds {
        let done = recorder.ok_count();
        let what = format!("{OK_MIN} successful operations in round {round}, {repeat}");
        wait_for(&what, WAIT_MAX, || (recorder.ok_count() - done >= OK_MIN).then_some(()));
        all.round(round);
    }
    let mut record = running.stop();
    let finals = workload::read_all(cluster.addr(), &recorder, &mut record.history);
    println!("operations: {record}");
    let lost = durable::check(&record.history, &finals);
    let first = lost.first().map(ToString::to_string).unwrap_or_default();
    assert!(lost.is_empty(), "{repeat}: {} keys are wrong; {first}", lost.len());
    if let Err(violation) = linear::check(&record.history) {
        panic!("{repeat}: {violation}");
    }
    let ring = cluster.ring();
    cluster.stop();
    let keys = copies::compare(&cluster.data(), &ring);
    let keys = keys.unwrap_or_else(|wrong| panic!("{repeat}: {wrong}"));
    println!("all {REPLICAS} copies of {keys} keys are equal");
}
