//! The ring as it is drawn: arcs with their colours and names, a key's way, points.
//!
//! Used by the views Ring and Overview.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::moves;
use crate::console::look::Tone;
use crate::console::model::clock::{count, some};
use crate::console::model::ring::{OwnedArc, turn};
use crate::console::model::{COORDINATOR, Model};
use crate::console::views::{Seen, overview};
use crate::console::widgets::circle::Circle;
use crate::console::widgets::line::Line;
use crate::console::widgets::ring::{Arc, Marker, Walk};
use crate::console::widgets::text::{self, Span, span};

/// Columns of a key's name on the ring.
const KEY_COLUMNS: u16 = 20;

/// Columns of the longest name beside a strip that is shown whole.
const NAME_COLUMNS: u16 = 12;
/// Rows of a strip: its scale, the line, what is marked on it.
pub(super) const STRIP_ROWS: u16 = 3;

/// A located key: its name, its place, the nodes that hold it, the primary first.
#[derive(Debug, Clone, Copy)]
pub(in crate::console::views) struct Place<'a> {
    /// The key.
    pub key: &'a str,
    /// Its hash.
    pub hash: u64,
    /// Its nodes.
    pub nodes: &'a [String],
}

/// The number of a node, for its colour; all others have one behind the last.
pub(in crate::console::views) fn number(model: &Model, node: &str) -> u8 {
    let place = model.nodes.keys().position(|name| name == node);
    u8::try_from(place.unwrap_or(model.nodes.len())).unwrap_or(u8::MAX)
}

/// Whether a node does not serve its part.
pub(super) fn is_broken(model: &Model, node: &str) -> bool {
    model.nodes.get(node).is_none_or(|node| !node.is_well())
}

/// A share as a person reads it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Who owns what: neighbours of one node as one part, and each node's name on its longest part.
pub(in crate::console::views) fn arcs(seen: &Seen<'_>) -> Vec<Arc> {
    named(seen, joined(seen.model.ring.arcs()))
}

/// The same with a part for each point.
pub(super) fn points(seen: &Seen<'_>) -> Vec<Arc> {
    named(seen, seen.model.ring.arcs())
}

/// A part's length in turns; a single one goes all around.
fn length(arc: &OwnedArc) -> f64 {
    let length = arc.to - arc.from;
    if length <= 0.0 { length + 1.0 } else { length }
}

fn joined(arcs: Vec<OwnedArc>) -> Vec<OwnedArc> {
    let mut out: Vec<OwnedArc> = Vec::with_capacity(arcs.len());
    for arc in arcs {
        match out.last_mut().filter(|last| last.node == arc.node) {
            Some(last) => last.to = arc.to,
            None => out.push(arc),
        }
    }
    let ends_meet = out.len() > 1 && out.first().map(|a| &a.node) == out.last().map(|a| &a.node);
    if ends_meet && let Some(last) = out.pop() {
        out[0].from = last.from;
    }
    out
}

fn named(seen: &Seen<'_>, owned: Vec<OwnedArc>) -> Vec<Arc> {
    let model = seen.model;
    let shares = model.ring.shares();
    let longest = |node: &str| {
        let own = owned.iter().enumerate().filter(|(_, arc)| arc.node == node);
        own.max_by(|(_, a), (_, b)| length(a).total_cmp(&length(b))).map(|(at, _)| at)
    };
    let named: Vec<usize> = shares.keys().filter_map(|node| longest(node)).collect();
    let mut arcs = Vec::with_capacity(owned.len());
    for (at, arc) in owned.iter().enumerate() {
        let broken = is_broken(model, &arc.node);
        let label = if !named.contains(&at) {
            String::new()
        } else if broken {
            let (glyph, word, _) = overview::state_of(seen, &arc.node);
            format!("{} {} {word}", arc.node, seen.look.glyphs.state(glyph))
        } else {
            format!("{} {}", arc.node, percent(shares.get(&arc.node).copied().unwrap_or(0.0)))
        };
        // A single part goes from its end to its end: all around.
        let from = if owned.len() == 1 { arc.to - 1.0 } else { arc.from };
        let node = number(model, &arc.node);
        arcs.push(Arc { from, to: arc.to, node, label, broken });
    }
    arcs
}

/// The place of a key, and where its way ends at each of its nodes.
fn markers(seen: &Seen<'_>, place: &Place<'_>) -> (Vec<Marker>, Walk) {
    let look = seen.look;
    let mut stops = Vec::new();
    let mut markers = vec![Marker {
        at: turn(place.hash),
        glyph: look.glyphs.diamond,
        label: text::elided(look, place.key, KEY_COLUMNS),
        tone: Tone::Accent,
    }];
    let walk = seen.model.ring.walk(place.hash);
    for (at, node) in place.nodes.iter().enumerate() {
        let Some(point) = walk.iter().find(|point| point.node == *node) else { continue };
        stops.push(turn(point.hash));
        let broken = is_broken(seen.model, node);
        let (glyph, tone) = match broken {
            true => (look.glyphs.failed, Tone::Bad),
            false => (ORDER.get(at).copied().unwrap_or("*"), Tone::Accent),
        };
        markers.push(Marker { at: turn(point.hash), glyph, label: String::new(), tone });
    }
    (markers, Walk { from: turn(place.hash), stops })
}

/// The marks of a key's nodes, the primary's first.
const ORDER: [&str; 9] = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Draws the ring as a circle, with a key's way and the points where they are asked for.
pub(super) fn circle(
    seen: &Seen<'_>,
    place: Option<&Place<'_>>,
    ticks: bool,
    area: Rect,
    buf: &mut Buffer,
) {
    let arcs = if ticks { points(seen) } else { arcs(seen) };
    let (markers, walk) = place.map(|place| markers(seen, place)).unzip();
    let markers = markers.unwrap_or_default();
    let centre = centre(seen, place);
    let circle = Circle {
        arcs: &arcs,
        moves: &moves::arcs(seen),
        markers: &markers,
        walk: walk.as_ref(),
        centre: &centre,
        ticks,
    };
    circle.draw(seen.look, area, buf);
    grey(seen, area, buf);
}

/// Draws the ring in small: arcs and names only.
pub(in crate::console::views) fn small(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let arcs = arcs(seen);
    let centre = centre(seen, None);
    let circle = Circle {
        arcs: &arcs,
        moves: &moves::arcs(seen),
        markers: &[],
        walk: None,
        centre: &centre,
        ticks: false,
    };
    circle.draw(seen.look, area, buf);
    grey(seen, area, buf);
}

fn centre(seen: &Seen<'_>, place: Option<&Place<'_>>) -> Vec<Vec<Span>> {
    let model = seen.model;
    match place {
        Some(place) => vec![
            vec![span(text::elided(seen.look, place.key, KEY_COLUMNS), Tone::Accent)],
            vec![span(format!("{:016x}", place.hash), Tone::Text)],
            vec![span(degrees(place.hash), Tone::Dim)],
        ],
        None if model.ring.points.is_empty() => vec![vec![span("no ring known", Tone::Dim)]],
        None => vec![
            vec![span(format!("ring {}", model.ring.number), Tone::Dim)],
            vec![span(format!("{}{}", model.least(), some(model.keys(), "key")), Tone::Dim)],
        ],
    }
}

/// A place as an angle.
pub(super) fn degrees(hash: u64) -> String {
    format!("{:.1}°", turn(hash) * 360.0)
}

/// Draws the ring as a strip with a scale above, and below it, where there is room, a row of each
/// node's parts.
pub(super) fn strip(
    seen: &Seen<'_>,
    place: Option<&Place<'_>>,
    ticks: bool,
    area: Rect,
    buf: &mut Buffer,
) {
    let rest = Rect { y: area.y + area.height.min(STRIP_ROWS), ..area }.intersection(area);
    let rest = if area.height > STRIP_ROWS { rest } else { Rect { height: 0, ..area } };
    let names = seen.model.nodes.keys().map(|name| text::width(seen.look, name)).max().unwrap_or(0);
    let names = if rest.height > 0 { (names.min(NAME_COLUMNS) + 1).min(area.width) } else { 0 };
    let right = Rect { x: area.x + names, width: area.width - names, ..area };
    let arcs = if ticks { points(seen) } else { arcs(seen) };
    let mut markers = place.map_or(Vec::new(), |place| markers(seen, place).0);
    if ticks {
        let points = seen.model.ring.points.iter().map(|point| Marker {
            at: turn(point.hash),
            glyph: seen.look.glyphs.head_up,
            label: String::new(),
            tone: Tone::Node(number(seen.model, &point.node)),
        });
        markers.splice(..0, points);
    }
    scale(seen, Rect { height: right.height.min(1), ..right }, buf);
    let line = Rect { y: right.y.saturating_add(1), height: 2, ..right }.intersection(right);
    Line { arcs: &arcs, moves: &moves::arcs(seen), markers: &markers }.draw(seen.look, line, buf);
    grey(seen, line, buf);
    parts(seen, names, rest, buf);
}

/// Draws a row for each node with its parts alone, behind its name.
fn parts(seen: &Seen<'_>, names: u16, area: Rect, buf: &mut Buffer) {
    let all = points(seen);
    for (row, node) in area.rows().zip(seen.model.nodes.keys()) {
        let number = number(seen.model, node);
        let tone = if is_broken(seen.model, node) { Tone::Bad } else { Tone::Node(number) };
        let own = all.iter().filter(|arc| arc.node == number);
        let own: Vec<Arc> = own.map(|arc| Arc { label: String::new(), ..arc.clone() }).collect();
        let name = Rect { width: names.saturating_sub(1), ..row };
        text::put_elided(seen.look, name, buf, node, tone);
        let line = Rect { x: row.x + names, width: row.width - names, ..row };
        Line { arcs: &own, moves: &[], markers: &[] }.draw(seen.look, line, buf);
    }
    grey(seen, area, buf);
}

/// Where on the strip which angle is.
fn scale(seen: &Seen<'_>, row: Rect, buf: &mut Buffer) {
    if row.is_empty() {
        return;
    }
    for quarter in 0..4_u16 {
        let x = row.x + (u32::from(row.width) * u32::from(quarter) / 4) as u16;
        let place = Rect { x, width: row.right() - x, ..row };
        text::put(seen.look, place, buf, &format!("{}°", quarter * 90), Tone::Dim);
    }
    text::put_right(seen.look, row, buf, "360°", Tone::Dim);
}

/// Takes the colours off what is the last picture of what is not known any more.
pub(in crate::console::views) fn grey(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    if seen.model.stale_ms().is_some() {
        let area = area.intersection(buf.area);
        buf.set_style(area, seen.look.style(Tone::Stale));
    }
}

/// How many keys have how many live copies.
pub(in crate::console::views) fn copies_words(seen: &Seen<'_>) -> Vec<Span> {
    let model = seen.model;
    let mut spans = vec![span("live copies ", Tone::Dim)];
    if model.copies.by_live_copies.is_empty() {
        spans.push(span("not told yet", Tone::Dim));
    }
    for (copies, keys) in model.copies.by_live_copies.iter().rev() {
        let tone = match *copies {
            0 => Tone::Bad,
            copies if copies < model.copies_wanted() => Tone::Warn,
            _ => Tone::Good,
        };
        spans.push(span(format!("{copies}: {}  ", some(*keys, "key")), tone));
    }
    let uncounted = model.copies.uncounted.iter().map(|node| node.as_str());
    let uncounted: Vec<&str> = uncounted.collect();
    if !uncounted.is_empty() {
        spans.push(span(format!("at least, {} not counted ", uncounted.join(" ")), Tone::Warn));
    }
    spans
}

/// How many keys cannot be read, cannot be written, or lack a copy, the worst first; none: all can,
/// and have all of theirs.
pub(in crate::console::views) fn unwritable_words(seen: &Seen<'_>) -> Option<Span> {
    let model = seen.model;
    let (unwritable, short) = (model.copies.unwritable, model.keys_short());
    let least = model.least();
    let unread = model.keys_unread();
    if unread > 0 {
        // Those that nobody can read cannot be written either.
        let read = unwritable.saturating_sub(unread);
        let keys = some(unread, "key");
        let words = format!("{least}{keys} not read, {} more not written", count(read));
        return Some(span(words, Tone::Bad));
    }
    if unwritable > 0 {
        let are = if unwritable == 1 { "is" } else { "are" };
        let keys = some(unwritable, "key");
        let words = format!("{least}{keys} {are} read, but cannot be written");
        return Some(span(words, Tone::Bad));
    }
    let made = if model.moving.is_under_way() { ", which is being made" } else { "" };
    let lack = if short == 1 { "lacks" } else { "lack" };
    let words = format!("{least}{} {lack} a copy{made}", some(short, "key"));
    (short > 0).then(|| span(words, Tone::Warn))
}

/// Whether the coordinator serves, in words where it does not.
pub(super) fn unserved(model: &Model) -> Option<String> {
    if model.is_served() {
        return None;
    }
    let ended = model.procs.get(COORDINATOR).is_some_and(|process| process.pid.is_none());
    Some(match (ended, model.stale_ms(), model.coordinator.state) {
        (true, ..) => "the coordinator does not run".into(),
        (false, Some(_), _) => "the coordinator is not heard".into(),
        (false, None, Some(state)) => format!("the coordinator is {state}"),
        (false, None, None) => "nothing is known of the coordinator".into(),
    })
}
