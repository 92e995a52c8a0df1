//! The view Ring: who owns which keys, where a key lies, what each of its nodes holds.
//!
//! One of the six; see `views`. A key that is typed is followed as it is typed: a question a tick
//! at most, for the latest text.
//!
//! - this file: keys, who gets which part; `lookup`: the key that is looked up
//! - `picture`: circle and strip; `moves`: what moves from node to node
//! - `panel`: what is known of the key; `owners`: shares and points

mod lookup;
pub(super) mod moves;
mod owners;
mod panel;
pub(super) mod picture;
#[cfg(test)]
mod tests;

use protocol::reply::LocateReply;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::{Out, Pointed, Seen, View};
use crate::console::action::{Action, ViewName};
use crate::console::effect::Done;
use crate::console::keys::{self, Binding, bindings};
use crate::console::look::Tone;
use crate::console::model::clock::ago;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::text::{self, Span, span};
use crate::prompt::Key;
use lookup::Lookup;
use picture::STRIP_ROWS;

/// Below so many columns the ring is a strip, unless a circle is asked for.
const CIRCLE_COLUMNS: u16 = 100;
/// Columns of what stands beside the ring.
const BESIDE_COLUMNS: u16 = 50;
/// Rows of the box of the key, with its borders.
const LOOKUP_ROWS: u16 = 13;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Select the next node, or the one before.
    Move(bool),
    /// Type a key.
    Lookup,
    /// Ask again.
    Again,
    /// Look up no key any more.
    Clear,
    /// Show points, or shares.
    Points,
    /// Draw a circle, or a strip.
    Shape,
    /// Show the selected node's cache.
    Open,
}

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Ring,
    (
        "lookup",
        &[Key::Char('/')],
        Act::Lookup,
        "key",
        "look up a key: which nodes hold it, and what each has; Enter keeps it, Esc clears it",
    ),
    ("again", &[Key::Char('u')], Act::Again, "", "ask for the key's copies again"),
    ("clear", &[Key::Escape], Act::Clear, "", "look up no key any more"),
    (
        "points",
        &[Key::Char('v')],
        Act::Points,
        "points",
        "show every point of the ring, or the nodes' shares",
    ),
    (
        "shape",
        &[Key::Char('t')],
        Act::Shape,
        "circle/strip",
        "draw the ring as a circle, or unrolled",
    ),
    ("down", keys::DOWN, Act::Move(true), "", "select the next node"),
    ("up", keys::UP, Act::Move(false), "", "select the node before"),
    ("open", &[Key::Enter], Act::Open, "", "show the selected node's cache"),
);

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {
    lookup: Lookup,
    /// Whether points are shown.
    points: bool,
    /// Whether a person chose the circle, or the strip.
    circle: Option<bool>,
}

/// Who gets which part of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Parts {
    /// The ring, with its border.
    ring: Rect,
    /// The key.
    lookup: Rect,
    /// Shares or points.
    owners: Rect,
    /// Whether the parts have borders.
    framed: bool,
    /// Whether the ring is a circle.
    circle: bool,
}

impl State {
    /// The key that was looked up, and where it lies, if that is known.
    pub fn located(&self) -> Option<(&str, &LocateReply)> {
        Some((self.lookup.text(), self.lookup.located()?))
    }

    /// Shows this key.
    pub fn show(&mut self, key: &str, out: &mut Out) {
        self.lookup.show(key, out);
    }

    fn parts(&self, seen: &Seen<'_>, area: Rect) -> Parts {
        let circle = self.circle.unwrap_or(!seen.compact && area.width >= CIRCLE_COLUMNS);
        let framed = !seen.compact;
        if circle {
            return Self::beside(area, framed);
        }
        if framed {
            return Self::below(seen, area);
        }
        let ring = Rect { height: STRIP_ROWS.min(area.height), ..area };
        let rest = Rect { y: ring.bottom(), height: area.height - ring.height, ..area };
        let lookup = Rect { height: self.lookup_rows(seen).min(rest.height), ..rest };
        let owners = Rect { y: lookup.bottom(), height: rest.height - lookup.height, ..rest };
        Parts { ring, lookup, owners, framed, circle }
    }

    /// The strip above, the rest below it.
    fn below(seen: &Seen<'_>, area: Rect) -> Parts {
        let nodes = u16::try_from(seen.model.nodes.len()).unwrap_or(u16::MAX);
        let wanted = nodes.saturating_add(STRIP_ROWS + 2);
        let height = wanted.min(area.height / 2).max(STRIP_ROWS).min(area.height);
        let ring = Rect { height, ..area };
        let rest = Rect { y: ring.bottom(), height: area.height - height, ..area };
        let lookup = Rect { width: rest.width / 2, ..rest };
        let owners = Rect { x: lookup.right(), width: rest.width - lookup.width, ..rest };
        Parts { ring, lookup, owners, framed: true, circle: false }
    }

    /// The circle at the left, the rest beside it.
    fn beside(area: Rect, framed: bool) -> Parts {
        let most = if framed { BESIDE_COLUMNS } else { area.width / 2 };
        let right = most.min(area.width / 2);
        let ring = Rect { width: area.width - right, ..area };
        let beside = Rect { x: ring.right(), width: right, ..area };
        let height = LOOKUP_ROWS.min(area.height / 2 + u16::from(framed));
        let lookup = Rect { height: height.min(area.height), ..beside };
        let owners = Rect { y: lookup.bottom(), height: area.height - lookup.height, ..beside };
        Parts { ring, lookup, owners, framed, circle: true }
    }

    /// Rows of the key where there is little room.
    fn lookup_rows(&self, seen: &Seen<'_>) -> u16 {
        let replicas = u16::try_from(seen.model.replicas()).unwrap_or(u16::MAX).min(9);
        match self.lookup.text().is_empty() {
            true if self.shows_moves(seen) => moves::rows(seen, 1).min(8),
            true => 3,
            false => replicas + 6,
        }
    }

    /// Whether what moves is shown where else a key is.
    fn shows_moves(&self, seen: &Seen<'_>) -> bool {
        let looks_up = self.lookup.is_typing() || !self.lookup.text().is_empty();
        !looks_up && seen.model.moving.is_under_way()
    }

    fn act_on(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        match act {
            Act::Lookup => self.lookup.begin(),
            Act::Again => self.lookup.again(),
            Act::Clear => self.lookup.clear(),
            Act::Points => self.points = !self.points,
            Act::Shape => self.circle = Some(!self.circle.unwrap_or(!seen.compact)),
            Act::Open => out.go = Some(ViewName::Cache),
            Act::Move(down) => {
                let nodes: Vec<&String> = seen.model.nodes.keys().collect();
                let place = nodes.iter().position(|name| *name == seen.selected);
                let place = match (place, down) {
                    (None, _) => 0,
                    (Some(at), true) => at + 1,
                    (Some(at), false) => at.saturating_sub(1),
                };
                let place = place.min(nodes.len().saturating_sub(1));
                out.select = nodes.get(place).map(|name| (*name).clone());
            }
        }
    }

    /// Draws the key, or what moves while none is looked up.
    fn draw_beside(&self, seen: &Seen<'_>, parts: &Parts, buf: &mut Buffer) {
        let shows_moves = self.shows_moves(seen);
        let frame = Frame {
            title: if shows_moves { "Moving" } else { "Key" },
            focused: self.lookup.is_typing(),
            caption: match (shows_moves, self.lookup.is_typing()) {
                (true, _) => "who gets keys from whom; / looks up a key",
                (false, true) => "Enter keeps it, Esc clears it",
                (false, false) => "",
            },
            ..Frame::default()
        };
        let place = match parts.framed {
            true => frame.draw(seen.look, parts.lookup, buf),
            false => parts.lookup,
        };
        if shows_moves {
            return moves::draw(seen, place, buf);
        }
        for (row, spans) in place.rows().zip(panel::rows(seen, &self.lookup, place.width)) {
            text::put_spans(seen.look, row, buf, &spans);
        }
    }

    fn draw_ring(&self, seen: &Seen<'_>, parts: &Parts, buf: &mut Buffer) {
        let place = self.lookup.located().map(|located| {
            let nodes = located.nodes.iter().map(|node| node.as_str().to_owned());
            (located.hash.0, nodes.collect::<Vec<String>>())
        });
        let place = place.as_ref().map(|(hash, nodes)| picture::Place {
            key: self.lookup.text(),
            hash: *hash,
            nodes,
        });
        let title = format!("Ring {}", seen.model.ring.number);
        let remarks = stale_words(seen);
        let frame = Frame {
            title: &title,
            remarks: &remarks,
            caption: "clockwise: rising hash; dashed: not served by its owner",
            ..Frame::default()
        };
        let area = if parts.framed { frame.draw(seen.look, parts.ring, buf) } else { parts.ring };
        if parts.circle {
            return picture::circle(seen, place.as_ref(), self.points, area, buf);
        }
        picture::strip(seen, place.as_ref(), self.points, area, buf);
    }
}

/// That the picture is the last one, and how old.
fn stale_words(seen: &Seen<'_>) -> Vec<Span> {
    let age = seen.model.stale_ms().filter(|_| seen.model.cluster.is_some());
    age.map(|age| span(format!("the last picture, {} old", ago(age)), Tone::Bad))
        .into_iter()
        .collect()
}

/// The inside of a part with a border.
fn inside(area: Rect, framed: bool) -> Rect {
    if !framed || area.width < 4 || area.height < 3 {
        return area;
    }
    Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        self.act_on(act, seen, out);
    }

    fn is_typing(&self) -> bool {
        self.lookup.is_typing()
    }

    fn typed(&mut self, key: &Key, _seen: &Seen<'_>, _out: &mut Out) -> bool {
        self.lookup.typed(key)
    }

    fn done(&mut self, done: &Done, seen: &Seen<'_>, _out: &mut Out) {
        if let Done::Located(key, told) = done {
            self.lookup.told(seen.model, key, told);
        }
    }

    fn ticked(&mut self, seen: &Seen<'_>, out: &mut Out) {
        self.lookup.ticked(seen.model, out);
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, out: &mut Out) {
        let (x, y) = match at {
            Pointed::Click(x, y) => (x, y),
            Pointed::Wheel(_, _, down) => return self.act_on(Act::Move(down), seen, out),
        };
        let parts = self.parts(seen, area);
        if parts.owners.contains(Position { x, y }) {
            let area = inside(parts.owners, parts.framed);
            out.select = match self.points {
                true => owners::point_at(seen, area, y),
                false => owners::node_at(seen, area, y),
            };
        } else if parts.lookup.contains(Position { x, y }) {
            self.lookup.begin();
        }
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let parts = self.parts(seen, area);
        self.draw_ring(seen, &parts, buf);
        self.draw_beside(seen, &parts, buf);
        let title = if self.points { "Points" } else { "Ownership" };
        let caption = if self.points { "v: shares" } else { "keys as first + further replica" };
        let frame = Frame { title, caption, ..Frame::default() };
        let place = match parts.framed {
            true => frame.draw(seen.look, parts.owners, buf),
            false => parts.owners,
        };
        match self.points {
            true => owners::draw_points(seen, place, buf),
            false => owners::draw(seen, place, buf),
        }
    }
}
