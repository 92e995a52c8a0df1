//! Pictures of messages.

use super::super::testing::{ascii, drawn, look, text};
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
fn print() {
    let (lanes, steps) = (lanes(), steps());
    for (look, width) in [(look(), 78), (ascii(), 60), (look(), 40)] {
        let ladder =
            Ladder { lanes: &lanes, steps: &steps, first: 0, selected: Some(4), unit: "ms" };
        let buf = drawn(width, 10, |area, buf| drop(ladder.draw(&look, area, buf)));
        println!("{}", text(&buf));
    }
}
