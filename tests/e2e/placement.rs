//! A cluster whose keys are placed by the sum of their bytes: where they are, at the outside and at
//! the nodes, and that it stays so.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::{Ran, piazza};
use super::wire::ask;

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The arithmetic, from the bytes of a key to the place of its primary.
fn place(key: &str, nodes: usize) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % nodes
}

fn told(cluster: &Cluster, request: &Value) -> Value {
    let answer = ask(cluster.addr(), request).expect("an answer");
    assert_eq!(answer["ok"], true, "{request}: {answer}");
    answer
}

/// The nodes in the order of their points.
fn in_order(cluster: &Cluster) -> Vec<String> {
    let status = told(cluster, &json!({"op": "status"}));
    assert_eq!(status["cluster"]["placement"], "ascii-sum");
    let points = status["ring"]["points"].as_array().expect("points");
    points.iter().map(|point| point["node"].as_str().expect("a name").to_owned()).collect()
}

/// Contract: "[--placement ring|ascii-sum]"
#[test]
fn keys_are_placed_by_the_sum_of_their_bytes() {
    let flags = ["--placement", "ascii-sum", "--heartbeat-ms", "100", "--lease-ms", "500"];
    let mut cluster = Cluster::start("placement", 4, 2, &flags);
    cluster.wait_healthy(None);
    let nodes = in_order(&cluster);
    assert_eq!(nodes, ["n1", "n2", "n3", "n4"]);
    let keys: Vec<String> = (0..40).map(|n| format!("user:{n}")).chain(["é🙂".into()]).collect();
    let mut primaries: BTreeMap<&str, u64> = BTreeMap::new();
    for key in &keys {
        told(&cluster, &json!({"op": "put", "key": key, "value": key}));
        let at = place(key, nodes.len());
        let located = told(&cluster, &json!({"op": "locate", "key": key, "copies": true}));
        let holders = [&nodes[at], &nodes[(at + 1) % nodes.len()]];
        assert_eq!(located["nodes"], json!(holders), "{key}: {located}");
        assert_eq!(located["byte_sum"]["nodes"], 4);
        let copies = located["copies"].as_array().expect("copies");
        assert!(copies.iter().all(|copy| copy["version"].is_string()), "{located}");
        *primaries.entry(&nodes[at]).or_default() += 1;
    }
    // What nodes count of their ranges agrees.
    wait_for("the nodes' counts", WAIT_MAX, || {
        let status = told(&cluster, &json!({"op": "status"}));
        let nodes = status["nodes"].as_array().expect("nodes");
        let right = |node: &Value| {
            let name = node["name"].as_str().expect("a name");
            node["keys_primary"] == json!(primaries.get(name).copied().unwrap_or(0))
        };
        (nodes.iter().all(right) && status["copies"] == json!({"2": keys.len()})).then_some(())
    });
    let page = told(&cluster, &json!({"op": "scan", "limit": 1000}));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(keys.len()), "each key once");

    let data = cluster.data().to_string_lossy().into_owned();
    let words = |arguments: &[&str]| {
        piazza(&cluster, &[arguments, &["--dir", &data]].concat()).ended(0).out
    };
    assert!(words(&["status"]).contains("placed by ascii-sum"));
    assert!(words(&["locate", "abc"]).contains("byte sum 294 mod 4 = 2 · on n3, n4"));
    assert!(words(&["explain", "get", "abc"]).contains("byte sum 294 mod 4 = 2 · on n3, n4"));

    // A new coordinator finds the names of updates at the nodes that hold their keys.
    let named = json!({"op": "put", "key": "abc", "value": "1", "once": "placement-once-0001"});
    let version = told(&cluster, &named)["version"].clone();
    cluster.kill("coordinator");
    cluster.restart("coordinator");
    cluster.wait_healthy(None);
    assert_eq!(told(&cluster, &named)["version"], version, "carried out once");

    cluster.kill_everything();
    cluster.start_again();
    cluster.wait_healthy(None);
    assert_eq!(in_order(&cluster), nodes);
    for key in &keys {
        assert_eq!(told(&cluster, &json!({"op": "get", "key": key}))["value"], json!(key));
    }
    cluster.stop();
    let mut other = cluster.command();
    other.args(["up", "--headless", "--any-port", "--dir", &data, "--placement", "ring"]);
    let refused = Ran::of(other.stdin(Stdio::null()).output().expect("it runs")).ended(2);
    assert!(refused.err.contains("--placement ring contradicts"), "{refused:?}");
    assert!(refused.err.contains("leave the flag out"), "{refused:?}");
}
