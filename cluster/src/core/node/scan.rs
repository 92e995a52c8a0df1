//! Pages of a node's keys, as the coordinator asks for them.
//!
//! A page is read from the keystore behind all writes that were decided before the question; so it
//! holds what was current at the question's place on the link. It is bounded in keys looked at and
//! in bytes, so that the keystore's thread is never long at it. Never: shows an undecided write.

use protocol::ids::{Key, Value, Version};
use protocol::peer::{ScanAnswer, ScanAsk, ScanItem, WireValue, item_bytes};

use super::super::planted::{Bug, planted};
use super::once::holds;
use super::{AskToken, Effect, NodeCore};

/// Keys that are looked at for one page.
const LOOKS_MAX: usize = 2_048;
/// Bytes of values after which a page ends.
const BYTES_MAX: usize = 256 << 10;
/// Questions of one session that the keystore may be at.
const ASKS_MAX: usize = 4_096;

/// A live key of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The key.
    pub key: Key,
    /// The version of its value.
    pub version: Version,
    /// The value.
    pub value: Value,
}

impl NodeCore {
    pub(super) fn on_scan_asks(&mut self, asks: Vec<ScanAsk>) {
        if asks.is_empty() {
            return;
        }
        if !planted(Bug::PageBeforeApplied) {
            self.hand_over_writes();
        }
        let Some(session) = self.session.as_mut() else { return };
        for ask in asks {
            if session.scans.len() >= ASKS_MAX {
                self.close_session();
                return;
            }
            let token = AskToken { session: session.serial, r: ask.r };
            let (prefix, after) = (ask.prefix.clone(), ask.after.clone());
            session.scans.insert(ask.r, ask);
            let (looks_max, bytes_max) = (LOOKS_MAX, BYTES_MAX);
            self.effects.push(Effect::Scan { token, prefix, after, looks_max, bytes_max });
        }
    }

    /// A page is read; `through` as in [`super::Input::Scanned`].
    pub(super) fn on_scanned(
        &mut self,
        token: AskToken,
        mut page: Vec<Scanned>,
        mut through: Option<Key>,
    ) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == token.session) else {
            return;
        };
        let Some(ask) = session.scans.remove(&token.r) else { return };
        let ring = self.ring.as_ref();
        let wanted = |key: &Key| {
            let point = ring.map(|ring| ring.point_of(key));
            point.is_some_and(|point| ask.ranges.iter().any(|range| holds(*range, point)))
        };
        page.retain(|item| wanted(&item.key));
        let limit = ask.limit as usize;
        if page.len() > limit {
            page.truncate(limit);
            through = page.last().map(|item| item.key.clone());
        }
        let item = |item: Scanned| ScanItem {
            key: item.key,
            version: item.version,
            bytes: item.value.len() as u64,
            value: ask.values.then_some(WireValue(item.value)),
        };
        let items: Vec<ScanItem> = page.into_iter().map(item).collect();
        let bytes = |item: &ScanItem| {
            let value = item.value.as_ref().map_or(0, |value| value.0.len());
            item_bytes(&item.key, value) as usize
        };
        session.out.answered_bytes += items.iter().map(bytes).sum::<usize>();
        session.out.scan.push(ScanAnswer { r: token.r, items, through, damaged: None });
        self.send_if_long();
    }
}
