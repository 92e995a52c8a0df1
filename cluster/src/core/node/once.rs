//! The named updates that a node keeps for the ranges that it holds (R16), as the coordinator asks
//! for them.
//!
//! They are in the keystore: written with the first write of their transaction, dropped when the
//! coordinator says so. A new coordinator gets them in portions, as of the questions' places on the
//! link. Never: decides how long one is kept.

use protocol::ids::{Point, Version};
use protocol::peer::{OnceAnswer, OnceAsk, OnceEntry};

use super::super::ring::Range;
use super::{AskToken, Effect, NodeCore};

/// Named updates in a portion, those of other ranges counted.
pub(super) const PORTION: usize = 4_096;
/// Questions of one session that the keystore may be at; a coordinator asks one at a time.
const ASKS_MAX: usize = 64;

impl NodeCore {
    pub(super) fn on_once_asks(&mut self, asks: Vec<OnceAsk>, from: Option<Version>) {
        if let Some(from) = from {
            self.effects.push(Effect::DropOnces(from));
        }
        if asks.is_empty() {
            return;
        }
        self.hand_over_writes();
        let Some(session) = self.session.as_mut() else { return };
        for ask in asks {
            if session.onces.len() >= ASKS_MAX {
                self.close_session();
                return;
            }
            let token = AskToken { session: session.serial, r: ask.r };
            let after = ask.after;
            session.onces.insert(ask.r, ask);
            self.effects.push(Effect::ReadOnces { token, after, limit: PORTION });
        }
    }

    pub(super) fn on_onces_read(&mut self, token: AskToken, mut entries: Vec<OnceEntry>) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == token.session) else {
            return;
        };
        let Some(ask) = session.onces.remove(&token.r) else { return };
        let last = entries.last().map(|entry| entry.version);
        let through = last.filter(|_| entries.len() >= PORTION);
        let ring = self.ring.as_ref();
        entries.retain(|entry| {
            let point = ring.map(|ring| ring.point_by(entry.hash, entry.sum));
            point.is_some_and(|point| ask.ranges.iter().any(|range| holds(*range, point)))
        });
        session.out.once.push(OnceAnswer { r: token.r, entries, through });
    }
}

/// Whether a point lies in a range as servers tell them.
pub(super) fn holds((first, last): (Point, Point), point: Point) -> bool {
    Range { first, last }.contains(point)
}
