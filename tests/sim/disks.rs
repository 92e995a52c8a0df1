//! Disks that fail: a sync or a write ends in an error, or there is no space for a while.
//!
//! A full disk does not end a node: it refuses updates until there is space again. A node whose
//! log or state file meets an error ends at once (R9): whatever has not been done in these lanes
//! is not done. As in the shell it ends with a sentence after which its supervisor leaves it down;
//! here an operator starts it some time later, on the same directory.

use cluster::storage::crash_disk::CrashDisk;

use super::plan::{Fault, MS};
use super::world::{Event, Failure, World};

/// What is wrong with a node's disk.
#[derive(Debug, Default)]
pub(crate) struct DiskTrouble {
    /// It is full until then, virtual microseconds.
    full_until: u64,
    /// How many of its failures have been noticed.
    noticed: u64,
}

impl DiskTrouble {
    /// Another disk is in place: what has failed on it was noticed then.
    pub(crate) fn changed(&mut self, disk: &CrashDisk) {
        self.noticed = disk.failures();
    }
}

impl World {
    /// A node's disk is about to fail.
    pub(crate) fn fail_disk(&mut self, node: usize, fault: Fault) {
        let calls = self.rng.below(8);
        let (bytes, long) = (self.rng.below(16 << 10), (200 + self.rng.below(4_000)) * MS);
        let machine = &mut self.nodes[node];
        match fault {
            Fault::FailSync => machine.disk.fail_sync_after(calls),
            Fault::FailWrite => machine.disk.fail_write_after(calls),
            _ => {
                machine.disk.leave_space(bytes);
                machine.trouble.full_until = self.now + long;
                self.after(long, Event::FreeDisk(node));
            }
        }
    }

    /// Somebody has made room, unless it has become full anew.
    pub(crate) fn free_disk(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        if self.healed || machine.trouble.full_until <= self.now {
            machine.trouble.full_until = 0;
            machine.disk.heal();
        }
    }

    /// A process that starts finds the disk as full as the last one left it, or a little less.
    pub(crate) fn refill_disk(&mut self, node: usize) {
        if self.disk_is_full(node) {
            let bytes = self.rng.below(24 << 10);
            self.nodes[node].disk.leave_space(bytes);
        }
    }

    /// Whether a node's disk has no space just now.
    pub(crate) fn disk_is_full(&self, node: usize) -> bool {
        self.nodes[node].trouble.full_until > self.now
    }

    /// Whether the disk has failed since that was last noticed.
    pub(crate) fn disk_has_failed(&self, node: usize) -> bool {
        let machine = &self.nodes[node];
        machine.disk.failures() > machine.trouble.noticed
    }

    /// Something on a node could not be done: its disk's failure is noticed, and must be the cause.
    pub(crate) fn note_disk(&mut self, node: usize, reason: &str) {
        if !self.disk_has_failed(node) {
            self.fail(Failure::Refused(format!("node {node}, on a sound disk: {reason}")));
        }
        let machine = &mut self.nodes[node];
        machine.trouble.noticed = machine.disk.failures();
        let full = machine.trouble.full_until > self.now;
        self.coverage.met(if full { "full disks met" } else { "disk errors met" });
    }

    /// A lane of a node has failed: the process ends, and what waits in the log's lane is not done.
    pub(crate) fn end_by_disk(&mut self, node: usize, reason: &str) {
        self.note_disk(node, reason);
        self.process(node).log_jobs.clear();
        self.crash_node(node, false);
        let wait = (100 + self.rng.below(4_000)) * MS;
        self.after(wait, Event::StartNode(node));
    }

    /// A start has met the failing disk; it is tried again.
    pub(crate) fn start_refused(&mut self, node: usize) {
        self.note_disk(node, "a start");
        self.coverage.met("starts refused by a disk");
        self.crash_machine(node, false);
        let wait = (100 + self.rng.below(1_000)) * MS;
        self.after(wait, Event::StartNode(node));
    }
}
