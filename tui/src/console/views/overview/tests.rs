//! Tests of the view of the overview.

use std::sync::Arc;

use protocol::event::{self, Body, Event};
use protocol::ids::NodeName;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::console::action::ViewName;
use crate::console::effect::Effect;
use crate::console::look::Look;
use crate::console::model::Model;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{frame, played, press, recorded};
use crate::text as safe;

/// What a text would do to a terminal that obeys it.
const HOSTILE: &str = "\u{1b}[31m\u{202e}漢字\u{200b}e\u{301}\t\u{7}\u{85}";

fn seen<'a>(model: &'a Model, look: &'a Look, selected: &'a str, compact: bool) -> Seen<'a> {
    Seen { model, look, selected, compact, read_only: false }
}

fn drawn(seen: &Seen<'_>, columns: u16, rows: u16) -> Buffer {
    let area = Rect::new(0, 0, columns, rows);
    let mut buf = Buffer::empty(area);
    State::default().draw(seen, area, &mut buf);
    buf
}

/// Small sizes, one by one, and larger ones here and there.
fn sizes() -> impl Iterator<Item = (u16, u16)> {
    let columns = (0..8).chain((8..130).step_by(17));
    let plain = columns
        .flat_map(|columns| (0..8).chain((8..41).step_by(8)).map(move |rows| (columns, rows)));
    plain.chain([(80, 19), (119, 29), (120, 30), (130, 40), (250, 90)])
}

/// Draws it at all sizes, full and compact, and looks at every cell.
fn at_all_sizes(model: &Model, selected: &str) {
    for look in [Look::default(), Look::choose(None, true, None, true)] {
        for compact in [false, true] {
            let seen = seen(model, &look, selected, compact);
            for (columns, rows) in sizes() {
                let buf = drawn(&seen, columns, rows);
                for cell in &buf.content {
                    assert_eq!(safe::shown(cell.symbol()), cell.symbol(), "{columns}x{rows}");
                    assert!(!look.glyphs.ascii || cell.symbol().is_ascii(), "{:?}", cell.symbol());
                }
            }
        }
    }
}

fn fed(console: &mut Console, at_ms: u64, feed: FeedName, line: &str) {
    let event = Box::new(event::decode(line.as_bytes()).unwrap());
    console.handle(At::after_us(at_ms * 1_000), Input::Fed(Fed::Event(feed, event)));
}

#[test]
fn every_size_has_a_picture_whatever_is_known() {
    at_all_sizes(&Model::default(), "n1");
    for (name, until) in [("kill", 4_000), ("coordinator-killed", 3_000), ("pause", 4_000)] {
        at_all_sizes(&played(name, until).model, "n3");
    }
}

#[test]
fn texts_from_outside_are_only_shown() {
    let mut console = played("kill", 4_000);
    for (at, text) in [HOSTILE, "", "אבג"].into_iter().enumerate() {
        let text = serde_json::to_string(text).unwrap();
        let line = format!(
            concat!(
                r#"{{"event":"proc","seq":{},"source":"supervisor","name":"n3","#,
                r#""state":"gave_up","by":{text},"last_lines":[{text}]}}"#,
            ),
            900 + at,
            text = text
        );
        fed(&mut console, 4_100, FeedName::Supervisor, &line);
        let line = format!(
            concat!(
                r#"{{"event":"member_state","seq":{},"source":"coordinator","node":"n2","#,
                r#""from":"up","to":"suspect","reason":{text},"hint":{text}}}"#,
            ),
            9_000 + at,
            text = text
        );
        fed(&mut console, 4_100, FeedName::Coordinator, &line);
        for selected in ["n2", "n3"] {
            at_all_sizes(&console.model, selected);
        }
    }
}

#[test]
fn a_server_that_is_away_says_why_and_what_brings_it_back() {
    let mut console = played("kill", 4_000);
    console.selected = "n3".into();
    for (columns, rows) in [(120, 36), (80, 24)] {
        let text = frame(&console, columns, rows);
        assert!(text.contains("▸ n3          ✗ DOWN"), "{text}");
        assert!(text.contains(&"x".repeat(3)), "{text}");
        assert!(text.contains("killed (kill -9) by "), "{text}");
        assert!(text.contains("ago · R starts it"), "{text}");
    }
    console.selected = "n4".into();
    assert!(frame(&console, 120, 36).contains("answers reads for n3"));
    let later = frame(&played("kill", 5_500), 120, 36);
    assert!(later.contains("xxxxx"), "missed heartbeats go on while a node is down: {later}");
    let back = frame(&played("kill", 7_000), 120, 36);
    assert!(back.contains("n3          ● UP") && !back.contains("R starts it"), "{back}");
}

#[test]
fn a_paused_node_is_paused_in_words() {
    let console = played("pause", 4_000);
    let text = frame(&console, 120, 36);
    assert!(text.contains("‖ PAUSED") && text.contains("P lets it go on"), "{text}");
    assert!(text.contains(&"x".repeat(3)), "{text}");
}

#[test]
fn a_returning_node_tells_its_step() {
    let mut console = played("kill", 4_000);
    let line = concat!(
        r#"{"event":"member_recovery","seq":9000,"source":"coordinator","node":"n3","#,
        r#""phase":"copy","done":12,"total":3400,"ms":140}"#,
    );
    fed(&mut console, 4_100, FeedName::Coordinator, line);
    let text = frame(&console, 120, 36);
    assert!(
        text.contains("copies what it missed: 12 of 3,400, 140 ms after its first step"),
        "{text}"
    );
}

#[test]
fn a_lost_coordinator_leaves_the_last_picture_and_live_processes() {
    let mut console = played("kill", 4_000);
    let lost = FeedState::Lost("it closed the connection".into());
    console.handle(At(4_100_000), Input::Fed(Fed::Link(FeedName::Coordinator, lost)));
    console.handle(At(9_000_000), Input::Tick);
    let text = frame(&console, 120, 36);
    let age = console.model.stale_ms().unwrap();
    assert!(text.contains(&format!("the last picture, {} old", ago(age))), "{text}");
    assert!(text.contains("the processes are live"), "{text}");
    assert!(text.contains("? LOST"), "{text}");
    assert!(
        text.contains(" runs, 0 restarts") && text.contains("live, from its supervisor"),
        "{text}"
    );
    assert!(text.contains("reads ?  writes ?"), "what is not known is no 0: {text}");
    let look = Look::default();
    let buf = drawn(&seen(&console.model, &look, "coordinator", false), 120, 30);
    let stale = look.style(Tone::Stale).fg;
    let at = |x: u16, y: u16| [x, x + 1].map(|x| buf[(x, y)].symbol());
    let (x, y) = (0..19)
        .flat_map(|y| (0..80).map(move |x| (x, y)))
        .find(|(x, y)| at(*x, *y) == ["n", "1"])
        .unwrap();
    assert_eq!(buf[(x, y)].fg, stale.unwrap());
    // Nothing more is known of when a node was heard.
    assert!(!text.contains("5.0 s    #1"), "{text}");
}

#[test]
fn selection_moves_by_name_and_stays_within_bounds() {
    let mut console = played("kill", 4_000);
    console.size = (120, 36);
    press(&mut console, "kkkkk");
    assert_eq!(console.selected, "coordinator");
    press(&mut console, "jj");
    assert_eq!(console.selected, "n2");
    press(&mut console, "G");
    assert_eq!(console.selected, "n5");
    press(&mut console, "jj");
    assert_eq!(console.selected, "n5");
    press(&mut console, "g\n");
    assert_eq!((console.selected.as_str(), console.view), ("coordinator", ViewName::Cache));
}

#[test]
fn a_click_selects_the_server_that_is_drawn_there() {
    for size in [(120, 36), (80, 24)] {
        let mut console = played("kill", 4_000);
        console.size = size;
        let text = frame(&console, size.0, size.1);
        let y = text.lines().position(|row| row.contains(" n4  ")).unwrap();
        console.handle(console.model.now, Input::Pointed(Pointed::Click(5, y as u16)));
        assert_eq!(console.selected, "n4", "{size:?}");
        console.handle(console.model.now, Input::Pointed(Pointed::Wheel(5, 7, false)));
        assert_eq!(console.selected, "n3", "{size:?}");
    }
}

#[test]
fn of_many_servers_the_selected_one_is_to_be_seen() {
    let mut console = Console::new(Settings::default());
    console.handle(At(0), Input::Fed(Fed::Link(FeedName::Coordinator, FeedState::Live)));
    for n in 0..300 {
        let line = format!(
            concat!(
                r#"{{"event":"member_state","seq":{n},"source":"coordinator","#,
                r#""node":"node-{n:03}","from":"up","to":"up","reason":"registered"}}"#,
            ),
            n = n
        );
        fed(&mut console, 100, FeedName::Coordinator, &line);
    }
    for selected in ["coordinator", "node-000", "node-150", "node-299"] {
        console.selected = selected.into();
        for (columns, rows) in [(120, 36), (80, 24), (250, 90)] {
            let text = frame(&console, columns, rows);
            let row = text.lines().find(|row| row.contains(&format!("▸ {selected}")));
            assert!(row.is_some(), "{selected} at {columns}x{rows}: {text}");
        }
    }
}

#[test]
fn events_of_an_incident_are_marked_and_what_repeats_stands_once() {
    let console = played("kill", 4_000);
    let text = frame(&console, 120, 36);
    assert_eq!(text.matches("missed, silent for").count(), 1, "{text}");
    assert!(text.contains("▌ 1.9 s n3 killed"), "{text}");
    let marked = console.model.record.control().filter(|entry: &&Arc<_>| entry.incident.is_some());
    assert!(marked.count() > 3);
}

/// Nothing is known of a cluster of which neither coordinator nor supervisor is heard.
#[test]
fn of_a_cluster_that_was_stopped_nothing_is_up() {
    let mut console = played("calm", 6_000);
    for feed in [FeedName::Coordinator, FeedName::Supervisor] {
        let lost = FeedState::Lost("it closed the connection".into());
        console.handle(At(6_100_000), Input::Fed(Fed::Link(feed, lost)));
    }
    console.handle(At(9_100_000), Input::Tick);
    for (columns, rows) in [(120, 36), (80, 24)] {
        let text = frame(&console, columns, rows);
        assert!(
            text.contains("the cluster was stopped, or cannot be reached: last heard 3.1 s ago"),
            "{text}"
        );
        assert!(text.contains("piazza up --dir DIR"), "{text}");
        assert!(text.contains("?/5 up") && text.contains("? UNHEARD"), "{text}");
        assert!(!text.contains("● UP") && !text.contains("R on"), "{text}");
    }
    let text = frame(&console, 120, 36);
    assert!(text.contains("ran when its supervisor was last heard, 3.0 s ago"), "{text}");
}

#[test]
fn an_evicted_node_that_stands_still_is_evicted_and_by_whom() {
    let mut console = played("calm", 6_000);
    console.selected = "n3".into();
    let state = |seq: u64, from: &str, to: &str| {
        format!(
            concat!(
                r#"{{"event":"member_state","seq":{},"source":"coordinator","node":"n3","#,
                r#""from":"{}","to":"{}","reason":"silence","paused":true,"#,
                r#""hint":"paused by recorder"}}"#,
            ),
            seq, from, to
        )
    };
    let paused = concat!(
        r#"{"event":"proc","seq":90000,"source":"supervisor","name":"n3","#,
        r#""state":"paused","by":"recorder"}"#,
    );
    fed(&mut console, 6_100, FeedName::Supervisor, paused);
    fed(&mut console, 8_100, FeedName::Coordinator, &state(90_001, "up", "down"));
    console.handle(At(10_100_000), Input::Tick);
    let text = frame(&console, 120, 36);
    assert!(text.contains("‖ PAUSED") && text.contains("paused (SIGSTOP) by you 4.0 s"), "{text}");
    assert!(text.contains("DOWN for 2.0 s") && !text.contains("PAUSED for"), "{text}");
    fed(&mut console, 10_200, FeedName::Coordinator, &state(90_002, "down", "evicted"));
    let incident = console.model.story.open().count();
    assert_eq!(incident, 1);
    let text = frame(&console, 120, 36);
    assert!(text.contains("EVICTED") && !text.contains("‖ PAUSED"), "{text}");
    assert!(text.contains("paused (SIGSTOP) by you"), "{text}");
}

#[test]
fn figures_of_a_node_that_is_gone_are_those_that_were_heard_last() {
    let mut console = played("kill", 4_000);
    console.selected = "n3".into();
    let text = frame(&console, 120, 36);
    assert!(text.contains("when last heard: up "), "{text}");
    assert!(!text.contains("oldest undecided"), "{text}");
}

/// The event counts what came; how many are open now is told beside it.
#[test]
fn doubts_are_counted_as_those_that_came_so_far() {
    let text = frame(&played("pause", 5_500), 120, 36);
    assert!(text.contains(" so far: IN DOUBT"), "{text}");
}

/// What a recording told first of this kind.
fn first(name: &str, is: impl Fn(&Body) -> bool) -> Event {
    let told = recorded(name).into_iter().find_map(|(_, fed)| match fed {
        Fed::Event(_, event) if is(&event.body) => Some(*event),
        _ => None,
    });
    told.expect("it is in the recording")
}

#[test]
fn a_node_that_has_started_anew_shows_no_address_of_before() {
    let mut console = played("calm", 3_000);
    console.selected = "n1".into();
    let node = &console.model.nodes["n1"];
    let (old, status) = (node.address().unwrap().to_owned(), node.status.clone().unwrap());
    let port = |addr: &str| format!(" {}", addr.trim_start_matches("127.0.0.1"));
    assert!(frame(&console, 120, 36).contains(&port(&old)), "{old}");
    let mut seq = 1_000_000;
    let mut tell = |console: &mut Console, at_ms: u64, mut event: Event| {
        (event.seq, event.at_us) = (seq, 0);
        seq += 1;
        let fed = Fed::Event(FeedName::Coordinator, Box::new(event));
        console.handle(At::after_us(at_ms * 1_000), Input::Fed(fed));
    };
    let mut beat = first("calm", |body| matches!(body, Body::Heartbeat(_)));
    let Body::Heartbeat(told) = &mut beat.body else { unreachable!() };
    told.node = NodeName::new("n1").unwrap();
    told.incarnation.0 = status.incarnation.0 + 1;
    tell(&mut console, 3_001, beat.clone());
    assert!(!frame(&console, 120, 36).contains(&port(&old)));
    let is_asked = |console: &mut Console, at_ms: u64| {
        let effects = console.handle(At::after_us(at_ms * 1_000), Input::Tick);
        effects.iter().any(|effect| matches!(effect, Effect::Subscribe(_)))
    };
    assert!(is_asked(&mut console, 3_250), "where it serves now");
    assert!(!is_asked(&mut console, 3_500), "once");
    let mut snapshot = first("calm", |body| matches!(body, Body::Snapshot(_)));
    let Body::Snapshot(told) = &mut snapshot.body else { unreachable!() };
    let node = told.status.nodes.iter_mut().find(|node| node.name.as_str() == "n1").unwrap();
    node.addr = Some("127.0.0.1:1234".into());
    node.pid = status.pid;
    node.incarnation.0 = status.incarnation.0 + 1;
    tell(&mut console, 3_600, snapshot);
    let shown = frame(&console, 120, 36);
    assert!(shown.contains(" :1234 "), "{shown}");
    assert!(!is_asked(&mut console, 3_750));
}
