//! Scenarios in which the membership changes: a node loses its place and gets it back, one more
//! joins, one leaves.
//!
//! Part of `scenarios`. There is so much to copy, and it goes so slowly, that it can be watched.

use std::time::Duration;

use protocol::event::Subscribe;
use serde_json::json;

use super::recorder::Orders;
use super::scenarios::Scene;
use crate::e2e::cluster::Cluster;
use crate::e2e::procs::wait_for;
use crate::e2e::wire::{Conn, ask};

/// Keys, and the length of their values: a node has some megabytes.
const KEYS: usize = 1_600;
const VALUE_BYTES: usize = 4_000;
/// How fast they are copied.
const COPY_BYTES_PER_S: u64 = 700_000;
/// How long a change may take on a machine that stalls.
const CHANGE_MAX: Duration = Duration::from_secs(120);
const RATE: u64 = 20;

fn scene(name: &str) -> Scene {
    let flags = ["--lab", "--evict-after", "3s"];
    let cluster = Cluster::start(name, 5, 3, &flags);
    cluster.wait_healthy(None);
    let mut client = Conn::open(cluster.addr()).expect("the cluster is ready");
    let value = "v".repeat(VALUE_BYTES);
    for number in 0..KEYS {
        client.put(&format!("archive:{number:04}"), &value);
    }
    let slowly = json!({"op": "admin", "action": "set", "name": "copy_bytes_per_s",
        "value": COPY_BYTES_PER_S});
    assert_eq!(client.call(&slowly).expect("an answer")["ok"], true);
    Scene::of(cluster, RATE, Orders { wants: wants(), little: false })
}

fn wants() -> Subscribe {
    Subscribe { max_per_s: 2, ..Subscribe::default() }
}

/// Waits until nothing is on its way, after a change that has begun.
fn settled(scene: &Scene, changes: usize) {
    wait_for("the end of the change", CHANGE_MAX, || {
        let status = ask(scene.cluster.addr(), &json!({"op": "status"}))?;
        let all = status["changes"].as_array()?;
        let done = all.iter().filter(|change| change["state"] == "done").count();
        (done >= changes).then_some(())
    });
}

/// A node is killed, loses its place, and gets it back.
pub(super) fn evict(name: &str) -> Vec<u8> {
    let scene = scene(name);
    scene.act("kill", "n3");
    scene.until_member("n3", "down");
    settled(&scene, 1);
    scene.pass(1_500);
    scene.recorder.mark();
    scene.act("start", "n3");
    scene.until_member("n3", "up");
    settled(&scene, 2);
    scene.finish()
}

/// One more node joins; who comes meanwhile is told how far it is.
pub(super) fn add(name: &str) -> Vec<u8> {
    let scene = scene(name);
    scene.ask_coordinator(&json!({"op": "admin", "action": "add"}));
    scene.recorder.until("something copied", |_, event| {
        event["event"] == "transfer" && event["keys_done"].as_u64() > Some(0)
    });
    scene.recorder.want(wants());
    settled(&scene, 1);
    scene.pass(1_500);
    scene.over()
}

/// A node gives away what it has, and leaves.
pub(super) fn remove(name: &str) -> Vec<u8> {
    let scene = scene(name);
    scene.ask_coordinator(&json!({"op": "admin", "action": "remove", "node": "n2"}));
    settled(&scene, 1);
    scene.pass(3_000);
    scene.over()
}
