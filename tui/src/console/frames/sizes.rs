//! Every view, scenario and overlay at any size: nothing panics, and what matters most is there.

use super::scenarios::ALL;
use crate::console::action::ViewName;
use crate::console::state::Console;
use crate::console::testing::frame;
use crate::console::testing::press;

/// Around each limit, and here and there.
const WIDTHS: &[u16] =
    &[1, 2, 3, 5, 8, 13, 20, 34, 49, 50, 51, 66, 79, 80, 81, 97, 109, 110, 111, 120, 160, 250];
const HEIGHTS: &[u16] = &[1, 2, 3, 4, 5, 7, 11, 12, 13, 18, 23, 24, 25, 31, 32, 33, 36, 60, 90];
/// Drawn in every combination.
const LIMITS: &[(u16, u16)] =
    &[(1, 1), (49, 90), (250, 11), (50, 12), (79, 23), (80, 24), (109, 32), (110, 32)];

/// What lies over the view, by the keys that lay it there.
const OVERLAYS: &[&str] = &["", "", "K", "?", ":", ":kill", "/\u{1b}[31m", "\n"];

/// What must hold at this size.
fn check(console: &Console, columns: u16, rows: u16, what: &str) {
    let text = frame(console, columns, rows);
    assert_eq!(text.lines().count(), usize::from(rows), "{what}");
    let is_below = columns < 50 || rows < 12;
    if is_below && rows >= 3 && console.overlay.is_none() {
        let sentence: String = "need 50x12".chars().take(usize::from(columns)).collect();
        let begins = text.lines().nth(2).is_some_and(|row| {
            row.starts_with(&sentence) || columns < 10 && sentence.starts_with(&row[..1])
        });
        assert!(begins, "{what}: {text}");
    }
    if rows >= 3 && columns >= 50 && console.overlay.is_none() {
        let headline = &console.shown().told().headline[0];
        let words: Vec<&str> = headline.split_whitespace().take(3).collect();
        let story = text.lines().take(3).any(|row| row.contains(&words.join(" ")));
        assert!(story, "{what}: {words:?} in {text}");
    }
}

fn with_overlay(console: &Console, keys: &str) -> Console {
    let mut console = console.clone();
    press(&mut console, keys);
    console
}

#[test]
fn there_is_a_frame_at_every_limit() {
    for scenario in ALL.iter() {
        for view in ViewName::ALL {
            let console = scenario.in_view(view);
            for (columns, rows) in LIMITS.iter().copied() {
                let what = format!("{} {view:?} {columns}x{rows}", scenario.name);
                check(&console, columns, rows, &what);
            }
        }
    }
}

#[test]
fn there_is_a_frame_at_any_size() {
    let grid = WIDTHS.iter().flat_map(|width| HEIGHTS.iter().map(|height| (*width, *height)));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound) as u16
    };
    let random: Vec<(u16, u16)> =
        std::iter::repeat_with(|| (1 + below(250), 1 + below(90))).take(200).collect();
    for (at, (columns, rows)) in grid.chain(random).enumerate() {
        // 7, 5 and 3 have nothing in common with how many there are of each: all meet in time.
        let scenario = &ALL[at * 7 % ALL.len()];
        let view = ViewName::ALL[at * 5 % ViewName::ALL.len()];
        let keys = OVERLAYS[at * 3 % OVERLAYS.len()];
        let console = with_overlay(&scenario.in_view(view), keys);
        let what = format!("{} {view:?} {keys:?} {columns}x{rows}", scenario.name);
        check(&console, columns, rows, &what);
    }
}
