//! Tests of the fold: what recordings of a real cluster come to, and what must hold whatever comes.

use protocol::event::{Body, Event};

use super::clock::At;
use super::feed::{Fed, FeedName, FeedState};
use super::node::{BEATS_MAX, Beat};
use super::story::{INCIDENTS_MAX, Step, Weight};
use super::*;
use crate::console::testing::{played, recorded};

const RECORDINGS: &[&str] = &[
    "calm",
    "kill",
    "crash",
    "pause",
    "coordinator",
    "coordinator-killed",
    "recovering",
    "doubt",
    "cache",
    "lagged",
    "gave-up",
    "evict",
    "add",
    "remove",
    "rot",
    "unreadable",
    "orders",
];

fn folded(fed: &[(At, Fed)]) -> Model {
    let mut model = Model::new("recorder");
    fed.iter().for_each(|(at, one)| model.apply(*at, one));
    model
}

/// A generator of numbers, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// What must hold of a model whatever has come.
fn check(model: &Model, what: &str) {
    assert!(model.story.all().count() <= INCIDENTS_MAX, "{what}");
    for incident in model.story.all() {
        let steps = &incident.steps;
        let forward = steps
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1.latest() <= pair[1].1.latest());
        assert!(forward, "{what}: {incident:?}");
        let healthy = incident.last() == Step::Healthy;
        assert!(!healthy || incident.closed.is_some(), "{what}: {incident:?}");
        assert!(
            incident.resolved.0 + incident.resolved.1 <= incident.doubts,
            "{what}: {incident:?}"
        );
    }
    let open: Vec<&str> = model.story.open().map(|one| one.server.as_str()).collect();
    let mut servers = open.clone();
    servers.sort_unstable();
    servers.dedup();
    assert_eq!(servers.len(), open.len(), "{what}: one open incident a server");
    assert!(model.nodes.values().all(|node| node.beats.len() <= BEATS_MAX), "{what}");
    assert!(model.txns.past().count() <= txns::PAST_MAX, "{what}");
    assert!(model.record.control().count() <= record::CONTROL_MAX, "{what}");
    let told = model.told();
    assert!(!told.headline.is_empty() && !told.headline[0].is_empty(), "{what}");
    let numbers: Vec<u64> = model.record.all().map(|entry| entry.no).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] > pair[1]), "{what}");
    model.record.all().take(200).for_each(|entry| {
        assert!(!sentence::sentence(entry).text.is_empty(), "{what}: {entry:?}");
    });
}

#[test]
fn every_recording_ends_well() {
    for name in RECORDINGS {
        let fed = recorded(name);
        let end = fed.last().unwrap().0.us() / 1_000;
        let model = &played(name, end).model;
        check(model, name);
        let told = model.told();
        if *name == "orders" {
            // The last order stops all.
            assert_eq!(told.weight, Weight::Alarm, "{told:?}");
            continue;
        }
        assert!(told.weight <= Weight::Healed, "{name}: {told:?}");
        let nodes = match *name {
            "add" => 6,
            "remove" => 4,
            _ => 5,
        };
        assert_eq!(model.nodes_up(), (nodes, nodes), "{name}");
        assert!(!model.moving.is_under_way(), "{name}");
        assert_eq!(model.story.open().count(), 0, "{name}: {told:?}");
        let incidents: Vec<&str> = model.story.all().map(|one| one.server.as_str()).collect();
        let expected = match *name {
            "calm" | "cache" => 0..=0,
            // A reader that reads nothing hears nothing.
            "lagged" => 0..=1,
            // Several servers, or one again and again.
            "recovering" | "doubt" | "gave-up" | "unreadable" => 2..=8,
            // It is gone, and comes back.
            "evict" => 2..=2,
            _ => 1..=1,
        };
        assert!(expected.contains(&incidents.len()), "{name}: {incidents:?}");
    }
}

#[test]
fn duplicates_change_nothing() {
    for name in RECORDINGS {
        let fed = recorded(name);
        let twice: Vec<(At, Fed)> = fed.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
        let is_snapshot = |fed: &Fed| {
            let body = match fed {
                Fed::Event(_, event) => Some(&event.body),
                _ => None,
            };
            matches!(body, Some(Body::Snapshot(_) | Body::ProcsSnapshot(_)))
        };
        // A snapshot is never a duplicate: it begins anew, and may be told at any point.
        let count = fed.iter().filter(|(_, one)| is_snapshot(one)).count() as u64;
        let (once, twice) = (folded(&fed), folded(&twice));
        assert_eq!(once.record.total() + count, twice.record.total(), "{name}");
        assert_eq!(once.told(), twice.told(), "{name}");
        let beats =
            |model: &Model| model.nodes.values().map(|n| n.beats.clone()).collect::<Vec<_>>();
        assert_eq!(beats(&once), beats(&twice), "{name}");
        let rows = |model: &Model| model.txns.past().map(|row| row.txn.clone()).collect::<Vec<_>>();
        assert_eq!(rows(&once), rows(&twice), "{name}");
    }
}

#[test]
fn the_same_things_make_the_same_model_from_any_point_on() {
    for name in RECORDINGS {
        let fed = recorded(name);
        let whole = format!("{:?}", folded(&fed));
        for part in 1..4 {
            let (before, after) = fed.split_at(fed.len() * part / 4);
            let mut model = folded(before).clone();
            after.iter().for_each(|(at, one)| model.apply(*at, one));
            assert_eq!(format!("{model:?}"), whole, "{name}");
        }
    }
}

/// Any order, gaps, duplicates, lost links and snapshots at any point.
#[test]
fn whatever_comes_the_model_holds() {
    let all: Vec<(At, Fed)> = RECORDINGS.iter().flat_map(|name| recorded(name)).collect();
    let snapshots: Vec<&(At, Fed)> = all
        .iter()
        .filter(|(_, fed)| match fed {
            Fed::Event(_, event) => {
                matches!(event.body, Body::Snapshot(_) | Body::ProcsSnapshot(_))
            }
            _ => false,
        })
        .collect();
    for seed in 1..=60_u64 {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut model = Model::new("recorder");
        let mut place = draw.below(all.len());
        let mut now = At(0);
        for _ in 0..2_000 {
            now = At(now.0 + draw.below(20_000) as i64);
            let (_, fed) = match draw.below(20) {
                0 => snapshots[draw.below(snapshots.len())],
                1..3 => &all[draw.below(all.len())],
                3 => {
                    let name = [FeedName::Coordinator, FeedName::Supervisor][draw.below(2)];
                    let state = match draw.below(3) {
                        0 => FeedState::Live,
                        1 => FeedState::Connecting,
                        _ => FeedState::Lost("cut".into()),
                    };
                    model.apply(now, &Fed::Link(name, state));
                    continue;
                }
                4 => {
                    model.tick(now);
                    continue;
                }
                // A gap, now and then.
                5 => {
                    place += draw.below(50);
                    continue;
                }
                _ => {
                    place += 1;
                    &all[place % all.len()]
                }
            };
            model.apply(now, fed);
        }
        check(&model, &format!("seed {seed}"));
    }
}

#[test]
fn a_kill_is_told_in_words_until_all_is_well() {
    let fed = recorded("kill");
    let at = |wanted: &dyn Fn(&Event) -> bool| {
        let found = fed.iter().find(|(_, one)| match one {
            Fed::Event(_, event) => wanted(event),
            _ => false,
        });
        found.expect("it is recorded").0.us() / 1_000
    };
    let down = at(&|event| match &event.body {
        Body::MemberState(change) => change.to == protocol::status::NodeState::Down,
        _ => false,
    });
    let told = played("kill", down + 500).model.told();
    let headline = told.headline.join(" · ");
    for words in
        ["n3 was killed (kill -9)", "ago", "n4 now answers", "one copy and cannot be written"]
    {
        assert!(headline.contains(words), "{headline}");
    }
    assert_eq!(told.weight, Weight::Alarm);
    let end = fed.last().unwrap().0.us() / 1_000;
    let told = played("kill", end).model.told();
    assert!(told.headline[0].contains("n3"), "{told:?}");
}

/// A fault that was ordered for teaching is named where it is what happened.
#[test]
fn an_injected_fault_is_named_as_the_cause() {
    let fed = recorded("doubt");
    let mut model = Model::new("recorder");
    let mut said: Vec<String> = Vec::new();
    for (at, one) in &fed {
        model.apply(*at, one);
        said.extend(model.told().headline.first().cloned());
    }
    let told = |what: &str, fault: &str| {
        said.iter().any(|one| one.contains(what) && one.contains(&format!("(injected: {fault})")))
    };
    assert!(told("n3 has been silent", "drop_heartbeats, sync_delay_ms"), "{said:#?}");
    assert!(told("n3 was paused", "stop_after"), "{said:#?}");
    assert!(!said.iter().any(|one| one.contains("killed") && one.contains("injected")));
}

/// What was not told while there was no coordinator is no zero, and time goes on meanwhile.
#[test]
fn throughput_has_a_gap_while_there_is_no_coordinator() {
    let console = played("coordinator", 12_000);
    let values = console.model.figures.ops_history.values();
    let known: Vec<bool> = values.iter().map(Option::is_some).collect();
    let changes: Vec<bool> = known.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    let expected = [false, true, false, true];
    assert!(expected.ends_with(&changes), "{known:?}");
    let gap = known.iter().rev().skip_while(|known| **known).take_while(|known| !**known).count();
    assert!(gap >= 3, "{known:?}");
    let told = recorded("coordinator").into_iter().filter(
        |(_, fed)| matches!(fed, Fed::Event(_, event) if matches!(event.body, Body::Stats(_))),
    );
    let at: Vec<At> = told.map(|(at, _)| at).collect();
    let ms = at[at.len() - 1].ms_since(at[0]);
    assert!((values.len() as u64).abs_diff(ms / 500 + 1) <= 1, "{} in {ms} ms", values.len());
}

#[test]
fn of_snapshots_only_the_newest_are_kept() {
    let fed = recorded("calm");
    let mut model = folded(&fed);
    let is_snapshot =
        |fed: &Fed| matches!(fed, Fed::Event(_, event) if matches!(event.body, Body::Snapshot(_)));
    let (_, snapshot) = fed.iter().find(|(_, one)| is_snapshot(one)).expect("it begins with one");
    let changes = model.record.control().count();
    for _ in 0..2 * record::SNAPSHOTS_MAX {
        model.apply(model.now, snapshot);
    }
    // One of the supervisor's was among them from the beginning.
    assert!(model.record.control().count() <= changes + record::SNAPSHOTS_MAX);
    check(&model, "snapshots");
}

#[test]
fn what_the_console_leaves_out_is_counted() {
    let mut model = folded(&recorded("calm"));
    let before = model.coordinator_feed.dropped();
    model.apply(model.now, &Fed::Dropped(FeedName::Coordinator, 7));
    assert_eq!(model.coordinator_feed.dropped(), before + 7);
}

/// What a live cluster cannot help showing: figures that differ. A feed with constants in their
/// place is told from it.
fn is_alive(fed: &[(At, Fed)]) -> Result<(), String> {
    let events = || {
        fed.iter().filter_map(|(_, one)| match one {
            Fed::Event(FeedName::Coordinator, event) => Some(event),
            _ => None,
        })
    };
    let distinct = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    let delays = events().filter_map(|event| match &event.body {
        Body::Heartbeat(beat) => Some(beat.delay_us),
        _ => None,
    });
    let delays = distinct(delays.collect());
    if delays < 10 {
        return Err(format!("only {delays} different delays of heartbeats"));
    }
    let txns = || {
        events().filter_map(|event| match &event.body {
            Body::Txn(txn) => Some(txn),
            _ => None,
        })
    };
    let votes = distinct(txns().flat_map(|txn| &txn.votes).filter_map(|v| v.recv_us).collect());
    if votes < 10 {
        return Err(format!("only {votes} different times of votes"));
    }
    for vote in txns().flat_map(|txn| &txn.votes) {
        let (Some(sent), Some(came), Some(node)) = (vote.sent_us, vote.recv_us, vote.node_us)
        else {
            continue;
        };
        // Clocks are read once a turn: what took the node longer than the way there and back
        // cannot be.
        let there = node.queue + node.append + node.sync;
        if there > came.saturating_sub(sent) + 1_000 {
            return Err(format!("{} us at {} of {} us in all", there, vote.node, came - sent));
        }
    }
    Ok(())
}

#[test]
fn constants_in_place_of_figures_are_noticed() {
    let fed = recorded("calm");
    is_alive(&fed).unwrap();
    let spoilt = |spoil: &dyn Fn(&mut Body)| {
        let mut fed = fed.clone();
        for (_, one) in &mut fed {
            if let Fed::Event(_, event) = one {
                spoil(&mut event.body);
            }
        }
        is_alive(&fed)
    };
    let why = spoilt(&|body| {
        if let Body::Heartbeat(beat) = body {
            beat.delay_us = 200;
        }
    });
    assert!(why.unwrap_err().contains("heartbeats"));
    let why = spoilt(&|body| {
        if let Body::Txn(txn) = body {
            txn.votes.iter_mut().for_each(|vote| vote.recv_us = Some(1_500));
        }
    });
    assert!(why.unwrap_err().contains("votes"));
    let strips = |fed: &[(At, Fed)]| {
        let model = folded(fed);
        model.nodes.values().map(|node| node.beats.clone()).collect::<Vec<_>>()
    };
    let shown = strips(&fed);
    let came = shown.iter().flatten().filter(|beat| matches!(beat, Beat::Came(_))).count();
    assert!(came > 30, "{came} heartbeats are shown");
}
