//! Tests of the view of the ring.

use protocol::peer::Placement;
use protocol::reply::LocateReply;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::console::action::{Action, ViewName};
use crate::console::effect::Effect;
use crate::console::look::Look;
use crate::console::model::Model;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::{Console, Input};
use crate::console::testing::{frame, played, press};
use crate::text as safe;

/// What a text would do to a terminal that obeys it.
const HOSTILE: &str = "\u{1b}[31m\u{202e}漢字\u{200b}e\u{301}\t\u{7}\u{85}אבג";

/// A key of n3 with its further replica n4, as it is answered after n3 was killed.
const OF_N3: &str = r#"{"hash":"7f00000000000000","nodes":["n3","n4"],"set":12,"way":null,"copies":[
    {"node":"n3","role":"primary","state":"down","version":null,"cached":null,"undecided":0},
    {"node":"n4","role":"replica","state":"up","version":"1.42","cached":true,"undecided":1}]}"#;

fn located(json: &str) -> Result<Box<LocateReply>, String> {
    Ok(Box::new(serde_json::from_str(json).unwrap()))
}

fn opened(name: &str, until_ms: u64) -> Console {
    let mut console = played(name, until_ms);
    console.size = (120, 36);
    console.act_now(Action::Go(ViewName::Ring));
    console
}

/// A tick; which keys are asked for.
fn tick(console: &mut Console) -> Vec<String> {
    let effects = console.handle(console.model.now, Input::Tick);
    let asked = effects.into_iter().filter_map(|effect| match effect {
        Effect::Locate(key) => Some(key),
        _ => None,
    });
    asked.collect()
}

fn tell(console: &mut Console, key: &str, told: Result<Box<LocateReply>, String>) {
    console.handle(console.model.now, Input::Done(Done::Located(key.into(), told)));
}

/// Small sizes, one by one, and larger ones here and there.
fn sizes() -> impl Iterator<Item = (u16, u16)> {
    let columns = (0..8).chain((8..130).step_by(17));
    let plain = columns
        .flat_map(|columns| (0..8).chain((8..41).step_by(8)).map(move |rows| (columns, rows)));
    plain.chain([(80, 19), (119, 29), (120, 30), (130, 40), (250, 90)])
}

/// Draws it at all sizes, full and compact, circle and strip, and looks at every cell.
fn at_all_sizes(model: &Model, state: &State) {
    for look in [Look::default(), Look::choose(None, true, None, true)] {
        for (compact, circle) in
            [(false, None), (true, None), (false, Some(false)), (true, Some(true))]
        {
            let state = State { circle, ..state.clone() };
            let seen = Seen { model, look: &look, selected: "n3", compact, read_only: false };
            for (columns, rows) in sizes() {
                let area = Rect::new(0, 0, columns, rows);
                let mut buf = Buffer::empty(area);
                state.draw(&seen, area, &mut buf);
                for cell in &buf.content {
                    assert_eq!(safe::shown(cell.symbol()), cell.symbol(), "{columns}x{rows}");
                    assert!(!look.glyphs.ascii || cell.symbol().is_ascii(), "{:?}", cell.symbol());
                }
            }
        }
    }
}

#[test]
fn every_size_has_a_picture_whatever_is_known_and_whatever_is_typed() {
    at_all_sizes(&Model::default(), &State::default());
    let mut console = opened("kill", 4_000);
    at_all_sizes(&console.model, &console.views.ring);
    console.handle(console.model.now, Input::Key(Key::Char('/')));
    console.handle(console.model.now, Input::Key(Key::Paste(HOSTILE.into())));
    at_all_sizes(&console.model, &console.views.ring);
    let text = console.views.ring.lookup.text().to_owned();
    tell(&mut console, &text, located(OF_N3));
    at_all_sizes(&console.model, &console.views.ring);
    console.views.ring.points = true;
    at_all_sizes(&console.model, &console.views.ring);
    tell(&mut console, &text, Err(HOSTILE.into()));
    at_all_sizes(&console.model, &console.views.ring);
    let lost = FeedState::Lost(HOSTILE.into());
    console.handle(console.model.now, Input::Fed(Fed::Link(FeedName::Coordinator, lost)));
    at_all_sizes(&console.model, &console.views.ring);
}

#[test]
fn a_key_is_followed_as_it_is_typed_once_a_tick() {
    let mut console = opened("calm", 4_000);
    press(&mut console, "/user:4");
    assert_eq!(tick(&mut console), ["user:4"], "the latest text, and only that");
    assert_eq!(tick(&mut console), [""; 0]);
    press(&mut console, "2q");
    assert_eq!(console.view, ViewName::Ring, "a letter is text");
    console.handle(console.model.now, Input::Key(Key::Backspace));
    assert_eq!(tick(&mut console), ["user:42"]);
    // Answers come in any order; only that to the present text is shown.
    tell(&mut console, "user:42", located(OF_N3));
    tell(&mut console, "user:4", Err("too late".into()));
    let text = frame(&console, 120, 36);
    assert!(
        text.contains("hash 7f00000000000000 at 178.6°") && !text.contains("too late"),
        "{text}"
    );
    press(&mut console, "\n");
    assert!(!console.views.ring.is_typing());
    assert!(frame(&console, 120, 36).contains("7f00000000000000"), "Enter keeps it");
    press(&mut console, "\u{1b}");
    assert!(!frame(&console, 120, 36).contains("7f00000000000000"), "Esc clears it");
    assert_eq!(tick(&mut console), [""; 0]);
}

#[test]
fn by_ascii_sum_the_arithmetic_is_shown() {
    let mut console = opened("calm", 4_000);
    assert!(!frame(&console, 120, 36).contains("ascii-sum"));
    console.model.cluster.as_mut().unwrap().placement = Placement::AsciiSum;
    assert!(frame(&console, 120, 36).contains("ascii-sum byte sum mod 5, clockwise from 0"));
    press(&mut console, "/user:42");
    tick(&mut console);
    let reply = OF_N3.replace("\"nodes\"", "\"byte_sum\":{\"sum\":294,\"nodes\":5},\"nodes\"");
    tell(&mut console, "user:42", located(&reply));
    let text = frame(&console, 120, 36);
    assert!(text.contains("byte sum 294 mod 5 = 4, counted clockwise from 0"), "{text}");
}

#[test]
fn who_answers_and_why_it_cannot_be_written() {
    let mut console = opened("kill", 4_000);
    press(&mut console, "/user:42");
    tick(&mut console);
    tell(&mut console, "user:42", located(OF_N3));
    for (columns, rows) in [(120, 36), (80, 24)] {
        console.size = (columns, rows);
        let text = frame(&console, columns, rows);
        assert!(text.contains("1 primary n3 ✗ DOWN     no answer"), "{text}");
        assert!(text.contains("2 replica n4 ● UP       1.42 cached 1 undecided"), "{text}");
        assert!(text.contains("reads  n4 answers, for n3 is DOWN"), "{text}");
        assert!(text.contains("writes no: n3 is DOWN, and all must vote"), "{text}");
        assert!(text.contains("copies n3 catches up when it is back"), "{text}");
        assert!(text.contains("coordinator: set 12 of"), "{text}");
    }
    let recorded = crate::console::testing::recorded("kill");
    crate::console::testing::play(&mut console, &recorded, 4_000, 7_000);
    console.size = (120, 36);
    let text = frame(&console, 120, 36);
    assert!(text.contains("reads  n3 answers, its primary"), "{text}");
}

#[test]
fn a_key_is_asked_again_when_its_nodes_have_changed() {
    let mut console = opened("kill", 4_000);
    press(&mut console, "/user:42\n");
    assert_eq!(tick(&mut console), ["user:42"]);
    tell(&mut console, "user:42", located(OF_N3));
    assert_eq!(tick(&mut console), [""; 0]);
    let recorded = crate::console::testing::recorded("kill");
    let late: Vec<_> = recorded.into_iter().filter(|(at, _)| at.0 <= 7_000_000).collect();
    for (at, one) in late.into_iter().filter(|(at, _)| at.0 > 4_000_000) {
        console.handle(at, Input::Fed(one));
    }
    assert_eq!(tick(&mut console), ["user:42"], "n3 is back");
}

#[test]
fn a_question_that_is_lost_is_asked_once_more() {
    let mut console = opened("calm", 4_000);
    press(&mut console, "/k\n");
    let asked: usize = (0..100).map(|_| tick(&mut console).len()).sum();
    assert!((2..=4).contains(&asked), "{asked}");
}

#[test]
fn nothing_is_asked_while_nobody_would_answer() {
    let mut console = opened("calm", 4_000);
    let lost = FeedState::Lost("closed".into());
    console.handle(At(4_000_000), Input::Fed(Fed::Link(FeedName::Coordinator, lost)));
    press(&mut console, "/k");
    assert_eq!(tick(&mut console), [""; 0]);
    let text = frame(&console, 120, 36);
    assert!(text.contains("not asked: the coordinator is not heard"), "{text}");
    assert!(text.contains("the last picture"), "{text}");
}

#[test]
fn another_view_shows_a_key_here() {
    let mut state = State::default();
    let mut out = Out::default();
    state.show("cart:7", &mut out);
    assert_eq!(out.effects, [Effect::Locate("cart:7".into())]);
    assert!(!state.is_typing());
    assert_eq!(state.lookup.text(), "cart:7");
}

#[test]
fn a_key_is_no_longer_than_a_key_may_be() {
    let mut state = State::default();
    state.lookup.begin();
    state.lookup.typed(&Key::Paste("漢".repeat(1_000)));
    assert_eq!(state.lookup.text().len(), 255);
    state.lookup.typed(&Key::Ctrl('u'));
    state.lookup.typed(&Key::Paste("one\ntwo".into()));
    assert_eq!(state.lookup.text(), "one");
}

#[test]
fn neighbours_are_one_part_and_each_node_is_named_once() {
    let mut console = opened("calm", 4_000);
    let point = |n: u64| {
        let node = format!("n{}", n * 7 % 5 + 1);
        format!(r#"{{"hash":"{:016x}","node":"{node}"}}"#, n << 56)
    };
    let points: Vec<String> =
        (0..80).map(point).chain((81..90).map(|n| point(n / 5 * 5))).collect();
    let mut sorted: Vec<String> = points;
    sorted.sort();
    sorted.dedup();
    let line = format!(
        concat!(
            r#"{{"event":"ring_epoch","seq":99999,"source":"coordinator","#,
            r#""ring":{{"epoch":1,"counter":7}},"points":[{}],"durable_on":["n1","n2"]}}"#,
        ),
        sorted.join(",")
    );
    let event = Box::new(protocol::event::decode(line.as_bytes()).unwrap());
    console.handle(At(4_000_000), Input::Fed(Fed::Event(FeedName::Coordinator, event)));
    let look = Look::default();
    let seen = Seen {
        model: &console.model,
        look: &look,
        selected: "n1",
        compact: false,
        read_only: false,
    };
    let arcs = picture::arcs(&seen);
    assert_eq!(arcs.iter().filter(|arc| !arc.label.is_empty()).count(), 5);
    assert!(arcs.windows(2).all(|two| two[0].node != two[1].node));
    assert_eq!(picture::points(&seen).len(), console.model.ring.points.len());
    let text = frame(&console, 120, 36);
    assert!(text.contains("ring 1.7, 8") && text.contains("durable on n1 n2"), "{text}");
    press(&mut console, "v");
    let text = frame(&console, 120, 36);
    assert!(text.contains("Points") && text.contains("0000000000000000"), "{text}");
}

#[test]
fn the_strip_is_for_narrow_screens_and_for_who_wants_it() {
    let mut console = opened("calm", 4_000);
    let is_strip =
        |console: &Console| frame(console, console.size.0, console.size.1).contains("360°");
    assert!(!is_strip(&console));
    press(&mut console, "t");
    assert!(is_strip(&console));
    press(&mut console, "t");
    assert!(!is_strip(&console));
    let mut console = opened("calm", 4_000);
    console.size = (80, 24);
    assert!(is_strip(&console));
    press(&mut console, "t");
    assert!(!is_strip(&console));
}

#[test]
fn a_click_selects_the_node_of_a_bar() {
    for size in [(120, 36), (80, 24)] {
        let mut console = opened("kill", 4_000);
        console.size = size;
        let text = frame(&console, size.0, size.1);
        let y = text.lines().position(|row| row.contains(" n4  20% █")).unwrap();
        console.handle(console.model.now, Input::Pointed(Pointed::Click(size.0 - 9, y as u16)));
        assert_eq!(console.selected, "n4", "{size:?}");
        press(&mut console, "kk");
        assert_eq!(console.selected, "n2", "{size:?}");
    }
}

/// What cannot be read is among what cannot be written, and is said first.
#[test]
fn keys_without_a_live_copy_are_not_said_to_be_read() {
    let mut console = opened("calm", 6_000);
    let copies = concat!(
        r#"{"event":"copies","seq":90000,"source":"coordinator","unwritable":28336,"#,
        r#""by_live_copies":{"0":8163,"1":20173,"2":12000}}"#,
    );
    let event = Box::new(protocol::event::decode(copies.as_bytes()).unwrap());
    console.handle(At(6_100_000), Input::Fed(Fed::Event(FeedName::Coordinator, event)));
    let text = frame(&console, 120, 36);
    assert!(text.contains("8,163 keys not read, 20,173 more not written"), "{text}");
    assert!(!text.contains("keys are read"), "{text}");
}
