//! The processes of one cluster as a state machine: what happened comes in as an [`Input`] with
//! the time, what is to be done goes out as [`Effect`]s, in order.
//!
//! Driven by `run`, which alone starts, signals and reaps processes. `stopping` holds the part
//! that ends them all. No I/O, clock or randomness in here, so that every rule is tested without
//! a process.

use std::time::Duration;

use protocol::ids::{Epoch, Uuid};
use serde::Serialize;
use serde_json::{Value, json};

use super::server::{Proc, State};
use super::stopping::Stopping;
use crate::config::REAPED_MAX;
use crate::core::restart::Verdict;
use crate::process::ServerEvent;

/// Index of a process: 0 is the coordinator, `i` is node `n{i}`.
pub(super) type ProcId = usize;
/// The coordinator's index.
pub(super) const COORDINATOR: ProcId = 0;
/// How long a server may take to end after SIGTERM before it gets SIGKILL.
pub(super) const TERM_WAIT: Duration = Duration::from_secs(10);

/// The signals that the fleet sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sig {
    Term,
    Kill,
    Stop,
    Cont,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Exit {
    /// Its exit code, unless a signal ended it.
    pub(super) exit_code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.exit_code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("it could not be started"),
        }
    }
}

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
}

/// Everything that can happen to a fleet.
#[derive(Debug)]
pub(super) enum Input {
    /// Start the cluster.
    Begin,
    /// Time has passed; see [`Fleet::deadline`].
    Tick,
    /// The answer to [`Effect::Spawn`].
    Spawned { proc: ProcId, pid: u32, instance: Uuid },
    /// The other answer to [`Effect::Spawn`].
    SpawnFailed { proc: ProcId, error: String },
    /// A server announced something. `life` as in [`Effect::Spawn`].
    Event { proc: ProcId, life: u64, event: ServerEvent },
    /// A server was reaped, its announcements were all read.
    Exited { proc: ProcId, life: u64, exit: Exit, last_lines: Vec<String> },
    /// A request; answered once by an [`Effect::Reply`] with the same token.
    Asked { token: u64, action: Action },
    /// End all servers in order; asked a second time, at once.
    Stop,
}

/// Everything that a fleet can want.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Start the process; `life` counts its starts, so that late news of an earlier one is known.
    Spawn { proc: ProcId, life: u64 },
    /// Send a signal to a process that has not been reaped.
    Signal { proc: ProcId, sig: Sig },
    /// Answer a request.
    Reply { token: u64, reply: Reply },
    /// Addresses, pids or the cluster's uuid changed: write `cluster.json`.
    Save,
    /// Tell the person at the terminal and the log.
    Note(String),
    /// All servers are ready for the first time.
    Ready,
    /// All servers have ended; so should the supervisor. False: some had to be left.
    Finished(bool),
}

/// The fields of an ok reply next to `ok`, or a refusal.
pub type Reply = Result<Value, Refusal>;

/// An error reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub(super) code: &'static str,
    pub(super) error: String,
    /// Fields next to `code` and `error`.
    pub(super) fields: Value,
}

impl Refusal {
    pub(super) fn new(code: &'static str, error: impl Into<String>) -> Self {
        Self { code, error: error.into(), fields: json!({}) }
    }
}

/// The processes of one cluster.
///
/// Invariants: a process has a pid exactly while it is not reaped; every request gets one reply;
/// nothing is spawned once stopping began.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) procs: Vec<Proc>,
    pub(super) stopping: Option<Stopping>,
    addresses: Option<(String, String)>,
    cluster: Option<Uuid>,
    epoch: Option<Epoch>,
    reaped: Vec<Uuid>,
    ready_told: bool,
}

impl Fleet {
    /// A fleet of one coordinator and `nodes` nodes, none of them started.
    pub(super) fn new(nodes: u16, cluster: Option<Uuid>) -> Self {
        let names = std::iter::once("coordinator".to_owned());
        let names = names.chain((1..=nodes).map(|number| format!("n{number}")));
        Self {
            procs: names.map(Proc::new).collect(),
            stopping: None,
            addresses: None,
            cluster,
            epoch: None,
            reaped: Vec::new(),
            ready_told: false,
        }
    }

    /// The name of `proc`.
    pub(super) fn name(&self, proc: ProcId) -> &str {
        &self.procs[proc].name
    }

    /// The coordinator's addresses for clients and for nodes, once it has told them.
    pub(super) fn addresses(&self) -> Option<&(String, String)> {
        self.addresses.as_ref()
    }

    /// The cluster's uuid, once known.
    pub(super) fn cluster(&self) -> Option<Uuid> {
        self.cluster
    }

    /// Instances of coordinators that were reaped, newest last.
    pub(super) fn reaped(&self) -> &[Uuid] {
        &self.reaped
    }

    /// The processes that live, coordinator first.
    pub(super) fn pids(&self) -> Vec<(String, u32)> {
        let alive = |proc: &Proc| proc.pid.map(|pid| (proc.name.clone(), pid));
        self.procs.iter().filter_map(alive).collect()
    }

    /// When to call with [`Input::Tick`] at the latest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.stopping.iter().map(Stopping::abandon_at).collect();
        for proc in &self.procs {
            if let State::Backoff(until) = proc.state {
                times.push(until);
            }
            times.extend(proc.kill_at);
            times.extend(proc.waiters.iter().map(|&(_, deadline)| deadline));
        }
        times.into_iter().min()
    }

    /// Takes note of `input`, which happened at `now`.
    pub(super) fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Begin => self.start(COORDINATOR, &mut out),
            Input::Tick => self.tick(now, &mut out),
            Input::Spawned { proc, pid, instance } => {
                let spawned = &mut self.procs[proc];
                spawned.pid = Some(pid);
                spawned.instance = Some(instance);
                spawned.policy.started(now);
                out.push(Effect::Save);
            }
            Input::SpawnFailed { proc, error } => {
                self.procs[proc].policy.started(now);
                let exit = Exit { exit_code: None, signal: None };
                self.ended(proc, now, exit, &[error], &mut out);
            }
            Input::Event { proc, life, event } => {
                if self.procs[proc].life == life {
                    self.announced(proc, now, event, &mut out);
                }
            }
            Input::Exited { proc, life, exit, last_lines } => {
                if self.procs[proc].life == life {
                    self.reap(proc);
                    out.push(Effect::Save);
                    self.ended(proc, now, exit, &last_lines, &mut out);
                }
            }
            Input::Asked { token, action } => self.asked(now, token, action, &mut out),
            Input::Stop => self.stop(now, &mut out),
        }
        self.advance_stop(now, &mut out);
        out
    }

    /// Starts `proc`, or leaves it waiting until the coordinator's address is known.
    fn start(&mut self, proc: ProcId, out: &mut Vec<Effect>) {
        let known = self.addresses.is_some();
        let starting = &mut self.procs[proc];
        starting.down_asked = false;
        starting.restart_asked = false;
        starting.fatal = None;
        starting.reason = None;
        if proc != COORDINATOR && !known {
            starting.state = State::Waiting;
            return;
        }
        starting.state = State::Starting;
        starting.life += 1;
        starting.starts += 1;
        out.push(Effect::Spawn { proc, life: starting.life });
    }

    fn reap(&mut self, proc: ProcId) {
        let dead = &mut self.procs[proc];
        dead.pid = None;
        dead.paused = false;
        dead.kill_at = None;
        if proc == COORDINATOR
            && let Some(instance) = dead.instance.take()
        {
            if self.reaped.len() == REAPED_MAX {
                self.reaped.remove(0);
            }
            self.reaped.push(instance);
        }
    }

    fn ended(
        &mut self,
        proc: ProcId,
        now: Duration,
        exit: Exit,
        last_lines: &[String],
        out: &mut Vec<Effect>,
    ) {
        let stopping = self.stopping.is_some();
        let dead = &mut self.procs[proc];
        dead.exit = Some(exit);
        if stopping || (dead.down_asked && !dead.restart_asked) {
            dead.state = State::Dead;
            let why = format!("{} was stopped meanwhile", dead.name);
            dead.refuse_waiters(&why, out);
            return;
        }
        if dead.restart_asked {
            self.start(proc, out);
            return;
        }
        if let Some(reason) = dead.fatal.take() {
            dead.give_up(&reason, out);
            return;
        }
        match dead.policy.died(now) {
            Verdict::RestartAfter(wait) => {
                dead.state = State::Backoff(now + wait);
                let seconds = wait.as_secs();
                let name = &dead.name;
                out.push(Effect::Note(format!("{name} died ({exit}); restart in {seconds} s")));
            }
            Verdict::GiveUp => {
                let reason = format!(
                    "it died 5 times in a row, each within 5 s ({exit}); its last lines:\n{}",
                    last_lines.join("\n")
                );
                dead.give_up(&reason, out);
            }
        }
    }

    fn announced(
        &mut self,
        proc: ProcId,
        now: Duration,
        event: ServerEvent,
        out: &mut Vec<Effect>,
    ) {
        match event {
            ServerEvent::Listening { client: Some(client), peer: Some(peer), .. }
                if proc == COORDINATOR =>
            {
                self.addresses = Some((client.to_string(), peer.to_string()));
                out.push(Effect::Save);
                if self.stopping.is_none() {
                    for node in 1..self.procs.len() {
                        if self.procs[node].state == State::Waiting {
                            self.start(node, out);
                        }
                    }
                }
            }
            ServerEvent::Active { epoch, cluster } if proc == COORDINATOR => {
                if self.cluster.is_some_and(|known| known != cluster) {
                    let text = format!("this is another cluster than before: {cluster}");
                    out.push(Effect::Note(text));
                }
                self.cluster = Some(cluster);
                self.epoch = Some(epoch);
                out.push(Effect::Save);
                self.became_ready(proc, now, out);
            }
            ServerEvent::Up if proc != COORDINATOR => self.became_ready(proc, now, out),
            ServerEvent::Fatal { reason } => self.procs[proc].fatal = Some(reason),
            // A node's own address is the coordinator's business.
            ServerEvent::Listening { .. } | ServerEvent::Active { .. } | ServerEvent::Up => {}
        }
    }

    fn became_ready(&mut self, proc: ProcId, now: Duration, out: &mut Vec<Effect>) {
        let ready = &mut self.procs[proc];
        ready.policy.ready(now);
        // Waiters of a restart wait for the next life, not for late news of this one.
        if ready.state == State::Starting && !ready.restart_asked {
            ready.state = State::Running;
            for (token, _) in ready.waiters.drain(..) {
                out.push(Effect::Reply { token, reply: Ok(json!({ "pid": ready.pid })) });
            }
        }
        let all = self.procs.iter().all(|proc| proc.state == State::Running);
        if all && !self.ready_told && self.stopping.is_none() {
            self.ready_told = true;
            out.push(Effect::Ready);
        }
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Effect>) {
        for proc in 0..self.procs.len() {
            let this = &mut self.procs[proc];
            if this.kill_at.is_some_and(|at| at <= now) {
                this.kill_at = None;
                let seconds = TERM_WAIT.as_secs();
                let text = format!("{} did not end within {seconds} s: killed", this.name);
                out.push(Effect::Note(text));
                out.push(Effect::Signal { proc, sig: Sig::Kill });
            }
            this.expire_waiters(now, out);
            if matches!(this.state, State::Backoff(until) if until <= now) {
                self.start(proc, out);
            }
        }
    }

    fn asked(&mut self, now: Duration, token: u64, action: Action, out: &mut Vec<Effect>) {
        let reply = match action {
            Action::List => Some(Ok(self.list())),
            _ if self.stopping.is_some() => {
                Some(Err(Refusal::new("refused", "the cluster is being stopped")))
            }
            Action::Kill(name) => Some(self.on(&name, |fleet, proc| fleet.kill(proc, out))),
            Action::Stop(name) => {
                Some(self.on(&name, |fleet, proc| fleet.stop_one(proc, now, out)))
            }
            Action::Pause(name) => Some(self.on(&name, |f, proc| f.pause(proc, true, out))),
            Action::Resume(name) => Some(self.on(&name, |f, proc| f.pause(proc, false, out))),
            Action::Start(name, timeout) | Action::Restart(name, timeout)
                if self.find(&name).is_none() =>
            {
                let _ = timeout;
                Some(Err(self.unknown(&name)))
            }
            Action::Start(name, timeout) => self.find(&name).and_then(|proc| {
                if self.procs[proc].pid.is_some() {
                    return Some(Err(already(format!("{name} runs; `restart` ends it first"))));
                }
                self.restart(proc, (token, now + timeout), out);
                None
            }),
            Action::Restart(name, timeout) => {
                if let Some(proc) = self.find(&name) {
                    self.restart(proc, (token, now + timeout), out);
                }
                None
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

    fn find(&self, name: &str) -> Option<ProcId> {
        self.procs.iter().position(|proc| proc.name == name)
    }

    fn unknown(&self, name: &str) -> Refusal {
        let last = self.procs.len() - 1;
        Refusal::new(
            "no_such_node",
            format!("there is no process {name:?} here; give coordinator or n1 to n{last}"),
        )
    }

    fn kill(&mut self, proc: ProcId, out: &mut Vec<Effect>) -> Reply {
        let this = &mut self.procs[proc];
        let pid = this.go_down(out)?;
        out.push(Effect::Signal { proc, sig: Sig::Kill });
        Ok(json!({ "pid": pid }))
    }

    fn stop_one(&mut self, proc: ProcId, now: Duration, out: &mut Vec<Effect>) -> Reply {
        let pid = self.procs[proc].go_down(out)?;
        self.terminate(proc, now, out);
        Ok(json!({ "pid": pid }))
    }

    fn pause(&mut self, proc: ProcId, pause: bool, out: &mut Vec<Effect>) -> Reply {
        let this = &mut self.procs[proc];
        let Some(pid) = this.pid else {
            return Err(already(format!("{} is not alive", this.name)));
        };
        if this.paused == pause {
            let how = if pause { "paused" } else { "not paused" };
            return Err(already(format!("{} is {how}", this.name)));
        }
        this.paused = pause;
        out.push(Effect::Signal { proc, sig: if pause { Sig::Stop } else { Sig::Cont } });
        Ok(json!({ "pid": pid }))
    }

    fn restart(&mut self, proc: ProcId, waiter: (u64, Duration), out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        this.waiters.push(waiter);
        this.policy.forgive();
        if this.pid.is_some() {
            this.restart_asked = true;
            out.push(Effect::Signal { proc, sig: Sig::Kill });
        } else if this.state != State::Starting {
            self.start(proc, out);
        }
    }

    /// Asks `proc` to end; [`Fleet::tick`] kills it if it does not. A paused one is woken, since
    /// it could not hear it else.
    pub(super) fn terminate(&mut self, proc: ProcId, now: Duration, out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        this.kill_at.get_or_insert(now + TERM_WAIT);
        out.push(Effect::Signal { proc, sig: Sig::Term });
        if std::mem::take(&mut this.paused) {
            out.push(Effect::Signal { proc, sig: Sig::Cont });
        }
    }

    fn list(&self) -> Value {
        json!({
            "procs": self.procs.iter().map(Proc::view).collect::<Vec<_>>(),
            "cluster": self.cluster.map(|uuid| uuid.to_string()),
            "epoch": self.epoch,
        })
    }
}

pub(super) fn already(error: String) -> Refusal {
    Refusal::new("already", error)
}
