//! The nodes' caches: with a coordinator that can cache one key, two keys that are read in turn are
//! answered by nodes, each from its cache but the first time, and `status` shows that.

use std::time::Duration;

use serde_json::Value;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::wire::{Conn, Reply};

const ROUNDS: u64 = 50;

#[test]
fn node_cache() {
    let flags = ["--cache", "1x1", "--node-cache", "8x2"];
    let cluster = Cluster::start("node-cache", 3, 2, &flags);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    for round in 0..ROUNDS {
        for key in ["a", "b"] {
            if round % 10 == 0 {
                let put = conn.put(key, &format!("{key}{round}"));
                assert!(matches!(put, Reply::Ok(_)), "{put:?}");
            }
            let Reply::Ok(got) = conn.get(key) else { panic!("no answer to get {key}") };
            let expected = format!("{key}{}", round - round % 10);
            assert_eq!(got["value"], expected.as_str(), "round {round}");
        }
    }
    // Nine rounds in ten ask the nodes for both keys; whatever they hold fits their caches.
    wait_for("the heartbeats tell of the hits", Duration::from_secs(60), || {
        let status = cluster.status()?;
        let sum = |field: &str| -> u64 {
            let nodes = status["nodes"].as_array().into_iter().flatten();
            nodes.filter_map(|node| node["cache"][field].as_u64()).sum()
        };
        assert!(sum("hits") <= 2 * ROUNDS && sum("evictions") == 0, "{status}");
        let shape = |node: &Value| (node["cache"]["sets"] == 8) && (node["cache"]["ways"] == 2);
        let all = status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(shape));
        let told = sum("hits") >= ROUNDS && sum("misses") >= 2;
        (told && all && sum("entries") >= 2 && sum("bytes") > 0).then_some(())
    });
}
