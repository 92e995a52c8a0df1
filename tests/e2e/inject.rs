//! Faults on order, at real nodes: what a client meets of each, what is told of it, and that every
//! promise holds all the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::piazza;
use super::wire::{Conn, Reply, ask};

/// Events to read at most until the one that is waited for: far more than come meanwhile.
const EVENTS_MAX: usize = 50_000;
/// Far longer than any recovery takes.
const LONG_MS: u64 = 60_000;

/// One subscription, at either port.
struct Listener(Conn);

impl Listener {
    fn new(addr: std::net::SocketAddr, topics: &[&str]) -> (Self, Value) {
        let mut conn = Conn::open(addr).expect("it is ready");
        let reply = conn.call(&json!({"op": "subscribe", "topics": topics})).expect("an answer");
        assert_eq!(reply["ok"], true, "{reply}");
        let snapshot = conn.receive().expect("a snapshot");
        assert_eq!(snapshot["event"], "snapshot", "{snapshot}");
        (Self(conn), snapshot)
    }

    /// Listens until this comes.
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Vec::new();
        for _ in 0..EVENTS_MAX {
            let event = self.0.receive().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_ne!(event["event"], "lagged", "{event}");
            if is(&event) {
                return event;
            }
            last.push(event);
        }
        panic!("{what} did not come: {:#?}", last.iter().rev().take(20).collect::<Vec<_>>());
    }
}

/// A cluster whose nodes take orders, a key, and who holds it.
struct Lab {
    cluster: Cluster,
    key: String,
    /// The key's first replica: it has the faults.
    victim: String,
    supervisor: Listener,
    coordinator: Listener,
    client: Conn,
}

impl Lab {
    fn start(name: &str) -> Self {
        let cluster = Cluster::start(name, 3, 2, &["--lab", "--heartbeat-ms", "200"]);
        cluster.wait_healthy(None);
        let (supervisor, snapshot) = Listener::new(cluster.supervisor_addr(), &["proc", "admin"]);
        assert_eq!(snapshot["lab"], true, "{snapshot}");
        assert_eq!(snapshot["procs"].as_array().map(Vec::len), Some(4), "{snapshot}");
        let topics = ["member", "heartbeat", "txn"];
        let (coordinator, snapshot) = Listener::new(cluster.addr(), &topics);
        assert_eq!(snapshot["status"]["lab"]["injected"], json!({}), "{snapshot}");
        let key = "fountain".to_owned();
        let victim = cluster.locate(&key).remove(0);
        let client = Conn::open(cluster.addr()).expect("the cluster is ready");
        Self { cluster, key, victim, supervisor, coordinator, client }
    }

    /// Orders a fault of the victim.
    fn inject(&mut self, fault: &str, value: Value, count: u64) {
        let mut request = json!({"op": "admin", "action": "inject", "proc": self.victim,
            "fault": fault, "count": count});
        if !value.is_null() {
            request["value"] = value.clone();
        }
        let answer = ask(self.cluster.supervisor_addr(), &request).expect("an answer");
        assert_eq!(answer["ok"], true, "{request}: {answer}");
        let told = self.supervisor.until("the order", |event| event["event"] == "inject");
        let expected = json!([self.victim, fault, count, count]);
        assert_eq!(json!([told["proc"], told["fault"], told["count"], told["left"]]), expected);
        assert_eq!(told["value"], value, "{told}");
    }

    /// Waits until the last fault is told to be over.
    fn over(&mut self, fault: &str) {
        self.supervisor.until("the end of the fault", |event| {
            event["event"] == "inject" && event["fault"] == fault && event["left"] == 0
        });
        let procs = self.cluster.supervised()["procs"].clone();
        let victim = procs.as_array().into_iter().flatten().find(|p| p["name"] == *self.victim);
        assert_eq!(victim.map(|proc| &proc["injected"]), Some(&json!([])), "{procs}");
    }

    fn put(&mut self, value: &str) -> Value {
        let put = json!({"op": "put", "key": self.key, "value": value, "timeout_ms": LONG_MS});
        self.client.call(&put).expect("an answer")
    }

    fn put_ok(&mut self, value: &str) {
        let answer = self.put(value);
        assert_eq!(answer["ok"], true, "{answer}");
        let Reply::Ok(got) = self.client.get(&self.key) else { panic!("no value") };
        assert_eq!(got["value"], value);
    }

    /// Begins a put, and waits until the victim stands still.
    fn put_until_it_halts(&mut self, value: &str) {
        let put = json!({"op": "put", "key": self.key, "value": value, "timeout_ms": LONG_MS});
        self.client.send(format!("{put}\n")).expect("the coordinator lives");
        let victim = self.victim.clone();
        self.supervisor.until("the halt", |event| {
            event["event"] == "proc" && event["name"] == *victim && event["state"] == "paused"
        });
    }

    fn node(&self) -> Option<Value> {
        let status = self.cluster.status()?;
        let nodes = status["nodes"].as_array()?;
        nodes.iter().find(|node| node["name"] == *self.victim).cloned()
    }
}

/// Contract: "`inject {proc,fault,count}` with `refuse_prepare`, `sync_delay_ms`, `drop_votes`,
/// `drop_heartbeats`"
/// Contract: "rebalance|repair|cancel|set|inject"
/// Contract: "`inject {...}`"
/// Contract: "[--lab]"
#[test]
fn injected_refusals_delays_and_losses() {
    let mut lab = Lab::start("inject");
    let (victim, key) = (lab.victim.clone(), lab.key.clone());
    lab.put_ok("before");

    lab.inject("refuse_prepare", Value::Null, 1);
    let refused = lab.put("refused");
    assert_eq!((&refused["code"], &refused["reason"]), (&json!("aborted"), &json!("injected")));
    lab.over("refuse_prepare");
    lab.put_ok("after a refusal");

    lab.inject("sync_delay_ms", json!(300), 1);
    wait_for("the fault in the status", Duration::from_secs(60), || {
        let injected = lab.cluster.status()?["lab"]["injected"][&victim].clone();
        let expected = json!([{"fault": "sync_delay_ms", "value": 300, "count": 1, "left": 1}]);
        (injected == expected).then_some(())
    });
    lab.put_ok("slowly");
    let slow = lab.coordinator.until("the slow update", |event| {
        let vote = event["votes"].as_array().into_iter().flatten().find(|v| v["node"] == *victim);
        let sync_us = vote.and_then(|vote| vote["node_us"]["sync"].as_u64());
        event["event"] == "txn" && sync_us >= Some(300_000)
    });
    assert_eq!((&slow["key"], &slow["outcome"]), (&json!(key), &json!("committed")), "{slow}");
    lab.over("sync_delay_ms");

    lab.inject("drop_votes", Value::Null, 1);
    lab.put_ok("in spite of a lost vote");
    lab.over("drop_votes");
    lab.coordinator.until("the link that is made anew", |event| {
        event["event"] == "link" && event["peer"] == *victim && event["state"] == "lost"
    });
    lab.cluster.wait_healthy(None);

    lab.inject("drop_heartbeats", Value::Null, 4);
    lab.coordinator.until("a missed heartbeat", |event| {
        event["event"] == "heartbeat_missed" && event["node"] == *victim
    });
    lab.over("drop_heartbeats");

    let run = |arguments: &[&str]| {
        let addr = lab.cluster.addr().to_string();
        let all = [&["admin", "inject", &victim], arguments, &["--addr", &addr]].concat();
        piazza(&lab.cluster, &all)
    };
    let ordered = run(&["sync_delay_ms", "--value", "50", "--count", "7"]).ended(0);
    assert!(ordered.out.contains("on order"), "{ordered:?}");
    let status = piazza(&lab.cluster, &["status", "--addr", &lab.cluster.addr().to_string()]);
    assert!(status.ended(0).out.contains("sync_delay_ms 50"), "it is shown to a person");
    let back = run(&["sync_delay_ms", "--value", "50", "--count", "0", "--json"]).ended(0);
    assert_eq!(back.object()["action"], "inject");
    run(&["sync_delay_ms"]).ended(2);
    run(&["explode"]).ended(2);
    lab.put_ok("after it all");
}

/// Contract: "`stop_after: append|sync|vote`"
/// Contract: "It tells the coordinator of kills and pauses, as a hint for display only"
/// Contract: "plus `paused:true` where the supervisor says so"
#[test]
fn a_node_stops_after_each_step_as_ordered() {
    let mut lab = Lab::start("stop-after");
    let victim = lab.victim.clone();
    lab.put_ok("before");

    // Its vote is out: the update is committed, and the next ones are refused until it goes on.
    lab.inject("stop_after", json!("vote"), 1);
    lab.put_until_it_halts("voted");
    assert_eq!(lab.client.receive().expect("an answer")["ok"], true);
    // Its silence may be told before the supervisor has said why.
    lab.coordinator.until("the silent node, and that it stands still", |event| {
        let silent = event["event"] == "member_state" && event["to"] != "up";
        silent && event["node"] == *victim && event["paused"] == true
    });
    assert_eq!(lab.node().map(|node| node["paused"].clone()), Some(json!(true)));
    assert_eq!(lab.client.put("fountain", "refused"), Reply::Refused("replica_down".into()));
    assert_eq!(lab.cluster.admin("resume", &victim)["ok"], true);
    lab.cluster.wait_healthy(None);
    lab.put_ok("after a vote");

    // It is synced and nobody has heard of it: the update waits, and goes on with the node.
    lab.inject("stop_after", json!("sync"), 1);
    lab.put_until_it_halts("synced");
    assert_eq!(lab.cluster.admin("resume", &victim)["ok"], true);
    assert_eq!(lab.client.receive().expect("an answer")["ok"], true);
    lab.cluster.wait_healthy(None);

    // It is in the log and not synced: whether a restart finds it, one of both is told and kept.
    lab.inject("stop_after", json!("append"), 1);
    lab.put_until_it_halts("appended");
    lab.cluster.restart(&victim);
    let answer = lab.client.receive().expect("an answer");
    assert!(answer["ok"] == true || answer["code"] == "aborted", "{answer}");
    let expected = if answer["ok"] == true { "appended" } else { "synced" };
    let Reply::Ok(got) = lab.client.get("fountain") else { panic!("no value") };
    assert_eq!(got["value"], expected);
    lab.cluster.wait_healthy(None);
    assert_eq!(lab.node().map(|node| node["paused"].clone()), Some(Value::Null));

    // A kill is told with who asked for it, to the supervisor's listeners and in the status.
    lab.cluster.kill(&victim);
    let killed = lab.supervisor.until("the kill", |event| {
        event["event"] == "proc"
            && event["name"] == *victim
            && event["by"].is_string()
            && event["state"] == "killed"
            && event["cause"].is_u64()
    });
    assert_eq!(killed["signal"], 9, "{killed}");
    wait_for("the hint", Duration::from_secs(60), || {
        let hint = lab.node()?["hint"].as_str()?.to_owned();
        hint.starts_with("killed by ").then_some(())
    });
    // A new coordinator is told again.
    lab.cluster.restart("coordinator");
    wait_for("the hint again", Duration::from_secs(60), || lab.node()?["hint"].as_str().map(drop));
    lab.cluster.restart(&victim);
    lab.cluster.wait_healthy(None);
}
