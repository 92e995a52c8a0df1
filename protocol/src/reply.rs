//! One reply: encoded by servers from pieces that can be prepared and kept, decoded by clients.
//!
//! A reply line is a head, `{"ok":true` and the request's id, and a *tail*: everything after it,
//! newline included. The coordinator caches tails, so that a hit is two copies; a tail never
//! depends on the request that is answered. Decoding trusts nothing and ignores unknown fields.
//!
//! - this file: replies to one key's operations, to `outcome`, and errors
//! - `many`: replies that hold many values, held to the length of a reply line
//! - `explain`: the way of a request, step by step
//! - `watch`: the lines that follow the reply to a `watch`

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorReply, version_text};
use crate::ids::{NodeName, Point, Value, Version};
use crate::json;
use crate::limits::Limits;
use crate::status::NodeState;

mod explain;
mod many;
mod preview;
mod watch;

pub use explain::{
    COORDINATOR, ExplainReply, Refusal, Step, StepName, decode_explained, refusal_tail,
};
pub use many::{Item, MgetTail, Page, ScanTail, decode_page, decode_values};
pub use preview::{ChangePreview, LoadPreview, MovePreview, PlacementPreview};
pub use watch::{Change, WATCH_LOST_LINE, WatchLine, decode_watch, watch_del_line, watch_put_line};

/// Longest reply line, bytes without its newline.
pub const REPLY_BYTES_MAX: usize = 4 << 20;
/// Longest tail: a reply's head is shorter than the rest, whatever its id. An id has at most 128
/// bytes of text, each six characters long where it is written as an escape.
pub const TAIL_BYTES_MAX: usize = REPLY_BYTES_MAX - 1024;

/// Appends a whole reply line: `ok`, the request's `id` as it stood in the request, and `tail`.
pub fn write_reply(out: &mut impl BufMut, id: Option<&str>, ok: bool, tail: &[u8]) {
    let head: &[u8] = if ok { b"{\"ok\":true" } else { b"{\"ok\":false" };
    out.put_slice(head);
    if let Some(id) = id {
        out.put_slice(b",\"id\":");
        out.put_slice(id.as_bytes());
    }
    out.put_slice(tail);
}

/// How many bytes [`write_reply`] appends at most.
pub fn reply_bytes(id: Option<&str>, tail: &[u8]) -> usize {
    11 + id.map_or(0, |id| 6 + id.len()) + tail.len()
}

/// The tail that answers a `get`: `,"value":"..","version":"1.2"}` and the newline.
pub fn value_tail(value: &[u8], version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(value.len() + 48);
    out.put_u8(b',');
    json::write_value(&mut out, value);
    write_version(&mut out, version);
    out.freeze()
}

/// The tail that answers an update: `,"version":"1.2"}` and the newline.
pub fn version_tail(version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    write_version(&mut out, version);
    out.freeze()
}

/// The tail of an error reply.
pub fn error_tail(error: &ErrorReply) -> Bytes {
    object_tail(error)
}

/// The tail whose fields are those of `object`, as for `status` and `hello`.
///
/// # Panics
/// If `object` does not serialize to a JSON object that has a field; the types of this crate do.
pub fn object_tail(object: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(object).expect("plain data always serializes");
    assert!(text.starts_with(b"{"), "a reply's tail is made of an object");
    if text == b"{}" {
        return Bytes::from_static(b"}\n");
    }
    text[0] = b',';
    text.push(b'\n');
    text.into()
}

/// The tail that answers an `outcome`: `,"state":"committed"}` and the newline.
pub fn outcome_tail(state: UpdateState) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    out.put_slice(b",\"state\":\"");
    out.put_slice(state.as_str().as_bytes());
    out.put_slice(b"\"}\n");
    out.freeze()
}

/// The last field of a reply, and its end.
fn write_version(out: &mut BytesMut, version: Version) {
    out.put_slice(b",\"version\":");
    json::write_version(out, version);
    out.put_slice(b"}\n");
}

/// What `hello` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The server's name and version, as in `piazza 0.1.0`.
    pub server: String,
    /// The version of the client protocol, 1.
    pub protocol: u32,
    /// The cluster's uuid, once it has one.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The limits this connection is held to.
    #[serde(default)]
    pub limits: Limits,
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read and update keys.
    Client,
    /// Look at everything.
    Viewer,
    /// All of it, and change the cluster.
    Admin,
    /// A role that this version does not know.
    #[serde(other)]
    Other,
}

/// What `auth` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthReply {
    /// What the token allows.
    pub role: Role,
}

/// What an `admin` that was accepted answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AdminReply {
    /// The change that has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// What it would do, where only that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ChangePreview>,
    /// What comes of it, in a sentence, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What `locate` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateReply {
    /// Where the key lies on the ring.
    pub hash: Point,
    /// How it came to lie there, where the sum of its bytes says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_sum: Option<ByteSum>,
    /// The names of the nodes that hold it, the primary first.
    pub nodes: Vec<NodeName>,
    /// Its set in the coordinator's cache.
    pub set: u32,
    /// Its way there; null where it is not cached.
    pub way: Option<u16>,
    /// What each of the nodes holds; only where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Vec<Copy>>,
}

/// The arithmetic by which [`Placement::AsciiSum`](crate::peer::Placement) places a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSum {
    /// The sum of the key's bytes.
    pub sum: u32,
    /// How many nodes there are, at least 1.
    pub nodes: u32,
}

impl fmt::Display for ByteSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sum, nodes } = *self;
        write!(f, "byte sum {sum} mod {nodes} = {}", sum.checked_rem(nodes).unwrap_or(0))
    }
}

/// A key at one of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The node.
    pub node: NodeName,
    /// `primary` or `replica`.
    pub role: Cow<'static, str>,
    /// How the node is.
    pub state: NodeState,
    /// The last decided version there; null where there is no value, or the node did not answer.
    #[serde(with = "version_text")]
    pub version: Option<Version>,
    /// Whether the node's cache has answered; null where the node did not.
    pub cached: Option<bool>,
    /// Updates of the key that are under way or in doubt there.
    pub undecided: u64,
}

/// A value with the version that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Value,
    /// Compare it for equality only.
    pub version: Version,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateState {
    /// It happened.
    Committed,
    /// It did not happen and never will.
    Aborted,
    /// It is not decided yet.
    InDoubt,
    /// There is no record of it: it may be on its way, was never sent, or was decided too long ago.
    Unknown,
}

impl UpdateState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Committed, Self::Aborted, Self::InDoubt, Self::Unknown];

    /// The state as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::InDoubt => "in_doubt",
            Self::Unknown => "unknown",
        }
    }
}

/// A reply that no Piazza server sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the reply is not one of this protocol ({0}): is this the client port of a Piazza cluster?"
)]
pub struct InvalidReply(pub String);

/// Reads a reply whose fields, if it is `ok`, are those of `T`; otherwise the error it tells.
pub fn decode<T: DeserializeOwned>(
    line: &[u8],
) -> Result<Result<T, Box<ErrorReply>>, InvalidReply> {
    let (ok, text) = head(line)?;
    if ok {
        serde_json::from_str(text).map(Ok).map_err(invalid)
    } else {
        serde_json::from_str(text).map(Err).map_err(invalid)
    }
}

/// Reads the reply to a `get`.
pub fn decode_value(line: &[u8]) -> Result<Result<Versioned, Box<ErrorReply>>, InvalidReply> {
    read(line, ValueFields::versioned)
}

/// Reads a reply that borrows from its line and is not done with being JSON of the right types.
fn read<'a, B: Deserialize<'a>, T>(
    line: &'a [u8],
    finish: impl FnOnce(B) -> Result<T, InvalidReply>,
) -> Result<Result<T, Box<ErrorReply>>, InvalidReply> {
    let (ok, text) = head(line)?;
    if !ok {
        return serde_json::from_str(text).map(Err).map_err(invalid);
    }
    finish(serde_json::from_str(text).map_err(invalid)?).map(Ok)
}

/// A value with its version, as in the reply to a `get` and in lists of such.
#[derive(Deserialize)]
struct ValueFields<'a> {
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value_b64: Option<Cow<'a, str>>,
    #[serde(with = "version_text", default)]
    version: Option<Version>,
}

impl ValueFields<'_> {
    fn versioned(self) -> Result<Versioned, InvalidReply> {
        let value = value(self.value, self.value_b64)?
            .ok_or_else(|| InvalidReply("it has no value".into()))?;
        let version = self.version.ok_or_else(|| InvalidReply("it has no version".into()))?;
        Ok(Versioned { value, version })
    }
}

/// The value that `value` or `value_b64` hold, if one of them is there.
fn value(
    text: Option<Cow<'_, str>>,
    base64: Option<Cow<'_, str>>,
) -> Result<Option<Value>, InvalidReply> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_owned().into_bytes().into())),
        (None, Some(base64)) => match json::decode_base64(&base64) {
            Some(bytes) => Ok(Some(bytes.into())),
            None => Err(InvalidReply("value_b64 is not base64".into())),
        },
        (Some(_), Some(_)) => Err(InvalidReply("it has two values".into())),
    }
}

/// Reads the reply to an `outcome`. A state that this version does not know is [`Unknown`].
///
/// [`Unknown`]: UpdateState::Unknown
pub fn decode_outcome(line: &[u8]) -> Result<Result<UpdateState, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body {
        state: String,
    }
    let body = match decode::<Body>(line)? {
        Ok(body) => body,
        Err(error) => return Ok(Err(error)),
    };
    let state = UpdateState::ALL.into_iter().find(|state| state.as_str() == body.state);
    Ok(Ok(state.unwrap_or(UpdateState::Unknown)))
}

/// Reads the reply to an update.
pub fn decode_version(line: &[u8]) -> Result<Result<Version, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(with = "version_text", default)]
        version: Option<Version>,
    }
    let body = match decode::<Body>(line)? {
        Ok(body) => body,
        Err(error) => return Ok(Err(error)),
    };
    body.version.map(Ok).ok_or_else(|| InvalidReply("it has no version".into()))
}

/// Whether the reply is `ok`. Servers write that first; any other order is right too, only slower.
fn head(line: &[u8]) -> Result<(bool, &str), InvalidReply> {
    #[derive(Deserialize)]
    struct Head {
        ok: bool,
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| InvalidReply(format!("not UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    let ok = match text {
        _ if text.starts_with("{\"ok\":true,") => true,
        _ if text.starts_with("{\"ok\":false,") => false,
        _ => serde_json::from_str::<Head>(text).map_err(invalid)?.ok,
    };
    Ok((ok, text))
}

fn invalid(error: serde_json::Error) -> InvalidReply {
    InvalidReply(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;
    use crate::testing::Numbers;

    const VERSION: &str = "3.17";

    fn version() -> Version {
        Version::new(Epoch(3), 17)
    }

    fn line(id: Option<&str>, ok: bool, tail: &[u8]) -> String {
        let mut out = Vec::new();
        write_reply(&mut out, id, ok, tail);
        assert!(out.len() <= reply_bytes(id, tail));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_written_to_the_letter() {
        let tail = value_tail(b"a\"b", version());
        assert_eq!(
            line(None, true, &tail),
            "{\"ok\":true,\"value\":\"a\\\"b\",\"version\":\"3.17\"}\n"
        );
        assert_eq!(
            line(Some("\"x\""), true, &version_tail(version())),
            "{\"ok\":true,\"id\":\"x\",\"version\":\"3.17\"}\n"
        );
        let error = ErrorReply { error: "no".into(), ..ErrorReply::not_found() };
        assert_eq!(
            line(Some("-7"), false, &error_tail(&error)),
            "{\"ok\":false,\"id\":-7,\"code\":\"not_found\",\"error\":\"no\"}\n"
        );
    }

    #[test]
    fn states_read_back() {
        let tail = outcome_tail(UpdateState::InDoubt);
        let text = line(Some("1"), true, &tail);
        assert_eq!(text, "{\"ok\":true,\"id\":1,\"state\":\"in_doubt\"}\n");
        for state in UpdateState::ALL {
            let text = line(None, true, &outcome_tail(state));
            assert_eq!(decode_outcome(text.as_bytes()), Ok(Ok(state)));
        }
        let newer = b"{\"ok\":true,\"state\":\"half_done\"}";
        assert_eq!(decode_outcome(newer), Ok(Ok(UpdateState::Unknown)));
        assert!(decode_outcome(b"{\"ok\":true}").is_err());
    }

    #[test]
    fn values_read_back() {
        let mut numbers = Numbers::new(3);
        for round in 0..500 {
            let length = numbers.below(300);
            let value =
                if round % 2 == 0 { numbers.bytes(length) } else { numbers.text(99).into_bytes() };
            let line = line(Some("1"), true, &value_tail(&value, version()));
            let read = decode_value(line.trim_end().as_bytes()).unwrap().unwrap();
            assert_eq!((read.value.as_bytes(), read.version), (&value[..], version()));
            let read = decode_version(line.as_bytes()).unwrap().unwrap();
            assert_eq!(read, version());
        }
    }

    #[test]
    fn errors_read_back_and_unknown_fields_and_orders_are_no_trouble() {
        let error = Box::new(ErrorReply::replica_down("n2"));
        let text = line(Some("1"), false, &error_tail(&error));
        assert_eq!(decode_value(text.as_bytes()), Ok(Err(error.clone())));
        assert_eq!(decode_version(text.as_bytes()), Ok(Err(error)));
        let text = format!(r#"{{ "new":[1], "version":"{VERSION}", "ok" : true }}"#);
        assert_eq!(decode_version(text.as_bytes()), Ok(Ok(version())));
    }

    #[test]
    fn garbage_is_no_reply() {
        let wrong: [&[u8]; 12] = [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b"HTTP/1.1 400 Bad Request",
            b"{\"ok\":1}",
            b"{\"ok\":true}",
            b"{\"ok\":true,\"version\":3}",
            b"{\"ok\":true,\"version\":\"3\"}",
            b"{\"ok\":true,\"value\":\"a\",\"value_b64\":\"\",\"version\":\"1.1\"}",
            b"{\"ok\":true,\"value_b64\":\"a\",\"version\":\"1.1\"}",
            b"{\"ok\":false,\"error\":\"no code\"}",
        ];
        for line in wrong {
            assert!(decode_value(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }
}
