//! What each action does.
//!
//! Part of the console's state; called for keys, for the palette and for demos alike.

use protocol::supervisor::ProcAction;

use super::consequence;
use super::overlay::{Overlay, Question, Wanted};
use super::{Console, Out, ViewName};
use crate::console::action::Action;
use crate::console::effect::Effect;
use crate::console::look::ThemeName;
use crate::console::model::COORDINATOR;
use crate::console::model::node::Node;
use crate::console::views::View as _;

impl Console {
    pub(super) fn act(&mut self, action: Action, out: &mut Out) {
        match action {
            Action::Go(view) => out.go = Some(view),
            Action::Turn(right) => out.go = Some(self.view.turned(right)),
            Action::Select(next) => self.select(next),
            Action::Kill | Action::Stop | Action::Restart | Action::Pause => {
                self.change(action, out);
            }
            Action::Add | Action::Remove | Action::Evict => self.change_members(action, out),
            Action::Freeze => {
                let frozen = self.frozen.take();
                self.frozen = frozen.is_none().then(|| Box::new(self.model.clone()));
            }
            Action::Help | Action::Palette => self.lay_over(action),
            Action::Mouse => {
                self.mouse = !self.mouse;
                out.effect(Effect::Mouse(self.mouse));
                let words = if self.mouse { "the mouse is taken" } else { "the mouse is free" };
                out.remark = Some(words.into());
            }
            Action::Theme => self.next_theme(out),
            Action::Confirm => {
                self.confirm = !self.confirm;
                let words = if self.confirm { "asks first" } else { "does not ask" };
                out.remark = Some(format!("before the cluster is changed, the console {words}"));
            }
            Action::ReadOnly => self.toggle_read_only(out),
            Action::Reconnect => out.effect(Effect::Reconnect),
            Action::Redraw => out.effect(Effect::Redraw),
            Action::Suspend => out.effect(Effect::Suspend),
            Action::Quit => self.quit(out),
            own => self.act_of_view(own, out),
        }
    }

    fn act_of_view(&mut self, action: Action, out: &mut Out) {
        let shown = self.view;
        let (views, seen) = self.views();
        let mut own = Out::default();
        out.go = Some(match action {
            Action::Overview(act) => {
                views.overview.act(act, &seen, &mut own);
                ViewName::Overview
            }
            Action::Ring(act) => {
                views.ring.act(act, &seen, &mut own);
                ViewName::Ring
            }
            Action::Cache(act) => {
                views.cache.act(act, &seen, &mut own);
                ViewName::Cache
            }
            Action::Txns(act) => {
                views.txns.act(act, &seen, &mut own);
                ViewName::Txns
            }
            Action::Data(act) => {
                views.data.act(act, &seen, &mut own);
                ViewName::Data
            }
            Action::Events(act) => {
                views.events.act(act, &seen, &mut own);
                ViewName::Events
            }
            _ => shown,
        });
        own.go = own.go.or(out.go);
        own.effects.splice(..0, std::mem::take(&mut out.effects));
        *out = own;
    }

    fn select(&mut self, next: bool) {
        let servers = self.model.servers();
        let place = servers.iter().position(|name| *name == self.selected).unwrap_or(0);
        let step = if next { 1 } else { servers.len() - 1 };
        self.selected = servers[(place + step) % servers.len()].clone();
    }

    fn next_theme(&mut self, out: &mut Out) {
        let all = ThemeName::ALL;
        let now = self.settings.look.theme.name();
        let place = all.iter().position(|name| *name == now).unwrap_or(0);
        let next = all[(place + 1) % all.len()];
        self.settings.look.theme = crate::console::look::Theme::of(next);
        out.remark = Some(format!("theme: {next}"));
    }

    fn toggle_read_only(&mut self, out: &mut Out) {
        if let Some(why) = self.settings.read_only.as_deref().or(self.model.forbidden()) {
            out.remark = Some(format!("stays read-only: {why}"));
            return;
        }
        let is_on = self.read_only.is_none();
        self.read_only = is_on.then(|| "you asked for it; :read-only ends it".to_owned());
        let words =
            if is_on { "read-only from here on" } else { "the cluster may be changed again" };
        out.remark = Some(words.into());
    }

    /// Changes the cluster, or asks first, or says why that cannot be.
    fn change(&mut self, action: Action, out: &mut Out) {
        if let Some(why) = self.read_only.as_deref().or(self.model.forbidden()) {
            out.remark = Some(format!("read-only: {why}"));
            return;
        }
        if !self.model.can_administer() {
            let why = match (&self.model.supervisor, self.model.supervisor_feed.is_live()) {
                (None, _) => "these servers have no supervisor: end and start them by hand",
                _ => "their supervisor cannot be reached now",
            };
            out.remark = Some(why.into());
            return;
        }
        let server = self.selected.clone();
        let process = self.model.procs.get(&server);
        let lives = process.is_some_and(|process| process.pid.is_some());
        let is_paused = process.is_some_and(|process| process.paused);
        let action = match action {
            Action::Kill => ProcAction::Kill(server.clone()),
            Action::Stop => ProcAction::Stop(server.clone()),
            Action::Pause if is_paused => ProcAction::Resume(server.clone()),
            Action::Pause => ProcAction::Pause(server.clone()),
            _ if lives => ProcAction::Restart(server.clone()),
            _ => ProcAction::Start(server.clone()),
        };
        if process.is_none() {
            out.remark = Some(format!("the supervisor has no process called {server}"));
            return;
        }
        let needs_life =
            matches!(action, ProcAction::Kill(_) | ProcAction::Stop(_) | ProcAction::Pause(_));
        if needs_life && !lives {
            out.remark = Some(format!("{server} does not run: R starts it"));
            return;
        }
        // What only brings a server back harms nobody.
        let is_away = is_paused || self.model.nodes.get(&server).is_some_and(Node::is_evicted);
        let is_harmless = match action {
            ProcAction::Start(_) | ProcAction::Resume(_) => true,
            ProcAction::Restart(_) => is_away,
            _ => false,
        };
        if is_harmless || !self.confirm {
            return self.order(action, out);
        }
        let pid = process
            .and_then(|process| process.pid)
            .map_or(String::new(), |pid| format!(" (pid {pid})"));
        let who = if server == COORDINATOR { "the coordinator".to_owned() } else { server.clone() };
        let (title, back) = match &action {
            ProcAction::Kill(_) => {
                (format!("kill -9 {who}{pid}?"), "It stays down until R starts it.")
            }
            ProcAction::Stop(_) => {
                (format!("Stop {who}{pid}?"), "It stays down until R starts it.")
            }
            ProcAction::Pause(_) => (
                format!("Pause {who}{pid} with SIGSTOP?"),
                "It stands still until P lets it go on.",
            ),
            _ => (format!("Restart {who}{pid}?"), "It is started again at once."),
        };
        let said = consequence::of_losing(&self.model, &server, back);
        self.overlay = Some(Overlay::Ask(Question {
            action: Wanted::Process(action),
            title,
            said,
            yes: false,
        }));
    }

    /// Has the supervisor do something.
    pub(super) fn order(&mut self, action: ProcAction, out: &mut Out) {
        self.pending.push(in_words(&action));
        out.effect(Effect::Process(action));
    }

    /// What the hint of a key that changes the cluster says, as things are.
    pub fn may_change(&self) -> bool {
        let is_allowed = self.read_only.is_none() && self.model.forbidden().is_none();
        is_allowed && self.model.can_administer()
    }
}

/// What is asked of the supervisor, in words.
pub(super) fn in_words(action: &ProcAction) -> String {
    format!("{} {}", action.name(), action.proc().unwrap_or(""))
}
