//! What the coordinator wants to find out about this node's records, and what it mends of them.
//!
//! A question is answered from the keystore behind all writes that were decided before it; so the
//! answers of several nodes to one question are of the same moment in the order of decisions, and
//! are alike where their copies are. The coordinator paces and compares. Never: judges.

use protocol::ids::Key;
use protocol::peer::{AuditAnswer, AuditAsk, Audited, CopyAnswer, CopyItem, ScanAnswer};

use super::{AskToken, Effect, NodeCore};

/// Records that are looked at for one answer.
const LOOKS_MAX: usize = 1_024;
/// Questions of one session that the keystore may be at.
const ASKS_MAX: usize = 64;
/// What a record, or a stretch, counts for in an answer, beside a value.
const ITEM_BYTES: usize = 96;

impl NodeCore {
    pub(super) fn on_audit_asks(&mut self, asks: Vec<AuditAsk>) {
        if asks.is_empty() {
            return;
        }
        self.hand_over_writes();
        let Some(session) = self.session.as_mut() else { return };
        for AuditAsk { r, what } in asks {
            if session.audits.len() >= ASKS_MAX {
                self.close_session();
                return;
            }
            session.audits.insert(r);
            let token = AskToken { session: session.serial, r };
            self.effects.push(Effect::Audit { token, what, looks_max: LOOKS_MAX });
        }
    }

    /// No page can be made: the coordinator asks somebody else.
    pub(super) fn on_page_damaged(&mut self, token: AskToken, key: Key) {
        let Some(session) = self.session.as_mut().filter(|s| s.serial == token.session) else {
            return;
        };
        let (r, damaged) = (token.r, Some(key));
        if session.scans.remove(&r).is_some() {
            session.out.scan.push(ScanAnswer { r, items: Vec::new(), through: None, damaged });
        } else if session.copies.remove(&r).is_some() {
            let (portion, through, swept) = (None, None, self.meta.swept);
            session.out.copy.push(CopyAnswer { r, portion, through, swept, damaged });
        }
    }

    /// The keystore has found it out.
    pub(super) fn on_audited(&mut self, token: AskToken, what: Audited) {
        if let Audited::Mended(keys) = &what {
            // They are in memory until a checkpoint, like what is logged.
            self.checkpoints.logged((keys.len() * ITEM_BYTES) as u64);
        }
        let Some(session) = self.session.as_mut().filter(|s| s.serial == token.session) else {
            return;
        };
        if !session.audits.remove(&token.r) {
            return;
        }
        session.out.answered_bytes += bytes_of(&what);
        session.out.audit.push(AuditAnswer { r: token.r, what });
        self.send_if_long();
    }
}

fn bytes_of(what: &Audited) -> usize {
    match what {
        Audited::Hashes(hashes) => hashes.len() * ITEM_BYTES,
        Audited::Digests { items, .. } => items.len() * ITEM_BYTES,
        Audited::Scrubbed(read) => read.damaged.len() * ITEM_BYTES,
        Audited::Copies(items) => items.iter().map(CopyItem::bytes).sum::<u64>() as usize,
        Audited::Mended(keys) => keys.len() * ITEM_BYTES,
        Audited::Failed => 0,
    }
}
