//! What is asked of the fleet at the supervisor's port, and what it answers.
//!
//! Part of `fleet`'s state machine, and as free of I/O. Every request gets one reply; those that
//! change something are told as events.

use std::time::Duration;

use protocol::event::{Admin, ProcState};
use serde_json::{Value, json};

use super::fleet::{Effect, Fleet, ProcId, Refusal, Reply, Sig};
use super::server::{State, Waiter};
use super::told::proc_event;
use crate::orders::{Fault, Order};

/// What somebody asked at the supervisor's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// All processes are told.
    List,
    /// It is killed, and stays down.
    Kill(String),
    /// It ends and starts again, and must be ready within this time.
    Restart(String, Duration),
    /// It starts, and must be ready within this time.
    Start(String, Duration),
    /// It ends in order, and stays down.
    Stop(String),
    /// It is stopped where it stands.
    Pause(String),
    /// It goes on.
    Resume(String),
    /// It is to have a fault.
    Inject(String, Ordered),
}

/// A fault that is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// Which.
    pub fault: Fault,
    /// How often; 0 takes it back.
    pub count: u64,
    /// How long the node may take to take it.
    pub timeout: Duration,
}

impl Action {
    /// Its name and what it is about, if it changes something.
    pub(super) fn told(&self) -> Option<(&'static str, &str)> {
        Some(match self {
            Self::List => return None,
            Self::Kill(proc) => ("kill", proc),
            Self::Restart(proc, _) => ("restart", proc),
            Self::Start(proc, _) => ("start", proc),
            Self::Stop(proc) => ("stop", proc),
            Self::Pause(proc) => ("pause", proc),
            Self::Resume(proc) => ("resume", proc),
            Self::Inject(proc, _) => ("inject", proc),
        })
    }
}

/// A request as it is told, its result still open.
pub(super) fn admin(action: &str, target: Option<&str>, by: &str) -> Admin {
    let (action, by) = (action.to_owned(), by.to_owned());
    Admin { id: 0, action, target: target.map(str::to_owned), by, result: String::new() }
}

impl Fleet {
    pub(super) fn asked(
        &mut self,
        now: Duration,
        (token, by): (u64, &str),
        action: Action,
        out: &mut Vec<Effect>,
    ) {
        if let Some((name, target)) = action.told() {
            self.teller.asks(token, admin(name, Some(target), by));
        }
        let reply = match action {
            Action::List => Some(Ok(self.list())),
            _ if self.stopping.is_some() => {
                Some(Err(Refusal::new("refused", "the cluster is being stopped")))
            }
            Action::Kill(name) => Some(self.on(&name, |fleet, proc| fleet.kill(proc, by, out))),
            Action::Stop(name) => {
                Some(self.on(&name, |fleet, proc| fleet.stop_one(proc, now, by, out)))
            }
            Action::Pause(name) => return self.pause(&name, true, (token, by), out),
            Action::Resume(name) => return self.pause(&name, false, (token, by), out),
            Action::Start(name, _) | Action::Restart(name, _) if self.is_removed(&name) => {
                let error = format!("{name} was removed from the cluster: add another node");
                Some(Err(Refusal::new("refused", error)))
            }
            Action::Start(name, timeout) => {
                let waiter = Waiter { token, deadline: now + timeout, order: None };
                self.on_later(&name, |fleet, proc| fleet.start_one(proc, waiter, by, out))
            }
            Action::Restart(name, timeout) => {
                let waiter = Waiter { token, deadline: now + timeout, order: None };
                self.on_later(&name, |fleet, proc| {
                    fleet.restart(proc, waiter, by, out);
                    Ok(())
                })
            }
            Action::Inject(name, ordered) => {
                let deadline = now + ordered.timeout;
                self.on_later(&name, |fleet, proc| {
                    fleet.inject(proc, ordered, (token, deadline, by), out)
                })
            }
        };
        if let Some(reply) = reply {
            out.push(Effect::Reply { token, reply });
        }
    }

    fn on(&mut self, name: &str, deed: impl FnOnce(&mut Self, ProcId) -> Reply) -> Reply {
        match self.find(name) {
            Some(proc) => deed(self, proc),
            None => Err(self.unknown(name)),
        }
    }

    /// As `on`, but the answer comes later, if it is no refusal.
    fn on_later(
        &mut self,
        name: &str,
        deed: impl FnOnce(&mut Self, ProcId) -> Result<(), Refusal>,
    ) -> Option<Reply> {
        let done = match self.find(name) {
            Some(proc) => deed(self, proc),
            None => Err(self.unknown(name)),
        };
        done.err().map(Err)
    }

    pub(super) fn find(&self, name: &str) -> Option<ProcId> {
        self.present().find(|(_, proc)| proc.name == name).map(|(proc, _)| proc)
    }

    /// It is on its way out for ever.
    fn is_removed(&self, name: &str) -> bool {
        self.find(name).is_some_and(|proc| self.procs[proc].removed)
    }

    fn unknown(&self, name: &str) -> Refusal {
        let names: Vec<&str> = self.present().map(|(_, proc)| proc.name.as_str()).collect();
        let names = names.join(", ");
        let error = format!("there is no process {name:?} here; give one of {names}");
        Refusal::new("no_such_node", error)
    }

    fn kill(&mut self, proc: ProcId, by: &str, out: &mut Vec<Effect>) -> Reply {
        let this = &mut self.procs[proc];
        let pid = this.go_down(out)?;
        this.killed = true;
        this.ended_by = Some(by.to_owned());
        out.push(Effect::Signal { proc, sig: Sig::Kill });
        Ok(json!({ "pid": pid }))
    }

    fn stop_one(&mut self, proc: ProcId, now: Duration, by: &str, out: &mut Vec<Effect>) -> Reply {
        let pid = self.procs[proc].go_down(out)?;
        self.procs[proc].ended_by = Some(by.to_owned());
        self.terminate(proc, now, out);
        Ok(json!({ "pid": pid }))
    }

    /// Lets a process stand still, or go on, and answers.
    fn pause(&mut self, name: &str, pause: bool, (token, by): (u64, &str), out: &mut Vec<Effect>) {
        let reply = self.on(name, |fleet, proc| {
            let this = &mut fleet.procs[proc];
            let Some(pid) = this.pid else {
                return Err(already(format!("{} is not alive", this.name)));
            };
            if this.paused == pause {
                let how = if pause { "paused" } else { "not paused" };
                return Err(already(format!("{} is {how}", this.name)));
            }
            if pause {
                this.paused = true;
                this.why = Some(format!("paused by {by}"));
                out.push(Effect::Signal { proc, sig: Sig::Stop });
            } else {
                fleet.wake(proc, out);
            }
            Ok(json!({ "pid": pid }))
        });
        let done = reply.is_ok();
        out.push(Effect::Reply { token, reply });
        if let Some(proc) = self.find(name).filter(|_| done) {
            let state = if pause { ProcState::Paused } else { ProcState::Resumed };
            out.push(proc_event(proc, self.procs[proc].event(state, Some(by.to_owned()))));
        }
    }

    fn start_one(
        &mut self,
        proc: ProcId,
        waiter: Waiter,
        by: &str,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let this = &self.procs[proc];
        if this.pid.is_some() {
            let how = match this.paused {
                true => "is paused: `resume` lets it go on",
                false => "runs; `restart` ends it first",
            };
            return Err(already(format!("{} {how}", this.name)));
        }
        self.restart(proc, waiter, by, out);
        Ok(())
    }

    fn restart(&mut self, proc: ProcId, waiter: Waiter, by: &str, out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        this.waiters.push(waiter);
        this.policy.forgive();
        this.started_by = Some(by.to_owned());
        if this.pid.is_some() {
            this.restart_asked = true;
            this.killed = true;
            this.ended_by = Some(by.to_owned());
            out.push(Effect::Signal { proc, sig: Sig::Kill });
        } else if this.state != State::Starting {
            self.start(proc, out);
        }
    }

    /// Orders a fault; answered when the node has taken the order.
    fn inject(
        &mut self,
        proc: ProcId,
        ordered: Ordered,
        (token, deadline, by): (u64, Duration, &str),
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let refused = |error: String| Err(Refusal::new("refused", error));
        if !self.lab {
            return refused(
                "faults are for teaching: start the cluster with `piazza up --lab`".into(),
            );
        }
        let this = &mut self.procs[proc];
        let name = &this.name;
        if proc == super::fleet::COORDINATOR {
            return refused(format!("{name} has no faults on order: name a node"));
        }
        if this.pid.is_none() {
            return refused(format!("{name} is not alive: start it first"));
        }
        if this.paused {
            return refused(format!("{name} stands still and hears nothing: resume it first"));
        }
        let Ordered { fault, count, .. } = ordered;
        this.orders += 1;
        let number = this.orders;
        let shown = fault.shown(count, count);
        this.armed_by.insert(shown.fault.clone(), by.to_owned());
        this.waiters.push(Waiter { token, deadline, order: Some((number, shown)) });
        out.push(Effect::Order { proc, order: Order::Inject { number, fault, count } });
        Ok(())
    }

    pub(super) fn list(&self) -> Value {
        json!({
            "procs": self.present().map(|(_, proc)| proc.view()).collect::<Vec<_>>(),
            "cluster": self.cluster().map(|uuid| uuid.to_string()),
            "epoch": self.epoch(),
            "lab": self.lab,
        })
    }
}

pub(super) fn already(error: String) -> Refusal {
    Refusal::new("already", error)
}
