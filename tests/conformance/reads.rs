//! `get`, `mget` and `scan`.

use std::thread;

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};

checks! {
    501 get_tells_value_and_version
        "`get` | `key` | `value`, `version` | `not_found`"
    511 mget_keeps_the_order
        "`mget` | `keys` ... `values`: a list, in order, of `{value,version}` or `null`"
    512 mget_has_1_to_128_keys
        "`mget` | `keys` (1 to 128)"
    513 mget_of_too_much_is_refused
        "`mget` | `keys` ... `too_large` (over 4 MiB together)",
        "A reply line is at most 4 MiB"
    514 mget_is_one_cut
        "one consistent cut"
    521 scan_tells_keys_versions_and_lengths
        "`items` `{key,version,bytes[,value]}`"
    522 scan_is_sorted_by_bytes
        "sorted by key bytes"
    523 scan_goes_on_after_next
        "`next` or `null` ... keys untouched throughout appear exactly once"
    524 scan_takes_its_prefix_only
        "`scan` | `prefix` (default all)"
    525 scan_begins_after
        "`after` (optional)"
    526 scan_has_1_to_1000_items
        "`limit` (1 to 1000, default 100)"
    527 scan_tells_values_if_asked
        "`values` (default false)"
    528 scan_ends_a_page_at_4_mib
        "a page that would pass 4 MiB ends early with `next`"
    529 scan_is_current
        "each item was current at some time during the call ... no cut"
}

fn put(talk: &mut Talk, key: &str, value: &str) -> Value {
    talk.ok(&json!({"op": "put", "key": key, "value": value}))["version"].clone()
}

/// Puts many keys at once.
fn put_all(talk: &mut Talk, keys: &[String], value: &str) {
    let put = |key: &String| json!({"op": "put", "key": key, "value": value});
    for answer in talk.ask_all(&keys.iter().map(put).collect::<Vec<_>>()) {
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}"))
}

fn keys_of(page: &Value) -> Vec<String> {
    items(page).iter().map(|item| item["key"].as_str().expect("a key").to_owned()).collect()
}

/// All pages of a scan, each of `limit` items at most.
fn all_pages(talk: &mut Talk, prefix: &str, limit: usize) -> Vec<Value> {
    let mut pages = vec![talk.ok(&json!({"op": "scan", "prefix": prefix, "limit": limit}))];
    while !pages[pages.len() - 1]["next"].is_null() {
        let next = pages[pages.len() - 1]["next"].clone();
        assert!(next.is_string() && pages.len() < 10_000, "{next}");
        let scan = json!({"op": "scan", "prefix": prefix, "limit": limit, "after": next});
        pages.push(talk.ok(&scan));
    }
    pages
}

fn get_tells_value_and_version(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let get = json!({"op": "get", "key": key});
    for _ in 0..3 {
        talk.refused(get.to_string(), "not_found");
    }
    let version = put(&mut talk, &key, "1");
    // The first may be read elsewhere than the others: they are all the same.
    for _ in 0..3 {
        assert_eq!(talk.ok(&get), json!({"ok": true, "value": "1", "version": version}));
    }
}

fn mget_keeps_the_order(site: &Site) {
    let mut talk = site.open();
    let (a, b, absent) = (site.key(), site.key(), site.key());
    let version_a = put(&mut talk, &a, "A");
    let version_b =
        talk.ok(&json!({"op": "put", "key": b, "value_b64": "/w=="}))["version"].clone();
    let (at_a, at_b) = (
        json!({"value": "A", "version": version_a}),
        json!({"value_b64": "/w==", "version": version_b}),
    );
    let ask = |keys: &[&String]| json!({"op": "mget", "keys": keys});
    let told = talk.ok(&ask(&[&b, &absent, &a, &b]))["values"].clone();
    assert_eq!(told, json!([at_b, null, at_a, at_b]));
    let told = talk.ok(&ask(&[&absent]))["values"].clone();
    assert_eq!(told, json!([null]));
    talk.ok(&json!({"op": "del", "key": a}));
    assert_eq!(talk.ok(&ask(&[&a, &b]))["values"], json!([null, at_b]));
}

fn mget_has_1_to_128_keys(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let keys = |count: usize| (0..count).map(|at| format!("{key}{at}")).collect::<Vec<_>>();
    put_all(&mut talk, &keys(128), "v");
    let told = talk.ok(&json!({"op": "mget", "keys": keys(128)}))["values"].clone();
    let told = told.as_array().expect("a list");
    assert!(told.len() == 128 && told.iter().all(|one| one["value"] == "v"), "{told:?}");
    talk.bad(json!({"op": "mget", "keys": keys(0)}).to_string(), "keys");
    talk.bad(json!({"op": "mget", "keys": keys(129)}).to_string(), "keys");
    talk.lives();
}

fn mget_of_too_much_is_refused(site: &Site) {
    let mut talk = site.open();
    let keys: Vec<String> = (0..5).map(|_| site.key()).collect();
    put_all(&mut talk, &keys, &"x".repeat(1 << 20));
    let answer = talk.refused(json!({"op": "mget", "keys": keys}).to_string(), "too_large");
    let (limit, actual) = (answer["limit"].as_u64(), answer["actual"].as_u64());
    assert!(limit < actual && actual >= Some(5 << 20), "{answer}");
    let told = talk.ok(&json!({"op": "mget", "keys": keys[..3]}))["values"].clone();
    assert_eq!(told.as_array().expect("a list").len(), 3);
}

fn mget_is_one_cut(site: &Site) {
    let keys: Vec<String> = (0..6).map(|_| site.key()).collect();
    let then = |value: usize| {
        let put = |key: &String| json!({"op": "put", "key": key, "value": value.to_string()});
        json!({"op": "txn", "if": [], "then": keys.iter().map(put).collect::<Vec<_>>()})
    };
    let (mut writer, mut reader) = (site.open(), site.open());
    writer.ok(&then(0));
    let requests: Vec<Value> = (1..150).map(then).collect();
    let writing = thread::spawn(move || {
        for request in requests {
            writer.ok(&request);
        }
    });
    let mut last = Value::Null;
    let mut seen = 0;
    while !writing.is_finished() || seen == 0 {
        let told = reader.ok(&json!({"op": "mget", "keys": keys}))["values"].clone();
        let one = &told[0];
        assert!(told.as_array().expect("a list").iter().all(|other| other == one), "{told}");
        seen += usize::from(*one != last);
        last = one.clone();
    }
    writing.join().expect("all were written");
    let told = reader.ok(&json!({"op": "mget", "keys": keys}))["values"].clone();
    assert_eq!(told[5]["value"], "149", "{told}");
}

fn scan_tells_keys_versions_and_lengths(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let (a, b) = (format!("{prefix}a"), format!("{prefix}b"));
    let (version_a, version_b) = (put(&mut talk, &a, "four"), put(&mut talk, &b, "é"));
    let expected = json!({
        "ok": true,
        "items": [
            {"key": a, "version": version_a, "bytes": 4},
            {"key": b, "version": version_b, "bytes": 2},
        ],
        "next": null,
    });
    assert_eq!(talk.ok(&json!({"op": "scan", "prefix": prefix})), expected);
    let none = talk.ok(&json!({"op": "scan", "prefix": format!("{prefix}c")}));
    assert_eq!(none, json!({"ok": true, "items": [], "next": null}));
}

fn scan_is_sorted_by_bytes(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    // Sorted as texts of 16-bit units the last two would change places; by a language, many would.
    let odd =
        ["\u{0}", "\n", " ", "-", "A", "Z", "a", "aa", "b", "~", "\u{7f}", "é", "\u{ff5e}", "😀"];
    let mut keys: Vec<String> = odd.iter().map(|odd| format!("{prefix}{odd}")).collect();
    keys.reverse();
    put_all(&mut talk, &keys, "v");
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for limit in [1, 2, 5, 100] {
        let pages = all_pages(&mut talk, &prefix, limit);
        let found: Vec<String> = pages.iter().flat_map(keys_of).collect();
        assert_eq!(found, keys, "limit {limit}");
    }
}

fn scan_goes_on_after_next(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let mut keys: Vec<String> = (0..60).map(|at| format!("{prefix}{at}")).collect();
    put_all(&mut talk, &keys, "v");
    keys.sort_unstable();
    for limit in [1, 7, 59, 60, 61] {
        let pages = all_pages(&mut talk, &prefix, limit);
        let (last, whole) = pages.split_last().expect("a page");
        assert!(items(last).len() <= limit && last["next"].is_null(), "{last}");
        assert!(whole.iter().all(|page| items(page).len() == limit), "limit {limit}");
        let found: Vec<String> = pages.iter().flat_map(keys_of).collect();
        assert_eq!(found, keys, "limit {limit}");
    }
}

fn scan_takes_its_prefix_only(site: &Site) {
    let mut talk = site.open();
    let start = site.key();
    let keys = ["p", "pq", "pq/1", "pr", "q", "P"].map(|key| format!("{start}{key}"));
    put_all(&mut talk, &keys, "v");
    let mut found = |prefix: &str| keys_of(&talk.ok(&json!({"op": "scan", "prefix": prefix})));
    assert_eq!(found(&format!("{start}pq")), keys[1..3]);
    assert_eq!(found(&format!("{start}p")), keys[..4]);
    assert_eq!(found(&format!("{start}x")), [""; 0]);
    // All keys, whatever they are: these are among them.
    for all in [json!({"op": "scan", "limit": 3}), json!({"op": "scan", "prefix": "", "limit": 3})]
    {
        let page = talk.ok(&all);
        let found = keys_of(&page);
        assert!(found.len() == 3 && found.is_sorted(), "{page}");
        assert!(!page["next"].is_null(), "{page}");
    }
}

fn scan_begins_after(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let keys = ["a", "b", "c"].map(|key| format!("{prefix}{key}"));
    put_all(&mut talk, &keys, "v");
    let mut found = |after: &str| {
        let scan = json!({"op": "scan", "prefix": prefix, "after": after, "timeout_ms": 2_000});
        keys_of(&talk.ok(&scan))
    };
    assert_eq!(found(&keys[0]), keys[1..]);
    assert_eq!(found(&keys[2]), [""; 0]);
    // It need not be a key that is there, nor one with the prefix, nor one at all.
    assert_eq!(found(&format!("{}x", keys[0])), keys[1..]);
    assert_eq!(found("\u{0}"), keys);
    assert_eq!(found("\u{10ffff}"), [""; 0]);
    assert_eq!(found(""), keys);
    talk.lives();
}

fn scan_has_1_to_1000_items(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let keys: Vec<String> = (0..1_001).map(|at| format!("{prefix}{at}")).collect();
    put_all(&mut talk, &keys, "v");
    let mut scan = |limit: Option<u32>| {
        let mut scan = json!({"op": "scan", "prefix": prefix});
        if let Some(limit) = limit {
            scan["limit"] = json!(limit);
        }
        talk.ok(&scan)
    };
    assert_eq!(items(&scan(None)).len(), 100);
    assert_eq!(items(&scan(Some(1))).len(), 1);
    let page = scan(Some(1_000));
    assert_eq!(items(&page).len(), 1_000);
    assert_eq!(page["next"], items(&page)[999]["key"]);
    for limit in ["0", "1001", "-1", "1.5", "99999999999999999999"] {
        talk.bad(format!(r#"{{"op":"scan","limit":{limit}}}"#), "limit");
        talk.lives();
    }
}

fn scan_tells_values_if_asked(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let (text, bytes) = (format!("{prefix}a"), format!("{prefix}b"));
    put(&mut talk, &text, "a \"text\"");
    talk.ok(&json!({"op": "put", "key": bytes, "value_b64": "AP8="}));
    let page = talk.ok(&json!({"op": "scan", "prefix": prefix, "values": true}));
    let [first, second] = &items(&page)[..] else { panic!("{page}") };
    assert_eq!((&first["value"], first.get("value_b64")), (&json!("a \"text\""), None));
    assert_eq!((&second["value_b64"], second.get("value")), (&json!("AP8="), None));
    for plain in [
        json!({"op": "scan", "prefix": prefix, "values": false}),
        json!({"op": "scan", "prefix": prefix}),
    ] {
        let page = talk.ok(&plain);
        let no_value =
            |item: &Value| item.get("value").is_none() && item.get("value_b64").is_none();
        assert!(items(&page).len() == 2 && items(&page).iter().all(no_value), "{page}");
    }
}

fn scan_ends_a_page_at_4_mib(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let keys: Vec<String> = (0..6).map(|at| format!("{prefix}{at}")).collect();
    put_all(&mut talk, &keys, &"x".repeat(1 << 20));
    let mut found = Vec::new();
    let mut after = Value::Null;
    let mut pages = 0;
    loop {
        let mut scan = json!({"op": "scan", "prefix": prefix, "values": true});
        if !after.is_null() {
            scan["after"] = after;
        }
        // Each line is held to its 4 MiB when it comes.
        let page = talk.ok(&scan);
        pages += 1;
        assert!(!items(&page).is_empty() || page["next"].is_null(), "an empty page that goes on");
        found.extend(keys_of(&page));
        assert!(
            items(&page).iter().all(|item| item["value"].as_str().map(str::len) == Some(1 << 20))
        );
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(found, keys);
    assert!((2..=6).contains(&pages), "{pages} pages");
}

fn scan_is_current(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let keys: Vec<String> = (0..20).map(|at| format!("{prefix}{at}")).collect();
    put_all(&mut talk, &keys, "old");
    for key in keys.iter().take(10) {
        let version = put(&mut talk, key, "newer");
        let page = talk.ok(&json!({"op": "scan", "prefix": key, "values": true}));
        let item = &items(&page)[0];
        assert_eq!((&item["value"], &item["version"]), (&json!("newer"), &version), "{page}");
        talk.ok(&json!({"op": "del", "key": key}));
        let page = site.open().ok(&json!({"op": "scan", "prefix": prefix}));
        assert!(!keys_of(&page).contains(key), "{key} is told though it is gone");
    }
}
