//! A node of a script: a disk that can lose its power and, most of the time, a process with the real
//! core, log, state file and memory keystore.
//!
//! Log and state file are one lane, the keystore another; each does its jobs in order, at once unless
//! it is held. A job of the log is told twice: when it is written, and when it is durable.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use cluster::core::cache::{Cache, CacheShape};
use cluster::core::coordinator::{Input as CoordinatorInput, RegistrationId};
use cluster::core::node::{AskToken, Effect, Input, Meta, NodeCore, ReadToken};
use cluster::core::record::Committed;
use cluster::storage::crash_disk::{CrashDisk, Fate};
use cluster::storage::keystore::memory::MemoryKeystore;
use cluster::storage::keystore::{CopyScan, Keystore, Scan};
use cluster::storage::log::Log;
use cluster::storage::small_file::SmallFile;
use protocol::ids::{GroupSeq, Key, NodeName, RingNumber, Uuid, Version};
use protocol::peer::{Audit, Down, DownBody, Extent, OnceEntry, Prepare, Span, TxnState};

use super::script::{Held, Moment};
use super::words;
use super::world::{HEARTBEAT_MS, World};
use crate::sim::lanes::{
    LogDone, LogJob, drop_others, heartbeat, look_up, read_copy, read_onces, read_page, register,
    retain, sweep,
};
use crate::sim::recover::{Directory, Sizes, recover};

/// No script fills a segment, or checkpoints.
const SIZES: Sizes =
    Sizes { segment_bytes: 64 << 10, checkpoint_bytes: u64::MAX, reserve_bytes: 8 << 10 };
/// So much of a sector that is torn is not what was written.
const TORN_BYTES: usize = 64;
/// Shape of each node's cache.
const NODE_CACHE: CacheShape = CacheShape { sets: 16, ways: 4 };

/// A node's machine and directory.
pub(super) struct Machine {
    name: NodeName,
    store: Uuid,
    disk: CrashDisk,
    keystore: MemoryKeystore,
    /// How many directories it has had.
    directories: u128,
    saved: Option<(Uuid, CrashDisk)>,
    pub(super) process: Option<Process>,
    /// This one of the prepares to come is changed so that the node refuses it; 0: none.
    pub(super) refuses: u64,
}

/// A node's process.
pub(super) struct Process {
    pub(super) core: NodeCore,
    log: Log,
    state: SmallFile,
    /// As it was saved last.
    meta: Meta,
    log_jobs: VecDeque<LogJob>,
    /// Groups of which the trace tells.
    told: BTreeSet<GroupSeq>,
    key_jobs: VecDeque<KeyJob>,
    /// Its one registration, and where.
    registration: Option<(usize, RegistrationId)>,
    beats: u64,
    /// Something was handed in since the last flush.
    dirty: bool,
}

/// A job of the keystore's lane.
enum KeyJob {
    Apply(Vec<Committed>, GroupSeq),
    Read(ReadToken, Key),
    ReadOnces(AskToken, Version, usize),
    DropOnces(Version),
    KeepOnces(Vec<OnceEntry>),
    Scan(AskToken, Scan),
    Copy(AskToken, CopyScan),
    Audit(AskToken, Audit, usize),
    Retain(Vec<Span>, Option<Key>, usize),
    DropOthers(Extent, Arc<BTreeSet<Key>>, usize),
    Sweep(Version, Option<Key>, usize),
    Checkpoint,
}

impl Machine {
    /// A machine with an empty directory.
    pub(super) fn blank(node: usize) -> Self {
        Self {
            name: NodeName::new(&format!("n{}", node + 1)).expect("a short name"),
            store: Uuid(node as u128 + 1),
            disk: CrashDisk::new(),
            keystore: MemoryKeystore::new(),
            directories: 1,
            saved: None,
            process: None,
            refuses: 0,
        }
    }

    /// Whether its process listens there: the port says which life of which node.
    pub(super) fn listens_on(&self, addr: SocketAddr) -> bool {
        let life = self.process.as_ref().map(|process| process.meta.incarnation.0);
        life == Some(u64::from(addr.port()) % 1_000)
    }

    /// What it has in store of a key: version and value, a tombstone without.
    pub(super) fn stored(&self, key: &Key) -> Option<cluster::storage::keystore::Stored> {
        self.keystore.get(key).expect("what was applied is whole")
    }
}

impl World {
    /// Starts a node's process, from its directory.
    pub(super) fn start_node(&mut self, node: usize) -> Result<(), String> {
        let now = self.time();
        let machine = &mut self.machines[node];
        if machine.process.is_some() {
            return Err("it runs already".into());
        }
        let directory = Directory {
            name: &machine.name,
            store: machine.store,
            disk: &machine.disk,
            keystore: &mut machine.keystore,
        };
        let cache = Cache::new(NODE_CACHE, 1 << 20, 1);
        let started = match recover(directory, now, SIZES, cache) {
            Ok(started) => started,
            Err(why) => {
                self.event(format!("n{} does not start: {why}", node + 1));
                return Ok(());
            }
        };
        let meta = started.core.meta().clone();
        let (life, end) = (meta.incarnation, started.end.0);
        let undecided = started.core.count_in(TxnState::Prepared);
        let cut = if started.cut { ", its tail was cut" } else { "" };
        machine.process = Some(Process {
            core: started.core,
            log: started.log,
            state: started.state,
            meta,
            log_jobs: VecDeque::new(),
            told: BTreeSet::new(),
            key_jobs: VecDeque::new(),
            registration: None,
            beats: 0,
            dirty: true,
        });
        self.event(format!(
            "n{} starts: incarnation {}, log ends at group {end}{cut}, {undecided} undecided",
            node + 1,
            life.0
        ));
        self.perform_node(node, started.effects);
        if let Ok(coordinator) = self.newest() {
            self.register(coordinator, node);
        }
        Ok(())
    }

    /// A node registers with a coordinator, and is not registered with another one any more.
    pub(super) fn register(&mut self, coordinator: usize, node: usize) {
        self.unregister(node);
        let Some(process) = self.machines[node].process.as_mut() else { return };
        self.last_registration += 1;
        let conn = RegistrationId(self.last_registration);
        process.registration = Some((coordinator, conn));
        let port = u16::try_from(node as u64 * 1_000 + process.meta.incarnation.0);
        let addr = SocketAddr::from(([127, 0, 0, 1], port.expect("few lives")));
        let register = Box::new(register(&process.meta, addr));
        let input = CoordinatorInput::Register { conn, register };
        self.coordinators[coordinator].inbox.push_back(input);
    }

    /// A registration was ended by its coordinator: the node registers again.
    pub(super) fn register_again(&mut self, coordinator: usize, conn: RegistrationId) {
        let is_its = |machine: &Machine| {
            let process = machine.process.as_ref();
            process.is_some_and(|process| process.registration == Some((coordinator, conn)))
        };
        if let Some(node) = self.machines.iter().position(is_its) {
            self.event(format!("n{} registers again", node + 1));
            self.register(coordinator, node);
        }
    }

    fn unregister(&mut self, node: usize) {
        let process = self.machines[node].process.as_mut();
        let Some((at, conn)) = process.and_then(|p| p.registration.take()) else { return };
        let coordinator = &mut self.coordinators[at];
        if coordinator.alive {
            coordinator.inbox.push_back(CoordinatorInput::Unregistered(conn));
        }
    }

    /// Hands something to a node's core and does what it wants done.
    pub(super) fn hand_in_node(&mut self, node: usize, input: Input) {
        let now = self.time();
        let Some(process) = self.machines[node].process.as_mut() else { return };
        let effects = process.core.handle(now, input);
        process.dirty = true;
        self.perform_node(node, effects);
    }

    fn perform_node(&mut self, node: usize, effects: Vec<Effect>) {
        let name = node + 1;
        for effect in effects {
            let Some(process) = self.machines[node].process.as_mut() else { return };
            match effect {
                Effect::Send { conn, up } => {
                    if let Some(wire) = self.wire_of_conn(node, conn) {
                        self.send_up(wire, &up);
                    }
                }
                Effect::Close(conn) => {
                    if let Some(wire) = self.wire_of_conn(node, conn) {
                        let coordinator = self.wires[wire].coordinator + 1;
                        self.event(format!("n{name} closes its link to c{coordinator}"));
                        self.close_node_end(wire);
                    }
                }
                Effect::SaveMeta { meta, number } => {
                    process.log_jobs.push_back(LogJob::Save(number, meta));
                }
                Effect::Log { seq, records } => {
                    let told = words::records(&records, self.watches_settled);
                    process.log_jobs.push_back(LogJob::Append(seq, records));
                    if let Some(told) = told {
                        process.told.insert(seq);
                        self.event(format!("n{name} log, group {}: {told}", seq.0));
                    }
                }
                Effect::Apply { writes, through } => {
                    process.key_jobs.push_back(KeyJob::Apply(writes, through));
                }
                Effect::Read { token, key } => process.key_jobs.push_back(KeyJob::Read(token, key)),
                Effect::ReadOnces { token, after, limit } => {
                    process.key_jobs.push_back(KeyJob::ReadOnces(token, after, limit));
                }
                Effect::DropOnces(from) => process.key_jobs.push_back(KeyJob::DropOnces(from)),
                Effect::Scan { token, prefix, after, looks_max, bytes_max } => {
                    let scan = Scan { prefix, after, looks_max, bytes_max };
                    process.key_jobs.push_back(KeyJob::Scan(token, scan));
                }
                Effect::Copy { token, ask, looks_max } => {
                    let looks_max = looks_max.min(self.setting.portion_keys);
                    let copy = CopyScan::of(ask, looks_max);
                    process.key_jobs.push_back(KeyJob::Copy(token, copy));
                }
                Effect::Audit { token, what, looks_max } => {
                    process.key_jobs.push_back(KeyJob::Audit(token, what, looks_max));
                }
                Effect::KeepOnces(entries) => {
                    process.key_jobs.push_back(KeyJob::KeepOnces(entries));
                }
                Effect::DropOthers { whole, keep, looks_max } => {
                    process.key_jobs.push_back(KeyJob::DropOthers(whole, keep, looks_max));
                }
                Effect::Sweep { below, after, looks_max } => {
                    process.key_jobs.push_back(KeyJob::Sweep(below, after, looks_max));
                }
                Effect::Retain { spans, after, looks_max } => {
                    process.key_jobs.push_back(KeyJob::Retain(spans, after, looks_max));
                }
                Effect::Exit(reason) => {
                    self.event(format!("n{name} stops for good: {reason:?}"));
                    self.crash_node(node, false, Moment::Any).expect("it runs");
                }
                Effect::Checkpoint { .. } => process.key_jobs.push_back(KeyJob::Checkpoint),
                // No script counts keys, the log stays whole, and there is room without end.
                Effect::FreeLog { .. } | Effect::Ranges(_) => {}
                Effect::WantRoom { .. } => {}
                Effect::CaughtUp => {}
            }
        }
    }

    pub(super) fn flush_nodes(&mut self) -> bool {
        let mut any = false;
        for node in 0..self.machines.len() {
            let Some(process) = self.machines[node].process.as_mut() else { continue };
            if std::mem::take(&mut process.dirty) {
                self.hand_in_node(node, Input::Flush);
                if let Some(process) = self.machines[node].process.as_mut() {
                    process.dirty = false;
                }
                any = true;
            }
        }
        any
    }

    /// Both lanes of every node get on, where they are not held.
    pub(super) fn work(&mut self) -> bool {
        let mut any = false;
        for node in 0..self.machines.len() {
            while !self.is_held(Held::Disk(node)) && self.sync(node) {
                any = true;
            }
            while !self.is_held(Held::Keystore(node)) && self.look(node) {
                any = true;
            }
        }
        any
    }

    /// Does the first job of a node's disk.
    pub(super) fn sync(&mut self, node: usize) -> bool {
        let Some(process) = self.machines[node].process.as_mut() else { return false };
        let Some(job) = process.log_jobs.pop_front() else { return false };
        let saved = match &job {
            LogJob::Save(_, meta) => {
                let told = words::meta(&process.meta, meta);
                process.meta = (**meta).clone();
                told
            }
            _ => None,
        };
        let done = job.run(&mut process.log, &mut process.state).expect("a disk without faults");
        match done {
            LogDone::Synced(seq) => {
                if process.told.remove(&seq) {
                    self.event(format!("n{} sync, group {}", node + 1, seq.0));
                }
                self.hand_in_node(node, Input::Synced(seq));
            }
            LogDone::Saved(number) => {
                if let Some(told) = saved {
                    self.event(format!("n{} state file: {told}", node + 1));
                }
                self.hand_in_node(node, Input::MetaSaved(number));
            }
            LogDone::Freed(_) | LogDone::Made | LogDone::Wanted => {}
            LogDone::NoSpace(_) => panic!("a disk without faults"),
        }
        true
    }

    /// Does the first job of a node's keystore.
    fn look(&mut self, node: usize) -> bool {
        let machine = &mut self.machines[node];
        let Some(process) = machine.process.as_mut() else { return false };
        match process.key_jobs.pop_front() {
            Some(KeyJob::Apply(writes, through)) => {
                machine.keystore.apply(&writes, through).expect("memory does not fail");
                if !writes.is_empty() {
                    self.event(format!("n{} applies {}", node + 1, words::applied(&writes)));
                }
            }
            Some(KeyJob::Read(token, key)) => {
                let input = look_up(&machine.keystore, token, &key);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::ReadOnces(token, after, limit)) => {
                let input = read_onces(&machine.keystore, token, after, limit);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::DropOnces(from)) => {
                machine.keystore.drop_onces(from).expect("memory does not fail");
            }
            Some(KeyJob::Scan(token, scan)) => {
                let input = read_page(&machine.keystore, token, &scan);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::Copy(token, copy)) => {
                let input = read_copy(&machine.keystore, token, &copy);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::Audit(token, what, looks_max)) => {
                let what = machine.keystore.audit(&what, looks_max).expect("memory does not fail");
                self.hand_in_node(node, Input::Audited { token, what });
            }
            Some(KeyJob::KeepOnces(entries)) => {
                machine.keystore.keep_onces(&entries).expect("memory does not fail");
            }
            Some(KeyJob::DropOthers(whole, keep, looks_max)) => {
                let input = drop_others(&mut machine.keystore, &whole, &keep, looks_max);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::Sweep(below, after, looks_max)) => {
                let input = sweep(&mut machine.keystore, below, after.as_ref(), looks_max);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::Retain(spans, after, looks_max)) => {
                let keystore = &mut machine.keystore;
                let input = retain(keystore, &spans, after.as_ref(), looks_max);
                self.hand_in_node(node, input);
            }
            Some(KeyJob::Checkpoint) => {
                let through = machine.keystore.checkpoint().expect("memory does not fail");
                self.hand_in_node(node, Input::Checkpointed(through));
            }
            None => return false,
        }
        true
    }

    /// When the first node wants to be told that time has passed.
    pub(super) fn next_node(&self) -> Option<u64> {
        let processes = self.machines.iter().filter_map(|machine| machine.process.as_ref());
        processes.filter_map(|process| Some(process.core.next_deadline()?.0)).min()
    }

    pub(super) fn tick_nodes(&mut self) {
        for node in 0..self.machines.len() {
            let process = self.machines[node].process.as_ref();
            let due = process.and_then(|process| process.core.next_deadline());
            if due.is_some_and(|due| due <= self.time()) {
                self.hand_in_node(node, Input::Tick);
            }
        }
    }

    /// Every node's heart beats.
    pub(super) fn beat(&mut self) {
        for node in 0..self.machines.len() {
            let silent = self.is_held(Held::Heartbeats(node));
            let Some(process) = self.machines[node].process.as_mut() else { continue };
            process.beats += 1;
            let bytes = process.log.bytes();
            let heartbeat = heartbeat(&process.core, process.beats, HEARTBEAT_MS, bytes);
            for coordinator in self.coordinators.iter_mut().filter(|c| c.alive && !silent) {
                let input = CoordinatorInput::Heartbeat(Box::new(heartbeat.clone()));
                coordinator.inbox.push_back(input);
            }
        }
    }

    /// A node's process ends; with `power` what was not synced is gone too.
    pub(super) fn crash_node(
        &mut self,
        node: usize,
        power: bool,
        moment: Moment,
    ) -> Result<(), String> {
        let process = self.machines[node].process.as_ref().ok_or("it is down")?;
        if moment != Moment::Any && process.log_jobs.is_empty() {
            return Err("its disk has nothing to do".into());
        }
        self.unregister(node);
        let machine = &mut self.machines[node];
        let Some(mut process) = machine.process.take() else { return Ok(()) };
        if moment != Moment::Any
            && let Some(job) = process.log_jobs.pop_front()
        {
            match moment {
                // A group is one write and one sync.
                Moment::BeforeSync | Moment::Torn => machine.disk.stop_after(1),
                Moment::BeforeWrite => machine.disk.stop_after(0),
                Moment::AfterSync | Moment::Any => {}
            }
            let done = job.run(&mut process.log, &mut process.state);
            assert_eq!(done.is_ok(), moment == Moment::AfterSync, "it ends where it should");
        }
        machine.keystore.crash(0);
        if power {
            let torn = moment == Moment::Torn;
            machine.disk.power_loss(&mut |_| {
                if torn { Fate::Torn(vec![0x5a; TORN_BYTES]) } else { Fate::Drop }
            });
        } else {
            machine.disk.kill();
        }
        for at in 0..self.wires.len() {
            if self.wires[at].node == node && self.wires[at].node_open {
                self.close_node_end(at);
            }
        }
        Ok(())
    }

    /// The machine of a node that is down, which a script may do things to.
    fn down(&mut self, node: usize) -> Result<&mut Machine, String> {
        let machine = &mut self.machines[node];
        if machine.process.is_some() { Err("crash it first".into()) } else { Ok(machine) }
    }

    /// The directory of a node that is down is made anew, as by somebody who replaces a disk.
    pub(super) fn wipe(&mut self, node: usize) -> Result<(), String> {
        let machine = self.down(node)?;
        machine.directories += 1;
        machine.store = Uuid(machine.directories * 100 + node as u128 + 1);
        machine.disk = CrashDisk::new();
        machine.keystore = MemoryKeystore::new();
        Ok(())
    }

    /// The directory of a node that is down is copied aside.
    pub(super) fn save_directory(&mut self, node: usize) -> Result<(), String> {
        let machine = self.down(node)?;
        machine.saved = Some((machine.store, machine.disk.fork()));
        Ok(())
    }

    /// The copy takes the directory's place, which is the copy from then on.
    pub(super) fn revert_directory(&mut self, node: usize) -> Result<(), String> {
        let machine = self.down(node)?;
        let (store, disk) = machine.saved.take().ok_or("nothing was saved")?;
        machine.saved = Some((machine.store, std::mem::replace(&mut machine.disk, disk)));
        machine.store = store;
        machine.keystore = MemoryKeystore::new();
        Ok(())
    }

    /// A node's keystore has nothing any more, and nobody has noticed.
    pub(super) fn lose_keystore(&mut self, node: usize) {
        self.machines[node].keystore = MemoryKeystore::new();
    }

    /// What a node takes in: a script may have it meet a prepare of a ring that it does not have.
    pub(super) fn tampered(&mut self, node: usize, mut down: Box<Down>) -> Box<Down> {
        let DownBody::Batch(batch) = &mut down.body else { return down };
        for prepare in &mut batch.prepare {
            let refuses = &mut self.machines[node].refuses;
            if *refuses == 1 {
                let counter = prepare.ring.counter + 1;
                let ring = RingNumber { counter, ..prepare.ring };
                *prepare = Arc::new(Prepare { ring, ..(**prepare).clone() });
            }
            *refuses = refuses.saturating_sub(1);
        }
        down
    }
}
