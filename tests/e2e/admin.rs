//! `piazza admin` on a real cluster: processes at the supervisor, membership at the coordinator,
//! and both ports by hand; `locate` beside it, which shows what became of the copies.

use std::path::Path;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::TempDir;
use super::ran::{Ran, piazza};
use super::wire::ask;

/// The state of `proc` as the supervisor lists it.
fn state(cluster: &Cluster, proc: &str) -> String {
    let list = cluster.supervised();
    let procs = list["procs"].as_array().expect("a list").iter();
    let found = procs.filter(|one| one["name"] == proc).map(|one| one["state"].as_str());
    found.flatten().next().expect("it is listed").to_owned()
}

/// Contract: "piazza admin
/// kill|stop|start|restart|pause|resume|evict|remove|add|rebalance|repair|cancel|set"
/// Contract: "[--dry-run] [--yes] [--no-wait]"
#[test]
fn admin() {
    let cluster = Cluster::start("admin", 3, 2, &[]);
    cluster.wait_healthy(None);
    let addr = cluster.addr().to_string();
    let data = cluster.data().to_string_lossy().into_owned();
    let at = ["--addr", addr.as_str()];
    let run = |arguments: &[&str]| piazza(&cluster, &[arguments, &at].concat());

    let killed = run(&["admin", "kill", "n2"]).ended(0);
    assert!(killed.out.starts_with("n2 (process ") && killed.out.contains("stays down"));
    assert_eq!(state(&cluster, "n2"), "dead");
    let again = run(&["admin", "kill", "n2", "--json"]).ended(1).object();
    assert_eq!(again["code"], "already");
    assert_eq!(run(&["admin", "stop", "n9", "--json"]).ended(2).object()["code"], "no_such_node");
    let started = run(&["admin", "start", "n2", "--json"]).ended(0).object();
    assert_eq!(
        (&started["ok"], started["pid"].as_i64()),
        (&json!(true), cluster.pid("n2").map(i64::from))
    );
    assert_eq!(run(&["admin", "start", "n2"]).ended(1).err.matches("runs").count(), 1);
    run(&["admin", "pause", "n1"]).ended(0);
    run(&["admin", "pause", "n1"]).ended(1);
    run(&["admin", "resume", "n1"]).ended(0);
    run(&["admin", "stop", "n3", "--no-wait"]).ended(0);
    run(&["admin", "restart", "n3", "--no-wait"]).ended(0);
    // The coordinator is down: the directory tells where the supervisor is, --addr cannot.
    run(&["admin", "kill", "coordinator", "-y"]).ended(0);
    assert!(run(&["admin", "start", "coordinator"]).ended(3).err.contains("--supervisor"));
    let by_dir = piazza(&cluster, &["admin", "start", "coordinator", "--dir", &data]);
    assert!(by_dir.ended(0).out.contains("is ready"));
    let nowhere = TempDir::new("no-cluster");
    let nowhere = ["--dir", nowhere.path().to_str().expect("text")];
    piazza(&cluster, &[&["admin", "kill", "n1"], &nowhere[..]].concat()).ended(2);
    cluster.wait_healthy(None);

    membership(&cluster, &run);
    run(&["admin", "dance"]).ended(2);
    by_hand(&cluster, &data);
    locate(&cluster, &run);
}

/// What changes the membership, without a change: `membership` is where they are made.
fn membership(cluster: &Cluster, run: &dyn Fn(&[&str]) -> Ran) {
    for (dry, name) in [
        (&["admin", "evict", "n1"][..], "evict"),
        (&["admin", "remove", "n1"], "remove"),
        (&["admin", "add"], "add"),
        (&["admin", "rebalance"], "rebalance"),
    ] {
        let dry = run(&[dry, &["--dry-run", "--yes"]].concat()).ended(0);
        assert!(dry.out.contains(&format!("{name} can be done, and was not yet")), "{dry:?}");
        for part in ["  copied: ", "  time: ", "  copies at risk: ", "  n1: "] {
            assert!(dry.out.contains(part), "{part}: {dry:?}");
        }
    }
    let changes = |status: Value| status["changes"].as_array().map(Vec::len);
    assert_eq!(cluster.status().and_then(changes), Some(0));
    let dry = run(&["admin", "repair", "--dry-run"]).ended(0);
    assert!(dry.out.contains("repair can be done"), "{dry:?}");
    let repair = run(&["admin", "repair", "--json"]).ended(0).objects();
    assert_eq!(repair.last().map(|last| &last["state"]), Some(&json!("done")), "{repair:?}");
    assert_eq!(run(&["admin", "cancel", "c7", "--json"]).ended(1).object()["code"], "already");
    run(&["admin", "remove", "n9", "--yes"]).ended(2);
    run(&["admin", "set", "colour", "1"]).ended(2);
    run(&["admin", "set", "copy_bytes_per_s", "0"]).ended(2);
    let evict_after = || cluster.status().map(|status| status["cluster"]["evict_after_ms"].clone());
    for (value, shown) in [("60000", json!(60_000)), ("0", Value::Null)] {
        let dry = run(&["admin", "set", "evict_after_ms", value, "--dry-run"]).ended(0);
        assert_ne!(evict_after(), Some(shown.clone()), "{dry:?}");
        let set = run(&["admin", "set", "evict_after_ms", value]).ended(0);
        assert!(set.out.contains("it holds until the coordinator ends"), "{set:?}");
        assert_eq!(evict_after(), Some(shown));
    }
}

/// The same ports without our command.
fn by_hand(cluster: &Cluster, data: &str) {
    let client = |request: Value| ask(cluster.addr(), &request).expect("an answer");
    let evict = client(json!({"op": "admin", "action": "evict", "node": "n9", "id": 5}));
    assert_eq!((&evict["code"], &evict["id"]), (&json!("no_such_node"), &json!(5)));
    let scrub = client(json!({"op": "admin", "action": "scrub"}));
    assert!(scrub["change"].is_string(), "{scrub}");
    let wrong = client(json!({"op": "admin", "action": "kill", "proc": "n1"}));
    assert_eq!((&wrong["code"], &wrong["field"]), (&json!("bad_request"), &json!("proc")));
    assert_eq!(client(json!({"op": "auth", "token": "x"}))["role"], "admin");
    assert_eq!(client(json!({"op": "auth"}))["field"], "token");

    let text = std::fs::read_to_string(Path::new(data).join("cluster.json")).expect("a file");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let address = file["addresses"]["supervisor"].as_str().and_then(|text| text.parse().ok());
    let address = address.expect("an address");
    let supervisor = |request: Value| ask(address, &request).expect("an answer");
    assert_eq!(supervisor(json!({"op": "auth", "token": "x"}))["role"], "admin");
    let logs = supervisor(json!({"op": "admin", "action": "logs", "proc": "n2", "lines": 2}));
    let lines = logs["lines"].as_array().expect("lines");
    assert!(lines.len() == 2 && lines[0].as_str().is_some_and(|line| line.contains("cluster::")));
    let nobody = supervisor(json!({"op": "admin", "action": "logs", "proc": "../n2"}));
    assert_eq!(nobody["code"], "no_such_node");
    let evict = supervisor(json!({"op": "admin", "action": "evict", "node": "n1"}));
    assert_eq!(evict["code"], "bad_request");
}

/// Contract: "· locate ·"
fn locate(cluster: &Cluster, run: &dyn Fn(&[&str]) -> Ran) {
    let put = ask(cluster.addr(), &json!({"op": "put", "key": "where", "value": "v"}));
    let version = put.expect("an answer")["version"].clone();
    let holders = cluster.locate("where");
    let located = run(&["locate", "where", "--copies", "--json"]).ended(0).object();
    assert_eq!(located["nodes"], json!(holders));
    assert_eq!(located["hash"], format!("{:016x}", xxhash_rust::xxh3::xxh3_64(b"where")));
    let copies = located["copies"].as_array().expect("copies");
    for ((copy, holder), role) in copies.iter().zip(&holders).zip(["primary", "replica"]) {
        let told = ["node", "role", "state", "version", "undecided"].map(|name| &copy[name]);
        let expected = [json!(holder), json!(role), json!("up"), version.clone(), json!(0)];
        assert_eq!(told, expected.each_ref(), "{copy}");
        assert!(copy["cached"].is_boolean(), "{copy}");
    }
    assert!(run(&["locate", "where"]).ended(0).out.contains(&holders.join(", ")));
    run(&["locate", ""]).ended(2);
    cluster.kill(&holders[1]);
    let gone = run(&["locate", "where", "--copies", "--json"]).ended(0).object();
    assert_eq!(gone["copies"][0]["version"], version);
    assert_eq!(gone["copies"][1]["version"], Value::Null);
    let none = run(&["locate", "nobody", "--copies", "--json"]).ended(0).object();
    assert!(none["copies"].as_array().expect("copies").iter().all(|c| c["version"].is_null()));
}
