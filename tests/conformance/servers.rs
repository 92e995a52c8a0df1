//! What a server says of itself, and whom it does not talk to.

use std::time::Duration;

use serde_json::{Value, json};

use super::malformed::ports;
use super::talk::{Talk, shown};
use super::{Site, checks};
use crate::e2e::procs::wait_for;

/// For a machine that stalls; a node counts within two heartbeats.
const COUNTED_MAX: Duration = Duration::from_secs(60);

checks! {
    701 hello_tells_who_is_there
        "`hello` | `client`, `read_only` optional ... `server`, `protocol`, `cluster`, `limits`"
    702 a_read_only_connection_changes_nothing
        "`read_only` optional: the server then refuses updates and admin on this connection",
        "`forbidden` | | credentials, or a read-only connection | pointless"
    703 read_only_is_for_ever
        "`read_only` optional: the server then refuses updates and admin on this connection"
    711 status_of_the_cluster
        "`cluster` (`uuid`, `name`, `replicas`, `tokens`, `limits`, times)"
    712 status_of_the_coordinator
        "`coordinator` (`name`, `epoch`, `uptime_ms`, `state`: `claiming fencing recovering active standby`)"
    713 status_of_the_ring
        "`ring` (`epoch`, `points`: list of `{hash,node}`)",
        "Ids and hashes are 16 lower-case hex digits"
    714 status_of_the_nodes
        "`nodes` (list of `{name,id,uuid,version,state,addr,pid,supervisor,incarnation,heartbeat_age_ms,heartbeats,keys_primary,keys_replica,cache:{hits,misses,evictions,sets,ways},log_bytes,fsync_us,undecided}`)",
        "Node states: ... `up`",
        "Ids and hashes are 16 lower-case hex digits"
    715 status_of_the_cache
        "`cache` (`sets`, `ways`, `hits`, `misses`, `evictions`)"
    716 status_counts_operations
        "`ops` (counters by op and outcome, and rates over the last 5 s)"
    717 status_of_all_else
        "`txns` (counts by state), `copies` (keys by number of live copies), `keys_in_doubt`, `changes` ... `incidents`, `supervisor` (address or null)"
    718 limits_are_those_of_the_contract
        "`cluster` (`uuid`, `name`, `replicas`, `tokens`, `limits`, times)"
    721 a_browser_is_told_and_left
        "a first line that starts with an HTTP method (answered with one fixed `HTTP/1.1 400` text that names `piazza console`"
    722 a_browser_is_told_on_every_port
        "the same guard on every TCP port"
    723 only_a_first_line_is_taken_for_http
        "a first line that starts with an HTTP method"
    731 the_supervisor_speaks_the_same_lines
        "same line protocol"
}

const METHODS: &str = "GET POST PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE";

fn hello_tells_who_is_there(site: &Site) {
    let mut talk = site.open();
    for request in [
        json!({"op": "hello"}),
        json!({"op": "hello", "client": "conformance"}),
        json!({"op": "hello", "client": "", "read_only": false}),
    ] {
        let answer = talk.ok(&request);
        assert_eq!(answer["protocol"], 1, "{answer}");
        assert!(answer["server"].as_str().is_some_and(|s| s.starts_with("piazza")), "{answer}");
        assert!(answer["limits"].is_object(), "{answer}");
        let cluster = answer["cluster"].as_str().unwrap_or_default();
        assert_eq!(site.status()["cluster"]["uuid"], *cluster, "{answer}");
    }
}

fn a_read_only_connection_changes_nothing(site: &Site) {
    let (mut talk, mut other, key) = (site.open(), site.open(), site.key());
    let version = other.ok(&json!({"op": "put", "key": key, "value": "1"}))["version"].clone();
    talk.ok(&json!({"op": "hello", "read_only": true}));
    for update in [
        json!({"op": "put", "key": key, "value": "2"}),
        json!({"op": "put", "key": key, "value": "2", "once": format!("{key:->20}")}),
        json!({"op": "update", "key": key, "value": "2"}),
        json!({"op": "cas", "key": key, "value": "2", "version": version}),
        json!({"op": "del", "key": key}),
        json!({"op": "txn", "if": [], "then": [{"op": "put", "key": key, "value": "2"}]}),
    ] {
        talk.refused(update.to_string(), "forbidden");
    }
    let expected = json!({"value": "1", "version": version});
    assert_eq!(talk.ok(&json!({"op": "mget", "keys": [key]}))["values"][0], expected);
    assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["value"], "1");
    assert_eq!(talk.ok(&json!({"op": "scan", "prefix": key}))["items"][0]["version"], version);
    talk.ok(&json!({"op": "outcome", "version": version}));
    talk.ok(&json!({"op": "watch", "key": key}));
    talk.ok(&json!({"op": "status"}));
    // It is this connection's alone.
    let version = other.ok(&json!({"op": "put", "key": key, "value": "3"}))["version"].clone();
    assert_eq!(talk.watched()["version"], version);
}

fn read_only_is_for_ever(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let put = json!({"op": "put", "key": key, "value": "1"});
    let answers = talk.ask_all(&[
        json!({"op": "hello", "read_only": false}),
        put.clone(),
        json!({"op": "hello", "read_only": true}),
        put.clone(),
        json!({"op": "hello"}),
        put.clone(),
        json!({"op": "hello", "read_only": false}),
        put,
    ]);
    let codes: Vec<&Value> = answers.iter().map(|answer| &answer["code"]).collect();
    let (none, forbidden) = (Value::Null, json!("forbidden"));
    assert_eq!(codes[..4], [&none, &none, &none, &forbidden], "{answers:?}");
    assert_eq!((codes[5], codes[7]), (&forbidden, &forbidden), "{answers:?}");
}

/// Whether `value` is so many lower-case hex digits.
pub(super) fn is_hex(value: &Value, digits: usize) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    value.as_str().is_some_and(|text| text.len() == digits && text.bytes().all(hex))
}

/// All these fields are there, whatever they hold.
pub(super) fn has(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(object.get(field).is_some(), "no {field} in {object}");
    }
}

/// All these fields are numbers.
pub(super) fn counts(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(object[field].is_u64(), "{field} is no number in {object}");
    }
}

fn status_of_the_cluster(site: &Site) {
    let cluster = site.status()["cluster"].clone();
    assert!(cluster["uuid"].is_string() && cluster["name"].is_string(), "{cluster}");
    counts(&cluster, "replicas tokens heartbeat_ms lease_ms");
    assert!(cluster["limits"].is_object(), "{cluster}");
}

fn status_of_the_coordinator(site: &Site) {
    let coordinator = site.status()["coordinator"].clone();
    assert!(coordinator["name"].is_string(), "{coordinator}");
    counts(&coordinator, "epoch uptime_ms");
    assert_eq!(coordinator["state"], "active", "{coordinator}");
}

fn status_of_the_ring(site: &Site) {
    let status = site.status();
    let ring = &status["ring"];
    has(ring, "epoch points");
    let points = ring["points"].as_array().expect("a list");
    let nodes = status["nodes"].as_array().expect("a list");
    assert!(!points.is_empty() && points.is_sorted_by_key(|point| point["hash"].to_string()));
    for point in points {
        assert!(is_hex(&point["hash"], 16), "{point}");
        assert!(nodes.iter().any(|node| node["name"] == point["node"]), "{point}");
    }
}

fn status_of_the_nodes(site: &Site) {
    // One that has just started has not counted its keys yet.
    let status = wait_for("all nodes to have counted their keys", COUNTED_MAX, || {
        let status = site.status();
        let nodes = status["nodes"].as_array()?;
        nodes.iter().all(|node| node["keys_primary"].is_number()).then_some(status)
    });
    for node in status["nodes"].as_array().expect("a list") {
        has(node, "name id uuid version state addr pid supervisor incarnation heartbeat_age_ms");
        has(node, "heartbeats keys_primary keys_replica cache log_bytes fsync_us undecided");
        assert!(is_hex(&node["id"], 16) && node["uuid"].is_string(), "{node}");
        assert_eq!(node["state"], "up", "{node}");
        counts(node, "pid incarnation heartbeat_age_ms heartbeats keys_primary keys_replica");
        counts(node, "log_bytes fsync_us undecided");
        counts(&node["cache"], "hits misses evictions sets ways");
    }
}

fn status_of_the_cache(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let count = |talk: &mut Talk, field: &str| {
        let cache = talk.ok(&json!({"op": "status"}))["cache"].clone();
        counts(&cache, "sets ways hits misses evictions");
        cache[field].as_u64().expect("a number")
    };
    let before = count(&mut talk, "misses");
    for _ in 0..10 {
        talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
    }
    // Nobody else asks for anything here.
    let missed = count(&mut talk, "misses") - before;
    assert!((1..=10).contains(&missed), "{missed} misses of ten reads");
    let before = count(&mut talk, "hits");
    talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    for _ in 0..10 {
        talk.ok(&json!({"op": "get", "key": key}));
    }
    assert!(count(&mut talk, "hits") > before, "ten reads of a key in a row");
}

fn status_counts_operations(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let ops = |talk: &mut Talk| talk.ok(&json!({"op": "status"}))["ops"].clone();
    let count =
        |ops: &Value, op: &str, outcome: &str| ops["total"][op][outcome].as_u64().unwrap_or(0);
    let before = ops(&mut talk);
    talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    talk.refused(json!({"op": "get", "key": format!("{key}x")}).to_string(), "not_found");
    talk.refused(
        json!({"op": "put", "key": key, "value": "1", "if_absent": true}).to_string(),
        "exists",
    );
    let after = ops(&mut talk);
    for (op, outcome) in [("put", "ok"), ("get", "not_found"), ("put", "exists")] {
        assert!(
            count(&after, op, outcome) > count(&before, op, outcome),
            "{op} {outcome}: {after}"
        );
    }
    assert!(after["per_s"].as_object().is_some_and(|rates| rates.values().all(Value::is_number)));
}

fn status_of_all_else(site: &Site) {
    let mut talk = site.open();
    let status = talk.ok(&json!({"op": "status", "id": "s"}));
    has(&status, "txns copies keys_in_doubt changes incidents supervisor");
    let counts_all = |counts: &Value| {
        counts.as_object().is_some_and(|counts| counts.values().all(Value::is_u64))
    };
    assert!(counts_all(&status["txns"]), "{}", status["txns"]);
    assert!(counts_all(&status["copies"]), "{}", status["copies"]);
    counts(&status, "keys_in_doubt");
    assert!(status["changes"].is_array() && status["incidents"].is_array());
    assert_eq!(status["incidents"], json!([]), "a defect was met");
    let supervisor = &status["supervisor"];
    assert!(supervisor.is_null() || supervisor.as_str().is_some_and(|a| a.contains(':')));
}

fn limits_are_those_of_the_contract(site: &Site) {
    let limits = site.open().ok(&json!({"op": "hello"}))["limits"].clone();
    assert_eq!(site.status()["cluster"]["limits"], limits);
    let mut told: Vec<u64> =
        limits.as_object().expect("an object").values().filter_map(Value::as_u64).collect();
    // Whatever they are called: key, value, line, nesting, in flight (two), connections,
    // subscribers, idle, line time, stalled, deadline.
    let contract =
        [256, 1 << 20, 3 << 19, 8, 1_024, 4 << 20, 4_096, 16, 300_000, 30_000, 30_000, 5_000];
    for limit in contract {
        let at = told.iter().position(|told| *told == limit);
        told.remove(at.unwrap_or_else(|| panic!("no limit is {limit}: {limits}")));
    }
}

fn a_browser_is_told_and_left(site: &Site) {
    let mut texts = Vec::new();
    for method in METHODS.split(' ') {
        for rest in ["/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "* HTTP/1.0\n", "\n"] {
            let mut talk = site.open();
            talk.send(format!("{method} {rest}"));
            texts.push(talk.rest());
        }
    }
    // Blank lines do not count, and a last line needs no newline.
    let mut talk = site.open();
    talk.send("\r\n\nGET / HTTP/1.1\r\n\r\n");
    texts.push(talk.rest());
    let mut talk = site.open();
    talk.send("POST / HTTP/1.1");
    talk.end_input();
    texts.push(talk.rest());
    for text in &texts {
        let told = String::from_utf8_lossy(text);
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("piazza console"), "{told}");
        assert_eq!(text, &texts[0], "one fixed text");
    }
}

fn a_browser_is_told_on_every_port(site: &Site) {
    let mut first: Option<Vec<u8>> = None;
    for port in ports(site) {
        for method in METHODS.split(' ') {
            let mut talk = Talk::open(port.addr);
            talk.send(format!("{method} / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"));
            let text = talk.rest();
            let told = shown(&text);
            let names = told.starts_with("HTTP/1.1 400 ") && told.contains("piazza console");
            assert!(names, "{method} at the {} port: {told}", port.name);
            let fixed = first.get_or_insert_with(|| text.clone());
            assert_eq!(shown(fixed), told, "one fixed text, at the {} port too", port.name);
        }
    }
}

fn only_a_first_line_is_taken_for_http(site: &Site) {
    let mut talk = site.open();
    talk.send("{\"op\":\"hello\"}\nGET / HTTP/1.1\r\nHost: a\r\n\r\n{\"op\":\"hello\",\"id\":9}\n");
    assert_eq!(talk.answer()["ok"], true);
    assert_eq!(talk.answer()["code"], "bad_request");
    assert_eq!(talk.answer()["code"], "bad_request");
    assert_eq!(talk.answer()["id"], 9);
    for no_method in ["GETTING", "get / HTTP/1.1", "GE", "{\"op\":\"GET \"}"] {
        let mut talk = site.open();
        talk.refused(no_method, "bad_request");
        talk.lives();
    }
}

fn the_supervisor_speaks_the_same_lines(site: &Site) {
    let Some(port) = ports(site).into_iter().find(|port| port.name == "supervisor") else {
        println!("    SKIPPED: only a cluster of its own is known to have a supervisor here");
        return;
    };
    let mut talk = Talk::open(port.addr);
    talk.send("\n\r\n{\"op\":\"hello\",\"id\":-9223372036854775808}\r\n");
    let answer = talk.answer();
    assert_eq!((&answer["ok"], &answer["id"]), (&json!(true), &json!(i64::MIN)), "{answer}");
    assert_eq!(talk.ok(&json!({"op": "hello", "id": "a b"}))["id"], "a b");
    for (line, field) in [
        (r#"{"op":"hello","colour":1}"#, "colour"),
        (r#"{"op":"hello","op":"hello"}"#, "op"),
        (r#"{"op":"dance"}"#, "op"),
        (r#"{"op":"hello","timeout_ms":0}"#, "timeout_ms"),
        (r#"{"op":"hello","timeout_ms":60001}"#, "timeout_ms"),
        (r#"{"op":"hello","id":1.5}"#, "id"),
        (r#"{"op":"admin"}"#, "action"),
        (r#"{"op":"admin","action":"dance"}"#, "action"),
    ] {
        talk.bad(line, field);
        talk.lives();
    }
    for line in [&b"{"[..], b"[]", b"\xff", b"{\"op\":\"\xff\"}", b"hello", b"\0"] {
        talk.refused(line, "bad_request");
        talk.lives();
    }
    let answer = talk.refused("x".repeat(2 << 20), "too_large");
    assert_eq!((&answer["what"], &answer["actual"]), (&json!("line"), &json!(2 << 20)));
    talk.send(r#"{"op":"hello","id":"last"}"#);
    talk.end_input();
    assert_eq!(talk.answer()["id"], "last");
    talk.closes();
}
