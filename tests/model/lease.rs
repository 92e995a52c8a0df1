//! Who may tell what it read, and until when (R11): C1 serves v1 from its cache under its lease; C2
//! claims the next epoch on a majority of three nodes, waits, and tells somebody of v2. Nobody may
//! be told v1 by C1 after that.
//!
//! The lease and the wait are the cores' own, `cluster::core::lease`; time is a number of
//! milliseconds, handed in. Messages are late and lost without end. C1 need not be running at any
//! moment, which is all that a suspension is to a clock that counts it.

use cluster::core::lease::{Lease, wait_until};
use cluster::core::time::Time;
use protocol::ids::MemberId;

use super::check::{Outcome, Spec, Step, breaks, coordinator, holds, node};

const NODES: usize = 3;
const LEASE_MS: u64 = 2;
/// A lease is given, ends, and is waited for, with two milliseconds to spare.
const NOW_MAX: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Node {
    /// When C1 sent the question that is on its way, as C1's clock told.
    asked: Option<u8>,
    /// The answer is on its way.
    answering: bool,
    /// From when on the newest answer counts.
    counted: Option<u8>,
    /// It has promised C2 its epoch.
    promised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u8,
    /// How far C1's clock has fallen behind.
    lag: u8,
    nodes: [Node; NODES],
    /// C2's first promise, and the one that made a majority.
    first_at: Option<u8>,
    claimed_at: Option<u8>,
    told_new: bool,
    told_old_after: bool,
}

impl State {
    fn lease(&self) -> Lease {
        let members = || (0..NODES as u16).map(MemberId);
        let mut lease = Lease::new(members(), LEASE_MS);
        for (member, node) in members().zip(&self.nodes) {
            if let Some(from) = node.counted {
                lease.answered(member, at(from));
            }
        }
        lease
    }

    fn first_clock(&self) -> u8 {
        self.now - self.lag
    }
}

fn at(ms: u8) -> Time {
    Time::default().plus_ms(u64::from(ms))
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Leases {
    /// R11: what was read is told under a lease only.
    checked: bool,
    /// R11: it counts from before the question was sent.
    from_sending: bool,
    /// R11: half of the members, rounded up, must have answered.
    half: bool,
    /// R11, H30: the clock counts suspension.
    counts_suspension: bool,
    /// R11: a successor waits its predecessor's lease out.
    waits: bool,
    /// R11: that wait begins when a majority has promised.
    waits_from_majority: bool,
    /// R2: who has promised a higher epoch does not answer the lower one.
    fence: bool,
}

const ALL: Leases = Leases {
    checked: true,
    from_sending: true,
    half: true,
    counts_suspension: true,
    waits: true,
    waits_from_majority: true,
    fence: true,
};

type Steps = Vec<Step<State>>;

impl Leases {
    fn at_node(&self, s: &State, place: usize, steps: &mut Steps) {
        let n = s.nodes[place];
        let mut push = |who, what, change: &dyn Fn(&mut State)| {
            let mut next = s.clone();
            change(&mut next);
            next.nodes.sort_unstable();
            steps.push(Step { who, what, next });
        };
        let clock = s.first_clock();
        let deaf = self.fence && n.promised;
        if n.asked != Some(clock) && !n.answering && !deaf {
            push(coordinator(1), "asks a node", &|s| s.nodes[place].asked = Some(clock));
        }
        if n.asked.is_some() && !n.answering && !deaf {
            push(node(place), "answers C1", &|s| s.nodes[place].answering = true);
        }
        if let Some(asked) = n.asked.filter(|_| n.answering) {
            let from = if self.from_sending { asked } else { clock };
            push(coordinator(1), "hears the answer", &|s| {
                let promised = s.nodes[place].promised;
                s.nodes[place] = Node { counted: Some(from), promised, ..Node::default() };
            });
        }
        if !n.promised {
            push(node(place), "promises C2 its epoch", &|s| {
                s.nodes[place].promised = true;
                if self.fence && !n.answering {
                    s.nodes[place].asked = None;
                }
                s.first_at.get_or_insert(s.now);
                let promised = s.nodes.iter().filter(|n| n.promised).count();
                if promised > NODES / 2 {
                    s.claimed_at.get_or_insert(s.now);
                }
            });
        }
    }

    fn may_tell_old(&self, s: &State) -> bool {
        let now = at(s.first_clock());
        let newest = s.nodes.iter().filter_map(|n| n.counted).max();
        let any = newest.is_some_and(|from| now < at(from).plus_ms(LEASE_MS));
        !self.checked || if self.half { s.lease().holds(now) } else { any }
    }

    fn may_tell_new(&self, s: &State) -> bool {
        let from = if self.waits_from_majority { s.claimed_at } else { s.first_at };
        let over = |from: u8| !self.waits || at(s.now) >= wait_until(at(from), LEASE_MS);
        s.claimed_at.is_some() && from.is_some_and(over)
    }
}

impl Spec for Leases {
    type State = State;

    fn start(&self) -> State {
        State {
            now: 0,
            lag: 0,
            nodes: [Node::default(); NODES],
            first_at: None,
            claimed_at: None,
            told_new: false,
            told_old_after: false,
        }
    }

    fn steps(&self, s: &State, steps: &mut Steps) {
        for place in 0..NODES {
            self.at_node(s, place, steps);
        }
        if s.now < NOW_MAX {
            let next = State { now: s.now + 1, ..s.clone() };
            steps.push(Step { who: ('t', None), what: "passes", next });
            if !self.counts_suspension {
                let next = State { now: s.now + 1, lag: s.lag + 1, ..s.clone() };
                steps.push(Step { who: coordinator(1), what: "is suspended for a while", next });
            }
        }
        if !s.told_new && self.may_tell_new(s) {
            let next = State { told_new: true, ..s.clone() };
            steps.push(Step { who: coordinator(2), what: "tells somebody of v2", next });
        }
        if s.told_new && self.may_tell_old(s) {
            let next = State { told_old_after: true, ..s.clone() };
            steps.push(Step { who: coordinator(1), what: "tells somebody v1", next });
        }
    }

    fn wrong(&self, s: &State) -> Option<&'static str> {
        s.told_old_after.then_some("C1 tells the old value after C2 has told the new one")
    }

    fn outcomes(&self) -> Vec<Outcome<State>> {
        vec![
            ("C1 may tell what it read", |s| s.lease().holds(at(s.first_clock()))),
            ("C1 may tell while C2 has claimed", |s| {
                s.claimed_at.is_some() && s.lease().holds(at(s.first_clock()))
            }),
            ("C2 tells of v2", |s| s.told_new),
        ]
    }
}

#[test]
fn leases_with_all_rules() {
    holds("two coordinators, three nodes, a lease of 2 ms", &ALL);
}

#[test]
fn leases_need_each_rule() {
    breaks("R11, told under a lease only", &Leases { checked: false, ..ALL });
    breaks("R11, counted from before the sending", &Leases { from_sending: false, ..ALL });
    breaks("R11, half of the members, rounded up", &Leases { half: false, ..ALL });
    breaks("R11, a clock that counts suspension", &Leases { counts_suspension: false, ..ALL });
    breaks("R11, a successor waits", &Leases { waits: false, ..ALL });
    breaks("R11, ... from the majority on", &Leases { waits_from_majority: false, ..ALL });
    breaks("R2, the fence, for leases", &Leases { fence: false, ..ALL });
}
