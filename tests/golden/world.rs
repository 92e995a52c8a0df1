//! A cluster that a script drives: a clock that stands still until it is told to go on, and everything
//! that takes part, in a fixed order.
//!
//! `act` performs commands on it; `wires`, `node` and `coordinator` add what each part does. All that
//! may move moves until nothing more comes of it, without time going by; what is held stays where it
//! is. Every event of interest becomes a line of the trace.

use std::collections::{BTreeMap, BTreeSet};

use cluster::core::time::Time;
use protocol::ids::Key;

use super::coordinator::{Client, Coordinator};
use super::node::Machine;
use super::script::{Held, Setting};
use super::wires::Wire;

/// The clock's reading when a script begins, microseconds.
const START: u64 = 1_000_000_000;
/// Rounds in which things move without time going by; more means that something goes in circles.
const ROUNDS_MAX: usize = 10_000;
/// Time between two heartbeats of a node, milliseconds.
pub(super) const HEARTBEAT_MS: u64 = 500;
/// The coordinators' lease, milliseconds.
pub(super) const LEASE_MS: u64 = 2_000;

/// Everything.
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) now: u64,
    /// The script's time zero.
    pub(super) zero: u64,
    /// The time of the trace's last line.
    told_at: u64,
    /// While it is set, nothing is written into the trace.
    pub(super) quiet: bool,
    /// What may be forgotten is told too.
    pub(super) watches_settled: bool,
    trace: Vec<String>,
    pub(super) machines: Vec<Machine>,
    pub(super) coordinators: Vec<Coordinator>,
    pub(super) wires: Vec<Wire>,
    pub(super) held: BTreeSet<Held>,
    pub(super) clients: BTreeMap<String, Client>,
    /// Keys that clients have named.
    pub(super) named: BTreeSet<Key>,
    pub(super) last_registration: u64,
    pub(super) last_conn: u64,
}

impl World {
    /// Blank machines, and nothing that runs.
    pub(super) fn new(setting: Setting) -> Self {
        let machines = (0..usize::from(setting.nodes + setting.more)).map(Machine::blank).collect();
        Self {
            setting,
            now: START,
            zero: START,
            told_at: START,
            quiet: false,
            watches_settled: false,
            trace: Vec::new(),
            machines,
            coordinators: Vec::new(),
            wires: Vec::new(),
            held: BTreeSet::new(),
            clients: BTreeMap::new(),
            named: BTreeSet::new(),
            last_registration: 0,
            last_conn: 0,
        }
    }

    /// The script's time begins.
    pub(super) fn begin(&mut self) {
        (self.zero, self.told_at) = (self.now, self.now);
    }

    pub(super) fn time(&self) -> Time {
        Time(self.now)
    }

    /// An event for the trace.
    pub(super) fn event(&mut self, text: impl AsRef<str>) {
        if self.quiet {
            return;
        }
        if self.told_at != self.now {
            self.told_at = self.now;
            let ms = (self.now - self.zero) / 1_000;
            self.trace.push(format!("  at {}.{:03} s", ms / 1_000, ms % 1_000));
        }
        self.trace.push(format!("  {}", text.as_ref()));
    }

    /// A line of the script, as it stands.
    pub(super) fn repeat(&mut self, line: &str, command: bool) {
        let command = if command { "> " } else { "" };
        if !self.trace.is_empty() && !self.trace.last().is_some_and(|last| last.starts_with('#')) {
            self.trace.push(String::new());
        }
        self.trace.push(format!("{command}{line}"));
    }

    /// All that has happened.
    pub(super) fn trace(&self) -> String {
        self.trace.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn is_held(&self, held: Held) -> bool {
        let any = match held {
            Held::Down(Some(_), node) => self.held.contains(&Held::Down(None, node)),
            Held::Up(Some(_), node) => self.held.contains(&Held::Up(None, node)),
            _ => false,
        };
        any || self.held.contains(&held)
    }

    /// Lets all that may move move, until nothing more comes of it.
    pub(super) fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut any = self.flush_coordinators();
            any |= self.carry_down();
            any |= self.flush_nodes();
            any |= self.work();
            any |= self.carry_up();
            any |= self.hear();
            if !any {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time go by, from one deadline or heartbeat to the next.
    pub(super) fn pass(&mut self, us: u64) {
        let end = self.now + us;
        self.run();
        while self.now < end {
            let beat = (self.now / (HEARTBEAT_MS * 1_000) + 1) * HEARTBEAT_MS * 1_000;
            let due = self.next_coordinator().into_iter().chain(self.next_node());
            let next = due.chain([beat, end]).min().unwrap_or(end);
            self.now = next.clamp(self.now + 1, end);
            if self.now == beat {
                self.beat();
            }
            self.tick_coordinators();
            self.tick_nodes();
            self.run();
        }
    }
}
