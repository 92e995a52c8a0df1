//! Repeating an update is harmless (R16): the named updates that were committed, and those that are
//! on their way.
//!
//! The entry of an update lives with the range of the key that it writes first, in the order of its
//! request: a repetition is the same request, so it names the same key, and only that one range
//! must be asked for. Nodes hold the entries of the ranges that they hold, with their keystore;
//! this table is all of them together. A new coordinator gets each range's from one in-sync
//! member, behind all decisions on that link, in portions; until then named updates of the range
//! wait. What that member holds undecided, its report has named before (`resolve`): so a name that
//! is neither in the table nor open was never committed and, from before this epoch, never will be.
//!
//! An entry is kept for a minute at least, counted anew by each coordinator, and for as long as
//! there is room; the oldest go first. Nodes drop what this table has dropped.

use std::collections::{BTreeMap, BTreeSet};

use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId, Once, OnceName, Point, Version};
use protocol::peer::{OnceAnswer, OnceAsk, OnceEntry, Prepare};
use protocol::reply;
use protocol::status::OnceStatus;

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::links::LinkPhase;
use super::updates::{Txn, TxnPhase};
use super::{Answer, Coordinator, RETRY_AFTER_MS, Seq};

/// How long an entry is kept at least, milliseconds.
const KEPT_MS: u64 = 60_000;

/// An entry.
#[derive(Debug)]
struct Kept {
    once: Once,
    since: Time,
}

/// A named update that is on its way.
#[derive(Debug)]
struct Open {
    seq: Seq,
    request_hash: u64,
}

/// The ranges that a member is being asked for.
#[derive(Debug)]
struct Asked {
    r: u64,
    arcs: Vec<usize>,
}

/// All that is known of named updates.
///
/// Invariants: `by_name` and `by_version` are the same entries; an arc is loaded, or asked of one
/// member at most.
#[derive(Debug, Default)]
pub(super) struct Onces {
    by_name: BTreeMap<OnceName, Version>,
    by_version: BTreeMap<Version, Kept>,
    open: BTreeMap<OnceName, Open>,
    /// Arcs of the ring whose entries are here, and of whom they were got.
    loaded: BTreeMap<usize, MemberId>,
    asked: BTreeMap<MemberId, Asked>,
    /// Updates that wait for the entries of their range.
    unlooked: BTreeSet<Seq>,
    /// Entries below this one have been dropped, to make room.
    dropped_from: Version,
}

impl Onces {
    fn keep(&mut self, now: Time, version: Version, once: Once) {
        self.by_name.insert(once.name.clone(), version);
        self.by_version.entry(version).or_insert(Kept { once, since: now });
    }

    /// Makes room for one more, if the oldest has been kept long enough.
    fn has_room(&mut self, now: Time, entries_max: usize) -> bool {
        if self.by_version.len() + self.open.len() < entries_max {
            return true;
        }
        let Some(oldest) = self.by_version.first_entry() else { return false };
        if now < oldest.get().since.plus_ms(KEPT_MS) {
            return false;
        }
        let (version, kept) = oldest.remove_entry();
        self.by_name.remove(&kept.once.name);
        self.dropped_from = self.dropped_from.max(Version::from_number(version.number() + 1));
        true
    }

    /// The version that a committed update of that name was given.
    pub(super) fn version_of(&self, name: &OnceName) -> Option<Version> {
        self.by_name.get(name).copied()
    }

    /// The place of the update of that name that is on its way.
    pub(super) fn open(&self, name: &OnceName) -> Option<Seq> {
        self.open.get(name).map(|open| open.seq)
    }

    /// Whether a named update was given this version.
    pub(super) fn has(&self, version: Version) -> bool {
        self.by_version.contains_key(&version)
    }
}

/// What becomes of a named update when its turn has come.
pub(super) enum Looked {
    /// It has no name, or that is new.
    Fresh,
    /// It must wait; what it waits for will call again.
    Later,
    /// It has its answer.
    Answered,
}

impl Coordinator {
    /// What a repetition is answered at once: the first one's result, or that it is none.
    pub(super) fn repeated(&self, once: &Once) -> Option<Answer> {
        let sentence = "once was used for another request before: choose a new one for each update";
        let other = || Answer::Error(Box::new(ErrorReply::bad_field("once", sentence)));
        if planted(Bug::RepetitionCarriedOut) {
            return None;
        }
        if let Some(version) = self.onces.by_name.get(&once.name) {
            let kept = self.onces.by_version.get(version)?;
            let same = kept.once.request_hash == once.request_hash;
            let answer = || Answer::Ok(reply::version_tail(*version));
            return Some(if same { answer() } else { other() });
        }
        let open = self.onces.open.get(&once.name)?;
        (open.request_hash != once.request_hash).then(other)
    }

    /// Whether there is room for a new name; the refusal if not. A name that is open has its room.
    pub(super) fn room_for(&mut self, now: Time, once: &Once) -> Option<ErrorReply> {
        let max = self.config.once_entries_max;
        if self.onces.open.contains_key(&once.name) || self.onces.has_room(now, max) {
            return None;
        }
        Some(ErrorReply::overloaded("updates with once within a minute", RETRY_AFTER_MS))
    }

    /// The first update of a name has it until it is decided.
    pub(super) fn claim_once(&mut self, seq: Seq, once: &Once) {
        let open = Open { seq, request_hash: once.request_hash };
        self.onces.open.entry(once.name.clone()).or_insert(open);
    }

    /// One of an earlier epoch has its name first, whoever came meanwhile.
    pub(super) fn recover_once(&mut self, seq: Seq, once: &Once) {
        let open = Open { seq, request_hash: once.request_hash };
        self.onces.open.insert(once.name.clone(), open);
    }

    /// The update has left its queues, committed or not.
    pub(super) fn release_once(&mut self, seq: Seq, once: &Once) {
        if self.onces.open(&once.name) == Some(seq) {
            self.onces.open.remove(&once.name);
        }
        self.onces.unlooked.remove(&seq);
    }

    /// A transaction that is committed has left its entry at the nodes, and leaves it here.
    pub(super) fn keep_once(&mut self, now: Time, prepare: &Prepare) {
        if let Some(once) = &prepare.once {
            self.onces.keep(now, prepare.id, once.clone());
        }
    }

    /// Whether it is not known yet if the update is a repetition: nothing may be said of it that
    /// denies the first one.
    pub(super) fn may_repeat(&self, seq: Seq, txn: &Txn) -> bool {
        let Some(once) = &txn.once else { return false };
        let first = self.onces.open(&once.name);
        !txn.first_written().is_some_and(|key| self.is_loaded(key))
            || first.is_some_and(|first| first != seq)
    }

    /// The same of one that has no place yet.
    pub(super) fn may_be_known(&self, once: &Once, first_written: &Key) -> bool {
        !self.is_loaded(first_written) || self.onces.open.contains_key(&once.name)
    }

    /// The id of the update that this one repeats, while that is out.
    pub(super) fn repeats(&self, seq: Seq) -> Option<Version> {
        let once = self.txns.get(&seq)?.once.as_ref()?;
        let first = self.txns.get(&self.onces.open(&once.name)?)?;
        first.phase.id()
    }

    /// Whether the entries of the range of this key are here.
    fn is_loaded(&self, key: &Key) -> bool {
        let arc = self.ring.as_ref().map(|ring| ring.arc_of(key));
        arc.is_some_and(|arc| self.onces.loaded.contains_key(&arc)) || planted(Bug::NamesNotAsked)
    }

    /// Looks a named update up when its turn has come, before it is evaluated.
    pub(super) fn look_up_once(&mut self, now: Time, seq: Seq) -> Looked {
        let Some(txn) = self.txns.get(&seq) else { return Looked::Later };
        let Some(once) = txn.once.clone() else { return Looked::Fresh };
        if let Some(answer) = self.repeated(&once) {
            self.finish(now, seq, Ok(answer));
            return Looked::Answered;
        }
        if !txn.first_written().is_some_and(|key| self.is_loaded(key)) {
            self.onces.unlooked.insert(seq);
            return Looked::Later;
        }
        if self.onces.open(&once.name).is_some_and(|first| first != seq) {
            // It is ahead on the same key, and calls when it is decided.
            return Looked::Later;
        }
        if let Some(down) = self.first_down(&txn.participants) {
            let error = ErrorReply::replica_down(&self.name_of(down));
            self.finish(now, seq, Err(error));
            return Looked::Answered;
        }
        self.claim_once(seq, &once);
        Looked::Fresh
    }

    /// Asks members for the entries of ranges that are not here: each range of one that is ready.
    pub(super) fn load_onces(&mut self) {
        let Some(ring) = self.ring.clone() else { return };
        if self.has_all_onces() || planted(Bug::NamesNotAsked) {
            return;
        }
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            let ready = node.link.phase == LinkPhase::Ready;
            let Some(member) = node.id.filter(|id| ready && !self.onces.asked.contains_key(id))
            else {
                continue;
            };
            let wanted = |arc: &usize| {
                !self.onces.loaded.contains_key(arc)
                    && !self.onces.asked.values().any(|asked| asked.arcs.contains(arc))
            };
            let held = ring.arcs().enumerate().filter(|(_, arc)| arc.in_sync.contains(&member));
            let arcs: Vec<usize> = held.map(|(arc, _)| arc).filter(wanted).collect();
            if !arcs.is_empty() {
                self.ask_onces(member, arcs, Version::ZERO);
            }
        }
    }

    fn ask_onces(&mut self, member: MemberId, arcs: Vec<usize>, after: Version) {
        let place = self.by_member.get(&member).copied();
        let (Some(ring), Some(place)) = (self.ring.clone(), place) else { return };
        let mut ranges: Vec<(Point, Point)> = Vec::new();
        for (_, arc) in ring.arcs().enumerate().filter(|(place, _)| arcs.contains(place)) {
            match ranges.last_mut() {
                Some((_, last)) if last.0.wrapping_add(1) == arc.range.first.0 => {
                    *last = arc.range.last;
                }
                _ => ranges.push((arc.range.first, arc.range.last)),
            }
        }
        let r = self.next_ask();
        self.nodes[place].link.push_once_ask(OnceAsk { r, after, ranges });
        self.onces.asked.insert(member, Asked { r, arcs });
    }

    /// A portion of a member's entries.
    pub(super) fn on_once_answer(&mut self, now: Time, member: MemberId, answer: OnceAnswer) {
        if self.onces.asked.get(&member).is_none_or(|asked| asked.r != answer.r) {
            return;
        }
        let Some(Asked { arcs, .. }) = self.onces.asked.remove(&member) else { return };
        for OnceEntry { version, once, .. } in answer.entries {
            self.onces.keep(now, version, once);
        }
        if let Some(through) = answer.through {
            self.ask_onces(member, arcs, through);
            return;
        }
        self.onces.loaded.extend(arcs.into_iter().map(|arc| (arc, member)));
        self.work.extend(std::mem::take(&mut self.onces.unlooked));
        self.load_onces();
        self.retry_outcomes(now);
    }

    /// A member's link has ended: another one is asked, or it again.
    pub(super) fn onces_lost(&mut self, member: MemberId) {
        self.onces.asked.remove(&member);
        self.load_onces();
    }

    /// A member's store has lost something: what it told may lack entries.
    pub(super) fn doubt_onces_of(&mut self, member: MemberId) {
        self.onces.loaded.retain(|_, from| *from != member);
        self.onces_lost(member);
    }

    /// Whether the entries of all ranges are here.
    pub(super) fn has_all_onces(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| self.onces.loaded.len() == ring.arcs().len())
    }

    /// Another ring is in force: all entries were here before (`may_step`), and still are.
    pub(super) fn onces_are_here(&mut self) {
        let Some(ring) = self.ring.clone() else { return };
        let from = ring.arcs().map(|arc| arc.in_sync[0]);
        self.onces.loaded = from.enumerate().collect();
    }

    /// The first version whose entry nodes must keep, if that has risen since they were told.
    pub(super) fn once_news(&self, told: Version) -> Option<Version> {
        // What is not here yet may be older than all that is.
        if self.onces.dropped_from <= told || !self.has_all_onces() {
            return None;
        }
        let oldest = self.onces.by_version.keys().next().copied();
        oldest.map_or(Some(self.onces.dropped_from), |oldest| {
            Some(oldest.min(self.onces.dropped_from)).filter(|from| *from > told)
        })
    }

    pub(super) fn once_status(&self, now: Time) -> OnceStatus {
        let oldest = self.onces.by_version.values().next();
        OnceStatus {
            entries: self.onces.by_version.len() as u64,
            entries_max: self.config.once_entries_max as u64,
            reach_ms: oldest.map(|oldest| now.since_us(oldest.since) / 1000),
            loaded: self.has_all_onces(),
        }
    }

    /// Whether the update at this place was handed over.
    pub(super) fn is_out(&self, seq: Seq) -> bool {
        let phase = self.txns.get(&seq).map(|txn| &txn.phase);
        phase.is_some_and(|phase| !matches!(phase, TxnPhase::Waiting { .. }))
    }
}
