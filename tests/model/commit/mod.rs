//! One transaction on K replicas, its coordinator C1, and up to two that take over from it.
//!
//! Messages may be lost, doubled and late without end: whatever was once sent may arrive at any
//! later moment, or never. So a message that its sender's state implies is not kept: C1's prepare
//! can always arrive, a decision as soon as its coordinator has made it. A node may be killed (its
//! page cache survives), lose power (what was not synced is gone), be lost for good, be evicted and
//! live on unknowingly, come back with its log cut or its disk blank. C1 may give up for any reason,
//! which the real one does not: it may do all that the real one may, and more.
//!
//! * `steps`: what can happen next.
//! * `tests`: which rules are needed in which world.
//!
//! A ring has three members. A node is lost only by a ring in force without it (R10), made by a
//! coordinator that has the promise of a majority; a member that holds no replica is a bystander. A
//! successor decides as soon as what it has heard settles the matter.

mod steps;
mod tests;

use super::check::{Outcome, Spec, Step};

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
    /// Counts states that differ only by the names of nodes as one; the names in its traces may
    /// change from step to step.
    nameless: bool,
}

type Steps<const K: usize, const B: usize> = Vec<Step<State<K, B>>>;

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
        self.bystanders(s, steps);
        for c in 0..=usize::from(self.world.successors) {
            self.evictions(s, c, steps);
            self.tells_choice(s, c, steps);
        }
        self.first(s, steps);
        for c in self.successors() {
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
