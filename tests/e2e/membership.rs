//! A cluster whose membership lives: a silent node loses its place to others and gets it back, one
//! more joins, one leaves for good; after each step every key is where it shall be, as it was last
//! written, and can be written again.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use protocol::ids::Version;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::copies;
use super::procs::wait_for;
use super::ran::piazza;
use super::wire::ask;

/// How long a change may take on a machine that stalls.
const CHANGE_MAX: Duration = Duration::from_secs(60);
const KEYS: usize = 60;
/// Keys that are deleted while a node that held them is away.
const DOOMED: usize = 12;
const REPLICAS: usize = 3;

/// What was written last, and its version.
struct Book<'a> {
    cluster: &'a Cluster,
    written: BTreeMap<String, (String, Value)>,
}

impl Book<'_> {
    /// Every key gets a new value.
    fn write(&mut self, text: &str) {
        for number in 0..KEYS {
            let (key, value) = (format!("key-{number}"), format!("{text}-{number}"));
            let put = json!({"op": "put", "key": key, "value": value, "timeout_ms": 30_000});
            let answer = ask(self.cluster.addr(), &put).expect("an answer");
            assert_eq!(answer["ok"], true, "{put}: {answer}");
            self.written.insert(key, (value, answer["version"].clone()));
        }
    }

    /// Writes other keys, and gives them.
    fn write_doomed(&self) -> Vec<String> {
        let keys = (0..DOOMED).map(|number| format!("doomed-{number}"));
        let put = |key: String| {
            let put = json!({"op": "put", "key": key, "value": "doomed", "timeout_ms": 30_000});
            let answer = ask(self.cluster.addr(), &put).expect("an answer");
            assert_eq!(answer["ok"], true, "{put}: {answer}");
            key
        };
        keys.map(put).collect()
    }

    /// Deletes `keys`, and gives the version of the last deletion.
    fn delete(&self, keys: &[String]) -> Version {
        let deleted = keys.iter().map(|key| {
            let del = json!({"op": "del", "key": key, "timeout_ms": 30_000});
            let answer = ask(self.cluster.addr(), &del).expect("an answer");
            assert_eq!(answer["ok"], true, "{del}: {answer}");
            answer["version"].as_str().expect("a version").parse().expect("a version")
        });
        deleted.max().expect("keys")
    }

    /// Nobody holds any of `keys`.
    fn check_deleted(&self, keys: &[String]) {
        for key in keys {
            let get = ask(self.cluster.addr(), &json!({"op": "get", "key": key})).expect("a reply");
            assert_eq!(get["code"], "not_found", "{key}: {get}");
        }
    }

    /// Every key can be read, and each of its holders has it as it was written last.
    fn check(&self) {
        let ring = self.cluster.ring();
        for (key, (value, version)) in &self.written {
            let get = ask(self.cluster.addr(), &json!({"op": "get", "key": key})).expect("a reply");
            assert_eq!((&get["value"], &get["version"]), (&json!(value), version), "{key}: {get}");
            let locate = json!({"op": "locate", "key": key, "copies": true});
            let located = ask(self.cluster.addr(), &locate).expect("an answer");
            assert_eq!(located["nodes"], json!(ring.holders(key)), "{key}: {located}");
            let copies = located["copies"].as_array().expect("copies");
            let right = |copy: &&Value| copy["version"] == *version && copy["state"] == "up";
            assert_eq!(copies.iter().filter(right).count(), REPLICAS, "{key}: {located}");
        }
        // Nobody counts a key that is not its own.
        wait_for("every key to be counted three times", CHANGE_MAX, || {
            let status = self.cluster.status()?;
            let nodes = status["nodes"].as_array()?.iter().filter(|node| node["state"] == "up");
            let keys = |field: &str| -> u64 {
                nodes.clone().filter_map(|node| node[field].as_u64()).sum()
            };
            let counted = (keys("keys_primary"), keys("keys_replica"));
            (counted == (KEYS as u64, (KEYS * (REPLICAS - 1)) as u64)).then_some(())
        });
    }
}

/// Of deletions below this version nothing may be left at `node`, as its state file says.
fn swept(cluster: &Cluster, node: &str) -> Version {
    let one = |suffix: &str| {
        let file = cluster.data().join(node).join("log").join(format!("state.{suffix}"));
        let state = String::from_utf8_lossy(&fs::read(file).ok()?).into_owned();
        let (_, after) = state.split_once("\"swept\":")?;
        serde_json::from_str(after.split_once('}')?.0).ok()
    };
    // The older of the two copies may be being replaced.
    ["a", "b"].into_iter().filter_map(one).max().unwrap_or(Version::ZERO)
}

fn listed(cluster: &Cluster) -> Vec<String> {
    let list = cluster.supervised();
    let procs = list["procs"].as_array().expect("a list").iter();
    procs.map(|proc| proc["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Contract: "`evict {node}`, `remove {node}` (drain, leave; its process is then stopped and not
/// restarted), `add {}`"
/// Contract: "`evicted`, `leaving`"
/// Contract: "[--evict-after 10s|never]"
#[test]
fn a_cluster_heals_grows_and_shrinks() {
    let flags = ["--evict-after", "1s", "--heartbeat-ms", "100", "--lease-ms", "500"];
    let mut cluster = Cluster::start("membership", 5, REPLICAS, &flags);
    cluster.wait_healthy(None);
    let run = |cluster: &Cluster, arguments: &[&str]| {
        let addr = cluster.addr().to_string();
        piazza(cluster, &[arguments, &["--addr", &addr]].concat())
    };
    let mut book = Book { cluster: &cluster, written: BTreeMap::new() };
    book.write("founded");
    book.check();
    let doomed = book.write_doomed();

    run(&cluster, &["admin", "kill", "n3"]).ended(0);
    cluster.wait_settled("n3", "evicted", CHANGE_MAX);
    assert!(!cluster.ring().names().contains("n3"));
    let deleted = book.delete(&doomed);
    book.check();
    book.write("without n3");
    book.check();
    let shown = run(&cluster, &["status"]).ended(0).out;
    assert!(shown.contains("others have the place of n3"), "{shown}");

    // It is away for so long that nobody else remembers what was deleted.
    for node in ["n1", "n2", "n4", "n5"] {
        cluster.restart(node);
        cluster.wait_settled(node, "up", CHANGE_MAX);
        let what = format!("{node} to have dropped the tombstones");
        wait_for(&what, CHANGE_MAX, || (swept(&cluster, node) > deleted).then_some(()));
    }
    run(&cluster, &["admin", "start", "n3"]).ended(0);
    cluster.wait_settled("n3", "up", CHANGE_MAX);
    book.check();
    book.check_deleted(&doomed);
    book.write("with n3");

    let added = run(&cluster, &["admin", "add", "--json"]).ended(0).objects();
    let (first, last) = (&added[0], added.last().expect("its end"));
    assert_eq!((&first["ok"], &last["change"]), (&json!(true), &first["change"]), "{added:?}");
    assert_eq!((&last["node"], &last["state"]), (&json!("n6"), &json!("done")), "{added:?}");
    cluster.wait_settled("n6", "up", CHANGE_MAX);
    book.check();
    book.write("with n6");

    let leaver = cluster.pid("n2").expect("it runs");
    let removed = run(&cluster, &["admin", "remove", "n2", "--yes"]).ended(0);
    assert!(removed.out.contains("(remove n2) is done"), "{removed:?}");
    wait_for("the end of n2", CHANGE_MAX, || {
        let ended = !cluster.pids().contains(&leaver);
        (ended && !listed(&cluster).contains(&"n2".to_owned())).then_some(())
    });
    assert_eq!(listed(&cluster), ["coordinator", "n1", "n3", "n4", "n5", "n6"]);
    assert_eq!(run(&cluster, &["admin", "start", "n2"]).code, Some(2));
    book.check();
    book.write("without n2");
    book.check();
    let written = book.written;

    // The same nodes come back together.
    cluster.stop();
    cluster.start_again();
    cluster.wait_healthy(None);
    assert_eq!(listed(&cluster), ["coordinator", "n1", "n3", "n4", "n5", "n6"]);
    assert!(cluster.data().join("n2").exists(), "what it left stays");
    let book = Book { cluster: &cluster, written };
    book.check();
    book.check_deleted(&doomed);
    let ring = cluster.ring();
    cluster.stop();
    assert_eq!(copies::compare(&cluster.data(), &ring), Ok(KEYS), "what was deleted came back");
}
