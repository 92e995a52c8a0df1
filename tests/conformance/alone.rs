//! Changes of the membership where there is one copy of each key, and then few nodes: what cannot be
//! is refused, and says why.

use serde_json::json;

use super::changes::{CHANGE_MAX, admin, change, comes_to, fill, pace};
use super::talk::Talk;
use super::{Site, checks};
use crate::e2e::procs::wait_for;

checks! {
    1301 the_last_copy_is_not_given_up
        "`refused` says why (would lose the last copy",
        "`refused` ... | `reason` ... | admin (section 4)"
    1302 no_majority_no_change
        "`refused` says why (would lose the last copy, no majority)"
    1303 the_last_order_stops_all
        "inject shutdown`, as"
}

/// Refused, in a sentence with these words.
fn refused(talk: &mut Talk, request: serde_json::Value, words: &str) {
    let answer = talk.refused(admin(request).to_string(), "refused");
    assert!(answer["error"].as_str().is_some_and(|said| said.contains(words)), "{answer}");
    assert!(answer["reason"].is_string(), "{answer}");
}

fn the_last_copy_is_not_given_up(site: &Site) {
    fill(site);
    let mut talk = site.open();
    let ring = site.status()["ring"].clone();
    for dry_run in [true, false] {
        let evict = json!({"action": "evict", "node": "n1", "dry_run": dry_run});
        refused(&mut talk, evict, "the only complete copy of some keys");
    }
    assert_eq!(site.status()["ring"], ring);
}

fn no_majority_no_change(site: &Site) {
    fill(site);
    let mut talk = site.open();
    pace(&mut talk, 1 << 30);
    let name = change(&mut talk, json!({"action": "remove", "node": "n1"}));
    comes_to(site, &name, "done");
    // Two are left: each is needed.
    let cluster = site.own.as_ref().expect("a cluster of its own");
    cluster.kill("n2");
    wait_for("its death to be known", CHANGE_MAX, || {
        cluster.node_state("n2").filter(|state| state == "down")
    });
    let why = "a cluster of 2 nodes cannot do without one of them";
    let refusal = |action: &str| json!({"action": action, "node": "n2"});
    refused(&mut talk, refusal("evict"), "the only complete copy");
    refused(&mut talk, json!({"action": "rebalance"}), why);
}

fn the_last_order_stops_all(site: &Site) {
    let cluster = site.own.as_ref().expect("a cluster of its own");
    let mut events = Talk::open(cluster.supervisor_addr());
    events.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
    events.line();
    let mut talk = Talk::open(cluster.supervisor_addr());
    talk.bad(r#"{"op":"admin","action":"shutdown","proc":"n1"}"#, "proc");
    assert!(talk.ok(&json!({"op": "admin", "action": "shutdown"}))["pid"].is_u64());
    let told: serde_json::Value = serde_json::from_str(&events.line()).expect("an event");
    assert_eq!((&told["event"], &told["action"]), (&json!("admin"), &json!("shutdown")), "{told}");
    wait_for("the end of all processes", CHANGE_MAX, || cluster.pids().is_empty().then_some(()));
}
