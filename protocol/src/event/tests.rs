//! What is written is what is read, and a reader ignores what it does not know.

use super::*;
use crate::ids::{Key, NodeName, Version};

fn stamp() -> Stamp<'static> {
    Stamp { source: "coordinator", epoch: Epoch(3), at_us: 5_000, wall_ms: 7 }
}

fn line(seq: u64, cause: Option<u64>, body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(&mut out, body.name(), seq, cause, &tail(&stamp(), None, body));
    out
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn txn() -> Txn {
    Txn {
        tx: Some(Version::new(Epoch(3), 17)),
        op: "put".into(),
        keys: 1,
        key: Some(Key::new("a\"b").unwrap()),
        conn: 4,
        outcome: Some(Outcome::Committed),
        reason: None,
        waited_for: Some(Version::new(Epoch(3), 16)),
        us_total: 900,
        us: Phases { queued: Some(0), answered: Some(900), ..Phases::default() },
        batch_txns: 3,
        votes: vec![Vote {
            node: node("n1"),
            role: Role::Primary,
            vote: VoteState::Yes,
            sent_us: Some(10),
            recv_us: Some(700),
            node_us: Some(NodeUs { queue: 1, append: 2, sync: 600 }),
        }],
        decides: vec![Decide { node: node("n1"), sent_us: Some(900), confirmed_us: None }],
        all_keys: Vec::new(),
    }
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let bodies = [
        Body::Txn(txn()),
        Body::TxnOpen(TxnOpen(Txn { outcome: None, ..txn() })),
        Body::Copies(Copies {
            by_live_copies: [(1, 7), (2, 9)].into(),
            unwritable: 7,
            uncounted: vec![node("n3")],
        }),
        Body::Link(Link { peer: node("n2"), state: LinkState::Lost, retry_ms: Some(20) }),
        Body::Stats(Stats::default()),
        Body::CacheTotals(CacheTotals::default()),
        Body::Divergence(Divergence {
            range: vec![(crate::ids::Point(7), crate::ids::Point(9))],
            nodes: vec![node("n1"), node("n2")],
            kind: DivergenceKind::Hash,
            keys: vec![Key::new("a").unwrap()],
            repaired: 0,
        }),
        Body::Lagged(Lagged { dropped: [("txn".into(), 4)].into(), from_seq: 2, to_seq: 5 }),
    ];
    for body in bodies {
        let line = line(9, Some(4), &body);
        assert!(is_event(&line) && line.ends_with(b"}\n"));
        let event = decode(&line).unwrap();
        assert_eq!((event.seq, event.cause, event.epoch), (9, Some(4), Epoch(3)));
        assert_eq!((event.source.as_str(), event.at_us, event.wall_ms), ("coordinator", 5_000, 7));
        assert_eq!(event.body, body);
    }
}

#[test]
fn a_newer_server_may_say_more() {
    let line = br#"{"event":"dawn","seq":1,"source":"coordinator","colour":"red"}"#;
    assert_eq!(decode(line).unwrap().body, Body::Other("dawn".into()));
    let line =
        br#"{"event":"link","seq":2,"source":"coordinator","peer":"n1","state":"odd","x":1}"#;
    let link = Link { peer: node("n1"), state: LinkState::Other, retry_ms: None };
    assert_eq!(decode(line).unwrap().body, Body::Link(link));
    assert!(decode(br#"{"event":"link","seq":2,"source":"coordinator"}"#).is_err());
    assert!(decode(br#"{"ok":true}"#).is_err());
}

#[test]
fn conditions_concern_the_events_that_have_what_they_ask_for() {
    let link = Body::Link(Link { peer: node("n2"), state: LinkState::Up, retry_ms: None });
    let copies = Body::Copies(Copies::default());
    let txn = Body::Txn(txn());
    let only = |only: Only| [&link, &copies, &txn].map(|body| only.lets(body));
    assert_eq!(only(Only::default()), [true; 3]);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(only(Only { node: some("n2"), ..Only::default() }), [true, true, false]);
    assert_eq!(only(Only { node: some("n1"), ..Only::default() }), [false, true, true]);
    assert_eq!(only(Only { key_prefix: some("a"), ..Only::default() }), [true; 3]);
    assert_eq!(only(Only { key_prefix: some("b"), ..Only::default() }), [true, true, false]);
    assert_eq!(only(Only { outcome: some("aborted"), ..Only::default() }), [true, true, false]);
    assert_eq!(only(Only { slower_us: Some(900), ..Only::default() }), [true; 3]);
    assert_eq!(only(Only { slower_us: Some(901), ..Only::default() }), [true, true, false]);
}

#[test]
fn topics_are_a_set() {
    assert_eq!(Topics::all().and(Topics::of_supervisor()).iter().count(), Topic::ALL.len());
    assert!(!Topics::all().has(Topic::Proc));
    let two: Topics = [Topic::Txn, Topic::Ring].into_iter().collect();
    assert!(two.has(Topic::Txn) && !two.has(Topic::Cache) && Topics::default().is_empty());
    assert_eq!(two.iter().collect::<Vec<_>>(), [Topic::Ring, Topic::Txn]);
    assert!(Topic::ALL.iter().all(|topic| Topic::named(topic.as_str()) == Some(*topic)));
}

/// What a cluster that is well never tells has the names that readers look for, too.
///
/// Contract: "`lagged {dropped:{topic:n},from_seq,to_seq}`"
/// Contract: "`link {peer,state,retry_ms}`"
/// Contract: "`incident` (id, if part of one)"
#[test]
fn rare_events_have_the_names_of_the_contract() {
    let object = |body: &Body| {
        let value: serde_json::Value = serde_json::from_slice(&line(9, Some(4), body)).unwrap();
        value
    };
    let dropped = [("txn".to_owned(), 4)].into();
    let lagged = object(&Body::Lagged(Lagged { dropped, from_seq: 2, to_seq: 5 }));
    assert_eq!(lagged["event"], "lagged");
    assert_eq!((&lagged["dropped"]["txn"], &lagged["from_seq"]), (&4.into(), &2.into()));
    assert_eq!((&lagged["to_seq"], &lagged["cause"]), (&5.into(), &4.into()));
    let link = Link { peer: node("n2"), state: LinkState::Refused, retry_ms: Some(20) };
    let link = object(&Body::Link(link));
    assert_eq!((&link["peer"], &link["state"]), (&"n2".into(), &"refused".into()));
    assert_eq!(link["retry_ms"], 20);
    let text = br#"{"event":"link","seq":1,"source":"supervisor","incident":"i7","peer":"n1","state":"up"}"#;
    assert_eq!(decode(text).unwrap().incident.as_deref(), Some("i7"));
}
