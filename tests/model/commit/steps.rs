//! What can happen next: at the nodes, to them, and at each coordinator.
//!
//! `commit` calls it. What is forbidden by a rule is left out here, and comes back when that rule is
//! switched off.

use super::super::check::{Step, coordinator, node};
use super::{
    AbortTold, BLANK, C, Commit, Node, Phase, Record, Rules, Seen, Standing, State, Steps, Told,
};

const PROMISED: [&str; C] = ["promises C1", "promises C2", "promises C3"];
const EVICTED: [&str; C] = ["is evicted by C1", "is evicted by C2", "is evicted by C3"];
const ABORTED: [&str; C] = ["aborts it for C1", "aborts it for C2", "aborts it for C3"];
const COMMITTED: [&str; C] =
    ["commits it for C1, unsynced", "commits it for C2, unsynced", "commits it for C3, unsynced"];
const CONFIRMED: [&str; C] =
    ["tells C1 that it is durable", "tells C2 that it is durable", "tells C3 that it is durable"];
const ADOPTED: [&str; C] = ["adopts it for C1", "adopts it for C2", "adopts it for C3"];
const COMMITS: [&str; 2] = ["decides commit, tells ok", "chooses commit, tells nobody yet"];
const ANSWERS: [[&str; 6]; C] = [
    [""; 6],
    [
        "answers C2: never",
        "answers C2: prepared",
        "answers C2: closed",
        "answers C2: committed",
        "answers C2: settled",
        "answers C2: lost here",
    ],
    [
        "answers C3: never",
        "answers C3: prepared",
        "answers C3: closed",
        "answers C3: committed",
        "answers C3: settled",
        "answers C3: lost here",
    ],
];

impl<const K: usize, const B: usize> Commit<K, B> {
    pub(super) fn successors(&self) -> std::ops::RangeInclusive<usize> {
        1..=usize::from(self.world.successors)
    }

    pub(super) fn push(
        &self,
        steps: &mut Steps<K, B>,
        who: (char, Option<u8>),
        what: &'static str,
        mut next: State<K, B>,
    ) {
        if self.nameless {
            next.nodes.sort_unstable();
            next.bystanders.sort_unstable();
        }
        steps.push(Step { who, what, next });
    }

    /// The same state with one node changed.
    fn at(
        &self,
        steps: &mut Steps<K, B>,
        s: &State<K, B>,
        place: usize,
        what: &'static str,
        change: impl FnOnce(&mut Node),
    ) {
        let mut next = s.clone();
        change(&mut next.nodes[place]);
        self.push(steps, node(place), what, next);
    }

    pub(super) fn prepares(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let Rules { persist_before_send, refusals_kept, tail_synced, fence, .. } = self.rules;
        let n = &s.nodes[place];
        if n.voting {
            self.at(steps, s, place, "syncs the prepare, votes yes", |n| {
                n.settle(Record::Prepared);
                n.yes = true;
            });
        }
        if n.standing == Standing::Cut || (fence && n.fence > 1) {
            return;
        }
        match n.log {
            Record::None if persist_before_send => {
                self.at(steps, s, place, "appends the prepare", |n| {
                    (n.log, n.voting) = (Record::Prepared, true);
                });
            }
            Record::None => self.at(steps, s, place, "appends the prepare, votes yes", |n| {
                (n.log, n.yes) = (Record::Prepared, true);
            }),
            Record::Prepared if !n.voting && persist_before_send => {
                self.at(steps, s, place, "is asked again, votes yes", |n| {
                    n.yes = true;
                    if tail_synced {
                        n.synced = n.log;
                    }
                });
            }
            Record::Refused | Record::Aborted => {
                self.at(steps, s, place, "is asked again, votes no", |n| n.no = true);
            }
            _ => {}
        }
        if n.log == Record::None {
            self.at(steps, s, place, "refuses, votes no", |n| {
                n.no = true;
                if refusals_kept {
                    n.settle(Record::Refused);
                }
            });
        }
    }

    pub(super) fn decisions(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let n = &s.nodes[place];
        for (c, (phase, _)) in s.coordinators.iter().enumerate() {
            if self.rules.fence && c + 1 < usize::from(n.fence) {
                continue;
            }
            let adopts = n.standing == Standing::Cut && n.log == Record::None;
            match (phase, n.log) {
                (Phase::Abort, Record::None | Record::Prepared | Record::Refused) => {
                    self.at(steps, s, place, ABORTED[c], |n| {
                        n.settle(Record::Aborted);
                        n.aborted[c] = true;
                    });
                }
                (Phase::Abort, Record::Aborted) if !n.aborted[c] => {
                    self.at(steps, s, place, ABORTED[c], |n| n.aborted[c] = true);
                }
                (Phase::Commit, Record::Prepared) => {
                    self.at(steps, s, place, COMMITTED[c], |n| {
                        (n.log, n.voting) = (Record::Committed, false);
                    });
                }
                (Phase::Commit, Record::Committed) if !n.committed[c] => {
                    self.at(steps, s, place, CONFIRMED[c], |n| {
                        n.synced = n.log;
                        n.committed[c] = true;
                    });
                }
                (Phase::Commit, Record::None) if adopts => {
                    self.at(steps, s, place, ADOPTED[c], |n| {
                        n.settle(Record::Committed);
                        n.committed[c] = true;
                    });
                }
                _ => {}
            }
        }
    }

    pub(super) fn answers(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let Rules { fence, tail_synced, .. } = self.rules;
        let n = &s.nodes[place];
        if n.evicted {
            return;
        }
        for c in self.successors() {
            let asked = s.coordinators[c].0 != Phase::Idle && n.answers[c].is_none();
            if !asked || (fence && c + 1 < usize::from(n.fence)) {
                continue;
            }
            let seen = match n.log {
                Record::None if n.standing == Standing::Cut => Seen::LostHere,
                Record::None => Seen::Never,
                Record::Prepared => Seen::Prepared,
                Record::Refused | Record::Aborted => Seen::Closed,
                Record::Committed => Seen::Committed,
                Record::Forgotten if self.rules.forget_late => Seen::Settled,
                Record::Forgotten => Seen::Never,
            };
            self.at(steps, s, place, ANSWERS[c][seen as usize], |n| {
                n.answers[c] = Some(seen);
                if tail_synced {
                    n.synced = n.log;
                }
                if fence {
                    n.fence = n.fence.max(c as u8 + 1);
                    n.voting = false;
                }
            });
        }
    }

    pub(super) fn faults(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let n = &s.nodes[place];
        if n.voting {
            self.at(steps, s, place, "is killed and starts again", |n| n.voting = false);
        }
        if self.world.power && n.log != n.synced {
            self.at(steps, s, place, "loses power and starts again", |n| {
                (n.log, n.voting) = (n.synced, false);
            });
        }
        if n.log == Record::Committed && self.world.forgetting {
            let all = |c: usize| s.nodes.iter().all(|n| n.committed[c]);
            if !self.rules.forget_late || (0..C).any(all) {
                self.at(steps, s, place, "forgets it", |n| n.settle(Record::Forgotten));
            }
        }
        if s.losses < self.world.losses && n.counts() {
            let mut next = s.clone();
            let Node { evicted, answers, .. } = *n;
            next.nodes[place] = Node { standing: Standing::Lost, evicted, answers, ..BLANK };
            next.losses += 1;
            self.push(steps, node(place), "is lost for good", next);
        }
        if s.wipes < self.world.cuts && n.standing == Standing::Member {
            let mut next = s.clone();
            let known = self.rules.continuity;
            let standing = if known { Standing::Cut } else { Standing::Member };
            let fence = if known { n.fence } else { BLANK.fence };
            let (log, synced, voting) = (Record::None, Record::None, false);
            next.nodes[place] = Node { standing, fence, log, synced, voting, ..*n };
            next.wipes += 1;
            self.push(steps, node(place), "loses what its log held", next);
        }
        self.replacement(s, place, steps);
    }

    /// A blank store takes the node's place, and copies what another has decided. Where all know a
    /// decision that nobody has applied, it comes after that (R10).
    fn replacement(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let others = s.nodes.iter().enumerate().filter(|(at, n)| *at != place && n.counts());
        let decided = others
            .map(|(_, n)| n.log)
            .find(|log| matches!(log, Record::Committed | Record::Aborted));
        let copied = decided.unwrap_or(Record::None);
        let open = s.coordinators[0].0 == Phase::Waiting;
        if s.wipes >= self.world.replaced || (decided.is_none() && !open) {
            return;
        }
        let mut next = s.clone();
        let yes = s.nodes[place].yes && !self.rules.present_votes;
        next.nodes[place] = Node { log: copied, synced: copied, yes, ..BLANK };
        next.wipes += 1;
        self.push(steps, node(place), "is replaced by a blank store, which copies", next);
    }

    pub(super) fn first(&self, s: &State<K, B>, steps: &mut Steps<K, B>) {
        let (phase, told) = s.coordinators[0];
        if phase == Phase::Waiting {
            if s.nodes.iter().all(|n| n.yes && !n.evicted) {
                self.decide(s, 0, (Phase::Commit, Told::Ok), "has all yes: tells ok", steps);
            }
            let lost = s.nodes.iter().any(|n| n.evicted);
            if lost && s.nodes.iter().all(|n| n.yes || n.evicted) {
                self.decide(s, 0, (Phase::Commit, Told::Nothing), COMMITS[1], steps);
            }
            let at_once = self.rules.abort_told == AbortTold::AtOnce;
            let told = if at_once { Told::Aborted } else { Told::Nothing };
            self.decide(s, 0, (Phase::Abort, told), "gives up: sends aborts", steps);
        }
        if phase == Phase::Abort && told == Told::Nothing {
            let closed = |n: &Node| n.aborted[0] || n.no;
            if self.enough(s.nodes.iter().map(closed)) {
                self.decide(s, 0, (Phase::Abort, Told::Aborted), "tells aborted", steps);
            }
        }
    }

    pub(super) fn tells_choice(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
        let durable = s.nodes.iter().all(|n| n.committed[c] || !n.counts());
        if s.coordinators[c] == (Phase::Commit, Told::Nothing) && durable {
            let to = (Phase::Commit, Told::Ok);
            self.decide(s, c, to, "has it durable at the survivors: tells ok", steps);
        }
    }

    fn enough(&self, mut closed: impl Iterator<Item = bool>) -> bool {
        match self.rules.abort_told {
            AbortTold::WhenFinal => closed.all(|closed| closed),
            _ => closed.any(|closed| closed),
        }
    }

    fn decide(
        &self,
        s: &State<K, B>,
        c: usize,
        to: (Phase, Told),
        what: &'static str,
        steps: &mut Steps<K, B>,
    ) {
        let mut next = s.clone();
        next.coordinators[c] = to;
        self.push(steps, coordinator(c as u8 + 1), what, next);
    }

    pub(super) fn successor(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
        let (phase, told) = s.coordinators[c];
        match phase {
            Phase::Idle if c == 1 || s.coordinators[c - 1].0 != Phase::Idle => {
                self.decide(s, c, (Phase::Waiting, Told::Nothing), "takes over", steps);
            }
            Phase::Waiting if self.has_claimed(s, c) => self.decisions_of(s, c, steps),
            Phase::Abort if told == Told::Nothing => {
                let fenced = |n: &Node| {
                    let never = self.rules.fence && n.answers[c] == Some(Seen::Never);
                    n.aborted[c] || never || n.answers[c] == Some(Seen::Closed)
                };
                let closed = s.nodes.iter().filter(|n| n.counts()).map(fenced);
                if s.nodes.iter().any(fenced) && self.enough(closed) {
                    self.decide(s, c, (Phase::Abort, Told::Aborted), "tells aborted", steps);
                }
            }
            _ => {}
        }
    }

    pub(super) fn bystanders(&self, s: &State<K, B>, steps: &mut Steps<K, B>) {
        for (place, b) in s.bystanders.iter().enumerate() {
            for c in self.successors() {
                let asked = s.coordinators[c].0 != Phase::Idle && !b.claimed[c];
                if asked && usize::from(b.fence) <= c + 1 {
                    let mut next = s.clone();
                    next.bystanders[place].claimed[c] = true;
                    next.bystanders[place].fence = c as u8 + 1;
                    self.push(steps, node(K + place), PROMISED[c], next);
                }
            }
        }
    }

    /// Whether a majority of the ring, without the node at `gone`, has this coordinator's promise.
    fn majority(
        s: &State<K, B>,
        gone: Option<usize>,
        has: impl Fn(u8, bool) -> bool,
        c: usize,
    ) -> bool {
        let nodes = s.nodes.iter().enumerate().filter(|(at, n)| !n.evicted && Some(*at) != gone);
        let there =
            |n: &Node| n.standing == Standing::Member && has(n.fence, n.answers[c].is_some());
        let counted: Vec<bool> = nodes
            .map(|(_, n)| there(n))
            .chain(s.bystanders.iter().map(|b| has(b.fence, b.claimed[c])))
            .collect();
        counted.iter().filter(|has| **has).count() > counted.len() / 2
    }

    /// The first coordinator's claim is older than the transaction.
    fn has_claimed(&self, s: &State<K, B>, c: usize) -> bool {
        c == 0
            || !self.rules.claim_by_majority
            || Self::majority(s, None, |_, answered| answered, c)
    }

    pub(super) fn evictions(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
        if s.coordinators[c].0 != Phase::Waiting || !self.has_claimed(s, c) {
            return;
        }
        for (place, n) in s.nodes.iter().enumerate() {
            if n.evicted
                || !(n.standing == Standing::Lost
                    || self.world.evicts_live && s.losses < self.world.losses)
            {
                continue;
            }
            let obeys = |fence: u8, _| usize::from(fence) == c + 1;
            let old = Self::majority(s, None, obeys, c);
            if !self.rules.ring_by_majority || old && Self::majority(s, Some(place), obeys, c) {
                let mut next = s.clone();
                next.nodes[place].evicted = true;
                next.losses += u8::from(n.standing != Standing::Lost);
                self.push(steps, node(place), EVICTED[c], next);
            }
        }
    }

    /// A ring in force is known to everybody who has claimed since, and who is out of it does not
    /// count any more. A loss that is not in a ring may be known or not.
    fn decisions_of(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
        let lost = |n: &Node| n.evicted.then_some(Seen::LostHere);
        let known = self.fate(s, c, |n| lost(n).or(n.answers[c]));
        let unknown = self.fate(s, c, |n| n.answers[c].or(lost(n)));
        let unknown = unknown.filter(|_| !self.rules.ring_by_majority && unknown != known);
        for (to, what) in known.into_iter().chain(unknown) {
            self.decide(s, c, to, what, steps);
        }
    }

    /// R6.
    fn fate(
        &self,
        s: &State<K, B>,
        c: usize,
        shows: impl Fn(&Node) -> Option<Seen>,
    ) -> Option<((Phase, Told), &'static str)> {
        let seen: Vec<Seen> = s.nodes.iter().filter_map(shows).collect();
        let has = |what: Seen| seen.contains(&what);
        let choice = has(Seen::LostHere);
        let told_abort = match self.rules.abort_told {
            AbortTold::AtOnce => Told::Aborted,
            _ => Told::Nothing,
        };
        let commit = |waits: bool| {
            let told = if waits { Told::Nothing } else { Told::Ok };
            Some(((Phase::Commit, told), COMMITS[usize::from(waits)]))
        };
        let known = has(Seen::Prepared) || has(Seen::Closed) || has(Seen::Committed);
        if !known || s.coordinators[c].0 != Phase::Waiting {
            return None;
        }
        if has(Seen::Committed) {
            return commit(choice && self.rules.choice_first);
        }
        if has(Seen::Closed) || has(Seen::Never) || has(Seen::Settled) {
            return Some(((Phase::Abort, told_abort), "sees one without it: decides abort"));
        }
        if seen.len() < K {
            return None;
        }
        if choice && !self.rules.lost_commits {
            return Some(((Phase::Abort, told_abort), "sees one lost: decides abort"));
        }
        commit(choice && self.rules.choice_first)
    }
}
