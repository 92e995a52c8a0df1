//! The player: what a demo does next, given what the console shows and what time it is.
//!
//! Asked by the console's loop in each of its turns, in the place of a person. A state machine: it
//! reads no clock, waits for nothing and sleeps nowhere; a pause is a moment before which there is
//! nothing to be done.

use std::collections::{BTreeMap, VecDeque};

use protocol::supervisor::ProcAction;

use super::paths::{Path, Value};
use super::reading_ms;
use super::script::{Load, Piece, Predicate, Script, ShopPlan, Verb};
use crate::console::action::Action;
use crate::console::caption::{Caption, Deed, Doing};
use crate::console::effect::{MemberChange, MemberOrder};
use crate::console::keys::key_name;
use crate::console::model::clock::At;
use crate::console::state::Console;
use crate::prompt::Key;

/// From one key to the next, milliseconds.
pub const KEY_MS: u64 = 500;
/// From one typed letter to the next.
pub const TYPED_MS: u64 = 40;
/// How long a pressed key is shown.
const SHOWN_MS: u64 = 900;
/// How fast it may go, against the usual.
const SPEEDS: [f64; 6] = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0];
const USUAL: usize = 2;

/// How a demo goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each caption is left to be read, and pauses are made.
    Timed,
    /// After each caption it waits for Enter.
    Present,
    /// At once; only what it waits for takes time.
    Fast,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Press a key.
    Key(Key),
    /// Do what a key would do.
    Act(Action),
    /// Select a server.
    Select(String),
    /// Carry out a line, as the prompt does.
    Run(String),
    /// Have the supervisor do this.
    Process(ProcAction),
    /// Have the coordinator do this.
    Member(MemberOrder),
    /// Ask much of the cluster, in place of what was asked before.
    Load(Load),
    /// Ask no more of it.
    Unload,
    /// Open a shop on it.
    Shop(ShopPlan),
    /// Close the shop, if there is one, and check it.
    CloseShop,
    /// Keep the screen as it is, to come back to.
    Remember,
    /// Say what was done.
    Note(Note),
    /// The person goes on alone from here.
    HandOver,
    /// End.
    End,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// When, microseconds since the demo began.
    pub at_us: u64,
    /// The step, from 1.
    pub step: usize,
    /// As it is written in the script.
    pub text: String,
    /// What came of it.
    pub what: What,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// It is done.
    Done,
    /// This was said.
    Said(String),
    /// A place to find again.
    Mark(String),
    /// The screen as it is is wanted, under this name.
    Shot(String),
    /// A figure was remembered.
    Kept(String),
    /// What was waited for or expected is so.
    Met {
        /// After so many microseconds.
        took_us: u64,
        /// Of so many milliseconds at most; none: it had to be so at once.
        limit_ms: Option<u64>,
    },
    /// It is not so.
    Unmet {
        /// After so many microseconds.
        took_us: u64,
        /// Of so many milliseconds at most.
        limit_ms: Option<u64>,
        /// What was found.
        why: String,
    },
    /// All was done.
    Passed,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// The next step is due.
    Next,
    /// Nothing before this moment.
    Until(At),
    /// Nothing before a person wants it.
    Enter,
    /// Keys are pressed, one after the other.
    Pressing { keys: VecDeque<Key>, every_ms: u64, next: At },
    /// Something is waited for.
    Waiting { since: At },
    /// It has ended: well, or not.
    Over { passed: bool },
}

/// Plays a demo.
#[derive(Debug, Clone)]
pub struct Player {
    script: Script,
    pace: Pace,
    /// Whether a person looks: then the last screen stays.
    is_watched: bool,
    begun: Option<At>,
    /// The step that is done, or due.
    at: usize,
    phase: Phase,
    kept: BTreeMap<String, Value>,
    said: Vec<(usize, String)>,
    pressed: Option<(Deed, At)>,
    speed: usize,
    /// Since when it stands still.
    stands: Option<At>,
    /// The earlier caption that is looked at.
    looks: Option<usize>,
    why: String,
    orders: Vec<Order>,
}

impl Player {
    /// A player at the beginning of a demo.
    pub fn new(script: Script, pace: Pace, is_watched: bool) -> Self {
        Self {
            script,
            pace,
            is_watched,
            begun: None,
            at: 0,
            phase: Phase::Next,
            kept: BTreeMap::new(),
            said: Vec::new(),
            pressed: None,
            speed: USUAL,
            stands: None,
            looks: None,
            why: String::new(),
            orders: Vec::new(),
        }
    }

    /// What is to be done now. To be asked again, with the console as it is then, until that is
    /// nothing.
    pub fn turn(&mut self, now: At, console: &Console) -> Vec<Order> {
        self.begun.get_or_insert(now);
        // Each step that orders nothing leads to the next one; there are only so many.
        while self.stands.is_none() && self.orders.is_empty() && self.go_on(now, console) {}
        std::mem::take(&mut self.orders)
    }

    /// Does what is due; false: nothing was.
    fn go_on(&mut self, now: At, console: &Console) -> bool {
        let before = (self.at, self.phase.clone());
        match &mut self.phase {
            Phase::Next => self.begin(now, console),
            Phase::Until(due) if now >= *due => self.leave_step(),
            Phase::Pressing { keys, every_ms, next } if now >= *next => {
                let (every_ms, key) = (*every_ms, keys.pop_front());
                *next = now.plus_ms(scaled(every_ms, self.speed, self.pace));
                match key {
                    Some(key) => self.press(key, now, every_ms),
                    None => self.leave_step(),
                }
            }
            Phase::Waiting { since } => {
                let since = *since;
                self.look(since, now, console);
            }
            _ => {}
        }
        before != (self.at, self.phase.clone())
    }

    /// When there may be something to do though nothing has come.
    pub fn due(&self, now: At) -> Option<At> {
        if self.stands.is_some() {
            return None;
        }
        let shown = self.pressed.as_ref().map(|(_, until)| *until).filter(|until| *until > now);
        let step = match &self.phase {
            Phase::Next => Some(now),
            Phase::Until(due) => Some(*due),
            Phase::Pressing { next, .. } => Some(*next),
            Phase::Waiting { since } => Some(since.plus_ms(self.limit_ms().unwrap_or(0))),
            Phase::Enter | Phase::Over { .. } => None,
        };
        [shown, step].into_iter().flatten().min()
    }

    /// Takes a person's key.
    pub fn key(&mut self, key: &Key, now: At) {
        match key {
            Key::Escape => self.orders.push(Order::HandOver),
            Key::Char('q') | Key::Ctrl('c') => self.orders.push(Order::End),
            Key::Char(' ') => self.stand_or_go(now),
            Key::Char('b') | Key::Left => self.look_back(now),
            Key::Char('n') | Key::Right | Key::Enter => self.look_forward(now),
            Key::Char('+' | '=') => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            Key::Char('-') => self.speed = self.speed.saturating_sub(1),
            _ => {}
        }
    }

    fn stand_or_go(&mut self, now: At) {
        let Some(stood) = self.stands.take() else {
            self.stands = Some(now);
            return;
        };
        self.looks = None;
        let more_ms = now.ms_since(stood);
        match &mut self.phase {
            Phase::Until(at) | Phase::Pressing { next: at, .. } | Phase::Waiting { since: at } => {
                *at = at.plus_ms(more_ms);
            }
            Phase::Next | Phase::Enter | Phase::Over { .. } => {}
        }
    }

    /// To the caption before: what has happened stays so, the demo stands still meanwhile.
    fn look_back(&mut self, now: At) {
        if self.stands.is_none() {
            self.stand_or_go(now);
        }
        let newest = self.said.len().saturating_sub(1);
        let before = self.looks.unwrap_or(newest).saturating_sub(1);
        self.looks = Some(before).filter(|_| self.said.len() > 1);
    }

    fn look_forward(&mut self, now: At) {
        match self.looks {
            Some(at) if at + 2 < self.said.len() => self.looks = Some(at + 1),
            Some(_) => self.looks = None,
            None if self.stands.is_some() => self.stand_or_go(now),
            None => match &mut self.phase {
                Phase::Until(_) | Phase::Enter => self.leave_step(),
                Phase::Pressing { next, .. } => *next = now,
                Phase::Over { .. } | Phase::Next | Phase::Waiting { .. } => {}
            },
        }
    }

    /// What it shows of itself; with an earlier screen that was remembered its number.
    pub fn shown(&self, now: At) -> (Caption, Option<usize>) {
        let looked = self.looks.and_then(|at| self.said.get(at));
        let text = looked.or_else(|| self.said.last()).map(|(_, text)| text.clone());
        let pressed = self.pressed.as_ref().filter(|(_, until)| *until > now);
        let (doing, text) = match &self.phase {
            Phase::Over { passed: false } => (Doing::Failed, Some(self.why.clone())),
            _ if self.looks.is_some() => (Doing::Looks, text),
            Phase::Over { passed: true } => (Doing::Ended, text),
            _ if self.stands.is_some() => (Doing::Stands, text),
            Phase::Enter => (Doing::Asks, text),
            _ => (Doing::Plays, text),
        };
        let steps = self.script.steps.len();
        let caption = Caption {
            text: text.unwrap_or_else(|| self.script.title.clone()),
            step: looked.map_or((self.at + 1).min(steps), |(step, _)| step + 1),
            steps,
            deed: pressed.map(|(deed, _)| deed.clone()),
            doing,
            speed: SPEEDS[self.speed],
            past: None,
        };
        (caption, self.looks)
    }

    fn note(&mut self, now: At, what: What) {
        let text = self.script.steps.get(self.at).map_or("", |step| step.text.as_str()).to_owned();
        let at_us = now.us_since(self.begun.unwrap_or(now));
        self.orders.push(Order::Note(Note { at_us, step: self.at + 1, text, what }));
    }

    fn leave_step(&mut self) {
        self.at += 1;
        self.phase = Phase::Next;
    }

    fn rest(&mut self, now: At, ms: u64) {
        let ms = scaled(ms, self.speed, self.pace);
        self.phase = Phase::Until(now.plus_ms(ms));
    }

    fn begin(&mut self, now: At, console: &Console) {
        let Some(step) = self.script.steps.get(self.at) else {
            self.over(now, true);
            return;
        };
        let verb = step.verb.clone();
        let order = match verb {
            Verb::Load(load) => Order::Load(load),
            Verb::Unload => Order::Unload,
            Verb::Shop(plan) => Order::Shop(plan),
            Verb::CloseShop => Order::CloseShop,
            Verb::View(view) => Order::Act(Action::Go(view)),
            Verb::Select(server) => Order::Select(server),
            Verb::Run(line) => {
                let shown = scaled(SHOWN_MS, self.speed, self.pace).max(1);
                self.pressed = Some((Deed::Runs(line.clone()), now.plus_ms(2 * shown)));
                Order::Run(line)
            }
            Verb::Process(action) => Order::Process(action),
            Verb::Member(change) => Order::Member(order(change, false)),
            Verb::Preview(change) => Order::Member(order(change, true)),
            Verb::Press(keys) => return self.begin_keys(keys.into(), KEY_MS, now),
            Verb::Type(text) => {
                return self.begin_keys(text.chars().map(Key::Char).collect(), TYPED_MS, now);
            }
            Verb::Caption(pieces) => return self.say(&pieces, now, console),
            Verb::Pause(ms) => return self.rest(now, ms),
            Verb::Mark(name) => return self.done(now, What::Mark(name)),
            Verb::Shot(name) => return self.done(now, What::Shot(name)),
            Verb::Keep(name, path) => return self.keep(name, &path, now, console),
            Verb::Wait(..) | Verb::Expect(_) => {
                self.phase = Phase::Waiting { since: now };
                return self.look(now, now, console);
            }
        };
        self.orders.push(order);
        self.done(now, What::Done);
    }

    fn done(&mut self, now: At, what: What) {
        self.note(now, what);
        self.leave_step();
    }

    fn begin_keys(&mut self, keys: VecDeque<Key>, every_ms: u64, now: At) {
        self.note(now, What::Done);
        self.phase = Phase::Pressing { keys, every_ms, next: now };
    }

    fn press(&mut self, key: Key, now: At, every_ms: u64) {
        if every_ms >= KEY_MS {
            let shown = scaled(SHOWN_MS, self.speed, self.pace).max(1);
            self.pressed = Some((Deed::Presses(key_name(&key)), now.plus_ms(shown)));
        }
        self.orders.push(Order::Key(key));
    }

    fn say(&mut self, pieces: &[Piece], now: At, console: &Console) {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Words(words) => text.push_str(words),
                Piece::Figure(path) => match self.read(path, console) {
                    Some(value) => text.push_str(&path.kind().shown(&value)),
                    None => return self.failed(now, now, None, unknown(path)),
                },
            }
        }
        self.said.push((self.at, text.clone()));
        self.orders.push(Order::Remember);
        self.note(now, What::Said(text.clone()));
        match self.pace {
            Pace::Fast => self.leave_step(),
            Pace::Present => self.phase = Phase::Enter,
            Pace::Timed => self.rest(now, reading_ms(&text)),
        }
    }

    fn keep(&mut self, name: String, path: &Path, now: At, console: &Console) {
        match self.read(path, console) {
            Some(value) => {
                let shown = path.kind().shown(&value);
                self.kept.insert(name, value);
                self.done(now, What::Kept(shown));
            }
            None => self.failed(now, now, None, unknown(path)),
        }
    }

    fn read(&self, path: &Path, console: &Console) -> Option<Value> {
        match path.kept_name() {
            Some(name) => self.kept.get(name).cloned(),
            None => path.read(console),
        }
    }

    fn awaited(&self) -> Option<(&Predicate, Option<u64>)> {
        match &self.script.steps.get(self.at)?.verb {
            Verb::Wait(predicate, limit_ms) => Some((predicate, Some(*limit_ms))),
            Verb::Expect(predicate) => Some((predicate, None)),
            _ => None,
        }
    }

    fn limit_ms(&self) -> Option<u64> {
        self.awaited().and_then(|(_, limit_ms)| limit_ms)
    }

    fn look(&mut self, since: At, now: At, console: &Console) {
        let Some((predicate, limit_ms)) = self.awaited() else { return };
        let took_us = now.us_since(since);
        match predicate.unmet(|path| self.read(path, console)) {
            None => self.done(now, What::Met { took_us, limit_ms }),
            Some(why) if took_us / 1_000 >= limit_ms.unwrap_or(0) => {
                self.failed(since, now, limit_ms, why);
            }
            Some(_) => {}
        }
    }

    fn failed(&mut self, since: At, now: At, limit_ms: Option<u64>, why: String) {
        self.why.clone_from(&why);
        self.note(now, What::Unmet { took_us: now.us_since(since), limit_ms, why });
        self.over(now, false);
    }

    fn over(&mut self, now: At, passed: bool) {
        if passed {
            self.note(now, What::Passed);
        }
        self.orders.extend([Order::Unload, Order::CloseShop]);
        self.phase = Phase::Over { passed };
        if !self.is_watched {
            self.orders.push(Order::End);
        }
    }
}

fn unknown(path: &Path) -> String {
    format!("{} is not known", path.text())
}

fn order(change: MemberChange, dry_run: bool) -> MemberOrder {
    MemberOrder { change, ring: None, dry_run }
}

/// A pause of so many milliseconds at that speed.
fn scaled(ms: u64, speed: usize, pace: Pace) -> u64 {
    if pace == Pace::Fast { 0 } else { (ms as f64 / SPEEDS[speed]) as u64 }
}

#[cfg(test)]
mod tests;
