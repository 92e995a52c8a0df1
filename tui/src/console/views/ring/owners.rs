//! Whose how much of the ring is, in rows; or its points, one by one.
//!
//! Part of the view Ring.

use protocol::peer::Placement;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::picture;
use crate::console::look::Tone;
use crate::console::model::clock::count;
use crate::console::views::{Seen, overview};
use crate::console::widgets::meter::Meter;
use crate::console::widgets::text::{self, Span, span};

/// Rows below the nodes': what is true of the whole ring.
const SUMMARY_ROWS: u16 = 6;
/// Columns of the longest name that is shown whole.
const NAME_COLUMNS: u16 = 12;

/// The first of `all` rows that is drawn, so that the selected one is among `rows`.
fn first(all: usize, selected: Option<usize>, rows: usize) -> usize {
    let last = all.saturating_sub(rows);
    selected.map_or(0, |at| (at + 1).saturating_sub(rows)).min(last)
}

/// The nodes that are drawn into so many rows, in order.
fn shown(seen: &Seen<'_>, rows: u16) -> Vec<String> {
    let names: Vec<String> = seen.model.nodes.keys().cloned().collect();
    let selected = names.iter().position(|name| name == seen.selected);
    let first = first(names.len(), selected, usize::from(rows));
    names.into_iter().skip(first).take(usize::from(rows)).collect()
}

/// How many rows of `area` the nodes have: all that they need, if there are as many.
fn node_rows(seen: &Seen<'_>, area: Rect) -> u16 {
    let nodes = u16::try_from(seen.model.nodes.len()).unwrap_or(u16::MAX);
    if nodes <= area.height { nodes } else { area.height - SUMMARY_ROWS.min(area.height / 3) }
}

/// The node whose row of the ownership in `area` this is.
pub(super) fn node_at(seen: &Seen<'_>, area: Rect, row: u16) -> Option<String> {
    let at = row.checked_sub(area.y)?;
    shown(seen, node_rows(seen, area)).get(usize::from(at)).cloned()
}

/// Draws a bar for each node, and below them what is true of the whole.
pub(super) fn draw(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    let nodes = shown(seen, node_rows(seen, area));
    let shares = seen.model.ring.shares();
    let most = shares.values().copied().fold(0.0, f64::max);
    let names = nodes.iter().map(|name| text::width(seen.look, name)).max().unwrap_or(0);
    let names = names.min(NAME_COLUMNS);
    for (row, name) in area.rows().zip(&nodes) {
        let share = shares.get(name).copied();
        bar(seen, name, (share, most), names, row, buf);
    }
    let used = u16::try_from(nodes.len()).unwrap_or(u16::MAX).min(area.height);
    let rest = Rect { y: area.y + used, height: area.height - used, ..area };
    let rows = summary(seen);
    let blank = usize::from(usize::from(rest.height) > rows.len());
    for (row, spans) in rest.rows().skip(blank).zip(rows) {
        text::put_spans(seen.look, row, buf, &spans);
    }
}

fn bar(
    seen: &Seen<'_>,
    name: &str,
    (share, most): (Option<f64>, f64),
    names: u16,
    row: Rect,
    buf: &mut Buffer,
) {
    let model = seen.model;
    let stale = model.stale_ms().is_some();
    let broken = picture::is_broken(model, name);
    let tone = if stale { Tone::Stale } else { Tone::Node(picture::number(model, name)) };
    let is_selected = name == seen.selected;
    let mark = if is_selected { seen.look.glyphs.pointer } else { " " };
    let short = text::elided(seen.look, name, names);
    let pad = usize::from(names.saturating_sub(text::width(seen.look, &short)));
    let percent = share.map_or("-".to_owned(), picture::percent);
    let label = [
        span(format!("{mark} "), Tone::Accent),
        span(format!("{short}{:pad$} ", ""), tone),
        span(format!("{percent:>4}"), if stale { Tone::Stale } else { Tone::Text }),
    ];
    let node = model.nodes.get(name);
    let keys = |keys: Option<u64>| keys.map_or("?".to_owned(), count);
    let primary = keys(node.and_then(|node| node.keys_primary()));
    let replica = keys(node.and_then(|node| node.keys_replica()));
    let keys = match node.is_some_and(|node| node.is_counting()) {
        _ if node.is_some_and(|node| node.is_evicted()) => "-".to_owned(),
        true => "counting".to_owned(),
        false => format!("{primary}+{replica}"),
    };
    let mut figure = Vec::new();
    if broken && !stale {
        let (_, word, _) = overview::state_of(seen, name);
        let words = match model.stand_ins(name).as_deref() {
            None => word.to_owned(),
            Some([]) => format!("{word}, reads by nobody"),
            Some(by) => format!("{word}, reads by {}", by.join(" ")),
        };
        figure.push(span(format!("{words} "), Tone::Bad));
    }
    let figures = if stale { Tone::Stale } else { Tone::Text };
    figure.push(span(keys, figures));
    let share = if most > 0.0 { share.unwrap_or(0.0) / most } else { 0.0 };
    let meter = Meter { share, tone, broken, track: false, label: &label, figure: &figure };
    meter.draw(seen.look, row, buf);
    if is_selected {
        buf.set_style(row.intersection(buf.area), seen.look.style(Tone::Selected));
    }
}

/// What is true of the whole ring.
pub(super) fn summary(seen: &Seen<'_>) -> Vec<Vec<Span>> {
    let model = seen.model;
    let balance = model.ring.balance().map_or("?".to_owned(), |all| format!("{all:.2}"));
    let primaries = model.nodes.values().map(|node| node.keys_primary().unwrap_or(0));
    let (most, sum) =
        (primaries.clone().max().unwrap_or(0), primaries.fold(0, u64::saturating_add));
    let by_keys = match sum {
        0 => "?".to_owned(),
        sum => format!("{:.2}", most as f64 * model.nodes.len() as f64 / sum as f64),
    };
    let balanced = vec![
        span("balance ", Tone::Dim),
        span(format!("max/mean {balance} by ring, {by_keys} by keys"), Tone::Text),
    ];
    let tokens = model.cluster.as_ref().map_or("?".to_owned(), |told| told.tokens.to_string());
    let by_sum =
        model.cluster.as_ref().is_some_and(|told| told.placement == Placement::AsciiSum).then(
            || {
                let words = format!("byte sum mod {}, clockwise from 0", model.ring.points.len());
                vec![span("ascii-sum ", Tone::Dim), span(words, Tone::Text)]
            },
        );
    let number = if model.ring.number.is_empty() { "?" } else { &model.ring.number };
    let points = count(model.ring.points.len() as u64);
    let ring = vec![
        span("ring ", Tone::Dim),
        span(format!("{number}, {points} points, {tokens} a node"), Tone::Text),
    ];
    let durable = match model.ring.durable_on.as_slice() {
        [] => vec![span("durable on: not told to this console", Tone::Dim)],
        nodes => vec![span("durable on ", Tone::Dim), span(nodes.join(" "), Tone::Text)],
    };
    let mut rows = vec![balanced, picture::copies_words(seen)];
    rows.extend(picture::unwritable_words(seen).map(|words| vec![words]));
    rows.push(ring);
    rows.extend(by_sum);
    rows.push(durable);
    rows
}

/// Draws the points, clockwise: where each is, whose, and how much of the ring ends there.
pub(super) fn draw_points(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let model = seen.model;
    let arcs = model.ring.arcs();
    let of_selected = |at: &usize| model.ring.points[*at].node == seen.selected;
    let selected = (0..model.ring.points.len()).find(of_selected);
    let rows = usize::from(area.height);
    // The first point of the selected node is in the middle, if there are more than fit.
    let around = selected.map(|at| at + rows / 2);
    let first = first(arcs.len(), around, rows);
    for ((point, arc), row) in model.ring.points.iter().zip(&arcs).skip(first).zip(area.rows()) {
        let length = arc.to - arc.from;
        let length = if length <= 0.0 { length + 1.0 } else { length };
        let tone = Tone::Node(picture::number(model, &point.node));
        let mark = if point.node == seen.selected { seen.look.glyphs.pointer } else { " " };
        let spans = [
            span(format!("{mark} "), Tone::Accent),
            span(format!("{:016x} ", point.hash), Tone::Text),
            span(format!("{:>7} ", picture::degrees(point.hash)), Tone::Dim),
            span(format!("{:>5.1}% ", length * 100.0), Tone::Dim),
            span(point.node.as_str(), tone),
        ];
        text::put_spans(seen.look, row, buf, &spans);
    }
    picture::grey(seen, area, buf);
}

/// The node of the point that is drawn in this row of `area`.
pub(super) fn point_at(seen: &Seen<'_>, area: Rect, row: u16) -> Option<String> {
    let points = &seen.model.ring.points;
    let rows = usize::from(area.height);
    let selected = points.iter().position(|point| point.node == seen.selected);
    let first = first(points.len(), selected.map(|at| at + rows / 2), rows);
    let at = first + usize::from(row.checked_sub(area.y)?);
    points.get(at).map(|point| point.node.clone())
}
