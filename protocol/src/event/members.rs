//! Events about nodes, the coordinator, the ring, and figures of all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Transfer, Txn};
use crate::ids::{Incarnation, Key, NodeName, Point};
use crate::status::{self, IncidentStatus, NodeFigures, NodeState, Status};

/// How things are when a subscription begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What `status` answers.
    pub status: Box<Status>,
    /// The oldest transactions that are handed over and not finished, as far as they are followed.
    #[serde(default)]
    pub txns_open: Vec<Txn>,
    /// What is being copied.
    #[serde(default)]
    pub transfers: Vec<Transfer>,
    /// Incidents that are not over.
    #[serde(default)]
    pub incidents_open: Vec<IncidentStatus>,
    /// What administrators did lately at this server, the newest last.
    #[serde(default)]
    pub admin_recent: Vec<Admin>,
}

/// What an administrator asked for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// Rises with each request at this server.
    pub id: u64,
    /// What was asked for.
    pub action: String,
    /// What it was about: a node, a process, a change, a setting.
    #[serde(default)]
    pub target: Option<String>,
    /// Who asked: the name that the client gave itself, else its address.
    pub by: String,
    /// `ok`, or the code of the refusal.
    pub result: String,
}

/// What a reader that was too slow has missed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lagged {
    /// How many events, by topic.
    pub dropped: BTreeMap<String, u64>,
    /// The first number that was left out.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
}

/// What a node tells of itself, unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The node.
    pub node: NodeName,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Rises with each heartbeat of the incarnation.
    pub hb_seq: u64,
    /// How much later than an interval after the one before it came.
    pub delay_us: u64,
    /// What it tells of itself.
    #[serde(flatten)]
    pub figures: NodeFigures,
}

/// No heartbeat for another interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatMissed {
    /// The node.
    pub node: NodeName,
    /// How many in a row.
    pub missed: u64,
    /// Since the last one came.
    pub silent_ms: u64,
}

/// A node is seen in another state, and what that means for keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberState {
    /// The node.
    pub node: NodeName,
    /// How it was seen.
    pub from: NodeState,
    /// How it is seen now.
    pub to: NodeState,
    /// Why: `tcp_refused`, `tcp_reset`, `silence`, `no_progress`, `registered`, `caught_up`,
    /// `admin`: by order, or `lost`: its store has lost something. Of an eviction that nobody asked
    /// for: why the node was not up.
    pub reason: String,
    /// Whether its supervisor says that it stands still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// What its supervisor says of its end, for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Since it was last heard.
    #[serde(default)]
    pub silent_ms: u64,
    /// Its part of the ring, 0 to 1.
    #[serde(default)]
    pub ring_share: f64,
    /// Keys with one live copy, in the whole cluster.
    #[serde(default)]
    pub keys_one_copy: u64,
    /// Keys whose updates are refused now: of those a replica is not up, or its disk is full.
    #[serde(default)]
    pub keys_unwritable: u64,
    /// Keys whose last update is in doubt.
    #[serde(default)]
    pub keys_in_doubt: u64,
    /// Who answers the reads of the keys of which it is the first replica.
    #[serde(default)]
    pub reads_by: Vec<NodeName>,
}

/// A step of a node's return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryPhase {
    /// It has started, and is asked what it remembers.
    Log,
    /// It is told what was decided meanwhile.
    Decisions,
    /// It copies what it missed.
    Copy,
    /// It has all it needs.
    Ready,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// A node that came back has come one step further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecovery {
    /// The node.
    pub node: NodeName,
    /// The step that begins.
    pub phase: RecoveryPhase,
    /// How much of it is done: decisions told, or keys copied.
    #[serde(default)]
    pub done: u64,
    /// Of how much.
    #[serde(default)]
    pub total: u64,
    /// Since its first step.
    #[serde(default)]
    pub ms: u64,
}

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// There is a connection.
    Up,
    /// It broke, or cannot be made.
    Lost,
    /// Nobody listens there.
    Refused,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// The link to a node is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The node.
    pub peer: NodeName,
    /// How it is.
    pub state: LinkState,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// Keys by how many of their copies are on nodes that are up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Copies {
    /// How many keys have how many.
    pub by_live_copies: BTreeMap<u32, u64>,
    /// Keys whose updates are refused now, since a node that holds them, or is learning them, is
    /// not up or has a full disk. One that lacks a copy which is being made can be written.
    pub unwritable: u64,
    /// Members whose keys are not counted yet, and not among these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncounted: Vec<NodeName>,
}

/// How far the coordinator is. Its epoch is the envelope's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoordinatorState {
    /// What it does.
    pub state: status::CoordinatorState,
    /// Nodes that have answered what this step asks.
    pub answered: u32,
    /// Nodes that must.
    pub needed: u32,
    /// Transactions of earlier epochs whose fate is open.
    pub in_doubt: u64,
    /// Those that were decided under this epoch.
    pub resolved: u64,
    /// The part of the ring that it can serve reads of, 0 to 1.
    pub serving_share: f64,
}

/// Of measured times, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: u64,
    /// 90 in 100.
    pub p90: u64,
    /// 99 in 100.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// What is on its way to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeLoad {
    /// Transactions without its vote.
    pub txns: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Decisions that it has not confirmed.
    pub unconfirmed: u64,
    /// For how long the oldest question has no answer.
    pub oldest_ms: u64,
}

/// Figures: counts since the start, and times of the last half second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Requests since the start by op, then by outcome: `ok` or an error code.
    pub ops: BTreeMap<String, BTreeMap<String, u64>>,
    /// From arrival to answer: `update`, and `read` for reads that asked a node.
    pub latency_us: BTreeMap<String, Quantiles>,
    /// How long updates were at each step, from the one before it.
    pub phases_us: BTreeMap<String, Quantiles>,
    /// Transactions that are handed over and not decided.
    pub in_flight: u64,
    /// Age of the oldest of them.
    pub oldest_ms: u64,
    /// Messages with prepares that were sent in the last half second, over all nodes.
    pub batches: u64,
    /// Transactions in half of them or more.
    pub batch_txns_p50: u64,
    /// What is on its way to each node.
    pub per_node: BTreeMap<String, NodeLoad>,
    /// Client connections.
    pub conns: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Events that were left out since the start, over all subscribers.
    pub dropped: u64,
}

/// Copies of keys that should be alike and are not, or that are damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The stretch of the ring in which they lie: first and last point.
    pub range: Vec<(Point, Point)>,
    /// The nodes that differ, or whose records are damaged.
    pub nodes: Vec<NodeName>,
    /// In which way.
    pub kind: DivergenceKind,
    /// Some of the keys, as far as they are known.
    pub keys: Vec<Key>,
    /// 0 where they were just found. Else so many keys are right again: those that are named, by
    /// whole records in the place of damaged ones; where none is named, nothing is wrong in this
    /// way in this stretch any more, whoever put it right.
    pub repaired: u64,
}

/// How copies can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergenceKind {
    /// Nodes hold different things, each of them whole: nothing says which is right.
    Hash,
    /// A record is not what was written.
    Checksum,
    /// A node cannot read its store there.
    Unreadable,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}
