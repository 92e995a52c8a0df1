//! The processes of one cluster as a state machine: what happened comes in as an [`Input`] with
//! the time, what is to be done goes out as [`Effect`]s, in order.
//!
//! Driven by `run`, which alone starts, signals and reaps processes. `asked` holds the part that
//! does what people ask, `membership` the one that follows the coordinator, `stopping` the one that
//! ends processes, `told` what others hear of it all.
//! No I/O, clock or randomness in here, so that every rule is tested without a process.

use std::time::Duration;

use protocol::event::{Admin, Body, Proc as ProcEvent, ProcState};
use protocol::ids::{Epoch, Uuid};
use serde::Serialize;
use serde_json::{Value, json};

use super::asked::Action;
use super::roster::Roster;
use super::server::{Proc, State, Waiter};
use super::stopping::Stopping;
use super::told::{Teller, admin_event, proc_event};
use crate::config::REAPED_MAX;
use crate::core::restart::Verdict;
use crate::orders::Order;
use crate::process::ServerEvent;

/// Index of a process: 0 is the coordinator. A process keeps its index for ever.
pub(super) type ProcId = usize;
/// The coordinator's index.
pub(super) const COORDINATOR: ProcId = 0;
/// How long a server may take to end after SIGTERM before it gets SIGKILL.
pub(super) const TERM_WAIT: Duration = Duration::from_secs(10);

/// The number of the signal that nothing survives.
const SIGKILL: i32 = 9;

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
    Asked { token: u64, by: String, action: Action },
    /// A request that was refused before it came here, to be told.
    Refused(Admin),
    /// Somebody asked for the end of the cluster, and was answered.
    Shutdown { by: String },
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
    /// Tell a process something; nothing waits for that.
    Order { proc: ProcId, order: Order },
    /// Something to be told to those who listen.
    Event {
        /// The process that it is about.
        about: Option<ProcId>,
        /// Rises with each event.
        number: u64,
        /// The number of the one that led to it.
        cause: Option<u64>,
        /// What happened.
        body: Box<Body>,
    },
    /// Answer a request.
    Reply { token: u64, reply: Reply },
    /// Addresses, pids, nodes or the cluster's uuid changed: write `cluster.json`.
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
        let error = error.into();
        let fields = match code {
            "no_such_node" | "already" | "refused" => json!({ "reason": error }),
            _ => json!({}),
        };
        Self { code, error, fields }
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
    /// Nodes may be ordered to have faults.
    pub(super) lab: bool,
    pub(super) teller: Teller,
    addresses: Option<(String, String)>,
    cluster: Option<Uuid>,
    epoch: Option<Epoch>,
    reaped: Vec<Uuid>,
    pub(super) ready_told: bool,
    /// Nodes that were removed from the cluster before this fleet began.
    pub(super) removed: Vec<String>,
    /// Other names that are used up.
    pub(super) found: Vec<String>,
}

impl Fleet {
    /// A fleet of one coordinator and the nodes of `roster`, none of them started. No node gets a
    /// name out of `found`.
    pub(super) fn new(
        roster: Roster,
        found: Vec<String>,
        cluster: Option<Uuid>,
        lab: bool,
    ) -> Self {
        let Roster { nodes, joining, removed } = roster;
        let node = |name: String| {
            let joining = joining.contains(&name);
            Proc { joining, ..Proc::new(name) }
        };
        let coordinator = std::iter::once(Proc::new("coordinator".to_owned()));
        Self {
            procs: coordinator.chain(nodes.into_iter().map(node)).collect(),
            stopping: None,
            lab,
            teller: Teller::default(),
            addresses: None,
            cluster,
            epoch: None,
            reaped: Vec::new(),
            ready_told: false,
            removed,
            found,
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

    /// The coordinator's epoch, once known.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
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
            times.extend(proc.waiters.iter().map(|waiter| waiter.deadline));
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
                let by = spawned.is_spawned();
                out.push(proc_event(proc, spawned.event(ProcState::Spawned, by)));
                out.push(Effect::Save);
            }
            Input::SpawnFailed { proc, error } => {
                self.procs[proc].policy.started(now);
                let exit = Exit { exit_code: None, signal: None };
                self.tell_exit(proc, exit, &mut out);
                self.ended(proc, now, exit, &[error], &mut out);
            }
            Input::Event { proc, life, event } => {
                if self.procs[proc].life == life {
                    self.announced(proc, now, event, &mut out);
                }
            }
            Input::Exited { proc, life, exit, last_lines } => {
                if self.procs[proc].life == life {
                    self.tell_exit(proc, exit, &mut out);
                    self.reap(proc, &mut out);
                    out.push(Effect::Save);
                    self.ended(proc, now, exit, &last_lines, &mut out);
                }
            }
            Input::Asked { token, by, action } => self.asked(now, (token, &by), action, &mut out),
            Input::Refused(admin) => {
                let about = admin.target.as_deref().and_then(|name| self.find(name));
                out.push(admin_event(about, admin));
            }
            Input::Shutdown { by } => self.shut_down(now, &by, &mut out),
            Input::Stop => self.stop(now, &mut out),
        }
        self.advance_stop(now, &mut out);
        self.tell(out)
    }

    /// Starts `proc`, or leaves it waiting until the coordinator's address is known.
    pub(super) fn start(&mut self, proc: ProcId, out: &mut Vec<Effect>) {
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

    /// The end of a process, as it is told.
    fn tell_exit(&mut self, proc: ProcId, exit: Exit, out: &mut Vec<Effect>) {
        let dead = &mut self.procs[proc];
        let killed = std::mem::take(&mut dead.killed) && exit.signal == Some(SIGKILL);
        let by = dead.ended_by.take();
        dead.why = Some(match &by {
            Some(by) if killed => format!("killed by {by}"),
            Some(by) => format!("stopped by {by}"),
            None => format!("it died ({exit})"),
        });
        let state = if killed { ProcState::Killed } else { ProcState::Exited };
        let Exit { exit_code, signal } = exit;
        out.push(proc_event(proc, ProcEvent { exit_code, signal, ..dead.event(state, by) }));
    }

    fn reap(&mut self, proc: ProcId, out: &mut Vec<Effect>) {
        let dead = &mut self.procs[proc];
        dead.pid = None;
        dead.paused = false;
        dead.halted = false;
        dead.kill_at = None;
        dead.injected.clear();
        dead.refuse_orders(out);
        if proc == COORDINATOR {
            self.teller.hint_anew();
        }
        let dead = &mut self.procs[proc];
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
        let gave_up = |dead: &Proc| {
            let last_lines = last_lines.to_vec();
            let event = ProcEvent { last_lines, ..dead.event(ProcState::GaveUp, None) };
            proc_event(proc, event)
        };
        if let Some(reason) = dead.fatal.take() {
            dead.give_up(&reason, out);
            out.push(gave_up(dead));
            return;
        }
        match dead.policy.died(now) {
            Verdict::RestartAfter(wait) => {
                dead.state = State::Backoff(now + wait);
                let retry_ms = u64::try_from(wait.as_millis()).ok();
                let event = ProcEvent { retry_ms, ..dead.event(ProcState::Backoff, None) };
                out.push(proc_event(proc, event));
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
                out.push(gave_up(dead));
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
            ServerEvent::Faults { taken, left } => self.faults_left(proc, taken, left, out),
            ServerEvent::Halts { taken, left } => {
                self.faults_left(proc, taken, left, out);
                self.halts(proc, out);
            }
            ServerEvent::WantNode if proc == COORDINATOR => self.want_node(out),
            ServerEvent::Removed { node } if proc == COORDINATOR => {
                self.removed(now, &node, out);
            }
            ServerEvent::Fatal { reason } => self.procs[proc].fatal = Some(reason),
            // A node's own address is the coordinator's business.
            ServerEvent::Listening { .. }
            | ServerEvent::Active { .. }
            | ServerEvent::Up
            | ServerEvent::WantNode
            | ServerEvent::Removed { .. } => {}
        }
    }

    /// A node has come to the step after which it is to stand still: all of it does from now on.
    fn halts(&mut self, proc: ProcId, out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        if this.kill_at.is_some() {
            // It is to end, and could not.
            out.push(Effect::Order { proc, order: Order::GoOn });
            return;
        }
        (this.halted, this.paused) = (true, true);
        this.why = Some("it stands still after a step, as ordered".to_owned());
        out.push(Effect::Signal { proc, sig: Sig::Stop });
        let by = this.armed_by.get("stop_after").cloned();
        out.push(proc_event(proc, this.event(ProcState::Paused, by)));
    }

    fn became_ready(&mut self, proc: ProcId, now: Duration, out: &mut Vec<Effect>) {
        let ready = &mut self.procs[proc];
        ready.policy.ready(now);
        // Waiters of a restart wait for the next life, not for late news of this one.
        if ready.state == State::Starting && !ready.restart_asked {
            ready.state = State::Running;
            let pid = ready.pid;
            for Waiter { token, .. } in ready.waiters.extract_if(.., |w| w.order.is_none()) {
                out.push(Effect::Reply { token, reply: Ok(json!({ "pid": pid })) });
            }
        }
        if std::mem::take(&mut ready.joining) {
            out.push(Effect::Save);
        }
        self.tell_if_ready(out);
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Effect>) {
        for proc in 0..self.procs.len() {
            let this = &mut self.procs[proc];
            if this.kill_at.is_some_and(|at| at <= now) {
                this.kill_at = None;
                let seconds = TERM_WAIT.as_secs();
                let text = format!("{} did not end within {seconds} s: killed", this.name);
                out.push(Effect::Note(text));
                this.killed = true;
                out.push(Effect::Signal { proc, sig: Sig::Kill });
            }
            this.expire_waiters(now, out);
            if matches!(this.state, State::Backoff(until) if until <= now) {
                self.start(proc, out);
            }
        }
    }
}
