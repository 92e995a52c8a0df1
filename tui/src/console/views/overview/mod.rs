//! The view Overview: every node, the ring in small, throughput, transactions, the last events.
//!
//! One of the six; see `views`.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Out, Seen, View};
use crate::console::action::Action;
use crate::console::keys::Binding;
use crate::console::look::{State as Glyph, Tone};
use crate::console::model::COORDINATOR;
use crate::console::widgets::text::{Span, span};
use crate::prompt::Key;
use protocol::status::{CoordinatorState, NodeState};

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The next server, or the one before.
    Move(bool),
}

/// Its keys.
pub const BINDINGS: &[Binding] = &[
    Binding::of(
        "down",
        &[Key::Down, Key::Char('j')],
        Action::Overview(Act::Move(true)),
        "",
        "select the server below",
    ),
    Binding::of(
        "up",
        &[Key::Up, Key::Char('k')],
        Action::Overview(Act::Move(false)),
        "",
        "select the server above",
    ),
];

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {}

impl View for State {
    type Act = Act;

    fn act(&mut self, Act::Move(down): Act, seen: &Seen<'_>, out: &mut Out) {
        let servers = seen.model.servers();
        let place = servers.iter().position(|name| name == seen.selected).unwrap_or(0);
        let place = if down { (place + 1).min(servers.len() - 1) } else { place.saturating_sub(1) };
        out.select = Some(servers[place].clone());
    }

    fn draw(&self, _seen: &Seen<'_>, _area: Rect, _buf: &mut Buffer) {}
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
    if process.is_some_and(|process| process.paused) {
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
        _ if node.paused => Glyph::Paused,
        Some(NodeState::Up) => Glyph::Up,
        Some(NodeState::Suspect) if node.recovery.is_some() => Glyph::Joining,
        Some(NodeState::Suspect) => Glyph::Suspect,
        Some(NodeState::Down | NodeState::Evicted) => Glyph::Down,
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
