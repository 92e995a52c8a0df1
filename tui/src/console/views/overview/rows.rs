//! The table of servers: a row each, and below it what else is known where there is room.
//!
//! Part of the overview. The rows grow with the room: first one a server, then two, and what is
//! left over goes to the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{detail, state_spans};
use crate::console::look::Tone;
use crate::console::model::COORDINATOR;
use crate::console::model::clock::{ago, count};
use crate::console::model::node::{self, Node};
use crate::console::views::Seen;
use crate::console::views::ring::picture;
use crate::console::widgets::strip::{Beat, Strip};
use crate::console::widgets::table::{Column, Table};
use crate::console::widgets::text::{self, Span, span};

/// The place of the strip among the columns.
const STRIP: usize = 2;
/// Columns that details stand further right than a row.
const INDENT: u16 = 4;
/// Columns of the longest name that is shown whole.
const NAME_COLUMNS: u16 = 16;
/// Milliseconds between two heartbeats where nobody says how many they are.
const INTERVAL_MS: u64 = 500;

/// A server's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// The server.
    pub(super) server: String,
    /// How many rows it has.
    pub(super) rows: u16,
}

/// Which servers have how many of so many rows; the selected one is among them.
pub(super) fn placed(seen: &Seen<'_>, rows: u16) -> Vec<Placed> {
    let servers = seen.model.servers();
    let selected = servers.iter().position(|name| name == seen.selected).unwrap_or(0);
    let all = u16::try_from(servers.len()).unwrap_or(u16::MAX);
    let each = if rows >= all.saturating_mul(2) { 2 } else { 1 };
    let spare = rows.saturating_sub(all.saturating_mul(each));
    let details = servers.get(selected).map_or(0, |server| detail::rows(seen, server).len());
    let wanted = u16::try_from(details + 1).unwrap_or(u16::MAX).saturating_sub(each);
    let height = |at: usize| if at == selected { each + spare.min(wanted) } else { each };
    // The first server is the highest from which the selected one is still to be seen.
    let mut first = selected;
    let mut taken = height(selected);
    while first > 0 && taken + height(first - 1) <= rows {
        first -= 1;
        taken += height(first);
    }
    let mut left = rows;
    let mut out = Vec::new();
    for (at, server) in servers.into_iter().enumerate().skip(first) {
        let rows = height(at).min(left);
        if rows == 0 {
            break;
        }
        left -= rows;
        out.push(Placed { server, rows });
    }
    out
}

/// The server whose rows have this row of the screen; `area` is the table's.
pub(super) fn server_at(seen: &Seen<'_>, area: Rect, row: u16) -> Option<String> {
    let mut top = area.y + 1;
    for one in placed(seen, area.height.saturating_sub(1)) {
        if (top..top + one.rows).contains(&row) && row < area.bottom() {
            return Some(one.server);
        }
        top += one.rows;
    }
    None
}

/// Draws the table.
pub(super) fn draw(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    let placed = placed(seen, area.height.saturating_sub(1));
    let mut rows: Vec<Vec<Vec<Span>>> = Vec::new();
    let mut selected = None;
    let mut tops = Vec::new();
    for one in &placed {
        if one.server == seen.selected {
            selected = Some(rows.len());
        }
        tops.push(rows.len() as u16);
        rows.push(cells(seen, &one.server));
        rows.extend((1..one.rows).map(|_| Vec::new()));
    }
    let columns = columns(seen);
    let table = Table { columns: &columns, rows: &rows, first: 0, selected, head: true };
    let (places, body) = table.draw(seen.look, area, buf);
    let strip = places.iter().find(|(column, _)| *column == STRIP).map(|(_, place)| *place);
    for (one, top) in placed.iter().zip(tops) {
        let y = body.y + top;
        if let (Some(strip), Some(node)) = (strip, seen.model.nodes.get(&one.server)) {
            let place = Rect { y, height: 1, ..strip }.intersection(body);
            let beats = beats(seen, node);
            let stale = seen.model.stale_ms().is_some();
            Strip { beats: &beats, stale }.draw(seen.look, place, buf);
        }
        let details = detail::rows(seen, &one.server);
        for (y, row) in (y + 1..y + one.rows).zip(details) {
            let width = body.width.saturating_sub(INDENT);
            let place = Rect { x: body.x + body.width.min(INDENT), y, width, height: 1 };
            let parts: Vec<Vec<Span>> = row.into_iter().map(|part| vec![part]).collect();
            let row = text::whole_parts(seen.look, &parts, width);
            text::put_spans(seen.look, place.intersection(body), buf, &row);
        }
    }
}

fn columns(seen: &Seen<'_>) -> Vec<Column<'static>> {
    let names = seen.model.servers();
    let longest = names.iter().map(|name| text::width(seen.look, name)).max().unwrap_or(0);
    vec![
        Column::new("server", longest.clamp(6, NAME_COLUMNS)),
        Column::new("state", 10),
        Column::new("heartbeats", 10).grows().priority(90),
        Column::new("heard", 6).right().priority(80),
        Column::new("start", 5).right().priority(20),
        Column::new("ring", 5).right().priority(60),
        Column::new("keys prim+repl", 14).right().priority(30),
        Column::new("op/s", 6).right().priority(70),
        Column::new("hit", 4).right().priority(50),
    ]
}

/// The cells of a server's row; that of the heartbeats is drawn apart.
fn cells(seen: &Seen<'_>, server: &str) -> Vec<Vec<Span>> {
    let model = seen.model;
    let stale = model.stale_ms().is_some();
    let tone = |tone| if stale { Tone::Stale } else { tone };
    let one = |text: String| vec![span(text, tone(Tone::Text))];
    let hit = model.caches.servers.get(server).and_then(|cache| cache.ratio());
    let hit = hit.map_or("-".to_owned(), |hit| format!("{:.0}%", hit * 100.0));
    let Some(node) = model.nodes.get(server) else {
        let ops = model.figures.ops_per_s();
        let told = |text: String| if model.cluster.is_some() { text } else { "-".into() };
        return vec![
            vec![span(server, Tone::Bright)],
            state_spans(seen, server),
            coordinator_words(seen),
            vec![heard(seen, model.coordinator_feed.last)],
            one(told(format!("e{}", model.coordinator.epoch))),
            one("-".into()),
            one(told(match model.counts_all() {
                true => format!("{} in all", count(model.keys())),
                false => format!("at least {}", count(model.keys())),
            })),
            one(ops.map_or("-".into(), |ops| count(ops.round() as u64))),
            one(hit),
        ];
    };
    let name = Tone::Node(picture::number(model, server));
    let share = model.ring.shares().get(server).copied();
    let ops = node.reads_per_s.per_s().zip(node.writes_per_s.per_s());
    let ops = ops.filter(|_| node.is_well());
    let known = |keys: Option<u64>| keys.map_or("?".to_owned(), count);
    let heard = match stale {
        // Nobody tells any more when a node was heard.
        true => span("?", Tone::Stale),
        false => heard(seen, node.heard),
    };
    vec![
        vec![span(server, tone(name))],
        state_spans(seen, server),
        Vec::new(),
        vec![heard],
        one(format!("#{}", node.incarnation)),
        one(share.map_or("-".into(), |share| format!("{:.0}%", share * 100.0))),
        one(match node.is_counting() {
            _ if node.is_evicted() => "-".to_owned(),
            true => "counting".to_owned(),
            false => format!("{}+{}", known(node.keys_primary()), known(node.keys_replica())),
        }),
        one(ops.map_or("-".into(), |(reads, writes)| count((reads + writes).round() as u64))),
        one(if node.is_well() { hit } else { "-".into() }),
    ]
}

fn heard(seen: &Seen<'_>, at: Option<crate::console::model::clock::At>) -> Span {
    let Some(at) = at else { return span("never", Tone::Warn) };
    let age_ms = seen.model.now.ms_since(at);
    let tone = if age_ms > 2 * interval_ms(seen, None) { Tone::Bad } else { Tone::Text };
    span(ago(age_ms), tone)
}

/// What stands in the coordinator's row where nodes have their heartbeats.
fn coordinator_words(seen: &Seen<'_>) -> Vec<Span> {
    let model = seen.model;
    let process = model.procs.get(COORDINATOR);
    if process.is_some_and(|process| process.pid.is_none()) {
        return vec![span("no process", Tone::Bad)];
    }
    match model.stale_ms() {
        Some(_) => vec![span("not heard", Tone::Bad)],
        None if model.is_served() => vec![span("serves", Tone::Good)],
        None => vec![span("not yet", Tone::Warn)],
    }
}

fn interval_ms(seen: &Seen<'_>, node: Option<&Node>) -> u64 {
    let told = node.and_then(|node| node.figures.as_ref()).map(|figures| figures.interval_ms);
    let founded = seen.model.cluster.as_ref().map(|cluster| cluster.heartbeat_ms);
    told.or(founded).filter(|ms| *ms > 0).unwrap_or(INTERVAL_MS)
}

/// A node's heartbeats, and those that are due and have not come.
fn beats(seen: &Seen<'_>, node: &Node) -> Vec<Beat> {
    let mut beats: Vec<Beat> = node
        .beats
        .iter()
        .map(|beat| match beat {
            node::Beat::Came(late) => Beat::Came { late: *late },
            node::Beat::Missed => Beat::Missed,
        })
        .collect();
    if seen.model.stale_ms().is_none()
        && let Some(heard) = node.heard
    {
        let due = seen.model.now.ms_since(heard) / interval_ms(seen, Some(node));
        let late = due.saturating_sub(node.missed).min(node::BEATS_MAX as u64);
        beats.extend((0..late).map(|_| Beat::Late));
    }
    beats
}
