//! What the clients of the mixed workload were told, and what can be judged the moment it is told.
//!
//! One book for all of them, locked for each entry. Values are `NUMBER:PAYLOAD`, the number being
//! the history's. Judged at once: a value is one that was written for that key, whole; a version
//! of a key is one value for ever, and a value was given one version, so it was written once. A
//! fault ends the client that met it with the history of the key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::client::ClientError;
use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::Version;
use protocol::reply::Versioned;

use crate::check::{Action, History, Op, Outcome, ValueId};

/// How many operations of a key a failure shows, the last ones.
const SHOWN_MAX: usize = 100;

/// A value that a key was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: ValueId,
    pub(super) payload: String,
    pub(super) version: Version,
}

/// Who asked for what, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// What is counted, and printed at the end.
    pub(super) kind: &'static str,
    pub(super) client: u32,
    pub(super) invoke: u64,
}

/// What a client knows at the end of an update.
#[derive(Debug)]
pub(super) enum Told {
    /// It happened, and this is its version.
    Done(Version),
    /// Its condition was not met.
    Unmet(Box<ErrorReply>),
    /// A deletion has found nothing.
    NotThere,
    /// It did not and will not happen.
    Refused,
    Unknown,
}

impl From<Result<Version, ClientError>> for Told {
    fn from(result: Result<Version, ClientError>) -> Self {
        match result {
            Ok(version) => Self::Done(version),
            Err(ClientError::Condition(reply)) => Self::Unmet(reply),
            Err(ClientError::Unknown { .. }) => Self::Unknown,
            Err(error) if error.is_safe_to_repeat() => Self::Refused,
            Err(error) => panic!("an update was answered with {error:?}"),
        }
    }
}

/// The book.
pub(super) struct Book {
    begin: Instant,
    ok: AtomicU64,
    stop: AtomicBool,
    entries: Mutex<Entries>,
}

/// What is in it.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) history: History,
    /// How often each kind of operation ended how.
    pub(super) counts: BTreeMap<(&'static str, &'static str), u64>,
    texts: HashMap<ValueId, (Arc<str>, Box<str>)>,
    keys: BTreeSet<Arc<str>>,
    by_version: HashMap<(Arc<str>, Version), ValueId>,
    versions: HashMap<ValueId, Version>,
    /// Entries that are reads of a version, whose value may be learned later.
    seen: Vec<(usize, Version)>,
}

impl Book {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            ok: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            entries: Mutex::default(),
        })
    }

    /// Whether the clients shall go on.
    pub(super) fn is_open(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    /// Tells the clients to end.
    pub(super) fn close(&self) {
        self.stop.store(true, Relaxed);
    }

    /// How many operations were successful so far.
    pub(super) fn ok_count(&self) -> u64 {
        self.ok.load(Relaxed)
    }

    /// An operation begins.
    pub(super) fn ask(&self, kind: &'static str, client: u32) -> Asked {
        Asked { kind, client, invoke: self.now() }
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        // A client that failed has written whole entries only.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    /// A value to be written to `key`; its payload may depend on its number.
    pub(super) fn value(
        &self,
        key: &str,
        payload: impl FnOnce(ValueId) -> String,
    ) -> (ValueId, String) {
        let mut entries = self.entries();
        let id = entries.texts.len() as ValueId + 1;
        let text = format!("{id}:{}", payload(id));
        let key = entries.name(key);
        entries.texts.insert(id, (key, text.as_str().into()));
        (id, text)
    }

    /// The keys that begin with `prefix` and were written to, or nearly, by now.
    pub(super) fn keys(&self, prefix: &str) -> Vec<Arc<str>> {
        let entries = self.entries();
        let from = entries.keys.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// What `key` holds is what `asked` was told.
    pub(super) fn read(&self, asked: Asked, key: &str, found: Option<&Versioned>) -> Option<Held> {
        let held = found.map(|found| self.learn(key, found.version, found.value.as_bytes()));
        let action = Action::Get(held.as_ref().map(|held| held.id));
        self.enter(asked, key, action, Outcome::Ok);
        held
    }

    /// An operation was answered.
    pub(super) fn count_ok(&self, kind: &'static str) {
        self.ok.fetch_add(1, Relaxed);
        self.count(kind, "ok");
    }

    pub(super) fn count(&self, kind: &'static str, outcome: &'static str) {
        *self.entries().counts.entry((kind, outcome)).or_default() += 1;
    }

    /// What became of an update with these effects.
    pub(super) fn wrote(&self, asked: Asked, effects: &[(&str, Action)], told: &Told) {
        let outcome = match told {
            Told::Done(version) => {
                for (key, action) in effects {
                    if let Some(Some(id)) = action.effect() {
                        self.learn_id(key, *version, id);
                    }
                }
                self.count_ok(asked.kind);
                Outcome::Ok
            }
            Told::NotThere => {
                self.count(asked.kind, "unmet");
                Outcome::Ok
            }
            Told::Unmet(reply) => {
                self.count(asked.kind, "unmet");
                return self.unmet(asked, effects, reply);
            }
            Told::Refused => {
                self.count(asked.kind, "refused");
                Outcome::Failed
            }
            Told::Unknown => {
                self.count(asked.kind, "unknown");
                Outcome::Unknown
            }
        };
        for (key, action) in effects {
            self.enter(asked, key, *action, outcome);
        }
    }

    /// Whoever is refused by a condition has read the key that the refusal is about.
    fn unmet(&self, asked: Asked, effects: &[(&str, Action)], reply: &ErrorReply) {
        for (key, action) in effects {
            self.enter(asked, key, *action, Outcome::Failed);
            let named = reply.key.as_deref().map_or(effects.len() == 1, |named| named == *key);
            let absent = reply.code == ErrorCode::NotFound;
            match reply.version {
                Some(version) if named => {
                    let at = self.enter(asked, key, Action::Get(None), Outcome::Failed);
                    self.entries().seen.push((at, version));
                }
                None if named && absent => {
                    self.enter(asked, key, Action::Get(None), Outcome::Ok);
                }
                _ => {}
            }
        }
    }

    fn enter(&self, asked: Asked, key: &str, action: Action, outcome: Outcome) -> usize {
        let complete = self.now();
        let mut entries = self.entries();
        let key = entries.name(key);
        let Asked { client, invoke, .. } = asked;
        entries.history.push(Op { key, client, action, outcome, invoke, complete });
        entries.history.len() - 1
    }

    /// A value was read under `key`, whole or not.
    pub(super) fn learn(&self, key: &str, version: Version, bytes: &[u8]) -> Held {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let parts = text.split_once(':');
        let parts = parts.and_then(|(id, payload)| Some((id.parse::<ValueId>().ok()?, payload)));
        let known = parts.filter(|(id, _)| {
            let entries = self.entries();
            entries.texts.get(id).is_some_and(|(of, whole)| **of == *key && **whole == *text)
        });
        let Some((id, payload)) = known else {
            let bytes = String::from_utf8_lossy(bytes).into_owned();
            self.fail(key, &format!("nobody ever wrote {bytes:?}, which is there as {version}"))
        };
        self.learn_id(key, version, id);
        Held { id, payload: payload.to_owned(), version }
    }

    fn learn_id(&self, key: &str, version: Version, id: ValueId) {
        let mut entries = self.entries();
        let key = entries.name(key);
        let other_value = entries.by_version.insert((key.clone(), version), id);
        let other_version = entries.versions.insert(id, version);
        drop(entries);
        if let Some(other) = other_value.filter(|other| *other != id) {
            self.fail(&key, &format!("version {version} was told of value {other} and of {id}"));
        }
        if let Some(other) = other_version.filter(|other| *other != version) {
            self.fail(&key, &format!("value {id} was written twice, as {other} and as {version}"));
        }
    }

    /// Ends the whole run, with the history of `key`.
    pub(super) fn fail(&self, key: &str, sentence: &str) -> ! {
        self.close();
        let text = format!("key {key:?}: {sentence}\n{}", self.entries().story(key));
        panic!("{text}");
    }
}

impl Entries {
    fn name(&mut self, key: &str) -> Arc<str> {
        if let Some(key) = self.keys.get(key) {
            return key.clone();
        }
        let key: Arc<str> = key.into();
        self.keys.insert(key.clone());
        key
    }

    /// All keys that were ever written to, or nearly.
    pub(super) fn all_keys(&self) -> Vec<Arc<str>> {
        self.keys.iter().cloned().collect()
    }

    /// The version that a value was given, if anybody was told.
    pub(super) fn version_of(&self, id: ValueId) -> Option<Version> {
        self.versions.get(&id).copied()
    }

    /// What a value says.
    pub(super) fn payload(&self, id: ValueId) -> &str {
        self.texts[&id].1.split_once(':').map_or("", |(_, payload)| payload)
    }

    /// The last operations on `key`, one a line.
    pub(super) fn story(&self, key: &str) -> String {
        let mut ops: Vec<&Op> = self.history.iter().filter(|op| *op.key == *key).collect();
        ops.sort_by_key(|op| op.invoke);
        let left_out = ops.len().saturating_sub(SHOWN_MAX);
        let mut text = format!("its history, without the first {left_out} operations:");
        for op in &ops[left_out..] {
            let _ = write!(text, "\n    {op}");
            let id = op.action.effect().flatten();
            if let Some(version) = id.and_then(|id| self.version_of(id)) {
                let _ = write!(text, " as {version}");
            }
        }
        text
    }

    /// Says which value those have read who were told a version only. One that nobody was told
    /// otherwise says nothing that the checkers have a word for.
    pub(super) fn name_what_was_seen(&mut self) {
        for (at, version) in std::mem::take(&mut self.seen) {
            let entry = &mut self.history[at];
            if let Some(id) = self.by_version.get(&(entry.key.clone(), version)) {
                (entry.action, entry.outcome) = (Action::Get(Some(*id)), Outcome::Ok);
            }
        }
    }

    /// The longest time in which no operation ended well.
    pub(super) fn longest_stall(&self) -> Duration {
        let done = self.history.iter().filter(|op| op.outcome == Outcome::Ok);
        let mut times: Vec<u64> = done.map(|op| op.complete).collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        Duration::from_micros(gaps.max().unwrap_or(0))
    }

    /// How many operations of `kind` ended in `outcome`.
    pub(super) fn counted(&self, kind: &str, outcome: &str) -> u64 {
        let matching = self.counts.iter().filter(|((k, o), _)| (*k, *o) == (kind, outcome));
        matching.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Entries {
    /// A line a kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: BTreeSet<&str> = self.counts.keys().map(|(kind, _)| *kind).collect();
        for kind in kinds {
            let own = self.counts.iter().filter(|((k, _), _)| *k == kind);
            let own: Vec<String> =
                own.map(|((_, outcome), count)| format!("{count} {outcome}")).collect();
            writeln!(f, "  {kind:<16} {}", own.join(", "))?;
        }
        Ok(())
    }
}

/// Tells the others to end when its owner fails.
pub(super) struct Closing(pub(super) Arc<Book>);

impl Drop for Closing {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}
