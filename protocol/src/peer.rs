//! What coordinator and nodes say to each other: JSON lines over TCP, heartbeats as one JSON
//! object a datagram.
//!
//! A node announces itself at the coordinator's registration port ([`Register`]); the coordinator
//! then dials the port named there and owns that link. On a link every message down carries the
//! session, a contiguous number and the epoch, so that a loss, a repetition or a message of an old
//! coordinator is seen at once; every message up acknowledges what it has seen. A gap ends the
//! session, and a new session begins with [`Open`], which is also the claim of an epoch (R2).
//! Plain data: nothing here decides anything.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{
    Epoch, GroupSeq, Incarnation, Key, MemberId, Once, Point, RingNumber, Uuid, Value, Version,
};

pub use self::audit::{Audit, AuditAnswer, AuditAsk, Audited, Digest, RangeHash, Scrubbed};
pub use self::cache::{CacheAnswer, CacheAsk};
pub use self::copy::{
    CopyAnswer, CopyAsk, CopyItem, CopyProgress, CopyPut, Extent, Portion, item_bytes,
};
pub use self::heartbeat::Heartbeat;
pub use self::line::Message;
pub use self::placement::Placement;
pub use self::ring::{
    ChangeKind, Departed, Learning, OpenChange, OpenChanges, RingMember, RingRecord, Span,
};
pub use self::session::{
    Greeting, Open, PEER_PROTOCOL, PEER_PROTOCOL_MIN, Register, Registered, too_far_apart,
};
pub use self::timed::Timed;

mod audit;
mod cache;
mod copy;
mod heartbeat;
mod line;
mod placement;
mod ring;
mod session;
mod timed;

/// Longest line between servers, bytes: a batch or report at its limits, with every byte escaped.
pub const PEER_LINE_BYTES_MAX: usize = 64 << 20;
/// The reason of a [`Refusal`] for which there is no room on the node's disk.
pub const DISK_FULL: &str = "disk_full";

/// A node's durable promise: the highest epoch that it answers to (R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The epoch; 0 = none yet.
    pub epoch: Epoch,
    /// The coordinator process that claimed it first; an epoch is bound to one (H16).
    pub coordinator: Option<Uuid>,
    /// Whether that coordinator had waited out the leases before it.
    pub active: bool,
    /// Whether that coordinator has stopped for good and answers nobody any more.
    pub released: bool,
}

/// A message from the coordinator on a node's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// The session it belongs to; rises with each one of this coordinator.
    pub session: u64,
    /// Its number in the session, contiguous from 1.
    pub n: u64,
    /// The epoch in whose name it is sent.
    pub epoch: Epoch,
    /// What is said.
    pub body: DownBody,
}

/// What a coordinator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownBody {
    /// First in each session: claims the epoch, asks for the [`Report`].
    Open(Open),
    /// Take this ring; it is answered once durable.
    Install(RingRecord),
    /// Note durably how far this epoch's coordinator has come.
    Mark {
        /// It has waited out the leases before it.
        active: bool,
        /// It has stopped and answers nobody any more.
        released: bool,
    },
    /// Prepares, decisions and reads; an empty one is a question whether the node is there.
    Batch(Batch),
    /// The stores of these members have lost something (R7): note it durably, for ever.
    Losses(Vec<MemberId>),
    /// The store has proved to have lost something: stop (R7).
    Lost {
        /// What was found, a sentence for the operator.
        reason: String,
    },
}

/// What a node is to do, in this order: decisions, then reads, then prepares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Batch {
    /// An answer is wanted soon even if nothing below asks for one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ask: bool,
    /// Transactions that are committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commit: Vec<Version>,
    /// Transactions that are committed though this node lost them: log, then commit (R6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Arc<Prepare>>,
    /// Committed as a choice, some participant being lost: sync before confirming (R6).
    #[serde(default, skip_serializing_if = "is_false")]
    pub sync: bool,
    /// Transactions that are aborted, prepared here or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort: Vec<Abort>,
    /// Values asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<ReadAsk>,
    /// Named updates asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub once: Vec<OnceAsk>,
    /// Pages of keys asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan: Vec<ScanAsk>,
    /// What is to be shown of the cache, in place of what was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Vec<CacheAsk>>,
    /// Portions of what it holds, to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<CopyAsk>,
    /// Portions of what others hold, for what it is learning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<CopyPut>,
    /// What is to be found out about what it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<AuditAsk>,
    /// This ring is in force: what it does not let the node hold need not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<RingNumber>,
    /// Named updates below this one need not be kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_from: Option<Version>,
    /// Transactions to vote on, ids rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<Arc<Prepare>>,
    /// How long the votes took is wanted too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timed: bool,
    /// What may be forgotten (R8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// The newest log ends known of the members (R7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<(MemberId, GroupSeq)>,
    /// The node has now been told all that it had missed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub caught_up: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A transaction to be prepared, the same text for every participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The transaction, and the version of all its writes.
    pub id: Version,
    /// The ring under which it was made.
    pub ring: RingNumber,
    /// All members that must have it durably; sorted.
    #[serde(rename = "at")]
    pub participants: Vec<MemberId>,
    /// The undecided transactions that its result rests on; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<Version>,
    /// Those of `rests_on` that have other participants than this one, and which. Said with the
    /// question only: no node keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<Due>,
    /// Its writes, resolved, in the order of the request.
    pub writes: Vec<WireWrite>,
    /// What the client calls it (R16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Once>,
}

/// What is kept of a committed update that has a name (R16), by all who hold the key that it wrote
/// first: a repetition names that key first too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceEntry {
    /// The transaction, which is also its result.
    #[serde(rename = "id")]
    pub version: Version,
    /// The hash of the first key that it wrote: by this and the next, every placement tells where
    /// that key lies.
    #[serde(rename = "p")]
    pub hash: Point,
    /// The sum of that key's bytes.
    #[serde(rename = "s")]
    pub sum: u32,
    /// Its name and the hash of its request.
    #[serde(rename = "o")]
    pub once: Once,
}

/// A question for the named updates of some ranges, as of its place on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceAsk {
    /// The coordinator's number for the question.
    pub r: u64,
    /// Only later ones than this.
    pub after: Version,
    /// The ranges: first and last point of each.
    pub ranges: Vec<(Point, Point)>,
}

/// The answer to an [`OnceAsk`]: a portion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceAnswer {
    /// The question's number.
    pub r: u64,
    /// Versions rising.
    pub entries: Vec<OnceEntry>,
    /// There may be more after this one; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Version>,
}

/// Where a transaction is due: its participants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The transaction.
    pub id: Version,
    /// Its participants, sorted.
    pub at: Vec<MemberId>,
}

/// One resolved write; a tombstone where there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireWrite {
    /// The key.
    #[serde(rename = "k")]
    pub key: Key,
    /// The value.
    #[serde(default, rename = "v", skip_serializing_if = "Option::is_none")]
    pub value: Option<WireValue>,
    /// The version that it replaces; absent = whatever is there.
    #[serde(default, rename = "prev", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// The participants that hold the key; sorted. Empty: all of them do.
    #[serde(default, rename = "on", skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<MemberId>,
}

/// A value on the wire: text as a JSON string, anything else as base64.
///
/// The first character says which: `t` text, `b` base64 (RFC 4648, padded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireValue(pub Value);

impl Serialize for WireValue {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0.as_bytes()) {
            Ok(value) => {
                let mut text = String::with_capacity(value.len() + 1);
                text.push('t');
                text.push_str(value);
                s.serialize_str(&text)
            }
            Err(_) => {
                let mut text = vec![b'b'];
                crate::json::write_base64(&mut text, self.0.as_bytes());
                s.serialize_str(&String::from_utf8_lossy(&text))
            }
        }
    }
}

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(WireValueVisitor)
    }
}

struct WireValueVisitor;

impl serde::de::Visitor<'_> for WireValueVisitor {
    type Value = WireValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value: t and text, or b and base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WireValue, E> {
        match text.as_bytes().first() {
            Some(b't') => Ok(WireValue(Value::from(&text[1..]))),
            Some(b'b') => crate::json::decode_base64(&text[1..])
                .map(|bytes| WireValue(Value::from(bytes)))
                .ok_or_else(|| E::custom("a value is not base64")),
            _ => Err(E::custom("a value begins with neither t nor b")),
        }
    }
}

/// A transaction that is aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// The transaction.
    pub id: Version,
    /// Its participants, sorted.
    #[serde(rename = "at")]
    pub participants: Vec<MemberId>,
}

/// A question for the last decided value of a key, as of its place on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAsk {
    /// The coordinator's number for the question.
    pub r: u64,
    /// The key.
    pub k: Key,
}

/// A question for a page of keys of some ranges, as of its place on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanAsk {
    /// The coordinator's number for the question.
    pub r: u64,
    /// What the keys begin with; empty: all keys.
    pub prefix: Box<str>,
    /// Only keys after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
    /// At most so many.
    pub limit: u32,
    /// With their values.
    #[serde(default, skip_serializing_if = "is_false")]
    pub values: bool,
    /// The ranges: first and last point of each.
    pub ranges: Vec<(Point, Point)>,
}

/// The answer to a [`ScanAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanAnswer {
    /// The question's number.
    pub r: u64,
    /// In the order of their keys' bytes.
    pub items: Vec<ScanItem>,
    /// There may be more after this key; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Key>,
    /// There is no page: what is under this key is not what was written.
    #[serde(default, rename = "bad", skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Key>,
}

/// One key of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanItem {
    /// The key.
    #[serde(rename = "k")]
    pub key: Key,
    /// The version of its value.
    #[serde(rename = "at")]
    pub version: Version,
    /// How long its value is.
    #[serde(rename = "n")]
    pub bytes: u64,
    /// The value, if it was asked for.
    #[serde(default, rename = "v", skip_serializing_if = "Option::is_none")]
    pub value: Option<WireValue>,
}

/// What may be forgotten: all transactions between two points but a few (R8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The first id covered.
    pub from: Version,
    /// The first id not covered any more.
    pub below: Version,
    /// The ids between them that are not settled; sorted.
    pub except: Vec<Version>,
}

impl Settled {
    /// Whether it says that this transaction is settled.
    pub fn covers(&self, id: Version) -> bool {
        (self.from..self.below).contains(&id) && self.except.binary_search(&id).is_err()
    }
}

/// A message from a node on its link. The default says nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// The session it belongs to.
    pub session: u64,
    /// Its number in the session, contiguous from 1.
    pub n: u64,
    /// The session's epoch.
    pub epoch: Epoch,
    /// All messages down through this number have been taken in.
    pub ack: u64,
    /// All decisions in messages down through this number are durable here.
    pub durable: u64,
    /// The durable end of the log (R7).
    pub end: GroupSeq,
    /// Counters of this epoch's transactions that are durably prepared: yes votes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub yes: Vec<u64>,
    /// How long they took, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timed: Vec<Timed>,
    /// Transactions durably refused: no votes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no: Vec<Refusal>,
    /// Values read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<ReadAnswer>,
    /// Named updates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub once: Vec<OnceAnswer>,
    /// Pages of keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan: Vec<ScanAnswer>,
    /// What was asked to be shown of the cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheAnswer>,
    /// Portions to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<CopyAnswer>,
    /// Numbers of portions that were taken in; of a last one, only when all are durable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<u64>,
    /// What was found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<AuditAnswer>,
    /// The answer to [`Open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<Report>>,
    /// The answer to an [`Open`] of an epoch that is over: the epoch promised instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<Epoch>,
    /// This ring is durable here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<RingNumber>,
    /// The last [`DownBody::Mark`] is durable here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub marked: bool,
    /// That the stores of these members have lost something is durable here, as
    /// [`DownBody::Losses`] wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<MemberId>,
    /// Everything of the batch that said `caught_up` is taken in and durable.
    #[serde(default, skip_serializing_if = "is_false")]
    pub caught_up: bool,
    /// The disk is full: every prepare is refused, so that what is prepared can be decided (R14).
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
    /// There was no space for the last checkpoint: what is copied to this node is in memory until
    /// there is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_space: bool,
}

/// A durable no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The transaction's counter in this epoch.
    pub c: u64,
    /// Why, for logs and traces.
    pub reason: String,
}

/// The answer to a [`ReadAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAnswer {
    /// The question's number.
    pub r: u64,
    /// The value; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<WireValue>,
    /// The version of the value or of the tombstone; zero where the key was never written.
    pub at: Version,
    /// It was in the node's cache.
    #[serde(default, skip_serializing_if = "is_false")]
    pub c: bool,
    /// What is there is not what was written: it is not served.
    #[serde(default, rename = "bad", skip_serializing_if = "is_false")]
    pub damaged: bool,
}

/// All that a claimant needs to know of a node, durable and fenced before it is said (R2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The store that answers.
    pub store: Uuid,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// The newest ring it holds.
    pub ring: Option<RingRecord>,
    /// The promise that this claim replaced; absent when the claim was known already.
    pub before: Option<Fence>,
    /// That a transaction of an epoch up to this one is missing here means "lost here", not
    /// "never was": an invalid tail was cut off the log under it (R7, H52). 0 = none.
    pub cut_through: Epoch,
    /// The newest log ends that it has recorded of the members (R7).
    pub marks: Vec<(MemberId, GroupSeq)>,
    /// The members whose stores have lost something, as far as it was told (R7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<MemberId>,
    /// What it has been told to forget (R8).
    pub settled: Vec<Settled>,
    /// How far it has come with what it is learning under that ring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<CopyProgress>,
    /// Every transaction it remembers that it has not been told to forget.
    pub txns: Vec<ReportedTxn>,
}

/// What a node remembers of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedTxn {
    /// The transaction.
    pub id: Version,
    /// Its participants, sorted.
    #[serde(rename = "at")]
    pub participants: Vec<MemberId>,
    /// What it is here.
    pub state: TxnState,
    /// The whole of it while it is undecided here, or was adopted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Arc<Prepare>>,
}

/// What a transaction is at one participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TxnState {
    /// Durably prepared, not decided here.
    Prepared,
    /// Refused for ever.
    Refused,
    /// Committed.
    Committed,
    /// Aborted.
    Aborted,
}
