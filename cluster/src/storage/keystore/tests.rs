//! Both keystores against one naive model, with replays and crashes between checkpoints.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

mod disk;

use protocol::ids::{Epoch, GroupSeq, Key, Once, Point, Uuid, Value, Version};

use super::fjall::FjallKeystore;
use super::memory::MemoryKeystore;
use super::*;
use crate::core::record::{Previous, Write};
use crate::core::ring::Range;
use crate::storage::codec::tests::Source;
use crate::storage::identity::Identity;

const STORE: Identity = Identity { cluster: Uuid(0xc1), store: Uuid(0x57) };

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("piazza-keystore-{}-{count}", std::process::id());
        // In memory where there is such a place: most of these tests do nothing but sync.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = place.join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn keystore(&self) -> PathBuf {
        self.0.join("keystore")
    }

    fn open(&self) -> Result<FjallKeystore, KeystoreError> {
        FjallKeystore::open(&self.keystore(), STORE, 1 << 20)
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_all(&self.0, &copy.0);
        copy
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.keystore()];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The plainest thing that could be right.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    keys: HashMap<Key, (Version, Option<Value>)>,
    onces: BTreeMap<Version, OnceEntry>,
    through: GroupSeq,
}

impl Model {
    fn apply(&mut self, writes: &[Committed], through: GroupSeq) {
        for Committed { version, write, once } in writes {
            if let Some(once) = once.clone() {
                let point = Point(point_of(&write.key));
                self.onces.insert(*version, OnceEntry { version: *version, point, once });
            }
            let newer = self.keys.get(&write.key).is_none_or(|(old, _)| old < version);
            if newer {
                self.keys.insert(write.key.clone(), (*version, write.value.clone()));
            }
        }
        self.through = self.through.max(through);
    }

    /// All keys between these, in order.
    fn between(&self, after: Option<&Key>, through: Option<&Key>) -> Vec<Key> {
        let after = |key: &&Key| after.is_none_or(|after| after < key);
        let within = |key: &&Key| through.is_none_or(|through| *key <= through);
        let mut keys: Vec<_> = self.keys.keys().filter(after).filter(within).cloned().collect();
        keys.sort();
        keys
    }

    /// What a learner of these stretches is told.
    fn copied(&self, spans: &[Span], since: Version) -> Vec<(Key, (Version, Option<Value>))> {
        let wanted = |key: &Key| self.keys[key].0 >= since && lies_in(spans, point_of(key));
        let keys = self.between(None, None).into_iter().filter(wanted);
        keys.map(|key| (key.clone(), self.keys[&key].clone())).collect()
    }

    fn live(&self) -> BTreeMap<Key, (Version, Value)> {
        let live = self.keys.iter().filter_map(|(key, (version, value))| {
            value.clone().map(|value| (key.clone(), (*version, value)))
        });
        live.collect()
    }

    fn count(&self, points: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; points.len()];
        if points.is_empty() {
            return counts;
        }
        for key in self.live().keys() {
            let at = points.iter().position(|point| *point >= point_of(key)).unwrap_or(0);
            counts[at] += 1;
        }
        counts
    }
}

fn lies_in(spans: &[Span], point: u64) -> bool {
    let mut spans = spans.iter().map(|(first, last)| Range { first: *first, last: *last });
    spans.any(|span| span.contains(Point(point)))
}

fn check(keystore: &dyn Keystore, model: &Model, points: &[u64]) {
    assert_eq!(keystore.through(), model.through);
    for (key, (version, value)) in &model.keys {
        let stored = keystore.get(key).unwrap().expect("it was written");
        assert_eq!((stored.version, &stored.value), (*version, value));
    }
    assert_eq!(keystore.get(&Key::new("never written").unwrap()).unwrap(), None);
    for prefix in ["", "key 1", "key 59x", "z"] {
        let begins = |(key, _): &(Key, _)| key.as_str().starts_with(prefix);
        let live: Vec<_> = model.live().into_iter().filter(begins).collect();
        for (looks_max, bytes_max) in [(usize::MAX, usize::MAX), (7, usize::MAX), (100, 20)] {
            assert_eq!(paged(keystore, prefix, looks_max, bytes_max), live);
        }
    }
    let (quarter, middle) = (u64::MAX / 4, Version::new(Epoch(1), 200));
    let all = [(Point(0), Point(u64::MAX))];
    let some = [(Point(3 * quarter), Point(quarter)), (Point(quarter + 9), Point(2 * quarter))];
    for (spans, since) in [(&all[..], middle), (&some, Version::ZERO), (&[], Version::ZERO)] {
        let expected = model.copied(spans, since);
        for (looks_max, bytes_max) in [(usize::MAX, usize::MAX), (7, usize::MAX), (100, 20)] {
            let copy = CopyScan { spans: spans.to_vec(), after: None, since, looks_max, bytes_max };
            assert_eq!(copied(keystore, copy), expected);
        }
    }
    let onces: Vec<_> = model.onces.values().cloned().collect();
    assert_eq!(keystore.onces(Version::ZERO, usize::MAX).unwrap(), onces);
    let later: Vec<_> = onces.into_iter().filter(|e| e.version > middle).take(3).collect();
    assert_eq!(keystore.onces(middle, 3).unwrap(), later);
    assert!(keystore.onces(middle, 0).unwrap().is_empty());
    assert_eq!(keystore.ranges().points(), points);
    let counts: Vec<_> = keystore.ranges().live().map(|(_, live)| live).collect();
    assert_eq!(counts, model.count(points));
}

/// All pages of a scan, one after the other.
fn paged(
    keystore: &dyn Keystore,
    prefix: &str,
    looks_max: usize,
    bytes_max: usize,
) -> Vec<(Key, (Version, Value))> {
    let mut all: Vec<(Key, (Version, Value))> = Vec::new();
    let mut after = None;
    loop {
        let page = Scan { prefix: prefix.into(), after, looks_max, bytes_max };
        let page = keystore.scan(&page).unwrap();
        assert!(page.items.len() <= looks_max);
        all.extend(page.items.into_iter().map(|(k, s)| (k, (s.version, s.value.unwrap()))));
        match page.through {
            Some(through) => after = Some(through),
            None => return all,
        }
    }
}

/// All portions of a copy, one after the other.
fn copied(keystore: &dyn Keystore, mut copy: CopyScan) -> Vec<(Key, (Version, Option<Value>))> {
    let mut all = Vec::new();
    loop {
        let page = keystore.copy(&copy).unwrap();
        assert!(page.items.len() <= copy.looks_max);
        for (key, stored) in page.items {
            let item = stored.clone().into_item(key.clone());
            assert_eq!((&item.key, item.version), (&key, stored.version));
            assert_eq!(item.value.map(|value| value.0), stored.value);
            all.push((key, (stored.version, stored.value)));
        }
        match page.through {
            Some(through) => copy.after = Some(through),
            None => return all,
        }
    }
}

/// Counts by these points, to the end.
fn count_by(keystore: &mut dyn Keystore, points: &[u64]) {
    keystore.set_ranges(points);
    while keystore.recount_step(5).unwrap() {}
}

fn everything() -> Scan {
    Scan { prefix: "".into(), after: None, looks_max: usize::MAX, bytes_max: usize::MAX }
}

/// Counts of a keystore that was told only what is left: what a recount would say.
fn recount(model: &Model, points: &[u64]) -> Vec<RangeCount> {
    let mut fresh = MemoryKeystore::new();
    count_by(&mut fresh, points);
    let writes: Vec<_> = model
        .keys
        .iter()
        .map(|(key, (version, value))| committed(key.clone(), *version, value.clone()))
        .collect();
    fresh.apply(&writes, model.through).unwrap();
    fresh.ranges().counts().to_vec()
}

fn committed(key: Key, version: Version, value: Option<Value>) -> Committed {
    let previous = Previous::Any;
    let write = Write { key, value, previous, flags: 0, expires_ms: 0, holders: Vec::new() };
    Committed { version, write, once: None }
}

fn batch(source: &mut Source) -> Vec<Committed> {
    let mut writes = Vec::new();
    for _ in 0..source.below(8) {
        let number = source.below(60);
        let key = Key::new(&format!("key {number}")).unwrap();
        // About half of them have a name, see `settle`.
        let counter = match source.below(2) {
            0 => number + 60 * source.below(6),
            _ => source.below(400),
        };
        let version = Version::new(Epoch(1), counter);
        let length = source.below(30) as usize;
        let value = (source.below(4) > 0).then(|| Value::from(source.bytes(length)));
        // The model cannot tell two writes of one version apart, and there never are two.
        if writes.iter().all(|w: &Committed| w.write.key != key) {
            writes.push(committed(key, version, value));
        }
    }
    writes
}

/// A value that follows from key and version, as in a real history.
fn settle(writes: &mut [Committed]) {
    for Committed { version, write, once: once_of } in writes {
        let number = version.number() ^ point_of(&write.key);
        let text = format!("value {number}");
        write.value = (!number.is_multiple_of(4)).then(|| Value::from(text.as_str()));
        // A version has one name, with its first write.
        let entry = once_entry(*version);
        *once_of = (point_of(&write.key) == entry.point.0).then_some(entry.once);
    }
}

/// The named update that has this version.
fn once_entry(version: Version) -> OnceEntry {
    let key = Key::new(&format!("key {}", version.number() % 60)).unwrap();
    let name = format!("update {:>20}", version.number()).parse().unwrap();
    let once = Once { name, request_hash: version.number() };
    OnceEntry { version, point: Point(point_of(&key)), once }
}

fn points(source: &mut Source) -> Vec<u64> {
    let mut points: Vec<_> = (0..source.below(6)).map(|_| source.next()).collect();
    points.sort_unstable();
    points.dedup();
    points
}

type Restart<'a, K> = &'a mut dyn FnMut(K, &mut Source, &[Model]) -> (K, Model);

/// A keystore and what it should be.
struct Run<K> {
    source: Source,
    keystore: K,
    /// The state after each step since the last checkpoint.
    states: Vec<Model>,
    under_way: Option<(Checkpoint, usize)>,
    /// By which its keys are counted.
    ranges: Vec<u64>,
    /// By which they are being counted.
    anew: Option<Vec<u64>>,
    /// Applied since anything was dropped.
    done: Vec<(Vec<Committed>, GroupSeq)>,
    /// What is being dropped, and where that goes on.
    retain: Option<(Vec<Span>, Option<Key>)>,
}

impl<K: Keystore> Run<K> {
    fn new(source: Source, keystore: K, model: Model) -> Self {
        let (states, ranges, done) = (vec![model], Vec::new(), Vec::new());
        let (under_way, anew, retain) = (None, None, None);
        Self { source, keystore, states, under_way, ranges, anew, done, retain }
    }

    fn model(&self) -> &Model {
        self.states.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = self.model().clone();
        change(&mut model);
        self.states.push(model);
    }

    fn apply(&mut self, writes: &[Committed], through: GroupSeq) {
        self.keystore.apply(writes, through).unwrap();
        self.change(|model| model.apply(writes, through));
    }

    /// Does one random thing.
    fn step(&mut self) {
        match self.source.below(19) {
            0..=5 => {
                let mut writes = batch(&mut self.source);
                settle(&mut writes);
                let through = self.model().through.next();
                self.apply(&writes, through);
                self.done.push((writes, through));
            }
            6 => self.replay(),
            7 if self.under_way.is_none() => {
                assert_eq!(self.keystore.checkpoint().unwrap(), self.model().through);
                self.states.drain(..self.states.len() - 1);
                assert_eq!(self.keystore.unsaved_bytes(), 0);
            }
            8 if self.under_way.is_none() => {
                let work = self.keystore.begin_checkpoint().unwrap();
                self.under_way = Some((work, self.states.len() - 1));
            }
            9 => {
                if let Some((work, at)) = self.under_way.take() {
                    assert!(self.keystore.begin_checkpoint().is_none());
                    let through = self.keystore.end_checkpoint(work.run()).unwrap();
                    assert_eq!(through, self.states[at].through);
                    self.states.drain(..at);
                }
            }
            10 => self.set_ranges(),
            11..=12 => {
                let from = Version::new(Epoch(1), self.source.below(400));
                self.keystore.drop_onces(from).unwrap();
                self.change(|model| model.onces = model.onces.split_off(&from));
            }
            13 => {
                let draw = |source: &mut Source| Version::new(Epoch(1), source.below(400));
                let entry = |_| once_entry(draw(&mut self.source));
                let entries: Vec<_> = (0..3).map(entry).collect();
                self.keystore.keep_onces(&entries).unwrap();
                self.change(|model| {
                    model.onces.extend(entries.into_iter().map(|e| (e.version, e)))
                });
            }
            14..=15 => self.retain(),
            _ => {
                let looks_max = 1 + self.source.below(15) as usize;
                let left = self.keystore.recount_step(looks_max).unwrap();
                if !left && let Some(anew) = self.anew.take() {
                    self.ranges = anew;
                }
                assert_eq!(left, self.anew.is_some());
            }
        }
    }

    /// Applied again, as after a restart: nothing changes.
    fn replay(&mut self) {
        let from = self.source.below(self.done.len() as u64 + 1) as usize;
        let counts = self.keystore.ranges().clone();
        for (writes, through) in self.done[from..].to_vec() {
            self.apply(&writes, through);
        }
        assert_eq!(*self.keystore.ranges(), counts);
    }

    fn set_ranges(&mut self) {
        let mut points = points(&mut self.source);
        if self.source.below(3) == 0 {
            points = self.ranges.clone();
            points.retain(|_| self.source.below(3) > 0);
        }
        self.keystore.set_ranges(&points);
        if points.iter().all(|point| self.ranges.contains(point)) {
            (self.ranges, self.anew) = (points, None);
        } else {
            self.anew = Some(points);
        }
    }

    /// Loses what it must, and begins anew with what is left.
    fn restart(self, restart: Restart<'_, K>) -> Self {
        let Self { mut source, keystore, states, under_way, ranges, mut done, .. } = self;
        drop(under_way);
        let (mut keystore, model) = restart(keystore, &mut source, &states);
        assert_eq!(keystore.checkpointed(), model.through);
        check(&keystore, &model, &keystore.ranges().points().to_vec());
        count_by(&mut keystore, &ranges);
        done.retain(|(_, through)| *through <= model.through);
        Self { ranges, done, ..Self::new(source, keystore, model) }
    }

    /// Drops some of what lies outside of some stretches.
    fn retain(&mut self) {
        let (spans, after) = self.retain.take().unwrap_or_else(|| {
            let draw = |source: &mut Source| (Point(source.next()), Point(source.next()));
            ((0..1 + self.source.below(3)).map(|_| draw(&mut self.source)).collect(), None)
        });
        let looks_max = 1 + self.source.below(40) as usize;
        let through = self.keystore.retain(&spans, after.as_ref(), looks_max).unwrap();
        let mut model = self.model().clone();
        let outside = |key: &Key| !lies_in(&spans, point_of(key));
        let looked = model.between(after.as_ref(), through.as_ref());
        let dropped: Vec<_> = looked.iter().filter(|key| outside(key)).collect();
        let is_there = |key: &&Key| self.keystore.get(key).unwrap().is_some();
        if looked.len() > looks_max || dropped.iter().any(is_there) {
            assert!(through.is_none() && dropped.iter().all(is_there));
            assert!(!model.live().keys().any(outside), "only tombstones may stay");
        } else {
            dropped.into_iter().for_each(|key| drop(model.keys.remove(key)));
        }
        if through.is_none() {
            model.onces.retain(|_, entry| lies_in(&spans, entry.point.0));
        } else {
            self.retain = Some((spans, through));
        }
        self.states.push(model);
        self.done.clear();
    }
}

/// Does `steps` random things to a keystore and to the model. `restart` loses what it must.
fn run<K: Keystore>(seed: u64, steps: usize, keystore: K, restart: Restart<'_, K>) {
    let mut run = Run::new(Source(seed), keystore, Model::default());
    for _ in 0..steps {
        if run.source.below(16) == 0 {
            run = run.restart(restart);
        } else {
            run.step();
        }
        let model = run.model();
        check(&run.keystore, model, &run.ranges);
        assert_eq!(run.keystore.ranges().counts(), recount(model, &run.ranges));
        assert_eq!(run.keystore.checkpointed(), run.states[0].through);
    }
}

#[test]
fn memory_does_what_the_model_does_and_crashes_to_any_prefix() {
    for seed in 0..60 {
        run(seed, 160, MemoryKeystore::new(), &mut |mut keystore, source, states| {
            assert_eq!(keystore.unsaved_batches(), states.len() - 1);
            let keep = source.below(states.len() as u64) as usize;
            keystore.crash(keep);
            (keystore, states[keep].clone())
        });
    }
}

/// Contract: "Per-range key counts ... are part of the checkpoint, not recounted at start"
#[test]
fn fjall_does_what_the_model_does_and_restarts_at_its_checkpoint() {
    for seed in 100..106 {
        let directory = Directory::new();
        let first = directory.open().unwrap();
        run(seed, 160, first, &mut |keystore, _, states| {
            drop(keystore);
            (directory.open().unwrap(), states[0].clone())
        });
    }
}
