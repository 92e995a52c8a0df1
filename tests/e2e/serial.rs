//! A cluster that carries out one update at a time.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::piazza;
use super::wire::{Conn, Reply, ask};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn answer(cluster: &Cluster, request: &Value) -> Value {
    ask(cluster.addr(), request).expect("an answer")
}

/// A key that lies on this node.
fn key_of(cluster: &Cluster, node: &str) -> String {
    let ring = cluster.ring();
    let mut keys = (0..1_000).map(|n| format!("key {n}"));
    keys.find(|key| ring.holders(key) == [node]).expect("one of many")
}

/// Contract: "[--serial-updates]"
#[test]
fn a_silent_node_holds_up_all_updates() {
    let flags = ["--serial-updates", "--heartbeat-ms", "5000", "--lease-ms", "30000"];
    let mut cluster = Cluster::start("serial", 3, 1, &flags);
    cluster.wait_healthy(None);
    let (far, near) = (key_of(&cluster, "n2"), key_of(&cluster, "n3"));
    let many: Vec<_> = (0..8)
        .map(|client| {
            let addr = cluster.addr();
            std::thread::spawn(move || {
                let mut conn = Conn::open(addr).expect("it listens");
                for n in 0..50 {
                    let reply = conn.put(&format!("{client} {n}"), "v");
                    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
                }
            })
        })
        .collect();
    many.into_iter().for_each(|client| client.join().expect("all are answered"));
    let put = |key: &str, value: &str, timeout_ms: u64| json!({"op": "put", "key": key, "value": value, "timeout_ms": timeout_ms});
    assert_eq!(answer(&cluster, &put(&near, "before", 5_000))["ok"], true);

    // Long before anybody takes it for silent.
    assert_eq!(cluster.admin("pause", "n2")["ok"], true);
    let mut waits = Conn::open(cluster.addr()).expect("it listens");
    let line = format!("{}\n", put(&far, "late", 60_000));
    waits.send(line).expect("it is open");
    wait_for("an undecided update", WAIT_MAX, || {
        let status = answer(&cluster, &json!({"op": "status"}));
        (status["txns"]["open"] == 1).then_some(())
    });
    let refused = answer(&cluster, &put(&near, "after", 300));
    assert_eq!(refused["code"], "timeout", "nothing was sent: {refused}");
    assert_eq!(answer(&cluster, &json!({"op": "get", "key": near}))["value"], "before");
    assert_eq!(cluster.admin("resume", "n2")["ok"], true);
    assert_eq!(waits.receive().expect("an answer")["ok"], true);
    assert_eq!(answer(&cluster, &put(&near, "after", 60_000))["ok"], true);

    let data = cluster.data().to_string_lossy().into_owned();
    let words = |arguments: &[&str]| {
        piazza(&cluster, &[arguments, &["--dir", &data]].concat()).ended(0).out
    };
    assert!(words(&["status"]).contains("one update at a time"));
    assert!(words(&["explain", "put", "k", "v"]).contains("one update at a time"));
    let file = std::fs::read_to_string(cluster.data().join("cluster.json")).expect("a file");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    assert_eq!(file["serial_updates"], true);
    cluster.stop();
}
