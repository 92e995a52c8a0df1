//! One request: a line of the client protocol, read strictly, and written for clients.
//!
//! [`parse`] is called by the coordinator once a line; what it returns borrows from the line, and
//! a `get` without escapes allocates nothing. [`Request::write`] is its inverse, for clients.
//! - this file: what a request is, and what a line must be to hold one
//! - `fields`: the fields of an object, not yet understood; `take`: what each operation wants of
//!   them; `write`: requests as clients send them; `admin`: the one that changes the cluster;
//!   `explain`: the one that holds another
//!
//! Whatever the line holds, the answer is a [`Request`] or a [`Rejected`]: never a panic, never
//! a guess at what was meant.

use std::borrow::Cow;

use crate::error::ErrorReply;
use crate::event::Subscribe;
use crate::ids::Version;
use crate::limits::Limits;

mod admin;
mod explain;
mod fields;
mod take;
mod write;

pub use admin::{Admin, AdminAction, Setting};
pub use explain::Explain;
use fields::Fields;

/// Longest `id` that is a string, bytes of its text without escapes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest deadline a request may ask for, milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Longest `client` of a `hello`, bytes.
pub const CLIENT_BYTES_MAX: usize = 256;
/// Shortest `once`, bytes: long enough that a random one is never drawn twice.
pub const ONCE_BYTES_MIN: usize = 16;
/// Longest `once`, bytes.
pub const ONCE_BYTES_MAX: usize = 64;
/// Most keys of one `mget`.
pub const MGET_KEYS_MAX: usize = 128;
/// Most conditions of one `txn`.
pub const TXN_CONDITIONS_MAX: usize = 128;
/// Most writes of one `txn`.
pub const TXN_WRITES_MAX: usize = 128;
/// Most items of one page of a `scan`.
pub const SCAN_ITEMS_MAX: u32 = 1000;
/// Most samples a second that a `subscribe` may ask for.
pub const SAMPLES_PER_S_MAX: u32 = 1_000_000;
/// Items of a page of a `scan` that names no limit.
pub const SCAN_ITEMS_DEFAULT: u32 = 100;

/// How every line looks, for the sentences about those that do not.
const SHAPE: &str = r#"send one JSON object a line, like {"op":"get","key":"a"}"#;

/// A request, borrowed from its line where possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The JSON text of the request's `id`, to be repeated unchanged in its reply.
    pub id: Option<&'a str>,
    /// How long the client waits, milliseconds, 1 to [`TIMEOUT_MS_MAX`]; the server's default
    /// where absent.
    pub timeout_ms: Option<u32>,
    /// The client's own name for an update, [`ONCE_BYTES_MIN`] to [`ONCE_BYTES_MAX`] bytes: however
    /// often it is sent, it happens at most once. On updates only, see [`Op::is_update`].
    pub once: Option<Cow<'a, str>>,
    /// What to do.
    pub op: Op<'a>,
}

/// What a request asks for. Keys, values and counts are within the limits given to [`parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op<'a> {
    /// The value and version of a key.
    Get {
        /// The key.
        key: Cow<'a, str>,
    },
    /// Sets a key.
    Put {
        /// The key.
        key: Cow<'a, str>,
        /// Its new value.
        value: Cow<'a, [u8]>,
        /// Only where there is no such key.
        if_absent: bool,
    },
    /// Sets a key that exists.
    Update {
        /// The key.
        key: Cow<'a, str>,
        /// Its new value.
        value: Cow<'a, [u8]>,
    },
    /// Sets a key that has a certain version.
    Cas {
        /// The key.
        key: Cow<'a, str>,
        /// Its new value.
        value: Cow<'a, [u8]>,
        /// The version that it must have.
        version: Version,
    },
    /// Removes a key.
    Del {
        /// The key.
        key: Cow<'a, str>,
        /// The version that it must have, if it matters.
        version: Option<Version>,
    },
    /// The values and versions of several keys at one moment.
    Mget {
        /// 1 to [`MGET_KEYS_MAX`] keys; a key may be there twice.
        keys: Vec<Cow<'a, str>>,
    },
    /// Several writes, all or none, where all conditions hold.
    Txn {
        /// `if`: at most [`TXN_CONDITIONS_MAX`]. A key may be there twice.
        conditions: Vec<Condition<'a>>,
        /// `then`: 1 to [`TXN_WRITES_MAX`], every key at most once.
        writes: Vec<Write<'a>>,
    },
    /// A page of the keys that begin with a prefix, in the order of their bytes.
    Scan {
        /// What the keys begin with; empty: all keys.
        prefix: Cow<'a, str>,
        /// Only keys after this one.
        after: Option<Cow<'a, str>>,
        /// At most so many, 1 to [`SCAN_ITEMS_MAX`].
        limit: u32,
        /// With their values.
        values: bool,
    },
    /// Every change from now on, a line each.
    Watch {
        /// Of what.
        of: Watched<'a>,
    },
    /// Which nodes hold a key, and where in the cache it is.
    Locate {
        /// The key.
        key: Cow<'a, str>,
        /// With what each of the nodes holds.
        copies: bool,
    },
    /// Which way a request takes, or has taken.
    Explain(Box<Explain<'a>>),
    /// What became of an update.
    Outcome {
        /// Of which.
        of: UpdateName<'a>,
    },
    /// Events from now on, a line each; in place of those that the connection asked for before.
    Subscribe(Box<Subscribe>),
    /// A change of the cluster.
    Admin(Admin<'a>),
    /// Shows a token.
    Auth {
        /// Its text.
        token: Cow<'a, str>,
    },
    /// The state of the cluster.
    Status,
    /// Tells who is there, in both directions.
    Hello {
        /// What the client calls itself, if it says.
        client: Option<Cow<'a, str>>,
        /// Whether the connection shall be unable to change anything.
        read_only: bool,
    },
}

/// What must hold for a `txn` to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// The version that it must have; `None`: there must be no such key.
    pub version: Option<Version>,
}

/// What a `txn` does to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// What is done to it.
    pub change: Change<'a>,
}

/// How a `txn` changes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets it, whether it exists or not.
    Put(Cow<'a, [u8]>),
    /// Sets it; it must exist.
    Update(Cow<'a, [u8]>),
    /// Removes it; it must exist.
    Del,
}

impl Change<'_> {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Update(_) => "update",
            Self::Del => "del",
        }
    }
}

/// What a `watch` looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched<'a> {
    /// One key.
    Key(Cow<'a, str>),
    /// All keys that begin so; empty: all keys.
    Prefix(Cow<'a, str>),
}

/// How an `outcome` names an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateName<'a> {
    /// By the version that it was given.
    Version(Version),
    /// By the client's own name for it.
    Once {
        /// What it was sent with.
        once: Cow<'a, str>,
        /// The key, or one of the keys, that it writes.
        key: Cow<'a, str>,
    },
}

impl Op<'_> {
    /// The operation's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Update { .. } => "update",
            Self::Cas { .. } => "cas",
            Self::Del { .. } => "del",
            Self::Mget { .. } => "mget",
            Self::Txn { .. } => "txn",
            Self::Scan { .. } => "scan",
            Self::Watch { .. } => "watch",
            Self::Locate { .. } => "locate",
            Self::Explain(_) => "explain",
            Self::Outcome { .. } => "outcome",
            Self::Subscribe(_) => "subscribe",
            Self::Admin(_) => "admin",
            Self::Auth { .. } => "auth",
            Self::Status => "status",
            Self::Hello { .. } => "hello",
        }
    }

    /// Whether the operation may change a key.
    pub fn is_update(&self) -> bool {
        match self {
            Self::Put { .. }
            | Self::Update { .. }
            | Self::Cas { .. }
            | Self::Del { .. }
            | Self::Txn { .. } => true,
            Self::Explain(explain) => explain.run && explain.request.op.is_update(),
            Self::Get { .. }
            | Self::Mget { .. }
            | Self::Scan { .. }
            | Self::Watch { .. }
            | Self::Locate { .. }
            | Self::Outcome { .. }
            | Self::Subscribe(_)
            | Self::Admin(_)
            | Self::Auth { .. }
            | Self::Status
            | Self::Hello { .. } => false,
        }
    }
}

/// A line that is no valid request.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// The JSON text of the line's `id`, if it could be read.
    pub id: Option<&'a str>,
    /// What to answer.
    pub error: Box<ErrorReply>,
}

/// Reads one line, without its newline, which the framer has already held to
/// [`Limits::line_bytes`].
pub fn parse<'a>(line: &'a [u8], limits: &Limits) -> Result<Request<'a>, Rejected<'a>> {
    let (mut fields, text) = match read_fields(line, limits) {
        Ok(read) => read,
        Err(error) => {
            let id = fields::salvage_id(line).filter(|id| check_id(id).is_ok());
            return Err(Rejected { id, error });
        }
    };
    debug_assert_eq!(text.len(), line.len());
    let id = fields.id.take();
    if let Some(Err(sentence)) = id.map(check_id) {
        let error = bad_field("id", sentence);
        return Err(Rejected { id: None, error });
    }
    match take::request(fields, limits) {
        Ok((timeout_ms, once, op)) => Ok(Request { id, timeout_ms, once, op }),
        Err(error) => Err(Rejected { id, error }),
    }
}

fn read_fields<'a>(
    line: &'a [u8],
    limits: &Limits,
) -> Result<(Fields<'a>, &'a str), Box<ErrorReply>> {
    let text = std::str::from_utf8(line).map_err(|error| {
        bad_request(format!(
            "the line is not UTF-8 at byte {}: send a value that is not text as value_b64",
            error.valid_up_to() + 1
        ))
    })?;
    if nests_deeper(line, limits.nesting) {
        return Err(bad_request(format!(
            "the request is nested more than {} deep: send a structured value as one string",
            limits.nesting
        )));
    }
    let fields = fields::read(text).map_err(|error| broken_json(text, &error))?;
    Ok((fields, text))
}

fn broken_json(text: &str, error: &serde_json::Error) -> Box<ErrorReply> {
    if text.starts_with('\u{feff}') {
        return bad_request(format!("the line begins with a byte order mark: {SHAPE}"));
    }
    if error.is_data() {
        return bad_request(format!("the line is not a JSON object: {SHAPE}"));
    }
    let column = error.column();
    bad_request(format!("broken JSON at byte {column} ({}): {SHAPE}", cause(error)))
}

/// What is wrong, without where: parts of a line know only their own places.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Whether brackets outside strings nest deeper than `limit`. Most lines have too few brackets
/// even to look closer.
pub fn nests_deeper(line: &[u8], limit: usize) -> bool {
    if memchr::memchr2_iter(b'{', b'[', line).take(limit + 1).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for b in line {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// Whether the JSON text `raw` may be an id.
fn check_id(raw: &str) -> Result<(), &'static str> {
    let sentence = "id must be a string of at most 128 bytes or an integer from -2^63 to 2^64-1";
    let valid = match raw.as_bytes().first() {
        Some(b'"') => fields::string(raw).is_some_and(|text| text.len() <= ID_BYTES_MAX),
        _ => raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok(),
    };
    if valid { Ok(()) } else { Err(sentence) }
}

fn bad_request(sentence: String) -> Box<ErrorReply> {
    Box::new(ErrorReply::bad_request(sentence))
}

fn bad_field(name: &str, sentence: impl Into<Cow<'static, str>>) -> Box<ErrorReply> {
    Box::new(ErrorReply::bad_field(name, sentence))
}

fn too_large(what: &'static str, limit: usize, actual: usize) -> Box<ErrorReply> {
    Box::new(ErrorReply::too_large(what, limit, actual))
}

#[cfg(test)]
mod tests;
