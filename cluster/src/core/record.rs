//! What a node remembers of two-phase commit: the records of its log, as values.
//!
//! `core::node` makes them, `storage::codec` turns them into bytes and back, and a restart hands
//! them to `core::node` again in log order. They outlive versions of the program, so they are not
//! the messages of `protocol::peer`. Nothing here knows how or where they are stored.

use std::sync::Arc;

use protocol::ids::{GroupSeq, Key, MemberId, Once, RingNumber, Value, Version};

/// What the version that a write replaces must be on every participant (R1, H18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// A blind write: whatever is there.
    Any,
    /// Exactly this one; [`Version::ZERO`] where the key was absent and never written.
    Is(Version),
}

/// One resolved write of a transaction: no condition is left in it, so that every replica does
/// the same (R1, H19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key written.
    pub key: Key,
    /// The new value, or `None` for a tombstone.
    pub value: Option<Value>,
    /// What it was evaluated against.
    pub previous: Previous,
    /// Room for later kinds of values; 0 now.
    pub flags: u32,
    /// Wall-clock milliseconds at which the value expires; 0 = never. Room; 0 now.
    pub expires_ms: u64,
    /// The participants that hold the key; sorted. Empty: all of them do.
    pub holders: Vec<MemberId>,
}

impl Write {
    /// Whether this participant holds the key.
    pub fn is_at(&self, member: MemberId) -> bool {
        self.holders.is_empty() || self.holders.contains(&member)
    }
}

/// A transaction as a participant prepares it: everything that recovery needs to decide it
/// without its coordinator (R1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction, and the version of all its writes.
    pub id: Version,
    /// The ring under which it was made.
    pub ring: RingNumber,
    /// Every member that must have it durably; sorted, never empty.
    pub participants: Vec<MemberId>,
    /// The undecided transactions that its result rests on; sorted.
    pub rests_on: Vec<Version>,
    /// The writes of this node's keys and of all others of the transaction, in the order of the
    /// request; never empty.
    pub writes: Vec<Write>,
    /// The client's request id, kept with the update (R16).
    pub once: Option<Once>,
}

/// One record of a node's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// The transaction is prepared: a yes vote once this is durable.
    Prepare(Arc<Prepared>),
    /// The transaction was refused, for ever (R3).
    Refuse {
        /// The transaction.
        id: Version,
        /// Its participants, sorted.
        participants: Vec<MemberId>,
    },
    /// A prepared transaction is committed.
    Commit {
        /// The transaction; its `Prepare` stands earlier in the log, unless that is freed.
        id: Version,
    },
    /// The transaction is aborted, prepared here or not.
    Abort {
        /// The transaction.
        id: Version,
        /// Its participants, sorted.
        participants: Vec<MemberId>,
    },
    /// A transaction was committed, and the keystore has its writes for good: what is carried
    /// forward of it when the segment with its `Prepare` and `Commit` goes.
    Committed {
        /// The transaction.
        id: Version,
        /// Its participants, sorted.
        participants: Vec<MemberId>,
    },
    /// Every transaction between two points but a few is decided, and confirmed durable by all
    /// its participants: what is known of it may be forgotten (R8).
    Settled {
        /// The first id covered.
        from: Version,
        /// The first id not covered any more.
        below: Version,
        /// The ids between them that are not settled; sorted.
        except: Vec<Version>,
    },
    /// The newest log ends that the coordinator has seen of the members (R7).
    Marks(Vec<(MemberId, GroupSeq)>),
}

impl LogRecord {
    /// How many bytes it takes in a group's body, at most.
    pub fn bytes_max(&self) -> u64 {
        match self {
            Self::Prepare(prepared) => prepared.bytes_max(),
            Self::Commit { .. } => HEAD_BYTES,
            Self::Refuse { participants, .. }
            | Self::Abort { participants, .. }
            | Self::Committed { participants, .. } => decision_bytes_max(participants.len()),
            Self::Settled { except, .. } => HEAD_BYTES + 12 + 8 * except.len() as u64,
            Self::Marks(marks) => HEAD_BYTES + 10 * marks.len() as u64,
        }
    }
}

impl Prepared {
    /// How many bytes it takes in a group's body, at most.
    pub fn bytes_max(&self) -> u64 {
        let write = |w: &Write| {
            let holders = 2 + 2 * w.holders.len();
            w.key.as_bytes().len() + w.value.as_ref().map_or(0, Value::len) + holders
        };
        let writes = self.writes.iter().map(write);
        prepare_bytes_max(self.participants.len(), self.rests_on.len(), writes)
    }
}

/// Kind, flags and one transaction's id.
const HEAD_BYTES: u64 = 1 + 4 + 8;
/// A write without its key's and value's bytes.
const WRITE_BYTES: u64 = 31;

/// How many bytes a record about a transaction with so many participants takes at most, whatever
/// is decided about it.
pub fn decision_bytes_max(participants: usize) -> u64 {
    HEAD_BYTES + 2 + 2 * participants as u64
}

/// The same of a prepare with writes of so many bytes of key and value.
pub fn prepare_bytes_max(
    participants: usize,
    rests_on: usize,
    writes: impl Iterator<Item = usize>,
) -> u64 {
    let once = 1 + 64 + 8;
    let lists = 2 + 2 * participants as u64 + 4 + 8 * rests_on as u64 + 4;
    HEAD_BYTES + 8 + once + lists + writes.map(|bytes| bytes as u64 + WRITE_BYTES).sum::<u64>()
}

/// How many bytes of log a group takes at most whose records have so many bytes.
pub fn group_bytes_max(body_bytes: u64) -> u64 {
    512 * (1 + (body_bytes + 24) / 496)
}

/// What a log can take without asking the disk for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of groups. Of a series of groups each of which may not fit into what is left of a
    /// segment, half as many for sure.
    pub bytes: u64,
    /// Bytes of the longest group of which that is true.
    pub group_max: u64,
    /// The disk, when last asked for more, had none.
    pub full: bool,
}

impl Room {
    /// That of a log of which nothing was told.
    pub const ENDLESS: Self = Self { bytes: u64::MAX >> 2, group_max: u64::MAX >> 2, full: false };
}

/// A decided write on its way into the keystore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The version written.
    pub version: Version,
    /// The write.
    pub write: Write,
    /// With the transaction's first write: what the client calls it (R16).
    pub once: Option<Once>,
}
