//! A node has no space for what it is to hold: the change of the membership is paused and says why,
//! can be cancelled, and goes on by itself when there is space. Nobody ends for that, and updates go
//! on meanwhile.
//!
//! The disk is filled as in `disk_full`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::cluster::{Cluster, is_open};
use super::disk_full::{WAIT_MAX, fill, move_to_tmpfs, where_it_may_mount};
use super::procs::{TempDir, wait_for};
use super::ran::piazza;
use super::wire::{Conn, Reply};

const KEYS: usize = 100;
const VALUE_BYTES: usize = 2_000;

#[test]
fn a_target_without_space_pauses_the_change_until_there_is_some() {
    let name = "e2e::paused::a_target_without_space_pauses_the_change_until_there_is_some";
    where_it_may_mount(name, fill_and_free);
}

fn fill_and_free() {
    let files = TempDir::new("paused-disk");
    let mut cluster = Cluster::start("paused", 3, 2, &[]);
    cluster.wait_healthy(None);
    let names = cluster.node_names();
    let (full, leaves) = (names[0].clone(), names[2].clone());
    cluster.kill_everything();
    move_to_tmpfs(&cluster.data().join(&full), files.path());
    cluster.start_again();
    cluster.wait_healthy(None);
    let pid = cluster.pid(&full);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    put_all(&mut conn, "1");

    let ballast = files.path().join("ballast");
    fill(&ballast);
    let change = remove(&mut conn, &leaves);
    paused(&cluster, &change, &full);
    told(&cluster, &full);
    // There is space in the log: nobody need wait for the rest.
    put_all(&mut conn, "2");
    let cancel = json!({"op": "admin", "action": "cancel", "change": change});
    let answer = conn.call(&cancel).expect("an answer");
    let note = answer["note"].as_str().unwrap_or_default();
    assert!(note.contains("stays and gets its part back"), "{answer}");
    ended(&cluster, &change, "cancelled");
    assert!(cluster.ring().names().contains(&leaves), "it has stayed");
    read_back(&mut conn, "2");

    // What failed lately is refused; once it is known to have worked again, it is not.
    fs::remove_file(&ballast).expect("the ballast");
    let change = wait_for("the removal to be taken", WAIT_MAX, || {
        let answer = conn.call(&removal(&leaves)).expect("an answer");
        answer["change"].as_str().map(str::to_owned)
    });
    ended(&cluster, &change, "done");
    assert!(!cluster.ring().names().contains(&leaves), "it has left");
    put_all(&mut conn, "3");

    // Again, and this time there is space while it waits.
    fill(&ballast);
    let answer = conn.call(&json!({"op": "admin", "action": "add"})).expect("an answer");
    let added = answer["change"].as_str().expect("a change").to_owned();
    ended(&cluster, &added, "done");
    let last = cluster.ring().names().pop_last().expect("a node");
    let change = remove(&mut conn, &last);
    paused(&cluster, &change, &full);
    fs::remove_file(&ballast).expect("the ballast");
    ended(&cluster, &change, "done");
    read_back(&mut conn, "3");
    assert_eq!(cluster.pid(&full), pid, "the same process");
    drop(cluster);
    let _ = std::process::Command::new("umount").arg(files.path()).status();
}

fn removal(node: &str) -> Value {
    json!({"op": "admin", "action": "remove", "node": node})
}

/// Asks for a removal; its name.
fn remove(conn: &mut Conn, node: &str) -> String {
    let answer = conn.call(&removal(node)).expect("an answer");
    answer["change"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn state(cluster: &Cluster, change: &str) -> Option<Value> {
    let status = cluster.status()?;
    let all = status["changes"].as_array()?;
    all.iter().find(|one| one["change"] == change).cloned()
}

/// Waits until a change says that a node has no space.
fn paused(cluster: &Cluster, change: &str, node: &str) {
    let shown = wait_for("the change to be paused", WAIT_MAX, || {
        state(cluster, change).filter(|shown| shown["reason"].is_string())
    });
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with(&format!("{node} has no space on its disk")), "{shown}");
    assert_eq!(shown["state"], "running", "{shown}");
    let transfers = shown["transfers"].as_array().expect("a list");
    assert!(transfers.iter().any(|told| told["state"] == "paused"), "{shown}");
}

fn ended(cluster: &Cluster, change: &str, how: &str) {
    let shown = wait_for(&format!("{change} to be {how}"), WAIT_MAX, || {
        state(cluster, change).filter(|shown| !is_open(shown))
    });
    assert_eq!(shown["state"], how, "{shown}");
}

/// People are told by the command, and who subscribes now by the snapshot.
fn told(cluster: &Cluster, node: &str) {
    let mut listener = Conn::open(cluster.addr()).expect("the cluster is ready");
    let subscribe = json!({"op": "subscribe", "topics": ["ring"]});
    assert_eq!(listener.call(&subscribe).expect("an answer")["ok"], true);
    let snapshot = listener.receive().expect("a snapshot");
    let transfers = snapshot["transfers"].as_array().expect("a list");
    let paused = |told: &Value| told["state"] == "paused" && told["target"] == node;
    assert!(transfers.iter().any(paused), "{snapshot}");
    let ran = piazza(cluster, &["status", "--dir", text(&cluster.data())]);
    let words = format!("{node} has no space on its disk for what it is to hold: free some there");
    assert!(ran.out.contains(&words) && ran.out.contains("paused"), "{ran:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn value(round: &str, number: usize) -> String {
    format!("{round}-{number}-{}", "x".repeat(VALUE_BYTES))
}

fn put_all(conn: &mut Conn, round: &str) {
    for number in 0..KEYS {
        match conn.put(&format!("key-{number}"), &value(round, number)) {
            Reply::Ok(_) => {}
            other => panic!("put {number}: {other:?}"),
        }
    }
}

fn read_back(conn: &mut Conn, round: &str) {
    for number in 0..KEYS {
        match conn.get(&format!("key-{number}")) {
            Reply::Ok(answer) => assert!(answer["value"] == *value(round, number), "{number}"),
            other => panic!("get {number}: {other:?}"),
        }
    }
}
