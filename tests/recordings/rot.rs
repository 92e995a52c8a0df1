//! Scenarios in which a disk rots: records of a node change while it is stopped.
//!
//! Part of `scenarios`. What rots is of keys that nobody else writes: what is written anew is right
//! again.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::recorder::Orders;
use super::scenarios::{RATE, Scene, wants};
use crate::e2e::cluster::Cluster;
use crate::e2e::procs::wait_for;
use crate::e2e::scrub;
use crate::e2e::wire::{Conn, ask};

/// Whose disk rots.
const NODE: &str = "n2";
/// Many enough that some of them are the node's.
const ACCOUNTS: usize = 60;
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// In a keystore, these keys come before all others.
fn account(number: usize) -> String {
    format!("account:{number:02}")
}

fn balance(number: usize) -> String {
    format!("balance {number:04} {}", "x".repeat(500))
}

fn put(scene: &Scene, key: &str, value: &str) {
    let put = json!({"op": "put", "key": key, "value": value});
    assert_eq!(ask(scene.cluster.addr(), &put).expect("an answer")["ok"], true, "{key}");
}

fn scene(name: &str) -> Scene {
    let flags = ["--lab", "--evict-after", "never", "--scrub-period", "24h"];
    let cluster = Cluster::start(name, 5, 2, &flags);
    cluster.wait_healthy(None);
    let mut client = Conn::open(cluster.addr()).expect("the cluster is ready");
    (0..ACCOUNTS).for_each(|number| drop(client.put(&account(number), &balance(number))));
    Scene::of(cluster, RATE / 6, Orders { wants: wants(), little: false })
}

/// Stops the node, changes what is on its disk, and starts it: what `change` says.
fn rotten<T>(scene: &Scene, change: impl FnOnce(&Cluster) -> T) -> T {
    scene.act("stop", NODE);
    scene.until_proc(NODE, "exited");
    scene.until_member(NODE, "down");
    let changed = change(&scene.cluster);
    scene.recorder.mark();
    scene.act("start", NODE);
    scene.until_member(NODE, "up");
    scene.cluster.wait_healthy(None);
    scene.pass(1_000);
    changed
}

/// Waits until this is told of copies: of this key, or of none in particular.
fn until_divergence(scene: &Scene, kind: &str, key: Option<&str>, is_repaired: bool) {
    scene.recorder.until(&format!("{kind}: {key:?}, repaired: {is_repaired}"), |_, event| {
        let named = event["keys"].as_array();
        let is_it = match key {
            Some(key) => named.is_some_and(|keys| keys.iter().any(|named| named == key)),
            None => named.is_some_and(Vec::is_empty),
        };
        let is_kind = event["event"] == "divergence" && event["kind"] == kind;
        is_kind && is_it && (event["repaired"] != 0) == is_repaired
    });
}

/// One damaged record and one that is whole and differs: both are found, the first is mended by
/// order, and the second is written again by who knows what is right.
pub(super) fn rot(name: &str) -> Vec<u8> {
    let scene = scene(name);
    let (damaged, changed) = rotten(&scene, |cluster| scrub::rot(cluster, NODE));
    assert!(damaged.starts_with("account:") && changed.starts_with("account:"));
    scene.ask_coordinator(&json!({"op": "admin", "action": "scrub"}));
    until_divergence(&scene, "checksum", Some(&damaged), false);
    until_divergence(&scene, "hash", Some(&changed), false);
    scene.pass(1_500);
    // Who comes now is told of it in the snapshot.
    scene.recorder.want(wants());
    scene.pass(500);
    scene.ask_coordinator(&json!({"op": "admin", "action": "repair"}));
    until_divergence(&scene, "checksum", Some(&damaged), true);
    until_divergence(&scene, "checksum", None, true);
    scene.pass(1_500);
    put(&scene, &changed, "what is right");
    until_divergence(&scene, "hash", None, true);
    scene.finish()
}

/// A file of the keystore cannot be read on: the node is replaced by one with an empty disk.
pub(super) fn unreadable(name: &str) -> Vec<u8> {
    let scene = scene(name);
    let ring = scene.cluster.ring();
    let is_its = |number: &usize| ring.holders(&account(*number)).iter().any(|name| name == NODE);
    let its: Vec<usize> = (0..ACCOUNTS).filter(is_its).collect();
    let spoilt = balance(its[its.len() / 2]);
    rotten(&scene, |cluster| {
        let keystore = cluster.data().join(NODE).join("keys");
        assert!(scrub::damage_file(&keystore, &spoilt) > 0, "its file has the value");
    });
    scene.ask_coordinator(&json!({"op": "admin", "action": "scrub"}));
    until_divergence(&scene, "unreadable", None, false);
    scene.pass(2_000);
    scene.recorder.mark();
    scene.act("stop", NODE);
    scene.until_member(NODE, "down");
    scene.ask_coordinator(&json!({"op": "admin", "action": "evict", "node": NODE}));
    scene.until_member(NODE, "evicted");
    fs::remove_dir_all(scene.cluster.data().join(NODE)).expect("a directory of ours");
    scene.recorder.mark();
    scene.act("start", NODE);
    scene.until_member(NODE, "up");
    wait_for("all to be well again", WAIT_MAX, || {
        let status = scene.cluster.status()?;
        (status["incidents"] == json!([]) && status["changes"][0]["state"] != Value::Null)
            .then_some(())
    });
    scene.finish()
}
