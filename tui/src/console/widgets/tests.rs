//! What holds for all widgets: any size, any text, any look.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::chain::{Chain, StepState};
use super::circle::Circle;
use super::frame::Frame;
use super::grid::{Grid, Set, Way};
use super::ladder::{Happening, Ladder, Lane, Step};
use super::line::Line;
use super::meter::Meter;
use super::popup::Popup;
use super::ring::{Arc, Marker, Walk};
use super::spark::Spark;
use super::strip::{Beat, Strip};
use super::table::{Column, Table};
use super::testing::{ascii, assert_safe, look, mono, styles, text as shown};
use super::text::{self, Span, span};
use super::waterfall::{Party, Segment, Waterfall};
use crate::console::look::{Look, State, Tone};

/// Texts that somebody could give a key, a node or a cluster.
const TEXTS: [&str; 8] = [
    "n1",
    "",
    "a name that is longer than any name should be, and goes on",
    "\x1b[2J\x07\r\n\t",
    "漢字の鍵と値",
    "\u{202e}live\u{202c} \u{200b}\u{feff}\u{2066}x",
    "שלום عليكم",
    "e\u{301}\u{301} 👨‍👩‍👧 🇫🇷 \u{1f3fb} \u{301}",
];

type Draw = Box<dyn Fn(&Look, Rect, &mut Buffer)>;

/// All widgets, with `text` wherever they take one.
fn widgets(text: &'static str) -> Vec<(&'static str, Draw)> {
    let mut all = boxes(text);
    all.extend(rings(text));
    all.extend(histories(text));
    all.extend(diagrams(text));
    all
}

fn spans(text: &str) -> Vec<Span> {
    vec![span(text, Tone::Good), span(text, Tone::Bad), span("x", Tone::Node(9))]
}

fn boxes(t: &'static str) -> Vec<(&'static str, Draw)> {
    vec![
        (
            "text",
            Box::new(move |look, area, buf| {
                text::put_elided(look, area, buf, t, Tone::Text);
                text::put_right(look, area, buf, t, Tone::Text);
                text::put_spans_centred(look, area, buf, &spans(t));
                text::put_spans_right(look, area, buf, &spans(t));
            }),
        ),
        (
            "frame",
            Box::new(move |look, area, buf| {
                let remarks = spans(t);
                let frame = Frame { title: t, remarks: &remarks, caption: t, focused: true };
                let inner = frame.draw(look, area, buf);
                assert_eq!(inner, inner.intersection(area));
            }),
        ),
        (
            "popup",
            Box::new(move |look, area, buf| {
                let (body, buttons) = ([spans(t), Vec::new(), spans(t)], spans(t));
                let popup = Popup {
                    title: t,
                    body: &body,
                    input: Some(t),
                    buttons: &buttons,
                    focused: 1,
                    caption: t,
                };
                for place in popup.draw(look, area, buf) {
                    assert_eq!(place, place.intersection(area));
                }
            }),
        ),
        (
            "table",
            Box::new(move |look, area, buf| {
                let columns = [
                    Column::new(t, 5),
                    Column::new(t, 9).grows().priority(1),
                    Column::new(t, 4).right().priority(2),
                    Column::new("x", u16::MAX).priority(0),
                ];
                let rows = vec![vec![spans(t); 4]; 9];
                let table = Table {
                    columns: &columns,
                    rows: &rows,
                    first: 1,
                    selected: Some(2),
                    head: true,
                };
                let (places, body) = table.draw(look, area, buf);
                assert_eq!(body, body.intersection(area));
                for (_, place) in places {
                    assert_eq!(place, place.intersection(area));
                }
            }),
        ),
    ]
}

fn rings(t: &'static str) -> Vec<(&'static str, Draw)> {
    let arc = |from, to, node| Arc { from, to, node, label: t.into(), broken: node == 1 };
    let arcs = vec![
        arc(0.1, 0.4, 0),
        arc(0.4, 0.9, 1),
        arc(0.9, 0.1, 2),
        arc(0.5, 0.5, 3),
        arc(f64::NAN, 0.1, 4),
        arc(0.2, f64::INFINITY, 5),
        arc(-7.3, 1e300, 6),
    ];
    let marker = |look: &Look, at| Marker {
        at,
        glyph: look.glyphs.diamond,
        label: t.into(),
        tone: Tone::Accent,
    };
    let more = arcs.clone();
    vec![
        (
            "circle",
            Box::new(move |look, area, buf| {
                let markers = [0.0, 0.33, -9.5, f64::NAN].map(|at| marker(look, at));
                let walk = Walk { from: 0.3, stops: vec![0.4, 0.9, f64::NAN] };
                let centre = [spans(t), spans(t)];
                let circle = Circle {
                    arcs: &arcs,
                    moves: &[],
                    markers: &markers,
                    walk: Some(&walk),
                    centre: &centre,
                    ticks: true,
                };
                circle.draw(look, area, buf);
            }),
        ),
        (
            "line",
            Box::new(move |look, area, buf| {
                let markers = [0.0, 0.5, 0.99, f64::NAN].map(|at| marker(look, at));
                Line { arcs: &more, moves: &[], markers: &markers }.draw(look, area, buf);
            }),
        ),
    ]
}

fn histories(t: &'static str) -> Vec<(&'static str, Draw)> {
    vec![
        (
            "strip",
            Box::new(|look, area, buf| {
                let late = Beat::Came { late: 0.6 };
                let beats = [Beat::Nothing, late, Beat::Missed, Beat::Late].repeat(20);
                Strip { beats: &beats, stale: false }.draw(look, area, buf);
            }),
        ),
        (
            "spark",
            Box::new(move |look, area, buf| {
                let mut values: Vec<_> = (0..70).map(|at| Some(f64::from(at))).collect();
                values.extend([None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)]);
                let spark = Spark {
                    values: &values,
                    max: None,
                    max_label: t,
                    tone: Tone::Bar,
                    marker: Some((7, t)),
                    since: t,
                };
                spark.draw(look, area, buf);
                spark.draw_row(look, area, buf, &spans(t));
            }),
        ),
        (
            "meter",
            Box::new(move |look, area, buf| {
                let (label, figure) = (spans(t), spans(t));
                let meter = Meter {
                    share: 0.7,
                    tone: Tone::Bar,
                    broken: false,
                    track: true,
                    label: &label,
                    figure: &figure,
                };
                meter.draw(look, area, buf);
            }),
        ),
        (
            "chain",
            Box::new(move |look, area, buf| {
                let states = [StepState::Done, StepState::Failed, StepState::Now, StepState::Ahead];
                let steps = states.map(|state| (state, t.to_owned()));
                Chain { steps: &steps }.draw(look, area, buf);
                Chain { steps: &[] }.draw(look, area, buf);
            }),
        ),
    ]
}

fn diagrams(t: &'static str) -> Vec<(&'static str, Draw)> {
    let ways = vec![Way::Empty, Way::Clear, Way::Referenced, Way::Clear];
    let set =
        Set { number: 7, ways, hand: Some(1), victim: Some(3), right: spans(t), figure: t.into() };
    let mut sets = vec![set; 40];
    sets[3].ways.clear();
    sets[4].hand = Some(99);
    sets[5].number = usize::MAX;
    let more = sets.clone();
    let grid = |sets: &[Set], look: &Look, area, buf: &mut Buffer, compact| {
        let grid = Grid { sets, first: 1, selected: Some(4), way: Some(2), head: t };
        if compact {
            grid.draw_compact(look, area, buf)
        } else {
            grid.draw(look, area, buf)
        };
    };
    let lane = |gone_since| Lane { name: t.into(), tone: Tone::Node(1), gone_since };
    let lanes = vec![lane(None), lane(Some(2)), lane(None), lane(None)];
    let message = |from, to, lost| Happening::Message { from, to, text: t.into(), lost };
    let what = [
        message(0, 3, false),
        message(3, 1, true),
        message(2, 2, false),
        message(0, 7, false),
        Happening::Note { lane: 1, text: t.into(), tone: Tone::Bad },
        Happening::Wait { lane: 3, text: t.into() },
    ];
    let steps: Vec<_> = what.into_iter().map(|what| Step { at: Some(t.into()), what }).collect();
    let segment = |from_us, to_us, waiting| Segment {
        from_us,
        to_us,
        tone: Tone::Info,
        waiting,
        text: t.into(),
    };
    let segments = vec![
        segment(0, 10, false),
        segment(10, 900, true),
        segment(5, 2, false),
        segment(u64::MAX / 2, u64::MAX, true),
    ];
    let parties = vec![Party { label: t.into(), tone: Tone::Text, segments }; 5];
    vec![
        ("grid", Box::new(move |look, area, buf| grid(&sets, look, area, buf, false))),
        ("grid, compact", Box::new(move |look, area, buf| grid(&more, look, area, buf, true))),
        (
            "ladder",
            Box::new(move |look, area, buf| {
                let ladder =
                    Ladder { lanes: &lanes, steps: &steps, first: 0, selected: Some(1), unit: t };
                ladder.draw(look, area, buf);
                Ladder { lanes: &[], ..ladder }.draw(look, area, buf);
            }),
        ),
        (
            "waterfall",
            Box::new(move |look, area, buf| {
                Waterfall { parties: &parties, first: 1 }.draw(look, area, buf);
                Waterfall { parties: &[], first: 1 }.draw(look, area, buf);
            }),
        ),
    ]
}

#[test]
fn any_size_is_a_size() {
    for (name, draw) in widgets("n1: a name") {
        for width in 0..=60 {
            for height in 0..=30 {
                let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
                draw(&look(), buf.area, &mut buf);
                assert_safe(&buf, false, &format!("{name} {width}x{height}"));
            }
        }
    }
}

#[test]
fn nothing_is_drawn_outside_of_its_area() {
    let whole = Rect::new(3, 2, 40, 16);
    let inside = Rect::new(9, 5, 25, 8);
    for text in TEXTS {
        for (name, draw) in widgets(text) {
            let mut buf = Buffer::empty(whole);
            draw(&look(), inside, &mut buf);
            let outside = |at: &ratatui::layout::Position| !inside.contains(*at);
            for at in whole.positions().filter(outside) {
                assert_eq!(buf[at], ratatui::buffer::Cell::EMPTY, "{name} {text:?} at {at}");
            }
            // Areas that the buffer has not, in part or at all.
            for area in [
                Rect::new(0, 0, 20, 10),
                Rect::new(30, 12, 100, 100),
                Rect::new(0, 0, 2, 2),
                Rect::new(u16::MAX, u16::MAX, 9, 9),
                Rect::new(0, 0, u16::MAX, 1),
                Rect::new(500, 0, 9, 9),
            ] {
                draw(&look(), area, &mut buf);
            }
        }
    }
}

#[test]
fn whatever_a_text_holds_a_terminal_only_shows_it() {
    for text in TEXTS {
        for (name, draw) in widgets(text) {
            for (width, height) in [(60, 20), (37, 11), (24, 6), (13, 3), (7, 9), (1, 1)] {
                for look in [look(), mono(), ascii()] {
                    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
                    draw(&look, buf.area, &mut buf);
                    let what = format!("{name} {width}x{height} of {text:?}");
                    assert_safe(&buf, look.glyphs.ascii, &what);
                }
            }
        }
    }
}

/// Nothing that matters is told by colour alone.
#[test]
fn without_colour_good_is_told_from_bad() {
    let draw = |draw: &dyn Fn(Rect, &mut Buffer)| {
        let mut buf = Buffer::empty(Rect::new(0, 0, 30, 4));
        draw(buf.area, &mut buf);
        (shown(&buf), styles(&buf))
    };
    let look = mono();
    let said = |tone| {
        draw(&|area, buf| {
            text::put(&look, area, buf, "n3", tone);
        })
    };
    assert_ne!(said(Tone::Good), said(Tone::Bad));
    assert_ne!(look.glyphs.state(State::Up), look.glyphs.state(State::Down));
    let arc = |broken| {
        let arc = Arc { from: 0.0, to: 0.4, node: 0, label: String::new(), broken };
        draw(&|area, buf| {
            Line { arcs: std::slice::from_ref(&arc), moves: &[], markers: &[] }
                .draw(&look, area, buf);
        })
    };
    assert_ne!(arc(false).0, arc(true).0);
    let focused = |focused| {
        let buttons = spans("ok");
        let popup = Popup { buttons: &buttons, focused, ..Popup::default() };
        draw(&|area, buf| {
            popup.draw(&look, area, buf);
        })
    };
    assert_ne!(focused(0).0, focused(1).0);
}
