//! Whose a file is and which program wrote it: the part that the headers of all files share.
//!
//! Used by `log`, `small_file` and `keystore`. Never decides what to do about a stranger's file.

use protocol::ids::Uuid;

use super::codec::{BadRecord, Reader};

/// The first words of a node's file `store`, with its format; the store's UUID follows.
pub const STORE_MAGIC: &str = "piazza-store 1 ";
/// Width of the program's version in a header, bytes.
pub(crate) const PROGRAM_BYTES: usize = 32;

/// The store that files belong to, and its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; 0 before it was founded.
    pub cluster: Uuid,
    /// The store: one directory's content, for ever.
    pub store: Uuid,
}

impl Identity {
    /// Whether a file that says it is `other`'s is one of ours: a cluster of 0, on either side,
    /// goes with any.
    pub(crate) fn accepts(&self, other: &Self) -> bool {
        let founded = self.cluster != Uuid(0) && other.cluster != Uuid(0);
        self.store == other.store && (!founded || self.cluster == other.cluster)
    }
}

/// Appends this program's version, padded with zeros to its width.
pub(crate) fn put_program(into: &mut Vec<u8>) {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let mut padded = [0; PROGRAM_BYTES];
    let length = version.len().min(PROGRAM_BYTES);
    padded[..length].copy_from_slice(&version[..length]);
    into.extend_from_slice(&padded);
}

/// Reads what [`put_program`] wrote; anything that is not text is shown as `?`.
pub(crate) fn read_program(reader: &mut Reader<'_>) -> Result<String, BadRecord> {
    let padded = reader.take(PROGRAM_BYTES)?;
    let visible = padded.iter().take_while(|byte| **byte != 0);
    Ok(visible.map(|b| if b.is_ascii_graphic() { *b as char } else { '?' }).collect())
}
