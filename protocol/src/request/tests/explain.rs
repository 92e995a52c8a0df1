//! `explain`: a request in a request.

use super::*;

pub(super) fn any(n: &mut Numbers) -> Explain<'static> {
    let (mut request, run) = (any_request(n), n.below(2) == 0);
    if !request.op.is_explainable() {
        request.op = Op::Get { key: "k".into() };
    }
    if !request.op.is_update() {
        request.once = None;
    }
    Explain { request: Request { id: None, ..request }, run }
}

fn explained(line: &str) -> Explain<'_> {
    let Op::Explain(explain) = parsed(line).op else { panic!("{line}") };
    *explain
}

#[test]
fn what_is_explained_is_read_like_a_line_of_its_own() {
    let get = explained(r#"{"op":"explain","request":{"op":"get","key":"a"}}"#);
    assert!(!get.run && matches!(get.request.op, Op::Get { key: Cow::Borrowed("a") }));
    let line = r#"{"request":{"op":"put","key":"a","value":"b","once":"0123456789abcdef",
        "timeout_ms":7},"run":true,"op":"explain","timeout_ms":9,"id":1}"#
        .replace('\n', "");
    let put = explained(&line);
    assert_eq!((put.request.timeout_ms, put.run), (Some(7), true));
    assert_eq!(put.request.once.as_deref(), Some("0123456789abcdef"));
    let parsed = parsed(&line);
    assert_eq!((parsed.id, parsed.timeout_ms, parsed.once), (Some("1"), Some(9), None));
}

#[test]
fn only_what_is_carried_out_and_writes_is_an_update() {
    let is_update = |request: &str, run: &str| {
        parsed(&format!(r#"{{"op":"explain","request":{{{request}}},"run":{run}}}"#)).op.is_update()
    };
    let (get, put) = (r#""op":"get","key":"a""#, r#""op":"put","key":"a","value":"""#);
    assert!(is_update(put, "true") && !is_update(put, "false"));
    assert!(!is_update(get, "true") && !is_update(get, "false"));
}

#[test]
fn mistakes_inside_are_named_by_their_place() {
    let explain = |rest: &str| format!(r#"{{"op":"explain",{rest},"id":3}}"#);
    let inside = |fields: &str| explain(&format!(r#""request":{{{fields}}}"#));
    let refused = |line: &str, field: &str, sentence: &str| {
        assert_refused(line, Some("3"), Some(field), sentence);
    };
    refused(&explain(r#""run":true"#), "request", "request is missing: give the request");
    refused(&explain(r#""request":"get""#), "request", "request must be an object, not a string");
    let get = r#""op":"get","key":"a""#;
    let with = |rest: &str| inside(&format!("{get},{rest}"));
    refused(&with(r#""id":1"#), "request", "request takes no field id: leave it out");
    refused(&with(r#""ky":1"#), "request.ky", "request: unknown field \"ky\"");
    refused(&with(r#""key":"b""#), "request.key", "request.key is there twice");
    refused(&with(r#""run":true"#), "request.run", "request: get takes no field run");
    refused(&with(r#""once":"0123456789abcdef""#), "request.once", "request: get takes no field");
    refused(&with(r#""timeout_ms":0"#), "request.timeout_ms", "request.timeout_ms must be from 1");
    refused(&inside(r#""op":"get""#), "request.key", "request.key is missing: say which key");
    refused(&inside(r#""key":"a""#), "request.op", "request.op is missing: say what to do");
    let put = r#""op":"put","key":"a""#;
    refused(&inside(put), "request.value", "request.value is missing: give value (text) or");
    let txn = r#""op":"txn","then":[{"op":"put","key":"a","value":"b"},{"op":"del"}]"#;
    refused(&inside(txn), "request.then[1].key", "request.then[1].key is missing");
    let field = format!(r#""request":{{{get}}},"run":1"#);
    refused(&explain(&field), "run", "run must be true or false, not an integer");
    let field = format!(r#""request":{{{get}}},"once":"0123456789abcdef""#);
    refused(&explain(&field), "once", "explain takes no field once: leave it out");
    for op in ["status", "mget", "scan", "explain", "dance"] {
        let line = inside(&format!(r#""op":"{op}""#));
        refused(&line, "request.op", "request.op must be a get or an update to be explained");
    }
    let long = "k".repeat(257);
    let (id, error) = refused_line(&inside(&format!(r#""op":"get","key":"{long}""#)));
    assert_eq!((id.as_deref(), error.code), (Some("3"), ErrorCode::TooLarge));
}

fn refused_line(line: &str) -> (Option<String>, ErrorReply) {
    let (id, error) = refused(line.as_bytes());
    (id.map(str::to_owned), error)
}
