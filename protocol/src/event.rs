//! What a server tells those who subscribed: one event a line, under one envelope.
//!
//! Servers make a [`Body`] of what happened, write it once ([`tail`]) and give it to each
//! subscriber under that one's own number ([`write_line`]); clients read it back ([`decode`]).
//! Events carry keys, never values. A line is told from a reply by its first field, `event`.
//!
//! - this file: the envelope, and which kinds there are
//! - `members`: nodes, coordinator, ring, figures; `txn`: transactions; `cache`: what is cached
//! - `procs`: what a supervisor tells
//! - `subscribe`: what a subscriber asks for
//!
//! Receivers ignore fields and kinds that they do not know ([`Body::Other`]). Plain data.

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::ids::Epoch;
use crate::json;
use crate::reply::InvalidReply;

mod cache;
mod members;
mod procs;
mod ring;
mod subscribe;
mod txn;

pub use cache::{
    CacheCounters, CacheEvict, CacheSet, CacheSets, CacheTotals, EvictStep, SetRow, StepAction,
    Trigger, Way,
};
pub use members::{
    Admin, CoordinatorState, Copies, Divergence, DivergenceKind, Heartbeat, HeartbeatMissed,
    Lagged, Link, LinkState, MemberRecovery, MemberState, NodeLoad, Quantiles, RecoveryPhase,
    Snapshot, Stats,
};
pub use procs::{Inject, Proc, ProcState, ProcsSnapshot};
pub use ring::{RingEpoch, RingMove, Transfer};
pub use subscribe::{Only, SETS_MAX, Subscribe, Topic, Topics};
pub use txn::{
    Decide, NodeUs, Outcome, Phases, Role, Txn, TxnInDoubt, TxnOpen, TxnResolved, Vote, VoteState,
};

/// What a supervisor calls itself as the source of its events.
pub const SUPERVISOR: &str = "supervisor";

/// Room for most events' lines.
const TAIL_BYTES: usize = 1_024;

/// One event, as a subscriber gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Rises by one with each event that is meant for this subscriber: a gap is a loss.
    pub seq: u64,
    /// Who tells it: `coordinator` or `supervisor`.
    pub source: String,
    /// The coordinator's epoch.
    pub epoch: Epoch,
    /// When, on the source's monotonic clock, microseconds.
    pub at_us: u64,
    /// When, on its wall clock, milliseconds since 1970: for display.
    pub wall_ms: u64,
    /// The incident that it is part of.
    pub incident: Option<String>,
    /// The event that led to it, if that was told too.
    pub cause: Option<u64>,
    /// What happened.
    pub body: Body,
}

/// Whether an event may be left out when a reader is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What has changed: it is never left out silently.
    Control,
    /// Figures and samples: left out first.
    Telemetry,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $text:literal $topic:ident $class:ident,)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body {
            /// How things are: first, and after a [`Lagged`].
            Snapshot(Snapshot),
            /// The same, from a supervisor.
            ProcsSnapshot(ProcsSnapshot),
            /// The reader was too slow: what it missed is replaced by this and a snapshot.
            Lagged(Lagged),
            $($(#[$doc])* $kind($kind),)*
            /// A kind that this version does not know, to be ignored: its name.
            Other(String),
        }

        impl Body {
            /// Its name on the wire; of one that is not known, that.
            pub fn name(&self) -> &'static str {
                match self {
                    Self::Snapshot(_) | Self::ProcsSnapshot(_) => "snapshot",
                    Self::Lagged(_) => "lagged",
                    $(Self::$kind(_) => $text,)*
                    Self::Other(_) => "other",
                }
            }

            /// The topic under which it is asked for; none: it comes with every one.
            pub fn topic(&self) -> Option<Topic> {
                match self {
                    Self::Snapshot(_) | Self::ProcsSnapshot(_) => None,
                    Self::Lagged(_) | Self::Other(_) => None,
                    $(Self::$kind(_) => Some(Topic::$topic),)*
                }
            }

            /// Whether it may be left out.
            pub fn class(&self) -> Class {
                match self {
                    Self::Snapshot(_) | Self::ProcsSnapshot(_) => Class::Control,
                    Self::Lagged(_) => Class::Control,
                    Self::Other(_) => Class::Telemetry,
                    $(Self::$kind(_) => Class::$class,)*
                }
            }

            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self {
                    Self::Snapshot(body) => serde_json::to_writer(out, body),
                    Self::ProcsSnapshot(body) => serde_json::to_writer(out, body),
                    Self::Lagged(body) => serde_json::to_writer(out, body),
                    $(Self::$kind(body) => serde_json::to_writer(out, body),)*
                    Self::Other(_) => serde_json::to_writer(out, &serde_json::Map::new()),
                }
            }

            fn read(name: &str, source: &str, line: &[u8]) -> serde_json::Result<Self> {
                Ok(match name {
                    "snapshot" if source == SUPERVISOR => {
                        Self::ProcsSnapshot(serde_json::from_slice(line)?)
                    }
                    "snapshot" => Self::Snapshot(serde_json::from_slice(line)?),
                    "lagged" => Self::Lagged(serde_json::from_slice(line)?),
                    $($text => Self::$kind(serde_json::from_slice(line)?),)*
                    _ => Self::Other(name.to_owned()),
                })
            }
        }
    };
}

kinds! {
    /// A heartbeat has come.
    Heartbeat "heartbeat" Heartbeat Telemetry,
    /// None has come for another interval.
    HeartbeatMissed "heartbeat_missed" Heartbeat Control,
    /// A node is seen in another state.
    MemberState "member_state" Member Control,
    /// A node that came back has come one step further.
    MemberRecovery "member_recovery" Member Control,
    /// The link to a node is there, or is not any more.
    Link "link" Member Control,
    /// The keys have another number of live copies than before.
    Copies "copies" Member Control,
    /// Copies differ, or are damaged.
    Divergence "divergence" Member Control,
    /// The coordinator has come one step further.
    CoordinatorState "coordinator_state" Coordinator Control,
    /// A ring is in force.
    RingEpoch "ring_epoch" Ring Control,
    /// Copying from one node to another has come so far.
    Transfer "transfer" Ring Control,
    /// A transaction is finished.
    Txn "txn" Txn Telemetry,
    /// One is not, after a while.
    TxnOpen "txn_open" Txn Telemetry,
    /// Nobody can say at present what becomes of one.
    TxnInDoubt "txn_in_doubt" Txn Control,
    /// One that was in doubt is decided.
    TxnResolved "txn_resolved" Txn Control,
    /// Figures of the last half second.
    Stats "stats" Stats Telemetry,
    /// The counters of all caches.
    CacheTotals "cache_totals" Cache Telemetry,
    /// The sets that are looked at.
    CacheSets "cache_sets" Cache Telemetry,
    /// The set that is looked at closely.
    CacheSet "cache_set" Cache Telemetry,
    /// An entry of that set has given way to another, step by step.
    CacheEvict "cache_evict" Cache Telemetry,
    /// An administrator asked for something.
    Admin "admin" Admin Control,
    /// A fault was ordered, or met.
    Inject "inject" Admin Control,
    /// Something became of a process.
    Proc "proc" Proc Control,
}

/// What is the same of an event for all subscribers: who told it when, and what.
pub struct Stamp<'a> {
    /// As in [`Event::source`].
    pub source: &'a str,
    /// As in [`Event::epoch`].
    pub epoch: Epoch,
    /// As in [`Event::at_us`].
    pub at_us: u64,
    /// As in [`Event::wall_ms`].
    pub wall_ms: u64,
}

/// All of an event's line that does not depend on the subscriber, newline included; with the
/// incident that it is part of, if it is.
pub fn tail(stamp: &Stamp<'_>, incident: Option<&str>, body: &Body) -> Bytes {
    let mut out = Vec::with_capacity(TAIL_BYTES);
    out.put_slice(b",\"source\":");
    json::write_string(&mut out, stamp.source);
    write_field(&mut out, b",\"epoch\":", u64::from(stamp.epoch.0));
    write_field(&mut out, b",\"at_us\":", stamp.at_us);
    write_field(&mut out, b",\"wall_ms\":", stamp.wall_ms);
    if let Some(incident) = incident {
        out.put_slice(b",\"incident\":");
        json::write_string(&mut out, incident);
    }
    let fields = out.len();
    body.write(&mut out).expect("plain data always serializes");
    // Its fields follow those of the envelope, if it has any.
    if &out[fields..] == b"{}" {
        out.remove(fields);
    } else {
        out[fields] = b',';
    }
    out.put_u8(b'\n');
    out.into()
}

/// Appends an event's line.
pub fn write_line(out: &mut impl BufMut, name: &str, seq: u64, cause: Option<u64>, tail: &[u8]) {
    out.put_slice(b"{\"event\":\"");
    out.put_slice(name.as_bytes());
    write_field(out, b"\",\"seq\":", seq);
    if let Some(cause) = cause {
        write_field(out, b",\"cause\":", cause);
    }
    out.put_slice(tail);
}

fn write_field(out: &mut impl BufMut, name: &[u8], number: u64) {
    out.put_slice(name);
    json::write_number(out, number);
}

/// Whether a line is an event's, not a reply's.
pub fn is_event(line: &[u8]) -> bool {
    line.starts_with(b"{\"event\":")
}

/// Reads an event's line.
///
/// # Errors
/// What is wrong with it, where it is no event of this protocol.
pub fn decode(line: &[u8]) -> Result<Event, InvalidReply> {
    #[derive(Deserialize)]
    struct Envelope {
        event: String,
        seq: u64,
        source: String,
        #[serde(default)]
        epoch: Epoch,
        #[serde(default)]
        at_us: u64,
        #[serde(default)]
        wall_ms: u64,
        #[serde(default)]
        incident: Option<String>,
        #[serde(default)]
        cause: Option<u64>,
    }
    let invalid = |error: serde_json::Error| InvalidReply(error.to_string());
    let envelope: Envelope = serde_json::from_slice(line).map_err(invalid)?;
    let Envelope { event, seq, source, epoch, at_us, wall_ms, incident, cause } = envelope;
    let body = Body::read(&event, &source, line).map_err(invalid)?;
    Ok(Event { seq, source, epoch, at_us, wall_ms, incident, cause, body })
}

/// What `subscribe` is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The topics that are told.
    pub topics: Vec<Topic>,
    /// Samples a second at most.
    pub max_per_s: u32,
}

#[cfg(test)]
mod tests;
