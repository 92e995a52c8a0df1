//! Directories that are tampered with while a node is down: emptied, replaced by an older copy, or
//! rotten on the disk. An operator who notices puts the true directory back, at the latest when all
//! faults end; once a store was found to have lost something that is of no use, and the run goes on
//! to its end without the node.
//!
//! One node of a run is the victim of all of it, so that no more is lost than the other copies make
//! up for. While a false directory is in place its node's processes are impostors: nothing that
//! they say counts as said by the node, and none may ever catch up.
//!
//! Kept within what is promised:
//!
//! * An older copy is put in place only when all other nodes hold durable marks beyond its log's end:
//!   R7 tells a log that was rolled back by its end alone. One that lacks only the newest groups,
//!   of which nobody has logged a mark, or only a promise and no group, is not found out.
//! * A copy replaces the directory, and never runs beside it: an epoch that a copy promises binds
//!   its twin to nothing, so that two coordinators could each find a majority.
//! * A log rots only where every key has another copy. The keystore here is plain memory without a
//!   format of its own: its rot is left to the tests of the storage.

use cluster::core::cache::{Cache, CacheShape};
use cluster::core::record::LogRecord;
use cluster::storage::crash_disk::{CrashDisk, Fate};
use cluster::storage::disk::Disk;
use cluster::storage::identity::Identity;
use cluster::storage::keystore::memory::MemoryKeystore;
use cluster::storage::small_file::SmallFile;
use protocol::ids::{GroupSeq, MemberId, NodeName, Uuid};

use super::plan::{Fault, MS};
use super::recover::{Directory, recover};
use super::world::{Event, Failure, World};

/// What a disk writes at a time, bytes.
const SECTOR: usize = 512;

/// A node's directory that is not in its place.
pub(crate) struct Aside {
    store: Uuid,
    disk: CrashDisk,
    keystore: MemoryKeystore,
}

/// Damage to a file.
struct Rot {
    file: String,
    /// What was where.
    before: Vec<(usize, Vec<u8>)>,
}

/// What was done to a node's directory.
#[derive(Default)]
pub(crate) struct Tampered {
    /// The true directory while another one is in its place.
    aside: Option<Aside>,
    /// The copy was older: who sees it takes the store for lost.
    rolled_back: bool,
    /// An older copy, and where its log ends.
    copy: Option<(Aside, GroupSeq)>,
    rot: Option<Rot>,
    /// A coordinator has taken it for lost, and may have decided without it.
    declared_lost: bool,
    /// The lives of impostors.
    impostors: Vec<u64>,
}

impl Tampered {
    /// Whether that life was an impostor's.
    pub(crate) fn is_impostor(&self, life: u64) -> bool {
        self.impostors.contains(&life)
    }
}

impl World {
    /// Something happens to the directory of the run's victim.
    pub(crate) fn tamper(&mut self, node: usize, fault: Fault) {
        let node = *self.victim.get_or_insert(node);
        let machine = &self.nodes[node];
        let process = machine.process.as_ref();
        let founded = process.is_some_and(|process| process.core.meta().ring.is_some());
        if !founded || machine.tampered.aside.is_some() || machine.tampered.rot.is_some() {
            return;
        }
        match fault {
            Fault::WipeDisk => self.wipe_disk(node),
            Fault::RollBack => self.copy_disk(node),
            Fault::RotState => self.rot_state(node),
            _ if self.plan.replicas > 1 => self.rot_log(node),
            _ => {}
        }
    }

    /// A node starts on what is in its place now: whether that is not its own directory.
    pub(crate) fn begins_as_impostor(&mut self, node: usize, life: u64) -> bool {
        let tampered = &mut self.nodes[node].tampered;
        let impostor = tampered.aside.is_some();
        if impostor {
            tampered.impostors.push(life);
        }
        impostor
    }

    /// Whether a node has an impostor's process.
    pub(crate) fn has_impostor(&self, node: usize) -> bool {
        let machine = &self.nodes[node];
        machine.process.as_ref().is_some_and(|p| machine.tampered.is_impostor(p.life))
    }

    /// A coordinator takes a store for lost, by what it says of it: whether it may. From then on it
    /// may decide without it.
    pub(crate) fn may_be_lost(&mut self, said: &str) -> bool {
        let named = |name: &NodeName| said.starts_with(&format!("{name}'s store has lost data"));
        let machine = self.nodes.iter_mut().find(|machine| named(&machine.name));
        let Some(tampered) = machine.map(|machine| &mut machine.tampered) else { return false };
        tampered.declared_lost |= tampered.rolled_back || tampered.rot.is_some();
        tampered.declared_lost
    }

    /// The cluster does not take an impostor: its process ends with a sentence, and stays down.
    pub(crate) fn impostor_refused(&mut self, node: usize) {
        let rolled_back = self.nodes[node].tampered.rolled_back;
        self.coverage.met(if rolled_back { "older copies refused" } else { "strangers refused" });
        self.crash_node(node, false);
    }

    fn replace(&mut self, node: usize, with: Aside) -> Aside {
        let machine = &mut self.nodes[node];
        let store = std::mem::replace(&mut machine.store, with.store);
        let disk = std::mem::replace(&mut machine.disk, with.disk);
        let keystore = machine.keystore.replace(with.keystore).expect("no process has it");
        machine.trouble.changed(&machine.disk);
        Aside { store, disk, keystore }
    }

    /// A false directory is put in the place of the true one; later an operator finds out.
    fn put_aside(&mut self, node: usize, with: Aside) {
        let power = self.rng.chance(30);
        self.crash_node(node, power);
        let aside = self.replace(node, with);
        self.nodes[node].tampered.aside = Some(aside);
        let started = (10 + self.rng.below(1_000)) * MS;
        self.after(started, Event::StartNode(node));
        let back = started + (500 + self.rng.below(4_000)) * MS;
        self.after(back, Event::PutBack(node));
    }

    /// The true directory comes back.
    pub(crate) fn put_back(&mut self, node: usize) {
        let Some(aside) = self.nodes[node].tampered.aside.take() else { return };
        self.crash_node(node, false);
        self.replace(node, aside);
        self.coverage.met("directories put back");
        if std::mem::take(&mut self.nodes[node].tampered.rolled_back) {
            self.forget_loss();
        }
        self.after(0, Event::StartNode(node));
    }

    /// A coordinator that has taken a store for lost keeps to that: it takes another one.
    fn forget_loss(&mut self) {
        if let Some(coordinator) = self.reachable() {
            self.kill_coordinator(coordinator);
        }
    }

    fn wipe_disk(&mut self, node: usize) {
        self.coverage.met("disks wiped");
        let store = Uuid(u128::from(self.rng.bits()));
        let (disk, keystore) = (CrashDisk::new(), MemoryKeystore::new());
        self.put_aside(node, Aside { store, disk, keystore });
    }

    /// A copy of the directory is made, as it would be found after a crash at this moment.
    fn copy_disk(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let Some(process) = &machine.process else { return };
        let (store, disk) = (machine.store, machine.disk.fork());
        let mut keystore = process.keystore.clone();
        keystore.crash(0);
        let fate = if self.rng.chance(50) { Fate::Keep } else { Fate::Drop };
        disk.power_loss(&mut |_| fate.clone());
        let name = machine.name.clone();
        let tried =
            Directory { name: &name, store, disk: &disk.fork(), keystore: &mut keystore.clone() };
        let now = machine.clock.read(self.now);
        let cache = Cache::new(CacheShape { sets: 1, ways: 1 }, 1 << 20, 0);
        match recover(tried, now, self.plan.disk.sizes, cache) {
            Ok(started) => {
                let copy = (Aside { store, disk, keystore }, started.end);
                self.nodes[node].tampered.copy = Some(copy);
                let wait = (300 + self.rng.below(3_000)) * MS;
                self.after(wait, Event::RollBack(node));
            }
            Err(reason) => {
                self.fail(Failure::Refused(format!("a copy of node {node} is no store: {reason}")));
            }
        }
    }

    /// The older copy takes the directory's place, if that is far enough behind to be found out.
    pub(crate) fn roll_back(&mut self, node: usize) {
        let tampered = &mut self.nodes[node].tampered;
        let Some((copy, end)) = tampered.copy.take() else { return };
        if self.healed || tampered.aside.is_some() || tampered.rot.is_some() {
            return;
        }
        let member = MemberId(node as u16);
        let knows = |other: usize| {
            let mark = self.marks.get(&(other, member)).copied().unwrap_or_default();
            other == node || mark > end
        };
        if !(0..self.nodes.len()).all(knows) {
            self.coverage.met("copies not old enough");
            return;
        }
        self.coverage.met("directories rolled back");
        let tampered = &mut self.nodes[node].tampered;
        tampered.rolled_back = true;
        self.put_aside(node, copy);
    }

    /// A node has logged something, durably.
    pub(crate) fn note_logged(&mut self, node: usize, records: &[LogRecord]) {
        for record in records {
            let LogRecord::Marks(marks) = record else { continue };
            for (member, seq) in marks {
                let known = self.marks.entry((node, *member)).or_default();
                *known = (*known).max(*seq);
            }
        }
    }

    /// Bits of a file flip.
    fn flip(&mut self, node: usize, file: &str) -> Vec<(usize, Vec<u8>)> {
        let disk = self.nodes[node].disk.clone();
        let length = disk.read(file).map_or(0, |bytes| bytes.len());
        let first = self.rng.below(length as u64) as usize;
        let more = self.rng.below(3);
        let mut flips = vec![(first, 1 << self.rng.below(8))];
        for _ in 0..more {
            let at = (first + self.rng.below(64) as usize).min(length - 1);
            flips.push((at, 1 << self.rng.below(8)));
        }
        let before = |bytes: &[u8]| flips.iter().map(|(at, _)| (*at, vec![bytes[*at]])).collect();
        let before = disk.read(file).map_or(Vec::new(), |bytes| before(&bytes));
        disk.rot(file, |bytes| flips.iter().for_each(|(at, bits)| bytes[*at] ^= bits));
        before
    }

    /// A sector of a file has what was meant for another one.
    fn misdirect(&mut self, node: usize, file: &str) -> Vec<(usize, Vec<u8>)> {
        let disk = self.nodes[node].disk.clone();
        let bytes = disk.read(file).unwrap_or_default();
        let sectors = (bytes.len() / SECTOR) as u64;
        if sectors == 0 {
            return Vec::new();
        }
        let mut sector = || self.rng.below(sectors) as usize * SECTOR;
        let (from, to) = (sector(), sector());
        disk.rot(file, |all| all[to..to + SECTOR].copy_from_slice(&bytes[from..from + SECTOR]));
        vec![(to, bytes[to..to + SECTOR].to_vec())]
    }

    /// One copy of the state file rots, while the other one is whole: nothing is lost.
    fn rot_state(&mut self, node: usize) {
        let power = self.rng.chance(50);
        self.crash_node(node, power);
        let (bad, good) = *self.rng.one_of(&[("state.a", "state.b"), ("state.b", "state.a")]);
        let machine = &self.nodes[node];
        let identity = Identity { cluster: Uuid(0), store: machine.store };
        let alone = machine.disk.fork();
        let whole = alone.read(good).is_some() && machine.disk.read(bad).is_some() && {
            alone.put(bad, Vec::new());
            matches!(
                SmallFile::open(std::sync::Arc::new(alone), "state", identity),
                Ok((_, Some(_)))
            )
        };
        if whole {
            self.flip(node, bad);
            self.coverage.met("state copies rotten");
        }
        let wait = (10 + self.rng.below(1_000)) * MS;
        self.after(wait, Event::StartNode(node));
    }

    /// Some of the log is damaged.
    fn rot_log(&mut self, node: usize) {
        let power = self.rng.chance(50);
        self.crash_node(node, power);
        let machine = &self.nodes[node];
        let mut files = machine.disk.list().expect("a disk in memory lists");
        files.retain(|name| name.starts_with("log-"));
        if !files.is_empty() {
            let file = self.rng.one_of(&files).clone();
            let before = if self.rng.chance(30) {
                self.coverage.met("writes astray");
                self.misdirect(node, &file)
            } else {
                self.coverage.met("logs rotten");
                self.flip(node, &file)
            };
            let tampered = &mut self.nodes[node].tampered;
            tampered.rot = Some(Rot { file, before });
        }
        let wait = (10 + self.rng.below(1_000)) * MS;
        self.after(wait, Event::StartNode(node));
    }

    /// A start is refused since the log is damaged: the sectors can be read again later. `false` if
    /// there was no damage.
    pub(crate) fn rot_refused(&mut self, node: usize) -> bool {
        let machine = &mut self.nodes[node];
        let Some(rot) = machine.tampered.rot.take() else { return false };
        if machine.disk.read(&rot.file).is_none() {
            return false;
        }
        machine.disk.rot(&rot.file, |bytes| {
            for (at, was) in &rot.before {
                bytes[*at..at + was.len()].copy_from_slice(was);
            }
        });
        machine.disk.kill();
        self.coverage.met("rotten logs refused");
        let wait = (100 + self.rng.below(2_000)) * MS;
        self.after(wait, Event::StartNode(node));
        true
    }

    /// The log's tail is gone: where rot took it, the node has forgotten what it said in it.
    pub(crate) fn note_cut(&mut self, node: usize) {
        if self.nodes[node].tampered.rot.is_some() {
            self.coverage.met("rotten tails cut");
            self.forget_refusals(node);
        }
    }

    /// A node has been told that its store is lost: it must be one that has lost something. Then
    /// that is so for ever, whatever is found again.
    pub(crate) fn found_lost(&mut self, node: usize, reason: &str) {
        self.crash_node(node, false);
        let tampered = &mut self.nodes[node].tampered;
        let rotten = tampered.rot.take().is_some();
        let declared = tampered.declared_lost;
        if tampered.aside.is_some() && tampered.rolled_back {
            return self.coverage.met("older copies found lost");
        }
        self.nodes[node].dead = true;
        if !declared {
            return self.fail(Failure::Refused(format!("node {node} ends: {reason}")));
        }
        self.coverage.met(if rotten { "rotten logs found lost" } else { "nodes missing" });
        let living = self.nodes.iter().filter(|node| !node.dead).count();
        if living <= self.nodes.len() / 2 {
            // No coordinator may ever come after this one.
            self.coverage.met("runs abandoned");
            (self.over, self.abandoned) = (true, true);
        }
    }
}
