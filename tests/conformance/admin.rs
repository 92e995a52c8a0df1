//! `admin` at the coordinator, as far as it changes nothing; `auth` without tokens; `locate`. What is done to processes is in `broken`.

use serde_json::{Value, json};

use super::servers::{counts, is_hex};
use super::{Site, checks};

checks! {
    771 a_change_of_the_membership_is_refused_with_a_reason
        "**Coordinator** (membership), each with `dry_run:true` and `if_ring_epoch`",
        "`evict {node}`, `remove {node}`",
        "`add {}`, `rebalance`, `repair`, `scrub {}`, `cancel {change}`, `set {name,value}`",
        "`refused` says why",
        "`refused` ... | `reason` ... | admin (section 4)"
    772 admin_is_read_strictly
        "**Coordinator** (membership), each with `dry_run:true` and `if_ring_epoch`",
        "`evict {node}`, `remove {node}` ... `add {}`, `rebalance`, `repair`, `scrub {}`, `cancel {change}`, `set {name,value}`"
    773 a_read_only_connection_is_no_admin
        "`admin` | section 4 | | `forbidden`, ..."
    774 without_tokens_everybody_is_admin
        "None set: everybody on loopback is admin, and"
    775 a_change_is_made_under_one_ring_only
        "with `dry_run:true` and `if_ring_epoch` (else `conflict`)"
    776 a_dry_run_changes_nothing
        "each with `dry_run:true` and"
    777 the_ring_that_is_may_be_named
        "each with `dry_run:true` and `if_ring_epoch` (else `conflict`)"
    781 locate_tells_where_a_key_lies
        "`locate` | `key` ... `hash` (16 hex digits), `nodes` (names, primary first), `set`, `way` (or `null`)"
    782 locate_asks_every_copy
        "`locate` | `key`; `copies:true` optional ... `copies`: `[{node,role,state,version,cached,undecided}]`"
}

/// Every change, with what it needs.
const CHANGES: &[&str] = &[
    r#""action":"evict","node":"n1""#,
    r#""action":"remove","node":"n1""#,
    r#""action":"add""#,
    r#""action":"rebalance""#,
    r#""action":"repair""#,
    r#""action":"scrub""#,
    r#""action":"cancel","change":"c7""#,
    r#""action":"set","name":"evict_after_ms","value":5000"#,
    r#""action":"set","name":"copy_bytes_per_s","value":5000"#,
];

fn a_change_of_the_membership_is_refused_with_a_reason(site: &Site) {
    let mut talk = site.open();
    let before = site.status();
    for (change, code) in [
        (r#""action":"evict","node":"nobody""#, "no_such_node"),
        (r#""action":"remove","node":"nobody""#, "no_such_node"),
        (r#""action":"cancel","change":"c0""#, "already"),
    ] {
        for more in ["", r#","dry_run":true"#] {
            let line = format!(r#"{{"op":"admin",{change}{more},"id":"a"}}"#);
            let answer = talk.refused(line, code);
            assert!(answer["reason"].is_string() && answer["id"] == "a", "{answer}");
        }
    }
    let after = site.status();
    assert_eq!((&before["ring"], &before["changes"]), (&after["ring"], &after["changes"]));
}

fn a_change_is_made_under_one_ring_only(site: &Site) {
    let mut talk = site.open();
    let before = site.status();
    for change in CHANGES {
        let line = format!(r#"{{"op":"admin",{change},"if_ring_epoch":"1048575.7"}}"#);
        talk.refused(line, "conflict");
    }
    let after = site.status();
    assert_eq!((&before["ring"], &before["changes"]), (&after["ring"], &after["changes"]));
}

fn a_dry_run_changes_nothing(site: &Site) {
    let mut talk = site.open();
    let before = site.status();
    for change in [
        r#""action":"add""#,
        r#""action":"rebalance""#,
        r#""action":"repair""#,
        r#""action":"scrub""#,
        r#""action":"set","name":"evict_after_ms","value":123456"#,
        r#""action":"set","name":"copy_bytes_per_s","value":1"#,
    ] {
        let line = format!(r#"{{"op":"admin",{change},"dry_run":true}}"#);
        let request: Value = serde_json::from_str(&line).expect("JSON");
        assert!(talk.ok(&request)["change"].is_null(), "{line}");
    }
    let after = site.status();
    for part in ["ring", "changes"] {
        assert_eq!(before[part], after[part]);
    }
    let setting = |status: &Value| status["cluster"]["evict_after_ms"].clone();
    assert_eq!(setting(&before), setting(&after));
}

/// What would be done under the ring that there is, and is not done.
fn the_ring_that_is_may_be_named(site: &Site) {
    let mut talk = site.open();
    let before = site.status();
    let ring = &before["ring"]["epoch"];
    let ring = format!("{}.{}", ring["epoch"], ring["counter"]);
    let node = &before["nodes"][0]["name"];
    for change in [
        json!({"action": "evict", "node": node}),
        json!({"action": "remove", "node": node}),
        json!({"action": "add"}),
        json!({"action": "rebalance"}),
        json!({"action": "repair"}),
        json!({"action": "scrub"}),
        json!({"action": "set", "name": "evict_after_ms", "value": 123_456}),
        json!({"action": "set", "name": "copy_bytes_per_s", "value": 1}),
    ] {
        let mut request = change.clone();
        (request["op"], request["dry_run"]) = (json!("admin"), json!(true));
        request["if_ring_epoch"] = json!(ring);
        assert!(talk.ok(&request)["change"].is_null(), "{request}");
    }
    let after = site.status();
    for part in ["ring", "changes"] {
        assert_eq!(before[part], after[part]);
    }
    assert_eq!(before["cluster"]["evict_after_ms"], after["cluster"]["evict_after_ms"]);
}

fn admin_is_read_strictly(site: &Site) {
    let mut talk = site.open();
    for (line, field) in [
        (r#"{"op":"admin"}"#, "action"),
        (r#"{"op":"admin","action":"dance"}"#, "action"),
        (r#"{"op":"admin","action":"evict"}"#, "node"),
        (r#"{"op":"admin","action":"remove"}"#, "node"),
        (r#"{"op":"admin","action":"remove","node":7}"#, "node"),
        (r#"{"op":"admin","action":"add","node":"n1"}"#, "node"),
        (r#"{"op":"admin","action":"cancel"}"#, "change"),
        (r#"{"op":"admin","action":"set","value":1}"#, "name"),
        (r#"{"op":"admin","action":"set","name":"evict_after_ms"}"#, "value"),
        (r#"{"op":"admin","action":"set","name":"colour","value":1}"#, "name"),
        (r#"{"op":"admin","action":"set","name":"copy_bytes_per_s","value":0}"#, "value"),
        (r#"{"op":"admin","action":"scrub","node":"n1"}"#, "node"),
        (r#"{"op":"admin","action":"repair","dry_run":1}"#, "dry_run"),
        (r#"{"op":"admin","action":"repair","if_ring_epoch":true}"#, "if_ring_epoch"),
        (r#"{"op":"admin","action":"repair","colour":1}"#, "colour"),
    ] {
        talk.bad(line, field);
        talk.lives();
    }
}

fn a_read_only_connection_is_no_admin(site: &Site) {
    let mut talk = site.open();
    talk.ok(&json!({"op": "hello", "read_only": true}));
    for change in CHANGES {
        talk.refused(format!(r#"{{"op":"admin",{change}}}"#), "forbidden");
    }
}

fn without_tokens_everybody_is_admin(site: &Site) {
    if site.own.is_none() {
        println!("    SKIPPED: somebody else's cluster may have tokens");
        return;
    }
    assert_eq!(site.open().ok(&json!({"op": "auth", "token": "x"}))["role"], "admin");
    site.open().bad(r#"{"op":"auth"}"#, "token");
}

fn locate_tells_where_a_key_lies(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let locate = json!({"op": "locate", "key": key});
    let answer = talk.ok(&locate);
    let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
    assert!(answer["hash"] == hash && is_hex(&answer["hash"], 16), "{answer}");
    assert!(answer.get("way").is_some_and(Value::is_null), "it was never read: {answer}");
    assert_eq!(answer.get("copies"), None, "{answer}");
    let status = site.status();
    assert!(answer["set"].as_u64() < status["cache"]["sets"].as_u64(), "{answer}");
    // The ring that `status` shows, walked by hand.
    let points = status["ring"]["points"].as_array().expect("a list");
    let first = points.iter().position(|point| point["hash"].as_str() >= Some(&hash)).unwrap_or(0);
    let mut nodes: Vec<&Value> = Vec::new();
    for point in points.iter().cycle().skip(first).take(points.len()) {
        if !nodes.contains(&&point["node"]) {
            nodes.push(&point["node"]);
        }
    }
    nodes.truncate(status["cluster"]["replicas"].as_u64().expect("a number") as usize);
    assert_eq!(answer["nodes"], json!(nodes));
    talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    talk.ok(&json!({"op": "get", "key": key}));
    let answer = talk.ok(&locate);
    assert!(answer["way"].as_u64() < status["cache"]["ways"].as_u64(), "{answer}");
    talk.bad(r#"{"op":"locate"}"#, "key");
}

fn locate_asks_every_copy(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let version = talk.ok(&json!({"op": "put", "key": key, "value": "1"}))["version"].clone();
    let answer = talk.ok(&json!({"op": "locate", "key": key, "copies": true}));
    let (nodes, copies) = (&answer["nodes"], answer["copies"].as_array().expect("a list"));
    assert_eq!(copies.len(), nodes.as_array().expect("a list").len());
    for (at, copy) in copies.iter().enumerate() {
        let role = if at == 0 { "primary" } else { "replica" };
        assert_eq!((&copy["node"], &copy["role"]), (&nodes[at], &json!(role)), "{copy}");
        assert_eq!((&copy["state"], &copy["version"]), (&json!("up"), &version), "{copy}");
        counts(copy, "undecided");
        assert!(copy["cached"].is_boolean(), "{copy}");
    }
    let none = talk.ok(&json!({"op": "locate", "key": site.key(), "copies": true}));
    let copies = none["copies"].as_array().expect("a list");
    assert!(copies.iter().all(|copy| copy["version"].is_null()), "{none}");
    talk.bad(json!({"op": "locate", "key": key, "copies": 1}).to_string(), "copies");
}
