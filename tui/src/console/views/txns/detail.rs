//! One transaction closely: how it is in words, its messages or its time, and what a step means.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::look::Tone;
use crate::console::model::clock::ago;
use crate::console::model::txns::PAST_MAX;
use crate::console::views::Seen;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::ladder::Ladder;
use crate::console::widgets::table::Table;
use crate::console::widgets::text::{self, Span, span};
use crate::console::widgets::waterfall::Waterfall;

use super::list::below;
use super::rows::{Name, Row};
use super::{State, doubt, path, rows, steps, words};

/// Rows that messages need at least to be worth it.
const PICTURE_ROWS: u16 = 5;
/// Rows of the sentence below them.
const SENTENCE_ROWS: (u16, u16) = (2, 3);

/// Draws the selected transaction, or says why there is none.
pub(super) fn draw(
    seen: &Seen<'_>,
    state: &State,
    row: Option<&Row<'_>>,
    hidden: bool,
    area: Rect,
    buf: &mut Buffer,
) {
    let title = match (row, state.selected) {
        (Some(row), _) if row.tx().is_some() => format!("{} {}", row.id(), row.what()),
        (Some(row), _) => row.what(),
        (None, Some(Name::Tx(version))) => version.to_string(),
        (None, _) => "No transaction".into(),
    };
    let mut remarks = Vec::new();
    if hidden {
        remarks.push(span("the filter hides it from the list", Tone::Warn));
    }
    let inner = pane(seen, state, &title, &remarks, area, buf);
    let Some(row) = row else {
        return lines(seen, inner, buf, &unknown(seen, state));
    };
    let told = steps::ladder(row, seen.model, inner.width);
    let mut head = vec![summary(seen, state, row)];
    head.extend(doubt::lines(row, seen.model, seen.look));
    let sentence = match seen.compact && !state.open {
        true => SENTENCE_ROWS.0,
        false => SENTENCE_ROWS.1,
    };
    let broken = broken(seen, &head, inner.width);
    let needs = u16::try_from(broken.len()).unwrap_or(u16::MAX);
    // Where not all has room, words about a doubt go before the picture.
    let room = inner.height.saturating_sub(needs);
    let has_picture = told.is_some() && room > PICTURE_ROWS;
    let top = if has_picture { needs } else { inner.height };
    for (line, place) in broken.iter().zip((Rect { height: top, ..inner }).rows()) {
        text::put_spans(seen.look, place, buf, line);
    }
    let Some(told) = told.filter(|_| has_picture) else {
        return cut(seen, state, row, needs, inner, buf);
    };
    let sentence = sentence.min(room.saturating_sub(PICTURE_ROWS));
    let picture = Rect { height: room - sentence, ..below(inner, top) };
    let (why, left) = draw_picture(seen, state, row, &told, picture, buf);
    let place = below(inner, inner.height - sentence);
    let why = why.unwrap_or_else(|| path::sentence(row, seen.model));
    let mut words = vec![span(format!("{} ", seen.look.glyphs.arrow), Tone::Accent)];
    if left > 0 {
        words.push(span(format!("{left} more rows below: → · "), Tone::Dim));
    }
    words.push(span(why, Tone::Bright));
    if told.left_out > 0 && !state.waterfall {
        let left_out = format!("  ({} more nodes, all faster: w shows them)", told.left_out);
        words.push(span(left_out, Tone::Dim));
    }
    lines(seen, place, buf, &[words]);
}

/// The messages or the bars; what the selected step means, and how many rows there is no room for.
fn draw_picture(
    seen: &Seen<'_>,
    state: &State,
    row: &Row<'_>,
    told: &steps::Ladder,
    area: Rect,
    buf: &mut Buffer,
) -> (Option<String>, usize) {
    let rows = usize::from(area.height.saturating_sub(1));
    if state.waterfall {
        let parties = path::parties(row, seen.model);
        let most = parties.len().saturating_sub(rows);
        let first = state.step.unwrap_or(0).min(most);
        Waterfall { parties: &parties, first }.draw(seen.look, area, buf);
        let (columns, cells) = path::table(row, seen.model);
        let taken = u16::try_from(parties.len() + 2).unwrap_or(u16::MAX);
        let table = Table { columns: &columns, rows: &cells, first: 0, selected: None, head: true };
        table.draw(seen.look, below(area, taken), buf);
        return (None, most - first);
    }
    let selected = state.step.map(|step| step.min(told.steps.len().saturating_sub(1)));
    let most = told.steps.len().saturating_sub(rows);
    let first = match selected {
        Some(at) if at >= rows => (at + 1).saturating_sub(rows).max(at.saturating_sub(rows / 2)),
        _ => 0,
    };
    let first = first.min(most);
    let (lanes, steps) = (&told.lanes, &told.steps);
    Ladder { lanes, steps, first, selected, unit: told.unit }.draw(seen.look, area, buf);
    (selected.and_then(|at| told.why.get(at).cloned()), most - first)
}

/// Says that there is more than is shown.
fn cut(seen: &Seen<'_>, state: &State, row: &Row<'_>, needs: u16, inner: Rect, buf: &mut Buffer) {
    let hint = match row.told {
        None => "Its messages are not known: an earlier coordinator sent them.",
        Some(_) if state.open => "A larger window shows its messages.",
        Some(_) => "x shows its messages.",
    };
    let last = below(inner, needs.min(inner.height.saturating_sub(1)));
    let last = Rect { height: last.height.min(1), ..last };
    buf.set_style(last, seen.look.style(Tone::Text));
    for x in last.left()..last.right() {
        text::set(buf, x, last.y, " ", seen.look.style(Tone::Text));
    }
    text::put_elided(seen.look, last, buf, hint, Tone::Dim);
}

/// The box around it, or only a title; what is inside.
fn pane(
    seen: &Seen<'_>,
    state: &State,
    title: &str,
    remarks: &[Span],
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    let area = area.intersection(buf.area);
    if seen.compact {
        let row = Rect { height: area.height.min(1), ..area };
        for x in row.left()..row.right() {
            text::set(buf, x, row.y, seen.look.glyphs.horizontal, seen.look.style(Tone::Border));
        }
        let mut line = vec![span(format!("{title} "), Tone::Title)];
        line.extend_from_slice(remarks);
        text::put_spans(seen.look, row, buf, &line);
        return below(area, 1);
    }
    let caption = match (state.open, state.waterfall) {
        (_, true) => "w messages  a node's work is drawn amid its way: when it began is unknown",
        (false, false) => "w where time went  ← → step by step  no time: by the node's clock",
        (true, false) => {
            "w where time went  ← → step by step  times: the coordinator's; none: a node's own, \
             durations by its clock"
        }
    };
    let frame = Frame { title, remarks, caption, focused: state.open };
    frame.draw(seen.look, area, buf)
}

/// How it is, in a line.
fn summary(seen: &Seen<'_>, state: &State, row: &Row<'_>) -> Vec<Span> {
    let reason = row.txn().and_then(|txn| txn.reason.as_deref());
    let word = match row.word() {
        "resolved" => format!("resolved: {}", row.fate.word()),
        word => word.to_owned(),
    };
    let mut line =
        vec![span(format!("{} {word}", row.fate.glyph(seen.look.glyphs)), row.fate.tone())];
    if let Some(doubt) = row.doubt.filter(|_| rows::is_in_doubt(row)) {
        line.extend(doubt::head(doubt, seen.model));
    } else {
        let took = row.told.map_or(String::new(), |_| format!(" {}", row.took(seen.model)));
        line.push(span(took, Tone::Bright));
        line.push(span(format!(" · {}", words::fate(row.fate, reason)), Tone::Text));
    }
    if let Some(txn) = row.txn().filter(|_| state.open) {
        let batch = match txn.batch_txns {
            0 => String::new(),
            1 => " · alone in its batch".into(),
            many => format!(" · in a batch of {many}"),
        };
        line.push(span(format!("{batch} · connection {}", txn.conn), Tone::Dim));
    }
    line
}

/// Why there is nothing to be seen.
fn unknown(seen: &Seen<'_>, state: &State) -> Vec<Vec<Span>> {
    let Some(Name::Tx(version)) = state.selected else {
        let text = match state.selected {
            Some(_) => format!("It is not known any more: the last {PAST_MAX} are kept."),
            None => "Updates that come are listed here, with their messages.".into(),
        };
        return vec![vec![span(text, Tone::Dim)]];
    };
    let since = ago(seen.model.now.ms_since(seen.model.coordinator_feed.since));
    let sentence = format!(
        "{version} is not known here. Of what is finished a console is told a sample, from when it \
         is connected on ({since} ago); it keeps the last {PAST_MAX}. Those that are aborted, slow \
         or in doubt are always told."
    );
    let ask = format!("The cluster may know: `outcome {version}` in the view Data asks it.");
    vec![vec![span(sentence, Tone::Text)], vec![span(ask, Tone::Text)]]
}

fn broken(seen: &Seen<'_>, lines: &[Vec<Span>], columns: u16) -> Vec<Vec<Span>> {
    lines.iter().flat_map(|line| text::wrapped(seen.look, line, columns)).collect()
}

fn lines(seen: &Seen<'_>, area: Rect, buf: &mut Buffer, lines: &[Vec<Span>]) {
    for (line, row) in broken(seen, lines, area.width).iter().zip(area.rows()) {
        text::put_spans(seen.look, row, buf, line);
    }
}
