//! Scrubbing: every record of every node is read anew, at its own node, and its checksum verified;
//! and mending: a damaged record is replaced by the copy of another node.
//!
//! Each node reads a portion when it is asked, then waits for its turn (`copy_bytes_per_s`). With
//! its last portion it counts by what it has read, so that the next comparison (`audit`) rests on
//! what is there and not on what was once written. A node that is away is left out.
//!
//! A copy for mending is asked of a member in sync, behind all decisions made before, and handed on
//! as messages are made, only if no write of the key was decided meanwhile: so it is the last
//! decided value when it arrives. The node takes it only where its record is still damaged.
//!
//! Never: replaces a record that is whole; mends with what a learner has.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::DivergenceKind;
use protocol::ids::{Key, MemberId, Point};
use protocol::peer::{Audit, AuditAsk, Audited, CopyItem, Scrubbed};

use super::super::time::Time;
use super::change::State;
use super::damage::Finding;
use super::{Coordinator, Phase};

/// What a record counts for beside its value.
const RECORD_BYTES: u64 = 64;
/// Records that are mended at a time.
const MENDED_MAX: usize = 16;

/// Scrubbing and mending.
#[derive(Debug, Default)]
pub(super) struct Scrubs {
    /// When the next one begins by itself.
    due: Option<Time>,
    running: Option<Scrub>,
    mend: Option<Mend>,
    /// Whoever has nothing to be mended with.
    hopeless: BTreeSet<(MemberId, Key)>,
}

/// A scrub under way.
#[derive(Debug)]
struct Scrub {
    /// Damaged records are replaced when it is over.
    mends: bool,
    nodes: BTreeMap<MemberId, Progress>,
    keys: u64,
    bytes: u64,
    damaged: u64,
}

/// How far a node is.
#[derive(Debug, Default)]
struct Progress {
    after: Option<Key>,
    /// The question that it is at.
    asked: Option<u64>,
    not_before: Time,
    done: bool,
}

/// Some damaged records of a node that are being replaced.
#[derive(Debug)]
struct Mend {
    member: MemberId,
    source: MemberId,
    keys: BTreeSet<Key>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The source is asked.
    Asked(u64),
    /// They are handed on with the next messages.
    Ready(Vec<CopyItem>),
    /// The node is to take them.
    Put(u64),
}

/// What is shown of a scrub.
pub(super) struct Figures {
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

impl Coordinator {
    /// Begins a scrub, instead of the one that is running.
    pub(super) fn begin_scrub(&mut self, now: Time, mends: bool) {
        let members = self.ring.as_ref().map(|ring| ring.members()).unwrap_or_default();
        let nodes = members.into_iter().map(|member| (member, Progress::default())).collect();
        self.scrubs.running = Some(Scrub { mends, nodes, keys: 0, bytes: 0, damaged: 0 });
        self.scrubs.hopeless.clear();
        self.scrub_step(now);
    }

    /// No scrub goes on; what was found stays known.
    pub(super) fn stop_scrub(&mut self) {
        self.scrubs.running = None;
    }

    /// What the running scrub has read.
    pub(super) fn scrub_figures(&self) -> Option<Figures> {
        let Scrub { keys, bytes, .. } = self.scrubs.running.as_ref()?;
        Some(Figures { keys: *keys, bytes: *bytes })
    }

    /// Goes on with what waits for its turn.
    pub(super) fn scrub_step(&mut self, now: Time) {
        if self.phase != Phase::Active {
            if self.scrubs.running.is_some() {
                let end = "it ends with this coordinator's epoch";
                self.end_scrub_change(now, State::Done, (end, None));
            }
            self.scrubs = Scrubs::default();
            return;
        }
        if let Some(period_ms) = self.config.scrub_period_ms {
            let due = *self.scrubs.due.get_or_insert(now.plus_ms(period_ms));
            if now >= due {
                self.scrubs.due = Some(now.plus_ms(period_ms));
                self.scrub_by_itself(now);
            }
        }
        self.ask_nodes(now);
        self.maybe_end_scrub(now);
    }

    fn ask_nodes(&mut self, now: Time) {
        let Some(scrub) = &self.scrubs.running else { return };
        let turn = |progress: &Progress| {
            !progress.done && progress.asked.is_none() && progress.not_before <= now
        };
        let due = scrub.nodes.iter().filter(|(_, progress)| turn(progress));
        let due: Vec<MemberId> = due.map(|(member, _)| *member).collect();
        for member in due {
            if !self.can_be_asked(member) {
                continue;
            }
            let r = self.next_ask();
            let nodes = self.scrubs.running.as_mut().map(|scrub| &mut scrub.nodes);
            let Some(progress) = nodes.and_then(|nodes| nodes.get_mut(&member)) else { continue };
            progress.asked = Some(r);
            let after = progress.after.clone();
            self.push_audit(member, AuditAsk { r, what: Audit::Scrub { after } });
        }
    }

    /// A node has read a portion, has found copies, or has taken some.
    pub(super) fn on_scrub_answer(&mut self, now: Time, member: MemberId, r: u64, what: Audited) {
        match what {
            Audited::Scrubbed(portion) => self.on_portion(now, member, r, portion),
            Audited::Copies(items) => self.on_copies(member, r, items),
            Audited::Mended(keys) => self.on_mended(now, member, r, &keys),
            Audited::Failed => {
                self.forget_mend(r);
                let none = Scrubbed { unreadable: true, ..Scrubbed::default() };
                self.on_portion(now, member, r, none);
            }
            Audited::Hashes(_) | Audited::Digests { .. } => {}
        }
    }

    fn on_portion(&mut self, now: Time, member: MemberId, r: u64, portion: Scrubbed) {
        let bytes_per_s = self.copy_bytes_per_s.max(1);
        let Some(scrub) = &mut self.scrubs.running else { return };
        let Some(progress) = scrub.nodes.get_mut(&member).filter(|p| p.asked == Some(r)) else {
            return;
        };
        let Scrubbed { damaged, unreadable, keys, bytes, through } = portion;
        let read = bytes.saturating_add(keys.saturating_mul(RECORD_BYTES));
        let pause_us = read.saturating_mul(1_000_000) / bytes_per_s;
        progress.asked = None;
        progress.not_before = now.plus_us(pause_us);
        progress.done = unreadable || through.is_none();
        let (done, last) = (progress.done, through.clone().or(progress.after.take()));
        progress.after = through;
        scrub.keys = scrub.keys.saturating_add(keys);
        scrub.bytes = scrub.bytes.saturating_add(bytes);
        scrub.damaged += damaged.len() as u64;
        self.found_damaged(now, member, damaged);
        if done {
            self.found_readable(now, member, unreadable.then_some(last));
        }
        self.scrub_step(now);
    }

    /// When all that can be read is: a comparison rests on it, and mending.
    fn maybe_end_scrub(&mut self, now: Time) {
        let Some(scrub) = &self.scrubs.running else { return };
        let open = |(member, progress): (&MemberId, &Progress)| {
            !progress.done && (progress.asked.is_some() || self.can_be_asked(*member))
        };
        if scrub.nodes.iter().any(open) {
            return;
        }
        if scrub.mends && self.mend_some() {
            return;
        }
        let Some(scrub) = &self.scrubs.running else { return };
        let left = scrub.nodes.iter().filter(|(_, progress)| !progress.done);
        let left: Vec<String> = left.map(|(member, _)| self.name_of(*member)).collect();
        let away = (!left.is_empty())
            .then(|| format!("{} could not be asked: read it when it is back", left.join(", ")));
        let ill: Vec<String> = self.damage.unreadable().map(|id| self.name_of(id)).collect();
        let ill = (!ill.is_empty())
            .then(|| format!("{} cannot read its keystore on: see the incidents", ill.join(", ")));
        let remarks: Vec<String> = away.into_iter().chain(ill).collect();
        let (keys, damaged) = (scrub.keys, scrub.damaged);
        let mut result = vec![format!("{keys} records were read, {damaged} are damaged")];
        result.extend_from_slice(&remarks);
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        self.end_scrub_change(now, State::Done, (&result.join("; "), remark));
        self.scrubs.running = None;
        self.audits.hurry();
    }

    /// Goes on mending; false if there is nothing left that can be mended now.
    fn mend_some(&mut self) -> bool {
        if self.scrubs.mend.is_some() {
            return true;
        }
        for member in self.damage.members() {
            if !self.can_be_asked(member) {
                continue;
            }
            let keys: Vec<Key> = self.damage.of(member).cloned().collect();
            let hopeless = &self.scrubs.hopeless;
            let keys = keys.into_iter().filter(|key| !hopeless.contains(&(member, key.clone())));
            let mut source = None;
            let mut chosen = BTreeSet::new();
            for key in keys {
                let other = self.whole_copy(&key, member);
                if other.is_some() && (source.is_none() || source == other) {
                    source = other;
                    chosen.insert(key);
                }
                if chosen.len() >= MENDED_MAX {
                    break;
                }
            }
            let Some(source) = source else { continue };
            let r = self.next_ask();
            let what = Audit::Copies(chosen.iter().cloned().collect());
            self.push_audit(source, AuditAsk { r, what });
            self.scrubs.mend = Some(Mend { member, source, keys: chosen, step: Step::Asked(r) });
            return true;
        }
        false
    }

    /// Somebody else in sync who can be asked for a key.
    fn whole_copy(&self, key: &Key, than: MemberId) -> Option<MemberId> {
        let ring = self.ring.as_ref()?;
        let others = ring.in_sync_at(ring.point_of(key)).iter().copied();
        let mut able = others.filter(|member| {
            *member != than && self.can_be_asked(*member) && self.damage.is_whole(*member, key)
        });
        able.next()
    }

    /// The copies are there.
    fn on_copies(&mut self, member: MemberId, r: u64, items: Vec<CopyItem>) {
        let Some(mend) = &mut self.scrubs.mend else { return };
        if mend.source == member && matches!(mend.step, Step::Asked(asked) if asked == r) {
            for key in mend.keys.iter().filter(|key| items.iter().all(|item| item.key != **key)) {
                self.scrubs.hopeless.insert((mend.member, key.clone()));
            }
            mend.step = Step::Ready(items);
        }
    }

    /// Writes of these keys are decided: copies that were read before are of the past.
    pub(super) fn mend_overtaken<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        if let Some(mend) = &mut self.scrubs.mend {
            keys.for_each(|key| {
                mend.keys.remove(key);
            });
        }
    }

    /// Hands on copies, just before messages are made.
    pub(super) fn push_mends(&mut self) {
        let Some(Mend { member, keys, step: Step::Ready(items), .. }) = &mut self.scrubs.mend
        else {
            return;
        };
        let member = *member;
        let items: Vec<CopyItem> =
            std::mem::take(items).into_iter().filter(|item| keys.contains(&item.key)).collect();
        if items.is_empty() || !self.can_be_asked(member) {
            self.scrubs.mend = None;
            return;
        }
        let r = self.next_ask();
        if let Some(mend) = &mut self.scrubs.mend {
            mend.step = Step::Put(r);
        }
        self.push_audit(member, AuditAsk { r, what: Audit::Mend(items) });
    }

    /// A node has replaced these; what else it was given is whole there.
    fn on_mended(&mut self, now: Time, member: MemberId, r: u64, mended: &[Key]) {
        let put = |mend: &&mut Mend| mend.member == member;
        let Some(mend) = self.scrubs.mend.as_mut().filter(put) else { return };
        if !matches!(mend.step, Step::Put(put) if put == r) {
            return;
        }
        let keys = std::mem::take(&mut mend.keys);
        self.scrubs.mend = None;
        for key in &keys {
            self.damage.mended(member, key);
        }
        if let Some(first) = mended.first() {
            let point = self.ring.as_ref().map_or(Point(0), |ring| ring.point_of(first));
            let (span, nodes) = (self.span_of(point), vec![member]);
            let (kind, repaired) = (DivergenceKind::Checksum, mended.len() as u64);
            let keys = mended.to_vec();
            self.tell_divergence(now, Finding { span, nodes, kind, keys, repaired });
        }
        self.close_incidents();
        self.scrub_step(now);
    }

    fn forget_mend(&mut self, r: u64) {
        let is_it = |mend: &Mend| matches!(mend.step, Step::Asked(n) | Step::Put(n) if n == r);
        if let Some(mend) = self.scrubs.mend.take_if(|mend| is_it(mend)) {
            let keys = mend.keys.into_iter().map(|key| (mend.member, key));
            self.scrubs.hopeless.extend(keys);
        }
    }

    /// A node's link has ended: its portion is asked for again, and what it was to give or take.
    pub(super) fn scrub_lost(&mut self, member: MemberId) {
        if let Some(scrub) = &mut self.scrubs.running
            && let Some(progress) = scrub.nodes.get_mut(&member)
        {
            progress.asked = None;
        }
        self.scrubs.mend.take_if(|mend| mend.member == member || mend.source == member);
    }

    /// Another ring is in force: whoever is a member no more is not read, a new one need not be.
    pub(super) fn scrub_follows_ring(&mut self) {
        let members = self.ring.as_ref().map(|ring| ring.members()).unwrap_or_default();
        if let Some(scrub) = &mut self.scrubs.running {
            scrub.nodes.retain(|member, _| members.contains(member));
        }
        self.scrubs.mend = None;
    }
}
