//! Tests of the cache: against a naive model, the holes by name, bounds, and many threads.

use protocol::ids::Epoch;

use super::*;

/// A small deterministic generator (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn key(n: u64) -> Key {
    Key::new(&format!("k{n}")).expect("a valid key")
}

fn v(counter: u64) -> Version {
    Version::new(Epoch(1), counter)
}

fn cache(sets: u32, ways: u16) -> Cache {
    Cache::new(CacheShape { sets, ways }, 1 << 30, 42)
}

fn tail(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn fill(cache: &Cache, n: u64) {
    assert!(cache.fill(&key(n), v(n), tail("x"), cache.generation(key(n).as_str())));
}

fn cached(cache: &Cache, n: u64) -> bool {
    cache.lookup(key(n).as_str()).is_some()
}

/// What one entry of the model is; `bit` is the second-chance bit.
#[derive(Clone)]
struct Frame {
    key: Key,
    version: Version,
    tail: Bytes,
    bit: bool,
}

impl Frame {
    fn bytes(&self) -> usize {
        self.key.as_bytes().len() + self.tail.len()
    }
}

/// Second chance as in the seeds, word by word, for one set.
struct ModelSet {
    frames: Vec<Option<Frame>>,
    hand: usize,
    generation: u64,
    evictions: u64,
}

impl ModelSet {
    fn find(&mut self, key: &Key) -> Option<&mut Frame> {
        self.frames.iter_mut().flatten().find(|frame| frame.key == *key)
    }

    fn drop_key(&mut self, key: &Key) {
        for frame in &mut self.frames {
            if frame.as_ref().is_some_and(|frame| frame.key == *key) {
                *frame = None;
            }
        }
    }

    fn bytes(&self) -> usize {
        self.frames.iter().flatten().map(Frame::bytes).sum()
    }

    /// Looks round-robin for a page to remove; returns the emptied frame.
    fn make_room(&mut self) -> usize {
        let mut steps = 0;
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.frames.len();
            steps += 1;
            assert!(steps <= 2 * self.frames.len(), "H66: the sweep ends");
            match &mut self.frames[at] {
                Some(frame) if frame.bit => frame.bit = false,
                Some(_) => {
                    self.frames[at] = None;
                    self.evictions += 1;
                    return at;
                }
                None => {}
            }
        }
    }
}

/// The whole cache, naively.
struct Model {
    sets: Vec<ModelSet>,
    bytes_max: usize,
    hits: u64,
    misses: u64,
}

impl Model {
    fn new(shape: CacheShape, bytes_max: usize) -> Self {
        let set = |_| ModelSet {
            frames: vec![None; shape.ways.into()],
            hand: 0,
            generation: 0,
            evictions: 0,
        };
        Self { sets: (0..shape.sets).map(set).collect(), bytes_max, hits: 0, misses: 0 }
    }

    fn bytes(&self) -> usize {
        self.sets.iter().map(ModelSet::bytes).sum()
    }

    fn get(&mut self, set: u32, key: &Key) -> Option<(Version, Bytes)> {
        let found = self.sets[set as usize].find(key).map(|frame| {
            frame.bit = true;
            (frame.version, frame.tail.clone())
        });
        *if found.is_some() { &mut self.hits } else { &mut self.misses } += 1;
        found
    }

    fn put(&mut self, set: u32, key: &Key, version: Version, tail: &Bytes) -> bool {
        let mut frame = Frame { key: key.clone(), version, tail: tail.clone(), bit: false };
        let at = self.sets[set as usize]
            .frames
            .iter()
            .position(|frame| frame.as_ref().is_some_and(|frame| frame.key == *key));
        if let Some(at) = at {
            let old = self.sets[set as usize].frames[at].as_ref().map(|frame| frame.version);
            if old >= Some(version) {
                return false;
            }
            frame.bit = true;
            self.sets[set as usize].drop_key(key);
        }
        let others = self.bytes() - self.sets[set as usize].bytes();
        if tail.len() > TAIL_BYTES_MAX || others + frame.bytes() > self.bytes_max {
            return false;
        }
        let empty = self.sets[set as usize].frames.iter().position(Option::is_none);
        let mut room = at.or(empty);
        while room.is_none() || self.bytes() + frame.bytes() > self.bytes_max {
            let emptied = self.sets[set as usize].make_room();
            room = room.or(Some(emptied));
        }
        self.sets[set as usize].frames[room.expect("a frame")] = Some(frame);
        true
    }

    fn agree(&self, cache: &Cache) {
        for (index, set) in self.sets.iter().enumerate() {
            let view = cache.view(index as u32).expect("a set");
            assert_eq!(usize::from(view.hand), set.hand);
            for (way, frame) in view.ways.iter().zip(&set.frames) {
                let way = way.as_ref().map(|way| (&way.key, way.version, way.referenced));
                assert_eq!(way, frame.as_ref().map(|f| (&f.key, f.version, f.bit)));
            }
        }
        let stats = cache.stats();
        let evictions: u64 = self.sets.iter().map(|set| set.evictions).sum();
        assert_eq!(
            (stats.hits, stats.misses, stats.evictions),
            (self.hits, self.misses, evictions)
        );
        assert_eq!(stats.bytes, self.bytes() as u64);
        cache.check();
    }
}

/// All operations at random, each checked against the model.
fn run_against_model(shape: CacheShape, bytes_max: usize, seed: u64, steps: u32) {
    let cache = Cache::new(shape, bytes_max as u64, seed);
    let mut model = Model::new(shape, bytes_max);
    let mut numbers = Numbers(seed);
    let mut permits: Vec<(Key, Generation, u64)> = Vec::new();
    let keys = u64::from(shape.sets) * u64::from(shape.ways) * 2;
    for step in 0..steps {
        let key = key(numbers.below(keys));
        let set = cache.place(key.as_str()).0;
        let version = v(1 + numbers.below(u64::from(step) + 1));
        let length =
            if numbers.below(20) == 0 { TAIL_BYTES_MAX + 1 } else { numbers.below(90) as usize };
        let tail = Bytes::from(vec![step as u8; length]);
        match numbers.below(100) {
            0..40 => assert_eq!(cache.get(key.as_str()), model.get(set, &key)),
            40..50 => {
                let found = model.sets[set as usize].find(&key);
                let found = found.map(|frame| (frame.version, frame.tail.clone()));
                assert_eq!(cache.lookup(key.as_str()), found);
            }
            50..65 => {
                let generation = model.sets[set as usize].generation;
                permits.push((key.clone(), cache.generation(key.as_str()), generation));
            }
            65..80 if !permits.is_empty() => {
                let at = numbers.below(permits.len() as u64) as usize;
                let (key, at, generation) = permits.swap_remove(at);
                let set = cache.place(key.as_str()).0;
                let expected = model.sets[set as usize].generation == generation
                    && model.put(set, &key, version, &tail);
                assert_eq!(cache.fill(&key, version, tail, at), expected);
            }
            80..94 => {
                model.sets[set as usize].generation += 1;
                model.put(set, &key, version, &tail);
                cache.write(&key, version, tail);
            }
            94..97 => {
                model.sets[set as usize].generation += 1;
                if model.sets[set as usize].find(&key).is_some() {
                    model.put(set, &key, version, &tail);
                }
                cache.update(&key, version, &tail);
            }
            97..99 => {
                model.sets[set as usize].generation += 1;
                model.sets[set as usize].drop_key(&key);
                cache.remove(key.as_str());
            }
            _ if numbers.below(10) == 0 => {
                for set in &mut model.sets {
                    set.generation += 1;
                    set.frames.fill(None);
                }
                cache.clear();
            }
            _ => {}
        }
        model.agree(&cache);
    }
    let stats = cache.stats();
    assert!(stats.hits > 0 && stats.evictions > 0 && stats.second_chances > 0, "{stats:?}");
}

#[test]
fn one_set_is_second_chance() {
    for (seed, ways) in [1, 2, 3, 4, 8, 64].into_iter().enumerate() {
        let shape = CacheShape { sets: 1, ways };
        run_against_model(shape, 1 << 30, seed as u64, 3_000);
    }
}

#[test]
fn the_whole_cache_is_second_chance_in_each_set() {
    for seed in 0..4 {
        run_against_model(CacheShape { sets: 8, ways: 4 }, 1 << 30, seed, 4_000);
    }
}

#[test]
fn the_whole_cache_keeps_its_byte_bound_as_the_model_does() {
    for (seed, bytes_max) in [120, 300, 700, 1_000].into_iter().enumerate() {
        run_against_model(CacheShape { sets: 4, ways: 4 }, bytes_max, seed as u64, 4_000);
    }
}

/// The seeds' rules, one by one, on a set of three.
#[test]
fn second_chance_step_by_step() {
    let cache = cache(1, 3);
    (1..=3).for_each(|n| fill(&cache, n));
    let view = || cache.view(0).expect("the set");
    assert!(view().ways.iter().flatten().all(|way| !way.referenced), "new entries: bit clear");
    cache.get("k1");
    cache.get("k3");
    assert_eq!((view().hand, view().next_victim), (0, Some(1)));
    fill(&cache, 4);
    assert!(cached(&cache, 1) && !cached(&cache, 2), "the referenced one is passed over once");
    assert_eq!(view().hand, 2, "the hand stays where it stopped");
    assert!(!view().ways[0].as_ref().expect("k1").referenced, "and its bit is cleared");
    fill(&cache, 5);
    assert!(cached(&cache, 3) && !cached(&cache, 1), "only once");
    assert_eq!(view().hand, 1);
    let stats = cache.stats();
    assert_eq!((stats.evictions, stats.second_chances), (2, 2));
}

#[test]
fn h23_a_stale_fill_is_refused_though_the_write_left_no_entry() {
    let cache = cache(1, 1);
    assert_eq!(cache.get("k1"), None);
    let at = cache.generation("k1");
    cache.write(&key(1), v(2), tail("new"));
    cache.write(&key(2), v(3), tail("evicts it"));
    assert!(!cached(&cache, 1));
    assert!(!cache.fill(&key(1), v(1), tail("old"), at));
    assert!(!cached(&cache, 1));
}

#[test]
fn h23_a_write_too_long_to_cache_voids_fills_and_takes_the_entry_out() {
    let cache = cache(1, 2);
    let at = cache.generation("k1");
    fill(&cache, 1);
    cache.write(&key(1), v(2), Bytes::from(vec![0; TAIL_BYTES_MAX + 1]));
    assert!(!cached(&cache, 1));
    assert!(!cache.fill(&key(1), v(1), tail("old"), at));
    cache.write(&key(1), v(3), Bytes::from(vec![0; TAIL_BYTES_MAX]));
    assert!(cached(&cache, 1), "the limit itself is allowed");
}

#[test]
fn h24_a_deleted_key_does_not_come_back() {
    let cache = cache(1, 2);
    let at = cache.generation("k1");
    cache.remove("k1");
    assert!(!cache.fill(&key(1), v(1), tail("old"), at));
    assert_eq!(cache.lookup("k1"), None);
    let at = cache.generation("k1");
    cache.clear();
    assert!(!cache.fill(&key(1), v(1), tail("old"), at));
}

#[test]
fn h25_of_two_commits_the_newer_one_stays() {
    let cache = cache(1, 2);
    cache.write(&key(1), v(2), tail("new"));
    cache.write(&key(1), v(1), tail("old"));
    assert_eq!(cache.lookup("k1"), Some((v(2), tail("new"))));
    let at = cache.generation("k1");
    assert!(!cache.fill(&key(1), v(1), tail("old"), at));
    assert!(!cache.fill(&key(1), v(2), tail("same"), at));
    assert_eq!(cache.lookup("k1"), Some((v(2), tail("new"))));
}

#[test]
fn h66_a_sweep_of_a_set_that_is_referenced_throughout_ends() {
    let cache = cache(1, WAYS_MAX);
    for n in 0..u64::from(WAYS_MAX) {
        fill(&cache, n);
        cache.get(key(n).as_str());
    }
    assert_eq!(cache.view(0).expect("the set").next_victim, Some(0));
    fill(&cache, 100);
    assert!(!cached(&cache, 0) && cached(&cache, 1));
    assert_eq!(cache.stats().second_chances, u64::from(WAYS_MAX));
    assert_eq!(cache.view(0).expect("the set").hand, 1);
}

#[test]
fn a_fill_does_not_void_another_fill_of_its_set() {
    let cache = cache(1, 2);
    let (one, two) = (cache.generation("k1"), cache.generation("k2"));
    assert!(cache.fill(&key(1), v(1), tail("a"), one));
    assert!(cache.fill(&key(2), v(1), tail("b"), two));
}

#[test]
fn a_replaced_entry_is_a_referenced_one_and_keeps_its_way() {
    let cache = cache(1, 2);
    fill(&cache, 1);
    fill(&cache, 2);
    cache.write(&key(1), v(9), tail("new"));
    assert_eq!(cache.place("k1"), (0, Some(0)));
    fill(&cache, 3);
    assert!(cached(&cache, 1) && !cached(&cache, 2));
}

#[test]
fn lookup_leaves_no_trace() {
    let cache = cache(1, 1);
    fill(&cache, 1);
    let before = (cache.stats(), cache.view(0));
    cache.lookup("k1");
    cache.lookup("k2");
    assert_eq!((cache.stats(), cache.view(0)), before);
}

#[test]
fn at_the_byte_bound_a_value_makes_room_in_its_own_set_or_stays_out() {
    // Each entry: 2 bytes of key and 8 of tail.
    let cache = Cache::new(CacheShape { sets: 2, ways: 4 }, 40, 1);
    let in_set = |set: u32| (10..100).filter(move |n| cache_set(1, *n) == set);
    fn cache_set(seed: u64, n: u64) -> u32 {
        Cache::new(CacheShape { sets: 2, ways: 1 }, 0, seed).place(&format!("{n}")).0
    }
    let key = |n: u64| Key::new(&n.to_string()).expect("a valid key");
    let (zero, one): (Vec<u64>, Vec<u64>) = (in_set(0).collect(), in_set(1).collect());
    for n in zero[..3].iter().chain(&one[..1]) {
        cache.write(&key(*n), v(1), tail("12345678"));
    }
    assert_eq!(cache.stats().bytes, 40);
    cache.write(&key(one[1]), v(1), tail("12345678"));
    assert_eq!(cache.lookup(key(one[0]).as_str()), None, "its own set made room");
    assert!(cache.lookup(key(zero[0]).as_str()).is_some());
    cache.write(&key(one[1]), v(2), tail("123456789"));
    assert_eq!(cache.lookup(key(one[1]).as_str()), None, "it does not fit: the old one is out");
    assert_eq!(cache.stats().entries, 3);
    cache.write(&key(zero[3]), v(1), tail("1234567890123456789012"));
    assert_eq!(cache.stats().bytes, 10 + 10 + 24 - 10, "as many made room as were needed");
    cache.check();
}

#[test]
fn a_seed_moves_keys_to_other_sets() {
    let sets = |seed| {
        let cache = Cache::new(CacheShape { sets: 1 << 10, ways: 1 }, 0, seed);
        (0..64).map(|n| cache.place(key(n).as_str()).0).collect::<Vec<_>>()
    };
    assert_eq!(sets(1), sets(1));
    assert_ne!(sets(1), sets(2));
}
