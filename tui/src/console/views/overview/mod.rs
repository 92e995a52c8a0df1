//! The view Overview: every server, the ring in small, throughput, transactions, the last events.
//!
//! One of the six; see `views`. While the coordinator is lost it shows the last picture, greyed,
//! with its age; what the supervisor tells of the processes is live all the same.
//!
//! - this file: keys, who gets which part, a server's state; `rows`: the table of servers
//! - `detail`: what else is known of each; `below`: throughput, transactions, events

mod below;
mod detail;
mod rows;
#[cfg(test)]
mod tests;

use protocol::status::{CoordinatorState, NodeState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::ring::{moves, picture};
use super::{Out, Pointed, Seen, View};
use crate::console::action::{Action, ViewName};
use crate::console::keys::{self, Binding, bindings};
use crate::console::look::{State as Glyph, Tone};
use crate::console::model::COORDINATOR;
use crate::console::model::clock::ago;
use crate::console::model::node::Node;
use crate::console::widgets::frame::Frame;
use crate::console::widgets::line::Line;
use crate::console::widgets::text::{self, Span, span};
use crate::prompt::Key;

/// Columns of the ring beside the servers, and the fewest that are left for them.
const RING_COLUMNS: u16 = 34;
const SERVERS_COLUMNS: u16 = 70;
/// Rows of the boxes below the servers, with their borders, and the fewest for the servers.
const BELOW_ROWS: u16 = 11;
const SERVERS_ROWS: u16 = 6;
/// Rows below the servers where there is little room: details, ring, throughput, transactions.
const COMPACT_ROWS: u16 = 5;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Select the next server, or the one before.
    Move(bool),
    /// Select the first server, or the last.
    End(bool),
    /// Show the selected server's cache.
    Open,
}

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Overview,
    ("down", keys::DOWN, Act::Move(true), "", "select the server below"),
    ("up", keys::UP, Act::Move(false), "", "select the server above"),
    ("first", keys::FIRST, Act::End(false), "", "select the first server: the coordinator"),
    ("last", keys::LAST, Act::End(true), "", "select the last server"),
    ("open", &[Key::Enter], Act::Open, "its cache", "show the selected server's cache"),
);

/// The view's state: there is none, for what is selected is the console's.
#[derive(Debug, Clone, Default)]
pub struct State {}

/// Who gets which part of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Parts {
    /// The servers, with a border unless there is little room.
    servers: Rect,
    /// The ring.
    ring: Rect,
    /// Throughput.
    ops: Rect,
    /// Transactions.
    txns: Rect,
    /// Events.
    events: Rect,
    /// More of the selected server; only where there is little room.
    detail: Rect,
    /// How far a change of the membership is; only while one runs.
    change: Rect,
}

impl Parts {
    fn of(seen: &Seen<'_>, area: Rect) -> Self {
        if seen.compact { Self::compact(seen, area) } else { Self::full(seen, area) }
    }

    fn full(seen: &Seen<'_>, area: Rect) -> Self {
        let below = BELOW_ROWS.min(area.height.saturating_sub(SERVERS_ROWS));
        let change = change_rows(seen).min(area.height - below);
        let above = Rect { height: area.height - below - change, ..area };
        let change = Rect { y: above.bottom(), height: change, ..area };
        let ring = if area.width >= RING_COLUMNS + SERVERS_COLUMNS { RING_COLUMNS } else { 0 };
        let [servers, ring] = beside(above, [above.width - ring, ring]);
        let under = Rect { y: change.bottom(), height: below, ..area };
        let columns = area.width / 7 * 2;
        let [ops, rest] = beside(under, [columns, area.width - columns]);
        let txns = rest.width.min(34);
        let [txns, events] = beside(rest, [txns, rest.width - txns]);
        Self { servers, ring, ops, txns, events, detail: Rect::default(), change }
    }

    fn compact(seen: &Seen<'_>, area: Rect) -> Self {
        let wanted = u16::try_from(seen.model.servers().len() + 1).unwrap_or(u16::MAX);
        let most = area.height.saturating_sub(COMPACT_ROWS + 3).max(area.height.min(2));
        let mut y = area.y;
        let mut rows = |rows: u16| {
            let height = rows.min(area.bottom() - y);
            let part = Rect { y, height, ..area };
            y += height;
            part
        };
        let servers = rows(wanted.min(most));
        let [detail, change] = [rows(1), rows(change_rows(seen))];
        let [ring, ops, txns] = [rows(2), rows(1), rows(1)];
        Self { servers, detail, change, ring, ops, txns, events: rows(u16::MAX) }
    }
}

/// Rows of the running change.
fn change_rows(seen: &Seen<'_>) -> u16 {
    u16::from(seen.model.moving.is_under_way())
}

/// Two parts side by side.
fn beside(area: Rect, columns: [u16; 2]) -> [Rect; 2] {
    let left = columns[0].min(area.width);
    let right = columns[1].min(area.width - left);
    [Rect { width: left, ..area }, Rect { x: area.x + left, width: right, ..area }]
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        let servers = seen.model.servers();
        let last = servers.len() - 1;
        let place = servers.iter().position(|name| name == seen.selected).unwrap_or(0);
        let place = match act {
            Act::Move(true) => (place + 1).min(last),
            Act::Move(false) => place.saturating_sub(1),
            Act::End(down) => last * usize::from(down),
            Act::Open => {
                out.go = Some(ViewName::Cache);
                return;
            }
        };
        out.select = Some(servers[place].clone());
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, out: &mut Out) {
        let (column, row) = match at {
            Pointed::Click(column, row) => (column, row),
            Pointed::Wheel(_, _, down) => return self.act(Act::Move(down), seen, out),
        };
        let parts = Parts::of(seen, area);
        let place = ratatui::layout::Position { x: column, y: row };
        if parts.servers.contains(place) {
            out.select = rows::server_at(seen, inside(seen, parts.servers), row);
        }
        let others = [
            (parts.ring, ViewName::Ring),
            (parts.txns, ViewName::Txns),
            (parts.events, ViewName::Events),
        ];
        out.go = others.iter().find(|(part, _)| part.contains(place)).map(|(_, view)| *view);
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let parts = Parts::of(seen, area);
        moves::draw_change(seen, parts.change, buf);
        if seen.compact {
            return draw_compact(seen, &parts, buf);
        }
        let remarks = stale_words(seen);
        let glyphs = seen.look.glyphs;
        let (missed, due) = (glyphs.missed, glyphs.light);
        let caption =
            format!("heartbeats: newest right, height = how late, {missed} = missed, {due} = due");
        let frame =
            Frame { title: "Servers", remarks: &remarks, caption: &caption, ..Frame::default() };
        rows::draw(seen, frame.draw(seen.look, parts.servers, buf), buf);
        if parts.ring.width > 0 {
            let frame = Frame { title: "Ring", caption: "2 for more", ..Frame::default() };
            let place = frame.draw(seen.look, parts.ring, buf);
            picture::small(seen, place, buf);
        }
        let frame = Frame { title: "Reads and writes a second", ..Frame::default() };
        below::throughput(seen, frame.draw(seen.look, parts.ops, buf), buf);
        let frame = Frame { title: "Two-phase commit", caption: "4 for more", ..Frame::default() };
        let place = frame.draw(seen.look, parts.txns, buf);
        for (row, spans) in place.rows().zip(below::txns_rows(seen)) {
            text::put_spans(seen.look, row, buf, &spans);
        }
        picture::grey(seen, place, buf);
        let frame = Frame { title: "Events", caption: "6 for all", ..Frame::default() };
        below::events(seen, frame.draw(seen.look, parts.events, buf), buf);
    }
}

/// The area of the table of servers.
fn inside(seen: &Seen<'_>, servers: Rect) -> Rect {
    if seen.compact || servers.width < 4 || servers.height < 3 {
        return servers;
    }
    Rect {
        x: servers.x + 1,
        y: servers.y + 1,
        width: servers.width - 2,
        height: servers.height - 2,
    }
}

/// That the picture is the last one, and how old.
fn stale_words(seen: &Seen<'_>) -> Vec<Span> {
    let Some(age) = seen.model.stale_ms() else { return Vec::new() };
    if seen.model.cluster.is_none() {
        return vec![span("nothing heard yet", Tone::Warn)];
    }
    let whose = if seen.model.can_administer() { "; the processes are live" } else { "" };
    vec![span(format!("the last picture, {} old{whose}", ago(age)), Tone::Bad)]
}

fn draw_compact(seen: &Seen<'_>, parts: &Parts, buf: &mut Buffer) {
    rows::draw(seen, parts.servers, buf);
    let mut detail = vec![span(format!("{} ", seen.selected), Tone::Bright)];
    if let Some(first) = detail::rows(seen, seen.selected).into_iter().next() {
        detail.extend(first);
    }
    let whole: Vec<Vec<Span>> = detail.into_iter().map(|part| vec![part]).collect();
    let whole = match whole.split_first_chunk::<2>() {
        Some(([name, first], more)) => [&[[&name[..], first].concat()], more].concat(),
        None => whole,
    };
    let detail = text::whole_parts(seen.look, &whole, parts.detail.width);
    text::put_spans(seen.look, parts.detail, buf, &detail);
    let label = text::put(seen.look, parts.ring, buf, "ring ", Tone::Title).min(parts.ring.width);
    let rest = Rect { x: parts.ring.x + label, width: parts.ring.width - label, ..parts.ring };
    let arcs = picture::arcs(seen);
    Line { arcs: &arcs, moves: &[], markers: &[] }.draw(
        seen.look,
        Rect { height: rest.height.min(1), ..rest },
        buf,
    );
    let below =
        Rect { y: rest.y + rest.height.min(1), height: rest.height.saturating_sub(1), ..rest };
    let mut words = stale_words(seen);
    if words.is_empty() {
        words = picture::copies_words(seen);
        words.extend(picture::unwritable_words(seen));
    } else {
        picture::grey(seen, Rect { height: rest.height.min(1), ..rest }, buf);
    }
    text::put_spans(seen.look, below, buf, &words);
    below::row_of_throughput(seen, parts.ops, buf);
    text::put_spans(seen.look, parts.txns, buf, &below::txns_row(seen, parts.txns.width));
    picture::grey(seen, parts.txns, buf);
    below::events(seen, parts.events, buf);
}

/// A server's state as a glyph and a word; never as a colour alone.
pub fn state_spans(seen: &Seen<'_>, server: &str) -> Vec<Span> {
    let (glyph, word, tone) = state_of(seen, server);
    let tone =
        if seen.model.stale_ms().is_some() && server != COORDINATOR { Tone::Stale } else { tone };
    vec![span(format!("{} {word:<8}", seen.look.glyphs.state(glyph)), tone)]
}

/// A server's state: its glyph, its word, its tone.
pub fn state_of(seen: &Seen<'_>, server: &str) -> (Glyph, &'static str, Tone) {
    let model = seen.model;
    let process = model.procs.get(server);
    if model.is_unheard() && server != COORDINATOR {
        return (Glyph::Unknown, "UNHEARD", Tone::Dim);
    }
    // Whose place others have is not waited for, whether it stands still or not.
    let is_evicted = model.nodes.get(server).is_some_and(Node::is_evicted);
    if process.is_some_and(|process| process.paused) && !is_evicted {
        return (Glyph::Paused, "PAUSED", Tone::Bad);
    }
    if server == COORDINATOR {
        let ended = process.is_some_and(|process| process.pid.is_none());
        return match model.coordinator.state {
            _ if ended => (Glyph::Down, "DOWN", Tone::Bad),
            _ if model.stale_ms().is_some() => (Glyph::Unknown, "LOST", Tone::Bad),
            Some(CoordinatorState::Active) => (Glyph::Up, "ACTIVE", Tone::Good),
            Some(CoordinatorState::Claiming) => (Glyph::Joining, "CLAIMING", Tone::Warn),
            Some(CoordinatorState::Fencing) => (Glyph::Joining, "FENCING", Tone::Warn),
            Some(CoordinatorState::Recovering) => (Glyph::Busy, "RECOVERS", Tone::Warn),
            Some(CoordinatorState::Standby) => (Glyph::Busy, "STANDBY", Tone::Info),
            _ => (Glyph::Unknown, "?", Tone::Dim),
        };
    }
    let Some(node) = model.nodes.get(server) else { return (Glyph::Unknown, "?", Tone::Dim) };
    let glyph = match node.state {
        _ if node.paused && !is_evicted => Glyph::Paused,
        Some(NodeState::Up) => Glyph::Up,
        Some(NodeState::Suspect) if node.recovery.is_some() => Glyph::Joining,
        Some(NodeState::Suspect) => Glyph::Suspect,
        Some(NodeState::Down) => Glyph::Down,
        Some(NodeState::Evicted) => Glyph::Evicted,
        Some(NodeState::Joining) => Glyph::Joining,
        Some(NodeState::Leaving) => Glyph::Leaving,
        Some(NodeState::Other) | None => Glyph::Unknown,
    };
    let tone = match glyph {
        Glyph::Up => Tone::Good,
        Glyph::Down | Glyph::Paused => Tone::Bad,
        Glyph::Unknown => Tone::Dim,
        _ => Tone::Warn,
    };
    (glyph, node.word(), tone)
}
