//! Tests of the view 2PC: with recordings of a real cluster, and with events made by hand.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::console::look::Look;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::Console;
use crate::console::testing::{drawn, frame, play, played, press, recorded};
use crate::console::widgets::ladder::Happening;
use crate::console::widgets::testing::{assert_safe, text};

const RECORDINGS: [&str; 8] =
    ["calm", "kill", "crash", "pause", "coordinator", "coordinator-killed", "doubt", "recovering"];

/// A console in this view.
fn shown(recording: &str, ms: u64) -> Console {
    let mut console = played(recording, ms);
    console.act_now(Action::Go(ViewName::Txns));
    console
}

/// A model that was told these events, a millisecond after each other.
fn fed(events: &[&str]) -> Model {
    let mut model = Model::new("test");
    model.apply(At(0), &Fed::Link(FeedName::Coordinator, FeedState::Live));
    for (seq, event) in (1..).zip(events) {
        let line = format!(
            r#"{{"seq":{seq},"source":"coordinator","epoch":1,"at_us":{seq}000,"wall_ms":1,{event}}}"#
        );
        let event = protocol::event::decode(line.as_bytes()).unwrap();
        model.apply(At::after_us(seq * 1_000), &Fed::Event(FeedName::Coordinator, Box::new(event)));
    }
    model
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn vote(node: &str, vote: &str, more: &str) -> String {
    format!(r#"{{"node":"{node}","role":"replica","vote":"{vote}"{more}}}"#)
}

/// A committed one of n1 and n2, of 4,200 microseconds, where n2 said last what is given.
fn committed(id: &str, us: &str, n2: &str, more: &str) -> String {
    let n1 = vote("n1", "yes", r#","sent_us":0,"recv_us":300"#);
    let n2 = vote("n2", "yes", n2);
    format!(
        r#""event":"txn","tx":"{id}","op":"put","keys":1,"key":"user:42","conn":7,"us_total":4200,
        "outcome":"committed","batch_txns":1,"us":{us},"votes":[{n1},{n2}],
        "decides":[{{"node":"n1","sent_us":4300,"confirmed_us":9000}}]{more}"#
    )
}

const US: &str = r#"{"queued":0,"batch_formed":0,"prepare_sent":0,"last_vote":4200,
    "cache":4200,"answered":4200}"#;

fn in_doubt(id: &str, votes: &[String]) -> String {
    format!(
        r#""event":"txn_in_doubt","tx":"{id}","key":"user:42","votes":[{}],"missing":["n2"],
        "meaning":"It may be either.","safe_action":"Start n2 again.""#,
        votes.join(",")
    )
}

fn only<'a>(model: &'a Model, id: &str) -> Row<'a> {
    let name = Name::Tx(version(id));
    rows::all(model).into_iter().find(|row| row.name == name).unwrap()
}

fn picture(state: &State, model: &Model, look: &Look, size: (u16, u16), compact: bool) -> Buffer {
    let seen = Seen { model, look, selected: "n1", compact, read_only: false };
    let mut buf = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    state.draw(&seen, buf.area, &mut buf);
    buf
}

fn full(state: &State, model: &Model) -> String {
    text(&picture(state, model, &Look::default(), (120, 30), false))
}

#[test]
fn those_in_doubt_are_on_top_and_what_each_vote_proves_is_said() {
    let console = shown("pause", 4_000);
    let rows = rows::all(console.shown());
    let doubts = rows.iter().take_while(|row| rows::is_in_doubt(row)).count();
    assert!(doubts > 2 && doubts == console.shown().txns.in_doubt_now(), "{doubts}");
    assert!(!rows[doubts..].iter().any(rows::is_in_doubt));
    let seen = frame(&console, 120, 36);
    for words in [
        &format!("{0} of {0}", rows.len()),
        "IN DOUBT for ",
        "has it durably and will not forget it",
        "may or may not have it",
        "missing: n3 (n3 is PAUSED)",
        "n3 is paused: P lets it go on",
        "never runs twice",
        "waits for the vote of n3",
    ] {
        assert!(seen.contains(words), "{words}:\n{seen}");
    }
    assert_eq!(seen.matches("? IN DOUBT").count(), doubts + 1, "rows and the detail:\n{seen}");
}

#[test]
fn a_selection_stays_on_its_transaction_whatever_comes() {
    let mut console = shown("pause", 4_000);
    press(&mut console, "jj");
    let selected = console.views.txns.selected;
    let third = rows::all(console.shown())[2].tx().unwrap();
    assert_eq!(selected, Some(Name::Tx(third)));
    play(&mut console, &recorded("pause"), 4_000, 7_500);
    assert_eq!(console.views.txns.selected, selected);
    let row = only(console.shown(), &third.to_string());
    assert_eq!((row.word(), row.fate), ("resolved", rows::Fate::Committed));
    press(&mut console, "x");
    let seen = frame(&console, 120, 36);
    assert!(seen.contains("resolved: committed"), "{seen}");
    assert!(seen.contains("everybody who must turned out to have it"), "{seen}");
}

#[test]
fn a_transaction_is_watched_while_it_is_open_only() {
    let mut console = shown("pause", 4_000);
    let first = rows::all(console.shown())[0].tx();
    assert!(first.is_some() && console.subscribe().tx == first);
    play(&mut console, &recorded("pause"), 4_000, 7_500);
    assert_eq!(console.subscribe().tx, None);
}

#[test]
fn until_somebody_chooses_the_newest_is_shown() {
    let mut console = shown("calm", 3_000);
    let newest = |console: &Console| rows::all(console.shown())[0].id();
    let before = newest(&console);
    play(&mut console, &recorded("calm"), 3_000, 6_000);
    let after = newest(&console);
    assert!(before != after && console.views.txns.selected.is_none());
    assert!(frame(&console, 120, 36).contains(&format!(" {after} ")));
    press(&mut console, "j");
    assert!(console.views.txns.selected.is_some());
    press(&mut console, "g");
    assert!(console.views.txns.selected.is_none(), "again");
}

#[test]
fn the_neighbour_of_one_that_is_forgotten_is_selected() {
    let id = |n: u32| format!("1.{n}");
    let of = |ids: std::ops::Range<u32>| {
        let lines: Vec<String> = ids.map(|n| committed(&id(n), US, "", "")).collect();
        fed(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut state = State::default();
    state.show(version(&id(1)));
    state.keep_place(&of(1..5));
    state.keep_place(&of(2..6));
    assert_eq!(state.selected, Some(Name::Tx(version(&id(2)))), "the oldest that is left");
    state.keep_place(&Model::new("test"));
    assert_eq!(state.selected, None);
}

/// What a coordinator told of a transaction before it ended is not forgotten.
#[test]
fn one_in_doubt_keeps_its_op_and_its_times_after_a_coordinators_end() {
    let open = format!(
        r#""event":"txn_open","tx":"1.1","op":"put","keys":1,"key":"user:42","conn":7,
        "us_total":90000,"us":{{"queued":0}},"votes":[{}]"#,
        vote("n1", "none", "")
    );
    let doubt = in_doubt("1.1", &[vote("n1", "yes", "")]);
    let snapshot = |model: &mut Model| {
        let counts = std::collections::BTreeMap::new();
        model.txns.snapshot(&[], &counts, At(9_000));
    };
    for doubt_first in [true, false] {
        let told = if doubt_first { vec![open.as_str(), &doubt] } else { vec![open.as_str()] };
        let mut model = fed(&told);
        snapshot(&mut model);
        if !doubt_first {
            let line = format!(r#"{{"seq":9,"source":"coordinator","epoch":2,"at_us":9,{doubt}}}"#);
            let event = protocol::event::decode(line.as_bytes()).unwrap();
            model.apply(At(9_500), &Fed::Event(FeedName::Coordinator, Box::new(event)));
        }
        let row = only(&model, "1.1");
        assert_eq!((row.fate, row.what().as_str()), (rows::Fate::InDoubt, "put user:42"));
        assert!(row.took_us(&model) >= Some(90_000));
    }
}

#[test]
fn a_node_that_is_paused_is_not_to_be_started() {
    let console = shown("pause", 4_000);
    let seen = frame(&console, 120, 36);
    assert!(!seen.contains("Start n3 again") && seen.contains("n3 is paused: P lets it go on"));
}

#[test]
fn one_that_is_not_known_is_said_to_be_so() {
    let mut state = State::default();
    state.show(version("3.99"));
    let seen = full(&state, &fed(&[&committed("1.1", US, "", "")]));
    assert!(seen.contains("3.99 is not known here"), "{seen}");
    assert!(full(&State::default(), &Model::new("test")).contains("nothing was told yet"));
}

#[test]
fn a_filter_is_typed_and_says_how_many_pass() {
    let mut console = shown("pause", 4_000);
    press(&mut console, "jk");
    let rows = rows::all(console.shown());
    let (all, key) = (rows.len(), rows[0].key().unwrap().to_owned());
    let open = rows.iter().filter(|row| row.told.is_some_and(|told| told.txn.outcome.is_none()));
    let open = open.count();
    let at_n3 = rows.iter().filter(|row| row.doubt.is_some()).count();
    press(&mut console, "/node:n3 doubt");
    assert!(console.views.txns.is_typing());
    assert!(frame(&console, 120, 36).contains(&format!("{at_n3} of {all}")));
    press(&mut console, &format!(" key:{key} slow:1s\n"));
    assert!(!console.views.txns.is_typing());
    let seen = frame(&console, 120, 36);
    assert!(seen.contains(&format!(" 1 of {all}")) && seen.contains("slow:1s"), "{seen}");
    press(&mut console, "/ slow:wat");
    assert!(frame(&console, 120, 36).contains("not understood: slow:wat. Write"));
    press(&mut console, "\n");
    assert!(frame(&console, 120, 36).contains("not understood: slow:wat"), "as long as it stands");
    press(&mut console, "/\u{1b}");
    for (words, listed) in [("n3 doubt", at_n3), ("no-such-thing", 0)] {
        press(&mut console, &format!("/{words}\n"));
        assert!(frame(&console, 120, 36).contains(&format!(" {listed} of {all}")), "{words}");
        press(&mut console, "/\u{1b}");
    }
    assert!(
        Filter::of(&key[..key.len() - 1]).passes(&rows::all(console.shown())[0], console.shown())
    );
    assert!(frame(&console, 120, 36).contains(&format!("{all} of {all}")));
    press(&mut console, "ff");
    let seen = frame(&console, 120, 36);
    let some = format!(" {open} of {all}");
    assert!(seen.contains("only: in flight") && seen.contains(&some), "{seen}");
    press(&mut console, "f");
    let seen = frame(&console, 120, 36);
    assert!(seen.contains("only: committed") && seen.contains("filter hides it"), "{seen}");
    press(&mut console, "j");
    let (row, hidden) = {
        let state = &console.views.txns;
        let model = console.shown();
        state.chosen(&state.listed(model).0, model)
    };
    assert!(!hidden && row.unwrap().fate == rows::Fate::Committed, "the nearest that passes");
}

#[test]
fn a_filter_has_bounds() {
    let mut console = shown("calm", 2_000);
    press(&mut console, "/");
    console.views.txns.type_text(&"漢\u{1b}".repeat(10_000));
    assert_eq!(console.views.txns.filter_text.chars().count(), TEXT_MAX);
    assert_safe(&drawn(&console, 80, 24), false, "a long filter");
}

#[test]
fn where_the_time_went_is_one_sentence() {
    let node = r#","sent_us":0,"recv_us":4200,"node_us":{"queue":100,"append":200,"sync":2982}"#;
    let slow = r#","sent_us":0,"recv_us":4200,"node_us":{"queue":1,"append":2,"sync":3}"#;
    let late = r#","sent_us":4000,"recv_us":4200"#;
    let waited = US.replace(r#""batch_formed":0"#, r#""batch_formed":3100"#);
    let us = waited.as_str();
    let cases = [
        (US, node, "", "71 % of 4.2 ms was the sync at n2"),
        (US, slow, "", "99 % of 4.2 ms was the way to n2 and back, and standing in line"),
        (
            US,
            late,
            "",
            "95 % of 4.2 ms was waiting until it could be sent to n2, whose link was gone or full",
        ),
        (
            us,
            r#","sent_us":3100,"recv_us":4200"#,
            r#","waited_for":"2.17""#,
            "it waited 3.1 ms of 4.2 ms for 2.17, the transaction of the same key before it",
        ),
        (us, r#","sent_us":3100,"recv_us":4200"#, "", "73 % of 4.2 ms was waiting for its turn"),
    ];
    for (us, n2, more, expected) in cases {
        let model = fed(&[&committed("1.1", us, n2, more)]);
        assert_eq!(path::sentence(&only(&model, "1.1"), &model), expected);
    }
    let refused = r#""event":"txn","tx":null,"op":"put","keys":1,"key":"a","outcome":"refused",
        "reason":"replica_down","us_total":0,"us":{"queued":0,"answered":0}"#;
    let model = fed(&[refused]);
    let sentence = path::sentence(&rows::all(&model)[0], &model);
    assert!(sentence.contains("nothing was sent"), "{sentence}");
}

#[test]
fn the_commit_point_lies_between_the_last_vote_and_the_answer() {
    let node = r#","sent_us":0,"recv_us":4200,"node_us":{"queue":1,"append":2,"sync":3}"#;
    let model = fed(&[&committed("1.1", US, node, "")]);
    let ladder = steps::ladder(&only(&model, "1.1"), &model, 118).unwrap();
    let lanes: Vec<&str> = ladder.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(lanes, ["client", "coordinator", "n1 replica", "n2 replica"]);
    let said: Vec<String> = ladder
        .steps
        .iter()
        .map(|step| {
            let at = step.at.as_deref().unwrap_or("-");
            match &step.what {
                Happening::Message { from, to, text, .. } => format!("{at} {from}>{to} {text}"),
                Happening::Note { lane, text, .. } => format!("{at} {lane} {text}"),
                Happening::Wait { lane, text } => format!("{at} {lane} waits {text}"),
            }
        })
        .collect();
    let expected = [
        "0 0>1 put",
        "0 1 its turn: id 1.1",
        "0 1>2 prepare",
        "0 1>3 prepare",
        "300 2>1 yes",
        "- 3 queue 1, append 2, sync 3 us",
        "4200 3>1 yes",
        "4200 1 every participant has it durably: committed",
        "4200 1 cache written",
        "4200 1>0 ok",
        "4300 1>2 commit",
        "9000 2>1 confirm",
    ];
    assert_eq!(said, expected);
}

#[test]
fn each_vote_and_each_end_of_a_doubt_has_its_words() {
    let votes = [vote("n1", "yes", ""), vote("n2", "none", "")];
    let others = [vote("n3", "no", ""), vote("n4", "lost", "")];
    let doubt = in_doubt("1.1", &[&votes[..], &others[..]].concat());
    let resolved = |outcome: &str| {
        format!(r#""event":"txn_resolved","tx":"1.1","key":"user:42","outcome":"{outcome}""#)
    };
    let state = State { open: true, ..State::default() };
    let open = full(&state, &fed(&[&doubt]));
    for words in [
        "IN DOUBT",
        "has it durably and will not forget it",
        "nothing can be concluded",
        "it can never be committed",
        "cannot answer at present",
        "what it means: It may be either.",
        "what to do: Start n2 again.",
        "was told unknown_outcome",
    ] {
        assert!(open.contains(words), "{words}:\n{open}");
    }
    let committed = full(&state, &fed(&[&doubt, &resolved("committed")]));
    assert!(committed.contains("everybody who must turned out to have it"), "{committed}");
    let aborted = full(&state, &fed(&[&doubt, &resolved("aborted")]));
    assert!(aborted.contains("somebody provably never had it"), "{aborted}");
}

#[test]
fn what_an_earlier_coordinator_left_open_is_settled_when_the_next_has_nothing_open() {
    let doubt = in_doubt("1.1", &[vote("n1", "yes", "")]);
    let active = |in_doubt: u32| {
        format!(
            r#""event":"coordinator_state","state":"active","answered":1,"needed":1,
            "in_doubt":{in_doubt},"resolved":0,"serving_share":1.0"#
        )
    };
    for (in_doubt, fate) in [(1, rows::Fate::InDoubt), (0, rows::Fate::Settled)] {
        let mut model = fed(&[&doubt, &active(in_doubt)]);
        assert_eq!(only(&model, "1.1").fate, rows::Fate::InDoubt, "of this epoch");
        model.coordinator.epoch = 2;
        assert_eq!(only(&model, "1.1").fate, fate);
    }
}

#[test]
fn of_all_that_was_recorded_times_rise_and_every_step_is_explained() {
    for recording in RECORDINGS {
        let console = shown(recording, 60_000);
        let model = console.shown();
        let rows = rows::all(model);
        assert!(!rows.is_empty(), "{recording}");
        for row in rows.iter().filter(|row| row.told.is_some()) {
            let ladder = steps::ladder(row, model, 80).unwrap();
            assert_eq!(ladder.steps.len(), ladder.why.len());
            assert!(ladder.why.iter().all(|why| why.ends_with('.')), "{:?}", ladder.why);
            let times = ladder.steps.iter().filter_map(|step| step.at.as_ref());
            let times: Vec<f64> = times.map(|at| at.parse().unwrap()).collect();
            assert!(times.is_sorted(), "{recording} {}: {times:?}", row.id());
            let whole = path::whole_us(row, model);
            let parties = path::parties(row, model);
            let ends = parties.iter().flat_map(|party| &party.segments).map(|part| part.to_us);
            assert!(ends.max() <= Some(whole), "{recording} {}", row.id());
        }
    }
}

#[test]
fn a_click_selects_and_a_second_one_opens() {
    let mut console = shown("pause", 4_000);
    console.handle(At(4_000_000), crate::console::state::Input::Resize(120, 36));
    let click = crate::console::state::Input::Pointed(Pointed::Click(10, 9));
    console.handle(At(4_000_000), click.clone());
    let rows = rows::all(console.shown());
    assert_eq!(console.views.txns.selected, Some(rows[2].name));
    assert!(!console.views.txns.open);
    console.handle(At(4_000_000), click);
    assert!(console.views.txns.open);
    press(&mut console, "\u{1b}");
    assert!(!console.views.txns.open);
}

#[test]
fn steps_are_walked_with_bounds_and_explained() {
    let mut console = shown("kill", 1_500);
    press(&mut console, "xl");
    assert!(frame(&console, 120, 36).contains("The request arrives."));
    press(&mut console, &"l".repeat(200));
    let last = console.views.txns.step;
    assert!(frame(&console, 120, 36).contains("has the outcome durably"));
    press(&mut console, "h");
    assert_eq!(console.views.txns.step, last.map(|last| last - 1));
    press(&mut console, "j");
    assert_eq!(console.views.txns.step, None, "another transaction has other steps");
    press(&mut console, &format!("w{}", "l".repeat(200)));
    assert!(frame(&console, 120, 36).contains(" was "));
}

#[test]
fn whatever_a_key_holds_and_however_little_room_there_is() {
    let hostile = r"\u001b[2J\u202e\u200b漢e\u0301\u0000\ud83d\udc69\u200d\ud83d\udcbb";
    let txn = |id: &str| {
        committed(id, US, r#","sent_us":0,"recv_us":4200"#, "").replace("user:42", hostile)
    };
    let many: Vec<String> =
        (1..40).map(|n| vote(&format!("n{n}"), "none", r#","sent_us":0"#)).collect();
    let wide = format!(
        r#""event":"txn_open","tx":"1.4","op":"txn","keys":40,"key":"{hostile}","us_total":99,
        "us":{{"queued":0,"batch_formed":5}},"votes":[{}]"#,
        many.join(",")
    );
    let doubt = in_doubt("1.3", &many).replace("user:42", hostile);
    let by_hand = fed(&[&txn("1.1"), &txn("1.2"), &doubt, &wide]);
    let mut stale = by_hand.clone();
    stale.tick(At(60_000_000));
    let models = [Model::new("test"), by_hand, stale, shown("pause", 4_000).model];
    let plain = Look::choose(None, false, None, true);
    let widths = [0, 1, 2, 3, 4, 7, 12, 20, 33, 47, 60, 80, 101, 118, 130];
    let heights = [0, 1, 2, 3, 4, 5, 7, 10, 14, 19, 26, 33, 40];
    for (width, height) in widths.into_iter().flat_map(|w| heights.map(move |h| (w, h))) {
        for (at, model) in models.iter().enumerate() {
            // Each model in each way at some size, and each size in some ways.
            for bits in (0..16_u8).filter(|bits| u16::from(*bits) % 5 == (width + height) % 5) {
                let (open, waterfall) = (bits & 1 > 0, bits & 2 > 0);
                let (typing, compact) = (bits & 4 > 0, bits & 8 > 0);
                let mut state = State { open, waterfall, typing, ..State::default() };
                state.step = waterfall.then_some(usize::from(bits) * 7);
                if typing {
                    state.type_text("key: \u{202e}");
                }
                if bits > 9 {
                    state.show(version(["1.1", "1.3", "1.4", "9.9"][at]));
                }
                let look = if open { plain } else { Look::default() };
                let buf = picture(&state, model, &look, (width, height), compact);
                assert_safe(&buf, open, &format!("model {at} {width}x{height} {bits:b}"));
            }
        }
    }
}

#[test]
fn a_node_that_is_gone_is_drawn_as_lost() {
    let votes =
        [vote("n1", "yes", r#","sent_us":0,"recv_us":300"#), vote("n2", "lost", r#","sent_us":0"#)];
    let open = format!(
        r#""event":"txn_open","tx":"1.4","op":"put","keys":1,"key":"a","us_total":99,
        "us":{{"queued":0,"batch_formed":5}},"votes":[{}]"#,
        votes.join(",")
    );
    let down = r#""event":"member_state","node":"n2","from":"up","to":"down","reason":"tcp_reset",
        "silent_ms":0,"ring_share":0.2,"keys_one_copy":0,"keys_unwritable":0,"keys_in_doubt":1,
        "reads_by":[],"incarnation":1"#;
    let model = fed(&[&open, down]);
    let ladder = steps::ladder(&only(&model, "1.4"), &model, 118).unwrap();
    let gone: Vec<bool> = ladder.lanes.iter().map(|lane| lane.gone_since.is_some()).collect();
    assert_eq!(gone, [false, false, false, true]);
    let seen = full(&State { open: true, ..State::default() }, &model);
    assert!(seen.contains("no vote") && seen.contains("n2 is DOWN"), "{seen}");
    assert!(seen.contains("waiting in vain for the vote of n2: n2 is DOWN"), "{seen}");
}

#[test]
fn an_abort_is_told_when_nobody_holds_it_any_more() {
    let console = shown("doubt", 3_000);
    let model = console.shown();
    let rows = rows::all(model);
    let row = rows.iter().find(|row| row.fate == rows::Fate::Aborted).unwrap();
    let ladder = steps::ladder(row, model, 118).unwrap();
    let said = |words: &str| {
        let is = |what: &Happening| match what {
            Happening::Message { text, .. } | Happening::Note { text, .. } => text == words,
            Happening::Wait { .. } => false,
        };
        let at = ladder.steps.iter().position(|step| is(&step.what));
        at.unwrap_or_else(|| panic!("{words}: {:?}", ladder.steps))
    };
    let order = [
        "no",
        "a no: it can never be committed",
        "abort",
        "confirm",
        "nobody holds it: aborted",
        "aborted",
    ];
    assert!(order.map(said).is_sorted(), "{:?}", ladder.steps);
    let sentence = path::sentence(row, model);
    assert!(sentence.contains("until no node holds it any more"), "{sentence}");
}
