//! A simulated node: a machine with a disk that can lose its power, and on it, most of the time, a
//! process with the real core, log, state file and keystore.
//!
//! The start mirrors the shell's: state file with the next incarnation, log, replay, keystore, and
//! only then registration (R9, H34). Log and state file are one lane, the keystore another; `jobs`
//! says when they get on.
//!
//! A job of the log is done, whole, at the moment at which it ends, and reported at that moment. A
//! crash before that finds it begun or not: if begun, some number of its disk operations is done
//! and the rest is not, so that a group may be not written, written and not synced, or durable and
//! not reported.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use cluster::core::cache::{Cache, CacheShape};
use cluster::core::node::{ConnId, Effect, ExitReason, Input, NodeCore};
use cluster::storage::crash_disk::{CrashDisk, Fate, Sector};
use cluster::storage::disk::SECTOR;
use cluster::storage::keystore::memory::MemoryKeystore;
use cluster::storage::keystore::{Checkpointed, CopyScan, Keystore, Scan};
use cluster::storage::log::{Log, NextSegment};
use cluster::storage::small_file::SmallFile;
use protocol::ids::{NodeName, Uuid};
use protocol::peer::{CopyAsk, Register};

use super::clogs::Clogs;
use super::disks::DiskTrouble;
use super::lanes::{LogDone, LogJob, register};
use super::plan::{Fault, MS};
use super::recover::{Directory, Started, recover};
use super::stores::Tampered;
use super::world::{Clock, Event, Failure, World};
use crate::check::seeded::Seeded;

/// Small pages, so that there are several.
pub(super) const LOOKS_MAX: usize = 3;
const BYTES_MAX: usize = 2_000;

mod jobs;

use self::jobs::KeyJob;

/// One node's machine and directory.
pub(crate) struct Machine {
    pub(crate) name: NodeName,
    pub(crate) store: Uuid,
    pub(crate) disk: CrashDisk,
    /// While no process has it.
    pub(crate) keystore: Option<MemoryKeystore>,
    /// How many processes there were.
    life: u64,
    pub(crate) clock: Clock,
    pub(crate) process: Option<Process>,
    /// It says that it must not be started again.
    pub(crate) dead: bool,
    /// It is no part of the cluster: not yet, or not any more.
    pub(crate) out: bool,
    /// It will crash, with power lost or not, in the middle of its next append.
    pub(crate) doom: Option<bool>,
    pub(crate) trouble: DiskTrouble,
    pub(crate) clogs: Clogs,
    pub(crate) tampered: Tampered,
}

/// A node's process.
pub(crate) struct Process {
    pub(crate) life: u64,
    pub(crate) core: NodeCore,
    pub(crate) keystore: MemoryKeystore,
    pub(crate) caught_up: bool,
    pub(crate) paused: Option<Vec<Event>>,
    /// Links by their number here.
    pub(crate) conns: BTreeMap<ConnId, u64>,
    pub(crate) last_conn: u64,
    /// The open registration, or the one being tried.
    pub(crate) registration: Option<u64>,
    /// The coordinator that it goes to.
    pub(crate) registered_at: usize,
    pub(crate) log: Log,
    pub(crate) register: Register,
    pub(crate) beats: u64,
    pub(crate) register_wait: u64,
    state: SmallFile,
    pub(super) log_jobs: VecDeque<LogJob>,
    key_jobs: VecDeque<KeyJob>,
    making: Option<NextSegment>,
    checkpoint: Option<Checkpointed>,
    flushing: bool,
    /// It has had a log with all the space that it asks for.
    reserved: bool,
    wake_at: u64,
}

impl Process {
    /// Where its events go while it stands still.
    pub(crate) fn inbox_if_paused(&mut self) -> Option<&mut Vec<Event>> {
        self.paused.as_mut()
    }

    /// Whether it has nothing under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.log_jobs.is_empty() && self.key_jobs.is_empty() && self.checkpoint.is_none()
    }
}

impl Machine {
    /// Whether no process ever ran on it.
    pub(crate) fn is_new(&self) -> bool {
        self.life == 0
    }

    /// A machine with an empty directory.
    pub(crate) fn blank(node: usize, rng: &mut Seeded, drift: bool) -> Self {
        Self {
            name: NodeName::new(&format!("n{}", node + 1)).expect("a short name"),
            store: Uuid(u128::from(rng.bits())),
            disk: CrashDisk::new(),
            keystore: Some(MemoryKeystore::new()),
            life: 0,
            clock: Clock::draw(rng, drift),
            process: None,
            dead: false,
            out: false,
            doom: None,
            trouble: DiskTrouble::default(),
            clogs: Clogs::default(),
            tampered: Tampered::default(),
        }
    }
}

impl World {
    /// Starts a node's process, unless it runs or must not; the start may itself be cut short.
    pub(crate) fn start_node(&mut self, node: usize) {
        let machine = &self.nodes[node];
        if machine.process.is_some() || machine.dead || machine.out {
            return;
        }
        let interrupted =
            !self.healed && self.rarely(Fault::CrashInStart, self.plan.crash_in_start * 100);
        let operations = self.rng.below(16);
        let sizes = self.plan.disk.sizes;
        self.refill_disk(node);
        let machine = &mut self.nodes[node];
        machine.life += 1;
        if interrupted {
            machine.disk.stop_after(operations);
        }
        let now = machine.clock.read(self.now);
        let directory = Directory {
            name: &machine.name,
            store: machine.store,
            disk: &machine.disk,
            keystore: machine.keystore.as_mut().expect("no process has it"),
        };
        let (sets, ways) = self.plan.node_cache;
        let cache = Cache::new(CacheShape { sets, ways }, 1 << 20, machine.life);
        let started = recover(directory, now, sizes, cache);
        match started {
            Ok(started) if !interrupted => self.begin(node, started),
            Err(_) if !interrupted && self.disk_has_failed(node) => self.start_refused(node),
            Err(_) if !interrupted && self.rot_refused(node) => {}
            Err(reason) if !interrupted => {
                self.nodes[node].dead = true;
                self.fail(Failure::Refused(format!("node {node} does not start: {reason}")));
            }
            _ => {
                self.coverage.met("crashes in a start");
                let power = self.rng.chance(50);
                self.crash_machine(node, power);
                let wait = self.rng.below(500) * MS;
                self.after(wait, Event::StartNode(node));
            }
        }
    }

    fn begin(&mut self, node: usize, started: Started) {
        let machine = &mut self.nodes[node];
        let life = machine.life;
        let meta = started.core.meta().clone();
        // The port says which machine and which of its processes listens there.
        let port = u16::try_from(node as u64 * 1_000 + life).expect("few lives");
        let register = register(&meta, SocketAddr::from(([127, 0, 0, 1], port)));
        machine.process = Some(Process {
            life,
            core: started.core,
            keystore: machine.keystore.take().expect("no process has it"),
            caught_up: false,
            paused: None,
            conns: BTreeMap::new(),
            last_conn: 0,
            registration: None,
            registered_at: 0,
            log: started.log,
            state: started.state,
            register,
            log_jobs: VecDeque::new(),
            key_jobs: VecDeque::new(),
            making: None,
            checkpoint: None,
            flushing: false,
            reserved: false,
            wake_at: u64::MAX,
            beats: 0,
            register_wait: 20,
        });
        if started.cut {
            self.coverage.met("tails cut");
            self.note_cut(node);
        }
        self.tell_room(node);
        if !self.begins_as_impostor(node, life) {
            self.check_fence(node, &meta);
        }
        self.perform_node(node, started.effects);
        self.make_segment(node);
        self.after(0, Event::RegisterNow(node, life));
        self.after(0, Event::Beat(node, life));
    }

    pub(crate) fn process(&mut self, node: usize) -> &mut Process {
        self.nodes[node].process.as_mut().expect("the process is there")
    }

    /// Hands something to a node's core and does what it wants done.
    pub(crate) fn hand_in_node(&mut self, node: usize, input: Input) {
        let now = self.nodes[node].clock.read(self.now);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let effects = process.core.handle(now, input);
        self.perform_node(node, effects);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if !process.flushing {
            process.flushing = true;
            let life = process.life;
            let wait = self.rng.below(200);
            self.after(wait, Event::FlushNode(node, life));
        }
    }

    fn perform_node(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            let Some(process) = self.nodes[node].process.as_mut() else { return };
            match effect {
                Effect::Send { conn, up } => match process.conns.get(&conn).copied() {
                    Some(link) => self.send_up(link, &up),
                    None => self.hand_in_node(node, Input::Disconnected(conn)),
                },
                Effect::Close(conn) => {
                    if let Some(link) = process.conns.remove(&conn) {
                        self.tell_node_end(link);
                    }
                }
                Effect::SaveMeta { meta, number } => {
                    self.log_job(node, LogJob::Save(number, meta));
                }
                Effect::Log { seq, records } => {
                    self.check_rings(node, &records);
                    self.log_job(node, LogJob::Append(seq, records));
                }
                Effect::FreeLog { through } => self.log_job(node, LogJob::Free(through)),
                Effect::WantRoom { bytes } => {
                    self.coverage.met("rooms wanted");
                    self.log_job(node, LogJob::Want(bytes));
                }
                Effect::Apply { writes, through } => {
                    self.key_job(node, KeyJob::Apply(writes, through));
                }
                Effect::Read { token, key } => self.key_job(node, KeyJob::Read(token, key)),
                Effect::ReadOnces { token, after, limit } => {
                    self.key_job(node, KeyJob::ReadOnces(token, after, limit));
                }
                Effect::Scan { token, prefix, after, .. } => {
                    let (looks_max, bytes_max) = (LOOKS_MAX, BYTES_MAX);
                    let scan = Scan { prefix, after, looks_max, bytes_max };
                    self.key_job(node, KeyJob::Scan(token, scan));
                }
                Effect::Copy { token, ask, .. } => {
                    let ask = CopyAsk { bytes_max: BYTES_MAX as u64, ..ask };
                    let copy = CopyScan::of(ask, LOOKS_MAX);
                    self.key_job(node, KeyJob::Copy(token, copy));
                }
                Effect::Audit { token, what, .. } => {
                    self.key_job(node, KeyJob::Audit(token, what));
                }
                Effect::KeepOnces(entries) => self.key_job(node, KeyJob::KeepOnces(entries)),
                Effect::DropOthers { whole, keep, .. } => {
                    self.key_job(node, KeyJob::DropOthers(whole, keep));
                }
                Effect::Sweep { below, after, .. } => {
                    self.key_job(node, KeyJob::Sweep(below, after));
                }
                Effect::Retain { spans, after, .. } => {
                    self.key_job(node, KeyJob::Retain(spans, after));
                }
                Effect::DropOnces(from) => self.key_job(node, KeyJob::DropOnces(from)),
                Effect::Checkpoint { .. } => self.key_job(node, KeyJob::Checkpoint),
                Effect::Ranges(ring) => self.key_job(node, KeyJob::Ranges(ring)),
                Effect::CaughtUp => self.node_caught_up(node),
                Effect::Exit(ExitReason::Lost(reason)) => self.found_lost(node, &reason),
                Effect::Exit(reason) => {
                    self.fail(Failure::Refused(format!("node {node} ends: {reason:?}")));
                    self.crash_node(node, false);
                    self.nodes[node].dead = true;
                }
            }
        }
    }

    /// A node has learned what it missed.
    fn node_caught_up(&mut self, node: usize) {
        if self.has_impostor(node) {
            let what = format!("node {node} is taken for what its directory is not");
            self.fail(Failure::Promise(what));
        }
        self.process(node).caught_up = true;
    }

    /// Time has passed for a node.
    pub(crate) fn wake_node(&mut self, node: usize) {
        let now = self.now;
        let process = self.process(node);
        if process.wake_at > now {
            return;
        }
        process.wake_at = u64::MAX;
        self.hand_in_node(node, Input::Tick);
    }

    /// All that had arrived was handed in.
    pub(crate) fn flush_node(&mut self, node: usize) {
        self.hand_in_node(node, Input::Flush);
        let clock = self.nodes[node].clock;
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        process.flushing = false;
        let life = process.life;
        if let Some(deadline) = process.core.next_deadline() {
            let at = clock.when(deadline);
            if at < process.wake_at {
                process.wake_at = at;
                self.at(at, Event::WakeNode(node, life));
            }
        }
    }

    /// The process ends at once; with `power` what was not synced is in danger too.
    pub(crate) fn crash_node(&mut self, node: usize, power: bool) {
        self.count_cache_hits(node);
        let Some(mut process) = self.nodes[node].process.take() else { return };
        // Most often the worst: the group is written and not synced.
        let operations = if self.rng.chance(60) { 1 } else { self.rng.below(8) };
        if self.rng.chance(75)
            && let Some(job) = process.log_jobs.pop_front()
        {
            self.nodes[node].disk.stop_after(operations);
            if job.run(&mut process.log, &mut process.state).is_err() {
                self.coverage.met("log jobs cut short");
            }
        }
        let Process { keystore, conns, registration, .. } = process;
        self.nodes[node].keystore = Some(keystore);
        self.crash_machine(node, power);
        for link in conns.into_values() {
            self.links.get_mut(&link).expect("links stay known").node_open = false;
            self.tell_coordinator_end(link);
        }
        if let Some(conn) = registration {
            self.registration_lost(conn);
        }
    }

    /// What a crash does to the directory.
    pub(super) fn crash_machine(&mut self, node: usize, power: bool) {
        let machine = &mut self.nodes[node];
        let keystore = machine.keystore.as_mut().expect("no process has it");
        // What was applied since the checkpoint is in memory only, or got out by itself.
        let keep = self.rng.below(keystore.unsaved_batches() as u64 + 1) as usize;
        keystore.crash(keep);
        if !power {
            machine.disk.kill();
            return;
        }
        let rng = &mut self.rng;
        let style = self.power_style.unwrap_or_else(|| rng.below(6));
        let written = machine.disk.fork();
        machine.disk.power_loss(&mut |sector: &Sector| match if style < 2 {
            style
        } else {
            rng.below(3)
        } {
            0 => Fate::Keep,
            1 => Fate::Drop,
            _ => Fate::Torn(torn(rng, &written, sector)),
        });
    }

    /// A graceful stop: nothing is left undone.
    pub(crate) fn stop_node(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let links = std::mem::take(&mut process.conns);
        process.flushing = true;
        for link in links.into_values() {
            self.links.get_mut(&link).expect("links stay known").node_open = false;
            self.tell_coordinator_end(link);
        }
        self.hand_in_node(node, Input::Stop);
        self.count_cache_hits(node);
        let Some(mut process) = self.nodes[node].process.take() else { return };
        for job in std::mem::take(&mut process.log_jobs) {
            match job.run(&mut process.log, &mut process.state) {
                Ok(LogDone::NoSpace(_)) => break,
                Ok(_) => {}
                Err(reason) => {
                    self.note_disk(node, &reason);
                    break;
                }
            }
        }
        let mut keystore = process.keystore;
        for job in process.key_jobs {
            match job {
                KeyJob::Apply(writes, through) => keystore.apply(&writes, through),
                KeyJob::KeepOnces(entries) => keystore.keep_onces(&entries),
                _ => Ok(()),
            }
            .expect("memory does not fail");
        }
        if process.checkpoint.is_none()
            && let Some(work) = keystore.begin_checkpoint()
        {
            keystore.end_checkpoint(work.run()).expect("memory does not fail");
        }
        // With a checkpoint under way no other one is made: the rest is in the log.
        let keep = self.rng.below(keystore.unsaved_batches() as u64 + 1) as usize;
        keystore.crash(keep);
        self.nodes[node].keystore = Some(keystore);
        self.nodes[node].disk.kill();
        if let Some(conn) = process.registration {
            self.registration_lost(conn);
        }
    }
}

/// What a torn sector begins with: some of what was written to it, then noise.
fn torn(rng: &mut Seeded, written: &CrashDisk, sector: &Sector) -> Vec<u8> {
    let length = rng.below(SECTOR as u64 + 1) as usize;
    let mut bytes: Vec<u8> = (0..length).map(|_| rng.bits() as u8).collect();
    if let Sector::Data { name: Some(name), offset } = sector
        && rng.chance(50)
        && let Some(whole) = written.read(name)
    {
        let good = rng.below(length as u64 + 1) as usize;
        let at = *offset as usize;
        let good = good.min(whole.len().saturating_sub(at));
        bytes[..good].copy_from_slice(&whole[at..at + good]);
    }
    bytes
}
