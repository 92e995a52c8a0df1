//! The console on a real terminal while the membership of a real cluster of five nodes changes: a
//! node is killed, evicted, healed without a key, and comes back; one that stands still is evicted
//! by hand; one more joins, and leaves; a console that comes late knows what happened before.
//!
//! What passes by itself is held until it has been seen: no step depends on how fast another one is.
//! `PIAZZA_SCREENS=DIR` keeps the screens of each moment as text.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::console::Shown;
use super::procs::wait_for;
use super::wire::{Conn, ask};

/// How long a change may take on a machine that stalls.
const CHANGE_MAX: Duration = Duration::from_secs(120);
/// Keys, and the length of their values: a node copies them in several portions.
const KEYS: usize = 400;
const VALUE_BYTES: usize = 8_000;
/// So slow that a portion, of 256 KiB, takes some seconds.
const SLOW_BYTES_PER_S: u64 = 32 << 10;

fn set(cluster: &Cluster, name: &str, value: u64) {
    let request = json!({"op": "admin", "action": "set", "name": name, "value": value});
    let answer = ask(cluster.addr(), &request).expect("an answer");
    assert_eq!(answer["ok"], true, "{request}: {answer}");
}

/// Contract: "`evict {node}`, `remove {node}` (drain, leave; its process is then stopped and not
/// restarted), `add {}`"
/// Contract: "[--evict-after 10s|never]"
#[test]
fn console_tells_of_members() {
    let cluster = Cluster::start("console-members", 5, 3, &["--evict-after", "10m"]);
    cluster.wait_healthy(None);
    let mut client = Conn::open(cluster.addr()).expect("it serves");
    let value = "v".repeat(VALUE_BYTES);
    for n in 0..KEYS {
        client.put(&format!("user:{n}"), &value);
    }
    evicted_and_back(&cluster);
    evicted_by_hand(&cluster);
    one_more(&cluster);
}

fn evicted_and_back(cluster: &Cluster) {
    let age_ms = || {
        let status = cluster.status()?;
        let node = status["nodes"].as_array()?.iter().find(|one| one["name"] == "n3")?.clone();
        node["heartbeat_age_ms"].as_u64()
    };
    wait_for("a first heartbeat, from which its silence counts", CHANGE_MAX, age_ms);
    let mut shown = Shown::of(cluster, &[]);
    shown.select("n3");
    // Somebody else kills it, and nobody presses a key.
    cluster.kill("n3");
    let killed = ["n3 was killed (kill -9)", "evicts in ", "cannot be written", "healed"];
    shown.wait("the kill", "evict-killed", &killed);
    // Whoever comes later knows what, and about how long ago.
    wait_for("the kill to be some seconds ago", CHANGE_MAX, || {
        age_ms().filter(|age_ms| *age_ms > 5_000)
    });
    let late = Shown::beside(cluster, "4/5 up");
    late.wait("the kill before", "evict-late", &["n3 was killed (kill -9)", "evicts in at most"]);
    let screen = late.terminal.screen();
    let (_, since) = screen.split_once("n3 was killed (kill -9) by ").expect("it is told");
    let since = since.split_once(" ago").expect("since when").0;
    let seconds = since.split(' ').rev().nth(1).and_then(|number| number.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 5.0), "{since}:\n{screen}");
    drop(late);
    set(cluster, "evict_after_ms", 1);
    let healed = [
        "healed: all keys have 3 copies again|n3, evicted, healed in",
        "n3 is evicted|evicted: n3",
        "EVICTED",
        "4/4 up",
    ];
    shown.wait("the end without a key", "evict-healed", &healed);
    cluster.wait_settled("n3", "evicted", CHANGE_MAX);
    shown.terminal.type_keys("R");
    let back = ["healthy: n3 is back|n3, got a place", "5/5 up"];
    shown.wait("the return", "evict-returned", &back);
    cluster.wait_settled("n3", "up", CHANGE_MAX);
}

fn evicted_by_hand(cluster: &Cluster) {
    // What is slow enough to be seen, and is not done by itself.
    set(cluster, "evict_after_ms", 0);
    set(cluster, "copy_bytes_per_s", SLOW_BYTES_PER_S);
    let mut shown = Shown::of(cluster, &[]);
    shown.select("n4");
    shown.confirm("P", "evict-pause-asked", &["Pause n4", "Cancel"]);
    shown.wait("the pause", "evict-paused", &["n4 was paused (SIGSTOP) by you", "PAUSED"]);
    let asked = ["Evict n4?", "Others get the place of n4", "To copy: about", "Cancel"];
    shown.ask("E", "evict-asked", &asked);
    // Cancel is what Enter takes.
    shown.terminal.type_keys("\r");
    shown.terminal.wait("the answer", |screen| !screen.contains("Evict n4?"));
    assert!(cluster.ring().names().contains("n4"));
    shown.confirm("E", "evict-asked", &asked);
    let copying = ["evicted: n4, its", "of the keys are copied again", "of about", "updates flow"];
    shown.wait("the copying", "evict-copying", &copying);
    shown.terminal.type_keys("2");
    shown.wait("what moves", "evict-moving", &["Moving", "evict n4", "\u{25c0}", "of about"]);
    set(cluster, "copy_bytes_per_s", 32 << 20);
    let healed = ["healed: all keys have 3 copies again|n4, evicted, healed in"];
    shown.wait("the end", "evict-by-hand-healed", &healed);
    // It wakes, and learns that it has no place; it gets one again.
    shown.terminal.type_keys("P");
    let back = ["healthy: n4 is back|n4, got a place", "5/5 up"];
    shown.wait("the return", "evict-by-hand-returned", &back);
    cluster.wait_settled("n4", "up", CHANGE_MAX);
}

fn one_more(cluster: &Cluster) {
    let mut shown = Shown::of(cluster, &[]);
    let asked = ["Add a node?", "A node is started", "get another primary", "Cancel"];
    shown.confirm("A", "add-asked", &asked);
    shown.wait("the end", "added", &["n6 has joined after|n6, joined in", "6/6 up"]);
    cluster.wait_settled("n6", "up", CHANGE_MAX);
    // And leaves again, for good.
    shown.select("n6");
    shown.confirm("D", "remove-asked", &["Remove n6 for good?", "Cancel"]);
    shown.wait("the end", "removed", &["n6 has left after|n6, left in", "5/5 up"]);
    shown.terminal.type_keys("q");
    assert_eq!(shown.terminal.ended(), 0);
    wait_for("the end of its process", CHANGE_MAX, || {
        let list = cluster.supervised();
        let runs = |proc: &Value| proc["name"] == "n6" && !proc["pid"].is_null();
        (!list["procs"].as_array()?.iter().any(runs)).then_some(())
    });
}
