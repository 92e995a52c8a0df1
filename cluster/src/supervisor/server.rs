//! One server as the fleet sees it: its state, who waits for it, how it is shown in `list`.
//!
//! Owned by `fleet`, which holds the rules between servers. No I/O, clock or randomness.

use std::time::Duration;

use protocol::ids::Uuid;
use serde_json::{Value, json};

use super::fleet::{Effect, Exit, Refusal, already};
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
    /// Its end was asked for by a restart: it is started again at once.
    pub(super) restart_asked: bool,
    pub(super) life: u64,
    pub(super) starts: u64,
    pub(super) policy: Restarts,
    pub(super) instance: Option<Uuid>,
    pub(super) fatal: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) exit: Option<Exit>,
    /// Requests that wait for its readiness, with their deadlines.
    pub(super) waiters: Vec<(u64, Duration)>,
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
            restart_asked: false,
            life: 0,
            starts: 0,
            policy: Restarts::default(),
            instance: None,
            fatal: None,
            reason: None,
            exit: None,
            waiters: Vec::new(),
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
        for (token, _) in self.waiters.drain(..) {
            out.push(Effect::Reply { token, reply: Err(Refusal::new("refused", why)) });
        }
    }

    pub(super) fn expire_waiters(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let (name, pid) = (&self.name, self.pid);
        self.waiters.retain(|&(token, deadline)| {
            if deadline > now {
                return true;
            }
            let error = format!("{name} is being started but is not ready yet; `list` shows it");
            let fields = json!({ "retry_after_ms": 1000, "pid": pid });
            let reply = Err(Refusal { code: "timeout", error, fields });
            out.push(Effect::Reply { token, reply });
            false
        });
    }

    pub(super) fn view(&self) -> Value {
        json!({
            "name": self.name,
            "pid": self.pid,
            "state": match self.state {
                State::Waiting | State::Starting => "starting",
                State::Running => "running",
                State::Dead => "dead",
                State::Backoff(_) => "backoff",
                State::GaveUp => "gave_up",
            },
            "paused": self.paused,
            "restarts": self.starts.saturating_sub(1),
            "exit": self.exit,
            "reason": self.reason,
        })
    }
}
