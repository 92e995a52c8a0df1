//! How each thing that comes in changes the model.
//!
//! The loop's only way into the model. Never fails, whatever comes and in whatever order.

use protocol::event::{Admin, Body, Event, ProcsSnapshot, RingEpoch, Snapshot};
use protocol::ids::Epoch;
use protocol::status::{CoordinatorState, NodeState};

use super::clock::At;
use super::feed::{Fed, FeedName, FeedState};
use super::moving::News;
use super::node::{Node, Place, is_missed_by_nobody};
use super::record::What;
use super::ring::Ring;
use super::{COORDINATOR, Model, SERVERS_MAX};

/// What administrators did that is kept.
const ADMIN_MAX: usize = 50;

impl Model {
    /// Takes what reached the console at `now`; an event happened then or before.
    pub fn apply(&mut self, now: At, fed: &Fed) {
        self.now = self.now.max(now);
        let now = self.now;
        match fed {
            Fed::Link(name, state) => self.link(now, *name, state),
            Fed::Role(name, role) => self.feed_mut(*name).role = Some(*role),
            Fed::Ended => self.has_ended = true,
            Fed::Dropped(name, count) => {
                self.feed_mut(*name).drop_more([("console".to_owned(), *count)]);
            }
            Fed::Event(name, event) => {
                let is_first = matches!(event.body, Body::Snapshot(_) | Body::ProcsSnapshot(_));
                if let Some(at) = self.feed_mut(*name).take(event, is_first, now) {
                    self.event(at, *name, event);
                }
            }
        }
    }

    /// It is `now`, whether anything came or not.
    pub fn tick(&mut self, now: At) {
        if self.has_ended {
            return;
        }
        self.now = self.now.max(now);
        self.coordinator_feed.tick(now);
        self.supervisor_feed.tick(now);
        if self.coordinator_feed.is_live() && self.stale_ms().is_some() {
            let began = self.coordinator_feed.last.unwrap_or(now);
            self.story.coordinator_silent(began, now);
        }
    }

    fn feed_mut(&mut self, name: FeedName) -> &mut super::feed::Feed {
        match name {
            FeedName::Coordinator => &mut self.coordinator_feed,
            FeedName::Supervisor => &mut self.supervisor_feed,
        }
    }

    fn link(&mut self, now: At, name: FeedName, state: &FeedState) {
        let changed = self.feed(name).state != *state;
        self.feed_mut(name).link(state, now);
        if !changed {
            return;
        }
        let incident = self.story.link(name, state, now);
        self.record.push(now, name, What::Link(state.clone()), incident);
    }

    /// Takes what happened at `at`.
    fn event(&mut self, at: At, name: FeedName, event: &Event) {
        match name {
            FeedName::Coordinator => self.coordinator_told(at, event),
            FeedName::Supervisor => self.supervisor_told(at, event),
        }
        let incident = self.with_story(|story, model| story.event(model, name, event, at));
        self.record.push(at, name, What::Event(Box::new(event.clone())), incident);
    }

    /// The story looks at the rest of the model, and at nothing of itself through it.
    fn with_story<T>(&mut self, look: impl FnOnce(&mut super::Story, &Self) -> T) -> T {
        let mut story = std::mem::take(&mut self.story);
        let seen = look(&mut story, self);
        self.story = story;
        seen
    }

    fn coordinator_told(&mut self, now: At, event: &Event) {
        match &event.body {
            Body::Snapshot(snapshot) => self.snapshot(now, snapshot),
            Body::Heartbeat(beat) => {
                let began = self.coordinator.began.unwrap_or_default();
                let listens = began.max(self.coordinator_feed.since);
                if let Some(node) = self.node(beat.node.as_str()) {
                    node.heartbeat(beat, listens, now);
                }
            }
            Body::HeartbeatMissed(missed) => {
                // One that nobody ever told of is none.
                if let Some(node) = self.nodes.get_mut(missed.node.as_str()) {
                    node.heartbeat_missed(missed);
                }
            }
            Body::MemberState(change) => {
                self.keys_in_doubt = change.keys_in_doubt;
                if is_missed_by_nobody(change) {
                    // Whoever was evicted can be brought back.
                    if change.from == NodeState::Joining {
                        self.nodes.remove(change.node.as_str());
                    }
                } else if let Some(node) = self.node(change.node.as_str()) {
                    node.member_state(change, now);
                }
            }
            Body::MemberRecovery(step) => {
                if let Some(node) = self.node(step.node.as_str()) {
                    node.member_recovery(step);
                }
            }
            Body::Copies(copies) => self.copies = copies.clone(),
            Body::CoordinatorState(told) => {
                self.coordinator.told(told, event.epoch.0, now);
                if told.state == CoordinatorState::Active && told.in_doubt == 0 {
                    self.settled(event.epoch);
                }
            }
            Body::RingEpoch(told) => self.ring_in_force(told, now),
            Body::Transfer(told) => self.moving.transfer(told, now),
            Body::Divergence(told) => self.damage.told(told, now),
            Body::Txn(txn) => self.txns.finished(txn, now),
            Body::TxnOpen(open) => self.txns.opened(&open.0, now),
            Body::TxnInDoubt(told) => self.txns.in_doubt(told, now),
            Body::TxnResolved(told) => {
                self.txns.resolved(told, now);
            }
            Body::Stats(stats) => self.stats(stats, event.at_us, now),
            Body::CacheTotals(totals) => self.caches.totals(totals, event.at_us, now),
            Body::CacheSets(sets) => self.caches.window = Some((now, sets.clone())),
            Body::CacheSet(set) => self.caches.closely = Some((now, set.clone())),
            Body::CacheEvict(sweep) => self.caches.evicted(sweep, now),
            Body::Admin(admin) => self.admin_did(FeedName::Coordinator, admin),
            Body::Lagged(lagged) => self.coordinator_feed.drop_more(lagged.dropped.clone()),
            Body::Link(_) | Body::Inject(_) | Body::Proc(_) => {}
            Body::ProcsSnapshot(_) | Body::Other(_) => {}
        }
    }

    fn supervisor_told(&mut self, now: At, event: &Event) {
        match &event.body {
            Body::ProcsSnapshot(snapshot) => self.procs_snapshot(snapshot),
            Body::Proc(told) => {
                let known = self.procs.contains_key(&told.name);
                let is_new = self.procs.len() < SERVERS_MAX && !self.left.contains(&told.name);
                if known || is_new {
                    self.procs.entry(told.name.clone()).or_default().told(told, now);
                }
            }
            Body::Admin(admin) => self.admin_did(FeedName::Supervisor, admin),
            Body::Lagged(lagged) => self.supervisor_feed.drop_more(lagged.dropped.clone()),
            Body::Inject(told) => {
                if let Some(process) = self.procs.get_mut(&told.proc) {
                    process.injected(told, now);
                }
            }
            _ => {}
        }
    }

    /// Another ring is in force: who has a place now that had none, or has none any more.
    fn ring_in_force(&mut self, told: &RingEpoch, now: At) {
        let before = self.ring.shares();
        let number = format!("{}.{}", told.ring.epoch.0, told.ring.counter);
        let durable_on = told.durable_on.iter().map(|node| node.as_str().to_owned());
        self.ring = Ring::new(number, &told.points, durable_on.collect());
        self.damage.ring(&self.ring);
        let after = self.ring.shares();
        self.moving.ring(&told.moves, now);
        let mut news = News::default();
        for (name, share) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            let leaves = self.moving.loses(name);
            let (list, place) = match leaves {
                true => (&mut news.leaving, Place::Leaving),
                false => (&mut news.evicted, Place::Evicted),
            };
            list.push((name.clone(), *share));
            if let Some(node) = self.nodes.get_mut(name) {
                node.take_place(place, now);
            }
        }
        for (name, share) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            self.left.remove(name);
            let Some(node) = self.node(name).filter(|_| !before.is_empty()) else { continue };
            let is_back = node.had_lost_its_place();
            node.take_place(Place::New, now);
            let list = if is_back { &mut news.returned } else { &mut news.joined };
            list.push((name.clone(), *share));
        }
        for (name, node) in &mut self.nodes {
            let is_over = match node.place() {
                // Who waits to be added has no place that could be its own.
                Place::New => after.contains_key(name) && !self.moving.gains(name),
                Place::Leaving => !self.moving.loses(name),
                // What a snapshot told, before this ring was.
                Place::Evicted => after.contains_key(name) && before.contains_key(name),
                Place::Own => false,
            };
            if is_over && node.place() == Place::Leaving {
                news.left.push(name.clone());
            } else if is_over {
                node.take_place(Place::Own, now);
            }
        }
        for name in &news.left {
            self.nodes.remove(name);
            self.procs.remove(name);
            self.copies.uncounted.retain(|node| node.as_str() != name);
            if self.left.len() < SERVERS_MAX {
                self.left.insert(name.clone());
            }
        }
        self.moving.news = news;
    }

    /// A snapshot has all that have a place; of the others only those stay that run here.
    fn forget_nodes(&mut self, snapshot: &Snapshot) {
        let status = &snapshot.status;
        if status.coordinator.state != CoordinatorState::Active || status.ring.points.is_empty() {
            return;
        }
        let told = |name: &str| status.nodes.iter().any(|node| node.name.as_str() == name);
        let procs = &self.procs;
        self.nodes.retain(|name, node| told(name) || node.is_evicted() && procs.contains_key(name));
    }

    fn snapshot(&mut self, now: At, snapshot: &Snapshot) {
        let status = &snapshot.status;
        self.admin_found(FeedName::Coordinator, &snapshot.admin_recent);
        self.left.retain(|name| status.nodes.iter().all(|node| node.name.as_str() != name));
        self.cluster = Some(status.cluster.clone());
        self.supervisor.clone_from(&status.supervisor);
        self.lab = status.lab.is_some();
        self.coordinator.snapshot(&status.coordinator, now);
        let number = format!("{}.{}", status.ring.epoch.epoch.0, status.ring.epoch.counter);
        self.ring = Ring::new(number, &status.ring.points, Vec::new());
        for told in &status.nodes {
            if let Some(cache) = &told.cache {
                self.caches.shape(told.name.as_str(), cache);
            }
            let waits = self.waits();
            if let Some(node) = self.node(told.name.as_str()) {
                node.snapshot(told, waits, now);
            }
        }
        self.forget_nodes(snapshot);
        self.moving.snapshot(&status.changes, now);
        self.caches.shape(COORDINATOR, &status.cache);
        self.copies.by_live_copies.clone_from(&status.copies);
        self.copies.uncounted.clone_from(&status.copies_uncounted);
        self.copies.unwritable = status.copies_unwritable;
        self.keys_in_doubt = status.keys_in_doubt;
        self.damage.snapshot(&snapshot.incidents_open, now);
        self.txns.snapshot(&snapshot.txns_open, &status.txns, now);
        let nodes = &self.nodes;
        self.txns.doubts_found(|name| nodes.get(name).and_then(Node::gone_since));
        let none = status.txns.get("in_doubt").is_none_or(|count| *count == 0);
        if status.coordinator.state == CoordinatorState::Active && none {
            self.settled(status.coordinator.epoch);
        }
    }

    /// Nothing of the epochs before is in doubt, whether its end was told to us or not.
    fn settled(&mut self, epoch: Epoch) {
        self.txns.settled(epoch);
        self.story.settled(epoch);
    }

    fn procs_snapshot(&mut self, snapshot: &ProcsSnapshot) {
        self.lab |= snapshot.lab;
        self.admin_found(FeedName::Supervisor, &snapshot.admin_recent);
        self.procs.retain(|name, _| snapshot.procs.iter().any(|told| told.name == *name));
        for told in snapshot.procs.iter().take(SERVERS_MAX) {
            self.procs.entry(told.name.clone()).or_default().snapshot(told);
        }
    }

    fn stats(&mut self, stats: &protocol::event::Stats, at_us: u64, now: At) {
        self.figures.apply(stats, at_us, now);
        for (name, load) in &stats.per_node {
            if let Some(node) = self.nodes.get_mut(name) {
                node.load = *load;
            }
        }
    }

    /// What a snapshot says of a server's administrators takes the place of what was known of them.
    fn admin_found(&mut self, feed: FeedName, recent: &[Admin]) {
        self.admin.retain(|(of, _)| *of != feed);
        recent.iter().for_each(|admin| self.admin_did(feed, admin));
    }

    fn admin_did(&mut self, feed: FeedName, admin: &Admin) {
        if self.admin.len() == ADMIN_MAX {
            self.admin.remove(0);
        }
        self.admin.push((feed, admin.clone()));
    }
}
