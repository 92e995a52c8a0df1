//! What is refused by name, while the connection lives on.

use serde_json::json;

use super::talk::Talk;
use super::{Site, checks};

checks! {
    201 unknown_fields_are_named
        "Unknown or duplicate request fields are `bad_request`, naming the `field`"
    202 duplicate_fields_are_named
        "Unknown or duplicate request fields are `bad_request`, naming the `field`"
    203 another_ops_fields_are_unknown
        "Unknown or duplicate request fields are `bad_request`, naming the `field`"
    204 fields_within_lists_are_named_too
        "Unknown or duplicate request fields are `bad_request`, naming the `field`"
    211 broken_json
        "**A bad line is answered, and the connection lives on**: broken JSON"
    212 no_object
        "One JSON object per line"
    213 a_missing_field
        "**A bad line is answered, and the connection lives on** ... a missing field"
    214 a_wrong_type
        "**A bad line is answered, and the connection lives on** ... a wrong type"
    215 invalid_utf8
        "**A bad line is answered, and the connection lives on** ... invalid UTF-8"
    216 an_unknown_op
        "**A bad line is answered, and the connection lives on** ... an unknown `op`"
    217 an_over_long_line_is_skipped_to_its_newline
        "**A bad line is answered, and the connection lives on** ... an over-long line (skipped to its newline)"
    218 a_line_at_the_limit_is_run
        "request line 1.5 MiB"
    219 an_over_long_last_line_is_answered
        "at end of input everything received is carried out and answered, then the server closes"
    221 nesting_is_bounded
        "nesting 8"
    222 brackets_within_strings_do_not_nest
        "nesting 8"
    231 many_bad_lines_in_a_row
        "A bad line is answered, and the connection lives on"
}

const LINE_BYTES_MAX: usize = 3 << 19;

/// A request of each op but `watch`, valid if its keys exist; `{}` stands for more fields.
const REQUESTS: &[&str] = &[
    r#"{"op":"get","key":"a"{}}"#,
    r#"{"op":"put","key":"a","value":"b"{}}"#,
    r#"{"op":"update","key":"a","value":"b"{}}"#,
    r#"{"op":"cas","key":"a","value":"b","version":"1.1"{}}"#,
    r#"{"op":"del","key":"a"{}}"#,
    r#"{"op":"mget","keys":["a"]{}}"#,
    r#"{"op":"txn","if":[],"then":[{"op":"put","key":"a","value":"b"}]{}}"#,
    r#"{"op":"scan"{}}"#,
    r#"{"op":"watch","key":"a"{}}"#,
    r#"{"op":"status"{}}"#,
    r#"{"op":"outcome","version":"1.1"{}}"#,
    r#"{"op":"hello"{}}"#,
];

/// Updates may be refused here only because of their form.
fn open(site: &Site) -> Talk {
    let mut talk = site.open();
    talk.ok(&json!({"op": "hello", "read_only": true}));
    talk
}

fn unknown_fields_are_named(site: &Site) {
    let mut talk = open(site);
    for request in REQUESTS {
        for value in ["1", "null", "\"x\"", "[[]]", r#"{"a":1}"#] {
            talk.bad(request.replace("{}", &format!(r#","colour":{value}"#)), "colour");
        }
        talk.bad(request.replace("{}", r#","Op":"get""#), "Op");
        talk.bad(request.replace("{}", r#","":1"#), "");
        talk.lives();
    }
}

fn duplicate_fields_are_named(site: &Site) {
    let mut talk = open(site);
    for request in REQUESTS {
        talk.bad(request.replace("{}", r#","op":"get""#), "op");
        talk.bad(request.replace("{}", r#","id":1,"id":1"#), "id");
        talk.bad(request.replace("{}", r#","timeout_ms":50,"timeout_ms":50"#), "timeout_ms");
        talk.lives();
    }
    talk.bad(r#"{"op":"get","key":"a","key":"a"}"#, "key");
    talk.bad(r#"{"op":"get","key":"a","\u006bey":"b"}"#, "key");
    talk.bad(r#"{"op":"put","key":"a","value":"1","value":"1"}"#, "value");
    talk.bad(r#"{"op":"mget","keys":["a"],"keys":["a"]}"#, "keys");
    talk.bad(r#"{"op":"scan","limit":1,"limit":1}"#, "limit");
    talk.lives();
}

fn another_ops_fields_are_unknown(site: &Site) {
    let mut talk = open(site);
    let named = r#""once":"0123456789abcdef""#;
    talk.bad(r#"{"op":"get","key":"a","value":"b"}"#, "value");
    talk.bad(r#"{"op":"get","key":"a","keys":["b"]}"#, "keys");
    talk.bad(r#"{"op":"put","key":"a","value":"b","version":"1.1"}"#, "version");
    talk.bad(r#"{"op":"update","key":"a","value":"b","if_absent":true}"#, "if_absent");
    talk.bad(r#"{"op":"cas","key":"a","value":"b","version":"1.1","if_absent":true}"#, "if_absent");
    talk.bad(r#"{"op":"del","key":"a","value":"b"}"#, "value");
    talk.bad(r#"{"op":"mget","keys":["a"],"key":"a"}"#, "key");
    talk.bad(r#"{"op":"scan","key":"a"}"#, "key");
    talk.bad(r#"{"op":"status","key":"a"}"#, "key");
    talk.bad(r#"{"op":"hello","prefix":"a"}"#, "prefix");
    talk.bad(format!(r#"{{"op":"get","key":"a",{named}}}"#), "once");
    talk.bad(format!(r#"{{"op":"status",{named}}}"#), "once");
    talk.lives();
}

fn fields_within_lists_are_named_too(site: &Site) {
    let mut talk = open(site);
    let put = r#"{"op":"put","key":"a","value":"b"}"#;
    for (lists, name) in [
        (r#""if":[],"then":[{"op":"put","key":"a","value":"b","colour":1}]"#.to_owned(), "colour"),
        (r#""if":[],"then":[{"op":"del","key":"a","key":"b"}]"#.to_owned(), "key"),
        (r#""if":[],"then":[{"op":"del","key":"a","value":"b"}]"#.to_owned(), "value"),
        (format!(r#""if":[{{"key":"a","version":null,"colour":1}}],"then":[{put}]"#), "colour"),
        (
            format!(r#""if":[{{"key":"a","version":null,"version":null}}],"then":[{put}]"#),
            "version",
        ),
        (format!(r#""if":[{{"key":"a","version":7}}],"then":[{put}]"#), "version"),
        (format!(r#""if":[{{"key":"a"}}],"then":[{put}]"#), "version"),
        (r#""if":[],"then":[{"op":"get","key":"a"}]"#.to_owned(), "op"),
        (r#""if":[],"then":[{"key":"a"}]"#.to_owned(), "op"),
        (r#""if":[],"then":[{"op":"put","key":"a"}]"#.to_owned(), "value"),
        (r#""if":[],"then":[1]"#.to_owned(), "then"),
        (format!(r#""if":[[]],"then":[{put}]"#), "if"),
    ] {
        let answer = talk.refused(format!(r#"{{"op":"txn",{lists}}}"#), "bad_request");
        let field = answer["field"].as_str().unwrap_or_default();
        assert!(field.contains(name), "{lists}: {name} is not named in {answer}");
        talk.lives();
    }
    let answer = talk.refused(r#"{"op":"mget","keys":["a",1]}"#, "bad_request");
    assert!(answer["field"].as_str().is_some_and(|field| field.contains("keys")), "{answer}");
}

/// Each line is refused as a `bad_request`, and the connection lives.
fn refuse_all(site: &Site, lines: &[&[u8]]) {
    let mut talk = open(site);
    for line in lines {
        talk.refused(line, "bad_request");
        talk.lives();
    }
}

fn broken_json(site: &Site) {
    let lines: [&[u8]; 22] = [
        b"{",
        b"}",
        b"{}}",
        b"{\"op\"",
        b"{\"op\":",
        b"{\"op\":\"get\",\"key\":",
        b"{\"op\":\"get\",\"key\":\"a}",
        b"{\"op\":\"get\",\"key\":\"a\"",
        b"{\"op\":\"get\",\"key\":\"a\",}",
        b"{\"op\":\"get\" \"key\":\"a\"}",
        b"{op:\"get\",key:\"a\"}",
        b"{'op':'get','key':'a'}",
        b"{\"op\":\"get\",\"key\":\"a\"} {}",
        b"{\"op\":\"hello\"}{\"op\":\"hello\"}",
        b"{\"op\":\"get\",\"key\":\"\\x41\"}",
        b"{\"op\":\"get\",\"key\":\"\\u12\"}",
        b"{\"op\":\"get\",\"key\":\"a\tb\"}",
        b"{\"op\":\"hello\",\"timeout_ms\":05}",
        b"{\"op\":\"hello\",\"timeout_ms\":+5}",
        b"{\"op\":\"hello\",\"id\":NaN}",
        b"hello",
        b"\0",
    ];
    refuse_all(site, &lines);
}

fn no_object(site: &Site) {
    let lines: [&[u8]; 8] =
        [b"[]", b"[1,2]", b"\"get\"", b"7", b"null", b"true", b"[{\"op\":\"hello\"}]", b"{}"];
    refuse_all(site, &lines);
}

fn a_missing_field(site: &Site) {
    let mut talk = open(site);
    for (line, field) in [
        (r#"{"key":"a"}"#, "op"),
        (r#"{"op":"get"}"#, "key"),
        (r#"{"op":"put","value":"b"}"#, "key"),
        (r#"{"op":"put","key":"a"}"#, "value"),
        (r#"{"op":"update","value":"b"}"#, "key"),
        (r#"{"op":"update","key":"a"}"#, "value"),
        (r#"{"op":"cas","value":"b","version":"1.1"}"#, "key"),
        (r#"{"op":"cas","key":"a","version":"1.1"}"#, "value"),
        (r#"{"op":"cas","key":"a","value":"b"}"#, "version"),
        (r#"{"op":"del"}"#, "key"),
        (r#"{"op":"mget"}"#, "keys"),
        (r#"{"op":"txn","if":[]}"#, "then"),
        (r#"{"op":"outcome","once":"0123456789abcdef"}"#, "key"),
    ] {
        talk.bad(line, field);
        talk.lives();
    }
    // One of two: which one is named is free.
    for line in [r#"{"op":"watch"}"#, r#"{"op":"outcome"}"#, r#"{"op":"outcome","key":"a"}"#] {
        talk.refused(line, "bad_request");
        talk.lives();
    }
}

fn a_wrong_type(site: &Site) {
    let mut talk = open(site);
    let mut wrong = |request: &str, field: &str, values: &[&str]| {
        for value in values {
            talk.bad(request.replace("{}", &format!("\"{field}\":{value}")), field);
            talk.lives();
        }
    };
    let no_text = ["1", "1.5", "true", "null", "[]", "[\"a\"]", "{}"];
    let no_flag = ["1", "\"true\"", "null", "[]"];
    let no_list = ["1", "\"a\"", "true", "null", "{}"];
    wrong(r#"{{}}"#, "op", &no_text);
    wrong(r#"{"op":"get",{}}"#, "key", &no_text);
    wrong(r#"{"op":"put","key":"a",{}}"#, "value", &no_text);
    wrong(r#"{"op":"put","key":"a",{}}"#, "value_b64", &no_text);
    wrong(r#"{"op":"put","key":"a","value":"b",{}}"#, "if_absent", &no_flag);
    wrong(r#"{"op":"put","key":"a","value":"b",{}}"#, "once", &no_text);
    wrong(r#"{"op":"cas","key":"a","value":"b",{}}"#, "version", &no_text);
    wrong(r#"{"op":"mget",{}}"#, "keys", &no_list);
    wrong(r#"{"op":"txn","if":[],{}}"#, "then", &no_list);
    wrong(r#"{"op":"txn","then":[{"op":"del","key":"a"}],{}}"#, "if", &["1", "\"a\"", "{}"]);
    wrong(r#"{"op":"scan",{}}"#, "prefix", &["1", "true", "[]", "{}"]);
    wrong(r#"{"op":"scan",{}}"#, "after", &["1", "true", "[]", "{}"]);
    wrong(r#"{"op":"scan",{}}"#, "limit", &["\"1\"", "1.5", "true", "[]"]);
    wrong(r#"{"op":"scan",{}}"#, "values", &no_flag);
    wrong(r#"{"op":"watch",{}}"#, "prefix", &["1", "true", "[]", "{}"]);
    wrong(r#"{"op":"outcome",{}}"#, "version", &["1.1", "true", "[]", "{}"]);
    wrong(r#"{"op":"hello",{}}"#, "client", &["1", "true", "[]", "{}"]);
    wrong(r#"{"op":"hello",{}}"#, "read_only", &no_flag);
}

fn invalid_utf8(site: &Site) {
    let lines: [&[u8]; 9] = [
        b"\xff\xfe",
        b"{\"op\":\"get\",\"key\":\"\xff\"}",
        b"{\"op\":\"get\",\"key\":\"\xc3\"}",
        b"{\"op\":\"get\",\"key\":\"\xc0\x80\"}",
        b"{\"op\":\"get\",\"key\":\"\xed\xa0\x80\"}",
        b"{\"op\":\"get\",\"key\":\"\xf4\x90\x80\x80\"}",
        b"{\"op\":\"hello\",\"client\":\"\x80\"}",
        b"{\"\xe9\":1,\"op\":\"hello\"}",
        b"{\"op\":\"hello\"}\xff",
    ];
    refuse_all(site, &lines);
}

fn an_unknown_op(site: &Site) {
    let mut talk = open(site);
    for op in ["dance", "", "GET", "Get", "get ", " get", "gets", "g\\u0065ts", "\\u0000", "💥"] {
        talk.bad(format!(r#"{{"op":"{op}","key":"a"}}"#), "op");
        talk.lives();
    }
}

/// A `hello` of so many bytes.
fn hello_of(bytes: usize) -> String {
    let shape = |pad: usize| format!("{{\"op\":\"hello\",{}\"id\":\"alive\"}}", " ".repeat(pad));
    shape(bytes - shape(0).len())
}

fn an_over_long_line_is_skipped_to_its_newline(site: &Site) {
    let mut talk = open(site);
    let garbage = |bytes: usize| String::from_utf8(vec![b'x'; bytes]).expect("ASCII");
    for (line, bytes) in [
        (hello_of(LINE_BYTES_MAX + 1), LINE_BYTES_MAX + 1),
        (hello_of(5 << 20), 5 << 20),
        (garbage(LINE_BYTES_MAX + 2), LINE_BYTES_MAX + 2),
        (garbage(3 << 20), 3 << 20),
    ] {
        talk.send(format!("{line}\n{{\"op\":\"hello\",\"id\":\"next\"}}\n"));
        let answer = talk.answer();
        assert_eq!((&answer["code"], &answer["what"]), (&json!("too_large"), &json!("line")));
        assert_eq!(answer["limit"], LINE_BYTES_MAX, "{answer}");
        assert_eq!(answer["actual"], bytes, "{answer}");
        assert_eq!(talk.answer()["id"], "next", "after a line of {bytes} bytes");
    }
}

fn a_line_at_the_limit_is_run(site: &Site) {
    let mut talk = open(site);
    for end in ["\n", "\r\n"] {
        talk.send(hello_of(LINE_BYTES_MAX) + end);
        let answer = talk.answer();
        assert_eq!((&answer["ok"], &answer["id"]), (&json!(true), &json!("alive")), "{answer}");
    }
}

fn an_over_long_last_line_is_answered(site: &Site) {
    let mut talk = open(site);
    talk.send(hello_of(LINE_BYTES_MAX + 1));
    talk.end_input();
    assert_eq!(talk.answer()["code"], "too_large");
    talk.closes();
}

fn nesting_is_bounded(site: &Site) {
    let mut talk = open(site);
    // The request itself is the first level.
    for deeper in [8, 9, 100, 127, 128, 129, 10_000, 200_000] {
        let (open, close) = ("[".repeat(deeper), "]".repeat(deeper));
        let answer = talk.refused(format!(r#"{{"op":"get","key":{open}{close}}}"#), "bad_request");
        let sentence = answer["error"].as_str().unwrap_or_default();
        assert!(sentence.contains("nest") && sentence.contains('8'), "{deeper}: {answer}");
        talk.refused(format!("{{\"op\":\"get\",\"key\":{open}"), "bad_request");
        talk.refused(r#"{"a":"#.repeat(deeper), "bad_request");
        talk.lives();
    }
    // Deep enough is not too deep: what is wrong with it is something else.
    for deeper in [1, 7] {
        let (open, close) = ("[".repeat(deeper), "]".repeat(deeper));
        talk.bad(format!(r#"{{"op":"get","key":{open}{close}}}"#), "key");
    }
}

fn brackets_within_strings_do_not_nest(site: &Site) {
    let mut talk = site.open();
    let key = site.key() + "[[[[[[[[[[{{{{{{{{{{\"[\\[\"";
    talk.ok(&json!({"op": "put", "key": key, "value": "[[[[[[[[[[[[", "id": "{{{{{{{{{{"}));
    assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["value"], "[[[[[[[[[[[[");
}

fn many_bad_lines_in_a_row(site: &Site) {
    let mut talk = open(site);
    let bad = ["{", "\u{0}", "{\"op\":\"dance\"}", "[]", "{\"op\":\"get\",\"key\":\"\"}"];
    let text: String = (0..2_000).map(|at| format!("{}\n", bad[at % bad.len()])).collect();
    let mut sender = talk.sender();
    let filler = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, text.as_bytes()).expect("the server reads on");
    });
    for at in 0..2_000 {
        assert_eq!(talk.answer()["code"], "bad_request", "line {at}");
    }
    filler.join().expect("all was sent");
    talk.lives();
}
