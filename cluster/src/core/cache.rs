//! The cache of coordinator and node: S sets of W ways, write-through, second chance in each set.
//!
//! The coordinator's holds encoded replies: connections read it (`get`) while the core alone
//! changes it (`fill`, `write`, `remove`), both through one shared `Cache`: one small lock per set,
//! so that no reader waits for the whole. A node's holds plain values, and its core alone uses it
//! (`update` in place of `write`). It may miss whenever it likes; it must never hand out a value
//! older than the last committed one of its key. When a commit is written here in relation to
//! votes, decisions and answers is the cores' business (R12), as is the lease check after each hit
//! (R11).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use protocol::event::{CacheEvict, Trigger};
use protocol::ids::{Key, Version};
use protocol::status::CacheStatus;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::time::Time;

mod shown;

/// The longest encoded reply, or value, that is cached, bytes: a few large ones must not push out
/// a thousand small ones.
pub const TAIL_BYTES_MAX: usize = 16 << 10;
/// Most ways of a set: a sweep stays short, and a set's bits fit one word.
pub const WAYS_MAX: u16 = 64;

/// How many entries fit: `sets` x `ways`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Number of sets, a power of two.
    pub sets: u32,
    /// Entries per set, 1 to [`WAYS_MAX`].
    pub ways: u16,
}

/// The state of a key's set when a read of it missed: what was read may be filled in only while
/// nothing was written to the set since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    set: u32,
    number: u64,
}

/// The cache's counters and sizes; of one moment only while nobody uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Calls of `get` that found their key.
    pub hits: u64,
    /// Calls of `get` that did not.
    pub misses: u64,
    /// Entries replaced to make room.
    pub evictions: u64,
    /// Entries passed over by a sweep because they had been referenced.
    pub second_chances: u64,
    /// Entries present.
    pub entries: u64,
    /// Bytes of their keys and tails.
    pub bytes: u64,
}

impl CacheStats {
    /// With the cache's shape, as `status` shows it.
    pub fn status(self, shape: CacheShape) -> CacheStatus {
        CacheStatus {
            sets: u64::from(shape.sets),
            ways: u64::from(shape.ways),
            hits: self.hits,
            misses: self.misses,
            evictions: self.evictions,
            second_chances: self.second_chances,
            entries: self.entries,
            bytes: self.bytes,
        }
    }
}

/// One way of a set, as shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayView {
    /// The key in it.
    pub key: Key,
    /// The version of its value.
    pub version: Version,
    /// Since its value was put there.
    pub age_ms: u64,
    /// Hits since it was filled.
    pub hits: u64,
    /// Its second-chance bit.
    pub referenced: bool,
    /// Bytes that it counts for.
    pub bytes: u64,
}

/// One set, as shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetView {
    /// Its ways; `None` where one is empty.
    pub ways: Vec<Option<WayView>>,
    /// The way at which the next sweep begins.
    pub hand: u16,
    /// The way that the next sweep would empty; `None` while the set is empty.
    pub next_victim: Option<u16>,
    /// The set's part of the counters.
    pub stats: CacheStats,
}

/// The cache.
///
/// Invariants, checked by `check`:
/// * a key is in no set but its own, and in that at most once;
/// * `bytes` is the sum of what all entries count for, and never more than `bytes_max`;
/// * no entry's tail is longer than [`TAIL_BYTES_MAX`];
/// * every set's hand points at one of its ways.
pub struct Cache {
    shape: CacheShape,
    /// Limit of `bytes`.
    bytes_max: u64,
    /// Keys the hash that chooses a set, so that nobody can aim at one.
    seed: u64,
    bytes: AtomicU64,
    /// What its core was last told, microseconds: for display.
    time: AtomicU64,
    sets: Box<[Set]>,
}

/// One set: what readers count without its lock's exclusive half, and the rest.
struct Set {
    hits: AtomicU64,
    misses: AtomicU64,
    ways: RwLock<Ways>,
}

/// What is in a set, under its lock.
struct Ways {
    /// Rises with every `write`, `update`, `remove` and `clear`, whatever it found.
    generation: u64,
    /// Where the next sweep begins.
    hand: usize,
    evictions: u64,
    second_chances: u64,
    /// How many entries there are, and their bytes.
    held: u64,
    bytes: u64,
    entries: Box<[Option<Entry>]>,
    /// Its sweeps, while somebody follows them.
    followed: Option<Vec<CacheEvict>>,
}

struct Entry {
    key: Key,
    version: Version,
    /// What is cached: the rest of an encoded reply, or a value.
    tail: Bytes,
    /// The second-chance bit: set by hits under the shared lock, cleared by sweeps.
    referenced: AtomicBool,
    hits: AtomicU64,
    since: Time,
}

impl Entry {
    fn bytes(&self) -> u64 {
        bytes_of(&self.key, &self.tail)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty cache of this shape that holds at most `bytes_max` bytes of keys and tails;
    /// `seed` is a random number that clients do not know.
    ///
    /// # Panics
    /// If the shape is not within its limits: options are checked before.
    pub fn new(shape: CacheShape, bytes_max: u64, seed: u64) -> Self {
        assert!(shape.sets.is_power_of_two(), "{} sets are no power of two", shape.sets);
        assert!((1..=WAYS_MAX).contains(&shape.ways), "{} ways", shape.ways);
        let sets = (0..shape.sets).map(|_| Set::new(shape.ways)).collect();
        let [bytes, time] = [0, 0].map(AtomicU64::new);
        Self { shape, bytes_max, seed, bytes, time, sets }
    }

    /// What time it is, for the ages of what comes next.
    pub fn set_time(&self, now: Time) {
        self.time.store(now.0, Relaxed);
    }

    /// The number of sets and ways.
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    /// What is cached for `key`, to be told: counts, and sets the second-chance bit. It neither
    /// allocates nor waits for other readers.
    pub fn get(&self, key: &str) -> Option<(Version, Bytes)> {
        let hit = self.hit(key);
        if hit.is_none() {
            self.set_of(key).misses.fetch_add(1, Relaxed);
        }
        hit
    }

    /// The same for a look after which somebody else `get`s: a miss is counted there, once.
    pub fn hit(&self, key: &str) -> Option<(Version, Bytes)> {
        let set = self.set_of(key);
        let ways = set.read();
        let (_, entry) = ways.find(key)?;
        set.hits.fetch_add(1, Relaxed);
        entry.hits.fetch_add(1, Relaxed);
        // Read first: many readers of one hot key share its line instead of fighting for it.
        if !entry.referenced.load(Relaxed) {
            entry.referenced.store(true, Relaxed);
        }
        Some((entry.version, entry.tail.clone()))
    }

    /// What is cached for `key`, for the core: leaves no trace in bits or counters.
    pub fn lookup(&self, key: &str) -> Option<(Version, Bytes)> {
        let ways = self.set_of(key).read();
        ways.find(key).map(|(_, entry)| (entry.version, entry.tail.clone()))
    }

    /// To be taken after a miss and before the read is sent: the permission to `fill` its answer.
    pub fn generation(&self, key: &str) -> Generation {
        let set = self.set_index(key);
        Generation { set, number: self.sets[set as usize].read().generation }
    }

    /// Caches what a read, sent after `at` was taken, has found. `false`, and what was there stays,
    /// if anything was written to the set since (H23, H24), or a version as new is there. `false`
    /// too if it is too long or does not fit; an older entry of the key is out then.
    pub fn fill(&self, key: &Key, version: Version, tail: Bytes, at: Generation) -> bool {
        let index = self.set_index(key.as_str());
        assert_eq!(index, at.set, "a fill must bring the generation of its own key's set");
        let mut ways = self.sets[index as usize].write();
        if ways.generation != at.number {
            return false;
        }
        self.put(&mut ways, key, version, tail, Trigger::Miss)
    }

    /// Writes a commit through. The generation rises, whether the value is taken or not, so that no
    /// read sent before can bring back an older one. The value is taken if it is newer than what is
    /// there (H25) and fits; if it does not fit, the key is out.
    ///
    /// The core calls this in commit order of each key: where no entry is left to compare with, the
    /// version cannot help.
    pub fn write(&self, key: &Key, version: Version, tail: Bytes) {
        let mut ways = self.set_of(key.as_str()).write();
        ways.generation += 1;
        self.put(&mut ways, key, version, tail, Trigger::Write);
    }

    /// Writes a commit through to an entry that is there, as `write` does; where none is, only the
    /// generation rises: a node is told to write whatever is written, but asked for what is read.
    pub fn update(&self, key: &Key, version: Version, tail: &Bytes) {
        let mut ways = self.set_of(key.as_str()).write();
        ways.generation += 1;
        if ways.find(key.as_str()).is_some() {
            self.put(&mut ways, key, version, tail.clone(), Trigger::Write);
        }
    }

    /// Takes `key` out. The generation rises even if it was not there (H24).
    pub fn remove(&self, key: &str) {
        let mut ways = self.set_of(key).write();
        ways.generation += 1;
        if let Some((way, _)) = ways.find(key) {
            self.take(&mut ways, way);
        }
    }

    /// Takes everything out and voids all generations; the counters and hands stay.
    pub fn clear(&self) {
        for set in &self.sets {
            let mut ways = set.write();
            ways.generation += 1;
            for way in 0..ways.entries.len() {
                self.take(&mut ways, way);
            }
        }
    }

    /// The set of `key`, and its way if it is cached.
    pub fn place(&self, key: &str) -> (u32, Option<u16>) {
        let index = self.set_index(key);
        let way = self.sets[index as usize].read().find(key).map(|(way, _)| way as u16);
        (index, way)
    }

    /// The counters and sizes of the whole cache.
    pub fn stats(&self) -> CacheStats {
        let mut total = CacheStats::default();
        for set in &self.sets {
            let stats = set.stats(&set.read());
            total.hits += stats.hits;
            total.misses += stats.misses;
            total.evictions += stats.evictions;
            total.second_chances += stats.second_chances;
            total.entries += stats.entries;
            total.bytes += stats.bytes;
        }
        total
    }

    /// Set number `index` as it is now; `None` if there is no such set.
    pub fn view(&self, index: u32) -> Option<SetView> {
        let set = self.sets.get(index as usize)?;
        let ways = set.read();
        let next_victim = ways.next_victim().map(|(victim, _)| victim as u16);
        let now = Time(self.time.load(Relaxed));
        let view = |entry: &Entry| WayView {
            key: entry.key.clone(),
            version: entry.version,
            age_ms: now.since_us(entry.since) / 1_000,
            hits: entry.hits.load(Relaxed),
            referenced: entry.referenced.load(Relaxed),
            bytes: entry.bytes(),
        };
        Some(SetView {
            ways: ways.entries.iter().map(|entry| entry.as_ref().map(view)).collect(),
            hand: ways.hand as u16,
            next_victim,
            stats: set.stats(&ways),
        })
    }

    /// Asserts the invariants; for tests and simulation, while nobody else uses the cache.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        let mut bytes = 0;
        for (index, set) in self.sets.iter().enumerate() {
            let ways = set.read();
            let entries = || ways.entries.iter().flatten();
            assert_eq!(ways.held, entries().count() as u64, "a set counts its entries");
            assert_eq!(ways.bytes, entries().map(Entry::bytes).sum::<u64>(), "and their bytes");
            assert!(ways.hand < ways.entries.len(), "the hand points at a way");
            for (way, entry) in ways.entries.iter().enumerate() {
                let Some(entry) = entry else { continue };
                assert_eq!(self.set_index(entry.key.as_str()) as usize, index, "a key's own set");
                let first = ways.find(entry.key.as_str()).map(|(first, _)| first);
                assert_eq!(first, Some(way), "a key is in its set once");
                assert!(entry.tail.len() <= TAIL_BYTES_MAX, "no long tails");
                bytes += entry.bytes();
            }
        }
        assert_eq!(self.bytes.load(Relaxed), bytes, "the bytes are those of the entries");
        assert!(bytes <= self.bytes_max, "the bytes keep their bound");
    }

    fn set_index(&self, key: &str) -> u32 {
        (xxh3_64_with_seed(key.as_bytes(), self.seed) & u64::from(self.shape.sets - 1)) as u32
    }

    fn set_of(&self, key: &str) -> &Set {
        &self.sets[self.set_index(key) as usize]
    }

    /// Puts a value into its set unless one as new is there. An older one of the key goes first;
    /// its way is used again, with its bit set: a write refers to it too (CS162 project 4).
    fn put(
        &self,
        ways: &mut Ways,
        key: &Key,
        version: Version,
        tail: Bytes,
        trigger: Trigger,
    ) -> bool {
        let old = ways.find(key.as_str()).map(|(way, old)| (way, old.version));
        if old.is_some_and(|(_, old)| old >= version) {
            return false;
        }
        let replaced = old.and_then(|(way, _)| self.take(ways, way));
        let mut target = old.map(|(way, _)| way).or_else(|| ways.first_empty());
        let bytes = bytes_of(key, &tail);
        let others = self.bytes.load(Relaxed).saturating_sub(ways.bytes);
        if tail.len() > TAIL_BYTES_MAX || others + bytes > self.bytes_max {
            return false; // Emptying the whole set would not make room.
        }
        while target.is_none() || !self.reserve(bytes) {
            // Only other sets' growth in this moment can leave nothing to evict.
            let steps = ways.steps();
            let Some(victim) = ways.sweep() else { return false };
            ways.keep_sweep(steps, (key, trigger), victim);
            self.take(ways, victim);
            target = target.or(Some(victim));
        }
        let Some(target) = target else { return false };
        // The first clone of a buffer may allocate: done here, so that no hit has to.
        drop(tail.clone());
        let hits = replaced.as_ref().map_or(0, |entry| entry.hits.load(Relaxed));
        ways.fill(
            target,
            Entry {
                key: replaced.map_or_else(|| key.clone(), |entry| entry.key),
                version,
                tail,
                referenced: AtomicBool::new(old.is_some()),
                hits: AtomicU64::new(hits),
                since: Time(self.time.load(Relaxed)),
            },
        );
        ways.keep_filled(key, target);
        true
    }

    /// Empties a way and gives its bytes back.
    fn take(&self, ways: &mut Ways, way: usize) -> Option<Entry> {
        let entry = ways.empty(way);
        if let Some(entry) = &entry {
            let before = self.bytes.fetch_sub(entry.bytes(), Relaxed);
            assert!(before >= entry.bytes(), "bytes are given back once");
        }
        entry
    }

    /// Counts `bytes` more, unless that would pass the bound.
    fn reserve(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.bytes.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

impl Set {
    fn new(ways: u16) -> Self {
        Self {
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            ways: RwLock::new(Ways {
                generation: 0,
                hand: 0,
                evictions: 0,
                second_chances: 0,
                held: 0,
                bytes: 0,
                entries: (0..ways).map(|_| None).collect(),
                followed: None,
            }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Ways> {
        self.ways.read().expect("a broken invariant of a set ends the process")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ways> {
        self.ways.write().expect("a broken invariant of a set ends the process")
    }

    fn stats(&self, ways: &Ways) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: ways.evictions,
            second_chances: ways.second_chances,
            entries: ways.held,
            bytes: ways.bytes,
        }
    }
}

impl Ways {
    fn find(&self, key: &str) -> Option<(usize, &Entry)> {
        let entries = self.entries.iter().enumerate();
        entries
            .filter_map(|(way, entry)| entry.as_ref().map(|entry| (way, entry)))
            .find(|(_, entry)| entry.key.as_str() == key)
    }

    fn first_empty(&self) -> Option<usize> {
        self.entries.iter().position(Option::is_none)
    }

    /// Puts an entry into an empty way.
    fn fill(&mut self, way: usize, entry: Entry) {
        self.held += 1;
        self.bytes += entry.bytes();
        let before = self.entries[way].replace(entry);
        assert!(before.is_none(), "a way that is filled is empty");
    }

    fn empty(&mut self, way: usize) -> Option<Entry> {
        let entry = self.entries[way].take()?;
        self.held -= 1;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Second chance: from the hand on, the first entry whose bit is clear is the victim; bits met
    /// on the way are cleared, and the hand stops after the victim. `None` only in an empty set:
    /// since hits need the lock too, no bit is set meanwhile, and the second round finds one (H66).
    fn sweep(&mut self) -> Option<usize> {
        let (victim, passed) = self.next_victim()?;
        let count = self.entries.len();
        assert!(passed < 2 * count, "a sweep takes at most 2 x ways steps");
        for step in 0..passed {
            if let Some(entry) = &mut self.entries[(self.hand + step) % count]
                && std::mem::take(entry.referenced.get_mut())
            {
                self.second_chances += 1;
            }
        }
        self.hand = (victim + 1) % count;
        self.evictions += 1;
        Some(victim)
    }

    /// The way that a sweep would empty now, and how many it would pass before; empty ways, too,
    /// are passed.
    fn next_victim(&self) -> Option<(usize, usize)> {
        let count = self.entries.len();
        let way = |step: usize| (self.hand + step) % count;
        let clear = |entry: &Entry| !entry.referenced.load(Relaxed);
        let in_round_one =
            (0..count).find(|step| self.entries[way(*step)].as_ref().is_some_and(clear));
        // In the second round all bits are clear: the first entry is the one.
        let any = || (0..count).find(|step| self.entries[way(*step)].is_some()).map(|s| s + count);
        in_round_one.or_else(any).map(|step| (way(step), step))
    }
}

/// What an entry counts for. A tail must be a buffer of its own: a slice would keep more alive.
fn bytes_of(key: &Key, tail: &Bytes) -> u64 {
    (key.as_bytes().len() + tail.len()) as u64
}

#[cfg(test)]
mod tests;
