//! Tests of what is said before a server is taken away.

use protocol::event::Body;
use serde_json::{Value, json};

use super::*;
use crate::console::effect::Effect;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName};
use crate::console::state::{Console, Input};
use crate::console::testing::{moment, played};

/// Tells an event, a little later than the last.
fn tell(console: &mut Console, mut line: Value) {
    let source = line["source"].as_str().unwrap_or("coordinator").to_owned();
    line["source"] = json!(source);
    line["seq"] = json!(90_000 + console.model.record.total());
    let feed = match source.as_str() {
        "coordinator" => FeedName::Coordinator,
        _ => FeedName::Supervisor,
    };
    let event = protocol::event::decode(line.to_string().as_bytes()).expect("an event");
    let at = At(console.model.now.0 + 1_000);
    console.handle(at, Input::Fed(Fed::Event(feed, Box::new(event))));
}

fn becomes(console: &mut Console, node: &str, from: &str, to: &str) {
    tell(
        console,
        json!({"event": "member_state", "node": node, "from": from, "to": to,
            "reason": "tcp_reset", "ring_share": 0.2, "reads_by": []}),
    );
}

/// A ring without that node is in force, and nothing is learned.
fn evicted(console: &mut Console, node: &str) {
    let points = console.model.ring.points.iter().filter(|point| point.node != node);
    let points = points
        .map(|point| json!({"hash": format!("{:016x}", point.hash), "node": point.node}))
        .collect::<Vec<_>>();
    let ring = json!({"event": "ring_epoch", "ring": {"epoch": 1, "counter": 99},
        "points": points, "moves": []});
    tell(console, ring);
}

/// Five nodes, two copies of each key, who is silent for 10 s is evicted.
fn five() -> Console {
    let mut console = played("calm", 6_000);
    let cluster = console.model.cluster.as_mut().expect("it is told");
    cluster.evict_after_ms = Some(10_000);
    assert_eq!((cluster.replicas, console.model.ring.shares().len()), (2, 5));
    console
}

/// The node behind that one on the ring.
fn next_of(console: &Console, node: &str) -> String {
    let point = console.model.ring.points.iter().find(|point| point.node == node);
    let hash = point.expect("it has a place").hash;
    console.model.ring.walk(hash)[1].node.clone()
}

fn said(console: &Console, node: &str) -> String {
    of_losing(&console.model, node, "Back.").join(" ")
}

fn has(text: &str, words: &[&str], not: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    for word in not {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}

#[test]
fn an_evicted_node_holds_nothing_that_another_would_miss() {
    let mut console = five();
    becomes(&mut console, "n4", "up", "down");
    evicted(&mut console, "n4");
    let text = said(&console, "n5");
    has(&text, &["Its keys will have one copy: they can be read", "After 10 s others"], &["n4"]);
    has(&said(&console, "n4"), &["no place on the ring: no key loses a copy"], &["one copy"]);
}

#[test]
fn of_two_neighbours_the_second_takes_the_last_copy() {
    let mut console = five();
    becomes(&mut console, "n3", "up", "down");
    let neighbour = next_of(&console, "n3");
    let text = said(&console, &neighbour);
    let cannot = "Others cannot get its place until it or n3 is back.";
    has(
        &text,
        &["n3 is away already: ", "% of the keys, which only they hold", cannot],
        &["After"],
    );
    // Whoever shares no key with it is not concerned.
    let names = console.model.nodes.keys().cloned().collect::<Vec<_>>();
    let shares = |name: &String| {
        let parts = console.model.parts().expect("nothing moves");
        let both = |one: &str| {
            parts.iter().any(|part| {
                [name, one].iter().all(|node| part.holders.iter().any(|holder| holder == *node))
            })
        };
        both("n3")
    };
    let far = names.iter().find(|name| !shares(name)).expect("five nodes");
    has(&said(&console, far), &["Its keys will have one copy", "After 10 s"], &["n3"]);
}

/// What is being copied is no copy yet, and what is given away is one still.
#[test]
fn who_learns_has_no_whole_copy() {
    let evicted = moment("evict", 0, |body| matches!(body, Body::Transfer(_)));
    let model = played("evict", evicted).model;
    let parts = model.parts().expect("it is told what is learned");
    assert!((parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9);
    let learned: Vec<&Part> = parts.iter().filter(|part| !part.learners.is_empty()).collect();
    assert!(!learned.is_empty());
    for part in learned {
        assert!(part.learners.iter().all(|node| !part.holders.contains(node)), "{part:?}");
        assert!(part.holders.iter().any(|node| model.is_there(node)), "{part:?}");
    }
}

#[test]
fn too_few_that_are_left_give_no_place_to_others() {
    let mut console = five();
    becomes(&mut console, "n3", "up", "down");
    let second = next_of(&console, "n3");
    becomes(&mut console, &second, "up", "down");
    // Two further on, so that it shares no key with either of them.
    let third = next_of(&console, &second);
    let text = said(&console, &next_of(&console, &third));
    let cannot = "Others cannot get its place: 2 would be there to agree, and 3 must.";
    has(&text, &["Its keys will have one copy", cannot], &["After"]);
}

#[test]
fn who_is_away_already_has_no_copy_to_lose_and_is_brought_back_unasked() {
    let mut console = five();
    tell(
        &mut console,
        json!({"event": "proc", "source": "supervisor", "name": "n3", "state": "paused"}),
    );
    becomes(&mut console, "n3", "up", "suspect");
    becomes(&mut console, "n3", "suspect", "down");
    console.model.tick(At(console.model.now.0 + 8_400_000));
    let text = said(&console, "n3");
    has(
        &text,
        &["It is away already: its keys have one copy", "In 1.5 s others"],
        &["will have", "After"],
    );
    evicted(&mut console, "n3");
    assert!(console.model.nodes["n3"].is_evicted());
    console.selected = "n3".into();
    let key = Input::Key(crate::prompt::Key::Char('R'));
    let effects = console.handle(console.model.now, key);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Process(_))), "{effects:?}");
    assert!(console.overlay.is_none());
}
