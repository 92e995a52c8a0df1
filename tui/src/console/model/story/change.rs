//! The story of the membership: a node loses its place, comes back, joins, or leaves; and all that
//! is copied until every key has its copies again.
//!
//! Part of `story`. Rings tell who has a place; the copying has ended when nothing is learned any
//! more.

use protocol::event::Admin;
use protocol::status::NodeState;

use super::super::Model;
use super::super::clock::{At, Since};
use super::super::feed::FeedName;
use super::super::node::Node;
use super::{Cause, Impact, Incident, Step, Story};

/// Who asked the coordinator for this last.
pub(super) fn asked_by(model: &Model, action: &str, target: Option<&str>) -> Option<String> {
    let fits = |(feed, admin): &&(FeedName, Admin)| {
        let about = admin.target.as_deref() == target && admin.action == action;
        *feed == FeedName::Coordinator && about && admin.result == "ok"
    };
    model.admin.iter().rev().find(fits).map(|(_, admin)| admin.by.clone())
}

fn impact(share: f64) -> Impact {
    Impact { share, reads_by: Vec::new() }
}

impl Story {
    /// Another ring is in force; the incident that it is part of.
    pub(super) fn ring(&mut self, model: &Model, now: At) -> Option<u32> {
        let news = &model.moving.news;
        let copies = model.moving.is_under_way();
        let mut of = None;
        for (name, share) in &news.evicted {
            of = Some(self.evicted(model, name, *share, now));
        }
        for (name, share) in &news.returned {
            // Its eviction may not have healed: what is copied to it heals that too.
            if let Some(old) = self.open_of(name).filter(|old| old.is_eviction()) {
                old.reach(Step::Healthy, now);
            }
            of = Some(self.changes(name, Cause::Returns, *share, now, None));
        }
        for (name, share) in &news.joined {
            let by = asked_by(model, "add", None);
            of = Some(self.changes(name, Cause::Joins, *share, now, by));
        }
        for (name, share) in &news.leaving {
            let by = asked_by(model, "remove", Some(name));
            of = Some(self.changes(name, Cause::Leaves, *share, now, by));
        }
        for name in &news.left {
            if let Some(incident) = self.open_of(name) {
                incident.reach(Step::Healthy, now);
                of = Some(incident.id);
            }
        }
        if copies {
            let newest = self.open().find(|one| one.is_change()).map(|one| one.id);
            return of.or(newest);
        }
        self.copied(model, now).or(of)
    }

    /// Nothing is learned any more: what waited for that is over.
    pub(super) fn copied(&mut self, model: &Model, now: At) -> Option<u32> {
        let mut of = None;
        for incident in self.incidents.iter_mut().filter(|one| one.is_open() && one.is_change()) {
            let is_well = model.nodes.get(&incident.server).is_some_and(Node::is_well);
            let is_over = incident.is_eviction() || incident.last() >= Step::Copying && is_well;
            if is_over && incident.cause != Cause::Leaves {
                incident.reach(Step::Healthy, now);
                of = Some(incident.id);
            }
        }
        of
    }

    fn evicted(&mut self, model: &Model, name: &str, share: f64, now: At) -> u32 {
        let by = asked_by(model, "evict", Some(name));
        // One that came back meanwhile is out again.
        if let Some(old) = self.open_of(name).filter(|old| old.last() > Step::Evicted) {
            old.closed = Some(now);
        }
        let incident = self.begin(name, Cause::Evicted, now);
        if incident.cause == Cause::Evicted {
            incident.by = by;
        }
        incident.impact.get_or_insert_with(|| impact(share)).share = share;
        incident.reach(Step::Evicted, now);
        if model.moving.is_under_way() {
            incident.reach(Step::Recopying, now);
        }
        incident.id
    }

    pub(super) fn changes(
        &mut self,
        name: &str,
        cause: Cause,
        share: f64,
        since: impl Into<Since>,
        by: Option<String>,
    ) -> u32 {
        let since = since.into();
        let incident = self.begin(name, cause.clone(), since);
        if incident.is_guess() {
            incident.cause = cause;
        }
        incident.by = by.or(incident.by.take());
        incident.impact = Some(impact(share));
        incident.reach(Step::Copying, since);
        incident.id
    }

    /// A node that others have the place of runs again.
    pub(super) fn runs_again(&mut self, model: &Model, name: &str, now: At) -> Option<u32> {
        let waits = model.nodes.get(name).is_some_and(Node::is_evicted);
        let is_over = self.open_of(name).is_none();
        if !waits || !is_over {
            return None;
        }
        let incident = self.begin(name, Cause::Returns, now);
        incident.reach(Step::Started, now);
        Some(incident.id)
    }

    /// A node that changes places is not heard any more: that is another incident.
    pub(super) fn ends_change(&mut self, name: &str, to: NodeState, now: At) {
        let ends = |one: &&mut Incident| {
            one.is_change() && !one.is_eviction() && one.last() >= Step::Copying
        };
        if let Some(old) = self.open_of(name).filter(ends)
            && to == NodeState::Down
        {
            old.closed = Some(now);
        }
    }
}
