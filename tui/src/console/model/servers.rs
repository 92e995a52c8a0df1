//! The coordinator, and the processes of the supervisor.
//!
//! Changed by `apply` only; read by the views.

use std::collections::BTreeMap;

use protocol::event::{CoordinatorState as Told, Inject, Proc, ProcState};
use protocol::status::{CoordinatorState, CoordinatorStatus};
use protocol::supervisor::{Injected, ProcStatus};

use super::clock::{At, Since};

/// Kinds of faults that are known of one process.
const FAULTS_MAX: usize = 16;

/// The coordinator.
#[derive(Debug, Clone, Default)]
pub struct Coordinator {
    /// Its name.
    pub name: String,
    /// Its term of office.
    pub epoch: u32,
    /// What it does; none: never told.
    pub state: Option<CoordinatorState>,
    /// Since when.
    pub since: Since,
    /// Nodes that have answered what this step asks, of how many that must.
    pub answers: Option<(u32, u32)>,
    /// Transactions of earlier epochs whose fate is open.
    pub in_doubt: u64,
    /// Those that it has decided.
    pub resolved: u64,
    /// The part of the ring that it can serve.
    pub serving_share: f64,
    /// Its process.
    pub pid: Option<u32>,
    /// The version of its program.
    pub version: String,
    /// When it began to run.
    pub began: Option<At>,
}

impl Coordinator {
    pub(super) fn snapshot(&mut self, status: &CoordinatorStatus, now: At) {
        self.name.clone_from(&status.name);
        self.version.clone_from(&status.version);
        let pid = std::mem::replace(&mut self.pid, status.pid);
        self.began = Some(now.minus_ms(status.uptime_ms));
        if status.epoch.0 > self.epoch || status.pid != pid {
            self.is_another();
        }
        self.epoch = self.epoch.max(status.epoch.0);
        self.set(status.state, Since::found(now));
    }

    pub(super) fn told(&mut self, told: &Told, epoch: u32, now: At) {
        if epoch > self.epoch {
            self.is_another();
        }
        self.epoch = self.epoch.max(epoch);
        self.answers = Some((told.answered, told.needed));
        self.in_doubt = told.in_doubt;
        self.resolved = told.resolved;
        self.serving_share = told.serving_share;
        self.set(told.state, Since::at(now));
    }

    /// What was known of the one before says nothing of this one.
    fn is_another(&mut self) {
        (self.state, self.answers) = (None, None);
    }

    fn set(&mut self, state: CoordinatorState, since: Since) {
        if self.state != Some(state) {
            self.state = Some(state);
            self.since = since;
        }
    }
}

/// A process of the supervisor.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Its number, while it lives.
    pub pid: Option<u32>,
    /// `starting`, `running`, `dead`, `backoff` or `gave_up`.
    pub state: String,
    /// It stands still.
    pub paused: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// Who ended or stopped it last.
    pub by: Option<String>,
    /// The signal that ended it last.
    pub signal: Option<i32>,
    /// Its last exit code.
    pub exit_code: Option<i32>,
    /// When it is started again.
    pub retry_at: Option<At>,
    /// What it said last, where it was given up.
    pub last_lines: Vec<String>,
    /// Faults that it is still to have.
    pub injected: Vec<Injected>,
    /// Faults that it has had, and when last.
    pub met: BTreeMap<String, At>,
}

impl Process {
    /// A fault was ordered, or met: what is left of it.
    pub(super) fn injected(&mut self, told: &Inject, now: At) {
        self.injected.retain(|fault| fault.fault != told.fault);
        if told.left > 0 {
            self.injected.push(Injected {
                fault: told.fault.clone(),
                value: told.value.clone(),
                count: told.count,
                left: told.left,
            });
        }
        let known = self.met.contains_key(&told.fault) || self.met.len() < FAULTS_MAX;
        if told.left < told.count && known {
            self.met.insert(told.fault.clone(), now);
        }
    }

    pub(super) fn snapshot(&mut self, status: &ProcStatus) {
        self.pid = status.pid;
        self.state.clone_from(&status.state);
        self.paused = status.paused;
        self.restarts = status.restarts;
        self.injected.clone_from(&status.injected);
    }

    pub(super) fn told(&mut self, told: &Proc, now: At) {
        match told.state {
            ProcState::Spawned => {
                self.restarts += u64::from(self.state == "backoff");
                self.state = "running".into();
                self.paused = false;
                self.pid = told.pid;
                self.retry_at = None;
                self.last_lines.clear();
            }
            ProcState::Exited | ProcState::Killed => {
                self.state = "dead".into();
                self.paused = false;
                self.pid = None;
                self.by.clone_from(&told.by);
                self.signal = told.signal;
                self.exit_code = told.exit_code;
                self.retry_at = None;
            }
            ProcState::Paused => {
                self.paused = true;
                self.by.clone_from(&told.by);
            }
            ProcState::Resumed => self.paused = false,
            ProcState::Backoff => {
                self.state = "backoff".into();
                self.retry_at = told.retry_ms.map(|ms| now.plus_ms(ms));
            }
            ProcState::GaveUp => {
                self.state = "gave_up".into();
                self.retry_at = None;
                self.last_lines.clone_from(&told.last_lines);
            }
            ProcState::Other => {}
        }
    }
}
