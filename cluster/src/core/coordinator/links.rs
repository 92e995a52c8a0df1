//! One link a node: what is on its way down, what has come up, how much of both may be open.
//!
//! A prepare or decision first goes into the node's outbox; `flush` makes one message of it per
//! node and turn. Prepares wait for the vote on the batch before, so that a batch is what arrived
//! during one sync; decisions and reads do not wait. Windows are per node: a slow one delays only
//! its own keys (H62, H63).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::event::Topic;
use protocol::ids::{COUNTER_BITS, Epoch, GroupSeq, MemberId, RingNumber, Version};
use protocol::peer::{
    Abort, AuditAsk, Batch, CacheAsk, CopyAsk, CopyPut, DownBody, OnceAsk, Prepare, ReadAsk,
    ScanAsk, Settled, Timed, Up,
};

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::decide::Ballot;
use super::voting::Voting;
use super::{Coordinator, Note, Phase};

/// Transactions out at one node, not voted on or decided but not confirmed.
const WINDOW_TXNS: usize = 8_192;
/// Bytes of their values.
const WINDOW_BYTES: usize = 8 << 20;
/// Messages out on a link without an answer; beyond, the link is given up.
const UNANSWERED_MAX: usize = 65_536;
/// A decision waits so long for a message that is about to go anyway: clients that were just
/// answered tend to ask again at once. Milliseconds.
const DECISION_WAIT_MS: u64 = 1;
/// Time between two announcements of what is settled, milliseconds.
const SETTLED_EVERY_MS: u64 = 250;
/// Most exceptions named in one; with more, only what lies below all of them is announced.
const SETTLED_EXCEPT_MAX: usize = 4_096;

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LinkPhase {
    #[default]
    Closed,
    Dialing,
    /// The claim is sent, the report not yet made use of.
    Opening,
    Ready,
}

/// A link and its windows.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) session: u64,
    pub(super) phase: LinkPhase,
    /// The last attempt met nobody.
    pub(super) refused: bool,
    n_out: u64,
    n_in: u64,
    /// Messages not yet acknowledged.
    sent: VecDeque<Sent>,
    outbox: Outbox,
    /// Batches of prepares that await votes.
    pub(super) voting: Voting,
    /// Transactions in outbox or awaiting votes, and bytes of them.
    pub(super) window_txns: usize,
    pub(super) window_bytes: usize,
    /// Decisions that are not confirmed: message and transactions.
    deciding: VecDeque<(u64, Vec<Version>)>,
    unconfirmed: usize,
    /// Reads that it was asked for, by the number of the question.
    pub(super) reads: BTreeMap<u64, u64>,
    /// Pages that it was asked for, by the number of the question.
    pub(super) scans: BTreeMap<u64, u64>,
    /// What was last announced to be settled on this link, and when.
    settled_told: Option<(Time, Settled)>,
    /// The first version whose entry it must keep, as it was told (R16).
    once_told: Version,
    /// How many losses it was told of.
    pub(super) losses_told: usize,
    /// The ring that it was told to be in force.
    pub(super) in_force_told: Option<RingNumber>,
    last_ask: Time,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    n: u64,
    /// When it was sent: the lease counts from here (R11).
    at: Time,
    /// Since when an answer is owed: never before the end of a pause of this process.
    owed: Time,
}

/// What the next message will hold.
#[derive(Debug, Default)]
struct Outbox {
    commit: Vec<Version>,
    adopt: Vec<Arc<Prepare>>,
    abort: Vec<Abort>,
    read: Vec<ReadAsk>,
    once: Vec<OnceAsk>,
    scan: Vec<ScanAsk>,
    /// What is looked at of its cache, if that is another or time to be shown it again.
    cache: Option<Vec<CacheAsk>>,
    copy: Vec<CopyAsk>,
    put: Vec<CopyPut>,
    audit: Vec<AuditAsk>,
    in_force: Option<RingNumber>,
    prepare: Vec<Arc<Prepare>>,
    sync: bool,
    ask: bool,
    caught_up: bool,
    /// When the oldest decision in here was made.
    decided: Option<Time>,
}

impl Link {
    /// A link that is being made. Until it is, the last attempt counts.
    pub(super) fn dialing(session: u64, refused: bool) -> Self {
        Self { session, phase: LinkPhase::Dialing, refused, ..Self::default() }
    }

    /// No link; `refused` if the last attempt met nobody.
    pub(super) fn closed(refused: bool) -> Self {
        Self { refused, ..Self::default() }
    }

    /// The number of the next message, which is sent now.
    pub(super) fn number(&mut self, now: Time) -> u64 {
        self.n_out += 1;
        self.sent.push_back(Sent { n: self.n_out, at: now, owed: now });
        self.n_out
    }

    /// When the oldest thing was asked that has no answer yet.
    pub(super) fn asked_oldest(&self) -> Option<Time> {
        let asked = self.sent.front().map(|sent| sent.owed);
        self.voting.oldest().into_iter().chain(asked).min()
    }

    /// Forgives the node the time for which this process stood still.
    pub(super) fn excuse(&mut self, moved: impl Fn(Time) -> Time) {
        for sent in &mut self.sent {
            sent.owed = moved(sent.owed);
        }
        self.voting.excuse(moved);
    }

    /// Whether one more transaction of this size may be handed over.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let txns = self.window_txns + self.unconfirmed;
        self.phase == LinkPhase::Ready
            && txns < WINDOW_TXNS
            && (self.window_bytes == 0 || self.window_bytes + bytes <= WINDOW_BYTES)
    }

    /// Whether a prepare would go out with the next message.
    pub(super) fn takes_prepares(&self, batches_max: usize) -> bool {
        self.voting.len() < batches_max
    }

    pub(super) fn push_prepare(&mut self, prepare: Arc<Prepare>) {
        self.window_txns += 1;
        self.window_bytes += bytes_of(&prepare);
        self.outbox.prepare.push(prepare);
    }

    /// A vote is in: its place in the window is free, the batch one nearer to its end.
    pub(super) fn voted(&mut self, prepare: &Prepare) {
        self.window_txns = self.window_txns.saturating_sub(1);
        self.window_bytes = self.window_bytes.saturating_sub(bytes_of(prepare));
        self.voting.voted();
    }

    pub(super) fn push_commit(&mut self, now: Time, id: Version) {
        self.outbox.decided.get_or_insert(now);
        self.outbox.commit.push(id);
        self.unconfirmed += 1;
    }

    /// When the next message is due though nothing more happens.
    fn due(&self) -> Option<Time> {
        let alone = self.phase == LinkPhase::Ready && self.outbox.prepare.is_empty();
        let decided = self.outbox.decided.filter(|_| alone)?;
        Some(decided.plus_ms(DECISION_WAIT_MS))
    }

    pub(super) fn push_adopt(&mut self, prepare: Arc<Prepare>, sync: bool) {
        self.outbox.adopt.push(prepare);
        self.outbox.sync |= sync;
        self.unconfirmed += 1;
    }

    /// Asks that the decisions in the next message be synced before they are confirmed.
    pub(super) fn want_sync(&mut self) {
        self.outbox.sync = true;
    }

    pub(super) fn push_abort(&mut self, id: Version, participants: Vec<MemberId>) {
        // A prepare that has not gone out would come after its abort: nobody waits for that vote.
        if let Some(place) = self.outbox.prepare.iter().position(|prepare| prepare.id == id) {
            let prepare = self.outbox.prepare.remove(place);
            self.window_txns = self.window_txns.saturating_sub(1);
            self.window_bytes = self.window_bytes.saturating_sub(bytes_of(&prepare));
        }
        self.outbox.abort.push(Abort { id, participants });
        self.unconfirmed += 1;
    }

    pub(super) fn push_read(&mut self, ask: ReadAsk, read: u64) {
        self.reads.insert(ask.r, read);
        self.outbox.read.push(ask);
    }

    pub(super) fn push_once_ask(&mut self, ask: OnceAsk) {
        self.outbox.once.push(ask);
    }

    pub(super) fn push_scan(&mut self, ask: ScanAsk, scan: u64) {
        self.scans.insert(ask.r, scan);
        self.outbox.scan.push(ask);
    }

    pub(super) fn push_copy(&mut self, ask: CopyAsk) {
        self.outbox.copy.push(ask);
    }

    pub(super) fn push_put(&mut self, put: CopyPut) {
        self.outbox.put.push(put);
    }

    pub(super) fn push_audit(&mut self, ask: AuditAsk) {
        self.outbox.audit.push(ask);
    }

    pub(super) fn push_in_force(&mut self, number: RingNumber) {
        self.outbox.in_force = Some(number);
    }

    pub(super) fn push_cache_ask(&mut self, asks: Vec<CacheAsk>) {
        self.outbox.cache = Some(asks);
    }

    /// How many decisions are on their way to it, or told and not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }

    pub(super) fn push_caught_up(&mut self) {
        self.outbox.caught_up = true;
    }

    fn take(&mut self, now: Time, batches_max: usize) -> Option<Batch> {
        let prepares = !self.outbox.prepare.is_empty() && self.takes_prepares(batches_max);
        let outbox = &self.outbox;
        let urgent = !outbox.read.is_empty() || outbox.ask || outbox.caught_up || outbox.sync;
        let urgent = urgent || !outbox.abort.is_empty() || !outbox.adopt.is_empty();
        let urgent = urgent || !outbox.once.is_empty() || !outbox.scan.is_empty();
        let urgent = urgent || outbox.cache.is_some() || outbox.in_force.is_some();
        let urgent = urgent || !outbox.copy.is_empty() || !outbox.put.is_empty();
        let urgent = urgent || !outbox.audit.is_empty();
        // With prepares waiting for a slot a message is about to go: commits join it.
        if !(prepares || urgent || self.due().is_some_and(|due| due <= now)) {
            return None;
        }
        let outbox = &mut self.outbox;
        let prepare = if prepares { std::mem::take(&mut outbox.prepare) } else { Vec::new() };
        self.voting.push(now, &prepare);
        let waiting = std::mem::take(&mut self.outbox.prepare);
        let rest = Outbox { prepare: waiting, ..Outbox::default() };
        let outbox = std::mem::replace(&mut self.outbox, rest);
        Some(Batch {
            ask: outbox.ask,
            commit: outbox.commit,
            adopt: outbox.adopt,
            sync: outbox.sync,
            abort: outbox.abort,
            read: outbox.read,
            once: outbox.once,
            scan: outbox.scan,
            cache: outbox.cache,
            copy: outbox.copy,
            put: outbox.put,
            audit: outbox.audit,
            in_force: outbox.in_force,
            once_from: None,
            prepare,
            timed: false,
            settled: None,
            marks: Vec::new(),
            caught_up: outbox.caught_up,
        })
    }

    fn remember_decisions(&mut self, n: u64, batch: &Batch) {
        let ids = batch.commit.iter().copied();
        let ids = ids.chain(batch.adopt.iter().map(|prepare| prepare.id));
        let ids: Vec<Version> = ids.chain(batch.abort.iter().map(|abort| abort.id)).collect();
        if !ids.is_empty() {
            self.deciding.push_back((n, ids));
        }
    }

    /// The transactions whose decisions are durable now that messages through `n` are.
    fn confirmed(&mut self, n: u64) -> Vec<Version> {
        let mut confirmed = Vec::new();
        while self.deciding.front().is_some_and(|(sent, _)| *sent <= n) {
            let Some((_, ids)) = self.deciding.pop_front() else { break };
            self.unconfirmed = self.unconfirmed.saturating_sub(ids.len());
            confirmed.extend(ids);
        }
        confirmed
    }
}

/// What a transaction counts for in a window.
pub(super) fn bytes_of(prepare: &Prepare) -> usize {
    let value = |write: &protocol::peer::WireWrite| write.value.as_ref().map_or(0, |v| v.0.len());
    prepare.writes.iter().map(|write| value(write) + write.key.as_bytes().len() + 64).sum()
}

impl Coordinator {
    /// When a flush is wanted though nothing more happens.
    pub(super) fn flush_due(&self) -> Option<Time> {
        self.nodes.iter().filter_map(|node| node.link.due()).min()
    }

    /// Sends every node what is due to it, one message each.
    pub(super) fn flush(&mut self, now: Time) {
        self.tell_losses(now);
        loop {
            self.run_work(now);
            self.make_cuts(now);
            self.put_questions(now);
            self.send_batches(now);
            // A cut that needs no node lets others go on.
            if self.work.is_empty() && self.due_reads.is_empty() {
                return;
            }
        }
    }

    fn send_batches(&mut self, now: Time) {
        let batches_max = self.config.batches_out_max;
        for place in 0..self.nodes.len() {
            let link = &mut self.nodes[place].link;
            if link.phase != LinkPhase::Ready {
                continue;
            }
            let Some(mut batch) = link.take(now, batches_max) else { continue };
            let wanted = self.events.on(Topic::Txn) || self.explains_one_of(&batch.prepare);
            batch.timed = wanted && !batch.prepare.is_empty();
            self.trace_batch(now, place, &batch);
            batch.settled = self.settled_news(now, place);
            // With what is settled they come to every node, also to one that takes part in nothing:
            // it may be all that a claimant hears beside a store that has lost something (R7).
            // Alone they are no news: a node that logs them has a longer log than before.
            if !batch.prepare.is_empty() || batch.settled.is_some() {
                batch.marks = self.marks.iter().map(|(member, seq)| (*member, *seq)).collect();
            }
            batch.once_from = self.once_news(self.nodes[place].link.once_told);
            if let Some(from) = batch.once_from {
                self.nodes[place].link.once_told = from;
            }
            let n = self.nodes[place].link.n_out + 1;
            self.nodes[place].link.remember_decisions(n, &batch);
            let sent = self.send(now, place, DownBody::Batch(batch));
            assert_eq!(sent, n);
        }
    }

    /// What has become forgettable, now and then (R8).
    fn settled_news(&mut self, now: Time, place: usize) -> Option<Settled> {
        let told = self.nodes[place].link.settled_told.as_ref();
        let reported = |member: &protocol::peer::RingMember| {
            let reported = self.node_of(member.id).is_some_and(|node| node.witness.is_some());
            self.loss_holds(member.id) || reported && !self.has_lost(member.id)
        };
        let all = self.record.as_ref().is_some_and(|r| r.members.iter().all(reported));
        if self.phase != Phase::Active
            || told.is_some_and(|(at, _)| now < at.plus_ms(SETTLED_EVERY_MS))
        {
            return None;
        }
        // Whoever has not reported under this epoch may hold what nobody else has named, but
        // nothing of this epoch: no prepare goes out on a link before its report.
        let from = if all { Version::ZERO } else { Version::new(self.epoch, 0) };
        let settled = self.settled(from);
        if told.is_some_and(|(_, told)| *told == settled) {
            return None;
        }
        self.nodes[place].link.settled_told = Some((now, settled.clone()));
        Some(settled)
    }

    pub(super) fn settled(&self, from: Version) -> Settled {
        let open = || {
            let undecided = self.by_id.range(from..).map(|(id, _)| *id);
            let in_doubt = self.in_doubt.range(from..).map(|(id, _)| *id);
            let decided = self.decided.range(from..).map(|(id, _)| *id);
            undecided.chain(in_doubt).chain(decided.filter(|_| !planted(Bug::SettledEarly)))
        };
        let next = Version::new(self.epoch, self.counter + 1);
        if open().take(SETTLED_EXCEPT_MAX + 1).count() > SETTLED_EXCEPT_MAX {
            let below = open().min().unwrap_or(next);
            return Settled { from, below, except: Vec::new() };
        }
        let except: BTreeSet<Version> = open().collect();
        Settled { from, below: next, except: except.into_iter().collect() }
    }

    /// Asks for a sign of life where nothing else is on its way (the lease needs answers).
    pub(super) fn ask_now_and_then(&mut self, now: Time, place: usize) {
        let every = (self.config.lease_ms / 8).clamp(10, 500);
        let link = &mut self.nodes[place].link;
        if link.phase != LinkPhase::Ready || !link.sent.is_empty() {
            return;
        }
        if now >= link.last_ask.plus_ms(every) {
            link.last_ask = now;
            link.outbox.ask = true;
        }
    }

    pub(super) fn on_up(&mut self, now: Time, session: u64, up: Up) {
        let Some(place) = self.by_session.get(&session).copied() else { return };
        let counters = up.yes.iter().copied().chain(up.no.iter().map(|no| no.c));
        let impossible = counters.max().is_some_and(|counter| counter >> COUNTER_BITS > 0);
        if impossible || up.fenced.is_some_and(|by| by > Epoch::MAX) {
            self.break_off(now, place);
            return;
        }
        if let Some(by) = up.fenced {
            if by > self.epoch || (by == self.epoch && up.epoch == self.epoch) {
                self.deposed(now, by);
            }
            return;
        }
        let link = &mut self.nodes[place].link;
        if up.session != session || up.epoch != self.epoch || up.n <= link.n_in {
            return;
        }
        let broken = up.n != link.n_in + 1 || up.ack > link.n_out || up.durable > link.n_out;
        if broken || link.sent.len() > UNANSWERED_MAX {
            self.break_off(now, place);
            return;
        }
        link.n_in = up.n;
        self.nodes[place].last_heard = now;
        self.acknowledged(now, place, up.ack);
        self.raise_mark(place, up.end);
        self.take_up(now, place, up);
    }

    /// What the node says cannot be: a new session puts it right, or it is no node of ours.
    fn break_off(&mut self, now: Time, place: usize) {
        let name = &self.nodes[place].name;
        self.note(Note::Alarm(format!("{name} broke the servers' protocol: its link is renewed")));
        self.end_link(now, place, false);
        self.watch_members(now);
    }

    fn acknowledged(&mut self, now: Time, place: usize, through: u64) {
        let link = &mut self.nodes[place].link;
        let mut newest = None;
        while link.sent.front().is_some_and(|sent| sent.n <= through) {
            newest = link.sent.pop_front().map(|sent| sent.at);
        }
        let (Some(sent), Some(member)) = (newest, self.nodes[place].id) else { return };
        for lease in self.lease.iter_mut().chain(&mut self.joint) {
            lease.answered(member, if planted(Bug::LeaseFromAnswer) { now } else { sent });
        }
        self.renew_lease(now);
    }

    fn raise_mark(&mut self, place: usize, end: GroupSeq) {
        let Some(member) = self.nodes[place].id else { return };
        let mark = self.marks.entry(member).or_default();
        *mark = end.max(*mark);
    }

    /// What the node says of its disk. What waits for it is refused when its turn comes.
    fn hear_of_space(&mut self, now: Time, place: usize, up: &Up) {
        let node = &mut self.nodes[place];
        let had_room = node.has_room();
        node.no_space = up.no_space;
        if std::mem::replace(&mut node.full, up.full) != up.full {
            let (node, full) = (node.name.clone(), up.full);
            self.note(Note::Space { node, full });
        }
        if self.nodes[place].has_room() != had_room {
            self.tell_room(now, place);
        }
    }

    fn take_up(&mut self, now: Time, place: usize, mut up: Up) {
        self.nodes[place].end = up.end;
        self.hear_of_space(now, place, &up);
        if let Some(report) = up.report.take() {
            self.on_report(now, place, report);
            self.tell_coordinator_state();
            if self.nodes[place].link.session != up.session {
                return;
            }
        }
        if let Some(number) = up.installed {
            self.on_installed(now, place, number);
            self.tell_coordinator_state();
        }
        let Some(member) = self.nodes[place].id else { return };
        self.on_cache_answer(place, std::mem::take(&mut up.cache));
        for (nth, counter) in (0..).zip(up.yes) {
            let took = up.timed.iter().find(|timed| timed.is_of(nth)).map(Timed::node_us);
            self.on_vote(now, member, Version::new(self.epoch, counter), Ballot::Yes(took));
        }
        for refusal in up.no {
            let id = Version::new(self.epoch, refusal.c);
            self.on_vote(now, member, id, Ballot::No(refusal.reason));
        }
        for answer in up.read {
            match self.nodes[place].link.reads.remove(&answer.r) {
                Some(read) if answer.damaged => self.on_damaged_read(now, member, read, &answer),
                Some(read) => self.on_read_answer(now, read, answer),
                None => {}
            }
        }
        for answer in up.scan {
            if let Some(scan) = self.nodes[place].link.scans.remove(&answer.r) {
                self.on_scan_answer(now, member, scan, answer);
            }
        }
        for answer in up.once {
            if !self.on_copied_onces(&answer) {
                self.on_once_answer(now, member, answer);
            }
        }
        for answer in up.audit {
            self.on_audit_answer(now, member, answer);
        }
        for answer in up.copy {
            self.on_copy_answer(now, answer);
        }
        for r in up.put {
            self.on_put(now, r);
        }
        for id in self.nodes[place].link.confirmed(up.durable) {
            self.trace_confirmed(now, member, id);
            self.on_confirmed(now, member, id);
        }
        if !up.lost.is_empty() {
            self.on_losses_kept(now, member, &up.lost);
        }
        if up.marked {
            self.nodes[place].marked = true;
            self.claim_step(now);
        }
        if up.caught_up {
            self.nodes[place].caught_up = true;
            self.tell_caught_up(now, place);
            self.watch_members(now);
        }
        self.uncramp();
    }
}
