//! The nodes of the world: what becomes of their cores' effects, how they end and start again.

use super::super::super::ring::{byte_sum, hash_of};
use super::*;

/// An empty cache of a node, small enough that keys push each other out.
fn node_cache() -> Arc<Cache> {
    Arc::new(Cache::new(CacheShape { sets: 2, ways: 1 }, 1 << 20, 1))
}

pub(super) fn blank(node: usize) -> Machine {
    let meta = Meta {
        store: Uuid(node as u128 + 1),
        name: NodeName::new(&format!("n{}", node + 1)).expect("a short name"),
        incarnation: Incarnation(1),
        fence: Fence::default(),
        ring: None,
        cut_through: Epoch(0),
        lost: Vec::new(),
    };
    let restart = Restart::new(meta.clone(), GroupSeq(0), 1 << 30, node_cache());
    let (core, _) = restart.finish(Time(0), GroupSeq(0));
    Machine {
        core: Some(core),
        keys: BTreeMap::new(),
        onces: BTreeMap::new(),
        page_max: 3,
        log: Vec::new(),
        meta,
        beats: 0,
        done: VecDeque::new(),
        looks: VecDeque::new(),
        exit: None,
    }
}

impl Machine {
    /// Adds a group to the log of a node of a founded cluster that does not run.
    pub(super) fn append(&mut self, records: Vec<LogRecord>) {
        let seq = self.log.last().expect("founded").0.next();
        self.log.push((seq, records));
    }

    fn apply_once(&mut self, write: &Committed) {
        if let Some(once) = write.once.clone() {
            let (version, key) = (write.version, &write.write.key);
            let (hash, sum) = (hash_of(key), byte_sum(key));
            self.onces.insert(version, OnceEntry { version, hash, sum, once });
        }
    }
}

impl World {
    /// Hands something to a node and does what it wants done.
    pub(super) fn ask(&mut self, node: usize, input: node::Input) -> bool {
        let Some(core) = self.nodes[node].core.as_mut() else { return false };
        let effects = core.handle(self.now, input);
        let any = !effects.is_empty();
        for effect in effects {
            self.perform_node(node, effect);
        }
        any
    }

    fn perform_node(&mut self, node: usize, effect: node::Effect) {
        let machine = &mut self.nodes[node];
        match effect {
            node::Effect::Send { conn, up } => {
                if let Some(wire) = self.wires.get_mut(&conn) {
                    wire.up.push_back(*up);
                }
            }
            node::Effect::Close(conn) => self.cut(conn),
            node::Effect::SaveMeta { meta, number } => {
                machine.meta = *meta;
                machine.done.push_back(node::Input::MetaSaved(number));
            }
            node::Effect::Log { seq, records } => {
                machine.log.push((seq, records));
                if machine.core.as_ref().is_some_and(NodeCore::is_timed) {
                    machine.done.push_back(node::Input::Took { append_us: 3, sync_us: 7 });
                }
                machine.done.push_back(node::Input::Synced(seq));
            }
            node::Effect::Apply { writes, .. } => {
                for write in writes {
                    machine.apply_once(&write);
                    let found = Found { version: write.version, value: write.write.value };
                    let old = machine.keys.entry(write.write.key).or_insert_with(|| found.clone());
                    if found.version > old.version {
                        *old = found;
                    }
                }
            }
            node::Effect::Read { token, key } => {
                let nothing = Found { version: Version::ZERO, value: None };
                let found = machine.keys.get(&key).cloned().unwrap_or(nothing);
                machine.looks.push_back(node::Input::ReadDone { token, found });
            }
            node::Effect::ReadOnces { token, after, limit } => {
                let later = machine.onces.range(Version::from_number(after.number() + 1)..);
                let entries = later.take(limit).map(|(_, entry)| entry.clone()).collect();
                machine.looks.push_back(node::Input::OncesRead { token, entries });
            }
            node::Effect::Scan { token, prefix, after, looks_max, .. } => {
                let wanted = |(key, _): &(&Key, &Found)| {
                    key.as_str().starts_with(&*prefix) && Some(*key) > after.as_ref()
                };
                let all: Vec<_> = machine.keys.iter().filter(wanted).collect();
                let (mut page, mut through) = (Vec::new(), None);
                for (key, found) in all.iter().take(looks_max.min(machine.page_max)) {
                    let (key, version) = ((*key).clone(), found.version);
                    through = Some(key.clone());
                    page.extend(found.value.clone().map(|value| Scanned { key, version, value }));
                }
                let through = through.filter(|_| all.len() > machine.page_max);
                machine.looks.push_back(node::Input::Scanned { token, page, through });
            }
            node::Effect::DropOnces(from) => machine.onces = machine.onces.split_off(&from),
            node::Effect::Exit(reason) => {
                machine.exit = Some(reason);
                self.crash(node);
            }
            node::Effect::Checkpoint { .. }
            | node::Effect::FreeLog { .. }
            | node::Effect::WantRoom { .. }
            | node::Effect::Ranges(_)
            | node::Effect::CaughtUp => {}
        }
    }

    /// A node's process ends; what was logged stays, unless its lanes were held.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].core = None;
        self.nodes[node].done.clear();
        self.nodes[node].looks.clear();
        let conns: Vec<ConnId> =
            self.wires.iter().filter(|(_, w)| w.node == node).map(|(c, _)| *c).collect();
        for conn in conns {
            self.cut(conn);
        }
    }

    /// A node's directory is started again; `groups` of its log are left.
    pub(super) fn restart_with(&mut self, node: usize, groups: usize) {
        let machine = &mut self.nodes[node];
        machine.log.truncate(groups);
        machine.meta.incarnation.0 += 1;
        let mut restart = Restart::new(machine.meta.clone(), GroupSeq(0), 1 << 30, node_cache());
        let mut apply = Vec::new();
        for (seq, records) in machine.log.clone() {
            for record in records {
                restart.replay(seq, record, &mut apply);
            }
        }
        let end = machine.log.last().map_or(GroupSeq(0), |(seq, _)| *seq);
        let (core, _) = restart.finish(self.now, end);
        machine.core = Some(core);
        machine.beats = 0;
        for side in 0..self.sides.len() {
            self.register(side, node);
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        self.restart_with(node, usize::MAX);
    }

    pub(super) fn heartbeat(&self, node: usize) -> Heartbeat {
        let meta = &self.nodes[node].meta;
        Heartbeat {
            cluster: meta.ring.as_ref().map(|ring| ring.cluster),
            uuid: meta.store,
            incarnation: meta.incarnation,
            seq: self.nodes[node].beats,
            figures: NodeFigures { interval_ms: HEARTBEAT_MS, ..NodeFigures::default() },
        }
    }

    pub(super) fn beat(&mut self, node: usize) {
        if self.silent.contains(&node) {
            return;
        }
        self.nodes[node].beats += 1;
        let heartbeat = self.heartbeat(node);
        for side in 0..self.sides.len() {
            self.tell(side, Input::Heartbeat(Box::new(heartbeat.clone())));
        }
    }
}
