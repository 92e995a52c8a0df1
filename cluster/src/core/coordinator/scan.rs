//! Pages of keys in the order of their bytes, over all ranges.
//!
//! Each range is asked of one in-sync member, on its link behind all decisions made before; the
//! members' pages are merged. A part of the page is as far as its member has told: an item is taken
//! once no part can still tell a smaller key. A member that is lost is replaced, from where it had
//! come; so a key that nobody touches is met exactly once. No cut: each item was current at some
//! time during the call. The lease is checked at the end (R11).

use std::collections::{BTreeMap, VecDeque};

use protocol::error::ErrorReply;
use protocol::ids::{Key, MemberId, Point};
use protocol::peer::{ScanAnswer, ScanAsk, ScanItem};
use protocol::reply::ScanTail;

use super::super::planted::{Bug, planted};
use super::super::ring::RingArc;
use super::super::time::Time;
use super::links::LinkPhase;
use super::{Answer, ClientId, Coordinator, Deadline, RETRY_AFTER_MS};

/// Scans under way at a time; more are `overloaded`.
const SCANS_MAX: usize = 64;

/// What a client wants to see.
#[derive(Debug, Clone)]
pub struct ScanOp {
    /// What the keys begin with; empty: all keys.
    pub prefix: Box<str>,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// At most so many; at least 1.
    pub limit: usize,
    /// With their values.
    pub values: bool,
}

/// Some ranges of one scan, and what a member has told of them.
#[derive(Debug, Clone)]
struct Part {
    arcs: Vec<usize>,
    /// The number of the question that is out.
    asked: Option<u64>,
    /// All keys of these ranges up to this one are told.
    through: Option<Key>,
    /// All there are are told.
    ended: bool,
    /// Told and not taken, in order.
    items: VecDeque<ScanItem>,
}

impl Part {
    fn of(arcs: Vec<usize>, through: Option<Key>) -> Self {
        Self { arcs, asked: None, through, ended: false, items: VecDeque::new() }
    }

    /// Whether it will not tell any key that is not after this one.
    fn is_past(&self, key: &Key) -> bool {
        let told = self.ended || !self.items.is_empty() || self.through.as_ref() >= Some(key);
        told || planted(Bug::PageTooEarly)
    }
}

/// A scan under way.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) client: ClientId,
    op: ScanOp,
    deadline: Time,
    tail: ScanTail,
    taken: usize,
    last: Option<Key>,
    parts: Vec<Part>,
    /// The answer, while it waits for the lease.
    answer: Option<Answer>,
}

impl Scan {
    /// Takes what can be taken: true when the page is complete.
    fn merge(&mut self) -> bool {
        while self.taken < self.op.limit {
            let fronts = self.parts.iter().enumerate().filter_map(|(place, part)| {
                part.items.front().map(|item| (item.key.clone(), place))
            });
            let Some((key, place)) = fronts.min() else {
                return self.parts.iter().all(|part| part.ended);
            };
            if !self.parts.iter().all(|part| part.is_past(&key)) {
                return false;
            }
            let Some(item) = self.parts[place].items.front() else { return false };
            let value = item.value.as_ref().map(|value| value.0.as_bytes());
            if !self.tail.push(key.as_str(), item.version, item.bytes, value) {
                return true;
            }
            self.parts[place].items.pop_front();
            self.taken += 1;
            self.last = Some(key);
        }
        true
    }

    /// The page, complete.
    fn finish(&mut self) -> Answer {
        let all = self.parts.iter().all(|part| part.ended && part.items.is_empty());
        let next = self.last.as_ref().filter(|_| !all).map(Key::as_str);
        Answer::Ok(std::mem::take(&mut self.tail).finish(next))
    }
}

impl Coordinator {
    pub(super) fn on_scan(&mut self, now: Time, client: ClientId, op: ScanOp, deadline: Time) {
        let Some(ring) = &self.ring else { return };
        if self.scans.len() >= SCANS_MAX {
            let error = ErrorReply::overloaded("scans", RETRY_AFTER_MS);
            self.reply_error(client, error);
            return;
        }
        let parts = vec![Part::of((0..ring.arcs().len()).collect(), op.after.clone())];
        let id = self.next_ask();
        self.deadlines.insert((deadline, Deadline::Scan(id)));
        let (tail, taken, last) = (ScanTail::new(), 0, None);
        let scan = Scan { client, op, deadline, tail, taken, last, parts, answer: None };
        self.scans.insert(id, scan);
        self.go_on_scan(now, id);
    }

    /// Answers a scan, or asks for what it still lacks.
    fn go_on_scan(&mut self, now: Time, id: u64) {
        let Some(scan) = self.scans.get_mut(&id) else { return };
        if scan.answer.is_none() && scan.merge() {
            scan.answer = Some(scan.finish());
        }
        if scan.answer.is_none() {
            self.ask_parts(id);
        } else if self.may_tell(now)
            && let Some((client, answer)) = self.end_scan(id)
        {
            self.reply(client, answer);
        }
    }

    fn end_scan(&mut self, id: u64) -> Option<(ClientId, Answer)> {
        let scan = self.scans.remove(&id)?;
        self.deadlines.remove(&(scan.deadline, Deadline::Scan(id)));
        Some((scan.client, scan.answer?))
    }

    /// Asks for the parts of which nothing is left; what nobody can tell now waits.
    fn ask_parts(&mut self, id: u64) {
        let Some(scan) = self.scans.get_mut(&id) else { return };
        let lacks = |part: &Part| !part.ended && part.asked.is_none() && part.items.is_empty();
        let (lacking, mut parts): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut scan.parts).into_iter().partition(lacks);
        let op = scan.op.clone();
        for part in lacking {
            let (by_member, nobody) = self.tellers(&part, &op);
            if !nobody.is_empty() {
                parts.push(Part::of(nobody, part.through.clone()));
            }
            for (member, arcs) in by_member {
                let mut part = Part::of(arcs, part.through.clone());
                part.asked = self.ask_part(id, member, &part, &op);
                parts.push(part);
            }
        }
        if let Some(scan) = self.scans.get_mut(&id) {
            scan.parts = parts;
        }
    }

    /// Who is asked for each arc, and the arcs that nobody can tell now: all their members are
    /// away, or a key there waits for the fate of a transaction of an earlier epoch (R6).
    fn tellers(&self, part: &Part, op: &ScanOp) -> (BTreeMap<MemberId, Vec<usize>>, Vec<usize>) {
        let (mut by_member, mut nobody) = (BTreeMap::<_, Vec<usize>>::new(), Vec::new());
        let Some(ring) = &self.ring else { return (by_member, part.arcs.clone()) };
        let doubted: Vec<usize> = self
            .keys_of_earlier_epochs()
            .filter(|key| {
                key.as_str().starts_with(&*op.prefix) && Some(*key) > part.through.as_ref()
            })
            .filter(|_| !planted(Bug::PageInDoubt))
            .map(|key| ring.arc_of(key))
            .collect();
        let able = |member: &&MemberId| {
            let node = self.node_of(**member);
            node.is_some_and(|node| node.is_up() && node.link.phase == LinkPhase::Ready)
        };
        let arcs: Vec<RingArc<'_>> = ring.arcs().collect();
        for arc in &part.arcs {
            let Some(there) = arcs.get(*arc) else { continue };
            let whole = |member: &&MemberId| {
                able(member) && self.damage.is_whole_in(ring, **member, there.range)
            };
            match there.in_sync.iter().find(whole).filter(|_| !doubted.contains(arc)) {
                Some(member) => by_member.entry(*member).or_default().push(*arc),
                None => nobody.push(*arc),
            }
        }
        (by_member, nobody)
    }

    fn keys_of_earlier_epochs(&self) -> impl Iterator<Item = &Key> {
        let doubted = self.in_doubt.values().filter_map(|doubt| doubt.seq);
        let chosen = self.decided.values().filter_map(|outcome| outcome.held);
        doubted.chain(chosen).filter_map(|seq| self.txns.get(&seq)).flat_map(|txn| &txn.keys)
    }

    fn ask_part(&mut self, id: u64, member: MemberId, part: &Part, op: &ScanOp) -> Option<u64> {
        let (ring, place) = (self.ring.clone()?, *self.by_member.get(&member)?);
        let arcs = ring.arcs().enumerate().filter(|(arc, _)| part.arcs.contains(arc));
        let ranges: Vec<(Point, Point)> =
            arcs.map(|(_, arc)| (arc.range.first, arc.range.last)).collect();
        let r = self.next_ask();
        let ask = ScanAsk {
            r,
            prefix: op.prefix.clone(),
            after: part.through.clone(),
            limit: op.limit as u32,
            values: op.values,
            ranges,
        };
        self.nodes[place].link.push_scan(ask, id);
        Some(r)
    }

    /// A page of one member.
    pub(super) fn on_scan_answer(
        &mut self,
        now: Time,
        member: MemberId,
        id: u64,
        answer: ScanAnswer,
    ) {
        if let Some(key) = answer.damaged {
            // Whoever else has that stretch is asked for it.
            self.found_damaged(now, member, vec![key]);
            self.scans_lost(now, [(answer.r, id)].into());
            return;
        }
        let Some(scan) = self.scans.get_mut(&id) else { return };
        let asked = |part: &&mut Part| part.asked == Some(answer.r);
        let Some(part) = scan.parts.iter_mut().find(asked) else { return };
        part.asked = None;
        part.items = answer.items.into();
        part.ended = answer.through.is_none();
        part.through = answer.through;
        self.go_on_scan(now, id);
    }

    /// Questions that a node will not answer any more are put to others.
    pub(super) fn scans_lost(&mut self, now: Time, scans: BTreeMap<u64, u64>) {
        for (r, id) in scans {
            let Some(scan) = self.scans.get_mut(&id) else { continue };
            for part in scan.parts.iter_mut().filter(|part| part.asked == Some(r)) {
                part.asked = None;
            }
            self.go_on_scan(now, id);
        }
    }

    /// Something that scans may have waited for has changed.
    pub(super) fn retry_scans(&mut self, now: Time) {
        for id in self.scans.keys().copied().collect::<Vec<u64>>() {
            self.go_on_scan(now, id);
        }
    }

    /// Another ring is in force: what is still to be told is asked for anew, of whoever has it now.
    pub(super) fn restart_scans(&mut self) {
        let Some(ring) = &self.ring else { return };
        let arcs: Vec<usize> = (0..ring.arcs().len()).collect();
        for scan in self.scans.values_mut().filter(|scan| scan.answer.is_none()) {
            let through = scan.last.clone().or_else(|| scan.op.after.clone());
            scan.parts = vec![Part::of(arcs.clone(), through)];
        }
    }

    pub(super) fn on_scan_deadline(&mut self, id: u64) {
        let Some(scan) = self.scans.get(&id) else { return };
        let why = match scan.answer {
            Some(_) => "half of the nodes do not answer, so this coordinator may not tell",
            None => "not all ranges were told in time: ask for fewer keys, or wait for the nodes",
        };
        self.reply_error(scan.client, ErrorReply::unavailable(why, None));
        self.end_scan(id);
    }
}
