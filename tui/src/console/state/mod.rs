//! The console's state: the model, what a person has chosen, and what each input makes of them.
//!
//! Used by the loop, by demos and by tests. [`Console::handle`] is pure: an input and the time in,
//! what is to be done out. It opens no socket and draws nothing.
//!
//! - this file: inputs, and the way of each; `doing`: what each action does
//! - `membership`: who becomes a member and who is one no more, asked of the coordinator
//! - `overlay`: what lies over the view: questions, help, palette
//! - `consequence`: what killing or stopping a server would mean, in sentences

mod consequence;
mod doing;
mod membership;
mod overlay;

use std::collections::{BTreeSet, VecDeque};

use protocol::event::{Body, ProcState, Subscribe};
use protocol::reply::ChangePreview;

pub use overlay::{Overlay, Palette, Question, Wanted};

use super::action::{Action, ViewName};
use super::caption::Caption;
use super::effect::{Done, Effect, Quit};
use super::keys::Keys;
use super::look::Look;
use super::model::Model;
use super::model::clock::At;
use super::model::feed::{Fed, FeedName};
use super::model::node::Node;
use super::shop::Shop;
use super::views::{self, Out, Pointed, Seen, View as _, Wants};
use crate::prompt::Key;

/// Finished transactions a second that the console asks for.
const TXNS_PER_S: u32 = 200;
/// A page, for views that have no better: so many times up or down.
const PAGE: usize = 10;
/// A node that has started is well for so long before it is asked where it serves, milliseconds:
/// what is told of its return is not to fall between two subscriptions.
const SETTLED_MS: u64 = 2_000;
/// Remarks that are kept, and for how long one is shown, milliseconds.
const REMARKS_MAX: usize = 8;
const REMARK_MS: u64 = 6_000;

/// What reaches the console.
#[derive(Debug, Clone)]
pub enum Input {
    /// A key.
    Key(Key),
    /// The mouse.
    Pointed(Pointed),
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
    /// Something of the cluster.
    Fed(Fed),
    /// Something that was wanted is done.
    Done(Done),
    /// Time has passed.
    Tick,
}

/// What a person has settled before the start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to draw.
    pub look: Look,
    /// Which key does what.
    pub keys: Keys,
    /// Why the cluster may not be changed from here; none: it may.
    pub read_only: Option<String>,
    /// Whether to ask before the cluster is changed.
    pub confirm: bool,
    /// Whether to take the mouse.
    pub mouse: bool,
    /// Where the coordinator is, for the header.
    pub address: String,
    /// Whether ending asks what becomes of the cluster: the console of `piazza up`.
    pub owns_cluster: bool,
    /// What the console calls itself to the servers.
    pub own_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            look: Look::default(),
            keys: Keys::default(),
            read_only: None,
            confirm: true,
            mouse: true,
            address: String::new(),
            owns_cluster: false,
            own_name: "piazza-console".into(),
        }
    }
}

/// The console.
#[derive(Debug, Clone)]
pub struct Console {
    /// What is known now.
    pub model: Model,
    /// What was known when it was frozen.
    pub frozen: Option<Box<Model>>,
    /// What was settled before.
    pub settings: Settings,
    /// The columns and rows of the terminal.
    pub size: (u16, u16),
    /// The view that is shown.
    pub view: ViewName,
    /// The selected server.
    pub selected: String,
    /// What lies over the view.
    pub overlay: Option<Overlay>,
    /// Remarks, the newest last, each with when it was made.
    pub remarks: VecDeque<(At, String)>,
    /// What was asked of the supervisor or the coordinator and is not answered, in words.
    pub pending: Vec<String>,
    /// Why the cluster may not be changed, for now.
    pub read_only: Option<String>,
    /// Whether to ask before the cluster is changed.
    pub confirm: bool,
    /// Whether the mouse is taken.
    pub mouse: bool,
    /// The views.
    pub views: Views,
    /// What the coordinator said last that a change of the membership would do.
    pub preview: Option<Box<ChangePreview>>,
    /// What a demo shows of itself, while one is played.
    pub caption: Option<Caption>,
    /// How the shop of a demo goes, once it has opened one.
    pub shop: Option<Shop>,
    /// What the coordinator was asked to tell.
    asked: Wants,
    /// Nodes with the starts of which it was asked where they serve.
    sought: BTreeSet<(String, u64)>,
}

/// One of each view.
#[derive(Debug, Clone, Default)]
pub struct Views {
    /// Every node and what goes on.
    pub overview: views::overview::State,
    /// Who owns which keys.
    pub ring: views::ring::State,
    /// Caches.
    pub cache: views::cache::State,
    /// Two-phase commits.
    pub txns: views::txns::State,
    /// A prompt, and keys.
    pub data: views::data::State,
    /// All that came in.
    pub events: views::events::State,
}

/// Calls the same function of whichever view is shown, with what it sees.
macro_rules! of_view {
    ($console:expr, $view:expr, |$state:ident, $seen:ident| $body:expr) => {{
        let (views, $seen) = $console.views();
        match $view {
            ViewName::Overview => {
                let $state = &mut views.overview;
                $body
            }
            ViewName::Ring => {
                let $state = &mut views.ring;
                $body
            }
            ViewName::Cache => {
                let $state = &mut views.cache;
                $body
            }
            ViewName::Txns => {
                let $state = &mut views.txns;
                $body
            }
            ViewName::Data => {
                let $state = &mut views.data;
                $body
            }
            ViewName::Events => {
                let $state = &mut views.events;
                $body
            }
        }
    }};
}

/// Whether there is too little room for everything.
pub fn is_compact((columns, rows): (u16, u16)) -> bool {
    columns < 110 || rows < 32
}

impl Console {
    /// A console that has heard nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            model: Model::new(&settings.own_name),
            frozen: None,
            size: (80, 24),
            view: ViewName::Overview,
            selected: "n1".into(),
            overlay: None,
            remarks: VecDeque::new(),
            pending: Vec::new(),
            read_only: settings.read_only.clone(),
            confirm: settings.confirm,
            mouse: settings.mouse,
            views: Views::default(),
            preview: None,
            caption: None,
            shop: None,
            asked: Wants::default(),
            sought: BTreeSet::new(),
            settings,
        }
    }

    /// What is shown: now, or what was frozen.
    pub fn shown(&self) -> &Model {
        self.frozen.as_deref().unwrap_or(&self.model)
    }

    /// The views, and what they see.
    fn views(&mut self) -> (&mut Views, Seen<'_>) {
        let seen = Seen {
            model: self.frozen.as_deref().unwrap_or(&self.model),
            look: &self.settings.look,
            selected: &self.selected,
            compact: is_compact(self.size),
            read_only: self.read_only.is_some() || self.model.forbids_updates(),
        };
        (&mut self.views, seen)
    }

    /// What the coordinator shall tell, as things are.
    pub fn subscribe(&self) -> Subscribe {
        let Wants { server, sets, set, tx } = self.asked.clone();
        Subscribe { max_per_s: TXNS_PER_S, server, sets, set, tx, ..Subscribe::default() }
    }

    /// Takes one input at `now`; what is to be done.
    pub fn handle(&mut self, now: At, input: Input) -> Vec<Effect> {
        let mut out = Out::default();
        match input {
            Input::Fed(fed) => self.fed(now, &fed, &mut out),
            Input::Tick => self.tick(now, &mut out),
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::Key(key) => self.key(&key, &mut out),
            Input::Pointed(at) => self.pointed(at, &mut out),
            Input::Done(done) => self.done(&done, &mut out),
        }
        self.carry(out)
    }

    /// Does what a view or an action wants of the console itself, and passes on the rest.
    fn carry(&mut self, out: Out) -> Vec<Effect> {
        let Out { mut effects, select, go, show_txn, show_key, remark } = out;
        if let Some(server) = select {
            self.selected = server;
        }
        if let Some(remark) = remark {
            self.remark(remark);
        }
        let mut more = Out::default();
        if let Some(version) = show_txn {
            self.views.txns.show(version);
        }
        if let Some(key) = show_key {
            self.views.ring.show(&key, &mut more);
        }
        if let Some(view) = go.filter(|view| *view != self.view) {
            self.view = view;
            of_view!(self, view, |state, seen| state.shown(&seen, &mut more));
        }
        effects.append(&mut more.effects);
        let view = self.view;
        let wants = of_view!(self, view, |state, seen| state.wants(&seen));
        if wants != self.asked {
            self.asked = wants;
            effects.push(Effect::Subscribe(Box::new(self.subscribe())));
        }
        effects
    }

    fn fed(&mut self, now: At, fed: &Fed, out: &mut Out) {
        self.model.apply(now, fed);
        if let Fed::Event(from, event) = fed {
            self.told(*from, &event.body, out);
        }
        let known = self.model.nodes.contains_key(&self.selected);
        if !known && self.selected != super::model::COORDINATOR {
            let first = self.model.nodes.keys().next().cloned();
            self.selected = first.unwrap_or_else(|| self.selected.clone());
        }
    }

    fn told(&mut self, from: FeedName, body: &Body, out: &mut Out) {
        // A coordinator that has just been started is not kept waiting.
        if let Body::Proc(told) = body
            && told.state == ProcState::Spawned
            && told.name == super::model::COORDINATOR
        {
            out.effect(Effect::Reconnect);
        }
        // What a setting is now, a snapshot says alone.
        if let Body::Admin(admin) = body
            && from == FeedName::Coordinator
            && admin.action == "set"
            && admin.result == "ok"
        {
            out.effect(Effect::Subscribe(Box::new(self.subscribe())));
        }
    }

    fn tick(&mut self, now: At, out: &mut Out) {
        self.model.tick(now);
        let old = |(made, _): &(At, String)| now.ms_since(*made) >= REMARK_MS;
        while self.remarks.front().is_some_and(old) {
            self.remarks.pop_front();
        }
        self.seek(now, out);
        let view = self.view;
        of_view!(self, view, |state, seen| state.ticked(&seen, out));
    }

    /// Where one serves that has started, a snapshot says alone: it is asked for once a start.
    fn seek(&mut self, now: At, out: &mut Out) {
        let is_new = |(_, node): &(&String, &Node)| {
            let well_ms = now.ms_since(node.state_since.latest());
            node.is_well()
                && node.incarnation > 0
                && node.address().is_none()
                && well_ms >= SETTLED_MS
        };
        let nodes = self.model.nodes.iter().filter(is_new);
        let unknown: BTreeSet<_> =
            nodes.map(|(name, node)| (name.clone(), node.incarnation)).collect();
        if self.model.is_served() && !unknown.is_subset(&self.sought) {
            out.effect(Effect::Subscribe(Box::new(self.subscribe())));
            self.sought = unknown;
        }
    }

    /// Tells the person something for a few seconds.
    pub fn remark(&mut self, text: impl Into<String>) {
        if self.remarks.len() == REMARKS_MAX {
            self.remarks.pop_front();
        }
        self.remarks.push_back((self.model.now, text.into()));
    }

    fn key(&mut self, key: &Key, out: &mut Out) {
        // What stops or ends a program does so wherever it is.
        if *key == Key::Ctrl('z') {
            return out.effect(Effect::Suspend);
        }
        if self.overlay.is_some() {
            return self.overlay_key(key, out);
        }
        let view = self.view;
        // Nobody types into what is not shown.
        let shown = super::screen::shows_view(self.size);
        let taken = shown
            && of_view!(self, view, |state, seen| {
                state.is_typing() && state.typed(key, &seen, out)
            });
        if taken {
            return;
        }
        match (self.settings.keys.action(view, key), key) {
            (Some(binding), _) => self.act(binding.action, out),
            (None, Key::PageDown) => (0..PAGE).for_each(|_| self.key(&Key::Down, out)),
            (None, Key::PageUp) => (0..PAGE).for_each(|_| self.key(&Key::Up, out)),
            // Whoever leaves what is not there meant nothing else.
            (None, Key::Escape) => {}
            (None, Key::Paste(_)) => out.remark = Some("text is typed into nothing here".into()),
            (None, key) => {
                let name = super::keys::key_name(key);
                out.remark = Some(format!("{name} does nothing here; ? shows the keys"));
            }
        }
    }

    /// Whether keys are text for the view that is shown.
    pub fn is_typing(&self) -> bool {
        match self.view {
            ViewName::Overview => self.views.overview.is_typing(),
            ViewName::Ring => self.views.ring.is_typing(),
            ViewName::Cache => self.views.cache.is_typing(),
            ViewName::Txns => self.views.txns.is_typing(),
            ViewName::Data => self.views.data.is_typing(),
            ViewName::Events => self.views.events.is_typing(),
        }
    }

    /// Does one thing, whoever asks for it: a key, the palette, a demo.
    pub fn act_now(&mut self, action: Action) -> Vec<Effect> {
        let mut out = Out::default();
        self.act(action, &mut out);
        self.carry(out)
    }

    /// Carries out a line as the prompt does, whichever view is shown.
    pub fn run_line(&mut self, line: &str) -> Vec<Effect> {
        let mut out = Out::default();
        let (views, seen) = self.views();
        views.data.submit(line, &seen, &mut out);
        self.carry(out)
    }

    fn pointed(&mut self, at: Pointed, out: &mut Out) {
        if self.overlay.is_some() {
            return self.overlay_pointed(at, out);
        }
        let frame = super::screen::Areas::of(self.size);
        if let Pointed::Click(column, row) = at
            && let Some(view) = frame.tab_at(column, row)
        {
            out.go = Some(view);
            return;
        }
        let view = self.view;
        of_view!(self, view, |state, seen| state.pointed(at, frame.body, &seen, out));
    }

    fn done(&mut self, done: &Done, out: &mut Out) {
        match done {
            Done::Process(action, result) => {
                let words = doing::in_words(action);
                self.pending.retain(|pending| *pending != words);
                match result {
                    Ok(()) => self.remark(format!("{words}: done")),
                    Err(why) => self.remark(format!("{words}: {why}")),
                }
            }
            Done::Member(order, result) => self.members_changed(order, result),
            Done::Exported(Ok(path)) => self.remark(format!("written to {path}")),
            Done::Exported(Err(why)) => self.remark(why.clone()),
            Done::Located(..) => {
                of_view!(self, ViewName::Ring, |state, seen| state.done(done, &seen, out));
                of_view!(self, ViewName::Cache, |state, seen| state.done(done, &seen, out));
                of_view!(self, ViewName::Data, |state, seen| state.done(done, &seen, out));
            }
            Done::Scanned(..) | Done::Completed(..) | Done::Printed(_) | Done::Ended(_) => {
                of_view!(self, ViewName::Data, |state, seen| state.done(done, &seen, out));
            }
        }
    }

    /// Ends the console.
    fn quit(&mut self, out: &mut Out) {
        if self.settings.owns_cluster && self.model.can_administer() {
            self.overlay = Some(Overlay::Quit { focused: 2 });
        } else {
            out.effect(Effect::Quit(Quit::Leave));
        }
    }
}
