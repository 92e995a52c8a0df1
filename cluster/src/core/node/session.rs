//! Who may speak to a node: sessions, claims of epochs, the durable fence, reports (R2, R7).
//!
//! A message counts only if it is the next one of the current session; anything else ends that
//! session, and the coordinator begins a new one. Called by `core::node` only.

use protocol::ids::{Epoch, GroupSeq, MemberId, Version};
use protocol::peer::{
    AuditAnswer, CacheAnswer, CopyAnswer, CopyAsk, Down, DownBody, Fence, Greeting, OnceAnswer,
    OnceAsk, Open, Prepare, ReadAnswer, Refusal, Report, ReportedTxn, RingRecord, ScanAnswer,
    ScanAsk, Timed, TxnState, Up, WireValue, WireWrite,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::planted::{Bug, planted};
use super::super::record::{Prepared, Previous};
use super::super::ring::{is_ring, number_in, ring_of};
use super::super::time::Time;
use super::reads::Asked;
use super::{ConnId, Effect, ExitReason, NodeCore};

/// One coordinator's link.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: ConnId,
    /// The coordinator's number for it. Another coordinator counts from 1 again.
    pub(super) id: u64,
    /// This process's own number for it, never used twice: what was begun for one session is
    /// never answered on another.
    pub(super) serial: u64,
    pub(super) epoch: Epoch,
    /// The last message taken in.
    pub(super) n_in: u64,
    n_out: u64,
    /// Set until the report is sent.
    opening: Option<Opening>,
    pub(super) durable: u64,
    durable_told: u64,
    /// The last message that held a decision.
    pub(super) decided_n: u64,
    pub(super) ask: bool,
    /// How long votes take is wanted.
    pub(super) timed: bool,
    pub(super) out: Pending,
    /// The message that said `caught_up`, until it is confirmed.
    pub(super) caught_up_at: Option<u64>,
    /// Whether the coordinator was told that prepares are refused for want of space.
    full_told: bool,
    /// Whether it was told that there is no space for a checkpoint.
    no_space_told: bool,
    /// Questions for keys that the keystore is at, by their number.
    pub(super) reads: BTreeMap<u64, Asked>,
    /// The same for named updates.
    pub(super) onces: BTreeMap<u64, OnceAsk>,
    /// The same for pages.
    pub(super) scans: BTreeMap<u64, ScanAsk>,
    /// The same for what is copied from here.
    pub(super) copies: BTreeMap<u64, CopyAsk>,
    /// The same for what is found out about records.
    pub(super) audits: BTreeSet<u64>,
}

/// What must be durable before the report is sent.
#[derive(Debug)]
struct Opening {
    before: Option<Fence>,
    meta: u64,
    group: GroupSeq,
}

/// What is to be said with the next message up.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) yes: Vec<u64>,
    pub(super) timed: Vec<Timed>,
    pub(super) no: Vec<Refusal>,
    pub(super) read: Vec<ReadAnswer>,
    pub(super) once: Vec<OnceAnswer>,
    pub(super) scan: Vec<ScanAnswer>,
    pub(super) cache: Vec<CacheAnswer>,
    pub(super) copy: Vec<CopyAnswer>,
    pub(super) audit: Vec<AuditAnswer>,
    /// Portions that were taken in.
    pub(super) put: Vec<u64>,
    /// About how many bytes all these answers are.
    pub(super) answered_bytes: usize,
    report: Option<Box<Report>>,
    /// A ring to confirm once the state file with this number is saved.
    install: Vec<(u64, protocol::ids::RingNumber)>,
    /// Lost members to confirm, in the same way.
    losses: Vec<(u64, Vec<MemberId>)>,
    mark: Vec<u64>,
}

impl NodeCore {
    pub(super) fn on_down(&mut self, now: Time, conn: ConnId, down: Down) {
        if let DownBody::Open(open) = &down.body {
            self.on_open(conn, &down, open);
            return;
        }
        let Some(session) = self.session.as_mut().filter(|session| session.conn == conn) else {
            self.effects.push(Effect::Close(conn));
            return;
        };
        let in_order = down.session == session.id && down.epoch == session.epoch;
        if in_order && down.n <= session.n_in {
            return;
        }
        if !in_order || down.n != session.n_in + 1 {
            self.close_session();
            return;
        }
        session.n_in = down.n;
        assert_eq!(session.epoch, self.meta.fence.epoch, "a session outlived its epoch");
        match down.body {
            DownBody::Open(_) => {}
            DownBody::Install(ring) => self.on_install(ring),
            DownBody::Mark { active, released } => {
                self.meta.fence.active |= active;
                self.meta.fence.released |= released;
                let number = self.save_meta();
                self.pending().mark.push(number);
            }
            DownBody::Batch(batch) => self.on_batch(now, batch),
            DownBody::Losses(lost) => self.on_losses(lost),
            DownBody::Lost { reason } => self.exit(ExitReason::Lost(reason)),
        }
    }

    /// Only called with a session: the callers act on one of its messages.
    fn pending(&mut self) -> &mut Pending {
        &mut self.session.as_mut().expect("a message has a session").out
    }

    pub(super) fn on_disconnected(&mut self, conn: ConnId) {
        if self.session.as_ref().is_some_and(|session| session.conn == conn) {
            self.session = None;
        }
    }

    pub(super) fn close_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.effects.push(Effect::Close(session.conn));
        }
    }

    fn on_open(&mut self, conn: ConnId, down: &Down, open: &Open) {
        let mine = open.store == self.meta.store && open.incarnation == self.meta.incarnation;
        let own = Greeting::new(self.meta.ring.as_ref().map(|ring| ring.cluster));
        let foreign = own.is_foreign(&open.greeting) || down.epoch > Epoch::MAX;
        // At registration both have said more of it.
        if !mine || foreign || own.common(&open.greeting).is_none() || down.n != 1 {
            self.effects.push(Effect::Close(conn));
            return;
        }
        let fence = self.meta.fence;
        let same = down.epoch == fence.epoch && fence.coordinator == Some(open.coordinator);
        let lower = down.epoch < fence.epoch && !planted(Bug::LowerEpochHeard);
        let taken = down.epoch == fence.epoch && !same && !planted(Bug::EpochShared);
        if lower || taken {
            let up = Up { fenced: Some(fence.epoch), ..self.empty_up(down.session, down.epoch) };
            self.effects.push(Effect::Send { conn, up: Box::new(up) });
            self.effects.push(Effect::Close(conn));
            return;
        }
        if same && self.session.as_ref().is_some_and(|session| session.id >= down.session) {
            // A late message of an older session of the same coordinator.
            self.effects.push(Effect::Close(conn));
            return;
        }
        self.close_session();
        self.begin_session(conn, down, open, same);
    }

    fn begin_session(&mut self, conn: ConnId, down: &Down, open: &Open, same: bool) {
        let before = (!same).then_some(self.meta.fence);
        if !same {
            self.meta.fence = Fence {
                epoch: down.epoch,
                coordinator: Some(open.coordinator),
                active: false,
                released: false,
            };
            self.save_meta();
        }
        // Votes that waited for the next group belong to the session that has ended.
        self.buffer_yes.clear();
        self.buffer_no.clear();
        self.drop_checks();
        self.follow_sets(BTreeSet::new());
        self.close_group();
        let last_group = GroupSeq(self.next.0 - 1);
        self.sessions += 1;
        self.session = Some(Session {
            conn,
            id: down.session,
            serial: self.sessions,
            epoch: down.epoch,
            n_in: 1,
            n_out: 0,
            opening: Some(Opening { before, meta: self.metas_sent, group: last_group }),
            durable: 0,
            durable_told: 0,
            decided_n: 0,
            ask: false,
            timed: false,
            out: Pending::default(),
            caught_up_at: None,
            reads: BTreeMap::new(),
            full_told: false,
            no_space_told: false,
            onces: BTreeMap::new(),
            scans: BTreeMap::new(),
            copies: BTreeMap::new(),
            audits: BTreeSet::new(),
        });
        self.after_progress();
    }

    pub(super) fn save_meta(&mut self) -> u64 {
        self.metas_sent += 1;
        let (meta, number) = (Box::new(self.meta.clone()), self.metas_sent);
        self.effects.push(Effect::SaveMeta { meta, number });
        number
    }

    pub(super) fn on_meta_saved(&mut self, number: u64) {
        assert!(number > self.metas_saved && number <= self.metas_sent);
        self.metas_saved = number;
        self.sweep_on_saved(number);
        self.copies_are_saved();
        self.after_progress();
    }

    fn on_install(&mut self, ring: RingRecord) {
        let known = self.meta.ring.as_ref();
        let foreign = known.is_some_and(|known| known.cluster != ring.cluster);
        if foreign || !is_ring(&ring) || ring.number.epoch > self.meta.fence.epoch {
            self.close_session();
            return;
        }
        let number = ring.number;
        let newer = known.is_none_or(|known| known.number < number);
        if newer {
            self.meta.ring = Some(ring);
            self.take_ring();
            self.stop_dropping();
            self.save_meta();
            if planted(Bug::DroppedBeforeInForce) {
                self.on_in_force(Some(number));
            }
        }
        let saved_with = self.metas_sent;
        self.pending().install.push((saved_with, number));
        self.after_progress();
    }

    /// What a coordinator rests on them must bind its successors: they learn of it here.
    fn on_losses(&mut self, lost: Vec<MemberId>) {
        let member = |id: &MemberId| {
            let ring = self.meta.ring.as_ref();
            ring.is_some_and(|ring| ring.members.iter().any(|member| member.id == *id))
        };
        if !lost.iter().all(member) {
            self.close_session();
            return;
        }
        let known = &mut self.meta.lost;
        let before = known.len();
        known.extend(lost);
        known.sort_unstable();
        known.dedup();
        if known.len() > before {
            self.save_meta();
        }
        let (saved_with, lost) = (self.metas_sent, self.meta.lost.clone());
        self.pending().losses.push((saved_with, lost));
        self.after_progress();
    }

    /// Derives what is used of the ring record.
    pub(super) fn take_ring(&mut self) {
        let Some(record) = &self.meta.ring else { return };
        let store = self.meta.store;
        // Until another ring is in force, the ring before may be what a new coordinator finds.
        self.me = number_in(record, store);
        let departed = record.departed.iter().filter(|departed| departed.uuid == store);
        let departed: Vec<MemberId> = departed.map(|departed| departed.id).collect();
        let ring = Arc::new(ring_of(record));
        departed.into_iter().for_each(|id| self.leave_behind(id));
        self.effects.push(Effect::Ranges(ring.clone()));
        self.ring = Some(ring);
        self.progress_follows_ring();
    }

    /// Something became durable: the report or a confirmation may be due.
    pub(super) fn after_progress(&mut self) {
        let (saved, synced) = (self.metas_saved, self.synced);
        let Some(session) = self.session.as_mut() else { return };
        let early = planted(Bug::ReportBeforeSync);
        let ready = session.opening.as_ref().is_some_and(|opening| {
            (opening.meta <= saved || planted(Bug::FenceNotSaved))
                && (opening.group <= synced || early)
        });
        if ready {
            let before = session.opening.take().and_then(|opening| opening.before);
            let report = self.report(before);
            self.pending().report = Some(Box::new(report));
        }
    }

    fn report(&self, before: Option<Fence>) -> Report {
        let txns = self.txns.iter().map(|(id, txn)| ReportedTxn {
            id: *id,
            participants: txn.participants.clone(),
            state: txn.state,
            prepared: txn.prepared.as_ref().map(|prepared| Arc::new(to_wire(prepared))),
        });
        Report {
            store: self.meta.store,
            incarnation: self.meta.incarnation,
            ring: self.meta.ring.clone(),
            before,
            cut_through: self.meta.cut_through,
            marks: self.marks.iter().map(|(member, seq)| (*member, *seq)).collect(),
            lost: self.meta.lost.clone(),
            settled: self.settled.ranges().to_vec(),
            copied: self.learning.progress.clone(),
            txns: txns.collect(),
        }
    }

    fn empty_up(&self, session: u64, epoch: Epoch) -> Up {
        let (end, full) = (self.synced, self.is_short_of_space());
        Up { session, epoch, end, full, ..Up::default() }
    }

    /// With nothing new to log, what has been taken in is as durable as what came before it.
    fn cover(&mut self) {
        let Some(session) = self.session.as_mut() else { return };
        if !self.buffer.is_empty() {
            return;
        }
        match self.in_flight.back_mut() {
            _ if planted(Bug::ConfirmedBeforeSync) => session.durable = session.n_in,
            None => session.durable = session.n_in,
            Some(group) if group.session == session.serial => group.covers = session.n_in,
            Some(_) => {}
        }
    }

    /// Sends one message up if there is anything to say.
    pub(super) fn send_pending(&mut self) {
        self.cover();
        let (saved, full) = (self.metas_saved, self.is_short_of_space());
        let no_space = self.checkpoints.found_no_space();
        let Some(session) = self.session.as_mut() else { return };
        if session.opening.is_some() {
            return;
        }
        let out = &mut session.out;
        let installed = out.install.iter().filter(|(meta, _)| *meta <= saved).map(|(_, n)| *n);
        let installed = installed.max();
        out.install.retain(|(meta, _)| *meta > saved);
        let marked = out.mark.iter().any(|meta| *meta <= saved);
        out.mark.retain(|meta| *meta > saved);
        let lost = out.losses.iter().rev().find(|(meta, _)| *meta <= saved);
        let lost = lost.map(|(_, lost)| lost.clone()).unwrap_or_default();
        out.losses.retain(|(meta, _)| *meta > saved);
        let caught_up = session.caught_up_at.is_some_and(|n| n <= session.durable);
        let nothing = !session.ask && out.yes.is_empty() && out.no.is_empty();
        let nothing = nothing && out.read.is_empty() && out.once.is_empty();
        let nothing = nothing && out.scan.is_empty() && out.report.is_none();
        let nothing = nothing && out.cache.is_empty() && out.copy.is_empty() && out.put.is_empty();
        let nothing = nothing && out.audit.is_empty() && session.full_told == full;
        let nothing = nothing && session.no_space_told == no_space;
        let nothing = nothing && lost.is_empty();
        if nothing && installed.is_none() && !marked && !caught_up && !session.durable_news() {
            return;
        }
        session.n_out += 1;
        session.ask = false;
        session.out.answered_bytes = 0;
        (session.full_told, session.no_space_told) = (full, no_space);
        session.told_durable();
        if caught_up {
            session.caught_up_at = None;
        }
        let up = Up {
            session: session.id,
            n: session.n_out,
            epoch: session.epoch,
            ack: session.n_in,
            durable: session.durable,
            end: self.synced,
            yes: std::mem::take(&mut session.out.yes),
            timed: std::mem::take(&mut session.out.timed),
            no: std::mem::take(&mut session.out.no),
            read: std::mem::take(&mut session.out.read),
            once: std::mem::take(&mut session.out.once),
            scan: std::mem::take(&mut session.out.scan),
            cache: std::mem::take(&mut session.out.cache),
            copy: std::mem::take(&mut session.out.copy),
            put: std::mem::take(&mut session.out.put),
            audit: std::mem::take(&mut session.out.audit),
            report: session.out.report.take(),
            fenced: None,
            installed,
            marked,
            lost,
            caught_up,
            full,
            no_space,
        };
        let conn = session.conn;
        assert_eq!(up.epoch, self.meta.fence.epoch, "an answer under a fenced epoch");
        self.effects.push(Effect::Send { conn, up: Box::new(up) });
        if caught_up {
            self.effects.push(Effect::CaughtUp);
        }
    }

    /// Checks and votes of a session that has ended are void; the coordinator asks again.
    fn drop_checks(&mut self) {
        self.checking.clear();
        self.behind.clear();
        self.drop_waiting(|_| true);
    }
}

impl Session {
    /// Decisions became durable that the coordinator has not heard of.
    fn durable_news(&self) -> bool {
        self.decided_n > self.durable_told && self.durable >= self.decided_n
    }

    fn told_durable(&mut self) {
        self.durable_told = self.durable;
    }
}

/// A prepared transaction as it is said between servers.
pub(crate) fn to_wire(prepared: &Prepared) -> Prepare {
    let write = |w: &super::super::record::Write| WireWrite {
        key: w.key.clone(),
        value: w.value.clone().map(WireValue),
        previous: match w.previous {
            Previous::Any => None,
            Previous::Is(version) => Some(version),
        },
        holders: w.holders.clone(),
    };
    Prepare {
        id: prepared.id,
        ring: prepared.ring,
        participants: prepared.participants.clone(),
        rests_on: prepared.rests_on.clone(),
        due: Vec::new(),
        writes: prepared.writes.iter().map(write).collect(),
        once: prepared.once.clone(),
    }
}

impl NodeCore {
    /// How many remembered transactions are in this state; for display.
    pub fn count_in(&self, state: TxnState) -> usize {
        self.remembered(state).count()
    }

    /// The remembered transactions in this state; for display.
    pub fn remembered(&self, state: TxnState) -> impl Iterator<Item = Version> {
        self.txns.iter().filter(move |(_, txn)| txn.state == state).map(|(id, _)| *id)
    }
}
