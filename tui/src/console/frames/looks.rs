//! What is told without colours, and with ASCII alone.

use super::scenarios::ALL;
use crate::console::action::ViewName;
use crate::console::look::Look;
use crate::console::state::Console;
use crate::console::testing::{drawn, frame, press};
use crate::console::views::{Seen, overview};
use crate::console::widgets::testing::assert_safe;

const SIZES: [(u16, u16); 4] = [(120, 36), (80, 24), (60, 20), (50, 12)];

/// The word for a server's state.
fn word(console: &Console, server: &str) -> &'static str {
    let seen = Seen {
        model: console.shown(),
        look: &console.settings.look,
        selected: &console.selected,
        compact: false,
        read_only: false,
    };
    overview::state_of(&seen, server).1
}

/// A server's row, from its name on.
fn row(text: &str, server: &str) -> Option<String> {
    let is_of = |row: &&str| {
        row.split_whitespace().find(|word| word.chars().any(char::is_alphanumeric)) == Some(server)
    };
    text.lines().find(is_of).map(str::to_owned)
}

#[test]
fn down_is_told_from_up_without_colours() {
    let mut told = 0;
    for scenario in ALL.iter() {
        let mut console = scenario.in_view(ViewName::Overview);
        console.overlay = None;
        let servers = console.shown().servers();
        for ascii in [false, true] {
            console.settings.look = Look::choose(None, true, None, ascii);
            for (columns, rows) in SIZES {
                let text = frame(&console, columns, rows);
                for server in &servers {
                    let word = word(&console, server);
                    let row = row(&text, server);
                    let row = match row {
                        Some(row) => row,
                        // Of many nodes some have no place.
                        None if servers.len() > 8 && *server != console.selected => continue,
                        None => panic!("{} {server} at {columns}x{rows}: {text}", scenario.name),
                    };
                    let says = row.split_whitespace().any(|one| one == word);
                    assert!(
                        says,
                        "{} {server} is {word} at {columns}x{rows}: {text}",
                        scenario.name
                    );
                    let well = ["UP", "ACTIVE"];
                    if !well.contains(&word) {
                        told += 1;
                        let up = |one: &str| well.contains(&one);
                        assert!(!row.split_whitespace().any(up), "{}: {row}", scenario.name);
                    }
                }
            }
        }
    }
    assert!(told > 50, "{told} rows of servers that are not well");
}

#[test]
fn ascii_is_ascii_and_nothing_is_obeyed() {
    for scenario in ALL.iter() {
        for view in ViewName::ALL {
            let mut console = scenario.in_view(view);
            for (columns, rows) in [(120, 36), (80, 24), (50, 12)] {
                let what = format!("{} {view:?} {columns}x{rows}", scenario.name);
                console.settings.look = Look::choose(None, true, None, true);
                assert_safe(&drawn(&console, columns, rows), true, &what);
            }
            let what = format!("{} {view:?}", scenario.name);
            console.settings.look = Look::default();
            assert_safe(&drawn(&console, 120, 36), false, &what);
        }
    }
    for keys in ["K", "?", ":", ":zz", "P"] {
        let mut console = ALL[0].console.clone();
        press(&mut console, keys);
        console.settings.look = Look::choose(None, true, None, true);
        for (columns, rows) in [(120, 36), (80, 24), (50, 12), (30, 6)] {
            assert_safe(&drawn(&console, columns, rows), true, keys);
        }
    }
}
