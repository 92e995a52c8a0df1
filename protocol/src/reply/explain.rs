//! What `explain` answers: the way of a request, step by step.
//!
//! Times are durations. At a node only those that it measured itself are told; what is left of the
//! time between sending and hearing of it belongs to its `vote`. So the coordinator's steps, with
//! of all nodes' steps those of the slowest, make up the whole. Servers build an [`ExplainReply`];
//! a request that was refused is answered with its error and the same fields.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ByteSum, InvalidReply, head, invalid, object_tail};
use crate::error::{ErrorReply, version_text};
use crate::ids::{NodeName, Point, Version};

/// What a step is called where it is taken at the coordinator.
pub const COORDINATOR: &str = "coordinator";

/// A kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// From the arrival of its bytes until the request is understood.
    Parse,
    /// A look into the coordinator's cache.
    CacheLookup,
    /// On its way to its turn: behind what its connection asked before, and behind what others
    /// write to its keys.
    Queue,
    /// A node is asked for a value: the whole round.
    NodeRead,
    /// From its turn until the first of its participants is sent it.
    Batch,
    /// At a participant: until the group that it is in begins to be written.
    Prepare,
    /// The group is written to the log.
    Append,
    /// The group is made durable.
    Sync,
    /// The rest of the time until the vote is there: the way to the node and back.
    Vote,
    /// The coordinator's cache takes what was written or read.
    CacheUpdate,
    /// Until the reply is made.
    Reply,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub name: StepName,
    /// [`COORDINATOR`], or the name of a node.
    #[serde(rename = "where")]
    pub place: Cow<'static, str>,
    /// How long it took, microseconds; null where it was not taken, or nobody measured it.
    #[serde(default)]
    pub us: Option<u64>,
    /// Why it is so.
    #[serde(default)]
    pub note: String,
}

/// The way of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// Where its key lies on the ring; of several, the one that it writes first.
    pub hash: Point,
    /// How that key came to lie there, where the sum of its bytes says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_sum: Option<ByteSum>,
    /// Whether the cluster carries out one update at a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serial_updates: bool,
    /// The nodes that hold that key, the primary first.
    pub nodes: Vec<NodeName>,
    /// The key's set in the coordinator's cache.
    pub set: u32,
    /// In their order; those of several nodes go on at the same time.
    pub steps: Vec<Step>,
    /// From the arrival of the request until its reply was made, microseconds; null where it was
    /// not carried out.
    #[serde(default)]
    pub total_us: Option<u64>,
    /// The version that was read or written; only where it was carried out.
    #[serde(default, with = "version_text", skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// A request that was carried out and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As it is answered to the request itself.
    pub error: Box<ErrorReply>,
    /// The way that it took, where it came so far.
    pub explained: Option<Box<ExplainReply>>,
}

/// The tail of an error reply that tells the way of the request too.
pub fn refusal_tail(error: &ErrorReply, explained: &ExplainReply) -> Bytes {
    #[derive(Serialize)]
    struct Both<'a> {
        #[serde(flatten)]
        error: &'a ErrorReply,
        #[serde(flatten)]
        explained: &'a ExplainReply,
    }
    object_tail(&Both { error, explained: &ExplainReply { version: None, ..explained.clone() } })
}

/// Reads the reply to an `explain`.
pub fn decode_explained(line: &[u8]) -> Result<Result<ExplainReply, Refusal>, InvalidReply> {
    let (ok, text) = head(line)?;
    if ok {
        return serde_json::from_str(text).map(Ok).map_err(invalid);
    }
    let error = serde_json::from_str(text).map_err(invalid)?;
    Ok(Err(Refusal { error, explained: serde_json::from_str(text).ok() }))
}

#[cfg(test)]
mod tests {
    use super::super::{error_tail, write_reply};
    use super::*;

    fn line(ok: bool, tail: &[u8]) -> String {
        let mut out = Vec::new();
        write_reply(&mut out, Some("1"), ok, tail);
        String::from_utf8(out).unwrap()
    }

    fn reply() -> ExplainReply {
        let step = |name, place, us| Step { name, place, us, note: String::new() };
        ExplainReply {
            hash: Point(255),
            byte_sum: None,
            serial_updates: false,
            nodes: vec![NodeName::new("n2").unwrap()],
            set: 17,
            steps: vec![
                step(StepName::Parse, COORDINATOR.into(), Some(3)),
                step(StepName::NodeRead, "n2".into(), None),
            ],
            total_us: Some(3),
            version: Some("3.17".parse().unwrap()),
        }
    }

    #[test]
    fn a_way_is_written_to_the_letter_and_reads_back() {
        let text = line(true, &object_tail(&reply()));
        let expected = r#"{"ok":true,"id":1,"hash":"00000000000000ff","nodes":["n2"],"set":17,"steps":[{"name":"parse","where":"coordinator","us":3,"note":""},{"name":"node_read","where":"n2","us":null,"note":""}],"total_us":3,"version":"3.17"}"#;
        assert_eq!(text.trim_end(), expected);
        assert_eq!(decode_explained(text.as_bytes()), Ok(Ok(reply())));
        let newer = expected.replace("node_read", "teleport");
        let read = decode_explained(newer.as_bytes()).unwrap().unwrap();
        assert_eq!(read.steps[1].name, StepName::Other);
    }

    #[test]
    fn a_refusal_is_an_error_reply_with_the_way() {
        let version = "3.18".parse().unwrap();
        for error in [ErrorReply::replica_down("n2"), ErrorReply::exists(version)] {
            let text = line(false, &refusal_tail(&error, &reply()));
            assert_eq!(text.matches("version\"").count(), usize::from(error.version.is_some()));
            let Refusal { error: read, explained } =
                decode_explained(text.as_bytes()).unwrap().expect_err("it was refused");
            assert_eq!(*read, error);
            assert_eq!(explained.unwrap().steps, reply().steps);
            let alone = line(false, &error_tail(&error));
            let refusal = decode_explained(alone.as_bytes()).unwrap().unwrap_err();
            assert_eq!(refusal, Refusal { error: Box::new(error), explained: None });
        }
        assert!(decode_explained(b"{\"ok\":true}").is_err());
    }
}
