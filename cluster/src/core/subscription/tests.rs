//! What a subscriber gets, and what it is told of what it does not get.

use protocol::event::{
    CacheSet, CacheSets, Copies, Heartbeat, HeartbeatMissed, Only, Outcome, Phases, Stats, Topics,
    Txn,
};
use protocol::ids::{Incarnation, NodeName, Version};
use protocol::status::NodeFigures;

use super::*;

fn event(number: u64, body: Body) -> Event {
    Event { number, ..Event::plain(Epoch(1), body) }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("a short name")
}

fn missed(number: u64) -> Event {
    let missed = HeartbeatMissed { node: node("n1"), missed: number, silent_ms: 0 };
    event(number, Body::HeartbeatMissed(missed))
}

fn txn(tx: u64) -> Event {
    let body = Body::Txn(Txn {
        tx: Some(Version::new(Epoch(1), tx)),
        op: "put".into(),
        keys: 1,
        key: None,
        conn: 1,
        outcome: Some(Outcome::Committed),
        reason: None,
        waited_for: None,
        us_total: 1,
        us: Phases::default(),
        batch_txns: 1,
        votes: Vec::new(),
        decides: Vec::new(),
        all_keys: Vec::new(),
    });
    event(tx, body)
}

fn stats() -> Event {
    event(1, Body::Stats(Stats::default()))
}

fn offer(subscription: &mut Subscription, event: &Event) -> Offered {
    subscription.offer(Time(1_000_000), event, || Bytes::from_static(b"}\n"))
}

fn taken(subscription: &mut Subscription) -> Vec<(u64, &'static str)> {
    std::iter::from_fn(|| subscription.take()).map(|entry| (entry.seq, entry.name)).collect()
}

fn wanting(topics: &[Topic]) -> Subscription {
    let topics: Topics = topics.iter().copied().collect();
    Subscription::new(Subscribe { topics, ..Subscribe::default() })
}

/// Contract: "Nothing is built or formatted for nobody"
#[test]
fn what_is_not_wanted_is_not_formatted_and_has_no_number() {
    let mut subscription = wanting(&[Topic::Stats]);
    let never = || panic!("nobody wants it");
    assert_eq!(subscription.offer(Time(0), &missed(1), never), Offered::Left);
    assert_eq!(subscription.offer(Time(0), &txn(1), never), Offered::Left);
    assert_eq!(offer(&mut subscription, &stats()), Offered::Taken);
    assert_eq!(taken(&mut subscription), [(1, "stats")]);
}

#[test]
fn both_queues_are_told_in_one_order() {
    let mut subscription = Subscription::new(Subscribe::default());
    subscription.restart(None, Bytes::new());
    for event in [stats(), missed(2), stats(), missed(3)] {
        assert_eq!(offer(&mut subscription, &event), Offered::Taken);
    }
    let names = ["snapshot", "stats", "heartbeat_missed", "stats", "heartbeat_missed"];
    let expected: Vec<_> = (1..).zip(names).collect();
    assert_eq!(taken(&mut subscription), expected);
    assert!(subscription.is_empty());
}

/// Contract: "(sampled to `max_per_s`; aborted, slow and watched ones always)"
#[test]
fn samples_are_spread_and_what_is_always_told_is_not_one() {
    let mut subscription = Subscription::new(Subscribe { max_per_s: 100, ..Subscribe::default() });
    let mut told = 0;
    for us in 0..2_000 {
        let now = Time(1_000_000 + us * 1_000);
        let offered = subscription.offer(now, &txn(us), Bytes::new);
        told += u32::from(offered == Offered::Taken);
        assert!(subscription.take().is_none_or(|entry| entry.seq == u64::from(told)), "no gaps");
    }
    assert!((195..=210).contains(&told), "{told} in two seconds");
    assert_eq!(subscription.dropped(), 0, "what is sampled is not lost");
    let mut scarce = Subscription::new(Subscribe { max_per_s: 1, ..Subscribe::default() });
    let sampled: Vec<Offered> = (0..5).map(|tx| offer(&mut scarce, &txn(tx))).collect();
    assert_eq!(sampled.iter().filter(|offered| **offered == Offered::Taken).count(), 1);
    for tx in 0..5 {
        assert_eq!(offer(&mut scarce, &Event { always: true, ..txn(tx) }), Offered::Taken);
        assert_eq!(offer(&mut scarce, &stats()), Offered::Taken, "figures are no samples");
    }
}

#[test]
fn a_watched_transaction_is_always_told() {
    let only = Only { node: Some("n9".into()), ..Only::default() };
    let tx = Some(Version::new(Epoch(1), 7));
    let mut subscription =
        Subscription::new(Subscribe { max_per_s: 1, tx, only, ..Subscribe::default() });
    assert_eq!(offer(&mut subscription, &txn(6)), Offered::Left);
    for _ in 0..3 {
        assert_eq!(offer(&mut subscription, &txn(7)), Offered::Taken);
    }
}

/// Contract: "`seq` (per source; a gap is a loss)"
/// Contract: "Telemetry is dropped first and counted"
#[test]
fn telemetry_goes_first_and_leaves_a_gap() {
    let mut subscription = Subscription::new(Subscribe::default());
    assert_eq!(offer(&mut subscription, &missed(1)), Offered::Taken);
    for _ in 0..TELEMETRY_MAX + 5 {
        assert_eq!(offer(&mut subscription, &stats()), Offered::Taken);
    }
    assert_eq!(subscription.dropped(), 5);
    let told = taken(&mut subscription);
    assert_eq!(told.len(), 1 + TELEMETRY_MAX);
    assert_eq!(told[..2], [(1, "heartbeat_missed"), (7, "stats")]);
}

#[test]
fn figures_are_gathered_while_they_are_few_and_nothing_else_waits() {
    let mut subscription = Subscription::new(Subscribe::default());
    for _ in 1..TELEMETRY_MANY {
        offer(&mut subscription, &stats());
        assert!(!subscription.is_urgent());
    }
    offer(&mut subscription, &stats());
    assert!(subscription.is_urgent());
    assert_eq!(taken(&mut subscription).len(), TELEMETRY_MANY);
    assert!(!subscription.is_urgent());
    offer(&mut subscription, &stats());
    offer(&mut subscription, &missed(1));
    assert!(subscription.is_urgent());
}

/// Contract: "a full control queue (1,024) is replaced by `lagged
/// {dropped:{topic:n},from_seq,to_seq}` and a fresh `snapshot`"
#[test]
fn too_much_control_is_replaced_and_what_is_lost_is_told() {
    let mut subscription = Subscription::new(Subscribe::default());
    offer(&mut subscription, &stats());
    for number in 0..CONTROL_MAX as u64 {
        assert_eq!(offer(&mut subscription, &missed(number)), Offered::Taken);
    }
    let lost = |heartbeat, to_seq| Lagged {
        dropped: [("heartbeat".to_owned(), heartbeat), ("stats".to_owned(), 1)].into(),
        from_seq: 1,
        to_seq,
    };
    let max = CONTROL_MAX as u64;
    let lagged = lost(max + 1, max + 2);
    assert_eq!(offer(&mut subscription, &missed(9)), Offered::Lagged(lagged));
    assert!(subscription.is_empty());
    subscription.restart(Some(Bytes::new()), Bytes::new());
    // Still nobody reads: the second loss tells of the first too.
    for number in 0..max - 2 {
        assert_eq!(offer(&mut subscription, &missed(number)), Offered::Taken);
    }
    let all = lost(max + 1 + max - 2 + 1, 2 * max + 3);
    assert_eq!(offer(&mut subscription, &missed(9)), Offered::Lagged(all));
    assert_eq!(subscription.dropped(), 2 * max + 1);
    subscription.restart(Some(Bytes::new()), Bytes::new());
    offer(&mut subscription, &missed(10));
    let (from, names) = (2 * max + 4, ["lagged", "snapshot", "heartbeat_missed"]);
    let expected: Vec<_> = (from..).zip(names).collect();
    assert_eq!(taken(&mut subscription), expected);
    // It was told: the next loss begins anew.
    for number in 0..=max {
        if let Offered::Lagged(lagged) = offer(&mut subscription, &missed(number)) {
            assert_eq!((number, lagged.from_seq, lagged.dropped.len()), (max, from + 3, 1));
        }
    }
}

#[test]
fn another_subscription_replaces_the_first_and_numbers_go_on() {
    let mut subscription = Subscription::new(Subscribe::default());
    offer(&mut subscription, &missed(1));
    offer(&mut subscription, &stats());
    subscription.replace(Subscribe {
        topics: [Topic::Member].into_iter().collect(),
        ..Subscribe::default()
    });
    assert!(subscription.is_empty());
    assert_eq!(offer(&mut subscription, &stats()), Offered::Left);
    assert_eq!(
        offer(&mut subscription, &event(3, Body::Copies(Copies::default()))),
        Offered::Taken
    );
    assert_eq!(taken(&mut subscription), [(3, "copies")]);
}

#[test]
fn a_cause_is_named_by_the_number_that_this_subscriber_knows() {
    let mut subscription = wanting(&[Topic::Heartbeat, Topic::Member]);
    offer(&mut subscription, &missed(41));
    let copies = |cause| Event { cause, ..event(50, Body::Copies(Copies::default())) };
    offer(&mut subscription, &copies(Some(41)));
    offer(&mut subscription, &copies(Some(40)));
    let causes: Vec<_> = std::iter::from_fn(|| subscription.take()).map(|e| e.cause).collect();
    assert_eq!(causes, [None, Some(1), None]);
}

#[test]
fn a_cache_is_told_of_to_those_who_look_at_it() {
    let sets = |server: &str| {
        let body = Body::CacheSets(CacheSets { server: server.into(), sets: Vec::new() });
        Event { window: Some((0, 4)), ..event(1, body) }
    };
    let set = |set| {
        let server = COORDINATOR.into();
        event(1, Body::CacheSet(CacheSet { server, set, ..CacheSet::default() }))
    };
    let wants = Subscribe { sets: Some((0, 4)), set: Some(3), ..Subscribe::default() };
    let mut here = Subscription::new(wants.clone());
    let mut there = Subscription::new(Subscribe { server: Some("n1".into()), ..wants.clone() });
    let mut more = Subscription::new(Subscribe { sets: Some((0, 5)), ..wants });
    let mut offered = |event: &Event| {
        [&mut here, &mut there, &mut more].map(|s| offer(s, event) == Offered::Taken)
    };
    assert_eq!(offered(&sets(COORDINATOR)), [true, false, false]);
    assert_eq!(offered(&sets("n1")), [false, true, false]);
    assert_eq!(offered(&set(3)), [true, false, true]);
    assert_eq!(offered(&set(2)), [false; 3]);
}

#[test]
fn heartbeats_of_other_nodes_are_left_out() {
    let only = Only { node: Some("n1".into()), ..Only::default() };
    let mut subscription = Subscription::new(Subscribe { only, ..Subscribe::default() });
    let beat = |name: &str| {
        let heartbeat = Heartbeat {
            node: node(name),
            incarnation: Incarnation(1),
            hb_seq: 1,
            delay_us: 0,
            figures: NodeFigures::default(),
        };
        event(1, Body::Heartbeat(heartbeat))
    };
    assert_eq!(offer(&mut subscription, &beat("n1")), Offered::Taken);
    assert_eq!(offer(&mut subscription, &beat("n2")), Offered::Left);
}
