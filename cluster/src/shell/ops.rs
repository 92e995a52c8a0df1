//! Requests as the core takes them, and the keys that they are about.
//!
//! Called by `connection` for what it does not answer itself. Never decides anything: the parser
//! has held everything to its limits.

use bytes::Bytes;
use protocol::ids::{Key, Once, Value};
use protocol::request::{self, AdminAction, Op, Request, Setting};

use crate::core::coordinator::{
    Action, AdminOp, Change, ClientOp, LocateOp, ScanOp, Test, Update, UpdateName, WatchOp, Write,
};

/// Hashes of the keys of a request.
#[derive(Debug)]
pub(super) enum KeyHashes {
    None,
    One(u64),
    Many(Box<[u64]>),
}

impl KeyHashes {
    /// Of the keys of `op`; a key may be there more than once.
    pub(super) fn of(op: &Op<'_>) -> Self {
        match op {
            Op::Get { key }
            | Op::Put { key, .. }
            | Op::Update { key, .. }
            | Op::Cas { key, .. }
            | Op::Del { key, .. } => Self::One(hash(key)),
            Op::Mget { keys } => Self::Many(keys.iter().map(|key| hash(key)).collect()),
            Op::Txn { conditions, writes } => {
                let tested = conditions.iter().map(|condition| hash(&condition.key));
                Self::Many(tested.chain(writes.iter().map(|write| hash(&write.key))).collect())
            }
            Op::Scan { .. }
            | Op::Watch { .. }
            | Op::Locate { .. }
            | Op::Explain(_)
            | Op::Outcome { .. }
            | Op::Subscribe(_)
            | Op::Admin(_)
            | Op::Auth { .. }
            | Op::Status
            | Op::Hello { .. } => Self::None,
        }
    }

    pub(super) fn as_slice(&self) -> &[u64] {
        match self {
            Self::None => &[],
            Self::One(hash) => std::slice::from_ref(hash),
            Self::Many(hashes) => hashes,
        }
    }
}

/// The hash of a key.
pub(super) fn hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

/// What the core is to do.
pub(super) fn for_core(op: &Op<'_>) -> Option<ClientOp> {
    let update = match op {
        Op::Get { key } => return Some(ClientOp::Get(key_of(key)?)),
        Op::Mget { keys } => {
            let keys: Option<Vec<Key>> = keys.iter().map(|key| key_of(key)).collect();
            return Some(ClientOp::Mget(keys?));
        }
        Op::Status => return Some(ClientOp::Status),
        Op::Put { key, value, if_absent: false } => Update::put(key_of(key)?, value_of(value)),
        Op::Put { key, value, if_absent: true } => {
            Update::put_if_absent(key_of(key)?, value_of(value))
        }
        Op::Update { key, value } => Update::put_existing(key_of(key)?, value_of(value)),
        Op::Cas { key, value, version } => Update::cas(key_of(key)?, value_of(value), *version),
        Op::Del { key, version } => Update::del(key_of(key)?, *version),
        Op::Txn { conditions, writes } => {
            let tests: Option<Vec<Test>> = conditions.iter().map(test).collect();
            let writes: Option<Vec<Write>> = writes.iter().map(write).collect();
            Update::txn(tests?, writes?)
        }
        Op::Scan { prefix, after, limit, values } => {
            // No key comes before the empty text, so that is after nothing.
            let after = match after.as_deref() {
                None | Some("") => None,
                Some(after) => Some(key_of(after)?),
            };
            let (prefix, limit) = (prefix.as_ref().into(), *limit as usize);
            return Some(ClientOp::Scan(ScanOp { prefix, after, limit, values: *values }));
        }
        Op::Watch { of } => {
            return Some(ClientOp::Watch(match of {
                request::Watched::Key(key) => WatchOp::Key(key_of(key)?),
                request::Watched::Prefix(prefix) => WatchOp::Prefix(prefix.as_ref().into()),
            }));
        }
        Op::Outcome { of } => {
            return Some(ClientOp::Outcome(match of {
                request::UpdateName::Version(version) => UpdateName::Version(*version),
                request::UpdateName::Once { once, .. } => UpdateName::Once(once.parse().ok()?),
            }));
        }
        Op::Locate { key, copies } => {
            return Some(ClientOp::Locate(LocateOp { key: key_of(key)?, copies: *copies }));
        }
        // Not for the core as they stand.
        Op::Subscribe(_) | Op::Explain(_) | Op::Admin(_) | Op::Auth { .. } | Op::Hello { .. } => {
            return None;
        }
    };
    Some(ClientOp::Update(update))
}

/// An update's name, and the hash of all that makes two requests the same one.
pub(super) fn once_of(request: &Request<'_>) -> Option<Once> {
    let name = request.once.as_ref()?.parse().ok()?;
    let mut same = Vec::new();
    let op = request.op.clone();
    Request { id: None, timeout_ms: None, once: None, op }.write(&mut same);
    Some(Once { name, request_hash: xxhash_rust::xxh3::xxh3_64(&same) })
}

fn test(condition: &request::Condition<'_>) -> Option<Test> {
    Some(Test { key: key_of(&condition.key)?, version: condition.version })
}

fn write(write: &request::Write<'_>) -> Option<Write> {
    let change = match &write.change {
        request::Change::Put(value) => Change::Put(value_of(value)),
        request::Change::Update(value) => Change::Update(value_of(value)),
        request::Change::Del => Change::Del,
    };
    Some(Write { key: key_of(&write.key)?, change })
}

/// The parser has held the key to its limits.
fn key_of(text: &str) -> Option<Key> {
    Key::new(text).ok()
}

fn value_of(bytes: &[u8]) -> Value {
    Value(Bytes::copy_from_slice(bytes))
}

/// A change of membership or of a setting, or a look at all copies.
pub(super) fn admin(asked: &request::Admin<'_>) -> AdminOp {
    let action = match &asked.action {
        AdminAction::Evict { node } => Action::Evict(node.to_string()),
        AdminAction::Remove { node } => Action::Remove(node.to_string()),
        AdminAction::Add => Action::Add,
        AdminAction::Rebalance => Action::Rebalance,
        AdminAction::Cancel { change } => Action::Cancel(change.to_string()),
        AdminAction::Set { setting: Setting::EvictAfterMs, value } => {
            Action::SetEvictAfter((*value > 0).then_some(*value))
        }
        AdminAction::Set { setting: Setting::CopyBytesPerS, value } => Action::SetCopyRate(*value),
        AdminAction::Repair => Action::Repair,
        AdminAction::Scrub => Action::Scrub,
    };
    AdminOp { action, dry_run: asked.dry_run, if_ring: asked.if_ring_epoch }
}
