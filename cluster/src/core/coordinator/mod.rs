//! The coordinator, pure: the one decider of its epoch.
//!
//! `shell::coordinator` (and the simulator) hands it [`Input`]s and performs its [`Effect`]s in
//! list order. Data flows one way through the modules below, in this order:
//!
//! * `members`: who has registered, who is alive; opens and ends links
//! * `admission`: who may register
//! * `claim`: epoch, founding, the ring in force, the wait for old leases (R2, R11, R15)
//! * `links`: sessions with the nodes: batches down, answers up, windows
//! * `voting`: what awaits votes
//! * `losses`: stores that have lost something (R7)
//! * `rings`: from one ring to the next while it serves (R10, R15)
//! * `heal`: what is changed without being asked for: evictions, returns, learners that are ready
//! * `change`: what administrators ask for
//! * `preview`: what a change would move
//! * `copying`: how learners get what they do not have; `resume`: gone on with after another
//!   coordinator
//! * `audit`: whether copies that should be alike are
//! * `scrub`: reading all records anew, and mending damaged ones
//! * `damage`: what is known to be wrong with copies
//! * `resolve`: what reports prove about transactions of earlier epochs (R6)
//! * `conditions`: what an update asks for, and what it comes to on a given state
//! * `order`: program order of each connection
//! * `updates`: queues of each key, ids, handing over
//! * `evaluate`: what an update's keys hold for it: undecided results, the cache, cold reads (H18,
//!   H20)
//! * `decide`: votes, the commit point, aborts, confirmations, what is settled (R4, R5, R8, R12)
//! * `once`: named updates, so that repeating one is harmless (R16)
//! * `outcome`: what became of an update
//! * `reads`: misses, consistent cuts of several keys, the lease check
//! * `scan`: pages of keys over all ranges
//! * `locate`: where a key lies, and what its holders have
//! * `watch`: who is told of changes
//! * `explain`: which way a request takes
//! * `estimate`: how much a change copies, and how far that is
//! * `census`: how many live copies the keys have
//! * `status`: the picture of it all
//! * `events`: what those who subscribed are told
//!
//! `interface` is what comes in and goes out.
//!
//! Never: keeps anything that a restart would miss; tells a result before it may (see `claim`);
//! shows an undecided write.

mod admission;
mod audit;
mod census;
mod change;
mod claim;
mod conditions;
mod copying;
mod damage;
mod decide;
mod estimate;
mod evaluate;
mod events;
mod explain;
mod heal;
mod interface;
mod links;
mod locate;
mod losses;
mod members;
mod once;
mod order;
mod outcome;
mod pace;
mod preview;
mod reads;
mod resolve;
mod resume;
mod rings;
mod scan;
mod scrub;
mod serial;
mod status;
mod updates;
mod voting;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::ids::{Epoch, GroupSeq, Key, MemberId, Once, Uuid, Version};
use protocol::peer::{Placement, RingRecord};

use super::cache::Cache;
use super::lease::Lease;
use super::ring::Ring;
use super::time::Time;

pub use change::{Action, AdminOp};
pub use claim::Phase;
pub use conditions::{Change, Test, Update, Write};
pub use events::{Interest, Look};
pub use explain::{CacheLook, ExplainOp, Explainable, Explained, Seen};
pub use interface::{Answer, ClientId, ClientOp, Effect, Input, Note, RegistrationId, UpdateName};
pub use locate::LocateOp;
pub use scan::ScanOp;
pub use watch::WatchOp;

/// Updates that wait to be handed over; more are `overloaded`.
const QUEUED_MAX: usize = 65_536;
/// Bytes of values in those.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Keys in reads that wait for a node or for their turn; more are `overloaded`.
const READS_MAX: usize = 65_536;
/// Requests that wait for the coordinator to become active; more are `overloaded`.
const ARRIVALS_MAX: usize = 65_536;
/// Time between two [`Input::Tick`] at most, milliseconds.
const TICK_MS: u64 = 50;
/// How long a refused request is asked to wait.
const RETRY_AFTER_MS: u64 = 100;

/// What a coordinator is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// This process.
    pub instance: Uuid,
    /// The cluster's UUID, should this coordinator found it.
    pub cluster_if_founded: Uuid,
    /// Its name in `status`.
    pub name: String,
    /// How many nodes found a cluster.
    pub nodes: u16,
    /// Copies of each key, at the founding.
    pub replicas: u16,
    /// Points a node, at the founding.
    pub tokens: u16,
    /// How keys are placed, at the founding.
    pub placement: Placement,
    /// The nodes' heartbeat interval.
    pub heartbeat_ms: u64,
    /// How long answers of half of the members let it tell what it knows (R11).
    pub lease_ms: u64,
    /// Coordinators that are known to be dead: their leases need no waiting.
    pub reaped: Vec<Uuid>,
    /// Named updates that are remembered at most (R16): about 200 bytes each.
    pub once_entries_max: usize,
    /// Prepare messages out at a node at a time.
    pub batches_out_max: usize,
    /// How long a silent node keeps its place, milliseconds; `None`: for ever.
    pub evict_after_ms: Option<u64>,
    /// How fast copies are made for learners, bytes a second in all.
    pub copy_bytes_per_s: u64,
    /// Time between two comparisons of copies, milliseconds.
    pub compare_every_ms: u64,
    /// Time between two scrubs that begin by themselves, milliseconds; `None`: never.
    pub scrub_period_ms: Option<u64>,
    /// An update is handed over only when the one before is decided.
    pub serial_updates: bool,
}

/// An update's place in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seq(u64);

/// A coordinator's whole state.
///
/// Invariants, asserted as they change:
/// * on every key ids rise in queue order, and decisions are made in that order;
/// * a transaction is in all its participants' outboxes or in none;
/// * the cache holds only decided values, and never an older one than a node may serve.
pub struct Coordinator {
    config: Config,
    phase: Phase,
    epoch: Epoch,
    /// The next id's counter.
    counter: u64,
    record: Option<Arc<RingRecord>>,
    ring: Option<Arc<Ring>>,
    nodes: Vec<members::Node>,
    /// Places in `nodes` by member number.
    by_member: BTreeMap<MemberId, usize>,
    /// Places in `nodes` by the session of their link.
    by_session: BTreeMap<u64, usize>,
    last_session: u64,
    marks: BTreeMap<MemberId, GroupSeq>,
    losses: BTreeMap<MemberId, losses::Loss>,
    cache: Arc<Cache>,
    /// The next ring, while it is on its way.
    step: Option<rings::Step>,
    /// Ranges whose updates wait for a ring.
    barriers: Vec<rings::Barrier>,
    copies: copying::Copies,
    pace: pace::Pace,
    census: census::Census,
    audits: audit::Audits,
    scrubs: scrub::Scrubs,
    damage: damage::Damage,
    changes: change::Changes,
    /// Why somebody who is due is not evicted, as it was told.
    refused: BTreeMap<MemberId, String>,
    evict_after_ms: Option<u64>,
    copy_bytes_per_s: u64,
    active_since: Time,
    /// Counted from the moment that the members are known.
    lease: Option<Lease>,
    /// That of the other members, while the members change: both are needed.
    joint: Option<Lease>,
    lease_told: Time,
    clock: super::detector::OwnClock,
    started: Time,
    last_tick: Time,
    arrivals: VecDeque<Arrival>,
    last_seq: u64,
    txns: BTreeMap<Seq, updates::Txn>,
    by_id: BTreeMap<Version, Seq>,
    keys: BTreeMap<Key, updates::KeyQueue>,
    queued: usize,
    queued_bytes: usize,
    /// Updates that wait for room at a node.
    cramped: BTreeSet<Seq>,
    /// Updates that wait until no other is undecided.
    series: BTreeSet<Seq>,
    /// Updates whose negative answer waits for the lease.
    leaseless: BTreeSet<Seq>,
    work: VecDeque<Seq>,
    decided: BTreeMap<Version, decide::Outcome>,
    in_doubt: BTreeMap<Version, resolve::InDoubt>,
    /// Transactions of earlier epochs that were decided under this one. A node goes on reporting
    /// them until it is told that they are settled, and what the others said of them is forgotten.
    resolved: BTreeSet<Version>,
    onces: once::Onces,
    aborted: outcome::Aborted,
    outcomes: BTreeMap<u64, outcome::Asked>,
    scans: BTreeMap<u64, scan::Scan>,
    locates: BTreeMap<u64, locate::Locating>,
    watches: watch::Watches,
    /// Requests that are carried out and explained.
    explains: BTreeMap<ClientId, Box<explain::Explaining>>,
    reads: BTreeMap<u64, reads::Read>,
    /// Keys of all those.
    keys_read: usize,
    /// Numbers reads, other requests that wait for nodes, and the questions that nodes are asked.
    last_ask: u64,
    parked: BTreeSet<u64>,
    /// Reads whose turn has come.
    due_reads: VecDeque<u64>,
    /// Reads of several keys that are asked for with the next messages.
    cuts: Vec<u64>,
    deadlines: BTreeSet<(Time, Deadline)>,
    ops: status::Ops,
    events: events::Events,
    effects: Vec<Effect>,
}

/// Whose patience ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deadline {
    Update(Seq),
    Read(u64),
    Outcome(u64),
    Scan(u64),
    Locate(u64),
}

/// A request as it came.
#[derive(Debug)]
struct Arrival {
    client: ClientId,
    op: ClientOp,
    once: Option<Once>,
    deadline: Time,
}

impl Coordinator {
    /// A coordinator that knows nothing yet. `cache` is shared with the connections' tasks.
    pub fn new(config: Config, cache: Arc<Cache>, now: Time) -> Self {
        assert!(config.nodes >= 1 && config.tokens >= 1, "checked with the flags");
        assert!((1..=config.nodes).contains(&config.replicas), "checked with the flags");
        let (evict_after_ms, copy_bytes_per_s) = (config.evict_after_ms, config.copy_bytes_per_s);
        Self {
            config,
            step: None,
            barriers: Vec::new(),
            copies: copying::Copies::default(),
            pace: pace::Pace::new(),
            census: census::Census::default(),
            audits: audit::Audits::new(now),
            scrubs: scrub::Scrubs::default(),
            damage: damage::Damage::default(),
            changes: change::Changes::default(),
            refused: BTreeMap::new(),
            evict_after_ms,
            copy_bytes_per_s,
            active_since: now,
            joint: None,
            phase: Phase::Gathering { not_before: now, above: Epoch(0), attempts: 0 },
            epoch: Epoch(0),
            counter: 0,
            record: None,
            ring: None,
            nodes: Vec::new(),
            by_member: BTreeMap::new(),
            by_session: BTreeMap::new(),
            last_session: 0,
            marks: BTreeMap::new(),
            losses: BTreeMap::new(),
            cache,
            lease: None,
            lease_told: Time(0),
            clock: super::detector::OwnClock::default(),
            started: now,
            last_tick: now,
            arrivals: VecDeque::new(),
            last_seq: 0,
            txns: BTreeMap::new(),
            by_id: BTreeMap::new(),
            keys: BTreeMap::new(),
            queued: 0,
            queued_bytes: 0,
            cramped: BTreeSet::new(),
            series: BTreeSet::new(),
            leaseless: BTreeSet::new(),
            work: VecDeque::new(),
            decided: BTreeMap::new(),
            in_doubt: BTreeMap::new(),
            resolved: BTreeSet::new(),
            onces: once::Onces::default(),
            aborted: outcome::Aborted::default(),
            outcomes: BTreeMap::new(),
            locates: BTreeMap::new(),
            scans: BTreeMap::new(),
            watches: watch::Watches::default(),
            explains: BTreeMap::new(),
            reads: BTreeMap::new(),
            keys_read: 0,
            last_ask: 0,
            parked: BTreeSet::new(),
            due_reads: VecDeque::new(),
            cuts: Vec::new(),
            deadlines: BTreeSet::new(),
            ops: status::Ops::default(),
            events: events::Events::default(),
            effects: Vec::new(),
        }
    }

    /// Takes in what has happened; returns what is to be done.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Effect> {
        self.watch_clock(now);
        self.cache.set_time(now);
        match input {
            Input::Request { client, op, once, timeout_ms } => {
                let deadline = now.plus_ms(timeout_ms);
                self.on_request(now, Arrival { client, op, once, deadline });
            }
            Input::ClientGone(conn) => self.on_client_gone(conn),
            Input::Register { conn, register } => self.on_register(now, conn, *register),
            Input::Unregistered(conn) => self.on_unregistered(now, conn),
            Input::LinkUp { session } => self.on_link_up(now, session),
            Input::LinkLost { session, refused } => self.on_link_lost(now, session, refused),
            Input::Up { session, up } => self.on_up(now, session, *up),
            Input::Heartbeat(heartbeat) => self.on_heartbeat(now, &heartbeat),
            Input::Interest(interest) => self.on_interest(*interest),
            Input::Tick => self.on_tick(now),
            Input::Flush => self.flush(now),
            Input::Stop => self.on_stop(now),
        }
        self.run_work(now);
        self.tell_states_that_differ(now);
        self.tell_sweeps();
        std::mem::take(&mut self.effects)
    }

    /// The epoch that it has claimed last.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When [`Input::Tick`] is next wanted.
    pub fn next_deadline(&self) -> Time {
        let patience = self.deadlines.first().map_or(Time::NEVER, |(at, _)| *at);
        let flush = self.flush_due().unwrap_or(Time::NEVER);
        // Once it was looked at, whoever still waits does so for something else.
        let turn = Some(self.pace.due()).filter(|due| *due > self.last_tick);
        let turn = turn.filter(|_| self.copies.wait_for_turn()).unwrap_or(Time::NEVER);
        patience.min(flush).min(turn).min(self.last_tick.plus_ms(TICK_MS))
    }

    fn on_tick(&mut self, now: Time) {
        self.last_tick = now;
        self.watch_arrivals(now);
        self.watch_members(now);
        self.claim_step(now);
        self.heal(now);
        self.audit_step(now);
        self.scrub_step(now);
        while let Some((at, deadline)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            match deadline {
                Deadline::Update(seq) => self.on_update_deadline(now, seq),
                Deadline::Read(read) => self.on_read_deadline(read),
                Deadline::Outcome(id) => self.on_outcome_deadline(id),
                Deadline::Scan(id) => self.on_scan_deadline(id),
                Deadline::Locate(id) => self.on_locate_deadline(now, id),
            }
        }
        self.tell_of_time(now);
    }

    /// The number of the next read, or question.
    fn next_ask(&mut self) -> u64 {
        self.last_ask += 1;
        self.last_ask
    }

    fn note(&mut self, note: Note) {
        self.tell_of_note(&note);
        self.effects.push(Effect::Note(note));
    }

    fn reply(&mut self, client: ClientId, answer: Answer) {
        let answer = if self.explains_any() { self.explained(client, answer) } else { answer };
        self.effects.push(Effect::Reply { client, answer });
    }

    fn reply_error(&mut self, client: ClientId, error: ErrorReply) {
        self.reply(client, Answer::Error(Box::new(error)));
    }

    fn on_request(&mut self, now: Time, arrival: Arrival) {
        if let ClientOp::Status = arrival.op {
            let status = Box::new(self.status(now));
            self.reply(arrival.client, Answer::Status(status));
            return;
        }
        if !matches!(self.phase, Phase::Active) {
            self.on_early_request(arrival);
            return;
        }
        let Arrival { client, op, once, deadline } = arrival;
        match op {
            ClientOp::Get(key) => self.on_get(now, client, key, deadline),
            ClientOp::Mget(keys) => self.on_mget(now, client, keys, deadline),
            ClientOp::Update(update) => self.on_update(now, client, update, once, deadline),
            ClientOp::Outcome(of) => self.on_outcome(now, client, of, deadline),
            ClientOp::Scan(op) => self.on_scan(now, client, op, deadline),
            ClientOp::Watch(op) => self.on_watch(now, client, op),
            ClientOp::Locate(op) => self.on_locate(now, client, op, deadline),
            ClientOp::Explain(op) => self.on_explain(now, client, *op, once, deadline),
            ClientOp::Admin(op) => self.on_admin(now, client, op),
            ClientOp::Status => {}
        }
    }
}
