//! Lines that must be understood, and lines that must be refused with exactly these words.

use super::*;
use crate::error::ErrorCode;
use crate::testing::Numbers;

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
    assert_eq!(request.op, Op::Put { key: "a😀".into(), value: b"\0\xff".into() });
    assert_eq!(parsed(r#"{"op":"put","key":"a","value":""}"#).op.name(), "put");
    assert_eq!(parsed(r#"{"op":"del","key":"\u0000"}"#).op, Op::Del { key: "\0".into() });
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
        (r#"{"op":"cas","key":"a","version":"1.1"}"#, Some("op"), "unknown op \"cas\""),
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
        (r#"{"op":"put","key":"a","value":"","value_b64":""}"#, Some("value_b64"), "value and va"),
        (r#"{"op":"put","key":"a","value_b64":"YQ"}"#, Some("value_b64"), "value_b64 is not bas"),
        (r#"{"op":"put","key":"a","value_b64":"YR=="}"#, Some("value_b64"), "value_b64 is not b"),
        (
            r#"{"op":"put","key":"a","value":"","if_absent":true}"#,
            Some("if_absent"),
            "if_absent is",
        ),
        (r#"{"op":"put","key":"a","value":"","once":"x"}"#, Some("once"), "once is not supported"),
        (r#"{"op":"del","key":"a","version":"1.1"}"#, Some("version"), "version is not supported"),
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

#[test]
fn what_clients_write_is_what_servers_read() {
    let mut numbers = Numbers::new(5);
    for round in 0..3000 {
        let key = loop {
            let key = numbers.text(60);
            if key.len() <= 256 {
                break key;
            }
        };
        let length = numbers.below(200);
        let value =
            if round % 2 == 0 { numbers.bytes(length) } else { numbers.text(60).into_bytes() };
        let op = match numbers.below(5) {
            0 => Op::Get { key: key.into() },
            1 => Op::Del { key: key.into() },
            2 => Op::Status,
            3 => Op::Hello { client: Some(key.into()), read_only: round % 3 == 0 },
            _ => Op::Put { key: key.into(), value: value.into() },
        };
        let timeout_ms = (round % 4 == 0).then(|| 1 + numbers.below(60_000) as u32);
        let id = (round % 5 == 0).then_some("\"i\\n\"");
        let request = Request { id, timeout_ms, op };
        let mut line = Vec::new();
        request.write(&mut line);
        let (newline, line) = line.split_last().unwrap();
        assert_eq!(*newline, b'\n');
        assert!(!line.contains(&b'\n'));
        assert_eq!(parse(line, &Limits::default()), Ok(request));
    }
}

#[test]
fn no_damage_to_a_line_makes_it_panic() {
    let whole = br#"{"op":"put","key":"a\u00e9","value":"b","id":"x","timeout_ms":7,"z":[{}]}"#;
    let mut numbers = Numbers::new(6);
    for cut in 0..whole.len() {
        assert!(parse(&whole[..cut], &Limits::default()).is_err());
    }
    for _ in 0..20_000 {
        let mut line = whole.to_vec();
        for _ in 0..1 + numbers.below(3) {
            let at = numbers.below(line.len());
            line[at] = match numbers.below(3) {
                0 => numbers.next() as u8,
                1 => b"{}[]\",:\\"[numbers.below(8)],
                _ => whole[numbers.below(whole.len())],
            };
        }
        let _ = parse(&line, &Limits::default());
    }
}
