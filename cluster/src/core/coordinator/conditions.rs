//! What an update asks for, and what it comes to on a given state.
//!
//! The connections make an [`Update`] of each request that writes; `evaluate` finds out what its
//! keys hold and asks here. Pure: no queue, cache or node is known here.

use protocol::error::ErrorReply;
use protocol::ids::{Key, Value, Version};
use protocol::peer::{WireValue, WireWrite};

/// What a key in the queues costs beyond its bytes and its value's.
const KEY_COST_BYTES: usize = 256;

/// Writes of one key or of several, all or none, and what must hold for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Must all hold. A key may be there twice.
    pub(super) tests: Vec<Test>,
    /// Never empty, and every key at most once.
    pub(super) writes: Vec<Write>,
    /// Refusals name the key.
    is_txn: bool,
}

/// What must hold of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The key.
    pub key: Key,
    /// The version that it must have; `None`: there must be no such key.
    pub version: Option<Version>,
}

/// What is done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// How it is changed.
    pub change: Change,
}

/// How a key is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set, whether it exists or not.
    Put(Value),
    /// Set; it must exist.
    Update(Value),
    /// Removed; it must exist.
    Del,
}

/// What is at a key when an update is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// Of the value or tombstone; zero where the key was never written.
    pub(super) version: Version,
    pub(super) exists: bool,
}

impl Base {
    fn current(self) -> Option<Version> {
        self.exists.then_some(self.version)
    }
}

impl Update {
    fn single(key: Key, change: Change, tests: Vec<Test>) -> Self {
        Self { tests, writes: vec![Write { key, change }], is_txn: false }
    }

    /// Sets a key.
    pub fn put(key: Key, value: Value) -> Self {
        Self::single(key, Change::Put(value), Vec::new())
    }

    /// Sets a key that is not there.
    pub fn put_if_absent(key: Key, value: Value) -> Self {
        let test = Test { key: key.clone(), version: None };
        Self::single(key, Change::Put(value), vec![test])
    }

    /// Sets a key that is there.
    pub fn put_existing(key: Key, value: Value) -> Self {
        Self::single(key, Change::Update(value), Vec::new())
    }

    /// Sets a key that has this version.
    pub fn cas(key: Key, value: Value, version: Version) -> Self {
        let test = Test { key: key.clone(), version: Some(version) };
        Self::single(key, Change::Put(value), vec![test])
    }

    /// Removes a key that is there, and has this version if one is given.
    pub fn del(key: Key, version: Option<Version>) -> Self {
        let test = version.map(|version| Test { key: key.clone(), version: Some(version) });
        Self::single(key, Change::Del, test.into_iter().collect())
    }

    /// Several writes where all tests hold.
    ///
    /// # Panics
    /// If there is no write, or a key is written twice: the parser has seen to that.
    pub fn txn(tests: Vec<Test>, writes: Vec<Write>) -> Self {
        let mut keys: Vec<&Key> = writes.iter().map(|write| &write.key).collect();
        keys.sort_unstable();
        assert!(!keys.is_empty() && keys.windows(2).all(|pair| pair[0] < pair[1]));
        Self { tests, writes, is_txn: true }
    }

    /// What its request was called.
    pub(super) fn name(&self) -> &'static str {
        match (&self.writes[0].change, self.tests.first()) {
            _ if self.is_txn => "txn",
            (Change::Put(_), Some(Test { version: Some(_), .. })) => "cas",
            (Change::Put(_), _) => "put",
            (Change::Update(_), _) => "update",
            (Change::Del, _) => "del",
        }
    }

    /// All its keys, sorted.
    pub(super) fn keys(&self) -> Vec<Key> {
        let written = self.writes.iter().map(|write| write.key.clone());
        let mut keys: Vec<Key> = written.collect();
        keys.extend(self.tests.iter().map(|test| test.key.clone()));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The keys of which it matters what they hold, each once.
    pub(super) fn tested(&self) -> Vec<Key> {
        let written = self.writes.iter().filter(|write| !matches!(write.change, Change::Put(_)));
        let mut keys: Vec<Key> = written.map(|write| write.key.clone()).collect();
        keys.extend(self.tests.iter().map(|test| test.key.clone()));
        if keys.len() > 1 {
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// Whether it tests a key that it does not write.
    pub(super) fn tests_elsewhere(&self) -> bool {
        let writes = |key: &Key| self.writes.iter().any(|write| write.key == *key);
        self.tests.iter().any(|test| !writes(&test.key))
    }

    /// What it counts for while it waits.
    pub(super) fn bytes(&self) -> usize {
        let value = |change: &Change| match change {
            Change::Put(value) | Change::Update(value) => value.len(),
            Change::Del => 0,
        };
        let key = |key: &Key| key.as_bytes().len() + KEY_COST_BYTES;
        let tests: usize = self.tests.iter().map(|test| key(&test.key)).sum();
        tests + self.writes.iter().map(|w| key(&w.key) + value(&w.change)).sum::<usize>()
    }

    /// The plain writes that it comes to where its tested keys hold this, or why it is refused.
    /// `base` is asked for tested keys only.
    pub(super) fn on(
        &self,
        base: impl Fn(&Key) -> Option<Base>,
    ) -> Result<Vec<WireWrite>, Box<ErrorReply>> {
        for Test { key, version } in &self.tests {
            let current = base(key).and_then(Base::current);
            if current != *version {
                return Err(Box::new(self.mismatch(key, *version, current)));
            }
        }
        let resolve = |write: &Write| {
            let found = base(&write.key);
            let exists = found.is_some_and(|base| base.exists);
            let value = match &write.change {
                Change::Put(value) => Some(value),
                Change::Update(value) if exists => Some(value),
                Change::Del if exists => None,
                Change::Update(_) | Change::Del if self.is_txn => {
                    return Err(Box::new(ErrorReply::key_not_found(write.key.as_str())));
                }
                Change::Update(_) | Change::Del => return Err(Box::new(ErrorReply::not_found())),
            };
            let value = value.cloned().map(WireValue);
            let previous = found.map(|base| base.version);
            // Who holds it is known when it is handed over.
            let holders = Vec::new();
            Ok(WireWrite { key: write.key.clone(), value, previous, holders })
        };
        self.writes.iter().map(resolve).collect()
    }

    fn mismatch(&self, key: &Key, wanted: Option<Version>, current: Option<Version>) -> ErrorReply {
        match (wanted, current) {
            (None, Some(version)) if !self.is_txn => ErrorReply::exists(version),
            (Some(_), None) if !self.is_txn => ErrorReply::not_found(),
            _ => ErrorReply::version_mismatch(key.as_str(), current),
        }
    }
}
