//! A storage node's part in two-phase commit, pure: it prepares, votes, applies and remembers.
//!
//! `shell::node` (and the simulator) hands it [`Input`]s and performs its [`Effect`]s **in list
//! order**; log and state file are one FIFO lane, the keystore is another. A vote leaves only
//! after [`Input::Synced`] for the group that holds its record: persist, then send.
//!
//! * `session`: who may speak to us; claims, reports, the fence (R2)
//! * `participant`: prepare, commit, abort
//! * `reads`: single keys, from the cache or the keystore
//! * `checkpoint`: what keeps old groups of the log, and how that ends
//! * `forget`: what is settled (R8); `sweep`: tombstones that nobody needs
//! * `once`: the named updates that it keeps (R16)
//! * `scan`: pages of its keys
//! * `copying`: portions for a learner, and being one
//! * `audit`: copies that differ or are damaged
//! * `shown`: what the coordinator is shown of the cache
//! * `space`: room in the log, for what is promised first (R14)
//! * `timing`: how long votes take, while the coordinator asks
//! * `restart`: from a log back to this state
//!
//! Never: evaluates a condition (the coordinator ships resolved writes, H19), decides a
//! transaction, answers a coordinator of a lower epoch.

mod audit;
mod checkpoint;
mod copying;
mod forget;
mod interface;
mod once;
mod participant;
mod reads;
mod restart;
mod scan;
mod session;
mod shown;
mod space;
mod sweep;
mod timing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::ids::{GroupSeq, Key, MemberId, Version};
use protocol::peer::{Prepare, Refusal, TxnState};

pub use interface::{AskToken, ConnId, Effect, ExitReason, Found, Input, Meta, ReadToken};
pub use restart::Restart;
pub use scan::Scanned;
pub use space::RESERVE_BYTES;

use super::cache::Cache;
use super::planted::{Bug, planted};
use super::record::{Committed, LogRecord, Prepared};
use super::ring::Ring;
use super::time::Time;

/// What is unsynced when no more work comes is synced after this long, milliseconds.
const IDLE_SYNC_MS: u64 = 50;
/// Bytes logged between two checkpoints of the keystore, unless configured.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
/// Most conditional prepares that wait for a look into the keystore at a time.
const CHECKING_MAX: usize = 65_536;

/// Most decided writes that wait before they are applied, and most bytes of their values.
const UNAPPLIED_MAX: usize = 1_024;
const UNAPPLIED_BYTES_MAX: usize = 1 << 20;
/// How long they wait for company, milliseconds: the keystore's thread is not to be in the way of
/// the next vote.
const APPLY_WAIT_MS: u64 = 2;

/// What the node remembers of a transaction.
#[derive(Debug, Clone)]
struct Txn {
    state: TxnState,
    participants: Vec<MemberId>,
    /// The whole of it while it is undecided, and where it was adopted until it is settled.
    prepared: Option<Arc<Prepared>>,
    /// The group that holds its first record, or what was carried forward of it.
    group: GroupSeq,
    /// The group that holds its decision, once there is one.
    decided: GroupSeq,
    /// When it was prepared here.
    since: Time,
}

/// A group on its way to the disk, and what may be said once it is there.
#[derive(Debug)]
struct Group {
    seq: GroupSeq,
    /// The session whose votes these are, as this process numbers them; 0 = none.
    session: u64,
    yes: Vec<u64>,
    no: Vec<Refusal>,
    /// All decisions in messages through this number are in this group or an earlier one.
    covers: u64,
    /// Room that it may take.
    taken: u64,
    /// When the first of its prepares came, if that is wanted.
    since: Option<Time>,
}

/// A conditional prepare that waits for looks into the keystore.
#[derive(Debug)]
struct Checking {
    prepare: Arc<Prepare>,
    /// Looks still to come.
    looks: usize,
    /// The first write whose condition failed.
    failed: Option<Key>,
}

/// A node's whole state.
///
/// Invariants, asserted as they change:
/// * `synced < next`; the groups in `in_flight` are exactly those between, in order.
/// * a transaction's state moves only from prepared to committed or aborted (H14).
/// * nothing is sent on a session of an epoch other than the promised one.
/// * what is cached is what the keystore has once it has done all that was handed to it: nothing
///   but `Effect::Apply` changes a key there.
#[derive(Debug)]
pub struct NodeCore {
    meta: Meta,
    me: Option<MemberId>,
    ring: Option<Arc<Ring>>,
    metas_saved: u64,
    metas_sent: u64,
    session: Option<session::Session>,
    /// How many sessions have begun.
    sessions: u64,
    txns: BTreeMap<Version, Txn>,
    /// The remembered transactions by the group that they need: see [`Txn::group`].
    pins: BTreeMap<GroupSeq, BTreeSet<Version>>,
    /// Of forgotten transactions whose decision no checkpoint covers yet: the group of that
    /// decision, and the first group that it needs.
    late_pins: BTreeMap<GroupSeq, GroupSeq>,
    /// Undecided transactions by key: the order of their ids is the order on the key.
    undecided: BTreeMap<Key, BTreeSet<Version>>,
    checking: BTreeMap<Version, Checking>,
    /// Prepares that rest on one being checked, or on another one behind it, in their order.
    behind: BTreeMap<Version, Vec<Arc<Prepare>>>,
    settled: forget::Forgotten,
    marks: BTreeMap<MemberId, GroupSeq>,
    next: GroupSeq,
    synced: GroupSeq,
    in_flight: VecDeque<Group>,
    buffer: Vec<LogRecord>,
    buffer_yes: Vec<u64>,
    buffer_no: Vec<Refusal>,
    buffer_since: Option<Time>,
    sync_wanted: bool,
    /// Decided writes on their way to the keystore, the bytes of their values, and since when.
    unapplied: Vec<Committed>,
    unapplied_bytes: usize,
    unapplied_since: Option<Time>,
    /// In front of the keystore.
    cache: Arc<Cache>,
    checkpoints: checkpoint::Pace,
    sweep: sweep::Sweep,
    checkpoint: checkpoint::State,
    /// A coordinator has held the log of this life against what others know of it (R7).
    found_whole: bool,
    /// What it is learning.
    learning: copying::Learning,
    checkpointed: GroupSeq,
    space: space::Space,
    timing: timing::Timing,
    /// Sets of the cache whose sweeps are kept.
    followed: BTreeSet<u32>,
    effects: Vec<Effect>,
}

impl NodeCore {
    /// Takes in what has happened; returns what is to be done.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Effect> {
        self.cache.set_time(now);
        match input {
            Input::Down { conn, down } => self.on_down(now, conn, *down),
            Input::Disconnected(conn) => self.on_disconnected(conn),
            Input::MetaSaved(number) => self.on_meta_saved(number),
            Input::Room(room) => self.on_room(now, room),
            Input::Took { append_us, sync_us } => self.timing.took(append_us, sync_us),
            Input::Synced(seq) => self.on_synced(now, seq),
            Input::ReadDone { token, found } => self.on_read_done(now, token, found),
            Input::ReadDamaged(token) => self.on_read_damaged(now, token),
            Input::PageDamaged { token, key } => self.on_page_damaged(token, key),
            Input::Audited { token, what } => self.on_audited(token, what),
            Input::OncesRead { token, entries } => self.on_onces_read(token, entries),
            Input::Scanned { token, page, through } => self.on_scanned(token, page, through),
            Input::Copied { token, portion, through } => self.on_copied(token, portion, through),
            Input::Retained(through) => self.on_retained(through),
            Input::OthersDropped { dropped, through } => self.on_others_dropped(dropped, through),
            Input::Swept { dropped, through } => self.on_swept(dropped, through),
            Input::Checkpointed(through) => self.on_checkpointed(now, through),
            Input::NotCheckpointed => self.on_not_checkpointed(now),
            Input::Tick => self.on_tick(now),
            Input::Flush => self.flush(now),
            Input::Stop => self.stop(),
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is next wanted.
    pub fn next_deadline(&self) -> Option<Time> {
        let sync = self.buffer_since.map(|since| since.plus_ms(IDLE_SYNC_MS));
        let apply = self.unapplied_since.map(|since| since.plus_ms(APPLY_WAIT_MS));
        sync.into_iter().chain(apply).chain(self.checkpoints.retry_at()).min()
    }

    /// The durable state of the node's small file.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many transactions are prepared and undecided, and since when the oldest is.
    pub fn undecided(&self) -> (u64, Option<Time>) {
        let mut count = 0;
        let mut oldest = None;
        for txn in self.undecided.values().flatten().filter_map(|id| self.txns.get(id)) {
            count += 1;
            oldest = Some(oldest.map_or(txn.since, |other: Time| other.min(txn.since)));
        }
        (count, oldest)
    }

    /// The connection of the coordinator that it listens to.
    pub fn conn(&self) -> Option<ConnId> {
        self.session.as_ref().map(|session| session.conn)
    }

    /// The number of this node in its ring, once it has one.
    pub fn member(&self) -> Option<MemberId> {
        self.me
    }

    /// The cache in front of its keystore, for display.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    fn on_tick(&mut self, now: Time) {
        if self.buffer_since.is_some_and(|since| now >= since.plus_ms(IDLE_SYNC_MS)) {
            self.close_group();
        }
        if self.unapplied_since.is_some_and(|since| now >= since.plus_ms(APPLY_WAIT_MS)) {
            self.hand_over_writes();
        }
    }

    /// Puts a record into the next group. Without `sync` it may wait for company.
    fn record(&mut self, now: Time, record: LogRecord, sync: bool) {
        self.checkpoints.logged(record_bytes(&record));
        self.push(record);
        self.sync_wanted |= sync;
        if self.buffer_since.is_none() {
            self.buffer_since = Some(now);
        }
    }

    fn push(&mut self, record: LogRecord) {
        self.space.add(record.bytes_max());
        self.buffer.push(record);
    }

    /// Sends what is buffered to the log as one group, even if only votes wait for it.
    fn close_group(&mut self) {
        if self.buffer.is_empty() && self.buffer_yes.is_empty() && self.buffer_no.is_empty() {
            self.buffer_since = None;
            self.sync_wanted = false;
            return;
        }
        if self.buffer.is_empty()
            && self.in_flight.is_empty()
            && let Some(session) = self.session.as_mut()
        {
            // Answers given before, and durable: no group is needed to repeat them.
            session.out.yes.append(&mut self.buffer_yes);
            session.out.no.append(&mut self.buffer_no);
            self.sync_wanted = false;
            return;
        }
        let seq = self.next;
        self.next = seq.next();
        if planted(Bug::VoteBeforeSync)
            && let Some(session) = self.session.as_mut()
        {
            session.out.yes.append(&mut self.buffer_yes);
        }
        let session = self.session.as_ref();
        self.in_flight.push_back(Group {
            seq,
            session: session.map_or(0, |session| session.serial),
            yes: std::mem::take(&mut self.buffer_yes),
            no: std::mem::take(&mut self.buffer_no),
            covers: session.map_or(0, |session| session.n_in),
            taken: self.space.close(),
            since: self.timing.close(),
        });
        let records = std::mem::take(&mut self.buffer);
        self.effects.push(Effect::Log { seq, records });
        self.buffer_since = None;
        self.sync_wanted = false;
    }

    fn on_synced(&mut self, now: Time, seq: GroupSeq) {
        let group = self.in_flight.pop_front().expect("a group was synced that was never sent");
        assert_eq!(group.seq, seq, "groups are synced in order");
        assert!(seq < self.next);
        self.synced = seq;
        self.space.synced(group.taken);
        let took = self.timing.of_group(now, group.since);
        if let Some(session) = self.session.as_mut().filter(|s| s.serial == group.session) {
            session.out.tell_times(took, group.yes.len());
            session.out.yes.extend(group.yes);
            session.out.no.extend(group.no);
            session.durable = session.durable.max(group.covers);
        }
        self.after_progress();
        self.carried(seq);
    }

    /// Says what there is to say, and closes the group if somebody waits for it.
    fn flush(&mut self, now: Time) {
        if self.is_cramped() {
            self.resume(now);
        }
        if self.sync_wanted {
            self.close_group();
        }
        if self.unapplied.len() >= UNAPPLIED_MAX || self.unapplied_bytes >= UNAPPLIED_BYTES_MAX {
            self.hand_over_writes();
        }
        self.maybe_sweep();
        self.maybe_checkpoint(now);
        self.send_pending();
    }

    /// Decided writes go to cache and keystore, before anything is read from either.
    fn hand_over_writes(&mut self) {
        if !self.unapplied.is_empty() {
            self.write_through();
            let writes = std::mem::take(&mut self.unapplied);
            self.sweep.handed_over(&writes);
            self.unapplied_bytes = 0;
            self.unapplied_since = None;
            self.effects.push(Effect::Apply { writes, through: self.applied_through() });
        }
    }

    /// All decisions in groups through this one have been handed over: only while nothing waits
    /// to be applied is that true of the last durable group.
    fn applied_through(&self) -> GroupSeq {
        assert!(self.unapplied.is_empty());
        self.synced
    }

    fn stop(&mut self) {
        self.session = None;
        self.hand_over_writes();
        self.close_group();
    }

    fn exit(&mut self, reason: ExitReason) {
        self.effects.push(Effect::Exit(reason));
    }

    fn broken(&mut self, what: String) {
        self.exit(ExitReason::Broken(what));
    }
}

/// About how many bytes a record takes in the log.
fn record_bytes(record: &LogRecord) -> u64 {
    let LogRecord::Prepare(prepared) = record else { return 48 };
    record_bytes_of(prepared)
}

/// About how many bytes a prepared transaction takes.
fn record_bytes_of(prepared: &Prepared) -> u64 {
    let write = |w: &super::record::Write| {
        w.key.as_bytes().len() + w.value.as_ref().map_or(0, |v| v.len()) + 48
    };
    prepared.writes.iter().map(write).sum::<usize>() as u64 + 64
}
