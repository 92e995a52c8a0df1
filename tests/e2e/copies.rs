//! Do all nodes that hold a key hold the same, once the cluster is stopped?
//!
//! Reads the nodes' keystores as they lie on disk. A stop saves all that was decided, so each of a
//! key's holders must have its last value and version there, and nobody else has the key at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cluster::storage::identity::Identity;
use cluster::storage::keystore::fjall::{CACHE_BYTES, FjallKeystore};
use cluster::storage::keystore::{Keystore, Scan};
use protocol::ids::{Uuid, Version};

use super::cluster::Ring;

/// Keys read at a time.
const PAGE_KEYS: usize = 1_000;

/// What one node holds of each key.
type Copies = BTreeMap<String, (Version, Vec<u8>)>;

/// Compares the copies in `data`, the directory of a cluster that has stopped; how many keys there
/// are, or what is wrong.
pub(super) fn compare(data: &Path, ring: &Ring) -> Result<usize, String> {
    let names = ring.names();
    let copies: BTreeMap<&String, Copies> =
        names.iter().map(|name| (name, read(&data.join(name)))).collect();
    let mut all: Vec<&String> = copies.values().flat_map(BTreeMap::keys).collect();
    all.sort();
    all.dedup();
    for key in &all {
        let holders = ring.holders(key);
        let expected = copies[&holders[0]].get(*key);
        for name in &names {
            let own = copies[name].get(*key);
            let wanted = expected.filter(|_| holders.contains(name));
            if own != wanted {
                let versions: Vec<String> = copies
                    .iter()
                    .map(|(name, copies)| {
                        let version = copies.get(*key).map(|(version, _)| version.to_string());
                        format!("{name}: {}", version.as_deref().unwrap_or("nothing"))
                    })
                    .collect();
                return Err(format!(
                    "key {key:?} should be on {holders:?}, the same on each, but the nodes have {}",
                    versions.join(", ")
                ));
            }
        }
    }
    Ok(all.len())
}

fn read(node: &Path) -> Copies {
    let store = fs::read_to_string(node.join("store")).expect("a store's name");
    let store: Uuid = store
        .split_whitespace()
        .last()
        .and_then(|uuid| uuid.parse().ok())
        .unwrap_or_else(|| panic!("no uuid in {store:?}"));
    let identity = Identity { cluster: Uuid(0), store };
    let keystore = FjallKeystore::open(&node.join("keys"), identity, CACHE_BYTES)
        .unwrap_or_else(|error| panic!("{}: {error}", node.display()));
    let mut copies = Copies::new();
    let mut after = None;
    loop {
        let scan = Scan { prefix: "".into(), after, looks_max: PAGE_KEYS, bytes_max: 16 << 20 };
        let page = keystore.scan(&scan).unwrap_or_else(|error| panic!("{error}"));
        for (key, stored) in page.items {
            let value = stored.value.expect("a scan shows live keys");
            let copy = (stored.version, value.as_bytes().to_vec());
            copies.insert(key.as_str().to_owned(), copy);
        }
        after = page.through;
        if after.is_none() {
            return copies;
        }
    }
}
