//! What moves from node to node: on the ring as arcs, and in rows, a node that learns each.
//!
//! Used by the views Ring and Overview.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::picture;
use crate::console::look::Tone;
use crate::console::model::clock::bytes;
use crate::console::model::moving::Progress;
use crate::console::model::ring::turn;
use crate::console::model::story::{Cause, Incident};
use crate::console::views::Seen;
use crate::console::widgets::meter::Meter;
use crate::console::widgets::ring::Move;
use crate::console::widgets::text::{self, span};

/// Columns of a node that learns, with those that it learns from.
const LABEL_COLUMNS: usize = 14;

/// The stretches that move, each with how much of it is there.
pub(super) fn arcs(seen: &Seen<'_>) -> Vec<Move> {
    let moving = &seen.model.moving;
    let stretches = moving.stretches().iter().map(|stretch| {
        let progress = moving.of_stretch(stretch);
        Move {
            from: turn(stretch.from),
            to: turn(stretch.to),
            node: picture::number(seen.model, &stretch.gain),
            done: progress.and_then(|progress| progress.share()).unwrap_or(0.0),
        }
    });
    stretches.collect()
}

/// Rows that [`draw`] has use for where each node has `each`.
pub(super) fn rows(seen: &Seen<'_>, each: u16) -> u16 {
    let learners = u16::try_from(seen.model.moving.learners().len()).unwrap_or(u16::MAX);
    learners.saturating_mul(each).saturating_add(1)
}

/// Draws the whole change in a row, then each node that learns: in one row, or in two where there
/// is room.
pub(super) fn draw(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let mut places = area.rows();
    if let Some(row) = places.next() {
        draw_change(seen, row, buf);
    }
    let learners = seen.model.moving.learners();
    let roomy = learners.len() * 2 < usize::from(area.height);
    for (name, sources, progress) in learners {
        let Some(row) = places.next() else { break };
        let from = sources.join(" ");
        let from = if from.is_empty() { "?".to_owned() } else { from };
        let label = format!("{name} {} {from}", seen.look.glyphs.head_left);
        let label = text::elided(seen.look, &label, LABEL_COLUMNS as u16);
        let pad = LABEL_COLUMNS.saturating_sub(usize::from(text::width(seen.look, &label)));
        let tone = Tone::Node(picture::number(seen.model, name));
        let label = [span(format!("{label}{:pad$}", ""), tone)];
        let percent = percent(&progress);
        let figure = match roomy {
            true => percent,
            false => format!("{percent} {}", rest(&progress)),
        };
        let figure = [span(figure, Tone::Text)];
        let share = progress.share().unwrap_or(0.0);
        let meter =
            Meter { share, tone, broken: false, track: true, label: &label, figure: &figure };
        meter.draw(seen.look, row, buf);
        if let Some(row) = roomy.then(|| places.next()).flatten() {
            let words = format!("  {}", rest(&progress));
            text::put_elided(seen.look, row, buf, &words, Tone::Dim);
        }
    }
    picture::grey(seen, area, buf);
}

fn percent(progress: &Progress) -> String {
    progress.share().map_or("?".into(), |share| format!("{:3.0} %", share * 100.0))
}

fn rest(progress: &Progress) -> String {
    let rate = match progress.bytes_per_s {
        0 => String::new(),
        rate => format!(", {}/s", bytes(rate)),
    };
    format!("{}{rate}", progress.words())
}

/// Draws how far the running change is in one row; nothing where none runs.
pub(in crate::console::views) fn draw_change(seen: &Seen<'_>, row: Rect, buf: &mut Buffer) {
    let Some(progress) = seen.model.moving.progress(seen.model.now) else { return };
    let changes = seen.model.story.open().filter(|one| one.is_change());
    let names: Vec<String> = changes.map(change).collect();
    let name = if names.is_empty() { "moving".to_owned() } else { names.join(", ") };
    let label = [span(format!("{name} "), Tone::Info)];
    let figure = [span(rest(&progress), Tone::Text)];
    let share = progress.share().unwrap_or(0.0);
    let meter = Meter {
        share,
        tone: Tone::Info,
        broken: false,
        track: true,
        label: &label,
        figure: &figure,
    };
    meter.draw(seen.look, row, buf);
    picture::grey(seen, row, buf);
}

/// What a change is called.
fn change(incident: &Incident) -> String {
    let what = match incident.cause {
        _ if incident.is_eviction() => "evict",
        Cause::Joins => "add",
        Cause::Leaves => "remove",
        _ => "return",
    };
    format!("{what} {}", incident.server)
}
