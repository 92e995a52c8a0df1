//! What a user meets who talks to the port by hand, or with a program of ten lines.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::wire::{Conn, Reply};

#[test]
fn conversation() {
    let cluster = Cluster::start("conversation", 2, 2, &[]);
    let open = || Conn::open(cluster.addr()).expect("the cluster is ready");
    a_one_liner_is_answered_and_closed(open());
    a_last_line_without_newline_is_run(open());
    answers_come_in_the_order_of_requests_with_their_ids(open());
    a_read_sees_the_update_before_it(open());
    bad_lines_are_answered_and_the_connection_lives_on(open());
    blank_lines_and_carriage_returns_are_ignored(open());
    a_browser_is_told_and_left(open());
    updates_say_what_they_found(open());
    conditions_are_met_or_say_why_not(open());
}

/// The answers of `lines`, sent together.
fn answers(conn: &mut Conn, lines: &[Value]) -> Vec<Value> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    conn.send(text).expect("sending");
    lines.iter().map(|line| receive(conn, &line.to_string())).collect()
}

fn receive(conn: &mut Conn, about: &str) -> Value {
    conn.receive().unwrap_or_else(|error| panic!("no answer to {about}: {error}"))
}

/// `printf '{"op":"get","key":"a"}\n' | nc -q1 127.0.0.1 8080`
fn a_one_liner_is_answered_and_closed(mut conn: Conn) {
    conn.send("{\"op\":\"get\",\"key\":\"never-put\"}\n").expect("sending");
    conn.end_of_input().expect("closing one side");
    let answer = receive(&mut conn, "a get");
    assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!("not_found")), "{answer}");
    assert!(answer["error"].is_string(), "a sentence for a person: {answer}");
    assert_eq!(conn.receive_rest().expect("a clean end"), "");
}

fn a_last_line_without_newline_is_run(mut conn: Conn) {
    conn.send("{\"op\":\"put\",\"key\":\"last\",\"value\":\"1\"}\n").expect("sending");
    conn.send("{\"op\":\"get\",\"key\":\"last\"}").expect("sending");
    conn.end_of_input().expect("closing one side");
    assert_eq!(receive(&mut conn, "a put")["ok"], true);
    assert_eq!(receive(&mut conn, "a get")["value"], "1");
    assert_eq!(conn.receive_rest().expect("a clean end"), "");
}

fn answers_come_in_the_order_of_requests_with_their_ids(mut conn: Conn) {
    // Slow ones (puts) between quick ones (gets), and one that is wrong.
    let requests: Vec<Value> = (0..200)
        .map(|number| match number % 4 {
            0 => json!({"op": "put", "key": format!("k{number}"), "value": "v", "id": number}),
            1 => json!({"op": "get", "key": "k0", "id": format!("text {number}")}),
            2 => json!({"op": "del", "key": "nobody", "id": -number}),
            _ => json!({"op": "dance", "id": number}),
        })
        .collect();
    for (request, answer) in requests.iter().zip(answers(&mut conn, &requests)) {
        assert_eq!(answer["id"], request["id"], "{request}: {answer}");
    }
    let big = json!({"op": "get", "key": "k0", "id": u64::MAX});
    assert_eq!(answers(&mut conn, &[big])[0]["id"], u64::MAX);
    let none = json!({"op": "get", "key": "k0"});
    assert_eq!(answers(&mut conn, &[none])[0].get("id"), None, "no id asked, none answered");
}

fn a_read_sees_the_update_before_it(mut conn: Conn) {
    for number in 0..100 {
        let value = number.to_string();
        let put = json!({"op": "put", "key": "pipelined", "value": value});
        let get = json!({"op": "get", "key": "pipelined"});
        let del = json!({"op": "del", "key": "pipelined"});
        let all = answers(&mut conn, &[put, get.clone(), del, get]);
        assert_eq!(all[0]["ok"], true, "{}", all[0]);
        assert_eq!((&all[1]["value"], &all[1]["version"]), (&json!(value), &all[0]["version"]));
        assert_eq!(all[2]["ok"], true, "{}", all[2]);
        assert_eq!(all[3]["code"], "not_found", "{}", all[3]);
    }
}

fn bad_lines_are_answered_and_the_connection_lives_on(mut conn: Conn) {
    let long = format!("{{\"op\":\"get\",\"key\":\"{}\"}}", "x".repeat(2 << 20));
    let long_key = format!("{{\"op\":\"get\",\"key\":\"{}\"}}", "x".repeat(257));
    let deep = format!("{{\"op\":\"get\",\"key\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let bad: &[(&str, &[u8])] = &[
        ("broken JSON", b"{\"op\":\"get\",\"key\":"),
        ("no object", b"[1,2]"),
        ("a bare word", b"hello"),
        ("no op", b"{\"key\":\"a\"}"),
        ("no key", b"{\"op\":\"get\"}"),
        ("an unknown op", b"{\"op\":\"dance\",\"key\":\"a\"}"),
        ("a wrong type", b"{\"op\":\"get\",\"key\":7}"),
        ("an unknown field", b"{\"op\":\"get\",\"key\":\"a\",\"colour\":1}"),
        ("a duplicate field", b"{\"op\":\"get\",\"key\":\"a\",\"key\":\"b\"}"),
        ("an empty key", b"{\"op\":\"get\",\"key\":\"\"}"),
        ("invalid UTF-8", b"{\"op\":\"get\",\"key\":\"\xff\xfe\"}"),
        ("something behind", b"{\"op\":\"get\",\"key\":\"a\"} {}"),
        ("no value", b"{\"op\":\"put\",\"key\":\"a\"}"),
        ("two values", b"{\"op\":\"put\",\"key\":\"a\",\"value\":\"\",\"value_b64\":\"\"}"),
        ("bad base64", b"{\"op\":\"put\",\"key\":\"a\",\"value_b64\":\"?\"}"),
        ("a lone surrogate", b"{\"op\":\"get\",\"key\":\"\\ud800\"}"),
        ("a NUL", b"\0"),
        ("a key too long", long_key.as_bytes()),
        ("nested too deep", deep.as_bytes()),
        ("a line too long", long.as_bytes()),
    ];
    for (what, line) in bad {
        conn.send([line, &b"\n"[..]].concat()).expect("sending");
        let answer = receive(&mut conn, what);
        let code = answer["code"].as_str().unwrap_or_default();
        assert_eq!(answer["ok"], false, "{what}: {answer}");
        assert!(matches!(code, "bad_request" | "too_large"), "{what}: {answer}");
        assert!(answer["error"].is_string(), "{what}: {answer}");
        assert!(matches!(conn.put("alive", what), Reply::Ok(_)), "the connection, after {what}");
    }
}

fn blank_lines_and_carriage_returns_are_ignored(mut conn: Conn) {
    conn.send("\n\r\n\n{\"op\":\"get\",\"key\":\"nobody\",\"id\":1}\r\n\n").expect("sending");
    conn.send("{\"op\":\"get\",\"key\":\"nobody\",\"id\":2}\n").expect("sending");
    assert_eq!(receive(&mut conn, "the first")["id"], 1);
    assert_eq!(receive(&mut conn, "the second")["id"], 2);
}

fn a_browser_is_told_and_left(mut conn: Conn) {
    conn.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
    let text = conn.receive_rest().expect("an answer, then the end");
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert!(text.contains("piazza console"), "{text}");
}

fn updates_say_what_they_found(mut conn: Conn) {
    let key = "story";
    let all = answers(
        &mut conn,
        &[
            json!({"op": "del", "key": key}),
            json!({"op": "put", "key": key, "value": "1"}),
            json!({"op": "get", "key": key}),
            json!({"op": "put", "key": key, "value": "2"}),
            json!({"op": "del", "key": key}),
            json!({"op": "get", "key": key}),
            json!({"op": "del", "key": key}),
        ],
    );
    let codes: Vec<&Value> = all.iter().map(|answer| &answer["code"]).collect();
    let (none, absent) = (Value::Null, json!("not_found"));
    let expected = [&absent, &none, &none, &none, &none, &absent, &absent];
    assert_eq!(codes, expected, "{all:?}");
    assert_eq!(all[2]["value"], "1");
    assert_eq!(all[2]["version"], all[1]["version"]);
    assert_ne!(all[3]["version"], all[1]["version"]);
}

fn conditions_are_met_or_say_why_not(mut conn: Conn) {
    let (a, b) = ("condition-a", "condition-b");
    let put = json!({"op": "put", "key": a, "value": "1", "if_absent": true});
    let update = json!({"op": "update", "key": b, "value": "1"});
    let all = answers(&mut conn, &[put.clone(), put, update]);
    let first = &all[0]["version"];
    assert_eq!((&all[1]["code"], &all[1]["version"]), (&json!("exists"), first), "{all:?}");
    assert_eq!(all[2]["code"], "not_found", "{all:?}");
    let all = answers(
        &mut conn,
        &[
            json!({"op": "cas", "key": a, "value": "2", "version": first}),
            json!({"op": "cas", "key": a, "value": "3", "version": first}),
            json!({"op": "del", "key": a, "version": first}),
            json!({"op": "mget", "keys": [a, b, a]}),
        ],
    );
    let second = &all[0]["version"];
    for refused in &all[1..3] {
        assert_eq!(refused["code"], "version_mismatch", "{refused}");
        assert_eq!((&refused["version"], &refused["key"]), (second, &json!(a)), "{refused}");
    }
    let there = json!({"value": "2", "version": second});
    assert_eq!(all[3]["values"], json!([there, null, there]), "{}", all[3]);
    // A txn, a read behind it on another key of it, and a txn that comes too late.
    let txn = json!({
        "op": "txn",
        "if": [{"key": a, "version": second}, {"key": b, "version": null}],
        "then": [{"op": "del", "key": a}, {"op": "put", "key": b, "value": "4"}],
    });
    let get = json!({"op": "get", "key": b});
    let all = answers(&mut conn, &[txn.clone(), get, txn]);
    assert_eq!((&all[0]["ok"], &all[1]["value"]), (&json!(true), &json!("4")), "{all:?}");
    assert_eq!(all[1]["version"], all[0]["version"], "{all:?}");
    assert_eq!((&all[2]["code"], &all[2]["key"]), (&json!("version_mismatch"), &json!(a)));
}
