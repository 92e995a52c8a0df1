//! Keys in portions: what is asked for, and where a portion ends.
//!
//! Used by `Keystore` for all that goes through many keys: each portion is short, so that nothing
//! waits long behind it.

use std::ops::Bound;

use protocol::ids::{Key, Value, Version};
use protocol::peer::{CopyAsk, Span};

use super::{KeystoreError, Stored};

/// As many times the bytes of values that are taken may be read for them.
const READ_TIMES: usize = 16;
/// Of a step that takes no values: it ends after some megabytes of them, too.
const STEP_BYTES: usize = 256 << 10;

/// The keys of a scan or a copy, and where it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Sorted by the keys' bytes.
    pub items: Vec<(Key, Stored)>,
    /// There may be more after this key; `None`: that was all.
    pub through: Option<Key>,
}

/// What a scan looks at, and how much it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What the keys begin with; empty: all keys.
    pub prefix: Box<str>,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// It ends after so many keys, tombstones counted; at least 1.
    pub looks_max: usize,
    /// It ends when the values have so many bytes.
    pub bytes_max: usize,
}

impl Scan {
    /// Where it begins, among keys.
    pub(super) fn start(&self) -> Bound<Key> {
        let prefix = Key::new(&self.prefix).ok();
        match (&self.after, prefix) {
            (Some(after), prefix) if prefix.as_ref().is_none_or(|p| p <= after) => {
                Bound::Excluded(after.clone())
            }
            (_, Some(prefix)) => Bound::Included(prefix),
            (_, None) => Bound::Unbounded,
        }
    }
}

/// What a copy takes, and how much it may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyScan {
    /// Only keys that lie in one of these stretches of the ring.
    pub spans: Vec<Span>,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// Only what was written by this version or a later one.
    pub since: Version,
    /// It ends after so many keys, wherever they lie; at least 1.
    pub looks_max: usize,
    /// It ends when the values have so many bytes, or not much later.
    pub bytes_max: usize,
}

impl CopyScan {
    /// What `ask` is for.
    pub fn of(ask: CopyAsk, looks_max: usize) -> Self {
        let CopyAsk { r: _, after, since, spans, bytes_max } = ask;
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self { spans, after, since, looks_max, bytes_max }
    }
}

/// Where the keys after this one begin.
pub(super) fn behind(after: Option<&Key>) -> Bound<Key> {
    after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()))
}

/// A page on its way.
pub(super) struct Paging {
    pub(super) page: Page,
    looks: usize,
    looks_max: usize,
    taken: usize,
    read: usize,
    bytes_max: usize,
}

impl Paging {
    pub(super) fn new(looks_max: usize, bytes_max: usize) -> Self {
        assert!(looks_max > 0, "a scan that looks at nothing goes round in circles");
        Self { page: Page::default(), looks: 0, looks_max, taken: 0, read: 0, bytes_max }
    }

    /// One that takes nothing.
    pub(super) fn step(looks_max: usize) -> Self {
        Self::new(looks_max, STEP_BYTES)
    }

    /// Has looked at the next key, and takes it if it is wanted; false if the page ends with it.
    pub(super) fn look(
        &mut self,
        key: Key,
        stored: Stored,
        wanted: bool,
    ) -> Result<bool, KeystoreError> {
        let bytes = stored.value.as_ref().map_or(0, Value::len);
        self.looks += 1;
        self.read += bytes;
        self.taken += if wanted { bytes } else { 0 };
        let full = self.looks >= self.looks_max
            || self.taken >= self.bytes_max
            || self.read >= self.bytes_max.saturating_mul(READ_TIMES);
        if full {
            self.page.through = Some(key.clone());
        }
        if wanted {
            let stored = stored.verified(&key)?;
            self.page.items.push((key, stored));
        }
        Ok(!full)
    }
}
