//! Tests of ages: of a console that comes late, that stood still, or whose servers' clocks differ.

use protocol::event::{Admin, Body, Event, ProcsSnapshot, Snapshot};
use protocol::status::NodeState;

use super::clock::At;
use super::feed::{Fed, FeedName, FeedState};
use super::node::Beat;
use super::story::StepView;
use super::*;
use crate::console::testing::recorded;

/// For how long n3 has not been heard when the console comes, milliseconds.
const SILENT_MS: u64 = 10_200;

/// The first snapshots of a calm cluster, of the coordinator and of the supervisor.
fn snapshots() -> (Event, Event) {
    let all = recorded("calm");
    let of = |name: FeedName| {
        let found = all.iter().find_map(|(_, fed)| match fed {
            Fed::Event(feed, event) if *feed == name => Some(event.as_ref().clone()),
            _ => None,
        });
        found.expect("it begins with a snapshot")
    };
    (of(FeedName::Coordinator), of(FeedName::Supervisor))
}

fn coordinators(event: &mut Event) -> &mut Snapshot {
    match &mut event.body {
        Body::Snapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

fn supervisors(event: &mut Event) -> &mut ProcsSnapshot {
    match &mut event.body {
        Body::ProcsSnapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

/// The same where n3 has ended and been silent for a while, and somebody did that.
fn without_n3(action: &str) -> (Event, Event) {
    let (mut coordinator, mut supervisor) = snapshots();
    let status = &mut coordinators(&mut coordinator).status;
    status.cluster.evict_after_ms = Some(20_000);
    status.coordinator.uptime_ms = 600_000;
    let node = status.nodes.iter_mut().find(|node| node.name.as_str() == "n3").unwrap();
    (node.state, node.heartbeat_age_ms) = (NodeState::Down, Some(SILENT_MS));
    let told = supervisors(&mut supervisor);
    let process = told.procs.iter_mut().find(|process| process.name == "n3").unwrap();
    (process.pid, process.state) = (None, "dead".into());
    if action == "pause" {
        (process.pid, process.state, process.paused) = (Some(7), "running".into(), true);
    }
    let target = Some("n3".to_owned());
    let admin = |id, action: &str, by: &str| Admin {
        id,
        action: action.into(),
        target: target.clone(),
        by: by.into(),
        result: "ok".into(),
    };
    told.admin_recent = vec![admin(1, "start", "bob"), admin(2, action, "ada")];
    (coordinator, supervisor)
}

/// A console that is told these, in either order, and asked a little later.
fn late(told: &(Event, Event), supervisor_first: bool) -> Model {
    let mut model = Model::new("late");
    for name in [FeedName::Coordinator, FeedName::Supervisor] {
        model.apply(At(50_000), &Fed::Link(name, FeedState::Live));
    }
    let mut all = [(FeedName::Coordinator, &told.0), (FeedName::Supervisor, &told.1)];
    if supervisor_first {
        all.reverse();
    }
    for (name, event) in all {
        model.apply(At(100_000), &Fed::Event(name, Box::new(event.clone())));
    }
    model.tick(At(300_000));
    model
}

fn headline(model: &Model) -> String {
    model.told().headline.join(" · ")
}

fn steps(model: &Model) -> Vec<String> {
    let words = |step: &StepView| match step {
        StepView::Done(words) | StepView::Now(words) => words.clone(),
        StepView::Ahead(words) | StepView::Failed(words) => words.clone(),
    };
    model.told().chain.iter().map(words).collect()
}

#[test]
fn a_console_that_comes_late_says_how_long_ago_it_was_and_who_did_it() {
    for (action, words) in [
        ("kill", "n3 was killed (kill -9) by ada 10 s ago"),
        ("stop", "n3 was stopped by ada 10 s ago"),
        ("pause", "n3 was paused (SIGSTOP) by ada 10 s ago"),
        // Nobody did it, as far as known.
        ("resume", "n3 was last heard 10 s ago, before this console began"),
    ] {
        let told = without_n3(action);
        for supervisor_first in [true, false] {
            let mut model = late(&told, supervisor_first);
            assert!(headline(&model).starts_with(words), "{words}: {}", headline(&model));
            let answers = "n4 now answers reads of its 20 % of the keys";
            assert!(headline(&model).contains(answers), "{}", headline(&model));
            // When it was suspected was not told; that it was, after so many heartbeats at most, is.
            let steps = steps(&model);
            assert!(steps[0].ends_with(" 0.0"), "{steps:?}");
            let expected = ["suspected", "DOWN", "evicts in at most 11 s"];
            assert_eq!(steps[1..4], expected, "{steps:?}");
            let node = &model.nodes["n3"];
            assert_eq!(node.state_since.words(model.now), "at least 7.4 s");
            assert_eq!(model.now.ms_since(node.heard.unwrap()), SILENT_MS + 200);
            model.tick(At(2_000_000));
            assert!(headline(&model).contains(" 12 s ago"), "{}", headline(&model));
        }
    }
}

#[test]
fn what_was_never_heard_is_as_old_as_the_console_at_least() {
    let mut told = without_n3("resume");
    let status = &mut coordinators(&mut told.0).status;
    let node = status.nodes.iter_mut().find(|node| node.name.as_str() == "n3").unwrap();
    node.heartbeat_age_ms = None;
    status.coordinator.uptime_ms = 4_000;
    let model = late(&told, true);
    assert!(headline(&model).starts_with("n3 was away already when this console began"));
    // A coordinator begins to wait when it starts.
    assert_eq!(steps(&model)[..4], ["away", "suspected", "DOWN", "evicts in at most 17 s"]);
    assert_eq!(model.nodes["n3"].state_since.words(model.now), "at least 1.2 s");
    // Its return took at least so long.
    let mut model = model;
    let mut up = snapshots().0;
    up.at_us += 2_000_000;
    model.apply(At(2_100_000), &Fed::Event(FeedName::Coordinator, Box::new(up)));
    let words = headline(&model);
    assert!(words.starts_with("healthy: n3 is back after at least 4.5 s, 0.0 s ago"), "{words}");
}

/// Whose place others have, and all is well: its process is missed by nobody.
#[test]
fn an_eviction_that_is_long_over_is_no_incident() {
    let mut told = without_n3("kill");
    let status = &mut coordinators(&mut told.0).status;
    status.ring.points.retain(|point| point.node.as_str() != "n3");
    for is_listed in [true, false] {
        let nodes = &mut coordinators(&mut told.0).status.nodes;
        match is_listed {
            true => {
                let node = nodes.iter_mut().find(|node| node.name.as_str() == "n3").unwrap();
                node.state = NodeState::Evicted;
            }
            false => nodes.retain(|node| node.name.as_str() != "n3"),
        }
        for supervisor_first in [true, false] {
            let model = late(&told, supervisor_first);
            assert_eq!(model.story.all().count(), 0, "{}", headline(&model));
            assert_eq!(model.nodes_up(), (4, 4));
        }
    }
}

/// What was in doubt before anybody listened is told once, and not to whoever comes later.
#[test]
fn a_console_that_comes_late_knows_what_is_in_doubt() {
    let mut told = without_n3("kill");
    let vote =
        |node: &str, vote: &str| serde_json::json!({"node": node, "role": "replica", "vote": vote});
    let open = |id: &str, last: &str| {
        serde_json::json!({"tx": id, "op": "put", "keys": 1, "key": "user:1",
            "us_total": 9_000_000, "votes": [vote("n2", "yes"), vote(last, "none")]})
    };
    let txns = [open("1.7", "n3"), open("1.8", "n4")];
    coordinators(&mut told.0).txns_open =
        txns.map(|txn| serde_json::from_value(txn).expect("a transaction")).into();
    for (supervisor_first, end) in [true, false].into_iter().zip(["txn_resolved", "txn"]) {
        let mut model = late(&told, supervisor_first);
        assert_eq!(model.txns.in_doubt_now(), 1, "n4 is there: it will answer");
        let (version, doubt) = model.txns.doubts().next().expect("there is one");
        assert_eq!(version.to_string(), "1.7");
        assert_eq!(doubt.since.words(model.now), "at least 7.4 s");
        assert!(headline(&model).ends_with("1 update in doubt"), "{}", headline(&model));
        let line = serde_json::json!({"event": end, "seq": 90_000, "source": "coordinator",
            "epoch": 1, "tx": "1.7", "op": "put", "keys": 1, "outcome": "committed"});
        let event = protocol::event::decode(line.to_string().as_bytes()).expect("an event");
        model.apply(At(400_000), &Fed::Event(FeedName::Coordinator, Box::new(event)));
        assert_eq!(model.txns.in_doubt_now(), 0);
        let said = headline(&model);
        assert!(said.ends_with("resolved: 1 committed, 0 aborted"), "{said}");
    }
}

/// A node that has left is missed by nobody, whoever goes on counting.
#[test]
fn a_node_that_nobody_told_of_is_none() {
    let mut model = late(&without_n3("kill"), true);
    let line = serde_json::json!({"event": "heartbeat_missed", "seq": 90_000, "epoch": 1,
        "source": "coordinator", "node": "n9", "missed": 570, "silent_ms": 285_000});
    let event = protocol::event::decode(line.to_string().as_bytes()).expect("an event");
    model.apply(At(400_000), &Fed::Event(FeedName::Coordinator, Box::new(event)));
    assert_eq!(model.nodes_up(), (4, 5));
    assert_eq!(model.nodes.len(), 5);
}

/// What the story says at all times, of a recording.
fn said(fed: &[(At, Fed)]) -> Vec<(Vec<String>, Vec<StepView>)> {
    let mut model = Model::new("recorder");
    let mut said = Vec::new();
    for (at, one) in fed {
        model.apply(*at, one);
        let told = model.told();
        said.push((told.headline, told.chain));
    }
    said
}

#[test]
fn clocks_that_differ_change_nothing() {
    for name in ["kill", "coordinator", "evict", "doubt"] {
        let fed = recorded(name);
        let expected = said(&fed);
        assert!(expected.iter().any(|(_, chain)| chain.len() > 2), "{name}");
        let mut skewed = fed;
        for (number, (_, one)) in (0_u64..).zip(&mut skewed) {
            let Fed::Event(feed, event) = one else { continue };
            // A day ahead or behind, or somebody sets it again and again.
            event.wall_ms = match number % 3 {
                0 => event.wall_ms.saturating_sub(86_400_000),
                1 => event.wall_ms.saturating_add(86_400_000),
                _ => number,
            };
            // The machine of one runs for much longer.
            if *feed == FeedName::Supervisor {
                event.at_us += 90 * 86_400_000_000;
            }
        }
        assert_eq!(said(&skewed), expected, "{name}");
    }
}

/// The console stands still for four seconds, from the kill on, and then reads all of it at once.
#[test]
fn a_console_that_stood_still_does_not_take_old_news_for_new() {
    let fed = recorded("kill");
    let (from, until) = (At(1_900_000), At(6_000_000));
    let at = |fed: &[(At, Fed)]| {
        let mut model = Model::new("recorder");
        for (at, one) in fed.iter().filter(|(at, _)| *at <= until) {
            model.apply(*at, one);
        }
        model.tick(until);
        model
    };
    let awake = at(&fed);
    let mut late = fed;
    for (at, _) in late.iter_mut().filter(|(at, _)| *at > from && *at <= until) {
        *at = until;
    }
    let late = at(&late);
    assert!(headline(&awake).contains("n3 was killed (kill -9)"), "{}", headline(&awake));
    let [awake_of, late_of] = [&awake, &late].map(|model| {
        let incident = model.story.open().next().expect("it is open");
        (model.now.ms_since(incident.began.latest()), steps(model).len())
    });
    assert!(awake_of.0 > 3_000 && awake_of.0.abs_diff(late_of.0) < 50, "{awake_of:?} {late_of:?}");
    assert_eq!(awake_of.1, late_of.1);
    let heard = |model: &Model| model.now.ms_since(model.nodes["n3"].heard.unwrap());
    assert!(heard(&awake).abs_diff(heard(&late)) < 50);
}

/// Another process serves in the place of the one before: none of its figures are the other's.
#[test]
fn a_coordinator_that_was_started_anew_is_active_no_longer_than_it_runs() {
    let (mut coordinator, supervisor) = snapshots();
    let mut model = late(&(coordinator.clone(), supervisor), false);
    model.tick(At(900_000_000));
    let status = &mut coordinators(&mut coordinator).status.coordinator;
    (status.epoch.0, status.uptime_ms, status.pid) = (status.epoch.0 + 1, 9_600, Some(7));
    coordinator.seq += 1;
    coordinator.at_us += 900_000_000;
    model.apply(At(900_200_000), &Fed::Event(FeedName::Coordinator, Box::new(coordinator)));
    let began = model.coordinator.began.expect("it is told");
    assert!(model.coordinator.since.latest() >= began, "{:?}", model.coordinator);
}

/// What was missed stays in the strip, whatever a node that goes on sends at once.
#[test]
fn a_burst_of_heartbeats_hides_no_silence() {
    let mut model = late(&snapshots(), false);
    let mut beat = recorded("calm").into_iter().find_map(|(_, fed)| match fed {
        Fed::Event(FeedName::Coordinator, event) if matches!(event.body, Body::Heartbeat(_)) => {
            Some(event)
        }
        _ => None,
    });
    let beat = beat.as_mut().expect("it is told");
    let Body::Heartbeat(told) = &mut beat.body else { panic!("no heartbeat") };
    told.figures.interval_ms = 500;
    let name = told.node.as_str().to_owned();
    let stamp = beat.at_us;
    let mut send = |model: &mut Model, after_ms: u64| {
        beat.seq += 1_000;
        beat.at_us = stamp + after_ms * 1_000;
        let at = At::after_us(1_000_000 + after_ms * 1_000);
        model.apply(at, &Fed::Event(FeedName::Coordinator, beat.clone()));
    };
    (0..10).for_each(|n| send(&mut model, n * 500));
    // Of twenty seconds in which it stood still, nobody told.
    (0..40).for_each(|n| send(&mut model, 24_500 + 2 * n));
    let beats = &model.nodes[&name].beats;
    let missed = beats.iter().filter(|beat| **beat == Beat::Missed).count();
    assert!((38..=40).contains(&missed), "{missed} of {beats:?}");
    assert!(matches!(beats.back(), Some(Beat::Came(_))) && beats[beats.len() - 2] == Beat::Missed);
}
