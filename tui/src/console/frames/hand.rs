//! Clusters that are made by hand, for what no recording holds: one node, many, odd names.

use protocol::event;
use serde_json::{Value, json};

use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::recording::{self, Feed};
use crate::console::state::{Console, Input, Settings};

/// The lines of a recording.
pub(super) fn lines(name: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/recordings");
    let text = std::fs::read_to_string(format!("{path}/{name}.ndjson")).expect("a recording");
    text.lines().map(str::to_owned).collect()
}

/// What such lines feed.
pub(super) fn fed(lines: &[String]) -> Vec<(At, Fed)> {
    let bytes = lines.join("\n").into_bytes();
    let (_, records) = recording::read(&bytes).expect("a recording");
    records.into_iter().map(<(At, Fed)>::from).collect()
}

/// The first event of a recording that fits, as JSON.
fn first(feed: Feed, event: &str) -> Value {
    let lines = lines("calm");
    let mut values = lines[1..].iter().map(|line| serde_json::from_str::<Value>(line));
    let fits = |value: &Value| value["feed"] == feed.as_str() && value["line"]["event"] == event;
    values.find_map(|value| value.ok().filter(fits)).expect("there is one")["line"].take()
}

/// A console that is told an event.
pub(super) fn tell(console: &mut Console, at_ms: u64, feed: FeedName, event: &Value) {
    let line = event.to_string();
    let event = Box::new(event::decode(line.as_bytes()).expect("an event"));
    console.handle(At::after_us(at_ms * 1_000), Input::Fed(Fed::Event(feed, event)));
}

pub(super) fn link(console: &mut Console, at_ms: u64, feed: FeedName, state: FeedState) {
    console.handle(At::after_us(at_ms * 1_000), Input::Fed(Fed::Link(feed, state)));
}

/// A console that was told of a cluster of these nodes, all well, and of a heartbeat of each.
pub(super) fn cluster(names: &[String]) -> Console {
    let mut console = Console::new(Settings { own_name: "recorder".into(), ..Settings::default() });
    for feed in [FeedName::Coordinator, FeedName::Supervisor] {
        link(&mut console, 0, feed, FeedState::Live);
    }
    let step = u64::MAX / names.len() as u64;
    let hash = |at: usize| format!("{:016x}", step * (at as u64 + 1));
    let mut snapshot = first(Feed::Coordinator, "snapshot");
    let status = &mut snapshot["status"];
    let node = status["nodes"][0].clone();
    let one = |(at, name): (usize, &String)| {
        let mut node = node.clone();
        node["name"] = json!(name);
        node["id"] = json!(hash(at));
        node
    };
    status["nodes"] = names.iter().enumerate().map(one).collect();
    status["cluster"]["nodes"] = json!(names.len());
    status["cluster"]["replicas"] = json!(names.len().min(2));
    let point = |(at, name)| json!({"hash": hash(at), "node": name});
    status["ring"]["points"] = names.iter().enumerate().map(point).collect();
    tell(&mut console, 1, FeedName::Coordinator, &snapshot);
    let mut procs = first(Feed::Supervisor, "snapshot");
    let coordinator = procs["procs"][0].clone();
    let of = |name: &str| {
        let mut process = coordinator.clone();
        process["name"] = json!(name);
        if name != "coordinator" {
            process["pid"] = node["pid"].clone();
        }
        process
    };
    let all = ["coordinator"].into_iter().chain(names.iter().map(String::as_str));
    procs["procs"] = all.map(of).collect();
    tell(&mut console, 1, FeedName::Supervisor, &procs);
    let mut beat = first(Feed::Coordinator, "heartbeat");
    for (at, name) in names.iter().enumerate() {
        beat["node"] = json!(name);
        beat["incarnation"] = node["incarnation"].clone();
        beat["seq"] = json!(10 + at);
        beat["delay_us"] = json!(at * 7_000);
        tell(&mut console, 100 + at as u64, FeedName::Coordinator, &beat);
    }
    let copies = json!({"event": "copies", "seq": 900, "source": "coordinator",
        "by_live_copies": {names.len().min(2).to_string(): 5_120}, "unwritable": 0});
    tell(&mut console, 400, FeedName::Coordinator, &copies);
    console.handle(At(500_000), Input::Tick);
    console
}

/// Nodes called `n1`, `n2` and so on.
pub(super) fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("n{n}")).collect()
}
