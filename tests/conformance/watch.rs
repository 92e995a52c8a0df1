//! `watch`: a line a committed change, none left out.

use std::thread;

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};

checks! {
    601 watch_a_key
        r#"`watch` | `key` ... `version` (now); then a line per committed change `{"watch":"put"/"del","key":..,"value":..,"version":..}`"#
    602 watch_a_prefix
        "`watch` | `key` or `prefix`"
    603 every_change_is_told_in_order
        "every one, in commit order per key, never sampled"
    604 every_kind_of_update_is_told
        "a line per committed change"
    605 values_are_told_as_in_replies
        "a reply uses `value` for UTF-8 without control characters other than `\\t \\n \\r`, else `value_b64`"
    606 what_is_refused_is_not_told
        "a line per committed change"
    607 other_requests_go_on
        "any number may be in flight"
    608 a_reader_far_behind_is_told_and_closed
        r#"a reader 4 MiB behind ... gets `{"watch":"lost"}` and the close, and reads again before it watches again"#,
        "Only these close it ... a lost watch"
    609 watch_takes_a_key_or_a_prefix
        "`watch` | `key` or `prefix`"
}

fn watch(talk: &mut Talk, request: &Value) {
    let answer = talk.ok(request);
    assert!(answer["version"].is_string(), "{answer}");
}

fn watch_a_key(site: &Site) {
    let (mut watcher, mut talk, key) = (site.open(), site.open(), site.key());
    talk.ok(&json!({"op": "put", "key": key, "value": "before"}));
    watch(&mut watcher, &json!({"op": "watch", "key": key, "id": "w"}));
    talk.ok(&json!({"op": "put", "key": format!("{key}longer"), "value": "another key"}));
    for value in ["1", "2"] {
        let version = talk.ok(&json!({"op": "put", "key": key, "value": value}))["version"].clone();
        let line = json!({"watch": "put", "key": key, "value": value, "version": version});
        assert_eq!(watcher.watched(), line);
    }
    let version = talk.ok(&json!({"op": "del", "key": key}))["version"].clone();
    assert_eq!(watcher.watched(), json!({"watch": "del", "key": key, "version": version}));
    watcher.lives();
}

fn watch_a_prefix(site: &Site) {
    let (mut watcher, mut talk, prefix) = (site.open(), site.open(), site.key());
    watch(&mut watcher, &json!({"op": "watch", "prefix": format!("{prefix}a")}));
    for end in ["a", "b", "ab", "é", "a\n\u{0}", "A"] {
        talk.ok(&json!({"op": "put", "key": format!("{prefix}{end}"), "value": end}));
    }
    for end in ["a", "ab", "a\n\u{0}"] {
        assert_eq!(watcher.watched()["key"], format!("{prefix}{end}"));
    }
    watcher.lives();
}

fn every_change_is_told_in_order(site: &Site) {
    let prefix = site.key();
    let mut watcher = site.open();
    watch(&mut watcher, &json!({"op": "watch", "prefix": prefix}));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (mut talk, key) = (site.open(), format!("{prefix}{writer}"));
            let change = move |at: usize| match at % 5 {
                4 => json!({"op": "del", "key": key}),
                _ => json!({"op": "put", "key": key, "value": at.to_string()}),
            };
            thread::spawn(move || talk.ask_all(&(0..200).map(change).collect::<Vec<_>>()))
        })
        .collect();
    let mut told: Vec<Vec<Value>> = vec![Vec::new(); 3];
    for _ in 0..600 {
        let line = watcher.watched();
        let writer = line["key"].as_str().and_then(|key| key.strip_prefix(&prefix));
        let writer: Option<usize> = writer.and_then(|writer| writer.parse().ok());
        let lines: &mut Vec<Value> = &mut told[writer.unwrap_or_else(|| panic!("{line}"))];
        let kind = if lines.len() % 5 == 4 { "del" } else { "put" };
        assert_eq!(line["watch"], kind, "{line}");
        lines.push(line["version"].clone());
    }
    for (writer, told) in writers.into_iter().zip(told) {
        let answers = writer.join().expect("all were answered");
        let versions: Vec<Value> = answers.iter().map(|a| a["version"].clone()).collect();
        assert_eq!(versions, told);
    }
    watcher.lives();
}

fn every_kind_of_update_is_told(site: &Site) {
    let (mut watcher, mut talk) = (site.open(), site.open());
    let prefix = site.key();
    let (a, b) = (format!("{prefix}a"), format!("{prefix}b"));
    watch(&mut watcher, &json!({"op": "watch", "prefix": prefix}));
    let absent = json!({"op": "put", "key": a, "value": "1", "if_absent": true});
    let version = talk.ok(&absent)["version"].clone();
    assert_eq!(watcher.watched()["version"], version);
    let cas = json!({"op": "cas", "key": a, "value": "2", "version": version});
    let version = talk.ok(&cas)["version"].clone();
    assert_eq!(watcher.watched()["version"], version);
    let version = talk.ok(&json!({"op": "update", "key": a, "value": "3"}))["version"].clone();
    assert_eq!(watcher.watched()["version"], version);
    let then = json!([{"op": "del", "key": a}, {"op": "put", "key": b, "value": "4"}]);
    let version = talk.ok(&json!({"op": "txn", "if": [], "then": then}))["version"].clone();
    let mut lines = [watcher.watched(), watcher.watched()];
    lines.sort_by_key(|line| line["key"].to_string());
    let expected = [
        json!({"watch": "del", "key": a, "version": version}),
        json!({"watch": "put", "key": b, "value": "4", "version": version}),
    ];
    assert_eq!(lines, expected);
}

fn values_are_told_as_in_replies(site: &Site) {
    let (mut watcher, mut talk, key) = (site.open(), site.open(), site.key());
    watch(&mut watcher, &json!({"op": "watch", "key": key}));
    let pairs =
        [("YQ==", "value", "a"), ("/w==", "value_b64", "/w=="), ("Gw==", "value_b64", "Gw==")];
    for (sent, field, told) in pairs.into_iter().chain([("", "value", ""), ("CQ==", "value", "\t")])
    {
        talk.ok(&json!({"op": "put", "key": key, "value_b64": sent}));
        let line = watcher.watched();
        assert_eq!(line[field], told, "{line}");
    }
}

fn what_is_refused_is_not_told(site: &Site) {
    let (mut watcher, mut talk, key) = (site.open(), site.open(), site.key());
    watch(&mut watcher, &json!({"op": "watch", "key": key}));
    let once = json!({"op": "put", "key": key, "value": "1", "once": format!("{key:->20}")});
    talk.refused(json!({"op": "update", "key": key, "value": "0"}).to_string(), "not_found");
    talk.refused(json!({"op": "del", "key": key}).to_string(), "not_found");
    talk.ok(&once);
    talk.refused(
        json!({"op": "put", "key": key, "value": "2", "if_absent": true}).to_string(),
        "exists",
    );
    // A repetition is no further change.
    talk.ok(&once);
    talk.ok(&json!({"op": "put", "key": key, "value": "3"}));
    assert_eq!(watcher.watched()["value"], "1");
    assert_eq!(watcher.watched()["value"], "3");
    watcher.lives();
}

fn other_requests_go_on(site: &Site) {
    let (mut talk, watched, other) = (site.open(), site.key(), site.key());
    watch(&mut talk, &json!({"op": "watch", "key": watched}));
    let put = |key: &str| json!({"op": "put", "key": key, "value": "1", "id": key});
    let mut lines = Vec::new();
    talk.send(format!("{}\n{}\n", put(&watched), put(&other)));
    for _ in 0..3 {
        let line = talk.line();
        lines.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    // Where the line comes among the answers is free.
    let (told, answers): (Vec<&Value>, Vec<&Value>) =
        lines.iter().partition(|line| line["watch"].is_string());
    assert_eq!(answers.iter().map(|a| &a["id"]).collect::<Vec<_>>(), [&watched, &other]);
    assert_eq!((told.len(), &told[0]["version"]), (1, &answers[0]["version"]));
}

fn a_reader_far_behind_is_told_and_closed(site: &Site) {
    let (mut watcher, mut talk, key) = (site.open(), site.open(), site.key());
    watch(&mut watcher, &json!({"op": "watch", "key": key}));
    // More than the 4 MiB and all that the sockets of both ends hold.
    let value = "x".repeat(1 << 20);
    let writes = 40;
    for at in 0..writes {
        let answer = talk.ok(&json!({"op": "put", "key": key, "value": value, "id": at}));
        assert_eq!(answer["id"], at);
    }
    let mut told = 0;
    while watcher.watched()["watch"] == "put" {
        told += 1;
    }
    assert!(told < writes, "none was left out of {told}");
    watcher.closes();
}

fn watch_takes_a_key_or_a_prefix(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    talk.refused(r#"{"op":"watch"}"#, "bad_request");
    talk.refused(json!({"op": "watch", "key": key, "prefix": key}).to_string(), "bad_request");
    talk.bad(r#"{"op":"watch","key":""}"#, "key");
    // Neither of them watches anything.
    talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    talk.lives();
}
