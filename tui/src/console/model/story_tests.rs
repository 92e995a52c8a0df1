//! Tests of the story of the membership: an eviction until all is healed, a return, one more node,
//! one less; and of nodes that have not counted their keys.

use protocol::event::{Body, ProcState};
use protocol::status::NodeState;

use super::clock::At;
use super::feed::{Fed, FeedName, FeedState};
use super::story::{Cause, StepView, Weight};
use super::*;
use crate::console::testing::{moment, played, recorded};

/// The story of a recording at a moment: its headline, its steps.
fn told(name: &str, at_ms: u64) -> (String, String, Weight) {
    let told = played(name, at_ms).model.told();
    let steps = told.chain.iter().map(|step| match step {
        StepView::Done(text) => format!("done {text}"),
        StepView::Now(text) => format!("now {text}"),
        StepView::Ahead(text) => format!("ahead {text}"),
        StepView::Failed(text) => format!("failed {text}"),
    });
    (told.headline.join(" · "), steps.collect::<Vec<_>>().join(", "), told.weight)
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

/// A third of what one node is to copy is there, and not all of it yet.
fn part_copied(name: &str, from_ms: u64) -> u64 {
    moment(name, from_ms, |body| {
        matches!(body, Body::Transfer(told)
            if told.keys_total.is_some_and(|all| told.keys_done * 3 > all && told.keys_done < all))
    })
}

/// The next ring in which nothing is learned.
fn at_rest(name: &str, from_ms: u64) -> u64 {
    moment(name, from_ms, |body| matches!(body, Body::RingEpoch(told) if told.moves.is_empty()))
}

fn becomes(node: &str, state: NodeState) -> impl Fn(&Body) -> bool {
    move |body| {
        let Body::MemberState(told) = body else { return false };
        told.node.as_str() == node && told.to == state
    }
}

fn is_proc(node: &str, state: ProcState) -> impl Fn(&Body) -> bool {
    move |body| matches!(body, Body::Proc(told) if told.name == node && told.state == state)
}

#[test]
fn an_eviction_is_told_until_every_key_has_its_copies_again() {
    let killed = moment("evict", 0, is_proc("n3", ProcState::Killed));
    let (headline, steps, weight) = told("evict", killed + 1_500);
    has(&headline, &["n3 was killed (kill -9)", "cannot be written meanwhile"]);
    has(&steps, &["done killed", "done DOWN", "now evicts in 1.", "ahead copied again"]);
    assert_eq!(weight, Weight::Alarm);
    let evicted = moment("evict", killed, becomes("n3", NodeState::Evicted));
    let (headline, steps, weight) = told("evict", part_copied("evict", evicted));
    has(&headline, &["evicted: n3, its 20 % of the keys are copied again · ", " of about "]);
    has(&headline, &[" s left", "updates flow", "n3 was killed"]);
    has(&steps, &["done evicted", " % copied", "ahead healed"]);
    assert_eq!(weight, Weight::Warning);
    let healed = at_rest("evict", evicted);
    let (headline, steps, weight) = told("evict", healed + 300);
    has(&headline, &["healed: all keys have 3 copies again", "n3 is evicted: R on it"]);
    has(&steps, &["done killed 0.0", "done evicted", "done copying", "done healed "]);
    assert_eq!(weight, Weight::Healed);
    let model = played("evict", healed + 300).model;
    assert_eq!(model.nodes_up(), (4, 4), "who has no place is not missed");
    assert_eq!(model.nodes["n3"].word(), "EVICTED");
}

#[test]
fn a_return_copies_what_was_missed() {
    let started = moment("evict", 0, is_proc("n3", ProcState::Spawned));
    let joins = moment("evict", started, becomes("n3", NodeState::Joining));
    let copies = moment("evict", joins, |body| matches!(body, Body::Transfer(_)));
    let (headline, steps, _) = told("evict", copies);
    has(&headline, &["n3 is back: it copies what it missed"]);
    has(&steps, &["done back", "done started", "done copying", "ahead healthy"]);
    assert_eq!(played("evict", copies).model.nodes["n3"].word(), "JOINING");
    let rest = at_rest("evict", copies);
    let back = moment("evict", 0, becomes("n3", NodeState::Up)).max(rest);
    let (headline, _, weight) = told("evict", back + 300);
    has(&headline, &["healthy: n3 is back: it got a place again in "]);
    assert_eq!(weight, Weight::Healed);
}

/// Until it has counted its keys, nobody knows how many there are.
#[test]
fn what_is_not_counted_yet_is_said() {
    let started = moment("evict", 0, is_proc("n3", ProcState::Spawned));
    let counts = |body: &Body| {
        let Body::Copies(told) = body else { return false };
        told.uncounted.iter().any(|one| one.as_str() == "n3")
    };
    let model = played("evict", moment("evict", started, counts)).model;
    assert!(!model.copies.uncounted.is_empty());
    let words = model.copies_words().expect("there are keys");
    has(&words, &["at least "]);
}

#[test]
fn one_more_node_and_one_less_are_changes_and_no_incidents() {
    let part = part_copied("add", 0);
    let (headline, steps, weight) = told("add", part);
    has(&headline, &["n6 joins, ordered by ada at the console: it copies its 10 % of the keys · "]);
    has(&headline, &[" of about ", "updates flow"]);
    has(&steps, &["done joins", " % copied", "ahead joined"]);
    assert_eq!(weight, Weight::Changing);
    assert_eq!(played("add", part).model.nodes["n6"].word(), "JOINING");
    let joined = moment("add", part, becomes("n6", NodeState::Up)).max(at_rest("add", part));
    has(&told("add", joined + 300).0, &["n6 has joined after ", ", ordered by ada at the console"]);

    let part = part_copied("remove", 0);
    let (headline, steps, _) = told("remove", part);
    has(
        &headline,
        &["n2 leaves, ordered by ada at the console: others copy its 20 % of the keys · "],
    );
    has(&steps, &["done leaves", "ahead left"]);
    assert_eq!(played("remove", part).model.nodes["n2"].word(), "LEAVING");
    let left = moment("remove", part, becomes("n2", NodeState::Evicted)) + 1_000;
    has(&told("remove", left).0, &["n2 has left after ", ", ordered by ada at the console"]);
    let model = played("remove", left).model;
    assert!(!model.nodes.contains_key("n2") && !model.procs.contains_key("n2"));
    let causes: Vec<_> = model.story.all().map(|one| one.cause.clone()).collect();
    assert_eq!(causes, [Cause::Leaves], "its end was no incident");
}

fn feed(model: &mut Model, at_ms: u64, line: serde_json::Value) {
    let event = protocol::event::decode(line.to_string().as_bytes()).expect("an event");
    model.apply(At::after_us(at_ms * 1_000), &Fed::Event(FeedName::Coordinator, Box::new(event)));
}

#[test]
fn a_console_may_come_in_the_middle_of_a_change() {
    let evicted = moment("evict", 0, becomes("n3", NodeState::Evicted));
    let mut model = played("evict", part_copied("evict", evicted)).model;
    let snapshot = model.record.control().find_map(|entry| match &entry.what {
        record::What::Event(event) => match &event.body {
            protocol::event::Body::Snapshot(told) => Some(told.clone()),
            _ => None,
        },
        record::What::Link(_) => None,
    });
    let mut snapshot = snapshot.expect("there is one");
    snapshot.status.changes.push(protocol::status::ChangeStatus {
        change: "c1".into(),
        action: "evict".into(),
        node: Some("n3".into()),
        state: "running".into(),
        keys_done: 100,
        keys_total: Some(400),
        ..Default::default()
    });
    let points = &mut snapshot.status.ring.points;
    points.retain(|point| point.node.as_str() != "n3");
    let gone = snapshot.status.nodes.iter_mut().find(|node| node.name.as_str() == "n3");
    gone.expect("it is known").state = protocol::status::NodeState::Evicted;
    model = Model::new("another");
    model.apply(At(0), &Fed::Link(FeedName::Coordinator, FeedState::Live));
    let mut line = serde_json::to_value(&snapshot).expect("an event");
    (line["event"], line["seq"]) = ("snapshot".into(), 1.into());
    line["source"] = "coordinator".into();
    feed(&mut model, 1, line.clone());
    // The first snapshot only says that there is a coordinator.
    line["seq"] = 2.into();
    feed(&mut model, 2, line);
    let headline = model.told().headline.join(" · ");
    has(&headline, &["evicted: n3", "100 of about 400 keys"]);
    let ring = serde_json::json!({"event": "ring_epoch", "seq": 3, "source": "coordinator",
        "ring": {"epoch": 1, "counter": 9}, "points": snapshot.status.ring.points, "moves": []});
    feed(&mut model, 3_000, ring);
    has(&model.told().headline.join(" · "), &["healed: "]);
    assert_eq!(model.nodes["n3"].word(), "EVICTED");
}

#[test]
fn what_a_node_has_not_counted_is_no_zero() {
    let mut model = played("calm", 2_000).model;
    let beat = |seq: u64, counting: bool| {
        serde_json::json!({"event": "heartbeat", "seq": seq, "source": "coordinator", "node": "n1",
            "incarnation": 9, "hb_seq": seq, "delay_us": 10, "interval_ms": 500, "uptime_ms": 100,
            "fsync_us": 1, "undecided": 0, "undecided_oldest_ms": 0, "counting": counting,
            "keys_primary": 7, "keys_replica": 3, "log_bytes": 1, "reads": 0, "writes": 0,
            "cache": {}, "rss_bytes": 1, "cpu_us": 1})
    };
    feed(&mut model, 2_100, beat(90_000, true));
    let node = &model.nodes["n1"];
    assert_eq!((node.keys_primary(), node.keys_replica(), node.is_counting()), (None, None, true));
    feed(&mut model, 2_200, beat(90_001, false));
    assert_eq!(model.nodes["n1"].keys_primary(), Some(7));
}

#[test]
fn every_state_has_a_word_of_its_own() {
    let mut model = Model::new("recorder");
    let states = ["up", "suspect", "down", "joining", "leaving", "evicted"];
    for (at, state) in states.iter().enumerate() {
        feed(
            &mut model,
            1,
            serde_json::json!({"event": "member_state", "seq": at + 1, "source": "coordinator",
                "node": state, "from": "up", "to": state, "reason": "admin"}),
        );
    }
    let words: Vec<&str> = states.iter().map(|state| model.nodes[*state].word()).collect();
    assert_eq!(words, ["UP", "SUSPECT", "DOWN", "JOINING", "LEAVING", "EVICTED"]);
}

#[test]
fn how_one_ended_is_still_said_when_it_is_back() {
    let end = recorded("crash").last().unwrap().0.us() / 1_000;
    let headline = told("crash", end).0;
    has(
        &headline,
        &[
            "healthy: n3 is back after ",
            "it was killed from outside (signal 9), which nobody here ordered: its supervisor \
             started it again",
        ],
    );
}

/// What is told of a node, as a coordinator would.
fn told_state(seq: u64, node: &str, from: &str, to: &str, reason: &str) -> serde_json::Value {
    serde_json::json!({"event": "member_state", "seq": seq, "source": "coordinator", "node": node,
        "from": from, "to": to, "reason": reason, "ring_share": 0.0})
}

/// The points of the ring that it has, as they are told.
fn points(model: &Model) -> Vec<serde_json::Value> {
    let points = model.ring.points.iter();
    let told = |point: &ring::RingPoint| serde_json::json!({"hash": format!("{:016x}", point.hash), "node": point.node});
    points.map(told).collect()
}

#[test]
fn who_waits_to_be_added_and_goes_is_missed_by_nobody() {
    let mut model = played("calm", 6_000).model;
    feed(&mut model, 6_100, told_state(90_000, "n9", "down", "joining", "registered"));
    assert_eq!(model.nodes["n9"].word(), "JOINING");
    // A ring is put in force for others: it waits still.
    let ring = serde_json::json!({"event": "ring_epoch", "seq": 90_001, "source": "coordinator",
        "ring": {"epoch": 1, "counter": 99}, "points": points(&model), "moves": []});
    feed(&mut model, 6_200, ring);
    assert_eq!(model.nodes["n9"].word(), "JOINING");
    feed(&mut model, 6_300, told_state(90_002, "n9", "joining", "down", "tcp_reset"));
    assert!(!model.nodes.contains_key("n9"));
    assert_eq!(model.story.open().count(), 0, "{:?}", model.told());
}

/// A place is told when its ring is proposed, and once more when that is in force: that is one
/// story.
#[test]
fn a_return_that_is_told_before_its_ring_is_a_return() {
    let evicted = moment("evict", 0, becomes("n3", NodeState::Evicted));
    let healed = at_rest("evict", evicted) + 300;
    let mut model = played("evict", healed).model;
    assert_eq!(model.nodes["n3"].word(), "EVICTED");
    let before = model.story.all().count();
    feed(&mut model, healed + 100, told_state(90_000, "n3", "evicted", "joining", "registered"));
    assert_eq!(model.nodes["n3"].word(), "JOINING");
    assert_eq!(model.story.all().count(), before);
    let mut points = points(&model);
    points.push(serde_json::json!({"hash": "0000000000000007", "node": "n3"}));
    let moves = serde_json::json!([{"from": "0000000000000001", "to": "0000000000000007",
        "gain_node": "n3", "source": "n1", "keys": 1, "bytes": 1}]);
    let ring = serde_json::json!({"event": "ring_epoch", "seq": 90_001, "source": "coordinator",
        "ring": {"epoch": 1, "counter": 99}, "points": points, "moves": moves});
    feed(&mut model, healed + 200, ring);
    let causes: Vec<_> = model.story.open().map(|one| one.cause.clone()).collect();
    assert_eq!(causes, [Cause::Returns]);
}

/// What is counted is a lower bound while some have yet to count, and of nothing there is none.
#[test]
fn keys_that_nobody_has_counted_are_told_as_that() {
    let mut model = played("calm", 6_000).model;
    let copies = |seq: u64, counted: serde_json::Value, missing: &[&str]| {
        serde_json::json!({"event": "copies", "seq": seq, "source": "coordinator",
            "by_live_copies": counted, "uncounted": missing, "unwritable": 0})
    };
    let none = serde_json::json!({});
    feed(&mut model, 6_100, copies(90_000, none, &["n1", "n2"]));
    let words = "keys are being counted, n1 and n2 not yet done";
    assert_eq!(model.copies_words().as_deref(), Some(words));
    assert!(model.told().headline.iter().any(|said| said == words));
    feed(&mut model, 6_200, copies(90_001, serde_json::json!({"2": 70}), &["n2"]));
    let words = "at least 70 keys have 2 copies, n2 not counted yet";
    assert_eq!(model.copies_words().as_deref(), Some(words));
    feed(&mut model, 6_300, copies(90_002, serde_json::json!({"2": 99}), &[]));
    assert_eq!(model.copies_words().as_deref(), Some("all 99 keys have 2 copies"));
}

/// A second node ends that stands in for the first: nobody reads what only they hold.
#[test]
fn a_node_that_is_away_answers_for_nobody() {
    let mut model = played("calm", 6_000).model;
    model.cluster.as_mut().expect("it is told").evict_after_ms = Some(1_000);
    let hash = model.ring.points.iter().find(|point| point.node == "n3").expect("a place").hash;
    let behind: Vec<String> = model.ring.walk(hash).iter().map(|one| one.node.clone()).collect();
    let (first, second) = (behind[1].clone(), behind[2].clone());
    let down = |seq: u64, node: &str, by: &str| {
        let mut told = told_state(seq, node, "up", "down", "tcp_reset");
        (told["ring_share"], told["reads_by"]) = (0.2.into(), serde_json::json!([by]));
        told
    };
    feed(&mut model, 6_100, down(90_000, "n3", &first));
    assert_eq!(model.stand_ins("n3"), Some(vec![first.clone()]));
    feed(&mut model, 6_200, down(90_001, &first, &second));
    let copies = serde_json::json!({"event": "copies", "seq": 90_002, "source": "coordinator",
        "by_live_copies": {"0": 8_163, "1": 20_173, "2": 12_000}, "unwritable": 28_336});
    feed(&mut model, 6_300, copies);
    assert_eq!(model.stand_ins("n3"), Some(Vec::new()));
    assert_eq!(model.stand_ins(&first), Some(vec![second]));
    let of_n3 = model.story.open().find(|one| one.server == "n3").expect("it is away").clone();
    let said = model.without_node(&of_n3).join(" · ");
    has(&said, &["nobody can answer reads of its 20 %", "8,163 keys have no live copy"]);
    has(&said, &["20,173 keys have one copy and cannot be written"]);
    // It is not evicted, and the story says why and what helps.
    let mut both = ["n3".to_owned(), first];
    both.sort();
    let words = model.evicts_words(&of_n3).expect("it would be");
    let back = format!("R on {}", both.join(" or "));
    assert_eq!(words, format!("not safe: 8,163 keys have no live copy, {back}"));
}
