//! What `status` answers: one object, enough to draw the whole console once.
//!
//! The coordinator fills it, clients and the console read it. Plain data, no behaviour. Parts that
//! a server does not produce are absent or empty; receivers ignore fields they do not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Divergence, Transfer};
use crate::ids::{Epoch, Incarnation, NodeName, Point, RingNumber, Uuid};
use crate::limits::Limits;
use crate::peer::Placement;
use crate::supervisor::Injected;

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What was decided when the cluster was founded.
    pub cluster: ClusterStatus,
    /// The coordinator that answers.
    pub coordinator: CoordinatorStatus,
    /// Who owns which part of the keys.
    #[serde(default)]
    pub ring: RingStatus,
    /// Every node that is a member or has registered, by name.
    #[serde(default)]
    pub nodes: Vec<NodeStatus>,
    /// The coordinator's cache.
    #[serde(default)]
    pub cache: CacheStatus,
    /// What clients asked for.
    #[serde(default)]
    pub ops: OpsStatus,
    /// Transactions by state: `open`, `committed`, `aborted`, `in_doubt`.
    #[serde(default)]
    pub txns: BTreeMap<String, u64>,
    /// How many keys have how many live copies.
    #[serde(default)]
    pub copies: BTreeMap<u32, u64>,
    /// Keys whose updates are refused now.
    #[serde(default, skip_serializing_if = "is_none")]
    pub copies_unwritable: u64,
    /// Members whose keys are not counted yet, and not among `copies`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies_uncounted: Vec<NodeName>,
    /// The updates that may be repeated.
    #[serde(default)]
    pub once: OnceStatus,
    /// Keys whose last update is in doubt.
    #[serde(default)]
    pub keys_in_doubt: u64,
    /// Membership changes under way or just ended.
    #[serde(default)]
    pub changes: Vec<ChangeStatus>,
    /// Defects met since the coordinator started.
    #[serde(default)]
    pub incidents: Vec<IncidentStatus>,
    /// The address of the supervisor that started the coordinator, if one did.
    #[serde(default)]
    pub supervisor: Option<String>,
    /// What is injected for teaching, in a cluster that was started for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabStatus>,
}

/// What is injected for teaching.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabStatus {
    /// The faults that are still to come, by server.
    pub injected: BTreeMap<String, Vec<Injected>>,
}

/// The cluster as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterStatus {
    /// Made when the cluster was founded; none before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// What its operator calls it.
    pub name: String,
    /// How many nodes hold each key.
    pub replicas: u32,
    /// Ring points a node.
    pub tokens: u32,
    /// How keys are placed on nodes.
    pub placement: Placement,
    /// Whether one update is carried out at a time.
    pub serial_updates: bool,
    /// How many nodes the cluster is made of.
    pub nodes: u32,
    /// The limits clients are held to.
    pub limits: Limits,
    /// How often a node reports, milliseconds.
    pub heartbeat_ms: u64,
    /// How long a coordinator may answer reads after its last contact, milliseconds.
    pub lease_ms: u64,
    /// How long a suspect is waited for, milliseconds; none: for ever.
    pub evict_after_ms: Option<u64>,
}

/// The updates that were made with `once` and are remembered, so that repeating one is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OnceStatus {
    /// How many.
    pub entries: u64,
    /// How many at most.
    pub entries_max: u64,
    /// For how long this coordinator has known the oldest of them, milliseconds; none: there is
    /// none.
    pub reach_ms: Option<u64>,
    /// Whether all that the nodes remember are among them yet.
    pub loaded: bool,
}

/// What a coordinator is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoordinatorState {
    /// Waits for nodes to grant it a new epoch.
    Claiming,
    /// Shuts out the coordinators of lower epochs.
    Fencing,
    /// Finds out what its predecessor left undecided.
    Recovering,
    /// Serves.
    Active,
    /// Waits for the active one to fall silent.
    Standby,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

impl fmt::Display for CoordinatorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claiming => "claiming",
            Self::Fencing => "fencing",
            Self::Recovering => "recovering",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Other => "other",
        })
    }
}

/// The coordinator that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its term of office; 0 while it has none.
    #[serde(default)]
    pub epoch: Epoch,
    /// How long it has been running, milliseconds.
    #[serde(default)]
    pub uptime_ms: u64,
    /// What it is doing.
    pub state: CoordinatorState,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// The ring in force.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RingStatus {
    /// The ring's number.
    pub epoch: RingNumber,
    /// The points of all nodes, in order.
    pub points: Vec<PointStatus>,
}

/// One point of the ring: its node owns the keys from the point before up to this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointStatus {
    /// Where it is.
    pub hash: Point,
    /// Whose it is.
    pub node: NodeName,
}

/// How the coordinator sees a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is learning what it shall hold.
    Joining,
    /// It is well.
    Up,
    /// Its connection is lost, or it has been silent or stuck for three heartbeat intervals; or it
    /// has come back and is learning what it missed.
    Suspect,
    /// Its process is gone, or it has been suspect for three more intervals.
    Down,
    /// Its place has been given to others.
    Evicted,
    /// It hands over what it holds.
    Leaving,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Evicted => "evicted",
            Self::Leaving => "leaving",
            Self::Other => "other",
        })
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Its first point on the ring, once it has one.
    #[serde(default)]
    pub id: Option<Point>,
    /// Its store.
    #[serde(default)]
    pub uuid: Option<Uuid>,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// How it is.
    pub state: NodeState,
    /// Whether its supervisor says that it is paused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// What its supervisor says of its end, for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it serves.
    #[serde(default)]
    pub addr: Option<String>,
    /// Its process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The address of its supervisor, if it has one.
    #[serde(default)]
    pub supervisor: Option<String>,
    /// How often it was started.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// How long ago its last heartbeat came, milliseconds; none: never.
    #[serde(default)]
    pub heartbeat_age_ms: Option<u64>,
    /// Heartbeats received.
    #[serde(default)]
    pub heartbeats: u64,
    /// Keys of which it is the first replica; none: they are not counted yet.
    #[serde(default)]
    pub keys_primary: Option<u64>,
    /// Keys of which it is a further replica.
    #[serde(default)]
    pub keys_replica: Option<u64>,
    /// Its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStatus>,
    /// The length of its log, bytes.
    #[serde(default)]
    pub log_bytes: Option<u64>,
    /// How long its last sync took, microseconds.
    #[serde(default)]
    pub fsync_us: Option<u64>,
    /// Transactions it holds undecided.
    #[serde(default)]
    pub undecided: u64,
}

/// What a node tells of itself with each heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFigures {
    /// Milliseconds between heartbeats.
    pub interval_ms: u64,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Microseconds of the last sync of its log.
    pub fsync_us: u64,
    /// Transactions prepared and not decided there.
    pub undecided: u64,
    /// Age of the oldest of them.
    pub undecided_oldest_ms: u64,
    /// It has not counted its keys yet: the two numbers that follow say nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counting: bool,
    /// Live keys of which it is the primary.
    pub keys_primary: u64,
    /// Live keys of which it is another replica.
    pub keys_replica: u64,
    /// About how many bytes a key of its takes when it is copied, of those that it looked at
    /// lately; none: it has looked at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<u64>,
    /// Bytes of log kept.
    pub log_bytes: u64,
    /// Reads answered since the start.
    pub reads: u64,
    /// Writes applied since the start.
    pub writes: u64,
    /// Its cache.
    pub cache: CacheStatus,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Processor time used.
    pub cpu_us: u64,
}

/// A cache's shape and counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheStatus {
    /// Number of sets.
    pub sets: u64,
    /// Entries a set.
    pub ways: u64,
    /// Reads answered from it.
    pub hits: u64,
    /// Reads it could not answer.
    pub misses: u64,
    /// Entries that gave way to others.
    pub evictions: u64,
    /// Entries that were passed over for having been used.
    pub second_chances: u64,
    /// Entries that are there.
    pub entries: u64,
    /// Bytes of their keys and of what is cached for them.
    pub bytes: u64,
}

/// What clients asked for, since the coordinator started.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OpsStatus {
    /// Requests by op, then by outcome: `ok` or an error code.
    pub total: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests a second by op, over the last 5 seconds.
    pub per_s: BTreeMap<String, f64>,
}

/// A membership change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeStatus {
    /// Its name, as in `c7`: no other change of this cluster ever has it. Numbers rise, with gaps
    /// where a coordinator took over; it goes on with what had begun under the same names.
    pub change: String,
    /// What it does: `evict`, `remove`, `add`, `rebalance`, `repair`.
    pub action: String,
    /// The node it is about.
    pub node: Option<String>,
    /// `running`, `waiting`, `done`, `cancelled`, `failed`.
    pub state: String,
    /// Keys copied.
    pub keys_done: u64,
    /// Keys to copy in all, if known.
    pub keys_total: Option<u64>,
    /// Bytes copied.
    pub bytes_done: u64,
    /// About how many there are in all, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// During the last seconds, bytes a second; none: it is too early to tell, or nothing is
    /// copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// About how long the copying still takes, milliseconds, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// What is being copied, and what is still to be, with `waiting` as its state. With several
    /// changes running it is that of all together, as are the figures above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
    /// Why it waits, goes back or failed.
    pub reason: Option<String>,
}

/// A defect that a server met.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IncidentStatus {
    /// Its id, under which it was logged.
    pub id: String,
    /// What happened.
    pub what: String,
    /// When, milliseconds since 1970.
    pub wall_ms: u64,
    /// The same as the event told it, where it is about copies: all nodes and keys found so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Divergence>,
}

fn is_none(keys: &u64) -> bool {
    *keys == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_a_server_may_say_is_enough() {
        let text = r#"{"cluster":{},"coordinator":{"state":"dreaming","mood":1},
            "nodes":[{"name":"n1","state":"suspect"}],"copies":{"2":7}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.coordinator.state, CoordinatorState::Other);
        assert_eq!(status.nodes[0].state, NodeState::Suspect);
        assert_eq!(status.copies[&2], 7);
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }
}
