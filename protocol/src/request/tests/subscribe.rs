//! What a `subscribe` may ask for.

use super::{Limits, Op, Request, assert_refused, parse, parsed};
use crate::event::{Only, Subscribe, Topic, Topics};

fn subscribe(line: &str) -> Subscribe {
    match parsed(line).op {
        Op::Subscribe(subscribe) => *subscribe,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn all_of_it_is_understood_and_all_of_it_may_be_left_out() {
    assert_eq!(subscribe(r#"{"op":"subscribe"}"#), Subscribe::default());
    let none = Subscribe { topics: Topics::default(), ..Subscribe::default() };
    assert_eq!(subscribe(r#"{"op":"subscribe","topics":[]}"#), none);
    let line = r#"{"op":"subscribe","topics":["txn","cache"],"max_per_s":50,"server":"n1",
        "sets":[0,64],"set":0,"tx":"3.17",
        "only":{"node":"n2","key_prefix":"a/","outcome":"aborted","slower_us":0}}"#;
    let expected = Subscribe {
        topics: [Topic::Txn, Topic::Cache].into_iter().collect(),
        max_per_s: 50,
        server: Some("n1".into()),
        sets: Some((0, 64)),
        set: Some(0),
        tx: Some("3.17".parse().unwrap()),
        only: Only {
            node: Some("n2".into()),
            key_prefix: Some("a/".into()),
            outcome: Some("aborted".into()),
            slower_us: Some(0),
        },
    };
    assert_eq!(subscribe(line), expected);
    for asked in [expected, Subscribe::default(), none] {
        let op = Op::Subscribe(Box::new(asked));
        let request = Request { id: Some("7"), timeout_ms: None, once: None, op };
        let mut line = Vec::new();
        request.write(&mut line);
        line.pop();
        assert_eq!(parse(&line, &Limits::default()), Ok(request));
    }
}

#[test]
fn mistakes_are_named_by_their_place() {
    let table = [
        (r#""topics":"txn""#, "topics", "topics must be a list, not a string"),
        (r#""topics":["txn","rings"]"#, "topics[1]", "topics[1] is none of the topics: member"),
        (r#""topics":[1]"#, "topics[0]", "topics[0] is none of the topics"),
        (r#""max_per_s":0"#, "max_per_s", "max_per_s must be from 1 to"),
        (r#""sets":[1]"#, "sets", "sets must have 2 to 2 elements"),
        (r#""sets":[1,65]"#, "sets", "sets must be the first set and how many"),
        (r#""sets":[-1,2]"#, "sets", "sets must be the first set and how many"),
        (r#""set":"1""#, "set", "set must be an integer from 0"),
        (r#""tx":"x""#, "tx", "tx is not a version"),
        (r#""only":[]"#, "only", "only must be an object, not a list"),
        (r#""only":{"nod":"n1"}"#, "only.nod", "only: unknown field \"nod\""),
        (r#""only":{"node":1}"#, "only.node", "only.node must be a string"),
        (r#""only":{"key":"a"}"#, "only.key", "only takes no field key"),
        (r#""only":{"node":"a","node":"b"}"#, "only.node", "only: node is there twice"),
        (r#""key":"a""#, "key", "subscribe takes no field key"),
        (r#""set":1,"set":2"#, "set", "set is there twice"),
    ];
    for (fields, field, sentence) in table {
        let line = format!(r#"{{"op":"subscribe",{fields}}}"#);
        assert_refused(&line, None, Some(field), sentence);
    }
    let line = r#"{"op":"get","key":"a","topics":[]}"#;
    assert_refused(line, None, Some("topics"), "get takes no field topics");
}
