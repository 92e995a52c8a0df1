//! Updates with conditions, drawn at random, against a store that does one thing after the other.

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

/// One request of the property test, as plain data.
#[derive(Debug, Clone)]
struct Asked {
    /// Key, and the version that it must have.
    tests: Vec<(usize, Option<Version>)>,
    /// Key, and whether it must exist, and whether it is there afterwards.
    writes: Vec<(usize, bool, bool)>,
    is_txn: bool,
}

impl Asked {
    fn draw(numbers: &mut Numbers, keys: u64, known: &[Version]) -> Self {
        let key = numbers.below(keys) as usize;
        let version = |numbers: &mut Numbers| match numbers.below(known.len() as u64 + 1) as usize {
            0 => Version::new(Epoch(1), 1 << 40),
            // Rather a late one.
            n => known[known.len() - 1 - (n - 1) % known.len().min(6)],
        };
        let single =
            |tests, must, stays| Self { tests, writes: vec![(key, must, stays)], is_txn: false };
        match numbers.below(8) {
            0 => single(vec![], false, true),
            1 => single(vec![(key, None)], false, true),
            2 => single(vec![], true, true),
            3 => single(vec![(key, Some(version(numbers)))], false, true),
            4 => single(vec![], true, false),
            5 => single(vec![(key, Some(version(numbers)))], true, false),
            _ => {
                let mut tests = Vec::new();
                for _ in 0..numbers.below(3) {
                    let wanted = (numbers.below(3) > 0).then(|| version(numbers));
                    tests.push((numbers.below(keys) as usize, wanted));
                }
                let mut writes = vec![(key, numbers.below(3) == 0, true)];
                let other = numbers.below(keys) as usize;
                if other != key {
                    let gone = numbers.below(3) == 0;
                    writes.push((other, gone, !gone));
                }
                Self { tests, writes, is_txn: true }
            }
        }
    }

    fn to_update(&self, keys: &[Key], text: &str) -> Update {
        let value = || Value::from(text);
        let (at, must, stays) = self.writes[0];
        let key = keys[at].clone();
        match (self.is_txn, self.tests.first(), must, stays) {
            (false, None, false, _) => Update::put(key, value()),
            (false, None, true, true) => Update::put_existing(key, value()),
            (false, Some((_, None)), ..) => Update::put_if_absent(key, value()),
            (false, Some((_, Some(version))), _, true) => Update::cas(key, value(), *version),
            (false, tested, _, false) => Update::del(key, tested.and_then(|(_, v)| *v)),
            (true, ..) => {
                let tests = self.tests.iter().map(|(at, v)| test(&keys[*at], *v)).collect();
                let write = |(at, must, stays): &(usize, bool, bool)| {
                    let change = match (must, stays) {
                        (false, _) => Change::Put(value()),
                        (true, true) => Change::Update(value()),
                        (true, false) => Change::Del,
                    };
                    Write { key: keys[*at].clone(), change }
                };
                Update::txn(tests, self.writes.iter().map(write).collect())
            }
        }
    }

    /// What a store that does one thing after the other answers; `Ok`: it is done.
    fn naive(&self, store: &[Option<Version>]) -> Result<(), (ErrorCode, Option<Version>)> {
        for (at, wanted) in &self.tests {
            match (wanted, store[*at]) {
                (None, None) => {}
                (Some(wanted), Some(found)) if *wanted == found => {}
                (None, Some(found)) if !self.is_txn => {
                    return Err((ErrorCode::Exists, Some(found)));
                }
                (Some(_), None) if !self.is_txn => return Err((ErrorCode::NotFound, None)),
                (_, found) => return Err((ErrorCode::VersionMismatch, found)),
            }
        }
        match self.writes.iter().find(|(at, must, _)| *must && store[*at].is_none()) {
            Some(_) => Err((ErrorCode::NotFound, None)),
            None => Ok(()),
        }
    }
}

/// Nodes refuse some of what they are asked, votes and looks are held back for a while, the cache
/// forgets: the answers are those of a store that does one thing after the other, in the order of
/// arrival, without what was aborted.
fn against_the_naive_store(seed: u64) -> [usize; 3] {
    let mut numbers = Numbers(seed);
    let mut world = World::founded();
    let keys = [
        world.key_at([0, 1], "a"),
        world.key_at([1, 2], "b"),
        world.key_at([0, 2], "c"),
        world.key_at([0, 1], "d"),
    ];
    let mut asked: Vec<(Asked, ClientId)> = Vec::new();
    let mut known = Vec::new();
    for n in 0..80 {
        let request = Asked::draw(&mut numbers, keys.len() as u64, &known);
        let update = request.to_update(&keys, &format!("v{n}"));
        let client = world.update(numbers.below(4), update);
        asked.push((request, client));
        match numbers.below(8) {
            0 => world.spoil_prepares(&mut numbers),
            1 => drop(world.mute.insert(numbers.below(3) as usize)),
            2 => drop(world.stuck.insert(numbers.below(3) as usize)),
            3 => {
                world.mute.clear();
                world.stuck.clear();
            }
            4 => world.forget(&keys[numbers.below(4) as usize]),
            _ => {}
        }
        if numbers.below(3) > 0 {
            world.run();
        }
        let done = asked.iter().filter(|(_, client)| is_ok(world.answer(*client)));
        known = done.map(|(_, client)| found_version(world.answer(*client))).collect();
    }
    world.mute.clear();
    world.stuck.clear();
    world.run();
    world.advance(100);
    let mut store = [None; 4];
    let mut counts = [0; 3];
    for (place, (request, client)) in asked.iter().enumerate() {
        let answer = world.answer(*client);
        if code(answer) == Some(ErrorCode::Aborted) {
            counts[2] += 1;
            continue;
        }
        let what = format!("seed {seed}, request {place}, {request:?}: {answer:?}");
        match request.naive(&store) {
            Ok(()) => {
                assert!(is_ok(answer), "{what}");
                counts[0] += 1;
                for (at, _, stays) in &request.writes {
                    store[*at] = stays.then(|| found_version(answer));
                }
            }
            Err((code, version)) => {
                assert!(matches!(answer, Some(Answer::Error(_))), "{what}, expected {code:?}");
                let error = error(answer);
                assert_eq!((error.code, error.version), (code, version), "{what}");
                counts[1] += 1;
            }
        }
    }
    for (at, key) in keys.iter().enumerate() {
        for node in world.holders(key) {
            let there = world.nodes[node].keys.get(key).filter(|found| found.value.is_some());
            assert_eq!(there.map(|found| found.version), store[at], "seed {seed}, {key:?}");
        }
    }
    counts
}

impl World {
    /// Some of the prepares that are on their way become unacceptable to one of their nodes.
    fn spoil_prepares(&mut self, numbers: &mut Numbers) {
        self.tell(0, Input::Flush);
        for wire in self.wires.values_mut() {
            for down in &mut wire.down {
                let DownBody::Batch(batch) = &mut down.body else { continue };
                for prepare in &mut batch.prepare {
                    if numbers.below(3) == 0 {
                        Arc::make_mut(prepare).writes.clear();
                    }
                }
            }
        }
    }
}

#[test]
fn evaluation_agrees_with_a_store_that_does_one_thing_after_the_other() {
    let mut all = [0; 3];
    for seed in 0..400 {
        for (sum, count) in all.iter_mut().zip(against_the_naive_store(seed)) {
            *sum += count;
        }
    }
    let [done, refused, aborted] = all;
    assert!(done > 8_000 && refused > 4_000 && aborted > 200, "too one-sided: {all:?}");
}
