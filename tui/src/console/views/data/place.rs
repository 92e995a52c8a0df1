//! Where a key lives: its nodes, how they are, and what each of them holds of it.
//!
//! Part of the view Data. Asked anew when one of its nodes is in another state than before.

use protocol::ids::Version;
use protocol::reply::LocateReply;
use protocol::status::NodeState;

use crate::console::effect::Effect;
use crate::console::look::{State as Mark, Tone};
use crate::console::model::Model;
use crate::console::model::clock::{At, ago};
use crate::console::views::{Out, Seen};
use crate::console::widgets::text::{self, Span, span};

/// The key that was named last, and where it lives.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    key: Option<String>,
    found: Option<Result<Box<LocateReply>, String>>,
    /// When that was told.
    at: At,
    /// How its nodes were then.
    states: Vec<Option<NodeState>>,
}

impl Place {
    /// The key.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Looks for a key.
    pub(super) fn ask(&mut self, key: String, out: &mut Out) {
        if self.key.as_ref() != Some(&key) {
            self.found = None;
        }
        self.key = Some(key.clone());
        out.effect(Effect::Locate(key));
    }

    /// Looks for the same key again.
    pub(super) fn ask_again(&mut self, out: &mut Out) {
        if let Some(key) = self.key.clone() {
            self.ask(key, out);
        }
    }

    /// The cluster's answer, if it is about this key.
    pub(super) fn located(
        &mut self,
        key: &str,
        found: &Result<Box<LocateReply>, String>,
        model: &Model,
    ) {
        if self.key.as_deref() == Some(key) {
            self.found = Some(found.clone());
            self.at = model.now;
            self.states = self.states_in(model);
        }
    }

    /// Asks anew, if a node is in another state.
    pub(super) fn ticked(&mut self, model: &Model, out: &mut Out) {
        let states = self.states_in(model);
        if states != self.states && model.is_served() {
            self.states = states;
            self.ask_again(out);
        }
    }

    /// The version of its value at the first node that tells one.
    pub(super) fn version(&self) -> Option<Version> {
        let copies = self.reply()?.copies.as_ref()?;
        copies.iter().find_map(|copy| copy.version)
    }

    fn reply(&self) -> Option<&LocateReply> {
        self.found.as_ref()?.as_ref().ok().map(|found| &**found)
    }

    fn states_in(&self, model: &Model) -> Vec<Option<NodeState>> {
        let nodes = self.reply().map_or(&[][..], |reply| &reply.nodes);
        let state = |name: &str| model.nodes.get(name).and_then(|node| node.state);
        nodes.iter().map(|name| state(name.as_str())).collect()
    }

    /// What is shown where there is room, a row each.
    pub(super) fn rows(&self, seen: &Seen<'_>) -> Vec<Vec<Span>> {
        let Some(key) = &self.key else {
            return vec![vec![span(
                "Name a key in the prompt, as in: get user:1. Here you see which nodes hold it.",
                Tone::Dim,
            )]];
        };
        let reply = match &self.found {
            None => return vec![vec![span(format!("looking for {key}"), Tone::Dim)]],
            Some(Err(why)) => return vec![vec![span(format!("not known: {why}"), Tone::Warn)]],
            Some(Ok(reply)) => reply,
        };
        let mut rows = self.nodes(reply, seen);
        rows.push(vec![span(self.means(reply, seen), Tone::Text)]);
        let cached = match reply.way {
            Some(way) => format!("set {}, way {way}", reply.set),
            None => format!("set {}, not there now", reply.set),
        };
        rows.push(vec![span(format!("coordinator's cache: {cached}"), Tone::Dim)]);
        rows.push(vec![span(format!("on the ring at {}", reply.hash), Tone::Dim)]);
        if let Some(version) = self.version() {
            rows.push(vec![span(format!("written by transaction {version}"), Tone::Dim)]);
        }
        let age = ago(seen.model.now.ms_since(self.at));
        rows.push(vec![span(format!("as of {age} ago"), Tone::Dim)]);
        rows
    }

    /// The same in one row.
    pub(super) fn row(&self, seen: &Seen<'_>) -> Vec<Span> {
        let Some(key) = &self.key else {
            return vec![span("where: name a key, as in: get user:1", Tone::Dim)];
        };
        let mut row = vec![span("where ", Tone::Title), span(key.as_str(), Tone::Bright)];
        let reply = match &self.found {
            None => return [row, vec![span("  looking", Tone::Dim)]].concat(),
            Some(Err(why)) => return [row, vec![span(format!("  {why}"), Tone::Warn)]].concat(),
            Some(Ok(reply)) => reply,
        };
        for node in self.nodes(reply, seen) {
            row.push(span("  ", Tone::Text));
            row.extend(
                node.into_iter()
                    .filter(|(text, _)| !text.trim().is_empty())
                    .map(|(text, tone)| span(format!("{} ", text.trim_end()), tone)),
            );
        }
        row
    }

    /// A row for each of its nodes: name, state, version, what its cache has.
    fn nodes(&self, reply: &LocateReply, seen: &Seen<'_>) -> Vec<Vec<Span>> {
        let copies = reply.copies.as_deref().unwrap_or_default();
        let first = self.version();
        let widest = reply.nodes.iter().map(|name| text::width(seen.look, name.as_str())).max();
        let widest = usize::from(widest.unwrap_or(0));
        let row = |name: &protocol::ids::NodeName| {
            let copy = copies.iter().find(|copy| copy.node == *name);
            let (glyph, word, tone) = state(seen, name.as_str(), copy.map(|copy| copy.state));
            let role = match (seen.compact, copy) {
                (true, _) => String::new(),
                (false, Some(copy)) => format!("{:<8}", copy.role),
                (false, None) => " ".repeat(8),
            };
            let mut row = vec![
                span(format!("{:widest$} ", name.as_str()), Tone::Bright),
                span(role, Tone::Dim),
                span(format!("{glyph} {word:<7} "), tone),
            ];
            let Some(copy) = copy else { return row };
            let (held, tone) = match (copy.version, copy.cached) {
                (Some(version), _) if Some(version) != first => {
                    (format!("{version} differs"), Tone::Warn)
                }
                (Some(version), _) => (version.to_string(), Tone::Text),
                (None, Some(_)) => ("no value".into(), Tone::Dim),
                (None, None) => ("no answer".into(), Tone::Warn),
            };
            row.push(span(format!("{held} "), tone));
            if copy.cached == Some(true) {
                row.push(span("cached ", Tone::Good));
            }
            if copy.undecided > 0 {
                row.push(span(format!("! {} undecided", copy.undecided), Tone::Warn));
            }
            row
        };
        reply.nodes.iter().map(row).collect()
    }

    /// What that means for who wants to read or write it.
    fn means(&self, reply: &LocateReply, seen: &Seen<'_>) -> String {
        if !seen.model.is_served() {
            return "no coordinator serves: it can neither be read nor written".into();
        }
        let well = |name: &&str| seen.model.nodes.get(*name).is_some_and(|node| node.is_well());
        let names = || reply.nodes.iter().map(|name| name.as_str());
        let missing: Vec<&str> = names().filter(|name| !well(name)).collect();
        match (missing.len(), names().find(well)) {
            (0, _) => "it can be read and written".into(),
            (_, Some(by)) => {
                format!("{by} answers reads; no writes without {}", missing.join(", "))
            }
            (_, None) => format!("unreachable without {}", missing.join(", ")),
        }
    }
}

/// A node's state as the console knows it now, else as the answer told it.
fn state(seen: &Seen<'_>, name: &str, told: Option<NodeState>) -> (&'static str, String, Tone) {
    let node = seen.model.nodes.get(name);
    let paused = node.is_some_and(|node| node.paused);
    let state = node.and_then(|node| node.state).or(told);
    let (mark, tone) = match state {
        _ if paused => (Mark::Paused, Tone::Warn),
        Some(NodeState::Up) => (Mark::Up, Tone::Good),
        Some(NodeState::Suspect) => (Mark::Suspect, Tone::Warn),
        Some(NodeState::Down) => (Mark::Down, Tone::Bad),
        Some(NodeState::Evicted) => (Mark::Evicted, Tone::Warn),
        Some(NodeState::Joining) => (Mark::Joining, Tone::Info),
        Some(NodeState::Leaving) => (Mark::Leaving, Tone::Info),
        Some(NodeState::Other) | None => (Mark::Unknown, Tone::Dim),
    };
    let word = match state {
        _ if paused => "paused".into(),
        Some(NodeState::Down) => "DOWN".into(),
        Some(state) => state.to_string(),
        None => "-".into(),
    };
    let tone = if seen.model.stale_ms().is_some() { Tone::Stale } else { tone };
    (seen.look.glyphs.state(mark), word, tone)
}
