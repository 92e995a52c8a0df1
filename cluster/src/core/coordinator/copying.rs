//! How learners get what they do not have: portion by portion, from a member in sync, through this
//! coordinator.
//!
//! asks the source for a portion → hands it to the learner → waits until that has taken it in →
//! waits for its turn (`pace`) → asks for the next one, from the last key on; then the
//! named updates (R16), then a last one, which is answered when the learner has all of it on its
//! disk. Only then may the learner be switched in (`heal`).
//!
//! A portion is asked for behind all decisions made before, on the source's link; nothing is asked
//! for while a transaction is open there in which the learner takes no part (R10). So whatever is
//! committed is either in a portion or came to the learner as to any other participant. Where the
//! source falls silent another one goes on from the same key; another coordinator goes on from
//! where this one had come (`resume`); a learner that restarts begins anew.
//!
//! A learner whose disk is full is given no more; it tries by itself to make durable what it has,
//! and says when it could. Then copying goes on from where it was.
//!
//! Never: reads from a learner; has two portions of one transfer on their way.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Incarnation, Key, MemberId, Version};
use protocol::peer::{
    CopyAnswer, CopyAsk, CopyProgress, CopyPut, Extent, Learning, OnceAnswer, OnceAsk, RingRecord,
    Span,
};

use super::super::planted::{Bug, planted};
use super::super::ring::Range;
use super::super::time::Time;
use super::estimate::Meter;
use super::links::LinkPhase;
use super::members::Node;
use super::{Coordinator, Note};

/// Transfers at a time.
pub(super) const TRANSFERS_MAX: usize = 4;
/// Progress is told so often, milliseconds.
const TOLD_EVERY_MS: u64 = 250;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Its turn, and somebody who can be asked.
    Turn,
    /// A portion of this number.
    Portion(u64),
    /// That the learner has taken this portion in.
    Taken(u64),
    /// Named updates.
    Onces(u64),
    /// That the learner has taken them in.
    OncesTaken(u64),
    /// That the learner has everything on its disk.
    Durable(u64),
}

/// One learner and one source.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) learner: MemberId,
    /// The start of the learner that has what was copied so far.
    incarnation: Incarnation,
    pub(super) source: MemberId,
    /// It has portions of others, too.
    mixed: bool,
    pub(super) spans: Vec<Span>,
    /// Zero: all of it.
    pub(super) since: Version,
    /// As in [`Learning::from`].
    from: Version,
    /// Of deletions below this version nothing may be in what was copied (R8).
    swept: Version,
    /// All keys up to this one have been taken in.
    after: Option<Key>,
    /// The last portion's end; the outer `None`: there was none yet.
    through: Option<Option<Key>>,
    onces_after: Version,
    /// All keys are copied: named updates follow.
    keys_end: bool,
    onces_end: bool,
    wait: Wait,
    /// When the portion on its way was asked for.
    asked: Time,
    pub(super) began: Time,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// Of these, what another coordinator had copied.
    pub(super) resumed_bytes: u64,
    told: Time,
    /// It has come further since.
    untold: bool,
}

impl Transfer {
    fn new(learning: &Learning, incarnation: Incarnation, source: MemberId, now: Time) -> Self {
        Self {
            learner: learning.learner,
            incarnation,
            source,
            mixed: false,
            spans: Vec::new(),
            since: learning.since,
            from: learning.from,
            swept: Version::ZERO,
            after: None,
            through: None,
            onces_after: Version::ZERO,
            keys_end: false,
            onces_end: false,
            wait: Wait::Turn,
            asked: now,
            began: now,
            keys: 0,
            bytes: 0,
            resumed_bytes: 0,
            told: now,
            untold: false,
        }
    }

    /// It is gone on with from there, as another coordinator had begun it.
    fn resume(&mut self, progress: &CopyProgress) {
        self.after = Some(progress.through.clone());
        self.swept = progress.swept;
        if self.spans == progress.spans {
            (self.keys, self.bytes) = (progress.keys, progress.bytes);
            self.resumed_bytes = progress.bytes;
        }
    }

    /// How far it is with a portion that ends there.
    fn progress(&self, through: Option<Key>) -> Option<CopyProgress> {
        let through = through.filter(|_| !self.mixed)?;
        let (source, spans) = (self.source, self.spans.clone());
        let (since, from, swept) = (self.since, self.from, self.swept);
        let (keys, bytes) = (self.keys, self.bytes);
        Some(CopyProgress { source, spans, since, from, through, swept, keys, bytes })
    }

    /// All keys were copied.
    pub(super) fn has_all_keys(&self) -> bool {
        self.keys_end
    }
}

/// All copying.
#[derive(Debug, Default)]
pub(super) struct Copies {
    last: u64,
    pub(super) transfers: BTreeMap<u64, Transfer>,
    /// What learners have durably.
    done: BTreeSet<(MemberId, Span)>,
    /// Keys and bytes of transfers that came to their end since the learning began.
    pub(super) ended: (u64, u64),
    pub(super) meter: Meter,
}

impl Copies {
    pub(super) fn is_done(&self, done: &(MemberId, Span)) -> bool {
        self.done.contains(done)
    }

    /// Keys and bytes copied since the learning began, but for those that must be copied again.
    pub(super) fn copied(&self) -> (u64, u64) {
        let all = self.transfers.values();
        all.fold(self.ended, with)
    }

    /// Whether a stretch is neither copied nor being copied.
    pub(super) fn is_open(&self, learning: &Learning) -> bool {
        !self.is_done(&(learning.learner, learning.span)) && !self.is_under_way(learning)
    }

    /// When each portion on its way was asked for.
    fn on_their_way(&self) -> impl Iterator<Item = Time> {
        let at_rest = |wait| matches!(wait, Wait::Turn | Wait::Durable(_));
        let all = self.transfers.values();
        all.filter(move |transfer| !at_rest(transfer.wait)).map(|transfer| transfer.asked)
    }

    /// Whether one is to be asked for when it is time.
    pub(super) fn wait_for_turn(&self) -> bool {
        self.transfers.values().any(|transfer| transfer.wait == Wait::Turn)
    }

    fn is_under_way(&self, learning: &Learning) -> bool {
        let of = |transfer: &Transfer| {
            transfer.learner == learning.learner && transfer.spans.contains(&learning.span)
        };
        self.transfers.values().any(of)
    }
}

/// Keys and bytes with those of a transfer.
fn with((keys, bytes): (u64, u64), transfer: &Transfer) -> (u64, u64) {
    (keys.saturating_add(transfer.keys), bytes.saturating_add(transfer.bytes))
}

/// That a node cannot take what is copied to it.
pub(super) fn no_room(name: &str) -> String {
    format!("{name} has no space on its disk for what it is to hold: free some there")
}

impl Coordinator {
    /// Another ring is in force: what is not learned under it any more is not copied.
    pub(super) fn copies_follow_ring(&mut self) {
        let learning = self.record.as_ref().map(|record| record.learning.clone());
        let learning = learning.unwrap_or_default();
        let wanted = |learner: MemberId, span: &Span| {
            learning.iter().any(|l| l.learner == learner && l.span == *span)
        };
        self.copies.done.retain(|(learner, span)| wanted(*learner, span));
        self.copies
            .transfers
            .retain(|_, transfer| transfer.spans.iter().all(|span| wanted(transfer.learner, span)));
        self.progress_follows_ring();
        if learning.is_empty() {
            (self.copies.ended, self.copies.meter) = ((0, 0), Meter::default());
        }
    }

    /// Begins what can begin, and goes on with what waits for its turn.
    pub(super) fn copy_step(&mut self, now: Time) {
        let Some(record) = self.record.clone().filter(|record| !record.learning.is_empty()) else {
            return;
        };
        let (_, bytes) = self.copies.copied();
        self.copies.meter.look(now, bytes);
        if self.pace.is_look_due(now) {
            let cached = self.cache.stats();
            let served = cached.hits + cached.misses + self.ops.committed + self.ops.aborted;
            let urgent = record.learning.iter().any(|learning| self.has_one_copy(learning.span));
            self.pace.look(now, served, self.txns.len() + self.reads.len(), urgent);
        }
        self.plan_transfers(now, &record);
        let waiting = |(_, transfer): &(&u64, &Transfer)| transfer.wait == Wait::Turn;
        let ids: Vec<u64> =
            self.copies.transfers.iter().filter(waiting).map(|(id, _)| *id).collect();
        for id in ids {
            self.tell_progress(now, id);
            self.go_on_copying(now, id);
        }
    }

    /// Tells how far a transfer is if it has come further, but not all the time.
    fn tell_progress(&mut self, now: Time, id: u64) {
        let Some(transfer) = self.copies.transfers.get_mut(&id) else { return };
        if !transfer.untold || now < transfer.told.plus_ms(TOLD_EVERY_MS) {
            return;
        }
        (transfer.told, transfer.untold) = (now, false);
        let learner = transfer.learner;
        let state = if self.has_room(learner) { "copying" } else { "paused" };
        self.tell_transfer(now, id, state);
    }

    fn plan_transfers(&mut self, now: Time, record: &RingRecord) {
        while self.copies.transfers.len() < TRANSFERS_MAX {
            let open = record.learning.iter().filter(|learning| self.copies.is_open(learning));
            let mut pairs: BTreeMap<_, Vec<&Learning>> = BTreeMap::new();
            for learning in open {
                let ready = self
                    .node_of(learning.learner)
                    .is_some_and(|node| node.link.phase == LinkPhase::Ready && node.is_up());
                let begins = self.begins(now, learning).filter(|_| ready);
                if let Some((source, known)) = begins {
                    let pair = (learning.learner, source, learning.since, learning.from, known);
                    pairs.entry(pair).or_default().push(learning);
                }
            }
            let Some(((learner, source, _, _, known), learning)) = pairs.pop_first() else {
                return;
            };
            let Some(node) = self.node_of(learner) else { return };
            let Some(incarnation) = node.incarnation() else { return };
            let mut transfer = Transfer::new(learning[0], incarnation, source, now);
            transfer.spans = learning.into_iter().map(|learning| learning.span).collect();
            let progress = known.map(|place| &node.copied[place]);
            progress.into_iter().for_each(|progress| transfer.resume(progress));
            self.copies.last += 1;
            let id = self.copies.last;
            let state = self.state_of_transfer(&transfer);
            if transfer.after.is_some() {
                // What came before did not come this fast.
                self.copies.meter = Meter::default();
                let (name, keys) = (self.name_of(learner), transfer.keys);
                self.note(Note::Change(format!(
                    "copying to {name} goes on behind {keys} keys that an earlier coordinator had \
                     copied"
                )));
            }
            self.copies.transfers.insert(id, transfer);
            self.tell_transfer(now, id, state);
        }
    }

    /// Who can be asked now, of those in sync.
    pub(super) fn sources_of(&self, learner: MemberId, span: Span) -> Vec<MemberId> {
        let Some(ring) = self.ring.as_ref() else { return Vec::new() };
        let range = Range { first: span.0, last: span.1 };
        let open = self.is_open_without(learner, &[range]);
        if open && !planted(Bug::CopiedWhileOpen) {
            return Vec::new();
        }
        let inside = ring.arcs().filter(|arc| range.contains(arc.range.last));
        let mut able: Option<Vec<MemberId>> = None;
        for arc in inside {
            let here = arc.in_sync.iter().copied().filter(|member| {
                self.can_be_asked(*member) && self.damage.is_whole_in(ring, *member, range)
            });
            if planted(Bug::CopiedFromNeighbour) {
                let all = self.record.iter().flat_map(|record| &record.members);
                let others = all.map(|member| member.id).filter(|id| *id != learner);
                able = Some(others.filter(|member| self.can_be_asked(*member)).collect());
                continue;
            }
            able = Some(match able {
                None => here.collect(),
                Some(able) => {
                    let here: Vec<MemberId> = here.collect();
                    able.into_iter().filter(|member| here.contains(member)).collect()
                }
            });
        }
        able.unwrap_or_default()
    }

    /// Of these, whoever gives to fewest.
    pub(super) fn least_asked(&self, able: &[MemberId]) -> Option<MemberId> {
        let load = |member: &MemberId| {
            self.copies.transfers.values().filter(|transfer| transfer.source == *member).count()
        };
        able.iter().copied().min_by_key(|member| (load(member), *member))
    }

    /// Whether what is in a stretch is lost with one node more.
    fn has_one_copy(&self, span: Span) -> bool {
        let in_sync = self.ring.as_ref().map_or(&[][..], |ring| ring.in_sync_at(span.1));
        in_sync.iter().filter(|member| self.can_be_asked(**member)).count() < 2
    }

    pub(super) fn can_be_asked(&self, member: MemberId) -> bool {
        let node = self.node_of(member);
        node.is_some_and(|node| node.is_up() && node.link.phase == LinkPhase::Ready)
    }

    fn has_room(&self, member: MemberId) -> bool {
        self.node_of(member).is_none_or(Node::has_room)
    }

    /// How a transfer is that has not come to its end.
    pub(super) fn state_of_transfer(&self, transfer: &Transfer) -> &'static str {
        if self.has_room(transfer.learner) { "copying" } else { "paused" }
    }

    /// A node has no space for what is copied to it, or has some again.
    pub(super) fn tell_room(&mut self, now: Time, place: usize) {
        let node = &self.nodes[place];
        let (name, room) = (node.name.clone(), node.has_room());
        let Some(member) = node.id else { return };
        let learns = self.record.as_ref().is_some_and(|record| {
            record.learning.iter().any(|learning| learning.learner == member)
        });
        if !learns {
            return;
        }
        self.note(match room {
            false => Note::Alarm(format!("{}; copying to it is paused", no_room(name.as_str()))),
            true => Note::Change(format!("{name} has space on its disk again: copying goes on")),
        });
        let all = self.copies.transfers.iter().filter(|(_, t)| t.learner == member);
        for id in all.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.tell_transfer(now, id, if room { "copying" } else { "paused" });
        }
    }

    /// Why copying is paused, and what to do.
    pub(super) fn paused_for(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        let full = record.learning.iter().find(|learning| !self.has_room(learning.learner))?;
        Some(no_room(&self.name_of(full.learner)))
    }

    /// Asks for the next portion, if it is time and its source is there.
    fn go_on_copying(&mut self, now: Time, id: u64) {
        let Some(transfer) = self.copies.transfers.get(&id) else { return };
        let learner = transfer.learner;
        // The last portion is a try, which the node repeats by itself.
        let paused = !transfer.onces_end && !self.has_room(learner);
        let on_their_way = self.copies.on_their_way();
        if !self.pace.may_ask(now, on_their_way) || !self.can_be_asked(learner) || paused {
            return;
        }
        let source = transfer.source;
        if !self.can_be_asked(source) {
            // Any other one knows the same keys, and goes on from where this one had come: what
            // this one did not have is aborted, whoever shows it, while it counts (R6).
            let spans = transfer.spans.clone();
            let counts = |span: &&Span| self.counts_in(source, **span);
            let span = spans.first().filter(counts);
            let other = span.and_then(|span| self.least_asked(&self.sources_of(learner, *span)));
            match (other, self.copies.transfers.get_mut(&id)) {
                (Some(other), Some(transfer)) if transfer.spans.len() == 1 => {
                    (transfer.source, transfer.mixed) = (other, true);
                }
                // Each of its stretches may have another source now.
                _ => {
                    self.tell_transfer(now, id, "lost");
                    self.copies.transfers.remove(&id);
                }
            }
            return;
        }
        let r = self.next_ask();
        let (Some(transfer), Some(from), Some(to)) = (
            self.copies.transfers.get_mut(&id),
            self.by_member.get(&source).copied(),
            self.by_member.get(&learner).copied(),
        ) else {
            return;
        };
        transfer.asked = now;
        let spans = transfer.spans.clone();
        if !transfer.keys_end {
            let (after, since) = (transfer.after.clone(), transfer.since);
            let bytes_max = self.pace.bytes_max();
            self.nodes[from].link.push_copy(CopyAsk { r, after, since, spans, bytes_max });
            transfer.wait = Wait::Portion(r);
        } else if !transfer.onces_end {
            let after = transfer.onces_after;
            self.nodes[from].link.push_once_ask(OnceAsk { r, after, ranges: spans });
            transfer.wait = Wait::Onces(r);
        } else {
            let (last, swept) = (true, transfer.swept);
            self.nodes[to].link.push_put(CopyPut { r, last, swept, ..CopyPut::default() });
            transfer.wait = Wait::Durable(r);
        }
    }

    fn transfer_of(&mut self, wait: Wait) -> Option<(u64, &mut Transfer)> {
        let found = self.copies.transfers.iter_mut().find(|(_, transfer)| transfer.wait == wait);
        found.map(|(id, transfer)| (*id, transfer))
    }

    /// A portion of a source: it goes to the learner.
    pub(super) fn on_copy_answer(&mut self, now: Time, answer: CopyAnswer) {
        let CopyAnswer { r, portion, through, swept, damaged } = answer;
        if let Some(key) = damaged {
            // Another source is found for it, if there is one.
            if let Some((id, transfer)) = self.transfer_of(Wait::Portion(r)) {
                let source = transfer.source;
                self.tell_transfer(now, id, "lost");
                self.copies.transfers.remove(&id);
                self.found_damaged(now, source, vec![key]);
            }
            return;
        }
        let bytes_per_s = self.copy_bytes_per_s;
        let Some((id, transfer)) = self.transfer_of(Wait::Portion(r)) else { return };
        transfer.swept = transfer.swept.max(swept);
        let is_delta = transfer.since > Version::ZERO;
        if is_delta && swept > transfer.since && !planted(Bug::SweptUnseen) {
            // A deletion that the learner missed may be told by nobody any more.
            (transfer.since, transfer.after, transfer.wait) = (Version::ZERO, None, Wait::Turn);
            self.go_on_copying(now, id);
            return;
        }
        // These are the node's words.
        let (keys, bytes) =
            portion.as_ref().map_or((0, 0), |portion| (portion.keys, portion.bytes));
        transfer.keys = transfer.keys.saturating_add(keys);
        transfer.bytes = transfer.bytes.saturating_add(bytes);
        let whole = (!is_delta && !planted(Bug::CopiedOntoOld)).then(|| Extent {
            spans: transfer.spans.clone(),
            after: transfer.after.clone(),
            through: through.clone(),
            below: transfer.from,
        });
        let progress = transfer.progress(through.clone());
        transfer.through = Some(through);
        transfer.wait = Wait::Taken(r);
        let learner = transfer.learner;
        if let Some(place) = self.by_member.get(&learner).copied() {
            let put = CopyPut { r, portion, whole, progress, ..CopyPut::default() };
            self.nodes[place].link.push_put(put);
        }
        self.pace.read(now, bytes, bytes_per_s);
    }

    /// Named updates of a source; false if nobody here asked for them.
    pub(super) fn on_copied_onces(&mut self, answer: &OnceAnswer) -> bool {
        let r = answer.r;
        let Some((_, transfer)) = self.transfer_of(Wait::Onces(r)) else { return false };
        match answer.through {
            Some(through) => transfer.onces_after = through,
            None => transfer.onces_end = true,
        }
        transfer.wait = Wait::OncesTaken(r);
        let learner = transfer.learner;
        if let Some(place) = self.by_member.get(&learner).copied() {
            let onces = answer.entries.clone();
            self.nodes[place].link.push_put(CopyPut { r, onces, ..CopyPut::default() });
        }
        true
    }

    /// A learner has taken a portion in, or has everything on its disk.
    pub(super) fn on_put(&mut self, now: Time, r: u64) {
        if let Some((id, transfer)) = self.transfer_of(Wait::Taken(r)) {
            match transfer.through.take() {
                Some(Some(through)) => transfer.after = Some(through),
                _ => transfer.keys_end = true,
            }
            transfer.wait = Wait::Turn;
            transfer.untold = true;
            let asked = transfer.asked;
            self.tell_progress(now, id);
            self.pace.taken(now, asked);
            self.go_on_copying(now, id);
        } else if let Some((id, transfer)) = self.transfer_of(Wait::OncesTaken(r)) {
            transfer.wait = Wait::Turn;
            let asked = transfer.asked;
            self.pace.taken(now, asked);
            self.go_on_copying(now, id);
        } else if let Some((id, _)) = self.transfer_of(Wait::Durable(r)) {
            self.tell_transfer(now, id, "done");
            if let Some(transfer) = self.copies.transfers.remove(&id) {
                self.copies.ended = with(self.copies.ended, &transfer);
                let learner = transfer.learner;
                self.copies.done.extend(transfer.spans.iter().map(|span| (learner, *span)));
            }
            self.heal(now);
        }
    }

    /// A node's link has ended: what was on its way there is on its way no more.
    pub(super) fn transfers_lost(&mut self, now: Time, member: MemberId) {
        let incarnation = self.node_of(member).and_then(|node| node.incarnation());
        self.drop_transfers(now, |transfer| {
            transfer.learner == member && Some(transfer.incarnation) != incarnation
        });
        for transfer in self.copies.transfers.values_mut() {
            let asked = matches!(transfer.wait, Wait::Portion(_) | Wait::Onces(_));
            let lost = match transfer.source == member {
                true => asked,
                false => transfer.learner == member,
            };
            if lost {
                // The last portion may not have come: it is asked for again.
                transfer.through = None;
                transfer.wait = Wait::Turn;
            }
        }
    }

    /// A node has started anew: of what it was learning it has only what it said to be durable.
    pub(super) fn transfers_void(&mut self, now: Time, member: MemberId) {
        self.drop_transfers(now, |transfer| transfer.learner == member);
    }

    /// These are not gone on with: others begin anew.
    fn drop_transfers(&mut self, now: Time, of: impl Fn(&Transfer) -> bool) {
        if planted(Bug::GoneOnPastStart) {
            return;
        }
        let all = self.copies.transfers.iter();
        let lost: Vec<u64> = all.filter(|(_, transfer)| of(transfer)).map(|(id, _)| *id).collect();
        for id in lost {
            self.tell_transfer(now, id, "lost");
            self.copies.transfers.remove(&id);
        }
    }
}
