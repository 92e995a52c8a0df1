//! How the fleet follows the cluster's membership, of which the coordinator alone decides: a node
//! that it has room for is made, one that was removed is ended and never started again.
//!
//! Part of `fleet`'s state machine, and as free of I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fleet::{COORDINATOR, Effect, Fleet, ProcId};
use super::options::NODES_MAX;
use super::roster::{self, Roster};
use super::server::{Proc, State};

/// On whose behalf it is done.
const BY: &str = "coordinator";

impl Fleet {
    /// The nodes as they are to be found again.
    pub(super) fn roster(&self) -> Roster {
        let names = |of: &dyn Fn(&Proc) -> bool| {
            let nodes = self.procs.iter().skip(1).filter(|proc| of(proc));
            nodes.map(|proc| proc.name.clone()).collect::<Vec<String>>()
        };
        let mut removed = self.removed.clone();
        removed.extend(names(&|proc| proc.removed));
        Roster {
            nodes: names(&|proc| !proc.removed),
            joining: names(&|proc| proc.joining && !proc.removed),
            removed,
        }
    }

    /// The coordinator has room for a node and knows of none: one more is made, unless one is on
    /// its way already.
    pub(super) fn want_node(&mut self, out: &mut Vec<Effect>) {
        if self.stopping.is_some() {
            return;
        }
        let comes = |proc: &&Proc| {
            let alive = matches!(proc.state, State::Waiting | State::Starting | State::Backoff(_));
            proc.joining && !proc.removed && alive
        };
        if let Some(proc) = self.procs.iter().find(comes) {
            out.push(Effect::Note(format!("{} is on its way to join the cluster", proc.name)));
            return;
        }
        if self.procs.iter().skip(1).filter(|proc| !proc.removed).count() >= usize::from(NODES_MAX)
        {
            let text = format!(
                "no node is added: {NODES_MAX} run here already; start one on another machine with \
                 `piazza node --join`"
            );
            out.push(Effect::Note(text));
            return;
        }
        let name = self.fresh_name();
        out.push(Effect::Note(format!("{name} is started, to be added to the cluster")));
        let proc = self.procs.len();
        let mut node = Proc::new(name);
        node.joining = true;
        node.started_by = Some(BY.to_owned());
        self.procs.push(node);
        out.push(Effect::Save);
        self.start(proc, out);
    }

    /// The lowest name that no node here has or had.
    fn fresh_name(&self) -> String {
        let ours = self.procs.iter().map(|proc| &proc.name).chain(&self.removed);
        let used = ours.chain(&self.found).filter_map(|name| roster::number(name));
        let used: BTreeSet<u32> = used.collect();
        let number = (1..).find(|number| !used.contains(number)).unwrap_or(u32::MAX);
        format!("n{number}")
    }

    /// A node has no place in the cluster any more, by order: it ends and is forgotten.
    pub(super) fn removed(&mut self, now: Duration, name: &str, out: &mut Vec<Effect>) {
        // Another supervisor's nodes are its own.
        let Some(proc) = self.find(name).filter(|proc| *proc != COORDINATOR) else { return };
        let this = &mut self.procs[proc];
        if std::mem::replace(&mut this.removed, true) {
            return;
        }
        (this.down_asked, this.restart_asked, this.joining) = (true, false, false);
        let why = format!("{name} was removed from the cluster");
        this.refuse_waiters(&why, out);
        out.push(Effect::Note(format!(
            "{why}: it is stopped and does not start again; its directory stays, delete it when \
             you need nothing of it"
        )));
        if this.pid.is_some() {
            this.ended_by = Some(BY.to_owned());
            self.terminate(proc, now, out);
        } else {
            this.state = State::Dead;
        }
        out.push(Effect::Save);
        self.tell_if_ready(out);
    }

    /// All servers that are wanted are ready, for the first time.
    pub(super) fn tell_if_ready(&mut self, out: &mut Vec<Effect>) {
        // One that waits for a place in the cluster may do so for ever.
        let counts = |proc: &&Proc| !proc.removed && !proc.joining;
        let all = self.procs.iter().filter(counts).all(|proc| proc.state == State::Running);
        if all && !self.ready_told && self.stopping.is_none() {
            self.ready_told = true;
            out.push(Effect::Ready);
        }
    }

    /// The processes that are shown and may be asked for, the coordinator first.
    pub(super) fn present(&self) -> impl Iterator<Item = (ProcId, &Proc)> {
        let there = |(_, proc): &(ProcId, &Proc)| !proc.removed || proc.pid.is_some();
        self.procs.iter().enumerate().filter(there)
    }
}
