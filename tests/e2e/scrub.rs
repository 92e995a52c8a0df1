//! Records that change on a disk while nobody looks: found by a scrub, told, never served; the
//! damaged one is mended by order, the one that is whole and differs is not touched. Where a block of
//! the keystore's file cannot be read at all, nothing more is read behind it, and it is said what to
//! do: done so, all is well again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::storage::codec::checksum;
use cluster::storage::identity::Identity;
use cluster::storage::keystore::fjall::FjallKeystore;
use cluster::storage::keystore::{Keystore, Stored};
use protocol::ids::{Key, Uuid, Value as Bytes};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::{Ran, piazza};
use super::wire::{Conn, ask};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What is told of a key that was changed.
fn divergence(conn: &mut Conn, kind: &str, key: &str) -> Value {
    for _ in 0..10_000 {
        let event = conn.receive().expect("an event");
        let named = event["keys"].as_array().is_some_and(|keys| keys.contains(&json!(key)));
        if event["event"] == "divergence" && event["kind"] == kind && named {
            return event;
        }
    }
    panic!("no divergence of {key} was told");
}

/// Changes two records of a store that is not open: a damaged one and one that is whole.
pub(crate) fn rot(cluster: &Cluster, node: &str) -> (String, String) {
    let status = cluster.status().expect("it answers");
    let mut nodes = status["nodes"].as_array().expect("nodes").iter();
    let uuid = nodes.find(|status| status["name"] == node).expect("it is there")["uuid"].clone();
    let store: Uuid = serde_json::from_value(uuid).expect("a uuid");
    let identity = Identity { cluster: Uuid(0), store };
    let path = cluster.data().join(node).join("keys");
    let mut keystore = FjallKeystore::open(&path, identity, 1 << 20).expect("it is not open");
    let mut live: Vec<(Key, Stored)> = Vec::new();
    let found = keystore.walk(std::ops::Bound::Unbounded, &mut |key, stored| {
        live.extend(stored.is_live().then_some((key, stored)));
        Ok(live.len() < 2)
    });
    found.expect("it is whole");
    let [(damaged, first), (changed, second)] = &live[..] else { panic!("it has two keys") };
    let value = Some(Bytes::from("rotten"));
    let bad = Stored { value: value.clone(), ..first.clone() };
    keystore.replace(damaged, bad).expect("it is whole");
    let checksum = checksum(changed, second.version, value.as_ref());
    let other = Stored { value, checksum, ..second.clone() };
    keystore.replace(changed, other).expect("it is whole");
    keystore.checkpoint().expect("there is space");
    (damaged.as_str().to_owned(), changed.as_str().to_owned())
}

/// Contract: "[--scrub-period 24h]"
/// Contract: "health: `divergence {range,nodes,kind:hash|checksum|unreadable,keys,repaired}`"
#[test]
fn what_rots_on_a_disk_is_found_told_and_mended() {
    let cluster =
        Cluster::start("scrub", 3, 2, &["--scrub-period", "24h", "--evict-after", "never"]);
    cluster.wait_healthy(None);
    let addr = cluster.addr().to_string();
    let run =
        |arguments: &[&str]| -> Ran { piazza(&cluster, &[arguments, &["--addr", &addr]].concat()) };
    for number in 0..40 {
        let put =
            json!({"op": "put", "key": format!("key-{number}"), "value": format!("{number}")});
        assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    }
    run(&["admin", "stop", "n2", "--yes"]).ended(0);
    let (damaged, changed) = rot(&cluster, "n2");
    let mut events = Conn::open(cluster.addr()).expect("it is ready");
    let subscribe = json!({"op": "subscribe", "topics": ["member"]});
    assert_eq!(events.call(&subscribe).expect("an answer")["ok"], true);
    run(&["admin", "start", "n2"]).ended(0);
    cluster.wait_healthy(None);

    let scrub = run(&["admin", "scrub"]).ended(0);
    assert!(scrub.out.contains("records read"), "{scrub:?}");
    let event = divergence(&mut events, "checksum", &damaged);
    assert_eq!((&event["nodes"], &event["repaired"]), (&json!(["n2"]), &json!(0)), "{event}");
    let event = divergence(&mut events, "hash", &changed);
    assert_eq!(event["nodes"].as_array().map(Vec::len), Some(2), "{event}");
    let status = cluster.status().expect("it answers");
    assert_eq!(status["incidents"].as_array().map(Vec::len), Some(2), "{}", status["incidents"]);
    let held = |key: &str| {
        let locate = json!({"op": "locate", "key": key, "copies": true});
        ask(cluster.addr(), &locate).expect("an answer")["copies"].clone()
    };
    let none = |copies: &Value| {
        let mut copies = copies.as_array().expect("copies").iter();
        copies.any(|copy| copy["node"] == "n2" && copy["version"].is_null())
    };
    assert!(none(&held(&damaged)), "a damaged record is not told: {}", held(&damaged));

    run(&["admin", "repair"]).ended(0);
    let event = divergence(&mut events, "checksum", &damaged);
    assert_eq!((&event["nodes"], &event["repaired"]), (&json!(["n2"]), &json!(1)), "{event}");
    wait_for("the mended record to be told", WAIT_MAX, || (!none(&held(&damaged))).then_some(()));
    let status = cluster.status().expect("it answers");
    assert_eq!(status["incidents"].as_array().map(Vec::len), Some(1), "{}", status["incidents"]);
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("a name"));
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.path())).collect()
}

/// Changes a byte of a value in a keystore that is not open, where its file has it; in how many
/// places that was.
pub(crate) fn damage_file(keystore: &Path, value: &str) -> usize {
    let mut places = 0;
    for path in files(keystore) {
        let mut bytes = fs::read(&path).expect("a file of ours");
        let all = bytes.windows(value.len()).enumerate();
        let found = all.filter(|(_, part)| *part == value.as_bytes()).map(|(at, _)| at);
        for at in found.collect::<Vec<_>>() {
            bytes[at] ^= 0xff;
            places += 1;
        }
        fs::write(&path, bytes).expect("a file of ours");
    }
    places
}

/// Contract: "kind:hash|checksum|unreadable"
#[test]
fn a_block_that_cannot_be_read_is_told_with_what_to_do() {
    // Nothing is answered from caches.
    let flags = ["--evict-after", "never", "--cache", "1x1", "--node-cache", "1x1"];
    let cluster = Cluster::start("unreadable", 3, 2, &flags);
    cluster.wait_healthy(None);
    let addr = cluster.addr().to_string();
    let run =
        |arguments: &[&str]| -> Ran { piazza(&cluster, &[arguments, &["--addr", &addr]].concat()) };
    let value = |number: usize| format!("value-{number:04}-{}", "x".repeat(500));
    let keys: Vec<String> = (0..60).map(|number| format!("key-{number:04}")).collect();
    for (number, key) in keys.iter().enumerate() {
        let put = json!({"op": "put", "key": key, "value": value(number)});
        assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    }
    let own = |(_, key): &(usize, &String)| cluster.locate(key).contains(&"n2".to_owned());
    let its: Vec<usize> = keys.iter().enumerate().filter(own).map(|(number, _)| number).collect();
    run(&["admin", "stop", "n2", "--yes"]).ended(0);
    let keystore = cluster.data().join("n2").join("keys");
    assert!(damage_file(&keystore, &value(its[its.len() / 2])) > 0, "its file has the value");
    let mut events = Conn::open(cluster.addr()).expect("it is ready");
    let subscribe = json!({"op": "subscribe", "topics": ["member"]});
    assert_eq!(events.call(&subscribe).expect("an answer")["ok"], true);
    run(&["admin", "start", "n2"]).ended(0);
    cluster.wait_healthy(None);
    let pid = cluster.pid("n2");

    // What is asked for is served by another, and the node goes on.
    let all_are_read = || {
        for (number, key) in keys.iter().enumerate() {
            let get = ask(cluster.addr(), &json!({"op": "get", "key": key})).expect("an answer");
            assert_eq!(get["value"], value(number), "{key}: {get}");
        }
    };
    all_are_read();
    assert_eq!(cluster.pid("n2"), pid);

    let scrub = run(&["admin", "scrub"]).ended(0);
    let unreadable = |conn: &mut Conn| loop {
        let event = conn.receive().expect("an event");
        if event["event"] == "divergence" && event["kind"] == "unreadable" {
            return event;
        }
    };
    let event = unreadable(&mut events);
    assert_eq!((&event["nodes"], &event["repaired"]), (&json!(["n2"]), &json!(0)), "{event}");
    assert!(event["range"].as_array().is_some_and(|range| !range.is_empty()), "{event}");
    let repair = run(&["admin", "repair"]).ended(0);
    unreadable(&mut events);
    assert_eq!(cluster.pid("n2"), pid, "{scrub:?} {repair:?}");
    let told = |words: &str| {
        let status = cluster.status().expect("it answers");
        let incidents = status["incidents"].as_array().expect("a list").clone();
        incidents.iter().any(|one| one["what"].as_str().is_some_and(|what| what.contains(words)))
    };
    let advice = "stop it, evict it (`piazza admin evict`) and start it with an empty directory";
    assert!(told("n2 cannot read its keystore behind") && told(advice));
    let log = run(&["logs", "n2"]).ended(0).out;
    assert!(log.contains("the keystore cannot be read on") && log.contains(advice), "{log}");

    // It is done.
    run(&["admin", "stop", "n2", "--yes"]).ended(0);
    run(&["admin", "evict", "n2", "--yes"]).ended(0);
    fs::remove_dir_all(cluster.data().join("n2")).expect("a directory of ours");
    run(&["admin", "start", "n2"]).ended(0);
    wait_for("all to be well again", WAIT_MAX, || {
        let status = cluster.status()?;
        let whole = status["copies"]["2"] == keys.len() && status["incidents"] == json!([]);
        let is_back = |node: &Value| node["name"] == "n2" && node["state"] == "up";
        (whole && status["nodes"].as_array()?.iter().any(is_back)).then_some(())
    });
    let scrub = run(&["admin", "scrub"]).ended(0);
    assert!(!told("cannot read"), "{scrub:?}");
    all_are_read();
}
