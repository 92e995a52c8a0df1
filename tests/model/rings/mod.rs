//! From one ring to the next, and two coordinators: C1 serves the founding ring, C2 claims the epoch
//! after it at any moment, and both may take a holder's place away (R10, R15, H17, H36 to H42).
//!
//! One range, whose replicas are A and B; C is a member that does not hold it. A change leaves A or B
//! out; a learner, C or the new member D, gets the range: it takes part in writes, copies from the
//! one that stays, and is switched in. One transaction is out, under the founding ring or the first
//! that is under the next. C1 and whoever C2 evicts may be on one side of a cut, since any message
//! may be late without end.
//!
//! * `steps`: what can happen next.
//! * `tests`: which rules are needed in which world.
//!
//! What is durable here is so at once: what syncs, power and lost disks do is `commit`'s matter, and
//! leases are `lease`'s.

mod steps;
mod tests;

use super::check::{Outcome, Spec, Step};

const NODES: usize = 4;
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;
const COORDINATORS: usize = 2;

/// What a node has of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Record {
    None,
    Prepared,
    /// Aborted, or refused.
    Closed,
    Committed,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Founded,
    /// The members differ from those before: both count. There is a learner.
    Changing,
    /// It is in sync; only the members count.
    Learned,
}

/// A ring record: its number first, so that the newest one is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ring {
    epoch: u8,
    counter: u8,
    stage: Stage,
    /// A or B, from the change on.
    out: Option<usize>,
}

const FOUNDED: Ring = Ring { epoch: 1, counter: 0, stage: Stage::Founded, out: None };

impl Ring {
    fn lacks(self, place: usize) -> bool {
        self.out == Some(place)
    }

    /// The holder that stays.
    fn stays(self) -> usize {
        if self.lacks(A) { B } else { A }
    }

    /// Whether it is this ring, or one that came of it.
    fn follows(self, other: Self) -> bool {
        other.out.is_none() || self.out == other.out && self.stage >= other.stage
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    /// It has promised C2 its epoch.
    promised: bool,
    ring: Ring,
    record: Record,
    /// It has what was written before.
    old_data: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Decision {
    Open,
    Abort,
    /// With all participants there, or as a choice without one.
    Commit,
    Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Nothing,
    Ok,
    Aborted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Coordinator {
    claims: bool,
    /// The ring in force, as it knows.
    ring: Option<Ring>,
    /// The one on its way, and on which nodes it is durable.
    step: Option<(Ring, u8)>,
    /// A portion on its way to the learner: whether it has the transaction.
    portion: Option<bool>,
    copied: bool,
    decision: Decision,
    told: Told,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    nodes: [Node; NODES],
    coordinators: [Coordinator; COORDINATORS],
    /// Who has sent the transaction, and under which ring.
    sent: Option<(usize, Ring)>,
}

impl State {
    /// The ring in force, by the newest coordinator that has one.
    fn newest(&self) -> Ring {
        let [first, second] = &self.coordinators;
        second.ring.or(first.ring).unwrap_or(FOUNDED)
    }
}

/// Who must have a ring record durably before it is in force; where members differ from those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InForce {
    BothMajorities,
    OfNewMembers,
    OfOldMembers,
    OneMember,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    /// R15, H17.
    in_force: InForce,
    /// R15: an epoch is claimed on a majority.
    claim_by_majority: bool,
    /// R2: who has promised C2 its epoch does not listen to C1.
    fence: bool,
    /// R10, H40: nothing is copied while something is open in which the learner takes no part.
    barrier: bool,
    /// R6, H5: what is open with an evicted participant goes by those that stay.
    survivors_decide: bool,
    /// R15, H35: a learner is in sync when it has copied.
    copied_first: bool,
    /// H39: a learner takes part in writes from the beginning.
    learners_write: bool,
    /// H38: what is copied replaces nothing newer.
    newer_wins: bool,
}

const ALL: Rules = Rules {
    in_force: InForce::BothMajorities,
    claim_by_majority: true,
    fence: true,
    barrier: true,
    survivors_decide: true,
    copied_first: true,
    learners_write: true,
    newer_wins: true,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rings {
    rules: Rules,
    /// The transaction is out under the founding ring; else it waits for the next one.
    early: bool,
    /// One step takes D in for whom it leaves out. Else C is the learner, and rings differ by one
    /// member, as the real ones do.
    exchanges: bool,
}

impl Rings {
    fn learner(&self) -> usize {
        if self.exchanges { D } else { C }
    }

    /// The members of a ring, as bits.
    fn members(&self, ring: Ring) -> u8 {
        match ring.out {
            None => bit(A) | bit(B) | bit(C),
            Some(out) => (bit(A) | bit(B) | bit(C) | bit(self.learner())) & !bit(out),
        }
    }

    /// Those of the ring before it, where they count too.
    fn old_members(&self, ring: Ring) -> u8 {
        match ring.stage {
            Stage::Changing => self.members(FOUNDED),
            _ => self.members(ring),
        }
    }

    /// Whether enough of its members are among these.
    fn majority(&self, ring: Ring, has: u8, rule: InForce) -> bool {
        let of = |members: u8| (has & members).count_ones() > members.count_ones() / 2;
        let (old, new) = (of(self.old_members(ring)), of(self.members(ring)));
        match rule {
            InForce::BothMajorities => old && new,
            InForce::OfNewMembers => new,
            InForce::OfOldMembers => old,
            InForce::OneMember => has != 0,
        }
    }

    fn in_sync(&self, ring: Ring) -> Vec<usize> {
        match ring.stage {
            Stage::Founded => vec![A, B],
            Stage::Changing => vec![ring.stays()],
            Stage::Learned => vec![ring.stays(), self.learner()],
        }
    }

    fn participants(&self, s: &State) -> Vec<usize> {
        match s.sent {
            None => Vec::new(),
            Some((_, ring)) if ring.stage == Stage::Founded => vec![A, B],
            Some((_, ring)) if self.rules.learners_write => vec![ring.stays(), self.learner()],
            Some((_, ring)) => self.in_sync(ring),
        }
    }
}

fn bit(place: usize) -> u8 {
    1 << place
}

impl Spec for Rings {
    type State = State;

    fn start(&self) -> State {
        let node =
            |old_data| Node { promised: false, ring: FOUNDED, record: Record::None, old_data };
        let idle = Coordinator {
            claims: false,
            ring: None,
            step: None,
            portion: None,
            copied: false,
            decision: Decision::Open,
            told: Told::Nothing,
        };
        State {
            nodes: [node(true), node(true), node(false), node(false)],
            coordinators: [Coordinator { claims: true, ring: Some(FOUNDED), ..idle }, idle],
            sent: self.early.then_some((0, FOUNDED)),
        }
    }

    fn steps(&self, s: &State, steps: &mut Vec<Step<State>>) {
        self.claims(s, steps);
        for c in 0..COORDINATORS {
            self.rings(s, c, steps);
            self.copies(s, c, steps);
            self.decides(s, c, steps);
            self.decisions(s, c, steps);
        }
        self.prepares(s, steps);
    }

    fn wrong(&self, s: &State) -> Option<&'static str> {
        let [first, second] = &s.coordinators;
        if let (Some(first), Some(second)) = (first.ring, second.ring)
            && !second.follows(first)
        {
            return Some("two rings are in force, and neither comes of the other");
        }
        let newest = s.newest();
        let in_sync = self.in_sync(newest);
        if in_sync.iter().any(|place| !s.nodes[*place].old_data) {
            return Some("who counts as in sync lacks what was there before");
        }
        let told = |what: Told| s.coordinators.iter().any(|c| c.told == what);
        let has = |place: usize, record| s.nodes[place].record == record;
        let counts = |record| (0..NODES).any(|place| !newest.lacks(place) && has(place, record));
        let holds = |place: usize| has(place, Record::Prepared) || has(place, Record::Committed);
        if told(Told::Ok) && !in_sync.iter().all(|place| holds(*place)) {
            return Some("who counts as in sync lacks an acknowledged write");
        }
        if told(Told::Ok) && counts(Record::Closed) {
            return Some("an acknowledged write is aborted at a member");
        }
        if told(Told::Aborted) && (told(Told::Ok) || counts(Record::Committed)) {
            return Some("a client was told aborted, and it is committed");
        }
        let both = counts(Record::Committed) && counts(Record::Closed);
        both.then_some("one member has it committed, another aborted")
    }

    fn outcomes(&self) -> Vec<Outcome<State>> {
        let mut all: Vec<Outcome<State>> = vec![
            ("C1 changes the ring, and its write is answered", |s| {
                let [first, second] = &s.coordinators;
                let learned = first.ring.is_some_and(|ring| ring.stage == Stage::Learned);
                learned && first.told == Told::Ok && second.ring.is_none()
            }),
            ("C2 evicts one who listens to C1", |s| {
                let out = s.coordinators[1].ring.and_then(|ring| ring.out);
                let split =
                    |out: usize| !s.nodes[out].promised && s.coordinators[0].ring == Some(FOUNDED);
                out.is_some_and(split)
            }),
            ("C2 brings C1's change to its end", |s| {
                let [first, second] = &s.coordinators;
                let begun = first.ring.is_some_and(|ring| ring.stage == Stage::Changing);
                begun && second.ring.is_some_and(|ring| ring.stage == Stage::Learned)
            }),
            ("C2 brings a change to its end that C1 only proposed", |s| {
                let [first, second] = &s.coordinators;
                let begun = first.ring == Some(FOUNDED) && first.step.is_some();
                let end = second.ring.filter(|ring| ring.stage == Stage::Learned);
                begun && end.is_some_and(|ring| ring.counter == 1)
            }),
        ];
        if self.early {
            all.push(("it aborts, and that is told", |s| s.coordinators[0].told == Told::Aborted));
            all.push(("C1 answers what C2 commits without the evicted one", |s| {
                let [first, second] = &s.coordinators;
                first.told == Told::Ok && second.decision == Decision::Choice
            }));
        } else {
            all.push(("C2 answers the write that C1 sent under its new ring", |s| {
                let [first, second] = &s.coordinators;
                let by_first = s.sent.is_some_and(|(owner, _)| owner == 0);
                by_first && first.told == Told::Nothing && second.told == Told::Ok
            }));
            all.push(("a write is answered while its learner copies", |s| {
                let changing = s.newest().stage == Stage::Changing;
                changing && s.coordinators.iter().any(|c| c.told == Told::Ok)
            }));
        }
        all
    }
}
