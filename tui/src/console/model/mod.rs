//! What the console knows: a fold over what reached it, with the clock as an argument.
//!
//! [`Model::apply`] takes one thing after the other and never fails: duplicates are left out, gaps
//! are counted, what is unknown is kept and ignored. The same things at the same moments always
//! make the same model, so that it can be frozen, and recordings can be played.
//!
//! - `feed`: what comes in; `record`: all of it, kept for a while; `sentence`: each as a sentence
//! - `node`, `servers`: nodes, coordinator, processes; `ring`, `moving`; `txns`, `caches`,
//!   `figures`; `damage`: copies that are wrong
//! - `holders`: whose keys have which nodes, and who of them is there
//! - `story`: incidents: what happened, how far it has healed, what to do
//! - `clock`, `rate`: moments and figures for a person
//!
//! Pure: no I/O, no clock, nothing of terminals.

mod apply;
pub mod caches;
pub mod clock;
pub mod damage;
pub mod feed;
pub mod figures;
pub mod holders;
pub mod moving;
pub mod node;
pub mod rate;
pub mod record;
pub mod ring;
pub mod sentence;
pub mod servers;
pub mod story;
pub mod txns;

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::{Admin, Copies};
use protocol::reply::Role;
use protocol::status::{ClusterStatus, CoordinatorState};

use caches::Caches;
use clock::At;
use damage::Damage;
use feed::{Feed, FeedName, FeedState};
use figures::Figures;
use moving::Moving;
use node::{Node, Place, Waits};
use record::Record;
use ring::Ring;
use servers::{Coordinator, Process};
use story::Story;
use txns::Txns;

/// What a coordinator is called as a process.
pub const COORDINATOR: &str = "coordinator";
/// A coordinator tells figures twice a second: one that tells nothing for so long stands still.
const SILENT_MS: u64 = 2_000;
/// Most nodes and processes that are followed.
const SERVERS_MAX: usize = 1_000;

/// All that the console knows.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The latest moment that it was told.
    pub now: At,
    /// A recording was played to its end: nothing more comes, and no time passes.
    pub has_ended: bool,
    /// What the console calls itself to the servers: an action by that name was ours.
    pub own_name: String,
    /// The connection to the coordinator.
    pub coordinator_feed: Feed,
    /// The connection to the supervisor.
    pub supervisor_feed: Feed,
    /// What was decided when the cluster was founded; none before the first snapshot.
    pub cluster: Option<ClusterStatus>,
    /// Where its supervisor is, if it has one.
    pub supervisor: Option<String>,
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// The processes of the supervisor, by name.
    pub procs: BTreeMap<String, Process>,
    /// The ring in force.
    pub ring: Ring,
    /// What moves from node to node.
    pub moving: Moving,
    /// Nodes that have left for good: what is still told of them is old.
    pub left: BTreeSet<String>,
    /// Keys by live copies.
    pub copies: Copies,
    /// Keys whose last update is in doubt.
    pub keys_in_doubt: u64,
    /// Throughput and latency.
    pub figures: Figures,
    /// Transactions.
    pub txns: Txns,
    /// Caches.
    pub caches: Caches,
    /// What administrators did, the newest last, at most 50.
    pub admin: Vec<(FeedName, Admin)>,
    /// Copies that are wrong.
    pub damage: Damage,
    /// Whether faults may be ordered.
    pub lab: bool,
    /// What has come in.
    pub record: Record,
    /// Incidents.
    pub story: Story,
}

impl Model {
    /// An empty one, of a console that calls itself `own_name`.
    pub fn new(own_name: &str) -> Self {
        Self { own_name: own_name.to_owned(), ..Self::default() }
    }

    /// The connection of that name.
    pub fn feed(&self, name: FeedName) -> &Feed {
        match name {
            FeedName::Coordinator => &self.coordinator_feed,
            FeedName::Supervisor => &self.supervisor_feed,
        }
    }

    /// All servers, the coordinator first.
    pub fn servers(&self) -> Vec<String> {
        let mut names = vec![COORDINATOR.to_owned()];
        names.extend(self.nodes.keys().cloned());
        names
    }

    /// Nodes that are up and go, and all there should be: those that have a place.
    pub fn nodes_up(&self) -> (usize, usize) {
        let up = self.nodes.values().filter(|node| node.is_well()).count();
        let all = self.nodes.values().filter(|node| !node.is_evicted()).count();
        let founded = self.cluster.as_ref().map_or(0, |cluster| cluster.nodes as usize);
        (up, if self.ring.points.is_empty() { all.max(founded) } else { all })
    }

    /// Nodes whose places others have.
    pub fn evicted(&self) -> impl Iterator<Item = &str> {
        let evicted = self.nodes.iter().filter(|(_, node)| node.is_evicted());
        evicted.map(|(name, _)| name.as_str())
    }

    /// Whether the coordinator serves and the console hears it.
    pub fn is_served(&self) -> bool {
        self.stale_ms().is_none() && self.coordinator.state == Some(CoordinatorState::Active)
    }

    /// Whether everything is well.
    pub fn is_well(&self) -> bool {
        let (up, all) = self.nodes_up();
        let whole = self.copies.unwritable == 0 && self.keys_short() == 0;
        self.is_served() && up == all && whole && self.damage.all().next().is_none()
    }

    /// For how long what is shown of the cluster has not been renewed, milliseconds; none: it is
    /// live.
    pub fn stale_ms(&self) -> Option<u64> {
        let feed = &self.coordinator_feed;
        let age_ms = self.now.ms_since(feed.last.unwrap_or(feed.since));
        (!feed.is_live() || age_ms > SILENT_MS).then_some(age_ms)
    }

    /// Copies that each key should have.
    pub fn replicas(&self) -> u32 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.replicas)
    }

    /// Copies that each key can have: as many as there are nodes with a place, at most.
    pub fn copies_wanted(&self) -> u32 {
        let nodes = u32::try_from(self.ring.shares().len()).unwrap_or(u32::MAX);
        if nodes == 0 { self.replicas() } else { self.replicas().min(nodes) }
    }

    /// Keys that all have, by the last count of copies.
    pub fn keys(&self) -> u64 {
        self.copies.by_live_copies.values().copied().fold(0, u64::saturating_add)
    }

    /// Whether all keys are counted: not while somebody has yet to count its own, or to learn those
    /// of which it is the first replica.
    pub fn counts_all(&self) -> bool {
        let learns = |node: &Node| matches!(node.place(), Place::New);
        self.copies.uncounted.is_empty() && !self.nodes.values().any(learns)
    }

    /// What stands before numbers of keys: nothing where all are counted.
    pub fn least(&self) -> &'static str {
        if self.counts_all() { "" } else { "at least " }
    }

    /// Keys with exactly one live copy, where there should be more.
    pub fn keys_one_copy(&self) -> u64 {
        let one = self.copies.by_live_copies.get(&1).filter(|_| self.copies_wanted() > 1);
        one.copied().unwrap_or(0)
    }

    /// Keys with no live copy: nobody can read them.
    pub fn keys_unread(&self) -> u64 {
        self.copies.by_live_copies.get(&0).copied().unwrap_or(0)
    }

    /// Keys with fewer live copies than they can have, whether they can be written or not.
    pub fn keys_short(&self) -> u64 {
        let short = self.copies.by_live_copies.range(..self.copies_wanted());
        short.map(|(_, keys)| *keys).fold(0, u64::saturating_add)
    }

    /// A node, made known; none where there are too many.
    fn node(&mut self, name: &str) -> Option<&mut Node> {
        let is_new = !self.nodes.contains_key(name);
        if is_new && (self.nodes.len() >= SERVERS_MAX || self.left.contains(name)) {
            return None;
        }
        Some(self.nodes.entry(name.to_owned()).or_default())
    }

    /// How the coordinator waits for nodes.
    fn waits(&self) -> Waits {
        let beat_ms = self.cluster.as_ref().map_or(0, |cluster| cluster.heartbeat_ms);
        Waits { beat_ms, began: self.coordinator.began }
    }

    /// Whether a server is known to stand still.
    pub fn is_paused(&self, server: &str) -> bool {
        self.procs.get(server).is_some_and(|process| process.paused)
            || self.nodes.get(server).is_some_and(|node| node.paused)
    }

    /// Why our token does not allow to end and start servers; none: it does, as far as known.
    pub fn forbidden(&self) -> Option<&'static str> {
        forbidden_to(self.supervisor_feed.role.or(self.coordinator_feed.role)?)
    }

    /// Why our token does not allow to change who is a member; none: it does, as far as known.
    pub fn forbids_membership(&self) -> Option<&'static str> {
        forbidden_to(self.coordinator_feed.role?)
    }

    /// Whether our token does not even allow to change keys.
    pub fn forbids_updates(&self) -> bool {
        matches!(self.coordinator_feed.role, Some(Role::Viewer | Role::Other))
    }

    /// Whether neither the coordinator nor the supervisor can be reached, of which there was one:
    /// most likely somebody has stopped all of the cluster.
    pub fn is_unheard(&self) -> bool {
        let is_lost = |feed: &Feed| matches!(feed.state, FeedState::Lost(_));
        is_lost(&self.coordinator_feed) && is_lost(&self.supervisor_feed)
    }

    /// Whether the supervisor's connection is there: only then can servers be killed and started.
    pub fn can_administer(&self) -> bool {
        matches!(self.supervisor_feed.state, FeedState::Live)
    }
}

/// Why one of this role changes no servers; none: it does.
fn forbidden_to(role: Role) -> Option<&'static str> {
    match role {
        Role::Admin => None,
        Role::Viewer => Some("it shows the token of a viewer, who changes nothing"),
        Role::Client => Some("it shows the token of a client, who changes keys only"),
        Role::Other => Some("what its token allows is not known to this version"),
    }
}

#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod rot_tests;
#[cfg(test)]
mod story_tests;
#[cfg(test)]
mod tests;
