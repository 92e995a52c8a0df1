//! One server as the fleet sees it: its state, who waits for it, how it is shown in `list`.
//!
//! Owned by `fleet`, which holds the rules between servers. No I/O, clock or randomness.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ids::Uuid;
use protocol::supervisor::{Injected, ProcStatus};
use serde_json::{Value, json};

use super::asked::already;
use super::fleet::{Effect, Exit, Refusal};
use crate::core::restart::Restarts;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be started, as soon as the coordinator's address is known.
    Waiting,
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Ended on request, or with the cluster.
    Dead,
    /// Died; started again at this time.
    Backoff(Duration),
    /// Died too often, or said that a restart is useless.
    GaveUp,
}

/// One server.
#[derive(Debug)]
pub(super) struct Proc {
    pub(super) name: String,
    pub(super) state: State,
    /// Set from its start until it is reaped.
    pub(super) pid: Option<u32>,
    pub(super) paused: bool,
    /// When it gets SIGKILL if it has not ended by then.
    pub(super) kill_at: Option<Duration>,
    /// Its end was asked for: it stays down.
    pub(super) down_asked: bool,
    /// It has no place in the cluster any more: it ends, and is never started again.
    pub(super) removed: bool,
    /// It was made for a place in the cluster, and has not had one yet.
    pub(super) joining: bool,
    /// Its end was asked for by a restart: it is started again at once.
    pub(super) restart_asked: bool,
    pub(super) life: u64,
    pub(super) starts: u64,
    pub(super) policy: Restarts,
    pub(super) instance: Option<Uuid>,
    pub(super) fatal: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) exit: Option<Exit>,
    /// Requests that wait for its readiness, or until it has taken an order.
    pub(super) waiters: Vec<Waiter>,
    /// SIGKILL was sent to this life of it.
    pub(super) killed: bool,
    /// Who asked for the end that is due, and for the start.
    pub(super) ended_by: Option<String>,
    pub(super) started_by: Option<String>,
    /// It has stopped itself after a step, as ordered, and is to be told to go on.
    pub(super) halted: bool,
    /// What ended it, or why it stands still, for display.
    pub(super) why: Option<String>,
    /// The number of the last order to it.
    pub(super) orders: u64,
    /// The faults that it is still to have.
    pub(super) injected: Vec<Injected>,
    /// Who ordered each fault last; there are few.
    pub(super) armed_by: BTreeMap<String, String>,
}

/// A request that waits for a process.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) token: u64,
    pub(super) deadline: Duration,
    /// It waits until this order is taken; without one, for the process' readiness.
    pub(super) order: Option<(u64, Injected)>,
}

impl Proc {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            state: State::Waiting,
            pid: None,
            paused: false,
            kill_at: None,
            down_asked: false,
            removed: false,
            joining: false,
            restart_asked: false,
            life: 0,
            starts: 0,
            policy: Restarts::default(),
            instance: None,
            fatal: None,
            reason: None,
            exit: None,
            waiters: Vec::new(),
            killed: false,
            ended_by: None,
            started_by: None,
            halted: false,
            why: None,
            orders: 0,
            injected: Vec::new(),
            armed_by: BTreeMap::new(),
        }
    }

    /// A new life begins; who asked for it.
    pub(super) fn is_spawned(&mut self) -> Option<String> {
        (self.killed, self.ended_by, self.why) = (false, None, None);
        self.armed_by.clear();
        self.started_by.take()
    }

    /// Answers those whose order is taken; what they ordered.
    pub(super) fn take_orders(&mut self, taken: u64, out: &mut Vec<Effect>) -> Vec<Injected> {
        let pid = self.pid;
        let is_taken =
            |waiter: &mut Waiter| waiter.order.as_ref().is_some_and(|(number, _)| *number <= taken);
        let answered = self.waiters.extract_if(.., is_taken).filter_map(|waiter| {
            let reply = Ok(json!({ "pid": pid }));
            out.push(Effect::Reply { token: waiter.token, reply });
            waiter.order.map(|(_, fault)| fault)
        });
        answered.collect()
    }

    /// This life of it takes no orders any more.
    pub(super) fn refuse_orders(&mut self, out: &mut Vec<Effect>) {
        for waiter in self.waiters.extract_if(.., |waiter| waiter.order.is_some()) {
            let reply = Err(Refusal::new("refused", format!("{} has ended", self.name)));
            out.push(Effect::Reply { token: waiter.token, reply });
        }
    }

    /// Marks the process as down by request, and returns the pid that is to be ended. A restart
    /// that was due is cancelled.
    pub(super) fn go_down(&mut self, out: &mut Vec<Effect>) -> Result<u32, Refusal> {
        self.down_asked = true;
        self.restart_asked = false;
        let why = format!("{} was stopped meanwhile", self.name);
        self.refuse_waiters(&why, out);
        if let Some(pid) = self.pid {
            return Ok(pid);
        }
        let due = matches!(self.state, State::Backoff(_) | State::Waiting);
        self.state = State::Dead;
        let what = if due { "; its start was due and is cancelled" } else { "" };
        Err(already(format!("{} is not alive{what}", self.name)))
    }

    pub(super) fn give_up(&mut self, reason: &str, out: &mut Vec<Effect>) {
        self.state = State::GaveUp;
        self.reason = Some(reason.into());
        let text = format!(
            "{name} is given up: {reason}\n`piazza admin restart {name}` tries again",
            name = self.name
        );
        let refusal = format!("{} is given up: {reason}", self.name);
        self.refuse_waiters(&refusal, out);
        out.push(Effect::Note(text));
    }

    pub(super) fn refuse_waiters(&mut self, why: &str, out: &mut Vec<Effect>) {
        for Waiter { token, .. } in self.waiters.drain(..) {
            out.push(Effect::Reply { token, reply: Err(Refusal::new("refused", why)) });
        }
    }

    pub(super) fn expire_waiters(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let (name, pid) = (&self.name, self.pid);
        self.waiters.retain(|&Waiter { token, deadline, ref order }| {
            if deadline > now {
                return true;
            }
            let error = match order {
                Some(_) => {
                    format!("{name} has not taken the order yet; `list` shows it when it has")
                }
                None => format!("{name} is being started but is not ready yet; `list` shows it"),
            };
            let fields = json!({ "retry_after_ms": 1000, "pid": pid });
            let reply = Err(Refusal { code: "timeout", error, fields });
            out.push(Effect::Reply { token, reply });
            false
        });
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            State::Waiting | State::Starting => "starting",
            State::Running => "running",
            State::Dead => "dead",
            State::Backoff(_) => "backoff",
            State::GaveUp => "gave_up",
        }
    }

    /// As it is shown in a snapshot.
    pub(super) fn status(&self) -> ProcStatus {
        ProcStatus {
            name: self.name.clone(),
            pid: self.pid,
            state: self.state_name().to_owned(),
            paused: self.paused,
            restarts: self.starts.saturating_sub(1),
            reason: self.reason.clone(),
            injected: self.injected.clone(),
        }
    }

    pub(super) fn view(&self) -> Value {
        json!({
            "name": self.name,
            "pid": self.pid,
            "state": self.state_name(),
            "paused": self.paused,
            "restarts": self.starts.saturating_sub(1),
            "exit": self.exit,
            "reason": self.reason,
            "injected": self.injected,
        })
    }
}
