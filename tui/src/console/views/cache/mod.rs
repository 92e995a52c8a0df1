//! The view Cache: what one server's cache holds, set by set, and why what has to go goes.
//!
//! A cache has sets, a set has ways, each with a second-chance bit, and a hand that goes round. The
//! view asks for a page of sets and one set closely, and no more often than it must: each other
//! wish begins with a snapshot.
//!
//! - this file: what is selected, and what keys make of it; `keys`: which they are
//! - `known`: what the model knows; `watch`: how sets did lately; `film`: sweeps, in slow motion
//! - `picture`: who gets which place; `grid`, `set`, `sweep`: the parts; `words`: sentences

mod film;
mod find;
mod grid;
mod keys;
mod known;
mod picture;
mod set;
mod sweep;
mod watch;
mod words;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use self::film::{Film, Sweep};
use self::find::Find;
use self::known::{Known, SweepId};
use self::watch::Watch;
use super::{Out, Pointed, Seen, View, Wants};
use crate::console::action::ViewName;
use crate::console::effect::Done;
use crate::console::model::COORDINATOR;
use crate::prompt::Key;

pub use keys::BINDINGS;

/// Sets that are looked at at once: as many as may be asked for.
const PAGE_SETS: u32 = 64;
/// Ticks between two wishes.
const WISH_TICKS: u8 = 2;

/// What its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// So many sets down, or up.
    Set(i32),
    /// The last set, or the first.
    Edge(bool),
    /// The next way, or the one before.
    Way(bool),
    /// The next server, or the one before.
    Server(bool),
    /// The next sweep, or the one before.
    Sweep(bool),
    /// The next set that holds something.
    NextEntry,
    /// Find the set of a key.
    Find,
    /// The transaction that wrote the entry of the selected way.
    Open,
    /// Slow motion: begin, stand still, go on.
    Play,
    /// Slow motion of the next sweep.
    Wait,
    /// Slow motion of what would happen now.
    Imagine,
    /// Slow motion: a step on, or back.
    Step(bool),
    /// End slow motion, and whatever is waited for.
    End,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    /// A node, or none for the coordinator.
    server: Option<String>,
    page: u32,
    set: u32,
}

/// The view's state.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Whose cache: a node's, or none for the coordinator's.
    server: Option<String>,
    /// The server that was selected for all views when this one was shown last.
    followed: Option<String>,
    set: u32,
    way: u16,
    /// The chosen sweep of the set; none: the newest.
    sweep: Option<SweepId>,
    film: Option<Film>,
    /// A sweep is waited for that is newer than this one.
    awaited: Option<Option<SweepId>>,
    find: Find,
    watch: Watch,
    asked: Asked,
    /// Ticks until something else may be asked for.
    rest: u8,
}

impl View for State {
    type Act = Act;

    fn act(&mut self, act: Act, seen: &Seen<'_>, out: &mut Out) {
        self.followed.get_or_insert_with(|| seen.selected.to_owned());
        match act {
            Act::Set(by) => self.go_to(self.set.saturating_add_signed(by), seen),
            Act::Edge(last) => self.go_to(if last { u32::MAX } else { 0 }, seen),
            Act::Way(on) => self.step_way(on, seen),
            Act::Server(next) => self.turn_server(next, seen),
            Act::Sweep(newer) => self.turn_sweep(newer, seen),
            Act::NextEntry => self.hunt(seen, out),
            Act::Find => self.find.begin(),
            Act::Open => self.open(seen, out),
            Act::Play => self.play(seen, out),
            Act::Wait => {
                self.film = None;
                self.awaited = Some(self.newest(seen));
            }
            Act::Imagine => self.imagine(seen, out),
            Act::Step(on) => match &mut self.film {
                Some(film) => film.step(on),
                None => self.play(seen, out),
            },
            Act::End => {
                self.film = None;
                self.awaited = None;
                self.find.end();
            }
        }
        self.wish();
    }

    fn is_typing(&self) -> bool {
        self.find.typed().is_some()
    }

    fn typed(&mut self, key: &Key, _seen: &Seen<'_>, out: &mut Out) -> bool {
        self.find.take(key, out)
    }

    fn done(&mut self, done: &Done, seen: &Seen<'_>, out: &mut Out) {
        let Done::Located(key, result) = done else { return };
        if !self.find.is_awaited(key) {
            return;
        }
        match result {
            Ok(reply) => {
                if let Some(node) = self.server.take() {
                    out.remark = Some(format!(
                        "only the coordinator's set of a key can be asked for: {node} chooses \
                         sets by a number of its own"
                    ));
                }
                self.go_to(reply.set, seen);
                self.way = reply.way.unwrap_or(self.way);
                self.find.found(key, reply.set, reply.way);
            }
            Err(why) => {
                self.find.end();
                out.remark = Some(why.clone());
            }
        }
        self.wish();
    }

    fn shown(&mut self, seen: &Seen<'_>, _out: &mut Out) {
        if self.followed.as_deref() != Some(seen.selected) {
            self.followed = Some(seen.selected.to_owned());
            self.show_server(seen.selected);
            self.go_to(self.set, seen);
        }
        self.watch = Watch::default();
        self.rest = 0;
        self.wish();
    }

    fn pointed(&mut self, at: Pointed, area: Rect, seen: &Seen<'_>, _out: &mut Out) {
        match picture::at(self, seen, area, at) {
            Some(picture::At::Set(set)) => self.go_to(set, seen),
            Some(picture::At::Way(way)) => self.way = way,
            Some(picture::At::Sets(down)) => {
                self.go_to(self.set.saturating_add_signed(if down { 1 } else { -1 }), seen);
            }
            Some(picture::At::Ways(down)) => self.step_way(down, seen),
            Some(picture::At::Sweeps(down)) => self.turn_sweep(!down, seen),
            None => {}
        }
        self.wish();
    }

    fn ticked(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let server = self.server().to_owned();
        let known = Known::of(seen.model, &server);
        self.watch.tick(&server, known.rows());
        if let Some(film) = &mut self.film {
            film.tick();
        }
        let newest = self.newest(seen);
        if self.awaited.is_some_and(|before| before != newest) && newest.is_some() {
            self.sweep = None;
            self.play(seen, out);
        }
        self.hunt_on(seen, out);
        self.rest = self.rest.saturating_sub(1);
        self.wish();
    }

    fn wants(&self, _seen: &Seen<'_>) -> Wants {
        let Asked { server, page, set } = self.asked.clone();
        let sets = Some((page * PAGE_SETS, PAGE_SETS));
        Wants { server, sets, set: Some(set), tx: None }
    }

    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
        picture::draw(self, seen, area, buf);
    }
}

impl State {
    /// Whose cache is shown.
    fn server(&self) -> &str {
        self.server.as_deref().unwrap_or(COORDINATOR)
    }

    /// Asks for what is selected: at once, or a little later if something was asked for just now.
    fn wish(&mut self) {
        let wanted =
            Asked { server: self.server.clone(), page: self.set / PAGE_SETS, set: self.set };
        if wanted != self.asked && self.rest == 0 {
            self.asked = wanted;
            self.rest = WISH_TICKS;
        }
    }

    fn show_server(&mut self, name: &str) {
        let server = (name != COORDINATOR).then(|| name.to_owned());
        if self.server != server {
            self.server = server;
            self.leave_set();
        }
    }

    fn leave_set(&mut self) {
        self.sweep = None;
        self.film = None;
        self.awaited = None;
    }

    /// Selects that set, or the last one.
    fn go_to(&mut self, set: u32, seen: &Seen<'_>) {
        let shape = Known::of(seen.model, self.server()).shape();
        let set = set.min(shape.map_or(PAGE_SETS, |(sets, _)| sets).saturating_sub(1));
        if set != self.set {
            self.set = set;
            self.leave_set();
        }
        self.find.stop_hunting();
    }

    fn step_way(&mut self, on: bool, seen: &Seen<'_>) {
        let last = Known::of(seen.model, self.server()).ways().saturating_sub(1);
        let way = if on { self.way.saturating_add(1) } else { self.way.saturating_sub(1) };
        self.way = way.min(last);
    }

    fn turn_server(&mut self, next: bool, seen: &Seen<'_>) {
        let servers = seen.model.servers();
        let place = servers.iter().position(|name| name == self.server()).unwrap_or(0);
        let step = if next { 1 } else { servers.len() - 1 };
        self.show_server(&servers[(place + step) % servers.len()]);
        self.go_to(self.set, seen);
    }

    fn newest(&self, seen: &Seen<'_>) -> Option<SweepId> {
        let known = Known::of(seen.model, self.server());
        known.sweeps(self.set).last().map(|(id, _)| *id)
    }

    /// The place of the chosen sweep among those that are known, and their number.
    fn chosen(&self, sweeps: &[(SweepId, &protocol::event::CacheEvict)]) -> Option<usize> {
        let newest = sweeps.len().checked_sub(1)?;
        let Some(chosen) = self.sweep else { return Some(newest) };
        // One that is forgotten was the oldest.
        Some(sweeps.iter().position(|(id, _)| *id == chosen).unwrap_or(0))
    }

    fn turn_sweep(&mut self, newer: bool, seen: &Seen<'_>) {
        let known = Known::of(seen.model, self.server());
        let sweeps = known.sweeps(self.set);
        let Some(place) = self.chosen(&sweeps) else { return };
        let place = if newer { place + 1 } else { place.saturating_sub(1) };
        let id = sweeps.get(place).map(|(id, _)| *id);
        // The newest one is left for the next when that comes.
        self.sweep = id.filter(|_| place + 1 < sweeps.len());
        self.film = None;
    }

    fn open(&self, seen: &Seen<'_>, out: &mut Out) {
        let known = Known::of(seen.model, self.server());
        let ways = known.closely(self.set).map_or(&[][..], |(_, set)| &set.ways);
        match ways.iter().find(|way| way.way == self.way).map(|way| way.version) {
            Some(Some(version)) => {
                out.show_txn = Some(version);
                out.go = Some(ViewName::Txns);
            }
            _ => out.remark = Some(format!("way {} holds nothing that was written", self.way)),
        }
    }

    fn play(&mut self, seen: &Seen<'_>, out: &mut Out) {
        if let Some(film) = &mut self.film {
            return film.play_or_pause();
        }
        self.awaited = None;
        let known = Known::of(seen.model, self.server());
        let sweeps = known.sweeps(self.set);
        let Some((_, sweep)) = self.chosen(&sweeps).map(|place| sweeps[place]) else {
            return self.imagine(seen, out);
        };
        let now = known.closely(self.set).map(|(_, set)| set);
        let film = Film::new(self.set, Sweep::from(sweep), now, known.ways());
        self.film = Some(film);
    }

    fn imagine(&mut self, seen: &Seen<'_>, out: &mut Out) {
        self.awaited = None;
        let known = Known::of(seen.model, self.server());
        let Some((_, now)) = known.closely(self.set) else {
            out.remark = Some("nothing is known of this set yet".into());
            return;
        };
        let sweep = Sweep::pretend(now, known.ways());
        self.film = Some(Film::new(self.set, sweep, Some(now), known.ways()));
    }
}

#[cfg(test)]
mod tests;
