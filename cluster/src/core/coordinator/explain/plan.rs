//! The steps that a request would take now. Nothing is done, counted or asked for it.
//!
//! It tells the way, not the end: whether a condition would hold is a read, and reads are told only
//! of requests that are carried out (R11).

use std::collections::BTreeMap;

use protocol::event::Role;
use protocol::ids::{Key, MemberId, Once};
use protocol::reply::{COORDINATOR, Step, StepName};

use super::super::super::time::Time;
use super::super::conditions::{Change, Update};
use super::super::updates::participants_of;
use super::super::{Answer, Coordinator};

/// Steps without times.
#[derive(Default)]
struct Plan(Vec<Step>);

impl Plan {
    fn parsed() -> Self {
        let mut plan = Self::default();
        plan.here(StepName::Parse, "in its connection's own task");
        plan
    }

    fn here(&mut self, name: StepName, note: impl Into<String>) {
        self.0.push(Step { name, place: COORDINATOR.into(), us: None, note: note.into() });
    }

    fn at(&mut self, name: StepName, node: String, note: impl Into<String>) {
        self.0.push(Step { name, place: node.into(), us: None, note: note.into() });
    }
}

impl Coordinator {
    pub(super) fn plan_get(&self, now: Time, conn: u64, key: &Key) -> Vec<Step> {
        let mut plan = Plan::parsed();
        let (set, way) = self.cache.place(key.as_str());
        let own = self.has_own(conn, key);
        if own {
            let note = "behind this connection's earlier requests of the key; then, as it is now:";
            plan.here(StepName::Queue, note);
        }
        if way.is_some() {
            plan.here(StepName::CacheLookup, self.hit(key));
            plan.here(StepName::Reply, self.if_it_may_tell(now));
            return plan.0;
        }
        plan.here(StepName::CacheLookup, format!("a miss: the key is not in set {set}"));
        if self.is_in_doubt(key) {
            let note = "its last update, of an earlier coordinator, is in doubt: the read waits \
                        for its fate, at most until its deadline, then `unavailable`";
            plan.here(StepName::Queue, note);
            return plan.0;
        }
        if !own {
            plan.here(StepName::Queue, "handed to the loop; it waits for nobody else's update");
        }
        let Some(reader) = self.reader_of(key) else {
            let (reason, by) = self.why_unreadable(key);
            let by = by.map_or_else(String::new, |node| format!(", {node} for one"));
            let note = format!("{reason}{by}: it waits until its deadline, then `unavailable`");
            plan.here(StepName::Reply, note);
            return plan.0;
        };
        let note = self.why_reader(key, reader);
        plan.at(StepName::NodeRead, self.name_of(reader), note);
        plan.here(StepName::CacheUpdate, self.room_in(set));
        plan.here(StepName::Reply, self.if_it_may_tell(now));
        plan.0
    }

    pub(super) fn plan_update(&self, now: Time, update: &Update, once: Option<&Once>) -> Vec<Step> {
        let mut plan = Plan::parsed();
        let Some(ring) = &self.ring else { return plan.0 };
        match once.and_then(|once| self.repeated(once)) {
            Some(Answer::Ok(_)) => {
                let note = "its once is known: the first one's result is told, nothing is done";
                plan.here(StepName::Reply, note);
                return plan.0;
            }
            Some(_) => {
                let note = "its once is that of another request: refused as `bad_request`";
                plan.here(StepName::Reply, note);
                return plan.0;
            }
            None => {}
        }
        let participants = participants_of(ring, update);
        let repeats = once.is_some_and(|once| self.may_be_known(once, &update.writes[0].key));
        if let Some(down) = self.first_down(&participants).filter(|_| !repeats) {
            let state = self.node_of(down).map_or("away".into(), |node| node.state.to_string());
            let node = self.name_of(down);
            let note = format!("{node} is {state}, so it is refused: `replica_down`");
            plan.here(StepName::Reply, note);
            return plan.0;
        }
        let ahead = self.ahead_of(update);
        self.plan_tests(&mut plan, update, ahead);
        plan.here(StepName::Queue, waits(ahead, repeats) + self.in_series());
        let full = participants.iter().find(|m| self.node_of(**m).is_some_and(|node| node.full));
        if let Some(full) = full {
            let note = format!("{}'s disk is full: `aborted`", self.name_of(*full));
            plan.here(StepName::Reply, note);
            return plan.0;
        }
        plan.here(StepName::Batch, self.batch_note(&participants));
        self.plan_votes(&mut plan, update, participants);
        plan.here(StepName::CacheUpdate, self.cached_note(update));
        let note = if update.tests_elsewhere() {
            format!("ok if its conditions hold; {}", self.if_it_may_tell(now))
        } else {
            "ok: it is durable on all of them".to_owned()
        };
        plan.here(StepName::Reply, note);
        plan.0
    }

    /// What it tests, and whom it asks for that.
    fn plan_tests(&self, plan: &mut Plan, update: &Update, ahead: usize) {
        let tested = update.tested();
        if tested.is_empty() {
            return;
        }
        let is_cached = |key: &&Key| self.cache.lookup(key.as_str()).is_some();
        let (cached, cold): (Vec<&Key>, Vec<&Key>) = tested.iter().partition(is_cached);
        let note = match (tested.len(), cached.len()) {
            _ if ahead > 0 => "it is tested on what the updates before it leave".to_owned(),
            (1, 1) => {
                let (set, way) = self.cache.place(tested[0].as_str());
                let way = way.map_or_else(String::new, |way| format!(", way {way}"));
                format!("what it tests is in set {set}{way}, so no node is asked")
            }
            (1, _) => {
                let (set, _) = self.cache.place(tested[0].as_str());
                format!("what it tests is not in set {set}, so a node is asked")
            }
            (all, cached) => format!("of {all} keys that it tests {cached} are cached"),
        };
        plan.here(StepName::CacheLookup, note);
        if ahead > 0 {
            return;
        }
        let mut readers: BTreeMap<Option<MemberId>, Vec<&Key>> = BTreeMap::new();
        for key in cold {
            readers.entry(self.reader_of(key)).or_default().push(key);
        }
        for (reader, keys) in readers {
            let Some(reader) = reader else { continue };
            let note = match &keys[..] {
                [key] => self.why_reader(key, reader),
                keys => format!("asked for {} keys", keys.len()),
            };
            plan.at(StepName::NodeRead, self.name_of(reader), note);
        }
    }

    fn plan_votes(&self, plan: &mut Plan, update: &Update, participants: Vec<MemberId>) {
        let copies = self.record.as_ref().map_or(0, |record| record.replicas);
        let written = || update.writes.iter().map(|write| &write.key);
        let is_primary = |member: &MemberId| self.role_of(*member, written()) == Role::Primary;
        let holders = |key| self.ring.as_ref().map(|ring| ring.replicas_of(key));
        let first = written().next().and_then(holders).unwrap_or_default();
        let place = |member: &MemberId| first.iter().position(|other| other == member);
        let mut members = participants;
        members.sort_by_key(|member| {
            (!is_primary(member), place(member).unwrap_or(usize::MAX), *member)
        });
        for member in members {
            let role = match (is_primary(&member), update.writes.len()) {
                (false, _) => "a replica",
                (true, 1) => "the primary",
                (true, _) => "a primary",
            };
            let node = self.name_of(member);
            let note = format!("{role}, since K={copies}");
            plan.at(StepName::Prepare, node.clone(), note);
            plan.at(StepName::Append, node.clone(), "its group goes to the log");
            plan.at(StepName::Sync, node.clone(), "fdatasync, once a group");
            plan.at(StepName::Vote, node, "yes, when it is durable");
        }
    }

    fn batch_note(&self, participants: &[MemberId]) -> String {
        let busy = |member: &&MemberId| {
            self.node_of(**member)
                .is_some_and(|node| !node.link.takes_prepares(self.config.batches_out_max))
        };
        match participants.iter().find(busy) {
            Some(member) => {
                format!("waits for the votes of {} on the batch before", self.name_of(*member))
            }
            None => "sent at once: no batch is out at its nodes".into(),
        }
    }

    fn cached_note(&self, update: &Update) -> String {
        let key = &update.writes[0].key;
        let (set, way) = self.cache.place(key.as_str());
        match (&update.writes[0].change, way) {
            _ if update.writes.len() > 1 => "at the last yes: all keys out, then all in".into(),
            (Change::Del, Some(way)) => format!("at the last yes: out of set {set}, way {way}"),
            (Change::Del, None) => format!("at the last yes: it is not in set {set}"),
            (_, Some(way)) => format!("at the last yes: set {set}, way {way} is replaced"),
            (_, None) => format!("at the last yes: {}", self.room_in(set)),
        }
    }

    /// Where a new entry of this set would go.
    fn room_in(&self, set: u32) -> String {
        let Some(view) = self.cache.view(set) else { return String::new() };
        match (view.ways.iter().position(Option::is_none), view.next_victim) {
            (Some(way), _) => format!("into set {set}, way {way}, which is free"),
            (None, Some(way)) => format!("into set {set}, way {way}, whose entry goes"),
            (None, None) => format!("into set {set}"),
        }
    }

    /// What an update waits for beside its keys.
    pub(super) fn in_series(&self) -> &'static str {
        if self.config.serial_updates { ", and alone: one update at a time" } else { "" }
    }

    fn if_it_may_tell(&self, now: Time) -> &'static str {
        if self.may_tell(now) {
            "told under the lease"
        } else {
            "waits for the lease: half of the nodes do not answer"
        }
    }
}

/// Behind how many others it waits.
fn waits(ahead: usize, repeats: bool) -> String {
    match ahead {
        _ if repeats => "looked up by its once first, behind an update of that name".into(),
        0 => "first on its key".into(),
        1 => "behind an update of the same key".into(),
        ahead => format!("behind {ahead} updates of the same key"),
    }
}
