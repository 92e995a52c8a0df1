//! Tests of the view Data.

use protocol::reply::LocateReply;
use protocol::status::NodeState;

use super::*;
use crate::commands::{Command, Takes};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{drawn, frame, played, press};

fn catalog() -> Catalog {
    let command = |name: &str, takes: &[Takes]| Command {
        name: name.into(),
        about: format!("what {name} does"),
        places: takes.to_vec(),
        ..Command::default()
    };
    let commands = vec![
        command("get", &[Takes::Key]),
        command("put", &[Takes::Key, Takes::Other]),
        command("status", &[]),
        command("scan", &[Takes::Key]),
    ];
    Catalog { commands }
}

/// The view, shown, with the prompt empty and the keys asked for.
fn shown() -> Console {
    let mut console = played("calm", 3_000);
    console.size = (120, 36);
    console.views.data.set_catalog(catalog());
    let effects = console.act_now(Action::Go(ViewName::Data));
    assert!(effects.contains(&Effect::Scan(String::new(), list::KEYS_MAX as u32)));
    console
}

fn key(console: &mut Console, key: Key) -> Vec<Effect> {
    console.handle(console.model.now, Input::Key(key))
}

fn done(console: &mut Console, done: Done) -> Vec<Effect> {
    console.handle(console.model.now, Input::Done(done))
}

fn printed(console: &mut Console, text: &[u8]) {
    done(console, Done::Printed(text.to_vec()));
}

/// Types a line and Enter.
fn run(console: &mut Console, line: &str) -> Vec<Effect> {
    press(console, line);
    key(console, Key::Enter)
}

fn scanned(console: &mut Console, prefix: &str, keys: &[&str], more: bool) {
    let keys = keys.iter().map(|&key| key.to_owned()).collect();
    done(console, Done::Scanned(prefix.into(), Ok((keys, more))));
}

fn located(console: &mut Console, key: &str, reply: &str) {
    let reply: LocateReply = serde_json::from_str(reply).unwrap();
    done(console, Done::Located(key.into(), Ok(Box::new(reply))));
}

fn text(console: &Console) -> String {
    frame(console, 120, 36)
}

fn ran(line: &str) -> Effect {
    Effect::Run(line.into())
}

fn only(key: &str) -> Completions {
    Completions { keys: vec![key.into()], ..Completions::default() }
}

#[test]
fn a_line_is_carried_out_and_its_key_looked_for() {
    let mut console = shown();
    let effects = run(&mut console, "get user:1 ");
    assert_eq!(effects, [ran("get user:1"), Effect::Locate("user:1".into())]);
    assert!(text(&console).contains("running for"));
    printed(&mut console, b"caf\xc3");
    printed(&mut console, b"\xa9\tx\r\nsecond\xff");
    let shown = text(&console);
    assert!(shown.contains("  café    x ") && shown.contains("second\\xff"), "{shown}");
    assert_eq!(done(&mut console, Done::Ended(7)), []);
    let shown = text(&console);
    assert!(shown.contains("> get user:1") && shown.contains(" 7 ms"), "{shown}");
    assert!(!shown.contains("running"), "{shown}");
    key(&mut console, Key::Up);
    assert!(text(&console).contains("> get user:1▏"), "history");
}

#[test]
fn lines_wait_for_each_other() {
    let mut console = shown();
    run(&mut console, "put a 1");
    assert_eq!(run(&mut console, "put b 2"), []);
    assert_eq!(run(&mut console, "get b"), []);
    assert!(text(&console).contains("2 lines wait"));
    printed(&mut console, b"written, version 1.5\n");
    let effects = done(&mut console, Done::Ended(3));
    assert!(effects.contains(&ran("put b 2")), "{effects:?}");
    assert!(effects.contains(&Effect::Locate("b".into())), "{effects:?}");
    for n in 0..session::WAITING_MAX + 5 {
        run(&mut console, &format!("get k{n}"));
    }
    assert_eq!(console.views.data.session.waiting(), session::WAITING_MAX);
    let effects = key(&mut console, Key::Ctrl('c'));
    assert_eq!(effects, [Effect::Interrupt]);
    assert_eq!(console.views.data.session.waiting(), 0);
    assert!(console.views.data.is_typing(), "the prompt stays");
    done(&mut console, Done::Ended(0));
    press(&mut console, "half");
    assert_eq!(key(&mut console, Key::Ctrl('c')), [], "drops what is typed");
    assert!(console.views.data.is_typing());
    assert_eq!(key(&mut console, Key::Ctrl('c')), [], "leaves the prompt");
    assert!(!console.views.data.is_typing());
}

#[test]
fn several_pasted_lines_run_one_after_the_other() {
    let mut console = shown();
    key(&mut console, Key::Paste("get a\nget b\n# no command\n\nget c".into()));
    assert_eq!(key(&mut console, Key::Enter)[0], ran("get a"));
    assert_eq!(done(&mut console, Done::Ended(1))[0], ran("get b"));
    assert_eq!(done(&mut console, Done::Ended(1))[0], ran("get c"));
    assert_eq!(done(&mut console, Done::Ended(1)), []);
}

#[test]
fn keys_are_text_only_while_the_prompt_has_them() {
    let mut console = shown();
    press(&mut console, "2Kq?");
    assert_eq!(console.view, ViewName::Data);
    assert!(console.overlay.is_none() && text(&console).contains("> 2Kq?▏"));
    press(&mut console, "\u{1b}");
    assert!(!console.views.data.is_typing());
    press(&mut console, "2");
    assert_eq!(console.view, ViewName::Ring);
    press(&mut console, "5");
    assert!(console.views.data.is_typing(), "it is shown anew");
    press(&mut console, "\u{1b}");
    press(&mut console, "i!");
    assert!(text(&console).contains("> 2Kq?!▏"), "what was typed stays");
    key(&mut console, Key::Home);
    assert!(!text(&console).contains('▏'), "the cursor stands on a character");
}

#[test]
fn nothing_is_changed_where_that_is_not_allowed() {
    let mut console = shown();
    console.read_only = Some("asked for".into());
    for line in ["put a 1", "'del' a", "txn x", "import f", "explain put a 1 --run", "frobnicate"] {
        assert_eq!(run(&mut console, line), [], "{line}");
        assert!(console.remarks.back().unwrap().1.starts_with("read-only"), "{line}");
    }
    assert!(text(&console).contains("put would change keys"));
    assert_eq!(run(&mut console, "get a")[0], ran("get a"));
    run(&mut console, "put a 1");
    assert_eq!(done(&mut console, Done::Ended(1)), [], "nor when its turn comes");
    console.read_only = None;
    assert_eq!(run(&mut console, "put a 1")[0], ran("put a 1"));
}

#[test]
fn commands_and_keys_are_completed() {
    let mut console = shown();
    press(&mut console, "st\t");
    assert!(text(&console).contains("> status ▏"));
    key(&mut console, Key::Ctrl('u'));
    press(&mut console, "s\t");
    let shown = text(&console);
    assert!(shown.contains("what status does") && shown.contains("what scan does"), "{shown}");
    press(&mut console, "\u{1b}");
    assert!(console.views.data.is_typing(), "that closed the menu only");
    key(&mut console, Key::Ctrl('u'));
    press(&mut console, "get us");
    assert_eq!(key(&mut console, Key::Tab), [Effect::Complete("us".into())]);
    done(&mut console, Done::Completed("us".into(), Some(only("user 1"))));
    assert!(text(&console).contains("> get \"user 1\" ▏"), "{}", text(&console));
    key(&mut console, Key::Ctrl('u'));
    press(&mut console, "get us\t");
    let keys = vec!["user:load-1".into(), "user:load-2".into()];
    let found = Completions { keys, more: true, alike: true };
    done(&mut console, Done::Completed("us".into(), Some(found)));
    assert!(text(&console).contains("> get user:load-▏"), "{}", text(&console));
    key(&mut console, Key::Ctrl('u'));
    press(&mut console, "get x\t");
    press(&mut console, "y");
    done(&mut console, Done::Completed("x".into(), Some(only("xx"))));
    assert!(text(&console).contains("> get xy▏"), "too late");
    press(&mut console, "\t");
    done(&mut console, Done::Completed("xy".into(), None));
    assert!(text(&console).contains("does not tell its keys now"));
}

#[test]
fn keys_are_listed_as_their_beginning_is_typed() {
    let mut console = shown();
    scanned(&mut console, "", &["a", "b", "user:1"], true);
    assert!(text(&console).contains("the first 3 of more"));
    press(&mut console, "\u{1b}jj");
    assert_eq!(console.views.data.list.selected(), Some("b"));
    scanned(&mut console, "", &["a", "aa", "b", "c"], false);
    assert_eq!(console.views.data.list.selected(), Some("b"), "by its name");
    assert!(text(&console).contains("4 keys"));
    scanned(&mut console, "", &["a", "c"], false);
    assert_eq!(console.views.data.list.selected(), Some("c"), "what took its place");
    press(&mut console, "/us");
    let now = console.model.now;
    assert_eq!(console.handle(now, Input::Tick), [Effect::Scan("us".into(), 200)]);
    assert_eq!(console.handle(now, Input::Tick), [], "once");
    scanned(&mut console, "u", &["u1"], false);
    assert!(!text(&console).contains("u1"), "that was the answer to something else");
    scanned(&mut console, "us", &["user:1", "user:2"], false);
    press(&mut console, "\n");
    assert!(!console.views.data.is_typing());
    assert_eq!(console.views.data.list.selected(), Some("user:1"));
    let effects = key(&mut console, Key::Enter);
    assert_eq!(effects, [ran("get user:1"), Effect::Locate("user:1".into())]);
    done(&mut console, Done::Ended(1));
    done(&mut console, Done::Scanned("us".into(), Err("nobody answers".into())));
    assert!(text(&console).contains("not known: nobody answers"));
    press(&mut console, "\u{1b}\u{1b}");
    assert_eq!(console.handle(now, Input::Tick), [Effect::Scan(String::new(), 200)]);
}

#[test]
fn what_others_write_is_listed_while_the_keys_are_looked_at() {
    let mut console = shown();
    scanned(&mut console, "", &[], false);
    assert!(text(&console).contains("0 keys"));
    let (ask, from) = (Effect::Scan(String::new(), 200), console.model.now);
    let tick = |console: &mut Console, after_ms| {
        // The cluster goes on telling.
        console.model.now = from.plus_ms(after_ms);
        console.model.coordinator_feed.last = Some(console.model.now);
        console.handle(console.model.now, Input::Tick)
    };
    assert_eq!(tick(&mut console, 4_900), [], "not at each tick");
    assert_eq!(tick(&mut console, 5_000), std::slice::from_ref(&ask));
    assert_eq!(tick(&mut console, 10_000), [], "one question at a time");
    done(&mut console, Done::Scanned(String::new(), Err("not connected".into())));
    assert!(text(&console).contains("not known: not connected"));
    assert_eq!(tick(&mut console, 15_000), [ask]);
    scanned(&mut console, "", &["a", "b"], false);
    assert!(text(&console).contains("2 keys"));
    console.model.now = from.plus_ms(45_000);
    assert_eq!(console.handle(console.model.now, Input::Tick), [], "nobody would answer");
    assert!(text(&console).contains("2 keys, 30 s ago"));
}

#[test]
fn any_key_can_be_taken_from_the_list() {
    for (name, line) in [
        ("-x", "get -- -x"),
        ("a b", "get \"a b\""),
        ("-", "get -- \"-\""),
        ("\u{1b}", "get \"\\x1b\""),
        ("'q", "get \"'q\""),
    ] {
        let mut console = shown();
        press(&mut console, "\u{1b}");
        scanned(&mut console, "", &[name], false);
        let effects = {
            press(&mut console, "j");
            key(&mut console, Key::Enter)
        };
        assert_eq!(effects, [ran(line), Effect::Locate(name.into())]);
    }
}

const REPLY: &str = r#"{"hash":"9c4e71d000000000","nodes":["n3","n4"],"set":6,"way":2,"copies":[
    {"node":"n3","role":"primary","state":"up","version":"1.7","cached":true,"undecided":0},
    {"node":"n4","role":"replica","state":"up","version":"1.6","cached":false,"undecided":2}]}"#;

#[test]
fn where_a_key_lives_is_shown_and_opened() {
    let mut console = shown();
    press(&mut console, "\u{1b}w");
    assert_eq!(console.view, ViewName::Data, "no key was named");
    press(&mut console, "i");
    run(&mut console, "get k");
    located(&mut console, "other", REPLY);
    assert!(text(&console).contains("looking for k"));
    located(&mut console, "k", REPLY);
    let shown = text(&console);
    for words in [
        "Where k lives",
        "n3 primary ● up      1.7 cached",
        "1.6 differs ! 2 undecided",
        "set 6, way 2",
        "it can be read and written",
        "transaction 1.7",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let compact = frame(&console, 80, 24);
    assert!(compact.contains("where k  n3 ● up 1.7 cached"), "{compact}");
    console.model.nodes.get_mut("n4").unwrap().state = Some(NodeState::Down);
    let effects = console.handle(console.model.now, Input::Tick);
    assert_eq!(effects, [Effect::Locate("k".into())], "one of its nodes is in another state");
    let shown = text(&console);
    assert!(shown.contains("n3 answers reads; no writes without n4"), "{shown}");
    assert!(shown.contains("✗ DOWN"), "{shown}");
    press(&mut console, "\u{1b}w");
    assert_eq!(console.view, ViewName::Ring);
}

#[test]
fn the_last_update_is_opened() {
    let mut console = shown();
    press(&mut console, "\u{1b}x");
    assert_eq!(console.view, ViewName::Data, "there was none");
    press(&mut console, "i");
    run(&mut console, "put k v");
    printed(&mut console, b"written, ver");
    printed(&mut console, b"sion 1.25\n");
    done(&mut console, Done::Ended(2));
    run(&mut console, "get k --json");
    printed(&mut console, b"{\"key\":\"k\",\"version\":\"1.99\"}\n");
    done(&mut console, Done::Ended(2));
    assert_eq!(console.views.data.last_txn.map(|txn| txn.to_string()).as_deref(), Some("1.25"));
    press(&mut console, "\u{1b}x");
    assert_eq!(console.view, ViewName::Txns);
}

#[test]
fn what_is_cut_of_a_value_is_counted() {
    let mut console = shown();
    run(&mut console, "get big");
    printed(&mut console, &b"v".repeat(1_000));
    printed(&mut console, &b"v".repeat(1 << 20));
    printed(&mut console, b"\n");
    let (_, line) = console.views.data.session.shown().next().unwrap();
    let kept = line.chars().take_while(|c| *c == 'v').count();
    let left = crate::console::model::clock::count(((1 << 20) + 1_000 - kept) as u64);
    assert!(line.ends_with(&format!("v... ({left} bytes more are not shown)")), "{line}");
}

#[test]
fn a_session_is_bounded() {
    let mut console = shown();
    run(&mut console, "watch --prefix x");
    for n in 0..session::LINES_MAX + 500 {
        printed(&mut console, format!("line {n}\n").as_bytes());
    }
    printed(&mut console, &b"\x1b".repeat(1 << 20));
    printed(&mut console, b"\n");
    let session = &console.views.data.session;
    assert_eq!(session.shown().count(), session::LINES_MAX);
    assert!(session.shown().all(|(_, line)| line.len() <= session::LINE_BYTES_MAX));
    assert!(session.shown().next().unwrap().1.ends_with(" bytes more are not shown)"));
    key(&mut console, Key::Ctrl('l'));
    for n in 0..100 {
        printed(&mut console, format!("line {n}\n").as_bytes());
    }
    key(&mut console, Key::PageUp);
    let before = text(&console);
    assert!(before.contains("line 89") && !before.contains("line 90"), "{before}");
    printed(&mut console, b"another\n");
    assert_eq!(text(&console), before, "what comes does not move it");
    key(&mut console, Key::PageDown);
    key(&mut console, Key::PageDown);
    assert!(text(&console).contains("another"));
}

#[test]
fn words_of_the_prompt_itself() {
    let mut console = shown();
    run(&mut console, "get a");
    done(&mut console, Done::Ended(1));
    assert_eq!(run(&mut console, "history"), []);
    assert!(text(&console).contains("    1  get a"));
    assert_eq!(run(&mut console, "clear"), []);
    assert!(!text(&console).contains("get a"));
    assert_eq!(run(&mut console, "quit"), []);
    assert!(!console.views.data.is_typing());
}

#[test]
fn hostile_texts_are_only_shown() {
    let hostile = "a\u{1b}[31m\u{202e}漢\u{200b}\u{fdfd}";
    let mut console = shown();
    scanned(&mut console, "", &[hostile, "b"], false);
    press(&mut console, "\u{1b}j\n");
    done(&mut console, Done::Printed(format!("{hostile}\u{9b}\r{hostile}\n").into_bytes()));
    done(&mut console, Done::Located(hostile.into(), Err(hostile.into())));
    press(&mut console, "i");
    key(&mut console, Key::Paste(hostile.into()));
    for (columns, rows) in [(120, 36), (80, 24)] {
        let text = frame(&console, columns, rows);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text:?}");
    }
}

#[test]
fn any_size_will_do_and_so_will_nothing_at_all() {
    let mut full = shown();
    scanned(&mut full, "", &["a", "b", "漢字漢字漢字漢字漢字漢字漢字漢字漢字"], true);
    run(&mut full, "get k");
    printed(&mut full, "漢字 ".repeat(900).as_bytes());
    located(&mut full, "k", REPLY);
    press(&mut full, "s\t");
    let mut silent = full.clone();
    silent.model.tick(silent.model.now.plus_ms(9_000));
    assert!(text(&silent).contains("no word from the coordinator"));
    assert!(text(&silent).contains("no coordinator serves"));
    for console in [Console::new(Settings::default()), full, silent] {
        for n in 0..130_u16 {
            drawn(&console, 1 + n, 1 + n % 40);
            let area = Rect::new(0, 0, n, 40 - n % 41);
            let mut buf = Buffer::empty(area);
            for compact in [true, false] {
                let seen = Seen {
                    model: &console.model,
                    look: &console.settings.look,
                    selected: "n1",
                    compact,
                    read_only: n % 2 == 0,
                };
                console.views.data.draw(&seen, area, &mut buf);
                console.views.data.draw(&seen, Rect::new(3, 3, n, 9), &mut buf);
                let mut state = console.views.data.clone();
                let out = &mut Out::default();
                state.pointed(Pointed::Click(n, n % 40), area, &seen, out);
                state.pointed(Pointed::Wheel(n, n % 40, false), area, &seen, out);
            }
        }
    }
}

#[test]
fn a_click_selects_and_the_wheel_scrolls() {
    let mut console = shown();
    scanned(&mut console, "", &["key:a", "key:b", "key:c"], false);
    for (columns, rows) in [(120, 36), (80, 24)] {
        console.handle(console.model.now, Input::Resize(columns, rows));
        let text = frame(&console, columns, rows);
        let row = text.lines().position(|line| line.contains("key:b")).unwrap();
        let line = text.lines().nth(row).unwrap();
        let column = crate::text::width(&line[..line.find("key:b").unwrap()]);
        let at = (column as u16, row as u16);
        console.handle(console.model.now, Input::Pointed(Pointed::Click(at.0, at.1)));
        assert_eq!(console.views.data.list.selected(), Some("key:b"));
        assert!(!console.views.data.is_typing());
        console.handle(console.model.now, Input::Pointed(Pointed::Wheel(at.0, at.1, true)));
        assert_eq!(console.views.data.list.selected(), Some("key:c"));
        console.handle(console.model.now, Input::Pointed(Pointed::Click(10, 12)));
        assert!(console.views.data.is_typing());
    }
}
