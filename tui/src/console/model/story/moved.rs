//! Changes of the membership in words: who loses a place, joins or leaves, how far the copying is.
//!
//! Part of `words`, for incidents that are over only when all is copied.

use super::super::Model;
use super::super::clock::{ago, count};
use super::super::holders::Blocked;
use super::super::servers::Process;
use super::words::{StepView, done_word};
use super::{Cause, Incident, Step};

impl Model {
    /// What an open change means, and how far it is.
    pub(super) fn change_words(&self, incident: &Incident) -> Vec<String> {
        let server = &incident.server;
        let share = incident.impact.as_ref().map(|impact| impact.share);
        let share = share.filter(|share| *share > 0.0);
        let part = share.map_or("part".into(), |share| format!("{:.0} %", share * 100.0));
        let by = ordered(self.by(incident.by.as_deref()));
        let progress = self.moving.progress(self.now).map(|progress| progress.words());
        let mut said = vec![match incident.cause {
            _ if incident.is_eviction() => {
                format!("evicted: {server}, its {part} of the keys are copied again")
            }
            Cause::Joins => format!("{server} joins{by}: it copies its {part} of the keys"),
            Cause::Leaves => {
                format!("{server} leaves{by}: others copy its {part} of the keys")
            }
            _ => format!("{server} is back: it copies what it missed"),
        }];
        if !self.moving.is_under_way() {
            said[0] = match incident.cause {
                _ if incident.is_eviction() => format!("{server} is evicted"),
                Cause::Joins => format!("{server} joins{by}"),
                Cause::Leaves => format!("{server} leaves{by}"),
                _ => format!("{server} is back: others have its place until it gets one"),
            };
        }
        said.extend(progress);
        said.push("updates flow".into());
        let told_already = matches!(incident.cause, Cause::Joins | Cause::Leaves | Cause::Returns);
        said.extend((!told_already).then(|| self.what_happened(incident)));
        said
    }

    /// What is under way and ahead in a change; `chain` has what was reached.
    pub(super) fn change_chain(&self, incident: &Incident) -> Vec<StepView> {
        let copies = matches!(incident.last(), Step::Recopying | Step::Copying);
        let share = self.moving.progress(self.now).and_then(|progress| progress.share());
        let now = match (copies, share) {
            (true, Some(share)) => format!("{:.0} % copied", share * 100.0),
            (true, None) => "its keys are copied".into(),
            (false, _) if incident.is_returning() => "waits for its place".into(),
            (false, _) => "copying".into(),
        };
        vec![StepView::Now(now), StepView::Ahead(done_word(Step::Healthy, incident))]
    }

    /// How long until a node that is away is due to lose its place, milliseconds; none: it is not
    /// counted as away, or never loses it.
    pub fn evicts_in_ms(&self, server: &str) -> Option<u64> {
        let after_ms = self.cluster.as_ref()?.evict_after_ms.filter(|ms| *ms > 0)?;
        let of = |one: &&Incident| one.server == server && !one.is_returning();
        let missed = self.story.open().find(of)?.missed_since()?;
        Some(missed.latest().plus_ms(after_ms).ms_since(self.now))
    }

    /// When a node that is away loses its place, if it does and nothing else comes first; or why it
    /// does not.
    pub(in super::super) fn evicts_words(&self, incident: &Incident) -> Option<String> {
        let process = self.procs.get(&incident.server);
        let restarts = |process: &Process| process.state == "backoff";
        let is_over = incident.is_coordinator || incident.is_returning();
        if is_over || process.is_some_and(restarts) || self.stale_ms().is_some() {
            return None;
        }
        let left_ms = self.evicts_in_ms(&incident.server)?;
        let most = if incident.missed_since()?.is_found() { "at most " } else { "" };
        Some(match (self.blocks_eviction(&incident.server), left_ms) {
            (Some(Blocked::NoCopy(holders)), _) => {
                let keys = match self.keys_unread() {
                    0 => "some keys".to_owned(),
                    keys => format!("{} keys", count(keys)),
                };
                let back = match self.can_administer() {
                    true => format!("R on {}", holders.join(" or ")),
                    false => format!("start {}", holders.join(" or ")),
                };
                format!("not safe: {keys} have no live copy, {back}")
            }
            (Some(Blocked::TooFew(there, needed)), _) => {
                format!("cannot evict: {there} of the nodes answer, {needed} must agree")
            }
            (None, 0) => "evicts as soon as that is safe".into(),
            (None, left_ms) => format!("evicts in {most}{}", ago(left_ms)),
        })
    }

    /// What has come of a change that is over.
    pub(super) fn changed_words(
        &self,
        incident: &Incident,
        lasted: &str,
        since: &str,
    ) -> Vec<String> {
        let server = &incident.server;
        let by = ordered(self.by(incident.by.as_deref()));
        match incident.cause {
            _ if incident.is_eviction() => {
                let all = self.keys_short() == 0 && self.copies.uncounted.is_empty();
                let copies = match (all, self.copies_wanted()) {
                    (true, 1) => "all keys have their copy again".to_owned(),
                    (true, copies) => format!("all keys have {copies} copies again"),
                    (false, _) => "all that it held is copied again".to_owned(),
                };
                let again = format!("{server} is evicted: R on it brings it back");
                vec![format!("healed: {copies}, after {lasted}, {since} ago"), again]
            }
            Cause::Joins => vec![format!("{server} has joined after {lasted}, {since} ago{by}")],
            Cause::Leaves => {
                vec![format!("{server} has left after {lasted}, {since} ago{by}")]
            }
            _ => vec![format!(
                "healthy: {server} is back: it got a place again in {lasted}, {since} ago"
            )],
        }
    }
}

/// Whose order it was: nothing, or `, ordered by you`.
fn ordered(by: String) -> String {
    if by.is_empty() { by } else { format!(", ordered{by}") }
}
