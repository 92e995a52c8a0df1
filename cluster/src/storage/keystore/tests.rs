//! Both keystores against one naive model, replays, crashes between checkpoints, and damage.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ids::{Epoch, GroupSeq, Key, MemberId, Once, Point, Uuid, Value, Version};

use super::fjall::FjallKeystore;
use super::memory::MemoryKeystore;
use super::*;
use crate::core::record::{Previous, Write};
use crate::core::ring::Ring;
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

/// What is counted by.
#[derive(Clone, Default, Debug)]
struct By {
    placement: Placement,
    points: Vec<u64>,
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
                let (version, hash, sum) = (*version, hash_of(&write.key), byte_sum(&write.key));
                self.onces.insert(version, OnceEntry { version, hash, sum, once });
            }
            let newer = self.keys.get(&write.key).is_none_or(|(old, _)| old < version);
            if newer {
                self.keys.insert(write.key.clone(), (*version, write.value.clone()));
            }
        }
        self.through = self.through.max(through);
    }

    fn live(&self) -> BTreeMap<Key, (Version, Value)> {
        let live = self.keys.iter().filter_map(|(key, (version, value))| {
            value.clone().map(|value| (key.clone(), (*version, value)))
        });
        live.collect()
    }

    fn count(&self, ranges: &By) -> Vec<u64> {
        let By { placement, points } = ranges;
        let mut counts = vec![0; points.len()];
        if points.is_empty() {
            return counts;
        }
        let member = |point: &u64| (Point(*point), MemberId(1));
        let ring = Ring::new(points.iter().map(member).collect(), 1).placed_by(*placement);
        for key in self.live().keys() {
            counts[ring.arc_of(key)] += 1;
        }
        counts
    }
}

fn check(keystore: &dyn Keystore, model: &Model, ranges: &By) {
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
    let onces: Vec<_> = model.onces.values().cloned().collect();
    assert_eq!(keystore.onces(Version::ZERO, usize::MAX).unwrap(), onces);
    let middle = Version::new(Epoch(1), 200);
    let later: Vec<_> = onces.into_iter().filter(|e| e.version > middle).take(3).collect();
    assert_eq!(keystore.onces(middle, 3).unwrap(), later);
    assert!(keystore.onces(middle, 0).unwrap().is_empty());
    let counts: Vec<_> = keystore.counts().iter().map(|count| count.live).collect();
    assert_eq!(counts, model.count(ranges));
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

fn everything() -> Scan {
    Scan { prefix: "".into(), after: None, looks_max: usize::MAX, bytes_max: usize::MAX }
}

/// Counts of a keystore that was told only what is left: what a recount would say.
fn recount(model: &Model, ranges: &By) -> Vec<RangeCount> {
    let mut fresh = MemoryKeystore::new();
    fresh.set_ranges(ranges.placement, &ranges.points).unwrap();
    let writes: Vec<_> = model
        .keys
        .iter()
        .map(|(key, (version, value))| committed(key.clone(), *version, value.clone()))
        .collect();
    fresh.apply(&writes, model.through).unwrap();
    fresh.counts().to_vec()
}

fn committed(key: Key, version: Version, value: Option<Value>) -> Committed {
    let previous = Previous::Any;
    let write = Write { key, value, previous, flags: 0, expires_ms: 0 };
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
        let number = version.number() ^ hash_of(&write.key).0;
        let text = format!("value {number}");
        write.value = (!number.is_multiple_of(4)).then(|| Value::from(text.as_str()));
        // A version has one name, with its first write.
        let key = Key::new(&format!("key {}", version.number() % 60)).unwrap();
        let name = format!("update {:>20}", version.number()).parse().unwrap();
        let once = Once { name, request_hash: version.number() };
        *once_of = (write.key == key).then_some(once);
    }
}

fn by(source: &mut Source) -> By {
    let mut points: Vec<_> = (0..source.below(6)).map(|_| source.next()).collect();
    points.sort_unstable();
    points.dedup();
    let by_sum = source.below(2) == 0;
    By { placement: if by_sum { Placement::AsciiSum } else { Placement::Ring }, points }
}

type Restart<'a, K> = &'a mut dyn FnMut(K, &mut Source, &[Model]) -> (K, Model);

/// Does `steps` random things to a keystore and to the model. `restart` loses what it must.
fn run<K: Keystore>(seed: u64, steps: usize, mut keystore: K, restart: Restart<'_, K>) {
    let mut source = Source(seed);
    // The state after each batch since the last checkpoint.
    let mut states = vec![Model::default()];
    let mut under_way: Option<(Checkpoint, usize)> = None;
    let mut ranges = By::default();
    let mut done = Vec::new();
    for _ in 0..steps {
        let mut model = states.last().unwrap().clone();
        match source.below(13) {
            12 => {
                let from = Version::new(Epoch(1), source.below(400));
                keystore.drop_onces(from).unwrap();
                model.onces = model.onces.split_off(&from);
                states.push(model.clone());
            }
            0..=5 => {
                let mut writes = batch(&mut source);
                settle(&mut writes);
                let through = GroupSeq(model.through.0 + 1);
                keystore.apply(&writes, through).unwrap();
                model.apply(&writes, through);
                done.push((writes, through));
                states.push(model.clone());
            }
            6 if !done.is_empty() => {
                // Applied again, as after a restart: nothing changes.
                let from = source.below(done.len() as u64) as usize;
                let counts = keystore.counts().to_vec();
                for (writes, through) in &done[from..] {
                    model.apply(writes, *through);
                    keystore.apply(writes, *through).unwrap();
                    states.push(model.clone());
                }
                assert_eq!(keystore.counts(), counts);
            }
            7 if under_way.is_none() => {
                assert_eq!(keystore.checkpoint().unwrap(), model.through);
                states.drain(..states.len() - 1);
                assert_eq!(keystore.unsaved_bytes(), 0);
            }
            8 if under_way.is_none() => {
                under_way = Some((keystore.begin_checkpoint().unwrap(), states.len() - 1));
            }
            9 => {
                if let Some((work, at)) = under_way.take() {
                    assert!(keystore.begin_checkpoint().is_none());
                    let through = keystore.end_checkpoint(work.run()).unwrap();
                    assert_eq!(through, states[at].through);
                    states.drain(..at);
                }
            }
            10 => {
                ranges = by(&mut source);
                keystore.set_ranges(ranges.placement, &ranges.points).unwrap();
            }
            11 => {
                under_way = None;
                (keystore, model) = restart(keystore, &mut source, &states);
                keystore.set_ranges(ranges.placement, &ranges.points).unwrap();
                states = vec![model.clone()];
                done.retain(|(_, through)| *through <= model.through);
                assert_eq!(keystore.checkpointed(), model.through);
            }
            _ => {}
        }
        check(&keystore, &model, &ranges);
        assert_eq!(keystore.counts(), recount(&model, &ranges));
        assert_eq!(keystore.checkpointed(), states[0].through);
    }
}

#[test]
fn memory_does_what_the_model_does_and_crashes_to_any_prefix() {
    for seed in 0..40 {
        run(seed, 120, MemoryKeystore::new(), &mut |mut keystore, source, states| {
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
    for seed in 100..104 {
        let directory = Directory::new();
        let first = directory.open().unwrap();
        run(seed, 100, first, &mut |keystore, _, states| {
            drop(keystore);
            (directory.open().unwrap(), states[0].clone())
        });
    }
}

fn halves() -> By {
    By { placement: Placement::Ring, points: vec![u64::MAX / 2, u64::MAX] }
}

fn filled(directory: &Directory, seed: u64, checkpoints: usize) -> (FjallKeystore, Model) {
    let mut keystore = directory.open().unwrap();
    let By { placement, points } = halves();
    keystore.set_ranges(placement, &points).unwrap();
    let mut model = Model::default();
    let mut source = Source(seed);
    for _ in 0..checkpoints {
        let mut writes = batch(&mut source);
        settle(&mut writes);
        let through = model.through.next();
        keystore.apply(&writes, through).unwrap();
        model.apply(&writes, through);
        keystore.checkpoint().unwrap();
    }
    (keystore, model)
}

#[test]
fn a_checkpoint_without_space_changes_nothing_and_the_next_one_makes_up_for_it() {
    let directory = Directory::new();
    let points = halves();
    let (mut keystore, mut model) = filled(&directory, 5, 3);
    for number in 0..3 {
        let mut writes = batch(&mut Source(90 + number));
        settle(&mut writes);
        let through = model.through.next();
        keystore.apply(&writes, through).unwrap();
        model.apply(&writes, through);
        // What it was to write is there a second time once it is written.
        let work = keystore.begin_checkpoint().expect("none is under way");
        if number == 1 {
            let Checkpointed(done) = work.run();
            done.unwrap();
        }
        let ended = keystore.end_checkpoint(Checkpointed::no_space());
        assert!(matches!(ended, Err(KeystoreError::NoSpace(_))));
        assert_eq!(keystore.checkpointed(), GroupSeq(3));
        check(&keystore, &model, &points);
    }
    let first = keystore.checkpoint().unwrap();
    assert_eq!(first, GroupSeq(4), "what the first one had frozen");
    assert_eq!(keystore.checkpoint().unwrap(), model.through);
    check(&keystore, &model, &points);
    drop(keystore);
    check(&directory.open().unwrap(), &model, &points);
}

#[test]
fn a_killed_fjall_is_exactly_its_last_checkpoint() {
    let directory = Directory::new();
    let (mut keystore, before) = filled(&directory, 1, 6);
    let mut writes: Vec<_> = batch(&mut Source(77));
    writes.push(committed(Key::new("new").unwrap(), Version::new(Epoch(2), 1), None));
    settle(&mut writes);
    let mut after = before.clone();
    after.apply(&writes, GroupSeq(7));
    keystore.apply(&writes, GroupSeq(7)).unwrap();
    let points = halves();
    let expect = |model: &Model| {
        let copy = directory.copy();
        check(&copy.open().unwrap(), model, &points);
    };
    expect(&before);
    let work = keystore.begin_checkpoint().unwrap();
    expect(&before);
    let done = work.run();
    expect(&after);
    keystore.end_checkpoint(done).unwrap();
    expect(&after);
    check(&keystore, &after, &points);
}

#[test]
fn damage_to_the_journal_does_not_matter() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 2, 3);
    drop(keystore);
    let journals: Vec<_> = directory
        .files()
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "jnl"))
        .collect();
    assert!(!journals.is_empty());
    let mut source = Source(5);
    for tag in 0..6 {
        let mut garbage = source.bytes(10_000);
        garbage[0] = tag;
        fs::write(&journals[0], &garbage).unwrap();
        check(&directory.open().unwrap(), &model, &halves());
    }
}

#[test]
fn damage_to_any_file_is_an_error_or_harmless() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 3, 5);
    drop(keystore);
    let mut outcomes = [0; 3];
    let mut source = Source(6);
    for (at, file) in directory.files().iter().enumerate() {
        let length = fs::metadata(file).unwrap().len();
        for _ in 0..if length == 0 { 0 } else { 40 } {
            let damaged = directory.copy();
            let copy = &damaged.files()[at];
            let mut bytes = fs::read(copy).unwrap();
            let byte = source.below(bytes.len() as u64) as usize;
            bytes[byte] ^= 1 << source.below(8);
            fs::write(copy, bytes).unwrap();
            let Ok(keystore) = damaged.open() else {
                outcomes[0] += 1;
                continue;
            };
            let mut failed = keystore.scan(&everything()).is_err();
            for (key, (version, value)) in &model.keys {
                match keystore.get(key) {
                    Ok(Some(stored)) => {
                        assert_eq!((stored.version, &stored.value), (*version, value));
                    }
                    Ok(None) => panic!("{key:?} vanished with {}", file.display()),
                    Err(_) => failed = true,
                }
            }
            outcomes[1 + usize::from(failed)] += 1;
        }
    }
    let [not_opened, harmless, noticed_by_a_read] = outcomes;
    assert!(not_opened + noticed_by_a_read > 100 && harmless > 0, "{outcomes:?}");
}

#[test]
fn a_missing_manifest_is_an_error_and_nothing_is_deleted() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 4, 3);
    drop(keystore);
    for tree in ["0", "1"] {
        let damaged = directory.copy();
        let current = damaged.keystore().join("keyspaces").join(tree).join("current");
        let bytes = fs::read(&current).unwrap();
        fs::remove_file(&current).unwrap();
        assert!(matches!(damaged.open(), Err(KeystoreError::Corrupt(_))));
        fs::write(&current, bytes).unwrap();
        check(&damaged.open().unwrap(), &model, &halves());
    }
}

#[test]
fn a_half_made_keystore_is_made_anew() {
    let directory = Directory::new();
    drop(directory.open().unwrap());
    fs::rename(directory.keystore(), directory.0.join("keystore.new")).unwrap();
    let journal = directory.0.join("keystore.new").join("0.jnl");
    fs::remove_file(journal).unwrap();
    check(&directory.open().unwrap(), &Model::default(), &By::default());
}

/// Contract: "Every data file begins with a magic, a format number, cluster and store uuid"
#[test]
fn a_strangers_keystore_is_refused() {
    let directory = Directory::new();
    drop(directory.open().unwrap());
    let other = Identity { store: Uuid(9), ..STORE };
    let opened = FjallKeystore::open(&directory.keystore(), other, 1 << 20);
    assert!(matches!(opened, Err(KeystoreError::Foreign { store: Uuid(0x57), .. })));
    let unfounded = Identity { cluster: Uuid(0), ..STORE };
    assert!(FjallKeystore::open(&directory.keystore(), unfounded, 1 << 20).is_ok());
}

#[test]
fn overwritten_versions_do_not_pile_up() {
    let directory = Directory::new();
    let mut keystore = directory.open().unwrap();
    let value = Value::from(vec![7; 2000]);
    for round in 1..=60 {
        let writes: Vec<_> = (0..100)
            .map(|key| {
                let key = Key::new(&format!("key {key}")).unwrap();
                committed(key, Version::new(Epoch(1), round), Some(value.clone()))
            })
            .collect();
        keystore.apply(&writes, GroupSeq(round)).unwrap();
        keystore.checkpoint().unwrap();
    }
    // 12 MB were written, 200 kB are live; merging goes on in the background.
    drop(keystore);
    let keystore = directory.open().unwrap();
    assert_eq!(keystore.scan(&everything()).unwrap().items.len(), 100);
    assert!(keystore.disk_bytes().unwrap() < 6_000_000, "{}", keystore.disk_bytes().unwrap());
}
