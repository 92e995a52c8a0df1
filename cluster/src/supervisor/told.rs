//! What the fleet tells: events for those who subscribed, each with what led to it, and hints to
//! the coordinator, which shows them.
//!
//! Part of `fleet`'s state machine, and as free of I/O. Numbers events and answers in the order in
//! which the fleet made them. Decides nothing.

use std::collections::BTreeMap;

use protocol::event::{Admin, Body, Inject, Proc as ProcEvent, ProcState};
use protocol::supervisor::Injected;

use super::fleet::{COORDINATOR, Effect, Fleet, ProcId};
use super::server::Proc;
use crate::orders::{Hint, Order};
use crate::shell::admin::Recent;

/// What is kept to tell events and hints, and only for that.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// The number of the last event.
    number: u64,
    /// The last event about each process: what comes next of it comes of that.
    latest: BTreeMap<ProcId, u64>,
    /// Requests that have no answer yet, by token, with no result yet.
    asked: BTreeMap<u64, Admin>,
    recent: Recent,
    /// What this coordinator has been told.
    hinted: BTreeMap<ProcId, Hint>,
}

impl Teller {
    /// Somebody asks for something that is to be told when it is answered.
    pub(super) fn asks(&mut self, token: u64, admin: Admin) {
        self.asked.insert(token, admin);
    }

    /// What administrators asked for lately.
    pub(super) fn recent(&self) -> Vec<Admin> {
        self.recent.all()
    }

    /// The coordinator may have missed what it was told.
    pub(super) fn hint_anew(&mut self) {
        self.hinted.clear();
    }

    fn event(&mut self, about: Option<ProcId>, body: Box<Body>) -> Effect {
        self.number += 1;
        let number = self.number;
        let cause = about.and_then(|proc| self.latest.insert(proc, number));
        Effect::Event { about, number, cause, body }
    }
}

/// An event about a process, to be numbered.
pub(super) fn proc_event(proc: ProcId, event: ProcEvent) -> Effect {
    event_about(Some(proc), Body::Proc(event))
}

fn event_about(about: Option<ProcId>, body: Body) -> Effect {
    Effect::Event { about, number: 0, cause: None, body: Box::new(body) }
}

/// A request that was answered, to be numbered.
pub(super) fn admin_event(about: Option<ProcId>, admin: Admin) -> Effect {
    event_about(about, Body::Admin(admin))
}

impl Proc {
    /// The event that this became of it.
    pub(super) fn event(&self, state: ProcState, by: Option<String>) -> ProcEvent {
        ProcEvent {
            name: self.name.clone(),
            pid: self.pid,
            state,
            signal: None,
            exit_code: None,
            by,
            retry_ms: None,
            last_lines: Vec::new(),
        }
    }

    fn hint(&self) -> Hint {
        let (node, why) = (self.name.clone(), self.why.clone());
        let exited = self.pid.is_none() && why.is_some();
        Hint { node, paused: self.paused, why, exited, injected: self.injected.clone() }
    }
}

impl Fleet {
    /// Numbers the events among `effects`, puts one before each answer, and ends with the hints
    /// that the coordinator has not been given.
    pub(super) fn tell(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut out = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Event { about, mut body, .. } => {
                    if let Body::Admin(admin) = &mut *body {
                        *admin = self.teller.recent.keep(admin.clone());
                    }
                    out.push(self.teller.event(about, body));
                }
                Effect::Reply { token, reply } => {
                    if let Some(asked) = self.teller.asked.remove(&token) {
                        let result = reply.as_ref().map_or_else(|refusal| refusal.code, |_| "ok");
                        let admin = Admin { result: result.to_owned(), ..asked };
                        let about = admin.target.as_deref().and_then(|name| self.find(name));
                        let admin = self.teller.recent.keep(admin);
                        out.push(self.teller.event(about, Box::new(Body::Admin(admin))));
                    }
                    out.push(Effect::Reply { token, reply });
                }
                other => out.push(other),
            }
        }
        self.tell_hints(&mut out);
        out
    }

    fn tell_hints(&mut self, out: &mut Vec<Effect>) {
        if self.procs[COORDINATOR].pid.is_none() {
            return;
        }
        for (proc, node) in self.procs.iter().enumerate().skip(1).filter(|(_, p)| !p.removed) {
            let hint = node.hint();
            let told = self.teller.hinted.get(&proc);
            let nothing =
                told.is_none() && hint == Hint { node: node.name.clone(), ..Hint::default() };
            if nothing || told == Some(&hint) {
                continue;
            }
            self.teller.hinted.insert(proc, hint.clone());
            out.push(Effect::Order { proc: COORDINATOR, order: Order::Hint(hint) });
        }
    }

    /// What is left of the faults of `proc`; orders through number `taken` are taken.
    pub(super) fn faults_left(
        &mut self,
        proc: ProcId,
        taken: u64,
        left: Vec<Injected>,
        out: &mut Vec<Effect>,
    ) {
        let orders = self.procs[proc].take_orders(taken, out);
        for ordered in orders {
            self.tell_fault(proc, ordered.clone(), out);
            let known = &mut self.procs[proc].injected;
            known.retain(|fault| fault.fault != ordered.fault);
            if ordered.left > 0 {
                known.push(ordered);
            }
        }
        let before = std::mem::replace(&mut self.procs[proc].injected, left.clone());
        for fault in &left {
            if !before.contains(fault) {
                self.tell_fault(proc, fault.clone(), out);
            }
        }
        for fault in before {
            if left.iter().all(|other| other.fault != fault.fault) {
                self.tell_fault(proc, Injected { left: 0, ..fault }, out);
            }
        }
    }

    fn tell_fault(&self, proc: ProcId, fault: Injected, out: &mut Vec<Effect>) {
        let node = &self.procs[proc];
        let by = node.armed_by.get(&fault.fault).cloned();
        let Injected { fault, value, count, left } = fault;
        let event = Inject { proc: node.name.clone(), fault, value, count, left, by };
        out.push(event_about(Some(proc), Body::Inject(event)));
    }
}
