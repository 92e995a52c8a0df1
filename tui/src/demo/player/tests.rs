//! The player without a cluster: steps come when they are due, and waits end as they should.

use super::*;
use crate::console::state::Settings;
use crate::console::testing::played;
use crate::demo::parse;

fn player(lines: &str, pace: Pace) -> Player {
    let text = format!("title \"T\"\nabout \"A\"\ntakes 60s\ncluster 5\n{lines}\n");
    let script = parse("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
    Player::new(script, pace, false)
}

/// All orders up to `until_ms`, asked every 10 ms, each with when it came; notes as their result.
fn orders(
    player: &mut Player,
    console: &Console,
    from_ms: u64,
    until_ms: u64,
) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    for ms in (from_ms..=until_ms).step_by(10) {
        for _ in 0..50 {
            let orders = player.turn(At::after_us(ms * 1_000), console);
            if orders.is_empty() {
                break;
            }
            all.extend(orders.into_iter().map(|order| (ms, told(order))));
        }
    }
    all
}

fn told(order: Order) -> String {
    match order {
        Order::Key(key) => format!("key {}", key_name(&key)),
        Order::Note(note) => match note.what {
            What::Said(text) => format!("said {text}"),
            What::Met { .. } => format!("met {}", note.text),
            What::Unmet { why, .. } => format!("unmet {why}"),
            What::Passed => "passed".into(),
            What::Kept(figure) => format!("kept {figure}"),
            _ => format!("note {}", note.text),
        },
        Order::Select(server) => format!("select {server}"),
        Order::End => "end".into(),
        other => format!("{other:?}"),
    }
}

fn at(all: &[(u64, String)], what: &str) -> u64 {
    let found = all.iter().find(|(_, told)| told.starts_with(what));
    found.unwrap_or_else(|| panic!("no {what:?} in {all:#?}")).0
}

#[test]
fn pauses_keys_and_captions_take_their_time() {
    let console = played("calm", 2_000);
    let lines = "caption \"hello\" ; pause 2s ; press K y ; expect nodes.up = 5 ; select n3";
    let all = orders(&mut player(lines, Pace::Timed), &console, 0, 10_000);
    let read_ms = reading_ms("hello");
    assert_eq!(at(&all, "said hello"), 0);
    assert!(at(&all, "key K").abs_diff(read_ms + 2_000) <= 30, "{all:?}");
    assert!(at(&all, "key y").abs_diff(at(&all, "key K") + KEY_MS) <= 20, "{all:?}");
    assert!(at(&all, "select n3") >= at(&all, "key y") + KEY_MS - 20);
    assert_eq!(all.last().unwrap().1, "end");
    // The same at once.
    let all = orders(&mut player(lines, Pace::Fast), &console, 0, 0);
    assert!(all.iter().any(|(_, told)| told == "passed"), "{all:?}");
}

#[test]
fn what_is_not_so_in_time_fails_with_what_was_found() {
    let console = played("calm", 2_000);
    let mut player = player("wait nodes.up = 4 within 2s\nmark \"never\"", Pace::Fast);
    let all = orders(&mut player, &console, 0, 5_000);
    assert_eq!(at(&all, "unmet nodes.up = 4: nodes.up is 5"), 2_000);
    assert!(!all.iter().any(|(_, told)| told.contains("never")), "{all:?}");
    let (shown, _) = player.shown(At::after_us(3_000_000));
    assert!(shown.doing == Doing::Failed && shown.text.contains("nodes.up is 5"), "{shown:?}");
}

#[test]
fn figures_are_said_as_found_and_kept_ones_are_compared() {
    let console = played("calm", 2_000);
    let lines = "keep before nodes.up ; caption \"{kept.before} of {cluster.nodes}\"\n\
                 expect cluster.nodes >= 1 x kept.before and nodes.up < 2 x kept.before\n\
                 expect nodes.up > kept.before";
    let all = orders(&mut player(lines, Pace::Fast), &console, 0, 100);
    assert!(all.iter().any(|(_, told)| told == "said 5 of 5"), "{all:?}");
    let why = "unmet nodes.up > kept.before: nodes.up is 5 and kept.before is 5";
    assert_eq!(at(&all, why), 0);
    // What is not known cannot be said.
    let nothing = Console::new(Settings::default());
    let all = orders(
        &mut player("caption \"{ops.per_s}\" ; wait nodes.up = 1", Pace::Fast),
        &nothing,
        0,
        0,
    );
    assert_eq!(at(&all, "unmet ops.per_s is not known"), 0);
}

#[test]
fn a_person_lets_it_stand_goes_back_on_and_faster() {
    let console = played("calm", 2_000);
    let key = |player: &mut Player, key: Key, ms: u64| player.key(&key, At::after_us(ms * 1_000));
    let lines =
        "caption \"one\" ; caption \"two\" ; caption \"three\" ; pause 10s ; expect nodes.up = 5";
    let mut playing = player(lines, Pace::Timed);
    orders(&mut playing, &console, 0, 500);
    key(&mut playing, Key::Char(' '), 500);
    assert_eq!(playing.shown(At::after_us(500_000)).0.doing, Doing::Stands);
    assert!(orders(&mut playing, &console, 510, 9_000).is_empty(), "it stands");
    assert_eq!(playing.due(At::after_us(9_000_000)), None);
    key(&mut playing, Key::Char(' '), 9_000);
    let all = orders(&mut playing, &console, 9_000, 13_000);
    let two = at(&all, "said two");
    assert!(two.abs_diff(9_000 + reading_ms("one") - 500) <= 20, "{two}");
    // Back to the first one; forward again, and on.
    key(&mut playing, Key::Char('b'), 13_000);
    let (shown, past) = playing.shown(At::after_us(13_000_000));
    assert_eq!((shown.doing, &*shown.text, past), (Doing::Looks, "two", Some(1)));
    key(&mut playing, Key::Char('b'), 13_000);
    assert_eq!(playing.shown(At::after_us(13_000_000)).0.text, "one");
    key(&mut playing, Key::Char('n'), 13_000);
    key(&mut playing, Key::Char('n'), 13_000);
    assert_eq!(playing.shown(At::after_us(13_000_000)).0.doing, Doing::Stands);
    key(&mut playing, Key::Char('n'), 13_000);
    // In the pause: n ends it.
    key(&mut playing, Key::Char('n'), 13_010);
    let all = orders(&mut playing, &console, 13_010, 13_020);
    assert!(all.iter().any(|(_, told)| told == "passed"), "{all:?}");
    // Faster.
    let mut playing = player(lines, Pace::Timed);
    (0..9).for_each(|_| playing.key(&Key::Char('+'), At::default()));
    assert_eq!(playing.shown(At::default()).0.speed, 3.0);
    let all = orders(&mut playing, &console, 0, 13_000);
    assert!(at(&all, "said two").abs_diff(reading_ms("one") / 3) <= 20);
    // A presenter presses Enter.
    let mut playing = player(lines, Pace::Present);
    assert_eq!(orders(&mut playing, &console, 0, 60_000).len(), 2);
    assert_eq!(playing.shown(At::default()).0.doing, Doing::Asks);
    key(&mut playing, Key::Enter, 60_000);
    assert_eq!(at(&orders(&mut playing, &console, 60_000, 60_010), "said two"), 60_000);
    key(&mut playing, Key::Escape, 60_020);
    assert!(orders(&mut playing, &console, 60_020, 60_020).iter().any(|(_, o)| o == "HandOver"));
}
