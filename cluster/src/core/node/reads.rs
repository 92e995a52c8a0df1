//! Reads of single keys that the coordinator asks for: from the cache, else from the keystore.
//!
//! Called by `core::node`. What is cached is the last decided value, as the keystore would tell it
//! at the same place in the order: decided writes reach the cache when they are handed over to the
//! keystore, and all of them are before either is asked. Only what the keystore has answered gets
//! in, unless the key's set was written to since it was asked (H23, H24); a write replaces an entry
//! that is there or takes it out. A restarted node's cache is empty. That a key is not there is not
//! cached.
//!
//! Never: caches what is undecided, or what is only prepared; parks a read.

use protocol::ids::{Key, Value, Version};
use protocol::peer::{ReadAnswer, ReadAsk, WireValue};

use super::super::cache::Generation;
use super::super::planted::{Bug, planted};
use super::session::Pending;
use super::{Effect, Found, NodeCore, ReadToken};

/// Once so many bytes of answers wait, the next message is due, and the keystore is asked even for
/// what is cached: its pace keeps messages short.
const ANSWERED_BYTES_MAX: usize = 4 << 20;
/// What an answer counts for beside its value.
const ANSWER_BYTES: usize = 64;

/// A question that the keystore is at.
#[derive(Debug)]
pub(super) struct Asked {
    key: Key,
    /// The set's generation before the keystore was asked.
    generation: Generation,
}

impl NodeCore {
    /// Answers what is cached, and asks the keystore for the rest, behind all decided writes.
    pub(super) fn on_read_asks(&mut self, asks: Vec<ReadAsk>) {
        if asks.is_empty() {
            return;
        }
        self.hand_over_writes();
        let Some(session) = self.session.as_mut() else { return };
        for ReadAsk { r, k: key } in asks {
            if session.out.answered_bytes < ANSWERED_BYTES_MAX
                && let Some((version, value)) = self.cache.get(key.as_str())
            {
                session.out.answer(r, Found { version, value: Some(Value(value)) }, true);
                continue;
            }
            let generation = self.cache.generation(key.as_str());
            session.reads.insert(r, Asked { key: key.clone(), generation });
            let token = ReadToken::Asked { session: session.serial, r };
            self.effects.push(Effect::Read { token, key });
        }
    }

    /// The keystore has answered. What was asked on a session that has ended is nobody's any more.
    pub(super) fn on_asked_read(&mut self, serial: u64, r: u64, found: Found) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == serial) else { return };
        let Some(Asked { key, generation }) = session.reads.remove(&r) else { return };
        if let Some(value) = &found.value {
            let late = planted(Bug::StaleNodeFill);
            let at = if late { self.cache.generation(key.as_str()) } else { generation };
            self.cache.fill(&key, found.version, value.0.clone(), at);
        }
        session.out.answer(r, found, false);
        self.send_if_long();
    }

    /// What is there is not what was written: somebody else is to be asked.
    pub(super) fn on_damaged_read(&mut self, serial: u64, r: u64) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == serial) else { return };
        if session.reads.remove(&r).is_some() {
            let answer = ReadAnswer { r, v: None, at: Version::ZERO, c: false, damaged: true };
            session.out.answered_bytes += ANSWER_BYTES;
            session.out.read.push(answer);
        }
    }

    /// Sends what has been answered if it is much: however many answers come at once, a message
    /// stays far below the longest that a link takes.
    pub(super) fn send_if_long(&mut self) {
        if self.session.as_ref().is_some_and(|s| s.out.answered_bytes >= ANSWERED_BYTES_MAX) {
            self.send_pending();
        }
    }

    /// What is about to be handed over to the keystore reaches the cache.
    pub(super) fn write_through(&self) {
        for committed in &self.unapplied {
            let write = &committed.write;
            match &write.value {
                Some(value) => self.cache.update(&write.key, committed.version, &value.0),
                None => self.cache.remove(write.key.as_str()),
            }
        }
    }
}

impl Pending {
    fn answer(&mut self, r: u64, found: Found, cached: bool) {
        let Found { version: at, value } = found;
        self.answered_bytes += value.as_ref().map_or(0, Value::len) + ANSWER_BYTES;
        self.read.push(ReadAnswer { r, v: value.map(WireValue), at, c: cached, damaged: false });
    }
}
