//! Events of a real cluster: how things are, then what happens while a node is killed and comes
//! back; and what is told to those who come too many.

use std::time::{Duration, Instant};

use protocol::client::{Client, Options};
use protocol::event::{Body, Subscribe};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::wire::{Conn, Reply, ask};

/// For a machine that stalls; something comes several times a second.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// One subscription.
struct Listener {
    conn: Conn,
    seq: u64,
    /// What was heard since the last look.
    heard: Vec<Value>,
}

impl Listener {
    fn new(cluster: &Cluster, request: &Value) -> Self {
        let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
        let reply = conn.call(request).expect("an answer");
        assert_eq!(reply["ok"], true, "{reply}");
        let mut listener = Self { conn, seq: 0, heard: Vec::new() };
        let first = listener.next();
        assert_eq!((&first["event"], &first["seq"]), (&json!("snapshot"), &json!(1)), "{first}");
        listener
    }

    fn next(&mut self) -> Value {
        let event = self.conn.receive().expect("an event");
        let seq = event["seq"].as_u64().expect("every event has a number");
        assert_eq!(seq, self.seq + 1, "a reader that keeps up loses nothing: {event}");
        self.seq = seq;
        let cause = event["cause"].as_u64();
        assert!(cause.is_none_or(|cause| cause < seq), "a cause comes first: {event}");
        for field in ["at_us", "wall_ms", "epoch"] {
            assert!(event[field].is_u64(), "{field}: {event}");
        }
        assert_eq!(event["source"], "coordinator");
        event
    }

    /// Listens until this comes.
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        while begin.elapsed() < WAIT_MAX {
            let event = self.next();
            self.heard.push(event.clone());
            if is(&event) {
                return event;
            }
        }
        panic!("{what} did not come: {:#?}", self.heard.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Whether this was heard since the last look.
    fn has_heard(&self, is: impl Fn(&Value) -> bool) -> bool {
        self.heard.iter().any(is)
    }
}

fn is_member(event: &Value, node: &str, to: &str) -> bool {
    event["event"] == "member_state" && event["node"] == node && event["to"] == to
}

#[test]
fn events_tell_of_a_death_and_a_return() {
    let cluster = Cluster::start("events", 3, 2, &[]);
    let victim = cluster.node_names()[1].clone();
    let mut all = Listener::new(&cluster, &json!({"op": "subscribe"}));
    all.until("a heartbeat of the victim", |event| {
        event["event"] == "heartbeat" && event["node"] == *victim
    });

    let ring = cluster.ring();
    let key =
        (0..1_000).map(|n| format!("key-{n}")).find(|key| ring.holders(key).contains(&victim));
    let key = key.expect("it holds some key");
    let mut client = Conn::open(cluster.addr()).expect("the cluster is ready");
    let is_txn = |event: &Value| event["event"] == "txn" && event["key"] == *key;
    assert!(matches!(client.put(&key, "before"), Reply::Ok(_)));
    let txn = all.until("the update", is_txn);
    assert_eq!((&txn["outcome"], &txn["op"]), (&json!("committed"), &json!("put")), "{txn}");
    let (votes, decides) = (&txn["votes"], &txn["decides"]);
    for place in 0..2 {
        assert_eq!(votes[place]["vote"], "yes", "{txn}");
        assert!(votes[place]["node_us"]["sync"].as_u64() > Some(0), "a sync takes time: {txn}");
        assert!(decides[place]["sent_us"].as_u64() >= txn["us"]["answered"].as_u64(), "{txn}");
    }
    // They may have come before the update was told, which waits for its decision to be durable.
    let figures = |event: &Value| event["latency_us"]["update"].is_object();
    let heard = all.heard.iter().find(|event| figures(event)).cloned();
    let stats = heard.unwrap_or_else(|| all.until("figures of it", figures));
    assert_eq!((&stats["event"], &stats["ops"]["put"]["ok"]), (&json!("stats"), &json!(1)));

    cluster.kill(&victim);
    all.until("the victim down", |event| is_member(event, &victim, "down"));
    assert!(all.has_heard(|event| is_member(event, &victim, "suspect")), "{:#?}", all.heard);
    let lost = |event: &Value| {
        event["event"] == "link" && event["peer"] == *victim && event["state"] == "lost"
    };
    assert!(all.has_heard(lost), "{:#?}", all.heard);
    let missed = |event: &Value| event["event"] == "heartbeat_missed" && event["node"] == *victim;
    if !all.has_heard(missed) {
        all.until("a missed heartbeat", missed);
    }

    assert_eq!(client.put(&key, "during"), Reply::Refused("replica_down".into()));
    let refused = all.until("the refusal", is_txn);
    assert_eq!((&refused["outcome"], &refused["tx"]), (&json!("refused"), &Value::Null));
    assert_eq!(refused["reason"], "replica_down");

    all.heard.clear();
    cluster.restart(&victim);
    all.until("the victim up again", |event| is_member(event, &victim, "up"));
    for phase in ["log", "decisions", "ready"] {
        let came = |event: &Value| {
            event["event"] == "member_recovery"
                && event["node"] == *victim
                && event["phase"] == phase
        };
        assert!(all.has_heard(came), "{phase}: {:#?}", all.heard);
    }
    assert!(matches!(client.put(&key, "after"), Reply::Ok(_)));
    assert_eq!(all.until("the update after it", is_txn)["outcome"], "committed");
}

#[test]
fn a_subscription_is_replaced_and_there_are_not_too_many() {
    let cluster = Cluster::start("subscribers", 1, 1, &[]);
    let quiet = json!({"op": "subscribe", "topics": ["admin"]});
    let mut all: Vec<Listener> = (0..16).map(|_| Listener::new(&cluster, &quiet)).collect();
    let refused = ask(cluster.addr(), &quiet).expect("an answer");
    assert_eq!(refused["code"], "overloaded", "{refused}");

    // Other requests go on, and another subscription takes the place of the first.
    let mut one = all.pop().expect("there are 16");
    assert!(matches!(one.conn.put("a", "b"), Reply::Ok(_)));
    let beats = json!({"op": "subscribe", "topics": ["heartbeat"], "id": 7});
    let reply = one.conn.call(&beats).expect("an answer");
    assert_eq!((&reply["id"], &reply["topics"]), (&json!(7), &json!(["heartbeat"])));
    assert_eq!(one.next()["event"], "snapshot");
    assert_eq!(one.next()["event"], "heartbeat");
    drop(one);

    // The place of one that has gone is free; the library reads what it is told.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let address = cluster.addr().to_string();
        let client = Client::connect(&address, Options::default()).await.expect("it is ready");
        let mut events = loop {
            match client.subscribe(Subscribe::default()).await {
                Ok(events) => break events,
                Err(error) => assert!(error.is_safe_to_repeat(), "{error}"),
            }
        };
        let first = events.next().await.expect("a snapshot");
        let Body::Snapshot(snapshot) = first.body else { panic!("{first:?}") };
        assert_eq!(snapshot.status.nodes.len(), 1);
        assert!(snapshot.status.coordinator.pid.is_some());
        while !matches!(events.next().await.expect("an event").body, Body::Heartbeat(_)) {}
    });
}
