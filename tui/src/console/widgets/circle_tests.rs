//! Pictures of circles.

use super::super::testing::{ascii, drawn, look, styles, text};
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
        markers: &[marker],
        walk: Some(&walk),
        centre: &centre,
        ticks: false,
    };
    drawn(width, height, |area, buf| circle.draw(look, area, buf))
}

#[test]
fn print() {
    println!("{}", text(&circle(&look(), 68, 27)));
    println!("{}", text(&circle(&look(), 34, 17)));
    println!("{}", styles(&circle(&look(), 34, 17)));
    println!("{}", text(&circle(&ascii(), 50, 21)));
    println!("{}", text(&circle(&look(), 14, 6)));
}
