//! `put`, `update`, `cas`, `del` and `txn`: what they answer, and what they leave alone.

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};

checks! {
    401 put_sets_a_key
        "`put` | `key`, `value` ... | `version`"
    402 put_if_absent
        "`put` | `key`, `value`; `if_absent:true` optional | `version` | `exists` (with `version`)"
    403 update_only_where_the_key_exists
        "`update` | `key`, `value`: only where the key exists | `version` | `not_found`"
    404 cas_only_at_this_version
        "`cas` | `key`, `value`, `version` | `version` | `not_found`, `version_mismatch` (with `version`, the current one, and `key`)"
    405 del_removes_a_key
        "`del` | `key` ... | `version` | `not_found`"
    406 del_only_at_this_version
        "`del` | `key`; `version` optional | `version` | `not_found`, `version_mismatch`"
    411 txn_writes_all
        "`txn` ... `then`: list of 1 to 128 `{op:put/update/del,...}` ... `version`; all or nothing, across nodes"
    412 txn_wants_versions
        "`if`: list of `{key,version}` ... `version_mismatch` (with `key`)"
    413 txn_wants_absence
        "`version:null` = must be absent"
    414 txn_may_test_what_it_does_not_write
        "`if`: list of `{key,version}`"
    415 txn_does_not_update_what_is_not_there
        "`{op:put/update/del,...}` ... all or nothing, across nodes | `version_mismatch` (with `key`), `not_found`"
    416 txn_that_is_refused_does_nothing
        "all or nothing, across nodes"
    417 txn_writes_a_key_once
        "a key at most once in `then`"
    418 txn_has_1_to_128_writes
        "`then`: list of 1 to 128"
    421 a_value_that_was_written_is_read_elsewhere
        "Every single-key operation, `mget` and `txn` is linearizable"
    422 one_of_many_wins
        "Every single-key operation, `mget` and `txn` is linearizable"
}

/// A `get` finds this value, at this version.
fn holds(talk: &mut Talk, key: &str, value: &str, version: &Value) {
    let answer = talk.ok(&json!({"op": "get", "key": key}));
    assert_eq!((&answer["value"], &answer["version"]), (&json!(value), version), "{key}");
}

fn holds_nothing(talk: &mut Talk, key: &str) {
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn put(talk: &mut Talk, key: &str, value: &str) -> Value {
    talk.ok(&json!({"op": "put", "key": key, "value": value}))["version"].clone()
}

fn put_sets_a_key(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let first = put(&mut talk, &key, "1");
    holds(&mut talk, &key, "1", &first);
    let second = put(&mut talk, &key, "2");
    holds(&mut talk, &key, "2", &second);
    assert_ne!(first, second);
}

fn put_if_absent(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let request = json!({"op": "put", "key": key, "value": "1", "if_absent": true});
    let version = talk.ok(&request)["version"].clone();
    let refused = talk.refused(
        json!({"op": "put", "key": key, "value": "2", "if_absent": true}).to_string(),
        "exists",
    );
    assert_eq!(refused["version"], version, "{refused}");
    holds(&mut talk, &key, "1", &version);
    talk.ok(&json!({"op": "del", "key": key}));
    let version = talk.ok(&request)["version"].clone();
    holds(&mut talk, &key, "1", &version);
}

fn update_only_where_the_key_exists(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let request = json!({"op": "update", "key": key, "value": "2"});
    talk.refused(request.to_string(), "not_found");
    holds_nothing(&mut talk, &key);
    put(&mut talk, &key, "1");
    let version = talk.ok(&request)["version"].clone();
    holds(&mut talk, &key, "2", &version);
    talk.ok(&json!({"op": "del", "key": key}));
    talk.refused(request.to_string(), "not_found");
}

fn cas_only_at_this_version(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let cas = |value: &str, version: &Value| json!({"op": "cas", "key": key, "value": value, "version": version});
    let first = put(&mut talk, &key, "1");
    let second = talk.ok(&cas("2", &first))["version"].clone();
    holds(&mut talk, &key, "2", &second);
    let refused = talk.refused(cas("3", &first).to_string(), "version_mismatch");
    assert_eq!((&refused["version"], &refused["key"]), (&second, &json!(key)), "{refused}");
    holds(&mut talk, &key, "2", &second);
    talk.ok(&json!({"op": "del", "key": key}));
    talk.refused(cas("4", &second).to_string(), "not_found");
    holds_nothing(&mut talk, &key);
    // The same value is another version.
    put(&mut talk, &key, "2");
    talk.refused(cas("5", &second).to_string(), "version_mismatch");
}

fn del_removes_a_key(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let request = json!({"op": "del", "key": key});
    talk.refused(request.to_string(), "not_found");
    let first = put(&mut talk, &key, "1");
    let second = talk.ok(&request)["version"].clone();
    assert!(second.is_string() && second != first, "{second}");
    holds_nothing(&mut talk, &key);
    talk.refused(request.to_string(), "not_found");
}

fn del_only_at_this_version(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let del = |version: &Value| json!({"op": "del", "key": key, "version": version});
    let first = put(&mut talk, &key, "1");
    let second = put(&mut talk, &key, "2");
    let refused = talk.refused(del(&first).to_string(), "version_mismatch");
    assert_eq!(refused["version"], second, "{refused}");
    holds(&mut talk, &key, "2", &second);
    talk.ok(&del(&second));
    holds_nothing(&mut talk, &key);
    talk.refused(del(&second).to_string(), "not_found");
}

fn txn_writes_all(site: &Site) {
    let mut talk = site.open();
    let keys: Vec<String> = (0..12).map(|_| site.key()).collect();
    for key in &keys[4..] {
        put(&mut talk, key, "before");
    }
    let change = |(at, key): (usize, &String)| match at {
        0..4 => json!({"op": "put", "key": key, "value": "new"}),
        4..8 => json!({"op": "update", "key": key, "value_b64": "bmV3"}),
        _ => json!({"op": "del", "key": key}),
    };
    let then: Vec<Value> = keys.iter().enumerate().map(change).collect();
    let version = talk.ok(&json!({"op": "txn", "if": [], "then": then}))["version"].clone();
    for key in &keys[..8] {
        holds(&mut talk, key, "new", &version);
    }
    for key in &keys[8..] {
        holds_nothing(&mut talk, key);
    }
}

fn txn_wants_versions(site: &Site) {
    let mut talk = site.open();
    let (a, b) = (site.key(), site.key());
    let (first_a, first_b) = (put(&mut talk, &a, "1"), put(&mut talk, &b, "1"));
    let txn = |version_a: &Value, version_b: &Value| {
        let tests = json!([{"key": a, "version": version_a}, {"key": b, "version": version_b}]);
        let then = json!([{"op": "put", "key": a, "value": "2"}, {"op": "del", "key": b}]);
        json!({"op": "txn", "if": tests, "then": then})
    };
    let refused = talk.refused(txn(&first_a, &first_a).to_string(), "version_mismatch");
    assert_eq!(refused["key"], *b, "{refused}");
    let refused = talk.refused(txn(&first_b, &first_b).to_string(), "version_mismatch");
    assert_eq!(refused["key"], *a, "{refused}");
    holds(&mut talk, &a, "1", &first_a);
    holds(&mut talk, &b, "1", &first_b);
    let version = talk.ok(&txn(&first_a, &first_b))["version"].clone();
    holds(&mut talk, &a, "2", &version);
    holds_nothing(&mut talk, &b);
    talk.refused(txn(&first_a, &first_b).to_string(), "version_mismatch");
}

fn txn_wants_absence(site: &Site) {
    let mut talk = site.open();
    let (a, b) = (site.key(), site.key());
    let tests = json!([{"key": a, "version": null}, {"key": b, "version": null}]);
    let then =
        json!([{"op": "put", "key": a, "value": "1"}, {"op": "put", "key": b, "value": "1"}]);
    let txn = json!({"op": "txn", "if": tests, "then": then});
    let version = put(&mut talk, &b, "0");
    let refused = talk.refused(txn.to_string(), "version_mismatch");
    assert_eq!(refused["key"], *b, "{refused}");
    holds_nothing(&mut talk, &a);
    holds(&mut talk, &b, "0", &version);
    talk.ok(&json!({"op": "del", "key": b}));
    let version = talk.ok(&txn)["version"].clone();
    holds(&mut talk, &a, "1", &version);
    let refused = talk.refused(txn.to_string(), "version_mismatch");
    assert!(refused["key"] == *a || refused["key"] == *b, "{refused}");
}

fn txn_may_test_what_it_does_not_write(site: &Site) {
    let mut talk = site.open();
    let (tested, absent, written) = (site.key(), site.key(), site.key());
    let version = put(&mut talk, &tested, "1");
    let txn = |value: &str| {
        let tests = json!([{"key": tested, "version": version}, {"key": absent, "version": null}]);
        json!({"op": "txn", "if": tests, "then": [{"op": "put", "key": written, "value": value}]})
    };
    let first = talk.ok(&txn("1"))["version"].clone();
    holds(&mut talk, &written, "1", &first);
    holds(&mut talk, &tested, "1", &version);
    put(&mut talk, &absent, "there now");
    let refused = talk.refused(txn("2").to_string(), "version_mismatch");
    assert_eq!(refused["key"], *absent, "{refused}");
    holds(&mut talk, &written, "1", &first);
}

fn txn_does_not_update_what_is_not_there(site: &Site) {
    let mut talk = site.open();
    let (there, absent) = (site.key(), site.key());
    let version = put(&mut talk, &there, "1");
    for change in
        [json!({"op": "update", "key": absent, "value": "2"}), json!({"op": "del", "key": absent})]
    {
        let then = json!([{"op": "put", "key": there, "value": "2"}, change]);
        talk.refused(json!({"op": "txn", "if": [], "then": then}).to_string(), "not_found");
        holds(&mut talk, &there, "1", &version);
        holds_nothing(&mut talk, &absent);
    }
}

fn txn_that_is_refused_does_nothing(site: &Site) {
    let mut talk = site.open();
    let keys: Vec<String> = (0..40).map(|_| site.key()).collect();
    let last = keys.last().expect("some");
    let version = put(&mut talk, last, "0");
    let then = keys.iter().map(|key| json!({"op": "put", "key": key, "value": "1"}));
    let then: Vec<Value> = then.collect();
    let tests = json!([{"key": last, "version": null}]);
    let txn = json!({"op": "txn", "if": tests, "then": then});
    talk.refused(txn.to_string(), "version_mismatch");
    let values = talk.ok(&json!({"op": "mget", "keys": keys}))["values"].clone();
    let values = values.as_array().expect("a list");
    assert!(values[..39].iter().all(Value::is_null), "{values:?}");
    assert_eq!(values[39], json!({"value": "0", "version": version}));
}

fn txn_writes_a_key_once(site: &Site) {
    let mut talk = site.open();
    let (a, b) = (site.key(), site.key());
    let put = |key: &String| json!({"op": "put", "key": key, "value": "1"});
    for then in [json!([put(&a), put(&a)]), json!([put(&a), put(&b), {"op": "del", "key": a}])] {
        let txn = json!({"op": "txn", "if": [], "then": then});
        let answer = talk.refused(txn.to_string(), "bad_request");
        assert!(answer["field"].as_str().is_some_and(|f| f.starts_with("then")), "{answer}");
    }
    holds_nothing(&mut talk, &a);
    holds_nothing(&mut talk, &b);
    // To test a key twice is no contradiction.
    let tests = json!([{"key": a, "version": null}, {"key": a, "version": null}]);
    talk.ok(&json!({"op": "txn", "if": tests, "then": [put(&a)]}));
}

fn txn_has_1_to_128_writes(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let txn = |count: usize| {
        let put = |at| json!({"op": "put", "key": format!("{key}{at}"), "value": "1"});
        json!({"op": "txn", "if": [], "then": (0..count).map(put).collect::<Vec<_>>()})
    };
    talk.bad(txn(0).to_string(), "then");
    talk.bad(txn(129).to_string(), "then");
    holds_nothing(&mut talk, &format!("{key}0"));
    talk.ok(&txn(1));
    let version = talk.ok(&txn(128))["version"].clone();
    holds(&mut talk, &format!("{key}0"), "1", &version);
    holds(&mut talk, &format!("{key}127"), "1", &version);
}

fn a_value_that_was_written_is_read_elsewhere(site: &Site) {
    let (mut here, mut there) = (site.open(), site.open());
    let key = site.key();
    for round in 0..100 {
        let value = round.to_string();
        let version = put(&mut here, &key, &value);
        holds(&mut there, &key, &value, &version);
        std::mem::swap(&mut here, &mut there);
    }
}

fn one_of_many_wins(site: &Site) {
    let key = site.key();
    let mut talks: Vec<Talk> = (0..8).map(|_| site.open()).collect();
    let mut version = put(&mut talks[0], &key, "start");
    for round in 0..20 {
        for (at, talk) in talks.iter_mut().enumerate() {
            let value = format!("{round}-{at}");
            let cas = json!({"op": "cas", "key": key, "value": value, "version": version});
            talk.send(format!("{cas}\n"));
        }
        let answers: Vec<Value> = talks.iter_mut().map(Talk::answer).collect();
        let won: Vec<usize> = (0..8).filter(|at| answers[*at]["ok"] == true).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let winner = &answers[won[0]];
        for (at, lost) in answers.iter().enumerate().filter(|(at, _)| *at != won[0]) {
            assert_eq!(lost["code"], "version_mismatch", "{at}: {lost}");
            assert_eq!(lost["version"], winner["version"], "{at}: {lost}");
        }
        version = winner["version"].clone();
        holds(&mut talks[0], &key, &format!("{round}-{}", won[0]), &version);
    }
}
