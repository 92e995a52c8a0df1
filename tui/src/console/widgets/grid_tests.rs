//! Pictures of caches.

use super::super::testing::{ascii, drawn, look, styles, text};
use super::*;

fn sets() -> Vec<Set> {
    (0..12usize)
        .map(|number| Set {
            number,
            ways: (0..8)
                .map(|way| match (number * 7 + way * 5) % 4 {
                    0 => Way::Clear,
                    1 if way > 5 => Way::Empty,
                    _ => Way::Referenced,
                })
                .collect(),
            hand: Some(number % 8),
            victim: (number % 3 == 0).then_some(number % 8),
            right: vec![text::span("71%", Tone::Text), text::span("  9.4", Tone::Dim)],
            figure: "71%".into(),
        })
        .collect()
}

fn grid(sets: &[Set]) -> Grid<'_> {
    Grid { sets, first: 2, selected: Some(4), way: Some(4), head: "hit%  evict/s" }
}

#[test]
fn print() {
    let sets = sets();
    for look in [look(), ascii()] {
        let buf = drawn(56, 8, |area, buf| drop(grid(&sets).draw(&look, area, buf)));
        println!("{}\n{}", text(&buf), styles(&buf));
        let buf = drawn(50, 5, |area, buf| drop(grid(&sets).draw_compact(&look, area, buf)));
        println!("{}", text(&buf));
    }
}
