//! Pictures of circles.

use super::super::testing::{ascii, drawn, expect_picture, look};
use super::*;

fn arcs() -> Vec<Arc> {
    (0..5u8)
        .map(|node| Arc {
            from: f64::from(node) / 5.0,
            to: f64::from(node + 1) / 5.0,
            node,
            label: format!("n{} 20%", node + 1),
            broken: node == 2,
        })
        .collect()
}

fn circle(look: &Look, width: u16, height: u16) -> Buffer {
    let arcs = arcs();
    let marker =
        Marker { at: 0.3, glyph: look.glyphs.diamond, label: "user:42".into(), tone: Tone::Accent };
    let walk = Walk { from: 0.3, stops: vec![0.4, 0.6] };
    let centre = [vec![text::span("ring 3", Tone::Bright)], vec![text::span("whole", Tone::Good)]];
    let circle = Circle {
        arcs: &arcs,
        moves: &[],
        markers: &[marker],
        walk: Some(&walk),
        centre: &centre,
        ticks: false,
    };
    drawn(width, height, |area, buf| circle.draw(look, area, buf))
}

#[test]
fn a_circle_is_round_and_its_arcs_are_told_apart() {
    expect_picture("circle-68x27", &circle(&look(), 68, 27));
    expect_picture("circle-34x17", &circle(&look(), 34, 17));
    expect_picture("circle-ascii-50x21", &circle(&ascii(), 50, 21));
    expect_picture("circle-14x6", &circle(&look(), 14, 6));
}

#[test]
fn many_short_arcs_are_still_a_circle() {
    let arc = |at: u16| Arc {
        from: f64::from(at) / 320.0,
        to: f64::from(at + 1) / 320.0,
        node: (at % 5) as u8,
        label: format!("n{}", at % 5 + 1),
        broken: false,
    };
    let arcs: Vec<_> = (0..320).map(arc).collect();
    let circle =
        Circle { arcs: &arcs, moves: &[], markers: &[], walk: None, centre: &[], ticks: true };
    let buf = drawn(40, 20, |area, buf| circle.draw(&look(), area, buf));
    expect_picture("circle-tokens-40x20", &buf);
}

/// As high as wide, a cell being twice as high as wide, and as far from every side.
#[test]
fn a_circle_is_as_high_as_wide() {
    let whole = Arc { from: 0.0, to: 1.0, node: 0, label: String::new(), broken: false };
    let circle =
        Circle { arcs: &[whole], moves: &[], markers: &[], walk: None, centre: &[], ticks: false };
    let buf = drawn(90, 20, |area, buf| circle.draw(&look(), area, buf));
    let drawn = buf.area.positions().filter(|at| buf[*at].symbol() != " ");
    let (columns, rows): (Vec<_>, Vec<_>) = drawn.map(|at| (at.x, at.y)).unzip();
    let extent = |of: &[u16]| (*of.iter().min().unwrap(), *of.iter().max().unwrap());
    assert_eq!(extent(&rows), (0, 19));
    let (left, right) = extent(&columns);
    assert_eq!((left, 89 - right), (25, 25), "40 columns, as 20 rows are");
}
