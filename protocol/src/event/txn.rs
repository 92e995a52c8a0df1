//! Events about transactions.
//!
//! Times at the coordinator are offsets from the request's arrival, times at nodes durations: no
//! two clocks are ever compared. The coordinator reads its clock once a turn, so what happens in
//! one turn has one time.

use serde::{Deserialize, Serialize};

use crate::error::version_text;
use crate::ids::{Key, NodeName, Version};

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened.
    Committed,
    /// It was handed over, and will never happen.
    Aborted,
    /// It was never handed over: nothing was or will be written.
    Refused,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

impl Outcome {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
            Self::Other => "other",
        }
    }
}

/// A transaction: finished, or so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Txn {
    /// Its id; none: it was never handed over.
    #[serde(with = "version_text", default)]
    pub tx: Option<Version>,
    /// `put`, `update`, `cas`, `del` or `txn`.
    #[serde(default)]
    pub op: String,
    /// How many keys it tests and writes.
    #[serde(default)]
    pub keys: u32,
    /// The key that it writes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The connection that asked for it.
    #[serde(default)]
    pub conn: u64,
    /// How it ended; none: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The error code that its client was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The transaction that was ahead of it on one of its keys when it came.
    #[serde(with = "version_text", default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<Version>,
    /// From its arrival to its answer, or so far, microseconds.
    #[serde(default)]
    pub us_total: u64,
    /// When it came how far.
    #[serde(default)]
    pub us: Phases,
    /// With how many others it went to the node that had the most.
    #[serde(default)]
    pub batch_txns: u32,
    /// What its participants said.
    #[serde(default)]
    pub votes: Vec<Vote>,
    /// What they were told.
    #[serde(default)]
    pub decides: Vec<Decide>,
    /// All its keys; not told.
    #[serde(skip)]
    pub all_keys: Vec<Key>,
}

impl Txn {
    /// Whether one of its keys is as asked for; as far as they are known.
    pub fn any_key(&self, is: impl Fn(&str) -> bool) -> bool {
        let all = self.all_keys.iter().chain(&self.key);
        all.clone().next().is_none() || all.clone().any(|key| is(key.as_str()))
    }
}

/// Offsets from the arrival of the request, microseconds; absent: it has not come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// It stood in the queues of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// It was evaluated, had its id and was handed to its participants' links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_formed: Option<u64>,
    /// The last of its participants was sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare_sent: Option<u64>,
    /// The last vote came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_vote: Option<u64>,
    /// It was written to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<u64>,
    /// Its client was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u64>,
}

/// What a participant is for the keys of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The first replica of a key that is written.
    Primary,
    /// Another replica.
    Replica,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// What a participant said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteState {
    /// It has it durably.
    Yes,
    /// It has refused it.
    No,
    /// Nothing yet.
    None,
    /// Nothing, and it cannot at present: its link is gone, or its store.
    Lost,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// A participant and its vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The participant.
    pub node: NodeName,
    /// What it is for the keys that are written.
    pub role: Role,
    /// What it said.
    pub vote: VoteState,
    /// When it was sent the transaction, as in [`Phases`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_us: Option<u64>,
    /// When its vote came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recv_us: Option<u64>,
    /// What took it how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_us: Option<NodeUs>,
}

/// Durations at a node, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeUs {
    /// From its arrival until its group was written.
    pub queue: u64,
    /// To write the group.
    pub append: u64,
    /// To sync it.
    pub sync: u64,
}

/// What a participant was told of the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// The participant.
    pub node: NodeName,
    /// When it was sent the decision, as in [`Phases`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_us: Option<u64>,
    /// When it had said that it has it durably.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_us: Option<u64>,
}

/// A transaction that is not finished: what is known of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TxnOpen(pub Txn);

/// A transaction that waits for somebody who is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnInDoubt {
    /// Its id.
    #[serde(with = "version_text")]
    pub tx: Option<Version>,
    /// The first of its keys, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// What its participants show.
    #[serde(default)]
    pub votes: Vec<Vote>,
    /// Who is waited for.
    #[serde(default)]
    pub missing: Vec<NodeName>,
    /// What that means: a sentence.
    #[serde(default)]
    pub meaning: String,
    /// What may safely be done: a sentence.
    #[serde(default)]
    pub safe_action: String,
}

/// A transaction that was in doubt, and is not any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnResolved {
    /// Its id.
    #[serde(with = "version_text")]
    pub tx: Option<Version>,
    /// The first of its keys, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// What became of it.
    pub outcome: Outcome,
}
