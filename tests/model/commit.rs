//! One transaction on K replicas, its coordinator C1, and up to two that take over from it.
//!
//! Messages may be lost, doubled and late without end: whatever was once sent may arrive at any
//! later moment, or never. So a message that its sender's state implies is not kept: C1's prepare
//! can always arrive, a decision as soon as its coordinator has made it. A node may be killed (its
//! page cache survives), lose power (what was not synced is gone), be lost for good, be evicted and
//! live on unknowingly, come back with its log cut or its disk blank. C1 may give up for any reason,
//! which the real one does not: it may do all that the real one may, and more.

use super::check::{Outcome, Spec, Step, breaks, coordinator, holds, node};

/// What a node's log says of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Record {
    None,
    Prepared,
    Refused,
    Aborted,
    Committed,
    Forgotten,
}

/// What a node answers to the coordinator that has taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Seen {
    Never,
    Prepared,
    Closed,
    Committed,
    Settled,
    LostHere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Standing {
    Member,
    /// A member whose log was cut, and which knows it.
    Cut,
    /// Silent for ever.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Node {
    standing: Standing,
    /// By a ring in force; it may live on, and not know it.
    evicted: bool,
    log: Record,
    /// What would be left of `log` after a power loss.
    synced: Record,
    /// No coordinator of a lower epoch is listened to.
    fence: u8,
    /// The prepare is appended; the vote waits for the sync.
    voting: bool,
    yes: bool,
    no: bool,
    /// By coordinator: what it was answered, and which decisions were confirmed as durable.
    answers: [Option<Seen>; C],
    aborted: [bool; C],
    committed: [bool; C],
}

/// Coordinators, one after the other.
const C: usize = 3;

const BLANK: Node = Node {
    standing: Standing::Member,
    evicted: false,
    log: Record::None,
    synced: Record::None,
    fence: 1,
    voting: false,
    yes: false,
    no: false,
    answers: [None; C],
    aborted: [false; C],
    committed: [false; C],
};

impl Node {
    fn settle(&mut self, record: Record) {
        (self.log, self.synced, self.voting) = (record, record, false);
    }

    fn has_it(&self) -> bool {
        matches!(self.log, Record::Prepared | Record::Committed | Record::Forgotten)
    }

    fn counts(&self) -> bool {
        !self.evicted && self.standing != Standing::Lost
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// C1 for votes, the others for answers.
    Waiting,
    Abort,
    Commit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Nothing,
    Ok,
    Aborted,
}

/// A member of the ring that holds nothing of the transaction: it only counts in majorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bystander {
    fence: u8,
    claimed: [bool; C],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State<const K: usize, const B: usize> {
    nodes: [Node; K],
    bystanders: [Bystander; B],
    /// In the order of their epochs, 1 to 3.
    coordinators: [(Phase, Told); C],
    losses: u8,
    wipes: u8,
}

/// When `aborted` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AbortTold {
    AtOnce,
    AfterOne,
    WhenFinal,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    /// A vote leaves after the sync of its record.
    persist_before_send: bool,
    /// R2: who is asked about the past refuses lower epochs from then on.
    fence: bool,
    /// R3: a refusal is durable.
    refusals_kept: bool,
    /// R4: a vote counts only from the store that is there now.
    present_votes: bool,
    /// R5.
    abort_told: AbortTold,
    /// R6: all survivors prepared is committed, though others are lost.
    lost_commits: bool,
    /// R6: with a participant lost, `ok` only when the survivors have the decision durably.
    choice_first: bool,
    /// R10: a ring is in force when a majority that has promised nothing higher has it.
    ring_by_majority: bool,
    /// R15: nothing is decided before a majority has promised the epoch.
    claim_by_majority: bool,
    /// R7: a store that has lost something says so.
    continuity: bool,
    /// R8: forgotten only when all participants have confirmed.
    forget_late: bool,
    /// R9: what a start finds in the log is synced before it is told.
    tail_synced: bool,
}

const ALL: Rules = Rules {
    persist_before_send: true,
    fence: true,
    refusals_kept: true,
    present_votes: true,
    abort_told: AbortTold::WhenFinal,
    lost_commits: true,
    choice_first: true,
    ring_by_majority: true,
    claim_by_majority: true,
    continuity: true,
    forget_late: true,
    tail_synced: true,
};

/// What may go wrong in the world, and how often.
#[derive(Debug, Clone, Copy)]
struct World {
    successors: u8,
    losses: u8,
    evicts_live: bool,
    power: bool,
    /// Logs that are cut, or disks that come back blank where nobody notices (R7).
    cuts: u8,
    /// Stores that are replaced by blank ones, which copy what is decided and are members again.
    replaced: u8,
    forgetting: bool,
}

const QUIET: World = World {
    successors: 1,
    losses: 0,
    evicts_live: false,
    power: true,
    cuts: 0,
    replaced: 0,
    forgetting: false,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit<const K: usize, const B: usize> {
    rules: Rules,
    world: World,
    /// Counts states that differ only by the names of nodes as one.
    nameless: bool,
}

type Steps<const K: usize, const B: usize> = Vec<Step<State<K, B>>>;

impl<const K: usize, const B: usize> Commit<K, B> {
    fn push(
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

    fn prepares(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
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

    fn decisions(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
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

    fn answers(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
        let Rules { fence, tail_synced, .. } = self.rules;
        let n = &s.nodes[place];
        if n.evicted {
            return;
        }
        for c in 1..=usize::from(self.world.successors) {
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

    fn faults(&self, s: &State<K, B>, place: usize, steps: &mut Steps<K, B>) {
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

    fn first(&self, s: &State<K, B>, steps: &mut Steps<K, B>) {
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

    fn tells_choice(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
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

    fn successor(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
        let (phase, told) = s.coordinators[c];
        match phase {
            Phase::Idle if c == 1 || s.coordinators[c - 1].0 != Phase::Idle => {
                self.decide(s, c, (Phase::Waiting, Told::Nothing), "takes over", steps);
            }
            Phase::Waiting => {
                if self.has_claimed(s, c) {
                    self.decisions_of(s, c, steps);
                }
            }
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

    fn evictions(&self, s: &State<K, B>, c: usize, steps: &mut Steps<K, B>) {
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

impl<const K: usize, const B: usize> Spec for Commit<K, B> {
    type State = State<K, B>;

    fn start(&self) -> State<K, B> {
        let idle = (Phase::Idle, Told::Nothing);
        let coordinators = [(Phase::Waiting, Told::Nothing), idle, idle];
        let bystanders = [Bystander { fence: 1, claimed: [false; C] }; B];
        State { nodes: [BLANK; K], bystanders, coordinators, losses: 0, wipes: 0 }
    }

    fn steps(&self, s: &State<K, B>, steps: &mut Steps<K, B>) {
        for (place, n) in s.nodes.iter().enumerate() {
            if n.standing == Standing::Lost {
                continue;
            }
            self.prepares(s, place, steps);
            self.decisions(s, place, steps);
            self.answers(s, place, steps);
            self.faults(s, place, steps);
        }
        for (place, b) in s.bystanders.iter().enumerate() {
            for c in 1..=usize::from(self.world.successors) {
                if s.coordinators[c].0 != Phase::Idle
                    && !b.claimed[c]
                    && usize::from(b.fence) <= c + 1
                {
                    let mut next = s.clone();
                    next.bystanders[place].claimed[c] = true;
                    next.bystanders[place].fence = c as u8 + 1;
                    self.push(steps, node(K + place), PROMISED[c], next);
                }
            }
        }
        for c in 0..=usize::from(self.world.successors) {
            self.evictions(s, c, steps);
            self.tells_choice(s, c, steps);
        }
        self.first(s, steps);
        for c in 1..=usize::from(self.world.successors) {
            self.successor(s, c, steps);
        }
    }

    fn wrong(&self, s: &State<K, B>) -> Option<&'static str> {
        let told = |what: Told| s.coordinators.iter().any(|(_, told)| *told == what);
        let alive = || s.nodes.iter().filter(|n| n.counts());
        let applied = alive().any(|n| matches!(n.log, Record::Committed | Record::Forgotten));
        let aborted = alive().any(|n| n.log == Record::Aborted);
        let members = || s.nodes.iter().filter(|n| n.standing == Standing::Member && !n.evicted);
        if told(Told::Ok) && aborted {
            return Some("an acknowledged write is aborted at a replica");
        }
        if told(Told::Aborted) && (told(Told::Ok) || applied) {
            return Some("a client was told aborted, and it is committed");
        }
        if applied && aborted {
            return Some("one replica has it committed, another aborted");
        }
        if told(Told::Ok) && members().count() > 0 && !members().any(Node::has_it) {
            return Some("an acknowledged write is nowhere any more");
        }
        None
    }

    fn outcomes(&self) -> Vec<Outcome<State<K, B>>> {
        let mut all: Vec<Outcome<State<K, B>>> = vec![
            ("C1 tells ok", |s| s.coordinators[0].1 == Told::Ok),
            ("C1 tells aborted", |s| s.coordinators[0].1 == Told::Aborted),
        ];
        if self.world.successors > 0 {
            all.push(("C2 tells ok", |s| s.coordinators[1].1 == Told::Ok));
            all.push(("C2 tells aborted", |s| s.coordinators[1].1 == Told::Aborted));
        }
        if self.world.successors > 0 && self.world.losses > 0 {
            all.push(("C2 tells ok after a loss", |s| {
                s.coordinators[1].1 == Told::Ok && s.nodes.iter().any(|n| n.evicted)
            }));
        }
        if self.world.forgetting {
            all.push(("all forget", |s| s.nodes.iter().all(|n| n.log == Record::Forgotten)));
        }
        all
    }
}

const LOSSY: World = World { losses: 1, ..QUIET };
const TWICE: World = World { successors: 2, ..QUIET };
/// Losses that no ring tells of: only who meets one knows of it.
const HEARSAY: Rules = Rules { ring_by_majority: false, ..ALL };

#[test]
fn two_replicas_with_all_rules() {
    let all = |name: &str, world| {
        holds(name, &Commit::<2, 1> { rules: ALL, world, nameless: true });
    };
    all("K=2 of 3, one successor, a replica lost", LOSSY);
    all("K=2 of 3, two successors, a replica lost", World { losses: 1, ..TWICE });
    let zombie = World { losses: 1, evicts_live: true, ..TWICE };
    all("K=2 of 3, two successors, an evicted replica lives on", zombie);
    all("K=2 of 3, two successors, a log cut", World { cuts: 1, ..TWICE });
    all("K=2 of 3, two successors, forgetting", World { forgetting: true, ..TWICE });
    let replaced = World { successors: 0, losses: 1, replaced: 1, ..QUIET };
    all("K=2 of 3, a store replaced, then a replica lost", replaced);
    let world = World { losses: 1, ..TWICE };
    let hearsay = Commit::<2, 1> { rules: HEARSAY, world, nameless: true };
    holds("K=2 of 3, two successors, a loss that no ring tells of", &hearsay);
}

#[test]
fn three_replicas_with_all_rules() {
    let all = |name: &str, world| {
        holds(name, &Commit::<3, 0> { rules: ALL, world, nameless: true });
    };
    all("K=3 of 3, two successors", TWICE);
    all("K=3 of 3, one successor, a replica lost", LOSSY);
    let world = World { losses: 1, power: false, ..TWICE };
    all("K=3 of 3, two successors, a replica lost, no power loss", world);
    all("K=3 of 3, one successor, a log cut", World { cuts: 1, ..QUIET });
}

#[test]
fn each_rule_is_needed() {
    let off = |name: &str, rules, world| {
        breaks(name, &Commit::<2, 1> { rules, world, nameless: false });
    };
    let unsynced = Rules { persist_before_send: false, ..ALL };
    off("a vote leaves after the sync of its record", unsynced, QUIET);
    off("R2, the fence", Rules { fence: false, ..ALL }, QUIET);
    off("R3, refusals are durable", Rules { refusals_kept: false, ..ALL }, LOSSY);
    let replaced = World { successors: 0, losses: 1, replaced: 1, ..QUIET };
    off("R4, votes of the present store", Rules { present_votes: false, ..ALL }, replaced);
    let early = Rules { abort_told: AbortTold::AtOnce, ..ALL };
    off("R5, aborted only told when durable", early, QUIET);
    let half = Rules { abort_told: AbortTold::AfterOne, ..ALL };
    off("R5, ... at all participants", half, LOSSY);
    off("R6, all survivors prepared is commit", Rules { lost_commits: false, ..ALL }, LOSSY);
    let shown = Rules { choice_first: false, ..HEARSAY };
    off("R6, a choice is durable before it is told", shown, World { losses: 1, ..TWICE });
    let silent = Rules { continuity: false, ..ALL };
    off("R7, a store that has lost something says so", silent, World { cuts: 1, ..QUIET });
    let forgetful = World { forgetting: true, ..QUIET };
    off("R8, forgotten when all confirmed", Rules { forget_late: false, ..ALL }, forgetful);
    off("R9, a start syncs what it found", Rules { tail_synced: false, ..ALL }, TWICE);
}

/// With two replicas the choice's own durability would do.
#[test]
fn with_three_replicas_majorities_are_needed() {
    let world = World { losses: 1, power: false, ..TWICE };
    let off = |name: &str, rules| {
        breaks(name, &Commit::<3, 0> { rules, world, nameless: true });
    };
    off("R10, a ring is in force by majority", HEARSAY);
    off("R15, a majority's promise before deciding", Rules { claim_by_majority: false, ..ALL });
}
