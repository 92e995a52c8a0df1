//! The caches of simulated nodes: at any moment at which a keystore has done all its jobs, what is
//! cached in front of it is what it has. And how much was answered from them.
//!
//! Called by `node` and `finish`. Changes nothing.

use cluster::storage::keystore::{Keystore, Stored};
use protocol::ids::{Key, Value};

use super::coordinator::key_of;
use super::node::Process;
use super::world::{Failure, World};

impl World {
    /// Looks at a node's cache, while its keystore has no job.
    pub(super) fn check_cache(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let keys = self.plan.all_keys().map(key_of).filter(|key| !self.is_rotten(key));
        if let Some(stale) = stale_entry(process, keys) {
            self.fail(Failure::StaleCache(format!("node {node}: {stale}")));
        }
    }

    /// What its process has answered from its cache; to be called once in the process's life.
    pub(super) fn count_cache_hits(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let stats = process.core.cache().stats();
        self.coverage.add("node cache hits", stats.hits);
        self.coverage.add("node cache evictions", stats.evictions);
    }
}

/// An entry of the cache that is not what the keystore has, now that it has done all its jobs.
fn stale_entry(process: &Process, mut keys: impl Iterator<Item = Key>) -> Option<String> {
    let cache = process.core.cache();
    cache.check();
    keys.find_map(|key| {
        let (version, value) = cache.lookup(key.as_str())?;
        let stored = process.keystore.get(&key).expect("what was applied is whole");
        let same = |stored: &Stored| {
            let kept = stored.value.as_ref().map(Value::as_bytes);
            stored.version == version && kept == Some(&value[..])
        };
        (!stored.as_ref().is_some_and(same))
            .then(|| format!("{key:?} is cached as {version}, and the keystore has {stored:?}"))
    })
}
