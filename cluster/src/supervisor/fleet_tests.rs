//! The fleet's rules as scenarios without processes: what goes in, what comes out, in order.
//!
//! Times are seconds since the beginning. Whole processes are tested in `tests/supervisor.rs`.

use std::time::Duration;

use protocol::event::Body;
use protocol::ids::{Epoch, Uuid};
use serde_json::{Value, json};

use super::asked::Action;
use super::fleet::{Effect, Exit, Fleet, Input};
use super::roster::Roster;
use crate::config::REAPED_MAX;
use crate::process::ServerEvent;

pub(super) const KILLED: Exit = Exit { exit_code: None, signal: Some(9) };
const ENDED: Exit = Exit { exit_code: Some(0), signal: None };

/// A fleet whose spawns all succeed, with the effects that a reader cares about as text.
pub(super) struct Script {
    pub(super) fleet: Fleet,
    lives: Vec<u64>,
    now: Duration,
    /// Events, orders and hints, as text.
    pub(super) told: Vec<String>,
}

impl Script {
    fn new(nodes: u16) -> Self {
        Self::of(Roster::founded(nodes), none())
    }

    pub(super) fn of(roster: Roster, found: Vec<String>) -> Self {
        let lives = vec![0; roster.nodes.len() + 1];
        let fleet = Fleet::new(roster, found, None, true);
        Self { fleet, lives, now: Duration::ZERO, told: none() }
    }

    /// All servers ready at 1 s.
    pub(super) fn ready(nodes: u16) -> Self {
        let mut script = Self::new(nodes);
        script.at(1.0, Input::Begin);
        script.coordinator_up(1.0);
        for node in 1..=usize::from(nodes) {
            script.event(1.0, node, ServerEvent::Up);
        }
        script
    }

    pub(super) fn at(&mut self, seconds: f64, input: Input) -> Vec<String> {
        self.now = Duration::from_secs_f64(seconds);
        let mut out = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.fleet.handle(self.now, input) {
                match effect {
                    Effect::Spawn { proc, life } => {
                        self.lives.resize(self.lives.len().max(proc + 1), 0);
                        self.lives[proc] = life;
                        out.push(format!("spawn {}", self.fleet.name(proc)));
                        let instance = Uuid(u128::from(life));
                        inputs.push(Input::Spawned { proc, pid: 100 + proc as u32, instance });
                    }
                    Effect::Signal { proc, sig } => {
                        out.push(format!("{sig:?} {}", self.fleet.name(proc)));
                    }
                    Effect::Reply { token, reply: Ok(fields) } => {
                        out.push(format!("reply {token} {fields}"));
                    }
                    Effect::Reply { token, reply: Err(refusal) } => {
                        out.push(format!("refuse {token} {}", refusal.code));
                    }
                    Effect::Ready => out.push("ready".into()),
                    Effect::Finished(all) => out.push(format!("finished {all}")),
                    Effect::Order { proc, order } => {
                        let order = serde_json::to_string(&order).expect("JSON");
                        self.told.push(format!("{} <- {order}", self.fleet.name(proc)));
                    }
                    Effect::Event { number, cause, body, .. } => {
                        self.told.push(told(number, cause, &body));
                    }
                    Effect::Save | Effect::Note(_) => {}
                }
            }
        }
        out
    }

    pub(super) fn event(&mut self, seconds: f64, proc: usize, event: ServerEvent) -> Vec<String> {
        let life = self.lives[proc];
        self.at(seconds, Input::Event { proc, life, event })
    }

    pub(super) fn coordinator_up(&mut self, seconds: f64) -> Vec<String> {
        let (client, peer) = ("127.0.0.1:1".parse().ok(), "127.0.0.1:2".parse().ok());
        let mut out = self.event(seconds, 0, ServerEvent::Listening { client, peer, addr: None });
        let active = ServerEvent::Active { epoch: Epoch(1), cluster: Uuid(5) };
        out.extend(self.event(seconds, 0, active));
        out
    }

    pub(super) fn exits(&mut self, seconds: f64, proc: usize, exit: Exit) -> Vec<String> {
        let life = self.lives[proc];
        self.at(seconds, Input::Exited { proc, life, exit, last_lines: vec!["bye".into()] })
    }

    pub(super) fn ask(&mut self, seconds: f64, token: u64, action: Action) -> Vec<String> {
        self.at(seconds, Input::Asked { token, by: "eve".into(), action })
    }

    pub(super) fn shown(&mut self, proc: usize) -> Value {
        let token = 999;
        let list = Input::Asked { token, by: "eve".into(), action: Action::List };
        match self.fleet.handle(self.now, list).pop() {
            Some(Effect::Reply { reply: Ok(fields), .. }) => fields["procs"][proc].clone(),
            other => panic!("no list but {other:?}"),
        }
    }

    fn deadline(&self) -> Option<f64> {
        self.fleet.deadline().map(|deadline| deadline.as_secs_f64())
    }
}

/// An event as text: its number, its cause, its name and what it says, without what is absent.
fn told(number: u64, cause: Option<u64>, body: &Body) -> String {
    let fields = match body {
        Body::Proc(event) => serde_json::to_value(event),
        Body::Admin(event) => serde_json::to_value(event),
        Body::Inject(event) => serde_json::to_value(event),
        other => panic!("{other:?}"),
    };
    let cause = cause.map_or_else(String::new, |cause| format!(" of {cause}"));
    format!("{number}{cause} {} {}", body.name(), fields.expect("an object"))
}

fn wait(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn nodes_start_when_the_coordinator_has_told_its_address_and_ready_is_told_once() {
    let mut script = Script::new(2);
    assert_eq!(script.at(0.0, Input::Begin), ["spawn coordinator"]);
    assert_eq!(script.fleet.pids(), [("coordinator".to_owned(), 100)]);
    assert_eq!(script.coordinator_up(0.1), ["spawn n1", "spawn n2"]);
    assert_eq!(script.event(0.2, 1, ServerEvent::Up), none());
    assert_eq!(script.event(0.3, 2, ServerEvent::Up), ["ready"]);
    assert_eq!(script.event(0.4, 2, ServerEvent::Up), none());
    assert_eq!(script.deadline(), None);
    assert_eq!(script.exits(20.0, 1, KILLED), none());
    assert_eq!(script.deadline(), Some(21.0));
    assert_eq!(script.at(20.9, Input::Tick), none());
    assert_eq!(script.at(21.0, Input::Tick), ["spawn n1"]);
    assert_eq!(script.event(21.1, 1, ServerEvent::Up), none());
    assert_eq!(script.shown(1)["restarts"], 1);
}

#[test]
fn late_news_of_an_earlier_life_change_nothing() {
    let mut script = Script::ready(1);
    script.exits(20.0, 1, KILLED);
    let life = script.lives[1];
    script.at(21.0, Input::Tick);
    let late = Input::Event { proc: 1, life, event: ServerEvent::Up };
    assert_eq!(script.at(21.1, late), none());
    let late = Input::Exited { proc: 1, life, exit: KILLED, last_lines: Vec::new() };
    assert_eq!(script.at(21.2, late), none());
    assert_eq!(script.shown(1)["state"], "starting");
}

#[test]
fn a_killed_server_stays_down_until_it_is_asked_for() {
    let mut script = Script::ready(1);
    let killed = script.ask(20.0, 1, Action::Kill("n1".into()));
    assert_eq!(killed, ["Kill n1", r#"reply 1 {"pid":101}"#]);
    assert_eq!(script.exits(20.1, 1, KILLED), none());
    assert_eq!((script.deadline(), &script.shown(1)["state"]), (None, &json!("dead")));
    assert_eq!(script.ask(21.0, 2, Action::Kill("n1".into())), ["refuse 2 already"]);
    assert_eq!(script.ask(21.0, 3, Action::Kill("n7".into())), ["refuse 3 no_such_node"]);
    assert_eq!(script.ask(22.0, 4, Action::Start("n1".into(), wait(30))), ["spawn n1"]);
    let up = script.event(23.0, 1, ServerEvent::Up);
    assert_eq!(up, [r#"reply 4 {"pid":101}"#]);
    assert_eq!(script.deadline(), None);
}

#[test]
fn a_kill_cancels_a_restart_that_was_due() {
    let mut script = Script::ready(1);
    script.exits(20.0, 1, KILLED);
    assert_eq!(script.ask(20.5, 1, Action::Kill("n1".into())), ["refuse 1 already"]);
    assert_eq!(script.at(30.0, Input::Tick), none());
    assert_eq!(script.shown(1)["state"], "dead");
}

#[test]
fn a_restart_replies_when_the_next_life_is_ready_or_at_its_deadline() {
    let mut script = Script::ready(1);
    assert_eq!(script.ask(20.0, 1, Action::Restart("n1".into(), wait(30))), ["Kill n1"]);
    assert_eq!(script.event(20.1, 1, ServerEvent::Up), none());
    assert_eq!(script.exits(20.2, 1, KILLED), ["spawn n1"]);
    assert_eq!(script.ask(20.3, 2, Action::Restart("n1".into(), wait(1))), ["Kill n1"]);
    assert_eq!(script.exits(20.4, 1, KILLED), ["spawn n1"]);
    assert_eq!(script.deadline(), Some(21.3));
    assert_eq!(script.at(21.3, Input::Tick), ["refuse 2 timeout"]);
    assert_eq!(script.event(25.0, 1, ServerEvent::Up), [r#"reply 1 {"pid":101}"#]);
    script.ask(26.0, 3, Action::Restart("n1".into(), wait(30)));
    let killed = script.ask(26.1, 4, Action::Kill("n1".into()));
    assert_eq!(killed, ["refuse 3 refused", "Kill n1", r#"reply 4 {"pid":101}"#]);
    assert_eq!(script.exits(26.2, 1, KILLED), none());
}

#[test]
fn a_server_is_given_up_after_five_quick_deaths_or_by_its_own_word() {
    let mut script = Script::ready(2);
    let mut now = 1.1;
    for backoff in [1.0, 2.0, 4.0, 8.0] {
        assert_eq!(script.exits(now, 1, KILLED), none());
        now += backoff;
        assert_eq!(script.deadline(), Some(now));
        assert_eq!(script.at(now, Input::Tick), ["spawn n1"]);
    }
    assert_eq!(script.exits(now, 1, KILLED), none());
    assert_eq!((script.deadline(), &script.shown(1)["state"]), (None, &json!("gave_up")));
    assert!(script.shown(1)["reason"].as_str().is_some_and(|text| text.contains("bye")));
    assert_eq!(script.ask(50.0, 1, Action::Restart("n1".into(), wait(30))), ["spawn n1"]);
    script.event(50.1, 1, ServerEvent::Fatal { reason: "no disk".into() });
    assert_eq!(script.exits(50.2, 1, ENDED), ["refuse 1 refused"]);
    assert_eq!(script.shown(1)["reason"], "no disk");
}

#[test]
fn a_program_that_cannot_be_started_is_a_death() {
    let mut fleet = Fleet::new(Roster::founded(1), none(), None, false);
    let begun = fleet.handle(Duration::ZERO, Input::Begin);
    assert_eq!(begun, [Effect::Spawn { proc: 0, life: 1 }]);
    let failed = Input::SpawnFailed { proc: 0, error: "no such file".into() };
    fleet.handle(Duration::ZERO, failed);
    assert_eq!(fleet.deadline(), Some(wait(1)));
    assert!(fleet.reaped().is_empty() && fleet.pids().is_empty());
}

#[test]
fn reaped_coordinators_are_remembered_newest_last_and_bounded() {
    let mut script = Script::ready(1);
    let mut now = 10.0;
    for _ in 0..REAPED_MAX + 6 {
        script.exits(now, 0, KILLED);
        script.at(now + 1.0, Input::Tick);
        script.coordinator_up(now + 1.0);
        now += 10.0;
    }
    let reaped = script.fleet.reaped();
    assert_eq!((reaped.len(), reaped[0], reaped[63]), (64, Uuid(7), Uuid(70)));
    assert_eq!(script.fleet.cluster(), Some(Uuid(5)));
}

#[test]
fn the_end_is_coordinator_first_bounded_and_wakes_the_paused() {
    let mut script = Script::ready(3);
    script.ask(2.0, 1, Action::Pause("n2".into()));
    script.exits(2.0, 3, KILLED);
    script.ask(2.0, 2, Action::Restart("n1".into(), wait(30)));
    let stop = script.at(3.0, Input::Stop);
    assert_eq!(stop, ["refuse 2 refused", "Term coordinator"]);
    assert_eq!(script.ask(3.1, 3, Action::Restart("n1".into(), wait(1))), ["refuse 3 refused"]);
    assert_eq!(script.exits(3.1, 1, KILLED), none());
    assert_eq!(script.at(13.0, Input::Tick), ["Kill coordinator"]);
    assert_eq!(script.exits(13.1, 0, KILLED), ["Term n2", "Cont n2"]);
    assert_eq!(script.exits(13.2, 2, ENDED), ["finished true"]);
}

#[test]
fn a_second_stop_kills_and_even_that_is_bounded() {
    let mut script = Script::ready(1);
    assert_eq!(script.at(2.0, Input::Stop), ["Term coordinator"]);
    assert_eq!(script.at(2.1, Input::Stop), ["Kill coordinator", "Kill n1"]);
    assert_eq!(script.at(2.2, Input::Stop), none());
    assert_eq!(script.exits(2.3, 1, KILLED), none());
    assert_eq!(script.at(7.1, Input::Tick), ["finished false"]);

    let mut script = Script::ready(1);
    script.at(2.0, Input::Stop);
    assert_eq!(script.exits(2.1, 0, ENDED), ["Term n1"]);
    assert_eq!(script.at(12.1, Input::Tick), ["Kill n1"]);
    assert_eq!(script.exits(12.2, 1, KILLED), ["finished true"]);
    assert_eq!(Script::new(1).at(0.0, Input::Stop), ["finished true"]);
}
