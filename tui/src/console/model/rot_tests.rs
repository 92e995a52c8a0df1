//! Tests of what is told of copies that are wrong: out of recordings of a cluster whose disk rots.

use protocol::event::{Body, DivergenceKind};

use super::feed::{Fed, FeedName};
use super::story::{StepView, Told, Weight};
use super::*;
use crate::console::testing::{moment, played, recorded};

/// What is told of a kind: found, or right again with keys, or right again without.
fn told(kind: DivergenceKind, is_repaired: bool, has_keys: bool) -> impl Fn(&Body) -> bool {
    move |body| {
        matches!(body, Body::Divergence(told) if told.kind == kind
            && (told.repaired > 0) == is_repaired
            && (!is_repaired || told.keys.is_empty() != has_keys))
    }
}

fn has(told: &Told, words: &[&str]) {
    let text =
        format!("{} {:?} {}", told.headline.join(" · "), told.chain, told.advice.join(" · "));
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

/// The first key that is wrong in this way.
fn key(model: &Model, kind: DivergenceKind) -> String {
    let found = model.damage.all().find(|found| found.told.kind == kind).expect("it is known");
    found.told.keys[0].as_str().to_owned()
}

#[test]
fn copies_that_are_wrong_are_told_until_they_are_mended() {
    use DivergenceKind::{Checksum, Hash};
    let found = moment("rot", 0, told(Hash, false, true)) + 400;
    let found = found.max(moment("rot", 0, told(Checksum, false, true)) + 400);
    let console = played("rot", found);
    let model = &console.model;
    let (damaged, changed) = (key(model, Checksum), key(model, Hash));
    let story = model.told();
    assert_eq!(story.weight, Weight::Alarm);
    assert_eq!(story.headline[0], format!("n2 has a damaged record of {damaged}"));
    let also = format!("also: the copies of {changed} on ");
    has(&story, &[&also, "it is never served: other copies are", "range ", "the arc of "]);
    has(&story, &["Now(\"run: piazza admin repair\")", "whole again", "--copies"]);
    assert!(!model.is_well());
    assert_eq!(model.what_rots_at("n2").as_deref(), Some("a damaged record, a copy that differs"));

    let repaired = moment("rot", 0, told(Checksum, true, false)) + 400;
    let console = played("rot", repaired);
    let story = console.model.told();
    assert_eq!(story.weight, Weight::Alarm);
    assert!(story.headline[0].starts_with(&format!("the copies of {changed} on ")), "{story:?}");
    assert!(story.headline[0].contains("n2") && story.headline[0].ends_with(" differ"));
    has(&story, &["nothing says which is right", "write it again: repair cannot know which"]);
    assert_eq!(console.model.damage.all().count(), 1);

    let over = moment("rot", 0, told(Hash, true, false)) + 400;
    let story = played("rot", over).model.told();
    assert_eq!(story.weight, Weight::Healed);
    has(&story, &[&format!("healed: the copies of {changed} on "), "alike again"]);
}

#[test]
fn what_was_replaced_is_told() {
    let replaced = |body: &Body| told(DivergenceKind::Checksum, true, true)(body);
    let console = played("rot", moment("rot", 0, replaced));
    let (_, righted) = console.model.damage.righted().expect("it was told");
    assert_eq!(righted.keys.len(), 1, "{righted:?}");
}

/// A console that begins with the snapshot knows what one knows that saw it happen.
#[test]
fn who_comes_later_is_told_the_same() {
    let fed = recorded("rot");
    let snapshot = |fed: &Fed| {
        matches!(fed, Fed::Event(FeedName::Coordinator, event)
            if matches!(&event.body, Body::Snapshot(told) if !told.incidents_open.is_empty()))
    };
    let place = fed.iter().position(|(_, fed)| snapshot(fed)).expect("one with incidents");
    let (mut early, mut late) = (Model::new("early"), Model::new("late"));
    fed[..=place].iter().for_each(|(at, one)| early.apply(*at, one));
    fed[place - 1..=place].iter().for_each(|(at, one)| late.apply(*at, one));
    assert_eq!(early.damage.all().count(), 2);
    let known = |model: &Model| model.damage.all().map(|one| one.told.clone()).collect::<Vec<_>>();
    assert_eq!(known(&late), known(&early));
    let since: Vec<bool> = late.damage.all().map(|one| one.since.is_found()).collect();
    assert_eq!(since, [true, true], "nobody knows for how long");
    assert!(early.damage.all().all(|one| !one.since.is_found()));
}

#[test]
fn another_ring_makes_void_what_was_told_of_stretches_that_are_no_more() {
    let found = moment("rot", 0, told(DivergenceKind::Checksum, false, true)) + 400;
    let mut model = played("rot", found).model;
    assert!(model.damage.all().next().is_some());
    let points = model.ring.points.iter().map(
        |point| serde_json::json!({"hash": format!("{:016x}", point.hash), "node": point.node}),
    );
    let points: Vec<serde_json::Value> = points.collect();
    let mut ring = |seq: u64, points: &[serde_json::Value]| {
        let line = serde_json::json!({"event": "ring_epoch", "seq": seq, "source": "coordinator",
            "ring": {"epoch": 1, "counter": seq}, "points": points, "moves": []});
        let event = protocol::event::decode(line.to_string().as_bytes()).expect("an event");
        model.apply(model.now, &Fed::Event(FeedName::Coordinator, Box::new(event)));
        model.damage.all().count()
    };
    assert!(ring(90_000, &points) > 0, "nothing has moved");
    assert_eq!(ring(90_001, &points[..1]), 0);
}

#[test]
fn a_disk_that_cannot_be_read_is_told_with_what_to_do() {
    let found = moment("unreadable", 0, told(DivergenceKind::Unreadable, false, false)) + 400;
    let story = played("unreadable", found).model.told();
    assert_eq!(story.weight, Weight::Alarm);
    assert_eq!(story.headline[0], "n2 cannot read part of its keystore");
    let does = StepView::Now("stop it, evict it, empty its directory, start it".into());
    assert_eq!(story.chain[1], does);
}
