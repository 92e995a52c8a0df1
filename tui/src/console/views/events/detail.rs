//! One event closely: what it is, what led to it, what it led to, and its line.
//!
//! Part of the view Events.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::rows::{mood, since_words, wall_words};
use super::{State, raw};
use crate::console::look::Tone;
use crate::console::model::Model;
use crate::console::model::clock::ago;
use crate::console::model::record::{Entry, What};
use crate::console::model::sentence::sentence;
use crate::console::views::Seen;
use crate::console::views::events::about::about;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::text::{self, Span, span};

/// What an event led to, as far as it is listed.
const LISTED: usize = 3;

/// Whether an entry begins or ends a subscription: numbers mean something only between two of them.
fn is_border(entry: &Entry, other: &Entry) -> bool {
    matches!(other.what, What::Link(_)) && other.feed == entry.feed
}

/// The event that led to this one, if it is still known.
pub(super) fn cause<'a>(entry: &Entry, model: &'a Model) -> Option<&'a Arc<Entry>> {
    let What::Event(event) = &entry.what else { return None };
    let wanted = event.cause?;
    let earlier = model.record.all().skip_while(|other| other.no >= entry.no);
    let mut same = earlier.take_while(|other| !is_border(entry, other));
    same.find(|other| {
        other.feed == entry.feed && matches!(&other.what, What::Event(event) if event.seq == wanted)
    })
}

/// The events that this one led to, the earliest first.
pub(super) fn consequences<'a>(entry: &Entry, model: &'a Model) -> Vec<&'a Arc<Entry>> {
    let What::Event(event) = &entry.what else { return Vec::new() };
    let mut found = Vec::new();
    for other in model.record.all().take_while(|other| other.no > entry.no) {
        if is_border(entry, other) {
            found.clear();
        }
        let is_one = matches!(&other.what, What::Event(told) if told.cause == Some(event.seq));
        if is_one && other.feed == entry.feed {
            found.push(other);
        }
    }
    found.reverse();
    found
}

/// Draws it.
pub(super) fn draw(state: &State, seen: &Seen<'_>, entry: &Entry, area: Rect, buf: &mut Buffer) {
    let title = match &entry.what {
        What::Event(event) => {
            format!("{} {}, told by the {}", event.body.name(), event.seq, event.source)
        }
        What::Link(_) => "the console's own connection".to_owned(),
    };
    let caption = "Enter: its cause  c: what came of it  y: copy  [ ]: scroll  Esc: back";
    let frame = Frame { title: &title, remarks: &[], caption, focused: true };
    let inner = frame.draw(seen.look, area, buf);
    let inner =
        Rect { x: inner.x + inner.width.min(1), width: inner.width.saturating_sub(2), ..inner };
    if inner.is_empty() {
        return;
    }
    let mut lines = told(seen, entry);
    lines.push(Vec::new());
    let mut rows: Vec<Vec<Span>> = Vec::new();
    for line in &lines {
        rows.extend(text::wrapped(seen.look, line, inner.width));
    }
    // The line itself has a third of the room at least.
    rows.truncate(usize::from(inner.height - inner.height / 3));
    let kept =
        state.raw.as_ref().filter(|(no, _)| *no == entry.no).map(|(_, rows)| Arc::clone(rows));
    let json = kept.unwrap_or_else(|| Arc::new(raw::pretty(&raw::line(entry))));
    let room = usize::from(inner.height);
    for line in json.iter().skip(state.scroll.min(json.len().saturating_sub(1))) {
        if rows.len() >= room {
            break;
        }
        rows.extend(text::wrapped(seen.look, &[span(line.as_str(), Tone::Text)], inner.width));
    }
    for (row, place) in rows.iter().zip(inner.rows()) {
        text::put_spans(seen.look, place, buf, row);
    }
}

/// What is said before the line.
fn told(seen: &Seen<'_>, entry: &Entry) -> Vec<Vec<Span>> {
    let said = sentence(entry);
    let (_, tone) = mood(seen.look, said.mood);
    let whom = if said.server.is_empty() { "cluster" } else { &said.server };
    let mut lines = vec![
        vec![span(format!("{whom}: "), Tone::Bright), span(said.text.as_str(), tone)],
        vec![span("what    ", Tone::Title), span(about(&entry.what), Tone::Dim)],
    ];
    lines.push(when(seen, entry));
    let why = match (cause(entry, seen.model), &entry.what) {
        (Some(cause), _) => vec![
            span("why     ", Tone::Title),
            span(short(cause, entry), Tone::Text),
            span("  Enter goes there", Tone::Dim),
        ],
        (None, What::Event(event)) if event.cause.is_some() => vec![
            span("why     ", Tone::Title),
            span("the event that led to it is not kept any more", Tone::Dim),
        ],
        (None, _) => vec![
            span("why     ", Tone::Title),
            span("no other event is told to have led to it", Tone::Dim),
        ],
    };
    lines.push(why);
    let after = consequences(entry, seen.model);
    for (at, one) in after.iter().take(LISTED).enumerate() {
        let title = if at == 0 { "led to  " } else { "        " };
        lines.push(vec![span(title, Tone::Title), span(short(one, entry), Tone::Text)]);
    }
    if after.len() > LISTED {
        let more = format!("        and {} more", after.len() - LISTED);
        lines.push(vec![span(more, Tone::Dim)]);
    }
    lines
}

fn when(seen: &Seen<'_>, entry: &Entry) -> Vec<Span> {
    let mut words = format!("{} ago", ago(seen.model.now.ms_since(entry.at)));
    if let What::Event(event) = &entry.what
        && event.wall_ms > 0
    {
        words = format!("{} UTC, {words}", wall_words(event.wall_ms));
    }
    let incident = entry.incident.and_then(|id| {
        let mut all = seen.model.story.all();
        all.find(|incident| incident.id == id)
    });
    if let Some(incident) = incident {
        let after = since_words(entry.at.ms_since(incident.began.latest()));
        let server = &incident.server;
        words = format!("{words}; {after} after incident {} began ({server})", incident.id);
    }
    vec![span("when    ", Tone::Title), span(words, Tone::Dim)]
}

/// Another entry in a few words, and how far from this one it is.
fn short(other: &Entry, entry: &Entry) -> String {
    let said = sentence(other);
    let apart = match other.at >= entry.at {
        true => format!("{} later", since_words(other.at.ms_since(entry.at))),
        false => format!("{} before", since_words(entry.at.ms_since(other.at))),
    };
    let server = if said.server.is_empty() { "cluster" } else { &said.server };
    format!("{server}: {} ({apart})", said.text)
}
