//! What a server answers instead of `ok`: a stable code, a sentence that says what to do, details.
//!
//! Servers build an [`ErrorReply`] with one of its constructors and encode it with
//! [`crate::reply::error_tail`]; the client library decodes it. A code, once published, never
//! changes its meaning; sentences may. No sentence ever contains a key's value.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::Version;
use crate::peer::DISK_FULL;

/// Who must act on an error, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The request is wrong, or not allowed: the same again can only fail again.
    Fix,
    /// A condition does not hold (no such key, another version): an answer more than an error.
    Condition,
    /// Nothing happened and nothing will: the same again is safe.
    Retry,
    /// It may or may not happen: the same again is safe only where it changes nothing.
    Unknown,
    /// A defect of the server: report it.
    Report,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $remedy:ident,)*) => {
        /// The stable code of an error reply.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code that this version does not know: a client met a newer server.
            Other,
        }

        impl ErrorCode {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other => "other",
                }
            }

            /// Who must act.
            pub fn remedy(self) -> Remedy {
                match self {
                    $(Self::$name => Remedy::$remedy,)*
                    Self::Other => Remedy::Unknown,
                }
            }

            fn from_wire(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

codes! {
    /// The request breaks the protocol; `field` names what, where there is a name.
    BadRequest "bad_request" Fix,
    /// `what` has `actual` bytes, `limit` are allowed.
    TooLarge "too_large" Fix,
    /// There is no such key.
    NotFound "not_found" Condition,
    /// The key is there already, with `version`.
    Exists "exists" Condition,
    /// The key has another version.
    VersionMismatch "version_mismatch" Condition,
    /// A replica of the key is down, its place not yet filled; nothing was or will be written.
    ReplicaDown "replica_down" Retry,
    /// Certainly did not and will not happen.
    Aborted "aborted" Retry,
    /// It may or may not happen.
    UnknownOutcome "unknown_outcome" Unknown,
    /// No replica may answer this read now, or the cluster is not complete.
    Unavailable "unavailable" Retry,
    /// This coordinator is a standby; `leader` is the active one, if known.
    NotLeader "not_leader" Retry,
    /// Refused before anything was written: too much at once.
    Overloaded "overloaded" Retry,
    /// Refused before anything was written: the deadline passed in a queue.
    Timeout "timeout" Retry,
    /// Credentials are missing or wrong.
    Unauthorized "unauthorized" Fix,
    /// The connection may not do this.
    Forbidden "forbidden" Fix,
    /// There is no node of that name.
    NoSuchNode "no_such_node" Fix,
    /// The process has no supervisor that could act on it.
    NoSupervisor "no_supervisor" Fix,
    /// It is so already.
    Already "already" Condition,
    /// The change would lose data or is not allowed; `reason` says why.
    Refused "refused" Fix,
    /// Another membership change is running; `change` names it.
    Busy "busy" Retry,
    /// The ring has changed since it was looked at.
    Conflict "conflict" Condition,
    /// A defect, logged under `incident`.
    Internal "internal" Report,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        Ok(Self::from_wire(&text))
    }
}

/// An error reply: everything of `{"ok":false,...}` but `ok` and `id`.
///
/// Which detail fields are present depends on the code; absent ones are not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {error}")]
pub struct ErrorReply {
    /// The stable code, for programs.
    pub code: ErrorCode,
    /// One sentence that says what to do, for people.
    #[serde(default)]
    pub error: Cow<'static, str>,
    /// The request's field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is too large: `key`, `value`, `prefix`, `after`, `line` or `reply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<Cow<'static, str>>,
    /// The limit that was passed, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How much it was, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<u64>,
    /// The name of the node that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why, in a few words that a program may compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// What has to happen or end first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// The running membership change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// `unknown_outcome`: the update's own id; otherwise the key's current version.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "version_text")]
    pub version: Option<Version>,
    /// The key whose condition does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `not_leader`: the active coordinator's address, or null when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub leader: Option<Option<String>>,
    /// A retry makes sense after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The id under which the defect was logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

impl ErrorReply {
    /// An error with no details. Prefer the constructors below: their sentences say what to do.
    pub fn new(code: ErrorCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            error: error.into(),
            field: None,
            what: None,
            limit: None,
            actual: None,
            node: None,
            reason: None,
            blocked_by: None,
            change: None,
            version: None,
            key: None,
            leader: None,
            retry_after_ms: None,
            incident: None,
        }
    }

    /// The line as a whole is wrong.
    pub fn bad_request(error: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, error)
    }

    /// One field of the request is wrong.
    pub fn bad_field(field: &str, error: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::bad_request(error) }
    }

    /// `what` (`key`, `value`, `line`, `reply`) has `actual` bytes where `limit` are allowed.
    pub fn too_large(what: &'static str, limit: usize, actual: usize) -> Self {
        let sentence = format!(
            "the {what} has {actual} bytes, the limit is {limit}: send a shorter one, or start \
             the cluster with a higher limit"
        );
        Self {
            what: Some(Cow::Borrowed(what)),
            limit: Some(limit as u64),
            actual: Some(actual as u64),
            ..Self::new(ErrorCode::TooLarge, sentence)
        }
    }

    /// A request line of `actual` bytes, over `limit`; it was skipped unread.
    pub fn line_too_long(limit: usize, actual: usize) -> Self {
        let sentence = format!(
            "a request line may have at most {limit} bytes, this one had {actual} and was skipped: \
             send a large value as value_b64, or a smaller one"
        );
        Self { error: sentence.into(), ..Self::too_large("line", limit, actual) }
    }

    /// The values that were asked for make a reply of `actual` bytes, more than one may have.
    pub fn reply_too_large(limit: usize, actual: usize) -> Self {
        let sentence = format!(
            "the reply would have {actual} bytes, the limit is {limit}: ask for fewer keys at a \
             time"
        );
        Self { error: sentence.into(), ..Self::too_large("reply", limit, actual) }
    }

    /// There is no such key.
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such key: check its spelling, or put it first")
    }

    /// There is no such key as `key`, which is one of several in the request.
    pub fn key_not_found(key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..Self::new(
                ErrorCode::NotFound,
                "a key of the request does not exist, so nothing was done: see key, and put it \
                 first",
            )
        }
    }

    /// The key is there already, with `version`.
    pub fn exists(version: Version) -> Self {
        Self {
            version: Some(version),
            ..Self::new(
                ErrorCode::Exists,
                "the key is there already, so nothing was done: choose another key, or put without \
                 if_absent",
            )
        }
    }

    /// `key` does not have the version that the request asks for; `version` is the one it has, if
    /// the key exists and the version is to be told.
    pub fn version_mismatch(key: &str, version: Option<Version>) -> Self {
        Self {
            key: Some(key.to_owned()),
            version,
            ..Self::new(
                ErrorCode::VersionMismatch,
                "the key does not have the version asked for, so nothing was done: read it, then \
                 decide anew",
            )
        }
    }

    /// The replica `node` of this key is down; nothing was or will be written.
    pub fn replica_down(node: &str) -> Self {
        let sentence = format!(
            "node {node} holds a copy of this key and is down; nothing was written: try again when \
             it is back or has been replaced (see `piazza status`)"
        );
        Self { node: Some(node.to_owned()), ..Self::new(ErrorCode::ReplicaDown, sentence) }
    }

    /// It certainly did not and will not happen.
    pub fn aborted(reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        let sentence = format!("the update was called off ({reason}) and had no effect: try again");
        Self { reason: Some(reason), ..Self::new(ErrorCode::Aborted, sentence) }
    }

    /// The disk of the replica `node` is full: it did not and will not happen.
    pub fn disk_full(node: &str) -> Self {
        let sentence = format!(
            "the disk of node {node} is full, and the update had no effect: free some space there, \
             then try again"
        );
        Self {
            node: Some(node.to_owned()),
            reason: Some(Cow::Borrowed(DISK_FULL)),
            ..Self::new(ErrorCode::Aborted, sentence)
        }
    }

    /// The update may or may not happen; `version` is its id, if it was given one.
    pub fn unknown_outcome(version: Option<Version>) -> Self {
        Self {
            version,
            ..Self::new(
                ErrorCode::UnknownOutcome,
                "the update may or may not have happened, or may happen yet: read the key, then \
                 decide whether to repeat it",
            )
        }
    }

    /// Nobody may answer this read now; `blocked_by` says what has to happen first.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>, blocked_by: Option<String>) -> Self {
        let reason = reason.into();
        let sentence = match &blocked_by {
            Some(blocked_by) => format!(
                "no answer can be given now ({reason}); it waits for {blocked_by}: try again, and \
                 see `piazza status`"
            ),
            None => {
                format!("no answer can be given now ({reason}): try again, and see `piazza status`")
            }
        };
        Self { reason: Some(reason), blocked_by, ..Self::new(ErrorCode::Unavailable, sentence) }
    }

    /// This coordinator does not serve; `leader` is the address of the one that does.
    pub fn not_leader(leader: Option<String>) -> Self {
        let sentence: Cow<'static, str> = match &leader {
            Some(leader) => format!("this coordinator is a standby: ask {leader}").into(),
            None => "this coordinator is a standby and does not know the active one: try again, \
                     here or at another address"
                .into(),
        };
        Self { leader: Some(leader), ..Self::new(ErrorCode::NotLeader, sentence) }
    }

    /// Refused before anything was written: `what` (as in "connections") is used up.
    pub fn overloaded(what: &str, retry_after_ms: u64) -> Self {
        let sentence = format!(
            "too many {what} at once; nothing was done: try again in {retry_after_ms} ms, or send \
             less at a time"
        );
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(ErrorCode::Overloaded, sentence) }
    }

    /// Refused before anything was written: the deadline passed while the request waited.
    pub fn timeout(retry_after_ms: u64) -> Self {
        Self {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(
                ErrorCode::Timeout,
                "the deadline passed while the request was still waiting; nothing was written: \
                 try again, or allow a longer timeout_ms",
            )
        }
    }

    /// The connection said `hello` with `read_only`, and `op` is not a read.
    pub fn read_only(op: &str) -> Self {
        Self::new(
            ErrorCode::Forbidden,
            format!("this connection asked to be read-only: send {op} on another connection"),
        )
    }

    /// The connection has shown no token, and the server wants one.
    pub fn no_token() -> Self {
        Self::new(
            ErrorCode::Unauthorized,
            "this server wants a token first: send auth with one (piazza: --token-file FILE or \
             PIAZZA_TOKEN)",
        )
    }

    /// The token that was shown is none of the server's.
    pub fn wrong_token() -> Self {
        Self::new(
            ErrorCode::Unauthorized,
            "this token is not one of the server's: check that it belongs to this cluster",
        )
    }

    /// The token that was shown is that of a `role` which may not do `what`.
    pub fn not_allowed(role: &str, what: &str) -> Self {
        Self::new(
            ErrorCode::Forbidden,
            format!("a {role} token does not allow {what}: show one that does"),
        )
    }

    /// A defect of the server, logged as `incident`.
    pub fn internal(incident: impl Into<String>) -> Self {
        let incident = incident.into();
        let sentence = format!(
            "the server met a defect of its own: please report it together with the lines of \
             `{incident}` in its log"
        );
        Self { incident: Some(incident), ..Self::new(ErrorCode::Internal, sentence) }
    }
}

/// `null` and absent are different things in `leader`.
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(d).map(Some)
}

/// A version as clients see it: the text `"EPOCH.COUNTER"`, not the number of [`crate::ids`].
pub(crate) mod version_text {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::ids::Version;

    pub(crate) fn serialize<S: Serializer>(v: &Option<Version>, s: S) -> Result<S::Ok, S::Error> {
        match v {
            Some(version) => s.collect_str(version),
            None => s.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Version>, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(d)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests;
