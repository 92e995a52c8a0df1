//! What simulated clients ask for: as they say it, as the core takes it, as the checkers see it.

use cluster::core::coordinator::{Change, ClientOp, Test, Update, UpdateName, Write};
use cluster::core::coordinator::{ScanOp, WatchOp};
use protocol::ids::{Once, Version};

use super::coordinator::key_of;
use crate::check::{Action, ValueId};

/// What an operation asks for: keys by their numbers, and what is written.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Get(u64),
    Put(u64, String),
    Del(u64, Option<Version>),
    PutIfAbsent(u64, String),
    Update(u64, String),
    Cas(u64, String, Version),
    Txn(Vec<Leg>),
    Mget(Vec<u64>),
    Scan(ScanOp),
    /// Watches all keys.
    Watch,
    /// What became of another operation, by its version or else by its name.
    Outcome(usize, Option<Version>),
    /// Another key of the operation before.
    Part,
}

/// One key of a transaction, which must be as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) key: u64,
    pub(crate) version: Option<Version>,
    /// What that version holds.
    pub(crate) from: Option<ValueId>,
    /// What is written, if anything.
    pub(crate) text: Option<String>,
}

/// The name of an operation, and the hash of its request.
pub(crate) fn once_of(op: usize) -> Once {
    let name = format!("operation {op:06}").parse().expect("16 bytes or more");
    Once { name, request_hash: op as u64 }
}

impl Asked {
    /// The keys that it reads and writes, in the order of its entries in the history. What has none
    /// has one entry all the same.
    pub(crate) fn keys(&self) -> Vec<u64> {
        match self {
            Self::Get(key)
            | Self::Put(key, _)
            | Self::Del(key, _)
            | Self::PutIfAbsent(key, _)
            | Self::Update(key, _)
            | Self::Cas(key, ..) => vec![*key],
            Self::Txn(legs) => legs.iter().map(|leg| leg.key).collect(),
            Self::Mget(keys) => keys.clone(),
            Self::Scan(_) | Self::Watch | Self::Outcome(..) | Self::Part => Vec::new(),
        }
    }

    /// Whether it may have a name, and be repeated.
    pub(crate) fn is_update(&self) -> bool {
        match self {
            Self::Put(..)
            | Self::Del(..)
            | Self::PutIfAbsent(..)
            | Self::Update(..)
            | Self::Cas(..)
            | Self::Txn(_) => true,
            Self::Get(_)
            | Self::Mget(_)
            | Self::Scan(_)
            | Self::Watch
            | Self::Outcome(..)
            | Self::Part => false,
        }
    }

    /// What it writes to one of its keys.
    pub(crate) fn text(&self, part: usize) -> Option<&String> {
        match self {
            Self::Put(_, text)
            | Self::PutIfAbsent(_, text)
            | Self::Update(_, text)
            | Self::Cas(_, text, _) => Some(text),
            Self::Txn(legs) => legs[part].text.as_ref(),
            _ => None,
        }
    }

    /// What it does to one of its keys if it takes effect; `value_of` knows the value of a version
    /// that clients have been told of.
    pub(crate) fn action(
        &self,
        part: usize,
        number: ValueId,
        value_of: impl Fn(Version) -> Option<ValueId>,
    ) -> Action {
        let known = |version: &Version| {
            Some(value_of(*version).expect("only versions are asked for whose value is known"))
        };
        match self {
            Self::Get(_) | Self::Mget(_) => Action::Get(None),
            // What has no answer that counts is as good as a read without one.
            Self::Scan(_) | Self::Watch | Self::Outcome(..) | Self::Part => Action::Get(None),
            Self::Put(..) => Action::Put(number),
            Self::Del(_, None) => Action::Del { found: false },
            Self::Del(_, Some(version)) => Action::Swap { from: known(version), to: None },
            Self::PutIfAbsent(..) => Action::Swap { from: None, to: Some(number) },
            Self::Update(..) => Action::Replace(number),
            Self::Cas(_, _, version) => Action::Swap { from: known(version), to: Some(number) },
            Self::Txn(legs) => match &legs[part] {
                Leg { from, text: Some(_), .. } => Action::Swap { from: *from, to: Some(number) },
                Leg { from, text: None, .. } => Action::Get(*from),
            },
        }
    }

    /// As the core takes it.
    pub(crate) fn to_core(&self) -> ClientOp {
        let update = match self {
            Self::Get(key) => return ClientOp::Get(key_of(*key)),
            Self::Mget(keys) => return ClientOp::Mget(keys.iter().map(|k| key_of(*k)).collect()),
            Self::Scan(scan) => return ClientOp::Scan(scan.clone()),
            Self::Watch => return ClientOp::Watch(WatchOp::Prefix("key-".into())),
            Self::Outcome(_, Some(version)) => {
                return ClientOp::Outcome(UpdateName::Version(*version));
            }
            Self::Outcome(of, None) => {
                return ClientOp::Outcome(UpdateName::Once(once_of(*of).name));
            }
            Self::Part => unreachable!("only whole operations are sent"),
            Self::Put(key, text) => Update::put(key_of(*key), text.as_str().into()),
            Self::Del(key, version) => Update::del(key_of(*key), *version),
            Self::PutIfAbsent(key, text) => {
                Update::put_if_absent(key_of(*key), text.as_str().into())
            }
            Self::Update(key, text) => Update::put_existing(key_of(*key), text.as_str().into()),
            Self::Cas(key, text, version) => {
                Update::cas(key_of(*key), text.as_str().into(), *version)
            }
            Self::Txn(legs) => {
                let test = |leg: &Leg| Test { key: key_of(leg.key), version: leg.version };
                let write = |leg: &Leg| {
                    let change = Change::Put(leg.text.as_deref()?.into());
                    Some(Write { key: key_of(leg.key), change })
                };
                let writes = legs.iter().filter_map(write).collect();
                Update::txn(legs.iter().map(test).collect(), writes)
            }
        };
        ClientOp::Update(update)
    }
}
