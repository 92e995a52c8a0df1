//! Changes of membership: what administrators ask for, what begins by itself, and what is shown of
//! both.
//!
//! A change is a name for one or several steps (`rings`) and the copying between them. It is
//! running from its first step until nothing is being learned any more. One is asked for at a time;
//! another is `busy`. Evictions and returns come as they must, also while another one is running.
//!
//! * this file: what is asked for, and its first step
//! * `carried`: what another coordinator goes on with
//! * `cancel`: the way back
//! * `course`: what is shown of changes, and their ends
//!
//! Never: makes a step itself (`heal` does).

mod cancel;
mod carried;
mod course;

use std::collections::VecDeque;

use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::{MemberId, NodeName, Point, RingNumber, Uuid};
use protocol::peer::RingRecord;
use protocol::reply::{self, AdminReply};

use super::super::ring::next::{self, Newcomer};
use super::super::ring::{Ring, propose, propose_join, ring_of};
use super::super::time::Time;
use super::copying::no_room;
use super::heal::as_founded;
use super::members::Node;
use super::preview::max_over_mean;
use super::{Answer, ClientId, Coordinator, Effect, Note, Phase};

/// Changes that are shown after their end.
const ENDED_MAX: usize = 16;

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Evict(String),
    Return(String),
    Add(String),
    Remove(String),
    Rebalance,
    Scrub,
    Repair,
}

impl Kind {
    /// Whether it changes no ring.
    fn is_scrub(&self) -> bool {
        matches!(self, Self::Scrub | Self::Repair)
    }

    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Evict(_) => "evict",
            Self::Return(_) => "return",
            Self::Add(_) => "add",
            Self::Remove(_) => "remove",
            Self::Rebalance => "rebalance",
            Self::Scrub => "scrub",
            Self::Repair => "repair",
        }
    }

    /// The node that it is about, once that is known.
    pub(super) fn node(&self) -> Option<&str> {
        match self {
            Self::Evict(node) | Self::Return(node) | Self::Add(node) | Self::Remove(node) => {
                Some(node.as_str()).filter(|name| !name.is_empty())
            }
            Self::Rebalance | Self::Scrub | Self::Repair => None,
        }
    }
}

/// How far a change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Asked for; its first step is not made.
    Waiting(Option<String>),
    Running,
    /// Its steps are taken back by others; whether those are made.
    GoingBack {
        made: bool,
    },
    Done,
    Cancelled,
    /// Its end was another one.
    Failed(String),
}

impl State {
    /// An end in words.
    fn told(&self) -> String {
        match self {
            Self::Failed(why) => format!("has failed, {why},"),
            Self::Cancelled => "is cancelled".to_owned(),
            _ => "is done".to_owned(),
        }
    }
}

/// Where each member's points are.
type Places = Vec<(MemberId, Vec<Point>)>;

#[derive(Debug, Clone)]
struct Change {
    number: u64,
    kind: Kind,
    state: State,
    began: Time,
    /// An administrator asked for it: it did not begin by itself.
    asked: bool,
    /// An earlier coordinator began it; `began` is when this one went on with it.
    carried_on: bool,
    keys: u64,
    bytes: u64,
    /// The points before its first step.
    before: Places,
    /// What there is to say of its end.
    remark: Option<String>,
}

/// All that were asked for or began by themselves.
#[derive(Debug, Default)]
pub(super) struct Changes {
    last: u64,
    open: Vec<Change>,
    ended: VecDeque<Change>,
}

/// What an administrator asks of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminOp {
    /// What is to be done.
    pub action: Action,
    /// Only say what it would do.
    pub dry_run: bool,
    /// Only if this ring is in force.
    pub if_ring: Option<RingNumber>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// This node loses its place now.
    Evict(String),
    /// This node gives away what it has, and leaves.
    Remove(String),
    /// One more node.
    Add,
    /// Shares as equal as they can be.
    Rebalance,
    /// All records are read anew.
    Scrub,
    /// The same, and damaged ones are replaced by the copies of other nodes.
    Repair,
    /// This change ends, and what was done of it is taken back.
    Cancel(String),
    /// How long a silent node keeps its place, milliseconds; none: for ever.
    SetEvictAfter(Option<u64>),
    /// How fast is copied, bytes a second.
    SetCopyRate(u64),
}

/// The ring with a node that is not there yet.
fn supposed(record: &RingRecord) -> Option<RingRecord> {
    let points = propose_join(&ring_of(record), record.tokens);
    let name = NodeName::new("new").ok()?;
    let newcomer = Newcomer { uuid: Uuid(u128::MAX), name, points, had: None };
    next::with(record, newcomer).ok().map(|(next, _)| next)
}

/// Every member's points, with shares as equal as they can be: those that it has if they are.
fn balanced(record: &RingRecord) -> Vec<Vec<Point>> {
    let own: Vec<Vec<Point>> = record.members.iter().map(|member| member.points.clone()).collect();
    let equal = propose(record.members.len() as u16, record.tokens);
    let uneven = |points: &[Vec<Point>]| {
        let ids = record.members.iter().map(|member| member.id);
        let all = ids.zip(points).flat_map(|(id, own)| own.iter().map(move |point| (*point, id)));
        max_over_mean(&Ring::new(all.collect(), record.replicas))
    };
    if uneven(&own) <= uneven(&equal) + 1e-6 { own } else { equal }
}

fn places(record: &RingRecord) -> Places {
    record.members.iter().map(|member| (member.id, member.points.clone())).collect()
}

/// A coordinator has no disk: what it is told to use it forgets.
fn until_the_end() -> AdminReply {
    let note = "it holds until the coordinator ends: the next one takes what its flags say";
    AdminReply { note: Some(note.to_owned()), ..AdminReply::default() }
}

fn refused(code: ErrorCode, reason: impl Into<String>, sentence: impl Into<String>) -> ErrorReply {
    ErrorReply { reason: Some(reason.into().into()), ..ErrorReply::new(code, sentence.into()) }
}

fn busy(open: &Change) -> ErrorReply {
    let name = format!("c{}", open.number);
    let action = open.kind.action();
    let may_end = !matches!(open.state, State::GoingBack { .. });
    let cancel = may_end && open.kind.once_cancelled().is_ok();
    let or = if cancel { ", or cancel it" } else { "" };
    let sentence = format!("{name} ({action}) is running: wait for its end{or}");
    let reason = Some("another change".into());
    ErrorReply { change: Some(name), reason, ..ErrorReply::new(ErrorCode::Busy, sentence) }
}

/// What members' points were.
fn of(places: &Places, member: MemberId) -> Option<&Vec<Point>> {
    places.iter().find(|(id, _)| *id == member).map(|(_, points)| points)
}

impl Coordinator {
    /// An administrator asks for something.
    pub(super) fn on_admin(&mut self, now: Time, client: ClientId, op: AdminOp) {
        match self.administer(now, op) {
            Ok(reply) => self.reply(client, Answer::Ok(reply::object_tail(&reply))),
            Err(error) => self.reply_error(client, *error),
        }
    }

    fn administer(&mut self, now: Time, op: AdminOp) -> Result<AdminReply, Box<ErrorReply>> {
        let ring = self.record.as_ref().map(|record| record.number);
        if let Some(wanted) = op.if_ring
            && ring != Some(wanted)
        {
            let is = ring.map_or_else(
                || "none".to_owned(),
                |ring| format!("{}.{}", ring.epoch, ring.counter),
            );
            let sentence = format!("the ring in force is {is}: look at the status and ask again");
            return Err(Box::new(refused(ErrorCode::Conflict, "another ring", sentence)));
        }
        match op.action {
            Action::SetEvictAfter(_) | Action::SetCopyRate(_) if op.dry_run => {
                Ok(AdminReply::default())
            }
            Action::SetEvictAfter(after_ms) => {
                self.evict_after_ms = after_ms;
                self.refused.clear();
                Ok(until_the_end())
            }
            Action::SetCopyRate(bytes) => {
                self.copy_bytes_per_s = bytes;
                self.pace.anew(now);
                Ok(until_the_end())
            }
            Action::Cancel(change) => self.cancel(now, &change, op.dry_run),
            Action::Scrub => self.ask_scrub(now, Kind::Scrub, op.dry_run),
            Action::Repair => self.ask_scrub(now, Kind::Repair, op.dry_run),
            action => self.ask(now, action, op.dry_run),
        }
    }

    fn ask(
        &mut self,
        now: Time,
        action: Action,
        dry_run: bool,
    ) -> Result<AdminReply, Box<ErrorReply>> {
        let Some(record) = self.record.clone().filter(|_| self.phase == Phase::Active) else {
            let sentence = "the coordinator is not active yet: ask again in a moment";
            return Err(Box::new(refused(ErrorCode::Refused, "recovering", sentence)));
        };
        let kind = self.kind_of(&record, action)?;
        let evicts = matches!(kind, Kind::Evict(_));
        let in_the_way =
            |change: &&Change| !change.kind.is_scrub() && (!evicts || change.kind == kind);
        if let Some(open) = self.changes.open.iter().find(in_the_way) {
            return Err(Box::new(busy(open)));
        }
        let next = self.first_step(now, &record, &kind)?;
        if dry_run {
            let next = match (next, &kind) {
                (None, Kind::Add(_)) => supposed(&record),
                (next, _) => next,
            };
            let preview = next.map(|next| self.preview(&record, &next, &kind));
            return Ok(AdminReply { preview, ..AdminReply::default() });
        }
        self.has_number()?;
        let number = self.open_change(now, kind.clone(), true, State::Waiting(None));
        if let (Kind::Add(_), None) = (&kind, &next) {
            self.effects.push(Effect::WantNode);
        }
        self.heal(now);
        Ok(AdminReply { change: Some(format!("c{number}")), ..AdminReply::default() })
    }

    /// All records are to be read anew.
    fn ask_scrub(
        &mut self,
        now: Time,
        kind: Kind,
        dry_run: bool,
    ) -> Result<AdminReply, Box<ErrorReply>> {
        if self.phase != Phase::Active {
            let sentence = "the coordinator is not active yet: ask again in a moment";
            return Err(Box::new(refused(ErrorCode::Refused, "recovering", sentence)));
        }
        let open = self.changes.open.iter().find(|change| change.kind.is_scrub());
        if let Some(open) = open.filter(|open| open.asked) {
            return Err(Box::new(busy(open)));
        }
        if dry_run {
            return Ok(AdminReply::default());
        }
        self.has_number()?;
        let mends = kind == Kind::Repair;
        // Where scrubs follow each other without a pause, an order would find no room.
        let overtaken = "an order takes its place and reads all anew";
        self.end_scrub_change(now, State::Cancelled, (overtaken, None));
        let number = self.open_change(now, kind, true, State::Running);
        self.begin_scrub(now, mends);
        Ok(AdminReply { change: Some(format!("c{number}")), ..AdminReply::default() })
    }

    /// A scrub that nobody asked for, if none is running.
    pub(super) fn scrub_by_itself(&mut self, now: Time) {
        let scrubs = self.changes.open.iter().any(|change| change.kind.is_scrub());
        if !scrubs && self.has_number_for_itself() {
            self.open_change(now, Kind::Scrub, false, State::Running);
            self.begin_scrub(now, false);
        }
    }

    /// The scrub that is under way, if any, has come to this end.
    pub(super) fn end_scrub_change(
        &mut self,
        now: Time,
        end: State,
        (result, remark): (&str, Option<String>),
    ) {
        let Some(place) = self.changes.open.iter().position(|change| change.kind.is_scrub()) else {
            return;
        };
        let mut change = self.changes.open.remove(place);
        if let Some(figures) = self.scrub_figures() {
            (change.keys, change.bytes) = (figures.keys, figures.bytes);
        }
        let took_ms = now.since_us(change.began) / 1_000;
        let (number, action, how) = (change.number, change.kind.action(), end.told());
        self.note(Note::Change(format!("c{number} ({action}) {how} after {took_ms} ms: {result}")));
        (change.state, change.remark) = (end, remark);
        self.end_change(change);
    }

    fn kind_of(&self, record: &RingRecord, action: Action) -> Result<Kind, Box<ErrorReply>> {
        let member = |name: &str| record.members.iter().any(|member| member.name.as_str() == name);
        let known = |name: String| {
            if member(&name) {
                return Ok(name);
            }
            let gone = record.departed.iter().any(|departed| departed.name.as_str() == name);
            let (code, sentence) = match gone {
                true => (ErrorCode::Already, format!("{name} is no member any more")),
                false => {
                    let names = record.members.iter().map(|member| member.name.as_str());
                    let names = names.collect::<Vec<_>>().join(", ");
                    (ErrorCode::NoSuchNode, format!("no node is called {name}: there are {names}"))
                }
            };
            Err(Box::new(refused(code, "no member", sentence)))
        };
        Ok(match action {
            Action::Evict(name) => Kind::Evict(known(name)?),
            Action::Remove(name) => Kind::Remove(known(name)?),
            Action::Add => {
                Kind::Add(self.candidate().map_or(String::new(), |n| n.name.to_string()))
            }
            _ => Kind::Rebalance,
        })
    }

    /// A node that is no member and waits to become one.
    fn candidate(&self) -> Option<&Node> {
        let waits = |node: &&Node| {
            let named =
                |record: &RingRecord| record.members.iter().any(|member| member.name == node.name);
            let blank = node.register.as_ref().is_some_and(|register| register.ring.is_none());
            let there = node.id.is_none() && node.report.is_some() && blank;
            there && !self.record.as_deref().is_some_and(named)
        };
        self.nodes.iter().find(waits)
    }

    /// The ring that a change begins with; `None` while a node is missing for it.
    fn first_step(
        &self,
        now: Time,
        record: &RingRecord,
        kind: &Kind,
    ) -> Result<Option<RingRecord>, Box<ErrorReply>> {
        let refuse = |why: String| Box::new(refused(ErrorCode::Refused, why.clone(), why));
        if let Some(why) = as_founded(record) {
            return Err(refuse(why.to_owned()));
        }
        if !self.may_tell(now) {
            return Err(refuse("half of the nodes do not answer".into()));
        }
        let member = |name: &str| {
            record.members.iter().find(|m| m.name.as_str() == name).map(|member| member.id)
        };
        let next = match kind {
            Kind::Evict(name) => {
                let Some(id) = member(name) else { return Ok(None) };
                return self.without(record, id).map(Some).map_err(refuse);
            }
            Kind::Return(_) | Kind::Scrub | Kind::Repair => return Ok(None),
            Kind::Remove(name) => {
                let Some(id) = member(name) else { return Ok(None) };
                let with_points = |member: &&protocol::peer::RingMember| !member.points.is_empty();
                if record.members.iter().filter(with_points).count() <= usize::from(record.replicas)
                {
                    let why = format!(
                        "with one node less there are fewer nodes than the {} copies of each key",
                        record.replicas
                    );
                    return Err(refuse(why));
                }
                next::leaving(record, id)
            }
            Kind::Add(_) => match self.candidate() {
                None => return self.why_not_add(record).map_or(Ok(None), |why| Err(refuse(why))),
                Some(node) => {
                    let points = propose_join(&ring_of(record), record.tokens);
                    let (uuid, name) = (node.uuid, node.name.clone());
                    next::with(record, Newcomer { uuid, name, points, had: None })
                        .map(|(next, _)| next)
                }
            },
            Kind::Rebalance => next::with_points(record, balanced(record)),
        };
        let name = kind.node().unwrap_or("a node");
        let next = next.map_err(|why| refuse(self.told(why, name)))?;
        let full = || {
            let names = next.learning.iter().map(|learning| learning.learner);
            let name = |id: MemberId| match Some(id) == next.incoming {
                true => self.candidate(),
                false => self.node_of(id),
            };
            names
                .filter_map(name)
                .find(|node| !node.has_room())
                .map(|node| no_room(node.name.as_str()))
        };
        match self.why_not(record, &next, None).or_else(full) {
            None => Ok(Some(next)),
            Some(why) => Err(refuse(why)),
        }
    }

    /// What stands against a node that is not there yet, and will when it is.
    fn why_not_add(&self, record: &RingRecord) -> Option<String> {
        self.why_not(record, &supposed(record)?, None)
    }

    /// The next step of what was asked for, if it can be made now.
    pub(super) fn asked_change(&mut self, now: Time, record: &RingRecord) -> Option<RingRecord> {
        let waits = |change: &Change| matches!(change.state, State::Waiting(_));
        let place = self.changes.open.iter().position(waits)?;
        let kind = self.changes.open[place].kind.clone();
        let step = self.first_step(now, record, &kind);
        let change = &mut self.changes.open[place];
        match step {
            Ok(Some(next)) => {
                change.state = State::Running;
                change.before = places(record);
                if let (Kind::Add(name), Some(id)) = (&mut change.kind, next.incoming) {
                    let member = next.members.iter().find(|member| member.id == id);
                    *name = member.map_or(String::new(), |member| member.name.to_string());
                }
                Some(next)
            }
            Ok(None) => {
                change.state = State::Waiting(Some("no node is there that could join".into()));
                None
            }
            Err(why) => {
                change.state = State::Waiting(Some(why.error.to_string()));
                None
            }
        }
    }

    /// The member whose eviction was asked for.
    pub(super) fn asked_eviction(&self) -> Option<MemberId> {
        let record = self.record.as_ref()?;
        self.changes.open.iter().find_map(|change| match (&change.kind, &change.state) {
            (Kind::Evict(name), State::Waiting(_)) => {
                record.members.iter().find(|m| m.name.as_str() == name).map(|member| member.id)
            }
            _ => None,
        })
    }

    /// Whether a node is missing for an order to add one.
    pub(super) fn wants_node(&self) -> bool {
        let waits = |change: &Change| {
            matches!((&change.kind, &change.state), (Kind::Add(_), State::Waiting(_)))
        };
        self.changes.open.iter().any(waits)
    }

    /// Whether a node that lost its place did so since an administrator wanted it, and not since
    /// it was silent.
    pub(super) fn is_out_by_order(&self, name: &str) -> bool {
        let mut open = self.changes.open.iter();
        let evicted = open.find(|c| matches!(&c.kind, Kind::Evict(node) if node == name));
        let removed = || {
            let departed = self.record.iter().flat_map(|record| record.departed());
            departed.filter(|departed| departed.name.as_str() == name).any(|gone| gone.removed)
        };
        evicted.map_or_else(removed, |change| change.asked)
    }

    fn open_change(&mut self, now: Time, kind: Kind, asked: bool, state: State) -> u64 {
        self.changes.last += 1;
        let number = self.changes.last;
        self.changes.open.push(Change {
            number,
            kind,
            state,
            began: now,
            asked,
            carried_on: false,
            keys: 0,
            bytes: 0,
            before: Places::new(),
            remark: None,
        });
        number
    }

    /// A step is made that begins a change; it may have been asked for.
    pub(super) fn change_begins(&mut self, now: Time, kind: Kind) {
        match self.changes.open.iter_mut().find(|change| change.kind == kind) {
            Some(change) => change.state = State::Running,
            None => {
                self.open_change(now, kind, false, State::Running);
            }
        }
    }

    fn end_change(&mut self, change: Change) {
        if self.changes.ended.len() == ENDED_MAX {
            self.changes.ended.pop_front();
        }
        self.changes.ended.push_back(change);
    }
}
