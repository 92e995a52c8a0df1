//! Two keys with different replicas, and two transactions in flight at once: x lives on A and B,
//! y on B and C. T1 writes x; T2 writes x and y, was evaluated against what T1 is about to write,
//! and so rests on it (H18). C1 decides them; C2 takes over and works out their fates (R6).
//!
//! Messages are lost, doubled and late as in `commit`, with one order kept: who has aborted and
//! forgotten T1 gets no prepare of T2 any more, since T2's abort travels with T1's. Syncs, losses
//! and the forgetting of what is not confirmed are left to `commit`.

use super::check::{Outcome, Spec, Step, breaks, coordinator, holds, node};

const T1: usize = 0;
const T2: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Record {
    None,
    Prepared,
    Refused,
    Aborted,
    Committed,
    /// Settled, and forgotten.
    WasAborted,
    WasCommitted,
}

impl Record {
    fn commits(self) -> bool {
        matches!(self, Self::Committed | Self::WasCommitted)
    }

    fn closed(self) -> bool {
        matches!(self, Self::Refused | Self::Aborted | Self::WasAborted)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    records: [Record; 2],
    yes: [bool; 2],
    no: [bool; 2],
    /// The abort was confirmed to C1 as durable.
    aborted: [bool; 2],
    /// What it had when C2 asked; from then on it does not listen to C1.
    answer: Option<[Record; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Open,
    Commit,
    Abort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Nothing,
    Ok,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    nodes: [Node; 3],
    /// By coordinator and transaction.
    fates: [[(Fate, Told); 2]; 2],
}

impl State {
    /// Drops what nobody will look at any more, so that states that differ by that alone are one.
    fn let_go(&mut self) {
        for t in [T1, T2] {
            let [(first, told), (second, _)] = [self.fates[0][t], self.fates[1][t]];
            for n in &mut self.nodes {
                n.yes[t] &= first == Fate::Open;
                let awaited = first != Fate::Commit && told == Told::Nothing;
                n.no[t] &= awaited;
                n.aborted[t] &= awaited;
                if let Some(had) = n.answer.as_mut().filter(|_| second != Fate::Open) {
                    had[t] = Record::None;
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// By transaction: whether A, B and C are participants.
    participants: [[bool; 3]; 2],
    /// H18: T2's record names T1.
    named: bool,
    /// H18: a node's abort of T1 takes with it, in the same group, what rests on it.
    cascade: bool,
    /// H18: a node that should have T1 and does not refuses T2.
    orphans_refused: bool,
    /// R12: on each key decisions are made in the order of ids.
    in_order: bool,
    /// R1: a fate is worked out from all participants that the record names (H13).
    whole_record: bool,
    /// R2.
    fence: bool,
}

const ALL: Keys = Keys {
    participants: [[true, true, false], [true, true, true]],
    named: true,
    cascade: true,
    orphans_refused: true,
    in_order: true,
    whole_record: true,
    fence: true,
};

type Steps = Vec<Step<State>>;

impl Keys {
    fn at(
        &self,
        steps: &mut Steps,
        s: &State,
        place: usize,
        what: &'static str,
        change: impl FnOnce(&mut Node),
    ) {
        let mut next = s.clone();
        change(&mut next.nodes[place]);
        next.let_go();
        steps.push(Step { who: node(place), what, next });
    }

    fn decide(
        &self,
        steps: &mut Steps,
        s: &State,
        c: usize,
        what: &'static str,
        change: impl FnOnce(&mut [(Fate, Told); 2]),
    ) {
        let mut next = s.clone();
        change(&mut next.fates[c]);
        next.let_go();
        steps.push(Step { who: coordinator(c as u8 + 1), what, next });
    }

    fn members(&self, t: usize) -> impl Iterator<Item = usize> {
        let participants = self.participants[t];
        (0..3).filter(move |place| participants[*place])
    }

    fn prepares(&self, s: &State, place: usize, t: usize, steps: &mut Steps) {
        let n = &s.nodes[place];
        if self.fence && n.answer.is_some() {
            return;
        }
        if n.records[t] != Record::None {
            return;
        }
        let base = n.records[T1];
        if t == T2 && base == Record::WasAborted {
            return;
        }
        let due = t == T2 && self.named && self.orphans_refused && self.participants[T1][place];
        if !due || base == Record::Prepared || base.commits() {
            self.at(steps, s, place, YES[t], |n| {
                (n.records[t], n.yes[t]) = (Record::Prepared, true);
            });
        }
        self.at(steps, s, place, NO[t], |n| (n.records[t], n.no[t]) = (Record::Refused, true));
    }

    fn decisions(&self, s: &State, place: usize, t: usize, steps: &mut Steps) {
        let n = &s.nodes[place];
        for (c, fates) in s.fates.iter().enumerate() {
            if c == 0 && self.fence && n.answer.is_some() {
                continue;
            }
            match (fates[t].0, n.records[t]) {
                (Fate::Commit, Record::Prepared) => {
                    self.at(steps, s, place, COMMITS[t], |n| n.records[t] = Record::Committed);
                }
                (Fate::Abort, Record::None | Record::Prepared | Record::Refused) => {
                    self.at(steps, s, place, ABORTS[t], |n| {
                        n.records[t] = Record::Aborted;
                        n.aborted[t] |= c == 0;
                        let rests = t == T1 && n.records[T2] == Record::Prepared;
                        if rests && self.named && self.cascade {
                            n.records[T2] = Record::Aborted;
                        }
                    });
                }
                (Fate::Abort, Record::Aborted) if c == 0 && !n.aborted[t] => {
                    self.at(steps, s, place, ABORTS[t], |n| n.aborted[t] = true);
                }
                _ => {}
            }
        }
    }

    /// R8: what all participants have decided. Nothing rests on T2, so it may stay.
    fn forgets(&self, s: &State, place: usize, steps: &mut Steps) {
        let all = |is: fn(Record) -> bool| self.members(T1).all(|at| is(s.nodes[at].records[T1]));
        let was = match s.nodes[place].records[T1] {
            Record::Committed if all(Record::commits) => Record::WasCommitted,
            Record::Aborted | Record::Refused if all(Record::closed) => Record::WasAborted,
            _ => return,
        };
        self.at(steps, s, place, "forgets T1", |n| n.records[T1] = was);
    }

    fn first(&self, s: &State, steps: &mut Steps) {
        let all_yes = |t: usize| self.members(t).all(|at| s.nodes[at].yes[t]);
        let [(fate1, _), (fate2, _)] = s.fates[0];
        let commit = (Fate::Commit, Told::Ok);
        if fate1 == Fate::Open && all_yes(T1) {
            self.decide(steps, s, 0, "has all yes: tells T1 ok", |fates| fates[T1] = commit);
        }
        let its_turn = fate1 == Fate::Commit || !self.in_order && fate1 == Fate::Open;
        if fate2 == Fate::Open && its_turn && all_yes(T2) {
            self.decide(steps, s, 0, "has all yes: tells T2 ok", |fates| fates[T2] = commit);
        }
        if fate1 == Fate::Open {
            self.decide(steps, s, 0, "aborts T1, and T2 with it", |fates| {
                fates[T1].0 = Fate::Abort;
                if fates[T2].0 == Fate::Open {
                    fates[T2].0 = Fate::Abort;
                }
            });
        }
        if fate2 == Fate::Open {
            self.decide(steps, s, 0, "aborts T2", |fates| fates[T2].0 = Fate::Abort);
        }
        for (t, what) in [(T1, "tells T1 aborted"), (T2, "tells T2 aborted")] {
            let final_at = |at: usize| s.nodes[at].aborted[t] || s.nodes[at].no[t];
            if s.fates[0][t] == (Fate::Abort, Told::Nothing) && self.members(t).all(final_at) {
                self.decide(steps, s, 0, what, |fates| fates[t].1 = Told::Aborted);
            }
        }
    }

    fn successor(&self, s: &State, steps: &mut Steps) {
        if s.nodes.iter().filter(|n| n.answer.is_some()).count() < 2 {
            return;
        }
        for t in [T1, T2] {
            if s.fates[1][t].0 == Fate::Open
                && let Some(fate) = self.fate(s, t)
            {
                let told = if fate == Fate::Commit { Told::Ok } else { Told::Nothing };
                let what = if fate == Fate::Commit { RECOVERS[t] } else { DROPS[t] };
                self.decide(steps, s, 1, what, |fates| fates[t] = (fate, told));
            }
        }
    }

    /// R6, for one transaction, from what the nodes have answered so far.
    fn fate(&self, s: &State, t: usize) -> Option<Fate> {
        let had = |at: usize, t: usize| s.nodes[at].answer.map(|had| had[t]);
        let reported = |t: usize| {
            let shows = |had: Record| {
                !matches!(had, Record::None | Record::WasAborted | Record::WasCommitted)
            };
            self.members(t).any(|at| had(at, t).is_some_and(shows))
        };
        if !reported(t) {
            return None;
        }
        // Without the record's list it asks only where the key that it looks for lives: y.
        let asked = self.members(t).filter(|at| self.whole_record || t == T1 || *at > 0);
        let seen: Vec<Option<Record>> = asked.map(|at| had(at, t)).collect();
        if seen.contains(&Some(Record::Committed)) {
            return Some(Fate::Commit);
        }
        let without = |had: &Option<Record>| {
            had.is_some_and(|had| !matches!(had, Record::Prepared | Record::Committed))
        };
        if seen.iter().any(without) {
            return Some(Fate::Abort);
        }
        if t == T2 && self.named {
            match s.fates[1][T1].0 {
                Fate::Abort => return Some(Fate::Abort),
                Fate::Open if reported(T1) => return None,
                _ => {}
            }
        }
        seen.iter().all(Option::is_some).then_some(Fate::Commit)
    }
}

const YES: [&str; 2] = ["prepares T1, votes yes", "prepares T2, votes yes"];
const NO: [&str; 2] = ["refuses T1, votes no", "refuses T2, votes no"];
const COMMITS: [&str; 2] = ["commits T1", "commits T2"];
const ABORTS: [&str; 2] = ["aborts T1 durably", "aborts T2 durably"];
const RECOVERS: [&str; 2] = ["finds T1 committed: tells ok", "finds T2 committed: tells ok"];
const DROPS: [&str; 2] = ["decides to abort T1", "decides to abort T2"];

impl Spec for Keys {
    type State = State;

    fn start(&self) -> State {
        let node = Node {
            records: [Record::None; 2],
            yes: [false; 2],
            no: [false; 2],
            aborted: [false; 2],
            answer: None,
        };
        let open = (Fate::Open, Told::Nothing);
        State { nodes: [node; 3], fates: [[open; 2]; 2] }
    }

    fn steps(&self, s: &State, steps: &mut Steps) {
        for t in [T1, T2] {
            for place in self.members(t) {
                self.prepares(s, place, t, steps);
                self.decisions(s, place, t, steps);
            }
        }
        for place in self.members(T1) {
            self.forgets(s, place, steps);
        }
        for (place, n) in s.nodes.iter().enumerate() {
            if n.answer.is_none() {
                let what = "answers C2 with all that it holds";
                self.at(steps, s, place, what, |n| n.answer = Some(n.records));
            }
        }
        self.first(s, steps);
        self.successor(s, steps);
    }

    fn wrong(&self, s: &State) -> Option<&'static str> {
        let told = |t: usize, what: Told| s.fates.iter().any(|fates| fates[t].1 == what);
        let any = |t: usize, is: fn(Record) -> bool| s.nodes.iter().any(|n| is(n.records[t]));
        for t in [T1, T2] {
            let commits = any(t, Record::commits) || told(t, Told::Ok);
            if any(t, Record::commits) && any(t, Record::closed) {
                return Some("one participant has half of it, another will never have the rest");
            }
            if told(t, Told::Ok) && any(t, Record::closed) {
                return Some("an acknowledged write is aborted at a participant");
            }
            if told(t, Told::Aborted) && commits {
                return Some("a client was told aborted, and it is committed");
            }
        }
        let dropped = any(T1, Record::closed) || told(T1, Told::Aborted);
        if dropped && (any(T2, Record::commits) || told(T2, Told::Ok)) {
            return Some("T2 is committed, and rests on T1, which is not");
        }
        None
    }

    fn outcomes(&self) -> Vec<Outcome<State>> {
        vec![
            ("both committed by C1", |s| s.fates[0].iter().all(|(_, told)| *told == Told::Ok)),
            ("both committed by C2", |s| s.fates[1].iter().all(|(_, told)| *told == Told::Ok)),
            ("both aborted", |s| s.fates[0].iter().all(|(_, told)| *told == Told::Aborted)),
            ("T1 committed, T2 aborted, by C2", |s| {
                s.fates[1][T1].0 == Fate::Commit && s.fates[1][T2].0 == Fate::Abort
            }),
            ("T1 aborted and forgotten", |s| {
                s.nodes[0].records[T1] == Record::WasAborted
                    && s.nodes[1].records[T1] == Record::WasAborted
            }),
        ]
    }
}

#[test]
fn two_keys_with_all_rules() {
    holds("two keys, T2 rests on T1", &ALL);
}

#[test]
fn two_keys_need_each_rule() {
    breaks("R1, the record names all participants", &Keys { whole_record: false, ..ALL });
    breaks("R2, the fence, with two keys", &Keys { fence: false, ..ALL });
    breaks("R12, decisions in the order of ids", &Keys { in_order: false, ..ALL });
    breaks("H18, the record names what it rests on", &Keys { named: false, ..ALL });
    breaks("H18, refused where that is missing", &Keys { orphans_refused: false, ..ALL });
    breaks("H18, an abort takes along what rests on it", &Keys { cascade: false, ..ALL });
}
