//! The nodes of the world: what becomes of their cores' effects, how they end and start again.

use protocol::peer::{
    Audit, Audited, CopyAsk, CopyItem, Digest, Portion, RangeHash, Scrubbed, Span, WireValue,
};

use super::super::super::ring::{Range, byte_sum, hash_of};
use super::*;

/// An empty cache of a node, small enough that keys push each other out.
fn node_cache() -> Arc<Cache> {
    Arc::new(Cache::new(CacheShape { sets: 2, ways: 1 }, 1 << 20, 1))
}

pub(super) fn blank(node: usize) -> Machine {
    blank_as(node, &format!("n{}", node + 1))
}

/// One with a name that is not its own.
pub(super) fn blank_as(node: usize, name: &str) -> Machine {
    let meta = Meta {
        store: Uuid(node as u128 + 1),
        name: NodeName::new(name).expect("a short name"),
        incarnation: Incarnation(1),
        fence: Fence::default(),
        ring: None,
        cut_through: Epoch(0),
        former: Vec::new(),
        void_through: GroupSeq(0),
        swept: Version::ZERO,
        lost: Vec::new(),
    };
    let restart = Restart::new(meta.clone(), GroupSeq(0), 1 << 30, node_cache());
    let (core, _) = restart.finish(Time(0), GroupSeq(0));
    Machine {
        core: Some(core),
        keys: BTreeMap::new(),
        rotten: BTreeSet::new(),
        onces: BTreeMap::new(),
        page_max: 3,
        no_space: false,
        figures: NodeFigures::default(),
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

    fn apply(&mut self, writes: Vec<Committed>) {
        for write in writes {
            self.apply_once(&write);
            let found = Found { version: write.version, value: write.write.value };
            let old = self.keys.entry(write.write.key).or_insert_with(|| found.clone());
            if found.version > old.version {
                *old = found;
            }
        }
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&Key>,
        looks_max: usize,
    ) -> (Vec<Scanned>, Option<Key>) {
        let wanted =
            |(key, _): &(&Key, &Found)| key.as_str().starts_with(prefix) && Some(*key) > after;
        let all: Vec<_> = self.keys.iter().filter(wanted).collect();
        let (mut page, mut through) = (Vec::new(), None);
        for (key, found) in all.iter().take(looks_max.min(self.page_max)) {
            let (key, version) = ((*key).clone(), found.version);
            through = Some(key.clone());
            page.extend(found.value.clone().map(|value| Scanned { key, version, value }));
        }
        (page, through.filter(|_| all.len() > self.page_max))
    }

    /// A portion for a learner, of the first keys that it wants.
    fn copy(&self, ask: &CopyAsk) -> (Vec<CopyItem>, Option<Key>) {
        let wanted = |(key, found): &(&Key, &Found)| {
            Some(*key) > ask.after.as_ref()
                && found.version >= ask.since
                && lies_in(&ask.spans, hash_of(key))
        };
        let mut all = self.keys.iter().filter(wanted);
        let items: Vec<_> = all.by_ref().take(self.page_max).map(item).collect();
        let through = items.last().map(|item| item.key.clone());
        (items, through.filter(|_| all.next().is_some()))
    }

    /// As a keystore would, in portions of `page_max` keys.
    fn audit(&mut self, what: &Audit) -> Audited {
        let after = match what {
            Audit::Digests { after, .. } | Audit::Scrub { after } => after.as_ref(),
            _ => None,
        };
        let later = self.keys.iter().filter(|(key, _)| Some(*key) > after);
        let page: Vec<(&Key, &Found)> = later.clone().take(self.page_max).collect();
        let last = page.last().map(|(key, _)| (*key).clone());
        let through = last.filter(|_| later.count() > self.page_max);
        match what {
            Audit::Hashes(spans) => Audited::Hashes(spans.iter().map(|s| self.hash(*s)).collect()),
            Audit::Digests { span, .. } => {
                let inside = page.iter().filter(|(key, found)| {
                    found.value.is_some() && lies_in(&[*span], hash_of(key))
                });
                let digest = |(key, found): &(&Key, &Found)| Digest {
                    key: (*key).clone(),
                    version: found.version,
                    checksum: checksum(found),
                    damaged: self.rotten.contains(*key),
                };
                Audited::Digests { items: inside.map(digest).collect(), through }
            }
            Audit::Scrub { .. } => {
                let rotten = page.iter().filter(|(key, _)| self.rotten.contains(*key));
                let damaged = rotten.map(|(key, _)| (*key).clone()).collect();
                let keys = page.len() as u64;
                Audited::Scrubbed(Scrubbed {
                    damaged,
                    unreadable: false,
                    keys,
                    bytes: keys,
                    through,
                })
            }
            Audit::Copies(keys) => {
                let there = |key: &Key| self.keys.get_key_value(key);
                let whole = keys.iter().filter(|key| !self.rotten.contains(*key));
                Audited::Copies(whole.filter_map(there).map(item).collect())
            }
            Audit::Mend(items) => {
                let mut mended = Vec::new();
                for CopyItem { key, version, value, .. } in items.clone() {
                    if self.rotten.remove(&key) {
                        let value = value.map(|value| value.0);
                        self.keys.insert(key.clone(), Found { version, value });
                        mended.push(key);
                    }
                }
                Audited::Mended(mended)
            }
        }
    }

    fn hash(&self, span: Span) -> Option<RangeHash> {
        let live =
            |(key, found): &(&Key, &Found)| found.value.is_some() && lies_in(&[span], hash_of(key));
        let all = || self.keys.iter().filter(live);
        let hash = all().map(|(key, found)| {
            let version = found.version.number().rotate_left(32);
            hash_of(key).0 ^ version ^ u64::from(checksum(found))
        });
        Some(RangeHash { live: all().count() as u64, hash: hash.fold(0, u64::wrapping_add) })
    }

    fn retain(&mut self, spans: &[Span]) {
        self.keys.retain(|key, _| lies_in(spans, hash_of(key)));
        self.onces.retain(|_, entry| lies_in(spans, entry.hash));
    }
}

fn item((key, found): (&Key, &Found)) -> CopyItem {
    CopyItem {
        key: key.clone(),
        version: found.version,
        value: found.value.clone().map(WireValue),
        flags: 0,
        expires_ms: 0,
    }
}

/// Of values that tests write: enough to tell them apart.
fn checksum(found: &Found) -> u32 {
    let bytes = found.value.as_ref().map_or(&[][..], |value| value.as_bytes());
    bytes.iter().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

fn lies_in(spans: &[Span], point: Point) -> bool {
    spans.iter().any(|(first, last)| Range { first: *first, last: *last }.contains(point))
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
            node::Effect::Apply { writes, .. } => machine.apply(writes),
            node::Effect::Read { token, key } => {
                let nothing = Found { version: Version::ZERO, value: None };
                let found = machine.keys.get(&key).cloned().unwrap_or(nothing);
                machine.looks.push_back(match machine.rotten.contains(&key) {
                    true => node::Input::ReadDamaged(token),
                    false => node::Input::ReadDone { token, found },
                });
            }
            node::Effect::ReadOnces { token, after, limit } => {
                let later = machine.onces.range(Version::from_number(after.number() + 1)..);
                let entries = later.take(limit).map(|(_, entry)| entry.clone()).collect();
                machine.looks.push_back(node::Input::OncesRead { token, entries });
            }
            node::Effect::Scan { token, prefix, after, looks_max, .. } => {
                let (page, through) = machine.scan(&prefix, after.as_ref(), looks_max);
                machine.looks.push_back(node::Input::Scanned { token, page, through });
            }
            node::Effect::DropOnces(from) => machine.onces = machine.onces.split_off(&from),
            node::Effect::Exit(reason) => {
                machine.exit = Some(reason);
                self.crash(node);
            }
            node::Effect::Copy { token, ask, .. } => {
                let (items, through) = machine.copy(&ask);
                let portion = Portion::of(&items);
                machine.looks.push_back(node::Input::Copied { token, portion, through });
            }
            node::Effect::Audit { token, what, .. } => {
                let what = machine.audit(&what);
                machine.looks.push_back(node::Input::Audited { token, what });
            }
            node::Effect::KeepOnces(entries) => {
                machine.onces.extend(entries.into_iter().map(|entry| (entry.version, entry)));
            }
            node::Effect::DropOthers { whole, keep, .. } => {
                let before = machine.keys.len();
                let goes = |key: &Key, found: &Found| {
                    let there = Some(key) > whole.after.as_ref()
                        && whole.through.as_ref().is_none_or(|through| key <= through)
                        && lies_in(&whole.spans, hash_of(key));
                    there && found.version < whole.below && !keep.contains(key)
                };
                machine.keys.retain(|key, found| !goes(key, found));
                let dropped = (before - machine.keys.len()) as u64;
                machine.looks.push_back(node::Input::OthersDropped { dropped, through: None });
            }
            node::Effect::Sweep { below, .. } => {
                let before = machine.keys.len();
                machine.keys.retain(|_, found| found.value.is_some() || found.version >= below);
                let dropped = (before - machine.keys.len()) as u64;
                machine.looks.push_back(node::Input::Swept { dropped, through: None });
            }
            node::Effect::Retain { spans, .. } => {
                machine.retain(&spans);
                machine.looks.push_back(node::Input::Retained(None));
            }
            node::Effect::Checkpoint { through } => {
                let done = match machine.no_space {
                    true => node::Input::NotCheckpointed,
                    false => node::Input::Checkpointed(through),
                };
                machine.looks.push_back(done);
            }
            node::Effect::FreeLog { .. }
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
        machine.apply(apply);
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
            ring: meta.ring.as_ref().map(|ring| ring.number),
            figures: NodeFigures { interval_ms: HEARTBEAT_MS, ..self.nodes[node].figures.clone() },
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
