//! Copies that are damaged or differ, in words: which, what that means, and what mends it.
//!
//! Part of `words`, for what befalls no server but what it keeps.

use protocol::event::{Divergence, DivergenceKind};
use protocol::ids::{Key, NodeName};

use super::super::Model;
use super::super::clock::ago;
use super::super::damage::Found;
use super::words::{StepView, TOLD_AFTER_MS, Told, Weight, list};

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| node.as_str().to_owned()).collect();
    list(&names)
}

fn keys_words(keys: &[Key]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    list(&keys)
}

/// Of which node's copies something is wrong, if it is one's alone, and what: `n1`, `has ...`.
pub(in super::super) fn what_is_wrong(told: &Divergence) -> (String, String) {
    let nodes = names(&told.nodes);
    let keys = keys_words(&told.keys);
    let text = match (told.kind, told.keys.len()) {
        (DivergenceKind::Unreadable, _) => "cannot read part of its keystore".to_owned(),
        (DivergenceKind::Checksum, 0) => "has damaged records".to_owned(),
        (DivergenceKind::Checksum, 1) => format!("has a damaged record of {keys}"),
        (DivergenceKind::Checksum, n) => format!("has {n} damaged records, of {keys}"),
        (_, 0) => return (String::new(), format!("copies on {nodes} differ")),
        _ => return (String::new(), format!("the copies of {keys} on {nodes} differ")),
    };
    (nodes, text)
}

/// The same in one.
fn wrong_words(told: &Divergence) -> String {
    match what_is_wrong(told) {
        (node, text) if node.is_empty() => text,
        (node, text) => format!("{node} {text}"),
    }
}

/// What mends it, as an order to whoever reads it.
pub(in super::super) fn what_mends(kind: DivergenceKind) -> &'static str {
    match kind {
        DivergenceKind::Unreadable => "stop it, evict it, empty its directory, start it",
        DivergenceKind::Checksum => "run: piazza admin repair",
        _ => "write it again: repair cannot know which is right",
    }
}

/// The stretch of the ring, for a person.
pub(in super::super) fn range_words(told: &Divergence) -> Option<String> {
    let [(first, last)] = told.range[..] else { return None };
    Some(format!("range {:016x}-{:016x}", first.0, last.0))
}

impl Model {
    /// What is wrong with copies, the gravest first, while nothing else is.
    pub(super) fn rot(&self) -> Option<Told> {
        let found = self.damage.all().next()?;
        let told = &found.told;
        let mut headline = vec![wrong_words(told)];
        headline.extend(self.other_rot(1));
        headline.push(self.rot_means(told));
        headline.extend(self.rot_place(told));
        let chain = vec![
            StepView::Done(format!("found {} ago", found.since.words(self.now))),
            StepView::Now(what_mends(told.kind).to_owned()),
            StepView::Ahead(done_word(told.kind).to_owned()),
        ];
        let key = told.keys.first().map_or("KEY", Key::as_str);
        let look = format!("look: piazza locate {key} --copies, 6 has all that was found");
        Some(Told { weight: Weight::Alarm, headline, chain, advice: vec![look] })
    }

    /// What is wrong with a node's own copies, for its row.
    pub fn what_rots_at(&self, node: &str) -> Option<String> {
        let has = |found: &&Found| found.told.nodes.iter().any(|name| name.as_str() == node);
        let own = |found: &Found| match found.told.kind {
            DivergenceKind::Unreadable => "part of its keystore cannot be read".to_owned(),
            DivergenceKind::Checksum => match found.told.keys.len() {
                0 | 1 => "a damaged record".to_owned(),
                n => format!("{n} damaged records"),
            },
            _ => "a copy that differs".to_owned(),
        };
        let all: Vec<String> = self.damage.all().filter(has).map(own).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// What is wrong beside the first few.
    pub(super) fn other_rot(&self, skipped: usize) -> Option<String> {
        let others: Vec<&Found> = self.damage.all().skip(skipped).collect();
        match others[..] {
            [] => None,
            [only] => Some(format!("also: {}", wrong_words(&only.told))),
            [first, ..] => {
                let more = others.len() - 1;
                Some(format!("also: {}, and {more} more", wrong_words(&first.told)))
            }
        }
    }

    /// What it means for who reads.
    fn rot_means(&self, told: &Divergence) -> String {
        let has_others = self.copies_wanted() > 1;
        match (told.kind, has_others) {
            (DivergenceKind::Checksum, true) => "it is never served: other copies are",
            (DivergenceKind::Checksum, false) => "it is never served, and there is no other copy",
            (DivergenceKind::Unreadable, true) => "other copies are served",
            (DivergenceKind::Unreadable, false) => "there are no other copies",
            _ => "each is whole, so nothing says which is right",
        }
        .to_owned()
    }

    /// Where on the ring it is.
    fn rot_place(&self, told: &Divergence) -> Option<String> {
        let words = range_words(told)?;
        let [(_, last)] = told.range[..] else { return None };
        // What cannot be read may be of several arcs.
        let owner = self.ring.walk(last.0).first().map(|point| point.node.clone());
        let owner = owner.filter(|_| told.kind != DivergenceKind::Unreadable);
        Some(owner.map_or(words.clone(), |owner| format!("{words}, the arc of {owner} [2]")))
    }

    /// What was put right a moment ago, if nothing that is over was told later.
    pub(super) fn righted(&self) -> Option<Told> {
        let (at, told) = self.damage.righted()?;
        let age_ms = self.now.ms_since(*at);
        let closed = self.story.foremost().and_then(|incident| incident.closed);
        if age_ms >= TOLD_AFTER_MS || closed.is_some_and(|closed| closed > *at) || !self.is_served()
        {
            return None;
        }
        let (nodes, keys) = (names(&told.nodes), keys_words(&told.keys));
        let what = match (told.kind, told.keys.len()) {
            (DivergenceKind::Unreadable, _) => format!("{nodes} can read all of its keystore"),
            (DivergenceKind::Checksum, 0) => format!("no record of {nodes} is damaged any more"),
            (DivergenceKind::Checksum, _) => {
                format!("{nodes} has whole records of {keys} again")
            }
            (_, 0) => format!("the copies on {nodes} are alike again"),
            _ => format!("the copies of {keys} on {nodes} are alike again"),
        };
        let mut headline = vec![format!("healed: {what}, {} ago", ago(age_ms))];
        headline.extend(self.copies_words());
        let chain = ["found", done_word(told.kind)].map(|word| StepView::Done(word.to_owned()));
        let advice = vec!["look: 6 shows all of it in order".into()];
        Some(Told { weight: Weight::Healed, headline, chain: chain.into(), advice })
    }
}

fn done_word(kind: DivergenceKind) -> &'static str {
    match kind {
        DivergenceKind::Unreadable => "copied anew",
        DivergenceKind::Checksum => "whole again",
        _ => "alike again",
    }
}
