//! `explain`.

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};

checks! {
    541 explain_tells_where_a_key_lies
        "`explain` | `request` ... `hash`, `nodes`, `set`, `steps`: `[{name,where,us,note}]` with names `parse cache_lookup queue node_read batch prepare append sync vote cache_update reply`"
    542 explain_without_run_does_nothing
        "`request` (a get or an update; carried out only with `run:true`)"
    543 explain_with_run_carries_out
        "carried out only with `run:true` ... `total_us`"
    544 explain_is_strict_within
        "Unknown or duplicate request fields are `bad_request`, naming the `field`"
    545 explain_tells_refusals_as_errors
        r#"`{"ok":false,"code":"not_found","error":"one sentence that says what to do"}`"#
    546 explain_keeps_read_only
        "`read_only` optional: the server then refuses updates and admin on this connection"
    547 explain_knows_once
        "Every update may carry `once` ... returns the first one's result and never runs twice"
}

const NAMES: &[&str] = &[
    "parse",
    "cache_lookup",
    "queue",
    "node_read",
    "batch",
    "prepare",
    "append",
    "sync",
    "vote",
    "cache_update",
    "reply",
];

pub(super) fn explain(request: &Value, run: bool) -> Value {
    json!({"op": "explain", "request": request, "run": run})
}

fn steps(answer: &Value) -> &Vec<Value> {
    answer["steps"].as_array().unwrap_or_else(|| panic!("no steps: {answer}"))
}

/// The names of the steps at one place.
fn names_at<'a>(answer: &'a Value, place: &str) -> Vec<&'a str> {
    let there = steps(answer).iter().filter(|step| step["where"] == place);
    there.filter_map(|step| step["name"].as_str()).collect()
}

/// What holds of every list of steps; with `run`, there are times.
fn check_steps(answer: &Value, run: bool) {
    for step in steps(answer) {
        let name = step["name"].as_str().unwrap_or_default();
        assert!(NAMES.contains(&name) && step["note"].is_string(), "{step}");
        let place = step["where"].as_str().unwrap_or_default();
        let is_node = !place.is_empty() && place != "coordinator";
        let of_nodes = ["node_read", "prepare", "append", "sync", "vote"].contains(&name);
        assert_eq!(is_node, of_nodes, "{step}");
        let us = &step["us"];
        assert!(us.is_null() || run && us.is_u64(), "{step}");
        assert!(!run || is_node || us.is_u64(), "the coordinator's clock: {step}");
    }
    assert_eq!(answer["total_us"].is_u64(), run, "{answer}");
    let names: Vec<&Value> = steps(answer).iter().map(|step| &step["name"]).collect();
    assert_eq!((names.first(), names.last()), (Some(&&json!("parse")), Some(&&json!("reply"))));
}

/// The times at the coordinator, and those of the slowest of the nodes, are not more than all.
fn check_total(answer: &Value) {
    let us = |step: &Value| step["us"].as_u64().unwrap_or(0);
    let at = |place: &str| -> u64 {
        steps(answer).iter().filter(|step| step["where"] == place).map(us).sum()
    };
    let nodes = steps(answer).iter().filter_map(|step| step["where"].as_str());
    let slowest = nodes.filter(|place| *place != "coordinator").map(at).max().unwrap_or(0);
    let total = answer["total_us"].as_u64().expect("it was carried out");
    assert!(at("coordinator") + slowest <= total, "{answer}");
}

fn put(key: &str, value: &str) -> Value {
    json!({"op": "put", "key": key, "value": value})
}

fn get(key: &str) -> Value {
    json!({"op": "get", "key": key})
}

fn is_absent(talk: &mut Talk, key: &str) {
    talk.refused(get(key).to_string(), "not_found");
}

fn explain_tells_where_a_key_lies(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let located = talk.ok(&json!({"op": "locate", "key": key}));
    for request in [get(&key), put(&key, "v"), json!({"op": "del", "key": key})] {
        let answer = talk.ok(&json!({"op": "explain", "request": request}));
        for field in ["hash", "nodes", "set"] {
            assert_eq!(answer[field], located[field], "{field} of {answer}");
        }
        check_steps(&answer, false);
    }
    talk.ok(&put(&key, "v"));
    let hit = talk.ok(&explain(&get(&key), false));
    let located = talk.ok(&json!({"op": "locate", "key": key}));
    let read = names_at(&hit, "coordinator");
    assert_eq!(read == ["parse", "cache_lookup", "reply"], !located["way"].is_null(), "{hit}");
}

fn explain_without_run_does_nothing(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    for run in [json!({}), json!({"run": false})] {
        let mut request = run;
        request["op"] = json!("explain");
        request["request"] = put(&key, "v");
        let answer = talk.ok(&request);
        let nodes = answer["nodes"].as_array().expect("a list").clone();
        for node in nodes.iter().filter_map(Value::as_str) {
            assert_eq!(names_at(&answer, node), ["prepare", "append", "sync", "vote"], "{answer}");
        }
        is_absent(&mut talk, &key);
    }
}

fn explain_with_run_carries_out(site: &Site) {
    let (mut talk, a, b) = (site.open(), site.key(), site.key());
    let answer = talk.ok(&explain(&put(&a, "v"), true));
    check_steps(&answer, true);
    check_total(&answer);
    for node in answer["nodes"].as_array().expect("a list").iter().filter_map(Value::as_str) {
        assert_eq!(names_at(&answer, node), ["prepare", "append", "sync", "vote"], "{answer}");
    }
    let found = talk.ok(&get(&a));
    assert_eq!((&found["value"], &found["version"]), (&json!("v"), &answer["version"]));
    let read = talk.ok(&explain(&get(&a), true));
    check_steps(&read, true);
    check_total(&read);
    assert_eq!(read["version"], found["version"], "{read}");
    let writes = json!([put(&a, "w"), put(&b, "w")]);
    let tests = json!([{"key": a, "version": found["version"]}]);
    let txn = json!({"op": "txn", "if": tests, "then": writes, "timeout_ms": 30_000});
    let answer = talk.ok(&explain(&txn, true));
    check_steps(&answer, true);
    check_total(&answer);
    assert_eq!(talk.ok(&get(&b))["version"], answer["version"]);
    // Sent together, they keep the order of their connection.
    let [.., after] = &talk.ask_all(&[put(&a, "x"), explain(&get(&a), true), get(&a)])[..] else {
        panic!("three answers");
    };
    assert_eq!(after["value"], "x");
}

fn explain_is_strict_within(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let line = |request: Value| explain(&request, true).to_string();
    talk.bad(json!({"op": "explain"}).to_string(), "request");
    talk.bad(line(json!("get")), "request");
    talk.bad(line(json!({"op": "get"})), "request.key");
    talk.bad(line(json!({"op": "get", "key": key, "ky": 1})), "request.ky");
    talk.bad(line(json!({"op": "put", "key": key})), "request.value");
    talk.bad(line(json!({"op": "status"})), "request.op");
    talk.bad(line(explain(&get(&key), false)), "request.op");
    talk.bad(
        line(json!({"op": "txn", "then": [{"op": "put", "key": key}]})),
        "request.then[0].value",
    );
    let twice = format!(r#"{{"op":"explain","request":{{"op":"get","key":"{key}","key":"b"}}}}"#);
    talk.bad(twice, "request.key");
    let mut wrong = explain(&get(&key), true);
    wrong["run"] = json!(1);
    talk.bad(wrong.to_string(), "run");
    let long = json!({"op": "get", "key": "k".repeat(257)});
    talk.refused(line(long), "too_large");
    talk.lives();
    is_absent(&mut talk, &key);
}

fn explain_tells_refusals_as_errors(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let refused = |talk: &mut Talk, request: &Value, code: &str| {
        let answer = talk.refused(explain(request, true).to_string(), code);
        check_steps(&answer, true);
        answer
    };
    refused(&mut talk, &get(&key), "not_found");
    refused(&mut talk, &json!({"op": "update", "key": key, "value": "v"}), "not_found");
    let version = talk.ok(&put(&key, "v"))["version"].clone();
    let answer = refused(
        &mut talk,
        &json!({"op": "put", "key": key, "value": "w", "if_absent": true}),
        "exists",
    );
    assert_eq!(answer["version"], version);
    let cas = json!({"op": "cas", "key": key, "value": "w", "version": "1.99999999"});
    refused(&mut talk, &cas, "version_mismatch");
    assert_eq!(talk.ok(&get(&key))["version"], version);
    talk.lives();
}

fn explain_keeps_read_only(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    talk.ok(&json!({"op": "hello", "read_only": true}));
    talk.refused(explain(&put(&key, "v"), true).to_string(), "forbidden");
    talk.ok(&explain(&put(&key, "v"), false));
    talk.refused(explain(&get(&key), true).to_string(), "not_found");
    talk.ok(&explain(&get(&key), false));
    is_absent(&mut talk, &key);
}

fn explain_knows_once(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let mut update = put(&key, "v");
    update["once"] = json!(format!("once-{key}-0123456789"));
    let first = talk.ok(&explain(&update, true))["version"].clone();
    assert!(first.is_string());
    assert_eq!(talk.ok(&explain(&update, true))["version"], first);
    assert_eq!(talk.ok(&update)["version"], first, "it is the same request");
    assert_eq!(talk.ok(&get(&key))["version"], first);
    let mut outside = explain(&put(&key, "v"), true);
    outside["once"] = update["once"].clone();
    talk.bad(outside.to_string(), "once");
}
