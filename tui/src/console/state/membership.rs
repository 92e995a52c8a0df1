//! Changes of the membership that a person asks for: one more node, one that leaves, one that loses
//! its place.
//!
//! Part of the console's state. First the coordinator is asked what it would do (`dry_run`); its
//! answer is said in the question, and its refusal in its place. What is asked for then holds only
//! under the ring that the answer was about.

use std::collections::BTreeMap;

use protocol::ids::{Epoch, RingNumber};
use protocol::reply::ChangePreview;

use super::overlay::{Overlay, Question, Wanted};
use super::{Console, Out};
use crate::console::action::Action;
use crate::console::effect::{Effect, MemberChange, MemberOrder};
use crate::console::model::clock::{ago, count, some};
use crate::console::model::{COORDINATOR, Model};

/// Nodes whose gains and shares are named one by one.
const NAMED_MAX: usize = 8;

impl Console {
    /// Asks the coordinator what a change would do, or for the change where nobody wants to be
    /// asked; or says why that cannot be.
    pub(super) fn change_members(&mut self, action: Action, out: &mut Out) {
        if let Some(why) = self.read_only.as_deref().or(self.model.forbids_membership()) {
            out.remark = Some(format!("read-only: {why}"));
            return;
        }
        if !self.model.is_served() {
            let why = "the coordinator does not serve now: only it changes who is a member";
            out.remark = Some(why.into());
            return;
        }
        let node = self.selected.clone();
        if action != Action::Add && node == COORDINATOR {
            let why = "the coordinator has no place on the ring: n selects a node";
            out.remark = Some(why.into());
            return;
        }
        let change = match action {
            Action::Add => MemberChange::Add,
            Action::Remove => MemberChange::Remove(node),
            _ => MemberChange::Evict(node),
        };
        let ring = ring_number(&self.model.ring.number).filter(|_| self.confirm);
        let order = MemberOrder { change, ring, dry_run: self.confirm };
        self.order_members(order, out);
    }

    /// Has the coordinator do something.
    pub(super) fn order_members(&mut self, order: MemberOrder, out: &mut Out) {
        let words = order.words();
        // Whoever is impatient asks once.
        if !self.pending.contains(&words) {
            self.pending.push(words);
            out.effect(Effect::Member(order));
        }
    }

    /// What came of it: a question, a remark.
    pub(super) fn members_changed(
        &mut self,
        order: &MemberOrder,
        result: &Result<Option<Box<ChangePreview>>, String>,
    ) {
        let words = order.words();
        self.pending.retain(|pending| *pending != words);
        if let Ok(Some(preview)) = result {
            self.preview = Some(preview.clone());
        }
        match result {
            Err(why) => self.remark(format!("{}: {why}", order.change.words())),
            Ok(_) if !order.dry_run => {
                self.remark(format!("{} has begun", order.change.words()));
            }
            // Whoever looks at something else by now is not asked: a key might answer it.
            Ok(_) if self.overlay.is_some() => {}
            Ok(preview) => {
                let said = said(&self.model, &order.change, preview.as_deref());
                let title = match &order.change {
                    MemberChange::Add => "Add a node?".into(),
                    MemberChange::Remove(node) => format!("Remove {node} for good?"),
                    MemberChange::Evict(node) => format!("Evict {node}?"),
                };
                let order = MemberOrder { dry_run: false, ..order.clone() };
                let action = Wanted::Member(order);
                self.overlay = Some(Overlay::Ask(Question { action, title, said, yes: false }));
            }
        }
    }

    /// Whether who is a member may be changed from here, as things are.
    pub fn may_change_members(&self) -> bool {
        let is_allowed = self.read_only.is_none() && self.model.forbids_membership().is_none();
        is_allowed && self.model.is_served()
    }
}

/// A ring's number, read back.
fn ring_number(text: &str) -> Option<RingNumber> {
    let (epoch, counter) = text.split_once('.')?;
    Some(RingNumber { epoch: Epoch(epoch.parse().ok()?), counter: counter.parse().ok()? })
}

/// What a change would mean, a sentence a line: the last one says what happens next.
fn said(model: &Model, change: &MemberChange, preview: Option<&ChangePreview>) -> Vec<String> {
    let mut said = Vec::new();
    match change {
        MemberChange::Add => {
            said.push("A node is started, and copies its part from the others.".into());
        }
        MemberChange::Remove(node) => said.push(format!(
            "{node} gives away what it holds; then its process ends and is not started again."
        )),
        MemberChange::Evict(node) => {
            said.push(format!("Others get the place of {node} at once, and copy what it held."));
            if model.nodes.get(node).is_some_and(|known| known.is_well()) && !model.is_paused(node)
            {
                said.push(format!("{node} is well: nothing is gained by it, and a copy less."));
            }
        }
    }
    said.extend(preview.map(previewed).unwrap_or_default());
    said.push(
        match change {
            MemberChange::Evict(_) => {
                "Updates flow meanwhile. It gets a place again when it is back."
            }
            _ => "Reads and updates go on meanwhile. `piazza admin cancel` leads back.",
        }
        .into(),
    );
    said
}

/// What the coordinator says that it would do.
fn previewed(preview: &ChangePreview) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let known = |keys: u64| format!("To copy: about {}", some(keys, "key"));
    let keys = preview.keys.map_or_else(|| "To copy: an unknown number of keys".to_owned(), known);
    let mut said = vec![format!(
        "{keys}, in {}; {} of the keys get another primary.",
        some(preview.arcs, "stretch"),
        percent(preview.primaries_moved)
    )];
    if let Some(ms) = preview.eta_ms.filter(|_| preview.arcs > 0) {
        said.push(format!("That takes at least {}, longer while clients are served.", ago(ms)));
    }
    let mut gains: BTreeMap<&str, u64> = BTreeMap::new();
    for moved in &preview.moves {
        let gain = moved.gain.as_ref().map_or("the new node", |node| node.as_str());
        let keys = gains.entry(gain).or_default();
        *keys = keys.saturating_add(moved.keys.unwrap_or(0));
    }
    // Of many moves only some are told: their sums would be wrong.
    let all = preview.moves.len() as u64 == preview.arcs && preview.keys.is_some();
    if !gains.is_empty() && all {
        let gains: Vec<String> = gains
            .iter()
            .take(NAMED_MAX)
            .map(|(node, keys)| format!("{node} about {}", count(*keys)))
            .collect();
        said.push(format!("Who gets them: {}.", gains.join(", ")));
    }
    if preview.one_copy > 0.0 {
        let part = percent(preview.one_copy);
        said.push(format!("Until then {part} of the keys have one complete copy only."));
    }
    let shares = shares(preview);
    if !shares.is_empty() {
        said.push(format!("Shares: {}.", shares.join(", ")));
    }
    if preview.max_over_mean > 0.0 {
        said.push(format!(
            "Afterwards the largest share is {:.2} of the mean.",
            preview.max_over_mean
        ));
    }
    for other in &preview.compared {
        said.push(format!(
            "With {}: {} get another primary, the largest share is {:.2} of the mean.",
            other.placement,
            percent(other.primaries_moved),
            other.max_over_mean
        ));
    }
    said
}

/// Each node's share before and after, where they differ.
fn shares(preview: &ChangePreview) -> Vec<String> {
    let (before, after) = (&preview.shares_before, &preview.shares_after);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let of = |shares: &BTreeMap<String, f64>, name: &String| {
        (shares.get(name).copied().unwrap_or(0.0) * 100.0).round()
    };
    let changed = names.into_iter().filter(|name| of(before, name) != of(after, name));
    let told =
        changed.map(|name| format!("{name} {:.0} to {:.0} %", of(before, name), of(after, name)));
    told.take(NAMED_MAX).collect()
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
