//! What a supervisor tells its servers: one JSON object a line, on their standard input.
//!
//! Written by `supervisor::run`, read by `process`. To a node: the faults that it is to have, for
//! teaching. To the coordinator, for display: the cluster's name, and what became of the nodes'
//! processes. Each may be lost
//! without harm. Receivers ignore kinds and fields that they do not know. Plain values.

use protocol::supervisor::Injected;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest line, bytes without its newline: so much a pipe takes whole or not at all.
pub(crate) const LINE_BYTES_MAX: usize = 4_095;
/// How often a fault may be ordered to come.
pub(crate) const COUNT_MAX: u64 = 1_000_000;
/// Longest delay of a sync, milliseconds.
pub(crate) const DELAY_MS_MAX: u64 = 60_000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// A node is to have a fault so often; 0 takes it back.
    Inject {
        /// Rises with each order to this process.
        number: u64,
        /// The fault.
        fault: Fault,
        /// How often.
        count: u64,
    },
    /// A node that stands still after a step, as ordered, is to go on.
    GoOn,
    /// What became of a node's process.
    Hint(Hint),
    /// What the cluster is called.
    Cluster {
        /// Its name.
        name: String,
    },
}

/// What a supervisor says of a node, for display only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hint {
    /// The node's name.
    pub node: String,
    /// It stands still.
    pub paused: bool,
    /// What ended it.
    pub why: Option<String>,
    /// Its process has exited, and no other one runs in its place yet.
    #[serde(default)]
    pub exited: bool,
    /// The faults that it is still to have.
    pub injected: Vec<Injected>,
}

/// A fault for teaching: a node shows it at its edges, and stays within the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", content = "value", rename_all = "snake_case")]
pub enum Fault {
    /// The next prepares are refused.
    RefusePrepare,
    /// The next syncs of the log take so much longer, milliseconds.
    SyncDelayMs(u64),
    /// The next votes are lost on their way, each time with the connection.
    DropVotes,
    /// The next heartbeats are not sent.
    DropHeartbeats,
    /// The process stands still after this step.
    StopAfter(Step),
}

/// A step of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A group is in the log, and not synced.
    Append,
    /// A group is synced, and nobody has heard of it.
    Sync,
    /// A vote is on its way.
    Vote,
}

impl Fault {
    /// The fault that a person names; else the field that is wrong, and what to do.
    pub(crate) fn named(name: &str, value: Option<&Value>) -> Result<Self, (&'static str, String)> {
        let plain = |fault| match value {
            None => Ok(fault),
            Some(_) => Err(("value", format!("{name} takes no value"))),
        };
        match name {
            "refuse_prepare" => plain(Self::RefusePrepare),
            "drop_votes" => plain(Self::DropVotes),
            "drop_heartbeats" => plain(Self::DropHeartbeats),
            "sync_delay_ms" => match value.and_then(Value::as_u64) {
                Some(ms @ 1..=DELAY_MS_MAX) => Ok(Self::SyncDelayMs(ms)),
                _ => {
                    let error = format!("sync_delay_ms needs a value from 1 to {DELAY_MS_MAX}");
                    Err(("value", error))
                }
            },
            "stop_after" => {
                let step = value.cloned().and_then(|value| serde_json::from_value(value).ok());
                let error = "stop_after needs a value: append, sync or vote";
                step.map(Self::StopAfter).ok_or(("value", error.to_owned()))
            }
            _ => {
                let error = format!(
                    "there is no fault {name:?}; there are refuse_prepare, sync_delay_ms, \
                     drop_votes, drop_heartbeats and stop_after"
                );
                Err(("fault", error))
            }
        }
    }

    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RefusePrepare => "refuse_prepare",
            Self::SyncDelayMs(_) => "sync_delay_ms",
            Self::DropVotes => "drop_votes",
            Self::DropHeartbeats => "drop_heartbeats",
            Self::StopAfter(_) => "stop_after",
        }
    }

    /// As it is shown.
    pub(crate) fn shown(self, count: u64, left: u64) -> Injected {
        let value = match self {
            Self::SyncDelayMs(ms) => Some(Value::from(ms)),
            Self::StopAfter(step) => serde_json::to_value(step).ok(),
            Self::RefusePrepare | Self::DropVotes | Self::DropHeartbeats => None,
        };
        Injected { fault: self.name().to_owned(), value, count, left }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_are_lines_that_servers_read_back() {
        let hint = Hint { node: "n1".into(), paused: true, ..Hint::default() };
        let faults = [Fault::RefusePrepare, Fault::SyncDelayMs(5), Fault::StopAfter(Step::Vote)];
        let inject = |fault| Order::Inject { number: 1, fault, count: 2 };
        let cluster = Order::Cluster { name: "shop".into() };
        let orders = faults.into_iter().map(inject);
        let orders = orders.chain([Order::GoOn, Order::Hint(hint), cluster]);
        for order in orders {
            let line = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order, "{line}");
            assert!(line.len() <= LINE_BYTES_MAX);
        }
    }

    #[test]
    fn a_fault_is_named_with_the_value_that_it_needs() {
        let named = |name, value: Value| Fault::named(name, Some(&value).filter(|v| !v.is_null()));
        for (name, value, fault) in [
            ("refuse_prepare", json!(null), Fault::RefusePrepare),
            ("drop_votes", json!(null), Fault::DropVotes),
            ("drop_heartbeats", json!(null), Fault::DropHeartbeats),
            ("sync_delay_ms", json!(60_000), Fault::SyncDelayMs(60_000)),
            ("stop_after", json!("append"), Fault::StopAfter(Step::Append)),
            ("stop_after", json!("sync"), Fault::StopAfter(Step::Sync)),
            ("stop_after", json!("vote"), Fault::StopAfter(Step::Vote)),
        ] {
            assert_eq!(named(name, value.clone()), Ok(fault));
            let shown = fault.shown(3, 2);
            assert_eq!(shown.fault, name);
            assert_eq!(shown.value.unwrap_or_default(), value);
        }
        for (name, value, field) in [
            ("explode", json!(null), "fault"),
            ("drop_votes", json!(1), "value"),
            ("sync_delay_ms", json!(null), "value"),
            ("sync_delay_ms", json!(0), "value"),
            ("sync_delay_ms", json!("5"), "value"),
            ("sync_delay_ms", json!(60_001), "value"),
            ("stop_after", json!("reply"), "value"),
            ("stop_after", json!(null), "value"),
        ] {
            assert_eq!(named(name, value).unwrap_err().0, field, "{name}");
        }
    }
}
