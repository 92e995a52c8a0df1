//! A record that rots: when all has come to rest, one node's copy of a key becomes another one,
//! behind the store's back. It must be found, by the scrub that comes by itself and the comparison
//! behind it; a damaged one must be mended when that is ordered, a whole one that differs never
//! touched.
//!
//! Everywhere else, whatever else goes wrong, nothing of the kind may be said: copies that nobody
//! changed are alike at every comparison.

use cluster::core::coordinator::Action;
use cluster::core::ring::ring_of;
use cluster::storage::keystore::{Keystore, Stored};
use protocol::ids::Key;

use super::coordinator::key_of;
use super::plan::MS;
use super::world::{Failure, World};

/// A scrub begins every 3 s; it and all that follows has so long, virtual microseconds.
const FOUND_WITHIN: u64 = 20_000 * MS;

/// What was done to whom.
pub(crate) struct Rotten {
    node: usize,
    key: Key,
    /// The record's checksum fits what is there now.
    whole: bool,
    before: Stored,
    at: u64,
    found: bool,
}

impl World {
    /// All is at rest: the run ends, or one record rots.
    pub(crate) fn rot_or_end(&mut self) {
        let Some(whole) = self.plan.rot else {
            self.over = true;
            return;
        };
        let Some((node, key)) = self.rottable() else {
            self.over = true;
            return;
        };
        let at = self.now;
        let keystore = &mut self.process(node).keystore;
        let before = keystore.get(&key).ok().flatten().expect("it is there and whole");
        assert!(keystore.rot(&key, whole), "it has a value");
        self.rotten = Some(Rotten { node, key, whole, before, at, found: false });
        self.coverage.met(if whole { "records changed" } else { "records damaged" });
    }

    /// A live key of several nodes all of which are there, and one of these.
    fn rottable(&mut self) -> Option<(usize, Key)> {
        let record = self.newest_record()?;
        let ring = ring_of(&record);
        let mut candidates = Vec::new();
        for key in self.plan.all_keys().filter(|key| self.is_whole(*key)).map(key_of) {
            let holders = ring.replicas_of(&key);
            if holders.len() < 2 {
                continue;
            }
            let nodes = holders.iter().filter_map(|member| self.node_of(*member));
            candidates.extend(nodes.map(|node| (node, key.clone())));
        }
        candidates.retain(|(node, key)| {
            let process = self.nodes[*node].process.as_ref();
            let stored = process.and_then(|process| process.keystore.get(key).ok().flatten());
            stored.is_some_and(|stored| stored.is_live())
        });
        (!candidates.is_empty()).then(|| self.rng.one_of(&candidates).clone())
    }

    /// Looks whether the rotten record was found, and what became of it.
    pub(crate) fn watch_rot(&mut self) {
        let Some(rotten) = &self.rotten else { return };
        let (node, key, whole, at) = (rotten.node, rotten.key.clone(), rotten.whole, rotten.at);
        let (before, found) = (rotten.before.clone(), rotten.found);
        if self.now > at + FOUND_WITHIN {
            let what = format!("node {node}'s rotten record of {key:?}: found {found}, not mended");
            self.fail(Failure::Stuck(what));
            self.over = true;
            return;
        }
        let Some(coordinator) = self.reachable().filter(|c| self.coordinators[*c].active) else {
            return;
        };
        let process = self.nodes[node].process.as_ref();
        let Some(there) = process.map(|process| process.keystore.get(&key)) else { return };
        let status = self.coordinators[coordinator].status(self.now);
        if !found {
            let names = |what: &str| what.contains(&format!("{:?}", key.as_str()));
            if status.incidents.iter().any(|incident| names(&incident.what)) {
                self.rotten.iter_mut().for_each(|rotten| rotten.found = true);
                self.coverage.met("rotten records found");
                self.ask_operator(coordinator, Action::Repair);
            }
            return;
        }
        let is_done = |change: &protocol::status::ChangeStatus| {
            change.action == "repair" && change.state == "done"
        };
        if !status.changes.iter().any(is_done) {
            if status.changes.iter().all(|change| change.state != "running") {
                self.ask_operator(coordinator, Action::Repair);
            }
            return;
        }
        match there {
            Ok(Some(stored)) if whole && stored != before => {}
            Ok(Some(stored)) if !whole && stored == before => self.coverage.met("records mended"),
            there => {
                let what = format!("node {node}, {key:?}: {before:?} has become {there:?}");
                self.fail(Failure::Diverged(what));
            }
        }
        self.over = true;
    }

    /// Whether a copy of this key was made to differ: what becomes of it is judged here.
    pub(crate) fn is_rotten(&self, key: &Key) -> bool {
        self.rotten.as_ref().is_some_and(|rotten| rotten.key == *key)
    }

    /// A coordinator raises an alarm about copies.
    pub(crate) fn note_alarm(&mut self, what: &str) {
        let about_copies = what.starts_with("the copies of ")
            || what.contains(" are damaged (")
            || what.contains(" cannot read its keystore");
        if about_copies && self.rotten.is_none() {
            self.fail(Failure::Diverged(format!("said of copies that nobody changed: {what}")));
        }
    }
}
