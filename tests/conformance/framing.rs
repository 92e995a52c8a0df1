//! Lines in and out: their ends, their order, what may stand on each of them.

use std::io::Write;
use std::thread;

use serde_json::{Value, json};

use super::{Site, checks};

checks! {
    101 a_line_is_a_request
        "One JSON object per line (`\\n`; a `\\r` before it is ignored), UTF-8, in both directions"
    102 a_return_before_the_newline_is_ignored
        "One JSON object per line (`\\n`; a `\\r` before it is ignored)"
    103 bytes_may_come_one_by_one
        "One JSON object per line"
    104 blank_lines_are_ignored
        "blank lines are ignored"
    105 a_last_line_without_newline_is_run
        "a last line without newline is run"
    106 the_end_of_input_answers_everything_then_closes
        "at end of input everything received is carried out and answered, then the server closes",
        "Only these close it: end of input"
    107 a_one_liner_works
        "Pleasant by hand: `printf '{\"op\":\"get\",\"key\":\"a\"}\\n' | nc -q1 127.0.0.1 8080`"
    111 answers_come_in_the_order_sent
        "all are answered in the order sent"
    112 one_keys_requests_take_effect_in_the_order_sent
        "Requests of one connection that share a key take effect in the order sent"
    113 keys_shared_by_txn_and_mget_keep_the_order_too
        "Requests of one connection that share a key take effect in the order sent",
        "where their order matters, wait for the answer of one, or use `txn` and `mget`"
    114 any_number_may_be_in_flight
        "any number may be in flight"
    115 any_number_of_bytes_may_be_in_flight
        "in flight per connection 1,024 requests or 4 MiB"
    121 ids_are_repeated_unchanged
        "A request may carry `id` (a string of at most 128 bytes or an integer, -2^63 to 2^64-1); its reply ... repeats it unchanged"
    122 errors_repeat_ids
        "its reply, an error too if the id could be read, repeats it unchanged"
    123 without_id_there_is_none
        "A request may carry `id`"
    124 other_ids_are_refused
        "A request may carry `id` (a string of at most 128 bytes or an integer, -2^63 to 2^64-1)"
    131 timeout_ms_stands_on_every_op
        "**timeout_ms** (1 to 60000 ... may stand on every op"
    132 other_timeouts_are_refused
        "**timeout_ms** (1 to 60000"
    141 there_are_no_blanks_outside_strings
        "no blanks outside strings",
        r#"`{"ok":true,...}` or"#
    142 a_refusal_has_a_code_and_a_sentence
        "`{\"ok\":false,\"code\":\"not_found\",\"error\":\"one sentence that says what to do\"}`"
}

fn a_line_is_a_request(site: &Site) {
    let mut talk = site.open();
    let key = site.key() + "ключ-鍵-😀";
    talk.send(format!("{{\"op\":\"put\",\"key\":\"{key}\",\"value\":\"ü\"}}\n"));
    assert_eq!(talk.answer()["ok"], true);
    talk.send(format!("{{\"op\":\"get\",\"key\":\"{key}\"}}\n"));
    let line = talk.line();
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["value"], "ü", "{line}");
    // Blanks between the tokens of a request are JSON, and so is any order of fields.
    talk.send(format!(" {{ \"key\" : \"{key}\" ,\t\"op\":\"get\" }} \n"));
    assert_eq!(talk.answer()["value"], "ü");
}

fn a_return_before_the_newline_is_ignored(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    talk.send(format!("{{\"op\":\"put\",\"key\":\"{key}\",\"value\":\"1\"}}\r\n"));
    assert_eq!(talk.answer()["ok"], true);
    talk.send(format!("{{\"op\":\"get\",\"key\":\"{key}\"}}\r\n{{\"op\":\"hello\"}}\r\n"));
    assert_eq!(talk.answer()["value"], "1");
    let line = talk.line();
    assert!(line.starts_with("{\"ok\":true,") && line.ends_with('}'), "{line:?}");
}

fn bytes_may_come_one_by_one(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let put = json!({"op": "put", "key": key, "value": "ä\"\\", "id": 1});
    let get = json!({"op": "get", "key": key, "id": 2});
    for byte in format!("\r\n{put}\r\n{get}\n").bytes() {
        talk.send([byte]);
    }
    assert_eq!(talk.answer()["id"], 1);
    let answer = talk.answer();
    assert_eq!((&answer["id"], &answer["value"]), (&json!(2), &json!("ä\"\\")));
}

fn blank_lines_are_ignored(site: &Site) {
    let mut talk = site.open();
    talk.send("\n\r\n\n\n");
    for id in 0..3 {
        talk.send(format!("\n{{\"op\":\"hello\",\"id\":{id}}}\n\r\n\n"));
        assert_eq!(talk.answer()["id"], id, "one answer a request, none to blank lines");
    }
    talk.end_input();
    talk.closes();
}

fn a_last_line_without_newline_is_run(site: &Site) {
    let key = site.key();
    for end in ["", "\r"] {
        let mut talk = site.open();
        let (first, last) = (format!("first {}", end.len()), format!("last {}", end.len()));
        talk.send(format!("{}\n", json!({"op": "put", "key": key, "value": first})));
        talk.send(format!("{}{end}", json!({"op": "put", "key": key, "value": last})));
        talk.end_input();
        assert_eq!(talk.answer()["ok"], true);
        assert_eq!(talk.answer()["ok"], true, "the last line");
        talk.closes();
        assert_eq!(site.open().ok(&json!({"op": "get", "key": key}))["value"], last);
    }
}

fn the_end_of_input_answers_everything_then_closes(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let mut text = String::new();
    for id in 0..200 {
        let request = match id % 4 {
            0 => json!({"op": "put", "key": format!("{key}{id}"), "value": "1", "id": id}),
            1 => json!({"op": "get", "key": format!("{key}{}", id - 1), "id": id}),
            2 => json!({"op": "scan", "prefix": format!("{key}never"), "id": id}),
            _ => json!({"op": "dance", "id": id}),
        };
        text.push_str(&format!("{request}\n"));
    }
    talk.send(text);
    talk.end_input();
    for id in 0..200 {
        let answer = talk.answer();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(id), &json!(id % 4 != 3)), "{answer}");
    }
    talk.closes();
    let talk = site.open();
    talk.end_input();
    { talk }.closes();
}

fn a_one_liner_works(site: &Site) {
    let mut talk = site.open();
    talk.send(format!("{{\"op\":\"get\",\"key\":\"{}\"}}\n", site.key()));
    talk.end_input();
    assert_eq!(talk.answer()["code"], "not_found");
    talk.closes();
}

fn answers_come_in_the_order_sent(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    // Slow ones between quick ones, and some that are wrong.
    let requests: Vec<Value> = (0..300)
        .map(|id| match id % 6 {
            0 => json!({"op": "put", "key": format!("{key}{id}"), "value": "v", "id": id}),
            1 => json!({"op": "get", "key": key, "id": format!("text {id}")}),
            2 => json!({"op": "del", "key": format!("{key}nobody"), "id": -id}),
            3 => json!({"op": "dance", "id": id}),
            4 => json!({"op": "status", "id": id}),
            _ => json!({"op": "mget", "keys": [key, format!("{key}{}", id - 5)], "id": id}),
        })
        .collect();
    for (request, answer) in requests.iter().zip(talk.ask_all(&requests)) {
        assert_eq!(answer["id"], request["id"], "{request}: {answer}");
    }
}

fn one_keys_requests_take_effect_in_the_order_sent(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let get = json!({"op": "get", "key": key});
    let put_if_absent = json!({"op": "put", "key": key, "value": "no", "if_absent": true});
    for round in 0..30 {
        let value = round.to_string();
        let answers = talk.ask_all(&[
            get.clone(),
            json!({"op": "put", "key": key, "value": value}),
            get.clone(),
            put_if_absent.clone(),
            json!({"op": "update", "key": key, "value": format!("{value}u")}),
            get.clone(),
            json!({"op": "del", "key": key}),
            get.clone(),
            json!({"op": "del", "key": key}),
        ]);
        assert_eq!(answers[0]["code"], "not_found", "{answers:?}");
        let wrote = &answers[1]["version"];
        assert_eq!((&answers[2]["value"], &answers[2]["version"]), (&json!(value), wrote));
        assert_eq!((&answers[3]["code"], &answers[3]["version"]), (&json!("exists"), wrote));
        assert_eq!(answers[5]["value"], format!("{value}u"), "{answers:?}");
        assert_eq!(answers[5]["version"], answers[4]["version"], "{answers:?}");
        assert_eq!(answers[6]["ok"], true, "{answers:?}");
        assert_eq!(answers[7]["code"], "not_found", "{answers:?}");
        assert_eq!(answers[8]["code"], "not_found", "{answers:?}");
    }
}

fn keys_shared_by_txn_and_mget_keep_the_order_too(site: &Site) {
    let mut talk = site.open();
    let (a, b) = (site.key(), site.key());
    let mget = json!({"op": "mget", "keys": [b, a]});
    for round in 0..20 {
        let value = round.to_string();
        let then = json!([{"op": "put", "key": a, "value": value}, {"op": "put", "key": b, "value": value}]);
        let answers = talk.ask_all(&[
            json!({"op": "put", "key": a, "value": "before"}),
            json!({"op": "txn", "if": [], "then": then}),
            mget.clone(),
            json!({"op": "put", "key": b, "value": "after"}),
            json!({"op": "get", "key": a}),
            mget.clone(),
        ]);
        let version = &answers[1]["version"];
        let written = json!({"value": value, "version": version});
        assert_eq!(answers[2]["values"], json!([written, written]), "{answers:?}");
        assert_eq!((&answers[4]["value"], &answers[4]["version"]), (&json!(value), version));
        let after = json!({"value": "after", "version": answers[3]["version"]});
        assert_eq!(answers[5]["values"], json!([after, written]), "{answers:?}");
    }
}

/// What is sent while nobody reads, and how many answers must come.
fn fill(site: &Site, requests: Vec<Value>) {
    let mut talk = site.open();
    let count = requests.len();
    let mut sender = talk.sender();
    let filler = thread::spawn(move || {
        for request in requests {
            sender.write_all(format!("{request}\n").as_bytes()).expect("the server reads on");
        }
    });
    for id in 0..count {
        let answer = talk.answer();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(id), &json!(true)), "{answer}");
    }
    filler.join().expect("all was sent");
    talk.lives();
}

fn any_number_may_be_in_flight(site: &Site) {
    let key = site.key();
    let request = |id| match id % 16 {
        0 => json!({"op": "put", "key": format!("{key}{}", id % 64), "value": "v", "id": id}),
        1 => json!({"op": "mget", "keys": [key, "b"], "id": id}),
        _ => json!({"op": "get", "key": format!("{key}0"), "id": id}),
    };
    fill(site, (0..5_000).map(request).collect());
}

fn any_number_of_bytes_may_be_in_flight(site: &Site) {
    let (key, value) = (site.key(), "x".repeat(1 << 20));
    let put =
        |id| json!({"op": "put", "key": format!("{key}{}", id % 3), "value": value, "id": id});
    fill(site, (0..9).map(put).collect());
}

fn ids_are_repeated_unchanged(site: &Site) {
    let mut talk = site.open();
    let (long, wide) = ("x".repeat(128), "é".repeat(64));
    let ids = [
        json!(""),
        json!("a \"b\" \\ \n \u{1} é 😀 }"),
        json!(long),
        json!(wide),
        json!("1"),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
    ];
    for id in &ids {
        let answer = talk.ok(&json!({"op": "hello", "id": id}));
        assert_eq!(answer["id"], *id, "of a hello");
        let answer = talk.ask(json!({"op": "get", "key": site.key(), "id": id}).to_string());
        assert_eq!(answer["id"], *id, "of a get");
    }
    // 128 bytes of text, whatever they are written as.
    let escaped = format!("{{\"op\":\"hello\",\"id\":\"{}\"}}", "\\u0061".repeat(128));
    assert_eq!(talk.ask(escaped)["id"], "a".repeat(128));
    for number in ["18446744073709551615", "-9223372036854775808"] {
        talk.send(format!("{{\"op\":\"hello\",\"id\":{number}}}\n"));
        let line = talk.line();
        assert!(line.contains(&format!("\"id\":{number},")), "{line}");
    }
}

fn errors_repeat_ids(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let lines = [
        format!(r#"{{"op":"get","key":"{key}","id":"e"}}"#),
        format!(r#"{{"op":"update","key":"{key}","value":"","id":"e"}}"#),
        r#"{"op":"dance","id":"e"}"#.into(),
        r#"{"id":"e"}"#.into(),
        r#"{"op":"get","id":"e"}"#.into(),
        r#"{"op":"get","key":7,"id":"e"}"#.into(),
        r#"{"op":"get","key":"","id":"e"}"#.into(),
        r#"{"op":"get","key":"a","colour":[{}],"id":"e"}"#.into(),
        r#"{"op":"get","key":"a","key":"b","id":"e"}"#.into(),
        r#"{"op":"get","key":"a","timeout_ms":0,"id":"e"}"#.into(),
        r#"{"op":"txn","if":[],"then":[{"op":"dance"}],"id":"e"}"#.into(),
        format!(r#"{{"op":"get","key":"{}","id":"e"}}"#, "x".repeat(257)),
    ];
    for line in &lines {
        let answer = talk.ask(line);
        assert_eq!((&answer["ok"], &answer["id"]), (&json!(false), &json!("e")), "{line}");
    }
    // Where it could not be read there is none, and never another one.
    for line in [r#"{"op":"get","id":"e","key":"#, r#"["id","e"]"#, r#"{"id":["e"],"op":"get"}"#] {
        let answer = talk.ask(line);
        assert!(answer.get("id").is_none_or(|id| *id == "e"), "{line}: {answer}");
    }
    talk.lives();
}

fn without_id_there_is_none(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let requests = [json!({"op": "put", "key": key, "value": ""}), json!({"op": "dance"})];
    for answer in talk.ask_all(&requests) {
        assert_eq!(answer.get("id"), None, "{answer}");
    }
}

fn other_ids_are_refused(site: &Site) {
    let mut talk = site.open();
    let (long, wide) = (json!("x".repeat(129)).to_string(), json!("é".repeat(65)).to_string());
    let others = ["18446744073709551616", "-9223372036854775809", "1.5", "1e3", "null", "true"];
    for id in others.iter().chain(&["[]", "{}", "[1]", &long, &wide, r#""\ud800""#]) {
        let answer = talk.refused(format!(r#"{{"op":"hello","id":{id}}}"#), "bad_request");
        if !id.contains("ud800") {
            assert_eq!(answer["field"], "id", "{id}: {answer}");
        }
        talk.lives();
    }
}

fn timeout_ms_stands_on_every_op(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let version = talk.ok(&json!({"op": "put", "key": key, "value": "1"}))["version"].clone();
    let requests = [
        json!({"op": "get", "key": key}),
        json!({"op": "put", "key": key, "value": "1"}),
        json!({"op": "update", "key": key, "value": "1"}),
        json!({"op": "cas", "key": key, "value": "1", "version": version}),
        json!({"op": "del", "key": key}),
        json!({"op": "mget", "keys": [key]}),
        json!({"op": "txn", "if": [], "then": [{"op": "put", "key": key, "value": "1"}]}),
        json!({"op": "scan", "prefix": key}),
        json!({"op": "watch", "prefix": format!("{key}never")}),
        json!({"op": "status"}),
        json!({"op": "outcome", "version": version}),
        json!({"op": "hello"}),
    ];
    for mut request in requests {
        request["timeout_ms"] = json!(60_000);
        let answer = talk.ask(request.to_string());
        assert!(answer["ok"] == true || request["op"] == "cas", "{request}: {answer}");
        request["timeout_ms"] = json!(60_001);
        talk.bad(request.to_string(), "timeout_ms");
    }
    talk.ok(&json!({"op": "hello", "timeout_ms": 1}));
    // So short that it may pass; but it is no bad request.
    let answer = talk.ask(json!({"op": "get", "key": key, "timeout_ms": 1}).to_string());
    assert_ne!(answer["code"], "bad_request", "{answer}");
}

fn other_timeouts_are_refused(site: &Site) {
    let mut talk = site.open();
    let big = "99999999999999999999999";
    for timeout in ["0", "60001", "-1", "1.5", "1e3", "\"5\"", "null", "true", "[5]", "{}", big] {
        talk.bad(format!(r#"{{"op":"hello","timeout_ms":{timeout}}}"#), "timeout_ms");
        talk.lives();
    }
}

/// Each line is held to it when it comes; here are those with the most to go wrong.
fn there_are_no_blanks_outside_strings(site: &Site) {
    let mut talk = site.open();
    let key = format!("{} a b, c: d\t", site.key());
    talk.ok(&json!({"op": "put", "key": key, "value": "a b\n\t\" \\ ", "id": "i d"}));
    talk.ok(&json!({"op": "mget", "keys": [key, "x y", key], "id": "i d"}));
    talk.ok(&json!({"op": "scan", "prefix": key, "values": true, "id": " : , "}));
    talk.ok(&json!({"op": "status"}));
    talk.ok(&json!({"op": "hello"}));
    talk.refused(json!({"op": "get", "key": "a", "a b": 1}).to_string(), "bad_request");
    talk.refused(json!({"op": "a b", "id": "c d"}).to_string(), "bad_request");
    talk.refused(" { \"op\" : ", "bad_request");
}

fn a_refusal_has_a_code_and_a_sentence(site: &Site) {
    let mut talk = site.open();
    let answer = talk.refused(json!({"op": "get", "key": site.key()}).to_string(), "not_found");
    assert_eq!(answer["ok"], false);
    let sentence = answer["error"].as_str().expect("a sentence");
    assert!(sentence.len() > 10 && !sentence.contains('\n'), "{sentence:?}");
    let fields: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(fields.len(), 3, "ok, code and error: {answer}");
}
