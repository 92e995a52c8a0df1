//! What a supervisor says of the cluster that it owns: its name, that a node stands still, what
//! ended one, which faults it has on order. For display only.
//!
//! Filled by a thread that reads the supervisor's orders; `connection` and `coordinator` add it to
//! what they show. The core never sees it: no decision can rest on it, and none of it need arrive.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use protocol::event::MemberState;
use protocol::status::{LabStatus, NodeState, Status};

use crate::orders::{Hint, Order};
use crate::process::Orders;

/// Most nodes that are remembered: more than a supervisor has.
const NODES_MAX: usize = 1_024;

/// What was said.
#[derive(Default)]
pub(super) struct Hints(Mutex<Said>);

#[derive(Default)]
struct Said {
    /// The cluster's name.
    cluster: String,
    /// The newest hint of each node.
    nodes: BTreeMap<String, Hint>,
}

impl Hints {
    /// Takes hints from now on, on a thread of its own.
    pub(super) fn follow(self: &Arc<Self>, orders: Orders) -> io::Result<()> {
        let hints = Arc::clone(self);
        let take = move || {
            for order in orders {
                match order {
                    Order::Hint(hint) => hints.take(hint),
                    Order::Cluster { name } => hints.with(|said| said.cluster = name),
                    Order::Inject { .. } | Order::GoOn => {}
                }
            }
        };
        thread::Builder::new().name("hints".into()).spawn(take).map(drop)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Said) -> T) -> T {
        // Nobody panics with it: what is done under it is a few moves.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, hint: Hint) {
        self.with(|Said { nodes, .. }| {
            if nodes.len() < NODES_MAX || nodes.contains_key(&hint.node) {
                nodes.insert(hint.node.clone(), hint);
            }
        });
    }

    /// Adds what is known to a status; `lab`: the faults on order, too.
    pub(super) fn add_to(&self, status: &mut Status, lab: bool) {
        self.with(|Said { cluster, nodes }| {
            status.cluster.name.clone_from(cluster);
            for node in &mut status.nodes {
                let Some(hint) = nodes.get(node.name.as_str()) else { continue };
                (node.paused, node.hint) = (hint.paused, hint.why.clone());
                // Until the core has met it by itself, which comes first: it counts for nothing.
                if hint.exited && node.state == NodeState::Suspect {
                    node.state = NodeState::Down;
                }
            }
            let injected = nodes.values().filter(|hint| !hint.injected.is_empty());
            let injected = injected.map(|hint| (hint.node.clone(), hint.injected.clone()));
            status.lab = lab.then(|| LabStatus { injected: injected.collect() });
        });
    }

    /// Adds what is known of its node to an event.
    pub(super) fn add_to_event(&self, event: &mut MemberState) {
        self.with(|Said { nodes, .. }| {
            if let Some(hint) = nodes.get(event.node.as_str()) {
                (event.paused, event.hint) = (hint.paused, hint.why.clone());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::Fault;

    #[test]
    fn the_newest_hint_of_a_node_is_shown() {
        let hints = Hints::default();
        let text = r#"{"cluster":{},"coordinator":{"state":"active"},
            "nodes":[{"name":"n1","state":"up"},{"name":"n2","state":"down"}]}"#;
        let mut status: Status = serde_json::from_str(text).unwrap();
        let plain = status.clone();
        hints.add_to(&mut status, false);
        assert_eq!(status, plain);

        let node = "n1".to_owned();
        let injected = vec![Fault::DropVotes.shown(2, 1)];
        hints.take(Hint {
            node: node.clone(),
            paused: true,
            injected: injected.clone(),
            ..Hint::default()
        });
        let why = Some("killed".to_owned());
        hints.take(Hint { node: "n2".into(), why: why.clone(), ..Hint::default() });
        hints.add_to(&mut status, true);
        assert!(status.nodes[0].paused && !status.nodes[1].paused);
        assert_eq!((&status.nodes[0].hint, &status.nodes[1].hint), (&None, &why));
        let lab = LabStatus { injected: BTreeMap::from([(node.clone(), injected)]) };
        assert_eq!(status.lab, Some(lab));

        hints.take(Hint { node, ..Hint::default() });
        hints.add_to(&mut status, true);
        assert!(!status.nodes[0].paused);
        assert_eq!(status.lab, Some(LabStatus::default()));
    }

    /// Contract: "its process reported exited"
    #[test]
    fn a_suspect_whose_process_has_exited_is_shown_as_down() {
        let hints = Hints::default();
        let shown = |hints: &Hints, state: &str| {
            let node = format!("{{\"name\":\"n1\",\"state\":\"{state}\"}}");
            let text = format!(
                "{{\"cluster\":{{}},\"coordinator\":{{\"state\":\"active\"}},\"nodes\":[{node}]}}"
            );
            let mut status: Status = serde_json::from_str(&text).unwrap();
            hints.add_to(&mut status, false);
            status.nodes[0].state
        };
        assert_eq!(shown(&hints, "suspect"), NodeState::Suspect);
        let why = Some("killed".to_owned());
        hints.take(Hint { node: "n1".into(), why, exited: true, ..Hint::default() });
        assert_eq!(shown(&hints, "suspect"), NodeState::Down);
        // It is the coordinator that has heard of it later.
        assert_eq!(shown(&hints, "up"), NodeState::Up);
        hints.take(Hint { node: "n1".into(), ..Hint::default() });
        assert_eq!(shown(&hints, "suspect"), NodeState::Suspect);
    }
}
