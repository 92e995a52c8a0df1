//! `once`: an update happens at most once however often it is sent; `outcome`: what became of it.

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};

checks! {
    451 a_repetition_returns_the_first_result
        "It is stored with the update; repeating the update with the same `once` ... returns the first one's result and never runs twice"
    452 every_update_may_carry_once
        "Every update may carry `once`"
    453 repetitions_may_come_at_the_same_time
        "repeating the update with the same `once` ... returns the first one's result and never runs twice"
    454 another_request_is_refused
        "same `once` with another request: `bad_request`"
    455 a_refused_condition_is_not_recorded
        "a refused condition is not recorded and is evaluated afresh"
    456 once_has_16_to_64_bytes
        "`once`, a client-chosen string of 16 to 64 bytes, unique per update"
    457 id_and_timeout_are_no_part_of_the_request
        "repeating the update with the same `once` ... returns the first one's result"
    458 status_shows_how_far_back_once_reaches
        "`status` shows its reach"
    461 outcome_by_version
        "`outcome` | `version` ... `state`: `committed`"
    462 outcome_by_once_and_key
        "`outcome` | `version`, or `once` with `key` | `state`: `committed`"
    463 outcome_of_what_never_was
        "`unknown` (no record: it may still be on its way, never was sent ... repeating it with its `once` settles it)"
    464 outcome_takes_one_name
        "`outcome` | `version`, or `once` with `key`"
}

/// A name that no other update has.
fn name(site: &Site) -> String {
    site.key() + "once"
}

fn status_shows_how_far_back_once_reaches(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    talk.ok(&json!({"op": "put", "key": key, "value": "1", "once": name(site)}));
    let once = site.status()["once"].clone();
    assert!(once["entries"].as_u64() >= Some(1) && once["reach_ms"].is_u64(), "{once}");
    assert!(once["entries_max"].as_u64() >= once["entries"].as_u64(), "{once}");
}

fn version_of(talk: &mut Talk, key: &str) -> Value {
    talk.ok(&json!({"op": "get", "key": key}))["version"].clone()
}

fn a_repetition_returns_the_first_result(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let first = json!({"op": "put", "key": key, "value": "1", "once": name(site)});
    let version = talk.ok(&first)["version"].clone();
    assert_eq!(talk.ok(&first)["version"], version);
    assert_eq!(version_of(&mut talk, &key), version);
    let later = talk.ok(&json!({"op": "put", "key": key, "value": "2"}))["version"].clone();
    // On any connection, and though the key has moved on, or has gone.
    assert_eq!(site.open().ok(&first)["version"], version);
    assert_eq!(version_of(&mut talk, &key), later, "it must not run again");
    talk.ok(&json!({"op": "del", "key": key}));
    assert_eq!(talk.ok(&first)["version"], version);
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn every_update_may_carry_once(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let put = talk.ok(&json!({"op": "put", "key": key, "value": "0"}))["version"].clone();
    let other = site.key();
    let then = json!([{"op": "update", "key": key, "value": "t"}, {"op": "put", "key": other, "value": "t"}]);
    let mut requests = vec![
        json!({"op": "cas", "key": key, "value": "c", "version": put}),
        json!({"op": "update", "key": key, "value": "u"}),
        json!({"op": "txn", "if": [{"key": other, "version": null}], "then": then}),
        json!({"op": "del", "key": key}),
        json!({"op": "put", "key": key, "value": "p", "if_absent": true}),
    ];
    for request in &mut requests {
        request["once"] = json!(name(site));
    }
    // Each would be refused now, if it were carried out again.
    let versions: Vec<Value> = requests.iter().map(|r| talk.ok(r)["version"].clone()).collect();
    for (request, version) in requests.iter().zip(&versions) {
        assert_eq!(talk.ok(request)["version"], *version, "{request}");
    }
    assert_eq!(version_of(&mut talk, &key), versions[4]);
    assert_eq!(version_of(&mut talk, &other), versions[2]);
}

fn repetitions_may_come_at_the_same_time(site: &Site) {
    let mut talks: Vec<Talk> = (0..6).map(|_| site.open()).collect();
    for _ in 0..10 {
        let key = site.key();
        let put =
            json!({"op": "put", "key": key, "value": "1", "if_absent": true, "once": name(site)});
        for talk in &mut talks {
            talk.send(format!("{put}\n{put}\n"));
        }
        let mut answers = Vec::new();
        for talk in &mut talks {
            answers.extend([talk.answer(), talk.answer()]);
        }
        let version = version_of(&mut talks[0], &key);
        let same = |answer: &Value| answer["ok"] == true && answer["version"] == version;
        assert!(answers.iter().all(same), "{version}: {answers:?}");
    }
}

fn another_request_is_refused(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let (name, other) = (name(site), site.key());
    let first = json!({"op": "put", "key": key, "value": "1", "once": name});
    let version = talk.ok(&first)["version"].clone();
    for wrong in [
        json!({"op": "put", "key": key, "value": "2", "once": name}),
        json!({"op": "put", "key": other, "value": "1", "once": name}),
        json!({"op": "put", "key": key, "value": "1", "if_absent": true, "once": name}),
        json!({"op": "update", "key": key, "value": "1", "once": name}),
        json!({"op": "del", "key": key, "once": name}),
        json!({"op": "txn", "if": [], "then": [{"op": "put", "key": key, "value": "1"}], "once": name}),
    ] {
        talk.refused(wrong.to_string(), "bad_request");
    }
    assert_eq!(version_of(&mut talk, &key), version);
    talk.refused(json!({"op": "get", "key": other}).to_string(), "not_found");
    assert_eq!(talk.ok(&first)["version"], version, "the first one's result stays");
}

fn a_refused_condition_is_not_recorded(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let update = json!({"op": "update", "key": key, "value": "2", "once": name(site)});
    talk.refused(update.to_string(), "not_found");
    talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    let version = talk.ok(&update)["version"].clone();
    assert_eq!(version_of(&mut talk, &key), version);
    let absent =
        json!({"op": "put", "key": key, "value": "3", "if_absent": true, "once": name(site)});
    talk.refused(absent.to_string(), "exists");
    talk.ok(&json!({"op": "del", "key": key}));
    let version = talk.ok(&absent)["version"].clone();
    assert_eq!(talk.ok(&absent)["version"], version);
}

fn once_has_16_to_64_bytes(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let put = |once: &str| json!({"op": "put", "key": key, "value": "1", "once": once});
    let wide = "é".repeat(33);
    for once in ["", "a", "0123456789abcde", &"x".repeat(65), "éééééé", &wide] {
        talk.bad(put(once).to_string(), "once");
        talk.lives();
    }
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
    let port = talk.own_port();
    let odd = [format!("{port:0>6}\u{0}\n\"\\ 😀ab"), "é".repeat(5) + &format!("{port:0>6}")];
    let lengths = [16, 17, 63, 64].map(|bytes| format!("{port:0>6}{}", "x".repeat(bytes - 6)));
    for once in odd.iter().chain(&lengths) {
        assert!((16..=64).contains(&once.len()), "{once:?}");
        let version = talk.ok(&put(once))["version"].clone();
        assert_eq!(talk.ok(&put(once))["version"], version, "{once:?}");
    }
}

fn id_and_timeout_are_no_part_of_the_request(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let name = name(site);
    let first = json!({"op": "put", "key": key, "value": "1", "once": name, "id": 1});
    let version = talk.ok(&first)["version"].clone();
    let again = json!({"op": "put", "key": key, "value": "1", "once": name, "timeout_ms": 9_000});
    assert_eq!(talk.ok(&again)["version"], version);
}

fn outcome_by_version(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    for update in [
        json!({"op": "put", "key": key, "value": "1"}),
        json!({"op": "update", "key": key, "value": "2"}),
        json!({"op": "del", "key": key}),
        json!({"op": "txn", "if": [], "then": [{"op": "put", "key": key, "value": "1"}]}),
    ] {
        let version = talk.ok(&update)["version"].clone();
        let answer = talk.ok(&json!({"op": "outcome", "version": version, "id": "o"}));
        assert_eq!(
            (&answer["state"], &answer["id"]),
            (&json!("committed"), &json!("o")),
            "{answer}"
        );
    }
}

fn outcome_by_once_and_key(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let name = name(site);
    talk.ok(&json!({"op": "put", "key": key, "value": "1", "once": name}));
    let ask = json!({"op": "outcome", "once": name, "key": key});
    assert_eq!(talk.ok(&ask)["state"], "committed");
    talk.ok(&json!({"op": "del", "key": key}));
    assert_eq!(talk.ok(&ask)["state"], "committed", "whatever became of the key");
}

fn outcome_of_what_never_was(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let name = name(site);
    let ask = json!({"op": "outcome", "once": name, "key": key});
    assert_eq!(talk.ok(&ask)["state"], "unknown");
    // What was refused left no record.
    let refused = json!({"op": "update", "key": key, "value": "1", "once": name});
    talk.refused(refused.to_string(), "not_found");
    assert_eq!(talk.ok(&ask)["state"], "unknown");
    talk.ok(&json!({"op": "put", "key": key, "value": "1", "once": name}));
    assert_eq!(talk.ok(&ask)["state"], "committed");
}

fn outcome_takes_one_name(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let version = talk.ok(&json!({"op": "put", "key": key, "value": "1"}))["version"].clone();
    for both in [
        json!({"op": "outcome", "version": version, "once": name(site), "key": key}),
        json!({"op": "outcome", "version": version, "key": key}),
        json!({"op": "outcome", "key": key}),
        json!({"op": "outcome"}),
    ] {
        talk.refused(both.to_string(), "bad_request");
        talk.lives();
    }
}
