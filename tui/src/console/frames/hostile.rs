//! Texts from outside that would do harm to a terminal that obeyed them, or to a picture.

use unicode_segmentation::UnicodeSegmentation;

use super::hand::{cluster, fed, lines, numbered};
use crate::console::action::{Action, ViewName};
use crate::console::effect::Done;
use crate::console::look::Look;
use crate::console::model::clock::At;
use crate::console::model::feed::{FeedName, FeedState};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{drawn, play, press};
use crate::console::widgets::testing::assert_safe;
use crate::text as safe;

/// Control, direction, nothing to be seen, two columns, right to left, many marks on one letter.
const HOSTILE: &[&str] = &[
    "\u{1b}[31;7mred\u{1b}[0m\u{7}\r\n\t\u{85}",
    "\u{202e}desrever\u{202c}\u{200f}",
    "\u{200b}\u{feff}\u{ad}a\u{2060}b",
    "漢字かな交じり文漢字かな交じり文漢字かな",
    "אבגדה مرحبا",
    "z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}e\u{301}",
    "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪",
];

/// As it is shown.
fn shown(text: &str) -> String {
    text.graphemes(true).map(safe::shown).collect()
}

/// A text of letters that is as wide as `text` when it is shown.
fn harmless(text: &str) -> String {
    "x".repeat(safe::width(&shown(text)))
}

/// A recording with other texts in it: keys, names of administrators, reasons, last lines.
fn with_texts(name: &str, text: &str) -> Vec<String> {
    let text = serde_json::to_string(text).expect("a text");
    let inner = text.trim_matches('"');
    let replace = |line: String| {
        let line = line.replace("market:load-0000", inner);
        let line = line.replace("ada at the console", inner);
        let line = line.replace("\"reason\":\"tcp_refused\"", &format!("\"reason\":{text}"));
        let line = line.replace("\"reason\":\"silence\"", &format!("\"reason\":{text}"));
        line.replace("\"restarts\":0,", &format!("\"restarts\":0,\"last_lines\":[{text}],"))
    };
    let mut lines = lines(name);
    let rest = lines.split_off(1);
    lines.extend(rest.into_iter().map(replace));
    lines
}

/// A console that was fed such a recording, with such texts typed and answered too.
fn told(name: &str, until_ms: u64, view: ViewName, text: &str) -> Console {
    let mut console = Console::new(Settings { own_name: "recorder".into(), ..Settings::default() });
    play(&mut console, &fed(&with_texts(name, text)), 0, until_ms);
    console.size = (120, 36);
    console.selected = "n3".into();
    console.act_now(Action::Go(view));
    let now = console.model.now;
    let done = [
        Done::Scanned(String::new(), Ok((vec![text.to_owned(), "a".into()], false))),
        Done::Printed(format!("{text}\n").into_bytes()),
        Done::Exported(Err(text.to_owned())),
    ];
    for one in done {
        console.handle(now, Input::Done(one));
    }
    console
}

/// Where lines of boxes are, and which.
fn borders(console: &Console, size: (u16, u16)) -> Vec<(usize, String)> {
    let buf = drawn(console, size.0, size.1);
    let is_border = |symbol: &str| {
        symbol.chars().all(|c| ('\u{2500}'..='\u{257f}').contains(&c)) && !symbol.is_empty()
    };
    let cells = buf.content.iter().enumerate();
    cells.map(|(at, cell)| (at, cell.symbol().to_owned())).filter(|(_, s)| is_border(s)).collect()
}

const SHOWN: &[(&str, u64)] = &[("kill", 4_000), ("doubt", 4_500), ("cache", 4_900)];

#[test]
fn texts_are_shown_and_not_obeyed() {
    for (at, text) in HOSTILE.iter().enumerate() {
        for view in ViewName::ALL {
            let (name, until_ms) = SHOWN[(at + view.digit()) % SHOWN.len()];
            let mut console = told(name, until_ms, view, text);
            for keys in ["", "\n", "j\n", "\u{1b}/", "K"] {
                press(&mut console, keys);
                if keys.ends_with('/') {
                    console.handle(At(0), Input::Key(crate::prompt::Key::Paste((*text).into())));
                }
                for (columns, rows) in [(120, 36), (80, 24), (53, 14)] {
                    let what = format!("{name} {view:?} {keys:?} {columns}x{rows} {text:?}");
                    assert_safe(&drawn(&console, columns, rows), false, &what);
                    console.settings.look = Look::choose(None, true, None, true);
                    assert_safe(&drawn(&console, columns, rows), true, &what);
                    console.settings.look = Look::default();
                }
            }
        }
    }
}

#[test]
fn borders_stay_where_they_are() {
    let mut seen = 0;
    for (at, text) in HOSTILE.iter().enumerate() {
        for view in ViewName::ALL {
            let (name, until_ms) = SHOWN[(at + view.digit()) % SHOWN.len()];
            let hostile = told(name, until_ms, view, text);
            let plain = told(name, until_ms, view, &harmless(text));
            for size in [(120, 36), (80, 24)] {
                let (found, expected) = (borders(&hostile, size), borders(&plain, size));
                seen += expected.len();
                let other = found.iter().zip(&expected).find(|(one, other)| one != other);
                assert!(
                    found == expected,
                    "{name} {view:?} {size:?} {text:?}: {other:?}\n{}\n{}",
                    crate::console::testing::frame(&hostile, size.0, size.1),
                    crate::console::testing::frame(&plain, size.0, size.1)
                );
            }
        }
    }
    assert!(seen > 10_000, "{seen} cells of borders");
}

#[test]
fn names_may_be_as_long_as_the_protocol_admits() {
    let long = "n".repeat(protocol::ids::NAME_BYTES_MAX);
    let [mut console, mut short] = [long.as_str(), "n9"].map(|name| {
        let names = [numbered(3), vec![name.to_owned(), "--..__".to_owned()]].concat();
        let mut console = cluster(&names);
        console.selected = name.to_owned();
        console
    });
    for view in ViewName::ALL {
        for keys in ["", "\n", "K", "\u{1b}?", "\u{1b}"] {
            for (columns, rows) in [(120, 36), (80, 24), (50, 12), (250, 90)] {
                let what = format!("{view:?} {keys:?} {columns}x{rows}");
                for one in [&mut console, &mut short] {
                    one.overlay = None;
                    one.act_now(Action::Go(view));
                    press(one, keys);
                }
                let [buf, expected] = [&console, &short].map(|one| drawn(one, columns, rows));
                assert_safe(&buf, false, &what);
                // The border at the right edge stays where it is with a short name.
                let edge = |buf: &ratatui::buffer::Buffer| {
                    let closed = |y: &u16| buf[(columns - 1, *y)].symbol() == "│";
                    (0..rows).filter(closed).count()
                };
                let is_asked = keys == "K";
                assert!(is_asked || edge(&buf) == edge(&expected), "{what}");
            }
        }
    }
}

#[test]
fn why_a_connection_was_lost_is_only_shown() {
    for text in HOSTILE {
        let mut console = told("kill", 4_000, ViewName::Overview, "x");
        for feed in [FeedName::Coordinator, FeedName::Supervisor] {
            super::hand::link(&mut console, 4_100, feed, FeedState::Lost((*text).into()));
        }
        console.handle(At(8_000_000), Input::Tick);
        for view in ViewName::ALL {
            console.act_now(Action::Go(view));
            for (columns, rows) in [(120, 36), (80, 24), (50, 12)] {
                let what = format!("{view:?} {columns}x{rows} {text:?}");
                assert_safe(&drawn(&console, columns, rows), false, &what);
            }
        }
    }
}

/// The cluster's name stands first in the header: what comes after it is there with any name.
#[test]
fn a_clusters_name_leaves_room_for_how_it_is() {
    let long = "n".repeat(10_000);
    for text in HOSTILE.iter().copied().chain([long.as_str(), "piazza-data"]) {
        let mut console = told("kill", 4_000, ViewName::Overview, "x");
        console.model.cluster.as_mut().expect("it is known").name = text.to_owned();
        for (columns, rows) in [(120, 36), (80, 24)] {
            let what = format!("{columns}x{rows} {text:?}");
            let buf = drawn(&console, columns, rows);
            assert_safe(&buf, false, &what);
            let head: String = (0..columns).map(|x| buf[(x, 0)].symbol()).collect();
            assert!(head.contains("LIVE") && head.contains("4/5 up"), "{what}: {head}");
            let how = (0..columns).find(|x| buf[(*x, 0)].symbol() == "\u{25cf}");
            assert!(how.is_some_and(|column| (3..=28).contains(&column)), "{what}: {head}");
            assert!(text != "piazza-data" || head.starts_with(" piazza-data   "), "{head}");
        }
    }
}
