//! What is answered while a node is down: on a cluster of one's own.

use std::time::Duration;

use serde_json::{Value, json};

use super::explain::explain;
use super::{Site, checks};
use crate::e2e::procs::wait_for;

checks! {
    901 a_replica_that_is_down_is_named
        "`replica_down` | `node` | a replica of this key is down and its place is not yet filled: nothing was or will be written"
}

const SEEN_MAX: Duration = Duration::from_secs(60);

fn a_replica_that_is_down_is_named(site: &Site) {
    let Some(cluster) = &site.own else { panic!("it would break a cluster of somebody else") };
    let victim = cluster.node_names().pop().expect("some nodes");
    let ring = cluster.ring();
    let keys: Vec<String> = (0..60).map(|_| site.key()).collect();
    let held = |key: &&String| ring.holders(key).contains(&victim);
    let (its, others): (Vec<&String>, Vec<&String>) = keys.iter().partition(held);
    assert!(its.len() > 5 && others.len() > 5, "{victim} holds {} of 60 keys", its.len());
    let mut talk = site.open();
    let put = |key: &String, value: &str| json!({"op": "put", "key": key, "value": value});
    let versions: Vec<Value> =
        its.iter().map(|key| talk.ok(&put(key, "before"))["version"].clone()).collect();
    cluster.kill(&victim);
    wait_for("the dead node suspect or down", SEEN_MAX, || {
        cluster.node_state(&victim).filter(|state| state == "suspect" || state == "down")
    });
    for (key, version) in its.iter().zip(&versions) {
        let then = json!([put(others[0], "never"), put(key, "never")]);
        for update in [
            put(key, "never"),
            json!({"op": "update", "key": key, "value": "never"}),
            json!({"op": "cas", "key": key, "value": "never", "version": version}),
            json!({"op": "del", "key": key}),
            json!({"op": "txn", "if": [], "then": then}),
        ] {
            let answer = talk.refused(update.to_string(), "replica_down");
            assert_eq!(answer["node"], *victim, "{answer}");
        }
        let plan = talk.ok(&explain(&put(key, "never"), false));
        let told = plan["steps"].to_string();
        assert!(told.contains("`replica_down`") && told.contains(&victim), "{plan}");
        let answer = talk.refused(explain(&put(key, "never"), true).to_string(), "replica_down");
        assert_eq!(answer["node"], *victim, "{answer}");
        let answer = talk.ok(&json!({"op": "get", "key": key}));
        assert_eq!((&answer["value"], &answer["version"]), (&json!("before"), version));
    }
    talk.refused(json!({"op": "get", "key": others[0]}).to_string(), "not_found");
    for key in &others {
        talk.ok(&put(key, "during"));
    }
    let state = site.status()["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .find_map(|node| (node["name"] == *victim).then(|| node["state"].clone()));
    assert!(state == Some(json!("suspect")) || state == Some(json!("down")), "{state:?}");
}
