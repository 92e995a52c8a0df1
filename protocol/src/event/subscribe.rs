//! What a subscriber asks for: topics, how much of them, and what it looks at closely.

use serde::{Deserialize, Serialize};

use super::{Body, TxnOpen, Vote};
use crate::error::version_text;
use crate::ids::Version;

/// Most sets of a cache that one subscriber looks at.
pub const SETS_MAX: u32 = 64;

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// A group of kinds of events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Topic {
            $($(#[$doc])* $name,)*
        }

        impl Topic {
            /// Every topic there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

topics! {
    /// Nodes, links, copies.
    Member "member",
    /// Heartbeats, and those that did not come.
    Heartbeat "heartbeat",
    /// How far the coordinator is.
    Coordinator "coordinator",
    /// Who owns which keys.
    Ring "ring",
    /// Transactions.
    Txn "txn",
    /// Figures.
    Stats "stats",
    /// Caches.
    Cache "cache",
    /// What administrators do.
    Admin "admin",
    /// The processes of one machine: only their supervisor tells of them.
    Proc "proc",
}

impl Topic {
    /// The topic of that name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|topic| topic.as_str() == text).copied()
    }
}

/// A set of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Topics(u16);

impl Topics {
    /// All that a coordinator tells.
    pub fn all() -> Self {
        Topic::ALL.iter().copied().filter(|topic| *topic != Topic::Proc).collect()
    }

    /// All that a supervisor tells.
    pub fn of_supervisor() -> Self {
        [Topic::Proc, Topic::Admin].into_iter().collect()
    }

    /// Whether the topic is among them.
    pub fn has(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u16) != 0
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::ALL.iter().copied().filter(move |topic| self.has(*topic))
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Self {
        Self(topics.into_iter().fold(0, |bits, topic| bits | 1 << topic as u16))
    }
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscribe {
    /// The topics.
    #[serde(serialize_with = "as_list")]
    pub topics: Topics,
    /// Finished transactions a second at most, beside those that are always told: aborted, slow
    /// and watched ones. The rest is left out, which is no loss.
    pub max_per_s: u32,
    /// Whose cache `sets` and `set` are of: a node's name; the coordinator's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Sets to look at: the first, and how many, 1 to [`SETS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sets: Option<(u32, u32)>,
    /// The set to look at closely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<u32>,
    /// The transaction to watch.
    #[serde(skip_serializing_if = "Option::is_none", with = "version_text")]
    pub tx: Option<Version>,
    /// What is left out.
    #[serde(skip_serializing_if = "Only::is_all")]
    pub only: Only,
}

fn as_list<S: serde::Serializer>(topics: &Topics, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(topics.iter())
}

impl Subscribe {
    /// `max_per_s` of a subscriber that does not say.
    pub const MAX_PER_S_DEFAULT: u32 = 1_000;
}

impl Default for Subscribe {
    fn default() -> Self {
        Self {
            topics: Topics::all(),
            max_per_s: Self::MAX_PER_S_DEFAULT,
            server: None,
            sets: None,
            set: None,
            tx: None,
            only: Only::default(),
        }
    }
}

/// Conditions on events: each concerns the events that have what it asks for, and no others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Only {
    /// Events about nodes: those about this one; transactions: those it takes part in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Transactions: those with a key that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// Finished transactions: those that ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Transactions: those that took at least so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_us: Option<u64>,
}

impl Only {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event is wanted.
    pub fn lets(&self, body: &Body) -> bool {
        if self.is_all() {
            return true;
        }
        let node = |name: &crate::ids::NodeName| {
            self.node.as_ref().is_none_or(|wanted| wanted == name.as_str())
        };
        let takes_part =
            |votes: &[Vote]| self.node.is_none() || votes.iter().any(|vote| node(&vote.node));
        let key = |key: &str| self.key_prefix.as_ref().is_none_or(|p| key.starts_with(&**p));
        match body {
            Body::Heartbeat(event) => node(&event.node),
            Body::HeartbeatMissed(event) => node(&event.node),
            Body::MemberState(event) => node(&event.node),
            Body::MemberRecovery(event) => node(&event.node),
            Body::Link(event) => node(&event.peer),
            Body::Txn(txn) => {
                let ended = txn.outcome.map(super::Outcome::as_str);
                takes_part(&txn.votes)
                    && txn.any_key(key)
                    && self.outcome.as_deref().is_none_or(|wanted| ended == Some(wanted))
                    && self.slower_us.is_none_or(|least| txn.us_total >= least)
            }
            Body::TxnOpen(TxnOpen(txn)) => {
                takes_part(&txn.votes)
                    && txn.any_key(key)
                    && self.slower_us.is_none_or(|least| txn.us_total >= least)
            }
            Body::TxnInDoubt(event) => {
                takes_part(&event.votes) && event.key.as_ref().is_none_or(|k| key(k.as_str()))
            }
            Body::Proc(event) => self.node.as_ref().is_none_or(|wanted| *wanted == event.name),
            Body::TxnResolved(event) => event.key.as_ref().is_none_or(|k| key(k.as_str())),
            _ => true,
        }
    }
}
