//! Pictures of caches.

use super::super::testing::{ascii, drawn, expect_picture, look};
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
fn bits_hands_and_victims() {
    let sets = sets();
    let wide = |look: &Look| drawn(56, 8, |area, buf| grid(&sets).draw(look, area, buf));
    expect_picture("grid-56x8", &wide(&look()));
    expect_picture("grid-ascii-56x8", &wide(&ascii()));
}

#[test]
fn several_columns_of_sets() {
    let sets = sets();
    let mut room = 0;
    let buf = drawn(50, 5, |area, buf| room = grid(&sets).draw_compact(&look(), area, buf));
    expect_picture("grid-compact-50x5", &buf);
    assert_eq!(room, 10);
}
