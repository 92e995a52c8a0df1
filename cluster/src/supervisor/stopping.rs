//! How processes end, one or the whole fleet. The fleet: first the coordinator, which drains and
//! gives up its lease while all nodes can still answer; then the nodes, all at once.
//!
//! Part of `fleet`'s state machine, and as free of I/O. Every phase is bounded: SIGTERM, after
//! 10 s SIGKILL, and a process that even that does not end is left to the system.

use std::time::Duration;

use protocol::event::Admin;

use super::asked::admin;
use super::fleet::{COORDINATOR, Effect, Fleet, ProcId, Sig, TERM_WAIT};
use super::server::State;
use super::told::admin_event;
use crate::orders::Order;

/// How long after SIGKILL a process may take to be reaped, before the supervisor ends without it.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Debug)]
pub(super) struct Stopping {
    phase: Phase,
    abandon_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Coordinator,
    Nodes,
    /// All were killed, on a second request.
    Hard,
    Done,
}

impl Stopping {
    /// When what still lives is left alone.
    pub(super) fn abandon_at(&self) -> Duration {
        self.abandon_at
    }
}

impl Fleet {
    /// Begins the end; a second call kills everything at once.
    pub(super) fn stop(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if let Some(stopping) = &mut self.stopping {
            if !matches!(stopping.phase, Phase::Hard | Phase::Done) {
                *stopping = Stopping { phase: Phase::Hard, abandon_at: now + KILL_WAIT };
                out.push(Effect::Note("stopping at once: all servers are killed".into()));
                self.kill_alive(out);
            }
            return;
        }
        for proc in &mut self.procs {
            proc.refuse_waiters("the cluster is being stopped", out);
            if proc.pid.is_none() && proc.state != State::GaveUp {
                proc.state = State::Dead;
            }
        }
        let abandon_at = now + TERM_WAIT + KILL_WAIT;
        self.stopping = Some(Stopping { phase: Phase::Coordinator, abandon_at });
        if self.procs[COORDINATOR].pid.is_some() {
            out.push(Effect::Note("stopping: the coordinator first, then the nodes".into()));
            self.terminate(COORDINATOR, now, out);
        }
    }

    /// Goes on to the next phase when what it waits for has ended.
    pub(super) fn advance_stop(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let coordinator_alive = self.procs[COORDINATOR].pid.is_some();
        let nodes: Vec<usize> =
            (1..self.procs.len()).filter(|&node| self.procs[node].pid.is_some()).collect();
        let Some(stopping) = &mut self.stopping else { return };
        let late = stopping.abandon_at <= now;
        match stopping.phase {
            Phase::Coordinator if !coordinator_alive || late => {
                stopping.phase = Phase::Nodes;
                stopping.abandon_at = now + TERM_WAIT + KILL_WAIT;
                for &node in &nodes {
                    self.terminate(node, now, out);
                }
                if nodes.is_empty() {
                    self.finish(out);
                }
            }
            Phase::Nodes if nodes.is_empty() || late => self.finish(out),
            Phase::Hard if (nodes.is_empty() && !coordinator_alive) || late => self.finish(out),
            Phase::Coordinator | Phase::Nodes | Phase::Hard | Phase::Done => {}
        }
    }

    /// Asks `proc` to end; [`Fleet::tick`] kills it if it does not. A paused one is woken, since
    /// it could not hear it else.
    pub(super) fn terminate(&mut self, proc: ProcId, now: Duration, out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        this.kill_at.get_or_insert(now + TERM_WAIT);
        out.push(Effect::Signal { proc, sig: Sig::Term });
        if this.paused {
            self.wake(proc, out);
        }
    }

    /// Lets `proc` go on, wherever it stands still.
    pub(super) fn wake(&mut self, proc: ProcId, out: &mut Vec<Effect>) {
        let this = &mut self.procs[proc];
        (this.paused, this.why) = (false, None);
        out.push(Effect::Signal { proc, sig: Sig::Cont });
        if std::mem::take(&mut this.halted) {
            out.push(Effect::Order { proc, order: Order::GoOn });
        }
        if proc == COORDINATOR {
            self.teller.hint_anew();
        }
    }

    /// Somebody has asked for the end of the cluster. A second one is no reason for haste: there
    /// may be two who want it.
    pub(super) fn shut_down(&mut self, now: Duration, by: &str, out: &mut Vec<Effect>) {
        let admin = Admin { result: "ok".to_owned(), ..admin("shutdown", None, by) };
        out.push(admin_event(None, admin));
        if self.stopping.is_none() {
            for proc in &mut self.procs {
                proc.ended_by.get_or_insert_with(|| by.to_owned());
            }
            self.stop(now, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<Effect>) {
        let left: Vec<String> = self.pids().into_iter().map(|(name, _)| name).collect();
        if !left.is_empty() {
            let text = format!("{} could not be ended even by SIGKILL", left.join(", "));
            out.push(Effect::Note(text));
        }
        out.push(Effect::Finished(left.is_empty()));
        if let Some(stopping) = &mut self.stopping {
            stopping.phase = Phase::Done;
            stopping.abandon_at = Duration::MAX;
        }
    }

    fn kill_alive(&mut self, out: &mut Vec<Effect>) {
        for (proc, alive) in self.procs.iter_mut().enumerate().filter(|(_, p)| p.pid.is_some()) {
            alive.killed = true;
            out.push(Effect::Signal { proc, sig: Sig::Kill });
        }
    }
}
