//! Keys, values and versions, and how long they may be.

use serde_json::{Value, json};

use super::talk::{Talk, base64};
use super::{Site, checks};

checks! {
    301 text_comes_back_as_text
        "a reply uses `value` for UTF-8 without control characters other than `\\t \\n \\r`"
    302 control_characters_come_back_as_base64
        "a reply uses `value` for UTF-8 without control characters other than `\\t \\n \\r`, else `value_b64`"
    303 bytes_come_back_as_base64
        r#"**Values** are bytes ... `"value":"text"` or `"value_b64":"..."` (RFC 4648, padded) in a request"#
    304 how_it_was_sent_makes_no_difference
        "**Values** are bytes"
    305 a_value_may_be_empty
        "**Values** are bytes, possibly empty"
    306 base64_is_strict
        "`\"value_b64\":\"...\"` (RFC 4648, padded)"
    307 a_value_is_given_once
        "`\"value\":\"text\"` or `\"value_b64\":\"...\"`"
    308 a_lone_surrogate_is_no_text
        "UTF-8, in both directions"
    311 a_value_may_have_1_mib
        "value 1 MiB",
        "a large value full of escapes is sent as `value_b64`"
    312 a_longer_value_is_refused_with_its_length
        "value 1 MiB",
        "`bad_request`, `too_large` | `field`; `what limit actual` | fix the request | pointless"
    321 keys_may_hold_any_character
        "Keys are UTF-8 text, 1 to 256 bytes, any character"
    322 keys_have_1_to_256_bytes
        "Keys are UTF-8 text, 1 to 256 bytes",
        "key 256 B"
    323 a_longer_key_is_refused_with_its_length
        "key 256 B",
        "`bad_request`, `too_large` | `field`; `what limit actual` | fix the request | pointless"
    324 keys_are_told_apart_by_their_bytes
        "Keys are UTF-8 text, 1 to 256 bytes, any character"
    331 a_version_is_that_of_the_last_update
        "**version** is an opaque string, `\"EPOCH.COUNTER\"`: the id of the transaction that wrote the value. Compare it for equality only"
}

const VALUE_BYTES_MAX: usize = 1 << 20;

/// The two fields in which a value may stand, as a reply to `get` has them.
fn got(talk: &mut Talk, key: &str) -> (Value, Value) {
    let answer = talk.ok(&json!({"op": "get", "key": key}));
    (answer["value"].clone(), answer["value_b64"].clone())
}

/// `bytes` come back as text, or as base64, however they are sent.
fn comes_back(talk: &mut Talk, key: &str, bytes: &[u8], as_text: bool) {
    let expected = match std::str::from_utf8(bytes) {
        Ok(text) if as_text => (json!(text), Value::Null),
        _ => (Value::Null, json!(base64(bytes))),
    };
    talk.ok(&json!({"op": "put", "key": key, "value_b64": base64(bytes)}));
    assert_eq!(got(talk, key), expected, "{bytes:?}, sent as base64");
    if let Ok(text) = std::str::from_utf8(bytes) {
        talk.ok(&json!({"op": "put", "key": key, "value": text}));
        assert_eq!(got(talk, key), expected, "{bytes:?}, sent as text");
    }
    let page = talk.ok(&json!({"op": "scan", "prefix": key, "values": true}));
    let item = &page["items"][0];
    assert_eq!((item["value"].clone(), item["value_b64"].clone()), expected, "{bytes:?} in a scan");
    assert_eq!(item["bytes"], bytes.len(), "{item}");
    let many = talk.ok(&json!({"op": "mget", "keys": [key]}));
    let one = &many["values"][0];
    assert_eq!((one["value"].clone(), one["value_b64"].clone()), expected, "{bytes:?} in an mget");
}

fn text_comes_back_as_text(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    for text in ["a", " ", "\t\n\r", "\"\\/", "ü鍵😀", "\u{a0}\u{2028}\u{feff}\u{fffd}\u{10ffff}"]
    {
        comes_back(&mut talk, &key, text.as_bytes(), true);
    }
    // Escapes stand for the characters that they are.
    talk.send(format!(
        "{{\"op\":\"put\",\"key\":\"{key}\",\"value\":\"\\u0061\\ud83d\\ude00\\/\\t\\u000a\"}}\n"
    ));
    assert_eq!(talk.answer()["ok"], true);
    assert_eq!(got(&mut talk, &key), (json!("a😀/\t\n"), Value::Null));
}

fn control_characters_come_back_as_base64(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let controls = (0..0x20_u8).filter(|byte| !b"\t\n\r".contains(byte)).map(char::from);
    for control in controls.chain(['\u{7f}', '\u{80}', '\u{85}', '\u{9f}']) {
        let value = format!("a{control}b");
        talk.ok(&json!({"op": "put", "key": key, "value": value}));
        let expected = (Value::Null, json!(base64(value.as_bytes())));
        assert_eq!(got(&mut talk, &key), expected, "{value:?}");
    }
    comes_back(&mut talk, &key, b"a line\n\x1b[31m", false);
}

fn bytes_come_back_as_base64(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let all: Vec<u8> = (0..=255).collect();
    for length in [1, 2, 3, 4, 5, 100, 254, 255, 256] {
        comes_back(&mut talk, &key, &all[256 - length..], false);
    }
    for bytes in [&b"\xc3"[..], b"\xed\xa0\x80", b"ok\xff", b"\xc0\x80"] {
        comes_back(&mut talk, &key, bytes, false);
    }
}

fn how_it_was_sent_makes_no_difference(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    // Readable though it came as base64; not readable though it came as text.
    talk.ok(&json!({"op": "put", "key": key, "value_b64": "YSB0ZXh0Cg=="}));
    assert_eq!(got(&mut talk, &key), (json!("a text\n"), Value::Null));
    talk.ok(&json!({"op": "put", "key": key, "value": "\u{0}"}));
    assert_eq!(got(&mut talk, &key), (Value::Null, json!("AA==")));
}

fn a_value_may_be_empty(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    for field in ["value", "value_b64"] {
        talk.ok(&json!({"op": "put", "key": key, field: ""}));
        assert_eq!(got(&mut talk, &key), (json!(""), Value::Null));
        talk.ok(&json!({"op": "update", "key": key, field: ""}));
        let page = talk.ok(&json!({"op": "scan", "prefix": key, "values": true}));
        assert_eq!(
            (&page["items"][0]["bytes"], &page["items"][0]["value"]),
            (&json!(0), &json!(""))
        );
        talk.ok(&json!({"op": "del", "key": key}));
        talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
    }
}

fn base64_is_strict(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let wrong = [
        "YQ", "YQ=", "YWI", "YQ===", "=", "====", "Y===", "YQ==YQ==", "YWI=a", "Y Q==", "YQ==\n",
        "\nYQ==", "Y-Q=", "Y_Q=", "é===", "a", "abcde", "!!!!",
    ];
    for text in wrong {
        talk.bad(json!({"op": "put", "key": key, "value_b64": text}).to_string(), "value_b64");
        talk.lives();
    }
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn a_value_is_given_once(site: &Site) {
    let mut talk = site.open();
    let both = json!({"op": "put", "key": site.key(), "value": "a", "value_b64": "YQ=="});
    let answer = talk.refused(both.to_string(), "bad_request");
    assert!(answer["field"].as_str().is_some_and(|field| field.starts_with("value")), "{answer}");
    talk.bad(json!({"op": "put", "key": site.key()}).to_string(), "value");
}

fn a_lone_surrogate_is_no_text(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    for text in ["\\ud800", "\\udc00", "a\\ud83dz", "\\ude00\\ud83d"] {
        let put = format!(r#"{{"op":"put","key":"{key}","value":"{text}"}}"#);
        talk.refused(put, "bad_request");
        talk.refused(format!(r#"{{"op":"get","key":"{text}"}}"#), "bad_request");
        talk.lives();
    }
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn a_value_may_have_1_mib(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let text = "é".repeat(VALUE_BYTES_MAX / 2);
    talk.ok(&json!({"op": "put", "key": key, "value": text}));
    assert!(got(&mut talk, &key) == (json!(text), Value::Null), "1 MiB of text");
    // As text it would not fit a line, nor would its escapes.
    let quotes = vec![b'"'; VALUE_BYTES_MAX];
    talk.ok(&json!({"op": "put", "key": key, "value_b64": base64(&quotes)}));
    let expected = json!(String::from_utf8(quotes).expect("ASCII"));
    assert!(got(&mut talk, &key) == (expected, Value::Null), "1 MiB of escapes");
    let bytes: Vec<u8> = (0..VALUE_BYTES_MAX).map(|at| (at % 251) as u8 | 0x80).collect();
    talk.ok(&json!({"op": "put", "key": key, "value_b64": base64(&bytes)}));
    assert!(got(&mut talk, &key) == (Value::Null, json!(base64(&bytes))), "1 MiB of bytes");
}

fn a_longer_value_is_refused_with_its_length(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    for over in [1, 2, 3, 4, 5, 6, 7, 1_000] {
        let bytes = VALUE_BYTES_MAX + over;
        let text = "x".repeat(bytes);
        for value in [json!({"value": text}), json!({"value_b64": base64(text.as_bytes())})] {
            let mut put = json!({"op": "put", "key": key, "id": over});
            put.as_object_mut()
                .expect("an object")
                .extend(value.as_object().cloned().expect("one"));
            let answer = talk.refused(put.to_string(), "too_large");
            assert_eq!((&answer["what"], &answer["id"]), (&json!("value"), &json!(over)));
            assert_eq!(answer["limit"], VALUE_BYTES_MAX, "{answer}");
            assert_eq!(answer["actual"], bytes, "{answer}");
        }
    }
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn keys_may_hold_any_character(site: &Site) {
    let mut talk = site.open();
    let prefix = site.key();
    let odd = [
        "\u{0}",
        "\n",
        "\r\n",
        "\t",
        " ",
        "\"",
        "\\",
        "/",
        "..",
        "{}",
        "\u{7f}",
        "\u{85}",
        "é",
        "e\u{301}",
        "\u{200f}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffe}",
        "😀",
        "\u{10ffff}",
        "%00",
        "*",
        "\u{1b}[2J",
    ];
    let keys: Vec<String> = odd.iter().map(|odd| format!("{prefix}{odd}")).collect();
    for key in &keys {
        talk.ok(&json!({"op": "put", "key": key, "value": key}));
    }
    for key in &keys {
        let answer = talk.ok(&json!({"op": "get", "key": key}));
        let told = answer["value"] == **key || answer["value_b64"] == base64(key.as_bytes());
        assert!(told, "{key:?}: {answer}");
    }
    let page = talk.ok(&json!({"op": "scan", "prefix": prefix}));
    let mut found: Vec<&str> =
        page["items"].as_array().expect("a list").iter().map(key_of).collect();
    let mut all: Vec<&str> = keys.iter().map(String::as_str).collect();
    found.sort_unstable();
    all.sort_unstable();
    assert_eq!(found, all);
}

fn key_of(item: &Value) -> &str {
    item["key"].as_str().expect("a key")
}

fn keys_have_1_to_256_bytes(site: &Site) {
    let mut talk = site.open();
    // Of one byte there may be one already, where others write.
    let put = json!({"op": "put", "key": "\u{3}", "value": "conformance", "if_absent": true});
    let answer = talk.ask(put.to_string());
    assert!(answer["ok"] == true || answer["code"] == "exists", "{answer}");
    if answer["ok"] == true {
        let version = answer["version"].clone();
        talk.ok(&json!({"op": "del", "key": "\u{3}", "version": version}));
    }
    let start = site.key();
    let long = format!("{start}{}", "x".repeat(256 - start.len()));
    let wide = format!(
        "{start}{}{}",
        "x".repeat((256 - start.len()) % 4),
        "😀".repeat((256 - start.len()) / 4)
    );
    for key in [long, wide] {
        assert_eq!(key.len(), 256);
        talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
        assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["value"], "1");
        assert_eq!(talk.ok(&json!({"op": "mget", "keys": [key]}))["values"][0]["value"], "1");
        assert_eq!(talk.ok(&json!({"op": "scan", "prefix": key}))["items"][0]["key"], key);
        talk.ok(&json!({"op": "del", "key": key}));
    }
    talk.bad(r#"{"op":"get","key":""}"#, "key");
    talk.bad(r#"{"op":"put","key":"","value":"1"}"#, "key");
    talk.refused(r#"{"op":"mget","keys":["a",""]}"#, "bad_request");
    talk.refused(r#"{"op":"txn","if":[],"then":[{"op":"del","key":""}]}"#, "bad_request");
}

fn a_longer_key_is_refused_with_its_length(site: &Site) {
    let mut talk = site.open();
    let (long, wide) = ("x".repeat(257), "é".repeat(150));
    for (key, bytes) in [(&long, 257), (&wide, 300)] {
        let then = json!([{"op": "put", "key": key, "value": "1"}]);
        for request in [
            json!({"op": "get", "key": key}),
            json!({"op": "put", "key": key, "value": "1"}),
            json!({"op": "update", "key": key, "value": "1"}),
            json!({"op": "cas", "key": key, "value": "1", "version": "1.1"}),
            json!({"op": "del", "key": key}),
            json!({"op": "mget", "keys": ["a", key]}),
            json!({"op": "txn", "if": [], "then": then}),
            json!({"op": "txn", "if": [{"key": key, "version": null}], "then": [{"op": "del", "key": "a"}]}),
            json!({"op": "watch", "key": key}),
            json!({"op": "outcome", "once": "0123456789abcdef", "key": key}),
        ] {
            let answer = talk.refused(request.to_string(), "too_large");
            assert_eq!(
                (&answer["what"], &answer["limit"]),
                (&json!("key"), &json!(256)),
                "{answer}"
            );
            assert_eq!(answer["actual"], bytes, "{answer}");
        }
    }
    talk.lives();
}

fn keys_are_told_apart_by_their_bytes(site: &Site) {
    let mut talk = site.open();
    let start = site.key();
    // Some programs take some of these for the same.
    let keys = ["é", "e\u{301}", "E", "e", "e ", "e\u{0}", "ﬀ", "ff", "İ", "i\u{307}"];
    for key in keys {
        let put =
            json!({"op": "put", "key": format!("{start}{key}"), "value": key, "if_absent": true});
        talk.ok(&put);
    }
    let get = |key: &&str| json!({"op": "get", "key": format!("{start}{key}")});
    for (key, answer) in keys.iter().zip(talk.ask_all(&keys.iter().map(get).collect::<Vec<_>>())) {
        let told = answer["value"] == **key || answer["value_b64"] == base64(key.as_bytes());
        assert!(told, "{key:?}: {answer}");
    }
}

fn a_version_is_that_of_the_last_update(site: &Site) {
    let mut talk = site.open();
    let key = site.key();
    let mut versions = Vec::new();
    for value in 0..20 {
        let answer = talk.ok(&json!({"op": "put", "key": key, "value": value.to_string()}));
        let version = answer["version"].as_str().expect("a string").to_owned();
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = version.split('.').collect();
        assert!(parts.len() == 2 && parts.iter().all(|part| digits(part)), "{version}");
        assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["version"], *version);
        let page = talk.ok(&json!({"op": "scan", "prefix": key}));
        assert_eq!(page["items"][0]["version"], *version);
        assert!(!versions.contains(&version), "{version} is given twice");
        versions.push(version);
    }
}
