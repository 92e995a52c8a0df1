//! One request: a line of the client protocol, read strictly, and written for clients.
//!
//! [`parse`] is called by the coordinator once a line; what it returns borrows from the line, and
//! a `get` without escapes allocates nothing. [`Request::write`] is its inverse, for clients.
//! Whatever the line holds, the answer is a [`Request`] or a [`Rejected`]: never a panic, never
//! a guess at what was meant.

use std::borrow::Cow;

use bytes::BufMut;

use crate::error::ErrorReply;
use crate::json;
use crate::limits::Limits;

mod fields;

use fields::{Field, Fields, Name};

/// Longest `id` that is a string, bytes of its text without escapes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest deadline a request may ask for, milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Longest `client` of a `hello`, bytes.
pub const CLIENT_BYTES_MAX: usize = 256;

/// The operations of this release, for the sentence about unknown ones.
const OPS: &str = "get, put, del, status, hello";

/// A request, borrowed from its line where possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The JSON text of the request's `id`, to be repeated unchanged in its reply.
    pub id: Option<&'a str>,
    /// How long the client waits, milliseconds, 1 to [`TIMEOUT_MS_MAX`]; the server's default
    /// where absent.
    pub timeout_ms: Option<u32>,
    /// What to do.
    pub op: Op<'a>,
}

/// What a request asks for. Keys and values are within the limits given to [`parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op<'a> {
    /// The value and version of a key.
    Get {
        /// The key.
        key: Cow<'a, str>,
    },
    /// Sets a key, whether it exists or not.
    Put {
        /// The key.
        key: Cow<'a, str>,
        /// Its new value.
        value: Cow<'a, [u8]>,
    },
    /// Removes a key.
    Del {
        /// The key.
        key: Cow<'a, str>,
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

impl Op<'_> {
    /// The operation's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Del { .. } => "del",
            Self::Status => "status",
            Self::Hello { .. } => "hello",
        }
    }

    /// Whether the operation may change a key.
    pub fn is_update(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Del { .. })
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
    match interpret(fields, limits) {
        Ok((timeout_ms, op)) => Ok(Request { id, timeout_ms, op }),
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
    const SHAPE: &str = r#"send one JSON object a line, like {"op":"get","key":"a"}"#;
    if text.starts_with('\u{feff}') {
        return bad_request(format!("the line begins with a byte order mark: {SHAPE}"));
    }
    if error.is_data() {
        return bad_request(format!("the line is not a JSON object: {SHAPE}"));
    }
    let cause = error.to_string();
    let cause = cause.split(" at line ").next().unwrap_or_default();
    let column = error.column();
    bad_request(format!("broken JSON at byte {column} ({cause}): {SHAPE}"))
}

/// Whether brackets outside strings nest deeper than `limit`. Most lines have too few brackets
/// even to look closer.
fn nests_deeper(line: &[u8], limit: usize) -> bool {
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

fn interpret<'a>(
    mut fields: Fields<'a>,
    limits: &Limits,
) -> Result<(Option<u32>, Op<'a>), Box<ErrorReply>> {
    // The op first: the fields of an op that this release does not know are unknown to it too,
    // and the op is what its user has to change.
    let op = match fields.take(Name::Op) {
        Some(Field::Text(op)) => op,
        Some(other) => return Err(wrong_type("op", "a string", &other)),
        None => {
            let sentence = format!("op is missing: say what to do, one of {OPS}");
            return Err(bad_field("op", sentence));
        }
    };
    if !matches!(&*op, "get" | "put" | "del" | "status" | "hello") {
        let sentence = format!("unknown op {:?}: use one of {OPS}", fields::shown(&op));
        return Err(bad_field("op", sentence));
    }
    if let Some(problem) = fields.problem.take() {
        return Err(problem);
    }
    let timeout_ms = take_timeout(&mut fields)?;
    let parsed = match &*op {
        "get" => Op::Get { key: take_key(&mut fields, limits)? },
        "put" => {
            let key = take_key(&mut fields, limits)?;
            Op::Put { key, value: take_value(&mut fields, limits)? }
        }
        "del" => Op::Del { key: take_key(&mut fields, limits)? },
        "status" => Op::Status,
        _ => take_hello(&mut fields)?,
    };
    match fields.first_left() {
        None => Ok((timeout_ms, parsed)),
        Some(name) => {
            let name = name.as_str();
            let sentence = format!("{op} takes no field {name}: leave it out");
            Err(bad_field(name, sentence))
        }
    }
}

fn take_timeout(fields: &mut Fields<'_>) -> Result<Option<u32>, Box<ErrorReply>> {
    match fields.take(Name::TimeoutMs) {
        None => Ok(None),
        Some(Field::Unsigned(ms)) if (1..=u64::from(TIMEOUT_MS_MAX)).contains(&ms) => {
            Ok(Some(ms as u32))
        }
        Some(Field::Unsigned(_)) => {
            let sentence = format!("timeout_ms must be from 1 to {TIMEOUT_MS_MAX}");
            Err(bad_field("timeout_ms", sentence))
        }
        Some(other) => {
            let wanted = "an integer from 1 to 60000";
            Err(wrong_type("timeout_ms", wanted, &other))
        }
    }
}

fn take_text<'a>(
    fields: &mut Fields<'a>,
    name: Name,
) -> Result<Option<Cow<'a, str>>, Box<ErrorReply>> {
    match fields.take(name) {
        None => Ok(None),
        Some(Field::Text(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name.as_str(), "a string", &other)),
    }
}

fn take_key<'a>(fields: &mut Fields<'a>, limits: &Limits) -> Result<Cow<'a, str>, Box<ErrorReply>> {
    let Some(key) = take_text(fields, Name::Key)? else {
        return Err(bad_field("key", "key is missing: say which key, as a string"));
    };
    if key.is_empty() {
        let sentence = "key is empty: a key has at least one byte";
        return Err(bad_field("key", sentence));
    }
    if key.len() > limits.key_bytes {
        return Err(too_large("key", limits.key_bytes, key.len()));
    }
    Ok(key)
}

fn take_value<'a>(
    fields: &mut Fields<'a>,
    limits: &Limits,
) -> Result<Cow<'a, [u8]>, Box<ErrorReply>> {
    let text = take_text(fields, Name::Value)?;
    let base64 = take_text(fields, Name::ValueB64)?;
    let value = match (text, base64) {
        (Some(Cow::Borrowed(text)), None) => Cow::Borrowed(text.as_bytes()),
        (Some(Cow::Owned(text)), None) => Cow::Owned(text.into_bytes()),
        (None, Some(base64)) => {
            // Refused by its length before it is decoded, so that nothing large is allocated.
            let decoded_bytes = base64.len() / 4 * 3;
            if decoded_bytes > limits.value_bytes.saturating_add(2) {
                return Err(too_large("value", limits.value_bytes, decoded_bytes));
            }
            Cow::Owned(json::decode_base64(&base64).ok_or_else(|| {
                let sentence = "value_b64 is not base64: use the RFC 4648 alphabet with padding, \
                                and no blanks";
                bad_field("value_b64", sentence)
            })?)
        }
        (None, None) => {
            let sentence = "value is missing: give value (text) or value_b64 (any bytes)";
            return Err(bad_field("value", sentence));
        }
        (Some(_), Some(_)) => {
            let sentence = "value and value_b64 are both there: give exactly one of them";
            return Err(bad_field("value_b64", sentence));
        }
    };
    if value.len() > limits.value_bytes {
        return Err(too_large("value", limits.value_bytes, value.len()));
    }
    Ok(value)
}

fn take_hello<'a>(fields: &mut Fields<'a>) -> Result<Op<'a>, Box<ErrorReply>> {
    let client = take_text(fields, Name::Client)?;
    if client.as_ref().is_some_and(|client| client.len() > CLIENT_BYTES_MAX) {
        let sentence = format!("client is too long: use at most {CLIENT_BYTES_MAX} bytes");
        return Err(bad_field("client", sentence));
    }
    let read_only = match fields.take(Name::ReadOnly) {
        None => false,
        Some(Field::Bool(read_only)) => read_only,
        Some(other) => return Err(wrong_type("read_only", "true or false", &other)),
    };
    Ok(Op::Hello { client, read_only })
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

fn wrong_type(name: &str, wanted: &str, got: &Field<'_>) -> Box<ErrorReply> {
    bad_field(name, format!("{name} must be {wanted}, not {}", got.kind()))
}

impl Request<'_> {
    /// Appends the request as one line, newline included. A value goes as base64 where that is
    /// shorter than its escapes.
    pub fn write(&self, out: &mut impl BufMut) {
        out.put_slice(b"{\"op\":\"");
        out.put_slice(self.op.name().as_bytes());
        out.put_u8(b'"');
        if let Some(id) = self.id {
            out.put_slice(b",\"id\":");
            out.put_slice(id.as_bytes());
        }
        if let Some(timeout_ms) = self.timeout_ms {
            out.put_slice(b",\"timeout_ms\":");
            json::write_number(out, u64::from(timeout_ms));
        }
        match &self.op {
            Op::Get { key } | Op::Del { key } => write_key(out, key),
            Op::Put { key, value } => {
                write_key(out, key);
                out.put_u8(b',');
                json::write_value_compact(out, value);
            }
            Op::Status => {}
            Op::Hello { client, read_only } => {
                if let Some(client) = client {
                    out.put_slice(b",\"client\":");
                    json::write_string(out, client);
                }
                if *read_only {
                    out.put_slice(b",\"read_only\":true");
                }
            }
        }
        out.put_slice(b"}\n");
    }
}

fn write_key(out: &mut impl BufMut, key: &str) {
    out.put_slice(b",\"key\":");
    json::write_string(out, key);
}

#[cfg(test)]
mod tests;
