//! Tests of the view Events.

use protocol::event::decode;

use super::*;
use crate::console::action::ViewName;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{drawn, frame, play, played, press, recorded};

/// The view, shown, of a cluster of which nothing is known.
fn empty() -> Console {
    let mut console = Console::new(Settings::default());
    console.size = (120, 36);
    console.act_now(Action::Go(ViewName::Events));
    console
}

fn of(name: &str, until_ms: u64) -> Console {
    let mut console = played(name, until_ms);
    console.size = (120, 36);
    console.act_now(Action::Go(ViewName::Events));
    console
}

fn fed(console: &mut Console, at_ms: u64, fed: Fed) {
    console.handle(At::after_us(at_ms * 1_000), Input::Fed(fed));
}

fn live(console: &mut Console, at_ms: u64) {
    fed(console, at_ms, Fed::Link(FeedName::Coordinator, FeedState::Live));
}

/// Tells what `fields` say, of an event of that kind and number.
fn tell(console: &mut Console, at_ms: u64, kind: &str, seq: u64, fields: &str) {
    let line = format!(
        "{{\"event\":\"{kind}\",\"seq\":{seq},\"source\":\"coordinator\",\"epoch\":1,\
         \"wall_ms\":{at_ms},{fields}}}"
    );
    let event = decode(line.as_bytes()).expect(&line);
    fed(console, at_ms, Fed::Event(FeedName::Coordinator, Box::new(event)));
}

fn link(console: &mut Console, at_ms: u64, seq: u64, peer: &str) {
    tell(console, at_ms, "link", seq, &format!("\"peer\":\"{peer}\",\"state\":\"lost\""));
}

fn numbers(console: &Console) -> Vec<u64> {
    let rows = console.views.events.kept.rows(console.shown());
    (0..rows.len()).filter_map(|at| rows.get(at)).map(|entry| entry.no).collect()
}

fn selected(console: &Console) -> u64 {
    console.views.events.entry(console.shown()).unwrap().no
}

fn act(console: &mut Console, act: Act) -> Vec<Effect> {
    console.act_now(Action::Events(act))
}

#[test]
fn the_newest_is_followed_until_somebody_moves_up() {
    let all = recorded("kill");
    let mut console = of("kill", 3_000);
    assert_eq!(Some(selected(&console)), numbers(&console).last().copied());
    let before = selected(&console);
    play(&mut console, &all, 3_000, 4_500);
    assert!(selected(&console) > before);
    press(&mut console, "kk");
    let chosen = selected(&console);
    assert_eq!(numbers(&console).iter().rev().nth(2), Some(&chosen));
    play(&mut console, &all, 4_500, 7_000);
    assert_eq!(selected(&console), chosen, "what came does not move the selection");
    assert!(frame(&console, 120, 36).contains("below: f follows"));
    press(&mut console, "f");
    assert_eq!(Some(selected(&console)), numbers(&console).last().copied());
    press(&mut console, "kj");
    assert!(!console.views.events.follow, "the last one, and not past it");
    press(&mut console, "j");
    assert!(console.views.events.follow);
    press(&mut console, "g");
    assert_eq!(selected(&console), numbers(&console)[0]);
}

#[test]
fn what_is_kept_is_what_would_be_found_anew() {
    let all = recorded("kill");
    for keys in ["", "l", "ll", "ll/n3 !heartbeat\n", "o", "ll/put\n"] {
        let mut console = of("kill", 1_000);
        console.selected = "n3".into();
        press(&mut console, keys);
        for from in (1_000..9_000).step_by(700) {
            play(&mut console, &all, from, from + 700);
            let drawn = numbers(&console);
            let state = &console.views.events;
            let wanted =
                Wanted { server: state.only_server.then(|| "n3".into()), ..state.wanted_now() };
            let mut anew = Kept::default();
            anew.catch_up(&wanted, &console.model);
            let rows = anew.rows(&console.model);
            let anew: Vec<u64> =
                (0..rows.len()).filter_map(|at| rows.get(at)).map(|entry| entry.no).collect();
            assert_eq!(drawn, anew, "{keys:?} from {from}");
        }
        assert!(!numbers(&console).is_empty(), "{keys:?}");
    }
}

impl State {
    fn wanted_now(&self) -> Wanted {
        Wanted { level: self.level, text: self.text.clone(), server: None, incident: self.incident }
    }
}

#[test]
fn levels_show_more_or_less() {
    let mut console = of("kill", 6_000);
    let changes = numbers(&console);
    let text = frame(&console, 120, 36);
    assert!(text.contains("DOWN: its port") && !text.contains(" late"), "{text}");
    press(&mut console, "l");
    let worries = frame(&console, 120, 36);
    assert!(worries.contains("only worries") && worries.contains("! n3"), "{worries}");
    assert!(!worries.contains("a snapshot"), "{worries}");
    press(&mut console, "l");
    let all = numbers(&console);
    assert!(frame(&console, 120, 36).contains("heartbeat"));
    assert_eq!(all.len() as u64, console.model.record.total());
    assert!(changes.len() < all.len() / 3);
    press(&mut console, "l");
    assert_eq!(numbers(&console), changes);
}

#[test]
fn counts_of_keys_are_news_only_where_others_cannot_be_written() {
    let mut console = empty();
    live(&mut console, 1);
    for (seq, unwritable) in [0, 0, 7, 7, 7, 0].into_iter().enumerate() {
        let fields = format!("\"by_live_copies\":{{\"2\":{seq}}},\"unwritable\":{unwritable}");
        tell(&mut console, 2 + seq as u64, "copies", seq as u64, &fields);
    }
    press(&mut console, "G");
    assert_eq!(numbers(&console).len(), 4, "the connection, and three changes");
    press(&mut console, "ll");
    assert_eq!(numbers(&console).len(), 7);
}

#[test]
fn words_must_all_be_there_or_not_be_there() {
    let mut console = of("kill", 6_000);
    press(&mut console, "/N3 !LINK dow");
    assert!(console.views.events.is_typing());
    let text = frame(&console, 120, 36);
    assert!(text.contains("/ N3 !LINK dow") && text.contains("DOWN: its port"), "{text}");
    assert_eq!(numbers(&console).len(), 1, "{text}");
    press(&mut console, "\n");
    assert!(!console.views.events.is_typing());
    press(&mut console, "/x");
    assert!(frame(&console, 120, 36).contains("Esc shows all again"));
    press(&mut console, "\u{1b}");
    assert!(numbers(&console).len() > 5);
    press(&mut console, "/");
    console.handle(console.model.now, Input::Key(Key::Paste("a\nb\u{7}\u{202e}".into())));
    assert_eq!(console.views.events.text, "a b \u{202e}");
    console.handle(console.model.now, Input::Key(Key::Paste("漢".repeat(500))));
    assert!(console.views.events.text.len() <= TEXT_BYTES_MAX);
    assert!(frame(&console, 120, 36).contains("\\u{202e}"));
}

#[test]
fn only_a_server_or_an_incident() {
    let mut console = of("kill", 6_000);
    let all = numbers(&console).len();
    console.selected = "n3".into();
    press(&mut console, "o");
    let text = frame(&console, 120, 36);
    assert!(text.contains("only n3") && !text.contains("copies"), "{text}");
    console.selected = "n2".into();
    console.handle(console.model.now, Input::Tick);
    let of_other = frame(&console, 120, 36);
    assert!(of_other.contains("only n2") && !of_other.contains("DOWN: its port"), "{of_other}");
    press(&mut console, "o/admin\n");
    press(&mut console, "i");
    press(&mut console, "/\u{1b}");
    let text = frame(&console, 120, 36);
    assert!(text.contains("only incident 1") && text.contains("DOWN: its port"), "{text}");
    assert!(!text.contains("a snapshot"), "{text}");
    press(&mut console, "i");
    assert_eq!(numbers(&console).len(), all);
    press(&mut console, "gi");
    assert!(frame(&console, 120, 36).contains("part of no incident"));
}

#[test]
fn one_event_says_why_and_what_it_led_to() {
    let mut console = of("kill", 6_000);
    press(&mut console, "/down\n");
    press(&mut console, "g\n");
    let text = frame(&console, 120, 36);
    for words in ["member_state ", "why ", "its link to the", "led to", "\"to\": \"down\""] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let down = selected(&console);
    press(&mut console, "\n");
    assert!(selected(&console) < down, "to its cause");
    let text = frame(&console, 120, 36);
    assert!(text.contains("\"state\": \"refused\""), "{text}");
    assert!(text.contains("it is off now"), "the filter hid it: {text}");
    act(&mut console, Act::Consequence);
    assert_eq!(selected(&console), down);
    press(&mut console, "g\n");
    assert!(frame(&console, 120, 36).contains("no event is known that led to this one"));
    press(&mut console, "\u{1b}");
    assert!(!console.views.events.open);
}

#[test]
fn numbers_of_another_subscription_mean_something_else() {
    let mut console = empty();
    live(&mut console, 1);
    link(&mut console, 2, 5, "n1");
    live(&mut console, 3);
    fed(&mut console, 3, Fed::Link(FeedName::Coordinator, FeedState::Lost("gone".into())));
    live(&mut console, 4);
    let fields = "\"cause\":5,\"peer\":\"n2\",\"state\":\"up\"";
    tell(&mut console, 5, "link", 6, fields);
    press(&mut console, "G\n");
    assert!(frame(&console, 120, 36).contains("not kept any more"));
    link(&mut console, 6, 7, "n3");
    tell(&mut console, 7, "link", 8, "\"cause\":7,\"peer\":\"n3\",\"state\":\"refused\"");
    press(&mut console, "G");
    assert!(frame(&console, 120, 36).contains("n3: its link to the coordinator is lost"));
}

#[test]
fn what_is_copied_and_exported_reads_back() {
    let mut console = of("kill", 6_000);
    press(&mut console, "ll");
    let effects = act(&mut console, Act::Export);
    let Some(Effect::Export(name, lines)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!((name.as_str(), lines.len()), (FILE, numbers(&console).len()));
    let rows = console.views.events.kept.rows(&console.model);
    for (at, line) in lines.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match &rows.get(at).unwrap().what {
            crate::console::model::record::What::Event(event) => {
                assert_eq!(decode(line.as_bytes()).unwrap().body, event.body);
            }
            crate::console::model::record::What::Link(_) => assert!(value["link"].is_string()),
        }
    }
    let effects = act(&mut console, Act::Copy);
    assert_eq!(effects, [Effect::Copy(lines.last().unwrap().clone())]);
}

#[test]
fn incidents_have_brackets_and_times() {
    let console = of("kill", 4_000);
    let text = frame(&console, 120, 36);
    let (begin, end) = (text.find("┐  incident 1").unwrap(), text.find("▼  goes on").unwrap());
    assert!(begin < end && text.contains("+0 ms") && text.contains('╎'), "{text}");
    let compact = frame(&console, 80, 24);
    assert!(compact.contains("┐  #1") && compact.contains('▼'), "{compact}");
    let over = of("kill", 8_159);
    assert!(over.model.story.open().next().is_none(), "the recording ends well");
    assert!(frame(&over, 120, 36).contains("┘  over"));
}

#[test]
fn hostile_texts_are_only_shown() {
    let mut console = empty();
    live(&mut console, 1);
    let key = "a\\u001b[31m\\u202e漢\\u200b\\ufdfd";
    let fields = format!(
        "\"tx\":\"1.7\",\"op\":\"\\u0007put\",\"key\":\"{key}\",\"outcome\":\"aborted\",\
         \"reason\":\"\\u0000no\""
    );
    tell(&mut console, 2, "txn", 1, &fields);
    tell(&mut console, 3, "\\u001b]0;x\\u0007\\\"", 2, "\"x\":1");
    fed(&mut console, 4, Fed::Link(FeedName::Coordinator, FeedState::Lost("\u{9b}31m".into())));
    press(&mut console, "ll");
    for keys in ["", "\n", "g\n", "jj"] {
        press(&mut console, keys);
        for (columns, rows) in [(120, 36), (80, 24)] {
            let text = frame(&console, columns, rows);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text:?}");
        }
    }
    let effects = act(&mut console, Act::Export);
    let Some(Effect::Export(_, lines)) = effects.first() else { panic!("{effects:?}") };
    assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn any_size_will_do_and_so_will_nothing_at_all() {
    let mut stale = of("coordinator-killed", 3_500);
    assert!(frame(&stale, 120, 36).contains("nothing new for"));
    press(&mut stale, "gj\n");
    for mut console in [empty(), of("kill", 6_000), stale] {
        for _ in 0..2 {
            for (columns, rows) in (1..130).map(|n| (n, 1 + n % 40)).chain([(80, 24), (250, 90)]) {
                drawn(&console, columns, rows);
            }
            for n in 0..40 {
                let (width, height) = (n * 3, 40 - n);
                let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
                let seen = Seen {
                    model: &console.model,
                    look: &console.settings.look,
                    selected: "n1",
                    compact: n % 2 == 0,
                    read_only: false,
                };
                let area = Rect::new(0, 0, width, height);
                console.views.events.draw(&seen, area, &mut buf);
                console.views.events.draw(&seen, Rect::new(5, 5, width, height), &mut buf);
            }
            press(&mut console, "\n]]][");
        }
    }
    assert!(frame(&empty(), 120, 36).contains("nothing has come in yet"));
}

#[test]
fn a_click_selects_the_row_under_it() {
    let mut console = of("kill", 6_000);
    let text = frame(&console, 120, 36);
    let row = text.lines().position(|line| line.contains("DOWN: its port")).unwrap() as u16;
    console.handle(console.model.now, Input::Pointed(Pointed::Click(20, row)));
    press(&mut console, "\n");
    assert!(frame(&console, 120, 36).contains("\"to\": \"down\""));
    press(&mut console, "\u{1b}");
    let before = selected(&console);
    console.handle(console.model.now, Input::Pointed(Pointed::Wheel(20, row, false)));
    assert!(selected(&console) < before);
}

#[test]
fn a_frozen_picture_stands_still() {
    let all = recorded("kill");
    let mut console = of("kill", 4_000);
    press(&mut console, " ");
    let before = numbers(&console);
    play(&mut console, &all, 4_000, 8_000);
    assert_eq!(numbers(&console), before);
    press(&mut console, " ");
    assert!(numbers(&console).len() > before.len());
}
