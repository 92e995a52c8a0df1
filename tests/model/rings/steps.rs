//! What can happen next: claims, rings, votes, decisions, copying.
//!
//! `rings` calls it. What is forbidden by a rule is left out here, and comes back when that rule is
//! switched off.

use super::super::check::{Step, coordinator, node};
use super::{
    A, B, COORDINATORS, Coordinator, Decision, InForce, NODES, Node, Record, Ring, Rings, Rules,
    Stage, State, Told, bit,
};

const DECIDED: [[&str; 3]; COORDINATORS] = [
    ["aborts it for C1", "commits it for C1", "adopts it for C1"],
    ["aborts it for C2", "commits it for C2", "adopts it for C2"],
];
const COMMITS: &str = "has all yes: tells ok";
const CHOOSES: &str = "decides commit without the evicted one, tells nobody yet";
const ABORTS: &str = "decides abort";
const INSTALLED: [&str; COORDINATORS] =
    ["has the ring of C1 durably", "has the ring of C2 durably"];
const EVICTS: [&str; 2] = ["proposes a ring without A", "proposes a ring without B"];

type Steps = Vec<Step<State>>;

fn push(
    steps: &mut Steps,
    s: &State,
    who: (char, Option<u8>),
    what: &'static str,
    change: impl FnOnce(&mut State),
) {
    let mut next = s.clone();
    change(&mut next);
    steps.push(Step { who, what, next });
}

fn by(c: usize) -> (char, Option<u8>) {
    coordinator(c as u8 + 1)
}

impl Rings {
    /// Whether the node takes what the coordinator says.
    fn listens(&self, s: &State, c: usize, place: usize) -> bool {
        let promised = s.nodes[place].promised;
        if c == 0 { !(promised && self.rules.fence) } else { promised }
    }

    pub(super) fn claims(&self, s: &State, steps: &mut Steps) {
        let second = &s.coordinators[1];
        if !second.claims {
            push(steps, s, by(1), "begins to claim", |s| s.coordinators[1].claims = true);
            return;
        }
        let known = self.members(super::FOUNDED) | bit(self.learner());
        let silent = |place: &usize| known & bit(*place) != 0 && !s.nodes[*place].promised;
        for place in (0..NODES).filter(silent) {
            push(steps, s, node(place), "promises C2 its epoch, and reports", |s| {
                s.nodes[place].promised = true;
            });
        }
        if second.ring.is_some() || second.step.is_some() {
            return;
        }
        let promised = (0..NODES).filter(|place| s.nodes[*place].promised);
        let Some(found) = promised.clone().map(|place| s.nodes[place].ring).max() else { return };
        let has = promised.map(bit).sum();
        let rule = match self.rules {
            Rules { claim_by_majority: false, .. } => InForce::OneMember,
            Rules { in_force: InForce::OneMember, .. } => InForce::BothMajorities,
            Rules { in_force, .. } => in_force,
        };
        if self.majority(found, has, rule) {
            push(steps, s, by(1), "writes the newest ring that it found anew", |s| {
                let ring = Ring { epoch: 2, counter: 0, ..found };
                s.coordinators[1].step = Some((ring, 0));
            });
        }
    }

    /// Rings are proposed, made durable, and in force.
    pub(super) fn rings(&self, s: &State, c: usize, steps: &mut Steps) {
        let Coordinator { ring, step, copied, .. } = s.coordinators[c];
        if let Some((next, has)) = step {
            let asked = self.members(next) | self.old_members(next);
            for place in (0..NODES).filter(|place| asked & !has & bit(*place) != 0) {
                if self.listens(s, c, place) && s.nodes[place].ring < next {
                    push(steps, s, node(place), INSTALLED[c], |s| {
                        s.nodes[place].ring = next;
                        s.coordinators[c].step = Some((next, has | bit(place)));
                    });
                }
            }
            if self.majority(next, has, self.rules.in_force) {
                push(steps, s, by(c), "has its ring in force", |s| {
                    let coordinator = &mut s.coordinators[c];
                    (coordinator.ring, coordinator.step) = (Some(next), None);
                });
            }
            return;
        }
        let Some(ring) = ring else { return };
        let mut propose = |what, stage, out| {
            push(steps, s, by(c), what, |s| {
                let next = Ring { epoch: ring.epoch, counter: ring.counter + 1, stage, out };
                s.coordinators[c].step = Some((next, 0));
            });
        };
        match ring.stage {
            Stage::Founded => {
                for out in [A, B] {
                    propose(EVICTS[out], Stage::Changing, Some(out));
                }
            }
            Stage::Changing if copied || !self.rules.copied_first => {
                propose("switches the learner in", Stage::Learned, ring.out);
            }
            Stage::Changing | Stage::Learned => {}
        }
    }

    pub(super) fn prepares(&self, s: &State, steps: &mut Steps) {
        let Some((owner, ring)) = s.sent else { return };
        for place in self.participants(s) {
            let Node { ring: own, record, .. } = s.nodes[place];
            let fits = own.epoch == ring.epoch && own >= ring;
            if fits && record == Record::None && self.listens(s, owner, place) {
                push(steps, s, node(place), "prepares it, votes yes", |s| {
                    s.nodes[place].record = Record::Prepared;
                });
            }
        }
    }

    /// Whether something is open in which the learner takes no part: it is over when it is decided
    /// and the source has applied that, or can never get it.
    fn is_open(&self, s: &State, c: usize, source: usize) -> bool {
        let may_come = c == 0 && s.nodes[source].record == Record::None;
        self.early && (may_come || s.nodes[source].record == Record::Prepared)
    }

    /// A write goes to the new holders, and the learner copies.
    pub(super) fn copies(&self, s: &State, c: usize, steps: &mut Steps) {
        let Coordinator { ring, portion, copied, .. } = s.coordinators[c];
        let Some(ring) = ring.filter(|ring| ring.stage != Stage::Founded) else { return };
        let (source, learner) = (ring.stays(), self.learner());
        if s.sent.is_none() {
            push(steps, s, by(c), "sends the write under its ring", |s| s.sent = Some((c, ring)));
        }
        if ring.stage == Stage::Learned || copied {
            return;
        }
        let behind = !self.is_open(s, c, source) || !self.rules.barrier;
        match portion {
            None if behind && self.listens(s, c, source) => {
                push(steps, s, node(source), "gives a portion to be copied", |s| {
                    let has = s.nodes[source].record == Record::Committed;
                    s.coordinators[c].portion = Some(has);
                });
            }
            Some(has) if self.listens(s, c, learner) => {
                push(steps, s, node(learner), "takes the portion in", |s| {
                    s.nodes[learner].old_data = true;
                    if has {
                        s.nodes[learner].record = Record::Committed;
                    } else if !self.rules.newer_wins {
                        s.nodes[learner].record = Record::None;
                    }
                    (s.coordinators[c].portion, s.coordinators[c].copied) = (None, true);
                });
            }
            _ => {}
        }
    }

    /// A coordinator decides, and tells.
    pub(super) fn decides(&self, s: &State, c: usize, steps: &mut Steps) {
        let Coordinator { ring: Some(ring), decision, told, .. } = s.coordinators[c] else {
            return;
        };
        let participants = self.participants(s);
        let stay = participants.iter().filter(|place| !ring.lacks(**place));
        let stay: Vec<&Node> = stay.map(|place| &s.nodes[*place]).collect();
        if stay.is_empty() {
            return;
        }
        let mut set = |what, decision, told| {
            push(steps, s, by(c), what, |s| {
                let coordinator = &mut s.coordinators[c];
                (coordinator.decision, coordinator.told) = (decision, told);
            });
        };
        let all = |record| stay.iter().all(|node| node.record == record);
        match (decision, told) {
            (Decision::Choice, Told::Nothing) if all(Record::Committed) => {
                set("has it durable at all that stay: tells ok", decision, Told::Ok);
            }
            (Decision::Abort, Told::Nothing) if all(Record::Closed) => {
                set("tells aborted", decision, Told::Aborted);
            }
            (Decision::Open, _) => {
                let lost = stay.len() < participants.len();
                let own = s.sent.is_some_and(|(owner, _)| owner == c);
                let yes =
                    |node: &&Node| matches!(node.record, Record::Prepared | Record::Committed);
                let fate =
                    if own { stay.iter().all(yes).then_some(true) } else { Self::fate(&stay) };
                match fate {
                    Some(true) if !lost => set(COMMITS, Decision::Commit, Told::Ok),
                    Some(true) if self.rules.survivors_decide => {
                        set(CHOOSES, Decision::Choice, Told::Nothing);
                    }
                    Some(_) => set(ABORTS, Decision::Abort, Told::Nothing),
                    None => {}
                }
                if c == 0 && self.early {
                    set(ABORTS, Decision::Abort, Told::Nothing);
                }
            }
            _ => {}
        }
    }

    /// R6, of what another coordinator has sent.
    fn fate(stay: &[&Node]) -> Option<bool> {
        let seen: Vec<Record> =
            stay.iter().filter(|node| node.promised).map(|node| node.record).collect();
        let has = |record| seen.contains(&record);
        if has(Record::Committed) {
            return Some(true);
        }
        if !has(Record::Prepared) && !has(Record::Closed) {
            return None;
        }
        if has(Record::Closed) || has(Record::None) {
            return Some(false);
        }
        (seen.len() == stay.len()).then_some(true)
    }

    /// A participant hears what was decided.
    pub(super) fn decisions(&self, s: &State, c: usize, steps: &mut Steps) {
        let Coordinator { ring, decision, .. } = s.coordinators[c];
        let stays = |place: &usize| ring.is_some_and(|ring| !ring.lacks(*place));
        for place in self.participants(s).into_iter().filter(stays) {
            let (what, record) = match (decision, s.nodes[place].record) {
                (Decision::Abort, Record::None | Record::Prepared) => (0, Record::Closed),
                (Decision::Commit | Decision::Choice, Record::Prepared) => (1, Record::Committed),
                (Decision::Commit | Decision::Choice, Record::None) => (2, Record::Committed),
                _ => continue,
            };
            if self.listens(s, c, place) {
                push(steps, s, node(place), DECIDED[c][what], |s| {
                    s.nodes[place].record = record;
                });
            }
        }
    }
}
