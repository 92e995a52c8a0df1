//! Both keystores against one naive model.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use std::{fs, io};

mod audit;
mod disk;
mod random;

use protocol::ids::{Epoch, GroupSeq, Key, MemberId, Once, Point, Uuid, Value, Version};

use super::fjall::FjallKeystore;
use super::memory::MemoryKeystore;
use super::*;
use crate::core::record::{Previous, Write};
use crate::core::ring::{Range, Ring};
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

    /// What a kill would leave now. An engine that is open merges tables meanwhile, by threads of
    /// its own: a copy during which a file came, went or grew is of no one moment.
    fn copy(&self) -> Self {
        for _ in 0..1_000 {
            let (before, copy) = (state_of(&self.0), Self::new());
            let copied = copy_all(&self.0, &copy.0);
            if let (Ok(before), Ok(()), Ok(after)) = (before, copied, state_of(&self.0))
                && before == after
            {
                return copy;
            }
        }
        panic!("{} is never at rest", self.0.display());
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

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// All files below a directory: which they are, how long, and when they were changed last.
fn state_of(path: &Path) -> io::Result<BTreeMap<PathBuf, (u64, u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let about = fs::metadata(&path)?;
        if about.is_dir() {
            found.append(&mut state_of(&path)?);
        } else {
            found.insert(path, (about.ino(), about.len(), about.modified()?));
        }
    }
    Ok(found)
}

/// What is counted by.
#[derive(Clone, Default, PartialEq, Debug)]
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
        let wanted = |key: &Key| self.keys[key].0 >= since && lies_in(spans, hash_of(key));
        let keys = self.between(None, None).into_iter().filter(wanted);
        keys.map(|key| (key.clone(), self.keys[&key].clone())).collect()
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

fn lies_in(spans: &[Span], point: Point) -> bool {
    let mut spans = spans.iter().map(|(first, last)| Range { first: *first, last: *last });
    spans.any(|span| span.contains(point))
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
    assert_eq!(keystore.ranges().points(), ranges.points);
    let counts: Vec<_> = keystore.ranges().live().map(|(_, live)| live).collect();
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
fn count_by(keystore: &mut dyn Keystore, ranges: &By) {
    keystore.set_ranges(ranges.placement, &ranges.points);
    while keystore.recount_step(5).unwrap() {}
}

fn everything() -> Scan {
    Scan { prefix: "".into(), after: None, looks_max: usize::MAX, bytes_max: usize::MAX }
}

/// Counts of a keystore that was told only what is left: what a recount would say.
fn recount(model: &Model, ranges: &By) -> Vec<RangeCount> {
    let mut fresh = MemoryKeystore::new();
    count_by(&mut fresh, ranges);
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
        let number = version.number() ^ hash_of(&write.key).0;
        let text = format!("value {number}");
        write.value = (!number.is_multiple_of(4)).then(|| Value::from(text.as_str()));
        // A version has one name, with its first write.
        let entry = once_entry(*version);
        *once_of = (hash_of(&write.key) == entry.hash).then_some(entry.once);
    }
}

/// The named update that has this version.
fn once_entry(version: Version) -> OnceEntry {
    let key = Key::new(&format!("key {}", version.number() % 60)).unwrap();
    let name = format!("update {:>20}", version.number()).parse().unwrap();
    let once = Once { name, request_hash: version.number() };
    OnceEntry { version, hash: hash_of(&key), sum: byte_sum(&key), once }
}

fn by(source: &mut Source) -> By {
    let mut points: Vec<_> = (0..source.below(6)).map(|_| source.next()).collect();
    points.sort_unstable();
    points.dedup();
    let by_sum = source.below(2) == 0;
    By { placement: if by_sum { Placement::AsciiSum } else { Placement::Ring }, points }
}
