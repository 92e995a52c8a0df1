//! Whether copies that should be alike are: now and then all of them, by a hash of each stretch.
//!
//! All who have a stretch in sync are asked in one step, as the messages are made, so that the
//! links' order is the cut (see `reads`): each answers as of behind the same decisions, so with the
//! same hash, whatever is undecided. A link that is lost takes its question with it, and no
//! comparison is made. Heartbeats do not carry the hashes: they are of no place in that order, and
//! hashes of two moments differ wherever something is written. Where hashes differ, the records
//! there are asked for without their values, portion by portion, each in one step like that; so the
//! keys are found.
//!
//! A node that lost its power may hold what a transaction wrote whose fate is open here: a
//! checkpoint has kept it, and the record of the decision was not on the disk yet. So nothing is
//! compared where a transaction of an earlier epoch is in doubt: all who are compared have reported
//! what they had prepared.
//!
//! Never: compares what learners have; asks again while an answer is open.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::DivergenceKind;
use protocol::ids::{Key, MemberId, Point, Version};
use protocol::peer::{Audit, AuditAnswer, AuditAsk, Audited, Digest, RangeHash, Span};

use super::super::ring::{Range, hash_of};
use super::super::time::Time;
use super::damage::{Finding, NAMED_MAX};
use super::{Coordinator, Phase};

/// Stretches that are compared at a time.
const SPANS_MAX: usize = 256;

/// Comparing.
#[derive(Debug)]
pub(super) struct Audits {
    due: Time,
    /// Behind this point the next comparison begins.
    behind: Point,
    /// The next question is to be put with the next messages.
    wanted: bool,
    open: Option<Question>,
    /// Stretches whose copies were found to differ.
    differing: BTreeSet<Span>,
    look: Option<Look>,
    /// Stretches that differ by nothing but damaged records.
    explained: BTreeSet<Span>,
}

/// What was asked of several nodes in one step.
#[derive(Debug)]
struct Question {
    r: u64,
    /// The stretches that are compared; none: it is the look's.
    spans: Vec<(Span, Vec<MemberId>)>,
    /// The answers, or that there is none yet; what each was asked of `spans`.
    asked: BTreeMap<MemberId, (Vec<usize>, Option<Audited>)>,
}

/// A stretch that is looked at key by key.
#[derive(Debug)]
struct Look {
    span: Span,
    members: Vec<MemberId>,
    after: Option<Key>,
    differ: BTreeSet<Key>,
    damaged: BTreeMap<MemberId, Vec<Key>>,
}

impl Audits {
    /// The first comparison is due at this moment.
    pub(super) fn new(due: Time) -> Self {
        let (differing, explained) = (BTreeSet::new(), BTreeSet::new());
        let (wanted, open, look) = (false, None, None);
        Self { due, behind: Point(0), wanted, open, differing, look, explained }
    }

    /// The next comparison is due now.
    pub(super) fn hurry(&mut self) {
        self.due = Time(0);
        self.explained.clear();
    }
}

impl Coordinator {
    /// Sees to it that the next question is put when it is time.
    pub(super) fn audit_step(&mut self, now: Time) {
        if self.phase != Phase::Active {
            self.audits = Audits::new(self.next_comparison(now));
            return;
        }
        if self.audits.open.is_some() {
            return;
        }
        if self.audits.look.is_none()
            && let Some(span) = self.audits.differing.pop_first()
        {
            self.begin_look(span);
        }
        if self.audits.look.is_some() {
            self.audits.wanted = true;
        } else if now >= self.audits.due {
            self.audits.due = self.next_comparison(now);
            self.audits.wanted = true;
        }
    }

    fn next_comparison(&self, now: Time) -> Time {
        now.plus_ms(self.config.compare_every_ms)
    }

    /// Another ring is in force: its stretches are compared from now on.
    pub(super) fn audits_follow_ring(&mut self) {
        self.audits.look = None;
        self.audits.open = None;
        self.audits.differing.clear();
        self.audits.explained.clear();
    }

    /// Puts the question that is due, just before messages are made.
    pub(super) fn put_questions(&mut self, now: Time) {
        if std::mem::take(&mut self.audits.wanted) && self.audits.open.is_none() {
            match &self.audits.look {
                Some(_) => self.look_on(now),
                None => self.compare(),
            }
        }
        self.push_mends();
    }

    fn compare(&mut self) {
        self.close_incidents();
        let Some(ring) = self.ring.clone() else { return };
        let behind = self.audits.behind;
        let arcs: Vec<_> = ring.arcs().collect();
        let from = arcs.partition_point(|arc| arc.range.last <= behind) % arcs.len();
        let mut spans = Vec::new();
        for arc in arcs[from..].iter().chain(&arcs[..from]).take(SPANS_MAX) {
            self.audits.behind = arc.range.last;
            let several = arc.in_sync.len() > 1;
            let sure = !self.has_doubts(arc.range, arc.in_sync);
            if several && sure && arc.in_sync.iter().all(|member| self.can_be_compared(*member)) {
                spans.push(((arc.range.first, arc.range.last), arc.in_sync.to_vec()));
            }
        }
        let mut asked: BTreeMap<MemberId, (Vec<usize>, Option<Audited>)> = BTreeMap::new();
        for (place, (_, members)) in spans.iter().enumerate() {
            members.iter().for_each(|member| asked.entry(*member).or_default().0.push(place));
        }
        if spans.is_empty() {
            return;
        }
        let r = self.next_ask();
        for (member, (places, _)) in &asked {
            let of = places.iter().filter_map(|place| spans.get(*place));
            let what = Audit::Hashes(of.map(|(span, _)| *span).collect());
            self.push_audit(*member, AuditAsk { r, what });
        }
        self.audits.open = Some(Question { r, spans, asked });
    }

    /// Whether the fate of something that was written there is open.
    fn has_doubts(&self, range: Range, members: &[MemberId]) -> bool {
        self.in_doubt.values().any(|doubt| match &doubt.prepare {
            Some(prepare) => prepare.writes.iter().any(|w| range.contains(hash_of(&w.key))),
            None => doubt.participants.iter().any(|member| members.contains(member)),
        })
    }

    fn can_be_compared(&self, member: MemberId) -> bool {
        self.can_be_asked(member) && !self.has_lost(member)
    }

    pub(super) fn push_audit(&mut self, member: MemberId, ask: AuditAsk) {
        if let Some(place) = self.by_member.get(&member) {
            self.nodes[*place].link.push_audit(ask);
        }
    }

    fn begin_look(&mut self, span: Span) {
        let Some(ring) = &self.ring else { return };
        let members = ring.in_sync_at(span.1).to_vec();
        let (differ, damaged) = (BTreeSet::new(), BTreeMap::new());
        self.audits.look = Some(Look { span, members, after: None, differ, damaged });
    }

    /// Asks for the next portion of a look; where not all are there, it ends with what was found.
    fn look_on(&mut self, now: Time) {
        let Some(look) = &self.audits.look else { return };
        if !look.members.iter().all(|member| self.can_be_compared(*member)) {
            self.end_look(now);
            return;
        }
        if self.has_doubts(Range { first: look.span.0, last: look.span.1 }, &look.members) {
            self.audits.look = None;
            return;
        }
        let (span, after, members) = (look.span, look.after.clone(), look.members.clone());
        let r = self.next_ask();
        for member in &members {
            let what = Audit::Digests { span, after: after.clone() };
            self.push_audit(*member, AuditAsk { r, what });
        }
        let asked = members.into_iter().map(|member| (member, Default::default())).collect();
        self.audits.open = Some(Question { r, spans: Vec::new(), asked });
    }

    /// A node has found something out.
    pub(super) fn on_audit_answer(&mut self, now: Time, member: MemberId, answer: AuditAnswer) {
        let AuditAnswer { r, what } = answer;
        let Some(question) = self.audits.open.as_mut().filter(|question| question.r == r) else {
            self.on_scrub_answer(now, member, r, what);
            return;
        };
        if let Some((_, answer)) = question.asked.get_mut(&member) {
            *answer = Some(what);
        }
        if question.asked.values().any(|(_, answer)| answer.is_none()) {
            return;
        }
        let Some(Question { spans, asked, .. }) = self.audits.open.take() else { return };
        if spans.is_empty() {
            self.on_digests(now, asked);
        } else {
            self.on_hashes(&spans, asked);
        }
        self.audit_step(now);
    }

    /// All hashes are there.
    fn on_hashes(
        &mut self,
        spans: &[(Span, Vec<MemberId>)],
        asked: BTreeMap<MemberId, (Vec<usize>, Option<Audited>)>,
    ) {
        let mut all: Vec<Vec<Option<RangeHash>>> = vec![Vec::new(); spans.len()];
        for (places, answer) in asked.into_values() {
            let hashes = match answer {
                Some(Audited::Hashes(hashes)) if hashes.len() == places.len() => hashes,
                _ => vec![None; places.len()],
            };
            for (place, hash) in places.into_iter().zip(hashes) {
                all[place].push(hash);
            }
        }
        for ((span, _), hashes) in spans.iter().zip(all) {
            // A node may just be counting by the stretches of another ring.
            let Some(hashes) = hashes.into_iter().collect::<Option<Vec<_>>>() else { continue };
            if hashes.windows(2).all(|pair| pair[0] == pair[1]) {
                self.found_right(*span, DivergenceKind::Hash);
                self.audits.explained.remove(span);
            } else if !self.damage.is_known(*span, DivergenceKind::Hash)
                && !self.audits.explained.contains(span)
            {
                self.audits.differing.insert(*span);
            }
        }
    }

    /// A portion of each member's records is there: they count up to where the shortest ends.
    fn on_digests(&mut self, now: Time, asked: BTreeMap<MemberId, (Vec<usize>, Option<Audited>)>) {
        let mut portions: Vec<(MemberId, Vec<Digest>)> = Vec::new();
        let mut through: Option<Key> = None;
        for (member, (_, answer)) in asked {
            let Some(Audited::Digests { items, through: end }) = answer else {
                self.end_look(now);
                return;
            };
            through = match (through, end) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            portions.push((member, items));
        }
        let Some(look) = &mut self.audits.look else { return };
        let mut held: BTreeMap<Key, BTreeMap<MemberId, (Version, u32)>> = BTreeMap::new();
        let members = portions.len();
        for (member, items) in portions {
            for Digest { key, version, checksum, damaged } in items {
                if through.as_ref().is_some_and(|through| key > *through) {
                    break;
                }
                if damaged {
                    look.damaged.entry(member).or_default().push(key.clone());
                }
                held.entry(key).or_default().insert(member, (version, checksum));
            }
        }
        for (key, copies) in held {
            let alike = copies.values().all(|copy| Some(copy) == copies.values().next());
            let whole = !look.damaged.values().flatten().any(|damaged| *damaged == key);
            if (copies.len() < members || !alike) && whole {
                look.differ.insert(key);
            }
        }
        look.after = through;
        if look.after.is_none() || look.differ.len() > NAMED_MAX {
            self.end_look(now);
        }
    }

    /// Tells what a look has found. Where only damaged records were found, these are what differs.
    fn end_look(&mut self, now: Time) {
        let Some(Look { span, members: nodes, differ, damaged, .. }) = self.audits.look.take()
        else {
            return;
        };
        let explained = differ.is_empty() && !damaged.is_empty();
        for (member, keys) in damaged {
            self.found_damaged(now, member, keys);
        }
        if explained {
            self.audits.explained.insert(span);
        } else {
            let (kind, keys) = (DivergenceKind::Hash, differ.into_iter().collect());
            self.tell_divergence(now, Finding { span, nodes, kind, keys, repaired: 0 });
        }
    }

    /// A node's link has ended, and what was asked on it.
    pub(super) fn audits_lost(&mut self, member: MemberId) {
        let waits = |question: &Question| {
            question.asked.get(&member).is_some_and(|(_, answer)| answer.is_none())
        };
        if self.audits.open.as_ref().is_some_and(waits) {
            self.audits.open = None;
        }
        self.scrub_lost(member);
    }
}
