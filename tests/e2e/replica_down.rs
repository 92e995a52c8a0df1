//! While a node is known to be down, updates of its keys are refused at once, and everything else
//! goes on.

use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::wire::{Conn, Reply};

const UPDATES: usize = 200;
/// Generous: an answer that waits for a deadline would take 5 s each.
const P99_MAX: Duration = Duration::from_secs(1);
const SEEN_MAX: Duration = Duration::from_secs(60);

#[test]
fn replica_down_is_quick() {
    let cluster = Cluster::start("replica-down", 3, 2, &[]);
    let victim = cluster.node_names()[1].clone();
    let keys: Vec<String> = (0..300).map(|number| format!("key-{number}")).collect();
    let (its, others): (Vec<&String>, Vec<&String>) =
        keys.iter().partition(|key| cluster.locate(key).contains(&victim));
    assert!(!its.is_empty() && !others.is_empty(), "{victim} holds {} of 300 keys", its.len());
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    for key in &keys {
        assert!(matches!(conn.put(key, "before"), Reply::Ok(_)), "put {key}");
    }

    let begin = Instant::now();
    cluster.kill(&victim);
    wait_for("the dead node suspect or down", SEEN_MAX, || {
        cluster.node_state(&victim).filter(|state| state == "suspect" || state == "down")
    });
    println!("replica_down_is_quick: seen dead after {:?}", begin.elapsed());

    let mut took = Vec::new();
    for key in its.iter().cycle().take(UPDATES) {
        let begin = Instant::now();
        let request = json!({"op": "put", "key": key, "value": "never"});
        let answer = conn.call(&request).expect("the connection lives on");
        took.push(begin.elapsed());
        assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!("replica_down")));
        assert_eq!(answer["node"], *victim, "which node is down: {answer}");
    }
    took.sort();
    let (p50, p99) = (took[UPDATES / 2], took[UPDATES * 99 / 100]);
    println!("replica_down_is_quick: {UPDATES} refusals, p50 {p50:?}, p99 {p99:?}");
    assert!(p99 < P99_MAX, "p99 {p99:?}");

    for key in &others {
        assert!(matches!(conn.put(key, "during"), Reply::Ok(_)), "put {key}, elsewhere");
    }
    let expect = |conn: &mut Conn, key: &String, value: &str| match conn.get(key) {
        Reply::Ok(answer) => assert_eq!(answer["value"], value, "{key}"),
        other => panic!("get {key}: {other:?}"),
    };
    its.iter().for_each(|key| expect(&mut conn, key, "before"));
    others.iter().for_each(|key| expect(&mut conn, key, "during"));

    cluster.restart(&victim);
    cluster.wait_healthy(None);
    for key in &its {
        assert!(matches!(conn.put(key, "after"), Reply::Ok(_)), "put {key}, after the return");
    }
    its.iter().for_each(|key| expect(&mut conn, key, "after"));
}
