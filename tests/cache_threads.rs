//! Many threads on one cache: it stays within its invariants and never hands out a stale value.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cluster::core::cache::{Cache, CacheShape};
use protocol::ids::{Key, Value, Version};

const KEYS: u64 = 96;
const THREADS: u64 = 4;
const STEPS: u64 = 60_000;

/// One key as the rest of the cluster knows it: the committed version, and the newest version whose
/// write into the cache is over, so that no later read may see an older one (H23, H24, H25).
#[derive(Default)]
struct Truth {
    committed: AtomicU64,
    visible: AtomicU64,
}

fn tail(version: u64) -> Value {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.resize(8 + (version % 50) as usize, 0);
    Value::from(bytes)
}

/// One thread's part: it reads and fills any key, and commits those that are its own.
fn hammer(cache: &Cache, truth: &[Truth], keys: &[Key], thread: u64) {
    let mut state = thread + 1;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    };
    for step in 1..=STEPS {
        let at = below(KEYS) as usize;
        let (key, known) = (&keys[at], &truth[at]);
        let visible = known.visible.load(SeqCst);
        if let Some((_, tail)) = cache.get(key.as_str()) {
            let version = u64::from_le_bytes(tail[..8].try_into().expect("8 bytes"));
            assert!(version >= visible, "{key:?}: {version} was read after {visible}");
        } else {
            let permit = cache.generation(key.as_str());
            let version = known.committed.load(SeqCst);
            if below(8) == 0 {
                std::thread::yield_now();
            }
            cache.fill(key, Version::from_number(version), tail(version).0, permit);
        }
        let own = (below(KEYS / THREADS) * THREADS + thread) as usize;
        if below(4) == 0 {
            truth[own].committed.store(step, SeqCst);
            match below(8) {
                0 => cache.remove(keys[own].as_str()),
                _ => cache.write(&keys[own], Version::from_number(step), tail(step).0),
            }
            truth[own].visible.store(step, SeqCst);
        }
    }
}

#[test]
fn four_threads_never_read_a_stale_value() {
    for (ways, bytes_max) in [(4, 1 << 20), (4, 900), (1, 1 << 20)] {
        let cache = Cache::new(CacheShape { sets: 8, ways }, bytes_max, 7);
        let truth: Vec<Truth> = (0..KEYS).map(|_| Truth::default()).collect();
        let keys: Vec<Key> =
            (0..KEYS).map(|n| Key::new(&format!("k{n}")).expect("a valid key")).collect();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, truth, keys) = (&cache, &truth, &keys);
                scope.spawn(move || hammer(cache, truth, keys, thread));
            }
        });
        cache.check();
        let stats = cache.stats();
        assert_eq!(stats.hits + stats.misses, THREADS * STEPS);
        assert!(stats.hits > 0 && stats.evictions > 0, "{stats:?}");
    }
}
