//! Checks the storage engine's manifests before the engine reads them.
//!
//! Called by `fjall` at open. The engine writes a checksum of each manifest and does not compare
//! it: a flipped bit there makes it allocate without bound, or read the wrong tables; and a tree
//! whose manifest is missing it takes for new, and empties. Reads only; knows of the engine's
//! files no more than this (lsm-tree 3.1):
//!
//! file                    | field    | width | meaning (little-endian)
//! ------------------------|----------|-------|----------------------------------------------
//! keyspaces/N/current     | version  | 8     | V
//!                         | checksum | 16    | `xxh3_128` of the file `keyspaces/N/vV`
//!                         | kind     | 1     | 0: the checksum is that
//! keyspaces/N/vV          |          |       | the manifest: which tables make up the tree

use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::KeystoreError;
use crate::storage::codec::{BadRecord, Reader};

/// Longest manifest that is read, bytes: some millions of tables.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
const POINTER_BYTES: u64 = 25;

/// Checks every manifest of the engine's directory `path`.
///
/// # Errors
/// `Corrupt` if one is damaged or missing, `Failed` if the disk cannot be read.
pub(super) fn verify(path: &Path) -> Result<(), KeystoreError> {
    let failed = |error: std::io::Error| {
        KeystoreError::Failed(format!("directory {}: {error}", path.display()))
    };
    for entry in fs::read_dir(path.join("keyspaces")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() && !is_whole(&entry.path()) {
            let tree = entry.path();
            return Err(KeystoreError::Corrupt(format!("no manifest in {}", tree.display())));
        }
    }
    Ok(())
}

fn is_whole(tree: &Path) -> bool {
    let read = |name: &str, bytes_max: u64| {
        let file = tree.join(name);
        let length = fs::metadata(&file).ok()?.len();
        if length > bytes_max { None } else { fs::read(file).ok() }
    };
    let Some(pointer) = read("current", POINTER_BYTES) else { return false };
    let Ok((version, checksum, kind)) = decode(&pointer) else { return false };
    let manifest = read(&format!("v{version}"), MANIFEST_BYTES_MAX);
    kind == 0 && manifest.is_some_and(|manifest| xxh3_128(&manifest) == checksum)
}

fn decode(pointer: &[u8]) -> Result<(u64, u128, u8), BadRecord> {
    let mut reader = Reader::new(pointer);
    Ok((reader.u64()?, reader.u128()?, reader.u8()?))
}
