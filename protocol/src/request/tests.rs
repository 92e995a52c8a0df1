//! Lines that must be understood, and lines that must be refused with exactly these words.

use super::*;
use crate::error::ErrorCode;
use crate::json;
use crate::testing::Numbers;

mod admin;
mod explain;
mod subscribe;

fn parsed(line: &str) -> Request<'_> {
    match parse(line.as_bytes(), &Limits::default()) {
        Ok(request) => request,
        Err(rejected) => panic!("{line}: {rejected:?}"),
    }
}

fn refused(line: &[u8]) -> (Option<&str>, ErrorReply) {
    match parse(line, &Limits::default()) {
        Ok(request) => panic!("{}: {request:?}", String::from_utf8_lossy(line)),
        Err(rejected) => (rejected.id, *rejected.error),
    }
}

/// `id`, `field` and beginning of the sentence of the error that answers `line`.
fn assert_refused(line: &str, id: Option<&str>, field: Option<&str>, sentence: &str) {
    let (got_id, error) = refused(line.as_bytes());
    assert_eq!(error.code, ErrorCode::BadRequest, "{line}");
    assert_eq!((got_id, error.field.as_deref()), (id, field), "{line}: {error}");
    assert!(error.error.starts_with(sentence), "{line}: {error}");
}

#[test]
fn what_is_right_is_understood_without_a_copy() {
    let request = parsed(r#"{"op":"get","key":"a","id":7,"timeout_ms":100}"#);
    assert_eq!((request.id, request.timeout_ms), (Some("7"), Some(100)));
    assert!(matches!(request.op, Op::Get { key: Cow::Borrowed("a") }));
    let request = parsed(r#" { "value" : "é" , "key":"k", "op":"put"} "#);
    assert!(matches!(request.op, Op::Put { value: Cow::Borrowed(b"\xc3\xa9"), .. }));
    let request = parsed(r#"{"op":"put","key":"\u0061\ud83d\ude00","value_b64":"AP8="}"#);
    assert_eq!(
        request.op,
        Op::Put { key: "a😀".into(), value: b"\0\xff".into(), if_absent: false }
    );
    assert_eq!(parsed(r#"{"op":"put","key":"a","value":""}"#).op.name(), "put");
    assert_eq!(
        parsed(r#"{"op":"del","key":"\u0000"}"#).op,
        Op::Del { key: "\0".into(), version: None }
    );
    assert_eq!(parsed(r#"{"op":"status"}"#).op, Op::Status);
    let hello = Op::Hello { client: None, read_only: false };
    assert_eq!(parsed(r#"{"op":"hello"}"#).op, hello);
    let hello = Op::Hello { client: Some("me".into()), read_only: true };
    assert_eq!(parsed(r#"{"op":"hello","client":"me","read_only":true}"#).op, hello);
}

#[test]
fn ids_are_repeated_as_they_stood() {
    let longest = format!("\"{}\"", "a".repeat(128));
    let escaped = format!("\"{}\"", "\\u0061".repeat(128));
    let right = [
        "0",
        "-1",
        "-0",
        "18446744073709551615",
        "-9223372036854775808",
        "\"\"",
        "\"\\u0000\\n\"",
        "\"é\"",
        &longest,
        &escaped,
    ];
    for id in right {
        let line = format!("{{\"op\":\"status\",\"id\": {id} }}");
        assert_eq!(parsed(&line).id, Some(id));
        let line = format!("{{\"op\":\"put\",\"key\":1,\"what\":[],\"id\":{id}}}");
        assert_eq!(refused(line.as_bytes()).0, Some(id));
    }
    let too_long = format!("\"{}\"", "é".repeat(65));
    let wrong = [
        "18446744073709551616",
        "-9223372036854775809",
        "1.0",
        "1e3",
        "null",
        "true",
        "[1]",
        "{}",
        "\"\\ud800\"",
        &too_long,
    ];
    for id in wrong {
        let line = format!("{{\"id\":{id},\"op\":\"status\"}}");
        assert_refused(&line, None, Some("id"), "id must be a string of at most 128 bytes or");
    }
}

#[test]
fn an_id_is_found_in_lines_that_are_otherwise_lost() {
    let deep = format!("{{\"a\":{}1{},\"id\":5}}", "[".repeat(9), "]".repeat(9));
    let found: [&[u8]; 6] = [
        br#"{"id":5,"op":"get","key":"#,
        br#"{"op":"get","id":5,"key":"a"}}"#,
        br#"{"op":"put","key":"a","value":"\ud800","id":5}"#,
        b"{\"op\":\"put\",\"value\":\"\xff\",\"id\":5}",
        deep.as_bytes(),
        br#"{"id":5,"id":6,"op":"status"}"#,
    ];
    for line in found {
        assert_eq!(refused(line).0, Some("5"), "{}", String::from_utf8_lossy(line));
    }
    let not_found: [&[u8]; 4] =
        [br#"{"op":,"id":5}"#, b"[{\"id\":5}]", b"\"id\":5", br#"{"id":5.5,"op":"#];
    for line in not_found {
        assert_eq!(refused(line).0, None, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn mistakes_are_named() {
    let table: &[(&str, Option<&str>, &str)] = &[
        ("", None, "broken JSON at byte 0 (EOF while parsing a value): send one JSON object"),
        ("{", None, "broken JSON at byte 1 (EOF while parsing an object)"),
        ("null", None, "the line is not a JSON object: send one"),
        ("[]", None, "the line is not a JSON object: send one"),
        ("5", None, "the line is not a JSON object: send one"),
        ("hello", None, "broken JSON at byte 1 (expected value)"),
        ("\u{feff}{\"op\":\"status\"}", None, "the line begins with a byte order mark"),
        (r#"{"op":"status"} {}"#, None, "broken JSON at byte 17 (trailing characters)"),
        (r#"{"op":"status",}"#, None, "broken JSON at byte 16 (trailing comma)"),
        (r#"{"op":"get","key":"\ud800"}"#, None, "broken JSON at byte"),
        (r#"{"op":"get","key":"\udc00\ud800"}"#, None, "broken JSON at byte"),
        ("{\"op\":\"get\",\"key\":\"\0\"}", None, "broken JSON at byte"),
        (r#"{"op":"status","timeout_ms":1e999}"#, None, "broken JSON at byte"),
        (r#"{"op":"status","timeout_ms":01}"#, None, "broken JSON at byte"),
        ("{}", Some("op"), "op is missing: say what to do, one of get, put"),
        (r#"{"op":5,"x":1}"#, Some("op"), "op must be a string, not an integer"),
        (r#"{"op":"GET"}"#, Some("op"), "unknown op \"GET\": use one of get, put"),
        (r#"{"op":"get","op":"get"}"#, Some("op"), "op is there twice: give it once"),
        (r#"{"op":"get"}"#, Some("key"), "key is missing: say which key"),
        (r#"{"op":"get","key":""}"#, Some("key"), "key is empty"),
        (r#"{"op":"get","key":null}"#, Some("key"), "key must be a string, not null"),
        (r#"{"op":"get","key":["a"]}"#, Some("key"), "key must be a string, not a list"),
        (r#"{"op":"get","key":{"a":{}}}"#, Some("key"), "key must be a string, not an object"),
        (r#"{"op":"get","key":"a","key":"a"}"#, Some("key"), "key is there twice"),
        (r#"{"op":"get","kee":"a"}"#, Some("kee"), "unknown field \"kee\": leave it out, or"),
        (r#"{"op":"get","":"a"}"#, Some(""), "unknown field \"\""),
        (r#"{"op":"get","key":"a","value":"b"}"#, Some("value"), "get takes no field value"),
        (r#"{"op":"status","key":"a"}"#, Some("key"), "status takes no field key: leave it"),
        (r#"{"op":"put","key":"a"}"#, Some("value"), "value is missing: give value (text) or"),
        (r#"{"op":"put","key":"a","value":5}"#, Some("value"), "value must be a string, not an"),
        (r#"{"op":"put","key":"a","value":-5}"#, Some("value"), "value must be a string, not a n"),
        (r#"{"op":"put","key":"a","value":1.5}"#, Some("value"), "value must be a string, not"),
        (r#"{"op":"put","key":"a","value":"","value_b64":""}"#, Some("value_b64"), "value_b64 an"),
        (r#"{"op":"put","key":"a","value_b64":"YQ"}"#, Some("value_b64"), "value_b64 is not bas"),
        (r#"{"op":"put","key":"a","value_b64":"YR=="}"#, Some("value_b64"), "value_b64 is not b"),
        (r#"{"op":"status","timeout_ms":0}"#, Some("timeout_ms"), "timeout_ms must be from 1 to"),
        (r#"{"op":"status","timeout_ms":60001}"#, Some("timeout_ms"), "timeout_ms must be from"),
        (r#"{"op":"status","timeout_ms":-1}"#, Some("timeout_ms"), "timeout_ms must be an int"),
        (r#"{"op":"status","timeout_ms":5.0}"#, Some("timeout_ms"), "timeout_ms must be an int"),
        (r#"{"op":"status","timeout_ms":"5"}"#, Some("timeout_ms"), "timeout_ms must be an int"),
        (r#"{"op":"hello","read_only":1}"#, Some("read_only"), "read_only must be true or false"),
    ];
    for (line, field, sentence) in table {
        assert_refused(line, None, *field, sentence);
    }
}

#[test]
fn long_names_are_not_repeated_whole() {
    let line = format!("{{\"{}\":1,\"op\":\"status\"}}", "é".repeat(100_000));
    let (_, error) = refused(line.as_bytes());
    assert!(error.error.len() < 300 && error.field.is_some_and(|field| field.len() < 200));
    let line = format!("{{\"op\":\"{}\"}}", "x".repeat(100_000));
    assert!(refused(line.as_bytes()).1.error.len() < 300);
}

#[test]
fn invalid_utf8_and_deep_nesting_are_refused() {
    let (_, error) = refused(b"{\"op\":\"get\",\"key\":\"a\xff\"}");
    assert!(error.error.starts_with("the line is not UTF-8 at byte 21: send"), "{error}");
    let nested = |depth: usize| {
        let line = format!(
            "{{\"op\":\"status\",\"key\":{}\"[[[[[[[[[[\\\"[[\"{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        );
        refused(line.as_bytes()).1
    };
    assert!(nested(8).error.starts_with("status takes no field key"));
    assert!(nested(9).error.starts_with("the request is nested more than 8 deep"));
    let abyss = "[".repeat(1_000_000);
    assert!(refused(abyss.as_bytes()).1.error.starts_with("the request is nested"));
    let abyss = format!("{{\"id\":{}", "{\"a\":".repeat(200_000));
    assert!(refused(abyss.as_bytes()).1.error.starts_with("the request is nested"));
    let text = format!("{{\"op\":\"put\",\"key\":\"a\",\"value\":\"{}\"}}", "{[".repeat(50));
    parsed(&text);
}

#[test]
fn what_is_too_large_says_what_and_how_much() {
    let too_large = |line: &str| {
        let (id, error) = refused(line.as_bytes());
        assert_eq!((id, error.code), (Some("1"), ErrorCode::TooLarge));
        (error.what.unwrap().into_owned(), error.limit.unwrap(), error.actual.unwrap())
    };
    let line = |key: usize| format!(r#"{{"id":1,"op":"get","key":"{}"}}"#, "k".repeat(key));
    parsed(&line(256));
    assert_eq!(too_large(&line(257)), ("key".into(), 256, 257));
    let mib = 1 << 20;
    let line = |bytes: usize| {
        format!(r#"{{"id":1,"op":"put","key":"a","value":"{}"}}"#, "v".repeat(bytes))
    };
    parsed(&line(mib));
    assert_eq!(too_large(&line(mib + 1)), ("value".into(), mib as u64, mib as u64 + 1));
    let line = |bytes: usize| {
        let mut text = b"{\"id\":1,\"op\":\"put\",\"key\":\"a\",\"value_b64\":\"".to_vec();
        json::write_base64(&mut text, &vec![7; bytes]);
        text.extend_from_slice(b"\"}");
        String::from_utf8(text).unwrap()
    };
    parsed(&line(mib));
    assert_eq!(too_large(&line(mib + 1)).0, "value");
    assert_eq!(too_large(&line(mib + 5)).0, "value");
}

/// Anything that a client could send.
fn any_request(numbers: &mut Numbers) -> Request<'static> {
    fn key(numbers: &mut Numbers) -> Cow<'static, str> {
        loop {
            let key = numbers.text(60);
            if key.len() <= 256 {
                return key.into();
            }
        }
    }
    fn value(numbers: &mut Numbers) -> Cow<'static, [u8]> {
        let length = numbers.below(200);
        let text = numbers.below(2) == 0;
        (if text { numbers.text(60).into_bytes() } else { numbers.bytes(length) }).into()
    }
    fn version(numbers: &mut Numbers) -> Version {
        Version::from_number(numbers.next())
    }
    fn maybe<T>(numbers: &mut Numbers, any: impl Fn(&mut Numbers) -> T) -> Option<T> {
        (numbers.below(2) == 0).then(|| any(numbers))
    }
    fn once(numbers: &mut Numbers) -> Cow<'static, str> {
        "é\"x".repeat(4 + numbers.below(13)).into()
    }
    let n = numbers;
    let op = match n.below(18) {
        0 => Op::Get { key: key(n) },
        1 => Op::Put { key: key(n), value: value(n), if_absent: n.below(2) == 0 },
        2 => Op::Update { key: key(n), value: value(n) },
        3 => Op::Cas { key: key(n), value: value(n), version: version(n) },
        4 => Op::Del { key: key(n), version: maybe(n, version) },
        5 => Op::Mget { keys: (0..1 + n.below(MGET_KEYS_MAX)).map(|_| key(n)).collect() },
        6 | 7 => {
            let condition = |_| Condition { key: key(n), version: maybe(n, version) };
            let conditions = (0..7).map(condition).collect();
            // Numbered, so that none is there twice.
            let write = |number| Write {
                key: format!("{number}{}", char::from(b'a' + n.below(26) as u8)).into(),
                change: match n.below(3) {
                    0 => Change::Put(value(n)),
                    1 => Change::Update(value(n)),
                    _ => Change::Del,
                },
            };
            Op::Txn { conditions, writes: (0..9).map(write).collect() }
        }
        8 => Op::Scan {
            prefix: key(n),
            after: maybe(n, key),
            limit: 1 + n.below(1000) as u32,
            values: n.below(2) == 0,
        },
        9 => Op::Watch { of: Watched::Key(key(n)) },
        10 => Op::Watch { of: Watched::Prefix(key(n)) },
        11 => Op::Outcome { of: UpdateName::Version(version(n)) },
        12 => Op::Outcome { of: UpdateName::Once { once: once(n), key: key(n) } },
        13 => Op::Locate { key: key(n), copies: n.below(2) == 0 },
        14 => Op::Auth { token: key(n) },
        15 => Op::Admin(admin::any(n)),
        16 => Op::Explain(Box::new(explain::any(n))),
        _ => Op::Hello { client: maybe(n, key), read_only: n.below(2) == 0 },
    };
    let timeout_ms = maybe(n, |n| 1 + n.below(60_000) as u32);
    let id = maybe(n, |_| "\"i\\n\"");
    // What is explained has a name of its own.
    let named = op.is_update() && !matches!(op, Op::Explain(_));
    let once = if named { maybe(n, once) } else { None };
    Request { id, timeout_ms, once, op }
}

#[test]
fn what_clients_write_is_what_servers_read() {
    let mut numbers = Numbers::new(5);
    for round in 0..5000 {
        let request = any_request(&mut numbers);
        let mut line = Vec::new();
        request.write(&mut line);
        let (newline, line) = line.split_last().unwrap();
        assert_eq!(*newline, b'\n');
        assert!(!line.contains(&b'\n'));
        let read = parse(line, &Limits::default());
        assert_eq!(read, Ok(request), "round {round}: {}", String::from_utf8_lossy(line));
    }
}

#[test]
fn no_damage_to_a_line_makes_it_panic() {
    let whole = br#"{"op":"put","key":"a\u00e9","value":"b","id":"x","timeout_ms":7,"z":[{}]}"#;
    for cut in 0..whole.len() {
        assert!(parse(&whole[..cut], &Limits::default()).is_err());
    }
    let mut numbers = Numbers::new(6);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..30_000 {
        let mut line = Vec::new();
        any_request(&mut numbers).write(&mut line);
        line.pop();
        for _ in 0..numbers.below(4) {
            let at = numbers.below(line.len());
            line[at] = match numbers.below(3) {
                0 => numbers.next() as u8,
                1 => b"{}[]\",:\\"[numbers.below(8)],
                _ => line[numbers.below(line.len())],
            };
        }
        match parse(&line, &Limits::default()) {
            Ok(_) => right += 1,
            Err(_) => wrong += 1,
        }
    }
    assert!(right > 1000 && wrong > 1000, "{right} right, {wrong} wrong");
    for length in 0..3000 {
        let noise = numbers.bytes(length % 300);
        assert!(parse(&noise, &Limits::default()).is_err());
    }
}

#[test]
fn conditional_operations_are_understood() {
    let version = |text: &str| text.parse::<Version>().unwrap();
    let put = |if_absent| Op::Put { key: "a".into(), value: b"v".into(), if_absent };
    let condition = |key: &'static str, version| Condition { key: key.into(), version };
    let write = |key: &'static str, change| Write { key: key.into(), change };
    let scan = |prefix: &'static str, after: Option<&'static str>, limit, values| Op::Scan {
        prefix: prefix.into(),
        after: after.map(Into::into),
        limit,
        values,
    };
    let once = "0123456789abcdef";
    let table = [
        (r#"{"op":"put","key":"a","value":"v","if_absent":true}"#, put(true)),
        (r#"{"op":"put","key":"a","value":"v","if_absent":false}"#, put(false)),
        (
            r#"{"op":"update","key":"a","value_b64":"dg=="}"#,
            Op::Update { key: "a".into(), value: b"v".into() },
        ),
        (
            r#"{"op":"cas","version":"3.17","key":"a","value":"v"}"#,
            Op::Cas { key: "a".into(), value: b"v".into(), version: version("3.17") },
        ),
        (
            r#"{"op":"del","key":"a","version":"0.0"}"#,
            Op::Del { key: "a".into(), version: Some(version("0.0")) },
        ),
        (
            r#"{"op":"mget","keys":["a" , "b\n","a"]}"#,
            Op::Mget { keys: vec!["a".into(), "b\n".into(), "a".into()] },
        ),
        (
            r#"{"op":"txn","if":[{"key":"a","version":null},{"version":"1.2","key":"b"}],
                "then":[{"op":"put","key":"a","value":"v"},{"key":"b","op":"update","value":""},
                {"op":"del","key":"c"}]}"#,
            Op::Txn {
                conditions: vec![condition("a", None), condition("b", Some(version("1.2")))],
                writes: vec![
                    write("a", Change::Put(b"v".into())),
                    write("b", Change::Update(b"".into())),
                    write("c", Change::Del),
                ],
            },
        ),
        (
            r#"{"op":"txn","then":[{"op":"del","key":"c"}]}"#,
            Op::Txn { conditions: vec![], writes: vec![write("c", Change::Del)] },
        ),
        (r#"{"op":"scan"}"#, scan("", None, SCAN_ITEMS_DEFAULT, false)),
        (
            r#"{"op":"scan","prefix":"p","after":"","limit":1000,"values":true}"#,
            scan("p", Some(""), 1000, true),
        ),
        (r#"{"op":"watch","key":"a"}"#, Op::Watch { of: Watched::Key("a".into()) }),
        (r#"{"op":"watch","prefix":""}"#, Op::Watch { of: Watched::Prefix("".into()) }),
        (
            r#"{"op":"outcome","version":"1.2"}"#,
            Op::Outcome { of: UpdateName::Version(version("1.2")) },
        ),
        (
            r#"{"op":"outcome","once":"0123456789abcdef","key":"a"}"#,
            Op::Outcome { of: UpdateName::Once { once: once.into(), key: "a".into() } },
        ),
    ];
    for (line, op) in table {
        let request = parsed(line);
        assert_eq!((request.once, request.op), (None, op), "{line}");
    }
}

#[test]
fn every_update_and_nothing_else_takes_once() {
    let value = r#""key":"a","value":"v""#;
    let updates = [
        format!(r#""op":"put",{value}"#),
        format!(r#""op":"put",{value},"if_absent":true"#),
        format!(r#""op":"update",{value}"#),
        format!(r#""op":"cas",{value},"version":"1.1""#),
        r#""op":"del","key":"a""#.to_owned(),
        r#""op":"txn","then":[{"op":"del","key":"a"}]"#.to_owned(),
    ];
    for update in updates {
        let line = |once: &str| format!("{{{update},\"once\":\"{once}\"}}");
        for length in [16, 64] {
            let (line, once) = (line(&"o".repeat(length)), "o".repeat(length));
            assert_eq!(parsed(&line).once.as_deref(), Some(&*once), "{line}");
            assert!(parsed(&line).op.is_update());
        }
        for wrong in ["", "123456789012345", &"o".repeat(65)] {
            assert_refused(&line(wrong), None, Some("once"), "once must have 16 to 64 bytes, not");
        }
    }
    for line in [
        r#"{"op":"get","key":"a","once":"0123456789abcdef"}"#,
        r#"{"op":"mget","keys":["a"],"once":"0123456789abcdef"}"#,
        r#"{"op":"scan","once":"0123456789abcdef"}"#,
        r#"{"op":"watch","key":"a","once":"0123456789abcdef"}"#,
        r#"{"op":"outcome","version":"1.1","once":"0123456789abcdef"}"#,
        r#"{"op":"status","once":"0123456789abcdef"}"#,
    ] {
        let name = line[7..].split('"').next().unwrap();
        assert_refused(line, None, Some("once"), &format!("{name} takes no field once: leave"));
    }
}

#[test]
fn mistakes_in_conditional_operations_are_named() {
    let table: &[(&str, &str, &str)] = &[
        (r#"{"op":"put","key":"a","value":"","if_absent":1}"#, "if_absent", "if_absent must be t"),
        (r#"{"op":"put","key":"a","value":"","version":"1.1"}"#, "version", "put takes no field"),
        (r#"{"op":"update","key":"a","value":"","if_absent":true}"#, "if_absent", "update takes"),
        (r#"{"op":"update","key":"a"}"#, "value", "value is missing"),
        (r#"{"op":"cas","key":"a","value":""}"#, "version", "version is missing: give the one"),
        (r#"{"op":"cas","key":"a","version":"1.1"}"#, "value", "value is missing"),
        (r#"{"op":"cas","key":"a","value":"","version":null}"#, "version", "version must be a st"),
        (r#"{"op":"cas","key":"a","value":"","version":1.1}"#, "version", "version must be a str"),
        (r#"{"op":"cas","key":"a","value":"","version":"1"}"#, "version", "version is not a vers"),
        (r#"{"op":"del","key":"a","version":""}"#, "version", "version is not a version: give"),
        (r#"{"op":"del","key":"a","version":"01.1"}"#, "version", "version is not a version"),
        (r#"{"op":"del","key":"a","version":"1.99999999999999"}"#, "version", "version is not a"),
        (r#"{"op":"mget"}"#, "keys", "keys is missing: give a list of 1 to 128"),
        (r#"{"op":"mget","keys":"a"}"#, "keys", "keys must be a list, not a string"),
        (r#"{"op":"mget","keys":{}}"#, "keys", "keys must be a list, not an object"),
        (r#"{"op":"mget","keys":null}"#, "keys", "keys must be a list, not null"),
        (r#"{"op":"mget","keys":-1}"#, "keys", "keys must be a list, not a number"),
        (r#"{"op":"mget","keys":[]}"#, "keys", "keys must have 1 to 128 elements, not 0"),
        (r#"{"op":"mget","keys":["a",5]}"#, "keys[1]", "keys[1] must be a string"),
        (r#"{"op":"mget","keys":["\ud800"]}"#, "keys[0]", "keys[0] must be a string"),
        (r#"{"op":"mget","keys":["a","b",""]}"#, "keys[2]", "keys[2] is empty: a key has at"),
        (r#"{"op":"mget","keys":["a"],"key":"a"}"#, "key", "mget takes no field key: leave it"),
        (r#"{"op":"txn"}"#, "then", "then is missing: give a list of 1 to 128"),
        (r#"{"op":"txn","then":[]}"#, "then", "then must have 1 to 128 elements, not 0"),
        (r#"{"op":"txn","then":5}"#, "then", "then must be a list, not a number"),
        (r#"{"op":"txn","if":true,"then":[]}"#, "if", "if must be a list, not true or false"),
        (r#"{"op":"txn","then":["put"]}"#, "then[0]", "then[0] must be an object"),
        (r#"{"op":"txn","then":[{}]}"#, "then[0].op", "then[0].op is missing: use put, update o"),
        (r#"{"op":"txn","then":[{"op":"cas"}]}"#, "then[0].op", "then[0].op is \"cas\": a txn do"),
        (r#"{"op":"txn","then":[{"op":"put","key":"a"}]}"#, "then[0].value", "then[0].value is m"),
        (r#"{"op":"txn","then":[{"op":"del"}]}"#, "then[0].key", "then[0].key is missing"),
        (r#"{"op":"txn","then":[{"op":"del","key":"\udc00"}]}"#, "then[0]", "then[0] is broken JS"),
        (
            r#"{"op":"txn","then":[{"op":"del","op":"del"}]}"#,
            "then[0].op",
            "then[0]: op is there t",
        ),
        (r#"{"op":"txn","then":[{"op":"del","id":1}]}"#, "then[0]", "then[0] takes no field id"),
        (r#"{"op":"txn","then":[{"kee":1}]}"#, "then[0].kee", "then[0]: unknown field \"kee\""),
        (
            r#"{"op":"txn","then":[{"op":"del","key":"a"},{"op":"put","key":"\u0061","value":""}]}"#,
            "then[1].key",
            "then[1].key is written twice: name every key in then once",
        ),
        (
            r#"{"op":"txn","then":[{"op":"del","key":"a","version":"1.1"}]}"#,
            "then[0].version",
            "del in a txn takes no field version: leave it out",
        ),
        (
            r#"{"op":"txn","then":[{"op":"put","key":"a","value":"","if_absent":true}]}"#,
            "then[0].if_absent",
            "put in a txn takes no field if_absent",
        ),
        (
            r#"{"op":"txn","if":[{"key":"a"}],"then":[{"op":"del","key":"a"}]}"#,
            "if[0].version",
            "if[0].version is missing: give the one that the key must have, or null",
        ),
        (
            r#"{"op":"txn","if":[{"key":"a","version":7}],"then":[{"op":"del","key":"a"}]}"#,
            "if[0].version",
            "if[0].version must be a string or null, not an integer",
        ),
        (
            r#"{"op":"txn","if":[{"key":"a","version":"x"}],"then":[{"op":"del","key":"a"}]}"#,
            "if[0].version",
            "if[0].version is not a version",
        ),
        (
            r#"{"op":"txn","if":[{"version":"1.1","value":""}],"then":[{"op":"del","key":"a"}]}"#,
            "if[0].key",
            "if[0].key is missing",
        ),
        (
            r#"{"op":"txn","if":[{"key":"a","version":null,"value":""}],"then":[]}"#,
            "if[0].value",
            "a condition takes no field value",
        ),
        (r#"{"op":"scan","prefix":null}"#, "prefix", "prefix must be a string, not null"),
        (r#"{"op":"scan","after":1}"#, "after", "after must be a string, not an integer"),
        (r#"{"op":"scan","limit":0}"#, "limit", "limit must be from 1 to 1000"),
        (r#"{"op":"scan","limit":1001}"#, "limit", "limit must be from 1 to 1000"),
        (r#"{"op":"scan","limit":"9"}"#, "limit", "limit must be an integer from 1 to 1000, not"),
        (r#"{"op":"scan","values":"yes"}"#, "values", "values must be true or false, not a str"),
        (r#"{"op":"scan","key":"a"}"#, "key", "scan takes no field key"),
        (r#"{"op":"watch"}"#, "key", "key is missing: say which key to watch, or give a prefix"),
        (r#"{"op":"watch","key":""}"#, "key", "key is empty"),
        (r#"{"op":"watch","key":"a","prefix":"b"}"#, "key", "watch takes no field key"),
        (r#"{"op":"outcome"}"#, "version", "version is missing: give the version of the update"),
        (r#"{"op":"outcome","key":"a"}"#, "version", "version is missing: give the version"),
        (r#"{"op":"outcome","once":"0123456789abcdef"}"#, "key", "key is missing"),
        (r#"{"op":"outcome","once":"short","key":"a"}"#, "once", "once must have 16 to 64 bytes"),
        (r#"{"op":"outcome","version":"1.1","key":"a"}"#, "key", "outcome takes no field key"),
    ];
    for (line, field, sentence) in table {
        assert_refused(line, None, Some(field), sentence);
    }
}

#[test]
fn lists_are_held_to_their_limits() {
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|number| format!("\"k{number}\"")).collect();
        format!("{{\"op\":\"mget\",\"keys\":[{}]}}", keys.join(","))
    };
    assert!(matches!(parsed(&keys(128)).op, Op::Mget { keys } if keys.len() == 128));
    assert_refused(&keys(129), None, Some("keys"), "keys must have 1 to 128 elements, not 129");
    let many = format!("{{\"op\":\"mget\",\"keys\":[{}0]}}", "0,".repeat(600_000));
    assert_refused(&many, None, Some("keys"), "keys must have 1 to 128 elements, not 600001");
    let txn = |conditions: usize, writes: usize| {
        let condition = |number| format!(r#"{{"key":"k{number}","version":null}}"#);
        let conditions: Vec<String> = (0..conditions).map(condition).collect();
        let write = |number| format!(r#"{{"op":"del","key":"k{number}"}}"#);
        let writes: Vec<String> = (0..writes).map(write).collect();
        let (conditions, writes) = (conditions.join(","), writes.join(","));
        format!(r#"{{"op":"txn","if":[{conditions}],"then":[{writes}]}}"#)
    };
    parsed(&txn(128, 128));
    assert_refused(&txn(129, 1), None, Some("if"), "if must have 0 to 128 elements, not 129");
    assert_refused(&txn(0, 129), None, Some("then"), "then must have 1 to 128 elements, not 129");
    let long = "k".repeat(257);
    for (line, what) in [
        (format!(r#"{{"op":"mget","keys":["a","{long}"]}}"#), "key"),
        (format!(r#"{{"op":"scan","prefix":"{long}"}}"#), "prefix"),
        (format!(r#"{{"op":"scan","after":"{long}"}}"#), "after"),
        (format!(r#"{{"op":"watch","prefix":"{long}"}}"#), "prefix"),
        (format!(r#"{{"op":"txn","then":[{{"op":"del","key":"{long}"}}]}}"#), "key"),
    ] {
        let (_, error) = refused(line.as_bytes());
        let details = (error.code, error.what.as_deref(), error.limit, error.actual);
        assert_eq!(details, (ErrorCode::TooLarge, Some(what), Some(256), Some(257)), "{error}");
    }
    let limits = Limits { value_bytes: 3, ..Limits::default() };
    let line = r#"{"op":"txn","then":[{"op":"put","key":"a","value":"1234"}]}"#;
    let rejected = parse(line.as_bytes(), &limits).unwrap_err();
    assert_eq!((rejected.error.code, rejected.error.actual), (ErrorCode::TooLarge, Some(4)));
}
