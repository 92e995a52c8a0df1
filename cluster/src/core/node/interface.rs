//! What a node is told, what it wants done, and what it keeps in its small file.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::ids::{Epoch, GroupSeq, Incarnation, Key, NodeName, Uuid, Version};
use protocol::peer::{
    Audit, Audited, CopyAsk, Down, Extent, Fence, OnceEntry, Portion, RingRecord, Span, Up,
};
use serde::{Deserialize, Serialize};

use super::super::record::{Committed, LogRecord, Room};
use super::super::ring::Ring;
use super::scan::Scanned;

/// One connection to the node's port, numbered by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What a node keeps in its small state file, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The store's name for ever.
    pub store: Uuid,
    /// The node's name.
    pub name: NodeName,
    /// How often the directory has been started.
    pub incarnation: Incarnation,
    /// The epoch promised (R2).
    pub fence: Fence,
    /// The newest ring; none before the founding.
    pub ring: Option<RingRecord>,
    /// That a transaction of an epoch up to this one is missing here proves nothing: an invalid
    /// tail was cut off the log under it, or a start ended before the log was read (R7, H52).
    pub cut_through: Epoch,
    /// Members whose stores have lost something, for ever (R7); sorted.
    #[serde(default)]
    pub lost: Vec<protocol::ids::MemberId>,
    /// The numbers under which it was a member once, and is not any more; sorted.
    #[serde(default)]
    pub former: Vec<protocol::ids::MemberId>,
    /// What the log's groups through this one say of transactions that were open is void: all that
    /// was decided of them it has copied, or will have (H41).
    #[serde(default)]
    pub void_through: GroupSeq,
    /// Of deletions below this version nothing may be left here (R8).
    #[serde(default)]
    pub swept: Version,
}

/// What a key holds in the keystore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The version of the value or tombstone; zero where there is none.
    pub version: Version,
    /// The value, if the key is there.
    pub value: Option<protocol::ids::Value>,
}

/// A question of the coordinator that is answered from the keystore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskToken {
    /// The session, as this process numbers them.
    pub session: u64,
    /// The coordinator's number.
    pub r: u64,
}

/// Why a value is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadToken {
    /// The coordinator asked, on this session, under this number.
    Asked {
        /// The session, as this process numbers them.
        session: u64,
        /// The coordinator's number.
        r: u64,
    },
    /// A conditional write is to be checked against it: the transaction and the place in it.
    Check(Version, usize),
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message came.
    Down {
        /// On this connection.
        conn: ConnId,
        /// The message.
        down: Box<Down>,
    },
    /// A connection has ended.
    Disconnected(ConnId),
    /// The state file of [`Effect::SaveMeta`] with this number is durable.
    MetaSaved(u64),
    /// The log has so much room; told before [`Input::Synced`] of a group that took some of it.
    Room(Room),
    /// So long the lane was at the group that is told next to be durable, microseconds. Told only
    /// where [`super::NodeCore::is_timed`].
    Took {
        /// To write it.
        append_us: u64,
        /// To sync it.
        sync_us: u64,
    },
    /// The group is durable, and so are all before it.
    Synced(GroupSeq),
    /// A look into the keystore is done.
    ReadDone {
        /// Why it was asked.
        token: ReadToken,
        /// What is there.
        found: Found,
    },
    /// What was looked for is there, and is not what was written.
    ReadDamaged(ReadToken),
    /// A page or portion would have this key in it, and what is there is not what was written.
    PageDamaged {
        /// Why it was asked.
        token: AskToken,
        /// The key.
        key: Key,
    },
    /// What [`Effect::Audit`] wanted to know.
    Audited {
        /// Why it was asked.
        token: AskToken,
        /// What was found.
        what: Audited,
    },
    /// A portion of the named updates, versions rising.
    OncesRead {
        /// Why it was asked.
        token: AskToken,
        /// What is there.
        entries: Vec<OnceEntry>,
    },
    /// A page of live keys, sorted.
    Scanned {
        /// Why it was asked.
        token: AskToken,
        /// What is there.
        page: Vec<Scanned>,
        /// There may be more after this key; `None`: that was all.
        through: Option<Key>,
    },
    /// A portion of what the keystore has, tombstones too, sorted.
    Copied {
        /// Why it was asked.
        token: AskToken,
        /// What is there.
        portion: Portion,
        /// There may be more after this key; `None`: that was all.
        through: Option<Key>,
    },
    /// What [`Effect::Retain`] wanted is done up to this key; `None`: all of it.
    Retained(Option<Key>),
    /// A step of [`Effect::DropOthers`] is done.
    OthersDropped {
        /// Records that are gone.
        dropped: u64,
        /// There may be more after this key; `None`: that was all.
        through: Option<Key>,
    },
    /// A step of [`Effect::Sweep`] is done.
    Swept {
        /// Tombstones that are gone.
        dropped: u64,
        /// There may be more after this key; `None`: that was all.
        through: Option<Key>,
    },
    /// The keystore has made everything through this group durable.
    Checkpointed(GroupSeq),
    /// There is no space for the keystore's checkpoint: nothing has changed, and it may be asked
    /// for again.
    NotCheckpointed,
    /// Time has passed.
    Tick,
    /// All that had arrived is handed in: say what there is to say.
    Flush,
    /// Nobody speaks to the node any more: leave nothing undone.
    Stop,
}

/// What is to be done, in list order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send on a connection.
    Send {
        /// The connection.
        conn: ConnId,
        /// The message.
        up: Box<Up>,
    },
    /// End a connection.
    Close(ConnId),
    /// Make the state file durable, then hand in [`Input::MetaSaved`]. Same lane as `Log`.
    SaveMeta {
        /// The whole file.
        meta: Box<Meta>,
        /// Its number, rising.
        number: u64,
    },
    /// Append one group and sync, then hand in [`Input::Synced`].
    Log {
        /// The group's number, contiguous.
        seq: GroupSeq,
        /// Its records.
        records: Vec<LogRecord>,
    },
    /// Apply decided writes; keystore lane.
    Apply {
        /// The writes, this node's keys only.
        writes: Vec<Committed>,
        /// All decisions in groups through this one have been handed over for applying.
        through: GroupSeq,
    },
    /// Look a key up, behind all earlier `Apply`s; keystore lane.
    Read {
        /// To be given back.
        token: ReadToken,
        /// The key.
        key: Key,
    },
    /// Read the first `limit` named updates after `after`; keystore lane.
    ReadOnces {
        /// To be given back.
        token: AskToken,
        /// Only later ones.
        after: Version,
        /// At most so many.
        limit: usize,
    },
    /// Read a page of live keys; keystore lane.
    Scan {
        /// To be given back.
        token: AskToken,
        /// What they begin with.
        prefix: Box<str>,
        /// Only keys after this one.
        after: Option<Key>,
        /// Keys to look at, at most.
        looks_max: usize,
        /// Bytes of values after which it ends.
        bytes_max: usize,
    },
    /// Read a portion of what there is, tombstones too; keystore lane.
    Copy {
        /// To be given back.
        token: AskToken,
        /// What is asked for; no longer than a portion may be.
        ask: CopyAsk,
        /// Keys to look at, at most.
        looks_max: usize,
    },
    /// Named updates below this one need not be kept; keystore lane.
    DropOnces(Version),
    /// Keep these named updates too; keystore lane.
    KeepOnces(Vec<OnceEntry>),
    /// Find out about records, or mend some, behind all earlier `Apply`s; keystore lane.
    Audit {
        /// To be given back.
        token: AskToken,
        /// What is wanted.
        what: Audit,
        /// Records to look at, at most.
        looks_max: usize,
    },
    /// Drop what lies outside of these stretches, some of it; keystore lane.
    Retain {
        /// What is kept.
        spans: Vec<Span>,
        /// Only keys after this one.
        after: Option<Key>,
        /// Keys to look at, at most.
        looks_max: usize,
    },
    /// Drop what a whole portion does not have, some of it; keystore lane.
    DropOthers {
        /// Where.
        whole: Extent,
        /// The keys of the portion.
        keep: Arc<BTreeSet<Key>>,
        /// Keys to look at, at most.
        looks_max: usize,
    },
    /// Drop the tombstones of versions below this one, some of them; keystore lane.
    Sweep {
        /// Those of this version and later ones stay.
        below: Version,
        /// Only keys after this one.
        after: Option<Key>,
        /// Keys to look at, at most.
        looks_max: usize,
    },
    /// Make the keystore durable, then hand in [`Input::Checkpointed`]; keystore lane.
    Checkpoint {
        /// As in `Apply`.
        through: GroupSeq,
    },
    /// Groups through this one are not needed any more.
    FreeLog {
        /// The last group not needed.
        through: GroupSeq,
    },
    /// The log is to have room for so many bytes, if the disk has the space; log lane.
    WantRoom {
        /// As in [`Room`].
        bytes: u64,
    },
    /// The ring is known or new: count keys by these ranges.
    Ranges(Arc<Ring>),
    /// The node takes part fully from now on.
    CaughtUp,
    /// Stop the process.
    Exit(ExitReason),
}

/// Why a node must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// The store has proved to have lost something: do not start it again (R7).
    Lost(String),
    /// A broken rule of the commit protocol: a bug, or two clusters mixed up (H14).
    Broken(String),
}
