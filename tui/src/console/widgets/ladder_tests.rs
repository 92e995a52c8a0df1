//! Pictures of messages.

use super::super::testing::{ascii, drawn, expect_picture, look, mono, text};
use super::*;

fn message(at: &str, from: usize, to: usize, text: &str, lost: bool) -> Step {
    Step { at: Some(at.into()), what: Happening::Message { from, to, text: text.into(), lost } }
}

fn note(at: Option<&str>, lane: usize, text: &str, tone: Tone) -> Step {
    let what = Happening::Note { lane, text: text.into(), tone };
    Step { at: at.map(Into::into), what }
}

fn lanes() -> Vec<Lane> {
    let lane = |name: &str, tone, gone_since| Lane { name: name.into(), tone, gone_since };
    vec![
        lane("client", Tone::Text, None),
        lane("coordinator", Tone::Bright, None),
        lane("n3 primary", Tone::Node(2), Some(5)),
        lane("n4 replica", Tone::Node(3), None),
    ]
}

fn steps() -> Vec<Step> {
    vec![
        message("0.0", 0, 1, "PUT user:42", false),
        note(Some("0.9"), 1, "evaluated: id 3.812", Tone::Info),
        message("1.0", 1, 2, "PREPARE", true),
        message("1.0", 1, 3, "PREPARE", false),
        note(Some("2.4"), 3, "PREPARED", Tone::Good),
        note(Some("2.9"), 2, "killed", Tone::Bad),
        message("2.6", 3, 1, "VOTE yes", false),
        Step { at: None, what: Happening::Wait { lane: 1, text: "for n3's vote".into() } },
        message("501.9", 1, 0, "ABORTED", false),
    ]
}

#[test]
fn messages_between_lanes() {
    let (lanes, steps) = (lanes(), steps());
    let ladder = Ladder { lanes: &lanes, steps: &steps, first: 0, selected: Some(4), unit: "ms" };
    let draw =
        |look: &Look, width, height| drawn(width, height, |area, buf| ladder.draw(look, area, buf));
    expect_picture("ladder-78x10", &draw(&look(), 78, 10));
    expect_picture("ladder-ascii-60x10", &draw(&ascii(), 60, 10));
    expect_picture("ladder-40x10", &draw(&look(), 40, 10));
    expect_picture("ladder-mono-78x6", &draw(&mono(), 78, 6));
}

#[test]
fn a_step_of_a_lane_that_is_not_there_is_no_step() {
    let lanes = lanes();
    let steps = [
        message("0", 0, 9, "x", false),
        message("1", 9, 9, "x", false),
        note(None, usize::MAX, "x", Tone::Bad),
    ];
    let ladder = Ladder { lanes: &lanes, steps: &steps, first: 0, selected: None, unit: "ms" };
    let buf = drawn(70, 4, |area, buf| ladder.draw(&look(), area, buf));
    assert!(!text(&buf).contains('x'), "{}", text(&buf));
}
