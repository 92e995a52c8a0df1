//! A transaction as messages between its client, the coordinator and its nodes.
//!
//! Times are the coordinator's, from the request's arrival. What a node says of itself are
//! durations: they stand in its lane without a time. Each step has a sentence that says what it is.

use protocol::event::{Decide, NodeUs, Txn, Vote, VoteState};

use crate::console::look::Tone;
use crate::console::model::Model;
use crate::console::model::clock::micros;
use crate::console::widgets::ladder::{Happening, Lane, Step};

use super::path::whole_us;
use super::rows::{Fate, Row, hindrance, is_gone, node_tone};
use super::words;

const CLIENT: usize = 0;
const COORDINATOR: usize = 1;
/// Lanes of others than nodes.
const NO_NODES: usize = 2;
/// Columns that a ladder needs: of times and what is right of its last lane, and of each lane.
const SIDES: u16 = 26;
const LANE: (u16, u16) = (12, 24);
/// Columns left of a note in the first lane: of the times and around the lane.
const NOTE: u16 = 14;
/// Columns right of the last lane, at least.
const TAIL: u16 = 11;

/// The messages of a transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Ladder {
    /// Its parties.
    pub(super) lanes: Vec<Lane>,
    /// What happened.
    pub(super) steps: Vec<Step>,
    /// What each step means.
    pub(super) why: Vec<String>,
    /// The unit of its times.
    pub(super) unit: &'static str,
    /// Nodes for which there is no room.
    pub(super) left_out: usize,
}

/// A step with when it was, and what goes first of what was at the same time.
struct Timed {
    us: Option<u64>,
    rank: u8,
    what: Happening,
    why: String,
    shows_time: bool,
}

struct Drawing<'a> {
    row: &'a Row<'a>,
    txn: &'a Txn,
    model: &'a Model,
    votes: Vec<&'a Vote>,
    columns: u16,
    timed: Vec<Timed>,
}

/// The messages of a transaction for so many columns; none where they were not told.
pub(super) fn ladder(row: &Row<'_>, model: &Model, columns: u16) -> Option<Ladder> {
    let txn = row.txn()?;
    let most = usize::from((columns.saturating_sub(SIDES) / LANE.0).max(2)) + 1 - NO_NODES;
    let votes = chosen(txn, most);
    let left_out = txn.votes.len() - votes.len();
    let mut drawing = Drawing { row, txn, model, votes, columns, timed: Vec::new() };
    drawing.request();
    for at in 0..drawing.votes.len() {
        drawing.node(at);
    }
    drawing.outcome();
    Some(drawing.finished(left_out))
}

/// Those of its nodes that explain most: the silent, then the slow.
fn chosen(txn: &Txn, most: usize) -> Vec<&Vote> {
    let mut slow: Vec<(usize, &Vote)> = txn.votes.iter().enumerate().collect();
    slow.sort_by_key(|(_, vote)| std::cmp::Reverse(vote.recv_us.unwrap_or(u64::MAX)));
    slow.truncate(most.max(1));
    slow.sort_by_key(|(at, _)| *at);
    slow.into_iter().map(|(_, vote)| vote).collect()
}

fn message(from: usize, to: usize, text: impl Into<String>) -> Happening {
    Happening::Message { from, to, text: text.into(), lost: false }
}

fn note(lane: usize, text: impl Into<String>, tone: Tone) -> Happening {
    Happening::Note { lane, text: text.into(), tone }
}

/// What a node did, in so many columns, and what that means.
fn worked(NodeUs { queue, append, sync }: NodeUs, columns: u16) -> (String, String) {
    let long = format!("queue {queue}, append {append}, sync {sync} us");
    let why = format!(
        "How long it took the node, by the node's clock: {long}. When it began is not known."
    );
    let short = format!("{queue}+{append}+{sync}us");
    let sum = queue.saturating_add(append).saturating_add(sync);
    let fits = |text: &String| text.len() <= usize::from(columns);
    let text = [long, short].into_iter().find(fits);
    (text.unwrap_or_else(|| format!("{} work", micros(sum))), why)
}

fn wait(lane: usize, text: impl Into<String>) -> Happening {
    Happening::Wait { lane, text: text.into() }
}

impl Drawing<'_> {
    fn add(&mut self, us: Option<u64>, rank: u8, what: Happening, why: impl Into<String>) {
        self.timed.push(Timed { us, rank, what, why: why.into(), shows_time: true });
    }

    /// A row that belongs to the one after it, and has no time of its own.
    fn add_timeless(&mut self, us: Option<u64>, rank: u8, what: Happening, why: &str) {
        self.timed.push(Timed { us, rank, what, why: why.into(), shows_time: false });
    }

    /// Columns right of a lane, at least: lanes lie as far apart as there is room, within bounds.
    fn room(&self, lane: usize) -> u16 {
        let of = |lanes: usize, columns: u16| {
            u16::try_from(lanes).unwrap_or(u16::MAX).saturating_mul(columns)
        };
        let gaps = (self.votes.len() + NO_NODES - 1).saturating_sub(lane);
        let apart = self.columns.saturating_sub(of(lane, LANE.1).saturating_add(NOTE));
        of(gaps, LANE.0).saturating_add(TAIL).max(apart)
    }

    fn is_open(&self) -> bool {
        matches!(self.row.fate, Fate::InFlight | Fate::InDoubt)
    }

    fn request(&mut self) {
        let us = self.txn.us;
        let op = self.txn.op.clone();
        let why =
            "The request arrives. Times at the left are the coordinator's, counted from here.";
        self.add(Some(0), 0, message(CLIENT, COORDINATOR, op), why);
        let formed = us.batch_formed;
        match self.txn.waited_for {
            Some(other) if formed != Some(0) => {
                let why = format!(
                    "{other} writes one of its keys and came first: this one stands behind it in \
                     the queue of that key."
                );
                self.add(Some(0), 1, wait(COORDINATOR, format!("waits for {other}")), why);
            }
            Some(other) => {
                let why = format!(
                    "{other} writes one of its keys and is not decided: this one is sent right \
                     behind it, and can only be committed if that one is."
                );
                self.add(Some(0), 1, wait(COORDINATOR, format!("right behind {other}")), why);
            }
            None => {}
        }
        match formed {
            Some(formed) => {
                let text = format!("its turn: id {}", self.row.id());
                let why = "It is evaluated: what it writes is settled, it has its id, and it is \
                           handed to the links of all its nodes in one step.";
                self.add(Some(formed), 2, note(COORDINATOR, text, Tone::Info), why);
            }
            None if self.is_open() => {
                self.add(None, 2, wait(COORDINATOR, "in line for its keys"), "Not evaluated yet.");
            }
            None => {
                let why = "It was never handed to a node: nothing was or will be written.";
                let text = "refused: no node was sent anything";
                self.add(us.answered, 2, note(COORDINATOR, text, Tone::Warn), why);
            }
        }
    }

    fn node(&mut self, at: usize) {
        let (vote, lane) = (self.votes[at], at + NO_NODES);
        let name = vote.node.as_str();
        if self.txn.us.batch_formed.is_none() {
            return;
        }
        let prepare = message(COORDINATOR, lane, "prepare");
        if let Some(sent) = vote.sent_us {
            let why = format!(
                "{name} is sent what it shall write, with the names of all participants. It may \
                 hold it from here on, whatever becomes of its connection."
            );
            self.add(Some(sent), 3, prepare, why);
        } else if vote.recv_us.is_none() && self.is_open() {
            let why = format!("It waits in the coordinator's link to {name}.");
            self.add(None, 3, wait(lane, "not sent yet"), why);
        }
        match vote.recv_us {
            Some(recv) => self.voted(vote, lane, recv),
            None => self.silent(vote, lane),
        }
        let decide = self.txn.decides.iter().find(|decide| decide.node == vote.node);
        if let Some(decide) = decide {
            self.decided(decide, lane);
        }
    }

    fn voted(&mut self, vote: &Vote, lane: usize, recv: u64) {
        let name = vote.node.as_str();
        if let Some(us) = vote.node_us {
            let (text, why) = worked(us, self.room(lane));
            self.add_timeless(Some(recv), 4, note(lane, text, Tone::Dim), &why);
        }
        let text = words::vote(vote.vote);
        let why = format!("{name} {}.", words::proves(vote.vote));
        self.add(Some(recv), 5, message(lane, COORDINATOR, text), why);
    }

    fn silent(&mut self, vote: &Vote, lane: usize) {
        let name = vote.node.as_str();
        if !self.is_open() {
            let (text, tone, why) = match vote.vote {
                VoteState::Yes => ("reported it", Tone::Good, "It told so when it came back."),
                VoteState::No => ("refused it", Tone::Bad, "It told so when it came back."),
                _ => ("never voted", Tone::Dim, "Its vote was not needed, or never came."),
            };
            let last = self.txn.us.last_vote.or(self.txn.us.answered);
            return self.add_timeless(last, 5, note(lane, text, tone), why);
        }
        let hindrance = hindrance(self.model, name);
        let why = format!("{name} {}.", words::proves(vote.vote));
        if is_gone(self.model, name) {
            let lost = Happening::Message {
                from: lane,
                to: COORDINATOR,
                text: "no vote".into(),
                lost: true,
            };
            self.add(None, 5, lost, why.clone());
        }
        if hindrance.is_some() || vote.sent_us.is_some() {
            let text = hindrance.unwrap_or_else(|| "has not voted".into());
            self.add(None, 6, wait(lane, text), why.clone());
        }
        self.add(None, 7, wait(COORDINATOR, format!("waits for the vote of {name}")), why);
    }

    fn decided(&mut self, decide: &Decide, lane: usize) {
        let name = decide.node.as_str();
        let aborted = self.row.fate == Fate::Aborted;
        // Of an abort it is waited for before the answer, of a commit it is not.
        let (sent_rank, confirmed_rank) = if aborted { (7, 7) } else { (10, 11) };
        if let Some(sent) = decide.sent_us {
            let (text, why) = match aborted {
                true => ("abort", format!("{name} holds it and is told to drop it.")),
                false => (
                    "commit",
                    format!(
                        "{name} is told the outcome, with the next message to it: nobody waits \
                         for that."
                    ),
                ),
            };
            self.add(Some(sent), sent_rank, message(COORDINATOR, lane, text), why);
        }
        if let Some(confirmed) = decide.confirmed_us {
            let why = format!("{name} has the outcome durably, and will not ask again.");
            self.add(Some(confirmed), confirmed_rank, message(lane, COORDINATOR, "confirm"), why);
        }
    }

    fn outcome(&mut self) {
        let us = self.txn.us;
        let decided = us.last_vote.or(us.answered);
        match self.row.fate {
            Fate::Committed if !self.txn.votes.is_empty() => {
                let text = "every participant has it durably: committed";
                let why = "This is the commit point. Nothing is logged here: that every node holds \
                           it is what makes it committed, also for the next coordinator.";
                self.add(decided, 6, note(COORDINATOR, text, Tone::Good), why);
            }
            Fate::Aborted => {
                let no = self.txn.votes.iter().filter(|vote| vote.vote == VoteState::No);
                if let Some(first) = no.filter_map(|vote| vote.recv_us).min() {
                    let why = "One durable no is enough for it never to be committed. Its client \
                               is told when no other node holds it any more either.";
                    let text = "a no: it can never be committed";
                    self.add(Some(first), 6, note(COORDINATOR, text, Tone::Bad), why);
                }
                let why = "Every node that could hold it has refused it, has dropped it, or cannot \
                           take it any more: only then may a client be told so.";
                let told = us.answered.max(decided);
                self.add(told, 8, note(COORDINATOR, "nobody holds it: aborted", Tone::Bad), why);
            }
            _ => {}
        }
        if let Some(cache) = us.cache {
            let why = "The coordinator's cache has the new value before anybody is told of it.";
            let at = cache.max(us.last_vote.unwrap_or(0));
            self.add(Some(at), 7, note(COORDINATOR, "cache written", Tone::Info), why);
        }
        match us.answered {
            Some(answered) => {
                let reason = self.txn.reason.as_deref();
                let text = match reason {
                    Some("unknown_outcome") => "unknown",
                    Some(code) => code,
                    None => "ok",
                };
                let why = words::told(reason);
                self.add(Some(answered), 9, message(COORDINATOR, CLIENT, text), why);
            }
            None if self.is_open() => {
                let why = "At its deadline the client is told unknown_outcome; the transaction \
                           goes on.";
                self.add(None, 9, wait(CLIENT, "waits"), why);
            }
            None => {}
        }
    }

    fn finished(mut self, left_out: usize) -> Ladder {
        let last = |one: &Timed| one.us.unwrap_or(u64::MAX);
        self.timed.sort_by_key(|one| (last(one), one.rank));
        let in_us = whole_us(self.row, self.model) < 10_000;
        let time = |us: u64| match in_us {
            true => us.to_string(),
            false => format!("{}.{}", us / 1_000, us % 1_000 / 100),
        };
        let lost_row = |lane: usize| {
            let is_lost = |what: &Happening| match what {
                Happening::Message { from, lost, .. } => *lost && *from == lane,
                _ => false,
            };
            self.timed.iter().position(|one| is_lost(&one.what))
        };
        let lane = |name: String, tone, gone_since| Lane { name, tone, gone_since };
        let mut lanes = vec![
            lane("client".into(), Tone::Text, None),
            lane("coordinator".into(), Tone::Bright, None),
        ];
        for (at, vote) in self.votes.iter().enumerate() {
            let name = vote.node.as_str();
            let title = format!("{name} {}", words::role(vote.role));
            lanes.push(lane(title, node_tone(self.model, name), lost_row(at + NO_NODES)));
        }
        let (mut steps, mut why) = (Vec::new(), Vec::new());
        for one in self.timed {
            let at = one.us.filter(|_| one.shows_time).map(time);
            steps.push(Step { at, what: one.what });
            why.push(one.why);
        }
        Ladder { lanes, steps, why, unit: if in_us { "us" } else { "ms" }, left_out }
    }
}
