//! How a fleet ends: the coordinator first, which drains and releases its lease while all nodes
//! can still answer; then the nodes, all at once.
//!
//! Part of `fleet`'s state machine, and as free of I/O. Every phase is bounded: SIGTERM, after
//! 10 s SIGKILL, and a process that even that does not end is left to the system.

use std::time::Duration;

use super::fleet::{COORDINATOR, Effect, Fleet, Sig, TERM_WAIT};
use super::server::State;

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
                self.signal_alive(Sig::Kill, out);
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

    fn signal_alive(&self, sig: Sig, out: &mut Vec<Effect>) {
        for proc in (0..self.procs.len()).filter(|&proc| self.procs[proc].pid.is_some()) {
            out.push(Effect::Signal { proc, sig });
        }
    }
}
