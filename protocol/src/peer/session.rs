//! How sessions between servers begin: each side says which versions of this protocol it speaks,
//! which cluster it belongs to and which program it is; then a node its place, or a coordinator its
//! claim.
//!
//! Said by a node at registration, by the coordinator in its answer and first on each link. Only
//! the versions are judged here; whether a node or a claim is taken is the cores' business.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::RingRecord;
use crate::ids::{Epoch, Incarnation, NodeName, Uuid};

/// The newest version of the servers' protocol that this program speaks.
pub const PEER_PROTOCOL: u32 = 2;
/// The oldest one.
pub const PEER_PROTOCOL_MIN: u32 = 2;
/// Of a program's version so much is repeated to people, characters.
const VERSION_CHARS_MAX: usize = 32;

/// What each session between servers begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The newest version of the servers' protocol that the sender speaks.
    pub protocol: u32,
    /// The oldest one; absent where it speaks one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_min: Option<u32>,
    /// The sender's program version.
    pub version: String,
    /// The cluster that it belongs to, once it knows.
    #[serde(default)]
    pub cluster: Option<Uuid>,
}

impl Greeting {
    /// That of this program.
    pub fn new(cluster: Option<Uuid>) -> Self {
        Self {
            protocol: PEER_PROTOCOL,
            protocol_min: Some(PEER_PROTOCOL_MIN),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster,
        }
    }

    /// The newest version of the protocol that both speak.
    pub fn common(&self, other: &Self) -> Option<u32> {
        let newest = self.protocol.min(other.protocol);
        let oldest = self.oldest().max(other.oldest());
        (oldest <= newest).then_some(newest)
    }

    fn oldest(&self) -> u32 {
        self.protocol_min.unwrap_or(self.protocol)
    }

    /// Whether both know their cluster, and it is not the same.
    pub fn is_foreign(&self, other: &Self) -> bool {
        self.cluster.is_some() && other.cluster.is_some() && self.cluster != other.cluster
    }

    fn told(&self) -> String {
        let version: String = self.version.chars().take(VERSION_CHARS_MAX).collect();
        let version = version.escape_debug();
        match (self.oldest(), self.protocol) {
            (oldest, newest) if oldest == newest => format!("piazza {version} (version {newest})"),
            (oldest, newest) => format!("piazza {version} (versions {oldest} to {newest})"),
        }
    }
}

/// Why a node and a coordinator cannot talk to each other, and who must be upgraded; `None` where
/// they can.
pub fn too_far_apart(node: &Greeting, coordinator: &Greeting) -> Option<String> {
    if node.common(coordinator).is_some() {
        return None;
    }
    let older = if node.protocol < coordinator.protocol { "node" } else { "coordinator" };
    Some(format!(
        "node and coordinator speak no common version of the servers' protocol: the node is {}, \
         the coordinator {}: upgrade the {older}",
        node.told(),
        coordinator.told()
    ))
}

/// Node to coordinator, first line on the registration connection, which then stays open and
/// silent: its end tells either side that the other has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Who speaks.
    #[serde(flatten)]
    pub greeting: Greeting,
    /// The node's name.
    pub name: NodeName,
    /// The node's store.
    pub uuid: Uuid,
    /// Which start of that store this is.
    pub incarnation: Incarnation,
    /// Where the node listens.
    pub addr: SocketAddr,
    /// Its process id.
    pub pid: u32,
    /// The endpoint of the supervisor that owns it.
    pub supervisor: Option<SocketAddr>,
    /// False with `--storage memory`.
    pub durable: bool,
    /// The epoch it has promised.
    pub fence: Epoch,
    /// The newest ring it holds; none before the founding.
    pub ring: Option<RingRecord>,
}

/// Coordinator to node: the answer to [`Register`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registered {
    /// The node is known now; the coordinator dials it.
    Welcome(Greeting),
    /// The node cannot be part of this cluster.
    Refused {
        /// One sentence that says what to do.
        reason: String,
        /// It can be later, as it is now: the node asks again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        later: bool,
    },
}

/// The claim of an epoch and the beginning of a session on a node's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Who speaks.
    #[serde(flatten)]
    pub greeting: Greeting,
    /// The coordinator process.
    pub coordinator: Uuid,
    /// The store that it means to reach.
    pub store: Uuid,
    /// The start of that store that it means to reach.
    pub incarnation: Incarnation,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaks(oldest: Option<u32>, newest: u32, version: &str) -> Greeting {
        let version = version.to_owned();
        Greeting { protocol: newest, protocol_min: oldest, version, cluster: None }
    }

    #[test]
    fn ranges_meet_or_the_older_one_is_named() {
        let common = |a: &Greeting, b: &Greeting| {
            assert_eq!(a.common(b), b.common(a));
            assert_eq!(too_far_apart(a, b).is_none(), a.common(b).is_some());
            a.common(b)
        };
        let (old, middle, new) =
            (speaks(None, 2, "0.1"), speaks(Some(2), 4, "0.2"), speaks(Some(3), 5, "0.3"));
        assert_eq!(common(&old, &old), Some(2));
        assert_eq!(common(&old, &middle), Some(2));
        assert_eq!(common(&middle, &new), Some(4));
        assert_eq!(common(&old, &new), None);
        assert_eq!(common(&speaks(Some(9), 1, "x"), &old), None, "no range at all");
        let told = too_far_apart(&old, &new).unwrap();
        assert!(told.contains("the node is piazza 0.1 (version 2)"), "{told}");
        assert!(told.contains("piazza 0.3 (versions 3 to 5)"), "{told}");
        assert!(told.ends_with("upgrade the node"), "{told}");
        assert!(too_far_apart(&new, &old).unwrap().ends_with("upgrade the coordinator"));
        let long = speaks(None, 9, &"\u{1b}".repeat(1_000));
        assert!(too_far_apart(&long, &old).unwrap().len() < 500);
    }

    #[test]
    fn a_greeting_is_the_beginning_of_its_line_and_an_older_one_is_read() {
        let open = Open {
            greeting: Greeting::new(Some(Uuid(7))),
            coordinator: Uuid(1),
            store: Uuid(2),
            incarnation: Incarnation(3),
        };
        let text = serde_json::to_string(&open).unwrap();
        let greeting = serde_json::to_string(&open.greeting).unwrap();
        assert!(text.starts_with(greeting.trim_end_matches('}')), "{text}");
        assert_eq!(serde_json::from_str::<Open>(&text).unwrap(), open);
        let older: Greeting = serde_json::from_str(r#"{"protocol":1,"version":"x"}"#).unwrap();
        assert_eq!(older, speaks(None, 1, "x"));
    }

    #[test]
    fn clusters_are_foreign_only_where_both_are_known() {
        let of = |cluster: Option<u128>| Greeting::new(cluster.map(Uuid));
        assert!(of(Some(1)).is_foreign(&of(Some(2))));
        for (one, other) in [(None, None), (None, Some(1)), (Some(1), None), (Some(1), Some(1))] {
            assert!(!of(one).is_foreign(&of(other)));
        }
    }
}
