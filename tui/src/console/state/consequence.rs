//! What it would mean to kill, stop or pause a server, in sentences, before it is done.
//!
//! Used by the question that is asked first. Says only what the model knows.

use super::membership::evicted_later;
use crate::console::model::clock::count;
use crate::console::model::{COORDINATOR, Model};

/// The sentences; the last one says what happens next.
pub(super) fn of_losing(model: &Model, server: &str, comes_back: &str) -> Vec<String> {
    if server == COORDINATOR {
        return vec![
            "Nothing can be read or written until one serves again.".into(),
            "What was acknowledged is durable at the nodes; updates under way will be in doubt \
             until the next coordinator resolves them."
                .into(),
            comes_back.into(),
        ];
    }
    let mut said = Vec::new();
    let share = model.ring.shares().get(server).copied().unwrap_or(0.0);
    let node = model.nodes.get(server);
    let keys = node.and_then(|node| Some(node.keys_primary()? + node.keys_replica()?));
    if let Some(keys) = keys {
        said.push(format!(
            "It holds {} keys and is the primary of {:.0} % of the ring.",
            count(keys),
            share * 100.0
        ));
    }
    let missing: Vec<&str> = model
        .nodes
        .iter()
        .filter(|(name, node)| !node.is_well() && *name != server)
        .map(|(name, _)| name.as_str())
        .collect();
    match (model.replicas(), missing.as_slice()) {
        (1, _) => {
            said.push("There is one copy of each key: its keys cannot be read either.".into());
        }
        (replicas, []) => {
            let left =
                if replicas == 2 { "one copy".into() } else { format!("{} copies", replicas - 1) };
            said.push(format!(
                "Its keys will have {left}: they can be read, and not written until it is back."
            ));
        }
        (_, missing) => said.push(format!(
            "{} is away already: keys that only they hold will not be readable.",
            missing.join(", ")
        )),
    }
    said.extend(evicted_later(model));
    said.push(comes_back.into());
    said
}
