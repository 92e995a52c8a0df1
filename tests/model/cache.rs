//! One key, its node, and the cache in front of it while a write commits (R12): what may readers be
//! told, and in which order must the coordinator do things?
//!
//! v0 is decided; v1 is out for its votes. Connections read the cache at any moment, also between
//! two deeds of the commit; a node tells a direct reader what it has applied, and lets it wait while
//! it holds v1 prepared. Whoever asks after somebody was told v1 must not be told v0, and nobody
//! may be told v1 if it aborts. The entry may leave the cache at any time.

use super::check::{Outcome, Spec, Step, breaks, coordinator, holds};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Votes {
    Open,
    AllYes,
    Refused,
}

/// A read that missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Read {
    /// v1 had been told when it was asked.
    new_was_told: bool,
    /// The cache's set was written to since it missed.
    moved: bool,
    /// The decision was on the link before the question.
    behind_decision: bool,
    answer: Option<Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Version {
    Old,
    New,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    votes: Votes,
    /// The three deeds of a commit.
    cached: bool,
    decided: bool,
    answered: bool,
    node: Version,
    cache: Option<Version>,
    reads: [Option<Read>; 2],
    /// Somebody was told v1, by the answer to the write or by a read.
    new_told: bool,
    old_told_after: bool,
}

impl State {
    fn tell(&mut self, version: Version, new_was_told: bool) {
        self.old_told_after |= version == Version::Old && new_was_told;
        self.new_told |= version == Version::New;
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cached {
    /// R12: nothing of it before all votes are in (H26).
    after_votes: bool,
    /// R12: the cache before the decisions (H27).
    cache_first: bool,
    /// R12: the cache before the answer.
    answer_last: bool,
    /// H23: an answer fills the cache only if its set was not written to since.
    generations: bool,
    /// The core does a commit's deeds in one step, and handles a miss before or after it; only hits
    /// are told meanwhile, by the connections themselves.
    one_step: bool,
    /// A question goes behind all decisions made before it, and is answered in that order.
    reads_behind: bool,
}

const ALL: Cached = Cached {
    after_votes: true,
    cache_first: true,
    answer_last: true,
    generations: true,
    one_step: true,
    reads_behind: true,
};

type Steps = Vec<Step<State>>;

fn push(steps: &mut Steps, s: &State, what: &'static str, change: impl FnOnce(&mut State)) {
    let mut next = s.clone();
    change(&mut next);
    next.reads.sort_unstable();
    steps.push(Step { who: coordinator(1), what, next });
}

impl Cached {
    fn commit(&self, s: &State, steps: &mut Steps) {
        if s.votes == Votes::Open {
            push(steps, s, "has all yes: the commit point", |s| s.votes = Votes::AllYes);
            push(steps, s, "hears a refusal", |s| {
                s.votes = Votes::Refused;
                s.cache = s.cache.filter(|version| *version == Version::Old);
            });
        }
        let yes = s.votes == Votes::AllYes;
        if !s.cached && (yes || !self.after_votes && s.votes == Votes::Open) {
            push(steps, s, "writes v1 to the cache", |s| {
                s.cached = true;
                s.cache = Some(Version::New);
                for read in s.reads.iter_mut().flatten() {
                    read.moved = true;
                }
            });
        }
        if !s.decided && yes && (s.cached || !self.cache_first) {
            push(steps, s, "puts the decision onto the link", |s| s.decided = true);
        }
        if !s.answered && yes && (s.cached && s.decided || !self.answer_last) {
            push(steps, s, "answers ok", |s| {
                s.answered = true;
                s.new_told = true;
            });
        }
        if s.decided && s.node == Version::Old {
            push(steps, s, "has v1 applied by the node", |s| s.node = Version::New);
        }
    }

    fn read(&self, s: &State, place: usize, steps: &mut Steps) {
        match s.reads[place] {
            None if s.cache.is_none() => push(steps, s, "misses, and asks the node", |s| {
                let (new_was_told, behind_decision) = (s.new_told, s.decided);
                let read = Read { new_was_told, moved: false, behind_decision, answer: None };
                s.reads[place] = Some(read);
            }),
            Some(Read { answer: None, behind_decision, .. })
                if !(self.reads_behind && behind_decision) || s.node == Version::New =>
            {
                push(steps, s, "has a question answered by the node", |s| {
                    let answer = Some(s.node);
                    s.reads[place] = s.reads[place].map(|read| Read { answer, ..read });
                });
            }
            Some(Read { answer: Some(version), moved, new_was_told, .. }) => {
                push(steps, s, "tells what the node answered", |s| {
                    s.reads[place] = None;
                    if !(moved && self.generations) {
                        s.cache = Some(version);
                    }
                    s.tell(version, new_was_told);
                });
            }
            _ => {}
        }
    }
}

impl Spec for Cached {
    type State = State;

    fn start(&self) -> State {
        State {
            votes: Votes::Open,
            cached: false,
            decided: false,
            answered: false,
            node: Version::Old,
            cache: Some(Version::Old),
            reads: [None; 2],
            new_told: false,
            old_told_after: false,
        }
    }

    fn steps(&self, s: &State, steps: &mut Steps) {
        self.commit(s, steps);
        let begun = s.cached || s.decided || s.answered;
        let within = begun && !(s.cached && s.decided && s.answered);
        for place in 0..s.reads.len() {
            if !(self.one_step && within) {
                self.read(s, place, steps);
            }
        }
        if s.node == Version::New {
            push(steps, s, "has a direct reader told v1 by the node", |s| s.new_told = true);
        }
        if let Some(version) = s.cache {
            push(steps, s, "answers a get from the cache", |s| s.tell(version, s.new_told));
            push(steps, s, "drops the entry for another", |s| s.cache = None);
        }
    }

    fn wrong(&self, s: &State) -> Option<&'static str> {
        if s.old_told_after {
            return Some("somebody is told v0 who asked after v1 was told");
        }
        let dirty = s.new_told && s.votes == Votes::Refused;
        dirty.then_some("somebody was told v1, and it is aborted")
    }

    fn outcomes(&self) -> Vec<Outcome<State>> {
        vec![
            ("v1 is answered and cached", |s| s.answered && s.cache == Some(Version::New)),
            ("v1 is refused and v0 cached", |s| {
                s.votes == Votes::Refused && s.cache == Some(Version::Old)
            }),
            ("an answer of v0 is late", |s| {
                let late = |read: &Read| read.moved && read.answer == Some(Version::Old);
                s.answered && s.reads.iter().flatten().any(late)
            }),
        ]
    }
}

#[test]
fn a_cache_with_all_rules() {
    holds("a cache, a write, and readers", &ALL);
}

#[test]
fn a_cache_needs_each_rule() {
    breaks("R12, nothing before all votes are in", &Cached { after_votes: false, ..ALL });
    breaks("R12, the cache before the decisions", &Cached { cache_first: false, ..ALL });
    breaks("R12, the answer last", &Cached { answer_last: false, ..ALL });
    breaks("H23, generations", &Cached { generations: false, ..ALL });
    breaks("R12, one step for those who miss", &Cached { one_step: false, ..ALL });
    breaks("questions go behind decisions", &Cached { reads_behind: false, ..ALL });
}
